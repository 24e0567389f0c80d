//! Spool files after a crash: their events again, the torn end cut off, damage named.
//!
//! Only the newest file may end anywhere. A write that the crash has torn lies behind the last
//! sync, and the first mark written after a sync says how far that sync went: damage with such a
//! mark behind it was on disk once, and is an error; damage without one is the torn end.

use super::frame::{self, FileHead, Mark, Own};
use super::{SpoolDir, writer};
use crate::binlog::event::{CHECKSUM_LEN, Checksum, HEADER_LEN, has_valid_checksum, kind};
use crate::binlog::{FileReader, FormatDescription, MAGIC};
use crate::error::{Error, Result};
use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A file of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::log) struct SpoolFile {
    pub(in crate::log) number: u64,
    pub(in crate::log) path: PathBuf,
    /// No newer one is there: it may be torn.
    pub(in crate::log) is_newest: bool,
}

/// Where the bytes of a file come from.
trait Input: Read + Seek + fmt::Debug + Send {}

impl<T: Read + Seek + fmt::Debug + Send> Input for T {}

/// What messages say of the file that is read.
#[derive(Clone, Debug)]
struct Origin {
    /// Name of the field.
    field: &'static str,
    name: String,
    hint: &'static str,
    /// No newer one is there: it may be torn.
    is_newest: bool,
}

/// What a spool file gives.
#[derive(Debug)]
pub(in crate::log) enum Item {
    /// Whose events follow.
    Head(Box<FileHead>),
    /// The events that follow were received at this time of our clock.
    Received(i64),
    /// An event as received.
    Event(Bytes),
    /// The file was closed in order; see [`Mark::received_us`].
    End(i64),
}

impl SpoolDir {
    /// The files, the oldest first.
    ///
    /// # Errors
    /// `Corrupt` when one between two others is missing.
    pub(in crate::log) fn files(&self) -> Result<Vec<SpoolFile>> {
        let failed = |e| writer::failed("list spool directory", &self.path, e);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|n| n.to_str());
            let Some(digits) = name.and_then(|n| n.strip_suffix(".binlog")) else {
                continue;
            };
            let Some(number) = digits.parse().ok().filter(|_| digits.len() == 20) else {
                continue;
            };
            files.push(SpoolFile {
                number,
                path,
                is_newest: false,
            });
        }
        files.sort_by_key(|f| f.number);
        for pair in files.windows(2) {
            if let [before, after] = pair
                && before.number + 1 != after.number
            {
                return Err(Error::corrupt("read spool: a file is missing")
                    .field("before", before.path.display())
                    .field("after", after.path.display())
                    .hint("bring it back; without it what was acknowledged may be lost"));
            }
        }
        if let Some(newest) = files.last_mut() {
            newest.is_newest = true;
        }
        Ok(files)
    }
}

/// Reads one spool file from its start to its end.
#[derive(Debug)]
pub(in crate::log) struct SpoolReader {
    origin: Origin,
    file: Box<dyn Input>,
    reader: FileReader,
    buffer: Vec<u8>,
    crc32: crc32fast::Hasher,
    checksum: Checksum,
    /// The head's, once it was read.
    nonce: Option<u64>,
    has_ended: bool,
    is_done: bool,
    cut: Option<(u64, u64)>,
}

impl SpoolReader {
    pub(in crate::log) fn open(spool: &SpoolFile) -> Result<SpoolReader> {
        let file = File::open(&spool.path)
            .map_err(|e| writer::failed("open spool file", &spool.path, e))?;
        let origin = Origin {
            field: "file",
            name: spool.path.display().to_string(),
            hint: "bring the file back from a copy; or move the spool away and capture again from \
                   the source, if it still has the transactions behind the last segment",
            is_newest: spool.is_newest,
        };
        Ok(SpoolReader::new(origin, Box::new(file)))
    }

    /// A file that was put into a store as a whole.
    pub(in crate::log) fn object(name: String, bytes: Bytes) -> SpoolReader {
        let origin = Origin {
            field: "object",
            name,
            hint: "bring the object back from a mirror or a bucket version",
            is_newest: false,
        };
        SpoolReader::new(origin, Box::new(Cursor::new(bytes)))
    }

    fn new(origin: Origin, file: Box<dyn Input>) -> SpoolReader {
        let mut crc32 = crc32fast::Hasher::new();
        crc32.update(&MAGIC);
        SpoolReader {
            origin,
            file,
            reader: FileReader::new(),
            buffer: vec![0; READ_BYTES],
            crc32,
            checksum: Checksum::Crc32,
            nonce: None,
            has_ended: false,
            is_done: false,
            cut: None,
        }
    }

    /// Names the file in an error about what it holds.
    pub(in crate::log) fn named(&self, error: Error) -> Error {
        error.field(self.origin.field, &self.origin.name)
    }

    /// Where a torn end was cut off, and how many bytes of it there were.
    pub(in crate::log) fn cut(&self) -> Option<(u64, u64)> {
        self.cut
    }

