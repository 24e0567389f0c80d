//! The ground the other tests stand on: servers, the S3 server, DuckDB.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use mysql_async::Conn;
use tidelog::error::ErrorKind;
use tidelog::position::Flavor;
use tidelog::service::throwaway::{ServerSpec, ThrowawayServer};

use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, fails, query, query_one, variable};
use crate::support::{duckdb, s3, start, start_all};

#[tokio::test]
async fn both_flavors_start_with_what_capture_needs() {
    let [first, second] = FLAVORS;
    let servers = start_all([first, second, first].map(ServerSpec::new)).await;
    for server in &servers {
        let mut conn = server.conn().await;
        for (name, wanted) in [
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("binlog_checksum", "CRC32"),
            ("server_id", &server.server_id().to_string()),
            ("port", &server.port().to_string()),
        ] {
            assert_eq!(
                variable(&mut conn, name).await,
                wanted,
                "{name} of {}",
                server.flavor()
            );
        }
        let version: String = query_one(&mut conn, "SELECT VERSION()").await;
        assert!(version.starts_with(server.version()), "{version}");
        let gtid = match server.flavor() {
            Flavor::MySql => "gtid_executed",
            Flavor::MariaDb => "gtid_binlog_pos",
        };
        assert_eq!(
            variable(&mut conn, gtid).await,
            "",
            "a new server has no history"
        );
    }
    assert_eq!(
        variable(&mut servers[0].conn().await, "gtid_mode").await,
        "ON"
    );
    let mut uuids = Vec::new();
    for server in [&servers[0], &servers[2]] {
        uuids.push(variable(&mut server.conn().await, "server_uuid").await);
    }
    assert_ne!(
        uuids[0], uuids[1],
        "a copied data directory must not keep its identity"
    );
}

#[tokio::test]
async fn data_survives_restart_and_kill() {
    for mut server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        exec_all(
            &mut conn,
            &["CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY)"],
        )
        .await;
        exec(&mut conn, "INSERT INTO d.t VALUES (1)").await;
        let (port, uid) = (server.port(), variable(&mut conn, "server_id").await);
        server.restart(&["--max-connections=77"]).expect("restart");
        let mut conn = server.conn().await;
        assert_eq!(variable(&mut conn, "max_connections").await, "77");
        assert_eq!(
            (server.port(), variable(&mut conn, "server_id").await),
            (port, uid)
        );

        exec(&mut conn, "INSERT INTO d.t VALUES (2)").await;
        server.kill9().expect("kill");
        assert!(
            Conn::new(server.opts("tidelog", "tidelog")).await.is_err(),
            "it must be gone"
        );
        server.restart(&[]).expect("start after a kill");
        let mut conn = server.conn().await;
        let rows: Vec<i32> = query(&mut conn, "SELECT a FROM d.t ORDER BY a").await;
        assert_eq!(rows, [1, 2], "{}", server.flavor());
        assert_eq!(variable(&mut conn, "max_connections").await, "77");
    }
}

#[tokio::test]
async fn certificates_can_be_verified_where_asked_for() {
    for server in start_all(FLAVORS.map(|f| ServerSpec::new(f).tls())).await {
        let ca = server.ca_file().expect("a CA").to_path_buf();
        let tls = mysql_async::SslOpts::default().with_root_certs(vec![ca.into()]);
        let opts = server.opts("tidelog", "tidelog");
        let opts = mysql_async::OptsBuilder::from_opts(opts).ssl_opts(Some(tls));
        let mut conn = Conn::new(opts).await.expect("verify name and chain");
        let cipher: (String, String) = query_one(&mut conn, "SHOW STATUS LIKE 'Ssl_cipher'").await;
        assert_ne!(cipher.1, "");
    }
}

#[tokio::test]
async fn options_reach_initialisation_and_wrong_ones_are_explained() {
    let spec = ServerSpec::new(Flavor::MySql).init_option("--lower-case-table-names=1");
    let server = start(spec).await;
    assert_eq!(
        variable(&mut server.conn().await, "lower_case_table_names").await,
        "1"
    );
    for flavor in FLAVORS {
        let spec = ServerSpec::new(flavor).option("--no-such-option=1");
        let error = ThrowawayServer::start(spec).expect_err("an unknown option");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.report().contains("no-such-option"),
            "{}",
            error.report()
        );
        let spec = ServerSpec::new(flavor).package("no-such-package");
        let error = ThrowawayServer::start(spec).expect_err("an unknown package");
        assert!(
            error.report().contains("scripts/setup-servers"),
            "{}",
            error.report()
        );
    }
}

