//! All tables of a base, read over every connection.
//!
//! A large table is cut into ranges of its primary key, so that it does not take as long as one
//! connection needs for it: a messaging service has one table that is larger than all others. That
//! wants connections that see the same point; on MariaDB they may not, and tables are read whole
//! then.

use super::table::{TableFiles, write_table};
use crate::base::BaseFile;
use crate::error::{Error, Result};
use crate::manifest::Repository;
use crate::position::Seq;
use crate::runtime::Compute;
use crate::schema::TableVersion;
use crate::segment::{Fingerprint, TablePlan};
use crate::source::{CatalogueTable, KeyRange, SnapshotPoint, SnapshotWorker, TableRead};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Batches in flight between a reader and its encoder.
const BATCHES_IN_FLIGHT: usize = 4;
/// Bytes of a part at most, about: rows lie closer in some ranges of keys than in others.
const PART_BYTES_MAX: u64 = 1 << 30;
/// Parts of a table for each connection, where these are large enough.
const PARTS_PER_WORKER: u64 = 2;

/// A table that was read.
#[derive(Debug)]
pub(super) struct ReadTable {
    pub(super) version: Arc<TableVersion>,
    pub(super) exact_from: SnapshotPoint,
    pub(super) files: Vec<BaseFile>,
    pub(super) fingerprint: Fingerprint,
    pub(super) auto_increment: Option<u64>,
}

/// What all connections share.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) repository: Repository,
    pub(super) compute: Compute,
    /// Bytes of a part of a table at least.
    pub(super) part_bytes_min: u64,
    pub(super) zstd_level: i32,
}

/// A table to read.
#[derive(Debug)]
struct Wanted {
    table: CatalogueTable,
    version: Arc<TableVersion>,
}

/// A table, or a part of it.
#[derive(Debug)]
struct Piece {
    /// Place of its table.
    table: usize,
    /// Place in its table.
    part: usize,
    range: KeyRange,
    /// About so many bytes.
    bytes: u64,
}

/// What was read of a piece.
#[derive(Debug)]
struct ReadPiece {
    table: usize,
    part: usize,
    read: TableRead,
    written: TableFiles,
}

impl Reading {
    /// Reads all tables, each exact at the point of the worker that read it; their order is that of
    /// their ids.
    ///
    /// # Errors
    /// `Incompatible` with the field `changed` when DDL ran meanwhile; those of source and store.
    pub(super) async fn tables(
        &self,
        mut workers: Vec<(SnapshotWorker, Seq)>,
        mut tables: Vec<(CatalogueTable, Arc<TableVersion>)>,
    ) -> Result<Vec<ReadTable>> {
        tables.sort_by(|a, b| a.1.table_id.cmp(&b.1.table_id));
        let tables = tables.into_iter();
        let wanted: Vec<Wanted> = tables
            .map(|(table, version)| Wanted { table, version })
            .collect();
        let queue = Arc::new(Mutex::new(self.cut(&mut workers, &wanted).await?));
        let wanted = Arc::new(wanted);
        let mut tasks = JoinSet::new();
        for (worker, seq) in workers {
            let (reading, wanted, queue) = (self.clone(), Arc::clone(&wanted), Arc::clone(&queue));
            tasks.spawn(async move { reading.pieces((worker, seq), &wanted, &queue).await });
        }
        let mut pieces = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(|e| Error::internal("read tables of base").source(e))?;
            pieces.extend(ended?);
        }
        put_together(&wanted, pieces)
    }

    /// All tables in pieces; the one to read first is the last.
    async fn cut(
        &self,
        workers: &mut [(SnapshotWorker, Seq)],
        wanted: &[Wanted],
    ) -> Result<Vec<Piece>> {
        let count = workers.len() as u64;
        let mut points = workers.iter().map(|(worker, _)| &worker.point().position);
        let first = points.next();
        let is_shared = points.all(|point| Some(point) == first);
        let mut pieces = Vec::new();
        for (index, Wanted { table, .. }) in wanted.iter().enumerate() {
            let parts = match is_shared {
                true => parts_of(table.bytes_estimate, count, self.part_bytes_min),
                false => 1,
            };
            let ranges = match workers.first_mut().filter(|_| parts > 1) {
                Some((worker, _)) => worker.cut(table, parts).await?,
                None => vec![KeyRange::ALL],
            };
            let bytes = table.bytes_estimate / ranges.len().max(1) as u64;
            let ranges = ranges.into_iter().enumerate();
            pieces.extend(ranges.map(|(part, range)| Piece {
                table: index,
                part,
                range,
                bytes,
            }));
        }
        pieces.sort_by(|a, b| (a.bytes, b.table, b.part).cmp(&(b.bytes, a.table, a.part)));
        Ok(pieces)
    }

    /// Reads whatever is next in the queue until it is empty.
    async fn pieces(
        &self,
        (mut worker, seq): (SnapshotWorker, Seq),
        wanted: &[Wanted],
        queue: &Mutex<Vec<Piece>>,
    ) -> Result<Vec<ReadPiece>> {
        let mut done = Vec::new();
        loop {
            let next = queue
                .lock()
                .map_err(|_| Error::internal("take table from queue"))?
                .pop();
            let Some(piece) = next else { break };
            if let Some(of) = wanted.get(piece.table) {
                done.push(self.piece((&mut worker, seq), of, &piece).await?);
            }
        }
        worker.close().await;
        Ok(done)
    }

    async fn piece(
        &self,
        (worker, seq): (&mut SnapshotWorker, Seq),
        of: &Wanted,
        piece: &Piece,
    ) -> Result<ReadPiece> {
        let plan = Arc::new(TablePlan::compile(Arc::clone(&of.version))?);
        let (sender, receiver) = mpsc::channel(BATCHES_IN_FLIGHT);
        let write = write_table(self, plan, seq, receiver);
        let read = async {
            let read = worker.read_range(&of.table, &of.version, &piece.range, &sender);
            let read = read.await;
            drop(sender);
            read
        };
        let (read, written) = tokio::join!(read, write);
        // A writer that failed closes the channel: its error is the cause.
        let written = written?;
        let read = read?;
        if read.rows != written.fingerprint.rows {
            return Err(Error::internal("count rows of snapshot")
                .field("table", &of.version.name)
                .field("read", read.rows)
                .field("written", written.fingerprint.rows));
        }
        tracing::info!(table = %of.version.name, part = piece.part, rows = read.rows, "table read");
        Ok(ReadPiece {
            table: piece.table,
            part: piece.part,
            read,
            written,
        })
    }
}

