//! Fetches the files of an epoch of a table, to be folded.

use super::spool::Spooled;
use super::table::{Epoch, PlannedTable};
use crate::error::{Error, Result};
use crate::manifest::{Crc32, FileEntry, ObjectRef, Repository, Sha256};
use crate::runtime::Compute;

/// Change files fetched in one call: bytes and number.
const FETCH_BYTES: u64 = 32 << 20;
const FETCH_FILES: usize = 256;

/// Where files come from, and where they are written to local disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch<'a> {
    repo: &'a Repository,
    compute: &'a Compute,
}

impl<'a> Fetch<'a> {
    /// Of a repository.
    pub(super) fn new(repo: &'a Repository, compute: &'a Compute) -> Fetch<'a> {
        Fetch { repo, compute }
    }

    /// The base files and the change files of an epoch of a table, in the order of its lists.
    ///
    /// # Errors
    /// Those of the repository, and of [`Spooled::new`].
    pub(super) async fn files(
        &self,
        table: &PlannedTable,
        epoch: &Epoch,
    ) -> Result<(Vec<Spooled>, Vec<Spooled>)> {
        let base = self.base_files(table, epoch).await?;
        Ok((base, self.change_files(table, epoch).await?))
    }

    async fn base_files(&self, table: &PlannedTable, epoch: &Epoch) -> Result<Vec<Spooled>> {
        let listed = epoch.base_files(table);
        let mut files = Vec::with_capacity(listed.len());
        for file in listed {
            if file.offset != 0 {
                return Err(Error::corrupt("read base file: it is a part of an object")
                    .field("object", &file.object));
            }
            let reference = ObjectRef {
                object: file.object.clone(),
                length: file.bytes,
                crc32: Crc32(file.crc32),
                sha256: Sha256(file.sha256),
            };
            let bytes = self.repo.get_object(&reference).await?;
            files.push(self.spool(vec![bytes]).await?);
        }
        Ok(files.into_iter().flatten().collect())
    }

    /// The change files of an epoch of a table.
    ///
    /// # Errors
    /// As [`files`](Self::files).
    pub(super) async fn change_files(
        &self,
        table: &PlannedTable,
        epoch: &Epoch,
    ) -> Result<Vec<Spooled>> {
        let listed = epoch.change_files(table).cloned();
        let listed: Vec<FileEntry> = listed.collect();
        let mut files = Vec::with_capacity(listed.len());
        let mut rest: &[FileEntry] = &listed;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |file: &&FileEntry| {
                bytes += file.length;
                bytes <= FETCH_BYTES
            };
            let count = rest
                .iter()
                .take(FETCH_FILES)
                .take_while(fits)
                .count()
                .max(1);
            let (now, later) = rest.split_at(count);
            files.extend(self.spool(self.repo.get_files(now).await?).await?);
            rest = later;
        }
        Ok(files)
    }

    async fn spool(&self, bytes: Vec<bytes::Bytes>) -> Result<Vec<Spooled>> {
        let spool = move || bytes.into_iter().map(Spooled::new).collect();
        self.compute.run(spool).await
    }
}
