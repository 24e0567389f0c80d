//! Which files each table of a plan is made of.

use super::{PlanInput, version};
use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, FileRole};
use crate::restore::table::PlannedTable;
use crate::schema::TableId;
use std::collections::BTreeMap;

/// The files of every table: there may be ten thousand tables, and more files.
pub(super) struct Files<'a> {
    base: BTreeMap<&'a TableId, Vec<&'a BaseFile>>,
    changes: BTreeMap<&'a TableId, Vec<&'a FileEntry>>,
}

impl<'a> Files<'a> {
    /// Of the base and of the log up to the cut.
    pub(super) fn of(input: &'a PlanInput<'_>) -> Files<'a> {
        let (mut base, mut changes) = (BTreeMap::new(), BTreeMap::new());
        for file in &input.base_files {
            let files: &mut Vec<_> = base.entry(&file.table_id).or_default();
            files.push(file);
        }
        for file in change_files(input) {
            if let Some(id) = &file.table_id {
                let files: &mut Vec<_> = changes.entry(id).or_default();
                files.push(file);
            }
        }
        Files { base, changes }
    }

    /// Adds those of a table that it needs.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the base contradicts itself.
    pub(super) fn add_to(&self, input: &PlanInput<'_>, table: &mut PlannedTable) -> Result<()> {
        let (base, changes) = (
            self.base.get(&table.table_id),
            self.changes.get(&table.table_id),
        );
        add_base_files(input, table, base.map(Vec::as_slice).unwrap_or_default())?;
        add_change_files(input, table, changes.map(Vec::as_slice).unwrap_or_default())
    }
}

fn add_base_files(
    input: &PlanInput<'_>,
    table: &mut PlannedTable,
    files: &[&BaseFile],
) -> Result<()> {
    for file in files.iter().copied() {
        let record = version(input, &file.table_id, file.version)?;
        table.versions.insert(file.version, record);
        table.bytes += file.bytes;
        table.base_files.push(file.clone());
    }
    let rows: u64 = table.base_files.iter().map(|f| f.rows).sum();
    if rows != table.base_rows {
        return Err(
            Error::corrupt("plan restore: file list and manifest of the base differ")
                .field("table", &table.name)
                .field("rows", table.base_rows)
                .field("listed", rows),
        );
    }
    Ok(())
}

fn add_change_files(
    input: &PlanInput<'_>,
    table: &mut PlannedTable,
    files: &[&FileEntry],
) -> Result<()> {
    let (after, through) = (table.exact_from_seq, input.cut.seq);
    for file in files.iter().copied() {
        let Some(number) = file
            .version
            .filter(|_| input.counting.reads(file, after, through))
        else {
            continue;
        };
        let record = version(input, &table.table_id, number)?;
        table.versions.insert(number, record);
        table.change_rows += file.rows;
        table.bytes += file.length;
        table.change_files.push(file.clone());
    }
    Ok(())
}

/// The change files with entries up to the cut, in the order of the log.
pub(super) fn change_files<'a>(input: &'a PlanInput<'_>) -> impl Iterator<Item = &'a FileEntry> {
    // Those before the base come first: the files are in the order of the log.
    let segments = input.counting.earlier().iter().chain(input.segments);
    let files = segments.flat_map(|segment| segment.files_of(FileRole::Changes));
    files.filter(|file| file.seq_first <= input.cut.seq)
}
