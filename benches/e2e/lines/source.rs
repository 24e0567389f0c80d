//! What capture costs its source: the highest rate that clients reach without and with it, the times
//! of their statements, and whether capture keeps up. All share the cores of this machine.

use crate::process::{Watched, shown};
use crate::repo::Repo;
use crate::report::{Aim, Row};
use crate::servers;
use crate::settings::Settings;
use crate::support::sql::exec;
use crate::support::{TestServer, start};
use crate::workloads::{Numbers, Workload, message};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidelog::manifest::{Document as _, SegmentManifest};
use tidelog::position::Flavor;
use tidelog::runtime::{Deadline, Stopwatch};
use tidelog::service::throwaway::{ACCOUNT, PASSWORD};

const CLIENTS: u64 = 8;
/// Statements that each client has ready, so that it only sends.
const STATEMENTS: usize = 64;
/// Segments are sealed so often: what lag is left is capture's own.
const SEAL: [&str; 2] = ["--seal-interval-ms", "1000"];
/// The head of a binlog file alone, in which no transaction is yet.
const NOTHING_MIB: f64 = 0.0005;
/// Longest wait for capture after the clients have stopped.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bulk inserts for minutes, then small transactions.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let (seconds, minutes) = (Duration::from_secs, |n: u64| Duration::from_secs(60 * n));
    let bulk = Box::pin(of(
        flavor,
        100,
        settings.time(minutes(1), seconds(4)),
        settings.time(minutes(5), seconds(8)),
    ));
    let mut rows = bulk.await;
    if !settings.is_quick {
        rows.extend(Box::pin(of(flavor, 1, minutes(1), minutes(1))).await);
    }
    rows
}

/// What clients did in a time.
struct Written {
    took: Duration,
    rows: u64,
    statements_us: Vec<u64>,
}

impl Written {
    fn rate(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }

    fn p99(&self) -> f64 {
        self.statements_us[(self.statements_us.len() - 1) * 99 / 100] as f64 / 1000.0
    }
}

async fn of(flavor: Flavor, batch: u64, alone: Duration, captured: Duration) -> Vec<Row> {
    let source = start(servers::spec(flavor)).await;
    let workload = Workload::Messages { rows: 0 };
    tokio::task::block_in_place(|| workload.create(&source));
    let without = write(&source, batch, alone, async || ()).await;
    // The same table size again for both: a growing index slows inserts.
    exec(&mut source.conn().await, "TRUNCATE TABLE bench.messages").await;
    let (repo, url) = (Repo::on_disk("none"), source.account_url());
    crate::repo::capture_once(&repo, &url);
    let command = repo.capturing(&["capture"], &url, &SEAL);
    let typed = shown(&command);
    let capture = Watched::start(command);
    let mut lags = Vec::new();
    let mut look = async || lags.push(lag(&source, &repo).await);
    // As long as without it, from an empty table on: inserts get slower as the index grows.
    let with = write(&source, batch, alone, &mut look).await;
    let rest = captured.saturating_sub(alone);
    if !rest.is_zero() {
        write(&source, batch, rest, &mut look).await;
    }
    let (watch, deadline) = (Stopwatch::start(), Deadline::after(PATIENCE));
    while lag(&source, &repo).await > NOTHING_MIB {
        assert!(!deadline.has_passed(), "capture does not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let caught_up = watch.elapsed().as_secs_f64();
    let usage = capture.terminate();
    let name = format!("{CLIENTS} clients, {batch} rows a transaction");
    let peers = "inserts, nobody captures";
    let lag_row = Row::new(&name, "capture behind its source")
        .value(mean(&lags), "MiB")
        .note(format!(
            "{}; caught up {caught_up:.1} s after the last commit",
            series(&lags)
        ));
    let (first, last) = halves(&lags);
    vec![
        Row::new(&name, peers)
            .done(without.rows as f64, "rows", without.took)
            .note(format!("statement p99 {:.2} ms", without.p99())),
        Row::new(&name, "inserts while tidelog captures")
            .typed(&typed)
            .done(with.rows as f64, "rows", with.took)
            .used(&usage)
            .against(peers, with.rate() / without.rate(), Some(Aim::AtLeast(0.9)))
            .note(format!("statement p99 {:.2} ms", with.p99())),
        // A second half further behind than the first, by more than noise, is a lag that grows.
        lag_row.against(
            "the first half of the time",
            last / first.max(1.0),
            Some(Aim::AtMost(1.5)),
        ),
    ]
}

/// Clients that insert as fast as they can; `look` is called once a second.
async fn write(
    source: &TestServer,
    batch: u64,
    time: Duration,
    mut look: impl AsyncFnMut(),
) -> Written {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (opts, stop) = (source.opts(ACCOUNT, PASSWORD), Arc::clone(&stop));
            let statements = statements(client, batch);
            tokio::spawn(async move {
                let mut conn = Conn::new(opts).await.expect("connect client");
                let mut times = Vec::new();
                for statement in statements.iter().cycle() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let watch = Stopwatch::start();
                    let done = conn.query_drop(statement).await;
                    done.expect("insert");
                    times.push(u64::try_from(watch.elapsed().as_micros()).expect("short"));
                }
                times
            })
        })
        .collect();
    let (watch, mut seconds) = (Stopwatch::start(), 0);
    while watch.elapsed() < time {
        seconds += 1;
        let next = Duration::from_secs(seconds).min(time);
        tokio::time::sleep(next.saturating_sub(watch.elapsed())).await;
        look().await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut statements_us = Vec::new();
    for task in tasks {
        statements_us.extend(task.await.expect("client"));
    }
    let took = watch.elapsed();
    statements_us.sort_unstable();
    Written {
        took,
        rows: statements_us.len() as u64 * batch,
        statements_us,
    }
}

