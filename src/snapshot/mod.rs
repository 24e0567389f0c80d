//! The first base: a consistent read of the source, as files of a base.
//!
//! A table's ladder: wanted (in the source's catalogue) -> known (the log chain has given it an
//! id) -> read (every row as the image the binlog would have logged) -> exact at a Seq (the entry
//! its reader's snapshot stands at). The base exists when its manifest does. Capture runs all the
//! while; this stage never allocates an id.

mod cover;
mod read;
mod table;
mod xa;

use crate::base::{BaseFile, views, write_files};
use crate::change::ImageLayout;
use crate::error::{Error, Result, Wrap};
use crate::manifest::{
    BaseManifest, BaseOrigin, BaseTable, Catalogue, Repository, SequenceState, StoredManifest,
};
use crate::position::Seq;
use crate::runtime::{Clock, Compute, Stopwatch, ids::new_uuid};
use crate::schema::TableVersion;
use crate::source::{
    CatalogueTable, Endpoint, SnapshotOptions, SnapshotPoint, SourceSnapshot, SqlClient,
    SqlSession, current_position, render_schema,
};
use crate::storage::{BaseFile as BaseFileName, BaseId, ObjectName};
use read::ReadTable;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// How to take a base from the source.
#[derive(Clone, Debug)]
pub struct BaseOptions {
    /// Connections that read tables in parallel.
    pub workers: usize,
    /// Bytes of a part of a table at least, by the server's estimate: larger tables are read in
    /// parts by several connections.
    pub part_bytes_min: u64,
    /// zstd level of data files.
    pub zstd_level: i32,
    /// How long to wait for capture to reach a point.
    pub patience: Duration,
    /// Times to start over when DDL runs meanwhile.
    pub attempts: u32,
}

impl Default for BaseOptions {
    fn default() -> Self {
        BaseOptions {
            workers: 2,
            part_bytes_min: 32 << 20,
            zstd_level: 1,
            patience: Duration::from_secs(180),
            attempts: 3,
        }
    }
}

