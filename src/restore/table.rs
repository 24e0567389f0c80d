//! A table of a restore: its files, and the stretches of its history between statements that read
//! or change its rows.
//!
//! Within an epoch the log's images alone say what happens to rows, so it is folded whole; where
//! one ends, the rows must stand on the target, and the statement does the rest there.

use super::xa::Counting;
use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::FileEntry;
use crate::position::Seq;
use crate::schema::{Column, TableId, TableName, TableVersion};
use crate::segment::RowOrder;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedTable {
    /// Name.
    pub name: TableName,
    /// Incarnation.
    pub table_id: TableId,
    /// Version at the cut.
    pub version: u32,
    /// Changes after this entry are applied: the base files hold the table as of it, or it was
    /// created just after it.
    pub exact_from_seq: Seq,
    /// Rows in base files.
    pub base_rows: u64,
    /// Row images in change files (those beyond the cut in the last one included).
    pub change_rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Next AUTO_INCREMENT value in the base, where the table has one.
    pub auto_increment: Option<u64>,
    /// A MariaDB sequence: one row, and every change of it is logged as an insert.
    #[serde(skip)]
    pub is_sequence: bool,
    /// The base files.
    #[serde(skip)]
    pub base_files: Vec<BaseFile>,
    /// The change files, in log order.
    #[serde(skip)]
    pub change_files: Vec<FileEntry>,
    /// Every version that a file is of.
    #[serde(skip)]
    pub versions: BTreeMap<u32, Arc<TableVersion>>,
    /// Stretches of its history between statements that read or change its rows.
    #[serde(skip)]
    pub(super) epochs: Vec<Epoch>,
    /// Whether it is there at the cut and was asked for; others are needed on the way.
    #[serde(skip)]
    pub(super) is_wanted: bool,
    /// The entry that ended it, if one did.
    #[serde(skip)]
    pub(super) died: Option<Seq>,
    /// Its name in the base, if it is there.
    #[serde(skip)]
    pub(super) base_name: Option<TableName>,
    /// Which rows of the change files count.
    #[serde(skip)]
    pub(super) counting: Arc<Counting>,
}

/// Number of the version of rows that were found on the target: no version of the log has it.
pub(super) const FOUND_VERSION: u32 = u32::MAX;

impl PlannedTable {
    /// The table with these files for its base, each with its number of rows: what the target
    /// holds of it, in the shape it has there.
    pub(super) fn with_found(&self, version: &Arc<TableVersion>, rows: &[u64]) -> PlannedTable {
        let mut table = self.clone();
        table.versions.insert(FOUND_VERSION, Arc::clone(version));
        let file = |rows: &u64| BaseFile {
            name: version.name.clone(),
            table_id: self.table_id.clone(),
            version: FOUND_VERSION,
            object: String::new(),
            offset: 0,
            bytes: 0,
            rows: *rows,
            key_min: None,
            key_max: None,
            crc32: 0,
            sha256: [0; 32],
            fingerprint: 0,
            order: RowOrder::Runs,
        };
        table.base_files = rows.iter().map(file).collect();
        table
    }
}

/// One stretch of a table's history.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    /// Changes after this entry,
    pub(super) after: Seq,
    /// up to and including this one.
    pub(super) through: Seq,
    /// Whether the table is empty before it.
    pub(super) is_first: bool,
    /// Whether it starts from what the base has: always so for the first one, unless the table
    /// was empty and got another shape.
    pub(super) from_base: bool,
    /// What the table is called when it is written.
    pub(super) name: TableName,
    /// The shape of its images, under that name; `None` when the log has none in it.
    pub(super) version: Option<Arc<TableVersion>>,
    /// Whether `version` is only that of files which reach over all of it and may have no row in
    /// it: a table that is altered and altered back has one version before and after.
    pub(super) may_be_empty: bool,
    /// The statement before which it is written; `None`: at the end.
    pub(super) load_at: Option<Seq>,
}

impl Epoch {
    /// The base files that it starts from.
    pub(super) fn base_files<'a>(&self, table: &'a PlannedTable) -> &'a [BaseFile] {
        if self.from_base {
            &table.base_files
        } else {
            &[]
        }
    }

    /// The change files that may have rows in it.
    pub(super) fn change_files<'a>(
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
        // A file may be read for the sake of rows that were prepared before, of another table: one
        // with prepared rows is not altered before they are decided.
        let stands = |f: &&FileEntry| f.seq_last > self.after && f.seq_first <= self.through;
        let changes: Vec<&FileEntry> = self.change_files(table).filter(stands).collect();
        let reaches_over = |f: &FileEntry| f.seq_first <= self.after && f.seq_last > self.through;
        let of_base = (self.from_base && table.base_name.is_some()).then_some(table.version);
        let base = base.chain(of_base);
        self.may_be_empty =
            base.clone().next().is_none() && changes.iter().all(|f| reaches_over(f));
        let changes = changes.iter().filter_map(|file| file.version);
        let mut numbers: Vec<u32> = base.chain(changes).collect();
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
pub(super) fn has_shape_of(a: &TableVersion, b: &TableVersion) -> bool {
    let same = |(a, b): (&Column, &Column)| a.same_shape(b);
    a.key == b.key
        && a.columns.len() == b.columns.len()
        && a.columns.iter().zip(&b.columns).all(same)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A table of the base with one version, whose base files hold `rows` rows.
    pub(in crate::restore) fn table_of_base(
        version: &Arc<TableVersion>,
        exact_from_seq: Seq,
        (base_files, rows): (Vec<BaseFile>, usize),
    ) -> PlannedTable {
        PlannedTable {
            name: version.name.clone(),
            table_id: version.table_id.clone(),
            version: version.version,
            exact_from_seq,
            base_rows: rows as u64,
            change_rows: 0,
            bytes: 0,
            auto_increment: None,
            is_sequence: false,
            base_files,
            change_files: Vec::new(),
            versions: BTreeMap::from([(version.version, Arc::clone(version))]),
            epochs: Vec::new(),
            is_wanted: true,
            died: None,
            base_name: Some(version.name.clone()),
            counting: Arc::default(),
        }
    }
}
