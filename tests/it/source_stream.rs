//! The replica stream on real servers: what arrives is what the binlog file holds.

use std::time::Duration;

use bytes::Bytes;
use mysql_async::{Conn, Row};
use tidelog::error::ErrorKind;
use tidelog::position::{BinlogPosition, Flavor, GtidSet};
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};
use tidelog::source::{
    Checksum, DumpFrom, EventStream, ReplicaConnection, ReplicaOptions, SYSTEM_ZONE_RULE,
    SourceIdentity, SqlClient, SqlSession,
};

use crate::source_login::{endpoint, options};
use crate::source_refusal::refused;
use crate::support::server::{FLAVORS, TestServer};
use crate::support::sql::{exec, exec_all, query, query_one, variable};
use crate::support::{start, start_all};

const ROTATE: u8 = 4;
pub(crate) const HEARTBEATS: [u8; 2] = [27, 41];
const TAGGED_GTID: u8 = 42;
const GTID: [u8; 2] = [33, TAGGED_GTID];
const MARIADB_GTID: u8 = 162;

pub(crate) fn kind(event: &[u8]) -> u8 {
    event[4]
}

fn crc_is_good(event: &[u8]) -> bool {
    let (body, crc) = event.split_at(event.len() - 4);
    crc32fast::hash(body).to_le_bytes() == crc
}

pub(crate) async fn connect(server: &TestServer) -> ReplicaConnection {
    let endpoint = endpoint(server, ACCOUNT, PASSWORD);
    let connected = ReplicaConnection::connect(&endpoint, &options()).await;
    connected.unwrap_or_else(|e| panic!("{}", e.report()))
}

/// With quick heartbeats, which show that the source has sent everything.
pub(crate) async fn connect_quick(server: &TestServer) -> ReplicaConnection {
    let quick = ReplicaOptions {
        heartbeat: Duration::from_millis(300),
        ..options()
    };
    let endpoint = endpoint(server, ACCOUNT, PASSWORD);
    let connected = ReplicaConnection::connect(&endpoint, &quick).await;
    connected.unwrap_or_else(|e| panic!("{}", e.report()))
}

pub(crate) async fn stream(server: &TestServer, from: DumpFrom) -> EventStream {
    let started = connect_quick(server).await.start(from).await;
    started.unwrap_or_else(|e| panic!("{}", e.report()))
}

pub(crate) fn at(file: &str, offset: u64) -> DumpFrom {
    DumpFrom::Position(BinlogPosition::new(file, offset))
}

pub(crate) fn gtids(server: &TestServer, text: &str) -> DumpFrom {
    DumpFrom::Gtid(GtidSet::parse(server.flavor(), text).expect("a set"))
}

/// The set of everything executed.
pub(crate) async fn executed(server: &TestServer) -> String {
    let name = match server.flavor() {
        Flavor::MySql => "gtid_executed",
        Flavor::MariaDb => "gtid_binlog_pos",
    };
    variable(&mut server.conn().await, name)
        .await
        .replace('\n', "")
}

/// Events until the source has nothing more to say, with every checksum verified.
async fn events(stream: &mut EventStream) -> Vec<Bytes> {
    let mut events = Vec::new();
    let mut quiet = 0;
    // One heartbeat may also stand for transactions that were left out before the next event.
    while quiet < 2 {
        let packet = stream.next().await;
        let event = packet.unwrap_or_else(|e| panic!("{}", e.report())).event;
        let len = u32::from_le_bytes(event[9..13].try_into().expect("four bytes"));
        assert_eq!(len as usize, event.len());
        assert!(crc_is_good(&event), "type {}", kind(&event));
        match HEARTBEATS.contains(&kind(&event)) {
            true => quiet += 1,
            false => {
                quiet = 0;
                events.push(event);
            }
        }
    }
    events
}

