//! XA transactions: their rows count from XA COMMIT on or never, whatever lies in between.

use crate::restore::moment;
use crate::support::fingerprint::{Fingerprint, assert_same, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all};
use crate::support::{Setup, TestServer, cli, start};
use mysql_async::prelude::Queryable;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};

mod between;
mod load;
mod points;

const TABLES: [&str; 7] = [
    "CREATE DATABASE d",
    "CREATE TABLE d.k (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE d.h (n INT, v INT, KEY (n))",
    "CREATE TABLE d.m (id INT PRIMARY KEY, v INT) ENGINE=MyISAM",
    "INSERT INTO d.k VALUES (100, 0), (101, 0), (102, 0), (103, 0), (104, 0)",
    "INSERT INTO d.h VALUES (1, 0), (1, 0), (2, 0), (3, 0)",
    "INSERT INTO d.m VALUES (1, 0)",
];

/// What a moment of the source held.
pub(crate) struct Moment {
    what: String,
    position: String,
    tables: Fingerprint,
}

pub(crate) async fn now(setup: &Setup, what: &str) -> Moment {
    let mut conn = setup.source.conn().await;
    let (position, _) = moment(&mut conn, setup.source.flavor()).await;
    let tables = fingerprint(&mut conn, &["d"]).await;
    Moment {
        what: what.to_owned(),
        position,
        tables,
    }
}

/// Prepares a transaction of these statements and leaves its connection.
async fn prepare(server: &TestServer, xid: &str, statements: &[&str]) {
    let mut conn = server.conn().await;
    // No locks on gaps: others write beside it.
    let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
    exec(&mut conn, isolation).await;
    exec(&mut conn, format!("XA START {xid}")).await;
    exec_all(&mut conn, statements).await;
    exec(&mut conn, format!("XA END {xid}")).await;
    exec(&mut conn, format!("XA PREPARE {xid}")).await;
    conn.disconnect().await.expect("disconnect");
}

/// XA COMMIT or XA ROLLBACK, once the connection that prepared it has let go.
async fn decide(server: &TestServer, verb: &str, xid: &str) {
    let mut conn = server.conn().await;
    let sql = format!("XA {verb} {xid}");
    for _ in 0..100 {
        match conn.query_drop(&sql).await {
            // XAER_NOTA
            Err(mysql_async::Error::Server(e)) if e.code == 1397 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}\n  in: {sql}"),
            Ok(()) => return,
        }
    }
    panic!("nobody knows the transaction: {sql}");
}

/// Restores to each moment and compares the target with what the source held then.
pub(crate) async fn compare_all(setup: &Setup, moments: &[Moment], why: &str) {
    for moment in moments {
        let restored = setup.restore(&["--to-position", &moment.position]);
        restored.success();
        let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
        let flavor = setup.source.flavor();
        let what = format!("{flavor} {why} {} {}", moment.what, moment.position);
        assert_same(&moment.tables, &found, &what);
        setup.drop_on_target(&["d"]).await;
    }
}

const A: &str = "X'ab0cEF','q',7";

