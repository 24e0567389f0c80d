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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    /// A compressed event of so many zeros that says to hold `claimed` bytes.
    fn event(zeros: usize, claimed: u64, length_bytes: usize) -> Bytes {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&vec![0; zeros]).expect("zlib");
        let length = claimed.to_be_bytes();
        let mut event = vec![0; HEADER_LEN + 4];
        event.push(length_bytes as u8);
        event.extend(length.iter().skip(8 - length_bytes));
        event.extend(packed.finish().expect("zlib"));
        event.into()
    }

    #[test]
    fn fault_35_bombs_are_refused_before_they_are_inflated() {
        const AT: usize = HEADER_LEN + 4;
        let plain = |event: &Bytes| plain_event(event, AT, event.len(), 2);
        let whole = plain(&event(1 << 20, 1 << 20, 4)).expect("what it says");
        assert_eq!(whole.len(), AT + (1 << 20));
        for (zeros, claimed, length_bytes) in [
            (1 << 20, u64::from(u32::MAX), 4),
            (1 << 20, (1 << 56) - 1, 7),
            (1 << 20, 2 << 30, 5),
            // It goes on where it should end, and ends where it should go on.
            (1 << 20, 10, 1),
            (1 << 20, (1 << 20) - 1, 4),
            (1 << 20, (1 << 20) + 1, 4),
            (1 << 20, 0, 0),
        ] {
            let error = plain(&event(zeros, claimed, length_bytes)).expect_err("a lie");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{claimed}: {error:?}");
        }
    }
}