/// In how many parts a table of so many bytes is read by so many connections.
fn parts_of(bytes: u64, workers: u64, part_bytes_min: u64) -> u64 {
    if workers < 2 {
        return 1;
    }
    let wanted = (workers * PARTS_PER_WORKER).max(bytes / PART_BYTES_MAX);
    wanted.min(bytes / part_bytes_min.max(1)).max(1)
}

impl ReadPiece {
    /// Takes up the part that follows.
    ///
    /// # Errors
    /// `Internal` where it was read at another point: rows of two moments are no table.
    fn join(&mut self, other: ReadPiece) -> Result<()> {
        let [point, others] = [&self.read, &other.read].map(|read| &read.exact_from.position);
        if point != others {
            let error = Error::internal("put parts of table together: they are of two points");
            return Err(error.field("first", point).field("other", others));
        }
        self.written.fingerprint.merge(&other.written.fingerprint);
        self.written.files.extend(other.written.files);
        Ok(())
    }
}

/// Every table with all of its pieces, in their order.
fn put_together(wanted: &[Wanted], mut pieces: Vec<ReadPiece>) -> Result<Vec<ReadTable>> {
    pieces.sort_by_key(|piece| (piece.table, piece.part));
    let mut pieces = pieces.into_iter().peekable();
    let mut tables = Vec::with_capacity(wanted.len());
    for (index, of) in wanted.iter().enumerate() {
        let missing = || Error::internal("read tables of base: one was not read");
        let name = |e: Error| e.field("table", &of.version.name);
        let first = pieces.next_if(|piece| piece.table == index);
        let mut whole = first.ok_or_else(missing).map_err(name)?;
        while let Some(part) = pieces.next_if(|piece| piece.table == index) {
            whole.join(part).map_err(name)?;
        }
        tables.push(ReadTable {
            version: Arc::clone(&of.version),
            exact_from: whole.read.exact_from,
            files: whole.written.files,
            fingerprint: whole.written.fingerprint,
            auto_increment: of.table.auto_increment,
        });
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{BinlogPosition, Flavor, GtidSet};

    #[test]
    fn parts_are_as_many_as_connections_want_and_as_bytes_allow() {
        const MIB: u64 = 1 << 20;
        for (mib, workers, parts) in [
            (0, 2, 1),
            (63, 2, 1),
            (64, 2, 2),
            (100, 2, 3),
            (3_000, 2, 4),
            (3_000, 8, 16),
            (50 * 1024, 2, 50),
            (50 * 1024, 1, 1),
        ] {
            let found = parts_of(mib * MIB, workers, 32 * MIB);
            assert_eq!(found, parts, "{mib} MiB, {workers}");
        }
    }

    fn piece(part: usize, offset: u64, sum: u128) -> ReadPiece {
        let point = SnapshotPoint {
            position: BinlogPosition::new("binlog.000001", offset),
            gtids: GtidSet::empty(Flavor::MariaDb),
            // Each connection has asked for the time itself.
            at_us: part as i64,
        };
        ReadPiece {
            table: 0,
            part,
            read: TableRead {
                rows: 2,
                bytes: 20,
                exact_from: point,
            },
            written: TableFiles {
                files: Vec::new(),
                fingerprint: Fingerprint { sum, rows: 2 },
            },
        }
    }

    #[test]
    fn parts_of_one_point_alone_are_a_table() {
        let mut whole = piece(0, 400, 5);
        whole.join(piece(1, 400, 7)).expect("the same point");
        let all = Fingerprint { sum: 12, rows: 4 };
        assert_eq!(whole.written.fingerprint, all);
        let error = whole.join(piece(2, 401, 7)).expect_err("another point");
        assert!(error.report().contains("401"), "{error:?}");
    }
}
