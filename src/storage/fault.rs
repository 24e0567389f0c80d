//! A store that fails, seeded: for tests of everything above it.
//!
//! Faults are drawn from one seed, so a failing run can be repeated. [`FaultCounts`] tells a
//! test how many of each were injected: a test under faults asserts that there were some.

use super::backend::Backend;
use crate::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often what goes wrong, in thousandths of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultPlan {
    /// Root of all draws.
    pub seed: u64,
    /// The call fails and did nothing.
    pub error_before: u64,
    /// The call is done and fails all the same (its answer is lost).
    pub error_after: u64,
    /// A create says that something is there and did nothing (409 of concurrent requests).
    pub false_conflict: u64,
    /// A get ends short with an error, as a connection that breaks.
    pub truncated_get: u64,
    /// The call waits first.
    pub delay: u64,
    /// How long it waits.
    pub delay_for: Duration,
}

/// How many faults were injected so far.
#[derive(Debug, Default)]
pub struct FaultCounts {
    /// See [`FaultPlan::error_before`].
    pub error_before: AtomicU64,
    /// See [`FaultPlan::error_after`].
    pub error_after: AtomicU64,
    /// See [`FaultPlan::false_conflict`].
    pub false_conflict: AtomicU64,
    /// See [`FaultPlan::truncated_get`].
    pub truncated_get: AtomicU64,
    /// See [`FaultPlan::delay`].
    pub delay: AtomicU64,
}

impl FaultCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        [
            &self.error_before,
            &self.error_after,
            &self.false_conflict,
            &self.truncated_get,
            &self.delay,
        ]
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .sum()
    }
}

/// Injects faults into calls of another backend.
#[derive(Debug)]
pub(super) struct FaultBackend {
    inner: Arc<dyn Backend>,
    plan: FaultPlan,
    state: Mutex<u64>,
    counts: Arc<FaultCounts>,
}

impl FaultBackend {
    pub(super) fn new(
        inner: Arc<dyn Backend>,
        plan: FaultPlan,
    ) -> (FaultBackend, Arc<FaultCounts>) {
        let counts = Arc::new(FaultCounts::default());
        let backend = FaultBackend {
            inner,
            plan,
            state: Mutex::new(plan.seed),
            counts: Arc::clone(&counts),
        };
        (backend, counts)
    }

    /// Whether a fault of this frequency is due.
    fn draws(&self, thousandths: u64, count: &AtomicU64) -> bool {
        // SplitMix64, the reference constants.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let due = (z ^ (z >> 31)) % 1000 < thousandths;
        if due {
            count.fetch_add(1, Ordering::Relaxed);
        }
        due
    }

    async fn before(&self, name: &str) -> Result<()> {
        if self.draws(self.plan.delay, &self.counts.delay) {
            tokio::time::sleep(self.plan.delay_for).await;
        }
        match self.draws(self.plan.error_before, &self.counts.error_before) {
            true => Err(injected("fail before the call", name)),
            false => Ok(()),
        }
    }

    fn after<T>(&self, name: &str, result: Result<T>) -> Result<T> {
        match self.draws(self.plan.error_after, &self.counts.error_after) {
            true => result.and_then(|_| Err(injected("lose the answer", name))),
            false => result,
        }
    }
}

fn injected(what: &'static str, name: &str) -> Error {
    Error::unavailable(what)
        .field("object", name)
        .source("injected")
}

#[async_trait]
impl Backend for FaultBackend {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.before(name).await?;
        self.after(name, self.inner.put(name, bytes).await)
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        self.before(name).await?;
        if self.draws(self.plan.false_conflict, &self.counts.false_conflict) {
            return Ok(false);
        }
        self.after(name, self.inner.create(name, bytes).await)
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        self.before(name).await?;
        let got = self.inner.get(name, range).await;
        if self.draws(self.plan.truncated_get, &self.counts.truncated_get) {
            return got.and_then(|_| Err(injected("break off a get", name)));
        }
        self.after(name, got)
    }

    async fn head(&self, name: &str) -> Result<Option<u64>> {
        self.before(name).await?;
        self.after(name, self.inner.head(name).await)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.before(prefix).await?;
        self.after(prefix, self.inner.list(prefix, after, limit).await)
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.before(name).await?;
        self.after(name, self.inner.delete(name).await)
    }

    fn can_seek(&self) -> bool {
        self.inner.can_seek()
    }
}
