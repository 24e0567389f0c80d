//! The plan: one base, the change files after it up to the cut, and every reason not to start.
//!
//! Pure: decided from manifests that are already read. What cannot be restored exactly is
//! refused here, before anything is touched.

mod files;
mod render;
mod tables;

use super::cascade::TableCascades;
use super::cut::Cut;
use super::ddl::{Ddl, PlannedStatement};
use super::table::PlannedTable;
use super::target::TableFilter;
use super::xa::Counting;
use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::{BaseManifest, MarkKind, SegmentManifest};
use crate::position::{Flavor, Seq};
use crate::schema::ddl::Effect;
use crate::schema::{TableId, TableName, TableVersion};
use crate::source::{SYSTEM_ZONE_RULE, SchemaObject};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows that one connection writes in a second, for the predicted time (measured: 684,000 rows
/// in 5.4 s on two cores).
const ROWS_PER_SECOND: u64 = 120_000;

/// The base a plan starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedBase {
    /// Its manifest.
    pub object: String,
    /// The state it holds.
    pub seq: Seq,
    /// Attempt.
    pub attempt: u32,
    /// When it was written, microseconds since the epoch.
    pub created_us: i64,
}

/// What a restore will do.
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// Timeline.
    pub timeline: u32,
    /// Flavor of the source, and so of the target.
    pub flavor: Flavor,
    /// The exact cut.
    pub cut: Cut,
    /// The base.
    pub base: PlannedBase,
    /// Segments read after it.
    pub segments: u64,
    /// Tables, by name.
    pub tables: Vec<PlannedTable>,
    /// Statements after the base that are run again, in order.
    pub ddl: Vec<PlannedDdl>,
    /// Data files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of base files and images of change files read.
    pub rows: u64,
    /// Seconds it will take with one job, about.
    pub predicted_seconds: u64,
    /// XA transactions that are prepared and undecided at the cut (their XA PREPAREs, oldest
    /// first): their rows are left out, and the target does not have them prepared.
    pub open_xa: Vec<Seq>,
    /// What the reader should know besides.
    pub notes: Vec<String>,
    /// The schema objects of the base, in order of creation.
    #[serde(skip)]
    pub objects: Vec<SchemaObject>,
    /// The same statements with what is done for each.
    #[serde(skip)]
    pub(super) statements: Vec<PlannedStatement>,
    /// What cascades that were not logged did to rows of tables, by number of the epoch.
    #[serde(skip)]
    pub(super) cascades: BTreeMap<(TableId, usize), Arc<TableCascades>>,
    /// Version and settings of the source at the base, as recorded.
    #[serde(skip)]
    pub source: serde_json::Value,
}

/// A statement that is run again.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedDdl {
    /// Its entry.
    pub seq: Seq,
    /// Its start.
    pub statement: String,
}

/// What [`decide`] decides from.
#[derive(Clone, Debug)]
pub(super) struct PlanInput<'a> {
    /// The base.
    pub(super) base: &'a BaseManifest,
    /// Its file list.
    pub(super) base_files: Vec<BaseFile>,
    /// Every table version known up to the cut.
    pub(super) versions: &'a BTreeMap<(TableId, u32), Arc<TableVersion>>,
    /// The segments that hold the entries after the base up to the cut, in order.
    pub(super) segments: &'a [Arc<SegmentManifest>],
    /// Which rows of change files count.
    pub(super) counting: Arc<Counting>,
    /// The cut.
    pub(super) cut: Cut,
    /// All schema objects of the base.
    pub(super) objects: Vec<SchemaObject>,
    /// Statements that change definitions, after the first table of the base up to the cut.
    pub(super) ddl: Vec<Ddl>,
    /// Which tables.
    pub(super) filter: &'a TableFilter,
}

/// Makes the plan.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap) when history needed for the cut is missing, a barrier
/// stands in it, or a table changed without a statement that says so, [`Config`](crate::error::ErrorKind::Config) when the filter
/// takes no table.
pub(super) fn decide(mut input: PlanInput<'_>) -> Result<RestorePlan> {
    // The first segment of a timeline may not say what was executed before it; the base does.
    input.cut.gtids.union(&input.base.gtids)?;
    let (tables, statements) = tables::decide(&input)?;
    let first = tables.iter().map(|t| t.exact_from_seq).min();
    let first = first.unwrap_or(input.base.seq);
    refuse_gaps(&input, first)?;
    let source = source(&input);
    let files = tables
        .iter()
        .map(|t| (t.base_files.len() + t.change_files.len()) as u64);
    let rows = tables.iter().map(|t| t.base_rows + t.change_rows).sum();
    Ok(RestorePlan {
        timeline: input.base.timeline,
        flavor: input.base.gtids.flavor(),
        base: PlannedBase {
            object: input.base.object_name().to_string(),
            seq: input.base.seq,
            attempt: input.base.attempt,
            created_us: input.base.created_us,
        },
        segments: input.segments.len() as u64,
        files: files.sum(),
        bytes: tables.iter().map(|t| t.bytes).sum(),
        rows,
        predicted_seconds: rows.div_ceil(ROWS_PER_SECOND),
        ddl: statements
            .iter()
            .map(|statement| PlannedDdl {
                seq: statement.ddl.seq(),
                statement: statement.ddl.excerpt(),
            })
            .collect(),
        statements,
        tables,
        cascades: BTreeMap::new(),
        open_xa: input.counting.undecided_at(input.cut.seq),
        cut: input.cut,
        notes: Vec::new(),
        objects: input.objects,
        source,
    })
}

