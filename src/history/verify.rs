//! Is everything that was written still there, and still what it was?

use super::{SegmentChanges, Versions, count_events};
use crate::base::{BaseFile, read_files};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    BaseManifest, Catalogue, Crc32, FileEntry, FileOrder, FileRole, Repository, Sha256, Timeline,
    chain,
};
use crate::position::Seq;
use crate::runtime::{Compute, Stopwatch};
use crate::segment::{
    BatchView, CanonicalRow, Canonicalizer, FileKind, Fingerprint, ImageEncoder, ReadOptions,
    TableFileReader,
};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much to check.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// Also decode every file, rebuild every event and recompute every fingerprint.
    pub full: bool,
    /// Start at the segment that holds this entry.
    pub since: Option<Seq>,
}

/// Something that is not what it was.
#[derive(Clone, Debug, Serialize)]
pub struct Damage {
    /// Object it was found in, where one is known.
    pub object: Option<String>,
    /// What is wrong, with its causes and the next step.
    pub problem: String,
}

/// What was checked and what was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Timelines walked.
    pub timelines: u64,
    /// Segment manifests checked.
    pub segments: u64,
    /// Bases checked.
    pub bases: u64,
    /// Data objects (or pack members) read and compared with their hashes.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Row images decoded and encoded again (`full`).
    pub rows: u64,
    /// Events rebuilt (`full`).
    pub events: u64,
    /// Objects of the tail that are in no segment, and were checked.
    pub tail_objects: u64,
    /// Damage found.
    pub damage: Vec<Damage>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Checks a repository: chain, lengths, hashes, contiguity; with `full` also that every row can be
/// decoded and every event rebuilt. Damage is listed, not an error.
///
/// # Errors
/// `Unavailable` and `Config` from the store: they say nothing about the repository.
pub async fn verify(repository: &Repository, options: &VerifyOptions) -> Result<VerifyReport> {
    let watch = Stopwatch::start();
    let mut walk = Walk {
        repository,
        options,
        compute: Compute::per_core(),
        report: VerifyReport::default(),
    };
    for timeline in repository.timelines().await? {
        walk.report.timelines += 1;
        let outcome = walk.log(&timeline).await;
        let reached = outcome.as_ref().ok().copied();
        walk.note(outcome.map(|_| ()))?;
        walk.writers(&timeline, reached.unwrap_or_default()).await?;
        let bases = match repository.bases(timeline.timeline).await {
            Ok(bases) => bases,
            Err(error) => {
                walk.note(Err(error))?;
                continue;
            }
        };
        for id in bases {
            let outcome = match repository.base(id).await {
                Ok(base) => walk.base(&base).await,
                Err(error) => Err(error),
            };
            walk.note(outcome)?;
        }
    }
    let timelines = u32::try_from(walk.report.timelines).unwrap_or(u32::MAX);
    let outcome = repository.require_no_timeline_after(timelines).await;
    walk.note(outcome)?;
    walk.report.seconds = watch.elapsed().as_secs_f64();
    Ok(walk.report)
}

/// How far a log was read.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    /// Last entry; `None` where nothing or only a part could be read.
    seq: Option<Seq>,
    /// Highest epoch of a writer in it.
    epoch: u64,
}

struct Walk<'a> {
    repository: &'a Repository,
    options: &'a VerifyOptions,
    compute: Compute,
    report: VerifyReport,
}

