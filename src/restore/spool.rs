//! Files of a table on local disk while it is folded: a fold reads all of them at once, and they
//! do not fit into memory.

use crate::error::{Result, Wrap};
use crate::runtime::{temporary_file, temporary_full};
use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Files up to this size stay in memory.
const MEMORY_BYTES_MAX: usize = 64 << 10;

/// A whole file, in memory or in an unnamed temporary file. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Spooled {
    /// In memory.
    Memory(Bytes),
    /// On disk; it vanishes with its last owner.
    Disk(Arc<File>, u64),
}

impl Spooled {
    /// Takes over the bytes of a file.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the temporary folder is full.
    pub(super) fn new(bytes: Bytes) -> Result<Spooled> {
        if bytes.len() <= MEMORY_BYTES_MAX {
            // Many small files may be parts of one large buffer.
            return Ok(Spooled::Memory(Bytes::copy_from_slice(&bytes)));
        }
        let mut file = temporary_file()?;
        file.write_all(&bytes).wrap(temporary_full)?;
        Ok(Spooled::Disk(Arc::new(file), bytes.len() as u64))
    }
}

impl Length for Spooled {
    fn len(&self) -> u64 {
        match self {
            Spooled::Memory(bytes) => bytes.len() as u64,
            Spooled::Disk(_, length) => *length,
        }
    }
}

impl ChunkReader for Spooled {
    type T = SpooledRead;

    fn get_read(&self, start: u64) -> ParquetResult<SpooledRead> {
        Ok(SpooledRead {
            file: self.clone(),
            at: start,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if let Spooled::Memory(bytes) = self {
            return bytes.get_bytes(start, length);
        }
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads on from a place of a spooled file, whatever other readers do.
#[derive(Debug)]
pub(super) struct SpooledRead {
    file: Spooled,
    at: u64,
}

impl Read for SpooledRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &self.file {
            Spooled::Memory(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                let rest = bytes.get(at..).unwrap_or_default();
                io::Read::read(&mut &*rest, buffer)?
            }
            Spooled::Disk(file, _) => file.read_at(buffer, self.at)?,
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_read_alike() {
        let bytes: Bytes = (0..MEMORY_BYTES_MAX as u32 * 2)
            .map(|n| (n >> 3) as u8)
            .collect();
        let disk = Spooled::new(bytes.clone()).expect("spool");
        let memory = Spooled::Memory(bytes.clone());
        assert!(matches!(disk, Spooled::Disk(..)));
        for file in [disk, memory] {
            assert_eq!(file.len(), bytes.len() as u64);
            assert_eq!(
                file.get_bytes(70_000, 9).expect("bytes"),
                bytes.slice(70_000..70_009)
            );
            assert!(file.get_bytes(bytes.len() as u64 - 3, 9).is_err());
            let mut rest = Vec::new();
            file.get_read(131_000)
                .expect("read")
                .read_to_end(&mut rest)
                .expect("rest");
            assert_eq!(rest, bytes.slice(131_000..));
        }
    }
}
