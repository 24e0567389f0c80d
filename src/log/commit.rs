//! The two puts of the write ordering (`durability` has all of it): data files, then the manifest.
//! Nobody else writes any of them.
//!
//! A crash before the manifest leaves files that nothing names: they do not exist. An ambiguous
//! outcome of the create is repeated with the same bytes until it is known.

use super::batch::Batch;
use super::seal::{self, Encoded, EncodedObject, SpilledFiles};
use crate::error::{Error, Result};
use crate::manifest::{
    ABSENT_CELLS, Catalogue, CommitOutcome, CommitTimes, Crc32, EVENT_SKELETONS, FileEntry,
    FileOrder, FileRole, LastEvent, ObjectRef, OpenXa, Pending, Repository, SegmentManifest,
    Sha256, StoredManifest, TailPlace, Unprotected,
};
use crate::position::{BinlogPosition, GtidSet, Seq};
use crate::runtime::{Clock, Compute, failpoint, ids::new_uuid};
use crate::storage::{ObjectName, SegmentFile, SegmentFolder};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Every so many manifests name a catalogue, so that a reader never walks further.
pub(super) const CATALOG_INTERVAL: u64 = 1_000;
/// Objects of one segment stored at a time.
const PUTS_AT_ONCE: usize = 8;
/// The field of the error of a writer that found a segment of an older one in its place.
pub(super) const ADOPTED: &str = "adopted_epoch";
/// Pause after a put that the store's own attempts did not bring through.
const PUT_PAUSE: Duration = Duration::from_secs(1);

/// The end of the chain as this writer knows it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) seq_last: Seq,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) gtids_through: GtidSet,
    pub(crate) position: BinlogPosition,
    pub(crate) commit_max_us: Option<i64>,
    pub(crate) covered_through_us: Option<i64>,
    pub(crate) open_xa: Vec<OpenXa>,
    pub(crate) tail: Option<TailPlace>,
}

impl Head {
    /// The head after a committed manifest.
    pub(crate) fn of(stored: &StoredManifest) -> Head {
        let manifest = &stored.manifest;
        Head {
            seq_last: manifest.seq_last,
            sha256: Some(stored.sha256),
            gtids_through: manifest.gtids_through.clone(),
            position: manifest.position_last.clone(),
            commit_max_us: manifest.commit_time.max_us,
            covered_through_us: manifest.covered_through_us,
            open_xa: manifest.open_xa.clone(),
            tail: manifest.tail,
        }
    }
}

/// All that one segment is made of.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) batch: Batch,
    pub(crate) pending: Pending,
    /// The catalogue at the end of the batch.
    pub(crate) catalogue: Catalogue,
    pub(crate) source: serde_json::Value,
    pub(crate) format_description: Bytes,
    pub(crate) covered_through_us: Option<i64>,
    /// See [`SegmentManifest::unprotected`].
    pub(crate) unprotected: Vec<Unprotected>,
    /// See [`SegmentManifest::last_event`].
    pub(crate) last_event: Option<LastEvent>,
    /// How far the tail is in segments once this one is committed; `None`: as before.
    pub(crate) tail: Option<TailPlace>,
}

/// Commits segments at the end of a chain; owned by one writer epoch.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) repository: Repository,
    pub(crate) compute: Compute,
    pub(crate) clock: Clock,
    pub(crate) timeline: u32,
    pub(crate) epoch: u64,
    pub(crate) writer_id: Uuid,
    pub(crate) zstd_level: i32,
    pub(crate) head: Head,
    /// Manifests since the last that named a catalogue.
    pub(crate) since_catalog: u64,
}

