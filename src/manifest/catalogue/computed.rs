//! Which columns are generated, as statements say it.
//!
//! A table map does not say, and a source that leaves generated columns out of row images is only
//! followed where it is known. `information_schema` says what is; a statement said what was when
//! the rows were logged. What statements said of tables whose rows no event has shown since is
//! part of the catalogue, and of the manifests it is a function of.

use super::{Catalogue, shape_of};
use crate::manifest::ABSENT_CELLS;
use crate::position::{Flavor, Seq};
use crate::schema::ddl::ColumnSaid;
use crate::schema::{Column, Generated, TableName, TableShape, TableVersion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What statements said of the columns of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputedColumns {
    /// The table.
    pub table: TableName,
    /// Columns by name in lower case: how each is generated, or that it is not.
    pub columns: BTreeMap<String, Option<Generated>>,
}

/// What statements said of tables, until a version of the table knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(BTreeMap<TableName, BTreeMap<String, Option<Generated>>>);

impl Told {
    /// As a manifest has it.
    pub(super) fn of(list: &[ComputedColumns]) -> Told {
        let tables = list.iter().map(|t| (t.table.clone(), t.columns.clone()));
        Told(tables.collect())
    }

    /// For a manifest.
    pub(super) fn list(&self) -> Vec<ComputedColumns> {
        let tables = self.0.iter().map(|(table, columns)| ComputedColumns {
            table: table.clone(),
            columns: columns.clone(),
        });
        tables.collect()
    }

    /// Adds to what was said of a table.
    pub(super) fn tell(
        &mut self,
        table: TableName,
        columns: impl Iterator<Item = (String, Option<Generated>)>,
    ) {
        let mut columns = columns.peekable();
        if columns.peek().is_some() {
            self.0.entry(table).or_default().extend(columns);
        }
    }

    /// What was said of a table.
    pub(super) fn of_table(
        &self,
        table: &TableName,
    ) -> Option<&BTreeMap<String, Option<Generated>>> {
        self.0.get(table)
    }

    /// The table is gone, or a version knows.
    pub(super) fn forget(&mut self, table: &TableName) {
        self.0.remove(table);
    }

    /// All tables of a database are gone.
    pub(super) fn forget_database(&mut self, db: &str) {
        self.0.retain(|table, _| table.db != db);
    }

    /// The table has another name.
    pub(super) fn rename(&mut self, from: &TableName, to: &TableName) {
        self.0.remove(to);
        if let Some(columns) = self.0.remove(from) {
            self.0.insert(to.clone(), columns);
        }
    }

    /// What is known of a column of a table, beside what its version knows: the statement comes
    /// after what was read, if it was.
    pub(super) fn of_column(
        &self,
        table: &TableName,
        column: &Column,
    ) -> Option<Option<Generated>> {
        let told = self.of_table(table);
        let told = told.and_then(|columns| columns.get(&column.name.to_lowercase()));
        // What was read from the server has its declared type, too.
        let read = column.declared.is_some().then_some(column.generated);
        told.copied().or(read)
    }
}

impl Catalogue {
    /// Whether the server leaves generated columns out of row images: rows of new tables without a
    /// key are then told apart by the others.
    pub fn leave_out_computed(&mut self, left_out: bool) {
        self.leaves_out = left_out;
    }

    /// What a reader must understand to read these versions.
    #[must_use]
    pub fn requires(&self) -> Vec<String> {
        let any = self.versions().any(|version| version.given_rows);
        any.then(|| ABSENT_CELLS.to_owned()).into_iter().collect()
    }

    /// Whether there is a table of this name, as far as is known.
    #[must_use]
    pub fn knows(&self, name: &TableName) -> bool {
        self.by_name(name).is_some() || self.told.of_table(&self.spelled(name)).is_some()
    }

    /// A statement said something of columns.
    pub fn tell_computed(&mut self, name: &TableName, columns: &[(String, ColumnSaid)]) {
        if self.flavor != Flavor::MariaDb {
            return;
        }
        let name = self.spelled(name);
        let version = self.by_name(&name).cloned();
        let told = self.told.of_table(&name).cloned().unwrap_or_default();
        let before = |column: &String| match told.get(column) {
            Some(generated) => *generated,
            None => {
                let mut columns = version.iter().flat_map(|v| &v.columns);
                let column = columns.find(|c| c.name.to_lowercase() == *column);
                column.and_then(|column| column.generated)
            }
        };
        let columns = columns.iter().map(|(column, said)| match said {
            ColumnSaid::Defined(generated) => (column, *generated),
            ColumnSaid::Was(former) => (column, before(former)),
        });
        // That a column is plain needs saying only where something else was believed.
        let columns = columns.filter(|(column, generated)| {
            generated.is_some() || before(column).is_some() || told.contains_key(*column)
        });
        let columns: Vec<_> = columns
            .map(|(c, generated)| (c.clone(), generated))
            .collect();
        self.told.tell(name, columns.into_iter());
        // A shape that was matched may be another version now.
        self.seen.clear();
    }

    /// CREATE TABLE .. LIKE: the columns are as those of the other table.
    pub fn tell_alike(&mut self, name: &TableName, like: &TableName) {
        let like = self.spelled(like);
        let version = self.by_name(&like).cloned();
        let columns = version.iter().flat_map(|v| &v.columns);
        let known = columns.map(|c| (c.name.to_lowercase(), c.generated));
        let told = self.told.of_table(&like).cloned().unwrap_or_default();
        let said = |(column, generated)| (column, ColumnSaid::Defined(generated));
        let columns: Vec<_> = known.chain(told).map(said).collect();
        self.tell_computed(name, &columns);
    }

    /// From here on the rows of a table without a key are told apart by the columns that are not
    /// generated: its next version. `None` when the name is not known.
    pub fn identify_by_given(&mut self, name: &TableName, seq: Seq) -> Option<Arc<TableVersion>> {
        let current = self.by_name(name)?.clone();
        let mut next = current.next(seq, shape_of(&current));
        next.given_rows = true;
        Some(self.introduce(next))
    }

    /// Whether something is known now of the columns of a shape that its version does not know.
    pub(super) fn learns(&self, current: &TableVersion, shape: &TableShape) -> bool {
        if self.flavor != Flavor::MariaDb {
            return false;
        }
        // What rows without a key are told apart by changes at a statement only.
        let is_told = self.told.of_table(&shape.name).is_some();
        let mut columns = current.columns.iter().zip(&shape.columns);
        (is_told || !current.key.is_empty())
            && columns.any(|(is, column)| {
                let known = self.told.of_column(&shape.name, column);
                known.is_some_and(|known| known != is.generated)
            })
    }

    pub(super) fn introduce_told(
        &mut self,
        mut version: TableVersion,
        (seen, former): (&TableShape, Option<&TableVersion>),
    ) -> Arc<TableVersion> {
        if self.flavor == Flavor::MariaDb {
            for (column, seen) in version.columns.iter_mut().zip(&seen.columns) {
                if let Some(known) = self.told.of_column(&version.name, seen) {
                    column.generated = known;
                }
            }
            self.told.forget(&version.name);
        }
        let identity = |v: &TableVersion| {
            let columns = v.columns.iter();
            let columns = columns.map(|c| (c.field_id, c.wire_type, c.metadata, c.generated));
            columns.collect::<Vec<_>>()
        };
        if former.is_none_or(|former| identity(former) != identity(&version)) {
            let generated = version.columns.iter().any(|c| c.generated.is_some());
            version.given_rows = version.key.is_empty()
                && generated
                && (self.leaves_out || former.is_some_and(|former| former.given_rows));
        }
        self.introduce(version)
    }
}
