//! When a batch is sealed, and what becomes of it.

use super::{Capture, Ended};
use crate::error::{Error, Result};
use crate::log::batch::Batch;
use crate::log::commit::{Committer, Sealing};
use crate::log::resume::sealing;
use crate::log::run::{CaptureControl, CaptureEnd};
use crate::log::waits::Waits;
use crate::manifest::MarkKind;
use crate::runtime::Stopwatch;
use crate::source::{Endpoint, SqlClient, SqlSession, read_catalogue};
use std::sync::Arc;
use std::time::Duration;

/// A seal at the end of capture that takes longer than this is spoken of,
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// and again at this distance.
const STOP_REMINDER: Duration = Duration::from_secs(60);

impl Capture {
    /// The batch is old enough, or somebody asked for it to be sealed.
    pub(super) async fn tick(
        &mut self,
        is_live: bool,
        endpoint: &Endpoint,
        control: &CaptureControl,
    ) -> Result<(), Ended> {
        self.batch_age = Stopwatch::start();
        self.watch_retention(endpoint).await;
        if self.batch.in_transaction() || self.sealing.is_some() {
            self.seal_due = true;
            return Ok(());
        }
        // The live catalogue says what tables are only while we are where the source is.
        if self.batch.ddl_seen && is_live {
            match self.refresh_catalogue(endpoint).await {
                Ok(()) => self.batch.ddl_seen = false,
                Err(error) => {
                    tracing::warn!(error = %error.report(), "catalogue not refreshed after ddl")
                }
            }
        }
        self.seal(control).await
    }

    /// Seals a batch that reached its limits, unless the one before is still being committed: while
    /// a store is away what comes in goes on becoming durable and being acknowledged.
    pub(super) async fn seal_when_full(&mut self, control: &CaptureControl) -> Result<(), Ended> {
        let due = self.seal_due || self.durability.is_full();
        let due = (due && !self.batch.in_transaction()) || self.is_full();
        if due && self.sealing.is_none() {
            self.seal(control).await
        } else {
            Ok(())
        }
    }

    /// After DDL: tables that the log has not shown yet get their ids now, so that a base can
    /// find them.
    async fn refresh_catalogue(&mut self, endpoint: &Endpoint) -> Result<()> {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let tables = read_catalogue(&mut client).await?;
        client.close().await;
        for table in tables {
            self.catalogue
                .observe(&Arc::new(table.shape), self.batch.seq_next());
        }
        self.batch.forget_shapes();
        Ok(())
    }

    /// Hands the batch to the committer and starts the next one. Waits for the commit before it:
    /// one is in flight at most.
    pub(in crate::log) async fn seal(&mut self, control: &CaptureControl) -> Result<(), Ended> {
        self.settle(control).await.map_err(Ended::Commit)?;
        self.start_commit().await.map_err(Ended::Commit)
    }

