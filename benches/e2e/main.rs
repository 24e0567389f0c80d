//! The comparison table: tidelog beside its peers, on the same data, in one run.
//!
//! `make bench`. A claim is a ratio to a peer measured a moment before on the same machine; the
//! absolute figures drift. `TIDELOG_BENCH_ROWS` sets the number of rows (1,200,000 by default: with
//! fewer, capture is mostly its start). The table is printed and written as JSON to `target/bench.json`.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod load;
mod peers;
mod table;

use load::{capture, command_for, rows, tidelog};
use std::path::Path;
use std::time::{Duration, Instant};
use table::{Row, Table};
use tidelog::position::Flavor;
use tidelog::service::throwaway::{PASSWORD, ServerSpec, ThrowawayServer};

fn main() {
    let mut table = Table::default();
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        one(flavor, &mut table);
    }
    table.print();
    table.write(Path::new("target/bench.json"));
}

fn one(flavor: Flavor, table: &mut Table) {
    let big = |spec: ServerSpec| {
        let spec = match flavor {
            Flavor::MySql => spec.option("--innodb-redo-log-capacity=1G"),
            Flavor::MariaDb => spec.option("--innodb-log-file-size=512M"),
        };
        let spec = spec
            .option("--innodb-buffer-pool-size=512M")
            .option("--max-allowed-packet=64M");
        spec.option("--max-binlog-size=1G")
    };
    let start = |what: &str| {
        ThrowawayServer::start(big(ServerSpec::new(flavor)))
            .unwrap_or_else(|e| panic!("{what}: {}", e.report()))
    };
    let source = start("source");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repo = format!("file://{}", folder.path().join("repo").display());
    let url = source.account_url();
    load::create(&source);
    tidelog(&["init", "--repo", &repo]);
    // The log starts here; what is written from now on is backlog for the timed run.
    tidelog(&["capture", "--once", "--source", &url, "--repo", &repo]);
    let mut service = load::service(&[
        "run",
        "--source",
        &url,
        "--repo",
        &repo,
        "--seal-interval-ms",
        "500",
    ]);
    load::wait_for_base(&repo);
    load::stop(&mut service);
    let from = load::position(&source);
    load::write(&source);
    let to = load::position(&source);
    let bytes = load::bytes_between(&source, &from, &to);
    let mib = bytes as f64 / f64::from(1 << 20);

    let raw = peers::mysqlbinlog_raw(&source, &from.0, folder.path());
    table.push(Row::peer(flavor, "mysqlbinlog --raw to a file", mib, raw));
    let (captured, memory) = capture(&["capture", "--once", "--source", &url, "--repo", &repo]);
    table.push(
        Row::ours(
            flavor,
            "tidelog capture to committed segments",
            mib,
            captured,
            ("mysqlbinlog --raw", raw, 0.3),
        )
        .memory(memory),
    );
    let stored = load::stored_bytes(&repo);
    table.push(Row::note(
        flavor,
        "segment bytes per binlog byte",
        stored as f64 / bytes as f64,
    ));

    let files = load::binlog_files(&source, &from.0);
    let (decoded, decoded_rows) = peers::tidelog_decode(flavor, &files);
    if flavor == Flavor::MySql {
        match peers::mysql_cdc_decode(&files) {
            Ok((cdc, cdc_rows)) => {
                table.push(
                    Row::peer(
                        flavor,
                        "mysql_cdc decode, values dropped",
                        cdc_rows as f64 / 1e6,
                        cdc,
                    )
                    .unit("M rows/s"),
                );
                let ours = decoded.as_secs_f64() / decoded_rows as f64 * cdc_rows as f64;
                let row = Row::ours(
                    flavor,
                    "tidelog decode into Arrow",
                    cdc_rows as f64 / 1e6,
                    Duration::from_secs_f64(ours),
                    ("mysql_cdc", cdc, 1.5),
                );
                table.push(row.unit("M rows/s"));
            }
            Err(error) => println!("mysql_cdc could not read the binlog: {error}"),
        }
    } else {
        table.push(
            Row::peer(
                flavor,
                "tidelog decode into Arrow",
                decoded_rows as f64 / 1e6,
                decoded,
            )
            .unit("M rows/s"),
        );
    }
    restores(flavor, table, &source, &repo, &files, start);
}

/// Restores the same moment both ways, and holds both results against the source.
fn restores(
    flavor: Flavor,
    table: &mut Table,
    source: &ThrowawayServer,
    repo: &str,
    files: &[std::path::PathBuf],
    start: impl Fn(&str) -> ThrowawayServer,
) {
    let count = rows(source);
    let peer = start("target of the peer");
    load::create(&peer);
    let replay = peers::mysqlbinlog_replay(&peer, files);
    assert_eq!(
        rows(&peer),
        count,
        "mysqlbinlog | mysql restored other rows"
    );
    drop(peer);
    let million = count as f64 / 1e6;
    table.push(
        Row::peer(
            flavor,
            "mysqlbinlog | mysql, the same changes",
            million,
            replay,
        )
        .unit("M rows/s"),
    );
    let target = start("target");
    let watch = Instant::now();
    let mut restore = command_for(&[
        "restore",
        "--latest",
        "--repo",
        repo,
        "--target",
        &target.account_url(),
    ]);
    let output = restore
        .env("TIDELOG_TARGET_PASSWORD", PASSWORD)
        .output()
        .expect("run tidelog restore");
    assert!(
        output.status.success(),
        "restore: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let restored = watch.elapsed();
    assert_eq!(rows(&target), count, "tidelog restored other rows");
    let row = Row::ours(
        flavor,
        "tidelog restore --latest, read back and proven",
        million,
        restored,
        ("mysqlbinlog | mysql", replay, 1.0),
    );
    table.push(row.unit("M rows/s"));
}
