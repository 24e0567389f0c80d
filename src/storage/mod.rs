//! Objects: their names, and the stores they are put in.
//!
//! Every object is written once. Data goes under names that nobody else uses ([`Store::put`]);
//! what must exist only once is created conditionally ([`Store::create`]), and an ambiguous
//! create is repeated with the same bytes until its outcome is known.

mod names;
mod store;

pub use names::{BaseFile, BaseId, ObjectName, SegmentFile, SegmentFolder};
pub use store::{Created, Store, StoreOptions};
