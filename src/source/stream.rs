//! The stream of a dump: whole binlog events, one a packet.
//!
//! A packet is a status byte (0), with semi-sync two bytes more (0xEF and a flag), and the event.
//! Whether the semi-sync header is there is seen on the first packet only, which is an artificial
//! ROTATE with timestamp 0: later on 0xEF is a legal first byte of a timestamp.

use super::ack::{self, AckGate, SEMI_SYNC_MAGIC};
use super::classify::dump_error;
use super::packet::{self, ServerError, malformed};
use super::wire::Wire;
use super::{Checksum, ReplicaOptions};
use crate::error::{Error, Result};
use crate::position::BinlogPosition;
use bytes::Bytes;

const SEMI_SYNC_ACK: u8 = 0x01;
/// Type of the event that every stream begins with.
const ROTATE: u8 = 4;
/// Length of an event's header, the least an event can have.
const EVENT_HEADER_BYTES: usize = 19;

/// One packet of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The whole event: header, body and, where the stream has one, checksum. It shares a block of
    /// up to half a megabyte with its neighbours: copy what is kept for long.
    pub event: Bytes,
    /// With semi-sync: whether the source waits for an acknowledgement of this event.
    pub semi_sync_ack: Option<bool>,
}

/// Field of the error of a dump that was accepted and never sent a packet.
pub const SILENT_START: &str = "silent_start";

/// The events a source sends; dropping it closes the connection, which is how a dump ends.
#[derive(Debug)]
pub struct EventStream {
    wire: Wire,
    first: Option<Packet>,
    is_semi_sync: bool,
    gate: AckGate,
    checksum: Checksum,
}

impl EventStream {
    /// Waits for the first packet after a dump command was sent.
    pub(super) async fn begin(
        mut wire: Wire,
        options: &ReplicaOptions,
        checksum: Checksum,
    ) -> Result<Self> {
        wire.set_silence_max(options.first_packet_timeout);
        let payload = wire.next().await.map_err(|e| match e.get("silence_ms") {
            Some(_) => e.field(SILENT_START, "the dump was accepted and nothing came"),
            None => e,
        })?;
        wire.set_silence_max(options.heartbeat.saturating_mul(2));
        let mut stream = EventStream {
            wire,
            first: None,
            is_semi_sync: payload.first() == Some(&packet::OK)
                && payload.get(1) == Some(&SEMI_SYNC_MAGIC),
            gate: AckGate::default(),
            checksum,
        };
        let first = stream.open(payload)?;
        // Only in an event with timestamp 0 does the byte tell a header from a timestamp.
        if first.event.get(..5) != Some(&[0, 0, 0, 0, ROTATE]) {
            return Err(malformed("read stream: it does not begin with its file"));
        }
        if stream.is_semi_sync && !options.semi_sync {
            return Err(malformed("read stream: semi-sync was not asked for"));
        }
        if !stream.is_semi_sync {
            // Nobody waits for an answer.
            stream.wire.gather();
        }
        stream.first = Some(first);
        Ok(stream)
    }

    /// Whether events end with a checksum.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Whether the source runs semi-sync on this stream.
    #[must_use]
    pub fn is_semi_sync(&self) -> bool {
        self.is_semi_sync
    }

    /// Says where the flagged event ends that was taken last: it may be acknowledged once
    /// `transactions` whole transactions of this capture are durable.
    ///
    /// # Errors
    /// `Internal` when the packet taken last was not flagged, `Corrupt` when the event is not
    /// behind the flagged one before it.
    pub fn note_flagged(&mut self, end: &BinlogPosition, transactions: u64) -> Result<()> {
        self.gate.flagged(end, transactions)
    }

    /// Acknowledges, in one packet, every flagged event of this connection that is safe now that
    /// `durable` whole transactions are; gives the position, `None` when nothing was due. The
    /// stream goes on meanwhile.
    ///
    /// # Errors
    /// `Unavailable` when the source does not take it.
    pub async fn acknowledge(&mut self, durable: u64) -> Result<Option<BinlogPosition>> {
        let Some(end) = self.gate.due(durable) else {
            return Ok(None);
        };
        self.wire.send_apart(&ack::packet(&end)?).await?;
        Ok(Some(end))
    }

    /// The next event. Cancel-safe.
    ///
    /// # Errors
    /// `Unavailable` when the connection ends or is silent for two heartbeats; what the source
    /// says, sorted as [`DumpRefusal`](super::DumpRefusal).
    pub async fn next(&mut self) -> Result<Packet> {
        if let Some(packet) = self.first.take() {
            return Ok(packet);
        }
        let payload = self.wire.next().await?;
        self.open(payload)
    }

    /// An event that has already been received, without waiting; for batching.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn try_next_buffered(&mut self) -> Result<Option<Packet>> {
        if let Some(packet) = self.first.take() {
            return Ok(Some(packet));
        }
        match self.wire.try_next()? {
            Some(payload) => self.open(payload).map(Some),
            None => Ok(None),
        }
    }

    fn open(&mut self, payload: Bytes) -> Result<Packet> {
        match payload.first() {
            Some(&packet::OK) => {}
            Some(&packet::ERR) => {
                return Err(dump_error("read stream", &ServerError::parse(&payload)));
            }
            Some(_) if packet::is_eof(&payload) => {
                return Err(Error::unavailable("read stream: the source ended it"));
            }
            _ => return Err(malformed("read stream")),
        }
        let mut event = payload.slice(1..);
        let mut semi_sync_ack = None;
        if self.is_semi_sync {
            let Some(&[SEMI_SYNC_MAGIC, flags]) = event.first_chunk::<2>() else {
                return Err(malformed("read semi-sync header"));
            };
            event = event.slice(2..);
            let wanted = flags & SEMI_SYNC_ACK != 0;
            if wanted {
                // The source starts a new sequence after each packet that it wants acknowledged.
                self.wire.expect_sequence(1);
                self.gate.received();
            }
            semi_sync_ack = Some(wanted);
        }
        if event.len() < EVENT_HEADER_BYTES {
            return Err(
                malformed("read event: shorter than its header").field("bytes", event.len())
            );
        }
        Ok(Packet {
            event,
            semi_sync_ack,
        })
    }
}

#[cfg(test)]
mod tests;