pub(crate) async fn write_rows(server: &TestServer) {
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)",
            "INSERT INTO d.t (b) VALUES (REPEAT('a', 1000)), (NULL)",
            "UPDATE d.t SET b = 'x' WHERE id = 2",
            "DELETE FROM d.t WHERE id = 1",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_stream_is_the_file_byte_for_byte() {
    let specs = FLAVORS.map(|f| ServerSpec::new(f).option("--max-allowed-packet=128M"));
    for server in start_all(specs).await {
        write_rows(&server).await;
        let mut conn = server.conn().await;
        // Packets around one and two full frames, and far above.
        for len in [
            (1 << 24) - 100,
            (1 << 24) - 1,
            1 << 24,
            (1 << 25) - 64,
            40 << 20,
        ] {
            let row = format!("INSERT INTO d.t (b) VALUES (REPEAT('{}', {len}))", len % 10);
            exec(&mut conn, row).await;
        }
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        let file = std::fs::read(server.data_dir().join("binlog.000001")).expect("the file");
        let mut from = file.get(4..).expect("after the magic number");
        let mut stream = stream(&server, at("binlog.000001", 4)).await;
        assert_eq!(stream.checksum(), Checksum::Crc32);
        assert!(!stream.is_semi_sync());
        let mut largest = 0;
        let mut first = true;
        while !from.is_empty() {
            let event = stream.next().await.expect("an event").event;
            if first {
                assert_eq!((kind(&event), &event[..4]), (ROTATE, &[0; 4][..]));
                first = false;
                continue;
            }
            let (wanted, rest) = from.split_at(event.len());
            assert!(
                event == wanted,
                "type {} before {}",
                kind(&event),
                rest.len()
            );
            largest = largest.max(event.len());
            from = rest;
        }
        assert!(largest > 40 << 20, "{largest}");
    }
}

/// A start in the middle: the format description comes first, with no position of its own, then
/// the file from there on; also when older files are gone.
#[tokio::test]
async fn a_start_inside_a_file_begins_there() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        write_rows(&server).await;
        let mut conn = server.conn().await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        exec(&mut conn, "INSERT INTO d.t (b) VALUES ('one'), ('two')").await;
        purge_to(&mut conn, "binlog.000002").await;
        exec(&mut conn, "INSERT INTO d.t (b) VALUES ('three')").await;
        let file = std::fs::read(server.data_dir().join("binlog.000002")).expect("the file");
        let mut offsets = vec![4];
        while let Some(len) = file.get(offsets[offsets.len() - 1] + 9..) {
            let len = u32::from_le_bytes(len[..4].try_into().expect("four bytes"));
            offsets.push(offsets[offsets.len() - 1] + len as usize);
        }
        for &offset in &offsets[1..offsets.len() - 1] {
            let from = at("binlog.000002", offset as u64);
            let events = events(&mut stream(&server, from).await).await;
            assert_eq!((kind(&events[0]), kind(&events[1])), (ROTATE, 15));
            assert_eq!(
                events[1][13..17],
                [0; 4],
                "a description that is not of the file"
            );
            assert!(
                events[2..].concat() == file[offset..],
                "{}",
                server.flavor()
            );
        }
    }
}

#[tokio::test]
async fn a_start_by_gtid_brings_what_is_missing() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        write_rows(&server).await;
        let before = executed(&server).await;
        let mut conn = server.conn().await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        exec(&mut conn, "INSERT INTO d.t (b) VALUES ('new'), ('newer')").await;
        let mut missing = stream(&server, gtids(&server, &before)).await;
        let events = events(&mut missing).await;
        let transactions = events
            .iter()
            .filter(|e| GTID.contains(&kind(e)) || kind(e) == MARIADB_GTID);
        assert_eq!(transactions.count(), 1, "{}", server.flavor());
        let holds = |text: &[u8]| {
            events
                .iter()
                .any(|e| e.windows(text.len()).any(|w| w == text))
        };
        assert!(holds(b"newer") && !holds(b"aaaaaaaa"));
        // Everything, from the empty set, and nothing, from the whole one.
        let mut all = stream(&server, gtids(&server, "")).await;
        assert!(events_of(&mut all).await > events.len());
        let now = executed(&server).await;
        let mut none = stream(&server, gtids(&server, &now)).await;
        let none = self::events(&mut none).await;
        assert!(
            none.iter()
                .all(|e| !GTID.contains(&kind(e)) && kind(e) != MARIADB_GTID)
        );
    }
}

async fn events_of(stream: &mut EventStream) -> usize {
    events(stream).await.len()
}

