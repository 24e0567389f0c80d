//! Finds the cut that a restore asks for in the log.

use super::cut;
use super::log::{Found, Log};
use super::show_time;
use super::target::{Moment, RestoreTarget};
use crate::error::{Error, Result};
use crate::manifest::{SegmentManifest, StoredManifest};
use crate::position::{BinlogPosition, Gtid, GtidSet, Seq};
use crate::segment::TransactionRow;
use crate::source::SourceIdentity;
use std::cmp::Ordering;

/// Segments looked at on either side of a time for commit times that straddle it.
const STRADDLE_SEGMENTS_MAX: usize = 32;
/// Segments looked at for the last transaction before a cut, which is only told, not needed.
const QUIET_SEGMENTS_MAX: usize = 64;

impl Log<'_> {
    /// The cut that is asked for.
    ///
    /// # Errors
    /// As [`super::plan`].
    pub(super) async fn find(&self, target: &RestoreTarget) -> Result<Found> {
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

    /// The cut at an entry that the log must have.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when it does not; those of the repository.
    pub(super) async fn by_seq(&self, seq: Seq) -> Result<Found> {
        let known = self.timeline.seq_first().prev()..=self.head.manifest.seq_last;
        match known.contains(&seq) {
            true => self.cut_at(seq).await,
            false => Err(self.uncovered("seq", seq.to_string())),
        }
    }

    async fn by_position(&self, position: &BinlogPosition, before: bool) -> Result<Found> {
        self.require_one_server()?;
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

    /// Positions of two servers say nothing of each other, though their files have the same names.
    fn require_one_server(&self) -> Result<()> {
        let who = |source: &serde_json::Value| {
            let identity = serde_json::from_value::<SourceIdentity>(source.clone());
            identity.ok().map(|identity| identity.describe())
        };
        let (first, last) = (who(&self.timeline.source), who(&self.head.manifest.source));
        if first.is_none() || last.is_none() || first == last {
            return Ok(());
        }
        Err(
            Error::config("find position: the timeline was captured from several servers")
                .field("first", first.unwrap_or_default())
                .field("last", last.unwrap_or_default())
                .hint("name a GTID, a time or a Seq instead"),
        )
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
}
