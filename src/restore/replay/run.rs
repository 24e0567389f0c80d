//! Carries statements out on the target, with the rows they read in place before each.

use super::PlannedStatement;
use super::columns::SpecialColumns;
use super::session::{self, Surroundings};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Flavor;
use crate::restore::cascade::TableCascades;
use crate::restore::data::{Counter, Work, Writer, Written, write_all};
use crate::restore::found::found_rows;
use crate::restore::plan::RestorePlan;
use crate::restore::progress::TableProgress;
use crate::restore::rows::Fold;
use crate::restore::table::{Epoch, PlannedTable, has_shape_of};
use crate::restore::verify::{Expected, Holding, Reader};
use crate::schema::{TableId, TableName, TableVersion};
use crate::segment::Fingerprint;
use crate::source::{SqlClient, sql_error};
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything a replay needs, and what it has learnt of the target's tables.
pub(in crate::restore) struct Replay<'a> {
    /// What is restored.
    pub(in crate::restore) plan: &'a RestorePlan,
    /// Writes rows.
    pub(in crate::restore) writer: &'a Writer,
    /// Reads rows back.
    pub(in crate::restore) reader: Reader<'a>,
    /// Connections that write.
    pub(in crate::restore) jobs: usize,
    /// What tables hold that have rows already, by their place in the plan.
    pub(in crate::restore) holdings: BTreeMap<usize, Holding>,
    /// Next AUTO_INCREMENT values of tables that were written before, by their place.
    pub(in crate::restore) next_ids: BTreeMap<usize, u64>,
}

