//! The `raw` column of transactions.parquet: what rebuilds the events of a transaction.
//!
//! Rows events are kept without their images, which stand in the change files. The column is a
//! sequence of records, in the order of the events:
//!
//! | field | size | |
//! |---|---|---|
//! | kind | 1 byte | 0: verbatim event; 1: rows event cut before its images |
//! | ordinal | unsigned LEB128, kind 1 only | `__event` of its images |
//! | length | unsigned LEB128 | bytes that follow |
//! | bytes | length | the event, or its header and post-header up to its images |
//!
//! A cut event is rebuilt as its bytes, its images in `__row` order, and a CRC32 of all that
//! where the length in its header leaves room for one.

use crate::error::{Error, Result};
use bytes::Bytes;

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
}

/// Appends records.
#[derive(Debug, Default)]
pub struct RawWriter {
    bytes: Vec<u8>,
}

impl RawWriter {
    /// Appends a whole event.
    pub fn verbatim(&mut self, event: &[u8]) {
        self.bytes.push(0);
        put_uvarint(&mut self.bytes, event.len() as u64);
        self.bytes.extend_from_slice(event);
    }

    /// Appends a rows event that was cut before its images.
    pub fn cut(&mut self, event: i32, head: &[u8]) {
        self.bytes.push(1);
        put_uvarint(&mut self.bytes, u64::from(event.unsigned_abs()));
        put_uvarint(&mut self.bytes, head.len() as u64);
        self.bytes.extend_from_slice(head);
    }

    /// The records so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all records, keeping the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Unsigned LEB128.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
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
}

impl<'a> Iterator for RawReader<'a> {
    type Item = Result<RawRecord<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.rest;
        None
    }
}

/// The events of a transaction as they were received.
///
/// `images` appends the row images of the event with that `__event` to the buffer: in `__row`
/// order, before image first.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when records are malformed or the images do not
/// fill the event; errors of `images`.
pub fn rebuild_events(
    raw: &[u8],
    images: impl FnMut(i32, &mut Vec<u8>) -> Result<()>,
) -> Result<Vec<Bytes>> {
    let _ = (raw, images);
    Err(Error::internal("not built yet"))
}
