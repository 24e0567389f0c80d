//! Bad input at the command line: one clear error each, the exit codes of the contract, nothing
//! half done.

use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, query_one};
use crate::support::{TestServer, cli, start_all};
use std::path::{Path, PathBuf};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// A source with one small table, captured with a base, and a target.
struct Setup {
    source: TestServer,
    target: TestServer,
    folder: tempfile::TempDir,
    repo: String,
}

impl Setup {
    async fn new(flavor: Flavor) -> Setup {
        let [source, target] = start_all([ServerSpec::new(flavor), ServerSpec::new(flavor)]).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repo = format!("file://{}", folder.path().join("repo").display());
        let mut conn = source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20), f FLOAT)",
                "INSERT INTO d.t VALUES (1, 'one', 0.1), (2, 'two', NULL)",
            ],
        )
        .await;
        cli::run(&["init", "--repo", &repo]).success();
        let setup = Setup {
            source,
            target,
            folder,
            repo,
        };
        setup.base().await;
        setup
    }

    /// Runs the service until it has taken the first base.
    async fn base(&self) {
        let url = self.source.account_url();
        let service = cli::spawn(&[
            "run",
            "--source",
            &url,
            "--repo",
            &self.repo,
            "--seal-interval-ms",
            "200",
        ]);
        for _ in 0..300 {
            let status = cli::run(&["status", "--json", "--repo", &self.repo]);
            if status.ok() && !status.json()["restorable_from"].is_null() {
                return service.terminate();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("no base after half a minute");
    }

    fn capture(&self) -> cli::Run {
        cli::run(&[
            "capture",
            "--once",
            "--source",
            &self.source.account_url(),
            "--repo",
            &self.repo,
        ])
    }

    fn restore(&self, more: &[&str]) -> cli::Run {
        let url = self.target.account_url();
        let mut args = vec!["--repo", &self.repo, "--target", &url];
        args.extend(more);
        cli::restore(&args)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("repo")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_one_clear_error() {
    for flavor in FLAVORS {
        let setup = Setup::new(flavor).await;
        moments(&setup);
        target_in_use(&setup).await;
        unknown_effects_are_a_barrier(&setup).await;
        another_source(&setup);
        damaged_objects(&setup);
    }
}

/// Times in the future, before the first base, and nonsense.
fn moments(setup: &Setup) {
    setup
        .restore(&["--to-time", "2999-01-01T00:00:00Z"])
        .refused(3, &["error:", "next step"]);
    setup
        .restore(&["--to-time", "2001-01-01T00:00:00Z"])
        .refused(3, &["error:", "next step"]);
    setup
        .restore(&["--to-seq", "999999"])
        .refused(3, &["error:", "next step"]);
    setup
        .restore(&["--to-time", "yesterday"])
        .refused(2, &["parse time", "yesterday"]);
    setup.restore(&[]).refused(2, &["--latest"]);
    let plan = setup.restore(&["--latest", "--dry-run", "--json"]);
    assert_eq!(plan.success().json()["tables"][0]["name"]["table"], "t");
}

/// A target that is not empty is refused and stays as it was; an empty one is restored.
async fn target_in_use(setup: &Setup) {
    let mut conn = setup.target.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.mine (x INT)",
            "INSERT INTO d.mine VALUES (7)",
        ],
    )
    .await;
    let refused = setup.restore(&["--latest"]);
    assert!(
        !refused.ok() && refused.stderr().contains("next step"),
        "{}",
        refused.stderr()
    );
    let kept: i32 = query_one(&mut conn, "SELECT x FROM d.mine").await;
    assert_eq!(kept, 7);
    exec(&mut conn, "DROP DATABASE d").await;
    setup.restore(&["--latest"]).success();
    let expected = fingerprint(&mut setup.source.conn().await, &["d"]).await;
    let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
    assert_same(&expected, &found, "restored table");
    exec(&mut conn, "DROP DATABASE d").await;
    let refused = setup.restore(&["--to-time", "2001-01-01T00:00:00Z"]);
    refused.refused(3, &["error:"]);
    let databases: Vec<String> =
        crate::support::sql::query(&mut conn, "SHOW DATABASES LIKE 'd'").await;
    assert!(
        databases.is_empty(),
        "a refused restore left something behind"
    );
}

/// DDL whose effect on rows the log does not say: capture goes on, status shows it, a restore
/// across it is refused, one to just before it works.
async fn unknown_effects_are_a_barrier(setup: &Setup) {
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &[
            "INSERT INTO d.t VALUES (3, 'three', 3)",
            "CREATE TABLE d.keyless (a INT)",
            "INSERT INTO d.keyless VALUES (1), (2)",
            "ALTER TABLE d.keyless ADD COLUMN w INT AUTO_INCREMENT UNIQUE",
            "INSERT INTO d.t VALUES (4, 'x', 4)",
        ],
    )
    .await;
    setup.capture().success();
    let status = cli::run(&["status", "--json", "--repo", &setup.repo]).json();
    let barrier = &status["timelines"][0]["barriers"][0];
    let statement = barrier["statement"]
        .as_str()
        .expect("the barrier's statement");
    assert!(statement.contains("ADD COLUMN w"), "{statement}");
    setup
        .restore(&["--latest"])
        .refused(3, &["ADD COLUMN w", "next step"]);
    let seq = barrier["seq"].to_string();
    setup.restore(&["--to-seq", &seq, "--before"]).success();
    let mut target = setup.target.conn().await;
    let rows: i64 = query_one(&mut target, "SELECT COUNT(*) FROM d.t").await;
    assert_eq!(rows, 3);
    exec(&mut target, "DROP DATABASE d").await;
}

