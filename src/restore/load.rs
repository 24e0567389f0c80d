//! Reads what a plan is decided from: the cut in the log, the base, and the segments between the
//! two.

use super::cascade::{self, Cascades};
use super::ddl;
use super::log::{Found, Log};
use super::objects::read_schema;
use super::plan::{PlanInput, RestorePlan, decide};
use super::target::{RestoreTarget, TableFilter};
use super::xa::Boundaries;
use crate::base::read_files;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{BaseManifest, Catalogue, Repository, Timeline};
use crate::position::Seq;
use crate::schema::{TableId, TableVersion};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The newest timeline, or the one asked for.
///
/// # Errors
/// [`Config`](crate::error::ErrorKind::Config) when there is none.
pub(super) async fn timeline(repo: &Repository, number: Option<u32>) -> Result<Timeline> {
    let none = || {
        Error::config("choose timeline: the repository has none")
            .hint("capture a source into it first")
    };
    match number {
        Some(number) => repo.timeline(number).await,
        None => repo.timelines().await?.pop().ok_or_else(none),
    }
}

/// Plans a restore.
///
/// # Errors
/// As [`super::plan`].
pub(super) async fn plan(
    repo: &Repository,
    timeline: &Timeline,
    target: &RestoreTarget,
    filter: &TableFilter,
) -> Result<RestorePlan> {
    let log = Log::open(repo, timeline).await?;
    let mut found = log.find(target).await?;
    let base = log.base(&mut found, target).await?;
    build(&log, found, base, filter).await
}

/// Plans a restore from a given base to an entry.
///
/// # Errors
/// As [`super::plan`].
pub(super) async fn plan_from(
    repo: &Repository,
    timeline: &Timeline,
    base: BaseManifest,
    through: Seq,
    filter: &TableFilter,
) -> Result<RestorePlan> {
    let log = Log::open(repo, timeline).await?;
    let found = log.by_seq(through).await?;
    build(&log, found, base, filter).await
}

async fn build(
    log: &Log<'_>,
    found: Found,
    base: BaseManifest,
    filter: &TableFilter,
) -> Result<RestorePlan> {
    let (repo, timeline) = (log.repo, log.timeline);
    let base_files = read_files(repo.get_object(&base.files).await?)?;
    let first = base.tables.iter().map(|t| t.exact_from_seq).min();
    let first = first.unwrap_or(base.seq).min(base.seq);
    let segments = match found.cut.seq > first {
        true => log.segments(first.next(), found.cut.seq).await?,
        false => Vec::new(),
    };
    let mut versions = BTreeMap::new();
    let mut know = |version: &Arc<TableVersion>| {
        let key: (TableId, u32) = (version.table_id.clone(), version.version);
        versions.insert(key, Arc::clone(version));
    };
    let bytes = repo.get_object(&base.catalog).await?;
    let catalogue = Catalogue::decode(&base.catalog.object, &bytes)?;
    catalogue.versions().for_each(&mut know);
    segments.iter().flat_map(|s| &s.tables).for_each(&mut know);
    let objects = read_schema(&repo.get_object(&base.schema).await?)?;
    let boundaries = Boundaries {
        repo,
        base: &base,
        segments: &segments,
        last_entries: &found.last_entries,
        cut: found.cut.seq,
    };
    let counting = Arc::new(boundaries.counting().await?);
    let cases = base.source.pointer("/settings/lower_case_table_names");
    let reading = ddl::Reading {
        flavor: timeline.flavor,
        folded: cases.and_then(|v| v.as_str()).is_some_and(|v| v != "0"),
        versions: &versions,
    };
    let ddl = reading.all(repo, &segments, (first, found.cut.seq)).await?;
    let reshaped = cascade::reshaped(&ddl);
    let mut keys = cascade::foreign_keys(&objects);
    let after_base = ddl.iter().filter(|one| one.seq() > base.seq);
    after_base.for_each(|one| cascade::follow(&mut keys, one));
    let names = versions.values().map(|version| &version.name);
    let ancestors = cascade::ancestors(&keys, names, filter);
    let input = PlanInput {
        base: &base,
        base_files,
        versions: &versions,
        segments: &segments,
        counting: Arc::clone(&counting),
        cut: found.cut,
        objects,
        ddl,
        filter,
    };
    let mut ancestor_tables = Vec::new();
    if !ancestors.is_empty() {
        let filter = &TableFilter::of_tables(ancestors.iter());
        let input = input.clone();
        // Of those that are gone at the cut nothing is planned.
        ancestor_tables = match decide(PlanInput { filter, ..input }) {
            Err(error) if error.kind() == ErrorKind::Config => Vec::new(),
            planned => planned?.tables,
        };
    }
    let mut plan = decide(input)?;
    let lacks = plan.tables.iter().filter_map(|table| table.note_of_lack());
    plan.notes = lacks.collect();
    let cascades = Cascades {
        repo,
        base: &base,
        segments: &segments,
        versions: &versions,
        objects: &plan.objects,
        keys,
        counting: Arc::clone(&counting),
        reshaped,
        through: plan.cut.seq,
    };
    let derived = cascades.derive(&plan.tables, &ancestor_tables).await?;
    plan.take_cascades(derived);
    Ok(plan)
}
