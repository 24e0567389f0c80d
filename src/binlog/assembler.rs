//! Events in, items of whole transactions out.
//!
//! Every event passes four gates in this order: its length, its checksum, its position, its
//! meaning. What the dump thread made itself (announcements of a file, repeated format
//! descriptions, heartbeats) never moves the position.

mod meaning;
mod statement;
#[cfg(test)]
pub(super) mod tests;
mod transaction;

use super::event::{CHECKSUM_LEN, Checksum, EVENT_LEN_MAX, EventHeader};
use super::event::{FLAG_ARTIFICIAL, FLAG_IGNORABLE};
use super::event::{HEADER_LEN, has_valid_checksum, kind, name};
use super::format_description::FormatDescription;
use super::payload::Payload;
use super::place::Place;
use super::table_map::TableMaps;
use crate::change::LogItem;
use crate::error::{Error, ErrorKind, Result};
use crate::position::{BinlogPosition, Flavor};
use bytes::Bytes;
use std::ops::Range;
use transaction::Transaction;

/// Turns the events of one connection (or one file) into [`LogItem`]s in commit order.
///
/// One assembler serves one dump: make a new one for every connection.
#[derive(Debug)]
pub struct Assembler {
    flavor: Flavor,
    place: Place,
    committed: Option<BinlogPosition>,
    /// The format description in force; none before the first one.
    description: Option<FormatDescription>,
    maps: TableMaps,
    open: Option<Transaction>,
    /// A compressed transaction that is not read to its end.
    payload: Option<Payload>,
    has_failed: bool,
}

/// Bytes of a compressed transaction that one call inflates at least.
const INFLATE_STEP: usize = 8 << 20;

/// One event on its way through the assembler.
#[derive(Debug)]
struct Taken {
    bytes: Bytes,
    header: EventHeader,
    /// What stands between header and checksum.
    body: Range<usize>,
    /// It came out of a compressed event.
    nested: bool,
}

impl Taken {
    fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }
}

impl Assembler {
    /// An assembler for a dump that starts at `start`: positions must then follow each other
    /// without a hole. `None` for a dump by GTID set: the source says where it starts and may
    /// leave out transactions that the set contains, so the position may jump forward between
    /// transactions.
    #[must_use]
    pub fn new(flavor: Flavor, start: Option<BinlogPosition>) -> Self {
        Assembler {
            flavor,
            committed: start.clone(),
            place: Place::new(start),
            description: None,
            maps: TableMaps::new(flavor),
            open: None,
            payload: None,
            has_failed: false,
        }
    }

