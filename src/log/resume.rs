//! Where capture goes on: the head of the chain, its catalogue, a new writer epoch.

use super::batch::Batch;
use super::commit::{CATALOG_INTERVAL, Committer, Head, Sealing};
use super::durability::DurabilityPolicy;
use super::fork;
use super::history::{self, Ours, Verdict};
use super::tail::TailFound;
use super::xa::XaLog;
use crate::error::{Error, Result, Wrap};
use crate::manifest::{
    Catalogue, EpochClaim, LastEvent, MarkKind, Pending, Repository, SegmentManifest,
    StoredManifest, TailPlace, Timeline,
};
use crate::position::{BinlogPosition, Flavor, GtidSet, Seq};
use crate::runtime::{Clock, Compute, failpoint, ids::new_uuid};
use crate::source::{
    Endpoint, ReplicaOptions, SourceHistory, SourceIdentity, SqlClient, read_catalogue,
};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How to capture.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Stop when caught up with where the source stood at the start.
    pub once: bool,
    /// Seal a batch at this many bytes of events.
    pub segment_bytes_max: usize,
    /// Seal a batch at this age.
    pub seal_interval: Duration,
    /// zstd level of data files.
    pub zstd_level: i32,
    /// Memory a batch may hold, events and index.
    pub batch_memory_max: usize,
    /// Server id to register with; 0 chooses one from the repository's identity.
    pub server_id: u32,
    /// Heartbeat that is asked of the source; the stream is given up after two.
    pub heartbeat: Duration,
    /// When a transaction counts as durable.
    pub durability: DurabilityPolicy,
    /// Directory of the spool; what an earlier run left in it is sealed first.
    pub spool_dir: Option<PathBuf>,
    /// Bytes of events in the spool beyond which reading pauses until segments are committed.
    pub spool_bytes_max: u64,
    /// Ask the source to let commits wait until they are durable here.
    pub semi_sync: bool,
}

impl CaptureOptions {
    /// Refuses what does not go together.
    ///
    /// # Errors
    /// `Config` naming the setting.
    pub fn validate(&self) -> Result<()> {
        if self.durability.uses_spool() && self.spool_dir.is_none() {
            return Err(
                Error::config("start capture: no place for the spool is given")
                    .hint("give --spool-dir DIR on a local disk"),
            );
        }
        if self.semi_sync && self.durability == DurabilityPolicy::None {
            return Err(Error::config(
                "start capture: nothing durable to acknowledge to the source",
            )
            .hint("give --durability spool (with --spool-dir), store or both with --semi-sync"));
        }
        Ok(())
    }
}

impl Default for CaptureOptions {
    fn default() -> Self {
        CaptureOptions {
            once: false,
            segment_bytes_max: 128 << 20,
            seal_interval: Duration::from_secs(60),
            zstd_level: 1,
            batch_memory_max: 128 << 20,
            server_id: 0,
            heartbeat: Duration::from_secs(5),
            durability: DurabilityPolicy::None,
            spool_dir: None,
            spool_bytes_max: 4 << 30,
            semi_sync: false,
        }
    }
}

/// How far capture has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureProgress {
    /// Timeline written to; 0 before there is one.
    pub timeline: u32,
    /// Last committed entry.
    pub seq_committed: Option<Seq>,
    /// End of the last committed transaction on the source.
    pub position_committed: Option<BinlogPosition>,
    /// End of the last received transaction on the source.
    pub position_received: Option<BinlogPosition>,
    /// Transactions received since the start.
    pub transactions: u64,
    /// Bytes of events received since the start.
    pub event_bytes: u64,
}

/// A writer at the head of a chain, ready to receive.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) committer: Committer,
    pub(super) catalogue: Catalogue,
    pub(super) identity: SourceIdentity,
    /// The newest known format description, for `raw.binlog` and restores.
    pub(super) format_description: Bytes,
    /// An event of the last transaction, where the source is still the server that sent it.
    pub(super) last_event: Option<LastEvent>,
    /// Everything that was received into committed, sealing or open batches.
    pub(super) gtids_received: GtidSet,
    /// Lower bound of commit times so far.
    pub(super) commit_lo_us: i64,
    /// What the first segment of a new timeline says; empty where one goes on.
    start: Vec<MarkKind>,
    /// What the tail held when the epoch was claimed.
    pub(super) tail: TailFound,
    /// `None` for one that does not capture.
    policy: Option<DurabilityPolicy>,
}