/// Every step in which rows of XA transactions come to count or not, with the moment after each.
async fn story(setup: &Setup, after_each: impl AsyncFn(&Setup, usize)) -> Vec<Moment> {
    let source = &setup.source;
    let mut conn = source.conn().await;
    let mut moments = Vec::new();
    for step in 0..10 {
        let what = match step {
            0 => {
                let changes = [
                    "INSERT INTO d.k VALUES (1, 1), (2, 1)",
                    "UPDATE d.k SET v = 1 WHERE id = 100",
                    "UPDATE d.k SET id = 3 WHERE id = 101",
                    "DELETE FROM d.k WHERE id = 102",
                    "INSERT INTO d.k VALUES (102, 7)",
                    "INSERT INTO d.h VALUES (1, 0), (9, 9)",
                    "DELETE FROM d.h WHERE n = 2",
                ];
                prepare(source, A, &changes).await;
                "A is prepared"
            }
            1 => {
                let changes = [
                    "INSERT INTO d.k VALUES (10, 1)",
                    "DELETE FROM d.k WHERE id = 103",
                ];
                prepare(source, "'b'", &changes).await;
                "B is prepared"
            }
            2 => {
                exec_all(
                    &mut conn,
                    &[
                        "INSERT INTO d.h VALUES (1, 0), (9, 9), (2, 0)",
                        "INSERT INTO d.k VALUES (20, 0)",
                        "UPDATE d.k SET v = v + 1 WHERE id = 104",
                    ],
                )
                .await;
                "others wrote"
            }
            3 => {
                decide(source, "COMMIT", A).await;
                "A is committed"
            }
            4 => {
                // One by one: a scan would wait for the rows that B holds.
                for id in [1, 3, 100, 102] {
                    let sql = format!("UPDATE d.k SET v = v + 1 WHERE id = {id}");
                    exec(&mut conn, sql).await;
                }
                "its rows changed"
            }
            5 => {
                let changes = [
                    "DELETE FROM d.k WHERE id = 1",
                    "DELETE FROM d.k WHERE id = 2",
                    "DELETE FROM d.k WHERE id = 3",
                    "DELETE FROM d.h WHERE n = 9",
                ];
                prepare(source, "'c'", &changes).await;
                "C is prepared"
            }
            6 => {
                decide(source, "ROLLBACK", "'b'").await;
                exec(&mut conn, "UPDATE d.k SET v = 5 WHERE id = 103").await;
                "B is rolled back"
            }
            7 => {
                decide(source, "COMMIT", "'c'").await;
                exec(&mut conn, "INSERT INTO d.k VALUES (10, 3), (2, 3)").await;
                "C is committed"
            }
            8 => {
                // Its identifier was used before.
                prepare(source, A, &["UPDATE d.k SET v = 77"]).await;
                "D is prepared"
            }
            _ => {
                exec(&mut conn, "INSERT INTO d.k VALUES (30, 1)").await;
                "D is undecided at the end"
            }
        };
        moments.push(now(setup, what).await);
        after_each(setup, step).await;
    }
    moments
}

async fn with_tables(flavor: Flavor) -> Setup {
    Setup::based(flavor, &TABLES).await.0
}

