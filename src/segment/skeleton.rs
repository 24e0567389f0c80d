//! The compact form of the `raw` column: what a transaction has in common with others, and the rest.
//!
//! Two transactions of the same kind differ in few places of their events: times, positions,
//! counters, checksums. The *skeleton* of a transaction is its [raw records](super::RawWriter) with
//! all these places set to zero, so that a dictionary holds it once for thousands of rows. Most of
//! the values follow from the row's other columns; those that do not are *values*: {uvarint places
//! passed over since the last one, uvarint value}. Both together give the records back byte for
//! byte: a skeleton has its places where the records have them, which is looked at before it is stored.
//!
//! Places, in the order of the events; numbers are little endian:
//!
//! | where | bytes | taken to be |
//! |---|---|---|
//! | header: timestamp | 4 | that of the event before; of the first, the second of `commit_time` |
//! | header: server id | 4 | `server_id` |
//! | header: length | 4 | that of the record; of an event that was cut, 0 |
//! | header: end position | 4 | `end_offset` less the lengths of the events behind it |
//! | checksum of a whole event | 4 | CRC32 |
//! | GTID (MySQL): number, logical clock, times, length of the transaction (from 251 on) | 8, 8 + 8, 7 (55 bits) and 7, 2 to 8 | `gtid_gno`, `last_committed`, `sequence_number`, `commit_time` and 0, the sum of all lengths |
//! | GTID (MariaDB): number, group commit | 8, 8 | `gtid_seq_no`, 0 |
//! | query: thread, duration, microseconds among the status variables | 4, 4, 3 | `thread_id`, 0, 0 |
//! | rows query: length of the text | 1 | 0 |
//! | XID | 8 | `xid` |
//!
//! Source of the layouts: see `binlog`. Transactions with any other whole event are stored as
//! records.

use super::TransactionRow;
use super::raw::{CUT, TEXT, VERBATIM, put_uvarint, take_uvarint};
use crate::binlog::event::{CHECKSUM_LEN, HEADER_LEN, kind};
use crate::binlog::query;
use crate::error::{Error, Result};
use crate::position::Gtid;
use bytes::Bytes;
use std::collections::HashMap;

/// Records longer than this are hardly those of a second transaction.
const RECORDS_BYTES_MAX: usize = 8 << 10;
/// Bytes before the status variables of a query event.
const QUERY_HEAD: usize = HEADER_LEN + 13;

/// What a place is taken to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Time,
    ServerId,
    Length,
    Position,
    Checksum,
    GtidNumber,
    LastCommitted,
    SequenceNumber,
    CommitTime,
    TransactionLength,
    Thread,
    Xid,
    Nothing,
}

/// A number in the records that is not in the skeleton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: usize,
    bytes: usize,
    /// How many of its low bits; the others are the skeleton's.
    bits: u32,
    meaning: Meaning,
    /// Which event it is of.
    event: usize,
}

impl Place {
    fn mask(&self) -> u64 {
        u64::MAX >> (u64::BITS - self.bits)
    }

    fn read(&self, records: &[u8]) -> Option<u64> {
        let bytes = records.get(self.at..self.at + self.bytes)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |value, b| value << 8 | u64::from(*b)),
        )
    }

    /// Sets the number, and nothing else.
    fn write(&self, records: &mut [u8], value: u64) -> Option<()> {
        let kept = self.read(records)? & !self.mask();
        let bytes = (kept | value & self.mask()).to_le_bytes();
        let place = records.get_mut(self.at..self.at + self.bytes)?;
        place.copy_from_slice(bytes.get(..self.bytes)?);
        Some(())
    }
}

/// One event's bytes in the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    start: usize,
    end: usize,
    is_whole: bool,
}

/// Events and places of records, or of their skeleton: the same for both.
#[derive(Debug, Default, PartialEq, Eq)]
struct Layout {
    events: Vec<Event>,
    places: Vec<Place>,
}

