//! The main job on real servers: eight clients write, capture is killed twice, checkpoints are
//! restored in random order, the received binlog is rebuilt, DuckDB counts the same rows.

use crate::support::fingerprint::{Checkpoint, assert_same, checkpoint, fingerprint};
use crate::support::sql::exec;
use crate::support::workload::{DATABASES, Writers, create};
use crate::support::{Setup, TestServer, cli, duckdb, start_all};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tidelog::base::{BaseFile, read_files};
use tidelog::history::{SegmentChanges, Versions, rebuild_segment};
use tidelog::manifest::{FileRole, Repository};
use tidelog::position::{Flavor, Seq};
use tidelog::runtime::Compute;
use tidelog::service::throwaway::ServerSpec;
use tidelog::storage::{Store, StoreOptions};

const CLIENTS: u64 = 8;

/// Seconds of writing; the soak writes for longer.
fn seconds() -> u64 {
    let given = std::env::var("TIDELOG_TEST_SECONDS").ok();
    given.map_or(60, |s| s.parse().expect("TIDELOG_TEST_SECONDS is a number"))
}

pub(crate) fn seed() -> u64 {
    let given = std::env::var("TIDELOG_TEST_SEED").ok();
    given.map_or_else(rand::random, |s| {
        s.parse().expect("TIDELOG_TEST_SEED is a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_checkpoint_is_restored_exactly_on_mysql() {
    run(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_checkpoint_is_restored_exactly_on_mariadb() {
    run(Flavor::MariaDb).await;
}

/// A row lock that a global read lock keeps from ending must not hold the test up for long.
fn spec(flavor: Flavor) -> ServerSpec {
    ServerSpec::new(flavor).option("--innodb-lock-wait-timeout=2")
}

async fn run(flavor: Flavor) {
    let seed = seed();
    println!("{flavor}: TIDELOG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let [source, target] = start_all([spec(flavor), spec(flavor)]).await;
    create(&mut source.conn().await, flavor).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repo = format!("file://{}", folder.path().join("repo").display());
    cli::run(&["init", "--repo", &repo]).success();

    let source_url = source.account_url();
    let serve = [
        "run",
        "--source",
        &source_url,
        "--repo",
        &repo,
        "--seal-interval-ms",
        "3000",
        "--heartbeat-ms",
        "500",
    ];
    let mut service = cli::spawn(&serve);
    let writers = Writers::start(&source, CLIENTS, seed);
    wait_for_base(&repo).await;

    // Two kills at a quarter and at a half, a checkpoint every few seconds.
    let (total, mut checkpoints) = (seconds(), Vec::new());
    for (index, share) in [4, 4, 2].into_iter().enumerate() {
        let end = Duration::from_secs(total / share);
        let count = if index == 2 { 4 } else { 2 };
        for _ in 0..count {
            tokio::time::sleep(end / (count + 1)).await;
            checkpoints.push(checkpoint(&source, &DATABASES, Duration::from_millis(1_500)).await);
        }
        if index < 2 {
            service.kill9();
            tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
            service = cli::spawn(&serve);
        }
    }
    let committed = writers.stop().await;
    println!(
        "{flavor}: {committed} transactions, {} checkpoints",
        checkpoints.len()
    );
    assert!(
        committed > 200,
        "the clients hardly wrote: {committed} transactions"
    );
    let last = fingerprint(&mut source.conn().await, &DATABASES).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    service.terminate();
    cli::run(&[
        "capture",
        "--once",
        "--source",
        &source_url,
        "--repo",
        &repo,
    ])
    .success();
    cli::run(&["verify", "--full", "--repo", &repo]).success();

    rebuild_equals_received(&repo, &source).await;
    duckdb_counts_the_same(&repo, flavor).await;

    checkpoints.shuffle(&mut random);
    for (number, checkpoint) in checkpoints.iter().enumerate() {
        restore_and_compare(&repo, &target, checkpoint, number).await;
    }
    drop_databases(&target).await;
    cli::restore(&[
        "--latest",
        "--repo",
        &repo,
        "--target",
        &target.account_url(),
    ])
    .success();
    let found = fingerprint(&mut target.conn().await, &DATABASES).await;
    assert_same(&last, &found, "the latest moment");
}

/// Restores by GTID and, every other time, by time.
async fn restore_and_compare(
    repo: &str,
    target: &TestServer,
    checkpoint: &Checkpoint,
    number: usize,
) {
    drop_databases(target).await;
    let time = format!("{}us", checkpoint.time_us);
    let rfc = chrono::DateTime::from_timestamp_micros(checkpoint.time_us)
        .expect("a time")
        .to_rfc3339();
    let target_url = target.account_url();
    let by_time = number % 2 == 1;
    let mut args = vec!["--repo", repo, "--target", &target_url];
    if by_time {
        // A backlog after a kill has imprecise commit times on MariaDB; the state was quiet.
        args.extend(["--to-time", &rfc]);
    } else {
        args.extend(["--to-gtid", &checkpoint.gtid]);
    }
    let mut outcome = cli::restore(&args);
    if by_time && !outcome.ok() && outcome.stderr().contains("--edge") {
        args.truncate(4);
        args.extend(["--to-gtid", &checkpoint.gtid]);
        outcome = cli::restore(&args);
    }
    outcome.success();
    let found = fingerprint(&mut target.conn().await, &DATABASES).await;
    assert_same(
        &checkpoint.tables,
        &found,
        &format!("checkpoint {number} ({time})"),
    );
}

async fn drop_databases(target: &TestServer) {
    let mut conn = target.conn().await;
    for database in DATABASES.iter().rev() {
        crate::support::sql::exec(
            &mut conn,
            format!(
                "DROP DATABASE IF EXISTS {}",
                crate::support::sql::ident(database)
            ),
        )
        .await;
    }
}

async fn wait_for_base(repo: &str) {
    let repository = open(repo).await;
    for _ in 0..600 {
        if repository.timelines().await.expect("timelines").len() == 1
            && !repository.bases(1).await.expect("bases").is_empty()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no base after a minute");
}

async fn open(repo: &str) -> Repository {
    let store = Store::open(repo, &StoreOptions::default()).expect("a store");
    Repository::open(store).await.expect("a repository")
}

/// Every event of every captured transaction, rebuilt from Parquet, equals the bytes in the
/// source's binlog files; nothing is missing between the first and the last.
async fn rebuild_equals_received(repo: &str, source: &TestServer) {
    let repository = open(repo).await;
    let mut rebuilt: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut manifests = repository
        .manifests(1, Seq::FIRST, None)
        .await
        .expect("manifests");
    let mut versions = Versions::default();
    let (mut images, mut start) = (0, None);
    while let Some(stored) = manifests.next().await.expect("a whole chain") {
        versions.introduce(&stored.manifest).expect("versions");
        let changes =
            SegmentChanges::read(&repository, &stored.manifest, &versions, &Compute::new(2))
                .await
                .expect("a segment");
        images += changes.rows.len();
        start.get_or_insert_with(|| stored.manifest.position_first.clone());
        let mut file = stored.manifest.position_first.file.clone();
        for transaction in rebuild_segment(&changes).expect("rebuilt events") {
            let end = transaction.end.expect("a transaction has an end");
            for event in &transaction.events {
                // A rotation ends the file before; a format description starts the next.
                if event[4] == 15 {
                    file.clone_from(&end.file);
                }
                rebuilt
                    .entry(file.clone())
                    .or_default()
                    .extend_from_slice(event);
            }
            file = end.file;
        }
    }
    assert!(images > 500, "hardly any row images: {images}");
    let start = start.expect("a first manifest");
    let mut compared = 0;
    for (file, bytes) in rebuilt {
        let received = std::fs::read(source.data_dir().join(&file)).expect("a binlog file");
        let from = if file == start.file {
            // A source tells its position a moment ahead of its GTIDs: what was flushed and not yet
            // counted when capture began is received, too.
            first_offset(&bytes).min(start.offset as usize)
        } else {
            4
        };
        let received = &received[from..];
        let common = received.len().min(bytes.len());
        if let Some(at) = (0..common).find(|&i| received[i] != bytes[i]) {
            panic!(
                "{file}: rebuilt binlog differs at offset {} ({})",
                from + at,
                events_around(&bytes, at)
            );
        }
        let rest = &received[common..];
        assert!(
            bytes.len() <= received.len(),
            "{file}: rebuilt more than there is"
        );
        assert!(
            only_file_events(rest),
            "{file}: {} bytes of events are missing at the end",
            rest.len()
        );
        compared += bytes.len();
    }
    println!("rebuilt {compared} bytes of binlog from {images} row images");
}

/// Where the first event stood, by what its header says of its end.
fn first_offset(bytes: &[u8]) -> usize {
    let number = |at: usize| {
        let bytes = bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    number(13)
        .checked_sub(number(9))
        .expect("an end behind its start")
}

fn events_around(bytes: &[u8], at: usize) -> String {
    let mut start = 0;
    while start + 19 <= at {
        let length =
            u32::from_le_bytes(bytes[start + 9..start + 13].try_into().expect("four bytes"))
                as usize;
        if start + length > at || length < 19 {
            break;
        }
        start += length;
    }
    format!(
        "in an event of type {} at byte {}",
        bytes[start + 4],
        at - start
    )
}

/// What may follow the last transaction of a file: rotation, stop, checkpoint.
fn only_file_events(mut rest: &[u8]) -> bool {
    while rest.len() >= 19 {
        let length = u32::from_le_bytes(rest[9..13].try_into().expect("four bytes")) as usize;
        if !matches!(rest[4], 3 | 4 | 161) || length > rest.len() {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty()
}

/// An analyst's reader finds the rows the manifests say, and the base's through views.sql.
async fn duckdb_counts_the_same(repo: &str, flavor: Flavor) {
    let repository = open(repo).await;
    let root = repo.trim_start_matches("file://");
    let mut expected: u64 = 0;
    let mut files = Vec::new();
    let mut manifests = repository
        .manifests(1, Seq::FIRST, None)
        .await
        .expect("manifests");
    while let Some(stored) = manifests.next().await.expect("a whole chain") {
        expected += stored.manifest.rows;
        for file in stored
            .manifest
            .files
            .iter()
            .filter(|f| f.role == FileRole::Changes && f.offset == 0)
        {
            files.push(format!("'{root}/{}'", file.object));
        }
    }
    let count = format!(
        "SELECT count(*) FROM read_parquet([{}], union_by_name = true)",
        files.join(", ")
    );
    let rows = duckdb::query(&[&count]);
    assert_eq!(
        rows[0][0].as_deref(),
        Some(expected.to_string().as_str()),
        "rows in change files"
    );

    let id = repository
        .bases(1)
        .await
        .expect("bases")
        .pop()
        .expect("a base");
    let base = repository.base(id).await.expect("a base");
    let files = std::fs::read(Path::new(root).join(&base.files.object)).expect("files.parquet");
    let files = read_files(files.into()).expect("a list of files");
    let is_part = |pair: &&[BaseFile]| pair[0].table_id == pair[1].table_id;
    let parts: Vec<&[BaseFile]> = files.windows(2).filter(is_part).collect();
    let apart = |pair: &&[BaseFile]| pair[0].key_max < pair[1].key_min;
    assert!(parts.iter().all(apart), "parts of a table overlap");
    // Of MariaDB's connections each may see another point while clients write.
    let is_cut = flavor == Flavor::MariaDb || !parts.is_empty();
    assert!(is_cut, "no table was read in parts");
    let views =
        std::fs::read_to_string(Path::new(root).join(&base.views.object)).expect("views.sql");
    assert!(
        base.tables.iter().any(|t| t.rows > 0),
        "a base without rows proves nothing"
    );
    for table in &base.tables {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let count = format!(
            "SELECT count(*) FROM {}.{}",
            quote(&table.name.db),
            quote(&table.name.table)
        );
        let rows = duckdb::query(&[&views, &count]);
        assert_eq!(
            rows[0][0].as_deref(),
            Some(table.rows.to_string().as_str()),
            "{}",
            table.name
        );
    }
}

/// A base needs a capture that reaches it; without one, `snapshot` says so while it waits.
#[tokio::test(flavor = "multi_thread")]
async fn snapshot_says_that_it_waits_for_capture() {
    let tables = ["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"];
    let (setup, mut conn) = Setup::based(Flavor::MySql, &tables).await;
    exec(&mut conn, "INSERT INTO d.t VALUES (1)").await;
    let (url, repo) = (setup.source.account_url(), setup.repo.clone());
    let snapshot = tokio::task::spawn_blocking(move || {
        cli::run(&["snapshot", "--source", &url, "--repo", &repo])
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    setup.capture();
    let snapshot = snapshot.await.expect("snapshot");
    let stderr = snapshot.success().stderr();
    let says = stderr.contains("waiting for capture") && stderr.contains("tidelog run");
    assert!(says, "{stderr}");
}
