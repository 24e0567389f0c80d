//! Reads every restored table back from the target and compares it with the fold.

use super::progress::TableProgress;
use super::sums::{Likeness, Summing, Sums};
use crate::error::{Error, Result};
use crate::position::{Flavor, Seq};
use crate::runtime::Compute;
use crate::schema::{TableId, TableName, TableVersion};
use crate::segment::{CanonicalRow, TablePlan};
use crate::source::{
    CatalogueTable, Endpoint, KeyRange, RowBatch, SnapshotOptions, SnapshotWorker, SqlClient,
    SqlSession, read_catalogue,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Batches of rows that wait to be hashed.
const BATCHES_WAITING: usize = 1;
/// Rows of a piece, about; and pieces of a table for each connection, at most.
const PIECE_ROWS: u64 = 32_768;
const PIECES_MAX: u64 = 8;

/// What a table must hold.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its name on the target.
    pub(super) name: TableName,
    /// The shape in which the sums were taken; `None`: as the target has it.
    pub(super) version: Option<Arc<TableVersion>>,
    /// Rows.
    pub(super) sums: Sums,
    /// Of the columns that the server does not compute.
    pub(super) only_given: bool,
}

/// What was found of tables that hold what they must.
#[derive(Clone, Debug, Default)]
pub(super) struct Compared {
    /// In the order asked for.
    pub(super) found: Vec<Holding>,
    /// Those, by their place, in which stored generated columns differ, and nothing else.
    pub(super) computed: Vec<usize>,
}

/// Reads tables of a target back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    /// The server.
    pub(super) target: &'a Endpoint,
    /// Its flavor.
    pub(super) flavor: Flavor,
    /// Connections.
    pub(super) jobs: usize,
    /// Where rows are hashed.
    pub(super) compute: &'a Compute,
}

impl Reader<'_> {
    /// Compares tables with what they must hold, but for what the server computes.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) that names every table that differs in more,
    /// with the number of rows on both sides.
    pub(super) async fn verify(&self, wanted: &[Expected]) -> Result<Compared> {
        let found = self.read(wanted).await?;
        let mut differing = Vec::new();
        let mut computed = Vec::new();
        for (index, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
            let (should, is) = (wanted.sums.all.rows, found.sums.all.rows);
            match wanted.sums.like(&found.sums) {
                Likeness::Equal => {}
                Likeness::Given => computed.push(index),
                Likeness::Different => differing.push(format!(
                    "{}: {should} rows of the log, {is} on the target",
                    wanted.name
                )),
            }
        }
        if differing.is_empty() {
            return Ok(Compared { found, computed });
        }
        Err(differs()
            .field("tables", differing.join("; "))
            .hint("the target is marked incomplete; drop what was restored and tidelog_restore there, restore again, and report it if it comes back"))
    }

    /// What tables hold, in the shape wanted or the one they have; sums given are not looked at.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is not there; those of reading.
    pub(super) async fn read(&self, wanted: &[Expected]) -> Result<Vec<Holding>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<TableName> = wanted.iter().map(|table| table.name.clone()).collect();
        let tables = self.find(&names).await?;
        let mut holdings = Vec::new();
        let mut pieces = Vec::new();
        let mut control = SqlClient::connect(self.target, &SqlSession::default()).await?;
        for (index, (table, found)) in wanted.iter().zip(tables).enumerate() {
            let version = match &table.version {
                Some(version) => Arc::clone(version),
                None => shape_on_target(&found, self.flavor),
            };
            let version = generated_as(&version, &found);
            let summing = Summing::new(
                Arc::new(TablePlan::compile(Arc::clone(&version))?),
                table.only_given,
            );
            holdings.push(Holding {
                version,
                sums: summing.start(),
                recomputed: false,
            });
            let rows = table.sums.all.rows.max(found.rows_estimate);
            let parts = (rows / PIECE_ROWS).min(PIECES_MAX * self.jobs as u64);
            let ranges = KeyRange::ALL.split(&mut control, &found, parts).await?;
            let rows = rows / ranges.len().max(1) as u64;
            let found = Arc::new(found);
            pieces.extend(ranges.into_iter().map(|range| Piece {
                index,
                summing: summing.clone(),
                found: Arc::clone(&found),
                range,
                rows,
            }));
        }
        control.close().await;
        for (index, sums) in self.read_pieces(pieces).await? {
            if let Some(holding) = holdings.get_mut(index) {
                holding.sums.merge(&sums);
            }
        }
        Ok(holdings)
    }

    /// Reads pieces over several connections, each decoded on a thread of its own.
    async fn read_pieces(&self, mut pieces: Vec<Piece>) -> Result<Vec<(usize, Sums)>> {
        // The largest is taken first.
        pieces.sort_by_key(|piece| piece.rows);
        let jobs = self.jobs.clamp(1, pieces.len().max(1));
        let queue = Arc::new(Mutex::new(pieces));
        let mut tasks = JoinSet::new();
        for _ in 0..jobs {
            let (target, queue) = (self.target.clone(), Arc::clone(&queue));
            let compute = self.compute.clone();
            tasks.spawn(async move {
                let options = SnapshotOptions::default();
                let worker = SnapshotWorker::of_idle_server(&target, &options).await?;
                read_all(worker, queue, compute).await
            });
        }
        let mut sums = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(|e| Error::internal("read tables: a job ended").source(e))?;
            sums.extend(ended?);
        }
        Ok(sums)
    }
}

