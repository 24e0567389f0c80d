//! A source whose history leaves ours: failover, reset, purge; and the timelines that follow.

mod forked;
mod one_name;
mod rewritten;
mod tail;

use crate::support::fingerprint::{Fingerprint, assert_same, fingerprint};
use crate::support::server::{FLAVORS, TestServer};
use crate::support::sql::{exec, exec_all, query, query_one};
use crate::support::{Setup, cli};
use mysql_async::{Conn, Row};
use std::time::Duration;
use tidelog::position::Flavor;

const DATABASES: [&str; 1] = ["d"];
const TABLE: [&str; 2] = [
    "CREATE DATABASE d",
    "CREATE TABLE d.t (id INT PRIMARY KEY, body VARCHAR(50) NOT NULL)",
];

async fn insert(conn: &mut Conn, ids: std::ops::Range<u32>) {
    for id in ids {
        exec(conn, format!("INSERT INTO d.t VALUES ({id}, 'row {id}')")).await;
    }
}

async fn state(server: &TestServer) -> Fingerprint {
    fingerprint(&mut server.conn().await, &DATABASES).await
}

fn reset(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "RESET BINARY LOGS AND GTIDS",
        Flavor::MariaDb => "RESET MASTER",
    }
}

/// Makes the target a replica of the source.
async fn replicate(setup: &Setup, flavor: Flavor) -> Conn {
    let mut replica = setup.target.conn().await;
    let (forget, change, start) = crate::restore::target::replicate(flavor, setup.source.port());
    exec_all(&mut replica, forget).await;
    exec_all(&mut replica, &[&change, start]).await;
    replica
}

/// A primary with three rows and a base, a replica of it that logs what it replicates (MySQL's do
/// by default), and a session on each.
async fn replicated(flavor: Flavor) -> (Setup, Conn, Conn) {
    let options: &[&str] = match flavor {
        Flavor::MySql => &[],
        Flavor::MariaDb => &["--log-slave-updates"],
    };
    let setup = Setup::new(flavor, options).await;
    let replica = replicate(&setup, flavor).await;
    let mut primary = setup.source.conn().await;
    exec_all(&mut primary, &TABLE).await;
    insert(&mut primary, 0..3).await;
    setup.base().await;
    (setup, primary, replica)
}

