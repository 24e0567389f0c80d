//! Restores, beside the replay of the binlog and beside LOAD DATA of the final rows. Every server
//! that was restored to is compared with the source, cell by cell.

use crate::backlog::{Backlog, Prepared};
use crate::process::{Usage, Watched, measure};
use crate::repo::{Repo, capture_once};
use crate::report::{Aim, Row};
use crate::servers;
use crate::settings::Settings;
use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::sql::exec;
use crate::support::{TestServer, start};
use crate::workloads::{DATABASE, Workload, client};
use std::process::{Command, Stdio};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// Hot updates by fold, then inserted rows.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let mut rows = Box::pin(hot(flavor, settings)).await;
    rows.extend(Box::pin(messages(flavor, settings)).await);
    rows
}

/// A repository with a base before the workload and everything after it.
async fn captured(flavor: Flavor, workload: Workload) -> (Repo, Backlog) {
    let prepared = Prepared::start(flavor, workload).await;
    let (repo, url) = (Repo::on_disk("none"), prepared.source.account_url());
    repo.base(&url).await;
    let backlog = prepared.write().await;
    capture_once(&repo, &url);
    (repo, backlog)
}

async fn hot(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let updates = settings.rows(100_000, 5_000);
    let rows = settings.rows(10_000, 2_000);
    let workload = Workload::Hot { updates, rows };
    let (repo, backlog) = captured(flavor, workload).await;
    let replay = replayed(flavor, &backlog).await;
    let (usage, typed) = restored(servers::spec_of_target(flavor), &repo, &backlog.source, 2).await;
    let images = updates as f64;
    vec![
        Row::new(workload.name(), "mysqlbinlog | mysql")
            .typed("mysqlbinlog FILES | mysql")
            .done(images, "updates", replay.took)
            .used(&replay),
        Row::new(workload.name(), "restore by fold")
            .typed(&typed)
            .done(images, "updates", usage.took)
            .used(&usage)
            .against(
                "mysqlbinlog | mysql",
                replay.took.as_secs_f64() / usage.took.as_secs_f64(),
                Some(Aim::AtLeast(100.0)),
            )
            .note("compared cell by cell"),
    ]
}

async fn messages(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let workload = Workload::Messages {
        rows: settings.rows(668_000, 30_000),
    };
    let (repo, backlog) = captured(flavor, workload).await;
    let (name, images) = (workload.name(), workload.images() as f64);
    let replay = replayed(flavor, &backlog).await;
    let load = loaded(flavor, &repo, &backlog.source).await;
    let mut rows = vec![
        Row::new(name, "mysqlbinlog | mysql")
            .typed("mysqlbinlog FILES | mysql")
            .done(images, "rows", replay.took)
            .used(&replay),
        Row::new(name, "LOAD DATA LOCAL, one connection")
            .typed("LOAD DATA LOCAL INFILE 'messages.tsv' INTO TABLE messages")
            .done(images, "rows", load.took)
            .used(&load),
    ];
    for (jobs, aim) in [(1, 1.2), (2, 1.0)] {
        let (usage, typed) = restored(
            servers::spec_of_target(flavor),
            &repo,
            &backlog.source,
            jobs,
        )
        .await;
        let seconds = usage.took.as_secs_f64();
        let speed = replay.took.as_secs_f64() / seconds;
        rows.push(
            Row::new(
                name,
                format!("restore, {jobs} job{}", if jobs == 1 { "" } else { "s" }),
            )
            .typed(&typed)
            .done(images, "rows", usage.took)
            .used(&usage)
            .against(
                "time of LOAD DATA LOCAL",
                seconds / load.took.as_secs_f64(),
                Some(Aim::AtMost(aim)),
            )
            .note(format!(
                "{speed:.1} times as fast as mysqlbinlog | mysql; compared cell by cell"
            )),
        );
    }
    rows
}

/// Restores to a new server and compares.
pub(crate) async fn restored(
    target: ServerSpec,
    repo: &Repo,
    source: &TestServer,
    jobs: u16,
) -> (Usage, String) {
    let target = start(target).await;
    let (command, typed) = repo.restore(&target.account_url(), jobs);
    let usage = measure(command);
    compare(source, &target, "tidelog restore").await;
    (usage, typed)
}

/// `mysqlbinlog FILES | mysql` on a server that holds what the source held before.
async fn replayed(flavor: Flavor, backlog: &Backlog) -> Usage {
    let target = start(servers::spec_of_target(flavor)).await;
    tokio::task::block_in_place(|| backlog.workload.create(&target));
    let mut reader = Command::new(target.mysqlbinlog());
    reader.arg("--no-defaults");
    if flavor == Flavor::MySql {
        reader.arg("--skip-gtids");
    }
    reader.args(&backlog.files);
    reader.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut reader = Watched::start(reader);
    let mut writer = client(&target);
    writer.arg("--binary-mode").stdin(reader.take_stdout());
    writer.stdout(Stdio::null());
    let writer = Watched::start(writer);
    let (reader, writer) = (reader.success(), writer.success());
    compare(&backlog.source, &target, "mysqlbinlog | mysql").await;
    writer.beside(&reader)
}

/// LOAD DATA LOCAL of the final rows on one connection.
async fn loaded(flavor: Flavor, repo: &Repo, source: &TestServer) -> Usage {
    let file = repo.scratch("messages.tsv");
    let out = format!(
        "SELECT * INTO OUTFILE '{}' CHARACTER SET utf8mb4 FROM bench.messages",
        file.display()
    );
    exec(&mut source.conn().await, out).await;
    let target = start(servers::spec_of_target(flavor)).await;
    let workload = Workload::Messages { rows: 0 };
    tokio::task::block_in_place(|| workload.create(&target));
    let load = format!(
        "LOAD DATA LOCAL INFILE '{}' INTO TABLE bench.messages CHARACTER SET utf8mb4",
        file.display()
    );
    let mut command = client(&target);
    command.args(["--local-infile=1", "--execute", &load]);
    command.stdout(Stdio::null()).stdin(Stdio::null());
    let usage = measure(command);
    compare(source, &target, "LOAD DATA LOCAL").await;
    usage
}

async fn compare(source: &TestServer, target: &TestServer, what: &str) {
    let expected = fingerprint(&mut source.conn().await, &[DATABASE]).await;
    let found = fingerprint(&mut target.conn().await, &[DATABASE]).await;
    let rows: u64 = expected.values().map(|table| table.rows).sum();
    assert!(rows > 0, "nothing to compare");
    assert_same(&expected, &found, what);
}
