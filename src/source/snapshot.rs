//! A consistent view of all rows of a source, read by several connections.
//!
//! Each [`SnapshotWorker`] is one connection inside a `START TRANSACTION WITH CONSISTENT SNAPSHOT`
//! and knows the exact point of the log it sees ([`SnapshotPoint`]): a transaction is visible to
//! it if and only if it is in the point's GTID set. On MySQL all workers share one point, read
//! under a global read lock that lasts only while they are opened; on MariaDB no lock is taken and
//! each worker has a point of its own, so a table is exact at the point of the worker that read
//! it. Rows leave as row images, byte for byte what an insert would have logged up to the
//! differences canonical rows ignore.

use super::catalogue::CatalogueTable;
use super::objects::SchemaObject;
use super::{Endpoint, SqlClient};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Flavor, GtidSet};
use crate::schema::TableVersion;
use bytes::Bytes;
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
    /// MySQL: longest wait for the global read lock, seconds; while it waits, it stops writers.
    pub lock_wait_s: u32,
    /// Row bytes a [`RowBatch`] aims at.
    pub batch_bytes: usize,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        SnapshotOptions {
            workers: 2,
            lock_wait_s: 10,
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
    /// # Errors
    /// `Config` when a right is missing (MySQL needs RELOAD), `Unavailable` when the global read
    /// lock was not had in time, and as [`sql_error`](super::sql_error) sorts the rest.
    pub async fn open(endpoint: &Endpoint, options: &SnapshotOptions) -> Result<SourceSnapshot> {
        let _ = (endpoint, options);
        Err(Error::internal("open snapshot"))
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
}

impl SnapshotWorker {
    /// What this connection sees.
    #[must_use]
    pub fn point(&self) -> &SnapshotPoint {
        &self.point
    }

    /// Reads all rows of a table, in primary key order where there is a primary key, and sends
    /// them as batches; a full channel holds the source back. The columns are exactly those of
    /// `version`, in its order.
    ///
    /// # Errors
    /// `Incompatible` when the table is not (or no longer) of this shape: DDL ran since, read the
    /// catalogue again. All errors name the table. A closed channel ends the read with `Internal`.
    pub async fn read_table(
        &mut self,
        table: &CatalogueTable,
        version: &TableVersion,
        rows: &mpsc::Sender<RowBatch>,
    ) -> Result<TableRead> {
        let _ = (
            table,
            version,
            rows,
            &mut self.client,
            self.batch_bytes,
            self.flavor,
        );
        Err(Error::internal("read table"))
    }

    /// Ends the snapshot of this connection.
    pub async fn close(self) {
        self.client.close().await;
    }
}
