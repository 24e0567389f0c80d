//! `check` on real servers: a good one passes, each fault is named, and its fix works.

use tidelog::position::Flavor;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};
use tidelog::source::{
    Endpoint, Report, Severity, SourceNeeds, SqlClient, SqlSession, TargetNeeds, check_source,
    check_target,
};

use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all};
use crate::support::{TestServer, start, start_all};

async fn connect(server: &TestServer, user: &str, password: &str) -> SqlClient {
    let url = format!("mysql://{user}:{password}@127.0.0.1:{}/", server.port());
    let endpoint: Endpoint = url.parse().expect("an endpoint");
    let session = SqlSession::default();
    let connected = SqlClient::connect(&endpoint, &session).await;
    connected.expect("connect to the test server")
}

async fn source_as(server: &TestServer, user: &str, password: &str, ahead_us: i64) -> Report {
    let mut client = connect(server, user, password).await;
    let clock = tidelog::runtime::Clock::system();
    let needs = SourceNeeds {
        snapshot: true,
        semi_sync: false,
    };
    let now_us = || clock.now_us() + ahead_us;
    let report = check_source(&mut client, "here", needs, now_us).await;
    let report = report.unwrap_or_else(|e| panic!("{}", e.report()));
    client.close().await;
    assert_eq!(report.flavor, server.flavor());
    for line in &report.lines {
        let ok = line.severity == Severity::Ok;
        assert!(!ok || line.fix.is_none(), "{line:?}");
        let with_fix = line.severity >= Severity::Warn;
        assert!(!with_fix || line.fix.is_some(), "{line:?}");
    }
    report
}

async fn source(server: &TestServer) -> Report {
    source_as(server, ACCOUNT, PASSWORD, 0).await
}

async fn target(server: &TestServer, needs: &TargetNeeds) -> Report {
    let mut client = connect(server, ACCOUNT, PASSWORD).await;
    let report = check_target(&mut client, "here", needs).await;
    client.close().await;
    report.unwrap_or_else(|e| panic!("{}", e.report()))
}

fn severity(report: &Report, name: &str) -> Severity {
    let line = report.line(name);
    line.unwrap_or_else(|| panic!("no line {name} in {report:#?}"))
        .severity
}

fn fix<'a>(report: &'a Report, name: &str) -> &'a str {
    let line = report.line(name).expect("a line");
    line.fix.as_deref().expect("a fix")
}

fn blockers(report: &Report) -> Vec<&str> {
    report.blockers().map(|l| l.name.as_str()).collect()
}

#[tokio::test]
async fn settings_of_a_source_are_judged_and_their_fixes_work() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        let report = source(&server).await;
        assert_eq!(blockers(&report), [""; 0], "{report:#?}");
        report.require_no_blocker().expect("a good server");
        assert_eq!(severity(&report, "clock"), Severity::Ok);

        let cases = [
            ("binlog_format", "'STATEMENT'", Severity::Blocker),
            ("binlog_row_metadata", "'MINIMAL'", Severity::Blocker),
            ("binlog_row_image", "'MINIMAL'", Severity::Blocker),
            ("binlog_checksum", "'NONE'", Severity::Blocker),
            ("sync_binlog", "0", Severity::Warn),
            ("innodb_flush_log_at_trx_commit", "2", Severity::Warn),
        ];
        for (name, bad, wanted) in cases {
            exec(&mut conn, format!("SET GLOBAL {name} = {bad}")).await;
            let report = source(&server).await;
            assert_eq!(severity(&report, name), wanted, "{name}");
            if wanted == Severity::Blocker {
                let error = report.require_no_blocker().expect_err("a blocker");
                assert!(error.report().contains(name), "{}", error.report());
            }
            exec(&mut conn, fix(&report, name)).await;
            let mended = source(&server).await;
            assert_eq!(severity(&mended, name), Severity::Ok, "{name}");
        }

        if server.flavor() == Flavor::MySql {
            // Differences of documents are followed exactly: trap_43_44_differences_of_documents.
            let (name, set) = (
                "binlog_row_value_options",
                "SET GLOBAL binlog_row_value_options",
            );
            exec(&mut conn, format!("{set} = 'PARTIAL_JSON'")).await;
            let report = source(&server).await;
            assert_eq!(severity(&report, name), Severity::Info);
            report.require_no_blocker().expect("capture goes on");
            exec(&mut conn, format!("{set} = ''")).await;
            assert_eq!(severity(&source(&server).await, name), Severity::Ok);
        }

        exec(&mut conn, "SET GLOBAL binlog_expire_logs_seconds = 3600").await;
        let report = source(&server).await;
        assert_eq!(severity(&report, "binlog_retention"), Severity::Warn);
        exec(&mut conn, fix(&report, "binlog_retention")).await;
        let mended = source(&server).await;
        assert_eq!(severity(&mended, "binlog_retention"), Severity::Ok);

        let ahead = source_as(&server, ACCOUNT, PASSWORD, 5_000_000).await;
        assert_eq!(severity(&ahead, "clock"), Severity::Warn);
        rights_and_tables(&server).await;
        targets(&server).await;
    }
}

