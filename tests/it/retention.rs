//! A source that deletes its binlog before it was captured: told before, and after.

use crate::support::proxy::Proxy;
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query};
use crate::support::{Setup, cli};
use mysql_async::{Conn, Row};
use std::path::Path;
use std::time::Duration;
use tidelog::runtime::Deadline;

fn binlog(setup: &Setup) -> serde_json::Value {
    let url = setup.source.account_url();
    let status = cli::run(&["status", "--json", "--repo", &setup.repo, "--source", &url]);
    status.success().json()["binlog"].clone()
}

fn warnings(setup: &Setup) -> Vec<String> {
    let binlog = binlog(setup);
    let all = binlog["warnings"].as_array().expect("warnings");
    all.iter()
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

async fn has(log: &Path, words: &str) -> String {
    let deadline = Deadline::after(Duration::from_secs(90));
    while !deadline.has_passed() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if text.contains(words) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no {words:?} in the log of capture");
}

/// Deletes all binlog files but the newest; a file that a dump still reads stays at first.
async fn purge(conn: &mut Conn) {
    let deadline = Deadline::after(Duration::from_secs(90));
    while !deadline.has_passed() {
        let rows: Vec<Row> = query(conn, "SHOW BINARY LOGS").await;
        if rows.len() == 1 {
            return;
        }
        let file: String = rows[rows.len() - 1].get(0).expect("a name");
        exec(conn, format!("PURGE BINARY LOGS TO '{file}'")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the binlog files stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_capture_may_not_outrun_is_warned_of() {
    for flavor in FLAVORS {
        let tables = [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY, pad TEXT)",
            "INSERT INTO d.t VALUES (1, NULL)",
        ];
        let (setup, mut conn) = Setup::based(flavor, &tables).await;
        exec(&mut conn, "SET GLOBAL binlog_expire_logs_seconds = 864000").await;
        setup.capture();
        for id in 2..400 {
            let row = format!("INSERT INTO d.t VALUES ({id}, REPEAT('x', 8000))");
            exec(&mut conn, row).await;
        }
        let ample = binlog(&setup);
        assert_eq!(ample["kept_seconds"], 864_000.0, "{flavor}: {ample}");
        assert!(
            ample["behind_bytes"].as_u64() > Some(0),
            "{flavor}: {ample}"
        );
        assert!(ample["oldest_file"].is_string(), "{flavor}: {ample}");
        assert_eq!(warnings(&setup), [""; 0], "{flavor}");

        // Behind by more than half of what is kept.
        exec(&mut conn, "SET GLOBAL binlog_expire_logs_seconds = 4").await;
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        let late = warnings(&setup);
        assert!(
            late[0].contains("deletes binlog files after 4 s"),
            "{flavor}: {late:?}"
        );

        // Capture that is as late says so itself, while there is more to come.
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let proxy = Proxy::start(setup.source.port()).await;
        proxy.delay(Duration::from_millis(50));
        let url = proxy.url(&setup.source);
        let args = ["capture", "--source", &url, "--repo", &setup.repo];
        let args: Vec<&str> = args
            .into_iter()
            .chain(["--seal-interval-ms", "200"])
            .collect();
        let capture = cli::spawn_logged(&args, &log);
        let said = has(&log, "binlog retention").await;
        assert!(
            said.contains("deletes binlog files after 4 s"),
            "{flavor}: {said}"
        );
        capture.terminate();

        // What was there is gone.
        exec_all(
            &mut conn,
            &["INSERT INTO d.t VALUES (900, NULL)", "FLUSH BINARY LOGS"],
        )
        .await;
        exec(&mut conn, "SET GLOBAL binlog_expire_logs_seconds = 864000").await;
        purge(&mut conn).await;
        let gone = warnings(&setup);
        assert!(
            gone.iter().any(|w| w.contains("has deleted")),
            "{flavor}: {gone:?}"
        );
    }
}
