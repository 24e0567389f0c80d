//! The open batch: row images as received, and a small index per table version.
//!
//! Nothing is decoded here beyond what finds the end of an image and its key: 10,000 open Arrow
//! builders or Parquet writers would fit no memory budget. A transaction enters item by item and
//! counts only from its commit on; until then everything it added can be taken back, for a
//! connection may break in the middle of it (I4).

use super::absent::{self, Lack};
use super::commit_time::CommitClock;
use super::index::TableIndex;
use super::spill::{SpillFile, Spilled};
use super::transaction::{OpenTransaction, excerpt};
use super::xa::{XaLog, XaOutcome};
use crate::change::{Begin, Commit, LogItem, Op, RowsEvent, RowsKind, TransactionKind, Undecoded};
use crate::error::{Error, Result, Wrap};
use crate::manifest::{Barrier, Catalogue, Ddl, Mark, MarkKind, UndoneRows};
use crate::position::{BinlogPosition, Flavor, GtidSet, Seq};
use crate::schema::TableShape;
use crate::segment::{EntryKind, KeyCodec, StatementRow, TablePlan, TransactionRow};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

mod overflow;

pub(crate) use overflow::BatchMark;

/// Why rows with MariaDB's old temporal types are a barrier.
const UNKNOWN_LENGTH: &str = "old temporal type whose fraction the binlog does not tell \
                              (mysql56_temporal_format=OFF)";

/// One rows event whose images the batch holds.
#[derive(Debug)]
pub(crate) struct EventRef {
    /// The images, back to back.
    pub(crate) images: Bytes,
    /// Index of the transaction in the batch.
    pub(crate) transaction: u32,
    /// Ordinal of the rows event in its transaction.
    pub(crate) ordinal: i32,
    /// Flags as logged.
    pub(crate) flags: u16,
    /// Whether cells are absent from its images.
    pub(crate) absent: bool,
}

/// All images of one table version.
#[derive(Debug)]
pub(crate) struct TableRows {
    /// How to read them.
    pub(crate) plan: Arc<TablePlan>,
    /// How to order them.
    pub(crate) keys: KeyCodec,
    /// Whether every key so far is made of typed values.
    pub(crate) keys_typed: bool,
    /// Where they stand.
    pub(crate) index: TableIndex,
    /// Those that are on disk, in order of receipt.
    pub(crate) runs: Vec<Spilled>,
}

impl TableRows {
    /// Whether it has images, in memory or on disk.
    pub(crate) fn has_rows(&self) -> bool {
        self.index.len() > 0 || !self.runs.is_empty()
    }
}

/// A barrier's event kept verbatim for `raw.binlog`.
pub(crate) type KeptEvent = Bytes;

/// Transactions received and not yet sealed.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) seq_first: Seq,
    pub(crate) transactions: Vec<TransactionRow>,
    pub(crate) statements: Vec<StatementRow>,
    /// Statements before these that are on disk.
    pub(crate) statements_spilled: Vec<Spilled>,
    /// Where images and statements are that memory does not hold.
    pub(crate) spill: Option<SpillFile>,
    /// Length of its largest row image.
    pub(crate) largest_image: usize,
    /// Bytes of memory that it may hold, once it was told.
    pub(crate) memory_max: usize,
    pub(crate) events: Vec<EventRef>,
    pub(crate) tables: Vec<TableRows>,
    pub(crate) barriers: Vec<Barrier>,
    pub(crate) ddl: Vec<Ddl>,
    pub(crate) kept: Vec<KeptEvent>,
    pub(crate) marks: Vec<Mark>,
    /// XA transactions, those of segments before included.
    pub(crate) xa: XaLog,
    /// Entries whose rows were undone by ROLLBACK.
    pub(crate) undone: Vec<Seq>,
    /// Changes that were undone by going back to a savepoint.
    pub(crate) undone_rows: Vec<UndoneRows>,
    pub(crate) gtids_added: GtidSet,
    /// End of the last whole transaction.
    pub(crate) position: BinlogPosition,
    /// Whether a statement was seen after which the live catalogue must be read again.
    pub(crate) ddl_seen: bool,
    /// Events of the file itself since the last transaction: kept with the next one.
    pub(crate) file_events: Vec<Bytes>,
    by_shape: HashMap<ShapeKey, u32>,
    by_version: HashMap<(String, u32), u32>,
    bytes: usize,
    /// Bytes of events whose images or text are held, and of what refers to them.
    held: usize,
    /// Bytes that stay until the batch is sealed: transactions, events kept verbatim.
    fixed: usize,
    /// Bytes of the tables' indexes.
    index_bytes: usize,
    open: Option<OpenTransaction>,
    cells: Vec<Option<std::ops::Range<u32>>>,
}

