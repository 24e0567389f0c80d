//! A large table is written in parts, by several connections, and read back in pieces.

use super::small_account;
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query_one};
use crate::support::{Setup, cli};
use mysql_async::Conn;
use std::time::Duration;
use tidelog::position::Flavor;

/// What parts a killed restore left, nobody can say: here it is the first one and those after the
/// second. Only the second is written again, though another transaction holds its place for a while.
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_missing_are_written() {
    for flavor in FLAVORS {
        let options = ["--max-allowed-packet=1M", "--innodb-lock-wait-timeout=3"];
        let setup = Setup::new(flavor, &options).await;
        let mut conn = setup.source.conn().await;
        fill(&mut conn).await;
        setup.base().await;
        // The last row does not fit: all parts before it are there when the restore ends.
        let (repo, small) = (setup.repo.as_str(), small_account(&setup, flavor).await);
        let to = ["--repo", repo, "--target", &small, "--jobs", "1"];
        let refused = cli::restore(&[&["--latest"], to.as_slice()].concat());
        refused.refused(1, &["table=d.t", "max_allowed_packet=1048576"]);

        let mut target = setup.target.conn().await;
        let parts = "FROM tidelog_restore.parts";
        let count: u64 = query_one(&mut target, format!("SELECT COUNT(*) {parts}")).await;
        assert!(count >= 3, "{flavor}: {count} parts");
        let second = format!("SELECT first_row, end_row {parts} ORDER BY first_row LIMIT 1, 1");
        let (first, end): (u64, u64) = query_one(&mut target, second).await;
        // Rows are numbered in the order of their keys, from 0.
        let rows = format!("DELETE FROM d.t WHERE id > {first} AND id <= {end}");
        let note = format!("DELETE {parts} WHERE first_row = {first}");
        exec_all(&mut target, &["SET sql_log_bin = 0", &rows, &note]).await;

        let before = lock_waits(&mut target).await;
        let place = format!("SELECT id FROM d.t WHERE id = {end} FOR UPDATE");
        exec_all(&mut target, &["BEGIN", &place]).await;
        let resumed = std::thread::scope(|scope| {
            let resumed = scope.spawn(|| setup.restore(&["--latest", "--resume", "--jobs", "3"]));
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    wait_for_lock_waits(&mut setup.target.conn().await, before + 1).await;
                    // Longer than the server lets it wait, and shorter than five such times: several
                    // connections may wait for this place, so their number does not tell it.
                    tokio::time::sleep(Duration::from_secs(8)).await;
                    exec(&mut target, "COMMIT").await;
                });
            });
            resumed.join().expect("restore")
        });
        assert!(
            resumed.stderr().contains("a part is written again"),
            "{}",
            resumed.stderr()
        );
        resumed.success();
        setup.compare(&["d"], "resumed with a part missing").await;
    }
}

/// Types of JSON that the text does not show are read back where the first documents have values and
/// elsewhere, and one that differs is found in either place.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_in_a_document_that_differs_is_found() {
    let setup = Setup::new(Flavor::MySql, &[]).await;
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.alike (id INT PRIMARY KEY, doc JSON)",
            "CREATE TABLE d.other (id INT PRIMARY KEY, doc JSON)",
            "CREATE TRIGGER d.tr BEFORE INSERT ON d.alike FOR EACH ROW SET NEW.id = NEW.id",
            "INSERT INTO d.alike SELECT v, JSON_OBJECT('n', CAST(v AS SIGNED), 'l', JSON_ARRAY(CAST(v AS SIGNED), '2026-11-20')) \
             FROM JSON_TABLE(CONCAT('[', REPEAT('1,', 199), '1]'), '$[*]' COLUMNS (v FOR ORDINALITY)) AS t",
            "INSERT INTO d.other SELECT * FROM d.alike",
            "INSERT INTO d.other VALUES (1000, '{\"elsewhere\": [{\"a b\": 1.5}]}')",
        ],
    )
    .await;
    setup.base().await;
    let (repo, small) = (
        setup.repo.as_str(),
        small_account(&setup, Flavor::MySql).await,
    );
    let args = ["--latest", "--repo", repo, "--target", &small];
    // It stops where all rows are there and the trigger is not.
    cli::restore(&args).refused(1, &["name=d.tr", "--resume"]);
    let mut target = setup.target.conn().await;
    let trust = "SET GLOBAL log_bin_trust_function_creators = 1";
    exec(&mut target, trust).await;
    let args = [args.as_slice(), &["--resume"]].concat();
    // The texts stay what they are.
    for (table, id, path, value) in [
        ("alike", 150, "$.n", "CAST(150 AS UNSIGNED)"),
        ("alike", 150, "$.l[1]", "DATE'2026-11-20'"),
        ("other", 150, "$.n", "CAST(150 AS UNSIGNED)"),
        (
            "other",
            1000,
            "$.elsewhere[0].\"a b\"",
            "CAST(1.5 AS DECIMAL(2, 1))",
        ),
    ] {
        let look = format!(
            "SELECT CAST(doc AS CHAR), JSON_TYPE(JSON_EXTRACT(doc, '{path}')) FROM d.{table} \
             WHERE id = {id}"
        );
        let (text, former): (String, String) = query_one(&mut target, &look).await;
        // The server takes a value that is equal in number for no change: not in one step.
        let set = |doc: &str| format!("UPDATE d.{table} SET doc = {doc} WHERE id = {id}");
        let document = format!("CAST('{text}' AS JSON)");
        let changed = set(&format!("JSON_SET({document}, '{path}', {value})"));
        exec_all(&mut target, &[&set("NULL"), &changed]).await;
        let (same, other): (String, String) = query_one(&mut target, &look).await;
        assert!(same == text && other != former, "{same} {other}");
        cli::restore(&args).refused(1, &["differs from the log", &format!("d.{table}: 20")]);
        exec_all(&mut target, &[&set("NULL"), &set(&document)]).await;
    }
    cli::restore(&args).success();
    setup.compare(&["d"], "documents").await;
}

/// 65,536 rows of 30 MB in all, and one that is larger than a packet.
async fn fill(conn: &mut Conn) {
    exec_all(
        conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, v LONGBLOB)",
            "INSERT INTO d.t VALUES (1, REPEAT('v', 450))",
        ],
    )
    .await;
    for bit in 0..16 {
        let more = format!("INSERT INTO d.t SELECT id + {}, v FROM d.t", 1_u32 << bit);
        exec(conn, more).await;
    }
    exec(conn, "INSERT INTO d.t VALUES (65537, REPEAT('w', 900000))").await;
}

/// How often transactions have waited for locks of others.
async fn lock_waits(conn: &mut Conn) -> u64 {
    let version: String = query_one(conn, "SELECT VERSION()").await;
    let source = match version.contains("MariaDB") {
        true => "information_schema",
        false => "performance_schema",
    };
    let waits = format!(
        "SELECT variable_value FROM {source}.global_status \
         WHERE variable_name = 'Innodb_row_lock_waits'"
    );
    let count: String = query_one(conn, waits).await;
    count.parse().expect("a number")
}

/// Waits until that is this often: the second time, a transaction was begun again.
async fn wait_for_lock_waits(conn: &mut Conn, wanted: u64) {
    for _ in 0..6_000 {
        if lock_waits(conn).await >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody waited twice");
}