#[tokio::test]
async fn tagged_gtids_are_left_out_as_asked() {
    let server = start(ServerSpec::new(Flavor::MySql)).await;
    write_rows(&server).await;
    let mut conn = server.conn().await;
    for tag in ["AUTOMATIC:tag_a", "AUTOMATIC:tag_a", "AUTOMATIC:b"] {
        exec(&mut conn, format!("SET gtid_next='{tag}'")).await;
        exec(&mut conn, format!("INSERT INTO d.t (b) VALUES ('{tag}')")).await;
    }
    let before = executed(&server).await;
    assert!(before.contains(":tag_a:1-2"), "{before}");
    exec(&mut conn, "SET gtid_next='AUTOMATIC:tag_a'").await;
    exec(&mut conn, "INSERT INTO d.t (b) VALUES ('the last one')").await;

    let tagged = |events: &[Bytes]| events.iter().filter(|e| kind(e) == TAGGED_GTID).count();
    let mut rest = stream(&server, gtids(&server, &before)).await;
    let rest = events(&mut rest).await;
    assert_eq!(rest.iter().filter(|e| GTID.contains(&kind(e))).count(), 1);
    assert_eq!(tagged(&rest), 1);
    // Without its tags the set holds none of the tagged transactions, and names no strange ones.
    let untagged = before.split(":b:").next().expect("a part").to_owned();
    let untagged = untagged.split(":tag_a:").next().expect("a part").to_owned();
    let mut more = stream(&server, gtids(&server, &untagged)).await;
    assert_eq!(tagged(&events(&mut more).await), 4);
    // A tagged transaction that the source has not: refused, so the tag has been understood.
    let strange = before.replace(":tag_a:1-2", ":tag_a:1-9");
    let error = refused(&server, gtids(&server, &strange)).await;
    assert_eq!(error.get("refusal"), Some("diverged"), "{}", error.report());
}

/// MariaDB keeps a file until a checkpoint that comes a little after its rotation.
pub(crate) async fn purge_to(conn: &mut Conn, file: &str) {
    for _ in 0..200 {
        exec(conn, format!("PURGE BINARY LOGS TO '{file}'")).await;
        let files: Vec<Row> = query(conn, "SHOW BINARY LOGS").await;
        let first: Option<String> = files.first().and_then(|row| row.get(0));
        if first.as_deref() == Some(file) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{file} does not become the first");
}

#[tokio::test]
async fn identity_and_clock_are_read_on_either_connection() {
    let now_us = || tidelog::runtime::Clock::system().now_us();
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut replica = connect(&server).await;
        let identity = replica.identity().await.expect("an identity");
        assert_eq!(
            (identity.flavor, identity.server_id),
            (server.flavor(), server.server_id())
        );
        assert!(identity.version.starts_with(server.version()));
        let session = SqlSession::default();
        let endpoint = endpoint(&server, ACCOUNT, PASSWORD);
        let mut client = SqlClient::connect(&endpoint, &session)
            .await
            .expect("a client");
        let again: SourceIdentity = client.identity().await.expect("an identity");
        assert!(identity.is_same_server(&again));
        let mut settings = again.settings.clone();
        // Only capture's own connection asks what the zone of the host does in a year.
        assert!(settings.remove(SYSTEM_ZONE_RULE).is_some());
        assert_eq!(identity.settings, settings);
        let wanted = match server.flavor() {
            Flavor::MySql => "default_collation_for_utf8mb4",
            Flavor::MariaDb => "mysql56_temporal_format",
        };
        for name in [
            wanted,
            "lower_case_table_names",
            "system_time_zone",
            "collation_server",
        ] {
            assert!(identity.settings.contains_key(name), "{name}: {identity:?}");
        }
        // One machine, one clock: zero lies within the bound, whatever the session's time zone.
        let mut conn = server.conn().await;
        exec(&mut conn, "SET GLOBAL time_zone='+05:30'").await;
        for offset in [
            connect(&server)
                .await
                .clock_offset(now_us)
                .await
                .expect("a clock"),
            client.clock_offset(now_us).await.expect("a clock"),
        ] {
            assert!(offset.offset_us.abs() <= offset.bound_us, "{offset:?}");
        }
        let zone: String = query_one(&mut conn, "SELECT @@global.time_zone").await;
        assert_eq!(zone, "+05:30");
        let ours = client.query_string("SELECT @@session.time_zone").await;
        assert_eq!(ours.expect("a zone").as_deref(), Some("+00:00"));
        let error = client.exec("SELECT nothing FROM nowhere").await;
        let error = error.expect_err("a statement that cannot work");
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{}", error.report());
        assert_eq!(error.get("sql"), Some("SELECT nothing FROM nowhere"));
    }
}
