//! Folded rows as `BINLOG` statements: what one table sends to the target.
//!
//! Runs on a compute thread and hands finished statements to the connection through a bounded
//! channel. Every statement is whole: a rows event without its end flag crashes MySQL 9.7.

use super::rows::{TableInput, id_of};
use super::sums::{RowHash, Summing, Sums};
use crate::binlog::write::{FLAG_NO_FOREIGN_KEY_CHECKS, Stamp, StatementBuilder, binlog_statement};
use crate::change::{RowsKind, narrow};
use crate::error::{Error, Result, Wrap};
use crate::schema::TableVersion;
use crate::segment::{CanonicalRow, Scratch, TablePlan};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// No `max_allowed_packet` can be larger.
const PACKET_BYTES_MAX: usize = 1 << 30;
/// Text of a statement is aimed at this length.
const STATEMENT_BYTES: usize = 1_400_000;

/// Room is given out in pieces of this size.
const ROOM_UNIT: usize = 1 << 10;

/// While a longer statement is written, nothing else of its table is decoded.
const ALONE_BYTES: usize = 16 << 20;

/// Room for statements that are not committed yet.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Text of statements that are not committed yet, of all tables and connections together.
    pub(super) const BYTES: usize = 96 << 20;

    /// Nothing is taken.
    pub(super) fn new() -> Room {
        Room(Arc::new(Semaphore::new(Room::BYTES / ROOM_UNIT)))
    }
}

/// Where statements go.
#[derive(Debug)]
pub(super) struct Outlet {
    /// `None` asks to let go of all statements that were received: there is no room for another one.
    pub(super) statements: mpsc::Sender<Option<RowsStatement>>,
    /// What every statement has its room from before its text is there.
    pub(super) room: Room,
}

impl Outlet {
    /// Room for a statement of so many bytes; all there is for a longer one.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(ROOM_UNIT).min(Room::BYTES / ROOM_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room.0);
        if let Ok(held) = Arc::clone(&room).try_acquire_many_owned(units) {
            return Ok(held);
        }
        // What waits for room holds none, so that the others come to their end.
        self.send(None)?;
        let held = futures::executor::block_on(room.acquire_many_owned(units));
        held.wrap(|| Error::internal("write rows: wait for room"))
    }

    fn send(&self, statement: Option<RowsStatement>) -> Result<()> {
        let sent = self.statements.blocking_send(statement);
        sent.map_err(|_| Error::internal("write rows: the connection has stopped"))
    }
}

/// What limits and marks the statements for one target.
#[derive(Clone, Debug)]
pub(super) struct StatementOptions {
    /// What the events' headers say.
    pub(super) stamp: Stamp,
    /// `max_allowed_packet` of the target; a statement of one row may be longer.
    pub(super) packet_bytes_max: usize,
    /// Rows of the epoch that the target has already, from an earlier run of the same restore: by
    /// their places in the order of the fold, ascending.
    pub(super) done: Arc<[Range<u64>]>,
    /// What the target computes is not what the log has: rows are summed by the other columns, and
    /// found by them where they vanish.
    pub(super) only_given: bool,
}

/// A statement with the rows that it writes.
#[derive(Debug)]
pub(super) struct RowsStatement {
    /// `BINLOG '...'`.
    pub(super) sql: String,
    /// Their places in the order of the fold.
    pub(super) rows: Range<u64>,
    /// Whether they vanish: no row may appear before all of these are gone.
    pub(super) vanish: bool,
    /// The room that it takes.
    pub(super) _held: OwnedSemaphorePermit,
}

/// What was sent of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// All rows of the table when the epoch is done.
    pub(super) sums: Sums,
    /// Largest AUTO_INCREMENT value in any image of the epoch; 0 for none.
    pub(super) largest_id: u64,
    /// Largest one in a row that was written, as far as the server's own counter is now.
    pub(super) largest_written: u64,
}

