//! Reads every restored table back from the target and compares it with the fold.

use super::plan::{PlannedTable, RestorePlan};
use crate::error::{Error, Result};
use crate::runtime::Compute;
use crate::schema::TableId;
use crate::segment::{Canonicalizer, Fingerprint, TablePlan};
use crate::source::{
    CatalogueTable, Endpoint, RowBatch, SnapshotOptions, SnapshotWorker, SqlClient, SqlSession,
    read_catalogue,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Batches of rows that wait to be hashed.
const BATCHES_WAITING: usize = 4;

/// Compares all tables of the plan.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) that names every table that differs, with the
/// number of rows on both sides.
pub(super) async fn verify(
    target: &Endpoint,
    plan: &RestorePlan,
    wanted: &BTreeMap<TableId, Fingerprint>,
    jobs: usize,
    compute: &Compute,
) -> Result<()> {
    let mut control = SqlClient::connect(target, &SqlSession::default()).await?;
    let tables = read_catalogue(&mut control).await?;
    control.close().await;
    let mut queue = Vec::new();
    for table in &plan.tables {
        let found = tables.iter().find(|t| t.shape.name == table.name);
        let found = found.ok_or_else(|| {
            Error::corrupt("verify restore: a table is not on the target")
                .field("table", &table.name)
        })?;
        let wanted = wanted.get(&table.table_id).copied().unwrap_or_default();
        queue.push((table.clone(), found.clone(), wanted));
    }
    queue.sort_by_key(|(_, _, wanted)| wanted.rows);
    let queue = Arc::new(Mutex::new(queue));
    let options = SnapshotOptions::default();
    let tasks = (0..jobs.max(1)).map(|_| {
        let (queue, compute, options) = (Arc::clone(&queue), compute.clone(), options.clone());
        Box::pin(async move {
            let worker = SnapshotWorker::of_idle_server(target, &options).await?;
            compare_all(worker, queue, compute).await
        })
    });
    let differing = futures::future::try_join_all(tasks).await?.concat();
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt("verify restore: what the target holds differs from the log")
        .field("tables", differing.join("; "))
        .hint(
            "the target is marked incomplete; a stored generated column is computed by the target: \
             compare its version, sql_mode and time zone with the source's, and report it",
        ))
}

type Queue = Arc<Mutex<Vec<(PlannedTable, CatalogueTable, Fingerprint)>>>;

/// The tables that differ, of those this worker took.
async fn compare_all(
    mut worker: SnapshotWorker,
    queue: Queue,
    compute: Compute,
) -> Result<Vec<String>> {
    let mut differing = Vec::new();
    loop {
        let next = queue.lock().ok().and_then(|mut queue| queue.pop());
        let Some((table, found, wanted)) = next else {
            break;
        };
        let is = read_back(&mut worker, &table, &found, &compute).await?;
        if is != wanted {
            differing.push(format!(
                "{}: {} rows of the log, {} on the target",
                table.name, wanted.rows, is.rows
            ));
        }
    }
    worker.close().await;
    Ok(differing)
}

async fn read_back(
    worker: &mut SnapshotWorker,
    table: &PlannedTable,
    found: &CatalogueTable,
    compute: &Compute,
) -> Result<Fingerprint> {
    let version = table.versions.get(&table.version);
    let version = version.ok_or_else(|| Error::internal("verify table: no version"))?;
    let plan = Arc::new(TablePlan::compile(Arc::clone(version))?);
    let (sender, mut receiver) = mpsc::channel(BATCHES_WAITING);
    let read = async {
        let read = worker.read_table(found, version, &sender).await;
        drop(sender);
        read
    };
    let hash = async {
        let mut sum = Fingerprint::default();
        while let Some(batch) = receiver.recv().await {
            let plan = Arc::clone(&plan);
            sum.merge(&compute.run(move || fingerprint(&plan, &batch)).await?);
        }
        Ok::<_, Error>(sum)
    };
    let (read, sum) = tokio::join!(read, hash);
    read?;
    sum.map_err(|e| e.field("table", &table.name))
}

fn fingerprint(plan: &Arc<TablePlan>, batch: &RowBatch) -> Result<Fingerprint> {
    let canonical = Canonicalizer::new(Arc::clone(plan));
    let (mut sum, mut cells, mut start) = (Fingerprint::default(), Vec::new(), 0);
    for end in batch.ends.iter().map(|end| *end as usize) {
        let image = batch.images.get(start..end);
        let image = image.ok_or_else(|| Error::internal("verify table: batch of no rows"))?;
        plan.layout().split(image, &mut cells)?;
        sum.add(canonical.hash(image, &cells)?);
        start = end;
    }
    Ok(sum)
}
