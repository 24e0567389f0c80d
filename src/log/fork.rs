//! A timeline that branches off another, or begins: where, and what is missing between the two.
//!
//! The commit point of a fork is its `timeline.json`. Its first segment says the rest and follows
//! from that object and the source alone: whoever opens the timeline next writes it, so a fork is
//! absent or whole, whatever ends the process in between.

use super::commit::Head;
use super::history::{self, Ours, Stop, Verdict, Why};
use super::resume::{CaptureOptions, Place, Writer, WriterOptions, identity_at, identity_of};
use super::run::{has_unsealed_tail, visitor_identity};
use super::spool::SpoolDir;
use crate::error::{Error, Result};
use crate::manifest::{
    Catalogue, FileRole, Fork, MarkKind, Repository, SegmentManifest, StoredManifest, Timeline,
};
use crate::position::{BinlogPosition, Gtid, GtidSet, Seq};
use crate::runtime::Clock;
use crate::segment::{TransactionRow, TransactionsReader};
use crate::source::{
    Endpoint, ReplicaOptions, SourceHistory, SqlClient, SqlSession, finished_position,
};
use serde::Serialize;

/// Where to fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForkAt {
    /// After the last transaction that the source has, too.
    LastCommon,
    /// After this entry.
    Seq(Seq),
    /// After this transaction.
    Gtid(Gtid),
}

/// A fork that was made.
#[derive(Clone, Debug, Serialize)]
pub struct ForkReport {
    /// The new timeline.
    pub timeline: u32,
    /// The timeline it left.
    pub parent: u32,
    /// Last entry that both share.
    pub fork_seq: Seq,
    /// Last entry of the parent.
    pub parent_seq_last: Seq,
    /// First entry of the new timeline that is not written yet.
    pub seq_next: Seq,
    /// What is missing between the two, as the gap mark says it.
    pub gap: Option<MarkKind>,
    /// The source it goes on from.
    pub source: String,
}

/// Starts a timeline for a source that does not continue the newest one (or for `at`), at the
/// last point both have. A fork that was interrupted is finished.
///
/// # Errors
/// `Config` when there is nothing to fork, `Incompatible` for a source that shares nothing with
/// the timeline or lacks what is before `at`, and those of source and repository.
pub async fn fork(
    repository: &Repository,
    endpoint: &Endpoint,
    at: &ForkAt,
    options: &CaptureOptions,
    clock: &Clock,
) -> Result<ForkReport> {
    // A capture may be running: it must not lose its stream to a fork that is refused.
    let (server_id, uuid) = visitor_identity(repository.header().repository_id, options.server_id);
    let replica = ReplicaOptions::new(server_id, uuid);
    let options = WriterOptions {
        repository,
        endpoint,
        replica: &replica,
        capture: options,
        clock,
    };
    require_empty_spool(options.capture)?;
    if has_unsealed_tail(repository).await? {
        return Err(unsealed_tail());
    }
    let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
    let source = SourceHistory::read(&mut client).await?;
    let newest = repository.timelines().await?.pop();
    let newest = newest.ok_or_else(|| {
        Error::config("fork timeline: nothing has been captured yet")
            .hint("start `tidelog run`: it makes the first timeline")
    })?;
    let fork = match (repository.head(newest.timeline).await?, newest.parent) {
        (None, Some(fork)) => fork,
        (None, None) => {
            return Err(Error::config("fork timeline: it has no entry yet")
                .field("timeline", newest.timeline)
                .hint("start `tidelog run`: it goes on with it"));
        }
        (Some(head), _) => {
            // Refused before anybody is stopped.
            point(options, &newest, &head, &source, at).await?;
            let head = fence(options, &newest).await?;
            let fork = point(options, &newest, &head, &source, at).await?;
            let identity = super::resume::to_json(&source.identity)?;
            let flavor = source.identity.flavor;
            repository
                .create_timeline(flavor, identity, Some(fork), clock)
                .await?;
            fork
        }
    };
    let writer = Writer::open(options, &mut client).await?;
    client.close().await;
    let parent = repository.head(fork.timeline).await?;
    let first = repository.manifest(writer.committer.timeline, fork.seq.next());
    let marks = first.await?.map(|first| first.manifest.marks.clone());
    let gap = marks.into_iter().flatten().map(|mark| mark.kind);
    Ok(ForkReport {
        timeline: writer.committer.timeline,
        parent: fork.timeline,
        fork_seq: fork.seq,
        parent_seq_last: parent.map_or(fork.seq, |head| head.manifest.seq_last),
        seq_next: writer.committer.head.seq_last.next(),
        gap: gap
            .into_iter()
            .find(|kind| matches!(kind, MarkKind::Gap { .. })),
        source: source.identity.describe(),
    })
}

