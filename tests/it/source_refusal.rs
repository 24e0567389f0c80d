//! How a source says no, and how a stream ends: every way is an error of its kind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidelog::error::{Error, ErrorKind};
use tidelog::position::{Flavor, GtidSet};
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};
use tidelog::source::{Checksum, DumpFrom, EventStream, ReplicaConnection, ReplicaOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::source_login::{endpoint, options};
use crate::source_stream::{
    HEARTBEATS, at, connect, connect_quick, executed, gtids, kind, purge_to, stream, write_rows,
};
use crate::support::server::{FLAVORS, TestServer};
use crate::support::sql::{exec, exec_all};
use crate::support::start_all;

/// The error that a start, or the stream before it falls quiet, ends in.
pub(crate) async fn refused(server: &TestServer, from: DumpFrom) -> Error {
    let described = format!("{from:?}");
    let mut stream = match connect_quick(server).await.start(from).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    let mut heartbeats = 0;
    while heartbeats < 3 {
        match stream.next().await {
            Err(error) => return error,
            Ok(packet) => heartbeats += usize::from(HEARTBEATS.contains(&kind(&packet.event))),
        }
    }
    panic!("not refused: {described}");
}

#[tokio::test]
async fn refusals_are_sorted() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        write_rows(&server).await;
        let flavor = server.flavor();
        let before = executed(&server).await;
        let size = std::fs::metadata(server.data_dir().join("binlog.000001")).expect("a file");
        let past = refused(&server, at("binlog.000001", size.len() + 1000)).await;
        let unknown = refused(&server, at("binlog.004711", 4)).await;
        let inside = refused(&server, at("binlog.000001", size.len() - 20)).await;
        let ahead = match flavor {
            Flavor::MySql => format!("{before}00"),
            Flavor::MariaDb => format!("{before}000"),
        };
        let diverged = refused(&server, gtids(&server, &ahead)).await;
        for (error, kind, refusal) in [
            (past, ErrorKind::Incompatible, "diverged"),
            (unknown, ErrorKind::Gap, "purged"),
            (inside, ErrorKind::Corrupt, "source-corrupt"),
            (diverged, ErrorKind::Incompatible, "diverged"),
        ] {
            let report = format!("{flavor}: {}", error.report());
            assert_eq!(error.get("refusal"), Some(refusal), "{report}");
            assert_eq!(error.kind(), kind, "{report}");
            assert!(error.hint_text().is_some(), "{report}");
        }
        let none = refused(&server, at("binlog.000001", 3)).await;
        assert_eq!(none.kind(), ErrorKind::Config);
        let far = refused(&server, at("binlog.000001", 5 << 30)).await;
        assert_eq!(far.kind(), ErrorKind::Incompatible);
        let other = match flavor {
            Flavor::MySql => GtidSet::parse(Flavor::MariaDb, "0-1-1"),
            Flavor::MariaDb => GtidSet::parse(Flavor::MySql, ""),
        };
        let other = refused(&server, DumpFrom::Gtid(other.expect("a set"))).await;
        assert_eq!(other.kind(), ErrorKind::Incompatible);

        let mut conn = server.conn().await;
        exec_all(
            &mut conn,
            &["FLUSH BINARY LOGS", "DELETE FROM d.t", "FLUSH BINARY LOGS"],
        )
        .await;
        purge_to(&mut conn, "binlog.000003").await;
        let start = match flavor {
            Flavor::MySql => String::new(),
            // The position before the purged transaction.
            Flavor::MariaDb => before,
        };
        let error = refused(&server, gtids(&server, &start)).await;
        assert_eq!(error.get("refusal"), Some("purged"), "{}", error.report());
        assert_eq!(error.kind(), ErrorKind::Gap);
        if flavor == Flavor::MySql {
            let missing = error.get("missing").expect("the missing transactions");
            assert!(
                GtidSet::parse(flavor, missing).is_ok_and(|s| !s.is_empty()),
                "{missing}"
            );
        }
    }
}

