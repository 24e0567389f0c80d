//! What cascades did that the source did not log, entry by entry: for those who read the log.

use super::cascade::Derived;
use super::fetch::Fetch;
use super::load;
use super::rows::{Fold, TableInput};
use super::target::TableFilter;
use crate::error::{Error, Result};
use crate::manifest::{BaseManifest, Repository, Timeline};
use crate::position::Seq;
use crate::runtime::Compute;
use crate::segment::TablePlan;
use std::sync::Arc;

/// Bytes of row images that are given at once.
const BYTES_MAX: usize = 64 << 20;

/// A change of a row that no event says.
#[derive(Clone, Debug)]
pub struct DerivedChange {
    /// The entry of the parent's change.
    pub seq: Seq,
    /// Ordinal of the parent's change in it.
    pub row: i64,
    /// How to read the images.
    pub plan: Arc<TablePlan>,
    /// Number of equal rows: 1 where the table has a key.
    pub copies: u64,
    /// The row before.
    pub before: Vec<u8>,
    /// The row after; `None` when it was deleted.
    pub after: Option<Vec<u8>>,
}

/// Derived changes of the entries after `after` up to `through`, in order, starting from a base
/// that is not younger than `after`.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap) where they cannot be derived exactly, or are too many;
/// those of reading.
pub async fn derived_changes(
    repository: &Repository,
    timeline: &Timeline,
    base: BaseManifest,
    (after, through): (Seq, Seq),
    filter: &TableFilter,
) -> Result<Vec<DerivedChange>> {
    let plan = Box::pin(load::plan_from(repository, timeline, base, through, filter)).await?;
    let compute = Compute::per_core();
    let mut found = Found::default();
    for table in &plan.tables {
        let of = |epoch| plan.cascades.get(&(table.table_id.clone(), epoch));
        if (1..table.epochs.len()).any(|epoch| of(epoch).is_some()) {
            return Err(Error::gap(
                "derive cascades: only a restore knows the rows of an altered table",
            )
            .field("table", &table.name)
            .hint("ask for other tables (--table), or for entries after the next base"));
        }
        let cascades = of(0).map(Arc::clone);
        let epoch = table.epochs.first();
        let (Some(cascades), Some(epoch)) = (cascades, epoch) else {
            continue;
        };
        let Some(version) = epoch.version.as_ref().map(Arc::clone) else {
            continue;
        };
        let files = Fetch::new(repository, &compute).files(table, epoch).await?;
        let fold: Arc<dyn Fold> = Arc::clone(&cascades) as Arc<dyn Fold>;
        let input = TableInput::new((table, epoch), version, files)?.folded_by(Some(fold));
        let walk = move || {
            let plan = Arc::new(TablePlan::compile(Arc::clone(input.version()))?);
            cascades.changes(&input, |change| match change.at.0 > after.0 {
                true => found.push(&plan, &change),
                false => Ok(()),
            })?;
            Ok(found)
        };
        found = compute.run(walk).await?;
    }
    let mut changes = found.changes;
    changes.sort_by_key(|change| (change.seq, change.row));
    Ok(changes)
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    changes: Vec<DerivedChange>,
    bytes: usize,
}

impl Found {
    fn push(&mut self, plan: &Arc<TablePlan>, row: &Derived<'_>) -> Result<()> {
        let after = row.after.map(<[u8]>::to_vec);
        self.bytes += size_of::<DerivedChange>() + row.before.len();
        self.bytes += after.as_ref().map_or(0, Vec::len);
        if self.bytes > BYTES_MAX {
            return Err(Error::gap("derive cascades: too many rows to show at once")
                .field("seq", row.at.0)
                .field("bytes_max", BYTES_MAX)
                .hint("ask for fewer entries or fewer tables"));
        }
        self.changes.push(DerivedChange {
            seq: Seq(row.at.0),
            row: row.at.1,
            plan: Arc::clone(plan),
            copies: row.copies,
            before: row.before.to_vec(),
            after,
        });
        Ok(())
    }
}