    async fn start_commit(&mut self) -> Result<()> {
        self.seal_due = false;
        let now_us = self.clock.now_us();
        if let Some(covered_through_us) = self
            .covered_through_us
            .filter(|c| Some(*c) > self.covered_committed_us)
        {
            self.batch
                .push_mark(MarkKind::Idle { covered_through_us }, now_us)?;
        }
        let unprotected = self.waits.as_mut().map(Waits::take).unwrap_or_default();
        let is_owed = !unprotected.is_empty() || self.tail_sealed.is_some();
        if self.batch.is_empty() && is_owed {
            // An entry to hold them.
            let covered_through_us = self.covered_through_us.unwrap_or(0);
            self.batch
                .push_mark(MarkKind::Idle { covered_through_us }, now_us)?;
        }
        if self.batch.is_empty() && !self.catalogue.has_pending() {
            return Ok(());
        }
        let Some(mut committer) = self.committer.take() else {
            return Err(Error::internal("seal batch while another is committed"));
        };
        self.hand_over()?;
        let (sealed, tail) = self.durability.seal().await?;
        self.sealed = Some(sealed);
        self.gtids_received.union(&self.batch.gtids_added)?;
        let ddl_seen = self.batch.ddl_seen;
        let file_events = std::mem::take(&mut self.batch.file_events);
        let position = self.batch.position.clone();
        let empty = Batch::new(
            self.batch.seq_next(),
            self.identity.flavor,
            position.clone(),
            self.batch.xa.clone(),
        );
        let batch = std::mem::replace(&mut self.batch, empty);
        let sealing = sealing(
            batch,
            &mut self.catalogue,
            &self.identity,
            self.format_description.clone(),
            self.covered_through_us,
            now_us,
        )?;
        let sealing = Sealing {
            unprotected,
            last_event: self.last_event.get(),
            tail: tail.or(self.tail_sealed.take()),
            ..sealing
        };
        let seq_first = sealing.batch.seq_next();
        let xa = sealing.batch.xa.next(seq_first);
        self.batch = Batch::new(seq_first, self.identity.flavor, position, xa);
        self.batch.ddl_seen = ddl_seen;
        self.batch.file_events = file_events;
        self.batch_age = Stopwatch::start();
        self.covered_committed_us = self.covered_through_us;
        self.sealing = Some(tokio::spawn(async move {
            committer.commit(sealing).await?;
            Ok(committer)
        }));
        Ok(())
    }

    /// Waits for the commit in flight, if there is one.
    pub(in crate::log) async fn settle(&mut self, control: &CaptureControl) -> Result<()> {
        if self.sealing.is_none() {
            return Ok(());
        }
        let committed = super::joined(&mut self.sealing).await;
        self.committed(committed, control)
    }

    /// A commit has ended.
    pub(super) fn committed(
        &mut self,
        committed: Result<Committer>,
        control: &CaptureControl,
    ) -> Result<()> {
        self.sealing = None;
        let committer = committed?;
        if let Some(sealed) = self.sealed.take() {
            self.durability.committed(sealed)?;
        }
        self.progress.seq_committed = Some(committer.head.seq_last);
        self.progress.position_committed = Some(committer.head.position.clone());
        self.progress.position_received = Some(self.batch.position.clone());
        self.committer = Some(committer);
        control.progress.send_replace(self.progress.clone());
        Ok(())
    }

    /// Seals what is whole, waits until it is committed, and ends.
    pub(super) async fn finish(&mut self, end: CaptureEnd, control: &CaptureControl) -> Ended {
        let drain = self.drain(control);
        tokio::pin!(drain);
        let mut patience = STOP_PATIENCE;
        loop {
            tokio::select! {
                drained = &mut drain => {
                    return match drained {
                        Ok(()) => Ended::Done(end),
                        Err(ended) => ended,
                    };
                }
                // The store may be away for hours, and whoever asked looks at a process that goes on.
                () = tokio::time::sleep(patience) => tracing::warn!(
                    "capture is to end and waits for the store to take what was received: it ends by \
                     itself when the store is back. To end it now, kill it (SIGKILL): nothing that was \
                     acknowledged is lost, and the next capture goes on from what is durable"
                ),
            }
            patience = STOP_REMINDER;
        }
    }

    async fn drain(&mut self, control: &CaptureControl) -> Result<(), Ended> {
        self.batch.abandon();
        self.seal(control).await?;
        self.settle(control).await.map_err(Ended::Commit)
    }

    /// The stream broke. An error that will not pass by itself ends capture: what is whole is
    /// committed first.
    pub(super) async fn broken(&mut self, error: Error, control: &CaptureControl) -> Ended {
        self.batch.abandon();
        if let Err(spool) = self.hand_over() {
            return Ended::Commit(spool);
        }
        if !error.kind().is_retryable()
            && let Err(Ended::Commit(commit)) = self.drain(control).await
        {
            tracing::error!(error = %commit.report(), "commit failed after the stream ended");
        }
        Ended::Stream(error)
    }
}