/// Reads until the stream ends in an error.
async fn end_of(mut stream: EventStream) -> Error {
    loop {
        match stream.next().await {
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn a_rival_a_reset_and_a_kill_end_the_stream() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        write_rows(&server).await;
        let first = stream(&server, at("binlog.000001", 4)).await;
        let second = connect(&server).await;
        let id = second.connection_id();
        let second = second
            .start(at("binlog.000001", 4))
            .await
            .expect("the rival streams");
        let error = end_of(first).await;
        assert_eq!(
            error.get("refusal"),
            Some("collision"),
            "{}",
            error.report()
        );
        assert_eq!(error.kind(), ErrorKind::Config);

        let mut conn = server.conn().await;
        exec(&mut conn, format!("KILL {id}")).await;
        let error = end_of(second).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());

        let third = stream(&server, at("binlog.000001", 4)).await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        exec(
            &mut conn,
            match server.flavor() {
                Flavor::MySql => "RESET BINARY LOGS AND GTIDS",
                Flavor::MariaDb => "RESET MASTER",
            },
        )
        .await;
        exec(&mut conn, "INSERT INTO d.t (b) VALUES ('after')").await;
        let error = tokio::time::timeout(Duration::from_secs(60), end_of(third)).await;
        let error = error.expect("the stream ends after a reset");
        assert_eq!(error.get("refusal"), Some("reset"), "{}", error.report());
    }
}

#[tokio::test]
async fn rights_and_settings_that_are_missing_are_named() {
    for server in
        start_all(FLAVORS.map(|f| ServerSpec::new(f).option("--binlog-checksum=NONE"))).await
    {
        let mut conn = server.conn().await;
        exec(&mut conn, "CREATE USER poor@'%' IDENTIFIED BY 'p'").await;
        let poor = endpoint(&server, "poor", "p");
        let connected = ReplicaConnection::connect(&poor, &options()).await;
        let started = connected
            .expect("it may log in")
            .start(at("binlog.000001", 4))
            .await;
        let error = started.expect_err("no right to replicate");
        assert_eq!(error.kind(), ErrorKind::Config, "{}", error.report());
        let plain = connect(&server).await;
        assert_eq!(plain.checksum(), Checksum::None);
    }
    for server in start_all(FLAVORS.map(|f| ServerSpec::new(f).option("--skip-log-bin"))).await {
        let error = refused(&server, at("binlog.000001", 4)).await;
        assert_eq!(
            error.get("refusal"),
            Some("misconfigured"),
            "{}",
            error.report()
        );
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

/// Passes bytes on until told to swallow them.
async fn proxy(to: SocketAddr, swallow: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("a client");
        let far = TcpStream::connect(to).await.expect("the server");
        let (mut near_in, mut near_out) = near.into_split();
        let (mut far_in, mut far_out) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = far_in.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            if !swallow.load(Ordering::Relaxed) {
                near_out
                    .write_all(&buffer[..count])
                    .await
                    .expect("passed on");
            }
        }
    });
    address
}

#[tokio::test]
async fn heartbeats_keep_a_quiet_stream_and_their_absence_ends_it() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let swallow = Arc::new(AtomicBool::new(false));
        let to = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let address = proxy(to, Arc::clone(&swallow)).await;
        let mut endpoint = endpoint(&server, ACCOUNT, PASSWORD);
        endpoint.port = address.port();
        let quick = ReplicaOptions {
            heartbeat: Duration::from_millis(400),
            ..options()
        };
        let connected = ReplicaConnection::connect(&endpoint, &quick).await;
        let started = connected
            .expect("connected")
            .start(at("binlog.000001", 4))
            .await;
        let mut stream = started.expect("a stream");
        let mut heartbeats = 0;
        while heartbeats < 4 {
            let event = stream.next().await.expect("kept by heartbeats").event;
            heartbeats += usize::from(HEARTBEATS.contains(&kind(&event)));
        }
        swallow.store(true, Ordering::Relaxed);
        let error = end_of(stream).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
        assert_eq!(error.get("silence_ms"), Some("800"));
    }
}
