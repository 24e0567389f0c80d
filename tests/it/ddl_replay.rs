//! Restores across DDL: statements after the base are run again between the rows, on both
//! flavors, at every moment between them, rows and definitions compared.

use crate::support::fingerprint::{assert_same, checkpoint, definitions, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::setup::Setup;
use crate::support::sql::{exec, exec_all, fails, query_one};
use mysql_async::Conn;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

const DATABASES: [&str; 3] = ["d", "other", "made"];

/// Runs steps on the source after a base, then restores every moment, last ones first.
async fn run(flavor: Flavor, base: &[&str], steps: &[&[&str]]) {
    let mut statements = vec!["CREATE DATABASE d", "CREATE DATABASE other", "USE d"];
    statements.extend(base);
    let (setup, mut conn) = Setup::based(flavor, &statements).await;
    let mut moments = Vec::new();
    for step in steps {
        exec_all(&mut conn, step).await;
        let moment = checkpoint(&setup.source, &DATABASES, Duration::ZERO).await;
        let definitions = definitions(&mut setup.source.conn().await, &DATABASES).await;
        moments.push((
            step.last().copied().unwrap_or_default(),
            moment,
            definitions,
        ));
    }
    setup.capture();
    for (step, moment, expected) in moments.iter().rev() {
        let what = format!("{flavor}: after {step}");
        println!("{what}");
        setup.restore(&["--to-gtid", &moment.gtid]).success();
        let mut target = setup.target.conn().await;
        let found = fingerprint(&mut target, &DATABASES).await;
        assert_same(&moment.tables, &found, &what);
        let found = definitions(&mut target, &DATABASES).await;
        assert_eq!(*expected, found, "{what}");
        setup.drop_on_target(&DATABASES).await;
    }
}

/// A base of the database `d` with the tables below.
async fn with_messages(flavor: Flavor) -> (Setup, Conn) {
    let mut statements = vec!["CREATE DATABASE d", "USE d"];
    statements.extend(MESSAGES);
    Setup::based(flavor, &statements).await
}

const MESSAGES: [&str; 4] = [
    "CREATE TABLE u (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) CHARACTER SET latin1)",
    "CREATE TABLE m (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, u INT NOT NULL, body TEXT, \
     at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6), KEY (u), FOREIGN KEY (u) REFERENCES u (id))",
    "INSERT INTO u (name) VALUES ('a'), ('\u{e4}'), ('c')",
    "INSERT INTO m (u, body) VALUES (1, 'one'), (2, 'two'), (3, 'three'), (1, 'four')",
];

#[tokio::test(flavor = "multi_thread")]
async fn altered_columns_keep_what_the_source_made_of_them() {
    for flavor in FLAVORS {
        let steps: &[&[&str]] = &[
            &["ALTER TABLE m ADD COLUMN seen INT NOT NULL DEFAULT 7"],
            &[
                "UPDATE m SET seen = id WHERE id < 3",
                "DELETE FROM m WHERE id = 4",
            ],
            &["ALTER TABLE m ADD COLUMN first_of VARCHAR(9) DEFAULT 'x' FIRST, ALGORITHM=INSTANT"],
            &["INSERT INTO m (u, body) VALUES (2, 'five')"],
            &["ALTER TABLE m ADD COLUMN made DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"],
            &["ALTER TABLE u CONVERT TO CHARACTER SET utf8mb4"],
            &["UPDATE u SET name = '\u{1f30a}' WHERE id = 1"],
            &[
                "ALTER TABLE m MODIFY body VARCHAR(20) CHARACTER SET utf8mb4 NOT NULL DEFAULT 'none'",
            ],
            &["ALTER TABLE m RENAME COLUMN seen TO looked, DROP COLUMN first_of"],
            &[
                "DELETE FROM m WHERE id = 1",
                "INSERT INTO m (u, body, looked) VALUES (3, 'six', -1)",
            ],
            &["ALTER TABLE m ADD COLUMN twice BIGINT AS (looked * 2) STORED, ADD INDEX (twice)"],
            &["UPDATE m SET looked = looked + 1"],
            &["CREATE UNIQUE INDEX b ON m (body)"],
            // Values of a unique key change places.
            &[
                "UPDATE m SET body = 'tmp' WHERE id = 2",
                "UPDATE m SET body = 'two' WHERE id = 3",
                "UPDATE m SET body = 'three' WHERE id = 2",
            ],
            &["ALTER TABLE m DROP PRIMARY KEY, ADD PRIMARY KEY (u, id), ADD KEY (id)"],
            &["UPDATE m SET u = 1 WHERE id = 3"],
        ];
        run(flavor, &MESSAGES, steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_go_and_change_names() {
    for flavor in FLAVORS {
        let steps: &[&[&str]] = &[
            &["CREATE TABLE n (id INT PRIMARY KEY, v JSON)"],
            &["INSERT INTO n VALUES (1, '{\"a\": 1.5}'), (2, NULL)"],
            &["RENAME TABLE n TO other.n"],
            &["INSERT INTO other.n VALUES (3, '[]')"],
            &["TRUNCATE TABLE other.n"],
            &["INSERT INTO other.n VALUES (1, 'true')"],
            &["CREATE TABLE copy LIKE m"],
            &["INSERT INTO copy SELECT * FROM m"],
            &["CREATE TABLE picked (PRIMARY KEY (id)) SELECT id, body FROM m WHERE id > 1"],
            &["SET foreign_key_checks = 0", "DROP TABLE m"],
            &["RENAME TABLE copy TO m, u TO copy, picked TO u"],
            &[
                "UPDATE u SET body = 'swapped'",
                "INSERT INTO copy (name) VALUES ('late')",
            ],
            &[
                "DROP TABLE u",
                "CREATE TABLE u (k INT PRIMARY KEY)",
                "INSERT INTO u VALUES (9)",
            ],
            &[
                "CREATE DATABASE made CHARACTER SET latin1",
                "CREATE TABLE made.t (c CHAR(3))",
            ],
            &["INSERT INTO made.t VALUES ('\u{e9}'), ('\u{e9}'), ('b')"],
            &["ALTER TABLE made.t ADD COLUMN n INT"],
            &[
                "DELETE FROM made.t WHERE c = '\u{e9}' LIMIT 1",
                "UPDATE made.t SET n = 1",
            ],
            &["DROP DATABASE other"],
            &["DROP TABLE IF EXISTS gone, copy"],
        ];
        run(flavor, &MESSAGES, steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn online_schema_changes_swap_tables() {
    for flavor in FLAVORS {
        let steps: &[&[&str]] = &[
            // As gh-ost does it.
            &[
                "CREATE TABLE u2 (id INT PRIMARY KEY, v INT)",
                "CREATE /* gh-ost */ TABLE `d`.`_m_gho` LIKE `d`.`m`",
                "ALTER /* gh-ost */ TABLE `d`.`_m_gho` ADD COLUMN extra INT DEFAULT 5",
            ],
            &["INSERT IGNORE INTO `_m_gho` (id, u, body, at) SELECT id, u, body, at FROM m"],
            &[
                "UPDATE m SET body = 'late' WHERE id = 2",
                "REPLACE INTO `_m_gho` (id, u, body, at) SELECT id, u, body, at FROM m WHERE id = 2",
            ],
            &["RENAME /* gh-ost */ TABLE `d`.`m` TO `d`.`_m_del`, `d`.`_m_gho` TO `d`.`m`"],
            &["INSERT INTO m (u, body, extra) VALUES (1, 'after', 6)"],
            &["DROP TABLE IF EXISTS `_m_del`"],
        ];
        run(flavor, &MESSAGES, steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_rows_without_row_events() {
    for flavor in FLAVORS {
        let base = [
            "CREATE TABLE p (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) \
             (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), \
             PARTITION p2 VALUES LESS THAN (30))",
            "CREATE TABLE x (id INT PRIMARY KEY, v INT)",
            "INSERT INTO p VALUES (1, 1), (2, 2), (11, 11), (12, 12), (21, 21)",
            "INSERT INTO x VALUES (15, -15), (16, -16)",
        ];
        let steps: &[&[&str]] = &[
            &["UPDATE p SET v = v + 100", "DELETE FROM x WHERE id = 16"],
            &["ALTER TABLE p EXCHANGE PARTITION p1 WITH TABLE x"],
            &[
                "UPDATE p SET v = 0 WHERE id = 15",
                "INSERT INTO x VALUES (17, 17)",
            ],
            &["ALTER TABLE p TRUNCATE PARTITION p0"],
            &["INSERT INTO p VALUES (3, 3)"],
            &["ALTER TABLE p DROP PARTITION p2"],
            &["ALTER TABLE p ADD PARTITION (PARTITION p3 VALUES LESS THAN (99))"],
            &["INSERT INTO p VALUES (25, 25)"],
            &["DROP TABLE x"],
        ];
        run(flavor, &base, steps).await;
    }
}

/// MariaDB makes a table of a partition, and a partition of a table.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_become_tables_and_tables_partitions() {
    let base = [
        "CREATE TABLE p (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) \
         (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), \
         PARTITION p2 VALUES LESS THAN (30))",
        "CREATE TABLE x (id INT PRIMARY KEY, v INT)",
        "INSERT INTO p VALUES (1, 1), (2, 2), (11, 11), (12, 12)",
        "INSERT INTO x VALUES (35, -35), (36, -36)",
    ];
    let steps: &[&[&str]] = &[
        &["UPDATE p SET v = v + 100 WHERE id <> 12"],
        &["ALTER TABLE p CONVERT PARTITION p1 TO TABLE other.q"],
        &[
            "UPDATE other.q SET v = 0 WHERE id = 12",
            "DELETE FROM other.q WHERE id = 11",
            "INSERT INTO other.q VALUES (13, 13)",
            "INSERT INTO p VALUES (21, 21)",
        ],
        // Nothing is in it, and then something is.
        &["ALTER TABLE p CONVERT PARTITION p2 TO TABLE r"],
        &["DELETE FROM r", "DELETE FROM x WHERE id = 36"],
        &["ALTER TABLE p CONVERT TABLE x TO PARTITION p3 VALUES LESS THAN (40)"],
        &[
            "UPDATE p SET v = 5 WHERE id = 35",
            "CREATE TABLE x (a VARCHAR(9))",
            "INSERT INTO x VALUES ('another')",
        ],
        &[
            "RENAME TABLE other.q TO q",
            "ALTER TABLE q ADD COLUMN w INT DEFAULT 3",
        ],
        &["UPDATE q SET w = id"],
    ];
    run(Flavor::MariaDb, &base, steps).await;
}

/// A statement asks for a way that only the source could go.
#[tokio::test(flavor = "multi_thread")]
async fn the_target_may_alter_in_its_own_way() {
    for flavor in FLAVORS {
        let target: &[&str] = match flavor {
            Flavor::MySql => &[],
            Flavor::MariaDb => &["--innodb-instant-alter-column-allowed=never"],
        };
        let setup = Setup::new(flavor, target).await;
        let mut conn = setup.source.conn().await;
        let made = [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE=InnoDB",
        ];
        exec_all(&mut conn, &made).await;
        setup.base().await;
        if flavor == Flavor::MySql {
            // OPTIMIZE is no change and is not run again: the target runs out of row versions.
            for column in 0..255 {
                let sql = format!("ALTER TABLE d.t ADD COLUMN c{column} INT, ALGORITHM=INSTANT");
                exec(&mut conn, sql).await;
            }
            exec(&mut conn, "OPTIMIZE TABLE d.t").await;
        }
        exec_all(
            &mut conn,
            &[
                "INSERT INTO d.t (id) VALUES (1), (2)",
                "ALTER TABLE d.t ADD COLUMN v VARCHAR(9) DEFAULT 'INSTANT', ALGORITHM=INSTANT",
                "INSERT INTO d.t (id, v) VALUES (3, NULL)",
            ],
        )
        .await;
        setup.capture();
        setup.restore(&["--latest"]).success();
        setup.compare(&["d"], "altered in another way").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_leaves_the_target_its_events() {
    let setup = Setup::new(Flavor::MySql, &["--disabled-storage-engines=MyISAM"]).await;
    let mut conn = setup.source.conn().await;
    exec(&mut conn, "CREATE DATABASE d").await;
    setup.base().await;
    exec_all(
        &mut conn,
        &[
            "CREATE EVENT d.e ON SCHEDULE EVERY 1 HOUR DO SELECT 1",
            "CREATE TABLE d.t (id INT) ENGINE=MyISAM",
        ],
    )
    .await;
    setup.capture();
    let refused = setup.restore(&["--latest"]);
    refused.refused(1, &["the target refuses", "MyISAM"]);
    let mut target = setup.target.conn().await;
    let scheduler: String = query_one(&mut target, "SELECT @@GLOBAL.event_scheduler").await;
    assert_eq!(scheduler, "ON");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_routines_triggers_and_events_are_as_they_were() {
    for flavor in FLAVORS {
        let steps: &[&[&str]] = &[
            &["CREATE VIEW v AS SELECT id, body FROM m"],
            &["CREATE FUNCTION f (a INT) RETURNS INT DETERMINISTIC RETURN a + 1"],
            &["CREATE TABLE log (at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6), id BIGINT)"],
            &[
                "CREATE TRIGGER t AFTER INSERT ON m FOR EACH ROW INSERT INTO log (id) VALUES (NEW.id)",
            ],
            &["INSERT INTO m (u, body) VALUES (1, 'fires')"],
            &["ALTER TABLE log ADD COLUMN n INT DEFAULT 3"],
            &["INSERT INTO m (u, body) VALUES (1, 'fires again')"],
            &[
                "CREATE OR REPLACE VIEW v AS SELECT id FROM m",
                "DROP FUNCTION f",
                "DROP TRIGGER t",
            ],
            &["CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DISABLE DO DELETE FROM m"],
            &[
                "SET sql_mode = 'ANSI_QUOTES'",
                "CREATE VIEW \"w\" AS SELECT \"id\" FROM \"u\"",
                "SET sql_mode = DEFAULT",
            ],
            &["DROP VIEW v"],
        ];
        run(flavor, &MESSAGES, steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_is_restored_through_the_names_it_had() {
    for flavor in FLAVORS {
        let (setup, mut conn) = with_messages(flavor).await;
        exec_all(
            &mut conn,
            &[
                "CREATE TABLE fresh LIKE m",
                "ALTER TABLE fresh ADD COLUMN extra INT",
                "INSERT INTO fresh (id, u, body, at) SELECT id, u, body, at FROM m",
                "SET foreign_key_checks = 0",
                "RENAME TABLE m TO old, fresh TO m",
                "DROP TABLE old, u",
            ],
        )
        .await;
        setup.capture();
        setup.restore(&["--latest", "--table", "d.m"]).success();
        let sums = "SELECT COUNT(*), SUM(id), SUM(CRC32(body)) FROM d.m";
        let wanted: (i64, i64, i64) = query_one(&mut conn, sums).await;
        let mut target = setup.target.conn().await;
        let found: (i64, i64, i64) = query_one(&mut target, sums).await;
        assert_eq!(wanted, found, "{flavor}");
        let tables: i64 = query_one(
            &mut target,
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'd'",
        )
        .await;
        assert_eq!(tables, 1, "{flavor}: what it was made from is gone again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_does_not_say_is_refused() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(
            flavor,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.keyless (a INT)",
                "CREATE TABLE d.keyed (a INT PRIMARY KEY)",
                "INSERT INTO d.keyless VALUES (1), (2)",
                "INSERT INTO d.keyed VALUES (1), (2)",
            ],
        )
        .await;
        exec(
            &mut conn,
            "ALTER TABLE d.keyless ADD COLUMN id INT AUTO_INCREMENT UNIQUE",
        )
        .await;
        setup.capture();
        setup.restore(&["--latest"]).refused(
            3,
            &[
                "table=",
                "auto_increment",
                "without a key",
                "--before",
                "next base",
            ],
        );
        setup.restore(&["--latest", "--table", "d.keyed"]).success();
    }
}

/// The counter of a table is beyond every id that ever was, also where the row is gone.
#[tokio::test(flavor = "multi_thread")]
async fn auto_increment_goes_on_after_the_largest_id_ever() {
    for flavor in FLAVORS {
        let (setup, mut conn) = with_messages(flavor).await;
        exec_all(
            &mut conn,
            &[
                "INSERT INTO m (id, u, body) VALUES (1000, 1, 'gone')",
                "DELETE FROM m WHERE id = 1000",
                "ALTER TABLE u AUTO_INCREMENT = 500",
            ],
        )
        .await;
        setup.capture();
        setup.restore(&["--latest"]).success();
        let mut target = setup.target.conn().await;
        exec_all(
            &mut target,
            &[
                "INSERT INTO d.m (u, body) VALUES (1, 'x')",
                "INSERT INTO d.u (name) VALUES ('x')",
            ],
        )
        .await;
        let id: u64 = query_one(&mut target, "SELECT MAX(id) FROM d.m").await;
        let user: u64 = query_one(&mut target, "SELECT MAX(id) FROM d.u").await;
        assert_eq!((id, user), (1001, 500), "{flavor}");
    }
}

/// A server that keeps names in lower case logs them as they were typed.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_any_case_mean_the_same_table() {
    for flavor in FLAVORS {
        let spec = || ServerSpec::new(flavor).init_option("--lower-case-table-names=1");
        let setup = Setup::of(spec(), spec()).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE D",
                "CREATE TABLE D.T (id INT PRIMARY KEY)",
                "CREATE TABLE D.U (id INT PRIMARY KEY)",
                "INSERT INTO d.t VALUES (1), (2)",
                "INSERT INTO d.u VALUES (3)",
            ],
        )
        .await;
        setup.base().await;
        exec_all(
            &mut conn,
            &[
                "ALTER TABLE D.T ADD COLUMN x INT DEFAULT 5",
                "INSERT INTO d.T VALUES (4, 4)",
                "TRUNCATE TABLE d.U",
                "INSERT INTO D.u VALUES (9)",
                "RENAME TABLE D.T TO d.V, D.u TO D.T",
                "UPDATE d.v SET x = 6 WHERE id = 1",
                "INSERT INTO d.t VALUES (10)",
            ],
        )
        .await;
        setup.capture();
        setup.restore(&["--latest"]).success();
        setup.compare(&["d"], "names in another case").await;
    }
}

/// MariaDB can log an ALTER when it starts and again when it commits or is rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn alters_in_two_phases_happen_once() {
    let (setup, mut conn) = with_messages(Flavor::MariaDb).await;
    exec_all(
        &mut conn,
        &[
            "SET SESSION binlog_alter_two_phase = ON",
            "ALTER TABLE m ADD COLUMN seen INT NOT NULL DEFAULT 7",
            "UPDATE m SET seen = id, body = 'same'",
        ],
    )
    .await;
    // It starts, meets the value that is there four times, and is rolled back.
    let code = fails(
        &mut conn,
        "ALTER TABLE m ADD UNIQUE (body(20)), ALGORITHM=COPY",
    )
    .await;
    assert_eq!(code, 1062);
    exec(&mut conn, "INSERT INTO m (u, body) VALUES (1, 'after')").await;
    setup.capture();
    setup.restore(&["--latest"]).success();
    setup.compare(&["d"], "alter in two phases").await;
}
