//! What is larger than memory is meant to be: transactions, rows, segments of many tables.

use crate::support::Setup;
use crate::support::cli::{self, Service};
use crate::support::proxy::Proxy;
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all};
use std::process::ExitStatus;
use std::time::Duration;
use tidelog::position::Flavor;

mod full_size;
mod statements;

const MIB: u64 = 1 << 20;

/// What a process came to.
struct Ended {
    status: ExitStatus,
    /// Its greatest resident set, in bytes.
    peak: u64,
}

/// The greatest resident set, in bytes, of the text of `/proc/<pid>/status`.
fn high_water(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?;
    Some(kib * 1024)
}

/// Waits for a process and follows how much memory it took.
async fn peak(mut service: Service) -> Ended {
    let status_file = format!("/proc/{}/status", service.pid());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        peak = peak.max(high_water(&text).unwrap_or(0));
        // A look at the process, and a short wait for the next one.
        if let Some(status) = service.ended(Duration::from_millis(10)) {
            assert!(peak > 0, "the process was never looked at");
            return Ended { status, peak };
        }
        tokio::task::yield_now().await;
    }
}

const TABLES: &[&str] = &[
    "CREATE DATABASE d",
    "CREATE TABLE d.digit (n INT PRIMARY KEY)",
    "INSERT INTO d.digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
    "CREATE TABLE d.n (n INT PRIMARY KEY)",
    "INSERT INTO d.n SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n + 10000 * f.n \
     FROM d.digit a, d.digit b, d.digit c, d.digit e, d.digit f WHERE f.n < 2",
    "CREATE TABLE d.a (id INT PRIMARY KEY, pad VARBINARY(1000), v INT)",
    "CREATE TABLE d.h (x INT, pad VARCHAR(200), KEY (x))",
    "CREATE TABLE d.c (p VARCHAR(20), q INT, pad VARBINARY(1000), PRIMARY KEY (q, p))",
    "INSERT INTO d.a SELECT n * 7, RANDOM_BYTES(100), 0 FROM d.n WHERE n < 300",
];

/// Tables that are touched by the large transaction and small in it.
const SMALL: usize = 40;

/// The large transaction: keys come in no order, rows change more than once, in several tables.
fn large(flavor: Flavor) -> Vec<String> {
    let mut steps = vec![
        "BEGIN".to_owned(),
        "INSERT INTO d.a SELECT 100000 - n, RANDOM_BYTES(1000), n % 7 FROM d.n WHERE n < 12000"
            .to_owned(),
        "INSERT INTO d.h SELECT n % 50, REPEAT(CHAR(65 + n % 20), 150) FROM d.n WHERE n < 6000"
            .to_owned(),
        "UPDATE d.a SET v = v + 1, pad = RANDOM_BYTES(900) WHERE id % 3 = 0".to_owned(),
        "INSERT INTO d.c SELECT HEX(n * 7919), n % 9, RANDOM_BYTES(500) FROM d.n WHERE n < 4000"
            .to_owned(),
    ];
    for table in 0..SMALL {
        steps.push(format!(
            "INSERT INTO d.s{table} SELECT n, n FROM d.n WHERE n < {}",
            table + 3
        ));
    }
    if flavor == Flavor::MariaDb {
        // The server logs what was undone, for the second table cannot be rolled back.
        steps.extend(
            [
                "SAVEPOINT s",
                "INSERT INTO d.m VALUES (1)",
                "UPDATE d.a SET v = -5 WHERE id % 2 = 0",
                "ROLLBACK TO s",
            ]
            .map(str::to_owned),
        );
    }
    steps.extend(
        [
            "UPDATE d.a SET id = id + 500000, v = 9 WHERE id % 5 = 0",
            "DELETE FROM d.a WHERE id % 4 = 1",
            "DELETE FROM d.h WHERE x = 7",
            "UPDATE d.h SET x = x + 1 WHERE x < 20",
            "COMMIT",
        ]
        .map(str::to_owned),
    );
    steps
}

async fn write(setup: &Setup) {
    let flavor = setup.source.flavor();
    let mut conn = setup.source.conn().await;
    exec(&mut conn, "INSERT INTO d.a VALUES (1, 'before', 1)").await;
    exec(&mut conn, "DELETE FROM d.a WHERE id = 7").await;
    for step in large(flavor) {
        exec(&mut conn, step).await;
    }
    exec(&mut conn, "UPDATE d.a SET v = 77 WHERE id < 1000").await;
    // Its rows count from its XA COMMIT on.
    exec_all(
        &mut conn,
        &[
            "XA START 'x'",
            "INSERT INTO d.c SELECT 'xa', n, RANDOM_BYTES(1000) FROM d.n WHERE n < 3000",
            "UPDATE d.c SET pad = 'xa' WHERE q = 3",
            "XA END 'x'",
            "XA PREPARE 'x'",
        ],
    )
    .await;
    let between = "INSERT INTO d.a VALUES (2, 'between', 1)";
    exec(&mut setup.source.conn().await, between).await;
    let after = ["XA COMMIT 'x'", "INSERT INTO d.a VALUES (3, 'after', 1)"];
    exec_all(&mut conn, &after).await;
}

/// Limits that the large transaction passes many times over.
const LIMITS: [&str; 4] = [
    "--segment-bytes-max",
    "4194304",
    "--spool-bytes-max",
    "1073741824",
];
/// What a process that held the transaction could not keep to.
const PEAK_MAX: u64 = 72 * MIB;

/// The connection breaks twice within the transaction, then capture is killed while the files of
/// its segment are stored; the spool gives it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_memory_survives_cuts_and_a_kill() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(&mut conn, TABLES).await;
        for table in 0..SMALL {
            let create = format!("CREATE TABLE d.s{table} (id INT PRIMARY KEY, v INT)");
            exec(&mut conn, create).await;
        }
        let engine = match flavor {
            Flavor::MySql => "InnoDB",
            Flavor::MariaDb => "MyISAM",
        };
        exec(
            &mut conn,
            format!("CREATE TABLE d.m (id INT) ENGINE={engine}"),
        )
        .await;
        setup.base().await;
        write(&setup).await;
        let spool = tempfile::tempdir().expect("a folder");
        let proxy = Proxy::start(setup.source.port()).await;
        proxy.cut_dumps([6 * MIB, 18 * MIB]);
        // In the clear: the proxy must see which connection brings the dump.
        let url = format!("{}/?ssl-mode=disabled", proxy.url(&setup.source));
        let spool = spool.path().display().to_string();
        let repo = &setup.repo;
        let mut args = vec!["capture", "--once", "--source", &url, "--repo", repo];
        args.extend(["--durability", "spool", "--spool-dir", &spool]);
        args.extend(LIMITS);
        let killed = [("TIDELOG_FAILPOINT", "data.one_put:6")];
        let first = peak(cli::spawn_with(&args, &killed)).await;
        assert_eq!(first.status.code(), None, "{flavor}: it was to be killed");
        assert_eq!(proxy.cuts_left(), 0, "{flavor}: cuts");
        let second = peak(cli::spawn(&args)).await;
        assert!(second.status.success(), "{flavor}: {}", second.status);
        for (what, peak) in [("received", first.peak), ("recovered", second.peak)] {
            println!("{flavor}: {what} in {} MiB", peak / MIB);
            assert!(peak < PEAK_MAX, "{flavor}: {what} in {peak} bytes");
        }
        setup.restore(&["--latest"]).success();
        setup
            .compare(&["d"], &format!("{flavor}: the large transaction"))
            .await;
        cli::run(&["verify", "--full", "--repo", repo]).success();
    }
}
