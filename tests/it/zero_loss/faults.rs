//! A source that gives up waiting, a disk that fails, a spool that is full or somebody else's.

use super::harness::{Journal, Scene, assert_nothing_lost};
use crate::support::sql::exec;
use crate::support::{cli, s3, signal};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Deadline;

fn status(scene: &Scene) -> serde_json::Value {
    let arguments = [
        "status",
        "--json",
        "--repo",
        &scene.repo,
        "--source",
        &scene.url,
    ];
    cli::run(&arguments).success().json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_gave_up_waiting_shows_with_its_stretch() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::new(flavor).await;
        let log = scene.spool().with_extension("log");
        let capture = scene.capture_logged(&["--heartbeat-ms", "200"], &log);
        let mut conn = scene.source.conn().await;
        exec(&mut conn, "INSERT INTO j.t VALUES (1, 1, '')").await;
        let rpo = &status(&scene)["rpo"];
        assert_eq!(rpo["is_zero"], true, "{flavor}: {rpo}");
        // A while in which nothing is wrong: nothing is reported.
        for n in 2..6 {
            exec(&mut conn, format!("INSERT INTO j.t VALUES (1, {n}, '')")).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        let role = match flavor {
            Flavor::MySql => "source",
            Flavor::MariaDb => "master",
        };
        exec(
            &mut conn,
            format!("SET GLOBAL rpl_semi_sync_{role}_timeout = 100"),
        )
        .await;
        signal(capture.pid(), "-STOP");
        for n in 6..9 {
            exec(&mut conn, format!("INSERT INTO j.t VALUES (1, {n}, '')")).await;
        }
        let rpo = &status(&scene)["rpo"];
        assert_eq!(rpo["is_zero"], false, "{flavor}: {rpo}");
        signal(capture.pid(), "-CONT");
        let deadline = Deadline::after(Duration::from_secs(30));
        let stretches = loop {
            let status = status(&scene);
            let found = status["timelines"][0]["unprotected"].as_array().cloned();
            match found.filter(|f| !f.is_empty()) {
                Some(found) => break found,
                None => assert!(!deadline.has_passed(), "{flavor}: nothing is reported"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        capture.terminate();
        let number = |value: &serde_json::Value| value.as_i64().expect("a number");
        let first = stretches.iter().map(|s| number(&s["seq_first"])).min();
        let last = stretches.iter().map(|s| number(&s["seq_last"])).max();
        let seqs = scene.captured_seqs();
        let (gave_up, waited) = (seqs[&(1, 6)]..=seqs[&(1, 8)], seqs[&(1, 2)]);
        let reported = first.expect("one")..=last.expect("one");
        assert!(
            reported.contains(gave_up.start()) && reported.contains(gave_up.end()),
            "{flavor}: {gave_up:?} in {stretches:?}"
        );
        assert!(
            !reported.contains(&waited),
            "{flavor}: {waited} in {stretches:?}"
        );
        let said = std::fs::read_to_string(&log).expect("a log");
        assert!(said.contains("gtid_first"), "{flavor}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_final_and_nothing_after_it_is_acknowledged() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::new(flavor).await;
        let log = scene.spool().with_extension("log");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e"]);
        // The spool alone uses fdatasync; the third one fails, as do all after it.
        strace.args(["inject=fdatasync:error=EIO:when=3+"]);
        strace
            .arg(env!("CARGO_BIN_EXE_tidelog"))
            .args(scene.arguments(&[]));
        let stderr = std::fs::File::create(&log).expect("a log");
        strace
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let mut child = strace
            .spawn()
            .expect("run strace (scripts/setup-tools installs it)");
        let journal = Journal::start(&scene.source, 1);
        let deadline = Deadline::after(Duration::from_secs(60));
        let ended = loop {
            if let Some(ended) = child.try_wait().expect("wait for strace") {
                break ended;
            }
            assert!(!deadline.has_passed(), "{flavor}: capture goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let said = std::fs::read_to_string(&log).expect("a log");
        assert_eq!(ended.code(), Some(1), "{flavor}: {said}");
        assert!(
            said.contains("sync spool file") && said.contains("path="),
            "{flavor}: {said}"
        );
        // One group a sync: two or three commits of the one client were acknowledged.
        let told = journal.acknowledged().await;
        assert!((1..=3).contains(&told.len()), "{flavor}: {}", told.len());
        scene.finish("").success();
        assert_nothing_lost(&told, &scene.captured(), "after a failed sync");
        let capture = scene.capture(&[], "");
        journal.wait_for(10).await;
        let told = journal.stop().await;
        capture.terminate();
        assert_nothing_lost(&told, &scene.captured(), "the end");
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let sizes = entries.filter_map(|e| e.ok()?.metadata().ok());
    sizes.map(|m| m.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_sealed_and_stays_within_its_limit() {
    const LIMIT: u64 = 40_000;
    let scene = Scene::new(Flavor::MariaDb).await;
    let limit = LIMIT.to_string();
    let capture = scene.capture(
        &["--spool-bytes-max", &limit, "--seal-interval-ms", "3600000"],
        "",
    );
    let journal = Journal::start(&scene.source, 4);
    let mut largest = 0;
    for _ in 0..60 {
        journal.wait_for(15).await;
        largest = largest.max(bytes_in(&scene.spool()));
    }
    let told = journal.stop().await;
    capture.terminate();
    assert!(told.len() > 800, "the clients hardly wrote: {}", told.len());
    // What is in the segment that is being committed, what came meanwhile, and the marks.
    assert!(largest < 4 * LIMIT, "{largest} bytes in the spool");
    assert_nothing_lost(&told, &scene.captured(), "the end");
    assert_eq!(scene.spool_files(), [""; 0].map(std::path::PathBuf::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_while_the_store_is_away() {
    let scene = Scene::on(Flavor::MySql, Some(s3::start())).await;
    let store = scene.store.as_ref().expect("a store");
    let often = ["--seal-interval-ms", "200", "--heartbeat-ms", "300"];
    let capture = scene.capture(&often, "");
    let journal = Journal::start(&scene.source, 4);
    journal.wait_for(50).await;
    store.signal("-STOP");
    // For many times the interval at which segments are due.
    for _ in 0..10 {
        journal.wait_for(50).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(
        !scene.spool_files().is_empty(),
        "nothing but the spool holds them"
    );
    store.signal("-CONT");
    let told = journal.stop().await;
    // Every commit waited, whatever the store did.
    tokio::time::sleep(Duration::from_secs(1)).await;
    capture.terminate();
    let status = scene.run(&["status", "--json", "--repo", &scene.repo]);
    let unprotected = &status.success().json()["timelines"][0]["unprotected"];
    assert_eq!(
        unprotected.as_array().map(Vec::len),
        Some(0),
        "{unprotected}"
    );
    assert_nothing_lost(&told, &scene.captured(), "after the outage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_does_not_belong_here_is_refused_and_left_alone() {
    let scene = Scene::new(Flavor::MySql).await;
    let journal = Journal::start(&scene.source, 1);
    let capture = scene.capture(&[], "");
    journal.wait_for(5).await;
    capture.kill9();
    let files = scene.spool_files();
    assert!(!files.is_empty());
    let other = Scene::new(Flavor::MySql).await;
    let spool = scene.spool().display().to_string();
    let finish = [
        "capture",
        "--finish",
        "--repo",
        &other.repo,
        "--spool-dir",
        &spool,
    ];
    cli::run(&finish).refused(1, &["another repository", "spool_repository="]);
    assert_eq!(scene.spool_files(), files, "nothing was removed");
    let bytes = std::fs::read(&files[0]).expect("a spool file");
    let mut damaged = bytes.clone();
    damaged[400] ^= 1;
    std::fs::write(&files[0], &damaged).expect("damage");
    scene
        .finish("")
        .refused(1, &["damaged spool file", "file=", "offset="]);
    std::fs::write(&files[0], &bytes).expect("mend");
    let told = journal.acknowledged().await;
    scene.finish("").success();
    assert_nothing_lost(&told, &scene.captured(), "after all");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let capture = [
        "capture",
        "--source",
        "mysql://x@127.0.0.1:1",
        "--repo",
        "file:///none",
    ];
    let with = |more: &[&str]| cli::run(&[&capture[..], more].concat());
    with(&["--durability", "disk"]).refused(2, &["none, spool, store or both"]);
    with(&["--durability", "both"]).refused(2, &["--spool-dir"]);
    with(&["--semi-sync"]).refused(2, &["store or both"]);
    cli::run(&["capture", "--repo", "file:///none"]).refused(2, &["--source"]);
}
