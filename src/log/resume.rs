//! Where capture goes on: the head of the chain, its catalogue, a new writer epoch.

use super::batch::Batch;
use super::commit::{Committer, Head, Sealing};
use super::xa::XaLog;
use crate::error::{Error, Result, Wrap};
use crate::manifest::{
    Catalogue, EpochClaim, MarkKind, Pending, Repository, StoredManifest, Timeline,
};
use crate::position::{BinlogPosition, Flavor, GtidSet, Seq};
use crate::runtime::{Clock, Compute, ids::new_uuid};
use crate::source::{SourceIdentity, SqlClient, current_end, current_position, read_catalogue};
use bytes::Bytes;
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
    /// Everything that was received into committed, sealing or open batches.
    pub(super) gtids_received: GtidSet,
    /// Lower bound of commit times so far.
    pub(super) commit_lo_us: i64,
}

impl Writer {
    /// Opens the newest timeline of the repository (or makes the first), checks that the source
    /// is the one it belongs to, claims an epoch and commits its mark. No dump has been started.
    pub(super) async fn open(
        repository: &Repository,
        client: &mut SqlClient,
        options: &CaptureOptions,
        clock: &Clock,
    ) -> Result<Writer> {
        let identity = client.identity().await?;
        let source =
            serde_json::to_value(&identity).wrap(|| Error::internal("write source identity"))?;
        let timeline = match repository.timelines().await?.pop() {
            Some(timeline) => {
                same_source(&timeline, &identity)?;
                timeline
            }
            None => {
                repository
                    .create_timeline(identity.flavor, source, None, clock)
                    .await?
            }
        };
        let head = repository.head(timeline.timeline).await?;
        let at_head = head.as_ref().map_or(Seq(0), |h| h.manifest.seq_last);
        let claim = EpochClaim {
            writer_id: new_uuid(),
            host: host(),
            head_hint: at_head,
        };
        let epoch = repository
            .claim_epoch(timeline.timeline, &claim, clock)
            .await?;
        let mut writer = Writer::at_head(
            repository, &timeline, head, client, identity, options, clock,
        )
        .await?;
        writer.committer.epoch = epoch.epoch;
        writer.committer.writer_id = claim.writer_id;
        writer.first_segment(client, clock).await?;
        Ok(writer)
    }

    async fn at_head(
        repository: &Repository,
        timeline: &Timeline,
        head: Option<StoredManifest>,
        client: &mut SqlClient,
        identity: SourceIdentity,
        options: &CaptureOptions,
        clock: &Clock,
    ) -> Result<Writer> {
        let (head, catalogue, format_description) = match &head {
            Some(stored) => {
                let (_, gtids) = current_end(client).await?;
                let through = &stored.manifest.gtids_through;
                continues(through, &gtids)?;
                let seq = stored.manifest.seq_last;
                let catalogue = repository.catalogue_at(timeline.timeline, seq).await?;
                (
                    Head::of(stored),
                    catalogue,
                    stored.manifest.format_description.clone(),
                )
            }
            None => {
                let (position, gtids) = current_position(client).await?;
                let head = Head {
                    seq_last: timeline.seq_first().prev(),
                    sha256: timeline.parent.map(|fork| fork.sha256),
                    gtids_through: gtids,
                    position,
                    commit_max_us: None,
                    covered_through_us: None,
                    open_xa: Vec::new(),
                };
                (
                    head,
                    Catalogue::empty(timeline.timeline, timeline.flavor),
                    Vec::new(),
                )
            }
        };
        let mut catalogue = catalogue;
        let cases = identity.settings.get("lower_case_table_names");
        catalogue.fold_names(cases.is_some_and(|cases| cases != "0"));
        catalogue.leave_out_computed(leaves_out_computed(&identity));
        Ok(Writer {
            catalogue,
            identity,
            format_description: format_description.into(),
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
                since_catalog: 0,
            },
        })
    }

    /// Commits the epoch mark; on a new timeline the start mark with the catalogue as well.
    async fn first_segment(&mut self, client: &mut SqlClient, clock: &Clock) -> Result<()> {
        let mut batch = self.new_batch();
        let now_us = clock.now_us();
        if self.committer.head.sha256.is_none() {
            for table in read_catalogue(client).await? {
                self.catalogue
                    .observe(&Arc::new(table.shape), batch.seq_next());
            }
            batch.push_mark(MarkKind::Start, now_us)?;
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
        self.committer.commit(sealing).await?;
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
    let source =
        serde_json::to_value(identity).wrap(|| Error::internal("write source identity"))?;
    Ok(Sealing {
        batch,
        pending,
        catalogue: catalogue.clone(),
        source,
        format_description,
        covered_through_us,
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

fn same_source(timeline: &Timeline, identity: &SourceIdentity) -> Result<()> {
    let stored: SourceIdentity = serde_json::from_value(timeline.source.clone()).wrap(|| {
        Error::corrupt("read source identity of timeline").field("timeline", timeline.timeline)
    })?;
    stored.require_same_server(identity)
}

/// A source that has not executed what we hold is not the history we hold.
pub(super) fn continues(ours: &GtidSet, source: &GtidSet) -> Result<()> {
    if ours.is_subset(source) {
        return Ok(());
    }
    Err(Error::incompatible(
        "continue history: the source lacks transactions that the repository holds",
    )
    .field("repository", ours)
    .field("source", source)
    .hint("the source was reset or lost its binlog tail; capture it into a new repository"))
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| String::new(), |h| h.trim().to_owned())
}
