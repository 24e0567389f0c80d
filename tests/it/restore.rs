//! Restores to real servers: every kind of table from a base and from changes, every kind of
//! schema object, a restore that is killed, and what a restore refuses.

use crate::schema_objects;
use crate::support::fingerprint::definitions;
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query, query_one};
use crate::support::{Setup, cli};
use crate::zoo;
use std::time::Duration;
use tidelog::position::Flavor;

mod altered;
mod cascades;
mod parts;
pub(crate) mod target;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_row_comes_back_on_mysql() {
    every_kind_of_row_comes_back(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_row_comes_back_on_mariadb() {
    every_kind_of_row_comes_back(Flavor::MariaDb).await;
}

/// From the base alone, and from changes alone: all rows are deleted and inserted again.
async fn every_kind_of_row_comes_back(flavor: Flavor) {
    let setup = Setup::new(flavor, &[]).await;
    let mut conn = setup.source.conn().await;
    exec(&mut conn, "SET sql_mode=''").await;
    exec_all(&mut conn, &zoo::statements(flavor)).await;
    setup.base().await;
    setup.restore(&["--latest"]).success();
    setup.compare(&["zoo"], "restored from the base").await;
    setup.drop_on_target(&["zoo"]).await;

    refill(&mut setup.source.conn().await, flavor).await;
    setup.capture();
    setup.restore(&["--latest", "--jobs", "1"]).success();
    setup.compare(&["zoo"], "restored from changes").await;
    setup.drop_on_target(&["zoo"]).await;

    let one = setup.restore(&["--latest", "--table", "zoo.t*", "--json"]);
    let tables = one.success().json()["tables"]
        .as_array()
        .expect("tables")
        .len();
    let mut target = setup.target.conn().await;
    let found: Vec<String> = query(
        &mut target,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'zoo'",
    )
    .await;
    assert_eq!(found.len(), tables);
    assert!(
        tables > 0 && found.iter().all(|name| name.starts_with('t')),
        "{found:?}"
    );
}

/// Deletes all rows and runs every statement that writes rows again.
async fn refill(conn: &mut mysql_async::Conn, flavor: Flavor) {
    exec_all(conn, &["SET foreign_key_checks=0", "SET sql_mode=''"]).await;
    let tables: Vec<String> = query(
        conn,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'zoo' AND \
         table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
    )
    .await;
    for table in tables {
        exec(
            conn,
            format!("DELETE FROM zoo.`{}`", table.replace('`', "``")),
        )
        .await;
    }
    for statement in zoo::statements(flavor) {
        let word = statement.split_whitespace().next().unwrap_or_default();
        if matches!(
            word,
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "SET" | "USE" | "SELECT"
        ) {
            exec(conn, statement).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_comes_back() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &["--event-scheduler=ON"]).await;
        let mut conn = setup.source.conn().await;
        for statement in schema_objects::statements(flavor) {
            exec(&mut conn, statement).await;
        }
        let databases = ["sh`op", "other"];
        exec_all(
            &mut conn,
            &[
                "USE `sh``op`",
                "CREATE TABLE fired (at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6))",
                "CREATE TRIGGER fire AFTER INSERT ON parent FOR EACH ROW INSERT INTO fired VALUES ()",
                "CREATE EVENT busy ON SCHEDULE EVERY 1 SECOND DO INSERT INTO `sh``op`.fired VALUES ()",
                "INSERT INTO parent (id) VALUES (1), (2)",
                "SET GLOBAL event_scheduler = OFF",
                "DROP VIEW broken",
            ],
        )
        .await;
        setup.base().await;
        let restored = setup.restore(&["--latest"]);
        restored.success();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        setup
            .compare(&databases, "neither triggers nor events ran")
            .await;
        let expected = definitions(&mut setup.source.conn().await, &databases).await;
        let found = definitions(&mut setup.target.conn().await, &databases).await;
        assert_eq!(
            expected.keys().collect::<Vec<_>>(),
            found.keys().collect::<Vec<_>>(),
            "{flavor}"
        );
        for (name, text) in &expected {
            let disabled = text.replacen(" ENABLE", " DISABLE", 1);
            let wanted = if name.starts_with("EVENT") {
                &disabled
            } else {
                text
            };
            assert_eq!(wanted, &found[name], "{flavor}: {name}");
        }
        assert!(
            restored
                .stdout()
                .contains("ALTER EVENT `sh``op`.`busy` ENABLE")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_killed_anywhere_is_resumed() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.keyed (id INT AUTO_INCREMENT PRIMARY KEY, pad VARCHAR(3000))",
                "CREATE TABLE d.keyless (n INT, pad VARCHAR(3000))",
                "CREATE VIEW d.v AS SELECT COUNT(*) AS n FROM d.keyed",
                "INSERT INTO d.keyed (pad) VALUES (REPEAT('a', 3000)), (REPEAT('b', 3000))",
            ],
        )
        .await;
        for _ in 0..13 {
            exec(
                &mut conn,
                "INSERT INTO d.keyed (pad) SELECT pad FROM d.keyed",
            )
            .await;
        }
        exec(
            &mut conn,
            "INSERT INTO d.keyless SELECT id % 9, pad FROM d.keyed",
        )
        .await;
        setup.base().await;
        exec_all(
            &mut conn,
            &[
                "DELETE FROM d.keyless WHERE n = 3 LIMIT 500",
                "UPDATE d.keyed SET pad = '' WHERE id % 7 = 0",
            ],
        )
        .await;
        setup.capture();
        let kills = kill_until_done(&setup).await;
        println!("{flavor}: killed {kills} times");
        assert!(kills >= 2, "the restore was never killed while it ran");
        setup.compare(&["d"], "resumed restore").await;
        let mut target = setup.target.conn().await;
        let left: Vec<String> = query(&mut target, "SHOW DATABASES LIKE 'tidelog%'").await;
        assert!(left.is_empty(), "the mark is gone");
    }
}

/// Kills the restore at ever later moments and resumes it; gives how often it was killed.
async fn kill_until_done(setup: &Setup) -> u32 {
    let url = setup.target.account_url();
    let mut args = vec![
        "restore",
        "--repo",
        &setup.repo,
        "--target",
        &url,
        "--latest",
    ];
    for kills in 0..100 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tidelog"))
            .args(&args)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("start restore");
        tokio::time::sleep(Duration::from_millis(60 + 130 * u64::from(kills))).await;
        if let Some(status) = child.try_wait().expect("wait for restore") {
            assert!(status.success(), "restore ended with {status}");
            return kills;
        }
        child.kill().expect("kill restore");
        child.wait().expect("wait for restore");
        let mut conn = setup.target.conn().await;
        let marked: Vec<String> = query(&mut conn, "SHOW DATABASES LIKE 'tidelog_restore'").await;
        let begun: Vec<String> = query(&mut conn, "SHOW DATABASES LIKE 'd'").await;
        if marked.is_empty() && !begun.is_empty() {
            // Killed on its way out: what is not marked is complete, as the caller sees for itself.
            return kills;
        }
        if !begun.is_empty() {
            let again = setup.restore(&["--latest"]);
            let mark = "SHOW DATABASES LIKE 'tidelog_restore'";
            if query::<String>(&mut conn, mark).await.is_empty() {
                // The server was taking the mark away when the restore was killed.
                return kills;
            }
            again.refused(1, &["unfinished", "--resume"]);
        }
        args.truncate(6);
        args.push("--resume");
    }
    panic!("the restore was never let to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_too_large_for_the_target_is_named_and_resumed() {
    for flavor in FLAVORS {
        // The target keeps no binlog of its own either.
        let options = ["--max-allowed-packet=1M", "--skip-log-bin"];
        let setup = Setup::new(flavor, &options).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT PRIMARY KEY, v LONGBLOB)",
                "INSERT INTO d.t VALUES (1, 'small'), (2, REPEAT('x', 700000)), (3, REPEAT('y', 900000))",
            ],
        )
        .await;
        setup.base().await;
        let mut target = setup.target.conn().await;
        let small = small_account(&setup, flavor).await;
        let repo = setup.repo.as_str();
        cli::restore(&["--latest", "--repo", repo, "--target", &small]).refused(
            1,
            &[
                "table=d.t",
                "max_allowed_packet=1048576",
                "SET GLOBAL max_allowed_packet = 2097152",
            ],
        );
        // An account that may makes room for the time of the restore.
        setup.restore(&["--latest", "--resume"]).success();
        let packet: u64 = query_one(&mut target, "SELECT @@global.max_allowed_packet").await;
        assert_eq!(packet, 1 << 20, "{flavor}");
        setup.compare(&["d"], "resumed with a larger packet").await;
    }
}

