//! One connection to the source: from its first event to the last one taken.

use super::batch::Batch;
use super::commit::Committer;
use super::commit_time::CommitClock;
use super::history::{self, Ours, StreamStart, Verdict};
use super::resume::{CaptureOptions, CaptureProgress, Writer};
use super::run::{CaptureControl, CaptureEnd};
use crate::binlog::Assembler;
use crate::change::LogItem;
use crate::error::{Error, Result, Wrap};
use crate::manifest::Catalogue;
use crate::position::{BinlogPosition, GtidSet};
use crate::runtime::{Clock, Stopwatch};
use crate::schema::TableVersion;
use crate::source::{
    Checksum, DumpFrom, Endpoint, EventStream, Packet, ReplicaConnection, ReplicaOptions,
    SourceHistory, SourceIdentity, SqlClient, SqlSession, current_end,
};
use bytes::Bytes;
use std::cmp::Ordering;
use std::sync::Arc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A commit may reach the binlog this long after its commit time was taken: a moment counts as
/// covered only when the source has been quiet for longer.
const COVER_MARGIN_US: i64 = 2_000_000;
/// Packets handled between two looks at timers and signals.
const PACKETS_AT_ONCE: usize = 2_048;

/// Server ids of a repository differ in these bits.
pub(super) const SERVER_IDS: u32 = 0xf;

/// Everything between the stream and the committer; lives through reconnects.
#[derive(Debug)]
pub(super) struct Capture {
    committer: Option<Committer>,
    sealing: Option<JoinHandle<Result<Committer>>>,
    catalogue: Catalogue,
    identity: SourceIdentity,
    format_description: Bytes,
    batch: Batch,
    batch_age: Stopwatch,
    gtids_received: GtidSet,
    commit_lo_us: i64,
    covered_through_us: Option<i64>,
    covered_committed_us: Option<i64>,
    replica: (u32, Uuid),
    options: CaptureOptions,
    clock: Clock,
    progress: CaptureProgress,
    /// A seal was asked for while a transaction was open.
    seal_due: bool,
}

/// What ended a connection.
#[derive(Debug)]
pub(super) enum Ended {
    /// The work is done.
    Done(CaptureEnd),
    /// The stream broke; connect again.
    Stream(Error),
    /// A commit failed; what was sealed must be read again from the head.
    Commit(Error),
}

/// What one connection knows.
struct Connection {
    stream: EventStream,
    assembler: Assembler,
    commit_clock: CommitClock,
    until: Option<(BinlogPosition, GtidSet)>,
    start: StreamStart,
}

impl Capture {
    pub(super) fn new(
        writer: Writer,
        replica: (u32, Uuid),
        options: &CaptureOptions,
        clock: &Clock,
    ) -> Capture {
        let batch = writer.new_batch();
        let head = &writer.committer.head;
        let progress = CaptureProgress {
            timeline: writer.committer.timeline,
            seq_committed: Some(head.seq_last),
            position_committed: Some(head.position.clone()),
            ..CaptureProgress::default()
        };
        Capture {
            covered_through_us: head.covered_through_us,
            covered_committed_us: head.covered_through_us,
            committer: Some(writer.committer),
            sealing: None,
            catalogue: writer.catalogue,
            identity: writer.identity,
            format_description: writer.format_description,
            batch,
            batch_age: Stopwatch::start(),
            gtids_received: writer.gtids_received,
            commit_lo_us: writer.commit_lo_us,
            replica,
            options: options.clone(),
            clock: clock.clone(),
            progress,
            seal_due: false,
        }
    }

    /// Connects and receives until the work is done or something breaks.
    pub(super) async fn session(
        &mut self,
        endpoint: &Endpoint,
        control: &mut CaptureControl,
    ) -> Ended {
        self.batch.abandon();
        let is_unknown = |t: &Arc<TableVersion>| t.column_of_unknown_length().is_some();
        // The source says what the log does not.
        self.batch.ddl_seen |= self.catalogue.tables().any(is_unknown);
        let mut connection = match self.connect(endpoint).await {
            Ok(connection) => connection,
            Err(error) => return Ended::Stream(error),
        };
        let ended = self.receive(&mut connection, endpoint, control).await;
        self.commit_lo_us = self.commit_lo_us.max(connection.commit_clock.lo_us);
        ended
    }

    /// Says how far capture is.
    pub(super) fn announce(&self, control: &CaptureControl) {
        control.progress.send_replace(self.progress.clone());
    }

