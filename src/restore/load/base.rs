//! Which base a cut can start from.

use super::{Found, Log};
use crate::error::{Error, Result};
use crate::manifest::BaseManifest;
use crate::restore::show_time;
use crate::restore::target::{Moment, RestoreTarget};

impl Log<'_> {
    /// The newest base that the cut can start from.
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
}