    /// Takes one whole event (header and checksum included) and appends what it means to `out`.
    /// After `push`, call [`more`](Self::more) until it says `false`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) naming the position for a checksum, length or
    /// position that is wrong, for an incident event and for bytes that are no event;
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) for an event type that is not known
    /// and not ignorable, and for the other flavor. Nothing may be pushed after an error.
    pub fn push(&mut self, event: Bytes, out: &mut Vec<LogItem>) -> Result<()> {
        if self.has_failed || self.payload.is_some() {
            return Err(Error::internal("push event")
                .field("failed", self.has_failed)
                .hint("call more() to the end; make a new assembler after an error"));
        }
        let before = self.place.get().map(|at| at.offset);
        let code = event.get(4).copied();
        self.take(event, out)
            .map_err(|error| self.fail(error, before, code))
    }

    /// Appends further items of the event pushed last: a compressed transaction is inflated a
    /// few MiB at a time, so that it never stands in memory whole. `false` when there are none.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn more(&mut self, out: &mut Vec<LogItem>) -> Result<bool> {
        if self.payload.is_none() {
            return Ok(false);
        }
        let before = self.place.get().map(|at| at.offset);
        let step = self.inflate(out);
        step.map_err(|error| self.fail(error, before, Some(kind::TRANSACTION_PAYLOAD)))?;
        Ok(true)
    }

    /// End of the last event taken; `None` before the source has said where it starts.
    #[must_use]
    pub fn position(&self) -> Option<&BinlogPosition> {
        self.place.get()
    }

    /// Where to resume by position: everything before it was given in whole transactions.
    #[must_use]
    pub fn committed(&self) -> Option<&BinlogPosition> {
        self.committed.as_ref()
    }

    /// Whether a transaction has begun and not ended.
    #[must_use]
    pub fn is_inside_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// The format description in force.
    #[must_use]
    pub fn format_description(&self) -> Option<&FormatDescription> {
        self.description.as_ref()
    }

    /// Names the event that could not be taken by where it starts: an event that fails never
    /// changed the file before.
    #[cold]
    fn fail(&mut self, error: Error, offset: Option<u64>, code: Option<u8>) -> Error {
        self.has_failed = true;
        let error = match code {
            Some(code) => error.field("event", name(code)),
            None => error,
        };
        match (self.place.get(), offset) {
            (Some(at), Some(offset)) => {
                error.field("position", BinlogPosition::new(at.file.as_str(), offset))
            }
            _ => error.field("position", "unknown"),
        }
    }

    fn take(&mut self, bytes: Bytes, out: &mut Vec<LogItem>) -> Result<()> {
        let header = EventHeader::of(&bytes)?;
        if bytes.len() > EVENT_LEN_MAX {
            return Err(Error::corrupt("read event longer than any server writes")
                .field("bytes", bytes.len()));
        }
        let sum = self.checksum_len(&bytes, &header)?;
        let end = bytes.len().saturating_sub(sum).max(HEADER_LEN);
        let taken = Taken {
            body: HEADER_LEN..end,
            bytes,
            header,
            nested: false,
        };
        if is_artificial(&header) {
            return self.take_artificial(taken, out);
        }
        self.place.advance(&header, self.open.is_none())?;
        self.take_meaning(taken, out)?;
        self.settle();
        Ok(())
    }

    /// Notes the position as one to resume from when no transaction is open.
    fn settle(&mut self) {
        if self.open.is_some() || self.payload.is_some() {
            return;
        }
        match (&mut self.committed, self.place.get()) {
            // In place: a new file name would be an allocation for every transaction.
            (Some(committed), Some(at)) if committed.file == at.file => {
                committed.offset = at.offset;
            }
            (committed, at) => *committed = at.cloned(),
        }
    }

    /// Verifies the checksum and gives its length.
    fn checksum_len(&self, bytes: &[u8], header: &EventHeader) -> Result<usize> {
        if header.kind == kind::FORMAT_DESCRIPTION {
            // Verified where it is parsed.
            return Ok(CHECKSUM_LEN);
        }
        let expected = self.description.as_ref().map(|d| d.checksum);
        match expected {
            Some(Checksum::None) => Ok(0),
            Some(Checksum::Crc32) if has_valid_checksum(bytes) => Ok(CHECKSUM_LEN),
            Some(Checksum::Crc32) => Err(Error::corrupt("verify checksum of event")
                .field("bytes", bytes.len())
                .hint("read the event again; when it stays, the source's binlog is damaged")),
            // Before the first format description only the source's word on its file may come,
            // with or without a checksum.
            None if is_artificial(header) && has_valid_checksum(bytes) => Ok(CHECKSUM_LEN),
            None if is_artificial(header) => Ok(0),
            None => Err(Error::corrupt("read event before a format description")),
        }
    }

    fn take_artificial(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        match taken.header.kind {
            kind::ROTATE => {
                let (file, offset) = rotation(taken.body())?;
                self.maps.clear();
                self.place.announce(file, offset)?;
                self.settle();
            }
            kind::FORMAT_DESCRIPTION => self.take_description(taken, out)?,
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                let (file, offset) = heartbeat(self.flavor, &taken)
                    .ok_or_else(|| Error::corrupt("parse heartbeat event"))?;
                if self.open.is_none() && self.place.heartbeat(file, offset) {
                    out.extend(self.place.get().cloned().map(LogItem::Idle));
                }
                self.settle();
            }
            // MariaDB repeats its GTID list to tell how far it has skipped.
            kind::GTID_LIST => {}
            // Notes of whoever stored the stream.
            _ if taken.header.has(FLAG_IGNORABLE) => {}
            _ => {
                return Err(Error::new(
                    ErrorKind::Incompatible,
                    "read unknown event of the dump thread",
                ));
            }
        }
        Ok(())
    }

    fn take_description(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        let description = FormatDescription::parse(&taken.bytes)?;
        if description.flavor != self.flavor {
            return Err(Error::incompatible("read binlog of the other flavor")
                .field("expected", self.flavor)
                .field("found", description.flavor)
                .field("version", &description.server_version));
        }
        self.maps.clear();
        // A server that stopped in the middle of a transaction rolled it back: this file is the
        // next one, and no transaction spans two files.
        if self.open.take().is_some() {
            out.push(LogItem::Abandoned);
        }
        self.description = Some(description);
        out.push(LogItem::FormatDescription(taken.bytes));
        Ok(())
    }
}

/// Whether the dump thread made the event: it is not in the file.
fn is_artificial(header: &EventHeader) -> bool {
    match header.kind {
        kind::HEARTBEAT | kind::HEARTBEAT_V2 => true,
        kind::FORMAT_DESCRIPTION => header.log_pos == 0,
        kind::ROTATE => header.has(FLAG_ARTIFICIAL) || header.timestamp_s == 0,
        _ => header.has(FLAG_ARTIFICIAL),
    }
}

/// ROTATE: u64 offset, file name without a terminator.
fn rotation(body: &[u8]) -> Result<(&str, u64)> {
    let parsed = body.split_first_chunk::<8>().and_then(|(offset, file)| {
        let file = std::str::from_utf8(file).ok()?;
        let is_name = !file.is_empty() && !file.chars().any(|c| c.is_control() || c == '/');
        is_name.then_some((file, u64::from_le_bytes(*offset)))
    });
    parsed.ok_or_else(|| Error::corrupt("parse rotate event"))
}

/// Heartbeats name the file and, in the header or in 64 bits of their own, the offset.
fn heartbeat(flavor: Flavor, taken: &Taken) -> Option<(&[u8], u64)> {
    let mut cursor = super::cursor::Cursor::new(taken.body());
    if taken.header.kind == kind::HEARTBEAT {
        // MariaDB puts offsets over 32 bits before the name and 0 into the header.
        let offset = match (flavor, taken.header.log_pos) {
            (Flavor::MariaDb, 0) => cursor.u64()?,
            (_, offset) => u64::from(offset),
        };
        return Some((cursor.rest(), offset));
    }
    let (mut file, mut offset) = (None, None);
    while !cursor.is_empty() {
        let field = cursor.u8()?;
        if field == 0 {
            break;
        }
        let value = cursor.lenenc_bytes()?;
        match field {
            1 => file = Some(value),
            2 => offset = Some(super::cursor::Cursor::new(value).lenenc()?),
            _ => {}
        }
    }
    Some((file?, offset?))
}
