//! MariaDB 11.8 logs no generated columns in UPDATE, DELETE and REPLACE: tables that have some are
//! followed all the same, and a restore has their values at every moment.

use crate::restore::moment;
use crate::support::fingerprint::{Fingerprint, assert_same, fingerprint};
use crate::support::sql::{exec, exec_all, query_one};
use crate::support::{Setup, cli};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

fn newer() -> ServerSpec {
    ServerSpec::new(Flavor::MariaDb).package("mariadb-11.8")
}

/// Tables of every kind, known to the log before any row of them changes.
const BEFORE: [&str; 14] = [
    "CREATE DATABASE d",
    "USE d",
    "CREATE TABLE keyed (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL, \
     s VARCHAR(20) AS (CONCAT(a, '!')) STORED, z INT)",
    "CREATE TABLE uniques (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL, s INT AS (a * 3) \
     STORED, UNIQUE (v), UNIQUE (s))",
    "CREATE TABLE keyless (a INT, v INT AS (a * 2) VIRTUAL, s INT AS (a * 3) STORED, z INT)",
    "CREATE TABLE keyless_index (v INT AS (a + 1) VIRTUAL INVISIBLE, a INT, INDEX (v))",
    "CREATE TABLE versioned (id INT PRIMARY KEY, a INT, s INT AS (a * 3) STORED) WITH SYSTEM \
     VERSIONING",
    "CREATE TABLE hashed (a TEXT, b INT, UNIQUE (a))",
    "INSERT INTO keyed (id, a, z) VALUES (1, 1, 1), (2, NULL, 2), (3, 3, NULL)",
    "INSERT INTO uniques (id, a) VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO keyless (a, z) VALUES (1, 1), (1, 1), (1, 1), (2, NULL), (NULL, 5)",
    "INSERT INTO keyless_index (a) VALUES (1), (1), (2)",
    "INSERT INTO versioned (id, a) VALUES (1, 1), (2, 2)",
    "INSERT INTO hashed VALUES ('x', 1), (NULL, 2), ('y', 3)",
];

