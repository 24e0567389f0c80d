//! Traps of one release or one setting of a server: each has servers of its own.

use super::{Trap, images, round_trip};
use crate::support::sql::{exec, exec_all, query, query_one};
use crate::support::{Setup, cli};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// MariaDB 11.5 counts seconds without a sign.
fn trap_11_timestamps_after_2038() -> Trap {
    let before = [
        "SET time_zone='+00:00'",
        "CREATE TABLE t (id INT PRIMARY KEY, a TIMESTAMP(6) NULL, b TIMESTAMP NULL)",
        "INSERT INTO t VALUES (1, '2038-01-19 03:14:08', '2106-02-07 06:28:15'), \
         (2, '2106-02-07 06:28:15.999999', '2038-01-19 03:14:07'), (3, 0, NULL)",
    ];
    let after = [
        "SET time_zone='+00:00'",
        "UPDATE t SET b = '2100-01-01 00:00:00' WHERE id = 1",
        "INSERT INTO t VALUES (4, '2099-12-31 23:59:59.5', '2038-01-19 03:14:08')",
    ];
    Trap::new("trap_11", &before, &after)
}

/// MariaDB's vector is a string of bytes with a type of its own name.
fn trap_33_vectors_of_mariadb() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(3) NOT NULL, VECTOR INDEX (v))",
        "INSERT INTO t VALUES (1, VEC_FromText('[1,2,3]')), (2, VEC_FromText('[-0.5,0,100000]'))",
    ];
    let after = [
        "UPDATE t SET v = VEC_FromText('[0,0,0]') WHERE id = 1",
        "INSERT INTO t VALUES (3, VEC_FromText('[4,5,6]'))",
    ];
    Trap::new("trap_33", &before, &after)
}

/// From 11.4 on events inside a transaction say position 0.
fn trap_72_events_without_a_position() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES (1, 'x')",
    ];
    let after = [
        "BEGIN",
        "INSERT INTO t VALUES (2, REPEAT('y', 60000))",
        "UPDATE t SET v = CONCAT(v, 'z')",
        "DELETE FROM t WHERE id = 1",
        "COMMIT",
        "FLUSH BINARY LOGS",
        "INSERT INTO t SELECT seq + 10, REPEAT(seq, 5000) FROM seq_1_to_100",
    ];
    Trap::new("trap_72", &before, &after)
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_of_mariadb_11_8() {
    let spec = || ServerSpec::new(Flavor::MariaDb).package("mariadb-11.8");
    let traps = [
        trap_11_timestamps_after_2038(),
        trap_33_vectors_of_mariadb(),
        trap_72_events_without_a_position(),
        images::trap_50_generated_columns(),
        images::trap_52_hashes_of_long_keys(),
        images::trap_55_system_versioned_history(),
    ];
    round_trip(spec(), spec(), &traps).await;
}

/// Fractions in MariaDB's own form of before 5.6 have the same type codes and nothing says how long
/// they are: such a table is refused by name, never read as something else.
#[tokio::test(flavor = "multi_thread")]
async fn trap_17_fractions_of_old_temporal_types() {
    let setup = Setup::new(Flavor::MariaDb, &[]).await;
    exec_all(
        &mut setup.source.conn().await,
        &[
            "CREATE DATABASE d",
            "SET GLOBAL mysql56_temporal_format=OFF",
            // Nobody has logged a row of it: the base meets it first.
            "SET sql_log_bin=0",
            "CREATE TABLE d.t (id INT PRIMARY KEY, a TIME(3))",
            "INSERT INTO d.t VALUES (1, '-00:00:00.001')",
        ],
    )
    .await;
    setup.capture();
    let url = setup.source.account_url();
    let taken = cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]);
    taken.refused(1, &["d.t", "mysql56_temporal_format=ON"]);
}

