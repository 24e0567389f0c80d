//! The sizes that the design names, with the default limits. They take minutes and gigabytes:
//! `make soak` asks for them by `TIDELOG_TEST_LARGE=1`.

use super::{MIB, peak, statements};
use crate::support::Setup;
use crate::support::cli;
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query_one};
use std::time::Duration;
use tidelog::runtime::{Deadline, Stopwatch};
use tidelog::service::throwaway::ServerSpec;

/// What every command keeps to with the default limits.
const BUDGET: u64 = 512 * MIB;

fn is_asked_for() -> bool {
    std::env::var("TIDELOG_TEST_LARGE").is_ok_and(|value| value == "1")
}

/// Runs a command to its end and holds it to a budget.
async fn within(budget: u64, what: &str, args: &[&str]) {
    let watch = Stopwatch::start();
    let ended = peak(cli::spawn(args)).await;
    let (seconds, mib) = (watch.elapsed().as_secs_f64(), ended.peak / MIB);
    println!("{what}: {mib} MiB at most, {seconds:.0} s");
    assert!(ended.status.success(), "{what}: {}", ended.status);
    assert!(ended.peak < budget, "{what}: {mib} MiB");
}

/// A table, and another one with eight numbers, doubled so many times.
fn with_numbers(table: &str, doublings: usize) -> Vec<String> {
    let mut all = vec![
        "CREATE DATABASE d".to_owned(),
        "CREATE TABLE d.n (n INT AUTO_INCREMENT PRIMARY KEY)".to_owned(),
        "INSERT INTO d.n VALUES (1),(2),(3),(4),(5),(6),(7),(8)".to_owned(),
        table.to_owned(),
    ];
    all.extend(vec![
        "INSERT INTO d.n SELECT NULL FROM d.n".to_owned();
        doublings
    ]);
    all
}

async fn capture_and_restore(setup: &Setup, what: &str) {
    capture_and_restore_within(BUDGET, setup, what).await;
}

