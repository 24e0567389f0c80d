//! A consistent view of all rows of a source, read by several connections.
//!
//! Each [`SnapshotWorker`] is one connection inside a `START TRANSACTION WITH CONSISTENT SNAPSHOT`
//! and knows the exact point of the log it sees ([`SnapshotPoint`]): a transaction is visible to
//! it if and only if it is in the point's GTID set. On MySQL all workers share one point, read
//! under a global read lock that lasts only while they are opened; on MariaDB no lock is taken, and
//! where commits go on each worker has a point of its own, so a table is exact at the point of the
//! worker that read it. Rows leave as row images, byte for byte what an insert would have logged up to the
//! differences canonical rows ignore.

mod encode;
mod learn;
mod open;
mod range;
mod temporal;

pub use range::KeyRange;

use super::catalogue::{CatalogueTable, TableKind};
use super::catalogue::{is_absent, read_catalogue, show_create, without_auto_increment};
use super::objects::{SchemaObject, is_same_schema, read_objects_of};
use super::{Endpoint, SqlClient, SqlSession, sql_error};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Flavor, GtidSet};
use crate::schema::{TableVersion, quote_identifier};
use bytes::Bytes;
use encode::{RowEncoder, Unknown};
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;

/// A place in the source's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPoint {
    /// End of the last transaction that is in.
    pub position: BinlogPosition,
    /// All transactions that are in. Empty on MySQL with GTIDs off.
    pub gtids: GtidSet,
    /// The source's clock at that moment, microseconds since the epoch.
    pub at_us: i64,
}

/// How a snapshot is taken.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// Connections that read.
    pub workers: usize,
    /// Longest wait for a lock on all of the server, seconds; while it waits, it stops writers.
    /// It is tried again, with a pause for the writers in between.
    pub lock_wait_s: u32,
    /// Attempts to get that lock before giving up.
    pub lock_attempts: u32,
    /// Row bytes a [`RowBatch`] aims at.
    pub batch_bytes: usize,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        SnapshotOptions {
            workers: 2,
            lock_wait_s: 1,
            lock_attempts: 60,
            batch_bytes: 1 << 20,
        }
    }
}

/// An open snapshot.
#[derive(Debug)]
pub struct SourceSnapshot {
    /// Tables as they are at the points (a table changed in between is refused when it is read).
    pub tables: Vec<CatalogueTable>,
    /// Schema objects.
    pub objects: Vec<SchemaObject>,
    /// XA transactions prepared and not ended at the first point, in the server's text form
    /// (`XA RECOVER FORMAT='SQL'`): their rows are in nobody's view yet.
    pub open_xa: Vec<String>,
    /// The workers; move each to a task of its own.
    pub workers: Vec<SnapshotWorker>,
}

impl SourceSnapshot {
    /// Connects all workers and fixes their points.
    ///
    /// Tables and objects are read before and after; when they differ (DDL ran meanwhile) the
    /// whole is done again.
    ///
    /// # Errors
    /// `Config` when a right is missing (MySQL needs RELOAD), `Unavailable` when the global read
    /// lock was not had in time or DDL does not stop, and as [`sql_error`](super::sql_error)
    /// sorts the rest.
    pub async fn open(endpoint: &Endpoint, options: &SnapshotOptions) -> Result<SourceSnapshot> {
        const ATTEMPTS: usize = 5;
        let mut control = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let mut tables = read_catalogue(&mut control).await?;
        let mut objects = read_objects_of(&mut control, &tables).await?;
        for _ in 0..ATTEMPTS {
            let opened = Box::pin(open::workers(endpoint, &mut control, options)).await?;
            let tables_after = read_catalogue(&mut control).await?;
            let objects_after = read_objects_of(&mut control, &tables_after).await?;
            let is_same = tables.len() == tables_after.len()
                && tables.iter().zip(&tables_after).all(|(a, b)| a.is_same(b));
            if is_same && is_same_schema(&objects, &objects_after) {
                control.close().await;
                return Ok(SourceSnapshot {
                    tables: tables_after,
                    objects: objects_after,
                    open_xa: opened.open_xa,
                    workers: opened.workers,
                });
            }
            (tables, objects) = (tables_after, objects_after);
            for worker in opened.workers {
                worker.close().await;
            }
        }
        Err(
            Error::unavailable("open snapshot: the schema changed at every attempt")
                .field("attempts", ATTEMPTS)
                .hint("take the snapshot when no DDL runs"),
        )
    }

    /// The earliest point of all workers: capture must cover everything after it.
    #[must_use]
    pub fn first_point(&self) -> Option<&SnapshotPoint> {
        let mut first: Option<&SnapshotPoint> = None;
        for worker in &self.workers {
            let point = worker.point();
            if first.is_none_or(|f| point.position.order(&f.position).is_some_and(|o| o.is_lt())) {
                first = Some(point);
            }
        }
        first
    }
}

/// Some rows of one table.
#[derive(Clone, Debug)]
pub struct RowBatch {
    /// Row images back to back, as in a WRITE_ROWS event of the table version.
    pub images: Bytes,
    /// End of each image in `images`, ascending.
    pub ends: Vec<u32>,
}

