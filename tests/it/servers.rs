//! The ground the other tests stand on: servers, fingerprints, the S3 server, DuckDB.

use std::time::Duration;

use mysql_async::Conn;
use tidelog::error::ErrorKind;
use tidelog::position::Flavor;
use tidelog::service::throwaway::{ServerSpec, ThrowawayServer};

use crate::support::fingerprint::{Fingerprint, checkpoint, definitions, fingerprint};
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

/// Statements that change one thing each; every one must change the fingerprint.
const CHANGES: [(&str, &str); 12] = [
    (
        "one bit of a FLOAT",
        "UPDATE d.t SET f = 16777217e-7 WHERE id = 1",
    ),
    (
        "one bit of a DOUBLE",
        "UPDATE d.t SET g = 0.1e0 + 0.2e0 WHERE id = 1",
    ),
    ("ENUM 0 instead of ''", "UPDATE d.t SET e = 0 WHERE id = 1"),
    (
        "the highest SET member",
        "UPDATE d.t SET s = s | 0x8000000000000000 WHERE id = 1",
    ),
    ("a trailing space", "UPDATE d.t SET v = 'a ' WHERE id = 1"),
    (
        "a trailing zero byte",
        "UPDATE d.t SET b = X'00' WHERE id = 1",
    ),
    ("NULL instead of ''", "UPDATE d.t SET v = NULL WHERE id = 2"),
    (
        "a microsecond",
        "UPDATE d.t SET ts = '2026-01-01 00:00:00.000001' WHERE id = 1",
    ),
    (
        "the sign of a TIME",
        "UPDATE d.t SET ti = '-00:00:00.5' WHERE id = 1",
    ),
    ("a bit", "UPDATE d.t SET bi = b'1' WHERE id = 1"),
    (
        "an invisible column",
        "UPDATE d.t SET hidden = 8 WHERE id = 1",
    ),
    (
        "a second equal row",
        "INSERT INTO d.keyless SELECT * FROM d.keyless LIMIT 1",
    ),
];

/// What only MySQL can do: SQL text of MariaDB has no negative zero, its JSON is text. An UPDATE
/// to a document that compares equal changes nothing, whatever its number types; so the
/// number type must lead to a state that differs from the one before the NULL.
const MYSQL_CHANGES: [(&str, &str); 3] = [
    ("the sign of zero", "UPDATE d.t SET g = -0.0e0 WHERE id = 2"),
    ("no JSON", "UPDATE d.t SET j = NULL WHERE id = 1"),
    (
        "a number type in JSON",
        "UPDATE d.t SET j = JSON_OBJECT('a', JSON_ARRAY(CAST(1 AS UNSIGNED), 2e0)) WHERE id = 1",
    ),
];

#[tokio::test]
async fn fingerprint_sees_every_change() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        let members: Vec<String> = (0..64).map(|n| format!("'m{n}'")).collect();
        exec_all(
            &mut conn,
            &[
                "SET sql_mode = ''",
                "CREATE DATABASE d",
                &format!(
                    "CREATE TABLE d.t (id INT PRIMARY KEY, f FLOAT, g DOUBLE, e ENUM('','x') NOT NULL, \
                     s SET({}), v VARCHAR(20), b BLOB, ts TIMESTAMP(6) NULL, ti TIME(1), bi BIT(9), j JSON, \
                     hidden INT INVISIBLE DEFAULT 7, made INT AS (id + 1))",
                    members.join(",")
                ),
                "CREATE TABLE d.`we``ird. name` (a INT)",
                "CREATE TABLE d.keyless (a INT)",
                "INSERT INTO d.keyless VALUES (1), (2)",
                "INSERT INTO d.t (id, f, g, e, s, v, b, ts, ti, bi, j) VALUES \
                 (1, 16777216e-7, 0.3, '', 'm0', 'a', '', '2026-01-01', '00:00:00.5', 0, '{\"a\": [1, 2.0]}'), \
                 (2, 0, 0, 'x', 'm1', '', NULL, '0000-00-00', '-838:59:59', 511, NULL)",
            ],
        )
        .await;
        let mut seen: Vec<Fingerprint> = vec![fingerprint(&mut server.conn().await, &["d"]).await];
        assert_eq!(
            seen[0].keys().collect::<Vec<_>>(),
            ["`d`.`keyless`", "`d`.`t`", "`d`.`we``ird. name`"]
        );
        assert_eq!(
            seen[0],
            fingerprint(&mut server.conn().await, &["d"]).await,
            "it repeats"
        );
        let more = MYSQL_CHANGES
            .iter()
            .filter(|_| server.flavor() == Flavor::MySql);
        for (what, sql) in CHANGES.iter().chain(more) {
            exec(&mut conn, sql).await;
            let now = fingerprint(&mut server.conn().await, &["d"]).await;
            assert!(
                !seen.contains(&now),
                "{what} goes unseen on {}",
                server.flavor()
            );
            seen.push(now);
        }
    }
}

