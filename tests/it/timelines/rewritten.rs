//! A source that was put back to an earlier state and went on: its transactions have our numbers.

use super::*;
use crate::support::start;
use std::path::Path;
use std::process::Command;
use tidelog::position::BinlogPosition;
use tidelog::service::throwaway::ServerSpec;
use tidelog::source::{Endpoint, EventAt, ReplicaOptions, binlog_event_at};
use uuid::Uuid;

fn command(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(
        status.expect("the command runs").success(),
        "{program} {arguments:?}"
    );
}

/// Copies a server's disk at one moment, as a volume snapshot does.
fn copy_disk(server: &TestServer, to: &Path) {
    let pid = server.pid().expect("a running server").to_string();
    command("kill", &["-STOP", &pid]);
    let from = server.data_dir().display().to_string();
    command("cp", &["-a", &from, &to.display().to_string()]);
    command("kill", &["-CONT", &pid]);
}

/// Puts a copy in the place of the server's disk.
fn put_back(server: &mut TestServer, copy: &Path) {
    server.kill9().expect("the server is killed");
    std::fs::remove_dir_all(server.data_dir()).expect("the disk is removed");
    std::fs::rename(copy, server.data_dir()).expect("the copy takes its place");
    server.restart(&[]).expect("the server comes up");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_02_a_source_put_back_from_a_copy_of_its_disk_is_seen() {
    for flavor in FLAVORS {
        let (mut setup, mut conn) = Setup::based(flavor, &TABLE).await;
        insert(&mut conn, 0..4).await;
        setup.capture();
        let copy = setup.scratch("copy");
        copy_disk(&setup.source, &copy);
        insert(&mut conn, 4..8).await;
        setup.capture();
        let (parent_last, parent_state) = (seq_last(&setup), state(&setup.source).await);

        drop(conn);
        put_back(&mut setup.source, &copy);
        let mut conn = setup.source.conn().await;
        // More than we have, under the same GTIDs.
        insert(&mut conn, 100..120).await;
        capture(&setup, &setup.source).refused(1, &["history=reset", "timeline fork"]);
        assert_eq!(seq_last(&setup), parent_last, "nothing was appended");

        fork(&setup, &setup.source, &[]).success();
        base(&setup, &setup.source).await;
        insert(&mut conn, 200..203).await;
        capture(&setup, &setup.source).success();
        let latest = state(&setup.source).await;
        let before = ["--timeline", "1", "--to-seq", &parent_last];
        restores(&setup, &setup.target, &before, &parent_state).await;
        restores(&setup, &setup.target, &["--latest"], &latest).await;
    }
}

/// Start and length of every event of a binlog file.
fn events(file: &[u8]) -> Vec<(u64, usize)> {
    let mut all = Vec::new();
    let mut at = 4;
    while let Some(length) = file.get(at + 9..at + 13) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        all.push((at as u64, length));
        at += length;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_read_where_it_stands() {
    for flavor in FLAVORS {
        let source = start(ServerSpec::new(flavor)).await;
        let mut conn = source.conn().await;
        exec_all(&mut conn, &TABLE).await;
        insert(&mut conn, 0..4).await;
        let endpoint: Endpoint = source.account_url().parse().expect("a URL");
        let replica = ReplicaOptions::new(4_711, Uuid::from_u128(4_711));
        let files: Vec<Row> = query(&mut conn, "SHOW BINARY LOGS").await;
        let file: String = files[files.len() - 1].get(0).expect("a name");
        let bytes = std::fs::read(source.data_dir().join(&file)).expect("the binlog file");
        let at = |offset: u64| {
            let (endpoint, replica) = (endpoint.clone(), replica.clone());
            let position = BinlogPosition::new(&file, offset);
            async move {
                binlog_event_at(&endpoint, &replica, position)
                    .await
                    .expect("an answer")
            }
        };
        let all = events(&bytes);
        // The head of the file apart, which a dump from inside of it does not send, and the events
        // that MariaDB 11.8 gives no position (never the first or the last of a transaction).
        let says_where = |(start, _): &&(u64, usize)| {
            let at = *start as usize;
            bytes[at + 13..at + 17] != [0; 4]
        };
        let placed: Vec<_> = all.iter().skip(3).filter(says_where).collect();
        assert!(placed.len() > 10, "{flavor}: {placed:?}");
        for (start, length) in placed.into_iter().step_by(3) {
            let event = bytes[*start as usize..*start as usize + length].to_vec();
            assert_eq!(
                at(*start).await,
                EventAt::Found(event.into()),
                "{flavor} {start}"
            );
        }
        let (last, _) = all[all.len() - 1];
        assert_eq!(at(last + 5).await, EventAt::Nothing, "inside of an event");
        assert_eq!(
            at(bytes.len() as u64 + 99).await,
            EventAt::Nothing,
            "past the end"
        );
        let gone = BinlogPosition::new("binlog.000077", 4_711);
        let gone = binlog_event_at(&endpoint, &replica, gone).await;
        assert_eq!(gone.expect("an answer"), EventAt::Purged);
    }
}
