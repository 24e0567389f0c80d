//! The items of the log.

use crate::position::{BinlogPosition, Gtid};
use crate::schema::TableShape;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// What one row image is of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Op {
    /// The row as inserted.
    Insert = 0,
    /// The row before an update.
    UpdateBefore = 1,
    /// The row after an update.
    UpdateAfter = 2,
    /// The row as deleted.
    Delete = 3,
}

impl Op {
    /// Name in the `__op` column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::UpdateBefore => "update_before",
            Op::UpdateAfter => "update_after",
            Op::Delete => "delete",
        }
    }

    /// The operation of a name of the `__op` column.
    #[must_use]
    pub fn parse(name: &str) -> Option<Op> {
        [Op::Insert, Op::UpdateBefore, Op::UpdateAfter, Op::Delete]
            .into_iter()
            .find(|op| op.name() == name)
    }

    /// Whether the row with this image exists after the change.
    #[must_use]
    pub fn is_present_after(self) -> bool {
        matches!(self, Op::Insert | Op::UpdateAfter)
    }
}

/// Kind of a rows event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKind {
    /// One image a row: inserted.
    Write,
    /// Two images a row: before, after.
    Update,
    /// One image a row: deleted.
    Delete,
}

/// How a transaction ended, for `transactions.parquet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    /// XID or COMMIT.
    Transaction,
    /// One DDL (or other implicitly committing) statement.
    Ddl,
    /// No rows and no statement.
    Empty,
    /// XA PREPARE: its rows count only at XA COMMIT.
    XaPrepare,
    /// XA COMMIT.
    XaCommit,
    /// XA ROLLBACK.
    XaRollback,
    /// Ended by ROLLBACK: only non-transactional changes stay.
    Rollback,
}

/// Where a commit time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitTimeSource {
    /// MySQL's `immediate_commit_timestamp`: exact.
    Immediate,
    /// Time of receipt mapped to the source's clock (MariaDB while live).
    Received,
    /// The commit event's header, whole seconds (MariaDB backlog).
    Header,
}

impl CommitTimeSource {
    /// Name in `commit_time_source`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CommitTimeSource::Immediate => "immediate",
            CommitTimeSource::Received => "received",
            CommitTimeSource::Header => "header",
        }
    }
}

/// A commit time with its bounds; microseconds since the epoch, UTC, on the source's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitTime {
    /// Best estimate.
    pub at_us: i64,
    /// The commit was not before this.
    pub lo_us: i64,
    /// The commit was not after this.
    pub hi_us: i64,
    /// Where it comes from.
    pub source: CommitTimeSource,
}

/// A transaction starts: from its GTID event (or an anonymous one).
#[derive(Clone, Debug)]
pub struct Begin {
    /// The event, whole, with header and checksum.
    pub event: Bytes,
    /// Its identity; `None` for an anonymous transaction.
    pub gtid: Option<Gtid>,
    /// Server id in the header: the originating server.
    pub server_id: u32,
    /// MySQL logical clock, 0 where absent.
    pub last_committed: i64,
    /// MySQL logical clock, 0 where absent.
    pub sequence_number: i64,
    /// MySQL's immediate commit timestamp, microseconds since the epoch.
    pub immediate_commit_us: Option<i64>,
    /// MySQL's original commit timestamp, microseconds since the epoch.
    pub original_commit_us: Option<i64>,
    /// Header timestamp, seconds since the epoch.
    pub header_s: u32,
    /// Group commit id (MariaDB), 0 where absent.
    pub commit_id: u64,
    /// Flags byte of the GTID event as logged.
    pub flags: u8,
}

/// What a rows event leaves out of its images.
#[derive(Clone, Debug)]
pub struct AbsentCells {
    /// Columns that are not in every image, by index.
    pub columns: Vec<usize>,
    /// Whether the first image of a change lacks any, and the second.
    pub images: [bool; 2],
    /// The event as logged.
    pub logged: Bytes,
}

