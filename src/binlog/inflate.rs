//! MariaDB's compressed rows and query events (`log_bin_compress`) made plain.
//!
//! The images (or the text) are one compressed record: a byte with the algorithm in bits 4..6 (0
//! is zlib) and the number of length bytes in bits 0..2, the length inflated (big endian), a
//! zlib stream. Everything before it is as in the plain event.

use super::cursor::Cursor;
use super::event::{EVENT_LEN_MAX, EventHeader, HEADER_LEN};
use crate::error::{Error, Result};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

/// The plain event of type `kind`: the header with its length and type set right, then `event`
/// up to `record_at` with what is compressed from there up to `end`. It has no checksum.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the record is damaged,
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) for another algorithm.
pub(crate) fn plain_event(event: &[u8], record_at: usize, end: usize, kind: u8) -> Result<Bytes> {
    let damaged = || Error::corrupt("inflate compressed event");
    let header = EventHeader::read(event).ok_or_else(damaged)?;
    let before = event.get(HEADER_LEN..record_at).ok_or_else(damaged)?;
    let record = event.get(record_at..end).ok_or_else(damaged)?;
    let mut cursor = Cursor::new(record);
    let head = cursor.u8().ok_or_else(damaged)?;
    if head & 0x70 != 0 {
        return Err(Error::incompatible("inflate event of unknown algorithm")
            .field("algorithm", (head & 0x70) >> 4));
    }
    let length = cursor
        .take(usize::from(head & 7))
        .ok_or_else(damaged)?
        .iter()
        .fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte));
    // A zlib stream never grows more than 1032 times: a longer claim is damage, not data.
    if length > EVENT_LEN_MAX || length / 1040 > record.len() {
        return Err(damaged().field("claimed", length));
    }
    let total = record_at + length;
    let mut plain = Vec::with_capacity(total);
    let made = EventHeader {
        kind,
        length: u32::try_from(total).map_err(|_| damaged())?,
        ..header
    };
    plain.extend_from_slice(&made.to_bytes());
    plain.extend_from_slice(before);
    let mut inflate = Decompress::new(true);
    let status = inflate.decompress_vec(cursor.rest(), &mut plain, FlushDecompress::Finish);
    let is_whole = matches!(status, Ok(Status::StreamEnd)) && plain.len() == total;
    if !is_whole {
        return Err(damaged().field("claimed", length).field("got", plain.len()));
    }
    Ok(Bytes::from(plain))
}
