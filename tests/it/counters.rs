//! AUTO_INCREMENT counters of restored tables.

use crate::support::server::FLAVORS;
use crate::support::setup::Setup;
use crate::support::sql::{exec, exec_all, query};
use tidelog::position::Flavor;

/// Counters end where those of the source are, whether the definition, the rows or neither says so.
#[tokio::test(flavor = "multi_thread")]
async fn counters_end_where_those_of_the_source_do() {
    const COUNTERS: &str = "SELECT table_name, auto_increment FROM information_schema.tables \
                            WHERE table_schema = 'd' ORDER BY table_name";
    for flavor in FLAVORS {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        let id = "id INT AUTO_INCREMENT PRIMARY KEY";
        let mut statements = vec!["CREATE DATABASE d".to_owned(), "USE d".to_owned()];
        for (name, id, options) in [
            ("plain", id, ""),
            ("`go)ne`", id, ""),
            ("came_and_went", id, ""),
            ("large", "id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY", ""),
            ("negative", id, ""),
            ("second", "id INT AUTO_INCREMENT, KEY (id)", "ENGINE=MyISAM"),
            ("parts", id, "PARTITION BY HASH (id) PARTITIONS 3"),
            ("no_rows", id, "AUTO_INCREMENT=40"),
        ] {
            statements.push(format!("CREATE TABLE {name} ({id}, v INT) {options}"));
            if name != "no_rows" && name != "negative" {
                statements.push(format!("INSERT INTO {name} (v) VALUES (1), (2), (3)"));
            }
        }
        statements.push("DELETE FROM `go)ne` WHERE id = 3".to_owned());
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        exec_all(&mut conn, &statements).await;
        setup.base().await;
        let later = [
            "INSERT INTO plain (v) VALUES (4), (5)",
            "INSERT INTO second (v) VALUES (4), (5)",
            "INSERT INTO parts (v) VALUES (4), (5)",
            "INSERT INTO came_and_went (id, v) VALUES (77, 4)",
            "DELETE FROM came_and_went WHERE id = 77",
            "INSERT INTO large VALUES (18446744073709551000, 4)",
            "INSERT INTO negative VALUES (-5, 4)",
            "CREATE TABLE new_and_empty (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=50",
            "CREATE TABLE new_with_rows (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=60",
            "INSERT INTO new_with_rows VALUES (), ()",
        ];
        exec_all(&mut conn, &later).await;
        setup.capture();
        setup.restore(&["--latest"]).success();
        let mut target = setup.target.conn().await;
        if flavor == Flavor::MySql {
            for conn in [&mut conn, &mut target] {
                exec(conn, "SET information_schema_stats_expiry = 0").await;
            }
        }
        let of_source: Vec<(String, Option<u64>)> = query(&mut conn, COUNTERS).await;
        let of_target: Vec<(String, Option<u64>)> = query(&mut target, COUNTERS).await;
        assert_eq!(of_target, of_source, "{flavor}");
        setup.compare(&["d"], &format!("{flavor}: all of it")).await;
    }
}
