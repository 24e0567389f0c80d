//! The `raw` column of transactions.parquet: what rebuilds the events of a transaction.
//!
//! Rows events are kept without their images, which stand in the change files, and statements
//! without their text, which stands in statements.parquet. The column is a sequence of records, in
//! the order of the events:
//!
//! | field | size | |
//! |---|---|---|
//! | kind | 1 byte | 0: verbatim event; 1: rows event cut before its images; 2: statement cut before its text |
//! | ordinal | unsigned LEB128, kinds 1 and 2 | `__event` of its images; `ordinal` of its text |
//! | length | unsigned LEB128 | bytes that follow |
//! | bytes | length | the event, or what of it stands before its images or text |
//!
//! A cut event is rebuilt as its bytes, its images in `__row` order or its text, and a CRC32 of all
//! that where the length in its header leaves room for one.

use crate::error::{Error, Result};
use bytes::Bytes;

pub(super) const VERBATIM: u8 = 0;
pub(super) const CUT: u8 = 1;
pub(super) const TEXT: u8 = 2;
/// Where the length of an event stands in its header.
const EVENT_LENGTH: std::ops::Range<usize> = 9..13;
const CHECKSUM_BYTES: usize = 4;
/// Room for the small records that follow a large one: to grow for them would copy it.
const SMALL_RECORDS_BYTES: usize = 512;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawRecord<'a> {
    /// A whole event.
    Verbatim(&'a [u8]),
    /// A rows event without its images and checksum.
    Cut {
        /// Its `__event`.
        event: i32,
        /// Header and post-header.
        head: &'a [u8],
    },
    /// A statement without its text and checksum.
    Text {
        /// Its `ordinal` in statements.parquet.
        ordinal: u32,
        /// All before the text.
        head: &'a [u8],
    },
}

/// What was cut from the events of one transaction.
pub trait EventContent {
    /// Appends the row images of the event with that `__event`: in `__row` order, before image
    /// first.
    ///
    /// # Errors
    /// Of the implementation.
    fn images(&mut self, event: i32, out: &mut Vec<u8>) -> Result<()>;

    /// Appends the text of the statement with that `ordinal`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when there is none.
    fn text(&mut self, ordinal: u32, out: &mut Vec<u8>) -> Result<()>;
}

/// Appends records.
#[derive(Debug, Default)]
pub struct RawWriter {
    bytes: Vec<u8>,
}

impl RawWriter {
    /// Appends a whole event.
    pub fn verbatim(&mut self, event: &[u8]) {
        self.bytes.reserve(event.len() + SMALL_RECORDS_BYTES);
        self.bytes.push(VERBATIM);
        put_uvarint(&mut self.bytes, event.len() as u64);
        self.bytes.extend_from_slice(event);
    }

    /// Appends a rows event that was cut before its images.
    pub fn cut(&mut self, event: i32, head: &[u8]) {
        self.cut_record(CUT, event.unsigned_abs(), head);
    }

    /// Appends a statement that was cut before its text.
    pub fn text(&mut self, ordinal: u32, head: &[u8]) {
        self.cut_record(TEXT, ordinal, head);
    }

    fn cut_record(&mut self, kind: u8, ordinal: u32, head: &[u8]) {
        self.bytes.push(kind);
        put_uvarint(&mut self.bytes, u64::from(ordinal));
        put_uvarint(&mut self.bytes, head.len() as u64);
        self.bytes.extend_from_slice(head);
    }

    /// The records so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records, leaving none; they are copied only where their buffer is much too large for
    /// them.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.bytes);
        match bytes.capacity() - bytes.len() <= bytes.len() / 8 {
            true => Bytes::from(bytes),
            false => Bytes::copy_from_slice(&bytes),
        }
    }

    /// Forgets all records, keeping the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Appends unsigned LEB128.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes unsigned LEB128 off the front; `None` when it does not end or exceeds 64 bits.
pub(crate) fn take_uvarint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Iterates over records; ends after the first error.
#[derive(Debug)]
pub struct RawReader<'a> {
    rest: &'a [u8],
}

impl<'a> RawReader<'a> {
    /// Reads the column's bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> RawReader<'a> {
        RawReader { rest: bytes }
    }

    fn record(&mut self) -> Option<RawRecord<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        let ordinal = match *kind {
            VERBATIM => 0,
            CUT | TEXT => take_uvarint(&mut self.rest)?,
            _ => return None,
        };
        let length = usize::try_from(take_uvarint(&mut self.rest)?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(match *kind {
            CUT => RawRecord::Cut {
                event: i32::try_from(ordinal).ok()?,
                head: bytes,
            },
            TEXT => RawRecord::Text {
                ordinal: u32::try_from(ordinal).ok()?,
                head: bytes,
            },
            _ => RawRecord::Verbatim(bytes),
        })
    }
}

