//! What stands in a spool file beside the source's events.
//!
//! A spool file is a binlog file: magic number, format description, then events. What tidelog adds
//! are events of a type that every reader of binlogs skips (type 28, flagged as ignorable and as
//! not being of the source's file): a *head* that says whose events these are, a *mark* before each
//! group that was received together, an *end* when the file was closed in order. A mark carries the
//! CRC-32 of all bytes before it and how far the file was known to be on disk when it was written:
//! damage behind that place may be a torn write, damage before it never is. It also repeats the
//! head's random nonce, so that a row that holds the bytes of a mark is not taken for one.

use crate::binlog::MAGIC;
use crate::binlog::event::{CHECKSUM_LEN, checksum, has_valid_checksum, kind};
use crate::binlog::event::{EventHeader, FLAG_ARTIFICIAL, FLAG_IGNORABLE, HEADER_LEN};
use crate::error::{Error, Result, Wrap};
use crate::manifest::Sha256;
use crate::position::{BinlogPosition, Flavor, GtidSet};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Version of this format.
pub(crate) const SPOOL_FORMAT: u32 = 1;
/// First bytes of the body of an event of ours.
pub(super) const SIGNATURE: [u8; 8] = *b"tidelog\0";

const HEAD: u8 = 1;
const MARK: u8 = 2;
const END: u8 = 3;

/// Whole length of a mark, and of an end.
pub(super) const MARK_BYTES: usize = HEADER_LEN + SIGNATURE.len() + 1 + 36 + CHECKSUM_LEN;

/// Whose events a spool file holds, and what they follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileHead {
    /// [`SPOOL_FORMAT`].
    pub(crate) format: u32,
    /// Repository that the events belong to.
    pub(crate) repository_id: Uuid,
    /// Its timeline.
    pub(crate) timeline: u32,
    /// Epoch of the writer that received them.
    pub(crate) epoch: u64,
    /// That writer.
    pub(crate) writer_id: Uuid,
    /// Flavor of the source.
    pub(crate) flavor: Flavor,
    /// The source in one line, for messages.
    pub(crate) source: String,
    /// Number of the file; the next file has the next one.
    pub(crate) number: u64,
    /// Random; every mark of the file repeats it.
    pub(crate) nonce: u64,
    /// Everything that was received before the first event.
    pub(crate) after_gtids: GtidSet,
    /// End of the last transaction before the first event.
    pub(crate) after_position: BinlogPosition,
    /// Where the first event stands in the source's binlog.
    pub(crate) begins_at: BinlogPosition,
    /// Source's clock minus ours on this connection.
    pub(crate) clock_offset_us: i64,
    /// Bound of the error of `clock_offset_us`.
    pub(crate) clock_error_us: i64,
    /// Where the source stood when the connection was made.
    pub(crate) backlog_until: Option<BinlogPosition>,
    /// What only an object of the tail says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tail: Option<TailLink>,
}

/// How an object of the tail follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TailLink {
    /// Hash of the object before; `None` in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prev_sha256: Option<Sha256>,
    /// Length of all objects before.
    pub(crate) bytes_before: u64,
    /// The first event goes on with a transaction that the object before has not ended.
    pub(crate) continues: bool,
}

/// Before a group of events, or (an end) behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Mark {
    /// Nonce of the file.
    pub(in crate::log) nonce: u64,
    /// Where it stands in the spool file.
    pub(in crate::log) offset: u64,
    /// The file was on disk up to here when this was written; 0 in the tail, whose objects are
    /// there whole or not at all.
    pub(in crate::log) synced: u64,
    /// CRC-32 of the file's bytes before it.
    pub(in crate::log) crc32: u32,
    /// When the events behind it were received, our clock, microseconds since the epoch. At the end
    /// of an object of the tail: when the last transaction of the history up to there was committed,
    /// the source's clock; 0 where that is not known.
    pub(in crate::log) received_us: i64,
}

/// An event of ours, read back.
#[derive(Debug)]
pub(super) enum Own {
    Head(Box<FileHead>),
    Mark(Mark),
    End(Mark),
}

/// An event that stands in no binlog of the source.
fn event(code: u8, flags: u16, body: &[u8]) -> Result<Vec<u8>> {
    let length = HEADER_LEN + body.len() + CHECKSUM_LEN;
    let header = EventHeader {
        timestamp_s: 0,
        kind: code,
        server_id: 0,
        length: u32::try_from(length).wrap(|| Error::internal("write spool event over 4 GiB"))?,
        log_pos: 0,
        flags: flags | FLAG_ARTIFICIAL,
    };
    let mut event = header.to_bytes().to_vec();
    event.extend_from_slice(body);
    let sum = checksum(&event);
    event.extend_from_slice(&sum.to_le_bytes());
    Ok(event)
}

fn own(tag: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let mut body = SIGNATURE.to_vec();
    body.push(tag);
    body.extend_from_slice(payload);
    event(kind::IGNORABLE, FLAG_IGNORABLE, &body)
}

/// The start of a file: magic number, description, head, and the name and offset that the first
/// event has in the source's binlog. `description` is a format description as a dump repeats it.
pub(in crate::log) fn start(head: &FileHead, description: &[u8]) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(head).wrap(|| Error::internal("write spool head"))?;
    let mut rotate = head.begins_at.offset.to_le_bytes().to_vec();
    rotate.extend_from_slice(head.begins_at.file.as_bytes());
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(description);
    bytes.extend_from_slice(&own(HEAD, &json)?);
    bytes.extend_from_slice(&event(kind::ROTATE, 0, &rotate)?);
    Ok(bytes)
}

