//! What a repository can restore, and how far capture is.

use crate::error::{Error, Result};
use crate::log::tail_status;
use crate::manifest::{
    Barrier, BaseManifest, FileRole, MarkKind, Repository, SegmentManifest, Timeline, Unprotected,
};
use crate::position::Seq;
use crate::segment::TransactionsReader;
use crate::source::{
    Endpoint, Headroom, Retention, SemiSyncState, SourceIdentity, SqlClient, SqlSession,
    executed_gtids,
};
use serde::Serialize;

/// A stretch of the log that can be restored to, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// First entry: a base's.
    pub seq_first: Seq,
    /// Last entry.
    pub seq_last: Seq,
    /// From this time on, RFC 3339.
    pub from: Option<String>,
    /// Through this time, RFC 3339.
    pub through: Option<String>,
}

/// A barrier behind the newest base: what a restore will not cross.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenBarrier {
    /// Entry.
    pub seq: Seq,
    /// Table id, `*` for all.
    pub table: String,
    /// Why.
    pub reason: String,
    /// Statement, shortened.
    pub statement: Option<String>,
}

/// An XA transaction without a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreparedXa {
    /// Entry of its XA PREPARE.
    pub seq: Seq,
    /// Identifier as XA statements write it.
    pub xid: String,
}

/// A hole in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The gap mark.
    pub seq: Seq,
    /// What it says, JSON.
    pub detail: serde_json::Value,
    /// What it says, for people.
    pub text: String,
}

/// Where a timeline left another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parent {
    /// The other one.
    pub timeline: u32,
    /// Last entry that both share.
    pub seq: Seq,
}

/// A server that a timeline was captured from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapturedFrom {
    /// From this entry on.
    pub seq_first: Seq,
    /// Who it is.
    pub source: String,
}

/// One timeline.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineStatus {
    /// Number.
    pub timeline: u32,
    /// Whether capture writes to it: the newest.
    pub current: bool,
    /// Timeline and entry it left, where it left one.
    pub parent: Option<Parent>,
    /// Flavor of the source.
    pub flavor: String,
    /// The servers it was captured from, each with the first segment of its own: more than one
    /// after failovers.
    pub sources: Vec<CapturedFrom>,
    /// First entry of the log.
    pub seq_first: Seq,
    /// Last committed entry.
    pub seq_last: Option<Seq>,
    /// Segments.
    pub segments: u64,
    /// Transactions.
    pub transactions: u64,
    /// Row images.
    pub rows: u64,
    /// Bytes of data files.
    pub bytes: u64,
    /// Bases, by entry.
    pub bases: Vec<Seq>,
    /// Writer epoch of the last commit.
    pub epoch: Option<u64>,
    /// Where capture stands in the source's binlog.
    pub position: Option<String>,
    /// What can be restored.
    pub restorable: Vec<Stretch>,
    /// What stands behind the newest base.
    pub barriers: Vec<OpenBarrier>,
    /// XA transactions that are prepared and undecided at the end of the log.
    pub open_xa: Vec<PreparedXa>,
    /// Holes.
    pub gaps: Vec<Gap>,
    /// What is in the tail and in no segment yet; restores and `log` read it, too.
    pub tail: TailLeft,
    /// When a transaction counts as durable for the newest writer, by the name of the setting; `None`
    /// where that one does not capture.
    pub durability: Option<String>,
    /// Stretches in which clients may have been told of a COMMIT before it was durable here.
    pub unprotected: Vec<Unprotected>,
}

/// The part of a tail that is in no segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TailLeft {
    /// Objects.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// When its last transaction was committed, RFC 3339.
    pub through: Option<String>,
}

/// Whether a client's COMMIT waits for tidelog now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rpo {
    /// It does, and nothing gets around it.
    pub is_zero: bool,
    /// Why not: each with what was found and what is wanted.
    pub reasons: Vec<String>,
}

/// The answer of `tidelog status`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Repository.
    pub repository_id: String,
    /// The earliest moment that can be restored, RFC 3339.
    pub restorable_from: Option<String>,
    /// The latest moment that can be restored, RFC 3339.
    pub restorable_through: Option<String>,
    /// Last committed entry of the newest timeline.
    pub seq_last: Option<Seq>,
    /// Seconds between now and the moment through which the log is complete; 0 when the source
    /// was asked and has nothing that the log lacks.
    pub lag_seconds: Option<f64>,
    /// Holes of all timelines.
    pub gaps: Vec<Gap>,
    /// Whether commits on the source wait for tidelog; only when the source was asked.
    pub rpo: Option<Rpo>,
    /// What the source still keeps of what was not captured; only when the source was asked and
    /// the log ends in its own binlog.
    pub binlog: Option<Headroom>,
    /// Timelines.
    pub timelines: Vec<TimelineStatus>,
}

