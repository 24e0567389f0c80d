//! Data, servers and the `tidelog` binary for the benchmark.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ThrowawayServer;

const CREATE: &str = "CREATE DATABASE bench CHARACTER SET utf8mb4;
CREATE TABLE bench.messages (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, conversation_id BIGINT NOT NULL,
  sender_id INT NOT NULL, body TEXT NOT NULL, meta JSON, score DOUBLE, kind ENUM('text','image','voice') NOT NULL,
  sent_at DATETIME(6) NOT NULL, KEY (conversation_id, id));
CREATE TABLE bench.hot (id INT PRIMARY KEY, hits BIGINT NOT NULL, seen TIMESTAMP(6) NULL);";

fn total() -> u64 {
    let given = std::env::var("TIDELOG_BENCH_ROWS").ok();
    given.map_or(1_200_000, |n| {
        n.parse().expect("TIDELOG_BENCH_ROWS is a number")
    })
}

/// Runs SQL through the server's own client.
pub(crate) fn sql(server: &ThrowawayServer, text: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(server.client())
        .arg("--no-defaults")
        .args([
            "-uroot",
            "-N",
            "-B",
            "--default-character-set=utf8mb4",
            "-S",
        ])
        .arg(server.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the client");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("send SQL");
    let output = child.wait_with_output().expect("run SQL");
    assert!(
        output.status.success(),
        "SQL failed: {}",
        text.chars().take(200).collect::<String>()
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn create(server: &ThrowawayServer) {
    sql(server, CREATE);
    let values: Vec<String> = (0..1_000).map(|id| format!("({id}, 0, NULL)")).collect();
    sql(
        server,
        &format!("INSERT INTO bench.hot VALUES {};", values.join(",")),
    );
}

/// Text-like messages in transactions of 500 rows, then one-row updates of hot rows.
pub(crate) fn write(server: &ThrowawayServer) {
    const WORDS: [&str; 16] = [
        "meeting", "tomorrow", "the", "release", "is", "blocked", "by", "a", "flaky", "test",
        "again", "größe", "lunch?", "🌊", "see", "you",
    ];
    let mut state = 42_u64;
    let mut next = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut text = String::new();
    for _ in 0..total() / 500 {
        let values: Vec<String> = (0..500)
            .map(|_| {
                let body: Vec<&str> = (0..next(30) + 4).map(|_| WORDS[next(16) as usize]).collect();
                format!(
                    "({}, {}, '{}', '{{\"client\": {}, \"mentions\": [{}], \"v\": 1.5}}', {}.5, {}, '2026-11-20 10:00:00.{:06}')",
                    next(5_000), next(100_000), body.join(" "), next(9), next(100_000), next(1_000), next(3) + 1, next(1_000_000)
                )
            })
            .collect();
        text.push_str("INSERT INTO bench.messages (conversation_id, sender_id, body, meta, score, kind, sent_at) VALUES ");
        text.push_str(&values.join(","));
        text.push_str(";\n");
    }
    for _ in 0..total() / 30 {
        text.push_str(&format!(
            "UPDATE bench.hot SET hits = hits + 1, seen = NOW(6) WHERE id = {};\n",
            next(1_000)
        ));
    }
    sql(server, &text);
}

/// Rows of the messages table, and a sum that any other content would change.
pub(crate) fn rows(server: &ThrowawayServer) -> u64 {
    let sums = sql(
        server,
        "SELECT COUNT(*) FROM bench.messages; SELECT SUM(hits) FROM bench.hot;",
    );
    let mut lines = sums.lines();
    let count: u64 = lines.next().expect("a count").parse().expect("a number");
    let hits: u64 = lines.next().expect("a sum").parse().expect("a number");
    assert_eq!(hits, total() / 30, "updates are missing");
    count
}

/// File and offset of the end of the binlog.
pub(crate) fn position(server: &ThrowawayServer) -> (String, u64) {
    let statement = match server.flavor() {
        Flavor::MySql => "SHOW BINARY LOG STATUS;",
        Flavor::MariaDb => "SHOW MASTER STATUS;",
    };
    let line = sql(server, statement);
    let mut cells = line.split('\t');
    let file = cells.next().expect("file").to_owned();
    (
        file,
        cells.next().expect("offset").parse().expect("a number"),
    )
}

pub(crate) fn bytes_between(
    server: &ThrowawayServer,
    from: &(String, u64),
    to: &(String, u64),
) -> u64 {
    let all: u64 = binlog_files(server, &from.0)
        .iter()
        .map(|f| f.metadata().expect("a file").len())
        .sum();
    let after = server
        .data_dir()
        .join(&to.0)
        .metadata()
        .expect("a file")
        .len()
        - to.1;
    all - from.1 - after
}

/// The server's binlog files from one on.
pub(crate) fn binlog_files(server: &ThrowawayServer, from: &str) -> Vec<PathBuf> {
    let listing = sql(server, "SHOW BINARY LOGS;");
    let names = listing.lines().filter_map(|l| l.split('\t').next());
    names
        .filter(|name| *name >= from)
        .map(|name| server.data_dir().join(name))
        .collect()
}

pub(crate) fn command_for(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidelog"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs tidelog to its end, which must be good.
pub(crate) fn tidelog(args: &[&str]) {
    let output = command_for(args).output().expect("run tidelog");
    assert!(
        output.status.success(),
        "tidelog {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs tidelog to its end; gives its time and its peak memory in MiB.
pub(crate) fn capture(args: &[&str]) -> (Duration, u64) {
    let watch = Instant::now();
    let mut child = command_for(args)
        .stdout(Stdio::null())
        .spawn()
        .expect("start tidelog");
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().expect("wait for tidelog") {
            assert!(status.success(), "tidelog {args:?} ended with {status}");
            return (watch.elapsed(), peak);
        }
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line
            .and_then(|l| l.split_whitespace().next())
            .and_then(|n| n.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn service(args: &[&str]) -> Child {
    command_for(args)
        .stdout(Stdio::null())
        .spawn()
        .expect("start tidelog")
}

/// SIGTERM, and the end.
pub(crate) fn stop(child: &mut Child) {
    let kill = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .expect("run kill");
    assert!(kill.success(), "SIGTERM was not delivered");
    assert!(
        child.wait().expect("wait for tidelog").success(),
        "tidelog failed"
    );
}

pub(crate) fn wait_for_base(repo: &str) {
    let folder = PathBuf::from(repo.trim_start_matches("file://")).join("timelines/0001/base");
    for _ in 0..600 {
        if folder.read_dir().is_ok_and(|mut d| {
            d.any(|e| e.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "json")))
        }) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no base after a minute");
}

/// Bytes of all segment files.
pub(crate) fn stored_bytes(repo: &str) -> u64 {
    let folder = PathBuf::from(repo.trim_start_matches("file://")).join("timelines/0001/segments");
    let segments = folder
        .read_dir()
        .expect("segments")
        .map(|e| e.expect("an entry").path());
    let files = segments.flat_map(|s| s.read_dir().expect("a segment"));
    files
        .map(|f| f.expect("an entry").metadata().expect("a file").len())
        .sum()
}
