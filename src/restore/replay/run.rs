//! Carries statements out on the target, with the rows they read in place before each.

use super::columns::SpecialColumns;
use super::execute::{Standing, collations, disable, execute};
use super::session::Surroundings;
use crate::error::{Error, Result};
use crate::restore::cascade::TableCascades;
use crate::restore::data::{Counter, Work, Writer, Written, write_all};
use crate::restore::ddl::PlannedStatement;
use crate::restore::found::found_rows;
use crate::restore::plan::RestorePlan;
use crate::restore::progress::TableProgress;
use crate::restore::recomputed::{require_recomputing, stored_columns};
use crate::restore::rows::Fold;
use crate::restore::sums::Sums;
use crate::restore::table::{Epoch, PlannedTable, has_shape_of};
use crate::restore::verify::{Expected, Holding, Reader};
use crate::schema::{TableId, TableName, TableVersion};
use crate::source::SqlClient;
use std::collections::{BTreeMap, BTreeSet};
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
        let mut standing = Standing::default();
        for statement in &self.plan.statements {
            self.load(&statement.loads).await?;
            self.refuse_to_carry(statement)?;
            let around = Surroundings {
                flavor: self.plan.flavor,
                source: &self.plan.source,
                zones: self.writer.target.zones(),
                collations: &collations,
            };
            execute((&mut session, &mut standing), statement, around).await?;
            for event in &statement.events {
                standing.forget();
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
            let Some((sums, recomputed)) = progress.and_then(|p| Some((p.before?, p.recomputed)))
            else {
                continue;
            };
            places.push((place, sums, recomputed));
            wanted.push(table.name.clone());
        }
        let shapes = self.reader.shapes(&wanted).await?;
        for ((place, sums, recomputed), version) in places.into_iter().zip(shapes) {
            let holding = Holding {
                version,
                sums,
                recomputed,
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
                let held = holding.map(|holding| holding.sums);
                Expected {
                    name: table.name.clone(),
                    version,
                    sums: written
                        .get(&table.table_id)
                        .map(|written| written.sums)
                        .or(held)
                        .unwrap_or_default(),
                    only_given: self.only_given(place),
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
                    work.progress = progress.clone();
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
        // Rows in files that may have none in it are looked at one by one (`BatchMapper`).
        if !epoch.may_be_empty && !has_shape_of(&version, logged) {
            return Err(other_shape(&version, logged));
        }
        let version = columns.with_generated(version);
        let cascades = self.plan.cascades.get(&(table.table_id.clone(), number));
        let fold = cascades.map(|cascades| Arc::clone(cascades) as Arc<dyn Fold>);
        Ok(Some(Work {
            fold,
            found: None,
            table: Arc::new(table.clone()),
            epoch: epoch.clone(),
            is_divisible: columns.is_divisible(&version),
            version,
            progress: holding.map(Holding::progress).unwrap_or_default(),
            only_given: self.only_given(place),
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
            .filter(|l| !epoch.may_be_empty && !has_shape_of(&version, l))
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
            is_divisible: columns.is_divisible(&version),
            version,
            progress: holding.progress(),
            only_given: self.only_given(place),
            counter: columns.counters.get(&epoch.name).map(|column| Counter {
                column: column.clone(),
                next: self.next_id(place, table),
            }),
        })
    }

    /// Whether what the target computes of a table is not what the log has.
    fn only_given(&self, place: usize) -> bool {
        let table = self.plan.tables.get(place);
        self.is_recomputed(place) || table.is_some_and(PlannedTable::lacks_cells)
    }

    fn is_recomputed(&self, place: usize) -> bool {
        let holding = self.holdings.get(&place);
        holding.is_some_and(|holding| holding.recomputed)
    }

    /// Tables in which stored columns were computed anew before a statement.
    pub(in crate::restore) fn recomputed(&self) -> BTreeSet<TableName> {
        let tables = self.plan.tables.iter().enumerate();
        let recomputed = tables.filter(|(place, _)| self.is_recomputed(*place));
        recomputed.map(|(_, table)| table.name.clone()).collect()
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
        let (mut expected, mut of) = (Vec::new(), Vec::new());
        for (id, written) in written {
            let Some((place, version)) = places.remove(&id) else {
                continue;
            };
            self.next_ids.insert(place, written.next_id);
            expected.push(Expected {
                name: version.name.clone(),
                version: Some(Arc::clone(&version)),
                sums: written.sums,
                only_given: self.only_given(place),
            });
            of.push(place);
            let holding = Holding {
                version,
                sums: written.sums,
                recomputed: self.is_recomputed(place),
            };
            self.holdings.insert(place, holding);
        }
        let compared = self.reader.verify(&expected).await?;
        for place in compared.computed.iter().filter_map(|index| of.get(*index)) {
            self.go_on_without_computed(*place).await?;
        }
        Ok(())
    }

    /// Goes on with what the target made of a table's stored columns, where all others are equal.
    ///
    /// # Errors
    /// As [`require_recomputing`].
    async fn go_on_without_computed(&mut self, place: usize) -> Result<()> {
        let Some(holding) = self.holdings.get_mut(&place) else {
            return Ok(());
        };
        let (name, target) = (&holding.version.name, &self.writer.target);
        let mut client = target.connect().await?;
        require_recomputing(&mut client, (target, &self.writer.clock), name).await?;
        client.close().await;
        holding.sums = holding.sums.given_alone();
        holding.recomputed = true;
        Ok(())
    }

    /// Refuses a statement that may make something else of cells that the target computed
    /// otherwise than the source.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible), with the table and its columns.
    fn refuse_to_carry(&self, statement: &PlannedStatement) -> Result<()> {
        for place in statement.touched() {
            let holding = self.holdings.get(&place).filter(|h| h.recomputed);
            let Some(Holding { version, .. }) =
                holding.filter(|h| !statement.leaves_computed_apart(place, &h.version))
            else {
                continue;
            };
            return Err(statement.ddl.name(
                Error::incompatible(
                    "replay ddl: the statement may carry on what the target computed otherwise",
                )
                .field("table", &version.name)
                .field("columns", stored_columns(version).join(", "))
                .hint(
                    "the target computed stored generated columns in another time zone, sql_mode \
                     or lc_time_names than sessions of the source: restore to a moment before \
                     that Seq, or from a base after it",
                ),
            ));
        }
        Ok(())
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
                sums: Sums::default(),
                only_given: self.only_given(*place),
            });
        }
        let found = self.reader.read(&wanted).await?;
        for (place, mut holding) in places.into_iter().zip(found) {
            holding.recomputed = self.is_recomputed(place);
            self.holdings.insert(place, holding);
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
