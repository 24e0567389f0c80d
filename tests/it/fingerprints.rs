//! Fingerprints must see every change, and checkpoints must part the rows exactly: a blind oracle
//! would make every other test worthless.

use std::time::Duration;

use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

use crate::support::fingerprint::{Fingerprint, checkpoint, definitions, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query_one};
use crate::support::{start, start_all};

/// Statements that change one thing each; every one must change the fingerprint.
const CHANGES: [(&str, &str); 12] = [
    (
        "one bit of a FLOAT",
        "UPDATE d.t SET f = 16777217e-7 WHERE id = 1",
    ),
    (
        "one bit of a DOUBLE",
        "UPDATE d.t SET g = 0.1e0 + 0.2e0 WHERE id = 1",
    ),
    ("ENUM 0 instead of ''", "UPDATE d.t SET e = 0 WHERE id = 1"),
    (
        "the highest SET member",
        "UPDATE d.t SET s = s | 0x8000000000000000 WHERE id = 1",
    ),
    ("a trailing space", "UPDATE d.t SET v = 'a ' WHERE id = 1"),
    (
        "a trailing zero byte",
        "UPDATE d.t SET b = X'00' WHERE id = 1",
    ),
    ("NULL instead of ''", "UPDATE d.t SET v = NULL WHERE id = 2"),
    (
        "a microsecond",
        "UPDATE d.t SET ts = '2026-01-01 00:00:00.000001' WHERE id = 1",
    ),
    (
        "the sign of a TIME",
        "UPDATE d.t SET ti = '-00:00:00.5' WHERE id = 1",
    ),
    ("a bit", "UPDATE d.t SET bi = b'1' WHERE id = 1"),
    (
        "an invisible column",
        "UPDATE d.t SET hidden = 8 WHERE id = 1",
    ),
    (
        "a second equal row",
        "INSERT INTO d.keyless SELECT * FROM d.keyless LIMIT 1",
    ),
];

/// What only MySQL can do: SQL text of MariaDB has no negative zero, its JSON is text. An UPDATE
/// to a document that compares equal changes nothing, whatever its number types; so the
/// number type must lead to a state that differs from the one before the NULL.
const MYSQL_CHANGES: [(&str, &str); 3] = [
    ("the sign of zero", "UPDATE d.t SET g = -0.0e0 WHERE id = 2"),
    ("no JSON", "UPDATE d.t SET j = NULL WHERE id = 1"),
    (
        "a number type in JSON",
        "UPDATE d.t SET j = JSON_OBJECT('a', JSON_ARRAY(CAST(1 AS UNSIGNED), 2e0)) WHERE id = 1",
    ),
];

#[tokio::test]
async fn fingerprint_sees_every_change() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        let members: Vec<String> = (0..64).map(|n| format!("'m{n}'")).collect();
        exec_all(
            &mut conn,
            &[
                "SET sql_mode = ''",
                "CREATE DATABASE d",
                &format!(
                    "CREATE TABLE d.t (id INT PRIMARY KEY, f FLOAT, g DOUBLE, e ENUM('','x') NOT NULL, \
                     s SET({}), v VARCHAR(20), b BLOB, ts TIMESTAMP(6) NULL, ti TIME(1), bi BIT(9), j JSON, \
                     hidden INT INVISIBLE DEFAULT 7, made INT AS (id + 1))",
                    members.join(",")
                ),
                "CREATE TABLE d.`we``ird. name` (a INT)",
                "CREATE TABLE d.keyless (a INT)",
                "INSERT INTO d.keyless VALUES (1), (2)",
                "INSERT INTO d.t (id, f, g, e, s, v, b, ts, ti, bi, j) VALUES \
                 (1, 16777216e-7, 0.3, '', 'm0', 'a', '', '2026-01-01', '00:00:00.5', 0, '{\"a\": [1, 2.0]}'), \
                 (2, 0, 0, 'x', 'm1', '', NULL, '0000-00-00', '-838:59:59', 511, NULL)",
            ],
        )
        .await;
        let mut seen: Vec<Fingerprint> = vec![fingerprint(&mut server.conn().await, &["d"]).await];
        assert_eq!(
            seen[0].keys().collect::<Vec<_>>(),
            ["`d`.`keyless`", "`d`.`t`", "`d`.`we``ird. name`"]
        );
        assert_eq!(
            seen[0],
            fingerprint(&mut server.conn().await, &["d"]).await,
            "it repeats"
        );
        let more = MYSQL_CHANGES
            .iter()
            .filter(|_| server.flavor() == Flavor::MySql);
        for (what, sql) in CHANGES.iter().chain(more) {
            exec(&mut conn, sql).await;
            let now = fingerprint(&mut server.conn().await, &["d"]).await;
            assert!(
                !seen.contains(&now),
                "{what} goes unseen on {}",
                server.flavor()
            );
            seen.push(now);
        }
    }
}

