//! What a restore asks of its target: rights, and a history of its own.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_history_can_replicate_from_the_cut_on() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)",
                "INSERT INTO d.t VALUES (1, 1), (2, 2)",
            ],
        )
        .await;
        setup.base().await;
        exec(&mut conn, "INSERT INTO d.t VALUES (3, 3)").await;
        setup.capture();
        exec(&mut conn, "UPDATE d.t SET v = v * 10").await;
        let mut target = setup.target.conn().await;
        let (reset, change, start) = replicate(flavor, setup.source.port());
        exec_all(&mut target, reset).await;
        let restored = setup.restore(&["--latest"]);
        let can = "the target can replicate from the cut on";
        assert!(
            restored.success().stdout().contains(can),
            "{}",
            restored.stdout()
        );
        exec_all(&mut target, &[&change, start]).await;
        exec(&mut conn, "DELETE FROM d.t WHERE id = 1").await;
        let mut rows: Vec<(i32, i32)> = Vec::new();
        for _ in 0..300 {
            rows = query(&mut target, "SELECT id, v FROM d.t ORDER BY id").await;
            if rows.len() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(rows, [(2, 20), (3, 30)], "{flavor}");
    }
}

/// Statements that forget a server's history, and that make it a replica.
pub(crate) fn replicate(
    flavor: Flavor,
    port: u16,
) -> (&'static [&'static str], String, &'static str) {
    let (user, password) = (
        tidelog::service::throwaway::ACCOUNT,
        tidelog::service::throwaway::PASSWORD,
    );
    match flavor {
        Flavor::MySql => (
            &["RESET BINARY LOGS AND GTIDS"],
            format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, \
                 SOURCE_USER='{user}', SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, \
                 GET_SOURCE_PUBLIC_KEY=1"
            ),
            "START REPLICA",
        ),
        Flavor::MariaDb => (
            &["RESET MASTER", "SET GLOBAL gtid_slave_pos = ''"],
            format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, \
                 MASTER_USER='{user}', MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos"
            ),
            "START SLAVE",
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_just_the_rights_restores_and_one_without_is_told() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)",
                "CREATE VIEW d.v AS SELECT id FROM d.t",
                "CREATE TRIGGER d.tr BEFORE INSERT ON d.t FOR EACH ROW SET NEW.v = 7",
                "CREATE PROCEDURE d.p() SELECT 1",
                "CREATE EVENT d.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
                "INSERT INTO d.t VALUES (1, 1), (2, 2)",
            ],
        )
        .await;
        setup.base().await;
        let (all, needed) = match flavor {
            Flavor::MySql => (
                "BINLOG_ADMIN, SESSION_VARIABLES_ADMIN, SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, SYSTEM_USER",
                "BINLOG_ADMIN",
            ),
            Flavor::MariaDb => ("BINLOG REPLAY, BINLOG ADMIN, SET USER", "BINLOG REPLAY"),
        };
        let mut target = setup.target.conn().await;
        let tables = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, \
                      CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT";
        exec_all(
            &mut target,
            &[
                "CREATE USER few@'%' IDENTIFIED BY 'pw'",
                &format!("GRANT {tables} ON *.* TO few@'%'"),
                &format!("GRANT {all} ON *.* TO few@'%'"),
                &format!("REVOKE {needed} ON *.* FROM few@'%'"),
            ],
        )
        .await;
        let url = setup.target.url("few", "pw");
        let args = ["--repo", &setup.repo, "--target", &url, "--latest"];
        cli::restore(&args).refused(2, &[needed, "GRANT"]);
        let touched: Vec<String> = query(&mut target, "SHOW DATABASES LIKE '%d%'").await;
        assert!(!touched.contains(&"d".to_owned()), "{touched:?}");
        exec(&mut target, format!("GRANT {needed} ON *.* TO few@'%'")).await;
        let trust = "SET GLOBAL log_bin_trust_function_creators = 1";
        cli::restore(&args).refused(1, &["name=d.tr", trust, "--resume"]);
        exec(&mut target, trust).await;
        let args = [args.as_slice(), &["--resume"]].concat();
        cli::restore(&args).success();
        setup.compare(&["d"], "restored with few rights").await;
    }
}

impl Setup {
    /// One row of three numbers, the same on both servers.
    pub(super) async fn compare_rows(&self, sql: &str) {
        let expected: (i64, i64, i64) = query_one(&mut self.source.conn().await, sql).await;
        let found: (i64, i64, i64) = query_one(&mut self.target.conn().await, sql).await;
        assert_eq!(expected, found, "{sql}");
    }
}
