//! What the tail holds past the last manifest: sealed as the spool's files are.
//!
//! Nothing is removed: a manifest says how far the tail is in segments, and the next reader begins
//! behind that place.

use super::Capture;
use crate::error::Result;
use crate::log::run::CaptureControl;
use crate::log::tail::{TailFound, TailReader};
use crate::manifest::{Repository, TailPlace};
use crate::runtime::failpoint;

impl Capture {
    /// Seals what the tail holds and no segment does; gives the place behind it, from which this
    /// writer may go on.
    pub(in crate::log) async fn recover_tail(
        &mut self,
        repository: &Repository,
        found: TailFound,
        control: &CaptureControl,
    ) -> Result<TailPlace> {
        let TailFound { place, numbers } = found;
        let (timeline, epoch) = (
            self.durability.owner().timeline,
            self.durability.owner().epoch,
        );
        if numbers.is_empty() {
            return Ok(TailPlace { epoch, ..place });
        }
        failpoint::place("recover.tail_begin");
        self.durability.begin_recovery();
        let objects = numbers.len();
        let mut reader = TailReader::new(repository, timeline, place, numbers);
        let mut recovery = self.recovery()?;
        while let Some(object) = reader.next().await? {
            if object.is_stale {
                tracing::info!(object = %object.name, "was never acknowledged and is skipped");
                // It is still what the next one follows: it must be whole.
                object.check()?;
                continue;
            }
            let mut events = object.reader();
            self.recover_file(&mut events, &mut recovery, control)
                .await?;
        }
        self.end_files(&mut recovery);
        let place = TailPlace {
            epoch,
            ..reader.place()
        };
        self.tail_sealed = Some(place);
        self.seal_now(control).await?;
        self.settle(control).await?;
        failpoint::place("recover.tail_sealed");
        self.durability.end_recovery();
        tracing::info!(
            objects,
            transactions = recovery.transactions,
            "tail recovered"
        );
        Ok(place)
    }
}
