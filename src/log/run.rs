//! Capture as a whole: a writer, one connection after the other, an orderly end.

use super::commit::ADOPTED;
use super::guard::EpochGuard;
use super::resume::{
    CaptureOptions, CaptureProgress, Writer, WriterOptions, ends_with_another, newest,
};
use super::session::{Capture, Ended, SERVER_IDS};
use super::spool::{Item, Spool, SpoolDir, SpoolReader};
use super::tail::{Tail, TailFound};
use super::waits::Watch;
use crate::error::{Error, Result};
use crate::manifest::Repository;
use crate::runtime::{Clock, Shutdown, ids::random_u64};
use crate::source::{
    DumpRefusal, Endpoint, ReplicaOptions, SILENT_START, SourceNeeds, SqlClient, SqlSession,
    check_source,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Longest wait between two attempts to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What others may ask of a running capture, and where it says how far it is.
#[derive(Clone, Debug)]
pub struct CaptureControl {
    /// Seal and stop.
    pub shutdown: Shutdown,
    /// Seal now what is open.
    pub seal_now: Arc<Notify>,
    /// How far capture has come.
    pub progress: watch::Sender<CaptureProgress>,
}

impl CaptureControl {
    /// A control that stops on `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> CaptureControl {
        CaptureControl {
            shutdown,
            seal_now: Arc::new(Notify::new()),
            progress: watch::Sender::new(CaptureProgress::default()),
        }
    }
}

/// Why capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureEnd {
    /// `once`: everything that the source had at the start is committed.
    CaughtUp,
    /// Shutdown was requested; everything whole is committed.
    Stopped,
    /// [`finish`]: everything durable is committed.
    Finished,
}

/// What a capture is made of, at its start and again after a failed commit or a failover.
struct Opening<'a> {
    repository: &'a Repository,
    endpoint: &'a Endpoint,
    options: &'a CaptureOptions,
    clock: &'a Clock,
    spool: Option<SpoolDir>,
}

/// Captures from a source into a repository until it is stopped (or, with `once`, caught up).
///
/// # Errors
/// `Config` for blockers of the preflight and refused logins, `Incompatible` for another source's
/// repository or a history that does not continue, `Gap` for a purged binlog, `Corrupt` for bytes
/// that cannot be trusted, `Fenced` when another writer took over. An unavailable source or store
/// is retried with capped backoff, except at the very start.
pub async fn run(
    repository: &Repository,
    endpoint: &Endpoint,
    options: &CaptureOptions,
    clock: &Clock,
    mut control: CaptureControl,
) -> Result<CaptureEnd> {
    options.validate()?;
    let opening = Opening {
        repository,
        endpoint,
        options,
        clock,
        spool: options
            .spool_dir
            .as_deref()
            .map(SpoolDir::open)
            .transpose()?,
    };
    let mut capture = Box::pin(opening.first(&mut control)).await?;
    capture.announce(&control);
    let mut failures = 0_u32;
    let mut collisions = 0_u32;
    loop {
        let received = capture.received();
        let error = match capture.session(endpoint, &mut control).await {
            Ended::Done(end) => return Ok(end),
            Ended::Stream(error) if error.kind().is_retryable() => error,
            // A connection of our own that the source had not given up yet looks the same once.
            Ended::Stream(error) if is_collision(&error) && collisions == 0 => {
                collisions += 1;
                error
            }
            Ended::Commit(error) if error.kind().is_retryable() => {
                tracing::warn!(error = %error.report(), "capture starts again from the head");
                if pause(failures, &mut control).await {
                    return Err(error);
                }
                failures += 1;
                // Its spool must be at rest before it is read.
                drop(capture);
                capture = Box::pin(opening.reopen(&mut control)).await?;
                capture.announce(&control);
                continue;
            }
            Ended::Stream(error) | Ended::Commit(error) => return Err(error),
        };
        if error.get(SILENT_START).is_some() {
            capture.change_server_id();
        }
        if capture.received() > received {
            (failures, collisions) = (0, 0);
        } else {
            failures += 1;
        }
        tracing::warn!(error = %error.report(), failures, "stream broke, connecting again");
        if pause(failures, &mut control).await {
            capture.close(&control).await?;
            return Ok(CaptureEnd::Stopped);
        }
    }
}

fn is_collision(error: &Error) -> bool {
    error.get("refusal") == Some(DumpRefusal::Collision.name())
}