/// What reading one table came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRead {
    /// Rows read.
    pub rows: u64,
    /// Bytes of their images.
    pub bytes: u64,
    /// The table is exact from here on: the worker's point, or for a table without transactions
    /// (MyISAM, MEMORY, sequences) the source's position after it was read.
    pub exact_from: SnapshotPoint,
}

/// One reading connection.
#[derive(Debug)]
pub struct SnapshotWorker {
    client: SqlClient,
    point: SnapshotPoint,
    flavor: Flavor,
    batch_bytes: usize,
    /// The server has no moments: its point says nothing.
    is_idle: bool,
}

impl SnapshotWorker {
    /// A reader of a server that nobody writes to (a restore's target): no lock is taken, no
    /// position is asked for, and binary logging may be off. Its [`point`](Self::point) is empty.
    ///
    /// # Errors
    /// As [`sql_error`](super::sql_error) sorts them.
    pub async fn of_idle_server(
        endpoint: &Endpoint,
        options: &SnapshotOptions,
    ) -> Result<SnapshotWorker> {
        Box::pin(open::idle_worker(endpoint, options)).await
    }

    /// What this connection sees.
    #[must_use]
    pub fn point(&self) -> &SnapshotPoint {
        &self.point
    }

    /// A table in at most so many ranges, for workers that see the same point: one where its primary
    /// key does not begin with an integer, or rows may change while they are read.
    ///
    /// # Errors
    /// As [`read_range`](Self::read_range).
    pub async fn cut(&mut self, table: &CatalogueTable, parts: u64) -> Result<Vec<KeyRange>> {
        if !table.transactional {
            return Ok(vec![KeyRange::ALL]);
        }
        let cut = async {
            self.client.exec("SAVEPOINT tidelog").await?;
            let ranges = KeyRange::ALL.split(&mut self.client, table, parts).await;
            let released = self.client.exec("ROLLBACK TO SAVEPOINT tidelog").await;
            ranges.and_then(|ranges| released.map(|()| ranges))
        };
        let cut: Result<_> = cut.await;
        cut.map_err(|e| match is_absent(&e) || is_rebuilt(&e) {
            true => changed(),
            false => e,
        })
        .map_err(|e| e.field("table", &table.shape.name))
    }

    /// Reads the rows of a table that are in a range, in primary key order where there is a primary
    /// key, and sends them as batches; a full channel holds the source back. The columns are exactly
    /// those of `version`, in its order.
    ///
    /// # Errors
    /// `Incompatible` when the table is not (or no longer) of this shape: DDL ran since, read the
    /// catalogue again. All errors name the table. A closed channel ends the read with `Internal`.
    pub async fn read_range(
        &mut self,
        table: &CatalogueTable,
        version: &TableVersion,
        range: &KeyRange,
        rows: &mpsc::Sender<RowBatch>,
    ) -> Result<TableRead> {
        let read = Box::pin(self.read((table, range), version, rows)).await;
        read.map_err(|e| e.field("table", &table.shape.name))
    }

    async fn read(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        version: &TableVersion,
        rows: &mpsc::Sender<RowBatch>,
    ) -> Result<TableRead> {
        if !version.has_shape(&table.shape) {
            return Err(Error::incompatible(
                "read table: its version is not of the catalogue's shape",
            )
            .field("version", version.version));
        }
        let (rows, bytes) = match self.is_idle {
            // Nobody changes its definitions either.
            true => self.read_rows_of((table, range), rows).await?,
            false => {
                // Released by the rollback: else DDL would wait for the end of the whole snapshot.
                self.client.exec("SAVEPOINT tidelog").await?;
                let read = self.read_locked((table, range), rows).await;
                let released = self.client.exec("ROLLBACK TO SAVEPOINT tidelog").await;
                read.and_then(|read| released.map(|()| read))?
            }
        };
        let exact_from = match table.transactional || self.is_idle {
            true => self.point.clone(),
            false => open::current_point(&mut self.client).await?,
        };
        Ok(TableRead {
            rows,
            bytes,
            exact_from,
        })
    }

    /// Reads the rows while a metadata lock keeps the definition as it is.
    async fn read_locked(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        rows: &mpsc::Sender<RowBatch>,
    ) -> Result<(u64, u64)> {
        let name = table.shape.name.quoted();
        let locked = self
            .client
            .exec(&format!("SELECT 1 FROM {name} LIMIT 0"))
            .await;
        locked.map_err(|e| if is_absent(&e) { changed() } else { e })?;
        let shown = show_create(&mut self.client, &table.shape.name).await?;
        self.client.exec("SET character_set_results=NULL").await?;
        if shown.as_deref().map(without_auto_increment).as_deref() != Some(&table.printed) {
            return Err(changed());
        }
        self.read_rows_of((table, range), rows).await
    }

