//! What happens between XA PREPARE and XA COMMIT: cascades that were not logged, and DDL on other
//! tables (on its own it waits for the decision).

use super::*;

const FAMILY: &[&str] = &[
    "CREATE DATABASE d",
    "CREATE TABLE d.p (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE d.c (id INT PRIMARY KEY, p INT, v INT, FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.g (c INT, n INT, KEY (c), FOREIGN KEY (c) REFERENCES d.c (id) \
     ON DELETE SET NULL)",
    "INSERT INTO d.p VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)",
    "INSERT INTO d.c SELECT id * 10 + n.n, id, 0 FROM d.p, (SELECT 1 n UNION SELECT 2) n",
    "INSERT INTO d.g SELECT id, 1 FROM d.c",
    "INSERT INTO d.g SELECT id, 1 FROM d.c",
];

#[tokio::test(flavor = "multi_thread")]
async fn cascades_of_xa_transactions_count_with_them() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, FAMILY).await;
        let source = &setup.source;
        let mut moments = Vec::new();
        let changes = [
            "DELETE FROM d.p WHERE id = 1",
            "UPDATE d.p SET id = 20 WHERE id = 2",
            "INSERT INTO d.p VALUES (6, 0)",
            "INSERT INTO d.c VALUES (61, 6, 0)",
        ];
        prepare(source, "'a'", &changes).await;
        moments.push(now(&setup, "A is prepared").await);
        prepare(source, "'b'", &["DELETE FROM d.p WHERE id = 3"]).await;
        exec_all(
            &mut conn,
            &[
                "DELETE FROM d.p WHERE id = 4",
                "INSERT INTO d.c VALUES (53, 5, 1)",
            ],
        )
        .await;
        moments.push(now(&setup, "others wrote").await);
        setup.capture();
        snapshot(&setup);
        decide(source, "COMMIT", "'a'").await;
        moments.push(now(&setup, "A is committed").await);
        exec_all(
            &mut conn,
            &[
                "UPDATE d.c SET v = 5 WHERE p = 20",
                "INSERT INTO d.p VALUES (1, 9)",
                "INSERT INTO d.c VALUES (11, 1, 9)",
                "INSERT INTO d.g VALUES (11, 9)",
            ],
        )
        .await;
        moments.push(now(&setup, "its keys are used again").await);
        decide(source, "ROLLBACK", "'b'").await;
        exec(&mut conn, "UPDATE d.c SET v = 7 WHERE id = 31").await;
        moments.push(now(&setup, "B is rolled back").await);
        exec_all(
            &mut conn,
            &[
                "XA START 'one'",
                "DELETE FROM d.p WHERE id IN (1, 3)",
                "XA END 'one'",
                "XA COMMIT 'one' ONE PHASE",
            ],
        )
        .await;
        moments.push(now(&setup, "one phase").await);
        prepare(source, "'c'", &["DELETE FROM d.p WHERE id = 20"]).await;
        moments.push(now(&setup, "C is undecided at the end").await);
        setup.capture();
        compare_all(&setup, &moments, "cascades").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_between_prepare_and_commit_is_run_in_its_place() {
    for flavor in FLAVORS {
        let setup = with_tables(flavor).await;
        let source = &setup.source;
        let mut conn = source.conn().await;
        exec(&mut conn, "CREATE TABLE d.late (id INT PRIMARY KEY, v INT)").await;
        exec(&mut conn, "INSERT INTO d.late VALUES (1, 1)").await;
        let mut moments = Vec::new();
        // Rows before and after XA PREPARE share a file, which tells nothing of what was prepared.
        exec(&mut conn, "INSERT INTO d.h VALUES (7, 7)").await;
        let changes = [
            "INSERT INTO d.k VALUES (1, 1)",
            "UPDATE d.k SET v = 1 WHERE id = 100",
            "DELETE FROM d.k WHERE id = 101",
        ];
        prepare(source, A, &changes).await;
        exec_all(
            &mut conn,
            &[
                "INSERT INTO d.h VALUES (8, 8)",
                "ALTER TABLE d.h ADD COLUMN w INT DEFAULT 3",
                "INSERT INTO d.h VALUES (4, 4, 4)",
                "CREATE TABLE d.n (id INT PRIMARY KEY)",
                "INSERT INTO d.n VALUES (1)",
                "TRUNCATE TABLE d.late",
                "RENAME TABLE d.late TO d.early",
            ],
        )
        .await;
        moments.push(now(&setup, "DDL while A is prepared").await);
        prepare(
            source,
            "'b'",
            &["DELETE FROM d.h WHERE n = 4", "INSERT INTO d.n VALUES (2)"],
        )
        .await;
        exec_all(
            &mut conn,
            &[
                "ALTER TABLE d.early ADD COLUMN w INT DEFAULT 5",
                "INSERT INTO d.early VALUES (2, 2, 2)",
            ],
        )
        .await;
        moments.push(now(&setup, "DDL while A and B are prepared").await);
        decide(source, "COMMIT", A).await;
        moments.push(now(&setup, "A is committed").await);
        exec_all(
            &mut conn,
            &[
                "ALTER TABLE d.k ADD COLUMN w INT DEFAULT 7",
                "UPDATE d.k SET w = id WHERE id = 1",
            ],
        )
        .await;
        moments.push(now(&setup, "its table is altered").await);
        decide(source, "COMMIT", "'b'").await;
        exec(&mut conn, "ALTER TABLE d.h DROP COLUMN v").await;
        moments.push(now(&setup, "B is committed").await);
        setup.capture();
        compare_all(&setup, &moments, "ddl").await;
    }
}