impl Replay<'_> {
    /// Runs all statements of the plan.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the target refuses one, or
    /// makes other tables of it than the source did; those of writing rows.
    pub(in crate::restore) async fn run(&mut self, notes: &mut Vec<String>) -> Result<()> {
        if self.plan.statements.is_empty() {
            return Ok(());
        }
        let mut session = self.writer.target.connect().await?;
        let collations = collations(&mut session).await?;
        let mut touching = self.plan.statements.iter();
        if touching.any(PlannedStatement::touches_events) {
            self.writer.target.hold_events(&mut session).await?;
        }
        for statement in &self.plan.statements {
            self.load(&statement.loads).await?;
            self.execute(&mut session, statement, &collations).await?;
            for event in &statement.events {
                disable(&mut session, event, notes).await?;
            }
            self.look_again(statement).await?;
        }
        // Interrupted, such a one cannot be gone on with: it belongs to what is repeated whole.
        let tables = self.plan.tables.iter().enumerate();
        let last = tables.map(|(place, table)| (place, table.epochs.len().saturating_sub(1)));
        let last = last.filter(|(place, epoch)| self.refolds(*place, *epoch).is_some());
        let last: Vec<(usize, usize)> = last.collect();
        self.load(&last).await?;
        session.close().await;
        Ok(())
    }

    /// Takes up what an unfinished restore had: tables with rows from before the last epoch.
    ///
    /// # Errors
    /// Those of the connection.
    pub(in crate::restore) async fn remember(
        &mut self,
        done: &BTreeMap<TableId, TableProgress>,
    ) -> Result<()> {
        let (mut places, mut wanted) = (Vec::new(), Vec::new());
        for (place, table) in self.plan.tables.iter().enumerate() {
            let progress = done.get(&table.table_id);
            let Some(fingerprint) = progress.and_then(|p| p.before) else {
                continue;
            };
            places.push((place, fingerprint));
            wanted.push(table.name.clone());
        }
        let shapes = self.reader.shapes(&wanted).await?;
        for ((place, fingerprint), version) in places.into_iter().zip(shapes) {
            let holding = Holding {
                version,
                fingerprint,
            };
            self.holdings.insert(place, holding);
        }
        Ok(())
    }

    /// What every table that was asked for must hold in the end.
    pub(in crate::restore) fn expected(
        &self,
        written: &BTreeMap<TableId, Written>,
    ) -> Vec<Expected> {
        let tables = self.plan.tables.iter().enumerate();
        let wanted = tables.filter(|(_, table)| table.is_wanted);
        wanted
            .map(|(place, table)| {
                let holding = self.holdings.get(&place);
                let logged = table.epochs.last().and_then(|epoch| epoch.version.as_ref());
                let version = match holding {
                    Some(holding) => Some(named(&holding.version, &table.name)),
                    None => logged.cloned(),
                };
                let held = holding.map(|holding| holding.fingerprint);
                Expected {
                    name: table.name.clone(),
                    version,
                    fingerprint: written
                        .get(&table.table_id)
                        .map(|written| written.fingerprint)
                        .or(held)
                        .unwrap_or_default(),
                    only_given: table.lacks_cells(),
                }
            })
            .collect()
    }

    /// The epochs that are written at the end, of all tables that are there at the cut.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a table of the target does not
    /// have the shape of the images.
    pub(in crate::restore) async fn last(
        &self,
        done: &BTreeMap<TableId, TableProgress>,
    ) -> Result<Vec<Work>> {
        let columns = SpecialColumns::read(&self.writer.target).await?;
        let mut all = Vec::new();
        for (place, table) in self.plan.tables.iter().enumerate() {
            let Some(epoch) = table.epochs.last().filter(|e| e.load_at.is_none()) else {
                continue;
            };
            let number = table.epochs.len().saturating_sub(1);
            if self.refolds(place, number).is_some() {
                continue;
            }
            let work = self.work((place, number), (table, epoch), &columns)?;
            all.extend(work.map(|mut work| {
                if let Some(progress) = done.get(&table.table_id) {
                    work.progress = *progress;
                }
                work
            }));
        }
        Ok(all)
    }

    /// What is to be written of an epoch; `None` when the log has no rows in it.
    fn work(
        &self,
        (place, number): (usize, usize),
        (table, epoch): (&PlannedTable, &Epoch),
        columns: &SpecialColumns,
    ) -> Result<Option<Work>> {
        let Some(logged) = &epoch.version else {
            return Ok(None);
        };
        let holding = self.holdings.get(&place);
        let version = match holding {
            None => Arc::clone(logged),
            Some(holding) => named(&holding.version, &epoch.name),
        };
        if !has_shape_of(&version, logged) {
            return Err(other_shape(&version, logged));
        }
        let version = columns.with_generated(version);
        let before = holding.map(|holding| holding.fingerprint);
        let cascades = self.plan.cascades.get(&(table.table_id.clone(), number));
        let fold = cascades.map(|cascades| Arc::clone(cascades) as Arc<dyn Fold>);
        Ok(Some(Work {
            fold,
            found: None,
            table: Arc::new(table.clone()),
            epoch: epoch.clone(),
            version,
            progress: TableProgress {
                before,
                ..TableProgress::default()
            },
            counter: columns.counters.get(&epoch.name).map(|column| Counter {
                column: column.clone(),
                next: self.next_id(place, table),
            }),
        }))
    }

    /// What cascades did in an epoch that begins with rows of the target.
    fn refolds(&self, place: usize, number: usize) -> Option<&Arc<TableCascades>> {
        let table = self.plan.tables.get(place)?;
        let is_later = table.epochs.get(number).is_some_and(|e| !e.is_first);
        let cascades = self.plan.cascades.get(&(table.table_id.clone(), number));
        cascades.filter(|_| is_later)
    }

    /// As [`work`](Self::work), of an epoch in which cascades hit rows that only the target has:
    /// they are read, folded with the rest, and all of the table is written anew.
    async fn refold(
        &self,
        (place, cascades): (usize, &Arc<TableCascades>),
        (table, epoch): (&PlannedTable, &Epoch),
        columns: &SpecialColumns,
    ) -> Result<Work> {
        let holding = self.holdings.get(&place).ok_or_else(|| {
            Error::internal("replay ddl: nothing is known of a table").field("table", &epoch.name)
        })?;
        let version = named(&holding.version, &epoch.name);
        if let Some(logged) = epoch
            .version
            .as_ref()
            .filter(|l| !has_shape_of(&version, l))
        {
            return Err(other_shape(&version, logged));
        }
        let version = columns.with_generated(version);
        let found = found_rows(&self.reader, &epoch.name, &version, epoch.after).await?;
        let rows: Vec<u64> = found.iter().map(|file| file.rows).collect();
        let whole = Epoch {
            is_first: true,
            from_base: true,
            ..epoch.clone()
        };
        Ok(Work {
            table: Arc::new(table.with_found(&version, &rows)),
            epoch: whole,
            fold: Some(Arc::new(cascades.of_version(&version)?)),
            found: Some(found),
            version,
            progress: TableProgress {
                before: Some(holding.fingerprint),
                ..TableProgress::default()
            },
            counter: columns.counters.get(&epoch.name).map(|column| Counter {
                column: column.clone(),
                next: self.next_id(place, table),
            }),
        })
    }

    fn lacks_cells(&self, place: usize) -> bool {
        let table = self.plan.tables.get(place);
        table.is_some_and(PlannedTable::lacks_cells)
    }

    fn next_id(&self, place: usize, table: &PlannedTable) -> u64 {
        let known = self.next_ids.get(&place).copied();
        known.or(table.auto_increment).unwrap_or(1)
    }

    /// Sets the counters of tables that no rows were written to after a statement changed them.
    ///
    /// # Errors
    /// Those of the connection.
    pub(in crate::restore) async fn count(&self, session: &mut SqlClient) -> Result<()> {
        let tables = self.next_ids.iter().filter_map(|(place, next)| {
            let table = self.plan.tables.get(*place)?;
            let is_written = table.epochs.last().is_some_and(|e| e.version.is_some());
            (table.died.is_none() && !is_written).then_some((&table.name, next))
        });
        let tables: Vec<(&TableName, &u64)> = tables.collect();
        if tables.is_empty() {
            return Ok(());
        }
        let counters = SpecialColumns::read(&self.writer.target).await?.counters;
        for (name, next) in tables {
            if counters.contains_key(name) {
                let name = name.quoted();
                let alter = format!("ALTER TABLE {name} AUTO_INCREMENT = {next}");
                session.exec(&alter).await?;
            }
        }
        Ok(())
    }

    /// Writes the rows that a statement reads, and proves that they are there.
    async fn load(&mut self, loads: &[(usize, usize)]) -> Result<()> {
        if loads.is_empty() {
            return Ok(());
        }
        let columns = SpecialColumns::read(&self.writer.target).await?;
        let mut works = Vec::new();
        let mut places = BTreeMap::new();
        for &(place, number) in loads {
            let table = self.plan.tables.get(place);
            let of = table.and_then(|table| Some((table, table.epochs.get(number)?)));
            let Some(of) = of else {
                return Err(Error::internal("replay ddl: an epoch is not in the plan"));
            };
            let work = match self.refolds(place, number) {
                Some(cascades) => Some(self.refold((place, cascades), of, &columns).await?),
                None => self.work((place, number), of, &columns)?,
            };
            let (table, _) = of;
            if let Some(work) = work {
                places.insert(table.table_id.clone(), (place, Arc::clone(&work.version)));
                works.push(work);
            }
        }
        let written = Box::pin(write_all(self.writer, works, self.jobs, false)).await?;
        let mut expected = Vec::new();
        for (id, written) in written {
            let fingerprint = written.fingerprint;
            let Some((place, version)) = places.remove(&id) else {
                continue;
            };
            self.next_ids.insert(place, written.next_id);
            expected.push(Expected {
                name: version.name.clone(),
                version: Some(Arc::clone(&version)),
                fingerprint,
                only_given: self.lacks_cells(place),
            });
            let holding = Holding {
                version,
                fingerprint,
            };
            self.holdings.insert(place, holding);
        }
        self.reader.verify(expected).await
    }

    /// Reads the tables whose rows a statement may have changed: what the target made of them is
    /// what later changes apply to.
    async fn look_again(&mut self, statement: &PlannedStatement) -> Result<()> {
        let mut places = Vec::new();
        let mut wanted = Vec::new();
        for (place, name) in &statement.rereads {
            // It may say itself where to go on.
            if statement.ddl.sets_counter() {
                self.next_ids.remove(place);
            }
            places.push(*place);
            wanted.push(Expected {
                name: name.clone(),
                version: None,
                fingerprint: Fingerprint::default(),
                only_given: self.lacks_cells(*place),
            });
        }
        let found = self.reader.read(&wanted).await?;
        self.holdings.extend(places.into_iter().zip(found));
        Ok(())
    }

    async fn execute(
        &self,
        session: &mut SqlClient,
        statement: &PlannedStatement,
        collations: &BTreeMap<u16, (String, String)>,
    ) -> Result<()> {
        let around = Surroundings {
            flavor: self.plan.flavor,
            source: &self.plan.source,
            zones: self.writer.target.zones(),
            collations,
        };
        session.exec("SET NAMES utf8mb4").await?;
        for set in session::statements(&statement.ddl, around)? {
            match session.exec(&set.sql).await {
                Err(error) if !set.optional || error.kind() == ErrorKind::Unavailable => {
                    return Err(refused(statement, error));
                }
                _ => {}
            }
        }
        for command in &statement.commands {
            if !command.is_logged {
                session.exec("SET NAMES utf8mb4").await?;
            }
            let mut done = send(session, &command.text).await;
            if let Err(error) = &done
                && error.kind() != ErrorKind::Unavailable
                && command.is_logged
                && let Some(relaxed) = statement.ddl.relaxed(around.flavor)
            {
                done = send(session, &relaxed).await;
            }
            done.map_err(|e| refused(statement, e))?;
        }
        Ok(())
    }
}

