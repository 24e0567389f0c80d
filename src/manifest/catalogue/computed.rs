//! Which columns are generated, as statements say it.
//!
//! A table map does not say, and a source that leaves generated columns out of row images is only
//! followed where it is known. `information_schema` says what is; a statement said what was when
//! the rows were logged. What statements said of tables whose rows no event has shown since is
//! part of the catalogue, and of the manifests it is a function of.

use crate::schema::{Column, Generated, TableName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