impl Layout {
    /// Becomes the layout of these records; `None` where an event is none of those that are known.
    fn read(&mut self, records: &[u8]) -> Option<()> {
        self.events.clear();
        self.places.clear();
        let mut rest = records;
        while let Some((record, tail)) = rest.split_first() {
            rest = tail;
            if matches!(*record, CUT | TEXT) {
                take_uvarint(&mut rest)?;
            }
            let length = usize::try_from(take_uvarint(&mut rest)?).ok()?;
            let start = records.len() - rest.len();
            rest = rest.get(length..)?;
            let event = Event {
                start,
                end: start + length,
                is_whole: *record == VERBATIM,
            };
            self.event(records, event, *record)?;
        }
        Some(())
    }

    fn event(&mut self, records: &[u8], event: Event, record: u8) -> Option<()> {
        let bytes = records.get(event.start..event.end)?;
        let kind = *bytes.get(4)?;
        bytes.get(..HEADER_LEN)?;
        self.events.push(event);
        self.place(0, 4, Meaning::Time);
        self.place(5, 4, Meaning::ServerId);
        self.place(9, 4, Meaning::Length);
        self.place(13, 4, Meaning::Position);
        let known = match (record, kind) {
            (VERBATIM, kind::GTID | kind::ANONYMOUS_GTID) => self.gtid(bytes),
            (VERBATIM, kind::MARIADB_GTID) => self.mariadb_gtid(bytes),
            (VERBATIM | TEXT, kind::QUERY) => self.query(bytes),
            (VERBATIM | TEXT, kind::ROWS_QUERY) => {
                self.number(bytes, HEADER_LEN, 1, Meaning::Nothing)
            }
            (VERBATIM, kind::XID) => self.number(bytes, HEADER_LEN, 8, Meaning::Xid),
            (VERBATIM, kind::TABLE_MAP | kind::ANNOTATE_ROWS) | (CUT | TEXT, _) => Some(()),
            _ => None,
        };
        known?;
        if event.is_whole {
            let at = bytes.len().checked_sub(CHECKSUM_LEN)?;
            self.number(bytes, at, CHECKSUM_LEN, Meaning::Checksum)?;
        }
        Some(())
    }

    /// A place of the event that came last.
    fn place(&mut self, offset: usize, bytes: usize, meaning: Meaning) {
        let event = self.events.len().saturating_sub(1);
        let start = self.events.last().map_or(0, |event| event.start);
        self.places.push(Place {
            at: start + offset,
            bytes,
            bits: 8 * bytes as u32,
            meaning,
            event,
        });
    }

    fn number(
        &mut self,
        bytes: &[u8],
        offset: usize,
        length: usize,
        meaning: Meaning,
    ) -> Option<()> {
        // Places do not overlap: none starts before the end of the header.
        bytes.get(offset.max(HEADER_LEN)..offset + length)?;
        self.place(offset, length, meaning);
        Some(())
    }

    /// Flags, uuid, number, type of logical clock and its two numbers, time of the commit with a
    /// bit that says whether the original one follows, packed length of the transaction.
    fn gtid(&mut self, bytes: &[u8]) -> Option<()> {
        const NUMBER: usize = HEADER_LEN + 17;
        self.number(bytes, NUMBER, 8, Meaning::GtidNumber)?;
        if *bytes.get(NUMBER + 8)? != 2 {
            return None;
        }
        self.number(bytes, NUMBER + 9, 8, Meaning::LastCommitted)?;
        self.number(bytes, NUMBER + 17, 8, Meaning::SequenceNumber)?;
        let mut at = NUMBER + 25;
        self.number(bytes, at, 7, Meaning::CommitTime)?;
        self.places.last_mut()?.bits = 55;
        let has_original = bytes.get(at + 6)? & 0x80 != 0;
        at += 7;
        if has_original {
            self.number(bytes, at, 7, Meaning::Nothing)?;
            at += 7;
        }
        let length = match *bytes.get(at)? {
            // One byte, which stays: its value tells it from the marks of longer ones.
            0..=250 => return Some(()),
            252 => 2,
            253 => 3,
            254 => 8,
            _ => return None,
        };
        self.number(bytes, at + 1, length, Meaning::TransactionLength)
    }

    /// Number, domain, flags, and with flag 2 the group commit it was of.
    fn mariadb_gtid(&mut self, bytes: &[u8]) -> Option<()> {
        self.number(bytes, HEADER_LEN, 8, Meaning::GtidNumber)?;
        match bytes.get(HEADER_LEN + 12)? & 2 {
            0 => Some(()),
            _ => self.number(bytes, HEADER_LEN + 13, 8, Meaning::Nothing),
        }
    }

