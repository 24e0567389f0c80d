//! From received events to committed segments.
//!
//! A transaction's ladder: received (items of an open `batch`) -> sealed (files encoded, sorted
//! by key) -> committed (its segment's manifest exists). `commit` owns the write ordering;
//! [`capture`](run) drives one connection after the other; `resume` finds the place to go on
//! from the chain alone, never from a file of its own.

mod absent;
mod batch;
mod commit;
mod commit_time;
mod fork;
mod history;
mod index;
mod resume;
mod run;
mod savepoints;
mod seal;
mod session;
mod transaction;
mod xa;

pub use fork::{ForkAt, ForkReport, fork};
pub use resume::{CaptureOptions, CaptureProgress};
pub use run::{CaptureControl, CaptureEnd, run};
