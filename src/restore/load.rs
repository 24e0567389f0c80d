//! Reads what a plan is decided from: finds the cut in the log, then the base and the segments
//! between the two.

use super::cascade::{self, Cascades};
use super::cut::{self, Cut};
use super::objects::read_schema;
use super::plan::{PlanInput, RestorePlan, decide};
use super::replay;
use super::show_time;
use super::target::{Moment, RestoreTarget, TableFilter};
use super::xa::{self, Boundaries};
use crate::base::read_files;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    BaseManifest, Catalogue, Repository, SegmentManifest, StoredManifest, Timeline,
};
use crate::position::{BinlogPosition, Gtid, GtidSet, Seq};
use crate::schema::{TableId, TableVersion};
use crate::segment::TransactionRow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Segments looked at on either side of a time for commit times that straddle it.
const STRADDLE_SEGMENTS_MAX: usize = 32;

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
    let reading = replay::Reading {
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

/// A cut with what was read to find it.
struct Found {
    cut: Cut,
    /// Entries of the segment in which the cut lies.
    last_entries: Vec<TransactionRow>,
}

/// Segments looked at for the last transaction before a cut, which is only told, not needed.
const QUIET_SEGMENTS_MAX: usize = 64;

/// A timeline's log up to its head.
struct Log<'a> {
    repo: &'a Repository,
    timeline: &'a Timeline,
    head: StoredManifest,
}