/// Folds an epoch of a table and sends its statements: first the rows that vanish, then those
/// that appear, so that no unique key is taken twice on the way. `before` is what the table holds
/// when the epoch begins, `None` for nothing; rows that are skipped count like the others.
///
/// # Errors
/// As [`TableInput::appeared`], and [`Incompatible`](crate::error::ErrorKind::Incompatible) when
/// a row does not fit through the target's `max_allowed_packet`.
pub(super) fn send(
    input: &TableInput,
    options: StatementOptions,
    before: Option<Sums>,
    out: &Outlet,
) -> Result<Sent> {
    let version = Arc::clone(input.version());
    let plan = Arc::new(TablePlan::compile(Arc::clone(&version))?);
    let mut rows = Rows::new(plan, options.clone(), input.counter());
    let mut sums = before.unwrap_or_else(|| rows.summing.start());
    let mut sent = || -> Result<()> {
        let mut sender = Sender::new(&options, &version, (RowsKind::Delete, 0), out)?;
        input.vanished(|row, copies| {
            let row = rows.read(row, RowsKind::Delete)?;
            for _ in 0..copies {
                sums.remove(row.hash);
                sender.row(&row)?;
            }
            Ok(())
        })?;
        sender.flush()?;
        let mut sender = Sender::new(&options, &version, (RowsKind::Write, sender.seen), out)?;
        let mut replaces = input.is_sequence();
        input.appeared(|row, copies| {
            // The one row of a sequence takes the place of the one before.
            if std::mem::take(&mut replaces) {
                sums = rows.summing.start();
            }
            let row = rows.read(row, RowsKind::Write)?;
            for _ in 0..copies {
                sums.add(row.hash);
                sender.row(&row)?;
            }
            Ok(())
        })?;
        sender.flush()
    };
    sent().map_err(|e| match e.get("table") {
        Some(_) => e,
        None => e.field("table", &version.name),
    })?;
    Ok(Sent {
        sums,
        largest_id: input.largest_id(),
        largest_written: rows.largest_written,
    })
}

/// A row as it is sent.
struct SentRow<'a> {
    /// Of its canonical rows.
    hash: RowHash,
    /// Its image, of the columns that are sent.
    image: &'a [u8],
    /// Those that are not, as a bitmap; empty for none.
    absent: &'a [u8],
}

/// Reads the rows of a fold.
struct Rows {
    plan: Arc<TablePlan>,
    summing: Summing,
    options: StatementOptions,
    /// The columns that the target computes, as a bitmap.
    computed: Vec<u8>,
    cells: Vec<Option<Range<u32>>>,
    image: Vec<u8>,
    canonical_row: CanonicalRow,
    /// The AUTO_INCREMENT column, and its largest value in a row to write.
    counter: Option<usize>,
    largest_written: u64,
}

impl Rows {
    fn new(plan: Arc<TablePlan>, options: StatementOptions, counter: Option<usize>) -> Rows {
        let mut computed = vec![0; plan.layout().bitmap_bytes()];
        for column in (0..plan.layout().columns()).filter(|column| plan.is_computed(*column)) {
            if let Some(byte) = computed.get_mut(column / 8) {
                *byte |= 1 << (column % 8);
            }
        }
        Rows {
            summing: Summing::new(Arc::clone(&plan), options.only_given),
            plan,
            options,
            computed,
            cells: Vec::new(),
            image: Vec::new(),
            canonical_row: CanonicalRow::default(),
            counter,
            largest_written: 0,
        }
    }

    /// How far a row takes the counter.
    fn id(&self, image: &[u8]) -> Option<u64> {
        let column = self.counter?;
        let cell = self.cells.get(column)?.as_ref()?;
        let cell = image.get(cell.start as usize..cell.end as usize)?;
        let codec = self.plan.codecs().get(column)?;
        Some(id_of(codec.decode(cell, &mut Scratch::default()).value))
    }

