//! Wall clock and durations.

#![allow(clippy::disallowed_methods, reason = "the one place for them")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock: the system's, or one that a test holds.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(None)
    }

    /// A clock that stands still until its [`ManualClock`] moves it.
    #[must_use]
    pub fn manual(at_us: i64) -> (Clock, ManualClock) {
        let time = Arc::new(AtomicI64::new(at_us));
        (Clock(Some(Arc::clone(&time))), ManualClock(time))
    }

    /// Microseconds since the epoch, UTC.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        match &self.0 {
            Some(time) => time.load(Ordering::SeqCst),
            None => system_now_us(),
        }
    }
}

/// A clock set before 1970 reads as a negative time rather than as an error.
fn system_now_us() -> i64 {
    let us = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => us(since),
        Err(before) => -us(before.duration()),
    }
}

/// The hand of a clock made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Sets the time, microseconds since the epoch.
    pub fn set(&self, at_us: i64) {
        self.0.store(at_us, Ordering::SeqCst);
    }

    /// Moves the time forward (or back).
    pub fn advance(&self, by_us: i64) {
        self.0.fetch_add(by_us, Ordering::SeqCst);
    }
}

/// Measures how long something took, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A moment by which something must be done, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    after: Duration,
}

impl Deadline {
    /// The moment `after` from now.
    #[must_use]
    pub fn after(after: Duration) -> Deadline {
        Deadline {
            start: Instant::now(),
            after,
        }
    }

    /// Time left; zero when the moment has passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.after.saturating_sub(self.start.elapsed())
    }

    /// Whether the moment has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual(1_000_000);
        assert_eq!(clock.now_us(), 1_000_000);
        hand.advance(-1);
        assert_eq!(clock.clone().now_us(), 999_999);
        hand.set(5);
        assert_eq!(clock.now_us(), 5);
    }

    #[test]
    fn the_system_clock_is_after_this_was_written() {
        assert!(Clock::system().now_us() > 1_700_000_000_000_000);
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::from_secs(3600)).has_passed());
    }
}
