//! Whether memory keeps to its budget however large the data is, with the resident set over time.

use super::{restore, snapshot};
use crate::fold;
use crate::process::{Usage, measure};
use crate::repo::{Repo, capture_once};
use crate::report::{Aim, Row};
use crate::servers;
use crate::settings::Settings;
use crate::support::sql::{exec, exec_all};
use crate::support::{TestServer, start};
use tidelog::position::Flavor;

/// What every command keeps to by default.
pub(super) const BUDGET_MIB: f64 = 512.0;

/// One large transaction; one large table.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let mut rows = Box::pin(transaction(flavor, settings)).await;
    rows.extend(Box::pin(table(flavor, settings)).await);
    rows
}

/// A table of numbers up to a power of two that is at least `rows`.
async fn with_numbers(flavor: Flavor, rows: u64) -> TestServer {
    let source = start(servers::spec(flavor)).await;
    let mut conn = source.conn().await;
    let tables = [
        "CREATE DATABASE bench",
        "CREATE DATABASE help",
        "CREATE TABLE help.n (n INT AUTO_INCREMENT PRIMARY KEY)",
        "INSERT INTO help.n VALUES (1)",
    ];
    exec_all(&mut conn, &tables).await;
    let mut count = 1;
    while count < rows {
        exec(&mut conn, "INSERT INTO help.n (n) SELECT NULL FROM help.n").await;
        count *= 2;
    }
    source
}

async fn transaction(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let count = settings.rows(950_000, 60_000);
    let source = with_numbers(flavor, count).await;
    let mut conn = source.conn().await;
    let create = "CREATE TABLE bench.a (id INT PRIMARY KEY, pad VARBINARY(1024), v INT)";
    exec(&mut conn, create).await;
    let (repo, url) = (Repo::on_disk("none"), source.account_url());
    repo.base(&url).await;
    let insert = format!(
        "INSERT INTO bench.a SELECT 30000000 - n, RANDOM_BYTES(1000), 0 FROM help.n ORDER BY n LIMIT {count}"
    );
    let update = "UPDATE bench.a SET v = 1 WHERE id % 20 = 0";
    exec_all(&mut conn, &["BEGIN", &insert, update, "COMMIT"]).await;
    let label = format!("one transaction of {:.2} GiB", count as f64 * 1.1e-6);
    let (captured, _) = capture_once(&repo, &url);
    let (restored, _) = restore::restored(servers::spec_of_tables(flavor), &repo, &source, 2).await;
    vec![
        row(&label, "capture", count, &captured),
        row(&label, "restore", count, &restored),
    ]
}

async fn table(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let count = settings.rows(10_000_000, 50_000);
    let source = with_numbers(flavor, count).await;
    let (repo, url) = (Repo::on_disk("none"), source.account_url());
    capture_once(&repo, &url);
    let mut conn = source.conn().await;
    let create =
        "CREATE TABLE bench.large (id INT PRIMARY KEY, a INT, b VARCHAR(60), c DATETIME(3))";
    exec(&mut conn, create).await;
    let insert = format!(
        "INSERT INTO bench.large SELECT n, n * 7 % 1000, CONCAT('row number ', n, ' of many'), \
         '2026-11-20 10:00:00.123' FROM help.n ORDER BY n LIMIT {count}"
    );
    exec(&mut conn, insert).await;
    let label = format!("a table of {count} rows");
    let (captured, _) = capture_once(&repo, &url);
    let folded = repo.scratch("folded");
    let folded = measure(fold::command(&repo.path(), "large", &folded));
    let based = Repo::on_disk("none");
    let (taken, _) = snapshot::taken(&based, &source);
    let (restored, _) =
        restore::restored(servers::spec_of_tables(flavor), &based, &source, 2).await;
    vec![
        row(&label, "capture of one INSERT", count, &captured),
        row(&label, "fold to a base file", count, &folded),
        row(&label, "snapshot", count, &taken),
        row(&label, "restore", count, &restored),
    ]
}

fn row(label: &str, work: &str, rows: u64, usage: &Usage) -> Row {
    Row::new(label, work)
        .done(rows as f64, "rows", usage.took)
        .used(usage)
        .against(
            "memory budget of 512 MiB",
            usage.peak_mib / BUDGET_MIB,
            Some(Aim::AtMost(1.0)),
        )
        .note(usage.memory_over_time(BUDGET_MIB))
}