/// Ends whoever still writes to the timeline that is left, with its next commit or
/// acknowledgement; gives the segment it ends with, the mark of that apart.
async fn fence(options: WriterOptions<'_>, timeline: &Timeline) -> Result<StoredManifest> {
    let repository = options.repository;
    let writer =
        Writer::open_without_source((repository, None), options.capture, options.clock).await?;
    // What was put since this was asked last.
    if !writer.tail.numbers.is_empty() {
        return Err(unsealed_tail());
    }
    let mark = writer.committer.head.seq_last;
    let lost = || Error::corrupt("find the end of the timeline to leave").field("seq", mark);
    let stored = repository.manifest(timeline.timeline, mark).await?;
    let stored = stored.ok_or_else(lost)?;
    before(repository, &stored.manifest).await?.ok_or_else(lost)
}

fn unsealed_tail() -> Error {
    Error::config("fork timeline: a part of its tail is in no segment yet")
        .hint("seal it first: tidelog capture --finish")
}

/// What is durable in a spool belongs to the timeline that is left, and can go into no other.
fn require_empty_spool(options: &CaptureOptions) -> Result<()> {
    let Some(folder) = options.spool_dir.as_deref() else {
        return Ok(());
    };
    match SpoolDir::open(folder)?.files()?.is_empty() {
        true => Ok(()),
        false => Err(
            Error::config("fork timeline: the spool belongs to the one that is left")
                .field("spool_dir", folder.display())
                .hint("seal it first: tidelog capture --finish"),
        ),
    }
}

/// Decides where the newest timeline is left.
async fn point(
    options: WriterOptions<'_>,
    timeline: &Timeline,
    head: &StoredManifest,
    source: &SourceHistory,
    at: &ForkAt,
) -> Result<Fork> {
    let repository = options.repository;
    let identity = identity_at(timeline, &head.manifest)?;
    let ours = Ours {
        identity: &identity,
        gtids: &head.manifest.gtids_through,
        position: &head.manifest.position_last,
        format_description: &head.manifest.format_description,
        last_event: head.manifest.last_event,
    };
    let verdict = history::examine(options.endpoint, options.replica, &ours, source).await?;
    let common = match &verdict {
        Verdict::Stops(stop) => match stop.why {
            // All of ours is behind the point where the new history began.
            Why::Purged | Why::Reset => head.manifest.seq_last,
            // Without GTIDs nothing tells what is common.
            _ if stop.missing.is_none() => return Err(stop.error(&ours, source)),
            // MariaDB's position of a domain names the last server only: the log knows the others.
            Why::Behind | Why::Diverged | Why::Stranger => {
                last_common(repository, head, source, stop, &ours).await?
            }
        },
        Verdict::Continues | Verdict::FailedOver if *at == ForkAt::LastCommon => {
            return Err(Error::config("fork timeline: the source continues it")
                .field("timeline", timeline.timeline)
                .field("seq_last", head.manifest.seq_last)
                .hint("start `tidelog run`; to leave the timeline at an earlier point, name it by --at"));
        }
        Verdict::Continues | Verdict::FailedOver => head.manifest.seq_last,
    };
    let seq = match at {
        ForkAt::LastCommon => common,
        ForkAt::Seq(seq) => *seq,
        ForkAt::Gtid(gtid) => seq_of(repository, head, gtid).await?,
    };
    if seq > common || seq < timeline.seq_first() {
        return Err(
            Error::config("fork timeline: the point is not one that both have")
                .field("at", seq)
                .field("seq_first", timeline.seq_first())
                .field("last_common", common)
                .hint("leave out --at, or name a point between these two"),
        );
    }
    let stored = repository.manifest(timeline.timeline, seq).await?;
    let stored = stored.ok_or_else(|| Error::gap("find segment to fork from").field("seq", seq))?;
    Ok(Fork {
        timeline: timeline.timeline,
        seq,
        sha256: stored.sha256,
    })
}