/// A shape by identity: table maps with equal bytes share one allocation.
#[derive(Debug)]
struct ShapeKey(Arc<TableShape>);

impl PartialEq for ShapeKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for ShapeKey {}
impl std::hash::Hash for ShapeKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Batch {
    /// An empty batch whose first entry will be `seq_first`.
    pub(crate) fn new(
        seq_first: Seq,
        flavor: Flavor,
        position: BinlogPosition,
        xa: XaLog,
    ) -> Batch {
        Batch {
            seq_first,
            transactions: Vec::new(),
            statements: Vec::new(),
            statements_spilled: Vec::new(),
            spill: None,
            largest_image: 0,
            memory_max: 0,
            events: Vec::new(),
            tables: Vec::new(),
            barriers: Vec::new(),
            ddl: Vec::new(),
            kept: Vec::new(),
            marks: Vec::new(),
            xa,
            undone: Vec::new(),
            undone_rows: Vec::new(),
            gtids_added: GtidSet::empty(flavor),
            position,
            ddl_seen: false,
            file_events: Vec::new(),
            by_shape: HashMap::new(),
            by_version: HashMap::new(),
            bytes: 0,
            held: 0,
            fixed: 0,
            index_bytes: 0,
            open: None,
            cells: Vec::new(),
        }
    }

    /// Seq of the next entry.
    pub(crate) fn seq_next(&self) -> Seq {
        Seq(self.seq_first.0 + self.transactions.len() as i64)
    }

    /// Whether there is nothing to seal.
    pub(crate) fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Whether a transaction has begun and not ended.
    pub(crate) fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Bytes of events received into it.
    pub(crate) fn event_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory held: events, what was copied from them, and index.
    pub(crate) fn memory(&self) -> usize {
        let raw = self.open.as_ref().map_or(0, |open| open.raw.bytes().len());
        self.held + self.fixed + self.index_bytes + raw
    }

    /// Adds a log entry that is no transaction.
    pub(crate) fn push_mark(&mut self, kind: MarkKind, now_us: i64) -> Result<Seq> {
        let seq = self.seq_next();
        let mark = Mark { seq, kind };
        let detail = serde_json::to_string(&mark).wrap(|| Error::internal("write mark"))?;
        self.transactions.push(mark_row(&mark, now_us, detail));
        self.marks.push(mark);
        Ok(seq)
    }

    /// Takes one item in. `received_us` is when its bytes came, on our clock.
    pub(crate) fn apply(
        &mut self,
        item: LogItem,
        catalogue: &mut Catalogue,
        clock: &mut CommitClock,
        received_us: i64,
    ) -> Result<()> {
        match item {
            LogItem::Begin(begin) => self.begin(begin),
            LogItem::Verbatim(event) => {
                self.bytes += event.len();
                self.open()?.raw.verbatim(&event);
                Ok(())
            }
            LogItem::Rows(rows) => self.rows(rows, catalogue),
            LogItem::Statement(statement) => {
                let seq = self.seq_next();
                self.bytes += statement.event.len();
                self.held += statement.event.len() + size_of::<StatementRow>();
                let open = self.open.as_mut().ok_or_else(outside)?;
                let outcome = open.statement(&statement, seq, catalogue)?;
                self.ddl_seen |= outcome.ddl;
                self.statements.push(outcome.row);
                self.barriers.extend(outcome.barriers);
                self.ddl.extend(outcome.entry);
                Ok(())
            }
            LogItem::Undecoded(event) => self.undecoded(event, catalogue),
            LogItem::Commit(commit) => self.commit(&commit, clock, received_us),
            LogItem::Abandoned => {
                self.abandon();
                Ok(())
            }
            LogItem::FileEvent(event) => {
                self.file_events.push(event);
                Ok(())
            }
            LogItem::FormatDescription(_) | LogItem::Idle(_) => Ok(()),
        }
    }

