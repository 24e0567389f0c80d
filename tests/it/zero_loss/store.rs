//! Durable in the store alone: what reads it, who may write it, and what happens without it.

use super::harness::{Journal, Scene, assert_nothing_lost};
use crate::support::server::TestServer;
use crate::support::sql::{exec, query};
use crate::support::{cli, s3, signal, start};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Deadline;
use tidelog::service::throwaway::ServerSpec;

/// Nothing is sealed but what somebody asks for.
const NEVER: [&str; 2] = ["--seal-interval-ms", "3600000"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_in_the_tail_is_restored_shown_and_checked_on_mysql() {
    only_in_the_tail(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_in_the_tail_is_restored_shown_and_checked_on_mariadb() {
    only_in_the_tail(Flavor::MariaDb).await;
}

async fn only_in_the_tail(flavor: Flavor) {
    let scene = Scene::with(flavor, None, "store").await;
    let mut conn = scene.source.conn().await;
    let log = scene.spool().with_extension("log");
    let service = scene.service(&NEVER, &log);
    exec(&mut conn, "INSERT INTO j.t VALUES (1, 1, 'in the base')").await;
    until_based(&scene, &log).await;
    for n in 2..=4 {
        exec(&mut conn, format!("INSERT INTO j.t VALUES (1, {n}, 'x')")).await;
    }
    exec(&mut conn, "FLUSH BINARY LOGS").await;
    exec(&mut conn, "UPDATE j.t SET pad = 'changed' WHERE n = 2").await;
    // One statement, one transaction, larger than an object.
    exec(
        &mut conn,
        "CREATE TABLE j.large (a INT PRIMARY KEY, b LONGBLOB)",
    )
    .await;
    let rows: Vec<String> = (0..20)
        .map(|a| format!("({a}, REPEAT('{a:04}', 262144))"))
        .collect();
    let insert = format!("INSERT INTO j.large VALUES {}", rows.join(", "));
    exec(&mut conn, insert).await;
    exec(&mut conn, "CREATE TABLE j.later (a INT PRIMARY KEY)").await;
    exec(&mut conn, "INSERT INTO j.later VALUES (7)").await;
    service.kill9();
    let before = objects(&scene.folder());

    let status = scene.run(&["status", "--json", "--repo", &scene.repo]);
    let status = status.success().json();
    let timeline = &status["timelines"][0];
    assert_eq!(timeline["durability"], "store", "{flavor}: {timeline}");
    assert!(
        timeline["tail"]["objects"].as_u64() > Some(0),
        "{flavor}: {timeline}"
    );
    let through = status["restorable_through"].as_str().expect("a time");
    assert_eq!(through, timeline["tail"]["through"], "{flavor}: {status}");
    let verified = scene.run(&["verify", "--full", "--json", "--repo", &scene.repo]);
    let verified = verified.success().json();
    assert_eq!(
        verified["tail_objects"], timeline["tail"]["objects"],
        "{flavor}"
    );
    let log = scene.run(&["log", "--json", "--repo", &scene.repo, "--table", "j.later"]);
    let last: serde_json::Value = match log.success().stdout().lines().last() {
        Some(line) => serde_json::from_str(line).expect("JSON"),
        None => panic!("{flavor}: the log does not show the tail"),
    };
    let rows: Vec<u64> = scene.captured().iter().map(|(_, n)| *n).collect();
    assert_eq!(rows, [1, 2, 3, 4], "{flavor}");

    let target = start(ServerSpec::new(flavor)).await;
    let restore = |more: &[&str]| {
        let url = target.account_url();
        let arguments = ["restore", "--repo", &scene.repo, "--target", &url];
        scene.run(&[&arguments[..], more].concat())
    };
    restore(&["--latest"]).success();
    assert_eq!(
        contents(&target).await,
        contents(&scene.source).await,
        "{flavor}"
    );
    exec(&mut target.conn().await, "DROP DATABASE j").await;
    let gtid = last["gtid"].as_str().expect("a GTID");
    restore(&["--to-gtid", gtid, "--before"]).success();
    let mut target_conn = target.conn().await;
    let later: Vec<i32> = query(&mut target_conn, "SELECT a FROM j.later").await;
    assert_eq!(later, [0; 0], "{flavor}: just before {gtid}");
    assert_eq!(objects(&scene.folder()), before, "{flavor}: a reader wrote");

    let files = tail_objects(&scene.folder());
    let sizes = files.iter().map(|f| f.metadata().expect("metadata").len());
    let large = sizes.filter(|bytes| *bytes > 1 << 20).count();
    assert!(
        large > 1,
        "{flavor}: the large transaction is in {large} object"
    );
    own_tool_reads(&scene, &files);
    damage_is_named(&scene);
    // And a capture that goes on, or ends, gives them the same places in the log.
    let shown = scene.captured_seqs();
    let seq = |n| shown[&(1, n)];
    scene.finish("").success();
    let sealed = scene.captured_seqs();
    assert_eq!(sealed.len(), shown.len(), "{flavor}");
    assert!(
        sealed[&(1, 4)] - seq(4) <= 1,
        "{flavor}: but for the mark of the writer"
    );
    let status = scene.run(&["status", "--json", "--repo", &scene.repo]);
    let left = &status.success().json()["timelines"][0]["tail"];
    assert_eq!(left["objects"], 0, "{flavor}: {left}");
}

/// Rows of all tables.
async fn contents(server: &TestServer) -> Vec<(u64, u64, u64)> {
    let mut conn = server.conn().await;
    let all = "SELECT client, n, CRC32(pad) FROM j.t UNION ALL SELECT 0, a, 0 FROM j.later \
               UNION ALL SELECT a, LENGTH(b), CRC32(b) FROM j.large ORDER BY 1, 2, 3";
    query(&mut conn, all).await
}

async fn until_based(scene: &Scene, log: &Path) {
    let deadline = Deadline::after(Duration::from_secs(60));
    loop {
        let status = scene.run(&["status", "--json", "--repo", &scene.repo]);
        if status.ok() && !status.json()["restorable_from"].is_null() {
            return;
        }
        let said = || std::fs::read_to_string(log).expect("a log");
        assert!(!deadline.has_passed(), "no base: {}", said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn own_tool_reads(scene: &Scene, files: &[PathBuf]) {
    let mut text = String::new();
    for file in files {
        let mut tool = Command::new(scene.source.mysqlbinlog());
        tool.args(["--no-defaults", "-vv", "--verify-binlog-checksum"]);
        let output = tool.arg(file).output().expect("run mysqlbinlog");
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file:?}: {problems}");
        text.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    for wanted in ["@3='changed'", "CREATE TABLE j.later", "@1=7"] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
    let newest = files.last().expect("an object").display().to_string();
    let inspected = cli::run(&["inspect", "--json", &newest]);
    inspected.success();
}

/// A flipped bit and a hole: found by `verify`, and by whoever would read on.
fn damage_is_named(scene: &Scene) {
    let files = tail_objects(&scene.folder());
    let file = &files[files.len() - 2];
    let name = file.file_name().expect("a name").to_string_lossy();
    let bytes = std::fs::read(file).expect("an object");
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(file, &damaged).expect("damage");
    let verified = scene.run(&["verify", "--repo", &scene.repo]);
    assert!(!verified.ok(), "{}", verified.stdout());
    let said = verified.stdout();
    assert!(said.contains("DAMAGE") && said.contains(&*name), "{said}");
    scene.finish("").refused(1, &[&name, "offset="]);
    std::fs::remove_file(file).expect("a hole");
    let log = scene.run(&["log", "--repo", &scene.repo]);
    log.refused(1, &["an object is missing", &name]);
    std::fs::write(file, &bytes).expect("mend");
}

/// The objects of the newest part of the tail, the oldest first.
fn tail_objects(repo: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = objects(repo)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "binlog"))
        .filter(|path| path.parent().is_some_and(|p| p.ends_with("tail")))
        .collect();
    files.sort();
    files
}

fn objects(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(objects(&path)),
            false => {
                found.insert(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_the_older_is_fenced_and_nothing_is_lost_or_doubled() {
    for flavor in [Flavor::MariaDb, Flavor::MySql] {
        let scene = Scene::with(flavor, None, "store").await;
        let journal = Journal::start(&scene.source, 4);
        let log = scene.spool().with_extension("log");
        // Under ids of their own, or the source itself would stop one of the two.
        let often = ["--seal-interval-ms", "500", "--heartbeat-ms", "500"];
        let older = [&often[..], &["--server-id", "71"]].concat();
        let newer = [&often[..], &["--server-id", "72"]].concat();
        let mut older = scene.capture_logged(&older, &log);
        journal.wait_for(40).await;
        let newer_log = scene.spool().with_extension("newer.log");
        let newer = scene.capture_logged(&newer, &newer_log);
        let ended = older.ended(Duration::from_secs(60)).expect("fenced");
        let said = std::fs::read_to_string(&log).expect("a log");
        assert_eq!(ended.code(), Some(1), "{flavor}: {said}");
        assert!(
            said.contains("claimed") || said.contains("newer writer"),
            "{flavor}: {said}"
        );
        if tokio::time::timeout(Duration::from_secs(30), journal.wait_for(40))
            .await
            .is_err()
        {
            panic!("{}", std::fs::read_to_string(&newer_log).expect("log"));
        }
        newer.kill9();
        let told = journal.acknowledged().await;
        scene.finish("").success();
        assert_nothing_lost(&told, &scene.captured(), &format!("{flavor}, two writers"));
        drop(journal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_wait_while_the_store_is_away() {
    const CLIENTS: u64 = 4;
    for policy in ["store", "both"] {
        let scene = Scene::with(Flavor::MariaDb, Some(s3::start()), policy).await;
        let store = scene.store.as_ref().expect("a store");
        let capture = scene.capture(&["--seal-interval-ms", "300"], "");
        let journal = Journal::start(&scene.source, CLIENTS);
        journal.wait_for(30).await;
        store.signal("-STOP");
        let before = journal.count();
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Each may have waited for an object that was there already.
        let during = journal.count() - before;
        assert!(during <= 2 * CLIENTS, "{policy}: {during} commits returned");
        store.signal("-CONT");
        journal.wait_for(30).await;
        let told = journal.stop().await;
        capture.terminate();
        assert_nothing_lost(&told, &scene.captured(), policy);
    }
}

/// SIGTERM while the store is away: capture says that it waits and what can be done, and ends with
/// all it has received when the store is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_to_end_says_that_it_waits_for_the_store() {
    let scene = Scene::with(Flavor::MySql, Some(s3::start()), "store").await;
    let store = scene.store.as_ref().expect("a store");
    let log = scene.spool().with_extension("log");
    let mut capture = scene.capture_logged(&NEVER, &log);
    let journal = Journal::start(&scene.source, 2);
    journal.wait_for(10).await;
    store.signal("-STOP");
    signal(capture.pid(), "-TERM");
    let deadline = Deadline::after(Duration::from_secs(120));
    loop {
        let said = std::fs::read_to_string(&log).expect("a log");
        if said.contains("waits for the store") && said.contains("when the store is back") {
            break;
        }
        assert!(!deadline.has_passed(), "nothing of the wait in {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(capture.ended(Duration::from_millis(50)), None);
    store.signal("-CONT");
    let ended = capture.ended(Duration::from_secs(120)).expect("it ends");
    assert!(ended.success(), "{ended}");
    let told = journal.acknowledged().await;
    assert_nothing_lost(
        &told,
        &scene.captured(),
        "ended behind a store that was away",
    );
}
