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
    let repos = repos(workload, store.as_ref(), settings);
    for repo in &repos {
        // The log begins here; what is written from now on is the backlog.
        capture_once(repo, &url);
    }
    let backlog = prepared.write().await;
    let mut rows = Vec::new();
    let limit = backlog.drain().await;
    let row = Row::new(workload.name(), "wire limit: read the dump, discard");
    rows.push(row.done(backlog.mib(), "MiB", limit));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = backlog.raw(&folder.path().join("raw"));
    let typed = shown(&command);
    let raw = measure(command);
    drop(folder);
    rows.push(
        Row::new(workload.name(), "mysqlbinlog --raw")
            .typed(&typed)
            .done(backlog.mib(), "MiB", raw.took)
            .used(&raw),
    );
    for repo in &repos {
        rows.push(captured(&backlog, repo, &raw));
    }
    rows.push(size(&backlog, &repos[0]));
    rows
}

/// In a folder with every durability, on S3 with every durability; the short form leaves out
/// what differs least.
fn repos(workload: Workload, store: Option<&S3Server>, settings: &Settings) -> Vec<Repo> {
    let policies: &[&str] = match workload {
        Workload::Messages { .. } | Workload::Hot { .. } => &["none", "spool", "store"],
        _ => &["none"],
    };
    let mut repos: Vec<Repo> = policies
        .iter()
        .map(|policy| Repo::on_disk(policy))
        .collect();
    if let Some(store) = store {
        let policies: &[&str] = if settings.is_quick {
            &["none"]
        } else {
            policies
        };
        let on_s3 = |policy: &&'static str| Repo::on_s3(store, policy, store.environment());
        repos.extend(policies.iter().map(on_s3));
    }
    repos
}

fn captured(backlog: &Backlog, repo: &Repo, raw: &Usage) -> Row {
    let (usage, command) = capture_once(repo, &backlog.source.account_url());
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
        .used(&usage)
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