/// The entry before the first transaction that the source lacks.
async fn last_common(
    repository: &Repository,
    head: &StoredManifest,
    source: &SourceHistory,
    stop: &Stop,
    ours: &Ours<'_>,
) -> Result<Seq> {
    let lacks = stop.missing.as_ref();
    let mut at = head.clone();
    loop {
        let manifest = &at.manifest;
        let before = before(repository, manifest).await?;
        let begins_common = match &before {
            Some(before) => history::lacking(&before.manifest.gtids_through, source).is_empty(),
            // What a timeline began with is not in its log.
            None => manifest.gtids_added.is_empty() && is_common(&manifest.gtids_through, source),
        };
        if begins_common {
            for row in entries(repository, manifest).await? {
                let Some(gtid) = &row.gtid else { continue };
                let mut one = GtidSet::empty(manifest.gtids_through.flavor());
                one.add(gtid)?;
                if !is_common(&one, source) {
                    return Ok(row.seq.prev());
                }
            }
            return Ok(manifest.seq_last);
        }
        match before {
            Some(before) => at = before,
            None => {
                let error = stop.error(ours, source);
                return Err(match lacks {
                    Some(lacks) => error.field("lacks", lacks),
                    None => error,
                }
                .hint("the source lacks what was there before this timeline began: use a repository of its own"));
            }
        }
    }
}

fn is_common(set: &GtidSet, source: &SourceHistory) -> bool {
    history::lacking(set, source).is_empty()
}

async fn seq_of(repository: &Repository, head: &StoredManifest, gtid: &Gtid) -> Result<Seq> {
    let mut at = Some(head.clone());
    while let Some(stored) = at {
        let manifest = &stored.manifest;
        if manifest.gtids_added.contains(gtid) {
            let rows = entries(repository, manifest).await?;
            if let Some(row) = rows.iter().find(|row| row.gtid.as_ref() == Some(gtid)) {
                return Ok(row.seq);
            }
        }
        at = before(repository, manifest).await?;
    }
    Err(Error::config("find transaction to fork at in the newest timeline").field("gtid", gtid))
}

async fn before(
    repository: &Repository,
    manifest: &SegmentManifest,
) -> Result<Option<StoredManifest>> {
    let seq = manifest.seq_first.prev();
    if seq < Seq::FIRST {
        return Ok(None);
    }
    repository.manifest(manifest.timeline, seq).await
}

async fn entries(
    repository: &Repository,
    manifest: &SegmentManifest,
) -> Result<Vec<TransactionRow>> {
    let file = manifest.files_of(FileRole::Transactions).next();
    let file = file.ok_or_else(|| {
        Error::corrupt("find transactions of segment").field("object", manifest.object_name())
    })?;
    TransactionsReader::without_events(repository.get_file(file).await?)?.collect()
}

