//! Capture of a backlog into committed segments, beside what reads the same bytes and understands
//! nothing; the size of the segments beside the same binlog under zstd.

use crate::backlog::{Backlog, Prepared};
use crate::process::{Usage, measure, shown};
use crate::repo::{Repo, capture_once};
use crate::report::{Aim, Row};
use crate::settings::Settings;
use crate::support::s3::{self, S3Server};
use crate::workloads::Workload;
use tidelog::position::Flavor;

/// All workloads.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for workload in Workload::all(settings) {
        rows.extend(Box::pin(of(flavor, workload, settings)).await);
    }
    rows
}

async fn of(flavor: Flavor, workload: Workload, settings: &Settings) -> Vec<Row> {
    let prepared = Prepared::start(flavor, workload).await;
    let url = prepared.source.account_url();
    let is_messages = matches!(workload, Workload::Messages { .. });
    let store = is_messages.then(s3::start);
    let turns: Vec<Repo> = (0..settings.turns(3))
        .map(|_| Repo::on_disk("none"))
        .collect();
    let others = others(workload, store.as_ref(), settings);
    for repo in turns.iter().chain(&others) {
        // The log begins here; what is written from now on is the backlog.
        capture_once(repo, &url);
    }
    let backlog = prepared.write().await;
    let mut rows = Vec::new();
    let limit = backlog.drain().await;
    let row = Row::new(workload.name(), "wire limit: read the dump, discard");
    rows.push(row.done(backlog.mib(), "MiB", limit));
    let (mut raw, mut ours, mut typed) = (None, None, String::new());
    for repo in &turns {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let command = backlog.raw(&folder.path().join("raw"));
        typed = shown(&command);
        raw = Some(measure(command).or_shorter(raw));
        drop(folder);
        ours = Some(capture_once(repo, &url).0.or_shorter(ours));
    }
    let (raw, ours) = raw.zip(ours).expect("a turn");
    rows.push(
        Row::new(workload.name(), "mysqlbinlog --raw")
            .typed(&typed)
            .done(backlog.mib(), "MiB", raw.took)
            .used(&raw),
    );
    rows.push(captured(&backlog, &turns[0], &ours, &raw));
    for repo in &others {
        let (usage, _) = capture_once(repo, &url);
        rows.push(captured(&backlog, repo, &usage, &raw));
    }
    rows.push(size(&backlog, &turns[0]));
    rows
}

/// Beside the folder without durability: in a folder with every other one, on S3 with every
/// one; the short form leaves out what differs least.
fn others(workload: Workload, store: Option<&S3Server>, settings: &Settings) -> Vec<Repo> {
    let policies: &[&str] = match workload {
        Workload::Messages { .. } | Workload::Hot { .. } => &["spool", "store"],
        _ => &[],
    };
    let mut repos: Vec<Repo> = policies
        .iter()
        .map(|policy| Repo::on_disk(policy))
        .collect();
    if let Some(store) = store {
        let policies: &[&str] = if settings.is_quick {
            &["none"]
        } else {
            &["none", "spool", "store"]
        };
        let on_s3 = |policy: &&'static str| Repo::on_s3(store, policy, store.environment());
        repos.extend(policies.iter().map(on_s3));
    }
    repos
}

fn captured(backlog: &Backlog, repo: &Repo, usage: &Usage, raw: &Usage) -> Row {
    let command = repo.once(&backlog.source.account_url());
    let aim = match (backlog.workload, repo.durability, repo.is_on_disk()) {
        (Workload::Messages { .. }, "none", true) => Some(Aim::AtLeast(0.7)),
        (Workload::Hot { .. }, "none", true) => Some(Aim::AtLeast(0.4)),
        _ => None,
    };
    let place = if repo.is_on_disk() { "file" } else { "S3" };
    let work = format!("capture, {place} store, durability {}", repo.durability);
    let images = backlog.workload.images() as f64 / usage.took.as_secs_f64() / 1e6;
    let per_gib = usage.cpu_seconds / backlog.mib() * 1024.0;
    Row::new(backlog.workload.name(), work)
        .command(&command)
        .done(backlog.mib(), "MiB", usage.took)
        .used(usage)
        .against(
            "mysqlbinlog --raw",
            raw.took.as_secs_f64() / usage.took.as_secs_f64(),
            aim,
        )
        .note(format!(
            "{images:.2} M row images/s; {per_gib:.1} CPU s a GiB"
        ))
}

fn size(backlog: &Backlog, repo: &Repo) -> Row {
    let (segments, zstd) = (repo.segment_bytes(), backlog.zstd_bytes());
    let aim = match backlog.workload {
        Workload::Messages { .. } => Some(Aim::AtMost(0.7)),
        Workload::Hot { .. } => Some(Aim::AtMost(0.25)),
        Workload::Blobs { .. } => Some(Aim::AtMost(1.0)),
        _ => None,
    };
    Row::new(backlog.workload.name(), "segment bytes")
        .value(segments as f64 / f64::from(1 << 20), "MiB")
        .against("zstd -3 of the binlog", segments as f64 / zstd as f64, aim)
        .note(format!(
            "{:.3} of {:.1} MiB of binlog",
            segments as f64 / backlog.bytes as f64,
            backlog.mib()
        ))
}