impl<'a> Log<'a> {
    async fn open(repo: &'a Repository, timeline: &'a Timeline) -> Result<Log<'a>> {
        let head = repo.head(timeline.timeline).await?.ok_or_else(|| {
            Error::gap("plan restore: nothing has been captured yet")
                .field("timeline", timeline.timeline)
        })?;
        Ok(Log {
            repo,
            timeline,
            head,
        })
    }

    async fn find(&self, target: &RestoreTarget) -> Result<Found> {
        let before = target.before;
        match &target.moment {
            Moment::Latest if before => {
                Err(Error::config("plan restore: nothing is before the end")
                    .hint("leave out --before, or name a time, GTID, position or Seq"))
            }
            Moment::Latest => self.cut_at(self.head.manifest.seq_last).await,
            Moment::Seq(seq) => self.by_seq(if before { seq.prev() } else { *seq }).await,
            Moment::Time { at_us } => {
                let at_us = if before {
                    at_us.saturating_sub(1)
                } else {
                    *at_us
                };
                self.by_time(at_us, target).await
            }
            Moment::Gtid(gtid) => {
                self.check_flavor(gtid)?;
                let segment = self.first(|m| m.gtids_through.contains(gtid)).await?;
                let segment = segment.ok_or_else(|| self.uncovered("gtid", gtid.to_string()))?;
                let window = self.entries(&segment).await?;
                // MariaDB's way to write the moment at which the log begins.
                let mut alone = GtidSet::empty(self.timeline.flavor);
                alone.add(gtid)?;
                let kept = match cut::by_gtid(&window, gtid, before) {
                    None if !before && self.gtids_before(&segment).await? == alone => Some(0),
                    kept => kept,
                };
                let kept = kept.ok_or_else(|| self.uncovered("gtid", gtid.to_string()))?;
                self.found(&segment, window, kept).await
            }
            Moment::GtidSet(set) => {
                let segment = self.first(|m| set.is_subset(&m.gtids_through)).await?;
                let segment = segment.ok_or_else(|| self.uncovered("gtids", set.to_string()))?;
                let window = self.entries(&segment).await?;
                let gtids = self.gtids_before(&segment).await?;
                let kept = cut::by_gtid_set(&window, &gtids, set, before)?;
                self.found(&segment, window, kept).await
            }
            Moment::Position(position) => self.by_position(position, before).await,
        }
    }

    fn check_flavor(&self, gtid: &Gtid) -> Result<()> {
        let added = GtidSet::empty(self.timeline.flavor).add(gtid);
        added.map(drop).map_err(|_| {
            Error::config("plan restore: the GTID is of another flavor than the source")
                .field("gtid", gtid)
                .field("flavor", self.timeline.flavor)
        })
    }

    async fn by_seq(&self, seq: Seq) -> Result<Found> {
        let known = self.timeline.seq_first().prev()..=self.head.manifest.seq_last;
        match known.contains(&seq) {
            true => self.cut_at(seq).await,
            false => Err(self.uncovered("seq", seq.to_string())),
        }
    }

    async fn by_position(&self, position: &BinlogPosition, before: bool) -> Result<Found> {
        let last = &self.head.manifest.position_last;
        if cut::compare(last, position)? == Ordering::Less {
            return Err(self.uncovered("position", position.to_string()));
        }
        let reaches =
            |m: &SegmentManifest| m.position_last.order(position).is_none_or(Ordering::is_ge);
        let segment = self.first(reaches).await?;
        let segment = segment.ok_or_else(|| self.uncovered("position", position.to_string()))?;
        let window = self.entries(&segment).await?;
        let kept = cut::by_position(&window, position, before)?;
        let first = segment.manifest.seq_first == self.timeline.seq_first();
        if first && cut::compare(&segment.manifest.position_first, position)? == Ordering::Greater {
            return Err(self.uncovered("position", position.to_string()));
        }
        self.found(&segment, window, kept).await
    }

    async fn by_time(&self, at_us: i64, target: &RestoreTarget) -> Result<Found> {
        let head = &self.head.manifest;
        let through = head.covered_through_us.max(head.commit_time.max_us);
        if through.is_none_or(|through| at_us > through) {
            return Err(self.uncovered("time", show_time(at_us)));
        }
        let later = |m: &SegmentManifest| m.commit_time.max_us.is_some_and(|max| max > at_us);
        let centre = match self.first(later).await? {
            Some(segment) => segment,
            None => self.head.clone(),
        };
        // Commit times overlap a little between neighbouring segments, or a lot where they are
        // uncertain: widen the window until both its ends are sure.
        let mut window = self.entries(&centre).await?;
        let mut first = centre.clone();
        for _ in 0..STRADDLE_SEGMENTS_MAX {
            let Some(prev) = self.prev(&first).await? else {
                break;
            };
            let mut rows = self.entries(&prev).await?;
            let unsure = rows
                .iter()
                .any(|r| r.commit.is_some_and(|c| c.hi_us.max(c.at_us) > at_us));
            rows.append(&mut window);
            (window, first) = (rows, prev);
            if !unsure {
                break;
            }
        }
        let mut last = centre;
        for _ in 0..STRADDLE_SEGMENTS_MAX {
            let Some(next) = self.segment(last.manifest.seq_last.next()).await? else {
                break;
            };
            let mut rows = self.entries(&next).await?;
            let unsure = rows
                .iter()
                .any(|r| r.commit.is_some_and(|c| c.lo_us.min(c.at_us) <= at_us));
            window.append(&mut rows);
            last = next;
            if !unsure {
                break;
            }
        }
        let kept = cut::by_time(&window, at_us, target.edge)?;
        self.found(&first, window, kept).await
    }

    /// The cut at an entry.
    async fn cut_at(&self, seq: Seq) -> Result<Found> {
        let number = seq.max(self.timeline.seq_first());
        let segment = self.segment(number).await?;
        let segment = segment.ok_or_else(|| self.uncovered("seq", seq.to_string()))?;
        let window = self.entries(&segment).await?;
        let kept = window.iter().take_while(|row| row.seq <= seq).count();
        self.found(&segment, window, kept).await
    }

    /// The cut after `kept` entries of a window that starts with `first`.
    async fn found(
        &self,
        first: &StoredManifest,
        mut window: Vec<TransactionRow>,
        kept: usize,
    ) -> Result<Found> {
        let gtids = self.gtids_before(first).await?;
        let mut cut = cut::cut(&window, kept, first.manifest.seq_first.prev(), gtids)?;
        if kept == window.len()
            && let Some(next) = self.segment(cut.seq.next()).await?
        {
            let entries = self.entries(&next).await?;
            cut.first_left_out = cut::cut(&entries, 0, cut.seq, cut.gtids.clone())?.first_left_out;
        }
        // Quiet segments hold marks only.
        let mut earlier = self.prev(first).await?;
        for _ in 0..QUIET_SEGMENTS_MAX {
            let Some(segment) = earlier.take_if(|_| cut.last.is_none()) else {
                break;
            };
            let entries = self.entries(&segment).await?;
            let gtids = cut.gtids.clone();
            cut.last = cut::cut(&entries, entries.len(), cut.seq, gtids)?.last;
            earlier = self.prev(&segment).await?;
        }
        let from = match self.segment(cut.seq).await? {
            Some(segment) => segment.manifest.seq_first,
            None => cut.seq.next(),
        };
        window.retain(|row| row.seq >= from);
        Ok(Found {
            cut,
            last_entries: window,
        })
    }

    /// All transactions of the history before a segment.
    async fn gtids_before(&self, segment: &StoredManifest) -> Result<GtidSet> {
        if let Some(prev) = self.prev(segment).await? {
            return Ok(prev.manifest.gtids_through.clone());
        }
        let (through, added) = (
            &segment.manifest.gtids_through,
            &segment.manifest.gtids_added,
        );
        Ok(match (through, added) {
            (GtidSet::MySql(through), GtidSet::MySql(added)) => {
                GtidSet::MySql(through.subtract(added))
            }
            // A position cannot be run back; a timeline begins with a mark in a segment of its
            // own, so nothing is added here.
            (through, added) if added.is_empty() => through.clone(),
            _ => GtidSet::empty(self.timeline.flavor),
        })
    }

    async fn prev(&self, segment: &StoredManifest) -> Result<Option<StoredManifest>> {
        match segment.manifest.seq_first > self.timeline.seq_first() {
            true => self.segment(segment.manifest.seq_first.prev()).await,
            false => Ok(None),
        }
    }

    async fn segment(&self, seq: Seq) -> Result<Option<StoredManifest>> {
        if self.head.manifest.contains(seq) {
            return Ok(Some(self.head.clone()));
        }
        if seq > self.head.manifest.seq_last || seq < self.timeline.seq_first() {
            return Ok(None);
        }
        self.repo.manifest(self.timeline.timeline, seq).await
    }

    /// The first segment for which `holds` is true, given that it stays true once it is; `None`
    /// when it is not true for the head.
    async fn first(
        &self,
        holds: impl Fn(&SegmentManifest) -> bool,
    ) -> Result<Option<StoredManifest>> {
        if !holds(&self.head.manifest) {
            return Ok(None);
        }
        let mut best = self.head.clone();
        let mut low = self.timeline.seq_first();
        // The answer is `best` or a segment that holds an entry in `low..best.seq_first`.
        while low < best.manifest.seq_first {
            let middle = Seq(low.0 + (best.manifest.seq_first.0 - 1 - low.0) / 2);
            let probe = self
                .segment(middle)
                .await?
                .ok_or_else(|| Error::gap("find segment manifest").field("seq", middle))?;
            if holds(&probe.manifest) {
                best = probe;
            } else {
                low = probe.manifest.seq_last.next();
            }
        }
        Ok(Some(best))
    }

    async fn entries(&self, segment: &StoredManifest) -> Result<Vec<TransactionRow>> {
        xa::entries(self.repo, &segment.manifest).await
    }

    async fn segments(&self, from: Seq, to: Seq) -> Result<Vec<Arc<SegmentManifest>>> {
        let timeline = self.timeline.timeline;
        let mut reader = self.repo.manifests(timeline, from, Some(to)).await?;
        let mut list = Vec::new();
        while let Some(stored) = reader.next().await? {
            list.push(stored.manifest);
        }
        Ok(list)
    }

    /// The newest base that the cut can start from.
    async fn base(&self, found: &mut Found, target: &RestoreTarget) -> Result<BaseManifest> {
        let bases = self.repo.bases(self.timeline.timeline).await?;
        let at_us = match target.moment {
            Moment::Time { at_us } => Some(at_us),
            _ => None,
        };
        for id in bases.iter().rev().filter(|id| id.seq <= found.cut.seq) {
            let base = self.repo.base(*id).await?;
            // A base taken of a quiet source knows nothing of the time before it was taken.
            let from_us = base.commit_time.max_us.unwrap_or(base.created_us);
            if at_us.is_none_or(|at_us| at_us >= from_us) {
                return Ok(base);
            }
        }
        // Where the transactions are the same, only marks stand between the two.
        let by_place = matches!(
            target.moment,
            Moment::Gtid(_) | Moment::GtidSet(_) | Moment::Position(_)
        );
        if let Some(id) = bases.iter().find(|id| by_place && id.seq > found.cut.seq) {
            let base = self.repo.base(*id).await?;
            if base.gtids == found.cut.gtids && !base.gtids.is_empty() {
                found.cut.seq = base.seq;
                found.last_entries.clear();
                return Ok(base);
            }
        }
        let Some(first) = bases.first() else {
            return Err(Error::gap("plan restore: there is no base yet")
                .field("timeline", self.timeline.timeline)
                .hint("take one with tidelog snapshot (tidelog run takes the first by itself)"));
        };
        let first = self.repo.base(*first).await?;
        let from_us = first.commit_time.max_us.unwrap_or(first.created_us);
        let error = Error::gap("plan restore: the moment is before the first base");
        Err(error
            .field("cut", found.cut.seq)
            .field("restorable_from_seq", first.seq)
            .field("restorable_from", show_time(from_us))
            .hint("choose a moment at or after the first base"))
    }

    /// The moment is not in the log.
    fn uncovered(&self, name: &'static str, wanted: String) -> Error {
        let head = &self.head.manifest;
        let through = head.covered_through_us.max(head.commit_time.max_us);
        let through = through.map_or("-".to_owned(), show_time);
        Error::gap("plan restore: the moment is not covered by the log")
            .field(name, wanted)
            .field("restorable_through", through)
            .field("seq_last", head.seq_last)
            .field("position_last", &head.position_last)
            .field("gtids_through", &head.gtids_through)
            .hint("choose a covered moment, or let capture catch up with the source first")
    }
}
