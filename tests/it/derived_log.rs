//! `tidelog log` shows what cascades did that the source did not log, marked as derived.

use crate::support::server::FLAVORS;
use crate::support::sql::exec_all;
use crate::support::{Setup, cli};
use serde_json::{Value, json};
use tidelog::position::Flavor;

const TABLES: &[&str] = &[
    "CREATE DATABASE d",
    "CREATE TABLE d.p (id INT PRIMARY KEY)",
    "CREATE TABLE d.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.p (id) \
     ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE d.g (c INT, KEY (c), FOREIGN KEY (c) REFERENCES d.c (id) ON DELETE SET NULL)",
    "INSERT INTO d.p VALUES (1), (2), (3), (4)",
    "INSERT INTO d.c VALUES (10, 1), (11, 1), (20, 2), (30, 3), (40, 4)",
    "INSERT INTO d.g VALUES (10), (10), (20), (30), (40)",
];

/// The entries that `log` prints as JSON.
fn entries(setup: &Setup, more: &[&str]) -> Vec<Value> {
    let mut args = vec!["log", "--json", "--repo", &setup.repo];
    args.extend(more);
    let log = cli::run(&args);
    let lines = log.success().stdout();
    let parsed = lines.lines().map(serde_json::from_str);
    parsed.map(|entry| entry.expect("JSON")).collect()
}

/// All derived changes, each with the change that stands before it in its entry.
fn derived(entries: &[Value]) -> Vec<Value> {
    let changes = entries.iter().map(|entry| entry["changes"].as_array());
    let changes = changes.flatten().flatten();
    let derived = changes.filter(|change| !change["derived"].is_null());
    derived.cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn derived_changes_stand_with_what_they_follow_from() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, TABLES).await;
        exec_all(
            &mut conn,
            &[
                "DELETE FROM d.p WHERE id = 1",
                "INSERT INTO d.c VALUES (21, 2)",
            ],
        )
        .await;
        setup.capture();
        exec_all(
            &mut conn,
            &["UPDATE d.p SET id = id + 100 WHERE id IN (2, 3)"],
        )
        .await;
        setup.capture();
        let url = setup.source.account_url();
        cli::run(&["snapshot", "--source", &url, "--repo", &setup.repo]).success();
        exec_all(
            &mut conn,
            &[
                "BEGIN",
                "DELETE FROM d.c WHERE id = 30",
                "DELETE FROM d.p",
                "COMMIT",
            ],
        )
        .await;
        setup.capture();
        let all = entries(&setup, &[]);
        if flavor == Flavor::MySql {
            assert!(derived(&all).is_empty(), "its server logs what cascades do");
            continue;
        }
        let deleted = |id: i32, p: i32| json!({"table": "d.c", "op": "delete", "derived": true, "before": {"id": id, "p": p}});
        let moved = |id: i32, p: i32| {
            json!({"table": "d.c", "op": "update", "derived": true, "before": {"id": id, "p": p},
                "after": {"id": id, "p": p + 100}})
        };
        let lost = |c: i32| {
            json!({"table": "d.g", "op": "update", "derived": true, "before": {"c": c},
                "after": {"c": null}})
        };
        let twice = |mut change: Value| {
            change["copies"] = json!(2);
            change
        };
        let expected = [
            deleted(10, 1),
            deleted(11, 1),
            twice(lost(10)),
            moved(20, 2),
            moved(21, 2),
            moved(30, 3),
            lost(30),
            deleted(20, 102),
            deleted(21, 102),
            deleted(40, 4),
            lost(20),
            lost(40),
        ];
        let found = derived(&all);
        for change in &expected {
            assert!(found.contains(change), "{change} is not in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        let first = all.iter().find(|entry| !entry["derived"].is_null());
        let first = first.expect("an entry with derived changes");
        assert_eq!(
            first["changes"][0]["table"], "d.p",
            "the cause stands first"
        );
        let counts =
            json!({"d.c": {"updated": 0, "deleted": 2}, "d.g": {"updated": 2, "deleted": 0}});
        assert_eq!(first["derived"], counts);

        let of_g = entries(&setup, &["--table", "d.g"]);
        assert_eq!(derived(&of_g).len(), 4);
        assert!(derived(&entries(&setup, &["--logged-only"])).is_empty());
        let seq = first["seq"].to_string();
        let one = entries(&setup, &["--from-seq", &seq, "--to-seq", &seq]);
        assert_eq!(derived(&one).len(), 3);
        let table = cli::run(&["log", "--repo", &setup.repo]);
        let table = table.success().stdout();
        assert!(table.contains("d.c ~0 -2 (derived)"), "{table}");
    }
}
