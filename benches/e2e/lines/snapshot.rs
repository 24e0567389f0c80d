//! The first base: all tables read in a consistent snapshot into Parquet, beside mysqldump to a file.

use crate::process::{Usage, Watched, measure, shown};
use crate::repo::{Repo, capture_once};
use crate::report::{Aim, Row};
use crate::servers;
use crate::settings::Settings;
use crate::support::{TestServer, start};
use crate::workloads::{DATABASE, Workload};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use tidelog::position::Flavor;

/// Messages and wide rows.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let workloads = [
        Workload::Messages {
            rows: settings.rows(1_200_000, 50_000),
        },
        Workload::Wide {
            rows: settings.rows(80_000, 4_000),
        },
    ];
    let mut rows = Vec::new();
    for workload in workloads {
        rows.extend(Box::pin(of(flavor, workload, settings.turns(3))).await);
    }
    rows
}

async fn of(flavor: Flavor, workload: Workload, turns: usize) -> Vec<Row> {
    let source = start(servers::spec(flavor)).await;
    tokio::task::block_in_place(|| {
        workload.create(&source);
        workload.write(&source);
    });
    let (mut peer, mut ours) = (None, None);
    let (mut typed, mut typed_ours) = (String::new(), String::new());
    let (mut dumped, mut stored) = (0, 0);
    for _ in 0..turns {
        let repo = Repo::on_disk("none");
        let file = repo.scratch("dump.sql");
        let command = dump(&source, &file);
        typed = format!("{} > dump.sql", shown(&command));
        peer = Some(measure(command).or_shorter(peer));
        dumped = file.metadata().expect("the dump").len();
        let (usage, command) = taken(&repo, &source);
        (ours, typed_ours) = (Some(usage.or_shorter(ours)), command);
        stored = repo.base_bytes();
    }
    let (peer, usage) = peer.zip(ours).expect("a turn");
    let images = workload.images() as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    vec![
        Row::new(workload.name(), "mysqldump to a file")
            .typed(&typed)
            .done(images, "rows", peer.took)
            .used(&peer)
            .note(format!("{:.0} MiB", mib(dumped))),
        Row::new(workload.name(), "snapshot to a base")
            .typed(&typed_ours)
            .done(images, "rows", usage.took)
            .used(&usage)
            .against(
                "mysqldump to a file",
                peer.took.as_secs_f64() / usage.took.as_secs_f64(),
                Some(Aim::AtLeast(1.0)),
            )
            .note(format!("{:.0} MiB, committed", mib(stored))),
    ]
}

/// Takes a base while a capture follows the source, which a base needs.
pub(crate) fn taken(repo: &Repo, source: &TestServer) -> (Usage, String) {
    let url = source.account_url();
    capture_once(repo, &url);
    let more = ["--seal-interval-ms", "200"];
    let capture = Watched::start(repo.capturing(&["capture"], &url, &more));
    let command = repo.command(&["snapshot"], &["--source", &url]);
    let typed = shown(&command);
    let usage = measure(command);
    capture.terminate();
    (usage, typed)
}

fn dump(source: &TestServer, file: &Path) -> Command {
    let mut command = Command::new(source.mysqldump());
    command
        .arg("--no-defaults")
        .args(["--single-transaction", "--user=root"])
        .arg(format!("--socket={}", source.socket().display()));
    if source.flavor() == Flavor::MySql {
        command.args(["--set-gtid-purged=OFF", "--no-tablespaces"]);
    }
    command.args(["--databases", DATABASE]);
    command.stdout(File::create(file).expect("make the dump"));
    command.stderr(Stdio::null());
    command
}
