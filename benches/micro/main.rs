//! The hot loops alone, on fixed rows in memory: decode of each type, encode, checksums, fold.
//!
//! `cargo bench --bench micro` times them with criterion. `scripts/instructions` counts the
//! instructions of each instead, which are the same on a busy machine as on a quiet one: for that this
//! program runs one loop, `TIDELOG_LOOP`, as often as `TIDELOG_LOOP_TIMES` says.

mod binlog;
mod input;
mod loops;

use criterion::{Criterion, Throughput};
use loops::Loop;

fn main() {
    let all = loops::all();
    match std::env::var("TIDELOG_LOOP").ok().as_deref() {
        None | Some("") => measure(all),
        Some("list") => {
            for each in all {
                println!("{} {}", each.name, each.rows);
            }
        }
        Some(name) => {
            let times = std::env::var("TIDELOG_LOOP_TIMES").ok();
            let times = times.map_or(1, |text| text.parse().expect("a number"));
            let found = all.into_iter().find(|each| each.name == name);
            let found = found.unwrap_or_else(|| panic!("no loop is called {name}"));
            let mut round = (found.prepare)();
            for _ in 0..times {
                round();
            }
        }
    }
}

fn measure(all: Vec<Loop>) {
    let mut criterion = Criterion::default().configure_from_args();
    for each in all {
        let mut group = criterion.benchmark_group(each.group());
        group.throughput(Throughput::Elements(each.rows));
        let mut round = (each.prepare)();
        group.bench_function(each.name, |bencher| bencher.iter(&mut round));
        group.finish();
    }
    criterion.final_summary();
}