async fn capture_and_restore_within(restore: u64, setup: &Setup, what: &str) {
    let (source, target) = (setup.source.account_url(), setup.target.account_url());
    let repo = ["--repo", setup.repo.as_str()];
    let run = |words: &[&'static str], more: &[&str]| {
        let all = words.iter().copied().map(str::to_owned);
        let all = all.chain(repo.iter().chain(more).map(|word| (*word).to_owned()));
        all.collect::<Vec<String>>()
    };
    for (command, args) in [
        (
            "capture",
            run(&["capture", "--once"], &["--source", &source]),
        ),
        (
            "restore",
            run(&["restore", "--latest"], &["--target", &target]),
        ),
        ("verify", run(&["verify"], &[])),
        ("verify --full", run(&["verify", "--full"], &[])),
        ("log", run(&["log"], &[])),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let budget = if command == "restore" {
            restore
        } else {
            BUDGET
        };
        within(budget, &format!("{what}: {command}"), &args).await;
    }
    setup.compare(&["d"], what).await;
    setup.drop_on_target(&["d"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_one_gibibyte() {
    if !is_asked_for() {
        return;
    }
    for flavor in FLAVORS {
        let tables = with_numbers(
            "CREATE TABLE d.a (id INT PRIMARY KEY, pad VARBINARY(1024), v INT)",
            17,
        );
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        let (setup, mut conn) = Setup::based(flavor, &tables).await;
        let insert =
            "INSERT INTO d.a SELECT 3000000 - n, RANDOM_BYTES(1000), 0 FROM d.n LIMIT 950000";
        exec_all(
            &mut conn,
            &[
                "BEGIN",
                insert,
                "UPDATE d.a SET v = 1 WHERE id % 20 = 0",
                "COMMIT",
            ],
        )
        .await;
        capture_and_restore(&setup, &format!("{flavor}, 1 GiB transaction")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_64_mebibytes() {
    if !is_asked_for() {
        return;
    }
    for flavor in FLAVORS {
        let spec = || ServerSpec::new(flavor).option("--max-allowed-packet=256M");
        let setup = Setup::of(spec(), spec()).await;
        let mut conn = setup.source.conn().await;
        let tables = [
            "CREATE DATABASE d",
            "CREATE TABLE d.b (id INT PRIMARY KEY, doc LONGBLOB)",
        ];
        exec_all(&mut conn, &tables).await;
        setup.base().await;
        for id in 1..7 {
            let row = format!("INSERT INTO d.b VALUES ({id}, REPEAT(RANDOM_BYTES(1024), 65535))");
            exec(&mut conn, row).await;
        }
        // A statement is a third longer than its row, and the driver has it three times; meanwhile the
        // fold knows the next row as page and image. However many rows there are.
        let what = format!("{flavor}, 64 MiB rows");
        capture_and_restore_within(11 * 64 * MIB, &setup, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_of_statements_in_one_transaction() {
    if !is_asked_for() {
        return;
    }
    for flavor in FLAVORS {
        let (setup, mut conn) = statements::servers(flavor).await;
        statements::write(&mut conn, 16_384, 64 << 10).await;
        capture_and_restore(&setup, &format!("{flavor}, 1 GiB of statements")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_in_one_segment() {
    if !is_asked_for() {
        return;
    }
    for flavor in FLAVORS {
        // A server syncs each table that it creates: minutes, of which nothing here is about.
        let spec = || ServerSpec::new(flavor).option("--innodb-flush-method=nosync");
        let setup = Setup::of(spec(), spec()).await;
        let mut conn = setup.source.conn().await;
        exec(&mut conn, "CREATE DATABASE d").await;
        setup.base().await;
        for table in 0..10_000 {
            let create = format!("CREATE TABLE d.t{table} (id INT PRIMARY KEY, v VARCHAR(50))");
            exec(&mut conn, create).await;
        }
        setup.capture();
        for table in 0..10_000 {
            let insert = format!("INSERT INTO d.t{table} VALUES (1, 'one'), (2, 'two')");
            exec(&mut conn, insert).await;
        }
        capture_and_restore(&setup, &format!("{flavor}, 10,000 tables")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_transactions_a_minute() {
    if !is_asked_for() {
        return;
    }
    for flavor in FLAVORS {
        let tables = [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(100))",
            "CREATE PROCEDURE d.write_rows (n INT) BEGIN WHILE n > 0 DO \
             INSERT INTO d.t (a, b) VALUES (n, REPEAT('x', n % 100)); SET n = n - 1; END WHILE; END",
        ];
        let (setup, _) = Setup::based(flavor, &tables).await;
        let url = setup.source.account_url();
        let capture = cli::spawn(&["capture", "--source", &url, "--repo", &setup.repo]);
        let watch = Stopwatch::start();
        let clients = (0..4).map(|_| async {
            let mut conn = setup.source.conn().await;
            exec(&mut conn, "CALL d.write_rows(25000)").await;
        });
        futures::future::join_all(clients).await;
        println!(
            "{flavor}: 100,000 transactions in {:.0} s",
            watch.elapsed().as_secs_f64()
        );
        let status_file = format!("/proc/{}/status", capture.pid());
        let deadline = Deadline::after(Duration::from_secs(120));
        let url = url.as_str();
        while !deadline.has_passed() {
            let args = ["status", "--json", "--repo", &setup.repo, "--source", url];
            if cli::run(&args).success().json()["lag_seconds"] == 0.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!(
            "{flavor}: captured after {:.0} s",
            watch.elapsed().as_secs_f64()
        );
        let text = std::fs::read_to_string(status_file).expect("its status");
        let peak = super::high_water(&text).expect("its peak");
        println!("{flavor}: {} MiB at most", peak / MIB);
        assert!(peak < BUDGET, "{flavor}: {peak}");
        capture.terminate();
        let mut conn = setup.source.conn().await;
        let rows: u64 = query_one(&mut conn, "SELECT COUNT(*) FROM d.t").await;
        assert_eq!(rows, 100_000);
        capture_and_restore(&setup, &format!("{flavor}, 100,000 transactions")).await;
    }
}

/// Less memory than the default, and more events than fit it.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_budget_is_kept_to() {
    if !is_asked_for() {
        return;
    }
    for flavor in FLAVORS {
        let tables = with_numbers(
            "CREATE TABLE d.a (id INT PRIMARY KEY, pad VARCHAR(1024), v INT)",
            10,
        );
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        let (setup, mut conn) = Setup::based(flavor, &tables).await;
        for part in 0..100 {
            let insert = format!(
                "INSERT INTO d.a SELECT {part} * 100000 + n, HEX(RANDOM_BYTES(400)), 0 FROM d.n LIMIT 6000"
            );
            exec(&mut conn, insert).await;
        }
        let url = setup.source.account_url();
        let budget = 192 * MIB;
        let bytes = budget.to_string();
        let args = ["capture", "--once", "--source", &url, "--repo", &setup.repo];
        let ended = peak(cli::spawn(&[&args[..], &["--memory-max", &bytes]].concat())).await;
        println!("{flavor}: {} MiB at most", ended.peak / MIB);
        assert!(ended.status.success(), "{}", ended.status);
        assert!(ended.peak < budget, "{flavor}: {} MiB", ended.peak / MIB);
    }
}