    fn read<'a>(&'a mut self, row: &'a [u8], kind: RowsKind) -> Result<SentRow<'a>> {
        let mut row = self.plan.layout().split_row(row, &mut self.cells)?;
        let hash = self
            .summing
            .hash(row.image, &self.cells, &mut self.canonical_row)?;
        if kind == RowsKind::Write {
            let id = self.id(row.image).unwrap_or(0);
            self.largest_written = self.largest_written.max(id);
        }
        // What the target computed need not be what the source did, and is not searched for.
        if self.options.only_given && kind == RowsKind::Delete {
            row.absent = match self.computed.iter().any(|byte| *byte != 0) {
                true => &self.computed,
                false => &[],
            };
        }
        if row.absent.is_empty() {
            return Ok(SentRow {
                hash,
                image: row.image,
                absent: &[],
            });
        }
        self.image.clear();
        narrow(
            &row,
            &self.cells,
            self.options.stamp.flavor,
            &mut self.image,
        )?;
        Ok(SentRow {
            hash,
            image: &self.image,
            absent: row.absent,
        })
    }
}

struct Sender<'a> {
    options: &'a StatementOptions,
    version: Arc<TableVersion>,
    kind: RowsKind,
    builder: StatementBuilder,
    /// Rows so far, those that are done included.
    seen: u64,
    /// The first range of rows done that does not end before the next row.
    next_done: usize,
    out: &'a Outlet,
}

impl<'a> Sender<'a> {
    fn new(
        options: &'a StatementOptions,
        version: &Arc<TableVersion>,
        (kind, seen): (RowsKind, u64),
        out: &'a Outlet,
    ) -> Result<Sender<'a>> {
        Ok(Sender {
            options,
            version: Arc::clone(version),
            kind,
            builder: begin(options, version, kind)?,
            seen,
            next_done: 0,
            out,
        })
    }

    fn row(&mut self, row: &SentRow<'_>) -> Result<()> {
        let image = row.image;
        if self.is_done() {
            // What is sent together follows each other.
            self.flush()?;
            self.seen += 1;
            return Ok(());
        }
        let limit = self.options.packet_bytes_max;
        let alone = self.builder.statement_bytes_with(image.len());
        if self.builder.rows() > 0 && alone > STATEMENT_BYTES.min(limit) {
            self.flush()?;
        }
        let needed = self
            .builder
            .statement_bytes_with(image.len())
            .saturating_add(64);
        if needed > PACKET_BYTES_MAX {
            return Err(Error::incompatible(
                "write row: it is larger than any server accepts in a statement",
            )
            .field("table", &self.version.name)
            .field("row_bytes", image.len())
            .field("max_allowed_packet", PACKET_BYTES_MAX)
            .hint("restore without this table, and fetch it from the Parquet files"));
        }
        self.builder.push_narrow(image, row.absent);
        self.seen += 1;
        match self.builder.statement_bytes_with(0) > ALONE_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Whether the target has the next row.
    fn is_done(&mut self) -> bool {
        while let Some(done) = self.options.done.get(self.next_done) {
            if self.seen < done.end {
                return self.seen >= done.start;
            }
            self.next_done += 1;
        }
        false
    }

    fn flush(&mut self) -> Result<()> {
        let rows = self.builder.rows();
        if rows == 0 {
            return Ok(());
        }
        let bytes = self.builder.statement_bytes_with(0);
        let held = self.out.room(bytes)?;
        let next = begin(self.options, &self.version, self.kind)?;
        let events = std::mem::replace(&mut self.builder, next).finish();
        let statement = RowsStatement {
            sql: binlog_statement(&events),
            rows: self.seen - rows..self.seen,
            vanish: self.kind == RowsKind::Delete,
            _held: held,
        };
        self.out.send(Some(statement))?;
        if bytes > ALONE_BYTES {
            // Until it is committed: the next row would stand beside it, as page, image and event.
            drop(self.out.room(bytes)?);
        }
        Ok(())
    }
}

fn begin(
    options: &StatementOptions,
    version: &TableVersion,
    kind: RowsKind,
) -> Result<StatementBuilder> {
    StatementBuilder::begin(options.stamp, version, kind, FLAG_NO_FOREIGN_KEY_CHECKS)
}
