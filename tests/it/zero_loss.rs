//! Nothing that a client was told is lost: durable before acknowledged, killed at every step.

mod crash;
mod faults;
pub(crate) mod harness;
mod order;
mod order_s3;
mod store;
