//! The transaction that is open: what was seen of it and how it ends.

use crate::binlog::gtid::{Group, GtidEvent};
use crate::change::{Begin, Commit, TransactionKind};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Gtid};
use bytes::Bytes;

#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) group: Group,
    /// Events up to an ending one may follow: BEGIN was seen or is not needed.
    pub(crate) has_begun: bool,
    /// A row, a statement or something undecoded was seen.
    pub(crate) has_content: bool,
    pub(crate) thread_id: Option<u32>,
}

/// The item a transaction starts with, and its state.
pub(crate) fn begin(
    event: Bytes,
    server_id: u32,
    header_s: u32,
    parsed: GtidEvent,
) -> (Begin, Transaction) {
    let gtid = parsed.gtid.map(|gtid| match gtid {
        Gtid::MariaDb { domain, seq_no, .. } => Gtid::MariaDb {
            domain,
            server_id,
            seq_no,
        },
        mysql => mysql,
    });
    let transaction = Transaction {
        has_begun: matches!(parsed.group, Group::Open | Group::Prepared(_)),
        group: parsed.group,
        has_content: false,
        thread_id: None,
    };
    let begin = Begin {
        event,
        gtid,
        server_id,
        last_committed: parsed.last_committed,
        sequence_number: parsed.sequence_number,
        immediate_commit_us: parsed.immediate_us,
        original_commit_us: parsed.original_us,
        header_s,
        commit_id: parsed.commit_id,
        flags: parsed.flags,
    };
    (begin, transaction)
}

/// How an event ends its transaction.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The ending event; empty where another item has it.
    pub(crate) event: Bytes,
    pub(crate) kind: TransactionKind,
    pub(crate) xid: Option<u64>,
    pub(crate) xa: Option<Vec<u8>>,
    pub(crate) header_s: u32,
}

impl Ending {
    pub(crate) fn new(event: Bytes, kind: TransactionKind, header_s: u32) -> Self {
        Ending {
            event,
            kind,
            xid: None,
            xa: None,
            header_s,
        }
    }
}

impl Transaction {
    /// COMMIT or XID: what kind of transaction this was.
    pub(crate) fn commit_kind(&self) -> TransactionKind {
        match self.has_content {
            true => TransactionKind::Transaction,
            false => TransactionKind::Empty,
        }
    }

    /// Fails for an event that may only stand after BEGIN.
    pub(crate) fn require_begun(&self) -> Result<()> {
        match self.has_begun {
            true => Ok(()),
            false => Err(Error::corrupt(
                "read event of a transaction before its begin",
            )),
        }
    }

    /// The item the transaction ends with.
    pub(crate) fn end(self, ending: Ending, end: BinlogPosition) -> Commit {
        Commit {
            event: ending.event,
            kind: ending.kind,
            xid: ending.xid,
            xa: ending.xa,
            header_s: ending.header_s,
            end,
            thread_id: self.thread_id,
        }
    }
}
