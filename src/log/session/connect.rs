//! How a connection begins: who is there, what it still has, and where the dump starts.

use super::{Capture, Connection};
use crate::binlog::Assembler;
use crate::error::{Error, Result};
use crate::log::commit_time::CommitClock;
use crate::log::resume::continues;
use crate::position::{BinlogPosition, Flavor, GtidSet};
use crate::runtime::failpoint;
use crate::source::{
    Checksum, DumpFrom, DumpRefusal, Endpoint, EventStream, ReplicaConnection, ReplicaOptions,
    SqlClient, SqlSession, current_end, logged_gtids,
};

impl Capture {
    pub(super) async fn connect(&mut self, endpoint: &Endpoint) -> Result<Connection> {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let identity = client.identity().await?;
        self.identity.require_same_server(&identity)?;
        self.identity = identity;
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
        let logged = logged_gtids(&mut client).await?;
        client.close().await;
        let received = self.gtids_all()?;
        continues(&received, &logged)?;
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
        })
    }

    /// Starts the dump behind everything received; gives the position where it was asked by one.
    async fn dump(
        &self,
        endpoint: &Endpoint,
        received: GtidSet,
    ) -> Result<(EventStream, Option<BinlogPosition>)> {
        let by_gtid = self.resumes_by_gtid(&received);
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
        self.durability.require_all_durable()?;
        connection.start(from).await
    }

    /// The start of a dump acknowledges what lies before it, but only when it names a position:
    /// after a start by GTID a commit that we have, and whose acknowledgement was lost, goes on
    /// waiting, and on MariaDB no other commit gets past it.
    fn starts_at_position(&self) -> bool {
        self.options.semi_sync && u32::try_from(self.batch.position.offset).is_ok()
    }

    /// GTIDs survive a failover and need no file; without them, only the position is left.
    fn resumes_by_gtid(&self, received: &GtidSet) -> bool {
        match self.identity.flavor {
            Flavor::MariaDb => !received.is_empty(),
            Flavor::MySql => {
                let mode = self
                    .identity
                    .settings
                    .get("gtid_mode")
                    .map(|m| m.to_ascii_uppercase());
                mode.as_deref() == Some("ON") && !received.is_empty()
            }
        }
    }
}

fn is_purged(error: &Error) -> bool {
    let purged = DumpRefusal::Purged { missing: None };
    error.get("refusal") == Some(purged.name())
}