impl Committer {
    /// Encodes, stores and commits a batch; the head moves only when the manifest exists.
    pub(crate) async fn commit(&mut self, sealing: Sealing) -> Result<StoredManifest> {
        let Sealing {
            batch,
            pending,
            catalogue,
            source,
            format_description,
            covered_through_us,
            unprotected,
            last_event,
            tail,
        } = sealing;
        let expected = self.head.seq_last.next();
        if batch.seq_first != expected {
            return Err(Error::internal("seal batch that does not follow the head")
                .field("seq_first", batch.seq_first)
                .field("expected", expected));
        }
        let event_bytes = batch.event_bytes();
        let Encoded {
            batch,
            objects,
            spilled,
            has_skeletons,
        } = seal::encode(
            batch,
            format_description.clone(),
            self.zstd_level,
            &self.compute,
        )
        .await?;
        failpoint::place("seal.encoded");
        let folder = SegmentFolder {
            timeline: self.timeline,
            seq_first: batch.seq_first,
            uuid: new_uuid(),
        };
        let mut files = self.put_objects(folder, objects).await?;
        if let Some(spilled) = spilled {
            files.extend(self.put_spilled(folder, spilled).await?);
        }
        failpoint::place("data.put");
        let catalog = self
            .put_catalog(&catalogue, batch.seq_next().prev())
            .await?;
        let names_catalog = catalog.is_some();
        let manifest = self.manifest(&batch, pending, files, catalog, source, covered_through_us);
        let mut manifest = SegmentManifest {
            format_description: format_description.to_vec(),
            unprotected,
            last_event,
            tail: tail.or(self.head.tail),
            ..manifest?
        };
        if has_skeletons {
            manifest.requires.push(EVENT_SKELETONS.to_owned());
        }
        failpoint::place("manifest.before_put");
        let stored = match self.create(Arc::new(manifest)).await? {
            CommitOutcome::Committed(stored) => {
                failpoint::place("manifest.put");
                stored
            }
            CommitOutcome::Adopt(other) => {
                return Err(
                    Error::unavailable("commit segment: an earlier writer was faster")
                        .field("object", other.manifest.object_name())
                        .field(ADOPTED, other.manifest.epoch)
                        .hint("capture starts again from the new head; nothing is lost"),
                );
            }
        };
        self.since_catalog = if names_catalog {
            0
        } else {
            self.since_catalog + 1
        };
        self.head = Head::of(&stored);
        tracing::info!(
            seq_first = %stored.manifest.seq_first,
            seq_last = %stored.manifest.seq_last,
            rows = stored.manifest.rows,
            event_bytes,
            stored_bytes = stored.manifest.files.iter().filter(|f| f.offset == 0).map(|f| f.length).sum::<u64>(),
            "segment committed"
        );
        Ok(stored)
    }

    /// Until the outcome is known, the same manifest is created again: another one under its
    /// name could fork the log.
    async fn create(&self, manifest: Arc<SegmentManifest>) -> Result<CommitOutcome> {
        patiently(|| self.repository.commit(Arc::clone(&manifest))).await
    }