    async fn read_rows_of(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        rows: &mpsc::Sender<RowBatch>,
    ) -> Result<(u64, u64)> {
        let mut encoder = RowEncoder::new(self.flavor, &table.shape.columns)?;
        let ranges = self.ranges((table, range), &mut encoder).await?;
        let mut out = Batcher::new(self.batch_bytes, rows);
        let mut wasted = 0;
        for range in ranges {
            let before = out.rows;
            loop {
                let skipped = out.rows - before;
                let read = self.read_rows((table, &range), &encoder, skipped, &mut out);
                let read = read
                    .await
                    .map_err(|e| if is_rebuilt(&e) { changed() } else { e })?;
                let Some(unknown) = read.unknown else {
                    break;
                };
                wasted += read.rows - (out.rows - before - skipped);
                match learn::pays(out.rows, wasted) {
                    true => encoder.learn(&unknown)?,
                    false => encoder.forget_paths(),
                }
            }
        }
        out.flush().await?;
        Ok((out.rows, out.bytes))
    }

    /// Reads the rows of a range but for the first ones, up to the end or to a document that is unknown:
    /// then the rows behind it are read for nothing.
    async fn read_rows(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        encoder: &RowEncoder,
        skipped: u64,
        out: &mut Batcher<'_>,
    ) -> Result<RangeRead> {
        let failed = |e: mysql_async::Error| sql_error("read rows", e);
        let sql = select((table, range), encoder);
        let result = self.client.conn().exec_iter(sql, ()).await;
        let mut result = result.map_err(failed)?;
        let mut read = RangeRead {
            rows: 0,
            unknown: None,
        };
        while let Some(row) = result.next().await.map_err(failed)? {
            read.rows += 1;
            if read.rows > skipped && read.unknown.is_none() {
                // Not of an Option: it gives the values of a row.
                let values = mysql_async::Row::unwrap(row);
                read.unknown = out.add(encoder, &values).await?;
            }
        }
        Ok(read)
    }

    /// Ends the snapshot of this connection.
    pub async fn close(self) {
        self.client.close().await;
    }
}

fn changed() -> Error {
    Error::incompatible("read table: it was changed after the snapshot was opened")
        .field("changed", "definition")
        .hint("open the snapshot again")
}

/// What became of a read.
struct RangeRead {
    /// Rows that the server sent.
    rows: u64,
    /// The document at which it ended.
    unknown: Option<Unknown>,
}

/// The statement that reads all rows of a range.
fn select((table, range): (&CatalogueTable, &KeyRange), encoder: &RowEncoder) -> String {
    let history = match table.kind {
        TableKind::SystemVersioned => " FOR SYSTEM_TIME ALL",
        TableKind::Base | TableKind::Sequence => "",
    };
    let mut sql = format!(
        "SELECT {} FROM {}{history}",
        encoder.select_list(),
        table.shape.name.quoted()
    );
    if table.has_primary {
        // Never a covering secondary index: rows would come in its order.
        sql.push_str(" FORCE INDEX (PRIMARY)");
        sql.push_str(&range.condition(table));
        let keys = table.shape.key.iter();
        let columns: Vec<String> = keys
            .filter_map(|part| table.shape.columns.get(part.column as usize))
            .map(|column| quote_identifier(&column.name))
            .collect();
        if is_ordered(table) {
            sql.push_str(" ORDER BY ");
            sql.push_str(&columns.join(", "));
        }
    }
    sql
}

/// Whether rows are read in the order of their primary key. Of a prefix the index keeps no order of
/// whole values: that would sort all rows.
fn is_ordered(table: &CatalogueTable) -> bool {
    let mut keys = table.shape.key.iter();
    table.has_primary && !table.shape.key.is_empty() && keys.all(|part| part.prefix == 0)
}

/// ER_TABLE_DEF_CHANGED: rebuilt after the snapshot was opened.
fn is_rebuilt(error: &Error) -> bool {
    error.get("code") == Some("1412")
}

/// Collects images into batches.
struct Batcher<'a> {
    target: usize,
    sender: &'a mpsc::Sender<RowBatch>,
    images: Vec<u8>,
    ends: Vec<u32>,
    rows: u64,
    bytes: u64,
}

impl<'a> Batcher<'a> {
    fn new(target: usize, sender: &'a mpsc::Sender<RowBatch>) -> Self {
        Batcher {
            target,
            sender,
            images: Vec::new(),
            ends: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    async fn add(
        &mut self,
        encoder: &RowEncoder,
        row: &[mysql_async::Value],
    ) -> Result<Option<Unknown>> {
        let start = self.images.len();
        if let Some(unknown) = encoder.encode(row, &mut self.images)? {
            return Ok(Some(unknown));
        }
        let end = u32::try_from(self.images.len());
        self.ends.push(
            end.map_err(|_| Error::incompatible("read row: it is larger than any event can hold"))?,
        );
        self.rows += 1;
        self.bytes += (self.images.len() - start) as u64;
        if self.images.len() >= self.target {
            self.flush().await?;
        }
        Ok(None)
    }

    async fn flush(&mut self) -> Result<()> {
        if self.ends.is_empty() {
            return Ok(());
        }
        let batch = RowBatch {
            images: std::mem::take(&mut self.images).into(),
            ends: std::mem::take(&mut self.ends),
        };
        let sent = self.sender.send(batch).await;
        sent.map_err(|_| Error::internal("send rows: the reader of the snapshot is gone"))
    }
}
