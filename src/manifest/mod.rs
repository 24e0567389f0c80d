//! The log chain: what is committed, in which order, and who may write it.
//!
//! A segment has three lives: files put under unique names (they do not exist yet for any
//! reader), a [`SegmentManifest`] in memory, and the same manifest created in the log: from
//! then on all of it exists. Data types and [`chain`] are pure; [`Repository`] is the thin
//! executor over a [`Store`](crate::storage::Store).

mod base;
mod catalogue;
pub mod chain;
mod check;
mod digest;
mod document;
mod repo;
mod repository;
mod segment;
mod tail;

pub use base::{BaseManifest, BaseOrigin, BaseTable, SequenceState};
pub use catalogue::{Catalogue, ComputedColumns, Pending};
pub use digest::{Crc32, Sha256};
pub use document::{ABSENT_CELLS, DOCUMENT_BYTES_MAX, Document, EVENT_SKELETONS, FORMAT};
pub use repo::{Fork, RepoHeader, Timeline, WriterEpoch};
pub use repository::{
    CommitOutcome, Contender, EpochClaim, ManifestReader, PutFile, Repository, StoredManifest,
};
pub use segment::{
    Barrier, CommitTimes, Ddl, DecidedXa, FileEntry, FileOrder, FileRole, LastEvent, Mark,
    MarkKind, ObjectRef, OpenXa, SegmentManifest, UndoneRows, Unprotected,
};
pub use tail::TailPlace;

#[cfg(test)]
pub(crate) mod tests;
