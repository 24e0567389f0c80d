//! ROLLBACK TO a savepoint where tables of both kinds were written: what was undone never counts,
//! what cannot be undone stays.

use crate::support::Setup;
use crate::support::cli;
use crate::support::server::FLAVORS;
use crate::support::sql::exec_all;
use crate::xa::{compare_all, now};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

const TABLES: &[&str] = &[
    "CREATE DATABASE d",
    "CREATE TABLE d.i (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE d.h (n INT, v INT, KEY (n))",
    "CREATE TABLE d.m (id INT PRIMARY KEY, v INT) ENGINE=MyISAM",
    "CREATE TABLE d.p (id INT PRIMARY KEY)",
    "CREATE TABLE d.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE CASCADE ON UPDATE SET NULL)",
    "CREATE PROCEDURE d.again (n INT) BEGIN INSERT INTO d.i VALUES (n, 0); SAVEPOINT s; \
     INSERT INTO d.i VALUES (n + 1, 0); INSERT INTO d.m VALUES (n, 0); ROLLBACK TO s; END",
    "INSERT INTO d.i VALUES (1, 0), (2, 0), (3, 0)",
    "INSERT INTO d.h VALUES (1, 0), (1, 0), (2, 0)",
    "INSERT INTO d.m VALUES (1, 0), (2, 0)",
    "INSERT INTO d.p VALUES (1), (2), (3), (4)",
    "INSERT INTO d.c VALUES (1, 1), (2, 2), (3, 3), (4, 4)",
];

/// Transactions; each is followed by a moment.
const STEPS: &[&[&str]] = &[
    &[
        "BEGIN",
        "INSERT INTO d.i VALUES (10, 1)",
        "SAVEPOINT `a b`",
        "UPDATE d.i SET v = 7",
        "DELETE FROM d.h WHERE n = 1",
        "INSERT INTO d.m VALUES (10, 1)",
        "DELETE FROM d.p WHERE id = 1",
        "ROLLBACK TO `A B`",
        "INSERT INTO d.i VALUES (11, 1)",
        "DELETE FROM d.p WHERE id = 2",
        "COMMIT",
    ],
    // One statement of both kinds; one savepoint in another; back to one twice.
    &[
        "BEGIN",
        "INSERT INTO d.i VALUES (20, 1)",
        "SAVEPOINT s",
        "UPDATE d.m, d.i SET d.m.v = 5, d.i.v = 5 WHERE d.m.id = d.i.id",
        "SAVEPOINT t",
        "UPDATE d.i SET id = id + 100",
        "INSERT INTO d.h VALUES (9, 9)",
        "ROLLBACK TO t",
        "DELETE FROM d.h LIMIT 1",
        "ROLLBACK TO s",
        "UPDATE d.p SET id = 30 WHERE id = 3",
        "SAVEPOINT t",
        "DELETE FROM d.c",
        "ROLLBACK TO t",
        "UPDATE d.h SET v = v + 1",
        "COMMIT",
    ],
    // All of it is undone, and the transaction goes on.
    &[
        "BEGIN",
        "SAVEPOINT s",
        "INSERT INTO d.m VALUES (30, 1)",
        "INSERT INTO d.i VALUES (30, 1)",
        "ROLLBACK TO s",
        "INSERT INTO d.i VALUES (31, 1)",
        "COMMIT",
    ],
    // Nothing is logged between the two.
    &[
        "BEGIN",
        "SAVEPOINT s",
        "DELETE FROM d.i WHERE id = 1",
        "RELEASE SAVEPOINT s",
        "SAVEPOINT s",
        "SAVEPOINT s",
        "INSERT INTO d.m VALUES (40, 1)",
        "DELETE FROM d.i WHERE id = 2",
        "ROLLBACK TO s",
        "COMMIT",
    ],
    &[
        "XA START 'x'",
        "INSERT INTO d.i VALUES (50, 1)",
        "SAVEPOINT s",
        "INSERT INTO d.m VALUES (50, 1)",
        "DELETE FROM d.i WHERE id IN (2, 3)",
        "DELETE FROM d.p WHERE id = 4",
        "ROLLBACK TO s",
        "INSERT INTO d.i VALUES (51, 1)",
        "XA END 'x'",
        "XA PREPARE 'x'",
    ],
    &["XA COMMIT 'x'", "UPDATE d.i SET v = v + 1"],
];

/// Where GTIDs are on, MySQL refuses to mix the two kinds.
async fn with_tables(flavor: Flavor) -> Setup {
    let source = match flavor {
        Flavor::MySql => ServerSpec::new(flavor)
            .option("--gtid-mode=OFF")
            .option("--enforce-gtid-consistency=OFF"),
        Flavor::MariaDb => ServerSpec::new(flavor),
    };
    let setup = Setup::of(source, ServerSpec::new(flavor)).await;
    exec_all(&mut setup.source.conn().await, TABLES).await;
    setup.base().await;
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_undone_never_counts() {
    for flavor in FLAVORS {
        let setup = with_tables(flavor).await;
        let mut conn = setup.source.conn().await;
        let mut moments = Vec::new();
        for (step, statements) in STEPS.iter().enumerate() {
            exec_all(&mut conn, statements).await;
            moments.push(now(&setup, statements[statements.len() - 1]).await);
            if step == 4 {
                // The prepared rows are in a segment before the next base.
                setup.capture();
                let url = setup.source.account_url();
                cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
            }
        }
        setup.capture();
        let status = cli::run(&["status", "--json", "--repo", &setup.repo]).json();
        assert_eq!(status["timelines"][0]["barriers"], serde_json::json!([]));
        compare_all(&setup, &moments, "savepoints").await;
        let log = cli::run(&["log", "--json", "--repo", &setup.repo]);
        let undone = log.success().stdout().matches("\"undone\":true").count();
        assert_eq!(undone > 0, flavor == Flavor::MariaDb, "MySQL cuts them out");
        cli::run(&["verify", "--full", "--repo", &setup.repo]).success();
    }
}

/// A name may be that of the caller's savepoint or of a routine's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_that_may_be_either_of_two_is_a_barrier() {
    let setup = with_tables(Flavor::MariaDb).await;
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &[
            "BEGIN",
            "INSERT INTO d.i VALUES (60, 1)",
            "SAVEPOINT s",
            "INSERT INTO d.i VALUES (61, 1)",
            "CALL d.again(62)",
            "ROLLBACK TO s",
            "COMMIT",
        ],
    )
    .await;
    setup.capture();
    setup
        .restore(&["--latest"])
        .refused(3, &["savepoint that was set twice", "--before"]);
}
