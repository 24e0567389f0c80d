//! Events in, items of whole transactions out.

use crate::change::LogItem;
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Flavor};
use bytes::Bytes;

/// Turns the events of one connection (or one file) into [`LogItem`]s in commit order.
///
/// One assembler serves one dump: make a new one for every connection.
#[derive(Debug)]
pub struct Assembler {
    flavor: Flavor,
    position: Option<BinlogPosition>,
    committed: Option<BinlogPosition>,
}

impl Assembler {
    /// An assembler for a dump that starts at `start`: positions must then follow each other
    /// without a hole. `None` for a dump by GTID set: the source says where it starts and may
    /// leave out transactions that the set contains, so the position may jump forward between
    /// transactions.
    #[must_use]
    pub fn new(flavor: Flavor, start: Option<BinlogPosition>) -> Self {
        Assembler {
            flavor,
            committed: start.clone(),
            position: start,
        }
    }

    /// Takes one whole event (header and checksum included) and appends what it means to `out`.
    /// After `push`, call [`more`](Self::more) until it says `false`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) naming the position for a checksum, length or
    /// position that is wrong, for an incident event and for bytes that are no event;
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) for an event type that is not known
    /// and not ignorable, and for the other flavor. Nothing may be pushed after an error.
    pub fn push(&mut self, event: Bytes, out: &mut Vec<LogItem>) -> Result<()> {
        let _ = (event, out, self.flavor);
        Err(Error::internal("assemble event"))
    }

    /// Appends further items of the event pushed last: a compressed transaction is inflated a
    /// few MiB at a time, so that it never stands in memory whole. `false` when there are none.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn more(&mut self, out: &mut Vec<LogItem>) -> Result<bool> {
        let _ = out;
        Ok(false)
    }

    /// End of the last event taken; `None` before the source has said where it starts.
    #[must_use]
    pub fn position(&self) -> Option<&BinlogPosition> {
        self.position.as_ref()
    }

    /// Where to resume by position: everything before it was given in whole transactions.
    #[must_use]
    pub fn committed(&self) -> Option<&BinlogPosition> {
        self.committed.as_ref()
    }

    /// Whether a transaction has begun and not ended.
    #[must_use]
    pub fn is_inside_transaction(&self) -> bool {
        false
    }
}
