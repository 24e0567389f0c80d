//! Writes the rows. A table is fetched, folded on a compute thread and cut into parts; every part is
//! a transaction, written by whichever connection is free, so that one large table keeps all of
//! them busy and many small ones do so, too.

mod lane;
mod line;

use super::fetch::Fetch;
use super::found::FoundFile;
use super::progress::TableProgress;
use super::rows::{Fold, TableInput};
use super::server::Target;
use super::statements::{self, Outlet, Room, Sent, StatementOptions};
use super::sums::Sums;
use super::table::{Epoch, PlannedTable};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Repository;
use crate::runtime::{Clock, Compute};
use crate::schema::{Generated, TableId, TableVersion};
use lane::{Part, lane};
use line::Line;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinSet;

/// Finished statements of a table that wait to be put into a part.
const STATEMENTS_WAITING: usize = 1;

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
    /// Room for statements that are not committed yet.
    pub(super) room: Room,
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
    /// Whether several transactions may write its rows at once, in any order.
    pub(super) is_divisible: bool,
}

impl Work {
    /// Whether the server's counter is this far by itself: a table that is new on the target has the
    /// counter of the base, and rows raise it. To set it costs as much as to create the table.
    fn counts_to(&self, next: u64, sent: &Sent) -> bool {
        if !self.epoch.is_first || self.found.is_some() {
            return false;
        }
        let of_base = self.counter.as_ref().map_or(0, |counter| counter.next);
        let is_unchanged = self.table.epochs.len() == 1;
        sent.largest_id == 0
            || sent.largest_written.saturating_add(1) >= next
            || (is_unchanged && of_base >= next)
    }
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

/// Writes epochs over `jobs` connections; gives what every table then holds. `is_last` epochs can be
/// gone on with after a kill.
///
/// # Errors
/// The first error of any table; the others stop, and what they have not committed is undone.
pub(super) async fn write_all(
    writer: &Writer,
    mut queue: Vec<Work>,
    jobs: usize,
    is_last: bool,
) -> Result<BTreeMap<TableId, Written>> {
    if queue.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The largest is taken first, so that it is not what everything waits for in the end.
    queue.sort_by_key(|work| work.table.bytes);
    // One is fetched while the others are written.
    let tables = jobs.saturating_add(1).clamp(1, queue.len());
    let queue = Arc::new(Mutex::new(queue));
    let (parts, waiting) = mpsc::channel(1);
    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    let mut lanes = JoinSet::new();
    for _ in 0..jobs.max(1) {
        lanes.spawn(lane(writer.clone(), Arc::clone(&waiting)));
    }
    let mut tasks = JoinSet::new();
    for _ in 0..tables {
        let (writer, queue, parts) = (writer.clone(), Arc::clone(&queue), parts.clone());
        let how = How {
            is_last,
            part_bytes: part_bytes(jobs),
        };
        tasks.spawn(async move { writer.tables(&queue, how, &parts).await });
    }
    drop(parts);
    let mut written = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        // Dropping the sets stops the others.
        let ended = ended.map_err(|e| Error::internal("write rows: a job ended").source(e))?;
        written.extend(ended?);
    }
    while lanes.join_next().await.is_some() {}
    Ok(written)
}

/// Statement text that one transaction holds, so that every connection has one to write and the
/// next one is waiting.
fn part_bytes(jobs: usize) -> usize {
    const MOST: usize = 12 << 20;
    (Room::BYTES / (2 * jobs.max(1) + 2)).min(MOST)
}

/// How rows are written.
#[derive(Clone, Copy, Debug)]
struct How {
    /// Whether it can be gone on with after a kill.
    is_last: bool,
    /// Statement text that one transaction holds.
    part_bytes: usize,
}

impl Writer {
    /// Takes tables from the queue until it is empty.
    async fn tables(
        &self,
        queue: &Mutex<Vec<Work>>,
        how: How,
        parts: &mpsc::Sender<Part>,
    ) -> Result<Vec<(TableId, Written)>> {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.pop());
            let Some(work) = next else {
                return Ok(done);
            };
            let id = work.table.table_id.clone();
            done.push((id, self.table(work, how, parts).await?));
        }
    }

    async fn table(&self, work: Work, how: How, parts: &mpsc::Sender<Part>) -> Result<Written> {
        let input = self.input(&work).await?;
        let options = StatementOptions {
            stamp: self.target.stamp(&self.clock),
            packet_bytes_max: self.target.packet_bytes_max(),
            done: work.progress.parts.clone().into(),
            only_given: work.only_given,
        };
        let before = work.progress.before;
        let (sender, mut receiver) = mpsc::channel(STATEMENTS_WAITING);
        let outlet = Outlet {
            statements: sender,
            room: self.room.clone(),
        };
        let compute = self.compute.clone();
        let folded = tokio::spawn(async move {
            let send = move || statements::send(&input, options, before, &outlet);
            compute.run(send).await
        });
        let work = Arc::new(work);
        let mut line = Line::new(Arc::clone(&work), how, parts);
        while let Some(statement) = receiver.recv().await {
            match statement {
                Some(statement) => line.add(statement).await?,
                None => line.let_go().await?,
            }
        }
        let sent = folded.await;
        let sent = sent.map_err(|e| Error::internal("fold table").source(e))?;
        let sent = sent.map_err(|e| named_virtuals(e, &work))?;
        let next_id = line.end(&sent).await?;
        Ok(Written {
            sums: sent.sums,
            next_id,
        })
    }

    /// Fetches the files of an epoch.
    async fn input(&self, work: &Work) -> Result<TableInput> {
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
        Ok(input)
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