/// A rows event with whole images.
#[derive(Clone, Debug)]
pub struct RowsEvent {
    /// The event, whole, uncompressed. When `nested`, it was inside a payload or was compressed
    /// and stands here with a header of its own making (length and type right, no checksum).
    pub event: Bytes,
    /// The table as its table map describes it; shared by all events of the same map.
    pub shape: Arc<TableShape>,
    /// Insert, update or delete.
    pub kind: RowsKind,
    /// Flags of the post-header as logged.
    pub flags: u16,
    /// Where the row images stand in `event`: images back to back, before/after for updates.
    pub images: Range<usize>,
    /// Where the source left cells out: `event` is then made, and holds [rows](super::Row).
    pub absent: Option<AbsentCells>,
    /// Whether `event` is not itself in the stream but came out of a compressed one.
    pub nested: bool,
}

/// Kind of a statement row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// A statement the server executes as text: DDL, savepoint, statement DML, XA.
    Query,
    /// The text behind row events (ROWS_QUERY, ANNOTATE): information only.
    RowsQuery,
}

/// A statement as text.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The event, whole, uncompressed; see [`RowsEvent::event`].
    pub event: Bytes,
    /// Kind.
    pub kind: StatementKind,
    /// Default database as logged.
    pub default_db: Vec<u8>,
    /// Text as logged, in the client's character set.
    pub text: Bytes,
    /// Where it starts in `event`.
    pub text_at: usize,
    /// Status variables as logged.
    pub status_vars: Bytes,
    /// `character_set_client` collation id, where logged.
    pub charset: Option<u16>,
    /// `sql_mode` bits, where logged.
    pub sql_mode: Option<u64>,
    /// Thread id of the session.
    pub thread_id: u32,
    /// Error code the statement is expected to end with.
    pub error_code: u16,
    /// Header time in microseconds (with logged microseconds where present).
    pub header_us: i64,
    /// See [`RowsEvent::nested`].
    pub nested: bool,
}

/// An event of a transaction whose effect on rows cannot be known from it.
#[derive(Clone, Debug)]
pub struct Undecoded {
    /// The event, whole.
    pub event: Bytes,
    /// The table, where it is known.
    pub shape: Option<Arc<TableShape>>,
    /// Why, for the barrier: lowercase, for example "partial row image".
    pub reason: String,
    /// See [`RowsEvent::nested`].
    pub nested: bool,
}

/// A transaction ends.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The event (XID, COMMIT, XA PREPARE), whole; empty when the ending event was given as
    /// another item already (a DDL statement) or was nested in a payload.
    pub event: Bytes,
    /// How it ended.
    pub kind: TransactionKind,
    /// InnoDB transaction number of an XID event.
    pub xid: Option<u64>,
    /// XA identifier in the server's text form, for XA kinds.
    pub xa: Option<Vec<u8>>,
    /// Header timestamp of the ending event, seconds since the epoch.
    pub header_s: u32,
    /// End of the transaction in the source's binlog: where to resume by position.
    pub end: BinlogPosition,
    /// Thread id of the session, where an event of the transaction said it.
    pub thread_id: Option<u32>,
}

/// One item of the log, in commit order.
#[derive(Clone, Debug)]
pub enum LogItem {
    /// A transaction starts.
    Begin(Begin),
    /// Row images.
    Rows(RowsEvent),
    /// A statement.
    Statement(Statement),
    /// Something that must become a barrier.
    Undecoded(Undecoded),
    /// A part of the transaction without a meaning of its own here (BEGIN, table maps, the
    /// payload or compressed event whose content follows as nested items): kept so that the
    /// bytes can be rebuilt.
    Verbatim(Bytes),
    /// A transaction ends.
    Commit(Commit),
    /// The format description in force (real or repeated at dump start): the event, whole.
    FormatDescription(Bytes),
    /// Another event of the file itself, between transactions (PREVIOUS_GTIDS, GTID_LIST,
    /// binlog checkpoint, ROTATE, STOP): the event, whole, only where it stands in the file.
    /// Nothing to apply; kept by those who rebuild files.
    FileEvent(Bytes),
    /// The transaction that had begun will never end (the source restarted): forget it.
    Abandoned,
    /// The source has nothing more at this moment, up to this place in its binlog.
    Idle(BinlogPosition),
}
