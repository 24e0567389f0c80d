//! Runs DDL after the base again on the target, in its place between the rows ([`run`]) and in the
//! session it was logged with ([`session`]).

mod carried;
mod columns;
mod execute;
pub(super) mod run;
mod session;