/// Makes an account on the target that may not change its global settings; gives its URL.
async fn small_account(setup: &Setup, flavor: Flavor) -> String {
    let mut target = setup.target.conn().await;
    let grants = match flavor {
        Flavor::MySql => {
            "GRANT ALL ON *.* TO small@'%'; \
             REVOKE SYSTEM_VARIABLES_ADMIN, SUPER ON *.* FROM small@'%'"
        }
        Flavor::MariaDb => {
            "GRANT ALL ON *.* TO small@'%'; \
             REVOKE SUPER, CONNECTION ADMIN, REPLICATION MASTER ADMIN, \
             REPLICATION SLAVE ADMIN ON *.* FROM small@'%'"
        }
    };
    exec(&mut target, "CREATE USER small@'%' IDENTIFIED BY 'tidelog'").await;
    for grant in grants.split(';') {
        exec(&mut target, grant).await;
    }
    setup.target.account_url().replacen("tidelog:", "small:", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_cut_between_transactions() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT PRIMARY KEY)",
                "INSERT INTO d.t VALUES (0)",
            ],
        )
        .await;
        setup.base().await;
        let mut positions = Vec::new();
        for id in 1..=5 {
            exec_all(
                &mut conn,
                &["BEGIN", &format!("INSERT INTO d.t VALUES ({id})")],
            )
            .await;
            exec_all(
                &mut conn,
                &[&format!("INSERT INTO d.t VALUES ({})", id + 100), "COMMIT"],
            )
            .await;
            positions.push(moment(&mut conn, flavor).await);
        }
        setup.capture();
        for (index, (position, gtids)) in positions.iter().enumerate() {
            let count = 1 + 2 * (index as i64 + 1);
            for (args, wanted) in [
                (["--to-position", position, "--dry-run"].as_slice(), None),
                (&["--to-gtid", gtids], Some(count)),
                (&["--to-position", position], Some(count)),
                (&["--to-position", position, "--before"], Some(count - 2)),
            ] {
                setup.restore(args).success();
                let Some(wanted) = wanted.filter(|_| index % 2 == 0) else {
                    setup.drop_on_target(&["d"]).await;
                    continue;
                };
                let mut target = setup.target.conn().await;
                let found: i64 = query_one(&mut target, "SELECT COUNT(*) FROM d.t").await;
                assert_eq!(found, wanted, "{flavor} {args:?}");
                setup.drop_on_target(&["d"]).await;
            }
        }
    }
}

/// File and offset, and the GTIDs executed.
pub(crate) async fn moment(conn: &mut mysql_async::Conn, flavor: Flavor) -> (String, String) {
    let (status, gtids) = match flavor {
        Flavor::MySql => ("SHOW BINARY LOG STATUS", "SELECT @@GLOBAL.gtid_executed"),
        Flavor::MariaDb => ("SHOW MASTER STATUS", "SELECT @@GLOBAL.gtid_binlog_pos"),
    };
    let row: mysql_async::Row = query_one(conn, status).await;
    let file: String = row.get(0).expect("file");
    let offset: u64 = row.get(1).expect("offset");
    let gtids: String = query_one(conn, gtids).await;
    (format!("{file}:{offset}"), gtids.replace('\n', ""))
}
