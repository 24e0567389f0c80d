//! Binlog files from disk, cut into events.

use super::event::{EVENT_LEN_MAX, EventHeader, HEADER_LEN, kind};
use super::format_description::FormatDescription;
use crate::error::{Error, Result};
use crate::position::Flavor;
use bytes::{Buf, Bytes, BytesMut};

/// First bytes of a binlog file.
pub const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// First bytes of a file encrypted by MySQL (`binlog_encryption`).
const MAGIC_ENCRYPTED: [u8; 4] = [0xfd, b'b', b'i', b'n'];

/// Cuts the bytes of a binlog file into events for an
/// [`Assembler`](crate::binlog::Assembler) that starts at offset 4. Checks no more than it needs
/// to find the events: the assembler verifies them.
#[derive(Debug, Default)]
pub struct FileReader {
    buffer: BytesMut,
    /// Offset in the file of what `buffer` starts with.
    offset: u64,
    description: Option<FormatDescription>,
}

impl FileReader {
    /// A reader at the start of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; `None` when more bytes must be fed first.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) naming the offset when these bytes are no
    /// event, [`Incompatible`](crate::error::ErrorKind::Incompatible) for an encrypted file.
    pub fn next_event(&mut self) -> Result<Option<Bytes>> {
        if self.offset == 0 && !self.skip_magic()? {
            return Ok(None);
        }
        let Some(header) = EventHeader::read(&self.buffer) else {
            return Ok(None);
        };
        let length = header.length as usize;
        if !(HEADER_LEN..=EVENT_LEN_MAX).contains(&length) {
            return Err(Error::corrupt("find next event of binlog file")
                .field("offset", self.offset)
                .field("length", length));
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let event = self.buffer.split_to(length).freeze();
        self.note(&event, header)?;
        self.offset += u64::from(header.length);
        Ok(Some(event))
    }

    fn note(&mut self, event: &Bytes, header: EventHeader) -> Result<()> {
        match header.kind {
            kind::FORMAT_DESCRIPTION => {
                let description = FormatDescription::parse(event);
                self.description = Some(description.map_err(|e| e.field("offset", self.offset))?);
            }
            _ if self.description.is_none() => {
                return Err(
                    Error::corrupt("read binlog file without format description")
                        .field("offset", self.offset),
                );
            }
            // What follows is encrypted, lengths included.
            kind::START_ENCRYPTION => return Err(encrypted()),
            _ => {}
        }
        Ok(())
    }

    /// Says that the file has no more bytes. `allow_in_use`: a cut last event is no error when
    /// the file was still being written (its format description says so).
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) naming the offset of a cut last event.
    pub fn finish(&self, allow_in_use: bool) -> Result<()> {
        let is_in_use = self.description.as_ref().is_some_and(|d| d.in_use);
        let is_whole = self.buffer.is_empty() && self.description.is_some();
        if is_whole || (allow_in_use && is_in_use) {
            return Ok(());
        }
        Err(Error::corrupt("read binlog file to its end")
            .field("offset", self.offset)
            .field("bytes_left", self.buffer.len())
            .hint("the file is cut in the middle of an event"))
    }

    /// Offset in the file of the next event.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Flavor of the server that wrote the file; `None` before its first event was read.
    #[must_use]
    pub fn flavor(&self) -> Option<Flavor> {
        self.description.as_ref().map(|d| d.flavor)
    }

    fn skip_magic(&mut self) -> Result<bool> {
        let Some(magic) = self.buffer.first_chunk::<4>() else {
            return Ok(false);
        };
        match *magic {
            MAGIC => {
                self.buffer.advance(MAGIC.len());
                self.offset = MAGIC.len() as u64;
                Ok(true)
            }
            MAGIC_ENCRYPTED => Err(encrypted()),
            other => Err(Error::corrupt("read binlog file with a foreign start")
                .field("bytes", hex::encode(other))),
        }
    }
}

fn encrypted() -> Error {
    Error::incompatible("read encrypted binlog file")
        .hint("stream it from the server instead: the dump is not encrypted")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = include_bytes!("../../tests/data/binlog/mysql-types.binlog");

    fn count(reader: &mut FileReader) -> Result<usize> {
        let mut events = 0;
        while reader.next_event()?.is_some() {
            events += 1;
        }
        Ok(events)
    }

    #[test]
    fn chunks_of_any_size_give_the_same_events() {
        let mut whole = FileReader::new();
        whole.feed(FILE);
        let events = count(&mut whole).expect("whole file");
        assert!(events > 20);
        whole.finish(false).expect("whole");
        let mut bytewise = FileReader::new();
        let mut got = 0;
        for byte in FILE {
            bytewise.feed(&[*byte]);
            got += count(&mut bytewise).expect("whole file");
        }
        assert_eq!((got, bytewise.offset()), (events, FILE.len() as u64));
    }

    #[test]
    fn a_cut_file_is_never_a_clean_end() {
        let mut ends = 0;
        for cut in 0..FILE.len() {
            let mut reader = FileReader::new();
            reader.feed(FILE.get(..cut).unwrap());
            count(&mut reader).expect("a prefix holds whole events");
            let is_boundary = reader.offset() == cut as u64 && cut > 4;
            assert_eq!(reader.finish(false).is_ok(), is_boundary, "cut at {cut}");
            ends += usize::from(is_boundary);
        }
        assert!(ends > 20);
    }

    #[test]
    fn a_file_in_use_may_be_cut_when_allowed() {
        let mut bytes = FILE.to_vec();
        *bytes.get_mut(4 + 17).unwrap() |= 1;
        let mut reader = FileReader::new();
        reader.feed(bytes.get(..bytes.len() - 3).unwrap());
        count(&mut reader).expect("events");
        reader.finish(true).expect("allowed");
        let error = reader.finish(false).expect_err("not allowed");
        assert_eq!(error.get("offset"), Some("7341"));
    }

    #[test]
    fn other_files_are_refused() {
        for start in [
            &b"\xfdbin1234"[..],
            b"PAR1",
            b"\xfebin\x00\x00\x00\x00\x0f\0\0\0\0\x05\0\0\0\0\0\0\0\0\0",
        ] {
            let mut reader = FileReader::new();
            reader.feed(start);
            assert!(reader.next_event().is_err(), "{start:?}");
        }
    }
}