/// A version under another name.
fn named(version: &Arc<TableVersion>, name: &TableName) -> Arc<TableVersion> {
    if version.name == *name {
        return Arc::clone(version);
    }
    let mut renamed = TableVersion::clone(version);
    renamed.name = name.clone();
    Arc::new(renamed)
}

async fn send(session: &mut SqlClient, text: &[u8]) -> Result<()> {
    let done = session.conn().query_drop(text).await;
    done.map_err(|e| sql_error("replay ddl", e))
}

fn refused(statement: &PlannedStatement, error: Error) -> Error {
    if error.kind() == ErrorKind::Unavailable {
        return error;
    }
    statement.ddl.name(
        Error::incompatible("replay ddl: the target refuses what the source ran")
            .source(error)
            .hint(
                "restore to a server of the source's version and settings; put right what the \
                 cause names, then restore with --resume",
            ),
    )
}

fn other_shape(found: &TableVersion, logged: &TableVersion) -> Error {
    let pairs = found.columns.iter().zip(&logged.columns);
    let mut differing = pairs.filter(|(a, b)| !a.same_shape(b));
    let column = differing.next().map(|(_, logged)| logged.name.clone());
    let error =
        Error::incompatible("replay ddl: the target made another table of it than the source")
            .field("table", &logged.name)
            .field("seq", logged.since)
            .field("columns", found.columns.len())
            .field("logged_columns", logged.columns.len())
            .hint("restore to a server of the source's version, or from a base after that Seq");
    match column {
        Some(column) => error.field("column", column),
        None => error,
    }
}

