//! Restores across cascades: those that the server logged and those that the engine did alone.
//! What is restored at many moments is compared with what the source held at each of them.

use crate::support::Setup;
use crate::support::fingerprint::{Checkpoint, assert_same, checkpoint, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query_one};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// What the server does with foreign keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// MySQL's server: it logs cascades.
    MySql,
    /// MySQL with the engine's own.
    Native,
    /// MariaDB: always the engine's own.
    MariaDb,
}

impl Keys {
    const ALL: [Keys; 3] = [Keys::MySql, Keys::Native, Keys::MariaDb];

    fn spec(self) -> ServerSpec {
        match self {
            Keys::MySql => ServerSpec::new(Flavor::MySql),
            Keys::Native => {
                ServerSpec::new(Flavor::MySql).option("--innodb-native-foreign-keys=ON")
            }
            Keys::MariaDb => ServerSpec::new(Flavor::MariaDb),
        }
    }

    async fn setup(self) -> Setup {
        let spec = self.spec();
        let target = ServerSpec::new(match self {
            Keys::MariaDb => Flavor::MariaDb,
            _ => Flavor::MySql,
        });
        Setup::of(spec, target).await
    }
}

impl Setup {
    async fn mark(&self) -> Checkpoint {
        checkpoint(&self.source, &["d"], Duration::ZERO).await
    }

    /// Restores to each moment and compares every table with what it held.
    async fn compare_moments(&self, moments: &[(String, Checkpoint)], what: &str) {
        for (step, moment) in moments {
            self.restore(&["--to-gtid", &moment.gtid]).success();
            let found = fingerprint(&mut self.target.conn().await, &["d"]).await;
            assert_same(&moment.tables, &found, &format!("{what}, after: {step}"));
            self.drop_on_target(&["d"]).await;
        }
    }
}

const TABLES: &[&str] = &[
    "CREATE DATABASE d CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    "CREATE TABLE d.p (id INT PRIMARY KEY, v INT, code VARCHAR(20) UNIQUE, a INT, b BIGINT UNSIGNED, \
     UNIQUE (a, b))",
    "CREATE TABLE d.c (id INT PRIMARY KEY, p INT, v INT, FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.c_null (id INT PRIMARY KEY, p INT, v VARCHAR(9), FOREIGN KEY (p) REFERENCES \
     d.p (id) ON DELETE SET NULL ON UPDATE SET NULL)",
    // Both cells of the parent are part of the child's own key.
    "CREATE TABLE d.pair (x INT, y BIGINT UNSIGNED, n INT, v DOUBLE, PRIMARY KEY (n, y, x), \
     KEY (x, y), FOREIGN KEY (x, y) REFERENCES d.p (a, b) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.grand (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES d.c (id) \
     ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.great (id INT PRIMARY KEY, g INT, FOREIGN KEY (g) REFERENCES d.grand (id) \
     ON DELETE SET NULL ON UPDATE CASCADE)",
    "CREATE TABLE d.by_code (id INT PRIMARY KEY, code VARCHAR(30), FOREIGN KEY (code) REFERENCES \
     d.p (code) ON DELETE SET NULL ON UPDATE CASCADE)",
    "CREATE TABLE d.keyless (p INT, v INT, KEY (p), FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.tree (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES d.tree (id) \
     ON DELETE CASCADE)",
    "CREATE TABLE d.list (id INT PRIMARY KEY, next INT, FOREIGN KEY (next) REFERENCES d.list (id) \
     ON DELETE SET NULL)",
    // A generated column that no cascade can change.
    "CREATE TABLE d.made (id INT PRIMARY KEY, p INT, v INT, w INT GENERATED ALWAYS AS (v + 1) VIRTUAL, \
     FOREIGN KEY (p) REFERENCES d.p (id) ON DELETE SET NULL ON UPDATE SET NULL)",
];