impl VerifyReport {
    /// Damage goes into the report; what says nothing about the repository is an error.
    ///
    /// # Errors
    /// `Unavailable` and `Config`.
    pub fn note(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Config) => {
                Err(error)
            }
            Err(error) => {
                let object = error.get("object").map(str::to_owned);
                self.damage.push(Damage {
                    object,
                    problem: error.report(),
                });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Walk<'_> {
    fn note(&mut self, outcome: Result<()>) -> Result<()> {
        self.report.note(outcome)
    }

    async fn log(&mut self, timeline: &Timeline) -> Result<Reached> {
        let mut reached = Reached::default();
        let from = self.options.since.unwrap_or(timeline.seq_first());
        let mut manifests = self
            .repository
            .manifests(timeline.timeline, from, None)
            .await?;
        let mut versions: Option<Versions> = None;
        while let Some(stored) = manifests.next().await? {
            let manifest = &stored.manifest;
            if manifest.seq_first == timeline.seq_first() {
                chain::starts(timeline, manifest)?;
            }
            self.report.segments += 1;
            reached.epoch = reached.epoch.max(manifest.epoch);
            reached.seq = Some(manifest.seq_last);
            if let Some(catalog) = &manifest.catalog {
                let outcome = self.repository.get_object(catalog).await;
                let outcome = outcome.and_then(|b| Catalogue::decode(&catalog.object, &b));
                self.note(outcome.map(|_| ()))?;
            }
            let mut known = match versions.take() {
                Some(known) => known,
                None => Versions::of(
                    &self
                        .repository
                        .catalogue_at(timeline.timeline, manifest.seq_first.prev())
                        .await?,
                )?,
            };
            known.introduce(manifest)?;
            self.files(&manifest.files).await?;
            self.ends(&manifest.files).await?;
            if self.options.full {
                let outcome = self.decode(manifest, &known).await;
                self.note(outcome)?;
            }
            versions = Some(known);
        }
        Ok(reached)
    }

    /// The writers' claims: all there, and none has seen more of the log than is there.
    async fn writers(&mut self, timeline: &Timeline, reached: Reached) -> Result<()> {
        let (number, seq) = (timeline.timeline, reached.seq);
        for writer in self.repository.writers(number, reached.epoch).await? {
            let outcome = writer.and_then(|writer| match seq {
                Some(seq) if writer.head_hint > seq => {
                    Err(Error::gap("find the entries that a writer saw committed")
                        .field("timeline", number)
                        .field("epoch", writer.epoch)
                        .field("seen", writer.head_hint)
                        .field("log_ends", seq)
                        .hint("restore the newest manifests from a mirror or a bucket version"))
                }
                _ => Ok(()),
            });
            self.note(outcome)?;
        }
        Ok(())
    }

    /// Nothing stands behind what is named of an object: other readers look for a footer there.
    async fn ends(&mut self, files: &[FileEntry]) -> Result<()> {
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for file in files {
            let end = ends.entry(&file.object).or_default();
            *end = file.offset.saturating_add(file.length).max(*end);
        }
        for (object, end) in ends {
            if let Some(length) = self.repository.store().head(object).await?
                && length > end
            {
                let error = Error::corrupt("compare length of object")
                    .field("object", object)
                    .field("length", length)
                    .field("named", end)
                    .hint("restore the object from a mirror or a bucket version");
                self.note(Err(error))?;
            }
        }
        Ok(())
    }

    /// All files of a segment; a pack, whose members follow it, is read once.
    async fn files(&mut self, files: &[FileEntry]) -> Result<()> {
        let mut pack: Option<(&FileEntry, Bytes)> = None;
        for file in files {
            let of_object = |(pack, _): &&(&FileEntry, Bytes)| pack.object == file.object;
            let outcome = match pack.as_ref().filter(of_object) {
                Some((_, pack)) => {
                    let member = self.repository.member_of(pack, file).await;
                    member.inspect(|bytes| self.count(bytes))
                }
                // Which members of a damaged pack are whole is told one by one.
                None => self.file(file).await,
            };
            if file.role == FileRole::Pack {
                pack = outcome.as_ref().ok().map(|bytes| (file, bytes.clone()));
            }
            self.note(outcome.map(|_| ()))?;
        }
        Ok(())
    }

    async fn file(&mut self, file: &FileEntry) -> Result<Bytes> {
        let bytes = self.repository.get_file(file).await?;
        self.count(&bytes);
        Ok(bytes)
    }

    fn count(&mut self, bytes: &Bytes) {
        self.report.files += 1;
        self.report.bytes += bytes.len() as u64;
    }

    async fn decode(
        &mut self,
        manifest: &crate::manifest::SegmentManifest,
        versions: &Versions,
    ) -> Result<()> {
        let changes =
            SegmentChanges::read(self.repository, manifest, versions, &self.compute).await?;
        self.report.rows += changes.rows.len() as u64;
        let events = self.compute.run(move || count_events(&changes)).await?;
        self.report.events += events;
        Ok(())
    }

    async fn base(&mut self, base: &BaseManifest) -> Result<()> {
        self.report.bases += 1;
        for object in [&base.views, &base.schema] {
            let outcome = self.repository.get_object(object).await.map(|_| ());
            self.note(outcome)?;
        }
        let files = read_files(self.repository.get_object(&base.files).await?)?;
        let bytes = self.repository.get_object(&base.catalog).await?;
        let versions = Versions::of(&Catalogue::decode(&base.catalog.object, &bytes)?)?;
        let mut sums = std::collections::HashMap::new();
        let entries: Vec<FileEntry> = files.iter().map(entry_of).collect();
        self.ends(&entries).await?;
        for file in files {
            let outcome = self.base_file(&file, &versions).await;
            match outcome {
                Ok(Some(fingerprint)) => {
                    sums.entry(file.table_id.clone())
                        .or_insert_with(Fingerprint::default)
                        .merge(&fingerprint);
                }
                Ok(None) => {}
                Err(error) => self.note(Err(error))?,
            }
        }
        if self.options.full {
            for table in &base.tables {
                let sum = sums.remove(&table.table_id).unwrap_or_default();
                if (sum.sum, sum.rows) != (table.fingerprint, table.rows) {
                    let error = Error::corrupt("compare fingerprint of base table")
                        .field("object", base.object_name())
                        .field("table", &table.name);
                    self.note(Err(error))?;
                }
            }
        }
        Ok(())
    }

    async fn base_file(
        &mut self,
        file: &BaseFile,
        versions: &Versions,
    ) -> Result<Option<Fingerprint>> {
        let entry = entry_of(file);
        let bytes = self.file(&entry).await?;
        if !self.options.full {
            return Ok(None);
        }
        let plan = Arc::clone(versions.plan_of(&entry)?);
        let fingerprint = self
            .compute
            .run(move || {
                let encoder = ImageEncoder::new(Arc::clone(&plan));
                let canonical = Canonicalizer::new(Arc::clone(&plan));
                let (mut image, mut cells) = (Vec::new(), Vec::new());
                let mut canonical_row = CanonicalRow::default();
                let mut sum = Fingerprint::default();
                let reader = TableFileReader::open(bytes, Arc::clone(&plan), FileKind::Base)?;
                for batch in reader.read(&ReadOptions::default())? {
                    let batch = batch?;
                    let view = BatchView::new(&plan, &batch)?;
                    for row in 0..view.rows() {
                        image.clear();
                        encoder.image(&view, row, &mut image)?;
                        plan.layout().split(&image, &mut cells)?;
                        sum.add(canonical.hash(&image, &cells, &mut canonical_row)?);
                    }
                }
                Ok(sum)
            })
            .await
            .map_err(|error| {
                Error::corrupt("decode base file")
                    .field("object", &file.object)
                    .source(error)
            })?;
        self.report.rows += fingerprint.rows;
        Ok(Some(fingerprint))
    }
}

fn entry_of(file: &BaseFile) -> FileEntry {
    FileEntry {
        role: FileRole::Changes,
        table_id: Some(file.table_id.clone()),
        version: Some(file.version),
        part: 0,
        object: file.object.clone(),
        offset: file.offset,
        length: file.bytes,
        rows: file.rows,
        crc32: Crc32(file.crc32),
        sha256: Sha256(file.sha256),
        order: FileOrder::Key,
        key_min: None,
        key_max: None,
        seq_first: Seq::FIRST,
        seq_last: Seq::FIRST,
        absent: false,
    }
}
