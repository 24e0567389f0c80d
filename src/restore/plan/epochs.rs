//! The stretches of a table's history between statements that read or change its rows.
//!
//! Within an epoch the log's images alone say what happens to rows, so it is folded whole; where
//! one ends, the rows must stand on the target, and the statement does the rest there.

use super::PlannedTable;
use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::FileEntry;
use crate::position::Seq;
use crate::schema::{TableName, TableVersion};
use std::sync::Arc;

/// One stretch.
#[derive(Clone, Debug)]
pub(in crate::restore) struct Epoch {
    /// Changes after this entry,
    pub(in crate::restore) after: Seq,
    /// up to and including this one.
    pub(in crate::restore) through: Seq,
    /// Whether the table is empty before it.
    pub(in crate::restore) is_first: bool,
    /// Whether it starts from what the base has: always so for the first one, unless the table
    /// was empty and got another shape.
    pub(in crate::restore) from_base: bool,
    /// What the table is called when it is written.
    pub(in crate::restore) name: TableName,
    /// The shape of its images, under that name; `None` when the log has none in it.
    pub(in crate::restore) version: Option<Arc<TableVersion>>,
    /// The statement before which it is written; `None`: at the end.
    pub(in crate::restore) load_at: Option<Seq>,
}

impl Epoch {
    /// The base files that it starts from.
    pub(in crate::restore) fn base_files<'a>(&self, table: &'a PlannedTable) -> &'a [BaseFile] {
        if self.from_base {
            &table.base_files
        } else {
            &[]
        }
    }

    /// The change files that may have rows in it.
    pub(in crate::restore) fn change_files<'a>(
        &self,
        table: &'a PlannedTable,
    ) -> impl Iterator<Item = &'a FileEntry> + use<'a> {
        let (after, through) = (self.after, self.through);
        let files = table.change_files.iter();
        files.filter(move |file| table.counting.reads(file, after, through))
    }

    /// Finds the shape of all its images.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when there are two.
    pub(super) fn find_version(&mut self, table: &PlannedTable) -> Result<()> {
        let base = self.base_files(table).iter().map(|file| file.version);
        let changes = self.change_files(table).filter_map(|file| file.version);
        let of_base = (self.from_base && table.base_name.is_some()).then_some(table.version);
        let mut numbers: Vec<u32> = base.chain(changes).chain(of_base).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut versions = numbers.iter().filter_map(|n| table.versions.get(n));
        let Some(first) = versions.next() else {
            return Ok(());
        };
        if let Some(other) = versions.find(|other| !has_shape_of(first, other)) {
            return Err(Error::gap(
                "plan restore: a table changed and no statement of the log says how",
            )
            .field("table", &self.name)
            .field("seq", other.since)
            .hint("take a base after the change, or restore to a moment before that Seq"));
        }
        let mut version = TableVersion::clone(first);
        version.name = self.name.clone();
        self.version = Some(Arc::new(version));
        Ok(())
    }
}

/// Whether two versions have the same columns and key, names of tables apart.
pub(in crate::restore) fn has_shape_of(a: &TableVersion, b: &TableVersion) -> bool {
    let same = |(a, b): (&crate::schema::Column, &crate::schema::Column)| a.same_shape(b);
    a.key == b.key
        && a.columns.len() == b.columns.len()
        && a.columns.iter().zip(&b.columns).all(same)
}
