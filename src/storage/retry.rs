//! Repeats what may succeed later, until a deadline.

use crate::error::{Error, Result};
use crate::runtime::{Deadline, ids};
use std::time::Duration;

/// How failures are repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// One call is repeated for this long.
    pub(super) deadline: Duration,
    /// First pause; the next ones double up to [`PAUSE_MAX`].
    pub(super) pause_min: Duration,
}

const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pauses of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Deadline,
    pause: Duration,
    failed: u32,
}

impl Retry {
    pub(super) fn attempts(&self) -> Attempts {
        Attempts {
            deadline: Deadline::after(self.deadline),
            pause: self.pause_min,
            failed: 0,
        }
    }

    /// Runs `call` until it succeeds, fails finally, or the deadline passes.
    pub(super) async fn run<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempts = self.attempts();
        loop {
            match call().await {
                Err(error) if error.kind().is_retryable() => attempts.pause(error).await?,
                result => return result,
            }
        }
    }
}

impl Attempts {
    /// Sleeps before the next attempt after `error`.
    ///
    /// # Errors
    /// `error` itself when the deadline has passed.
    pub(super) async fn pause(&mut self, error: Error) -> Result<()> {
        self.failed += 1;
        if self.deadline.has_passed() {
            return Err(error.field("attempts", self.failed));
        }
        if self.failed.is_power_of_two() {
            tracing::warn!(error = %error.report(), failed = self.failed, "store call is repeated");
        }
        // Between half and all of it, so that many writers do not come back together.
        let nanos = u64::try_from(self.pause.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(nanos / 2 + ids::random_u64() % (nanos / 2 + 1));
        tokio::time::sleep(jitter.min(self.deadline.left())).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const QUICK: Retry = Retry {
        deadline: Duration::from_secs(60),
        pause_min: Duration::from_micros(1),
    };

    #[tokio::test]
    async fn only_unavailable_is_repeated() {
        let mut calls = 0;
        let result = QUICK
            .run(|| {
                calls += 1;
                std::future::ready(match calls {
                    1..5 => Err(Error::unavailable("call")),
                    _ => Ok(calls),
                })
            })
            .await;
        assert_eq!(result.expect("fifth call"), 5);
        let mut calls = 0;
        let result: Result<()> = QUICK
            .run(|| {
                calls += 1;
                std::future::ready(Err(Error::config("call")))
            })
            .await;
        assert_eq!(result.expect_err("final").kind(), ErrorKind::Config);
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn the_deadline_ends_it() {
        let retry = Retry {
            deadline: Duration::ZERO,
            ..QUICK
        };
        let result: Result<()> = retry
            .run(|| std::future::ready(Err(Error::unavailable("call"))))
            .await;
        assert_eq!(result.expect_err("passed").get("attempts"), Some("1"));
    }
}
