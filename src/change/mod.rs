//! What a source tells us, in commit order: the items between `binlog/` and `log/`.
//!
//! `binlog::Assembler` turns event bytes into [`LogItem`]s. Between a [`Begin`] and its
//! [`Commit`] stands one transaction; nothing else is ever between them. Every item of a
//! transaction carries the event it came from, so that the received bytes can be rebuilt.

mod absent;
mod image;
mod item;
pub mod json;

pub use absent::{Row, is_set, narrow, widen};
pub use image::{CellSize, ImageLayout, ImageWriter, decimal_size, filler_bits};
pub use item::{
    AbsentCells, Begin, Commit, CommitTime, CommitTimeSource, LogItem, Op, RowsEvent, RowsKind,
    Statement, StatementKind, TransactionKind, Undecoded,
};