/// What was recorded of the source at the base; without the rule of its `SYSTEM` time zone where
/// its host was in another zone later.
fn source(input: &PlanInput<'_>) -> serde_json::Value {
    let mut source = input.base.source.clone();
    let rule = |source: &serde_json::Value| source.get("settings")?.get(SYSTEM_ZONE_RULE).cloned();
    let first = rule(&source);
    let mut segments = input.segments.iter();
    if segments.any(|segment| rule(&segment.source) != first)
        && let Some(settings) = source.get_mut("settings").and_then(|s| s.as_object_mut())
    {
        settings.remove(SYSTEM_ZONE_RULE);
    }
    source
}

fn version(input: &PlanInput<'_>, id: &TableId, number: u32) -> Result<Arc<TableVersion>> {
    let found = input.versions.get(&(id.clone(), number));
    found.cloned().ok_or_else(|| {
        Error::corrupt("find table version")
            .field("table_id", id)
            .field("version", number)
    })
}

fn refuse_gaps(input: &PlanInput<'_>, first: Seq) -> Result<()> {
    for segment in input.segments {
        for mark in &segment.marks {
            let inside = mark.seq > first && mark.seq <= input.cut.seq;
            if inside && matches!(mark.kind, MarkKind::Gap { .. }) {
                return Err(
                    Error::gap("plan restore: history is missing before the cut")
                        .field("seq", mark.seq)
                        .field("gap", &mark.kind)
                        .field("base", input.base.seq)
                        .field("cut", input.cut.seq)
                        .hint("restore to a moment before that Seq, or after the next base"),
                );
            }
        }
    }
    Ok(())
}

fn refuse_barriers(input: &PlanInput<'_>, tables: &[PlannedTable]) -> Result<()> {
    for segment in input.segments {
        for barrier in &segment.barriers {
            let hit = tables.iter().find(|table| {
                barrier.stops()
                    && !table.epochs.is_empty()
                    && barrier.seq > table.exact_from_seq
                    && barrier
                        .table
                        .as_ref()
                        .is_none_or(|id| *id == table.table_id)
            });
            let Some(table) = hit.filter(|_| barrier.seq <= input.cut.seq) else {
                continue;
            };
            let name = match barrier.table {
                Some(_) => table.name.to_string(),
                None => "all tables".to_owned(),
            };
            let mut error = Error::gap("plan restore: rows cannot be followed up to the cut")
                .field("seq", barrier.seq)
                .field("table", name)
                .field("reason", &barrier.reason);
            if let Some(statement) = &barrier.statement {
                error = error.field("statement", statement);
            }
            return Err(error.field("cut", input.cut.seq).hint(format!(
                "restore to just before it (--to-seq {} --before), or to a moment after the next base",
                barrier.seq
            )));
        }
    }
    Ok(())
}

impl RestorePlan {
    /// Takes what cascades did that were not logged, and says so.
    pub(super) fn take_cascades(
        &mut self,
        derived: BTreeMap<(TableId, usize), Arc<TableCascades>>,
    ) {
        for table in &self.tables {
            let ours = derived.iter().filter(|((id, _), _)| *id == table.table_id);
            let parents: BTreeSet<_> = ours.flat_map(|(_, cascades)| cascades.parents()).collect();
            self.notes.extend(parents.into_iter().map(|parent| {
                format!(
                    "{}: changes by cascades from {parent} that the source did not log are derived",
                    table.name
                )
            }));
        }
        self.cascades = derived;
    }

    /// The databases that its tables are in, at any moment of the restore.
    pub(super) fn databases(&self) -> impl Iterator<Item = &str> {
        let tables = self.tables.iter();
        tables.flat_map(|table| {
            let epochs = table.epochs.iter().map(|epoch| &epoch.name);
            let names = epochs.chain(&table.base_name).chain([&table.name]);
            names.map(|name| name.db.as_str())
        })
    }

    /// The databases that statements after the base create.
    pub(super) fn created_databases(&self) -> impl Iterator<Item = &str> {
        let effects = self.statements.iter().flat_map(|s| &s.ddl.effects);
        effects.filter_map(|effect| match effect {
            Effect::CreateDatabase(db) => Some(db.as_str()),
            _ => None,
        })
    }

    /// Next AUTO_INCREMENT values in the base.
    pub(super) fn counters(&self) -> BTreeMap<TableName, u64> {
        let counters = self.tables.iter();
        let counters = counters.filter_map(|t| Some((t.base_name.clone()?, t.auto_increment?)));
        counters.collect()
    }
}

#[cfg(test)]
mod tests;