    /// The next item, `None` at the end of what is whole.
    ///
    /// # Errors
    /// `Corrupt` naming the file and the offset for damage that no crash explains.
    pub(in crate::log) fn next(&mut self) -> Result<Option<Item>> {
        while !self.is_done {
            let offset = self.reader.offset().max(MAGIC.len() as u64);
            let event = match self.reader.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => match self.fill()? {
                    0 => return self.finish(offset).map(|()| None),
                    _ => continue,
                },
                Err(error) => return self.damaged(offset, &error).map(|()| None),
            };
            match self.take(&event, offset) {
                Ok(Some(item)) => return Ok(Some(item)),
                Ok(None) => {}
                Err(Refused::Damaged(error)) => {
                    return self.damaged(offset, &error).map(|()| None);
                }
                Err(Refused::Foreign(error)) => {
                    return Err(self.named(error));
                }
            }
        }
        Ok(None)
    }

    fn fill(&mut self) -> Result<usize> {
        let count = self.file.read(&mut self.buffer);
        let count = count.map_err(|e| self.unreadable(e))?;
        self.reader
            .feed(self.buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn take(&mut self, event: &Bytes, offset: u64) -> Result<Option<Item>, Refused> {
        let damaged = |what| Refused::Damaged(Error::corrupt(what));
        if self.has_ended {
            return Err(damaged("read spool file past its end mark"));
        }
        if event.get(4) == Some(&kind::FORMAT_DESCRIPTION) {
            let description = FormatDescription::parse(event).map_err(Refused::Damaged)?;
            self.checksum = description.checksum;
            // The first one is for those who read the file; the source's own follow as events.
            if offset == MAGIC.len() as u64 {
                self.crc32.update(event);
                return Ok(Some(Item::Event(event.clone())));
            }
        }
        let own = match is_own(event) {
            true if !has_valid_checksum(event) => return Err(damaged("verify spool event")),
            true => frame::parse(event).map_err(Refused::Foreign)?,
            false if self.checksum == Checksum::Crc32 && !has_valid_checksum(event) => {
                return Err(damaged("verify checksum of spool event"));
            }
            false => None,
        };
        let item = match own {
            None if self.nonce.is_none() => {
                return Err(damaged("read spool file without its head"));
            }
            None => Some(Item::Event(event.clone())),
            Some(Own::Head(head)) => {
                self.nonce = Some(head.nonce);
                Some(Item::Head(head))
            }
            Some(Own::Mark(mark)) => {
                self.verify(mark, offset)?;
                Some(Item::Received(mark.received_us))
            }
            Some(Own::End(mark)) => {
                self.verify(mark, offset)?;
                self.has_ended = true;
                Some(Item::End(mark.received_us))
            }
        };
        self.crc32.update(event);
        Ok(item)
    }

    /// What stands before a mark is what stood there when it was written.
    fn verify(&self, mark: Mark, offset: u64) -> Result<(), Refused> {
        let is_own = self.nonce == Some(mark.nonce) && mark.offset == offset;
        match is_own && mark.crc32 == self.crc32.clone().finalize() {
            true => Ok(()),
            false => Err(Refused::Damaged(Error::corrupt(
                "verify spool file up to its mark",
            ))),
        }
    }

    /// The file has no more bytes: `offset` is behind its last whole event.
    fn finish(&mut self, offset: u64) -> Result<()> {
        self.is_done = true;
        let length = self.length()?;
        if length > offset {
            return self.damaged(offset, &Error::corrupt("read the rest of a spool event"));
        }
        if self.origin.is_newest {
            self.cut = (self.nonce.is_none()).then_some((offset, 0));
            return Ok(());
        }
        match self.has_ended {
            true => Ok(()),
            false => Err(self.error("read spool file: its end is missing", offset)),
        }
    }

    /// An event cannot be what was written: torn by the crash, or damaged since.
    fn damaged(&mut self, offset: u64, error: &Error) -> Result<()> {
        self.is_done = true;
        if self.origin.is_newest && !self.was_synced(offset)? {
            self.cut = Some((offset, self.length()?.saturating_sub(offset)));
            return Ok(());
        }
        Err(self
            .error("read damaged spool file", offset)
            .source(error.report()))
    }

    fn error(&self, what: &'static str, offset: u64) -> Error {
        self.named(Error::corrupt(what))
            .field("offset", offset)
            .hint(self.origin.hint)
    }

    fn unreadable(&self, error: io::Error) -> Error {
        writer::failed("read spool file", Path::new(&self.origin.name), error)
    }

    /// Nothing more is read from where the file stood.
    fn length(&mut self) -> Result<u64> {
        let length = self.file.seek(SeekFrom::End(0));
        length.map_err(|e| self.unreadable(e))
    }

    /// Whether a mark behind `offset` says that the file was on disk past it.
    fn was_synced(&mut self, offset: u64) -> Result<bool> {
        let sought = self.file.seek(SeekFrom::Start(offset));
        sought.map_err(|e| self.unreadable(e))?;
        let mut window = Vec::new();
        loop {
            let count = self.file.read(&mut self.buffer);
            let count = count.map_err(|e| self.unreadable(e))?;
            window.extend_from_slice(self.buffer.get(..count).unwrap_or_default());
            let whole = window.len().saturating_sub(frame::MARK_BYTES - 1);
            for start in 0..whole {
                let bytes = window.get(start..).unwrap_or_default();
                let signed = bytes.get(HEADER_LEN..HEADER_LEN + frame::SIGNATURE.len());
                if signed == Some(&frame::SIGNATURE)
                    && let Some(mark) = frame::mark_at(bytes)
                    && mark.synced > offset
                    && self.nonce.is_none_or(|nonce| nonce == mark.nonce)
                {
                    return Ok(true);
                }
            }
            if count == 0 {
                return Ok(false);
            }
            window.drain(..whole);
        }
    }
}

/// Why an event is not taken.
enum Refused {
    /// These are not the bytes that were written.
    Damaged(Error),
    /// They are, and are not for this version.
    Foreign(Error),
}

fn is_own(event: &[u8]) -> bool {
    event.get(4) == Some(&kind::IGNORABLE)
        && event.len() >= HEADER_LEN + frame::SIGNATURE.len() + CHECKSUM_LEN
        && event
            .get(HEADER_LEN..)
            .is_some_and(|body| body.starts_with(&frame::SIGNATURE))
}
