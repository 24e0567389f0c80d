//! Traps of what a source logs when a session thins out its binlog: capture goes on, nothing is
//! guessed, and a restore across it is refused until there is a new base.

use crate::support::sql::{exec, exec_all};
use crate::support::{Setup, cli};
use tidelog::position::Flavor;

/// A session's setting, the change it logs incompletely, and what the refusal says.
struct Thin {
    statements: Vec<&'static str>,
    reason: &'static str,
}

fn thin(statements: &[&'static str], reason: &'static str) -> Thin {
    Thin {
        statements: statements.to_vec(),
        reason,
    }
}

/// MINIMAL and NOBLOB images; an INSERT of defaults alone has no column in its image.
fn trap_38_46_47_48_images() -> Vec<Thin> {
    let reason = "partial row image";
    vec![
        thin(
            &["SET binlog_row_image=MINIMAL", "UPDATE d.t SET v = 2"],
            reason,
        ),
        thin(
            &[
                "SET binlog_row_image=MINIMAL",
                "INSERT INTO d.t () VALUES ()",
            ],
            reason,
        ),
        thin(
            &["SET binlog_row_image=NOBLOB", "UPDATE d.t SET v = 3"],
            reason,
        ),
    ]
}

/// Without names, labels and charsets a table map describes nothing.
fn trap_49_thin_metadata(flavor: Flavor) -> Vec<Thin> {
    let reason = "row metadata is not full";
    let full = "SET GLOBAL binlog_row_metadata=FULL";
    let minimal = [
        "SET GLOBAL binlog_row_metadata=MINIMAL",
        "UPDATE d.t SET v = 4",
        full,
    ];
    let none = [
        "SET GLOBAL binlog_row_metadata=NO_LOG",
        "UPDATE d.t SET v = 5",
        full,
    ];
    match flavor {
        Flavor::MySql => vec![thin(&minimal, reason)],
        Flavor::MariaDb => vec![thin(&minimal, reason), thin(&none, reason)],
    }
}

/// Changes of rows that are logged as text.
fn trap_88_statements() -> Vec<Thin> {
    vec![
        thin(
            &["SET binlog_format=STATEMENT", "UPDATE d.t SET v = v + 1"],
            "statement-format change of rows",
        ),
        thin(
            &[
                "SET binlog_format=STATEMENT",
                "USE d",
                "INSERT INTO t (v) VALUES (RAND())",
            ],
            "statement logging",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thin_binlog_leaves_out_is_never_guessed_on_mysql() {
    let thins = [
        trap_38_46_47_48_images(),
        trap_49_thin_metadata(Flavor::MySql),
        trap_88_statements(),
    ];
    refused_until_a_base(Flavor::MySql, thins.into_iter().flatten()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thin_binlog_leaves_out_is_never_guessed_on_mariadb() {
    let thins = [
        trap_38_46_47_48_images(),
        trap_49_thin_metadata(Flavor::MariaDb),
        trap_88_statements(),
    ];
    refused_until_a_base(Flavor::MariaDb, thins.into_iter().flatten()).await;
}

async fn refused_until_a_base(flavor: Flavor, thins: impl Iterator<Item = Thin>) {
    let setup = Setup::new(flavor, &[]).await;
    exec_all(
        &mut setup.source.conn().await,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT DEFAULT 0, b BLOB, j JSON, \
             c1 INT, c2 INT, c3 INT, c4 INT, c5 INT, c6 INT, c7 INT)",
            "INSERT INTO d.t (b, j, c7) VALUES ('b', '{\"a\": [1, 22, 333]}', 7)",
        ],
    )
    .await;
    setup.base().await;
    let url = setup.source.account_url();
    for (index, thin) in thins.enumerate() {
        let mut conn = setup.source.conn().await;
        for statement in &thin.statements {
            exec(&mut conn, statement).await;
        }
        setup.capture();
        let refused = setup.restore(&["--latest"]);
        refused.refused(3, &[thin.reason, "next step"]);
        if index % 3 != 0 {
            // A new base makes every later moment restorable; some are enough to see it.
            cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
            continue;
        }
        cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
        exec(&mut conn, "SET binlog_row_image=FULL, binlog_format=ROW").await;
        exec(&mut conn, "UPDATE d.t SET c1 = COALESCE(c1, 0) + 1").await;
        setup.capture();
        setup.restore(&["--latest"]).success();
        setup
            .compare(&["d"], &format!("after {:?}", thin.statements))
            .await;
        setup.drop_on_target(&["d"]).await;
    }
}

/// A table that is younger than the base and has nothing in the log but what cannot be decoded:
/// it is no empty table.
#[tokio::test(flavor = "multi_thread")]
async fn a_young_table_of_undecoded_rows_is_never_restored_as_empty() {
    for flavor in crate::support::server::FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec(&mut conn, "CREATE DATABASE d").await;
        let url = setup.source.account_url();
        let flags = ["--seal-interval-ms", "500"];
        let mut args = vec!["run", "--source", &url, "--repo", &setup.repo];
        args.extend(flags);
        let service = cli::spawn(&args);
        setup.wait_for_base().await;
        exec(
            &mut conn,
            "CREATE TABLE d.young (id INT PRIMARY KEY, v INT DEFAULT 3)",
        )
        .await;
        // The catalogue is read again after the statement, with the next seal.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let minimal = "SET binlog_row_image=MINIMAL";
        exec_all(&mut conn, &[minimal, "INSERT INTO d.young (id) VALUES (1)"]).await;
        service.terminate();
        setup.capture();
        let refused = setup.restore(&["--latest"]);
        refused.refused(3, &["partial row image", "next step"]);
    }
}