    /// Transactions received so far.
    pub(super) fn received(&self) -> u64 {
        self.progress.transactions
    }

    /// Takes the next server id of those that belong to this repository: a server that still
    /// waits for an earlier connection of the same id answers with nothing at all.
    pub(super) fn change_server_id(&mut self) {
        if self.options.server_id == 0 {
            let (id, _) = &mut self.replica;
            *id = (*id & !SERVER_IDS) | (id.wrapping_add(1) & SERVER_IDS);
        }
    }

    /// Commits what is whole.
    pub(super) async fn close(&mut self, control: &CaptureControl) -> Result<()> {
        match self.finish(CaptureEnd::Stopped, control).await {
            Ended::Done(_) => Ok(()),
            Ended::Stream(error) | Ended::Commit(error) => Err(error),
        }
    }

    async fn connect(&mut self, endpoint: &Endpoint) -> Result<Connection> {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let source = SourceHistory::read(&mut client).await?;
        let clock = self.clock.clone();
        let offset = client.clock_offset(move || clock.now_us()).await?;
        let commit_clock = |until: &BinlogPosition, lo_us| CommitClock {
            offset_us: offset.offset_us,
            offset_error_us: offset.bound_us,
            backlog_until: Some(until.clone()),
            lo_us,
        };
        let read_at_us = self.clock.now_us();
        let (position, gtids) = current_end(&mut client).await?;
        client.close().await;
        let received = self.gtids_all()?;
        let (server_id, uuid) = self.replica;
        let mut replica = ReplicaOptions::new(server_id, uuid);
        replica.heartbeat = self.options.heartbeat;
        let ours = Ours {
            identity: &self.identity,
            gtids: &received,
            position: &self.batch.position,
            format_description: &self.format_description,
        };
        let verdict = history::require(endpoint, &replica, &ours, &source).await?;
        let stream_start = StreamStart::new(&ours, &source);
        if verdict == Verdict::FailedOver {
            // Places in the former server's files mean nothing from here on.
            self.batch.position = source.start_of_last_file();
        }
        self.identity = source.identity;
        let commit_clock = commit_clock(&position, self.commit_lo_us);
        if gtids.is_subset(&received) && !gtids.is_empty() {
            self.cover(commit_clock.source_time_us(read_at_us));
        }
        let mut connection = ReplicaConnection::connect(endpoint, &replica).await?;
        // Behind a proxy two connections may reach two servers.
        let reached = connection.identity().await?;
        self.identity.require_same_server(&reached)?;
        if connection.checksum() == Checksum::None {
            return Err(Error::config("start dump: the source writes no checksums")
                .hint("SET GLOBAL binlog_checksum = CRC32 on the source"));
        }
        let by_gtid = history::resumes_by_gtid(&self.identity, &received);
        let start = (!by_gtid).then(|| self.batch.position.clone());
        let from = match &start {
            Some(position) => DumpFrom::Position(position.clone()),
            None => DumpFrom::Gtid(received),
        };
        tracing::info!(source = %endpoint, position = %self.batch.position, by_gtid, "dump starts");
        Ok(Connection {
            stream: connection.start(from).await?,
            assembler: Assembler::new(self.identity.flavor, start),
            commit_clock,
            until: self.options.once.then_some((position, gtids)),
            start: stream_start,
        })
    }

    async fn receive(
        &mut self,
        connection: &mut Connection,
        endpoint: &Endpoint,
        control: &mut CaptureControl,
    ) -> Ended {
        loop {
            if self.is_caught_up(connection) {
                return self.finish(CaptureEnd::CaughtUp, control).await;
            }
            let age_left = self
                .options
                .seal_interval
                .saturating_sub(self.batch_age.elapsed());
            tokio::select! {
                biased;
                () = control.shutdown.requested() => {
                    return self.finish(CaptureEnd::Stopped, control).await;
                }
                committed = joined(&mut self.sealing) => {
                    if let Err(error) = self.committed(committed, control) {
                        return Ended::Commit(error);
                    }
                }
                () = control.seal_now.notified() => {
                    if let Err(ended) = self.tick(self.is_live(connection), endpoint, control).await { return ended; }
                }
                () = tokio::time::sleep(age_left) => {
                    if let Err(ended) = self.tick(self.is_live(connection), endpoint, control).await { return ended; }
                }
                packet = connection.stream.next() => {
                    let taken = match packet {
                        Ok(packet) => self.take(packet, connection),
                        Err(error) => Err(error),
                    };
                    if let Err(error) = taken {
                        return self.broken(error, control).await;
                    }
                }
            }
            if let Err(ended) = self.seal_when_full(control).await {
                return ended;
            }
        }
    }

