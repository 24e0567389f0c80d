//! MySQL's TRANSACTION_PAYLOAD (40): a transaction's events compressed as one, read back one by
//! one so that it never stands in memory whole.
//!
//! Body: fields of lenenc type, lenenc length, value (1 payload size, 2 compression: 0 zstd, 255
//! none, 3 size uncompressed), ended by type 0; then the payload. Events inside have no checksum.

use super::cursor::Cursor;
use super::event::{EVENT_LEN_MAX, EventHeader, HEADER_LEN};
use crate::error::{Error, Result, Wrap};
use bytes::{Buf, Bytes, buf::Reader};
use std::fmt;
use std::io::Read;

/// A payload that is being read.
pub(crate) struct Payload {
    source: Source,
    /// Bytes that must still come.
    left: u64,
}

enum Source {
    Plain(Reader<Bytes>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Reader<Bytes>>>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("left", &self.left).finish()
    }
}

impl Payload {
    /// Opens the payload in the body of a TRANSACTION_PAYLOAD event.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the fields are damaged,
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) for another compression.
    pub(crate) fn open(body: &Bytes) -> Result<Payload> {
        let damaged = || Error::corrupt("parse transaction payload");
        let head = Head::read(body).ok_or_else(damaged)?;
        let payload = body.slice(head.at..).reader();
        let (source, left) = match head.compression {
            0 => {
                let decoder = zstd::stream::read::Decoder::with_buffer(payload);
                let decoder = decoder.wrap(damaged)?;
                (Source::Zstd(Box::new(decoder)), head.uncompressed)
            }
            255 => (Source::Plain(payload), Some(head.size)),
            other => {
                return Err(Error::incompatible("read payload of unknown compression")
                    .field("algorithm", other));
            }
        };
        Ok(Payload {
            source,
            left: left.ok_or_else(damaged)?,
        })
    }

    /// The next event inside; `None` after the last.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the payload ends early, goes on after
    /// its end or holds no events.
    pub(crate) fn next_event(&mut self) -> Result<Option<Bytes>> {
        let damaged = || Error::corrupt("read event inside payload");
        if self.left == 0 {
            let mut more = Vec::new();
            let read = self.read(&mut more, 1);
            return match read {
                Ok(0) => Ok(None),
                Ok(_) => Err(damaged().hint("the payload is longer than it says")),
                Err(error) => Err(damaged().source(error)),
            };
        }
        let mut event = Vec::new();
        self.read(&mut event, HEADER_LEN).wrap(damaged)?;
        let header = EventHeader::read(&event).ok_or_else(damaged)?;
        let length = header.length as usize;
        let fits = u64::from(header.length) <= self.left && length <= EVENT_LEN_MAX;
        let body = length.checked_sub(HEADER_LEN).filter(|_| fits);
        let body = body.ok_or_else(|| damaged().field("length", length))?;
        // Grows with what really comes, not with what the header claims.
        event.reserve_exact(body.min(1 << 20));
        let got = self.read(&mut event, body).wrap(damaged)?;
        if got != body {
            return Err(damaged().field("length", length).field("got", event.len()));
        }
        self.left -= u64::from(header.length);
        Ok(Some(Bytes::from(event)))
    }

    fn read(&mut self, into: &mut Vec<u8>, n: usize) -> std::io::Result<usize> {
        match &mut self.source {
            Source::Plain(reader) => reader.take(n as u64).read_to_end(into),
            Source::Zstd(reader) => reader.take(n as u64).read_to_end(into),
        }
    }
}

struct Head {
    size: u64,
    compression: u64,
    uncompressed: Option<u64>,
    /// Where the payload starts in the body.
    at: usize,
}

impl Head {
    fn read(body: &[u8]) -> Option<Head> {
        let mut cursor = Cursor::new(body);
        let (mut size, mut compression, mut uncompressed) = (None, None, None);
        loop {
            let field = cursor.lenenc()?;
            if field == 0 {
                break;
            }
            let mut value = Cursor::new(cursor.lenenc_bytes()?);
            match field {
                1 => size = Some(value.lenenc()?),
                2 => compression = Some(value.lenenc()?),
                3 => uncompressed = Some(value.lenenc()?),
                // A field nobody here knows may change what the payload means.
                _ => return None,
            }
        }
        let (size, at) = (size?, cursor.at());
        (cursor.rest().len() as u64 == size).then_some(Head {
            size,
            compression: compression?,
            uncompressed,
            at,
        })
    }
}