/// What a writer is opened with.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriterOptions<'a> {
    pub(super) repository: &'a Repository,
    pub(super) endpoint: &'a Endpoint,
    /// How to pose as a replica.
    pub(super) replica: &'a ReplicaOptions,
    pub(super) capture: &'a CaptureOptions,
    pub(super) clock: &'a Clock,
}

/// Where a timeline goes on.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) head: Head,
    pub(super) catalogue: Catalogue,
    pub(super) format_description: Bytes,
    pub(super) last_event: Option<LastEvent>,
    /// Marks that begin the timeline; empty where it has begun.
    pub(super) start: Vec<MarkKind>,
}

impl Writer {
    /// Opens the newest timeline of the repository (or makes the first), checks that the source
    /// continues its history, claims an epoch and commits its mark. No dump has been started.
    pub(super) async fn open(options: WriterOptions<'_>, client: &mut SqlClient) -> Result<Writer> {
        let (repository, clock) = (options.repository, options.clock);
        let history = SourceHistory::read(client).await?;
        let timeline = match repository.timelines().await?.pop() {
            Some(timeline) => timeline,
            None => {
                let source = to_json(&history.identity)?;
                repository
                    .create_timeline(history.identity.flavor, source, None, clock)
                    .await?
            }
        };
        let place = match repository.head(timeline.timeline).await? {
            Some(head) => continued_by(options, &timeline, &head, &history).await?,
            None => fork::start(options, &timeline, client, &history).await?,
        };
        let (capture, identity) = (options.capture, history.identity);
        let mut writer = Writer::at(repository, &timeline, place, identity, capture, clock);
        writer.claim(clock).await?;
        writer.first_segment(Some(client), clock).await?;
        Ok(writer)
    }

    /// As [`open`](Self::open) for a source that is not asked: only what is durable elsewhere can
    /// be sealed, into the newest timeline or the one given.
    pub(super) async fn open_without_source(
        (repository, timeline): (&Repository, Option<u32>),
        options: &CaptureOptions,
        clock: &Clock,
    ) -> Result<Writer> {
        let nothing = || {
            Error::config("finish capture: nothing was captured into this repository yet")
                .field("repository", repository.store().location())
        };
        let found = match timeline {
            Some(number) => {
                let timeline = repository.timeline(number).await?;
                let head = repository.head(number).await?;
                head.map(|head| (timeline, head))
            }
            None => newest(repository).await?,
        };
        let (timeline, stored) = found.ok_or_else(nothing)?;
        let identity = identity_at(&timeline, &stored.manifest)?;
        let place = continued(repository, &timeline, &stored).await?;
        let mut writer = Writer::at(repository, &timeline, place, identity, options, clock);
        writer.policy = None;
        writer.claim(clock).await?;
        writer.first_segment(None, clock).await?;
        Ok(writer)
    }

    /// A writer that prepares segments above a repository, for a reader: it claims nothing and marks
    /// nothing.
    pub(super) async fn above(
        repository: &Repository,
        (timeline, stored): (&Timeline, &StoredManifest),
        options: &CaptureOptions,
        clock: &Clock,
    ) -> Result<Writer> {
        let identity = identity_at(timeline, &stored.manifest)?;
        let place = continued(repository, timeline, stored).await?;
        let mut writer = Writer::at(repository, timeline, place, identity, options, clock);
        // After everybody who has written what is read.
        writer.committer.epoch = repository.newest_epoch(timeline.timeline).await? + 1;
        Ok(writer)
    }

    /// Claims an epoch: from its mark on, writers before are fenced.
    pub(super) async fn claim(&mut self, clock: &Clock) -> Result<()> {
        let claim = EpochClaim {
            writer_id: new_uuid(),
            host: host(),
            head_hint: self.committer.head.seq_last,
            durability: self.policy.map(|policy| policy.name().to_owned()),
        };
        let (repository, timeline) = (&self.committer.repository, self.committer.timeline);
        let claimed = repository.claim_epoch(timeline, &claim, clock);
        self.committer.epoch = claimed.await?.epoch;
        self.committer.writer_id = claim.writer_id;
        failpoint::place("epoch.claimed");
        // Only now: what an earlier writer puts from here on it does not acknowledge.
        let sealed = self.committer.head.tail;
        let repository = &self.committer.repository;
        self.tail = TailFound::look(repository, timeline, sealed).await?;
        Ok(())
    }

