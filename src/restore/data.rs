//! Writes the rows: each job takes the next table, fetches its files, folds it on a compute
//! thread and sends the statements on a connection of its own.

use super::fetch::Fetch;
use super::found::FoundFile;
use super::progress::{self, TableProgress};
use super::rows::{Fold, TableInput};
use super::server::Target;
use super::statements::{self, RowsStatement, StatementOptions};
use super::sums::Sums;
use super::table::{Epoch, PlannedTable};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Repository;
use crate::runtime::{Clock, Compute};
use crate::schema::{Generated, TableId, TableVersion};
use crate::source::SqlClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinSet;

/// Statement text that one transaction holds.
const TRANSACTION_BYTES: usize = 12 << 20;
/// What a packet needs beside the statement's text.
const STATEMENT_ROOM: usize = 64;
/// Finished statements that wait for the connection.
const STATEMENTS_WAITING: usize = 3;

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
    /// Held shared by every open transaction, alone by what locks definitions: foreign keys tie
    /// tables of other jobs to it, and the server would end one of the two.
    pub(super) turns: Arc<RwLock<()>>,
}

/// An epoch of a table to write.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// The table.
    pub(super) table: Arc<PlannedTable>,
    /// Its epoch.
    pub(super) epoch: Epoch,
    /// The table as it stands on the target.
    pub(super) version: Arc<TableVersion>,
    /// Where it is.
    pub(super) progress: TableProgress,
    /// Whether what the target computes is not what the log has.
    pub(super) only_given: bool,
    /// How its rows are folded, where they changed by more than its files say.
    pub(super) fold: Option<Arc<dyn Fold>>,
    /// The rows that it holds and that are written anew, where they must be folded with the rest;
    /// they stand for the base files.
    pub(super) found: Option<Vec<FoundFile>>,
    /// Its AUTO_INCREMENT column, where it has one.
    pub(super) counter: Option<Counter>,
}

/// How far the ids of a table are.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    /// Name of the column.
    pub(super) column: String,
    /// The next value is not below this one.
    pub(super) next: u64,
}

/// What a table holds when an epoch is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Rows.
    pub(super) sums: Sums,
    /// Next AUTO_INCREMENT value, at least.
    pub(super) next_id: u64,
}

/// Writes epochs, each on one of several connections; gives what every table then holds.
/// `is_last` epochs can be gone on with after a kill.
///
/// # Errors
/// The first error of any job; the others stop, and what they have not committed is undone.
pub(super) async fn write_all(
    writer: &Writer,
    mut queue: Vec<Work>,
    jobs: usize,
    is_last: bool,
) -> Result<BTreeMap<TableId, Written>> {
    // The largest is taken first, so that it is not what everything waits for in the end.
    queue.sort_by_key(|work| work.table.bytes);
    let jobs = jobs.clamp(1, queue.len().max(1));
    let queue = Arc::new(Mutex::new(queue));
    let mut tasks = JoinSet::new();
    for _ in 0..jobs {
        tasks.spawn(job(writer.clone(), Arc::clone(&queue), is_last));
    }
    let mut written = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        // Dropping the set stops the other jobs.
        let ended = ended.map_err(|e| Error::internal("write rows: a job ended").source(e))?;
        written.extend(ended?);
    }
    Ok(written)
}

type Queue = Arc<Mutex<Vec<Work>>>;

async fn job(writer: Writer, queue: Queue, is_last: bool) -> Result<Vec<(TableId, Written)>> {
    let mut done = Vec::new();
    let mut client: Option<SqlClient> = None;
    loop {
        let next = queue.lock().ok().and_then(|mut queue| queue.pop());
        let Some(work) = next else {
            break;
        };
        let mut open = match client.take() {
            Some(client) => client,
            None => writer.target.connect_writer(&writer.clock).await?,
        };
        let written = writer.write(&mut open, &work, is_last).await?;
        done.push((work.table.table_id.clone(), written));
        client = Some(open);
    }
    if let Some(client) = client {
        client.close().await;
    }
    Ok(done)
}

