//! The lines of the benchmark. Each gives its rows for one flavor and needs nothing of another.

mod capture;
mod decode;
mod fold;
mod growth;
mod latency;
mod memory;
mod restore;
mod snapshot;
mod source;

use crate::report::Row;
use crate::settings::Settings;
use tidelog::position::Flavor;

/// Names in the order of the table.
pub(crate) const NAMES: [&str; 9] = [
    "capture", "decode", "snapshot", "fold", "restore", "latency", "source", "growth", "memory",
];

/// Runs one.
pub(crate) async fn run(line: &str, flavor: Flavor, settings: &Settings) -> Vec<Row> {
    match line {
        "capture" => Box::pin(capture::run(flavor, settings)).await,
        "decode" => Box::pin(decode::run(flavor, settings)).await,
        "snapshot" => Box::pin(snapshot::run(flavor, settings)).await,
        "fold" => Box::pin(fold::run(flavor, settings)).await,
        "restore" => Box::pin(restore::run(flavor, settings)).await,
        "latency" => Box::pin(latency::run(flavor, settings)).await,
        "source" => Box::pin(source::run(flavor, settings)).await,
        "growth" => Box::pin(growth::run(flavor, settings)).await,
        "memory" => Box::pin(memory::run(flavor, settings)).await,
        _ => panic!("no line is called {line}"),
    }
}
