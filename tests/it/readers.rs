//! Other readers of our Parquet files: DuckDB, Polars and pyarrow see in bases and in segments,
//! cell by cell, what the server shows.

use compare::{base_files, change_files, expected, read_by_all, rows_after, views_name_everything};

mod compare;

use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, ident, literal};
use crate::support::{TestServer, cli, start, tool};
use mysql_async::Conn;
use serde_json::Value as Json;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// Names that files and readers would rather not see, made 64 characters long: servers keep
/// databases and tables in files, so that few of their letters can be wide.
fn names() -> [String; 3] {
    let long = |start: &str, fill: char| {
        let missing = 64 - start.chars().count();
        start
            .chars()
            .chain(std::iter::repeat_n(fill, missing))
            .collect()
    };
    [
        long("a.b/c'd\"e 日本.parquet/../%2F*?{}", 'n'),
        long("t.b/c'd\"e;-- 表__op/__seq.parquet*", 'n'),
        long("v.x/y'z\"w ./%20[0]{1}*?__raw!", '語'),
    ]
}

/// Columns of both flavors: kind, definition, and values by row: the last row has no typed form
/// where there is such a value.
const COLUMNS: &[(&str, &str, [&str; 3])] = &[
    ("int", "TINYINT", ["-128", "127", "0"]),
    ("int", "SMALLINT UNSIGNED", ["65535", "0", "1"]),
    ("int", "MEDIUMINT", ["-8388608", "8388607", "-1"]),
    ("int", "INT UNSIGNED", ["4294967295", "0", "1"]),
    (
        "int",
        "BIGINT",
        ["-9223372036854775808", "9223372036854775807", "0"],
    ),
    (
        "int",
        "BIGINT UNSIGNED",
        ["18446744073709551615", "9223372036854775808", "0"],
    ),
    (
        "decimal",
        "DECIMAL(38,10)",
        [
            "-9999999999999999999999999999.9999999999",
            "0.0000000001",
            "0",
        ],
    ),
    (
        "decimal",
        "DECIMAL(38,0)",
        ["99999999999999999999999999999999999999", "-1", "0"],
    ),
    (
        "text",
        "DECIMAL(65,30)",
        [
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "7",
            "0",
        ],
    ),
    ("f32", "FLOAT", ["-0.0e0", "1e-45", "3.4028234e38"]),
    (
        "f64",
        "DOUBLE",
        ["-0.0e0", "5e-324", "1.7976931348623157e308"],
    ),
    ("int", "BIT(13)", ["b'1011111111110'", "b'0'", "1"]),
    (
        "int",
        "BIT(64)",
        ["0xffffffffffffffff", "0x8000000000000000", "0"],
    ),
    ("int", "YEAR", ["1901", "2155", "0"]),
    (
        "days",
        "DATE",
        ["'0001-01-01'", "'9999-12-31'", "'2024-00-15'"],
    ),
    (
        "micros",
        "DATETIME(6)",
        [
            "'0001-01-01 00:00:00.000001'",
            "'9999-12-31 23:59:59.999999'",
            "'0000-00-00'",
        ],
    ),
    (
        "micros",
        "TIMESTAMP(6) NULL",
        [
            "'1970-01-01 00:00:00.000001'",
            "'2038-01-19 03:14:07.499999'",
            "0",
        ],
    ),
    (
        "int",
        "TIME(6)",
        ["'-838:59:58.999999'", "'-00:00:00.000001'", "'838:59:59'"],
    ),
    ("text", "CHAR(9)", ["'é€😀'", "''", "'a b'"]),
    (
        "text",
        "VARCHAR(300) CHARACTER SET latin1",
        ["X'80a4e9'", "''", "'a '"],
    ),
    ("text", "MEDIUMTEXT", ["'nul\\0 line\\n'", "''", "'ж'"]),
    ("bytes", "BINARY(5)", ["X'6100'", "X'ffffffffff'", "X''"]),
    ("bytes", "VARBINARY(300)", ["X'00ff'", "X''", "X'61'"]),
    ("label", "ENUM('a','é','')", ["'é'", "''", "0"]),
    ("text", "SET('a','b','é')", ["'a,é'", "''", "7"]),
    (
        "bytes",
        "GEOMETRY",
        ["POINT(1, -2.5)", "POINT(0, 1e300)", "NULL"],
    ),
];