impl Writer {
    async fn write(&self, client: &mut SqlClient, work: &Work, is_last: bool) -> Result<Written> {
        let table = &work.table;
        let fetch = Fetch::new(&self.repo, &self.compute);
        let files = match &work.found {
            None => fetch.files(table, &work.epoch).await?,
            Some(found) => {
                let found = found.iter().map(|found| found.file.clone());
                (
                    found.collect(),
                    fetch.change_files(table, &work.epoch).await?,
                )
            }
        };
        let version = Arc::clone(&work.version);
        let input = TableInput::new((table, &work.epoch), version, files)?;
        let mut input = input.folded_by(work.fold.clone());
        if work.found.is_some() {
            input = input.replacing_base();
        }
        input.count(work.counter.as_ref().map(|counter| counter.column.clone()));
        let progress = work.progress;
        let options = StatementOptions {
            stamp: self.target.stamp(&self.clock),
            packet_bytes_max: self.target.packet_bytes_max(),
            skip: progress.rows_done,
            only_given: work.only_given,
        };
        let (sender, mut receiver) = mpsc::channel(STATEMENTS_WAITING);
        let compute = self.compute.clone();
        let folded = tokio::spawn(async move {
            let send = move || statements::send(&input, options, progress.before, &sender);
            compute.run(send).await
        });
        let mut now = progress;
        let mut open_bytes = 0;
        let mut turn = None;
        // Another job may have made room since this session began.
        let session = "SELECT @@session.max_allowed_packet";
        let session = client.query_string(session).await?;
        let mut packet = session.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        while let Some(statement) = receiver.recv().await {
            let needed = statement.sql.len() + STATEMENT_ROOM;
            if needed > packet {
                if open_bytes > 0 {
                    commit(client, &table.table_id, is_last.then_some(&now)).await?;
                    open_bytes = 0;
                    drop(turn.take());
                }
                let room = self.target.make_room(needed).await;
                room.map_err(|e| e.field("table", &work.epoch.name))?;
                *client = self.target.connect_writer(&self.clock).await?;
                packet = self.target.packet_bytes_max();
            }
            if open_bytes == 0 {
                turn = Some(self.turns.read().await);
                client.exec("BEGIN").await?;
            }
            self.apply(client, work, &statement).await?;
            now.rows_done = statement.rows_done;
            open_bytes += statement.sql.len();
            if open_bytes >= TRANSACTION_BYTES {
                commit(client, &table.table_id, is_last.then_some(&now)).await?;
                open_bytes = 0;
                drop(turn.take());
            }
        }
        let sent = folded.await;
        let sent = sent.map_err(|e| Error::internal("fold table").source(e))?;
        let sent = sent.map_err(|e| named_virtuals(e, work))?;
        // Where nothing is left to be done behind the rows, one transaction ends a small table.
        let is_whole = open_bytes > 0 && work.counter.is_none();
        now.finished = is_whole.then_some(sent.sums);
        if open_bytes > 0 {
            commit(client, &table.table_id, is_last.then_some(&now)).await?;
        }
        drop(turn);
        let next_id = self.count(client, work, sent.largest_id).await?;
        now.finished = Some(sent.sums);
        if is_last && !is_whole {
            client.exec("BEGIN").await?;
            commit(client, &table.table_id, Some(&now)).await?;
        }
        Ok(Written {
            sums: sent.sums,
            next_id,
        })
    }

    /// Sets the counter beyond every id that ever was, also of rows that are gone; gives it.
    async fn count(&self, client: &mut SqlClient, work: &Work, largest_id: u64) -> Result<u64> {
        let Some(counter) = &work.counter else {
            return Ok(0);
        };
        let next = counter.next.max(largest_id.saturating_add(1));
        // A table that is new on the target was given the counter of the base already.
        if largest_id > 0 || !work.epoch.is_first {
            let name = work.epoch.name.quoted();
            let alter = format!("ALTER TABLE {name} AUTO_INCREMENT = {next}");
            let _alone = self.turns.write().await;
            client.exec(&alter).await?;
        }
        Ok(next)
    }

    async fn apply(
        &self,
        client: &mut SqlClient,
        work: &Work,
        statement: &RowsStatement,
    ) -> Result<()> {
        client.exec(&statement.sql).await.map_err(|e| {
            e.field("table", &work.epoch.name)
                .field("rows_done", statement.rows_done)
                .hint("the target's error log says more; put it right, then restore with --resume")
        })
    }
}

/// Without a key a row is found by all that is logged of it: virtual columns that show local time
/// are another value in each session's time zone.
fn named_virtuals(error: Error, work: &Work) -> Error {
    let columns = work.version.columns.iter();
    let virtuals = columns.filter(|c| c.generated == Some(Generated::Virtual));
    let names: Vec<&str> = virtuals.map(|c| c.name.as_str()).collect();
    if names.is_empty() || !work.version.key.is_empty() || error.kind() != ErrorKind::Corrupt {
        return error;
    }
    error.field("virtual_columns", names.join(", ")).hint(
        "a virtual column that shows a TIMESTAMP as local time differs by session: give the table \
         a primary key and take a new base",
    )
}

/// Commits the open transaction with the progress of its table in it.
async fn commit(
    client: &mut SqlClient,
    table: &TableId,
    progress: Option<&TableProgress>,
) -> Result<()> {
    if let Some(progress) = progress {
        client.exec(&progress::statement(table, progress)).await?;
    }
    client.exec("COMMIT").await
}