    fn open(&mut self) -> Result<&mut OpenTransaction> {
        self.open.as_mut().ok_or_else(outside)
    }

    fn begin(&mut self, begin: Begin) -> Result<()> {
        if self.open.is_some() {
            return Err(
                Error::corrupt("begin transaction: the one before has not ended")
                    .field("position", &self.position),
            );
        }
        let mark = self.mark();
        self.bytes += begin.event.len();
        self.open = Some(OpenTransaction::new(begin, mark, self.file_events.clone()));
        Ok(())
    }

    /// Takes in an event of which nothing is known but its bytes: a barrier names it.
    fn undecoded(&mut self, event: Undecoded, catalogue: &mut Catalogue) -> Result<()> {
        let seq = self.seq_next();
        self.bytes += event.event.len();
        self.fixed += event.event.len();
        let open = self.open.as_mut().ok_or_else(outside)?;
        self.barriers.push(open.undecoded(&event, seq, catalogue)?);
        self.kept.push(event.event);
        Ok(())
    }

    fn rows(&mut self, rows: RowsEvent, catalogue: &mut Catalogue) -> Result<()> {
        let Some(mut slot) = self.slot(&rows.shape, catalogue)? else {
            return self.undecoded(of_unknown_length(rows), catalogue);
        };
        if let Some(cells) = &rows.absent {
            let table = self.tables.get(slot as usize);
            match table.map_or(Lack::Unknown, |table| absent::lack(&table.plan, cells)) {
                Lack::Computed => {}
                Lack::NewIdentity => {
                    self.forget_shapes();
                    let barrier =
                        absent::identify_by_given(&rows.shape, self.seq_next(), catalogue);
                    self.barriers.extend(barrier);
                    let Some(other) = self.slot(&rows.shape, catalogue)? else {
                        return self.undecoded(of_unknown_length(rows), catalogue);
                    };
                    slot = other;
                }
                Lack::Unknown => return self.undecoded(absent::undecoded(rows), catalogue),
            }
        }
        let transaction = self.transactions.len() as u32;
        let event = self.events.len() as u32;
        let open = self.open.as_mut().ok_or_else(outside)?;
        let Some(table) = self.tables.get_mut(slot as usize) else {
            return Err(Error::internal("find table of rows event"));
        };
        open.mark.remember(slot, table);
        let index_before = table.index.memory();
        let ordinal = open.next_event();
        if !rows.nested {
            let template = rows.event.get(..rows.images.start).unwrap_or_default();
            open.raw.cut(ordinal, template);
        }
        let images = rows.event.slice(rows.images.clone());
        self.bytes += rows.event.len();
        self.held += rows.event.len() + size_of::<EventRef>();
        let mut at = 0;
        while at < images.len() {
            let ops: &[Op] = match rows.kind {
                RowsKind::Write => &[Op::Insert],
                RowsKind::Update => &[Op::UpdateBefore, Op::UpdateAfter],
                RowsKind::Delete => &[Op::Delete],
            };
            let row = open.next_row(rows.kind)?;
            for (image, &op) in ops.iter().enumerate() {
                let rest = images.get(at..).unwrap_or_default();
                let split = table.plan.layout().split(rest, &mut self.cells);
                let length = split.map_err(|e| {
                    e.field("table", &table.plan.version().name)
                        .field("after", &self.position)
                        .hint("rebuild the table on the source (ALTER TABLE .. FORCE), then take a new base; report it")
                })?;
                let marks = match &rows.absent {
                    Some(cells) if cells.images.get(image) == Some(&true) => {
                        table.plan.layout().bitmap_bytes()
                    }
                    _ => 0,
                };
                let length = length + marks;
                let image = rest.get(..length).unwrap_or_default();
                self.largest_image = self.largest_image.max(length);
                let start = table.index.keys_len();
                let typed = table
                    .keys
                    .encode_image(image, &self.cells, table.index.keys_mut())?;
                table.keys_typed &= typed;
                let reference = TableIndex::row(event, at as u32, length as u32, row, op);
                table.index.push(start, reference);
                at += length;
            }
        }
        self.index_bytes += table.index.memory() - index_before;
        self.events.push(EventRef {
            images,
            transaction,
            ordinal,
            flags: rows.flags,
            absent: rows.absent.is_some(),
        });
        Ok(())
    }

