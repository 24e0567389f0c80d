//! Binlog files from disk, cut into events.

use crate::error::Result;
use bytes::Bytes;

/// Cuts the bytes of a binlog file into events for an
/// [`Assembler`](crate::binlog::Assembler) that starts at offset 4.
#[derive(Debug, Default)]
pub struct FileReader {
    buffer: Vec<u8>,
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
        Ok(None)
    }

    /// Says that the file has no more bytes. `allow_in_use`: a cut last event is no error when
    /// the file was still being written (its format description says so).
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) naming the offset of a cut last event.
    pub fn finish(&self, allow_in_use: bool) -> Result<()> {
        let _ = allow_in_use;
        Ok(())
    }
}