impl Mark {
    fn encode(self, tag: u8) -> Result<Vec<u8>> {
        let mut payload = self.nonce.to_le_bytes().to_vec();
        payload.extend_from_slice(&self.offset.to_le_bytes());
        payload.extend_from_slice(&self.synced.to_le_bytes());
        payload.extend_from_slice(&self.crc32.to_le_bytes());
        payload.extend_from_slice(&self.received_us.to_le_bytes());
        own(tag, &payload)
    }

    pub(in crate::log) fn group(self) -> Result<Vec<u8>> {
        self.encode(MARK)
    }

    pub(in crate::log) fn end(self) -> Result<Vec<u8>> {
        self.encode(END)
    }

    fn decode(payload: &[u8]) -> Option<Mark> {
        let (nonce, rest) = payload.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (synced, rest) = rest.split_first_chunk()?;
        let (crc32, rest) = rest.split_first_chunk()?;
        Some(Mark {
            nonce: u64::from_le_bytes(*nonce),
            offset: u64::from_le_bytes(*offset),
            synced: u64::from_le_bytes(*synced),
            crc32: u32::from_le_bytes(*crc32),
            received_us: i64::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

/// The event as one of ours, `None` for one of the source. Its checksum has been verified.
pub(super) fn parse(event: &[u8]) -> Result<Option<Own>> {
    let Some(header) = EventHeader::read(event) else {
        return Ok(None);
    };
    let body = event.get(HEADER_LEN..event.len().saturating_sub(CHECKSUM_LEN));
    let is_own = header.kind == kind::IGNORABLE && header.has(FLAG_ARTIFICIAL);
    let Some(rest) = body
        .and_then(|b| b.strip_prefix(&SIGNATURE))
        .filter(|_| is_own)
    else {
        return Ok(None);
    };
    let bad = || Error::corrupt("parse spool event");
    match rest.split_first().ok_or_else(bad)? {
        (&HEAD, json) => {
            let head: FileHead = serde_json::from_slice(json).wrap(bad)?;
            Ok(Some(Own::Head(Box::new(head))))
        }
        (&MARK, payload) => Ok(Some(Own::Mark(Mark::decode(payload).ok_or_else(bad)?))),
        (&END, payload) => Ok(Some(Own::End(Mark::decode(payload).ok_or_else(bad)?))),
        (tag, _) => Err(Error::incompatible("read spool event of a later version")
            .field("tag", tag)
            .hint("finish the spool with the version of tidelog that wrote it")),
    }
}

/// The whole mark at the start of `bytes`, if there is one.
pub(super) fn mark_at(bytes: &[u8]) -> Option<Mark> {
    let event = bytes.get(..MARK_BYTES)?;
    let is_whole = EventHeader::of(event).is_ok() && has_valid_checksum(event);
    match parse(event).ok().flatten().filter(|_| is_whole)? {
        Own::Mark(mark) | Own::End(mark) => Some(mark),
        Own::Head(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::binlog::FileReader;

    pub(crate) fn head(number: u64) -> FileHead {
        FileHead {
            format: SPOOL_FORMAT,
            repository_id: Uuid::from_u128(7),
            timeline: 1,
            epoch: 3,
            writer_id: Uuid::from_u128(8),
            flavor: Flavor::MySql,
            source: "mysql x".into(),
            number,
            nonce: 42,
            after_gtids: GtidSet::empty(Flavor::MySql),
            after_position: BinlogPosition::new("binlog.000001", 4),
            begins_at: BinlogPosition::new("binlog.000001", (1 << 33) + 4),
            clock_offset_us: -5,
            clock_error_us: 2,
            backlog_until: None,
            tail: None,
        }
    }

    pub(crate) fn description() -> Vec<u8> {
        const FILE: &[u8] = include_bytes!("../../../tests/data/binlog/mysql-types.binlog");
        let mut reader = FileReader::new();
        reader.feed(FILE);
        let event = reader.next_event().expect("whole").expect("an event");
        crate::binlog::write::repeated_description(&event).expect("a description")
    }

    #[test]
    fn what_is_written_is_read_back_as_a_binlog_file() {
        let head = head(9);
        let mut bytes = start(&head, &description()).expect("a start");
        let mark = Mark {
            nonce: 42,
            offset: bytes.len() as u64,
            synced: 77,
            crc32: 0xdead_beef,
            received_us: -1,
        };
        bytes.extend_from_slice(&mark.group().expect("a mark"));
        bytes.extend_from_slice(&mark.end().expect("an end"));
        assert_eq!(mark_at(&bytes[mark.offset as usize..]), Some(mark));
        let mut reader = FileReader::new();
        reader.feed(&bytes);
        let mut own = Vec::new();
        while let Some(event) = reader.next_event().expect("events") {
            assert!(has_valid_checksum(&event));
            own.push(parse(&event).expect("readable"));
        }
        reader.finish(false).expect("a whole file");
        let read = match own.as_slice() {
            [
                None,
                Some(Own::Head(read)),
                None,
                Some(Own::Mark(m)),
                Some(Own::End(e)),
            ] => {
                assert_eq!((*m, *e), (mark, mark));
                read
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(**read, head);
    }

    #[test]
    fn no_cut_or_changed_mark_is_taken_for_one() {
        let mark = Mark {
            nonce: 42,
            offset: 500,
            synced: 4,
            crc32: 1,
            received_us: 2,
        };
        let bytes = mark.group().expect("a mark");
        assert_eq!(bytes.len(), MARK_BYTES);
        for cut in 0..bytes.len() {
            assert_eq!(mark_at(&bytes[..cut]), None, "{cut}");
            let mut changed = bytes.clone();
            changed[cut] ^= 0x10;
            assert_eq!(mark_at(&changed), None, "{cut}");
        }
    }
}