/// What the definition says is followed, as far as it is known that it still holds; rows of
/// unknown length stop restores of their table, and of no other.
#[tokio::test(flavor = "multi_thread")]
async fn trap_17_rows_of_unknown_length() {
    let old = "--mysql56-temporal-format=OFF";
    let setup = Setup::new(Flavor::MariaDb, &[old]).await;
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "SET GLOBAL mysql56_temporal_format=OFF",
            "CREATE TABLE d.plain (id INT PRIMARY KEY, a TIME, b DATETIME, c TIMESTAMP NULL)",
            "CREATE TABLE d.other (id INT PRIMARY KEY)",
            "INSERT INTO d.plain VALUES (1, '-00:00:01', '2024-02-29 01:02:03', NULL)",
        ],
    )
    .await;
    setup.base().await;
    exec_all(
        &mut conn,
        &[
            "ALTER TABLE d.plain ADD n INT",
            "INSERT INTO d.plain VALUES (2, '12:00:00', '2024-01-01', '2024-01-01', 7)",
        ],
    )
    .await;
    setup.capture();
    setup.restore(&["--latest"]).success();
    setup.compare(&["d"], "as the definition says").await;
    setup.drop_on_target(&["d"]).await;

    // Eight rows of three bytes are as long as six of four.
    exec(&mut conn, "CREATE TABLE d.t (a TIME(3), b DATETIME(2))").await;
    exec(
        &mut conn,
        "INSERT INTO d.t VALUES ('00:00:00.001', '2024-01-01 00:00:00.25')",
    )
    .await;
    exec(&mut conn, "INSERT INTO d.other VALUES (1)").await;
    setup.capture();
    let reason = "old temporal type whose fraction";
    setup
        .restore(&["--latest"])
        .refused(3, &["d.t", reason, "next step"]);
    setup.restore(&["--latest", "--table", "d.other"]).success();
    setup.drop_on_target(&["d"]).await;

    exec(&mut conn, "DROP TABLE d.t").await;
    exec(&mut conn, "ALTER TABLE d.plain MODIFY a TIME(3)").await;
    exec(&mut conn, "UPDATE d.plain SET a = '00:00:00.5'").await;
    setup.capture();
    setup
        .restore(&["--latest"])
        .refused(3, &["d.plain", reason, "next step"]);

    let new = "SET GLOBAL mysql56_temporal_format=ON";
    exec(&mut setup.target.conn().await, new).await;
    exec_all(&mut conn, &[new, "ALTER TABLE d.plain FORCE"]).await;
    exec(&mut conn, "UPDATE d.plain SET n = 8").await;
    setup.capture();
    let url = setup.source.account_url();
    cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
    exec(
        &mut conn,
        "UPDATE d.plain SET a = '-00:00:00.25' WHERE id = 1",
    )
    .await;
    setup.capture();
    setup.restore(&["--latest"]).success();
    setup.compare(&["d"], "after the new base").await;
}

/// Rows that came and went leave the counter behind; rows alone would give one that is used again.
#[tokio::test(flavor = "multi_thread")]
async fn trap_61_auto_increment_counters() {
    for flavor in crate::support::server::FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        exec_all(
            &mut setup.source.conn().await,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY)",
                "INSERT INTO d.t VALUES (1), (70)",
                "DELETE FROM d.t WHERE id = 70",
            ],
        )
        .await;
        setup.base().await;
        setup.restore(&["--latest"]).success();
        let mut target = setup.target.conn().await;
        exec(&mut target, "INSERT INTO d.t VALUES ()").await;
        let id: i64 = query_one(&mut target, "SELECT MAX(id) FROM d.t").await;
        assert_eq!(id, 71, "{flavor}");
    }
}

/// Ids of table maps begin anew with the server: the same id is another table then.
#[tokio::test(flavor = "multi_thread")]
async fn trap_65_115_table_ids_after_a_restart() {
    for flavor in crate::support::server::FLAVORS {
        let mut setup = Setup::new(flavor, &[]).await;
        exec_all(
            &mut setup.source.conn().await,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.a (id INT PRIMARY KEY, v VARCHAR(9))",
                "CREATE TABLE d.b (v VARCHAR(9), id INT PRIMARY KEY)",
                "INSERT INTO d.a VALUES (1, 'a')",
                "INSERT INTO d.b VALUES ('b', 1)",
            ],
        )
        .await;
        setup.base().await;
        for (round, tables) in [["a", "b"], ["b", "a"], ["a", "b"]].iter().enumerate() {
            let mut conn = setup.source.conn().await;
            for table in tables {
                let insert = format!("INSERT INTO d.{table} (id, v) VALUES (1{round}, '{round}')");
                exec(&mut conn, insert).await;
                exec(
                    &mut conn,
                    format!("UPDATE d.{table} SET v = CONCAT(v, '!')"),
                )
                .await;
            }
            exec_all(&mut conn, &["BEGIN", "INSERT INTO d.a VALUES (99, 'lost')"]).await;
            setup.source.restart(&[]).expect("restart");
        }
        setup.capture();
        setup.restore(&["--latest"]).success();
        setup
            .compare(&["d"], &format!("{flavor}: after restarts"))
            .await;
    }
}

/// Row images, GTIDs and definitions of one flavor mean something else on the other.
#[tokio::test(flavor = "multi_thread")]
async fn trap_126_targets_of_the_other_flavor() {
    let (mysql, mariadb) = (Flavor::MySql, Flavor::MariaDb);
    for (source, target) in [(mysql, mariadb), (mariadb, mysql)] {
        let setup = Setup::of(ServerSpec::new(source), ServerSpec::new(target)).await;
        exec_all(
            &mut setup.source.conn().await,
            &["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"],
        )
        .await;
        setup.base().await;
        setup.restore(&["--latest"]).refused(1, &["another flavor"]);
        let mut conn = setup.target.conn().await;
        let left: Vec<String> = query(&mut conn, "SHOW DATABASES LIKE 'd'").await;
        assert!(left.is_empty(), "{target}");
    }
}