    fn query(&mut self, bytes: &[u8]) -> Option<()> {
        self.number(bytes, HEADER_LEN, 4, Meaning::Thread)?;
        self.number(bytes, HEADER_LEN + 4, 4, Meaning::Nothing)?;
        let length = bytes.get(QUERY_HEAD - 2..QUERY_HEAD)?;
        let length = usize::from(u16::from_le_bytes(length.try_into().ok()?));
        let vars = bytes.get(QUERY_HEAD..QUERY_HEAD + length)?;
        match query::microseconds_at(vars) {
            Some(at) => self.number(bytes, QUERY_HEAD + at, 3, Meaning::Nothing),
            None => Some(()),
        }
    }

    /// The places of the events' lengths.
    fn lengths(&self) -> impl Iterator<Item = &Place> {
        let places = self.places.iter();
        places.filter(|place| place.meaning == Meaning::Length)
    }

    fn record_length(&self, place: &Place) -> u64 {
        let event = self.events.get(place.event).filter(|event| event.is_whole);
        event.map_or(0, |event| (event.end - event.start) as u64)
    }
}

/// What places are taken to hold, in their order.
struct Guess<'a> {
    row: &'a TransactionRow,
    layout: &'a Layout,
    /// Of each event.
    lengths: &'a [u64],
    /// Of all of them.
    total: u64,
    /// Of the events from this one on.
    behind: u64,
    /// Time of the event before.
    time: u64,
}

impl<'a> Guess<'a> {
    fn new(row: &'a TransactionRow, layout: &'a Layout, lengths: &'a [u64]) -> Guess<'a> {
        let total = lengths
            .iter()
            .fold(0, |sum: u64, length| sum.wrapping_add(*length));
        let commit_us = row.commit.map_or(0, |commit| commit.at_us);
        Guess {
            row,
            layout,
            lengths,
            total,
            behind: total,
            time: commit_us.div_euclid(1_000_000) as u64,
        }
    }

    /// For the next place; `records` are right up to there.
    fn next(&mut self, place: &Place, records: &[u8]) -> u64 {
        let row = self.row;
        let number = |value: Option<i64>| value.unwrap_or(0) as u64;
        place.mask()
            & match place.meaning {
                Meaning::Time => self.time,
                Meaning::ServerId => u64::from(row.server_id.unwrap_or(0)),
                Meaning::Length => self.layout.record_length(place),
                Meaning::Position => {
                    let length = self.lengths.get(place.event).copied().unwrap_or(0);
                    self.behind = self.behind.wrapping_sub(length);
                    let end = row.end.as_ref().map_or(0, |end| end.offset);
                    end.wrapping_sub(self.behind)
                }
                Meaning::Checksum => {
                    let event = self.layout.events.get(place.event);
                    let bytes = event.and_then(|event| records.get(event.start..place.at));
                    u64::from(crc32fast::hash(bytes.unwrap_or_default()))
                }
                Meaning::GtidNumber => match row.gtid {
                    Some(Gtid::MySql { gno, .. }) => gno,
                    Some(Gtid::MariaDb { seq_no, .. }) => seq_no,
                    None => 0,
                },
                Meaning::LastCommitted => number(row.last_committed),
                Meaning::SequenceNumber => number(row.sequence_number),
                Meaning::CommitTime => number(row.commit.map(|commit| commit.at_us)),
                Meaning::TransactionLength => self.total,
                Meaning::Thread => u64::from(row.thread_id.unwrap_or(0)),
                Meaning::Xid => row.xid.unwrap_or(0),
                Meaning::Nothing => 0,
            }
    }

    /// What the place holds in truth.
    fn learn(&mut self, place: &Place, value: u64) {
        if place.meaning == Meaning::Time {
            self.time = value;
        }
    }
}

/// Skeletons that are kept to be given out again.
const KEPT_MAX: usize = 256;

/// Packs row after row.
#[derive(Debug, Default)]
pub(super) struct Packer {
    /// With the layout that it has itself.
    kept: HashMap<Bytes, Layout>,
    layout: Layout,
    lengths: Vec<u64>,
    skeleton: Vec<u8>,
    values: Vec<u8>,
}

impl Packer {
    /// Skeleton and values of the row's records; `None` where they stay as they are.
    pub(super) fn pack(&mut self, row: &TransactionRow) -> Option<(Bytes, Option<Bytes>)> {
        let records = row.raw.as_ref();
        let records = records.filter(|raw| !raw.is_empty() && raw.len() <= RECORDS_BYTES_MAX)?;
        self.layout.read(records)?;
        self.lengths.clear();
        for place in self.layout.lengths() {
            self.lengths.push(place.read(records)?);
        }
        self.skeleton.clear();
        self.skeleton.extend_from_slice(records);
        self.values.clear();
        let mut guess = Guess::new(row, &self.layout, &self.lengths);
        let mut passed = 0;
        for place in &self.layout.places {
            let value = place.read(records)? & place.mask();
            if guess.next(place, records) == value {
                passed += 1;
            } else {
                put_uvarint(&mut self.values, passed);
                put_uvarint(&mut self.values, value);
                passed = 0;
            }
            guess.learn(place, value);
            place.write(&mut self.skeleton, 0)?;
        }
        let skeleton = self.keep()?;
        let values = !self.values.is_empty();
        Some((
            skeleton,
            values.then(|| Bytes::copy_from_slice(&self.values)),
        ))
    }

