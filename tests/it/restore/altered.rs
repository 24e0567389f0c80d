//! Cascades that the source did not log, into tables that statements changed after the base.

use crate::support::Setup;
use crate::support::fingerprint::{assert_same, checkpoint, fingerprint};
use crate::support::sql::exec_all;
use std::time::Duration;
use tidelog::position::Flavor;

const TABLES: &[&str] = &[
    "CREATE DATABASE d",
    "CREATE TABLE d.p (id INT PRIMARY KEY)",
    "CREATE TABLE d.c (id INT AUTO_INCREMENT PRIMARY KEY, p INT, v INT, UNIQUE (v), \
     FOREIGN KEY (p) REFERENCES d.p (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.n (p INT, id INT PRIMARY KEY, FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE SET NULL ON UPDATE SET NULL)",
    "CREATE TABLE d.k (p INT, v INT, KEY (p), FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE CASCADE)",
    "CREATE TABLE d.gone (id INT)",
    // A restore that deletes rows of c must not fire it.
    "CREATE TRIGGER d.t AFTER DELETE ON d.c FOR EACH ROW INSERT INTO d.gone VALUES (OLD.id)",
    "INSERT INTO d.p VALUES (1), (2), (3), (4), (5)",
    "INSERT INTO d.c (id, p, v) SELECT id * 10 + n.n, id, id * 10 + n.n FROM d.p, (SELECT 1 n UNION SELECT 2) n",
    "INSERT INTO d.n SELECT id, id FROM d.p",
    "INSERT INTO d.k VALUES (1, 1), (1, 1), (2, 1), (2, 2), (3, 3), (3, 3)",
];

const STEPS: &[&[&str]] = &[
    &[
        "DELETE FROM d.c WHERE id = 52",
        "DELETE FROM d.p WHERE id = 5",
    ],
    &["ALTER TABLE d.c ADD COLUMN w INT DEFAULT 7 FIRST"],
    // No row of c is logged after it.
    &["DELETE FROM d.p WHERE id = 1"],
    &[
        "INSERT INTO d.c (p, v) VALUES (2, 100), (3, 101)",
        "UPDATE d.c SET w = 8 WHERE id = 21",
    ],
    &[
        "ALTER TABLE d.n ADD INDEX x (id)",
        "ALTER TABLE d.k ADD COLUMN y INT DEFAULT 2",
    ],
    &[
        "DELETE FROM d.k WHERE v = 1 LIMIT 1",
        "INSERT INTO d.k VALUES (3, 3, 2), (4, 4, 4)",
        "DELETE FROM d.p WHERE id = 2",
    ],
    // Values of a unique key change places; one row is hit twice.
    &[
        "UPDATE d.c SET v = -1 WHERE id = 31",
        "UPDATE d.c SET v = 31 WHERE id = 32",
        "UPDATE d.c SET v = 32 WHERE id = 31",
        "DELETE FROM d.k WHERE p = 3",
        "UPDATE d.p SET id = 30 WHERE id = 3",
        "UPDATE d.p SET id = 33 WHERE id = 30",
    ],
    &["ALTER TABLE d.c ADD COLUMN z VARCHAR(9) DEFAULT 'z'"],
    &[
        "UPDATE d.c SET z = 'hit' WHERE p = 33",
        "DELETE FROM d.p WHERE id = 33",
    ],
    &["INSERT INTO d.c (p, v) VALUES (4, 200)"],
];

#[tokio::test(flavor = "multi_thread")]
async fn altered_children_are_followed() {
    let (setup, mut conn) = Setup::based(Flavor::MariaDb, TABLES).await;
    let mut moments = Vec::new();
    for step in STEPS {
        exec_all(&mut conn, step).await;
        let moment = checkpoint(&setup.source, &["d"], Duration::ZERO).await;
        moments.push((step.join("; "), moment));
        setup.capture();
    }
    for (step, moment) in moments.iter().rev() {
        setup.restore(&["--to-gtid", &moment.gtid]).success();
        let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
        assert_same(&moment.tables, &found, &format!("after: {step}"));
        setup.drop_on_target(&["d"]).await;
    }
    // The child alone, and a child that a statement made another one.
    setup.restore(&["--latest", "--table", "d.c"]).success();
    setup.drop_on_target(&["d"]).await;
    exec_all(
        &mut conn,
        &[
            "ALTER TABLE d.k ADD COLUMN g INT AS (v + 1)",
            "DELETE FROM d.p WHERE id = 4",
        ],
    )
    .await;
    setup.capture();
    setup.restore(&["--latest"]).refused(
        3,
        &[
            "a statement changed the child",
            "parent=d.p",
            "child=d.k",
            "next step",
        ],
    );
}