fn statements(client: u64, batch: u64) -> Vec<String> {
    let mut numbers = Numbers::new(client + 1);
    let statement = |_| {
        let rows: Vec<String> = (0..batch).map(|_| message(&mut numbers)).collect();
        format!(
            "INSERT INTO bench.messages (conversation_id, sender_id, body, meta, score, kind, sent_at) \
             VALUES {}",
            rows.join(",")
        )
    };
    (0..STATEMENTS).map(statement).collect()
}

/// MiB of binlog that the source has written and no committed segment holds.
async fn lag(source: &TestServer, repo: &Repo) -> f64 {
    let (file, end) = servers::position(source).await;
    let (captured, offset) = captured_through(repo);
    let files = servers::binlog_files(source, &captured).await;
    let before = files
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| *name < *file));
    let bytes: u64 = before
        .map(|path| path.metadata().map_or(0, |m| m.len()))
        .sum();
    (bytes + end).saturating_sub(offset) as f64 / f64::from(1 << 20)
}

/// File and offset of the end of the last committed segment.
fn captured_through(repo: &Repo) -> (String, u64) {
    let log = repo.path().join("timelines/0001/log");
    let entries = std::fs::read_dir(log).expect("manifests");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let last = paths
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .max();
    let last = last.expect("a manifest");
    let bytes = std::fs::read(&last).expect("a manifest");
    let manifest = SegmentManifest::decode(&last.display().to_string(), &bytes);
    let manifest = manifest.unwrap_or_else(|e| panic!("{}", e.report()));
    (
        manifest.position_last.file.to_string(),
        manifest.position_last.offset,
    )
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Means of the first and of the second half.
fn halves(values: &[f64]) -> (f64, f64) {
    let (first, last) = values.split_at(values.len() / 2);
    (mean(first), mean(last))
}

/// Ten means over time.
fn series(values: &[f64]) -> String {
    let size = values.len().div_ceil(10).max(1);
    let means: Vec<String> = values
        .chunks(size)
        .map(|part| format!("{:.0}", mean(part)))
        .collect();
    format!("MiB behind over time: {}", means.join(" "))
}
