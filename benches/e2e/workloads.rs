//! What the clients of a source do: messages, hot counters, wide rows, blobs, many small tables.
//!
//! Everything is written by the server's own client from a script, so that a run is the same data
//! every time.

use crate::settings::Settings;
use crate::support::TestServer;
use std::io::{BufWriter, Write};
use std::process::{ChildStdin, Command, Stdio};

/// A workload with the number of its rows (or updates).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Workload {
    /// Text-like messages with a JSON document, in transactions of 500 rows.
    Messages { rows: u64 },
    /// Updates of one row each, over some rows, one a transaction.
    Hot { updates: u64, rows: u64 },
    /// Rows of a hundred columns.
    Wide { rows: u64 },
    /// Random bytes, 128 KiB a row.
    Blobs { rows: u64 },
    /// The same rows spread over many tables.
    Tables { tables: u64, rows: u64 },
}

/// Database of every workload.
pub(crate) const DATABASE: &str = "bench";

const WORDS: [&str; 16] = [
    "meeting", "tomorrow", "the", "release", "is", "blocked", "by", "a", "flaky", "test", "again",
    "größe", "lunch?", "🌊", "see", "you",
];
/// Rows of one INSERT.
const ROWS_A_STATEMENT: u64 = 500;
const BLOB_BYTES: usize = 128 << 10;
const WIDE_COLUMNS: u64 = 100;

/// A small generator; the data must only be the same every time.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

impl Workload {
    /// All, in the sizes of a run.
    pub(crate) fn all(settings: &Settings) -> Vec<Workload> {
        vec![
            Workload::messages(settings),
            Workload::Hot {
                updates: settings.rows(300_000, 20_000),
                rows: settings.rows(10_000, 2_000),
            },
            Workload::Wide {
                rows: settings.rows(80_000, 4_000),
            },
            Workload::Blobs {
                rows: settings.rows(1_600, 100),
            },
            Workload::Tables {
                tables: settings.rows(1_000, 100),
                rows: settings.rows(200_000, 10_000),
            },
        ]
    }

    pub(crate) fn messages(settings: &Settings) -> Workload {
        Workload::Messages {
            rows: settings.rows(1_200_000, 100_000),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Messages { .. } => "messages",
            Workload::Hot { .. } => "hot updates",
            Workload::Wide { .. } => "wide rows",
            Workload::Blobs { .. } => "blobs",
            Workload::Tables { .. } => "many tables",
        }
    }

    /// Row images that its transactions log; an update has two.
    pub(crate) fn images(self) -> u64 {
        match self {
            Workload::Messages { rows } => rows / ROWS_A_STATEMENT * ROWS_A_STATEMENT,
            Workload::Hot { updates, .. } => 2 * updates,
            Workload::Wide { rows } | Workload::Blobs { rows } => rows,
            Workload::Tables { tables, rows } => rows / tables * tables,
        }
    }

    /// The tables, and rows that are there before the workload begins.
    pub(crate) fn create(self, server: &TestServer) {
        let mut script = Script::start(server);
        script.line(&format!(
            "CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;"
        ));
        match self {
            Workload::Messages { .. } => script.line(
                "CREATE TABLE bench.messages (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, \
                 conversation_id BIGINT NOT NULL, sender_id INT NOT NULL, body TEXT NOT NULL, meta JSON, \
                 score DOUBLE, kind ENUM('text','image','voice') NOT NULL, sent_at DATETIME(6) NOT NULL, \
                 KEY (conversation_id, id));",
            ),
            Workload::Hot { rows, .. } => {
                script.line(
                    "CREATE TABLE bench.hot (id INT PRIMARY KEY, hits BIGINT NOT NULL, \
                     seen TIMESTAMP(6) NULL, name VARCHAR(60) NOT NULL);",
                );
                let ids: Vec<u64> = (0..rows).collect();
                for ids in ids.chunks(1_000) {
                    let row = |id: &u64| format!("({id}, 0, NULL, 'counter number {id}')");
                    script.insert("hot", ids.iter().map(row));
                }
            }
            Workload::Wide { .. } => {
                let column = |n: u64| match n % 5 {
                    0 => format!("c{n} INT"),
                    1 => format!("c{n} BIGINT NOT NULL"),
                    2 => format!("c{n} DECIMAL(12,3)"),
                    3 => format!("c{n} VARCHAR(20)"),
                    _ => format!("c{n} DATETIME(3)"),
                };
                let columns: Vec<String> = (0..WIDE_COLUMNS).map(column).collect();
                script.line(&format!(
                    "CREATE TABLE bench.wide (id INT PRIMARY KEY, {});",
                    columns.join(", ")
                ));
            }
            Workload::Blobs { .. } => {
                script.line("CREATE TABLE bench.blobs (id INT PRIMARY KEY, content LONGBLOB NOT NULL);");
            }
            Workload::Tables { tables, .. } => {
                for table in 0..tables {
                    script.line(&format!(
                        "CREATE TABLE bench.t{table} (id INT PRIMARY KEY, a INT, b VARCHAR(50), c DATETIME);"
                    ));
                }
            }
        }
        script.end();
    }