impl Reader<'_> {
    /// The shapes that tables have.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is not there.
    pub(super) async fn shapes(&self, names: &[TableName]) -> Result<Vec<Arc<TableVersion>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.find(names).await?;
        let shapes = found
            .iter()
            .map(|table| shape_on_target(table, self.flavor));
        Ok(shapes.collect())
    }

    /// Takes the rows of a table, which has the shape of `version`, batch by batch into `state`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is not there; those of reading and
    /// of `each`.
    pub(super) async fn batches<S: Send + 'static>(
        &self,
        name: &TableName,
        version: &Arc<TableVersion>,
        state: S,
        each: impl Fn(S, RowBatch) -> Result<S> + Copy + Send + 'static,
    ) -> Result<S> {
        let options = SnapshotOptions::default();
        let mut worker = SnapshotWorker::of_idle_server(self.target, &options).await?;
        let found = self.find(std::slice::from_ref(name)).await?;
        let Some(found) = found.first() else {
            return Err(Error::internal("read table: nothing was found"));
        };
        let read = read_batches(
            (&mut worker, self.compute),
            (version, found, KeyRange::ALL),
            state,
            each,
        );
        let state = read.await?;
        worker.close().await;
        Ok(state)
    }

    async fn find(&self, names: &[TableName]) -> Result<Vec<CatalogueTable>> {
        let mut control = SqlClient::connect(self.target, &SqlSession::default()).await?;
        let tables = read_catalogue(&mut control).await?;
        control.close().await;
        let tables: BTreeMap<&TableName, &CatalogueTable> =
            tables.iter().map(|t| (&t.shape.name, t)).collect();
        let found = names.iter().map(|name| {
            let found = tables.get(name).copied();
            found.cloned().ok_or_else(|| {
                Error::corrupt("verify restore: a table is not on the target").field("table", name)
            })
        });
        found.collect()
    }
}

/// What a table holds.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    /// The shape it was read in.
    pub(super) version: Arc<TableVersion>,
    /// Rows.
    pub(super) sums: Sums,
    /// Whether the target computed stored columns anew before a statement: of the others alone,
    /// for what the log says of these is no longer what the table had.
    pub(super) recomputed: bool,
}