/// Collations of the server by id: their names and their character sets.
async fn collations(session: &mut SqlClient) -> Result<BTreeMap<u16, (String, String)>> {
    let sql = match session.flavor() {
        Flavor::MySql => return Ok(BTreeMap::new()),
        Flavor::MariaDb => {
            "SELECT id, full_collation_name, character_set_name FROM \
             information_schema.collation_character_set_applicability"
        }
    };
    let rows = match session.query_rows(sql).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        // Servers before 10.10 know neither these columns nor what they are needed for.
        answer => answer.unwrap_or_default(),
    };
    let text = SqlClient::text;
    let named = rows.iter().filter_map(|row| match row.as_slice() {
        [id, name, charset] => Some((text(id).parse().ok()?, (text(name), text(charset)))),
        _ => None,
    });
    Ok(named.collect())
}

async fn disable(
    session: &mut SqlClient,
    event: &TableName,
    notes: &mut Vec<String>,
) -> Result<()> {
    session.exec("SET NAMES utf8mb4").await?;
    let name = event.quoted();
    match session.exec(&format!("ALTER EVENT {name} DISABLE")).await {
        Ok(()) => notes.push(format!(
            "event {name} is restored disabled: ALTER EVENT {name} ENABLE"
        )),
        // An event that had run for the last time is gone.
        Err(error) if error.get("code") == Some("1539") => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
