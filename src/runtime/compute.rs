//! The bounded pool for decode, encode, hash and fold: work that would block the sockets.
//!
//! Its threads are its own and stay: large buffers then come from the same few heaps of the
//! allocator again and again. On the runtime's blocking threads, of which there may be hundreds,
//! every heap kept some of them (a third of the peak memory of capture).

use crate::error::{Error, Result, Wrap};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// Runs plain functions on threads of its own, at most `width` at a time.
#[derive(Clone, Debug)]
pub struct Compute {
    pool: Arc<std::result::Result<ThreadPool, ThreadPoolBuildError>>,
    permits: Arc<Semaphore>,
    width: usize,
    #[cfg(test)]
    is_inline: bool,
}

impl Compute {
    /// A pool that runs `width` functions at a time (at least one).
    #[must_use]
    pub fn new(width: usize) -> Compute {
        let width = width.max(1);
        let pool = ThreadPoolBuilder::new()
            .num_threads(width)
            .thread_name(|number| format!("compute-{number}"));
        Compute {
            pool: Arc::new(pool.build()),
            permits: Arc::new(Semaphore::new(width)),
            width,
            #[cfg(test)]
            is_inline: super::determinism::is_on(),
        }
    }

    /// A pool as wide as the machine has cores.
    #[must_use]
    pub fn per_core() -> Compute {
        Compute::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// How many functions run at a time.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Waits for a free place and runs `work` there.
    ///
    /// # Errors
    /// What `work` returns; [`Internal`](crate::error::ErrorKind::Internal) when it panicked, or
    /// when the system gave no threads.
    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        #[cfg(test)]
        if self.is_inline {
            return work();
        }
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .wrap(|| Error::internal("enter compute pool"))?;
        let pool = self.pool.as_ref().as_ref().map_err(|error| {
            Error::internal("start threads of compute pool").field("reason", error)
        })?;
        let (sender, receiver) = oneshot::channel();
        pool.spawn(move || {
            // The place is free when the work ends, not when its caller stops waiting. The caller
            // hears of a panic by the sender that is dropped.
            let _permit = permit;
            if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
                let _ = sender.send(result);
            }
        });
        let result = receiver.await;
        result.map_err(|_| Error::internal("run compute task: it panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn no_more_than_the_width_run_at_once() {
        let pool = Compute::new(2);
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..16).map(|_| {
            let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
            pool.run(move || {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });
        futures::future::try_join_all(tasks).await.expect("all run");
        assert!((1..=2).contains(&peak.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let pool = Compute::new(1);
        let result: Result<()> = pool.run(|| panic!("deliberate")).await;
        assert_eq!(result.expect_err("panicked").kind(), ErrorKind::Internal);
        assert_eq!(pool.run(|| Ok(7)).await.expect("place is free"), 7);
    }
}