/// Where a timeline without entries begins: after its fork where the source goes on from there, else
/// at the end of the source's binlog, with what lies between as a gap.
pub(super) async fn start(
    options: WriterOptions<'_>,
    timeline: &Timeline,
    client: &mut SqlClient,
    source: &SourceHistory,
) -> Result<Place> {
    let Some(fork) = timeline.parent else {
        // It may have been made by a process that ended before its first entry.
        let began = identity_of(timeline, &timeline.source)?;
        began.require_same_server(&source.identity)?;
        let (position, gtids) = finished_position(client).await?;
        return Ok(place(timeline, position, gtids, None));
    };
    let repository = options.repository;
    let parent = repository.timeline(fork.timeline).await?;
    let stored = repository.manifest(fork.timeline, fork.seq).await?;
    let stored = stored
        .filter(|stored| stored.sha256 == fork.sha256)
        .ok_or_else(|| {
            Error::corrupt("find the segment that a timeline left")
                .field("timeline", timeline.timeline)
                .field("parent", fork.timeline)
                .field("seq", fork.seq)
        })?;
    let identity = identity_at(&parent, &stored.manifest)?;
    let (position, gtids) = state_at(repository, &stored.manifest, fork.seq).await?;
    let ours = Ours {
        identity: &identity,
        gtids: &gtids,
        position: &position,
        format_description: &stored.manifest.format_description,
        // Of another entry it says nothing.
        last_event: stored
            .manifest
            .last_event
            .filter(|_| fork.seq == stored.manifest.seq_last),
    };
    match history::examine(options.endpoint, options.replica, &ours, source).await? {
        Verdict::Continues => Ok(place(timeline, position, gtids, None)),
        Verdict::FailedOver => Ok(place(timeline, source.start_of_last_file(), gtids, None)),
        Verdict::Stops(stop) if matches!(stop.why, Why::Purged | Why::Reset) => {
            let (to, executed) = finished_position(client).await?;
            // Numbers that began anew say nothing of what was lost.
            let skipped = history::subtract(&executed, &gtids);
            let known = stop.why == Why::Purged && !skipped.is_empty();
            let gap = MarkKind::Gap {
                missing: known.then_some(skipped),
                from: Some(position),
                to: Some(to.clone()),
            };
            Ok(place(timeline, to, executed, Some(gap)))
        }
        Verdict::Stops(stop) => Err(stop.error(&ours, source)),
    }
}

fn place(
    timeline: &Timeline,
    position: BinlogPosition,
    gtids: GtidSet,
    gap: Option<MarkKind>,
) -> Place {
    let seq_last = timeline.seq_first().prev();
    Place {
        head: Head {
            tail: None,
            seq_last,
            sha256: timeline.parent.map(|fork| fork.sha256),
            gtids_through: gtids,
            position,
            commit_max_us: None,
            covered_through_us: None,
            open_xa: Vec::new(),
        },
        catalogue: Catalogue::branch(timeline.timeline, timeline.flavor, seq_last),
        format_description: bytes::Bytes::new(),
        last_event: None,
        start: [MarkKind::Start].into_iter().chain(gap).collect(),
    }
}

/// Position and transactions of a timeline after an entry.
async fn state_at(
    repository: &Repository,
    manifest: &SegmentManifest,
    seq: Seq,
) -> Result<(BinlogPosition, GtidSet)> {
    if seq == manifest.seq_last {
        return Ok((
            manifest.position_last.clone(),
            manifest.gtids_through.clone(),
        ));
    }
    let mut gtids = match before(repository, manifest).await? {
        Some(before) => before.manifest.gtids_through.clone(),
        // The first segment of a timeline holds marks only.
        None => manifest.gtids_through.clone(),
    };
    let mut position = manifest.position_first.clone();
    for row in entries(repository, manifest).await? {
        if row.seq > seq {
            break;
        }
        if let Some(gtid) = &row.gtid {
            gtids.add(gtid)?;
        }
        position = row.end.unwrap_or(position);
    }
    Ok((position, gtids))
}