/// What was taken.
#[derive(Clone, Debug, Serialize)]
pub struct BaseReport {
    /// Timeline.
    pub timeline: u32,
    /// The base's entry: the earliest moment it restores.
    pub seq: Seq,
    /// Object name of its manifest.
    pub object: String,
    /// Tables.
    pub tables: usize,
    /// Rows.
    pub rows: u64,
    /// Bytes of data files.
    pub bytes: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// Takes a base of all user tables from the source. `nudge` asks a capture in this process to
/// seal; in another process it does nothing and the wait is longer.
///
/// # Errors
/// `Gap` when nothing has been captured yet; `Unavailable` when capture does not reach the
/// snapshot in time; `Incompatible` when DDL kept changing tables meanwhile; errors of the source
/// and the store.
pub async fn take(
    repository: &Repository,
    endpoint: &Endpoint,
    options: &BaseOptions,
    clock: &Clock,
    nudge: &(dyn Fn() + Sync),
) -> Result<BaseReport> {
    let mut attempt = 1;
    loop {
        let stage = Stage {
            repository,
            endpoint,
            options,
            clock,
            nudge,
        };
        match stage.attempt().await {
            Err(error) if error.get("changed").is_some() && attempt < options.attempts => {
                tracing::warn!(error = %error.report(), attempt, "tables changed during the snapshot, starting over");
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

struct Stage<'a> {
    repository: &'a Repository,
    endpoint: &'a Endpoint,
    options: &'a BaseOptions,
    clock: &'a Clock,
    nudge: &'a (dyn Fn() + Sync),
}

impl Stage<'_> {
    async fn attempt(&self) -> Result<BaseReport> {
        let watch = Stopwatch::start();
        let timeline = self.repository.timelines().await?.pop().ok_or_else(|| {
            Error::gap("find timeline: nothing has been captured yet")
                .hint("start `tidelog run`, or `tidelog capture` beside this command")
        })?;
        let timeline = timeline.timeline;
        let options = SnapshotOptions {
            workers: self.options.workers,
            ..SnapshotOptions::default()
        };
        let snapshot = SourceSnapshot::open(self.endpoint, &options).await?;
        let mut workers = Vec::with_capacity(snapshot.workers.len());
        for worker in snapshot.workers {
            let seq = self.seq_of(timeline, worker.point()).await?;
            workers.push((worker, seq));
        }
        let first_seq = workers.iter().map(|(_, seq)| *seq).min().unwrap_or(Seq(0));
        let end = self.point_now().await?;
        let end_seq = self.seq_of(timeline, &end).await?;
        self.refuse_changes(timeline, first_seq, end_seq).await?;
        xa::warn_of_unknown(self.repository, timeline, first_seq, &snapshot.open_xa).await?;
        let catalogue = self.repository.catalogue_at(timeline, end_seq).await?;
        let tables = known(&catalogue, snapshot.tables)?;
        let reading = read::Reading {
            repository: self.repository.clone(),
            compute: Compute::per_core(),
            part_bytes_min: self.options.part_bytes_min,
            zstd_level: self.options.zstd_level,
        };
        let read = reading.tables(workers, tables).await?;
        let objects = snapshot.objects;
        self.write(
            timeline,
            read,
            &render_schema(catalogue.flavor(), &objects)?,
            &catalogue,
            &watch,
        )
        .await
    }

    async fn seq_of(&self, timeline: u32, point: &SnapshotPoint) -> Result<Seq> {
        cover::wait_for(
            self.repository,
            timeline,
            point,
            self.nudge,
            self.options.patience,
        )
        .await
    }

    async fn point_now(&self) -> Result<SnapshotPoint> {
        let mut client = SqlClient::connect(self.endpoint, &SqlSession::default()).await?;
        let (position, gtids) = current_position(&mut client).await?;
        client.close().await;
        Ok(SnapshotPoint {
            position,
            gtids,
            at_us: self.clock.now_us(),
        })
    }

    /// Definitions are not part of a snapshot: if one changed between the first point and now,
    /// rows and definitions may not belong together.
    async fn refuse_changes(&self, timeline: u32, from: Seq, to: Seq) -> Result<()> {
        let mut manifests = self.repository.manifests(timeline, from, Some(to)).await?;
        while let Some(stored) = manifests.next().await? {
            let manifest = &stored.manifest;
            let barriers = manifest.barriers.iter();
            let barriers = barriers.map(|b| (b.seq, b.reason.as_str(), b.statement.as_deref()));
            let ddl = manifest.ddl.iter();
            let ddl = ddl.map(|d| (d.seq, "definition", Some(d.statement.as_str())));
            for (seq, reason, statement) in barriers.chain(ddl) {
                if seq > from && seq <= to {
                    return Err(Error::incompatible("take base: tables changed meanwhile")
                        .field("changed", reason)
                        .field("seq", seq)
                        .field("statement", statement.unwrap_or("-"))
                        .hint("take the base again while no DDL runs"));
                }
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        timeline: u32,
        read: Vec<ReadTable>,
        schema: &[u8],
        catalogue: &Catalogue,
        watch: &Stopwatch,
    ) -> Result<BaseReport> {
        let mut tables = Vec::with_capacity(read.len());
        for table in &read {
            tables.push(BaseTable {
                table_id: table.version.table_id.clone(),
                version: table.version.version,
                name: table.version.name.clone(),
                exact_from_seq: self.seq_of(timeline, &table.exact_from).await?,
                rows: table.fingerprint.rows,
                fingerprint: table.fingerprint.sum,
                auto_increment: table.auto_increment,
            });
        }
        let exact = || tables.iter().map(|t| t.exact_from_seq);
        let seq = exact().max().unwrap_or(catalogue.seq());
        let apply_from_seq = exact().min().unwrap_or(seq).next();
        let at = self
            .repository
            .manifest(timeline, seq)
            .await?
            .ok_or_else(|| Error::gap("find segment of base").field("seq", seq))?;
        let commit_time = cover::commit_times(self.repository, &at, seq).await?;
        let last = read
            .iter()
            .zip(&tables)
            .max_by_key(|(_, t)| t.exact_from_seq);
        let point = last.map(|(t, _)| t.exact_from.clone());
        let id = self.free_attempt(timeline, seq).await?;
        let url = self.repository.store().location().to_owned();
        let files: Vec<BaseFile> = read.iter().flat_map(|t| t.files.iter().cloned()).collect();
        let view_tables: Vec<views::ViewTable<'_>> = read
            .iter()
            .map(|t| views::ViewTable {
                name: &t.version.name,
                table_id: &t.version.table_id,
                columns: &t.version.columns,
                files: t.files.iter().collect(),
            })
            .collect();
        let views = views::render(&url, &view_tables)?;
        let packed = zstd::bulk::compress(schema, 3).wrap(|| Error::internal("pack schema"))?;
        let put = async |file, bytes: Vec<u8>| {
            self.repository
                .put_object(&id.file(file), bytes.into())
                .await
        };
        let catalog_name = ObjectName::Catalog {
            timeline,
            seq: catalogue.seq(),
        };
        let manifest = BaseManifest {
            files: put(BaseFileName::Files, write_files(&files)?.to_vec()).await?,
            views: put(BaseFileName::Views, views.into_bytes()).await?,
            schema: put(BaseFileName::Schema, packed).await?,
            catalog: self
                .repository
                .put_object(&catalog_name, catalogue.encode()?)
                .await?,
            tables,
            commit_time,
            gtids: point
                .as_ref()
                .map_or_else(|| at.manifest.gtids_through.clone(), |p| p.gtids.clone()),
            position: point.map_or_else(|| at.manifest.position_last.clone(), |p| p.position),
            open_xa: xa::open_at(self.repository, timeline, apply_from_seq.prev()).await?,
            requires: catalogue.requires(),
            ..manifest_at(id, apply_from_seq, &at, self.clock.now_us())
        };
        self.repository.commit_base(&manifest).await?;
        Ok(BaseReport {
            timeline,
            seq,
            object: manifest.object_name().to_string(),
            tables: manifest.tables.len(),
            rows: manifest.tables.iter().map(|t| t.rows).sum(),
            bytes: files.iter().map(|f| f.bytes).sum(),
            seconds: watch.elapsed().as_secs_f64(),
        })
    }

    async fn free_attempt(&self, timeline: u32, seq: Seq) -> Result<BaseId> {
        let bases = self.repository.bases(timeline).await?;
        let last = bases
            .iter()
            .filter(|b| b.seq == seq)
            .map(|b| b.attempt)
            .max();
        Ok(BaseId {
            timeline,
            seq,
            attempt: last.map_or(1, |n| n + 1),
        })
    }
}

/// The members that the head of the log at the base's entry gives.
fn manifest_at(id: BaseId, apply_from_seq: Seq, at: &StoredManifest, now_us: i64) -> BaseManifest {
    let none = || crate::manifest::ObjectRef {
        object: String::new(),
        length: 0,
        crc32: crate::manifest::Crc32(0),
        sha256: crate::manifest::Sha256([0; 32]),
    };
    let segment = &at.manifest;
    BaseManifest {
        timeline: id.timeline,
        seq: id.seq,
        attempt: id.attempt,
        apply_from_seq,
        created_us: now_us,
        origin: BaseOrigin::Snapshot,
        writer_id: new_uuid(),
        gtids: segment.gtids_through.clone(),
        position: segment.position_last.clone(),
        commit_time: segment.commit_time,
        source: segment.source.clone(),
        tables: Vec::new(),
        sequences: Vec::<SequenceState>::new(),
        open_xa: Vec::new(),
        files: none(),
        views: none(),
        schema: none(),
        catalog: none(),
        complete: true,
        requires: Vec::new(),
    }
}

/// Pairs each table of the source with the version that the log chain gave it.
fn known(
    catalogue: &Catalogue,
    tables: Vec<CatalogueTable>,
) -> Result<Vec<(CatalogueTable, Arc<TableVersion>)>> {
    let mut known = Vec::with_capacity(tables.len());
    for table in tables {
        let name = table.shape.name.clone();
        match catalogue.by_name(&name) {
            Some(version) if version.has_shape(&table.shape) => {
                // The log may not know yet what the source says of its columns.
                let layout = ImageLayout::new(&table.shape.columns);
                layout.map_err(|e| e.field("table", &name))?;
                let version = Arc::clone(version);
                known.push((table, version));
            }
            Some(_) => {
                return Err(Error::incompatible(
                    "take base: the log knows another definition of a table",
                )
                .field("table", name)
                .field("changed", "definition")
                .hint(
                    "take the base again; if it stays, run ALTER TABLE ... FORCE and try again",
                ));
            }
            None => {
                return Err(
                    Error::incompatible("take base: the log does not know a table yet")
                        .field("table", name)
                        .field("changed", "new table")
                        .hint("wait until capture has sealed, then take the base again"),
                );
            }
        }
    }
    Ok(known)
}