const MYSQL: &[(&str, &str, [&str; 3])] = &[
    (
        "text",
        "JSON",
        [
            "'{\"a\": [1, -2.5, null, \"é\"]}'",
            "'[]'",
            "CAST(1.50 AS JSON)",
        ],
    ),
    (
        "vector",
        "VECTOR(3)",
        [
            "STRING_TO_VECTOR('[1,-0.0,1e-30]')",
            "NULL",
            "STRING_TO_VECTOR('[0,0,3e38]')",
        ],
    ),
];

const MARIADB: &[(&str, &str, [&str; 3])] = &[
    (
        "text",
        "UUID",
        [
            "'6ccd4550-0b11-11ed-8002-a7cc0242ac11'",
            "'00000000-0000-0000-0000-000000000000'",
            "NULL",
        ],
    ),
    (
        "text",
        "INET6",
        ["'2001:db8::ff00:42:8329'", "'::'", "'::ffff:1.2.3.4'"],
    ),
    ("text", "INET4", ["'255.255.255.255'", "'0.0.0.0'", "NULL"]),
    ("text", "VARCHAR(500) COMPRESSED", ["'short'", "''", "'é'"]),
    ("text", "JSON", ["'{\"a\": 1.0}'", "NULL", "'[]'"]),
];

/// The largest cell: 64 MiB.
const LARGE: usize = 64 << 20;

/// A table as it should be read.
struct Wanted {
    db: String,
    table: String,
    key: String,
    /// Column and kind.
    columns: Vec<(String, String)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_what_the_server_shows() {
    for flavor in FLAVORS {
        let spec = ServerSpec::new(flavor).option("--max-allowed-packet=256M");
        let server = start(spec).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repo = format!("file://{}", folder.path().join("repo").display());
        cli::run(&["init", "--repo", &repo]).success();
        let mut conn = server.conn().await;
        exec_all(
            &mut conn,
            &["SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'"],
        )
        .await;
        let tables = create(&mut conn, flavor).await;
        fill(&mut conn, flavor, 0).await;
        take_base(&server, &repo).await;
        let of_base: Vec<Json> = expected(&mut conn, &tables).await;
        fill(&mut conn, flavor, 100).await;
        let url = server.account_url();
        cli::run(&["capture", "--once", "--source", &url, "--repo", &repo]).success();
        let of_changes: Vec<Json> = expected(&mut conn, &tables).await;

        let root = folder.path().join("repo");
        let mut cells = 0;
        for (index, table) in tables.iter().enumerate() {
            let files = base_files(&root, table);
            cells += read_by_all(table, (&files, false), &of_base[index]);
            let files = change_files(&root, table);
            let only_new = rows_after(&of_changes[index], &of_base[index]);
            cells += read_by_all(table, (&files, true), &only_new);
        }
        assert!(cells > 500, "{cells} cells compared on {flavor}");
        views_name_everything(&root, &tables);
    }
}

/// The tables, empty.
async fn create(conn: &mut Conn, flavor: Flavor) -> Vec<Wanted> {
    let [own_db, own_table, own_column] = names();
    exec(
        conn,
        format!("CREATE DATABASE {} CHARACTER SET utf8mb4", ident(&own_db)),
    )
    .await;
    exec(conn, "CREATE DATABASE types CHARACTER SET utf8mb4").await;
    let all = columns(flavor);
    let named = |i: usize| match i {
        // tidelog has a column of this name, too.
        0 => "__op".to_owned(),
        i => format!("c{i}"),
    };
    let definitions: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(i, (_, definition, _))| format!("`{}` {definition}", named(i)))
        .collect();
    let types = format!(
        "CREATE TABLE types.every (id INT PRIMARY KEY, {})",
        definitions.join(", ")
    );
    exec(conn, types).await;
    exec(
        conn,
        "CREATE TABLE types.large (id INT PRIMARY KEY, v LONGBLOB, t LONGTEXT)",
    )
    .await;
    let (db, table, column) = (ident(&own_db), ident(&own_table), ident(&own_column));
    exec(
        conn,
        format!("CREATE TABLE {db}.{table} ({column} INT PRIMARY KEY, `__seq` TEXT)"),
    )
    .await;
    let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let every = all
        .iter()
        .enumerate()
        .map(|(i, (kind, ..))| pair(&named(i), kind));
    vec![
        Wanted {
            db: "types".into(),
            table: "every".into(),
            key: "id".into(),
            columns: std::iter::once(pair("id", "int")).chain(every).collect(),
        },
        Wanted {
            db: "types".into(),
            table: "large".into(),
            key: "id".into(),
            columns: vec![pair("id", "int"), pair("v", "sha256"), pair("t", "sha256")],
        },
        Wanted {
            db: own_db,
            table: own_table,
            columns: vec![pair(&own_column, "int"), pair("__seq", "text")],
            key: own_column,
        },
    ]
}

