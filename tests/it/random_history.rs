//! Random histories of rows, DDL, XA transactions and savepoints, restored at random moments and
//! compared cell by cell.
//!
//! `TIDELOG_TEST_SEED` repeats one history, `TIDELOG_TEST_SEEDS` runs that many fresh ones
//! (`make soak`); without them, the seeds below run. A seed that fails becomes one of them.

mod transactions;

use crate::restore::moment;
use crate::support::fingerprint::{Fingerprint, assert_same, fingerprint};
use crate::support::setup::Setup;
use crate::support::sql::exec;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// Seeds of every run of the tests.
const SEEDS: [u64; 5] = [
    1,
    2,
    3,
    9_275_350_954_110_081_985,
    17_971_534_385_140_009_532,
];
/// Statements of a history.
const STEPS: usize = 90;
/// Moments restored of each.
const RESTORES: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_come_back_on_mysql() {
    histories(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_come_back_on_mariadb() {
    histories(Flavor::MariaDb).await;
}

/// Every second table has a generated column, which is not logged with most changes.
#[tokio::test(flavor = "multi_thread")]
async fn random_histories_come_back_on_mariadb_11_8() {
    let newer = || ServerSpec::new(Flavor::MariaDb).package("mariadb-11.8");
    for seed in seeds(&[4, 16_853_809_284_663_197_738]) {
        println!("mariadb-11.8: TIDELOG_TEST_SEED={seed}");
        let mut generator = Generator::new(seed);
        generator.generates = true;
        history(Setup::of(newer(), newer()).await, generator, seed).await;
    }
}

async fn histories(flavor: Flavor) {
    for seed in seeds(&SEEDS) {
        println!("{flavor}: TIDELOG_TEST_SEED={seed}");
        history(Setup::new(flavor, &[]).await, Generator::new(seed), seed).await;
    }
}

fn seeds(usual: &[u64]) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match (number("TIDELOG_TEST_SEED"), number("TIDELOG_TEST_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).map(|_| rand::random()).collect(),
        (None, None) => usual.to_vec(),
    }
}

/// A table of the generator's model: only what is needed to write statements that mostly succeed.
#[derive(Clone, Debug)]
struct Table {
    name: String,
    columns: Vec<String>,
    keyed: bool,
}

struct Generator {
    random: StdRng,
    tables: Vec<Table>,
    names: u32,
    /// XA transactions that are prepared.
    prepared: Vec<String>,
    /// Whether tables get generated columns.
    generates: bool,
}

/// Column types with values that are hard to keep: SQL text of each.
const TYPES: [(&str, &[&str]); 16] = [
    ("INT", &["0", "-1", "2147483647", "-2147483648", "NULL"]),
    ("BIGINT UNSIGNED", &["0", "18446744073709551615", "NULL"]),
    (
        "DECIMAL(40,10)",
        &["-0.0000000001", "999999999999999999999999999999.9999999999"],
    ),
    ("DOUBLE", &["-0.0", "1e308", "0.1", "NULL"]),
    ("FLOAT", &["1.1", "-3.4e38", "16777217"]),
    (
        "VARCHAR(40) CHARACTER SET latin1",
        &["'\u{e4}\u{df}'", "''", "'a '", "NULL"],
    ),
    (
        "VARCHAR(30) CHARACTER SET utf8mb4",
        &["'\u{1f30a}'", "'A'", "'a'"],
    ),
    ("CHAR(9) CHARACTER SET sjis", &["'\u{8868}\u{5341}'", "'x'"]),
    ("VARBINARY(20)", &["X'00FF'", "X''", "X'20'"]),
    ("BINARY(6)", &["X'0102'", "X'010200000000'"]),
    (
        "DATETIME(6)",
        &[
            "'0000-00-00'",
            "'9999-12-31 23:59:59.999999'",
            "'2024-02-30'",
        ],
    ),
    (
        "TIMESTAMP(3) NULL",
        &["'1970-01-02 00:00:01.5'", "NULL", "'2037-01-01'"],
    ),
    (
        "TIME(6)",
        &["'-838:59:59'", "'00:00:00.000001'", "'-00:00:01.5'"],
    ),
    ("ENUM('a','b','c')", &["'a'", "''", "'nope'", "NULL"]),
    ("SET('x','y','z')", &["'x,z'", "''"]),
    (
        "JSON",
        &[
            "'{\"a\": [1, 2.50, null], \"b\": \"\u{1f30a}\"}'",
            "'[]'",
            "NULL",
        ],
    ),
];

impl Generator {
    fn new(seed: u64) -> Generator {
        Generator {
            random: StdRng::seed_from_u64(seed),
            tables: Vec::new(),
            names: 0,
            prepared: Vec::new(),
            generates: false,
        }
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        // Names that would break what is not quoted.
        let odd = ["", " x", "`", "\u{fc}", "'", ";"];
        let odd = odd[self.random.random_range(0..odd.len())];
        format!("{what}{}{odd}", self.names)
    }

    fn column(&mut self) -> (String, String) {
        let name = self.name("c");
        let (kind, _) = TYPES[self.random.random_range(0..TYPES.len())];
        (name.clone(), format!("{} {kind}", quoted(&name)))
    }

    /// A value of any type: in a session without strict mode the server makes of it what it can.
    fn value(&mut self) -> String {
        let (_, values) = TYPES[self.random.random_range(0..TYPES.len())];
        match values.choose(&mut self.random) {
            Some(value) if self.random.random_bool(0.8) => (*value).to_owned(),
            _ => self.random.random_range(-1000..1000).to_string(),
        }
    }

    fn table(&mut self) -> Option<usize> {
        let count = self.tables.len();
        (count > 0).then(|| self.random.random_range(0..count))
    }

    fn create(&mut self) -> String {
        let name = self.name("t");
        let keyed = self.random.random_bool(0.75);
        let mut columns = Vec::new();
        let mut parts = Vec::new();
        if keyed {
            let key = [
                "INT AUTO_INCREMENT",
                "BIGINT AUTO_INCREMENT",
                "INT UNSIGNED AUTO_INCREMENT",
            ];
            let key = key[self.random.random_range(0..key.len())];
            parts.push(format!("id {key} PRIMARY KEY"));
        }
        for _ in 0..self.random.random_range(1..6) {
            let (column, definition) = self.column();
            columns.push(column);
            parts.push(definition);
        }
        if self.generates && self.random.random_bool(0.5) {
            parts.extend(self.computed(&columns));
        }
        let sql = format!("CREATE TABLE {} ({})", quoted(&name), parts.join(", "));
        self.tables.push(Table {
            name,
            columns,
            keyed,
        });
        sql
    }

    /// A generated column of one of these, with an index now and then.
    fn computed(&mut self, columns: &[String]) -> Vec<String> {
        let Some(of) = columns.choose(&mut self.random).map(|c| quoted(c)) else {
            return Vec::new();
        };
        let name = quoted(&self.name("g"));
        let kind = ["VIRTUAL", "STORED"][self.random.random_range(0..2)];
        let mut parts = vec![format!("{name} VARCHAR(200) AS (HEX({of})) {kind}")];
        if self.random.random_bool(0.5) {
            parts.push(format!("INDEX ({name})"));
        }
        parts
    }

    fn rows(&mut self, table: &Table) -> String {
        let name = quoted(&table.name);
        let columns: Vec<String> = table.columns.iter().map(|c| quoted(c)).collect();
        let Some(column) = columns.choose(&mut self.random).cloned() else {
            return "DO 0".to_owned();
        };
        let limit = self.random.random_range(1..4);
        match self.random.random_range(0..10) {
            0..=5 => {
                let rows: Vec<String> = (0..self.random.random_range(1..9))
                    .map(|_| {
                        let values: Vec<String> = columns.iter().map(|_| self.value()).collect();
                        format!("({})", values.join(", "))
                    })
                    .collect();
                format!(
                    "INSERT IGNORE INTO {name} ({}) VALUES {}",
                    columns.join(", "),
                    rows.join(", ")
                )
            }
            6 | 7 => {
                let value = self.value();
                format!("UPDATE IGNORE {name} SET {column} = {value} LIMIT {limit}")
            }
            8 if table.keyed => {
                let by = self.random.random_range(1..2000);
                format!("UPDATE IGNORE {name} SET id = id + {by} ORDER BY id DESC LIMIT {limit}")
            }
            _ => format!("DELETE FROM {name} LIMIT {limit}"),
        }
    }

    fn alter(&mut self, index: usize) -> String {
        let name = quoted(&self.tables[index].name);
        let has = !self.tables[index].columns.is_empty();
        let at = self
            .random
            .random_range(0..self.tables[index].columns.len().max(1));
        let clause = match self.random.random_range(0..7) {
            0 if self.generates && has && self.random.random_bool(0.5) => {
                let columns = self.tables[index].columns.clone();
                let parts = self.computed(&columns);
                let adds: Vec<String> = parts.iter().map(|part| format!("ADD {part}")).collect();
                adds.join(", ")
            }
            0 | 1 => {
                let (column, definition) = self.column();
                self.tables[index].columns.push(column);
                let place = ["", " FIRST"][self.random.random_range(0..2)];
                format!("ADD COLUMN {definition}{place}")
            }
            2 if self.tables[index].columns.len() > 1 => {
                let column = self.tables[index].columns.remove(at);
                format!("DROP COLUMN {}", quoted(&column))
            }
            3 if has => {
                let former = self.tables[index].columns[at].clone();
                let (column, definition) = self.column();
                self.tables[index].columns[at] = column;
                format!("CHANGE COLUMN {} {definition}", quoted(&former))
            }
            4 if has => {
                let column = quoted(&self.tables[index].columns[at]);
                let column_name = self.name("r");
                self.tables[index].columns[at].clone_from(&column_name);
                format!("RENAME COLUMN {column} TO {}", quoted(&column_name))
            }
            5 => "CONVERT TO CHARACTER SET utf8mb4".to_owned(),
            _ => "ENGINE = InnoDB".to_owned(),
        };
        format!("ALTER TABLE {name} {clause}")
    }

    /// The next statement.
    fn next(&mut self) -> String {
        let Some(index) = self.table() else {
            return self.create();
        };
        match self.random.random_range(0..100) {
            0..=6 if self.tables.len() < 6 => self.create(),
            7..=18 => self.alter(index),
            19..=21 => {
                let to = self.name("t");
                let from = std::mem::replace(&mut self.tables[index].name, to.clone());
                format!("RENAME TABLE {} TO {}", quoted(&from), quoted(&to))
            }
            22 => format!("TRUNCATE TABLE {}", quoted(&self.tables[index].name)),
            23 if self.tables.len() > 1 => {
                let table = self.tables.remove(index);
                format!("DROP TABLE {}", quoted(&table.name))
            }
            24 => {
                let mut copy = self.tables[index].clone();
                let like = quoted(&copy.name);
                copy.name = self.name("t");
                let sql = format!("CREATE TABLE {} LIKE {like}", quoted(&copy.name));
                self.tables.push(copy);
                sql
            }
            25 | 26 if self.tables.len() > 1 => {
                let other = self.random.random_range(0..self.tables.len());
                if other == index {
                    return "DO 0".to_owned();
                }
                let (a, b) = (
                    self.tables[index].name.clone(),
                    self.tables[other].name.clone(),
                );
                self.tables[index].name.clone_from(&b);
                self.tables[other].name.clone_from(&a);
                let (a, b) = (quoted(&a), quoted(&b));
                format!("RENAME TABLE {a} TO swap, {b} TO {a}, swap TO {b}")
            }
            _ => {
                let table = self.tables[index].clone();
                self.rows(&table)
            }
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Runs a statement that the server may refuse; what it did, the binlog and the comparison say.
async fn attempt(conn: &mut Conn, sql: &str) -> bool {
    match conn.query_drop(sql).await {
        Ok(()) => true,
        Err(mysql_async::Error::Server(_)) => false,
        Err(error) => panic!("{error}\n  in: {sql}"),
    }
}

/// Makes a session ready; what waits for the rows of another transaction is refused soon.
async fn begin(conn: &mut Conn) {
    for sql in [
        "USE d",
        "SET sql_mode = ''",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1",
    ] {
        exec(conn, sql).await;
    }
}

async fn history(setup: Setup, mut generator: Generator, seed: u64) {
    let flavor = setup.source.flavor();
    let mut conn = setup.source.conn().await;
    exec(&mut conn, "CREATE DATABASE d").await;
    exec(&mut conn, "CREATE TABLE d.plain (v INT) ENGINE=MyISAM").await;
    begin(&mut conn).await;
    let mut log = Vec::new();
    let base_at = generator.random.random_range(8..STEPS / 2);
    let mut moments: Vec<(String, Fingerprint, usize)> = Vec::new();
    for step in 0..STEPS {
        if step == base_at {
            setup.base().await;
        }
        if generator.random.random_bool(0.15) {
            log.push(
                generator
                    .transaction(&setup.source, &mut conn, step >= base_at)
                    .await,
            );
        } else {
            let before = generator.tables.clone();
            let sql = generator.next();
            let done = attempt(&mut conn, &sql).await;
            if !done {
                generator.tables = before;
            }
            log.push(format!("{}{sql}", if done { "" } else { "-- refused: " }));
        }
        // The moment is compared by another connection, which must see everything.
        if step >= base_at && generator.random.random_bool(0.2) {
            let gtids = moment(&mut conn, flavor).await.1;
            let rows = fingerprint(&mut setup.source.conn().await, &["d"]).await;
            moments.push((gtids, rows, step));
        }
        if step > base_at && generator.random.random_bool(0.05) {
            setup.capture();
        }
    }
    setup.capture();
    let refused = log.iter().filter(|line| line.starts_with("--")).count();
    assert!(refused < STEPS / 2, "the server refused most: {log:#?}");
    while moments.len() > RESTORES {
        let index = generator.random.random_range(0..moments.len());
        moments.swap_remove(index);
    }
    assert!(!moments.is_empty(), "seed {seed} has no moment");
    for (gtids, rows, step) in moments {
        let what = format!(
            "{flavor} seed {seed} after step {step}: {:#?}",
            &log[..=step]
        );
        let restored = setup.restore(&["--to-gtid", &gtids]);
        assert!(restored.ok(), "{what}\n{}", restored.stderr());
        let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
        assert_same(&rows, &found, &what);
        setup.drop_on_target(&["d"]).await;
    }
}
