//! The comparison: tidelog beside its peers, on the same data, in one run.
//!
//! `make bench` runs all lines, `make bench QUICK=1` a short form of them, `make bench
//! LINES=latency,capture` some, `RESUME=1` those that an interrupted run did not come to, `FLAVORS=mysql`
//! one flavor. A claim is a ratio to a peer measured a moment before on the same machine; the absolute
//! figures drift. Rows are printed as a table and kept in `target/bench.json`; table and chart of the full form
//! are docs/benchmarks-table.md and docs/benchmarks.svg.

mod backlog;
mod decode;
mod fold;
mod lines;
mod process;
mod repo;
mod report;
mod servers;
mod settings;
#[path = "../../tests/it/support/mod.rs"]
#[allow(
    unused_imports,
    reason = "the benchmark uses a part of what the tests share"
)]
mod support;
mod workloads;

use futures::FutureExt as _;
use report::Results;
use settings::Settings;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use tidelog::runtime::Stopwatch;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> ExitCode {
    if fold::was_asked_for() {
        return ExitCode::SUCCESS;
    }
    let settings = Settings::from_environment();
    if let Some(unknown) = settings.unknown(&lines::NAMES) {
        println!("no line is called {unknown}; there are {:?}", lines::NAMES);
        return ExitCode::FAILURE;
    }
    let mut results = Results::open(&settings);
    let mut failed = Vec::new();
    let watch = Stopwatch::start();
    for line in lines::NAMES.into_iter().filter(|line| settings.wants(line)) {
        for flavor in settings.flavors() {
            if settings.is_resumed && results.is_finished(line, flavor) {
                continue;
            }
            let began = watch.elapsed();
            println!("{line}, {flavor} ...");
            // A line that fails takes no other with it.
            let run = AssertUnwindSafe(lines::run(line, flavor, &settings));
            let (rows, is_whole) = match run.catch_unwind().await {
                Ok(rows) => (rows, true),
                Err(panic) => {
                    let why = reason(&*panic);
                    println!("{line}, {flavor} FAILED: {why}");
                    failed.push(format!("{line}, {flavor}"));
                    (vec![report::Row::new("", "failed").note(why)], false)
                }
            };
            let rows = rows.into_iter().map(|row| row.belonging(line, flavor));
            results.replace(line, flavor, rows.collect(), is_whole);
            let took = (watch.elapsed() - began).as_secs_f64();
            println!("{line}, {flavor}: {took:.1} s");
        }
    }
    results.sort(&lines::NAMES);
    results.print();
    results.publish();
    println!("{} aims missed", results.missed());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join("; "));
    ExitCode::FAILURE
}

/// The first line of what a line of the benchmark failed with.
fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let first = text.and_then(|text| text.lines().next());
    first.unwrap_or("panicked").to_owned()
}
