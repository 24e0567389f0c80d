//! One connection to the source: from its first event to the last one taken.

use super::batch::Batch;
use super::commit::Committer;
use super::commit_time::CommitClock;
use super::durability::{Beginning, Durability, Owner, Received, Sealed};
use super::history::{LastEventTracker, StreamStart};
use super::resume::{CaptureOptions, CaptureProgress, Writer};
use super::run::{CaptureControl, CaptureEnd};
use super::waits::{Look, Waits, Watch};
use crate::binlog::Assembler;
use crate::change::LogItem;
use crate::error::{Error, Result, Wrap};
use crate::manifest::{Catalogue, TailPlace};
use crate::position::{BinlogPosition, GtidSet};
use crate::runtime::{Clock, Stopwatch, failpoint};
use crate::schema::TableVersion;
use crate::source::{Endpoint, EventStream, Packet, SourceIdentity};
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
    /// What is in `sealing`.
    sealed: Option<Sealed>,
    /// The next segment says that the tail is in segments up to here.
    pub(super) tail_sealed: Option<TailPlace>,
    pub(super) durability: Durability,
    /// With semi-sync: whether commits wait.
    waits: Option<Waits>,
    watch: Option<Watch>,
    catalogue: Catalogue,
    pub(super) identity: SourceIdentity,
    format_description: Bytes,
    last_event: LastEventTracker,
    pub(super) batch: Batch,
    batch_age: Stopwatch,
    gtids_received: GtidSet,
    pub(super) commit_lo_us: i64,
    covered_through_us: Option<i64>,
    covered_committed_us: Option<i64>,
    replica: (u32, Uuid),
    pub(super) options: CaptureOptions,
    pub(super) clock: Clock,
    progress: CaptureProgress,
    /// A seal was asked for while a transaction was open.
    seal_due: bool,
    /// When the source was last asked how long it keeps its binlog.
    retention_looked: Option<Stopwatch>,
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
        let committer = &writer.committer;
        let owner = Owner {
            repository_id: committer.repository.header().repository_id,
            timeline: committer.timeline,
            epoch: committer.epoch,
            writer_id: committer.writer_id,
            flavor: writer.identity.flavor,
            source: writer.identity.describe(),
        };
        Capture {
            durability: Durability::new(owner),
            waits: None,
            watch: None,
            sealed: None,
            tail_sealed: None,
            covered_through_us: head.covered_through_us,
            covered_committed_us: head.covered_through_us,
            committer: Some(writer.committer),
            sealing: None,
            catalogue: writer.catalogue,
            identity: writer.identity,
            format_description: writer.format_description,
            last_event: LastEventTracker::new(writer.last_event),
            batch,
            batch_age: Stopwatch::start(),
            gtids_received: writer.gtids_received,
            commit_lo_us: writer.commit_lo_us,
            replica,
            options: options.clone(),
            clock: clock.clone(),
            progress,
            seal_due: false,
            retention_looked: None,
        }
    }

    /// From now on commits that did not wait are reported, those before the first look included.
    pub(super) fn watch(&mut self, watch: Watch, first: &Look) -> Result<()> {
        self.watch = Some(watch);
        self.waits = Some(Waits::default());
        self.looked(first)
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
        if let Err(error) = self.durability.disconnect().await {
            return Ended::Commit(error);
        }
        let mut connection = match self.connect(endpoint).await {
            Ok(connection) => connection,
            Err(error) if connect::is_failover(&error) => return self.leave(error, control).await,
            // A source that does not go on ends capture: what it sent before is committed.
            Err(error) => return self.broken(error, control).await,
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
                changed = self.durability.changed() => {
                    let acknowledged = match changed {
                        Ok(()) => self.durability.acknowledge(&mut connection.stream).await,
                        Err(error) => return Ended::Commit(error),
                    };
                    if let Err(error) = acknowledged {
                        return self.broken(error, control).await;
                    }
                }
                look = next_look(&mut self.watch) => {
                    if let Err(error) = self.looked(&look) {
                        return Ended::Commit(error);
                    }
                }
                () = control.seal_now.notified() => {
                    if let Err(ended) = self.tick(self.is_live(connection), endpoint, control).await { return ended; }
                }
                () = tokio::time::sleep(age_left) => {
                    if let Err(ended) = self.tick(self.is_live(connection), endpoint, control).await { return ended; }
                }
                packet = connection.stream.next(), if !self.is_paused() => {
                    let taken = match packet {
                        Ok(packet) => self.take(packet, connection),
                        Err(error) => Err(error),
                    };
                    if let Err(error) = taken {
                        return self.broken(error, control).await;
                    }
                    if let Err(ended) = self.taken(connection, control).await {
                        return ended;
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

    /// Whether reading waits: for the spool, or for the commit before a batch that is full.
    fn is_paused(&self) -> bool {
        self.durability.is_paused(self.batch.in_transaction())
            || (self.is_full() && self.sealing.is_some())
    }

    /// Packets were taken: on with them to the spool.
    async fn taken(
        &mut self,
        connection: &mut Connection,
        control: &CaptureControl,
    ) -> Result<(), Ended> {
        if failpoint::is_set(failpoint::ACK_ON_RECEIPT)
            && let Err(error) = self.durability.acknowledge(&mut connection.stream).await
        {
            return Err(self.broken(error, control).await);
        }
        self.hand_over().map_err(Ended::Commit)
    }

    /// Hands what was received to the spool.
    fn hand_over(&mut self) -> Result<()> {
        let commit_us = self.batch.transactions.iter().rev().find_map(|t| t.commit);
        self.durability.hand_over(Received {
            description: self.format_description.clone(),
            at_us: self.clock.now_us(),
            is_open: self.batch.in_transaction(),
            commit_us: commit_us.map(|commit| commit.at_us),
        })
    }

    /// What the next event follows, when it begins a file of the spool.
    fn beginning(&self, connection: &Connection) -> Result<Option<Beginning>> {
        let place = connection.assembler.position();
        let Some(begins_at) = place.filter(|_| self.durability.wants_beginning()) else {
            return Ok(None);
        };
        Ok(Some(Beginning {
            after_gtids: self.gtids_all()?,
            after_position: self.batch.position.clone(),
            begins_at: begins_at.clone(),
            clock_offset_us: connection.commit_clock.offset_us,
            clock_error_us: connection.commit_clock.offset_error_us,
            backlog_until: connection.commit_clock.backlog_until.clone(),
        }))
    }

    /// Takes a packet and what has already arrived behind it.
    fn take(&mut self, packet: Packet, connection: &mut Connection) -> Result<()> {
        let received_us = self.clock.now_us();
        let mut items = Vec::new();
        let mut next = Some(packet);
        let mut taken = 0;
        while let Some(packet) = next.take() {
            self.progress.event_bytes += packet.event.len() as u64;
            let (event, beginning) = (packet.event.clone(), self.beginning(connection)?);
            let transactions = self.progress.transactions;
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
            let ends_file = self.durability.take(&event, beginning);
            self.note_transaction(transactions);
            if packet.semi_sync_ack == Some(true) {
                self.note_flagged(connection)?;
            }
            taken += 1;
            if taken < PACKETS_AT_ONCE && !ends_file && !self.is_full() {
                next = connection.stream.try_next_buffered()?;
            }
        }
        Ok(())
    }

    /// With semi-sync, takes note of the transaction that came since there were `before` of them.
    fn note_transaction(&mut self, before: u64) {
        let row = self.batch.transactions.last();
        if let (Some(all), Some(row)) = (&mut self.waits, row)
            && self.progress.transactions > before
        {
            all.receive(row.seq, row.gtid.clone(), self.durability.received());
        }
    }

    /// The source was looked at: what is to be reported goes into a segment soon.
    fn looked(&mut self, look: &Look) -> Result<()> {
        let received = self.gtids_all()?;
        if let Some(waits) = &mut self.waits {
            self.seal_due |= waits.look(look, &received, self.durability.durable());
        }
        if let Some(watch) = &self.watch {
            watch.go_on();
        }
        Ok(())
    }

    /// The source waits for the event taken last: until its transaction is whole and durable.
    fn note_flagged(&mut self, connection: &mut Connection) -> Result<()> {
        let open = u64::from(self.batch.in_transaction());
        let transactions = self.durability.received() + open;
        match connection.assembler.position() {
            Some(end) => connection.stream.note_flagged(end, transactions),
            None => Ok(()),
        }
    }

    pub(super) fn apply(
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
        self.last_event.see(&item);
        let is_commit = matches!(item, LogItem::Commit(_));
        self.batch
            .apply(item, &mut self.catalogue, clock, received_us)?;
        self.batch.spill_over(self.options.batch_memory_max)?;
        if is_commit {
            self.progress.transactions += 1;
            self.durability.receive()?;
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
    pub(super) fn gtids_all(&self) -> Result<GtidSet> {
        let mut all = self.gtids_received.clone();
        all.union(&self.batch.gtids_added)?;
        Ok(all)
    }

    /// The source had nothing more to send at this time of its clock.
    fn cover(&mut self, source_us: i64) {
        let through = Some(source_us.saturating_sub(COVER_MARGIN_US));
        self.covered_through_us = self.covered_through_us.max(through);
    }

    pub(super) fn is_full(&self) -> bool {
        !self.batch.in_transaction()
            && (self.batch.has_spilled()
                || self.batch.event_bytes() >= self.options.segment_bytes_max
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

/// The next look at whether commits wait; for ever where nobody looks.
async fn next_look(watch: &mut Option<Watch>) -> Look {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

mod connect;
mod packaging;
mod retention;
#[cfg(test)]
mod tests;