    pub(super) fn at(
        repository: &Repository,
        timeline: &Timeline,
        place: Place,
        identity: SourceIdentity,
        options: &CaptureOptions,
        clock: &Clock,
    ) -> Writer {
        let Place {
            head,
            mut catalogue,
            format_description,
            last_event,
            start,
        } = place;
        let cases = identity.settings.get("lower_case_table_names");
        catalogue.fold_names(cases.is_some_and(|cases| cases != "0"));
        catalogue.leave_out_computed(leaves_out_computed(&identity));
        Writer {
            catalogue,
            identity,
            format_description,
            last_event,
            gtids_received: head.gtids_through.clone(),
            commit_lo_us: head.commit_max_us.unwrap_or(0),
            committer: Committer {
                repository: repository.clone(),
                compute: Compute::per_core(),
                clock: clock.clone(),
                timeline: timeline.timeline,
                epoch: 0,
                writer_id: Uuid::nil(),
                zstd_level: options.zstd_level,
                head,
                // The first manifest of a timeline names the catalogue it begins with.
                since_catalog: if start.is_empty() {
                    0
                } else {
                    CATALOG_INTERVAL
                },
            },
            start,
            tail: TailFound {
                place: TailPlace::start(1),
                numbers: Vec::new(),
            },
            policy: Some(options.durability),
        }
    }

    /// What the first manifest says of the tail: where nothing has to be recovered, that this
    /// writer has looked.
    fn tail_at_start(&self) -> Option<TailPlace> {
        let is_used = self.policy.is_some_and(DurabilityPolicy::uses_tail)
            || self.committer.head.tail.is_some();
        (is_used && self.tail.numbers.is_empty()).then_some(TailPlace {
            epoch: self.committer.epoch,
            ..self.tail.place
        })
    }

    /// Commits the epoch mark; on a new timeline the start mark with the catalogue as well.
    pub(super) async fn first_segment(
        &mut self,
        client: Option<&mut SqlClient>,
        clock: &Clock,
    ) -> Result<()> {
        let mut batch = self.new_batch();
        let now_us = clock.now_us();
        let start = std::mem::take(&mut self.start);
        if let Some(client) = client.filter(|_| !start.is_empty()) {
            for table in read_catalogue(client).await? {
                self.catalogue
                    .observe(&Arc::new(table.shape), batch.seq_next());
            }
        }
        for mark in start {
            batch.push_mark(mark, now_us)?;
        }
        batch.push_mark(
            MarkKind::Epoch {
                epoch: self.committer.epoch,
            },
            now_us,
        )?;
        let sealing = sealing(
            batch,
            &mut self.catalogue,
            &self.identity,
            self.format_description.clone(),
            None,
            now_us,
        )?;
        let sealing = Sealing {
            last_event: self.last_event,
            tail: self.tail_at_start(),
            ..sealing
        };
        self.committer.commit(sealing).await?;
        failpoint::place("epoch.marked");
        Ok(())
    }

    /// An empty batch that follows the head.
    pub(super) fn new_batch(&self) -> Batch {
        let head = &self.committer.head;
        let seq_first = head.seq_last.next();
        Batch::new(
            seq_first,
            self.identity.flavor,
            head.position.clone(),
            XaLog::new(self.committer.timeline, seq_first, &head.open_xa),
        )
    }
}

/// The newest timeline and its head, where it has one.
pub(super) async fn newest(repository: &Repository) -> Result<Option<(Timeline, StoredManifest)>> {
    let Some(timeline) = repository.timelines().await?.pop() else {
        return Ok(None);
    };
    let head = repository.head(timeline.timeline).await?;
    Ok(head.map(|head| (timeline, head)))
}