/// Seals everything that is durable and ends; the source is not asked.
///
/// # Errors
/// `Config` when there is nothing to finish, `Corrupt` for damage in spool or tail, `Incompatible`
/// for a spool that does not belong to the repository or does not follow it.
pub async fn finish(
    repository: &Repository,
    options: &CaptureOptions,
    clock: &Clock,
    control: &CaptureControl,
) -> Result<CaptureEnd> {
    let spool = options.spool_dir.as_deref().map(SpoolDir::open);
    let spool = spool.transpose()?;
    if spool.is_none() && !has_tail(repository).await? {
        return Err(Error::config(
            "finish capture: without a spool or a tail nothing is durable outside of segments",
        )
        .hint("give the --spool-dir of the capture that ended"));
    }
    let timeline = spool.as_ref().map(|spool| left_in(spool, repository));
    let to = (repository, timeline.transpose()?.flatten());
    seal_durable(to, options, clock, spool.as_ref(), control).await?;
    Ok(CaptureEnd::Finished)
}

/// The timeline that a spool's files belong to: a fork may have left it since. `None` where there is
/// no file, or one of another repository, which is refused when it is read.
fn left_in(spool: &SpoolDir, repository: &Repository) -> Result<Option<u32>> {
    let files = spool.files()?;
    let Some(oldest) = files.first() else {
        return Ok(None);
    };
    let mut reader = SpoolReader::open(oldest)?;
    while let Some(item) = reader.next()? {
        if let Item::Head(head) = item {
            let is_ours = head.repository_id == repository.header().repository_id;
            return Ok(is_ours.then_some(head.timeline));
        }
    }
    Ok(None)
}

/// Whether the newest timeline was ever captured with a tail.
async fn has_tail(repository: &Repository) -> Result<bool> {
    let newest = newest(repository).await?;
    Ok(newest.is_some_and(|(_, head)| head.manifest.tail.is_some()))
}

/// Whether the newest timeline has a tail that is not all in segments.
pub(super) async fn has_unsealed_tail(repository: &Repository) -> Result<bool> {
    let Some((timeline, head)) = newest(repository).await? else {
        return Ok(false);
    };
    let found = TailFound::look(repository, timeline.timeline, head.manifest.tail).await?;
    Ok(!found.numbers.is_empty())
}

async fn seal_durable(
    (repository, timeline): (&Repository, Option<u32>),
    options: &CaptureOptions,
    clock: &Clock,
    spool: Option<&SpoolDir>,
    control: &CaptureControl,
) -> Result<()> {
    let writer = Writer::open_without_source((repository, timeline), options, clock).await?;
    let tail = writer.tail.clone();
    let mut capture = Capture::new(writer, (0, Uuid::nil()), options, clock);
    capture.recover_tail(repository, tail, control).await?;
    if let Some(spool) = spool {
        capture.recover(spool, control).await?;
    }
    capture.announce(control);
    Ok(())
}