    async fn put_objects(
        &self,
        folder: SegmentFolder,
        objects: Vec<EncodedObject>,
    ) -> Result<Vec<FileEntry>> {
        let entries: Vec<Vec<FileEntry>> = stream::iter(objects)
            .map(|object| self.put_object(folder, object))
            .buffered(PUTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// Stores each object while the next one is made.
    async fn put_spilled(
        &self,
        folder: SegmentFolder,
        spilled: SpilledFiles,
    ) -> Result<Vec<FileEntry>> {
        let mut files = Vec::new();
        let (mut spilled, mut object) = self.next_object(spilled).await?;
        while let Some(now) = object {
            let (entries, next) =
                futures::try_join!(self.put_object(folder, now), self.next_object(spilled))?;
            files.extend(entries);
            (spilled, object) = next;
        }
        Ok(files)
    }

    async fn next_object(
        &self,
        mut spilled: SpilledFiles,
    ) -> Result<(SpilledFiles, Option<EncodedObject>)> {
        let next = move || {
            let object = spilled.next_object()?;
            Ok((spilled, object))
        };
        self.compute.run(next).await
    }

    async fn put_object(
        &self,
        folder: SegmentFolder,
        object: EncodedObject,
    ) -> Result<Vec<FileEntry>> {
        let name = match (object.pack, object.members.first()) {
            (Some(pack), _) => folder.file(SegmentFile::Pack(pack)),
            (None, Some((_, file))) => folder.file(file.name()),
            (None, None) => return Ok(Vec::new()),
        };
        let length = object.bytes.len() as u64;
        let put = patiently(|| self.repository.put_file(&name, object.bytes.clone())).await?;
        failpoint::place("data.one_put");
        let mut entries = Vec::with_capacity(object.members.len() + 1);
        if object.pack.is_some() {
            entries.push(pack_entry(&name, length, put.crc32, put.sha256));
        }
        for (offset, file) in object.members {
            let (crc32, sha256) = if object.pack.is_some() {
                (Crc32::of(&file.bytes), Sha256::of(&file.bytes))
            } else {
                (put.crc32, put.sha256)
            };
            let (table_id, version) = file.table.unzip();
            let (key_min, key_max) = file.keys.unzip();
            entries.push(FileEntry {
                role: file.role,
                table_id,
                version,
                part: file.part,
                object: name.to_string(),
                offset,
                length: file.bytes.len() as u64,
                rows: file.rows,
                crc32,
                sha256,
                order: file.order,
                key_min,
                key_max,
                seq_first: file.seqs.0,
                seq_last: file.seqs.1,
                absent: file.absent,
            });
        }
        Ok(entries)
    }

    async fn put_catalog(&self, catalogue: &Catalogue, seq: Seq) -> Result<Option<ObjectRef>> {
        if self.since_catalog + 1 < CATALOG_INTERVAL && self.head.sha256.is_some() {
            return Ok(None);
        }
        let name = ObjectName::Catalog {
            timeline: self.timeline,
            seq,
        };
        let bytes = catalogue.encode()?;
        // A writer that died after this put leaves the same bytes, or an object nobody names.
        let put = patiently(|| self.repository.put_object(&name, bytes.clone()));
        put.await.map(Some)
    }

    fn manifest(
        &self,
        batch: &Batch,
        pending: Pending,
        files: Vec<FileEntry>,
        catalog: Option<ObjectRef>,
        source: serde_json::Value,
        covered_through_us: Option<i64>,
    ) -> Result<SegmentManifest> {
        let mut gtids_through = self.head.gtids_through.clone();
        gtids_through.union(&batch.gtids_added)?;
        let times = || {
            batch
                .transactions
                .iter()
                .filter_map(|t| t.commit.map(|c| c.at_us))
        };
        let rows = files
            .iter()
            .filter(|f| f.role == FileRole::Changes)
            .map(|f| f.rows)
            .sum();
        let is_lacking = files.iter().any(|f| f.absent);
        let is_given = pending.tables.iter().any(|version| version.given_rows);
        let requires = (is_lacking || is_given).then(|| ABSENT_CELLS.to_owned());
        let requires = requires.into_iter().collect();
        Ok(SegmentManifest {
            timeline: self.timeline,
            seq_first: batch.seq_first,
            seq_last: batch.seq_next().prev(),
            prev_sha256: self.head.sha256,
            epoch: self.epoch,
            writer_id: self.writer_id,
            created_us: self.clock.now_us(),
            gtids_added: batch.gtids_added.clone(),
            gtids_through,
            position_first: self.head.position.clone(),
            position_last: batch.position.clone(),
            commit_time: CommitTimes {
                first_us: times().next(),
                last_us: times().next_back(),
                max_us: times().max().max(self.head.commit_max_us),
            },
            covered_through_us: covered_through_us.max(self.head.covered_through_us),
            source,
            last_event: None,
            format_description: Vec::new(),
            tables: pending.tables,
            retired: pending.retired,
            files,
            transactions: (batch.transactions.len() - batch.marks.len()) as u64,
            rows,
            marks: batch.marks.clone(),
            barriers: batch.barriers.clone(),
            ddl: batch.ddl.clone(),
            open_xa: batch.xa.open(),
            xa_decided: batch.xa.decided().to_vec(),
            undone: batch.undone.clone(),
            undone_rows: batch.undone_rows.clone(),
            unprotected: Vec::new(),
            tail: None,
            catalog,
            computed: pending.computed,
            requires,
        })
    }
}

/// Repeats a call for as long as the store is away: what it is about stays as it is meanwhile, and
/// what is durable elsewhere stays durable.
pub(super) async fn patiently<T, F>(mut put: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    loop {
        match put().await {
            Err(error) if error.kind().is_retryable() => {
                tracing::warn!(error = %error.report(), "the store is away, trying again");
                tokio::time::sleep(PUT_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn pack_entry(name: &ObjectName, length: u64, crc32: Crc32, sha256: Sha256) -> FileEntry {
    FileEntry {
        role: FileRole::Pack,
        table_id: None,
        version: None,
        part: 0,
        object: name.to_string(),
        offset: 0,
        length,
        rows: 0,
        crc32,
        sha256,
        order: FileOrder::None,
        key_min: None,
        key_max: None,
        seq_first: Seq::FIRST,
        seq_last: Seq::FIRST,
        absent: false,
    }
}
