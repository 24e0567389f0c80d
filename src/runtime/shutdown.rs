//! Stopping: the first SIGTERM or SIGINT asks everything to seal and end, the second ends the
//! process at once (nothing durable is lost by that).

use crate::error::{Error, Result, Wrap};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells a task that the process is to stop. Clones see the same signal.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the stop that its [`Shutdown`] sees.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Exit code of the second signal: the command did not do what it was asked to.
const EXIT_SECOND_SIGNAL: i32 = 1;

impl Shutdown {
    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the handlers cannot be installed.
    pub fn install() -> Result<Shutdown> {
        let failed = || Error::internal("install signal handler");
        let mut terminate = signal(SignalKind::terminate()).wrap(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).wrap(failed)?;
        let (trigger, shutdown) = Shutdown::manual();
        tokio::spawn(async move {
            for first in [true, false] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if first {
                    tracing::info!(signal = name, "stopping; a second signal ends at once");
                    trigger.stop();
                } else {
                    tracing::warn!(signal = name, "ending at once");
                    std::process::exit(EXIT_SECOND_SIGNAL);
                }
            }
        });
        Ok(shutdown)
    }

    /// A shutdown that only its trigger causes; for tests and for commands inside others.
    #[must_use]
    pub fn manual() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Shutdown(receiver))
    }

    /// Whether the stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the stop is asked for; forever when nobody can ask any more.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|&stop| stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl ShutdownTrigger {
    /// Asks for the stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_stop() {
        let (trigger, shutdown) = Shutdown::manual();
        let other = shutdown.clone();
        assert!(!shutdown.is_requested());
        trigger.stop();
        other.requested().await;
        assert!(shutdown.is_requested());
    }
}