/// Each step is one moment.
const AFTER: [&[&str]; 7] = [
    &[
        "UPDATE keyed SET a = 10 WHERE id = 1",
        "UPDATE uniques SET a = a + 10",
        "UPDATE keyless SET z = 9 WHERE a = 1 LIMIT 1",
        "UPDATE hashed SET a = 'w' WHERE b = 2",
        "UPDATE versioned SET a = 5",
    ],
    &[
        "REPLACE INTO uniques (id, a) VALUES (7, 11), (2, 50)",
        "INSERT INTO keyed (id, a, z) VALUES (1, 7, 7) ON DUPLICATE KEY UPDATE a = 70",
        "DELETE FROM keyless WHERE a = 1 LIMIT 1",
        "UPDATE keyless SET a = 4 WHERE a = 2",
        "DELETE FROM keyless_index WHERE a = 1 LIMIT 1",
        "REPLACE INTO hashed VALUES ('x', 40)",
    ],
    &[
        // Nobody has read these from the catalogue when their rows change.
        "CREATE TABLE fresh (id INT AUTO_INCREMENT PRIMARY KEY, a INT, \
         `the sum` INT GENERATED ALWAYS AS (a + id) VIRTUAL, s INT AS (a) PERSISTENT)",
        "INSERT INTO fresh (a) VALUES (1), (2), (3)",
        "UPDATE fresh SET a = a + 1 WHERE id < 3",
        "DELETE FROM fresh WHERE id = 2",
        "CREATE TABLE alike LIKE keyless",
        "INSERT INTO alike (a, z) VALUES (1, 1), (1, 1)",
        "DELETE FROM alike LIMIT 1",
        "RENAME TABLE fresh TO renamed",
        "UPDATE renamed SET a = 100",
    ],
    &[
        "ALTER TABLE renamed ADD COLUMN t VARCHAR(9) AS (CONCAT('t', a)) STORED AFTER a, \
         DROP COLUMN s",
        "UPDATE renamed SET a = a + 1",
        "ALTER TABLE keyless ADD COLUMN w INT AS (z) VIRTUAL FIRST",
        "UPDATE keyless SET z = 8 WHERE a = 1",
        "INSERT INTO keyless (a, z) VALUES (1, 8)",
        "DELETE FROM versioned WHERE id = 2",
    ],
    &[
        "UPDATE renamed SET a = 5",
        "DELETE FROM keyless WHERE a = 1 LIMIT 1",
        "XA START 'x'",
        "UPDATE keyed SET a = 77 WHERE id = 3",
        "DELETE FROM keyed WHERE id = 2",
        "XA END 'x'",
        "XA PREPARE 'x'",
        "XA COMMIT 'x'",
    ],
    &[
        "ALTER TABLE keyed MODIFY s VARCHAR(20)",
        "UPDATE keyed SET s = 'own' WHERE id = 1",
        "ALTER TABLE renamed RENAME COLUMN t TO u, MODIFY a BIGINT",
        "UPDATE renamed SET a = a + 1",
        "ALTER TABLE renamed ADD COLUMN p INT",
        "INSERT INTO renamed (a, p) VALUES (1, 1)",
        "ALTER TABLE renamed MODIFY p INT AS (a + 5) STORED",
        "UPDATE renamed SET a = a + 1",
        "TRUNCATE TABLE keyless_index",
        "INSERT INTO keyless_index (a) VALUES (4), (4)",
        "UPDATE keyless_index SET a = 5 LIMIT 1",
    ],
    &[
        "UPDATE keyed SET z = 0, a = 1",
        "DELETE FROM keyless_index LIMIT 1",
        "UPDATE uniques SET a = -a ORDER BY id",
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn generated_columns_that_are_not_logged_come_back_at_every_moment() {
    let setup = Setup::of(newer(), newer()).await;
    let mut conn = setup.source.conn().await;
    exec_all(&mut conn, &BEFORE).await;
    setup.base().await;
    let mut moments: Vec<(String, Fingerprint)> = Vec::new();
    for (step, statements) in AFTER.iter().enumerate() {
        exec_all(&mut conn, statements).await;
        let gtids = moment(&mut conn, Flavor::MariaDb).await.1;
        let rows = fingerprint(&mut setup.source.conn().await, &["d"]).await;
        moments.push((gtids, rows));
        if step % 3 == 1 {
            setup.capture();
        }
    }
    setup.capture();
    let verified = cli::run(&["verify", "--full", "--repo", &setup.repo]);
    verified.success();
    for (step, (gtids, rows)) in moments.iter().enumerate() {
        let restored = setup.restore(&["--to-gtid", gtids]);
        let what = format!("after step {step}");
        assert!(restored.ok(), "{what}\n{}", restored.stderr());
        let told = format!("{}{}", restored.stdout(), restored.stderr());
        assert!(
            told.contains("d.uniques: the source did not log generated columns (v, s)"),
            "{told}"
        );
        let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
        assert_same(rows, &found, &what);
        let checked = "CHECK TABLE d.uniques EXTENDED";
        let row: mysql_async::Row = query_one(&mut setup.target.conn().await, checked).await;
        assert_eq!(row.get::<String, _>(3).as_deref(), Some("OK"), "{what}");
        setup.drop_on_target(&["d"]).await;
    }
    let log = cli::run(&[
        "log",
        "--json",
        "--repo",
        &setup.repo,
        "--table",
        "d.uniques",
    ]);
    assert!(
        log.success().stdout().contains(r#"{"absent":true}"#),
        "{}",
        log.stdout()
    );
}

/// A source that leaves generated columns out although its version does not tell: as one that was
/// upgraded after its base.
fn upgraded() -> ServerSpec {
    newer().option("--version=10.11.19-MariaDB-log")
}

/// What 10.11 makes of such rows is NULL in the columns and damage in their indexes.
#[tokio::test(flavor = "multi_thread")]
async fn targets_that_do_not_compute_them_are_refused() {
    let older = ServerSpec::new(Flavor::MariaDb).package("mariadb-10.11");
    let setup = Setup::of(upgraded(), older).await;
    let mut conn = setup.source.conn().await;
    exec_all(&mut conn, &BEFORE).await;
    // Its rows end in 2106, which 10.11 does not know.
    exec(&mut conn, "DROP TABLE versioned").await;
    setup.base().await;
    setup.restore(&["--latest"]).success();
    setup.compare(&["d"], "from the base").await;
    setup.drop_on_target(&["d"]).await;
    exec(&mut conn, "UPDATE uniques SET a = 9 WHERE id = 1").await;
    setup.capture();
    let refused = setup.restore(&["--latest"]);
    refused.refused(1, &["does not compute generated columns", "d.uniques"]);
    setup.drop_on_target(&["d", "tidelog_restore"]).await;
    // A column that is not computed may not be missing, also where others are.
    exec(&mut conn, "SET binlog_row_image = MINIMAL").await;
    exec(&mut conn, "UPDATE keyed SET a = 9 WHERE id = 1").await;
    setup.capture();
    let refused = setup.restore(&["--latest"]);
    refused.refused(3, &["partial row image", "d.keyed"]);
}

/// Rows without a key were told apart by what is no longer there: a new base begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_want_a_new_base_once() {
    let setup = Setup::of(upgraded(), upgraded()).await;
    let mut conn = setup.source.conn().await;
    exec_all(&mut conn, &BEFORE).await;
    setup.base().await;
    exec(&mut conn, "INSERT INTO keyless (a, z) VALUES (1, 1)").await;
    exec(&mut conn, "DELETE FROM keyless WHERE a = 1 LIMIT 1").await;
    setup.capture();
    let refused = setup.restore(&["--latest"]);
    refused.refused(3, &["generated columns are no longer logged", "d.keyless"]);
    let url = setup.source.account_url();
    cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
    exec(&mut conn, "UPDATE keyless SET z = 2 WHERE a = 1 LIMIT 1").await;
    exec(&mut conn, "INSERT INTO keyless (a, z) VALUES (1, 2)").await;
    exec(&mut conn, "DELETE FROM keyless WHERE z = 2 LIMIT 1").await;
    setup.capture();
    setup.restore(&["--latest"]).success();
    setup.compare(&["d"], "after another base").await;
}