const ROWS: &[&str] = &[
    "INSERT INTO d.p VALUES (1, 1, 'one', 1, 10), (2, 2, 'two', 2, 20), (3, 3, 'three', 3, 30), \
     (4, 4, 'four', 4, 40), (5, 5, 'Five', 5, 50), (6, 6, 'SECHS\u{df}', 6, 60), (7, 7, NULL, 7, NULL), \
     (8, 8, 'eight', 8, 80), (9, 9, 'nine', 9, 90)",
    "INSERT INTO d.c SELECT id * 10 + n.n, id, n.n FROM d.p, (SELECT 1 n UNION SELECT 2) n",
    "INSERT INTO d.c_null SELECT id * 10, id, 'x' FROM d.p",
    "INSERT INTO d.pair SELECT a, b, id * 10 + n.n, 0.5 FROM d.p, (SELECT 1 n UNION SELECT 2) n WHERE b > 0",
    "INSERT INTO d.grand SELECT id * 10, id FROM d.c",
    "INSERT INTO d.great SELECT id * 10, id FROM d.grand",
    "INSERT INTO d.by_code SELECT id, UPPER(code) FROM d.p",
    "INSERT INTO d.keyless SELECT p, v DIV 2 FROM d.c",
    "INSERT INTO d.keyless SELECT id, 0 FROM d.p",
    "INSERT INTO d.keyless VALUES (NULL, 1), (NULL, 1)",
    "INSERT INTO d.tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, 3), (6, 6), (7, 1), (8, 7)",
    "INSERT INTO d.list VALUES (1, NULL), (2, 1), (3, 1), (4, 3), (5, 5)",
    "INSERT INTO d.made (id, p, v) SELECT id, id, id FROM d.p",
];

/// Steps; several statements in one are one transaction.
const STEPS: &[&[&str]] = &[
    &["UPDATE d.p SET v = v + 1"],
    &["DELETE FROM d.p WHERE id = 1"],
    // Everything with the same keys again.
    &[
        "INSERT INTO d.p VALUES (1, 1, 'one', 1, 10)",
        "INSERT INTO d.c VALUES (11, 1, 7), (12, 1, 8)",
        "INSERT INTO d.grand VALUES (110, 11)",
        "INSERT INTO d.pair VALUES (1, 10, 11, 0.25)",
        "INSERT INTO d.keyless VALUES (1, 0), (1, 0)",
        "UPDATE d.great SET g = 110 WHERE id = 1100",
    ],
    &["UPDATE d.p SET id = 20, a = 20, code = 'zwanzig' WHERE id = 2"],
    // Children that were changed by a cascade, then by hand, then by a cascade again.
    &[
        "UPDATE d.c SET v = 99 WHERE id = 21",
        "UPDATE d.p SET id = 21 WHERE id = 20",
        "UPDATE d.c SET p = 3 WHERE id = 21",
        "DELETE FROM d.p WHERE id = 21",
    ],
    &[
        "DELETE FROM d.tree WHERE id = 2",
        "DELETE FROM d.list WHERE id = 1",
    ],
    &[
        "DELETE FROM d.tree WHERE id = 6",
        "DELETE FROM d.list WHERE id = 5",
    ],
    // One statement, many rows, and values that go round.
    &[
        "UPDATE d.p SET id = id + 100 WHERE id IN (3, 4) ORDER BY id",
        "UPDATE d.p SET id = id - 100 WHERE id > 100 ORDER BY id DESC",
        "UPDATE d.p SET a = 33 WHERE id = 3",
        "DELETE FROM d.pair WHERE y = 40",
        "UPDATE d.p SET a = 3, b = NULL WHERE id = 4",
    ],
    // A middle row gets another key of its own.
    &[
        "UPDATE d.c SET id = id + 1000 WHERE p = 3",
        "UPDATE d.grand SET id = id + 7 WHERE c > 1000",
    ],
    // No checks, no cascades.
    &[
        "SET foreign_key_checks = 0",
        "DELETE FROM d.p WHERE id = 4",
        "SET foreign_key_checks = 1",
    ],
    &[
        "INSERT INTO d.p VALUES (4, 0, 'vier', 4, 40)",
        "DELETE FROM d.p WHERE id = 4",
    ],
    &[
        "UPDATE d.p SET code = 'FIVE', id = 55 WHERE id = 5",
        "UPDATE d.p SET code = 'five' WHERE id = 55",
    ],
    &["REPLACE INTO d.p VALUES (8, 88, 'acht', 88, 880)"],
    &[
        "DELETE FROM d.p WHERE id >= 7",
        "DELETE FROM d.tree WHERE id = 1",
    ],
    &["DELETE d.p, d.c FROM d.p JOIN d.c ON d.c.p = d.p.id"],
];