#[tokio::test]
async fn fingerprint_sees_versioned_history_and_sequences() {
    let server = start(ServerSpec::new(Flavor::MariaDb)).await;
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.v (a INT PRIMARY KEY, b INT) WITH SYSTEM VERSIONING",
            "CREATE TABLE d.w (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, \
             e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
            "CREATE SEQUENCE d.q",
            "INSERT INTO d.v VALUES (1, 1)",
            "INSERT INTO d.w (a) VALUES (1)",
        ],
    )
    .await;
    let before = fingerprint(&mut server.conn().await, &["d"]).await;
    exec_all(
        &mut conn,
        &[
            "UPDATE d.v SET b = 2",
            "UPDATE d.v SET b = 1",
            "DELETE FROM d.w",
        ],
    )
    .await;
    let _: i64 = query_one(&mut conn, "SELECT NEXTVAL(d.q)").await;
    let after = fingerprint(&mut server.conn().await, &["d"]).await;
    assert_eq!(after["`d`.`v`"].rows, 3, "history counts");
    assert_eq!(after["`d`.`w`"].rows, 1);
    for name in ["`d`.`v`", "`d`.`w`", "`d`.`q`"] {
        assert_ne!(before[name], after[name], "{name}");
    }
}

#[tokio::test]
async fn checkpoints_are_exact_under_writers() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, at_us BIGINT)",
                "CREATE VIEW d.v AS SELECT id FROM d.t",
                "CREATE TRIGGER d.g BEFORE INSERT ON d.t FOR EACH ROW SET NEW.at_us = 1 + NEW.at_us",
            ],
        )
        .await;
        let mut writer = server.conn().await;
        let writing = tokio::spawn(async move {
            loop {
                exec(
                    &mut writer,
                    "INSERT INTO d.t (at_us) VALUES (UNIX_TIMESTAMP(SYSDATE(6)) * 1000000)",
                )
                .await;
            }
        });
        let quiet = Duration::from_millis(5);
        let first = checkpoint(&server, &["d"], quiet).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = checkpoint(&server, &["d"], quiet).await;
        writing.abort();
        let [rows, later] = [&first, &second].map(|c| c.tables["`d`.`t`"].rows);
        assert!(later > rows, "writers went on");
        assert!(second.time_us > first.time_us && second.gtid != first.gtid);
        assert!(second.position > first.position);
        let count = format!("SELECT COUNT(*) FROM d.t WHERE at_us <= {}", first.time_us);
        let by_time: u64 = query_one(&mut conn, count).await;
        assert_eq!(by_time, rows, "the time of a checkpoint parts the rows");
        let definitions = definitions(&mut conn, &["d"]).await;
        let names: Vec<&str> = definitions.keys().map(String::as_str).collect();
        assert_eq!(names, ["TABLE `d`.`t`", "TRIGGER `d`.`g`", "VIEW `d`.`v`"]);
    }
}