/// Waits until the replica has this many rows, and stops it.
async fn stop_replica_at(replica: &mut Conn, flavor: Flavor, rows: i64) {
    for _ in 0..600 {
        let there: i64 = query_one(
            replica,
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='d'",
        )
        .await;
        if there == 1 {
            let count: i64 = query_one(replica, "SELECT COUNT(*) FROM d.t").await;
            if count == rows {
                let stop = match flavor {
                    Flavor::MySql => ["STOP REPLICA", "RESET REPLICA ALL"],
                    // The position stays: only the connection is forgotten.
                    Flavor::MariaDb => ["STOP SLAVE", "RESET SLAVE ALL"],
                };
                exec_all(replica, &stop).await;
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the replica does not catch up");
}

fn capture(setup: &Setup, source: &TestServer) -> cli::Run {
    let url = source.account_url();
    cli::run(&["capture", "--once", "--source", &url, "--repo", &setup.repo])
}

fn fork(setup: &Setup, source: &TestServer, more: &[&str]) -> cli::Run {
    let url = source.account_url();
    let mut args = vec![
        "timeline",
        "fork",
        "--json",
        "--source",
        &url,
        "--repo",
        &setup.repo,
    ];
    args.extend(more);
    cli::run(&args)
}

fn status(setup: &Setup) -> serde_json::Value {
    let status = cli::run(&["status", "--json", "--repo", &setup.repo]);
    status.success().json()
}

/// The first base of the newest timeline.
async fn base(setup: &Setup, source: &TestServer) {
    let url = source.account_url();
    let service = cli::spawn(&["run", "--source", &url, "--repo", &setup.repo]);
    for _ in 0..600 {
        let status = status(setup);
        let newest = status["timelines"]
            .as_array()
            .and_then(|t| t.last().cloned());
        let bases = newest.expect("a timeline")["bases"].clone();
        if bases.as_array().is_some_and(|bases| !bases.is_empty()) {
            service.terminate();
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no base of the newest timeline after a minute");
}

/// Restores a moment to `target` (emptied before) and compares every cell.
async fn restores(setup: &Setup, target: &TestServer, moment: &[&str], expected: &Fingerprint) {
    exec(&mut target.conn().await, "DROP DATABASE IF EXISTS d").await;
    let url = target.account_url();
    let mut args = vec!["--repo", &setup.repo, "--target", &url];
    args.extend(moment);
    cli::restore(&args).success();
    assert_same(expected, &state(target).await, &format!("{moment:?}"));
}

fn seq_last(setup: &Setup) -> String {
    status(setup)["seq_last"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_failover_to_a_replica_goes_on_by_gtid() {
    for flavor in FLAVORS {
        let (setup, mut primary, mut replica) = replicated(flavor).await;
        // More files than the replica has, and a larger place in the last one.
        exec_all(&mut primary, &["FLUSH BINARY LOGS", "FLUSH BINARY LOGS"]).await;
        insert(&mut primary, 3..6).await;
        setup.capture();
        let (before, expected) = (seq_last(&setup), state(&setup.source).await);
        insert(&mut primary, 6..8).await;
        stop_replica_at(&mut replica, flavor, 8).await;

        insert(&mut replica, 8..12).await;
        capture(&setup, &setup.target).success();
        capture(&setup, &setup.target).success();
        let status = status(&setup);
        let timelines = status["timelines"].as_array().expect("timelines");
        assert_eq!(timelines.len(), 1, "{status}");
        let sources = timelines[0]["sources"].as_array().expect("sources");
        assert_eq!(sources.len(), 2, "{status}");
        assert_eq!(status["gaps"].as_array().map(Vec::len), Some(0));

        // The old primary lacks what the new one wrote: it is refused.
        capture(&setup, &setup.source).refused(1, &["history=", "timeline fork"]);
        let (last, newest) = (seq_last(&setup), state(&setup.target).await);
        restores(&setup, &setup.source, &["--to-seq", &before], &expected).await;
        restores(&setup, &setup.source, &["--to-seq", &last], &newest).await;
    }
}

/// The former server's last transactions are in the spool only when another takes over.
#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_failover_seals_what_the_spool_holds_of_the_former_server() {
    for flavor in FLAVORS {
        let (setup, mut primary, mut replica) = replicated(flavor).await;
        exec_all(&mut primary, &["FLUSH BINARY LOGS", "FLUSH BINARY LOGS"]).await;
        insert(&mut primary, 3..6).await;
        let folder = tempfile::tempdir().expect("a folder");
        let spool = folder.path().display().to_string();
        let run = |server: &TestServer, failpoint: &str| {
            let (url, repo) = (server.account_url(), setup.repo.as_str());
            let args = ["capture", "--once", "--source", &url, "--repo", repo];
            let more = ["--durability", "spool", "--spool-dir", &spool];
            let environment = [("TIDELOG_FAILPOINT", failpoint)];
            cli::run_with(&[&args[..], &more[..]].concat(), &environment)
        };
        assert!(!run(&setup.source, "seal.encoded:2").ok());
        let in_spool = || {
            let entries = std::fs::read_dir(folder.path()).expect("a spool");
            let paths = entries.map(|entry| entry.expect("an entry").path());
            let files = paths.filter(|path| path.extension().is_some_and(|e| e == "binlog"));
            files.count()
        };
        assert!(in_spool() > 0);
        insert(&mut primary, 6..8).await;
        stop_replica_at(&mut replica, flavor, 8).await;
        insert(&mut replica, 8..10).await;

        fork(&setup, &setup.target, &["--spool-dir", &spool])
            .refused(2, &["spool_dir=", "capture --finish"]);
        run(&setup.target, "").success();
        assert_eq!(in_spool(), 0);
        let status = status(&setup);
        let timelines = status["timelines"].as_array().expect("timelines");
        assert_eq!(timelines.len(), 1, "{status}");
        let sources = timelines[0]["sources"].as_array().expect("sources");
        assert_eq!(sources.len(), 2, "{status}");
        let (last, newest) = (seq_last(&setup), state(&setup.target).await);
        restores(&setup, &setup.source, &["--to-seq", &last], &newest).await;
    }
}

/// A replica that lacks what was there before the log began shares nothing to fork from.
#[tokio::test(flavor = "multi_thread")]
async fn fault_28_a_replica_behind_the_whole_log_is_refused() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut replica = replicate(&setup, flavor).await;
        let mut primary = setup.source.conn().await;
        exec_all(&mut primary, &TABLE).await;
        insert(&mut primary, 0..5).await;
        stop_replica_at(&mut replica, flavor, 5).await;
        insert(&mut primary, 5..9).await;
        setup.base().await;
        insert(&mut primary, 9..12).await;
        setup.capture();
        let last = seq_last(&setup);
        let words = ["history=behind", "missing=", "timeline fork"];
        capture(&setup, &setup.target).refused(1, &words);
        fork(&setup, &setup.target, &[]).refused(1, &["before this timeline began"]);
        assert_eq!(seq_last(&setup), last, "nothing was appended");
        let status = status(&setup);
        assert_eq!(status["timelines"].as_array().map(Vec::len), Some(1));
    }
}

/// A replica that stops in the middle of what the log holds, and is written to afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn fault_28_both_branches_of_a_diverged_history_are_restored() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut replica = replicate(&setup, flavor).await;
        let mut primary = setup.source.conn().await;
        exec_all(&mut primary, &TABLE).await;
        insert(&mut primary, 0..3).await;
        setup.base().await;
        insert(&mut primary, 3..5).await;
        stop_replica_at(&mut replica, flavor, 5).await;
        insert(&mut primary, 5..9).await;
        setup.capture();
        let (parent_last, parent_state) = (seq_last(&setup), state(&setup.source).await);
        insert(&mut replica, 20..22).await;

        capture(&setup, &setup.target).refused(1, &["history=diverged", "timeline fork"]);
        assert_eq!(seq_last(&setup), parent_last, "nothing was appended");
        let report = fork(&setup, &setup.target, &[]).success().json();
        assert_eq!(report["parent"], 1);
        assert_eq!(report["timeline"], 2);
        assert!(report["gap"].is_null(), "{report}");
        let fork_seq = report["fork_seq"].as_i64().expect("a seq");
        assert_eq!(parent_last.parse::<i64>().expect("a seq") - fork_seq, 4);
        base(&setup, &setup.target).await;
        insert(&mut replica, 22..25).await;
        capture(&setup, &setup.target).success();
        let (middle, middle_state) = (seq_last(&setup), state(&setup.target).await);
        insert(&mut replica, 25..28).await;
        capture(&setup, &setup.target).success();
        let latest = state(&setup.target).await;

        let status = status(&setup);
        assert_eq!(status["timelines"][0]["current"], false);
        assert_eq!(status["timelines"][1]["current"], true);
        assert_eq!(status["timelines"][1]["parent"]["seq"], fork_seq);
        cli::run(&["verify", "--full", "--repo", &setup.repo]).success();
        // The transactions between fork and base are in the log of the branch.
        let log = cli::run(&["log", "--json", "--repo", &setup.repo]);
        let rows = log.success().stdout().matches("row 2").count();
        assert!(rows >= 8, "{}", log.stdout());
        restores(
            &setup,
            &setup.source,
            &["--timeline", "1", "--to-seq", &parent_last],
            &parent_state,
        )
        .await;
        restores(&setup, &setup.source, &["--to-seq", &middle], &middle_state).await;
        restores(&setup, &setup.source, &["--latest"], &latest).await;
        let early = cli::restore(&[
            "--repo",
            &setup.repo,
            "--dry-run",
            "--to-seq",
            &(fork_seq + 1).to_string(),
        ]);
        early.refused(3, &["--timeline 1", "left_after_seq"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_29_a_reset_while_we_are_away_is_seen() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &TABLE).await;
        insert(&mut conn, 0..4).await;
        setup.capture();
        let (parent_last, parent_state) = (seq_last(&setup), state(&setup.source).await);

        exec(&mut conn, reset(flavor)).await;
        capture(&setup, &setup.source).refused(1, &["history=reset", "timeline fork"]);
        // More transactions than ours, in a file of the same name: the GTIDs alone say nothing.
        insert(&mut conn, 100..120).await;
        capture(&setup, &setup.source).refused(1, &["history=reset", "timeline fork"]);
        let base_file = "FLUSH BINARY LOGS";
        exec_all(&mut conn, &[base_file, base_file]).await;
        capture(&setup, &setup.source).refused(1, &["history=reset"]);
        assert_eq!(seq_last(&setup), parent_last, "nothing was appended");

        let report = fork(&setup, &setup.source, &[]).success().json();
        assert_eq!(report["fork_seq"].to_string(), parent_last);
        assert_eq!(report["gap"]["kind"], "gap", "{report}");
        base(&setup, &setup.source).await;
        insert(&mut conn, 200..203).await;
        capture(&setup, &setup.source).success();
        let latest = state(&setup.source).await;
        let status = status(&setup);
        assert_eq!(status["gaps"].as_array().map(Vec::len), Some(1), "{status}");
        let log = cli::run(&["log", "--repo", &setup.repo]);
        assert!(log.success().stdout().contains("gap"), "{}", log.stdout());
        restores(
            &setup,
            &setup.target,
            &["--timeline", "1", "--to-seq", &parent_last],
            &parent_state,
        )
        .await;
        restores(&setup, &setup.target, &["--latest"], &latest).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_29_a_reset_while_dumping_ends_capture() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &TABLE).await;
        let (url, repo) = (setup.source.account_url(), setup.repo.clone());
        let capture = tokio::task::spawn_blocking(move || {
            let quick = ["--heartbeat-ms", "500", "--seal-interval-ms", "300"];
            let all = ["capture", "--source", &url, "--repo", &repo];
            cli::run_to_its_end(&[&all[..], &quick[..]].concat())
        });
        insert(&mut conn, 0..3).await;
        let rows = || status(&setup)["timelines"][0]["rows"].as_i64();
        for _ in 0..300 {
            if rows() == Some(3) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        exec(&mut conn, reset(flavor)).await;
        insert(&mut conn, 3..9).await;
        let ended = capture.await.expect("capture ends");
        // The source says one of several things, for its dump thread may read what is gone.
        ended.refused(1, &["next step"]);
        self::capture(&setup, &setup.source).refused(1, &["history=reset", "timeline fork"]);
        assert_eq!(rows(), Some(3), "nothing of the new history was appended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_a_purge_while_we_are_away_is_a_gap_after_a_fork() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &TABLE).await;
        insert(&mut conn, 0..4).await;
        setup.capture();
        let (parent_last, parent_state) = (seq_last(&setup), state(&setup.source).await);
        insert(&mut conn, 4..10).await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        insert(&mut conn, 10..12).await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        purge(&mut conn).await;
        capture(&setup, &setup.source).refused(3, &["history=purged", "missing=", "timeline fork"]);

        let report = fork(&setup, &setup.source, &[]).success().json();
        assert!(report["gap"]["missing"].is_object(), "{report}");
        // An interrupted fork is finished, a whole one has nothing left to do.
        fork(&setup, &setup.source, &[]).refused(2, &["continues"]);
        base(&setup, &setup.source).await;
        insert(&mut conn, 12..15).await;
        capture(&setup, &setup.source).success();
        let latest = state(&setup.source).await;
        let status = cli::run(&["status", "--repo", &setup.repo]);
        assert!(
            status.success().stdout().contains("GAP"),
            "{}",
            status.stdout()
        );
        restores(
            &setup,
            &setup.target,
            &["--timeline", "1", "--to-seq", &parent_last],
            &parent_state,
        )
        .await;
        restores(&setup, &setup.target, &["--latest"], &latest).await;
    }
}

/// Leaves the source its newest file only.
async fn purge(conn: &mut Conn) {
    for _ in 0..100 {
        let files: Vec<Row> = query(conn, "SHOW BINARY LOGS").await;
        let last: String = files.last().expect("a file").get(0).expect("a name");
        if files.len() == 1 {
            return;
        }
        exec(conn, format!("PURGE BINARY LOGS TO '{last}'")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the source keeps its binlogs");
}