/// Wrong password, an unreachable server, another server's history, a URL that is none.
fn another_source(setup: &Setup) {
    let other = setup.target.account_url();
    let refused = cli::run(&[
        "capture",
        "--once",
        "--source",
        &other,
        "--repo",
        &setup.repo,
    ]);
    refused.refused(1, &["another source", "next step"]);
    let wrong = setup.source.url("tidelog", "not-the-password");
    let refused = cli::run(&[
        "capture",
        "--once",
        "--source",
        &wrong,
        "--repo",
        &setup.repo,
    ]);
    refused.refused(2, &["error:"]);
    assert!(
        !refused.stderr().contains("not-the-password"),
        "a password was printed"
    );
    let refused = cli::run(&[
        "capture",
        "--once",
        "--source",
        "http://x/",
        "--repo",
        &setup.repo,
    ]);
    refused.refused(2, &["error:"]);
    let nowhere = setup.folder.path().join("nothing-here");
    let nowhere = format!("file://{}", nowhere.display());
    cli::run(&["status", "--repo", &nowhere]).refused(2, &["error:"]);
}

/// One flipped bit in any object is found and named by verify; nothing panics.
fn damaged_objects(setup: &Setup) {
    cli::run(&["verify", "--full", "--repo", &setup.repo]).success();
    let mut tried = 0;
    for path in files(&setup.path()) {
        let name = path.display().to_string();
        let is_data =
            name.ends_with(".parquet") || name.contains("/log/") || name.ends_with("0001.json");
        if !is_data {
            continue;
        }
        let whole = std::fs::read(&path).expect("an object");
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        std::fs::write(&path, &damaged).expect("write damage");
        let verify = cli::run(&["verify", "--repo", &setup.repo]);
        assert_eq!(
            verify.code(),
            3,
            "{name}: {}{}",
            verify.stdout(),
            verify.stderr()
        );
        assert!(
            verify.stdout().contains("DAMAGE"),
            "{name}: {}",
            verify.stdout()
        );
        std::fs::write(&path, &whole).expect("mend damage");
        tried += 1;
        if tried == 12 {
            break;
        }
    }
    assert!(tried >= 6, "hardly any objects: {tried}");
    cli::run(&["verify", "--repo", &setup.repo]).success();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(files(&path))
        } else {
            all.push(path)
        }
    }
    all.sort();
    all
}
