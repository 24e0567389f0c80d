//! How a connection begins: who is there, what it still has, and where the dump starts.

use super::{Capture, Connection, Ended};
use crate::binlog::Assembler;
use crate::error::{Error, Result};
use crate::log::commit_time::CommitClock;
use crate::log::history::{self, Ours, StreamStart, Verdict};
use crate::log::run::{CaptureControl, visitor_identity};
use crate::position::{BinlogPosition, GtidSet};
use crate::runtime::{Clock, failpoint};
use crate::source::{
    Checksum, ClockOffset, DumpFrom, DumpRefusal, Endpoint, EventStream, FIRST_OFFSET,
    ReplicaConnection, ReplicaOptions, SourceHistory, SqlClient, SqlSession, current_end,
};
use std::time::Duration;

/// Bound of the questions before a dump: a connection that is half open answers none.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// What a source says before a dump.
struct Answers {
    source: SourceHistory,
    offset: ClockOffset,
    /// Our clock just before the end was read.
    read_at_us: i64,
    end: (BinlogPosition, GtidSet),
}

async fn ask(endpoint: &Endpoint, clock: &Clock) -> Result<Answers> {
    let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
    let source = SourceHistory::read(&mut client).await?;
    let probe = clock.clone();
    let offset = client.clock_offset(move || probe.now_us()).await?;
    let read_at_us = clock.now_us();
    let end = current_end(&mut client).await?;
    client.close().await;
    Ok(Answers {
        source,
        offset,
        read_at_us,
        end,
    })
}

/// The field of the error that ends a connection to another server with the same history.
const FAILED_OVER: &str = "failed_over_to";

impl Capture {
    pub(super) async fn connect(&mut self, endpoint: &Endpoint) -> Result<Connection> {
        let asking = Box::pin(ask(endpoint, &self.clock));
        let Ok(answers) = tokio::time::timeout(ASK_TIMEOUT, asking).await else {
            return Err(Error::unavailable("ask source for its history: no answer")
                .field("endpoint", endpoint.address())
                .field("seconds", ASK_TIMEOUT.as_secs()));
        };
        let Answers {
            source,
            offset,
            read_at_us,
            end: (position, gtids),
        } = answers?;
        let commit_clock = |until: &BinlogPosition, lo_us| CommitClock {
            offset_us: offset.offset_us,
            offset_error_us: offset.bound_us,
            backlog_until: Some(until.clone()),
            lo_us,
        };
        let received = self.gtids_all()?;
        let stream_start = self.compare(endpoint, &received, &source).await?;
        self.identity = source.identity;
        let commit_clock = commit_clock(&position, self.commit_lo_us);
        if gtids.is_subset(&received) && !gtids.is_empty() {
            self.cover(commit_clock.source_time_us(read_at_us));
        }
        let (stream, start) = self.dump(endpoint, received).await?;
        failpoint::place("receive.connected");
        if self.options.semi_sync && !stream.is_semi_sync() {
            tracing::warn!(source = %endpoint, "the source does not let commits wait for us");
        }
        Ok(Connection {
            stream,
            assembler: Assembler::new(self.identity.flavor, start),
            commit_clock,
            until: self.options.once.then_some((position, gtids)),
            start: stream_start,
        })
    }

    /// Whether the source still continues what was received.
    async fn compare(
        &self,
        endpoint: &Endpoint,
        received: &GtidSet,
        source: &SourceHistory,
    ) -> Result<StreamStart> {
        let ours = Ours {
            identity: &self.identity,
            gtids: received,
            position: &self.batch.position,
            format_description: &self.format_description,
            last_event: self.last_event.get(),
        };
        let (server_id, uuid) = visitor_identity(self.replica.1, self.options.server_id);
        let replica = ReplicaOptions::new(server_id, uuid);
        match history::examine(endpoint, &replica, &ours, source).await? {
            Verdict::Continues => Ok(StreamStart::new(&ours, source)),
            // Batch, spool and manifests speak of one server each: a writer begins anew with it.
            Verdict::FailedOver => Err(Error::unavailable(
                "continue stream: the source is another server now, with the same transactions",
            )
            .field("from", self.identity.describe())
            .field(FAILED_OVER, source.identity.describe())),
            Verdict::Stops(stop) => Err(stop.error(&ours, source)),
        }
    }

    /// Commits what came from a server that is the source no more; capture starts again from the
    /// head.
    pub(super) async fn leave(&mut self, error: Error, control: &CaptureControl) -> Ended {
        let closed = self.close(control).await;
        Ended::Commit(closed.err().unwrap_or(error))
    }

    /// Starts the dump behind everything received; gives the position where it was asked by one.
    async fn dump(
        &self,
        endpoint: &Endpoint,
        received: GtidSet,
    ) -> Result<(EventStream, Option<BinlogPosition>)> {
        let by_gtid = history::resumes_by_gtid(&self.identity, &received);
        if by_gtid && !self.starts_at_position() {
            return Ok((self.dial(endpoint, DumpFrom::Gtid(received)).await?, None));
        }
        let position = self.batch.position.clone();
        let from = DumpFrom::Position(position.clone());
        match self.dial(endpoint, from).await {
            // Its transactions are all here; GTIDs may still find what comes after them.
            Err(error) if by_gtid && is_purged(&error) => {
                Ok((self.dial(endpoint, DumpFrom::Gtid(received)).await?, None))
            }
            stream => Ok((stream?, Some(position))),
        }
    }

    async fn dial(&self, endpoint: &Endpoint, from: DumpFrom) -> Result<EventStream> {
        let (server_id, uuid) = self.replica;
        let mut replica = ReplicaOptions::new(server_id, uuid);
        replica.heartbeat = self.options.heartbeat;
        replica.semi_sync = self.options.semi_sync;
        let mut connection = ReplicaConnection::connect(endpoint, &replica).await?;
        // Behind a proxy two connections may reach two servers.
        let reached = connection.identity().await?;
        self.identity.require_same_server(&reached)?;
        if connection.checksum() == Checksum::None {
            return Err(Error::config("start dump: the source writes no checksums")
                .hint("SET GLOBAL binlog_checksum = CRC32 on the source"));
        }
        tracing::info!(source = %endpoint, position = %self.batch.position, ?from, "dump starts");
        self.durability.require_all_durable().await?;
        connection.start(from).await
    }

    /// The start of a dump acknowledges what lies before it, but only when it names a position:
    /// after a start by GTID a commit that we have, and whose acknowledgement was lost, goes on
    /// waiting, and on MariaDB no other commit gets past it. The start of a file is where nothing of
    /// ours ends: a server that took over may have transactions that we lack in earlier files.
    fn starts_at_position(&self) -> bool {
        let offset = self.batch.position.offset;
        self.options.semi_sync && offset > FIRST_OFFSET && u32::try_from(offset).is_ok()
    }
}

/// Whether a connection ended because another server with the same history is the source now.
pub(super) fn is_failover(error: &Error) -> bool {
    error.get(FAILED_OVER).is_some()
}

fn is_purged(error: &Error) -> bool {
    let purged = DumpRefusal::Purged { missing: None };
    error.get("refusal") == Some(purged.name())
}