/// An account that may only log in, then is given what each line asks for.
async fn rights_and_tables(server: &TestServer) {
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE USER 'po`or'@'%' IDENTIFIED BY 'poor'",
            "CREATE DATABASE `d``b`",
            "CREATE TABLE `d``b`.`m y` (a INT PRIMARY KEY) ENGINE=MyISAM",
            "CREATE TABLE `d``b`.nokey (a INT)",
        ],
    )
    .await;
    let poor = "po%60or";
    let report = source_as(server, poor, "poor", 0).await;
    let missing = blockers(&report);
    assert!(
        missing.contains(&"privilege REPLICATION SLAVE"),
        "{missing:?}"
    );
    assert!(missing.contains(&"privilege SELECT"), "{missing:?}");
    let status = match server.flavor() {
        Flavor::MySql => "privilege REPLICATION CLIENT",
        Flavor::MariaDb => "privilege BINLOG MONITOR",
    };
    assert!(missing.contains(&status), "{missing:?}");
    for line in report
        .lines
        .iter()
        .filter(|l| l.name.starts_with("privilege "))
    {
        if let Some(fix) = &line.fix {
            exec(&mut conn, fix).await;
        }
    }
    let report = source_as(server, poor, "poor", 0).await;
    assert_eq!(blockers(&report), [""; 0], "{report:#?}");
    for line in report
        .lines
        .iter()
        .filter(|l| l.name.starts_with("privilege "))
    {
        assert_eq!(line.severity, Severity::Ok, "{line:?}");
    }

    let engine = report.line("tables_engine").expect("a line");
    assert_eq!(engine.severity, Severity::Warn);
    assert!(engine.found.contains("d`b.m y"), "{}", engine.found);
    assert_eq!(severity(&report, "tables_primary_key"), Severity::Info);
    exec(&mut conn, fix(&report, "tables_engine")).await;
    let mended = source_as(server, poor, "poor", 0).await;
    assert_eq!(severity(&mended, "tables_engine"), Severity::Ok);

    exec_all(
        &mut conn,
        &[
            "CREATE TABLE `d``b`.mem (a INT PRIMARY KEY) ENGINE=MEMORY",
            "CREATE TABLE `d``b`.part (a INT PRIMARY KEY) ENGINE=MyISAM",
            "CREATE TABLE `d``b`.all_parts (a INT NOT NULL, KEY (a)) ENGINE=MERGE UNION=(`d``b`.part)",
        ],
    )
    .await;
    let report = source_as(server, poor, "poor", 0).await;
    let elsewhere = report.line("tables_elsewhere").expect("a line");
    assert_eq!(elsewhere.severity, Severity::Warn);
    for table in ["2: ", "d`b.mem (MEMORY)", "d`b.all_parts (MRG_M"] {
        assert!(elsewhere.found.contains(table), "{}", elsewhere.found);
    }
    assert_eq!(
        report.line("tables_engine").expect("a line").found,
        "1: d`b.part (MyISAM)"
    );
    exec(
        &mut conn,
        "DROP TABLE `d``b`.mem, `d``b`.all_parts, `d``b`.part",
    )
    .await;
    let mended = source_as(server, poor, "poor", 0).await;
    assert_eq!(severity(&mended, "tables_elsewhere"), Severity::Ok);

    if server.flavor() == Flavor::MariaDb {
        for sql in [
            "CREATE TABLE `d``b`.trx (a INT, s BIGINT UNSIGNED AS ROW START, \
             e BIGINT UNSIGNED AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
            "SET GLOBAL mysql56_temporal_format = OFF",
            "CREATE TABLE `d``b`.old (a TIME(3), b DATETIME)",
            "SET GLOBAL mysql56_temporal_format = ON",
        ] {
            exec(&mut conn, sql).await;
        }
        let report = source_as(server, poor, "poor", 0).await;
        let line = "tables_versioned_by_transaction";
        assert_eq!(severity(&report, line), Severity::Warn);
        assert_eq!(blockers(&report), ["columns_old_temporal"]);
        exec(&mut conn, "ALTER TABLE `d``b`.old FORCE").await;
        exec(&mut conn, "DROP TABLE `d``b`.trx").await;
        let mended = source_as(server, poor, "poor", 0).await;
        assert_eq!(blockers(&mended), [""; 0]);
        assert_eq!(severity(&mended, line), Severity::Ok);
    }
}