    /// Whether what we have is what the source has, or nearly.
    fn is_live(&self, connection: &Connection) -> bool {
        !connection.commit_clock.is_backlog(&self.batch.position)
    }

    /// Takes a packet and what has already arrived behind it.
    fn take(&mut self, packet: Packet, connection: &mut Connection) -> Result<()> {
        let received_us = self.clock.now_us();
        let mut items = Vec::new();
        let mut next = Some(packet);
        let mut taken = 0;
        while let Some(packet) = next.take() {
            self.progress.event_bytes += packet.event.len() as u64;
            connection.assembler.push(packet.event, &mut items)?;
            loop {
                for item in items.drain(..) {
                    let held = [&self.gtids_received, &self.batch.gtids_added];
                    let at = connection.assembler.position();
                    connection.start.check(&item, at, held)?;
                    self.apply(
                        item,
                        connection.assembler.position(),
                        &mut connection.commit_clock,
                        received_us,
                    )?;
                }
                if !connection.assembler.more(&mut items)? {
                    break;
                }
            }
            taken += 1;
            if taken < PACKETS_AT_ONCE && !self.is_full() {
                next = connection.stream.try_next_buffered()?;
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        item: LogItem,
        position: Option<&BinlogPosition>,
        clock: &mut CommitClock,
        received_us: i64,
    ) -> Result<()> {
        match &item {
            LogItem::FormatDescription(event) => {
                self.format_description = event.clone();
                if !self.is_repeated(event, position) {
                    self.batch.file_events.push(event.clone());
                }
            }
            LogItem::Idle(_) => self.cover(clock.source_time_us(received_us)),
            _ => {}
        }
        if let LogItem::FileEvent(event) = &item
            && self.is_repeated(event, position)
        {
            return Ok(());
        }
        let is_commit = matches!(item, LogItem::Commit(_));
        self.batch
            .apply(item, &mut self.catalogue, clock, received_us)?;
        if is_commit {
            self.progress.transactions += 1;
        }
        Ok(())
    }

    /// A dump by GTID sends the head of a file again on every connect: events that end at or
    /// before the last transaction were kept when they came first.
    fn is_repeated(&self, event: &Bytes, position: Option<&BinlogPosition>) -> bool {
        let end = event
            .get(13..17)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes);
        let same_file = position.is_some_and(|at| at.file == self.batch.position.file);
        let had = |end| same_file && u64::from(end) <= self.batch.position.offset;
        let twice = self.batch.file_events.iter().any(|kept| kept == event);
        end.is_none_or(|end| end == 0 || had(end)) || twice
    }

    /// Transactions received into committed, sealing and open batches.
    fn gtids_all(&self) -> Result<GtidSet> {
        let mut all = self.gtids_received.clone();
        all.union(&self.batch.gtids_added)?;
        Ok(all)
    }

    /// The source had nothing more to send at this time of its clock.
    fn cover(&mut self, source_us: i64) {
        let through = Some(source_us.saturating_sub(COVER_MARGIN_US));
        self.covered_through_us = self.covered_through_us.max(through);
    }

    fn is_full(&self) -> bool {
        !self.batch.in_transaction()
            && (self.batch.event_bytes() >= self.options.segment_bytes_max
                || self.batch.memory() >= self.options.batch_memory_max)
    }

    fn is_caught_up(&self, connection: &Connection) -> bool {
        let Some((position, gtids)) = &connection.until else {
            return false;
        };
        if self.batch.in_transaction() {
            return false;
        }
        let at = match connection.assembler.position() {
            _ if gtids.is_empty() => connection
                .assembler
                .position()
                .unwrap_or(&self.batch.position),
            _ if self
                .gtids_all()
                .is_ok_and(|received| gtids.is_subset(&received)) =>
            {
                return true;
            }
            // The GTIDs may be of a moment after the position: what came between need not be
            // waited for. Only this connection's positions are of this server's files.
            Some(at) => at,
            None => return false,
        };
        matches!(
            at.order(position),
            Some(Ordering::Equal | Ordering::Greater)
        )
    }
}

/// Waits for a commit in flight; for ever when there is none.
async fn joined(sealing: &mut Option<JoinHandle<Result<Committer>>>) -> Result<Committer> {
    match sealing {
        Some(task) => task.await.wrap(|| Error::internal("join commit task"))?,
        None => std::future::pending().await,
    }
}

mod packaging;
