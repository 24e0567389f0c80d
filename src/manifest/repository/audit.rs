//! What only a check of the whole repository asks: is everything there that was made?

use super::{Repository, check_place};
use crate::error::{Error, Result};
use crate::manifest::document::Document;
use crate::manifest::repo::WriterEpoch;
use crate::storage::ObjectName;
use futures::{StreamExt, stream};
use std::collections::BTreeSet;

/// Claims read at the same time.
const READS_AT_ONCE: usize = 8;

impl Repository {
    /// The claims of a timeline's writers, in order: those that are listed and, of the first
    /// `epochs`, those that should be. Each that is missing or damaged is an error of its own.
    ///
    /// # Errors
    /// As [`Store::list`](crate::storage::Store::list).
    pub async fn writers(&self, timeline: u32, epochs: u64) -> Result<Vec<Result<WriterEpoch>>> {
        let prefix = ObjectName::writers_prefix(timeline);
        let names = self.store.list(&prefix, None, usize::MAX).await?;
        let listed = names.iter().map(|name| ObjectName::parse(name));
        let listed: BTreeSet<u64> = listed
            .filter_map(|name| match name {
                Ok(ObjectName::Writer { epoch, .. }) => Some(epoch),
                _ => None,
            })
            .collect();
        // They are claimed one by one and never deleted.
        let below = listed.len() as u64;
        let all: BTreeSet<u64> = listed.into_iter().chain(1..=epochs.max(below)).collect();
        let reads = all.into_iter().map(|epoch| self.writer(timeline, epoch));
        Ok(stream::iter(reads).buffered(READS_AT_ONCE).collect().await)
    }

    async fn writer(&self, timeline: u32, epoch: u64) -> Result<WriterEpoch> {
        let name = ObjectName::Writer { timeline, epoch }.to_string();
        let writer = WriterEpoch::decode(&name, &self.required(&name).await?)?;
        check_place((writer.timeline, writer.epoch) == (timeline, epoch), &name)?;
        Ok(writer)
    }

    /// Checks that nothing is there of timelines after the first `timelines`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) naming the timeline whose own object is
    /// missing; those of the store.
    pub async fn require_no_timeline_after(&self, timelines: u32) -> Result<()> {
        // "0" follows the "/" behind the last one's number.
        let last = (timelines > 0).then(|| format!("timelines/{timelines:04}0"));
        let names = self.store.list("timelines/", last.as_deref(), 1).await?;
        let Some(found) = names.first() else {
            return Ok(());
        };
        let timeline = timelines.saturating_add(1);
        Err(Error::corrupt("find timeline of other objects")
            .field("object", ObjectName::Timeline { timeline })
            .field("found", found)
            .hint("restore the object from a mirror or a bucket version"))
    }
}