impl Opening<'_> {
    fn has_spooled(&self) -> Result<bool> {
        let files = self.spool.as_ref().map(SpoolDir::files).transpose()?;
        Ok(files.is_some_and(|files| !files.is_empty()))
    }

    async fn open(&self, control: &CaptureControl) -> Result<Capture> {
        let policy = self.options.durability;
        let mut client = SqlClient::connect(self.endpoint, &SqlSession::default()).await?;
        let needs = SourceNeeds {
            snapshot: false,
            semi_sync: self.options.semi_sync,
        };
        let address = self.endpoint.address();
        let report = check_source(&mut client, &address, needs, || self.clock.now_us()).await?;
        report.require_no_blocker()?;
        if (self.has_spooled()? || has_unsealed_tail(self.repository).await?)
            && ends_with_another(self.repository, &client.identity().await?).await?
        {
            // What the former server sent is sealed as its own.
            let spool = self.spool.as_ref();
            let newest = (self.repository, None);
            seal_durable(newest, self.options, self.clock, spool, control).await?;
        }
        let repository_id = self.repository.header().repository_id;
        let replica = replica_identity(repository_id, self.options.server_id);
        // A frozen process may hold the stream of that identity: looks need none of it.
        let visitor = visitor_identity(repository_id, self.options.server_id);
        let writer = WriterOptions {
            repository: self.repository,
            endpoint: self.endpoint,
            replica: &ReplicaOptions::new(visitor.0, visitor.1),
            capture: self.options,
            clock: self.clock,
        };
        let writer = Writer::open(writer, &mut client).await?;
        client.close().await;
        let (timeline, epoch) = (writer.committer.timeline, writer.committer.epoch);
        let tail = writer.tail.clone();
        let mut capture = Capture::new(writer, replica, self.options, self.clock);
        // With `both` the spool may hold more: it was synced before the store answered.
        let place = capture.recover_tail(self.repository, tail, control).await?;
        let number_next = match &self.spool {
            Some(folder) => capture.recover(folder, control).await?,
            None => 1,
        };
        let received = capture.durability.received();
        if let Some(folder) = self.spool.as_ref().filter(|_| policy.uses_spool()) {
            let limit = self.options.spool_bytes_max;
            let spool = Spool::start(folder, number_next, received, limit)?;
            capture.durability.use_spool(spool);
        }
        if policy.uses_tail() {
            let owner = capture.durability.owner();
            let tail = Tail::start(self.repository, owner, place, received);
            capture.durability.use_tail(tail);
        }
        if self.options.semi_sync {
            let every = self.options.heartbeat;
            let guard = EpochGuard::start(self.repository, timeline, epoch, every).await?;
            capture.durability.use_guard(guard);
            let first = Watch::first(self.endpoint, self.clock).await?;
            capture.watch(Watch::start(self.endpoint, self.clock, every), &first)?;
        }
        Ok(capture)
    }

    /// As [`open`](Self::open), until no older writer is faster: that one is at work until it sees
    /// that it is not the newest any more.
    async fn first(&self, control: &mut CaptureControl) -> Result<Capture> {
        loop {
            match Box::pin(self.open(control)).await {
                Err(error) if error.get(ADOPTED).is_some() => {
                    tracing::warn!(error = %error.report(), "capture starts again from the new head");
                    if pause(0, control).await {
                        return Err(error);
                    }
                }
                opened => return opened,
            }
        }
    }

    /// As [`open`](Self::open), for as long as source or store are away.
    async fn reopen(&self, control: &mut CaptureControl) -> Result<Capture> {
        let mut failures = 0;
        loop {
            match Box::pin(self.open(control)).await {
                Err(error) if error.kind().is_retryable() => {
                    tracing::warn!(error = %error.report(), "capture cannot start again yet");
                    failures += 1;
                    if pause(failures, control).await {
                        return Err(error);
                    }
                }
                opened => return opened,
            }
        }
    }
}

/// Waits before the next attempt; `true` when shutdown was requested meanwhile.
async fn pause(failures: u32, control: &mut CaptureControl) -> bool {
    let full = Duration::from_millis(200 << failures.min(8)).min(BACKOFF_MAX);
    // Half fixed, half random: many writers of one failed source must not come back together.
    let jitter = random_u64() % (full.as_millis() as u64 / 2 + 1);
    let wait = full / 2 + Duration::from_millis(jitter);
    tokio::select! {
        () = control.shutdown.requested() => true,
        () = tokio::time::sleep(wait) => false,
    }
}

/// A stable identity as a replica: the repository's own id as uuid, and the first of sixteen server
/// ids from it that a human is unlikely to have chosen.
pub(super) fn replica_identity(repository: Uuid, server_id: u32) -> (u32, Uuid) {
    if server_id != 0 {
        return (server_id, repository);
    }
    let low = u32::try_from(repository.as_u128() & 0x3fff_ffff).unwrap_or_default();
    (0x4000_0000 | (low & !SERVER_IDS), repository)
}

/// An identity for a short look beside a capture that may be running: sources end the stream of a
/// replica when another one comes with its uuid or server id.
pub(super) fn visitor_identity(repository: Uuid, server_id: u32) -> (u32, Uuid) {
    let (id, _) = replica_identity(repository, server_id);
    let uuid = Uuid::from_u128(!repository.as_u128());
    match server_id {
        0 => (id | SERVER_IDS, uuid),
        chosen => (chosen, uuid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_identity_is_stable_and_out_of_the_way() {
        let repository = Uuid::from_u128(7);
        assert_eq!(replica_identity(repository, 0), (0x4000_0000, repository));
        let other = Uuid::from_u128(0x1234_5678);
        assert_eq!(replica_identity(other, 0).0, 0x5234_5670);
        assert_eq!(replica_identity(repository, 9), (9, repository));
        let (id, uuid) = visitor_identity(repository, 0);
        assert!(id == 0x4000_000f && uuid != repository, "{id} {uuid}");
    }
}