impl<'a> Iterator for RawReader<'a> {
    type Item = Result<RawRecord<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let left = self.rest.len();
        let record = self.record();
        if record.is_none() {
            self.rest = &[];
        }
        Some(record.ok_or_else(|| {
            Error::corrupt("read raw events: malformed record").field("bytes_left", left)
        }))
    }
}

/// The events of a transaction as they were received.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when records are malformed or what was cut does
/// not fill the event; errors of `content`.
pub fn rebuild_events(raw: &[u8], content: &mut impl EventContent) -> Result<Vec<Bytes>> {
    let mut events = Vec::new();
    each_rebuilt_event(raw, content, |event| events.push(event))?;
    Ok(events)
}

/// As [`rebuild_events`], one event after the other.
///
/// # Errors
/// As [`rebuild_events`].
pub fn each_rebuilt_event(
    raw: &[u8],
    content: &mut impl EventContent,
    mut each: impl FnMut(Bytes),
) -> Result<()> {
    for record in RawReader::new(raw) {
        each(match record? {
            RawRecord::Verbatim(event) => Bytes::copy_from_slice(event),
            RawRecord::Cut { event, head } => {
                let mut bytes = head.to_vec();
                content.images(event, &mut bytes)?;
                end_event(&mut bytes).map_err(|e| e.field("event", event))?
            }
            RawRecord::Text { ordinal, head } => {
                let mut bytes = head.to_vec();
                content.text(ordinal, &mut bytes)?;
                end_event(&mut bytes).map_err(|e| e.field("statement", ordinal))?
            }
        });
    }
    Ok(())
}

/// Appends the checksum where the header's length asks for one.
fn end_event(bytes: &mut Vec<u8>) -> Result<Bytes> {
    let length = bytes
        .get(EVENT_LENGTH)
        .and_then(|l| l.try_into().ok())
        .map(|l| u32::from_le_bytes(l) as usize)
        .ok_or_else(|| Error::corrupt("rebuild event: header cut"))?;
    if length == bytes.len() + CHECKSUM_BYTES {
        let checksum = crc32fast::hash(bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }
    if length != bytes.len() {
        return Err(
            Error::corrupt("rebuild event: what was cut from it does not fill it")
                .field("length", length)
                .field("rebuilt", bytes.len()),
        );
    }
    Ok(Bytes::from(std::mem::take(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Content(&'static [u8], &'static [u8]);

    impl EventContent for Content {
        fn images(&mut self, event: i32, out: &mut Vec<u8>) -> Result<()> {
            assert_eq!(event, 300);
            out.extend_from_slice(self.0);
            Ok(())
        }

        fn text(&mut self, ordinal: u32, out: &mut Vec<u8>) -> Result<()> {
            assert_eq!(ordinal, 7);
            out.extend_from_slice(self.1);
            Ok(())
        }
    }

    /// An event of this content, and where the content starts.
    fn event(content: &[u8]) -> (Vec<u8>, usize) {
        let mut event = vec![7u8; 19];
        event.extend_from_slice(b"post header");
        let at = event.len();
        event.extend_from_slice(content);
        let length = event.len() as u32 + 4;
        event[9..13].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32fast::hash(&event);
        event.extend_from_slice(&checksum.to_le_bytes());
        (event, at)
    }

    #[test]
    fn events_come_back_with_their_checksum() {
        let (statement, text_at) = event(b"insert");
        let (rows, images_at) = event(b"images");
        let mut writer = RawWriter::default();
        writer.verbatim(b"gtid");
        writer.text(7, &statement[..text_at]);
        writer.cut(300, &rows[..images_at]);
        let raw = writer.take();
        let events = rebuild_events(&raw, &mut Content(b"images", b"insert"));
        let expected = [b"gtid".to_vec(), statement, rows].map(Bytes::from);
        assert_eq!(events.expect("rebuilt"), expected);
        assert!(rebuild_events(&raw, &mut Content(b"", b"insert")).is_err());
        assert!(rebuild_events(&raw, &mut Content(b"images", b"insert!")).is_err());
        let whole = [1 + 1 + 4, 1 + 1 + 4 + 3 + text_at];
        for cut in 1..raw.len() {
            let records: Vec<_> = RawReader::new(&raw[..cut]).collect();
            let is_whole = records.last().is_some_and(|r| r.is_ok());
            assert_eq!(is_whole, whole.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn uvarints_are_bounded() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            assert_eq!(take_uvarint(&mut bytes.as_slice()), Some(value));
        }
        assert_eq!(take_uvarint(&mut [0xff; 11].as_slice()), None);
        assert_eq!(take_uvarint(&mut [0x80].as_slice()), None);
    }
}