    /// What is measured.
    pub(crate) fn write(self, server: &TestServer) {
        let mut script = Script::start(server);
        let mut numbers = Numbers::new(42);
        match self {
            Workload::Messages { rows } => messages(&mut script, &mut numbers, rows),
            Workload::Hot { updates, rows } => {
                for _ in 0..updates {
                    let id = numbers.below(rows);
                    script.line(&format!(
                        "UPDATE bench.hot SET hits = hits + 1, seen = NOW(6) WHERE id = {id};"
                    ));
                }
            }
            Workload::Wide { rows } => {
                let ids: Vec<u64> = (0..rows).collect();
                for ids in ids.chunks(100) {
                    let row = |id: &u64| wide_row(&mut numbers, *id);
                    script.insert("wide", ids.iter().map(row).collect::<Vec<_>>().into_iter());
                }
            }
            Workload::Blobs { rows } => {
                for id in 0..rows {
                    let content = hex::encode(numbers.bytes(BLOB_BYTES));
                    script.insert("blobs", std::iter::once(format!("({id}, X'{content}')")));
                }
            }
            Workload::Tables { tables, rows } => {
                for round in 0..(rows / tables).div_ceil(10) {
                    let ids: Vec<u64> =
                        (10 * round..(10 * round + 10).min(rows / tables)).collect();
                    for table in 0..tables {
                        let mut row = |id: &u64| {
                            let (a, word) = (numbers.below(1_000), WORDS[(id % 10) as usize]);
                            format!("({id}, {a}, '{word} of {table}', '2026-11-20 10:00:00')")
                        };
                        let rows: Vec<String> = ids.iter().map(&mut row).collect();
                        script.insert(&format!("t{table}"), rows.into_iter());
                    }
                }
            }
        }
        script.end();
    }
}

fn messages(script: &mut Script, numbers: &mut Numbers, rows: u64) {
    for _ in 0..rows / ROWS_A_STATEMENT {
        let values = (0..ROWS_A_STATEMENT).map(|_| message(numbers));
        let values: Vec<String> = values.collect();
        script.insert(
            "messages (conversation_id, sender_id, body, meta, score, kind, sent_at)",
            values.into_iter(),
        );
    }
}

/// Values of one message.
pub(crate) fn message(numbers: &mut Numbers) -> String {
    let words = numbers.below(30) + 4;
    let body: Vec<&str> = (0..words)
        .map(|_| WORDS[numbers.below(16) as usize])
        .collect();
    format!(
        "({}, {}, '{}', '{{\"client\": {}, \"mentions\": [{}], \"v\": 1.5}}', {}.5, {}, \
         '2026-11-20 10:00:00.{:06}')",
        numbers.below(5_000),
        numbers.below(100_000),
        body.join(" "),
        numbers.below(9),
        numbers.below(100_000),
        numbers.below(1_000),
        numbers.below(3) + 1,
        numbers.below(1_000_000)
    )
}

fn wide_row(numbers: &mut Numbers, id: u64) -> String {
    let cell = |column: u64| match column % 5 {
        0 if numbers.below(4) == 0 => "NULL".to_owned(),
        0 => numbers.below(100).to_string(),
        1 => (numbers.below(1 << 30) * 1_000).to_string(),
        2 => format!("{}.{:03}", numbers.below(100_000), numbers.below(1_000)),
        3 => format!(
            "'{} {}'",
            WORDS[numbers.below(16) as usize],
            numbers.below(50)
        ),
        _ => format!(
            "'2026-11-20 10:{:02}:00.{:03}'",
            numbers.below(60),
            numbers.below(1_000)
        ),
    };
    let cells: Vec<String> = (0..WIDE_COLUMNS).map(cell).collect();
    format!("({id}, {})", cells.join(", "))
}

/// SQL on its way through the server's own client.
pub(crate) struct Script {
    child: std::process::Child,
    input: Option<BufWriter<ChildStdin>>,
}

impl Script {
    pub(crate) fn start(server: &TestServer) -> Script {
        let mut client = client(server);
        client.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = client.spawn().expect("start the client");
        let input = child.stdin.take().map(BufWriter::new);
        Script { child, input }
    }

    pub(crate) fn line(&mut self, statement: &str) {
        let input = self.input.as_mut().expect("the script has not ended");
        let sent = writeln!(input, "{statement}");
        sent.expect("send SQL (the client's error is above)");
    }

    fn insert(&mut self, into: &str, rows: impl Iterator<Item = String>) {
        let rows: Vec<String> = rows.collect();
        self.line(&format!(
            "INSERT INTO bench.{into} VALUES {};",
            rows.join(",")
        ));
    }

    /// Waits until the server has done everything.
    pub(crate) fn end(mut self) {
        let input = self.input.take().expect("the script has not ended");
        input.into_inner().expect("send SQL");
        let status = self.child.wait().expect("wait for the client");
        assert!(status.success(), "the client ended with {status}");
    }
}

/// The server's own client, as root.
pub(crate) fn client(server: &TestServer) -> Command {
    let mut command = Command::new(server.client());
    command
        .arg("--no-defaults")
        .args(["-uroot", "--default-character-set=utf8mb4"])
        .args(["--max-allowed-packet=64M", "-S"])
        .arg(server.socket());
    command
}
