//! Objects: their names, and the stores they are put in.
//!
//! Every object is written once. Data goes under names that nobody else uses ([`Store::put`]);
//! what must exist only once is created conditionally ([`Store::create`]), and an ambiguous
//! create is repeated with the same bytes until its outcome is known.
//!
//! A name becomes an object in three steps: [`ObjectName`] makes the text, [`Store`] checks it
//! and repeats, a backend (a file system, S3, memory, or faults around one of them) makes one
//! attempt.

mod backend;
mod fault;
mod file;
mod names;
mod object;
mod overlay;
mod probe;
mod retry;
mod s3;
mod store;

pub use fault::{FaultCounts, FaultPlan};
pub use names::{BaseFile, BaseId, ObjectName, SegmentFile, SegmentFolder};
pub use overlay::Frozen;
pub use store::{Created, Store, StoreOptions};
