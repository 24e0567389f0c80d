//! The repository: reads and commits manifests over a store.

use super::base::BaseManifest;
use super::catalogue::Catalogue;
use super::digest::{Crc32, Sha256};
use super::repo::{Fork, RepoHeader, Timeline, WriterEpoch};
use super::segment::{FileEntry, ObjectRef, SegmentManifest};
use crate::error::Result;
use crate::position::{Flavor, Seq};
use crate::runtime::Clock;
use crate::storage::{BaseId, ObjectName, Store};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

/// An open repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Store,
    header: Arc<RepoHeader>,
}

/// A committed manifest with the hash that the next one links to.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredManifest {
    /// The manifest.
    pub manifest: Arc<SegmentManifest>,
    /// SHA-256 of its stored bytes.
    pub sha256: Sha256,
    /// Length of its stored bytes.
    pub length: u64,
}

/// How a commit ended.
#[derive(Clone, Debug)]
pub enum CommitOutcome {
    /// Ours is in the log (now, or since an earlier attempt).
    Committed(StoredManifest),
    /// A writer of a lower epoch was faster: its manifest is in the log. Move the head to it,
    /// number the batch anew and commit again.
    Adopt(StoredManifest),
}

/// Who claims an epoch.
#[derive(Clone, Debug)]
pub struct EpochClaim {
    /// Identity of the writer process.
    pub writer_id: Uuid,
    /// Host name, for people.
    pub host: String,
    /// Last committed entry that it knows of; `Seq(0)` when there is none.
    pub head_hint: Seq,
}

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

/// Reads manifests in order, ahead of its caller, and checks the chain as it goes.
#[derive(Debug)]
pub struct ManifestReader {}

impl ManifestReader {
    /// The next manifest; `None` after the last one of the range (or of the log, when the range
    /// has no end).
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when one is missing or the log ends before the
    /// range does, [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is damaged or does
    /// not follow.
    pub async fn next(&mut self) -> Result<Option<StoredManifest>> {
        todo!()
    }
}

impl Repository {
    /// Makes a repository of an empty prefix. Where a repository stands already, it is opened.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when something else is there.
    pub async fn init(store: Store, clock: &Clock) -> Result<Repository> {
        let _ = (store, clock);
        todo!()
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when there is none.
    pub async fn open(store: Store) -> Result<Repository> {
        let _ = store;
        todo!()
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &RepoHeader {
        &self.header
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All timelines, by number.
    ///
    /// # Errors
    /// As [`Store::get`] and [`Document::decode`](super::Document::decode).
    pub async fn timelines(&self) -> Result<Vec<Timeline>> {
        todo!()
    }

    /// One timeline.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when there is none of that number.
    pub async fn timeline(&self, timeline: u32) -> Result<Timeline> {
        let _ = timeline;
        todo!()
    }

    /// Makes the next timeline.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub async fn create_timeline(
        &self,
        flavor: Flavor,
        source: serde_json::Value,
        parent: Option<Fork>,
        clock: &Clock,
    ) -> Result<Timeline> {
        let _ = (flavor, source, parent, clock);
        todo!()
    }

    /// Claims the next writer epoch: from its first commit on, writers before are fenced.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub async fn claim_epoch(
        &self,
        timeline: u32,
        claim: &EpochClaim,
        clock: &Clock,
    ) -> Result<WriterEpoch> {
        let _ = (timeline, claim, clock);
        todo!()
    }

    /// The newest committed manifest of a timeline; `None` before the first one.
    ///
    /// # Errors
    /// As [`Store::list`] and [`Document::decode`](super::Document::decode).
    pub async fn head(&self, timeline: u32) -> Result<Option<StoredManifest>> {
        let _ = timeline;
        todo!()
    }

    /// The manifest of the segment that holds an entry; `None` when the log does not reach it.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when the entry should be there and is not.
    pub async fn manifest(&self, timeline: u32, seq: Seq) -> Result<Option<StoredManifest>> {
        let _ = (timeline, seq);
        todo!()
    }

    /// Reads the manifests of the segments that hold the entries `from..=to`, in order; to the
    /// end of the log when `to` is `None`.
    ///
    /// # Errors
    /// As [`Store::list`]; damage is the reader's to report.
    pub async fn manifests(
        &self,
        timeline: u32,
        from: Seq,
        to: Option<Seq>,
    ) -> Result<ManifestReader> {
        let _ = (timeline, from, to);
        todo!()
    }

    /// Commits a manifest whose files have all been put. After an
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) error the outcome is unknown:
    /// commit the same manifest again, never another one under its name.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::ErrorKind::Fenced) when a higher epoch's manifest is there.
    pub async fn commit(&self, manifest: Arc<SegmentManifest>) -> Result<CommitOutcome> {
        let _ = manifest;
        todo!()
    }

    /// Puts a file under a name that nobody else uses and gives what a manifest says of it.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_file(&self, name: &ObjectName, bytes: Bytes) -> Result<PutFile> {
        let _ = (name, bytes);
        todo!()
    }

    /// [`put_file`](Self::put_file) as an [`ObjectRef`].
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_object(&self, name: &ObjectName, bytes: Bytes) -> Result<ObjectRef> {
        let _ = (name, bytes);
        todo!()
    }

    /// The bytes of a file or pack member, checked against length and SHA-256.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is missing or differs.
    pub async fn get_file(&self, file: &FileEntry) -> Result<Bytes> {
        let _ = file;
        todo!()
    }

    /// The bytes of several files, in their order, each checked; members of one pack are read
    /// together.
    ///
    /// # Errors
    /// As [`get_file`](Self::get_file).
    pub async fn get_files(&self, files: &[FileEntry]) -> Result<Vec<Bytes>> {
        let _ = files;
        todo!()
    }

    /// The bytes of an object, checked against length and SHA-256.
    ///
    /// # Errors
    /// As [`get_file`](Self::get_file).
    pub async fn get_object(&self, reference: &ObjectRef) -> Result<Bytes> {
        let _ = reference;
        todo!()
    }

    /// Writes a base manifest, all of whose files have been put: the base exists from now on.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::ErrorKind::Fenced) when another writer has made that attempt.
    pub async fn commit_base(&self, base: &BaseManifest) -> Result<()> {
        let _ = base;
        todo!()
    }

    /// The complete bases of a timeline, ascending by entry; of each entry the highest attempt.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn bases(&self, timeline: u32) -> Result<Vec<BaseId>> {
        let _ = timeline;
        todo!()
    }

    /// A base's manifest.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is missing or damaged.
    pub async fn base(&self, id: BaseId) -> Result<BaseManifest> {
        let _ = id;
        todo!()
    }

    /// The newest base at or before an entry.
    ///
    /// # Errors
    /// As [`base`](Self::base).
    pub async fn latest_base(&self, timeline: u32, seq: Seq) -> Result<Option<BaseManifest>> {
        let _ = (timeline, seq);
        todo!()
    }

    /// The catalogue as of the end of the segment that holds `seq` (`Seq(0)`: empty).
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when the log does not reach the entry.
    pub async fn catalogue_at(&self, timeline: u32, seq: Seq) -> Result<Catalogue> {
        let _ = (timeline, seq);
        todo!()
    }
}
