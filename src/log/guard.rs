//! Whether this writer's epoch is still the newest: one that was overtaken acknowledges nothing.
//!
//! The log itself is fenced by its manifests. Acknowledgements from a spool happen between two of
//! them, so a writer also asks, once a heartbeat, whether a newer epoch was claimed. While the
//! store is away nobody can claim one, and acknowledging from the spool goes on. A process that
//! stood still has not asked meanwhile: it asks before its next acknowledgement. What is durable in
//! the tail is looked at after every object (`tail`).

use crate::error::{Error, Result};
use crate::manifest::Repository;
use crate::runtime::Stopwatch;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A process whose pulse was missing for so many beats stood still.
const BEATS_MISSED: u32 = 3;

/// Watches for a newer epoch; stops when dropped.
#[derive(Debug)]
pub(super) struct EpochGuard {
    repository: Repository,
    overtaken: watch::Sender<bool>,
    is_overtaken: watch::Receiver<bool>,
    pulse: Arc<Mutex<Pulse>>,
    every: Duration,
    tasks: [JoinHandle<()>; 2],
    timeline: u32,
    epoch: u64,
}

/// Tells that the process stood still, whoever notices first.
#[derive(Debug)]
struct Pulse {
    last: Stopwatch,
    has_stopped: bool,
}

impl Pulse {
    fn beat(&mut self, every: Duration) {
        self.has_stopped |= self.last.elapsed() > every * BEATS_MISSED;
        self.last = Stopwatch::start();
    }
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
        let pulse = Arc::new(Mutex::new(Pulse {
            last: Stopwatch::start(),
            has_stopped: false,
        }));
        let (theirs, told, beating) = (repository.clone(), overtaken.clone(), Arc::clone(&pulse));
        let looking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                match theirs.is_newest_epoch(timeline, epoch).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(error = %error.report(), "cannot look for a newer writer");
                    }
                }
            }
            told.send_replace(true);
        });
        // Apart from the looks, which wait for a store that is away.
        let beats = tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                lock(&beating).beat(every);
            }
        });
        let guard = EpochGuard {
            repository: repository.clone(),
            overtaken,
            is_overtaken,
            pulse,
            every,
            tasks: [looking, beats],
            timeline,
            epoch,
        };
        guard.require_ours().await?;
        Ok(guard)
    }

    /// Fails once a newer epoch was seen; asks now where this process stood still.
    pub(super) async fn require_ours(&self) -> Result<()> {
        let has_stopped = {
            let mut pulse = lock(&self.pulse);
            pulse.beat(self.every);
            pulse.has_stopped
        };
        if has_stopped {
            match self
                .repository
                .is_newest_epoch(self.timeline, self.epoch)
                .await
            {
                Ok(is_newest) => drop(self.overtaken.send_replace(!is_newest)),
                Err(error) => {
                    tracing::warn!(error = %error.report(), "cannot look for a newer writer");
                }
            }
            lock(&self.pulse).has_stopped = false;
        }
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
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(pulse: &Mutex<Pulse>) -> std::sync::MutexGuard<'_, Pulse> {
    pulse.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::manifest::EpochClaim;
    use crate::position::{Flavor, Seq};
    use crate::runtime::Clock;
    use crate::storage::Store;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_process_that_stood_still_asks_before_it_acknowledges() {
        let clock = Clock::system();
        let repository = Repository::init(Store::memory(), &clock)
            .await
            .expect("made");
        let source = serde_json::Value::Null;
        let made = repository.create_timeline(Flavor::MySql, source, None, &clock);
        let timeline = made.await.expect("a timeline").timeline;
        let claim = EpochClaim {
            writer_id: Uuid::nil(),
            host: String::new(),
            head_hint: Seq(0),
            durability: None,
        };
        let claim = async || {
            let claimed = repository.claim_epoch(timeline, &claim, &clock);
            claimed.await.expect("claimed").epoch
        };
        let epoch = claim().await;
        // It will not look by itself while this test runs.
        let every = Duration::from_secs(3600);
        let guard = EpochGuard::start(&repository, timeline, epoch, every);
        let guard = guard.await.expect("the newest");
        claim().await;
        guard.require_ours().await.expect("not seen yet");
        lock(&guard.pulse).has_stopped = true;
        let error = guard.require_ours().await.expect_err("overtaken");
        assert_eq!(error.kind(), ErrorKind::Fenced);
        guard.require_ours().await.expect_err("for good");
    }

    #[test]
    fn a_pulse_that_was_missing_is_remembered() {
        let mut pulse = Pulse {
            last: Stopwatch::start(),
            has_stopped: false,
        };
        pulse.beat(Duration::from_secs(3600));
        assert!(!pulse.has_stopped);
        std::thread::sleep(Duration::from_millis(10));
        pulse.beat(Duration::from_millis(1));
        pulse.beat(Duration::from_secs(3600));
        assert!(pulse.has_stopped, "also when another beat came first");
    }
}
