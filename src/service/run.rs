//! `tidelog run`: capture, and the first base when there is none.

use crate::error::{Error, Result, Wrap};
use crate::log::{self, CaptureControl, CaptureEnd, CaptureOptions, CaptureProgress};
use crate::manifest::Repository;
use crate::runtime::{Clock, Shutdown};
use crate::snapshot::{self, BaseOptions, BaseReport};
use crate::source::Endpoint;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Wait between two attempts to take the first base.
const BASE_RETRY: Duration = Duration::from_secs(30);

/// Everything a protected server needs, in one process.
#[derive(Clone, Debug)]
pub struct Service {
    /// Repository to write to.
    pub repository: Repository,
    /// Server to protect.
    pub source: Endpoint,
    /// How capture works.
    pub capture: CaptureOptions,
    /// How the first base is taken.
    pub base: BaseOptions,
    /// Clock.
    pub clock: Clock,
}

impl Service {
    /// Runs until shutdown is requested; the batch that is open then is sealed.
    ///
    /// # Errors
    /// Those of capture that retrying does not mend.
    pub async fn run(self, shutdown: Shutdown) -> Result<CaptureProgress> {
        let control = CaptureControl::new(shutdown.clone());
        let progress = control.progress.subscribe();
        let seal_now = Arc::clone(&control.seal_now);
        let base = self.first_base(progress.clone(), move || seal_now.notify_one(), shutdown);
        let capture = log::run(
            &self.repository,
            &self.source,
            &self.capture,
            &self.clock,
            control,
        );
        tokio::pin!(base);
        tokio::pin!(capture);
        let end = tokio::select! {
            end = &mut capture => end?,
            taken = &mut base => {
                if let Some(report) = taken? {
                    tracing::info!(seq = %report.seq, tables = report.tables, rows = report.rows, "first base taken");
                }
                capture.await?
            }
        };
        tracing::info!(?end, "capture ended");
        let progress = progress.borrow().clone();
        match end {
            CaptureEnd::CaughtUp | CaptureEnd::Stopped | CaptureEnd::Finished => Ok(progress),
        }
    }

    /// Takes the first base once capture is under way; an outage is waited out.
    async fn first_base(
        &self,
        mut progress: watch::Receiver<CaptureProgress>,
        nudge: impl Fn() + Sync,
        shutdown: Shutdown,
    ) -> Result<Option<BaseReport>> {
        let timeline = progress
            .wait_for(|progress| progress.timeline > 0)
            .await
            .map(|progress| progress.timeline)
            .wrap(|| Error::internal("wait for capture to start"))?;
        if !self.repository.bases(timeline).await?.is_empty() {
            return Ok(None);
        }
        loop {
            match snapshot::take(
                &self.repository,
                &self.source,
                &self.base,
                &self.clock,
                &nudge,
            )
            .await
            {
                Err(error) if error.kind().is_retryable() => {
                    tracing::warn!(error = %error.report(), "first base not taken, trying again");
                }
                taken => return taken.map(Some),
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(None),
                () = tokio::time::sleep(BASE_RETRY) => {}
            }
        }
    }
}
