//! A timeline's log as a plan reads it: its segments by entry, and the base to start from.

use super::cut::Cut;
use super::show_time;
use super::target::{Moment, RestoreTarget};
use super::xa;
use crate::error::{Error, Result};
use crate::manifest::{BaseManifest, Repository, SegmentManifest, StoredManifest, Timeline};
use crate::position::{GtidSet, Seq};
use crate::segment::TransactionRow;
use std::sync::Arc;

/// A cut with what was read to find it.
pub(super) struct Found {
    /// The cut.
    pub(super) cut: Cut,
    /// Entries of the segment in which the cut lies.
    pub(super) last_entries: Vec<TransactionRow>,
}

/// A timeline's log up to its head.
pub(super) struct Log<'a> {
    /// Where it is.
    pub(super) repo: &'a Repository,
    /// The timeline.
    pub(super) timeline: &'a Timeline,
    /// Its newest segment.
    pub(super) head: StoredManifest,
}

impl<'a> Log<'a> {
    /// Of a timeline.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when nothing has been captured yet; those of the
    /// repository.
    pub(super) async fn open(repo: &'a Repository, timeline: &'a Timeline) -> Result<Log<'a>> {
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

    /// All transactions of the history before a segment.
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn gtids_before(&self, segment: &StoredManifest) -> Result<GtidSet> {
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

    /// The segment before one.
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn prev(&self, segment: &StoredManifest) -> Result<Option<StoredManifest>> {
        match segment.manifest.seq_first > self.timeline.seq_first() {
            true => self.segment(segment.manifest.seq_first.prev()).await,
            false => Ok(None),
        }
    }

    /// The segment that holds an entry; `None` when the log does not have it.
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn segment(&self, seq: Seq) -> Result<Option<StoredManifest>> {
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
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn first(
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

    /// Entries of a segment.
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn entries(&self, segment: &StoredManifest) -> Result<Vec<TransactionRow>> {
        xa::entries(self.repo, &segment.manifest).await
    }

    /// The segments with entries from one up to another.
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn segments(&self, from: Seq, to: Seq) -> Result<Vec<Arc<SegmentManifest>>> {
        let timeline = self.timeline.timeline;
        let mut reader = self.repo.manifests(timeline, from, Some(to)).await?;
        let mut list = Vec::new();
        while let Some(stored) = reader.next().await? {
            list.push(stored.manifest);
        }
        Ok(list)
    }

    /// The newest base that the cut can start from.
    ///
    /// # Errors
    /// As [`super::plan`].
    pub(super) async fn base(
        &self,
        found: &mut Found,
        target: &RestoreTarget,
    ) -> Result<BaseManifest> {
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
            let error = Error::gap("plan restore: there is no base yet")
                .field("timeline", self.timeline.timeline)
                .hint("take one with tidelog snapshot (tidelog run takes the first by itself)");
            return Err(self.or_parent(error));
        };
        let first = self.repo.base(*first).await?;
        let from_us = first.commit_time.max_us.unwrap_or(first.created_us);
        let error = Error::gap("plan restore: the moment is before the first base");
        Err(self.or_parent(
            error
                .field("cut", found.cut.seq)
                .field("restorable_from_seq", first.seq)
                .field("restorable_from", show_time(from_us))
                .hint("choose a moment at or after the first base"),
        ))
    }

    /// What lies before this timeline may be in the one it left.
    fn or_parent(&self, error: Error) -> Error {
        let Some(fork) = self.timeline.parent else {
            return error;
        };
        error
            .field("timeline", self.timeline.timeline)
            .field("parent", fork.timeline)
            .field("left_after_seq", fork.seq)
            .hint(format!(
                "choose a moment at or after its first base, or one of the timeline it left by \
                 --timeline {}",
                fork.timeline
            ))
    }

    /// The moment is not in the log.
    pub(super) fn uncovered(&self, name: &'static str, wanted: String) -> Error {
        let head = &self.head.manifest;
        let through = head.covered_through_us.max(head.commit_time.max_us);
        let through = through.map_or("-".to_owned(), show_time);
        Error::gap("plan restore: the moment is not covered by the log")
            .field(name, wanted)
            .field("restorable_through", through)
            .field("seq_last", head.seq_last)
            .field("position_last", &head.position_last)
            .field("gtids_through", &head.gtids_through)
            .hint("choose a covered moment, let capture catch up with the source first, or name another timeline by --timeline")
    }
}
