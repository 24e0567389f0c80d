//! Reads every restored table back from the target and compares it with the fold.

use crate::error::{Error, Result};
use crate::position::{Flavor, Seq};
use crate::runtime::Compute;
use crate::schema::{TableId, TableName, TableVersion};
use crate::segment::{Canonicalizer, Fingerprint, TablePlan};
use crate::source::{
    CatalogueTable, Endpoint, RowBatch, SnapshotOptions, SnapshotWorker, SqlClient, SqlSession,
    read_catalogue,
};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Batches of rows that wait to be hashed.
const BATCHES_WAITING: usize = 4;

/// What a table must hold.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its name on the target.
    pub(super) name: TableName,
    /// The shape in which the fingerprint was taken; `None`: as the target has it.
    pub(super) version: Option<Arc<TableVersion>>,
    /// Rows.
    pub(super) fingerprint: Fingerprint,
    /// Of the columns that the server does not compute.
    pub(super) only_given: bool,
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
    /// Compares tables with what they must hold.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) that names every table that differs, with
    /// the number of rows on both sides.
    pub(super) async fn verify(&self, wanted: Vec<Expected>) -> Result<()> {
        let found = self.read(&wanted).await?;
        let differing = wanted.iter().zip(&found).filter_map(|(wanted, found)| {
            let (is, should) = (found.fingerprint, wanted.fingerprint);
            (is != should).then(|| {
                format!(
                    "{}: {} rows of the log, {} on the target",
                    wanted.name, should.rows, is.rows
                )
            })
        });
        let differing: Vec<String> = differing.collect();
        if differing.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt("verify restore: what the target holds differs from the log")
            .field("tables", differing.join("; "))
            .hint(
                "the target is marked incomplete; a stored generated column is computed by the \
                 target: compare its version, sql_mode and time zone with the source's, and report it",
            ))
    }

    /// What tables hold, in the shape wanted or the one they have; fingerprints given are not
    /// looked at.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is not there; those of reading.
    pub(super) async fn read(&self, wanted: &[Expected]) -> Result<Vec<Holding>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<TableName> = wanted.iter().map(|table| table.name.clone()).collect();
        let tables = self.find(&names).await?;
        let mut queue = Vec::new();
        for (index, (table, found)) in wanted.iter().zip(&tables).enumerate() {
            let version = match &table.version {
                Some(version) => Arc::clone(version),
                None => shape_on_target(found, self.flavor),
            };
            let version = generated_as(&version, found);
            let canonical = canonicalizer(version, table.only_given)?;
            queue.push((index, canonical, found.clone()));
        }
        queue.sort_by_key(|(_, _, found)| found.rows_estimate);
        let queue = Arc::new(Mutex::new(queue));
        let options = SnapshotOptions::default();
        let jobs = self.jobs.clamp(1, wanted.len());
        let tasks = (0..jobs).map(|_| {
            let (queue, compute, options) =
                (Arc::clone(&queue), self.compute.clone(), options.clone());
            Box::pin(async move {
                let worker = SnapshotWorker::of_idle_server(self.target, &options).await?;
                read_all(worker, queue, compute).await
            })
        });
        let mut found = futures::future::try_join_all(tasks).await?.concat();
        found.sort_by_key(|(index, _)| *index);
        Ok(found.into_iter().map(|(_, holding)| holding).collect())
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
        let state =
            read_batches((&mut worker, self.compute), (version, found), state, each).await?;
        worker.close().await;
        Ok(state)
    }

    async fn find(&self, names: &[TableName]) -> Result<Vec<CatalogueTable>> {
        let mut control = SqlClient::connect(self.target, &SqlSession::default()).await?;
        let tables = read_catalogue(&mut control).await?;
        control.close().await;
        let found = names.iter().map(|name| {
            let found = tables.iter().find(|t| t.shape.name == *name);
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
    pub(super) fingerprint: Fingerprint,
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

fn canonicalizer(version: Arc<TableVersion>, only_given: bool) -> Result<Canonicalizer> {
    let plan = Arc::new(TablePlan::compile(version)?);
    Ok(match only_given {
        true => Canonicalizer::of_given(plan),
        false => Canonicalizer::of_stored(plan),
    })
}

type Queue = Arc<Mutex<Vec<(usize, Canonicalizer, CatalogueTable)>>>;

async fn read_all(
    mut worker: SnapshotWorker,
    queue: Queue,
    compute: Compute,
) -> Result<Vec<(usize, Holding)>> {
    let mut done = Vec::new();
    loop {
        let next = queue.lock().ok().and_then(|mut queue| queue.pop());
        let Some((index, canonical, found)) = next else {
            break;
        };
        let fingerprint = read_back(&mut worker, &canonical, &found, &compute).await?;
        let holding = Holding {
            version: Arc::clone(canonical.plan().version()),
            fingerprint,
        };
        done.push((index, holding));
    }
    worker.close().await;
    Ok(done)
}

async fn read_back(
    worker: &mut SnapshotWorker,
    canonical: &Canonicalizer,
    found: &CatalogueTable,
    compute: &Compute,
) -> Result<Fingerprint> {
    let start = (canonical.clone(), Fingerprint::default());
    let each = |(canonical, mut sum): (Canonicalizer, Fingerprint), batch: RowBatch| {
        sum.merge(&fingerprint(&canonical, &batch)?);
        Ok((canonical, sum))
    };
    let version = canonical.plan().version();
    let read = read_batches((worker, compute), (version, found), start, each);
    Ok(read.await?.1)
}

async fn read_batches<S: Send + 'static>(
    (worker, compute): (&mut SnapshotWorker, &Compute),
    (version, found): (&Arc<TableVersion>, &CatalogueTable),
    mut state: S,
    each: impl Fn(S, RowBatch) -> Result<S> + Copy + Send + 'static,
) -> Result<S> {
    let (sender, mut receiver) = mpsc::channel(BATCHES_WAITING);
    let read = async {
        let read = worker.read_table(found, version, &sender).await;
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

fn fingerprint(canonical: &Canonicalizer, batch: &RowBatch) -> Result<Fingerprint> {
    let (mut sum, mut cells, mut start) = (Fingerprint::default(), Vec::new(), 0);
    for end in batch.ends.iter().map(|end| *end as usize) {
        let image = batch.images.get(start..end);
        let image = image.ok_or_else(|| Error::internal("verify table: batch of no rows"))?;
        canonical.plan().layout().split(image, &mut cells)?;
        sum.add(canonical.hash(image, &cells)?);
        start = end;
    }
    Ok(sum)
}
