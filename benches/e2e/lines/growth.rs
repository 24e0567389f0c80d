//! Whether cost grows with the data and with nothing else: the same rows once, four and sixteen
//! times; the same rows in a hundred, a thousand and ten thousand tables.

use super::memory::BUDGET_MIB;
use super::{restore, snapshot};
use crate::backlog::Prepared;
use crate::process::Usage;
use crate::repo::{Repo, capture_once};
use crate::report::{Aim, Row};
use crate::servers;
use crate::settings::Settings;
use crate::workloads::Workload;
use tidelog::position::Flavor;

/// Rows, then tables.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let mut rows = Box::pin(of_rows(flavor, settings)).await;
    rows.extend(Box::pin(of_tables(flavor, settings)).await);
    rows
}

/// Capture, restore and snapshot of one size.
struct Cost {
    label: String,
    /// Times the smallest size.
    factor: f64,
    rows: u64,
    usages: Vec<(&'static str, Usage)>,
}

async fn cost(
    flavor: Flavor,
    workload: Workload,
    with_snapshot: bool,
) -> Vec<(&'static str, Usage)> {
    let prepared = Prepared::start(flavor, workload).await;
    let (repo, url) = (Repo::on_disk("none"), prepared.source.account_url());
    repo.base(&url).await;
    let backlog = prepared.write().await;
    let (captured, _) = capture_once(&repo, &url);
    let mut usages = vec![("capture", captured)];
    let (restored, _) =
        restore::restored(servers::spec_of_tables(flavor), &repo, &backlog.source, 2).await;
    usages.push(("restore", restored));
    if with_snapshot {
        let (taken, _) = snapshot::taken(&Repo::on_disk("none"), &backlog.source);
        usages.push(("snapshot", taken));
    }
    usages
}

async fn of_rows(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let one = settings.rows(100_000, 10_000);
    let factors: &[u64] = if settings.is_quick {
        &[1, 4]
    } else {
        &[1, 4, 16]
    };
    let mut costs = Vec::new();
    for factor in factors {
        let workload = Workload::Messages { rows: one * factor };
        costs.push(Cost {
            label: format!("messages, {factor}x"),
            factor: *factor as f64,
            rows: workload.images(),
            usages: Box::pin(cost(flavor, workload, true)).await,
        });
    }
    // Linear is 1; a start that costs the same every time makes it less.
    rows_of(&costs, "linear growth from 1x", &|cost| cost.factor, 1.0)
}

async fn of_tables(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let rows = settings.rows(200_000, 2_000);
    let numbers: &[u64] = if settings.is_quick {
        &[20, 80]
    } else {
        &[100, 1_000, 10_000]
    };
    let mut costs = Vec::new();
    for tables in numbers {
        let workload = Workload::Tables {
            tables: *tables,
            rows,
        };
        costs.push(Cost {
            label: format!("{tables} tables"),
            factor: 1.0,
            rows: workload.images(),
            usages: Box::pin(cost(flavor, workload, false)).await,
        });
    }
    let first = numbers[0];
    rows_of(
        &costs,
        &format!("the same rows in {first} tables"),
        &|_| 1.0,
        1.5,
    )
}

/// A row for each size and command, held against the smallest.
fn rows_of(costs: &[Cost], baseline: &str, wanted: &dyn Fn(&Cost) -> f64, aim: f64) -> Vec<Row> {
    let mut rows = Vec::new();
    for command in 0..costs[0].usages.len() {
        let first = costs[0].usages[command].1.took.as_secs_f64();
        for cost in costs {
            let (name, usage) = &cost.usages[command];
            let row = Row::new(&cost.label, *name)
                .done(cost.rows as f64, "rows", usage.took)
                .used(usage)
                .note(usage.memory_over_time(BUDGET_MIB));
            let ratio = usage.took.as_secs_f64() / first / wanted(cost);
            rows.push(match std::ptr::eq(cost, &costs[0]) {
                true => row,
                false => row.against(baseline, ratio, Some(Aim::AtMost(aim))),
            });
        }
    }
    rows
}