#[tokio::test]
async fn accounts_are_what_tests_make_them() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE USER 'poor'@'%' IDENTIFIED BY 'p w'",
            ],
        )
        .await;
        let mut poor = server.conn_as("poor", "p w").await;
        assert_eq!(fails(&mut poor, "CREATE TABLE d.t (a INT)").await, 1142);
        assert!(
            server
                .url("a@b", "p w")
                .starts_with("mysql://a%40b:p%20w@127.0.0.1:")
        );
    }
}

#[tokio::test]
async fn the_s3_server_creates_only_what_is_absent() {
    use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
    use object_store::path::Path;
    use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};

    let server = s3::start();
    let store = AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_allow_http(true)
        .with_bucket_name(server.bucket)
        .with_region(server.region)
        .with_access_key_id(server.access_key_id)
        .with_secret_access_key(server.secret_access_key)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .expect("an S3 client");
    let create = || PutOptions::from(PutMode::Create);
    let path = Path::from("log/1.json");
    store
        .put_opts(&path, "first".into(), create())
        .await
        .expect("create");
    let again = store.put_opts(&path, "second".into(), create()).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    let bytes = store
        .get(&path)
        .await
        .expect("get")
        .bytes()
        .await
        .expect("bytes");
    assert_eq!(&bytes[..], b"first");

    let race = Path::from("log/2.json");
    let racers = (0..16).map(|n: i32| store.put_opts(&race, n.to_string().into(), create()));
    let outcomes = futures::future::join_all(racers).await;
    assert_eq!(
        outcomes.iter().filter(|o| o.is_ok()).count(),
        1,
        "one creator wins"
    );
}

#[test]
fn duckdb_answers() {
    let rows = duckdb::query(&["CREATE TABLE t AS SELECT 42 AS a", "SELECT a, NULL FROM t"]);
    assert_eq!(rows, [[Some("42".to_owned()), None]]);
}

/// Runs a test of this binary in a process of its own, which finds `TIDELOG_IT_ROLE` set.
fn run_self(test: &str, environment: &[(&str, &str)]) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", test, "--nocapture"])
        .env("TIDELOG_IT_ROLE", test)
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("start this binary again")
}

fn has_role() -> bool {
    std::env::var_os("TIDELOG_IT_ROLE").is_some()
}

#[test]
fn a_killed_process_leaves_no_server_behind() {
    if has_role() {
        let server = ThrowawayServer::start(ServerSpec::new(Flavor::MariaDb)).expect("start");
        println!(
            "\nholds {} {}",
            server.pid().expect("runs"),
            server.data_dir().display()
        );
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = run_self("servers::a_killed_process_leaves_no_server_behind", &[]);
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let line = output
        .lines()
        .map(|l| l.expect("a line"))
        .find(|l| l.starts_with("holds "));
    let line = line.expect("the child starts a server");
    let [_, pid, data_dir] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let process = std::path::Path::new("/proc").join(pid);
    assert!(process.exists(), "the server runs");
    child.kill().expect("kill");
    child.wait().expect("reap");
    let is_gone = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !process.exists() && !std::path::Path::new(data_dir).exists()
    });
    assert!(is_gone, "{line}");
}

#[test]
fn a_named_binary_is_taken_or_refused() {
    if has_role() {
        match ThrowawayServer::start(ServerSpec::new(Flavor::MySql)) {
            Ok(_) => println!("\nstarted"),
            Err(error) => println!("\n{:?}: {}", error.kind(), error.report()),
        }
        return;
    }
    for binary in ["/nonexistent/mysqld", "/usr/sbin/mariadbd"] {
        let environment = [("TIDELOG_TEST_MYSQLD", binary)];
        let child = run_self("servers::a_named_binary_is_taken_or_refused", &environment);
        let output = child.wait_with_output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Config: run database server"), "{text}");
        assert!(
            text.contains(binary) && text.contains("scripts/setup-servers"),
            "{text}"
        );
    }
}