#[tokio::test]
async fn fingerprint_sees_versioned_history_and_sequences() {
    let server = start(ServerSpec::new(Flavor::MariaDb)).await;
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.v (a INT PRIMARY KEY, b INT) WITH SYSTEM VERSIONING",
            "CREATE TABLE d.w (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, \
             e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
            "CREATE SEQUENCE d.q",
            "INSERT INTO d.v VALUES (1, 1)",
            "INSERT INTO d.w (a) VALUES (1)",
        ],
    )
    .await;
    let before = fingerprint(&mut server.conn().await, &["d"]).await;
    exec_all(
        &mut conn,
        &[
            "UPDATE d.v SET b = 2",
            "UPDATE d.v SET b = 1",
            "DELETE FROM d.w",
        ],
    )
    .await;
    let _: i64 = query_one(&mut conn, "SELECT NEXTVAL(d.q)").await;
    let after = fingerprint(&mut server.conn().await, &["d"]).await;
    assert_eq!(after["`d`.`v`"].rows, 3, "history counts");
    assert_eq!(after["`d`.`w`"].rows, 1);
    for name in ["`d`.`v`", "`d`.`w`", "`d`.`q`"] {
        assert_ne!(before[name], after[name], "{name}");
    }
}

#[tokio::test]
async fn checkpoints_are_exact_under_writers() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, at_us BIGINT)",
                "CREATE VIEW d.v AS SELECT id FROM d.t",
                "CREATE TRIGGER d.g BEFORE INSERT ON d.t FOR EACH ROW SET NEW.at_us = 1 + NEW.at_us",
            ],
        )
        .await;
        let mut writer = server.conn().await;
        let writing = tokio::spawn(async move {
            loop {
                exec(
                    &mut writer,
                    "INSERT INTO d.t (at_us) VALUES (UNIX_TIMESTAMP(SYSDATE(6)) * 1000000)",
                )
                .await;
            }
        });
        let quiet = Duration::from_millis(5);
        let first = checkpoint(&server, &["d"], quiet).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = checkpoint(&server, &["d"], quiet).await;
        writing.abort();
        let [rows, later] = [&first, &second].map(|c| c.tables["`d`.`t`"].rows);
        assert!(later > rows, "writers went on");
        assert!(second.time_us > first.time_us && second.gtid != first.gtid);
        assert!(second.position > first.position);
        let count = format!("SELECT COUNT(*) FROM d.t WHERE at_us <= {}", first.time_us);
        let by_time: u64 = query_one(&mut conn, count).await;
        assert_eq!(by_time, rows, "the time of a checkpoint parts the rows");
        let definitions = definitions(&mut conn, &["d"]).await;
        let names: Vec<&str> = definitions.keys().map(String::as_str).collect();
        assert_eq!(names, ["TABLE `d`.`t`", "TRIGGER `d`.`g`", "VIEW `d`.`v`"]);
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