fn snapshot(setup: &Setup) {
    let url = setup.source.account_url();
    cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_count_from_xa_commit_within_one_segment() {
    for flavor in FLAVORS {
        let setup = with_tables(flavor).await;
        let moments = story(&setup, async |_, _| {}).await;
        setup.capture();
        compare_all(&setup, &moments, "in one segment").await;
        let log = cli::run(&["log", "--repo", &setup.repo, "--json"]);
        let entries: Vec<serde_json::Value> = log
            .success()
            .stdout()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let kinds = |kind: &str| entries.iter().filter(|e| e["kind"] == kind).count();
        assert_eq!(
            (
                kinds("xa_prepare"),
                kinds("xa_commit"),
                kinds("xa_rollback")
            ),
            (4, 2, 1)
        );
        for decision in entries.iter().filter(|e| !e["prepared_seq"].is_null()) {
            let prepared = entries
                .iter()
                .find(|e| e["seq"] == decision["prepared_seq"]);
            assert_eq!(prepared.expect("listed")["kind"], "xa_prepare");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_count_over_segments_bases_and_restarts_of_capture() {
    for flavor in FLAVORS {
        let setup = with_tables(flavor).await;
        // Every step is a segment and a run of capture of its own; the second base is taken
        // while A and B are prepared and others have written, the third while C is.
        let moments = story(&setup, async |setup, step| {
            setup.capture();
            if step == 2 || step == 5 {
                snapshot(setup);
            }
        })
        .await;
        let status = cli::run(&["status", "--json", "--repo", &setup.repo]).json();
        let timeline = &status["timelines"][0];
        assert_eq!(timeline["bases"].as_array().expect("bases").len(), 3);
        assert_eq!(timeline["open_xa"][0]["xid"], "X'ab0cef',X'71',7");
        assert_eq!(timeline["barriers"].as_array().expect("barriers").len(), 0);
        compare_all(&setup, &moments, "over segments and bases").await;
        let plan = setup.restore(&["--latest", "--dry-run"]);
        assert!(plan.success().stdout().contains("undecided at the cut"));
        cli::run(&["verify", "--full", "--repo", &setup.repo]).success();
        // What the end of the log left undecided is decided after a restart of the source.
        let mut setup = setup;
        setup.source.restart(&[]).expect("restart");
        decide(&setup.source, "COMMIT", A).await;
        setup.capture();
        setup.restore(&["--latest"]).success();
        setup
            .compare(&["d"], "committed after a restart of the source")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_phase_empty_and_mixed_engines() {
    for flavor in FLAVORS {
        let setup = with_tables(flavor).await;
        let source = &setup.source;
        let mut conn = source.conn().await;
        let mut moments = Vec::new();
        exec_all(
            &mut conn,
            &[
                "XA START 'o'",
                "INSERT INTO d.k VALUES (1, 1)",
                "XA END 'o'",
                "XA COMMIT 'o' ONE PHASE",
            ],
        )
        .await;
        moments.push(now(&setup, "one phase").await);
        // Nothing is logged of these; an XA COMMIT that is must not look unknown.
        for verb in ["COMMIT", "ROLLBACK"] {
            exec_all(
                &mut conn,
                &[
                    "XA START 'e'",
                    "DO (SELECT COUNT(*) FROM d.k)",
                    "XA END 'e'",
                    "XA PREPARE 'e'",
                ],
            )
            .await;
            exec(&mut conn, format!("XA {verb} 'e'")).await;
        }
        // The engine that knows no transactions writes at once, whatever becomes of the rest.
        for (xid, verb, id) in [("'m'", "COMMIT", 10), ("'n'", "ROLLBACK", 20)] {
            let (mixed, keyed) = (
                format!("INSERT INTO d.m VALUES ({id}, 1)"),
                format!("INSERT INTO d.k VALUES ({id}, 1)"),
            );
            prepare(source, xid, &[&mixed, &keyed]).await;
            moments.push(now(&setup, "mixed engines prepared").await);
            decide(source, verb, xid).await;
            moments.push(now(&setup, "mixed engines decided").await);
        }
        if flavor == Flavor::MariaDb {
            exec_all(
                &mut conn,
                &[
                    // Only MyISAM: an empty XA PREPARE is logged.
                    "XA START 'only'",
                    "INSERT INTO d.m VALUES (30, 1)",
                    "XA END 'only'",
                    "XA PREPARE 'only'",
                    "XA COMMIT 'only'",
                    // Logged up to its ROLLBACK, rows of the keyed table included.
                    "XA START 'back'",
                    "INSERT INTO d.k VALUES (40, 1)",
                    "INSERT INTO d.m VALUES (40, 1)",
                    "XA END 'back'",
                    "XA ROLLBACK 'back'",
                    "BEGIN",
                    "INSERT INTO d.k VALUES (41, 1)",
                    "CREATE TEMPORARY TABLE d.tt (a INT)",
                    "UPDATE d.k SET v = 9",
                    "ROLLBACK",
                ],
            )
            .await;
            moments.push(now(&setup, "undone and logged").await);
        }
        setup.capture();
        let status = cli::run(&["status", "--json", "--repo", &setup.repo]).json();
        assert_eq!(status["timelines"][0]["barriers"], serde_json::json!([]));
        compare_all(&setup, &moments, "special").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_prepared_before_the_log_is_a_barrier_once_committed() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let source = &setup.source;
        exec_all(&mut source.conn().await, &TABLES).await;
        prepare(source, "'old'", &["INSERT INTO d.k VALUES (1, 1)"]).await;
        prepare(source, "'older'", &["INSERT INTO d.k VALUES (2, 1)"]).await;
        // They are in no log, in no base, and in nobody's way.
        setup.base().await;
        decide(source, "ROLLBACK", "'older'").await;
        setup.capture();
        let before = now(&setup, "still prepared").await;
        compare_all(&setup, &[before], "unknown").await;
        decide(source, "COMMIT", "'old'").await;
        setup.capture();
        setup.restore(&["--latest"]).refused(
            3,
            &[
                "xa prepare is not in the log",
                "X'6f6c64',X'',1",
                "next step",
            ],
        );
        snapshot(&setup);
        setup.restore(&["--latest"]).success();
        setup.compare(&["d"], "from the base after it").await;
    }
}