/// Whether the newest timeline ends with what another server than this one sent.
pub(super) async fn ends_with_another(
    repository: &Repository,
    server: &SourceIdentity,
) -> Result<bool> {
    let Some((timeline, head)) = newest(repository).await? else {
        return Ok(false);
    };
    Ok(!identity_at(&timeline, &head.manifest)?.is_same_server(server))
}

/// The end of a timeline that has segments.
async fn continued(
    repository: &Repository,
    timeline: &Timeline,
    stored: &StoredManifest,
) -> Result<Place> {
    let head = Head::of(stored);
    let catalogue = repository.catalogue_at(timeline.timeline, head.seq_last);
    Ok(Place {
        catalogue: catalogue.await?,
        format_description: stored.manifest.format_description.clone().into(),
        last_event: stored.manifest.last_event,
        head,
        start: Vec::new(),
    })
}

/// As [`continued`], where the source continues it.
async fn continued_by(
    options: WriterOptions<'_>,
    timeline: &Timeline,
    stored: &StoredManifest,
    source: &SourceHistory,
) -> Result<Place> {
    let manifest = &stored.manifest;
    let identity = identity_at(timeline, manifest)?;
    let ours = Ours {
        identity: &identity,
        gtids: &manifest.gtids_through,
        position: &manifest.position_last,
        format_description: &manifest.format_description,
        last_event: manifest.last_event,
    };
    let verdict = history::require(options.endpoint, options.replica, &ours, source).await?;
    let mut place = continued(options.repository, timeline, stored).await?;
    if verdict == Verdict::FailedOver {
        place.head.position = source.start_of_last_file();
        place.last_event = None;
    }
    Ok(place)
}

/// Takes a batch out for committing, with what the catalogue has allocated for it.
pub(super) fn sealing(
    mut batch: Batch,
    catalogue: &mut Catalogue,
    identity: &SourceIdentity,
    format_description: Bytes,
    covered_through_us: Option<i64>,
    now_us: i64,
) -> Result<Sealing> {
    let mut pending = catalogue.take_pending(batch.seq_next().prev());
    if beyond(&pending, batch.seq_next()) {
        // Versions seen first in a transaction that was taken back, or read from the source
        // after DDL: an entry to hold them.
        let covered_through_us = covered_through_us.unwrap_or(0);
        batch.push_mark(MarkKind::Idle { covered_through_us }, now_us)?;
        let rest = catalogue.take_pending(batch.seq_next().prev());
        pending.tables.extend(rest.tables);
        pending.retired.extend(rest.retired);
        pending.computed = rest.computed;
    }
    let source = to_json(identity)?;
    Ok(Sealing {
        batch,
        pending,
        catalogue: catalogue.clone(),
        source,
        format_description,
        covered_through_us,
        unprotected: Vec::new(),
        last_event: None,
        tail: None,
    })
}

/// Whether the source may leave generated columns out of row images: MariaDB 10.11 never does,
/// 11.8 does.
fn leaves_out_computed(identity: &SourceIdentity) -> bool {
    let major = identity.version.split('.').next();
    identity.flavor == Flavor::MariaDb
        && major.is_some_and(|major| major.parse().is_ok_and(|major: u32| major >= 11))
}

fn beyond(pending: &Pending, seq_next: Seq) -> bool {
    pending
        .tables
        .iter()
        .any(|version| version.since >= seq_next)
}

/// Who the source was at a manifest: what it recorded, else who began the timeline.
pub(super) fn identity_at(timeline: &Timeline, at: &SegmentManifest) -> Result<SourceIdentity> {
    match &at.source {
        serde_json::Value::Null => identity_of(timeline, &timeline.source),
        source => identity_of(timeline, source),
    }
}

/// A source's identity as a timeline holds it.
pub(super) fn identity_of(
    timeline: &Timeline,
    stored: &serde_json::Value,
) -> Result<SourceIdentity> {
    serde_json::from_value(stored.clone()).wrap(|| {
        Error::corrupt("read source identity of timeline").field("timeline", timeline.timeline)
    })
}

pub(super) fn to_json(identity: &SourceIdentity) -> Result<serde_json::Value> {
    serde_json::to_value(identity).wrap(|| Error::internal("write source identity"))
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| String::new(), |h| h.trim().to_owned())
}