#[tokio::test(flavor = "multi_thread")]
async fn cascades_are_exact_at_every_moment() {
    for keys in Keys::ALL {
        let setup = keys.setup().await;
        let mut conn = setup.source.conn().await;
        exec_all(&mut conn, TABLES).await;
        exec_all(&mut conn, ROWS).await;
        setup.base().await;
        let before = setup.mark().await;
        let mut moments = Vec::new();
        for step in STEPS {
            exec(&mut conn, "BEGIN").await;
            exec_all(&mut conn, step).await;
            exec(&mut conn, "COMMIT").await;
            moments.push((step.join("; "), setup.mark().await));
        }
        setup.capture();
        let changed = |table: &str| {
            let last = &moments.last().expect("steps").1;
            last.tables[table] != before.tables[table]
        };
        assert!(
            before.tables.keys().all(|t| changed(t)),
            "every table changed"
        );
        // What the server logs needs no derivation: its last moments will do.
        let skip = match keys {
            Keys::MySql => moments.len() - 2,
            _ => 0,
        };
        let what = format!("{keys:?}");
        setup.compare_moments(&moments[skip..], &what).await;

        // A child without its parents.
        let last = &moments.last().expect("steps").1;
        let restored = setup.restore(&["--latest", "--table", "d.great"]);
        let derived = restored
            .success()
            .stdout()
            .contains("that the source did not log are derived");
        assert_eq!(derived, keys != Keys::MySql, "{keys:?}: who cascades");
        let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
        assert_eq!(found.len(), 1);
        for (table, state) in found {
            assert_eq!(state, last.tables[&table], "{keys:?}: {table} alone");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_cascades_are_exact() {
    let given = std::env::var("TIDELOG_TEST_SEED").ok();
    let seed: u64 = given.map_or_else(rand::random, |s| s.parse().expect("a number"));
    for keys in [Keys::Native, Keys::MariaDb] {
        println!("{keys:?}: TIDELOG_TEST_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let setup = keys.setup().await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.a (id INT PRIMARY KEY, u INT UNIQUE)",
                "CREATE TABLE d.b (id INT PRIMARY KEY, a INT, u INT, up INT, \
                 FOREIGN KEY (a) REFERENCES d.a (id) ON DELETE CASCADE ON UPDATE CASCADE, \
                 FOREIGN KEY (u) REFERENCES d.a (u) ON DELETE SET NULL ON UPDATE CASCADE, \
                 FOREIGN KEY (up) REFERENCES d.b (id) ON DELETE SET NULL)",
                "CREATE TABLE d.c (b INT, n INT, PRIMARY KEY (b, n), v INT, \
                 FOREIGN KEY (b) REFERENCES d.b (id) ON DELETE CASCADE ON UPDATE CASCADE)",
                "CREATE TABLE d.k (b INT, v INT, KEY (b), \
                 FOREIGN KEY (b) REFERENCES d.b (id) ON DELETE SET NULL ON UPDATE CASCADE)",
            ],
        )
        .await;
        write(&mut conn, &mut random, 60).await;
        setup.base().await;
        let mut moments = Vec::new();
        for step in 0..8 {
            write(&mut conn, &mut random, 60).await;
            moments.push((format!("step {step} of seed {seed}"), setup.mark().await));
            if step % 3 == 1 {
                setup.capture();
            }
        }
        setup.capture();
        setup.compare_moments(&moments, &format!("{keys:?}")).await;
    }
}

/// Random statements; one that the server refuses has no effect.
async fn write(conn: &mut Conn, random: &mut StdRng, statements: u32) {
    let mut done = 0;
    for _ in 0..statements {
        let (x, y, z) = (
            random.random_range(0..16),
            random.random_range(0..16),
            random.random_range(0..16),
        );
        let sql = match random.random_range(0..15) {
            0 | 1 => format!("INSERT INTO d.a VALUES ({x}, {y})"),
            2..=4 => format!("INSERT INTO d.b VALUES ({x}, {y}, NULL, {z})"),
            5 => format!("INSERT INTO d.b VALUES ({x}, {y}, {z}, NULL)"),
            6 | 7 => {
                format!("INSERT IGNORE INTO d.c VALUES ({x}, {y}, 1), ({x}, {z}, 2), ({z}, {y}, 3)")
            }
            8 => format!("INSERT INTO d.k VALUES ({x}, {y} % 2), ({x}, 1), ({x}, 1)"),
            9 => format!("DELETE FROM d.a WHERE id = {x}"),
            10 => format!("UPDATE d.a SET id = {x}, u = {z} WHERE id = {y}"),
            11 => format!("UPDATE d.b SET id = {x} WHERE id = {y}"),
            12 => format!("UPDATE d.b SET a = {x}, up = {y} WHERE id = {z}"),
            13 => format!("DELETE FROM d.b WHERE id IN ({x}, {y})"),
            _ => format!("UPDATE d.k SET v = v + 1 WHERE b = {x} LIMIT 1"),
        };
        done += u32::from(conn.query_drop(sql).await.is_ok());
    }
    assert!(done > statements / 8, "hardly a statement was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_derived_is_refused() {
    let keys = Keys::MariaDb;
    let setup = keys.setup().await;
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            "CREATE TABLE d.p (id INT PRIMARY KEY, code VARCHAR(20) UNIQUE)",
            "CREATE TABLE d.made (id INT PRIMARY KEY, p INT, w INT AS (p + 1) VIRTUAL, \
             FOREIGN KEY (p) REFERENCES d.p (id) ON DELETE SET NULL)",
            "CREATE TABLE d.kept (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.p (id) \
             ON DELETE CASCADE) WITH SYSTEM VERSIONING",
            "CREATE TABLE d.text (id INT PRIMARY KEY, code VARCHAR(20), FOREIGN KEY (code) \
             REFERENCES d.p (code) ON DELETE SET NULL)",
            "INSERT INTO d.p VALUES (1, 'jos\u{e9}'), (2, 'bob'), (3, 'anna')",
            "INSERT INTO d.made (id, p) VALUES (1, 1), (2, 2)",
            "INSERT INTO d.kept VALUES (1, 1), (2, 2)",
            "INSERT INTO d.text VALUES (1, 'jose'), (2, 'BOB'), (3, 'anna')",
        ],
    )
    .await;
    setup.base().await;
    exec(&mut conn, "DELETE FROM d.p WHERE id = 2").await;
    setup.capture();
    for (table, what) in [("made", "generated column"), ("kept", "system-versioned")] {
        let table = format!("d.{table}");
        setup.restore(&["--latest", "--table", &table]).refused(
            3,
            &[what, "parent=d.p", &format!("child={table}"), "--before"],
        );
    }
    let text = ["--latest", "--table", "d.text"];
    setup.restore(&text).success();
    let mut target = setup.target.conn().await;
    let left: String = query_one(
        &mut target,
        "SELECT GROUP_CONCAT(code ORDER BY id) FROM d.text",
    )
    .await;
    assert_eq!(left, "jose,anna", "BOB referred to bob");
    setup.drop_on_target(&["d"]).await;
    exec(&mut conn, "DELETE FROM d.p WHERE id = 1").await;
    setup.capture();
    let left: String = query_one(
        &mut conn,
        "SELECT GROUP_CONCAT(code ORDER BY id) FROM d.text",
    )
    .await;
    assert_eq!(left, "anna", "jose referred to jos\u{e9}");
    setup
        .restore(&text)
        .refused(3, &["collation", "parent=d.p", "table=d.text", "next base"]);
    // The parent itself can be restored.
    setup.restore(&["--latest", "--table", "d.p"]).success();
    setup
        .compare_rows("SELECT COUNT(*), SUM(id), SUM(LENGTH(code)) FROM d.p")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_cascades_nothing_is_derived() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(&mut conn, TABLES).await;
        exec_all(&mut conn, ROWS).await;
        setup.base().await;
        exec_all(
            &mut conn,
            &[
                "UPDATE d.p SET v = v + 1",
                "UPDATE d.p SET id = id",
                "SET foreign_key_checks = 0",
                "DELETE FROM d.p WHERE id = 1",
                "UPDATE d.p SET id = 22, a = 22 WHERE id = 2",
            ],
        )
        .await;
        setup.capture();
        let restored = setup.restore(&["--latest"]);
        assert!(!restored.success().stdout().contains("derived"), "{flavor}");
        setup.compare(&["d"], "no cascade").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_come_after_the_base_are_followed_or_refused() {
    let setup = Keys::MariaDb.setup().await;
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.p (id INT PRIMARY KEY)",
            "CREATE TABLE d.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.p (id) \
             ON DELETE CASCADE)",
            "CREATE TABLE d.plain (id INT PRIMARY KEY, p INT)",
            "INSERT INTO d.p VALUES (1), (2), (3), (4)",
            "INSERT INTO d.c VALUES (1, 1), (2, 2), (3, 3)",
            "INSERT INTO d.plain VALUES (1, 1), (4, 4)",
        ],
    )
    .await;
    setup.base().await;
    exec_all(
        &mut conn,
        &[
            "CREATE TABLE d.late (id INT PRIMARY KEY, p INT, CONSTRAINT k FOREIGN KEY x (p) \
             REFERENCES d.p (id) ON DELETE CASCADE)",
            "INSERT INTO d.late VALUES (1, 1), (2, 2)",
            "DELETE FROM d.p WHERE id = 1",
        ],
    )
    .await;
    let moments = vec![("a table created".to_owned(), setup.mark().await)];
    setup.capture();
    setup
        .compare_moments(&moments, "created after the base")
        .await;

    // From here on only the target has the rows of c.
    exec_all(
        &mut conn,
        &[
            "ALTER TABLE d.c ADD COLUMN v INT, ADD INDEX pair (p, v)",
            "INSERT INTO d.late VALUES (4, 4)",
        ],
    )
    .await;
    let moments = vec![("c altered".to_owned(), setup.mark().await)];
    exec(&mut conn, "DELETE FROM d.p WHERE id = 2").await;
    setup.capture();
    setup
        .compare_moments(&moments, "altered after the base")
        .await;
    setup.restore(&["--latest"]).refused(
        3,
        &[
            "a statement changed the child",
            "parent=d.p",
            "child=d.c",
            "next step",
        ],
    );
    setup.restore(&["--latest", "--table", "d.late"]).success();
    let mut target = setup.target.conn().await;
    let left: String = query_one(&mut target, "SELECT GROUP_CONCAT(id) FROM d.late").await;
    assert_eq!(left, "4");
    setup.drop_on_target(&["d"]).await;

    exec_all(
        &mut conn,
        &[
            "DELETE FROM d.plain WHERE p = 1",
            "ALTER TABLE d.plain ADD FOREIGN KEY (p) REFERENCES d.p (id) ON DELETE CASCADE",
        ],
    )
    .await;
    setup.capture();
    setup.restore(&["--latest", "--table", "d.plain"]).success();
    setup.drop_on_target(&["d"]).await;
    exec(&mut conn, "DELETE FROM d.p WHERE id = 4").await;
    setup.capture();
    setup.restore(&["--latest", "--table", "d.plain"]).refused(
        3,
        &["changed after the base", "parent=d.p", "child=d.plain"],
    );
}
