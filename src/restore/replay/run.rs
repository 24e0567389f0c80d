//! Carries statements out on the target, with the rows they read in place before each.

use super::PlannedStatement;
use super::session::{self, Surroundings};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Flavor;
use crate::restore::data::{Counter, Work, Writer, Written, write_all};
use crate::restore::plan::{Epoch, PlannedTable, RestorePlan, has_shape_of};
use crate::restore::progress::TableProgress;
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
        let scheduler = self.hold_events(&mut session).await?;
        for statement in &self.plan.statements {
            self.load(statement).await?;
            self.execute(&mut session, statement, &collations).await?;
            for event in &statement.events {
                disable(&mut session, event, notes).await?;
            }
            self.look_again(statement).await?;
        }
        if let Some(former) = scheduler {
            session.exec("SET NAMES utf8mb4").await?;
            let back = format!("SET GLOBAL event_scheduler = {former}");
            session.exec(&back).await?;
        }
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
        let counters = self.counters().await?;
        let mut all = Vec::new();
        for (place, table) in self.plan.tables.iter().enumerate() {
            let Some(epoch) = table.epochs.last().filter(|e| e.load_at.is_none()) else {
                continue;
            };
            let work = self.work((place, table), epoch, &counters)?;
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
        (place, table): (usize, &PlannedTable),
        epoch: &Epoch,
        counters: &BTreeMap<TableName, String>,
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
        let before = holding.map(|holding| holding.fingerprint);
        Ok(Some(Work {
            table: Arc::new(table.clone()),
            epoch: epoch.clone(),
            version,
            progress: TableProgress {
                before,
                ..TableProgress::default()
            },
            counter: counters.get(&epoch.name).map(|column| Counter {
                column: column.clone(),
                next: self.next_id(place, table),
            }),
        }))
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
        let counters = self.counters().await?;
        for (place, next) in &self.next_ids {
            let table = self.plan.tables.get(*place).filter(|t| t.died.is_none());
            let Some(table) = table.filter(|t| counters.contains_key(&t.name)) else {
                continue;
            };
            let is_written = table.epochs.last().is_some_and(|e| e.version.is_some());
            if !is_written {
                let name = table.name.quoted();
                let alter = format!("ALTER TABLE {name} AUTO_INCREMENT = {next}");
                session.exec(&alter).await?;
            }
        }
        Ok(())
    }

    /// Writes the rows that a statement reads, and proves that they are there.
    async fn load(&mut self, statement: &PlannedStatement) -> Result<()> {
        if statement.loads.is_empty() {
            return Ok(());
        }
        let counters = self.counters().await?;
        let mut works = Vec::new();
        let mut places = BTreeMap::new();
        for (place, epoch) in &statement.loads {
            let table = self.plan.tables.get(*place);
            let epoch = table.and_then(|table| Some((table, table.epochs.get(*epoch)?)));
            let Some((table, epoch)) = epoch else {
                return Err(Error::internal("replay ddl: an epoch is not in the plan"));
            };
            let work = self.work((*place, table), epoch, &counters)?;
            if let Some(work) = work {
                places.insert(table.table_id.clone(), (*place, Arc::clone(&work.version)));
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
            time_zone: self.writer.target.source_time_zone(),
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
            let done = session.conn().query_drop(command.text.as_slice()).await;
            let done = done.map_err(|e| sql_error("replay ddl", e));
            done.map_err(|e| refused(statement, e))?;
        }
        Ok(())
    }

    /// AUTO_INCREMENT columns of the target by table.
    async fn counters(&self) -> Result<BTreeMap<TableName, String>> {
        let mut client = self.writer.target.connect().await?;
        let sql = "SELECT table_schema, table_name, column_name FROM information_schema.columns \
                   WHERE extra LIKE '%auto_increment%'";
        let rows = client.query_rows(sql).await?;
        client.close().await;
        let text = |cell: &Option<bytes::Bytes>| {
            String::from_utf8_lossy(cell.as_deref().unwrap_or_default()).into_owned()
        };
        let named = rows.iter().filter_map(|row| match row.as_slice() {
            [db, table, column] => Some((TableName::new(text(db), text(table)), text(column))),
            _ => None,
        });
        Ok(named.collect())
    }

    /// Keeps the target from running events while statements create them; gives what the
    /// setting was.
    async fn hold_events(&self, session: &mut SqlClient) -> Result<Option<&'static str>> {
        let mut statements = self.plan.statements.iter();
        if !statements.any(PlannedStatement::touches_events) {
            return Ok(None);
        }
        let found = session
            .query_string("SELECT @@global.event_scheduler")
            .await?;
        if found.as_deref() != Some("ON") {
            return Ok(None);
        }
        let held = session.exec("SET GLOBAL event_scheduler = OFF").await;
        held.map_err(|e| {
            Error::incompatible("replay ddl: the target would run events that are restored")
                .source(e)
                .hint("run on the target: SET GLOBAL event_scheduler = OFF, then restore with --resume")
        })?;
        Ok(Some("ON"))
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
    // Servers before 10.10 know neither these columns nor what they are needed for.
    let rows = session.query_rows(sql).await.unwrap_or_default();
    let text = |cell: &Option<bytes::Bytes>| {
        String::from_utf8_lossy(cell.as_deref().unwrap_or_default()).into_owned()
    };
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
