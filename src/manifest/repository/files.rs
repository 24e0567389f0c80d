//! Data files: put with their digests, read back only if they still have them.

use super::Repository;
use crate::error::{Error, Result, Wrap};
use crate::manifest::digest::{Crc32, Sha256};
use crate::manifest::segment::{FileEntry, ObjectRef};
use crate::storage::ObjectName;
use bytes::Bytes;
use std::ops::Range;

/// A stored object as its namer needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutFile {
    /// Length in bytes.
    pub length: u64,
    /// CRC-32.
    pub crc32: Crc32,
    /// SHA-256.
    pub sha256: Sha256,
}

impl PutFile {
    /// Length and digests of some bytes, as a member of a pack needs them.
    #[must_use]
    pub fn of(bytes: &[u8]) -> PutFile {
        PutFile {
            length: bytes.len() as u64,
            crc32: Crc32::of(bytes),
            sha256: Sha256::of(bytes),
        }
    }
}

/// Hashing more than this would hold up the sockets of the same thread.
const INLINE_BYTES_MAX: usize = 256 << 10;

async fn digest(bytes: &Bytes) -> Result<PutFile> {
    if bytes.len() <= INLINE_BYTES_MAX {
        return Ok(PutFile::of(bytes));
    }
    let bytes = bytes.clone();
    let task = tokio::task::spawn_blocking(move || PutFile::of(&bytes));
    task.await.wrap(|| Error::internal("hash object"))
}

impl Repository {
    /// Puts a file under a name that nobody else uses and gives what a manifest says of it.
    ///
    /// # Errors
    /// As [`Store::put`](crate::storage::Store::put).
    pub async fn put_file(&self, name: &ObjectName, bytes: Bytes) -> Result<PutFile> {
        let name = name.to_string();
        let (file, ()) =
            futures::future::try_join(digest(&bytes), self.store.put(&name, bytes.clone())).await?;
        Ok(file)
    }

    /// [`put_file`](Self::put_file) as an [`ObjectRef`].
    ///
    /// # Errors
    /// As [`Store::put`](crate::storage::Store::put).
    pub async fn put_object(&self, name: &ObjectName, bytes: Bytes) -> Result<ObjectRef> {
        let file = self.put_file(name, bytes).await?;
        Ok(ObjectRef {
            object: name.to_string(),
            length: file.length,
            crc32: file.crc32,
            sha256: file.sha256,
        })
    }

    /// The bytes of a file or pack member, checked against length and SHA-256.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is missing or differs.
    pub async fn get_file(&self, file: &FileEntry) -> Result<Bytes> {
        let bytes = self.range(&file.object, file_range(file)?).await?;
        check_file(file, bytes).await
    }

    /// A member of a pack that was read already, checked in the same way.
    ///
    /// # Errors
    /// As [`get_file`](Self::get_file).
    pub async fn member_of(&self, pack: &Bytes, file: &FileEntry) -> Result<Bytes> {
        let range = file_range(file)?;
        if range.end > pack.len() as u64 {
            return Err(missing(&file.object).field("offset", file.offset));
        }
        check_file(file, pack.slice(range.start as usize..range.end as usize)).await
    }

    /// The bytes of several files, in their order, each checked; members of one pack that
    /// follow each other are read together.
    ///
    /// # Errors
    /// As [`get_file`](Self::get_file).
    pub async fn get_files(&self, files: &[FileEntry]) -> Result<Vec<Bytes>> {
        let mut all = Vec::with_capacity(files.len());
        for run in files.chunk_by(same_object) {
            let ranges: Vec<Range<u64>> = run.iter().map(file_range).collect::<Result<_>>()?;
            let start = ranges.iter().map(|r| r.start).min().unwrap_or(0);
            let end = ranges.iter().map(|r| r.end).max().unwrap_or(0);
            let Some(first) = run.first() else { continue };
            let whole = self.range(&first.object, start..end).await?;
            for (file, range) in run.iter().zip(ranges) {
                // The range was read in full, so both ends are within it.
                let (from, to) = ((range.start - start) as usize, (range.end - start) as usize);
                all.push(check_file(file, whole.slice(from..to)).await?);
            }
        }
        Ok(all)
    }

    /// The bytes of an object, checked against length and SHA-256.
    ///
    /// # Errors
    /// As [`get_file`](Self::get_file).
    pub async fn get_object(&self, reference: &ObjectRef) -> Result<Bytes> {
        // Its end is read, too: an object that has grown is not the one that was named.
        let bytes = self.required(&reference.object).await?;
        let named = PutFile {
            length: reference.length,
            crc32: reference.crc32,
            sha256: reference.sha256,
        };
        check(&reference.object, 0, named, bytes).await
    }

    /// An object that something names.
    pub(super) async fn required(&self, name: &str) -> Result<Bytes> {
        let bytes = self.store.get(name).await?;
        bytes.ok_or_else(|| missing(name))
    }

    async fn range(&self, object: &str, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.store.get_range(object, range).await?;
        bytes.ok_or_else(|| missing(object))
    }
}

fn missing(name: &str) -> Error {
    Error::corrupt("find object that a manifest names")
        .field("object", name)
        .hint("restore the object from a mirror or a bucket version")
}

fn same_object(a: &FileEntry, b: &FileEntry) -> bool {
    a.object == b.object
}

fn file_range(file: &FileEntry) -> Result<Range<u64>> {
    let end = file.offset.checked_add(file.length);
    let end = end.ok_or_else(|| Error::corrupt("read file range").field("object", &file.object))?;
    Ok(file.offset..end)
}

async fn check_file(file: &FileEntry, bytes: Bytes) -> Result<Bytes> {
    let named = PutFile {
        length: file.length,
        crc32: file.crc32,
        sha256: file.sha256,
    };
    check(&file.object, file.offset, named, bytes).await
}

async fn check(object: &str, offset: u64, named: PutFile, bytes: Bytes) -> Result<Bytes> {
    let found = digest(&bytes).await?;
    if found == named {
        return Ok(bytes);
    }
    Err(Error::corrupt("check object against its manifest")
        .field("object", object)
        .field("offset", offset)
        .field("length", found.length)
        .field("wanted_length", named.length)
        .field("sha256", found.sha256)
        .field("wanted_sha256", named.sha256)
        .hint("restore the object from a mirror or a bucket version"))
}
