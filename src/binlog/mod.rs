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

mod absent;
mod assembler;
mod cursor;
pub mod event;
mod file;
mod format_description;
mod gtid;
mod inflate;
mod metadata;
mod partial;
mod payload;
mod place;
pub(crate) mod query;
mod rows;
mod table_map;
pub mod write;
mod xa;

pub use assembler::Assembler;
pub use file::{FileReader, MAGIC};
pub use format_description::FormatDescription;
pub use table_map::{TableMap, build as build_table_map, parse as parse_table_map};
