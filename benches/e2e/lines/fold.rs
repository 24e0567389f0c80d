//! The fold of all changes of a table into a base file, beside DuckDB's "last row per key" on the
//! same files into a Parquet file. Both results are compared cell by cell.

use crate::fold::{self, Input};
use crate::process::{Usage, measure};
use crate::repo::{Repo, capture_once};
use crate::report::{Aim, Row};
use crate::servers;
use crate::settings::Settings;
use crate::support::sql::exec;
use crate::support::{duckdb, start, tool};
use crate::workloads::Workload;
use std::path::Path;
use std::process::{Command, Stdio};
use tidelog::position::Flavor;

const DUCKDB: &str = "import sys, duckdb; duckdb.sql(sys.argv[1])";

/// Messages that are each changed or deleted now and then, and hot rows.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let messages = Workload::Messages {
        rows: settings.rows(600_000, 50_000),
    };
    let hot = Workload::Hot {
        updates: settings.rows(300_000, 20_000),
        rows: settings.rows(10_000, 2_000),
    };
    let mut rows = Vec::new();
    for (workload, table) in [(messages, "messages"), (hot, "hot")] {
        rows.extend(Box::pin(of(flavor, workload, table, settings.turns(3))).await);
    }
    rows
}

async fn of(flavor: Flavor, workload: Workload, table: &str, turns: usize) -> Vec<Row> {
    let source = start(servers::spec(flavor)).await;
    let (repo, url) = (Repo::on_disk("none"), source.account_url());
    capture_once(&repo, &url);
    tokio::task::block_in_place(|| {
        workload.create(&source);
        workload.write(&source);
    });
    if table == "messages" {
        let mut conn = source.conn().await;
        exec(
            &mut conn,
            "UPDATE bench.messages SET score = score + 1 WHERE id % 5 = 0",
        )
        .await;
        exec(&mut conn, "DELETE FROM bench.messages WHERE id % 9 = 0").await;
    }
    capture_once(&repo, &url);
    let input = Input::find(&repo.path(), table);
    let images = input.images() as f64;
    let (ours, theirs) = (repo.scratch("ours"), repo.scratch("theirs.parquet"));
    let select = last_rows(&input, "id");
    let copy = format!(
        "COPY ({select}) TO '{}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)",
        theirs.display()
    );
    let (mut peers, mut usages) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let mut duck = Command::new(tool("python"));
        duck.args(["-c", DUCKDB, &copy]).stdin(Stdio::null());
        peers.push(measure(duck));
        usages.push(measure(fold::command(&repo.path(), table, &ours)));
    }
    let (peer, usage) = (shortest(peers), shortest(usages));
    let left = same(&ours, &theirs);
    let baseline = "DuckDB, last row per key to Parquet";
    vec![
        Row::new(workload.name(), baseline)
            .typed(&last_rows_typed())
            .done(images, "images", peer.took)
            .used(&peer),
        Row::new(workload.name(), "fold to a base file")
            .done(images, "images", usage.took)
            .used(&usage)
            .against(
                baseline,
                peer.took.as_secs_f64() / usage.took.as_secs_f64(),
                Some(Aim::AtLeast(1.0)),
            )
            .note(format!(
                "{left} rows left, equal cell by cell; {} files",
                input.paths().len()
            )),
    ]
}

fn shortest(usages: Vec<Usage>) -> Usage {
    let shortest = usages.into_iter().min_by_key(|usage| usage.took);
    shortest.expect("several turns")
}

/// The rows that are left: of each key the image that came last, unless it was deleted. Images
/// before an update say nothing here, since no workload changes a key.
fn last_rows(input: &Input, key: &str) -> String {
    let paths = input.paths();
    let names: Vec<String> = paths.iter().map(|p| format!("'{}'", p.display())).collect();
    last_rows_of(&names.join(", "), key)
}

fn last_rows_typed() -> String {
    format!(
        "COPY ({}) TO 'base.parquet' (COMPRESSION zstd)",
        last_rows_of("FILES", "id")
    )
}

fn last_rows_of(files: &str, key: &str) -> String {
    format!(
        "SELECT * EXCLUDE (__op, __row, __event, __flags, __commit_time) FROM ( \
         SELECT * FROM read_parquet([{files}]) WHERE __op <> 'update_before' \
         QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY __seq DESC, __row DESC) = 1 \
         ) WHERE __op <> 'delete'"
    )
}

/// Fails unless both files have the same rows; gives their number.
fn same(ours: &Path, theirs: &Path) -> u64 {
    let a = format!("SELECT * FROM read_parquet('{}/*.parquet')", ours.display());
    let b = format!("SELECT * FROM read_parquet('{}')", theirs.display());
    let count = duckdb::query(&[&format!(
        "SELECT (SELECT COUNT(*) FROM ({a})), \
         (SELECT COUNT(*) FROM ({a} EXCEPT ALL {b})), (SELECT COUNT(*) FROM ({b} EXCEPT ALL {a}))"
    )]);
    let number = |column: usize| -> u64 {
        let text = count[0][column].as_deref().expect("a number");
        text.parse().expect("a number")
    };
    assert_eq!((number(1), number(2)), (0, 0), "the two folds differ");
    assert!(number(0) > 0, "no rows are left");
    number(0)
}