/// The same server as a target: it is not empty until its database is gone.
async fn targets(server: &TestServer) {
    let mut conn = server.conn().await;
    let mut needs = TargetNeeds {
        flavor: server.flavor(),
        version: Some(server.version().to_owned()),
        lower_case_table_names: Some(0),
        row_bytes_max: Some(1_000_000),
        databases: Vec::new(),
    };
    assert_eq!(blockers(&target(server, &needs).await), ["empty"]);
    needs.databases = vec!["other".to_owned()];
    assert_eq!(blockers(&target(server, &needs).await), [""; 0]);
    needs.databases = vec!["d`b".to_owned()];
    assert_eq!(blockers(&target(server, &needs).await), ["empty"]);
    needs.databases.clear();
    exec_all(
        &mut conn,
        &[
            "DROP DATABASE `d``b`",
            "CREATE DATABASE tidelog_restore",
            "CREATE TABLE tidelog_restore.t (a INT)",
        ],
    )
    .await;
    let report = target(server, &needs).await;
    assert_eq!(blockers(&report), [""; 0], "{report:#?}");

    needs.row_bytes_max = Some(100 << 20);
    let report = target(server, &needs).await;
    assert_eq!(blockers(&report), ["max_allowed_packet"]);
    exec(&mut conn, fix(&report, "max_allowed_packet")).await;
    assert_eq!(blockers(&target(server, &needs).await), [""; 0]);
    needs.row_bytes_max = Some(1 << 30);
    assert_eq!(
        blockers(&target(server, &needs).await),
        ["max_allowed_packet"]
    );
    needs.row_bytes_max = None;

    needs.lower_case_table_names = Some(1);
    let report = target(server, &needs).await;
    assert_eq!(blockers(&report), ["lower_case_table_names"]);
    needs.lower_case_table_names = None;
    needs.version = Some("99.0.1".to_owned());
    assert_eq!(blockers(&target(server, &needs).await), ["version"]);
    needs.version = None;
    needs.flavor = match server.flavor() {
        Flavor::MySql => Flavor::MariaDb,
        Flavor::MariaDb => Flavor::MySql,
    };
    assert_eq!(blockers(&target(server, &needs).await), ["flavor"]);
    needs.flavor = server.flavor();
    if server.flavor() == Flavor::MariaDb {
        let name = "slave_run_triggers_for_rbr";
        exec(&mut conn, format!("SET GLOBAL {name} = 'YES'")).await;
        let report = target(server, &needs).await;
        assert_eq!(blockers(&report), [name]);
        exec(&mut conn, fix(&report, name)).await;
        assert_eq!(blockers(&target(server, &needs).await), [""; 0]);
    }
    let mut client = connect(server, "po%60or", "poor").await;
    let report = check_target(&mut client, "here", &needs).await;
    let report = report.unwrap_or_else(|e| panic!("{}", e.report()));
    assert!(
        blockers(&report).contains(&"privilege CREATE"),
        "{report:#?}"
    );
    for line in report
        .lines
        .iter()
        .filter(|l| l.name.starts_with("privilege "))
    {
        if let Some(fix) = &line.fix {
            exec(&mut conn, fix).await;
        }
    }
    let report = check_target(&mut client, "here", &needs).await;
    let report = report.unwrap_or_else(|e| panic!("{}", e.report()));
    assert_eq!(blockers(&report), [""; 0], "{report:#?}");
    client.close().await;
}

#[tokio::test]
async fn a_source_without_a_whole_binlog_is_refused() {
    for flavor in FLAVORS {
        let mut server = start(ServerSpec::new(flavor).option("--skip-log-bin")).await;
        assert!(blockers(&source(&server).await).contains(&"log_bin"));
        server
            .restart(&["--log-bin=binlog", "--binlog-ignore-db=lost"])
            .expect("restart");
        let report = source(&server).await;
        assert_eq!(blockers(&report), ["binlog_ignore_db"], "{flavor}");
        assert_eq!(
            report.line("binlog_ignore_db").expect("a line").found,
            "lost"
        );
    }
}

#[tokio::test]
async fn what_the_largest_row_costs_is_told() {
    for server in start_all(FLAVORS.map(ServerSpec::new)).await {
        let mut conn = server.conn().await;
        let tables = [
            "CREATE DATABASE big",
            "CREATE TABLE big.small (id INT PRIMARY KEY, t VARCHAR(100))",
            "CREATE TABLE big.medium (id INT PRIMARY KEY, t MEDIUMTEXT)",
            "CREATE TABLE big.doc (id INT PRIMARY KEY, j JSON)",
            "CREATE TABLE big.long_one (id INT PRIMARY KEY, b LONGBLOB)",
            "SET GLOBAL max_allowed_packet = 268435456",
        ];
        exec_all(&mut conn, &tables).await;
        let report = source(&server).await;
        let line = report.line("row_memory").expect("a line");
        assert_eq!(line.severity, Severity::Warn, "{line:?}");
        assert!(line.found.contains("1792 MiB"), "{line:?}");
        assert!(line.found.contains("2: big.doc, big.long_one"), "{line:?}");
        let found = fix(&report, "row_memory");
        let found = found.split(" /*").next().expect("a statement");
        exec(&mut conn, found).await;
        assert_eq!(severity(&source(&server).await, "row_memory"), Severity::Ok);
    }
}
