//! The few packets of the client protocol that a replica connection meets outside the stream.
//!
//! Formats: MySQL manual, "Client/Server Protocol", and MariaDB knowledge base, "Clients &
//! Server protocol". Everything here comes from outside and is read by checked access only.

use crate::error::{Error, Result};
use bytes::Bytes;

/// First byte of an OK packet, and of every packet of a dump stream.
pub(super) const OK: u8 = 0x00;
/// First byte of an authentication plugin's data.
pub(super) const AUTH_MORE: u8 = 0x01;
/// First byte of a request for a file of ours; refused always.
pub(super) const LOCAL_INFILE: u8 = 0xFB;
/// First byte of EOF and of an authentication switch.
pub(super) const EOF: u8 = 0xFE;
/// First byte of an error.
pub(super) const ERR: u8 = 0xFF;

/// Reads a packet from front to back; every method is `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// A little-endian number of `len` <= 8 bytes.
    fn uint(&mut self, len: usize) -> Option<u64> {
        let bytes = self.take(len)?.iter().rev();
        Some(bytes.fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A length-encoded integer; `None` also for the markers 0xFB and 0xFF.
    pub(super) fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            0xFC => self.uint(2),
            0xFD => self.uint(3),
            0xFE => self.uint(8),
            0xFB | 0xFF => None,
            small => Some(u64::from(small)),
        }
    }

    pub(super) fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.lenenc()?;
        self.take(usize::try_from(len).ok()?)
    }

    /// Bytes up to a NUL, which is consumed; `None` without one.
    pub(super) fn until_nul(&mut self) -> Option<&'a [u8]> {
        let len = self.0.iter().position(|&b| b == 0)?;
        let text = self.take(len)?;
        self.take(1)?;
        Some(text)
    }
}

/// Appends a length-encoded string.
pub(super) fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len() as u64;
    match len {
        0..0xFB => out.push(len as u8),
        0xFB..0x1_0000 => {
            out.push(0xFC);
            out.extend_from_slice(&(len as u16).to_le_bytes());
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&len.to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// An error of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    /// Error number, for example 1045.
    pub(super) code: u16,
    /// Its text, without the SQL state.
    pub(super) text: String,
}

impl ServerError {
    /// Reads an ERR packet (first byte 0xFF); the SQL state is absent before the handshake ends.
    pub(super) fn parse(packet: &[u8]) -> Self {
        let mut reader = Reader(packet);
        let code = reader.u8().and_then(|_| reader.u16()).unwrap_or(0);
        let mut text = reader.0;
        if text.first() == Some(&b'#') {
            text = text.get(6..).unwrap_or_default();
        }
        ServerError {
            code,
            text: String::from_utf8_lossy(text).into_owned(),
        }
    }
}

/// Whether a packet ends a result set or a stream: 0xFE and too short for a row.
pub(super) fn is_eof(packet: &[u8]) -> bool {
    packet.first() == Some(&EOF) && packet.len() < 9
}

/// A row of the text protocol: one value per column, `None` for NULL.
pub(super) fn text_row(packet: &Bytes, columns: usize) -> Result<Vec<Option<Bytes>>> {
    let bad = || malformed("read row").field("columns", columns);
    let mut reader = Reader(packet);
    let mut row = Vec::with_capacity(columns.min(64));
    for _ in 0..columns {
        if reader.0.first() == Some(&0xFB) {
            reader.u8();
            row.push(None);
            continue;
        }
        let value = reader.lenenc_bytes().ok_or_else(bad)?;
        row.push(Some(packet.slice_ref(value)));
    }
    match reader.0 {
        [] => Ok(row),
        _ => Err(bad()),
    }
}

/// An error for bytes that break the protocol: another attempt may get whole ones, and nothing
/// was stored, so it is retried.
pub(super) fn malformed(what: &'static str) -> Error {
    Error::unavailable(what).hint(
        "the bytes are not of the MySQL protocol: check that the port is that of a MySQL or \
         MariaDB server and that nothing between rewrites them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_round_trip() {
        for len in [0, 1, 250, 251, 65_535, 65_536, 70_000] {
            let mut out = Vec::new();
            put_lenenc_bytes(&mut out, &vec![7; len]);
            let mut reader = Reader(&out);
            assert_eq!(reader.lenenc_bytes().map(<[u8]>::len), Some(len));
            assert!(reader.0.is_empty());
        }
        assert_eq!(Reader(&[0xFD, 1, 2, 3]).lenenc(), Some(0x03_0201));
        assert_eq!(Reader(&[0xFE; 9]).lenenc_bytes(), None);
    }

    #[test]
    fn rows_hold_nulls_and_refuse_any_cut() {
        let packet = Bytes::from_static(b"\x03abc\xfb\x00\x01z");
        let row = text_row(&packet, 4).expect("a row");
        let texts: Vec<_> = row.iter().map(|v| v.as_deref()).collect();
        assert_eq!(texts, [Some(&b"abc"[..]), None, Some(b""), Some(b"z")]);
        for cut in 0..packet.len() {
            assert!(text_row(&packet.slice(..cut), 4).is_err(), "{cut}");
        }
        assert!(text_row(&packet, 3).is_err());
        assert!(text_row(&packet, usize::MAX).is_err());
    }

    #[test]
    fn errors_are_read_with_and_without_a_state() {
        let error = ServerError::parse(b"\xff\x15\x04#28000Access denied");
        assert_eq!((error.code, error.text.as_str()), (1045, "Access denied"));
        let early = ServerError::parse(b"\xff\x10\x04Too many connections");
        assert_eq!(
            (early.code, early.text.as_str()),
            (1040, "Too many connections")
        );
        for packet in [&b"\xff"[..], b"\xff\x15", b"\xff\x15\x04#2"] {
            ServerError::parse(packet);
        }
    }
}
