//! What the process gets from outside, in one place: time, randomness, threads and signals.
//!
//! Nothing else in the crate reads a clock or makes a random number, so that a test can hold
//! both still.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place that reads clocks and makes random numbers"
)]

mod clock;
mod compute;
#[cfg(test)]
pub(crate) mod determinism;
pub mod failpoint;
pub mod ids;
mod shutdown;
mod temporary;

pub use clock::{Clock, Deadline, ManualClock, Stopwatch};
pub use compute::Compute;
pub use shutdown::{Shutdown, ShutdownTrigger};
pub use temporary::{temporary_file, temporary_full};