    /// The skeleton, if its layout is that of the records: then each place is filled with what was
    /// there, for what it is taken to hold follows from the row and the places before it.
    fn keep(&mut self) -> Option<Bytes> {
        if let Some((skeleton, layout)) = self.kept.get_key_value(self.skeleton.as_slice()) {
            return (*layout == self.layout).then(|| skeleton.clone());
        }
        let mut own = Layout::default();
        own.read(&self.skeleton)?;
        if own != self.layout {
            return None;
        }
        if self.kept.len() >= KEPT_MAX {
            self.kept.clear();
        }
        let skeleton = Bytes::copy_from_slice(&self.skeleton);
        self.kept.insert(skeleton.clone(), own);
        Some(skeleton)
    }
}

/// The records of a row that was stored as skeleton and values.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when they do not fit each other.
pub(super) fn unpack(
    row: &TransactionRow,
    skeleton: &[u8],
    values: Option<&[u8]>,
) -> Result<Bytes> {
    fill(row, skeleton, values.unwrap_or_default()).ok_or_else(|| {
        Error::corrupt("rebuild raw events: skeleton and values do not fit").field("seq", row.seq)
    })
}

fn fill(row: &TransactionRow, skeleton: &[u8], values: &[u8]) -> Option<Bytes> {
    let mut layout = Layout::default();
    layout.read(skeleton)?;
    let values = read_values(values, layout.places.len())?;
    let value_of = |index: usize| values.get(index).copied().flatten();
    let lengths = layout.places.iter().enumerate();
    let lengths = lengths.filter(|(_, place)| place.meaning == Meaning::Length);
    let lengths: Vec<u64> = lengths
        .map(|(index, place)| value_of(index).unwrap_or_else(|| layout.record_length(place)))
        .collect();
    let mut guess = Guess::new(row, &layout, &lengths);
    let mut records = skeleton.to_vec();
    for (index, place) in layout.places.iter().enumerate() {
        let guessed = guess.next(place, &records);
        let value = value_of(index).unwrap_or(guessed);
        if value & !place.mask() != 0 {
            return None;
        }
        place.write(&mut records, value)?;
        guess.learn(place, value);
    }
    Some(Bytes::from(records))
}

/// The values by place.
fn read_values(mut bytes: &[u8], places: usize) -> Option<Vec<Option<u64>>> {
    let mut values = vec![None; places];
    let mut next = 0_usize;
    while !bytes.is_empty() {
        let at = next.checked_add(usize::try_from(take_uvarint(&mut bytes)?).ok()?)?;
        *values.get_mut(at)? = Some(take_uvarint(&mut bytes)?);
        next = at + 1;
    }
    Some(values)
}

#[cfg(test)]
mod tests;