impl Holding {
    /// The progress of a table that begins with these rows.
    pub(super) fn progress(&self) -> TableProgress {
        TableProgress {
            before: Some(self.sums),
            recomputed: self.recomputed,
            ..TableProgress::default()
        }
    }
}

/// What a table holds that differs.
pub(super) fn differs() -> Error {
    Error::corrupt("verify restore: what the target holds differs from the log")
}

/// A version of no log, with the shape a table has on the target.
fn shape_on_target(found: &CatalogueTable, flavor: Flavor) -> Arc<TableVersion> {
    let id = TableId::allocate(0, Seq(0), 0);
    Arc::new(TableVersion::first(id, Seq(0), flavor, found.shape.clone()))
}

/// A version with the generated columns that the table has on the target: no table map says which
/// columns are generated, and what the log knew of them may be from before.
fn generated_as(version: &Arc<TableVersion>, found: &CatalogueTable) -> Arc<TableVersion> {
    let mut version = TableVersion::clone(version);
    for column in &mut version.columns {
        let mut columns = found.shape.columns.iter();
        let same = columns.find(|c| c.name == column.name);
        column.generated = same.and_then(|c| c.generated);
    }
    Arc::new(version)
}

/// A table, or a part of it.
struct Piece {
    /// Place of the table in the list asked for.
    index: usize,
    summing: Summing,
    found: Arc<CatalogueTable>,
    range: KeyRange,
    /// About so many rows.
    rows: u64,
}

async fn read_all(
    mut worker: SnapshotWorker,
    queue: Arc<Mutex<Vec<Piece>>>,
    compute: Compute,
) -> Result<Vec<(usize, Sums)>> {
    let mut done = Vec::new();
    loop {
        let next = queue.lock().ok().and_then(|mut queue| queue.pop());
        let Some(piece) = next else {
            break;
        };
        done.push((piece.index, sum_up(&mut worker, &piece, &compute).await?));
    }
    worker.close().await;
    Ok(done)
}

async fn sum_up(worker: &mut SnapshotWorker, piece: &Piece, compute: &Compute) -> Result<Sums> {
    let summing = piece.summing.clone();
    let version = Arc::clone(summing.plan().version());
    let sums = summing.start();
    let each = |(summing, mut sums): (Summing, Sums), batch: RowBatch| {
        add_rows(&summing, &batch, &mut sums)?;
        Ok((summing, sums))
    };
    let of = (&version, &*piece.found, piece.range);
    let read = read_batches((worker, compute), of, (summing, sums), each);
    Ok(read.await?.1)
}

async fn read_batches<S: Send + 'static>(
    (worker, compute): (&mut SnapshotWorker, &Compute),
    (version, found, range): (&Arc<TableVersion>, &CatalogueTable, KeyRange),
    mut state: S,
    each: impl Fn(S, RowBatch) -> Result<S> + Copy + Send + 'static,
) -> Result<S> {
    let (sender, mut receiver) = mpsc::channel(BATCHES_WAITING);
    let read = async {
        let read = worker.read_range(found, version, &range, &sender).await;
        drop(sender);
        read
    };
    let take = async {
        while let Some(batch) = receiver.recv().await {
            state = compute.run(move || each(state, batch)).await?;
        }
        Ok::<_, Error>(state)
    };
    let (read, state) = tokio::join!(read, take);
    read?;
    state.map_err(|e| e.field("table", &version.name))
}

fn add_rows(summing: &Summing, batch: &RowBatch, sums: &mut Sums) -> Result<()> {
    let (mut cells, mut start) = (Vec::new(), 0);
    let mut row = CanonicalRow::default();
    for end in batch.ends.iter().map(|end| *end as usize) {
        let image = batch.images.get(start..end);
        let image = image.ok_or_else(|| Error::internal("verify table: batch of no rows"))?;
        summing.plan().layout().split(image, &mut cells)?;
        sums.add(summing.hash(image, &cells, &mut row)?);
        start = end;
    }
    Ok(())
}