/// Reads the status of a repository; asks the source for its position when one is given.
///
/// # Errors
/// Those of the repository and the source.
pub async fn status(
    repository: &Repository,
    source: Option<&Endpoint>,
    now_us: i64,
) -> Result<Status> {
    let (mut timelines, mut complete_us) = (Vec::new(), None);
    let mut newest: Option<SegmentManifest> = None;
    for timeline in repository.timelines().await? {
        let (status, last, tail_us) = one(repository, &timeline).await?;
        complete_us = last
            .as_ref()
            .and_then(|m| m.covered_through_us.max(m.commit_time.max_us))
            .max(tail_us);
        newest = last;
        timelines.push(status);
    }
    let (mut rpo, mut binlog) = (None, None);
    let mut lag_seconds = complete_us.map(|us| (now_us - us).max(0) as f64 / 1e6);
    if let (Some(endpoint), Some(manifest)) = (source, &newest) {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let gtids = executed_gtids(&mut client).await?;
        rpo = Some(rpo_of(&SemiSyncState::read(&mut client).await?));
        if !gtids.is_empty() && gtids.is_subset(&manifest.gtids_through) {
            lag_seconds = Some(0.0);
        }
        let captured = serde_json::from_value::<SourceIdentity>(manifest.source.clone());
        let identity = client.identity().await?;
        // After a failover the log still ends in the files of another server.
        if captured.is_ok_and(|captured| captured.describe() == identity.describe()) {
            let retention = Retention::read(&mut client).await?;
            binlog = Some(retention.headroom(&manifest.position_last, lag_seconds));
        }
        client.close().await;
    }
    if let Some(newest) = timelines.last_mut() {
        newest.current = true;
    }
    let last = timelines.last();
    let stretches = || timelines.iter().flat_map(|t| &t.restorable);
    Ok(Status {
        repository_id: repository.header().repository_id.to_string(),
        restorable_from: stretches().next().and_then(|s| s.from.clone()),
        restorable_through: stretches().last().and_then(|s| s.through.clone()),
        seq_last: last.and_then(|t| t.seq_last),
        lag_seconds,
        gaps: timelines
            .iter()
            .flat_map(|t| t.gaps.iter().cloned())
            .collect(),
        rpo,
        binlog,
        timelines,
    })
}

async fn one(
    repository: &Repository,
    timeline: &Timeline,
) -> Result<(TimelineStatus, Option<SegmentManifest>, Option<i64>)> {
    let mut bases = Vec::new();
    for id in repository.bases(timeline.timeline).await? {
        bases.push(repository.base(id).await?);
    }
    let mut status = TimelineStatus {
        timeline: timeline.timeline,
        current: false,
        parent: timeline.parent.map(|fork| Parent {
            timeline: fork.timeline,
            seq: fork.seq,
        }),
        flavor: timeline.flavor.to_string(),
        sources: Vec::new(),
        seq_first: timeline.seq_first(),
        seq_last: None,
        segments: 0,
        transactions: 0,
        rows: 0,
        bytes: 0,
        bases: bases.iter().map(|b| b.seq).collect(),
        epoch: None,
        position: None,
        restorable: Vec::new(),
        barriers: Vec::new(),
        open_xa: Vec::new(),
        gaps: Vec::new(),
        tail: TailLeft::default(),
        durability: None,
        unprotected: Vec::new(),
    };
    let newest_base = bases.iter().map(|b| b.seq).max();
    let mut stops = Vec::new();
    let mut last: Option<SegmentManifest> = None;
    let mut manifests = repository
        .manifests(timeline.timeline, timeline.seq_first(), None)
        .await?;
    while let Some(stored) = manifests.next().await? {
        let manifest = &stored.manifest;
        add(&mut status, manifest, newest_base)?;
        if let Some(seq) = first_stop(manifest) {
            stops.push(Stop {
                seq,
                before_us: time_before(repository, manifest, seq).await?,
            });
        }
        last = Some(SegmentManifest::clone(manifest));
    }
    let mut tail_us = None;
    if let Some(manifest) = &last {
        let left = tail_status(repository, timeline.timeline, manifest.tail).await?;
        status.restorable = stretches(&bases, &stops, manifest, left.commit_us);
        status.tail = TailLeft {
            objects: left.objects,
            bytes: left.bytes,
            through: left.commit_us.and_then(time),
        };
        tail_us = left.commit_us;
        let writer = repository.known_writer(timeline.timeline).await?;
        status.durability = writer.and_then(|writer| writer.durability);
        let prepared = manifest.open_xa.iter().map(|xa| PreparedXa {
            seq: xa.seq,
            xid: String::from_utf8_lossy(&xa.xid).into_owned(),
        });
        status.open_xa = prepared.collect();
    }
    Ok((status, last, tail_us))
}

