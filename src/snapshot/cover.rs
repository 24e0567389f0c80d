//! Which log entry a point of the source's binlog is.

use crate::error::{Error, Result};
use crate::manifest::{CommitTimes, FileRole, Repository, SegmentManifest, StoredManifest};
use crate::position::Seq;
use crate::runtime::Deadline;
use crate::segment::{TransactionRow, TransactionsReader};
use crate::source::SnapshotPoint;
use std::cmp::Ordering;
use std::time::Duration;

/// How often the head is looked at while waiting.
const POLL: Duration = Duration::from_millis(200);
/// A wait that lasts this long is told of: a capture that runs is hardly ever behind so far.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Waits until the log holds everything up to a point and gives the entry of its last
/// transaction (or of the mark after it).
pub(super) async fn wait_for(
    repository: &Repository,
    timeline: u32,
    point: &SnapshotPoint,
    nudge: &(dyn Fn() + Sync),
    patience: Duration,
) -> Result<Seq> {
    let deadline = Deadline::after(patience);
    let tell = Deadline::after(TOLD_AFTER);
    let mut told = false;
    let mut looks = 0_u32;
    loop {
        looks += 1;
        // More than once: what the point needs may arrive after the first.
        if looks.is_power_of_two() {
            nudge();
        }
        if let Some(head) = repository.head(timeline).await?
            && holds(&head.manifest, point)
        {
            return seq_at(repository, head, point).await;
        }
        if deadline.has_passed() {
            return Err(Error::unavailable("wait for capture to reach the snapshot")
                .field("position", &point.position)
                .hint("is `tidelog capture` (or `tidelog run`) running against this repository?"));
        }
        if tell.has_passed() && !std::mem::replace(&mut told, true) {
            tracing::warn!(
                position = %point.position,
                seconds_max = patience.as_secs(),
                "waiting for capture to reach the snapshot; if none runs against this repository, \
                 start one now: tidelog run (or tidelog capture) --source .. --repo .."
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether the log up to the end of a manifest holds everything up to a point.
fn holds(manifest: &SegmentManifest, point: &SnapshotPoint) -> bool {
    if !point.gtids.is_empty() {
        return point.gtids.is_subset(&manifest.gtids_through);
    }
    let order = manifest.position_last.order(&point.position);
    matches!(order, Some(Ordering::Equal | Ordering::Greater))
}

/// Whether every transaction of a segment is at or before a point.
fn within(manifest: &SegmentManifest, point: &SnapshotPoint) -> bool {
    if manifest.transactions == 0 {
        return true;
    }
    if !manifest.gtids_added.is_empty() {
        return manifest.gtids_added.is_subset(&point.gtids);
    }
    let order = manifest.position_last.order(&point.position);
    matches!(order, Some(Ordering::Equal | Ordering::Less))
}

fn row_within(row: &TransactionRow, point: &SnapshotPoint) -> bool {
    match (&row.gtid, &row.end) {
        (Some(gtid), _) => point.gtids.contains(gtid),
        (None, Some(end)) => matches!(
            end.order(&point.position),
            Some(Ordering::Equal | Ordering::Less)
        ),
        // Marks stand with the transaction before them.
        (None, None) => true,
    }
}

/// The last entry at or before a point, searched from the head: snapshots are recent.
async fn seq_at(
    repository: &Repository,
    head: StoredManifest,
    point: &SnapshotPoint,
) -> Result<Seq> {
    let mut stored = head;
    let mut seq = stored.manifest.seq_last;
    loop {
        let manifest = &stored.manifest;
        if within(manifest, point) {
            return Ok(seq);
        }
        for row in transactions(repository, manifest).await? {
            if !row_within(&row, point) {
                seq = row.seq.prev();
                break;
            }
        }
        if seq >= manifest.seq_first {
            return Ok(seq);
        }
        match repository
            .manifest(manifest.timeline, manifest.seq_first.prev())
            .await?
        {
            Some(before) => stored = before,
            None => return Ok(seq),
        }
    }
}

/// Commit times of the log up to an entry of a segment.
pub(super) async fn commit_times(
    repository: &Repository,
    stored: &StoredManifest,
    seq: Seq,
) -> Result<CommitTimes> {
    let manifest = &stored.manifest;
    if seq == manifest.seq_last {
        return Ok(manifest.commit_time);
    }
    let before = match manifest.seq_first.prev() {
        Seq(0) => None,
        before => repository.manifest(manifest.timeline, before).await?,
    };
    let rows = transactions(repository, manifest).await?;
    let times = || {
        rows.iter()
            .filter(|row| row.seq <= seq)
            .filter_map(|row| row.commit.map(|c| c.at_us))
    };
    let max_us = times()
        .max()
        .max(before.and_then(|b| b.manifest.commit_time.max_us));
    Ok(CommitTimes {
        first_us: times().next(),
        last_us: times().last(),
        max_us,
    })
}

pub(super) async fn transactions(
    repository: &Repository,
    manifest: &SegmentManifest,
) -> Result<Vec<TransactionRow>> {
    let Some(file) = manifest
        .files
        .iter()
        .find(|f| f.role == FileRole::Transactions)
    else {
        return Err(
            Error::corrupt("find transactions of segment").field("object", manifest.object_name())
        );
    };
    let bytes = repository.get_file(file).await?;
    TransactionsReader::without_events(bytes)?.collect()
}
