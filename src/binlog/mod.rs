//! Bytes <-> events <-> transactions of a binlog, for both flavors.
//!
//! Pure: no sockets, files or clock, and no panic on any bytes. [`Assembler`] takes the events of
//! a dump stream (or of a [`FileReader`]) one by one, checks each and gives the items of whole
//! transactions; [`mod@write`] goes the other way and makes events that a server applies in a
//! `BINLOG` statement, or rebuilds the received ones.
//!
//! Formats follow mysql-server `libs/mysql/binlog/event` and MariaDB `sql/log_event.h`; where they
//! differ the code branches on [`Flavor`](crate::position::Flavor).
#![deny(clippy::indexing_slicing)]

mod assembler;
pub mod event;
mod file;
pub mod write;

pub use assembler::Assembler;
pub use file::FileReader;