fn add(
    status: &mut TimelineStatus,
    manifest: &SegmentManifest,
    newest_base: Option<Seq>,
) -> Result<()> {
    status.segments += 1;
    status.seq_last = Some(manifest.seq_last);
    status.transactions += manifest.transactions;
    status.rows += manifest.rows;
    let stored = |f: &&crate::manifest::FileEntry| f.role == FileRole::Pack || f.offset == 0;
    status.bytes += manifest
        .files
        .iter()
        .filter(stored)
        .map(|f| f.length)
        .sum::<u64>();
    status.epoch = Some(manifest.epoch);
    status.position = Some(manifest.position_last.to_string());
    captured_from(status, manifest);
    status
        .unprotected
        .extend(manifest.unprotected.iter().cloned());
    for mark in &manifest.marks {
        if matches!(mark.kind, MarkKind::Gap { .. }) {
            let detail =
                serde_json::to_value(mark).map_err(|e| Error::internal("write gap").source(e))?;
            status.gaps.push(Gap {
                seq: mark.seq,
                detail,
                text: mark.kind.to_string(),
            });
        }
    }
    let open =
        |barrier: &&Barrier| barrier.stops() && newest_base.is_none_or(|base| barrier.seq > base);
    status
        .barriers
        .extend(manifest.barriers.iter().filter(open).map(|barrier| {
            OpenBarrier {
                seq: barrier.seq,
                table: barrier
                    .table
                    .as_ref()
                    .map_or_else(|| "*".to_owned(), ToString::to_string),
                reason: barrier.reason.clone(),
                statement: barrier.statement.clone(),
            }
        }));
    Ok(())
}

fn captured_from(status: &mut TimelineStatus, manifest: &SegmentManifest) {
    let identity = serde_json::from_value::<SourceIdentity>(manifest.source.clone());
    let Some(source) = identity.ok().map(|identity| identity.describe()) else {
        return;
    };
    if status
        .sources
        .last()
        .is_none_or(|last| last.source != source)
    {
        status.sources.push(CapturedFrom {
            seq_first: manifest.seq_first,
            source,
        });
    }
}

/// What the source says of its commits.
fn rpo_of(state: &SemiSyncState) -> Rpo {
    let obstacles = state.obstacles().into_iter();
    let mut reasons: Vec<String> = obstacles
        .map(|o| format!("{} is {}, wanted {}", o.name, o.found, o.wanted))
        .collect();
    if state.is_enabled && state.clients == 0 {
        reasons.push("no semi-sync replica is connected: capture with --semi-sync".to_owned());
    }
    if state.is_enabled && !state.is_on {
        reasons.push(
            "the source has given up waiting; it waits again once tidelog has caught up".to_owned(),
        );
    }
    Rpo {
        is_zero: reasons.is_empty(),
        reasons,
    }
}

/// An entry that restores do not cross.
struct Stop {
    seq: Seq,
    before_us: Option<i64>,
}

fn first_stop(manifest: &SegmentManifest) -> Option<Seq> {
    let gaps = manifest
        .marks
        .iter()
        .filter(|m| matches!(m.kind, MarkKind::Gap { .. }))
        .map(|m| m.seq);
    let barriers = manifest.barriers.iter().filter(|b| b.stops());
    barriers.map(|b| b.seq).chain(gaps).min()
}

/// The last moment before an entry: the instant before its commit.
async fn time_before(
    repository: &Repository,
    manifest: &SegmentManifest,
    seq: Seq,
) -> Result<Option<i64>> {
    let Some(file) = manifest
        .files
        .iter()
        .find(|f| f.role == FileRole::Transactions)
    else {
        return Ok(None);
    };
    for row in TransactionsReader::without_events(repository.get_file(file).await?)? {
        let row = row?;
        if row.seq >= seq
            && let Some(commit) = row.commit
        {
            return Ok(Some(commit.at_us - 1));
        }
    }
    Ok(None)
}

/// Each base reaches up to the first stop behind it; stretches that touch are one.
fn stretches(
    bases: &[BaseManifest],
    stops: &[Stop],
    last: &SegmentManifest,
    tail_us: Option<i64>,
) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for base in bases {
        let stop = stops.iter().find(|stop| stop.seq > base.seq);
        let (seq_last, through_us) = match stop {
            Some(stop) => (stop.seq.prev(), stop.before_us),
            None => (
                last.seq_last,
                last.covered_through_us
                    .max(last.commit_time.max_us)
                    .max(tail_us),
            ),
        };
        let through = through_us.and_then(time);
        match found.last_mut() {
            Some(former) if base.seq <= former.seq_last.next() => {
                former.seq_last = seq_last;
                former.through = through;
            }
            _ => found.push(Stretch {
                seq_first: base.seq,
                seq_last,
                from: base
                    .commit_time
                    .max_us
                    .or(Some(base.created_us))
                    .and_then(time),
                through,
            }),
        }
    }
    found
}

fn time(at_us: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_micros(at_us)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}
