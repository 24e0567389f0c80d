//! Writes the rows: each job takes the next table, fetches its files, folds it on a compute
//! thread and sends the statements on a connection of its own.

use super::plan::{PlannedTable, RestorePlan};
use super::progress::{self, TableProgress};
use super::rows::TableInput;
use super::server::Target;
use super::spool::Spooled;
use super::statements::{self, RowsStatement, StatementOptions};
use crate::error::{Error, Result};
use crate::manifest::{Crc32, FileEntry, ObjectRef, Repository, Sha256};
use crate::position::Seq;
use crate::runtime::{Clock, Compute};
use crate::schema::TableId;
use crate::segment::Fingerprint;
use crate::source::SqlClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Statement text that one transaction holds.
const TRANSACTION_BYTES: usize = 12 << 20;
/// Finished statements that wait for the connection.
const STATEMENTS_WAITING: usize = 3;
/// Change files fetched in one call: bytes and number.
const FETCH_BYTES: u64 = 32 << 20;
const FETCH_FILES: usize = 256;

/// What all jobs share.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    /// Where from.
    pub(super) repo: Repository,
    /// Where to.
    pub(super) target: Target,
    /// For event headers.
    pub(super) clock: Clock,
    /// Where folds run.
    pub(super) compute: Compute,
    /// Last entry that counts.
    pub(super) cut: Seq,
}

/// Fingerprints of all tables of the plan, after all their rows are on the target.
///
/// # Errors
/// The first error of any job; the others stop, and what they have not committed is undone.
pub(super) async fn write_all(
    writer: &Writer,
    plan: &RestorePlan,
    jobs: usize,
    done: &BTreeMap<TableId, TableProgress>,
) -> Result<BTreeMap<TableId, Fingerprint>> {
    let mut fingerprints = BTreeMap::new();
    let mut queue: Vec<(Arc<PlannedTable>, u64)> = Vec::new();
    for table in &plan.tables {
        let progress = done.get(&table.table_id).copied().unwrap_or_default();
        match progress.finished {
            Some(fingerprint) => drop(fingerprints.insert(table.table_id.clone(), fingerprint)),
            None => queue.push((Arc::new(table.clone()), progress.rows_done)),
        }
    }
    // The largest is taken first, so that it is not what everything waits for in the end.
    queue.sort_by_key(|(table, _)| table.bytes);
    let queue = Arc::new(Mutex::new(queue));
    let mut tasks = JoinSet::new();
    for _ in 0..jobs.max(1) {
        tasks.spawn(job(writer.clone(), Arc::clone(&queue)));
    }
    while let Some(ended) = tasks.join_next().await {
        // Dropping the set stops the other jobs.
        let ended = ended.map_err(|e| Error::internal("write rows: a job ended").source(e))?;
        fingerprints.extend(ended?);
    }
    Ok(fingerprints)
}

type Queue = Arc<Mutex<Vec<(Arc<PlannedTable>, u64)>>>;

async fn job(writer: Writer, queue: Queue) -> Result<Vec<(TableId, Fingerprint)>> {
    let mut done = Vec::new();
    let mut client: Option<SqlClient> = None;
    loop {
        let next = queue.lock().ok().and_then(|mut queue| queue.pop());
        let Some((table, skip)) = next else {
            break;
        };
        let mut open = match client.take() {
            Some(client) => client,
            None => writer.target.connect_writer(&writer.clock).await?,
        };
        let fingerprint = writer.table(&mut open, &table, skip).await?;
        done.push((table.table_id.clone(), fingerprint));
        client = Some(open);
    }
    if let Some(client) = client {
        client.close().await;
    }
    Ok(done)
}

impl Writer {
    async fn table(
        &self,
        client: &mut SqlClient,
        table: &Arc<PlannedTable>,
        skip: u64,
    ) -> Result<Fingerprint> {
        let base = self.base_files(table).await?;
        let changes = self.change_files(table).await?;
        let input = TableInput::new(table, (base, changes), self.cut)?;
        let options = StatementOptions {
            stamp: self.target.stamp(&self.clock),
            packet_bytes_max: self.target.packet_bytes_max,
            skip,
        };
        let (sender, mut receiver) = mpsc::channel(STATEMENTS_WAITING);
        let compute = self.compute.clone();
        let folded = tokio::spawn(async move {
            let send = move || statements::send(&input, options, &sender);
            compute.run(send).await
        });
        let mut rows_done = skip;
        let mut open_bytes = 0;
        while let Some(statement) = receiver.recv().await {
            if open_bytes == 0 {
                client.exec("BEGIN").await?;
            }
            self.apply(client, table, &statement).await?;
            rows_done = statement.rows_done;
            open_bytes += statement.sql.len();
            if open_bytes >= TRANSACTION_BYTES {
                let progress = TableProgress {
                    rows_done,
                    finished: None,
                };
                commit(client, &table.table_id, &progress).await?;
                open_bytes = 0;
            }
        }
        let folded = folded.await;
        let fingerprint = folded.map_err(|e| Error::internal("fold table").source(e))??;
        if open_bytes == 0 {
            client.exec("BEGIN").await?;
        }
        let progress = TableProgress {
            rows_done,
            finished: Some(fingerprint),
        };
        commit(client, &table.table_id, &progress).await?;
        Ok(fingerprint)
    }

    async fn apply(
        &self,
        client: &mut SqlClient,
        table: &PlannedTable,
        statement: &RowsStatement,
    ) -> Result<()> {
        client.exec(&statement.sql).await.map_err(|e| {
            e.field("table", &table.name)
                .field("rows_done", statement.rows_done)
                .hint("the target's error log says more; put it right, then restore with --resume")
        })
    }

    async fn base_files(&self, table: &PlannedTable) -> Result<Vec<Spooled>> {
        let mut files = Vec::with_capacity(table.base_files.len());
        for file in &table.base_files {
            if file.offset != 0 {
                return Err(Error::corrupt("read base file: it is a part of an object")
                    .field("object", &file.object));
            }
            let reference = ObjectRef {
                object: file.object.clone(),
                length: file.bytes,
                crc32: Crc32(file.crc32),
                sha256: Sha256(file.sha256),
            };
            let bytes = self.repo.get_object(&reference).await?;
            files.push(self.spool(vec![bytes]).await?);
        }
        Ok(files.into_iter().flatten().collect())
    }

    async fn change_files(&self, table: &PlannedTable) -> Result<Vec<Spooled>> {
        let mut files = Vec::with_capacity(table.change_files.len());
        let mut rest: &[FileEntry] = &table.change_files;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |file: &&FileEntry| {
                bytes += file.length;
                bytes <= FETCH_BYTES
            };
            let count = rest
                .iter()
                .take(FETCH_FILES)
                .take_while(fits)
                .count()
                .max(1);
            let (now, later) = rest.split_at(count);
            files.extend(self.spool(self.repo.get_files(now).await?).await?);
            rest = later;
        }
        Ok(files)
    }

    async fn spool(&self, bytes: Vec<bytes::Bytes>) -> Result<Vec<Spooled>> {
        let spool = move || bytes.into_iter().map(Spooled::new).collect();
        self.compute.run(spool).await
    }
}

/// Commits the open transaction with the progress of its table in it.
async fn commit(client: &mut SqlClient, table: &TableId, progress: &TableProgress) -> Result<()> {
    client.exec(&progress::statement(table, progress)).await?;
    client.exec("COMMIT").await
}
