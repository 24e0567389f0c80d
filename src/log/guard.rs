//! Whether this writer's epoch is still the newest: one that was overtaken acknowledges nothing.
//!
//! The log itself is fenced by its manifests. Acknowledgements from a spool happen between two of
//! them, so a writer also asks, once a heartbeat, whether a newer epoch was claimed. While the
//! store is away nobody can claim one, and acknowledging from the spool goes on. What is durable in
//! the tail is looked at after every object (`tail`).

use crate::error::{Error, Result};
use crate::manifest::Repository;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Watches for a newer epoch; stops when dropped.
#[derive(Debug)]
pub(super) struct EpochGuard {
    is_overtaken: watch::Receiver<bool>,
    task: JoinHandle<()>,
    timeline: u32,
    epoch: u64,
}

impl EpochGuard {
    /// Looks now, and then every `every`.
    ///
    /// # Errors
    /// `Fenced` when a newer epoch is there already; what the store fails with.
    pub(super) async fn start(
        repository: &Repository,
        timeline: u32,
        epoch: u64,
        every: Duration,
    ) -> Result<EpochGuard> {
        let (overtaken, is_overtaken) = watch::channel(false);
        let is_newest = repository.is_newest_epoch(timeline, epoch).await?;
        overtaken.send_replace(!is_newest);
        let repository = repository.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                match repository.is_newest_epoch(timeline, epoch).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(error = %error.report(), "cannot look for a newer writer");
                    }
                }
            }
            overtaken.send_replace(true);
        });
        let guard = EpochGuard {
            is_overtaken,
            task,
            timeline,
            epoch,
        };
        guard.require_ours()?;
        Ok(guard)
    }

    /// Fails once a newer epoch was seen.
    pub(super) fn require_ours(&self) -> Result<()> {
        match *self.is_overtaken.borrow() {
            true => Err(self.fenced()),
            false => Ok(()),
        }
    }

    /// Waits until a newer epoch is seen. Cancel-safe.
    pub(super) async fn overtaken(&mut self) -> Error {
        if self.is_overtaken.wait_for(|&is| is).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.fenced()
    }

    fn fenced(&self) -> Error {
        overtaken(self.timeline, self.epoch)
    }
}

/// Another writer has claimed the timeline after the one of `epoch`.
pub(super) fn overtaken(timeline: u32, epoch: u64) -> Error {
    Error::fenced("acknowledge to source: another writer has claimed the timeline")
        .field("timeline", timeline)
        .field("epoch", epoch)
        .hint("another tidelog captures into this timeline now: stop one of the two")
}

impl Drop for EpochGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}