    /// The place of a table version's rows in this batch; `None` when it is not known how long its
    /// cells are.
    fn slot(&mut self, shape: &Arc<TableShape>, catalogue: &mut Catalogue) -> Result<Option<u32>> {
        if let Some(&slot) = self.by_shape.get(&ShapeKey(Arc::clone(shape))) {
            return Ok(Some(slot));
        }
        let seq = self.seq_next();
        let version = catalogue.observe(shape, seq);
        if version.column_of_unknown_length().is_some() {
            return Ok(None);
        }
        let key = (version.table_id.as_str().to_owned(), version.version);
        let slot = match self.by_version.get(&key) {
            Some(&slot) => slot,
            None => {
                let plan = Arc::new(TablePlan::compile(Arc::clone(&version))?);
                let slot = self.tables.len() as u32;
                self.tables.push(TableRows {
                    keys: KeyCodec::new(Arc::clone(&plan)),
                    plan,
                    keys_typed: true,
                    index: TableIndex::default(),
                    runs: Vec::new(),
                });
                self.by_version.insert(key, slot);
                slot
            }
        };
        self.by_shape.insert(ShapeKey(Arc::clone(shape)), slot);
        Ok(Some(slot))
    }

    /// After DDL the same table map may mean another incarnation: look shapes up again.
    pub(crate) fn forget_shapes(&mut self) {
        self.by_shape.clear();
    }

    fn commit(&mut self, commit: &Commit, clock: &mut CommitClock, received_us: i64) -> Result<()> {
        let seq = self.seq_next();
        let mut open = self.open.take().ok_or_else(outside)?;
        self.file_events.clear();
        if let Some(gtid) = &open.begin.gtid
            && !self.gtids_added.add(gtid)?
        {
            return Err(
                Error::corrupt("receive transaction: its gtid was received before")
                    .field("gtid", gtid)
                    .field("position", &commit.end),
            );
        }
        self.bytes += commit.event.len();
        let time = clock.commit_time(&open.begin, commit, received_us);
        let xa_seq = self.xa(commit, seq);
        if commit.kind == TransactionKind::Rollback && open.has_rows() {
            self.undone.push(seq);
        }
        if open.ddl {
            self.forget_shapes();
        }
        let ranges = std::mem::take(&mut open.savepoints).undone();
        self.undone_rows
            .extend(ranges.into_iter().map(|range| UndoneRows {
                seq,
                first: range.start.into(),
                end: range.end.into(),
            }));
        let mut row = open.finish(commit, seq, time, received_us);
        row.xa_seq = xa_seq;
        self.fixed += row.raw.as_ref().map_or(0, Bytes::len) + size_of::<TransactionRow>();
        self.transactions.push(row);
        self.position = commit.end.clone();
        Ok(())
    }

    /// The XA PREPARE that a whole entry decides.
    fn xa(&mut self, commit: &Commit, seq: Seq) -> Option<Seq> {
        match self.xa.take(commit, seq) {
            XaOutcome::Nothing => None,
            XaOutcome::Decides(prepared) => Some(prepared),
            XaOutcome::RowsUnknown(reason) => {
                self.barriers.push(Barrier {
                    seq,
                    table: None,
                    reason: reason.to_owned(),
                    statement: commit.xa.as_deref().map(excerpt),
                });
                None
            }
        }
    }
}

/// Rows of which it is not known where each ends.
fn of_unknown_length(rows: RowsEvent) -> Undecoded {
    Undecoded {
        event: rows.event,
        shape: Some(rows.shape),
        reason: UNKNOWN_LENGTH.to_owned(),
        nested: rows.nested,
    }
}

fn mark_row(mark: &Mark, received_us: i64, detail: String) -> TransactionRow {
    let kind = match mark.kind {
        MarkKind::Start => EntryKind::Start,
        MarkKind::Epoch { .. } => EntryKind::Epoch,
        MarkKind::Gap { .. } => EntryKind::Gap,
        MarkKind::Idle { .. } => EntryKind::Idle,
        MarkKind::Barrier => EntryKind::Barrier,
    };
    TransactionRow {
        detail: Some(detail),
        ..TransactionRow::empty(mark.seq, kind, received_us)
    }
}

fn outside() -> Error {
    Error::corrupt("receive event: it stands outside of any transaction")
}
