//! From received events to committed segments.
//!
//! A transaction's ladder: received (items of an open `batch`) -> durable (in a synced file of the
//! `spool`, with that policy) -> acknowledged -> sealed (files encoded, sorted by key) -> committed
//! (its segment's manifest exists) -> dropped from the spool. `durability` owns this order;
//! [`capture`](run) drives one connection after the other; `resume` finds the place to go on from
//! the chain, `recover` from what the spool holds past it, never from a note about either.

mod absent;
mod batch;
mod commit;
mod commit_time;
mod durability;
mod fork;
mod guard;
mod history;
mod index;
mod ladder;
mod recover;
mod resume;
mod run;
mod savepoints;
mod seal;
mod session;
mod spill;
mod spool;
mod tail;
mod through;
mod transaction;
mod waits;
mod xa;

pub use durability::DurabilityPolicy;
pub use fork::{ForkAt, ForkReport, fork};
pub use resume::{CaptureOptions, CaptureProgress};
pub use run::{CaptureControl, CaptureEnd, finish, run};
pub use through::{TailStatus, check_tail, tail_status, through_tail};