fn columns(flavor: Flavor) -> Vec<(&'static str, &'static str, [&'static str; 3])> {
    let own = match flavor {
        Flavor::MySql => MYSQL,
        Flavor::MariaDb => MARIADB,
    };
    COLUMNS.iter().chain(own).copied().collect()
}

/// Rows with ids from `first` on, the last one of NULLs.
async fn fill(conn: &mut Conn, flavor: Flavor, first: usize) {
    let all = columns(flavor);
    for row in 0..4 {
        let values: Vec<&str> = all
            .iter()
            .map(|(_, _, values)| values.get(row).copied().unwrap_or("NULL"))
            .collect();
        let id = first + row;
        exec(
            conn,
            format!(
                "INSERT INTO types.every VALUES ({id}, {})",
                values.join(", ")
            ),
        )
        .await;
    }
    let [db, table, column] = names();
    let (db, table, name) = (ident(&db), ident(&table), literal(&column));
    exec(
        conn,
        format!("INSERT INTO {db}.{table} VALUES ({first}, {name})"),
    )
    .await;
    exec(
        conn,
        format!(
            "INSERT INTO types.large VALUES ({first}, REPEAT(X'00ff{first:02x}fe', {}), 'é'), \
             ({first} + 1, NULL, REPEAT('zwölf Zeichen', 1000000))",
            LARGE / 4
        ),
    )
    .await;
}

async fn take_base(server: &TestServer, repo: &str) {
    let url = server.account_url();
    let service = cli::spawn(&["run", "--source", &url, "--repo", repo]);
    for _ in 0..1200 {
        let status = cli::run(&["status", "--json", "--repo", repo]);
        if status.ok() && !status.json()["restorable_from"].is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    service.terminate();
}

/// A reader that is not installed fails the test with the command that installs it.
#[test]
fn a_missing_reader_is_named_with_its_fix() {
    let script = std::fs::read_to_string("tests/readers.py").expect("the script");
    let broken = script.replace("import polars", "import polars_is_not_here");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("readers.py");
    std::fs::write(&path, broken).expect("write");
    let mut child = Command::new(tool("python"))
        .arg(&path)
        .arg("polars")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start Python");
    let input = br#"{"files": [], "columns": []}"#;
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input)
        .expect("send");
    let output = child.wait_with_output().expect("run Python");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("polars is missing") && stderr.contains("scripts/setup-tools"),
        "{stderr}"
    );
}
