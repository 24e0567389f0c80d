//! Logged row images against the servers' own words: every typed value is what a SELECT shows,
//! and every image survives Parquet.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mysql_async::Conn;
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::LogItem;
use tidelog::position::{BinlogPosition, Flavor, Seq};
use tidelog::schema::{StoredType, TableId, TableShape, TableVersion};
use tidelog::segment::{
    BaseBuilder, BatchView, FileKind, FileOptions, ImageEncoder, ReadOptions, RowOrder, Scratch,
    TableFileReader, TableFileWriter, TablePlan, Value,
};
use tidelog::service::throwaway::ServerSpec;

use crate::support::server::FLAVORS;
use crate::support::sql::{exec, query, query_one};
use crate::support::start;

/// A column definition, how to select it as text, and values to insert. A value after `raw:` has
/// no typed form.
struct Case(&'static str, &'static str, &'static [&'static str]);

const TEXT: &str = "CAST(v AS CHAR CHARACTER SET utf8mb4)";
const DAYS: &str = "DATEDIFF(v, '1970-01-01')";
const MICROS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', v)";

/// What both flavors have.
const BOTH: &[Case] = &[
    Case("TINYINT", TEXT, &["-128", "127"]),
    Case("TINYINT UNSIGNED", TEXT, &["255"]),
    Case("SMALLINT", TEXT, &["-32768", "32767"]),
    Case("SMALLINT UNSIGNED", TEXT, &["65535"]),
    Case("MEDIUMINT", TEXT, &["-8388608", "8388607", "-1"]),
    Case("MEDIUMINT UNSIGNED", TEXT, &["16777215"]),
    Case("INT", TEXT, &["-2147483648", "2147483647"]),
    Case("INT UNSIGNED", TEXT, &["4294967295"]),
    Case(
        "BIGINT",
        TEXT,
        &["-9223372036854775808", "9223372036854775807"],
    ),
    Case("BIGINT UNSIGNED", TEXT, &["18446744073709551615", "0"]),
    Case(
        "DECIMAL(14,4)",
        TEXT,
        &["1234567890.1234", "-1234567890.1234", "0", "-0.0001"],
    ),
    Case(
        "DECIMAL(38,30)",
        TEXT,
        &["12345678.123456789012345678901234567890", "-1"],
    ),
    Case(
        "DECIMAL(65,30)",
        TEXT,
        &["-12345678901234567890123456789012345.5", "0", "7"],
    ),
    Case("DECIMAL(9,9)", TEXT, &["-0.999999999"]),
    Case("FLOAT", TEXT, &["1.5", "-0.25"]),
    Case("DOUBLE", TEXT, &["0.1e0", "-12345.678e0"]),
    Case("BIT(1)", "v + 0", &["b'1'", "b'0'"]),
    Case("BIT(12)", "v + 0", &["b'111111111110'"]),
    Case("BIT(63)", "v + 0", &["0x7fffffffffffffff"]),
    Case("BIT(64)", "v + 0", &["0xffffffffffffffff"]),
    Case("YEAR", "v + 0", &["0000", "1901", "2155"]),
    Case(
        "DATE",
        DAYS,
        &[
            "'0001-01-01'",
            "'9999-12-31'",
            "'2024-02-29'",
            "raw:'0000-00-00'",
            "raw:'2024-00-15'",
            "raw:'2023-02-30'",
        ],
    ),
    Case(
        "DATETIME",
        MICROS,
        &[
            "'0001-01-01 00:00:00'",
            "'9999-12-31 23:59:59'",
            "raw:'0000-00-00 00:00:00'",
        ],
    ),
    Case("DATETIME(1)", MICROS, &["'2024-02-29 12:34:56.7'"]),
    Case("DATETIME(4)", MICROS, &["'1969-12-31 23:59:59.9999'"]),
    Case("DATETIME(6)", MICROS, &["'2024-02-29 12:34:56.789012'"]),
    Case(
        "TIMESTAMP NULL",
        "CAST(UNIX_TIMESTAMP(v) * 1000000 AS SIGNED)",
        &[
            "'2038-01-19 03:14:07'",
            "'1970-01-01 00:00:01'",
            "raw:'0000-00-00 00:00:00'",
        ],
    ),
    Case(
        "TIMESTAMP(3) NULL",
        "CAST(UNIX_TIMESTAMP(v) * 1000000 AS SIGNED)",
        &["'2024-02-29 12:34:56.789'"],
    ),
    Case(
        "TIMESTAMP(6) NULL",
        "CAST(UNIX_TIMESTAMP(v) * 1000000 AS SIGNED)",
        &["'2024-02-29 12:34:56.789012'"],
    ),
    Case(
        "TIME",
        TEXT,
        &["'838:59:59'", "'-838:59:59'", "'00:00:00'", "'-00:00:01'"],
    ),
    Case("TIME(1)", TEXT, &["'-00:00:00.1'"]),
    Case("TIME(2)", TEXT, &["'-00:00:00.01'", "'-12:34:56.99'"]),
    Case("TIME(3)", TEXT, &["'-00:00:01.001'"]),
    Case(
        "TIME(6)",
        TEXT,
        &["'-837:59:58.999999'", "'00:00:00.000001'"],
    ),
    Case("CHAR(10)", TEXT, &["'abc   '", "''", "'é€😀'"]),
    Case("CHAR(255)", TEXT, &["'é'"]),
    Case("VARCHAR(20)", TEXT, &["'a '", "''"]),
    Case("VARCHAR(300)", TEXT, &["'é€'"]),
    Case(
        "VARCHAR(20) CHARACTER SET latin1",
        TEXT,
        &["'é€ÿ'", "X'81'", "''"],
    ),
    Case("VARCHAR(20) CHARACTER SET ascii", TEXT, &["'abc'"]),
    Case("TINYTEXT", TEXT, &["'tiny é'"]),
    Case("MEDIUMTEXT", TEXT, &["REPEAT('é', 70000)"]),
    Case("BINARY(5)", "HEX(v)", &["X'6100'", "X''", "X'6161616161'"]),
    Case("VARBINARY(300)", "HEX(v)", &["X'6100'", "X''", "X'ff'"]),
    Case("BLOB", "HEX(v)", &["X'00ff'"]),
    Case("LONGBLOB", "HEX(v)", &["X'00ff'"]),
    Case(
        "ENUM('a','é','','c d')",
        TEXT,
        &["'a'", "'é'", "''", "4", "raw:0"],
    ),
    Case("SET('a','b','é')", TEXT, &["''", "'a,é'", "7"]),
    Case(
        "GEOMETRY",
        "HEX(ST_AsWKB(v))",
        &["ST_GeomFromText('POINT(1 2)')"],
    ),
];

const MYSQL: &[Case] = &[
    Case(
        "JSON",
        TEXT,
        &[
            "'{\"b\": [1, -2.5, null, true], \"a\": \"é\"}'",
            "'[]'",
            "inexact:CAST(CAST(1.50 AS DECIMAL(5,2)) AS JSON)",
        ],
    ),
    Case("VARCHAR(20) CHARACTER SET gbk", TEXT, &["'中文'"]),
    Case("VARCHAR(20) CHARACTER SET utf16", TEXT, &["'a中😀'"]),
    Case("VECTOR(3)", "HEX(v)", &["STRING_TO_VECTOR('[1,2.5,-0.0]')"]),
];

const MARIADB: &[Case] = &[
    Case(
        "UUID",
        TEXT,
        &[
            "'6ccd4550-0b11-11ed-8002-a7cc0242ac11'",
            "'0192f5d2-9e7c-7cca-b3ff-1d5d0e2a1b3c'",
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'123e4567-e89b-42d3-a456-426614174000'",
        ],
    ),
    Case("INET4", TEXT, &["'127.0.0.1'", "'0.0.0.0'"]),
    Case(
        "INET6",
        TEXT,
        &[
            "'::'",
            "'::1'",
            "'2001:db8::ff00:42:8329'",
            "'::ffff:1.2.3.4'",
        ],
    ),
    Case(
        "VARCHAR(500) COMPRESSED",
        TEXT,
        &["'short'", "''", "inexact:REPEAT('long ', 60)"],
    ),
    Case("TEXT COMPRESSED", TEXT, &["inexact:REPEAT('é', 600)"]),
    Case("BLOB COMPRESSED", "HEX(v)", &["inexact:REPEAT('x', 600)"]),
    Case("JSON", TEXT, &["'{\"a\": 1.0}'"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn typed_values_are_what_the_servers_show() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        let mut conn = server.conn().await;
        exec(
            &mut conn,
            "SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'",
        )
        .await;
        exec(&mut conn, "CREATE DATABASE d CHARACTER SET utf8mb4").await;
        let own = match flavor {
            Flavor::MySql => MYSQL,
            Flavor::MariaDb => MARIADB,
        };
        let cases: Vec<&Case> = BOTH.iter().chain(own).collect();
        for (index, case) in cases.iter().enumerate() {
            fill(&mut conn, index, case).await;
        }
        let logged = images(&server.data_dir(), &mut conn, flavor).await;
        let mut rows = 0;
        for (index, case) in cases.iter().enumerate() {
            let (shape, images) = &logged[&format!("c{index}")];
            rows += check(&mut conn, flavor, index, case, shape, images).await;
        }
        assert!(rows > 100, "{rows} rows compared on {flavor}");
    }
}

async fn fill(conn: &mut Conn, index: usize, Case(definition, _, values): &Case) {
    exec(
        conn,
        format!("CREATE TABLE d.c{index} (id INT PRIMARY KEY, v {definition})"),
    )
    .await;
    exec(conn, format!("INSERT INTO d.c{index} VALUES (0, NULL)")).await;
    for (row, value) in values.iter().enumerate() {
        let value = value
            .strip_prefix("raw:")
            .or(value.strip_prefix("inexact:"))
            .unwrap_or(value);
        exec(
            conn,
            format!("INSERT INTO d.c{index} VALUES ({}, {value})", row + 1),
        )
        .await;
    }
}

/// Shape and row images by table name.
pub(crate) type Logged = BTreeMap<String, (Arc<TableShape>, Vec<Vec<u8>>)>;

/// All row images of the server's binlogs by table; one image a row here.
pub(crate) async fn images(data_dir: &std::path::Path, conn: &mut Conn, flavor: Flavor) -> Logged {
    exec(conn, "FLUSH BINARY LOGS").await;
    let mut logged = Logged::new();
    let files: Vec<mysql_async::Row> = query(conn, "SHOW BINARY LOGS").await;
    for file in &files[..files.len() - 1] {
        let name: String = file.get(0).expect("name");
        let mut reader = FileReader::new();
        reader.feed(&std::fs::read(data_dir.join(&name)).expect("binlog file"));
        let mut assembler = Assembler::new(flavor, Some(BinlogPosition::new(&name, 4)));
        let mut items = Vec::new();
        while let Some(event) = reader.next_event().expect("event") {
            assembler.push(event, &mut items).expect("items");
            while assembler.more(&mut items).expect("items") {}
        }
        for item in items {
            if let LogItem::Rows(rows) = item {
                let entry = logged
                    .entry(rows.shape.name.table.clone())
                    .or_insert_with(|| (rows.shape.clone(), Vec::new()));
                entry.1.push(rows.event[rows.images.clone()].to_vec());
            }
        }
    }
    logged
}

pub(crate) async fn plan_of(conn: &mut Conn, flavor: Flavor, shape: &TableShape) -> Arc<TablePlan> {
    let mut shape = shape.clone();
    for column in &mut shape.columns {
        let declared = format!(
            "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'd' \
             AND TABLE_NAME = '{}' AND COLUMN_NAME = '{}'",
            shape.name.table, column.name
        );
        column.declared = Some(query_one::<String>(conn, declared).await);
    }
    let id = TableId::allocate(1, Seq(1), 0);
    let version = TableVersion::first(id, Seq(1), flavor, shape);
    Arc::new(TablePlan::compile(Arc::new(version)).expect("plan"))
}

async fn check(
    conn: &mut Conn,
    flavor: Flavor,
    index: usize,
    Case(definition, select, values): &Case,
    shape: &TableShape,
    images: &[Vec<u8>],
) -> usize {
    let plan = plan_of(conn, flavor, shape).await;
    assert_eq!(images.len(), values.len() + 1, "{definition}");
    let sql =
        format!("SELECT CAST({select} AS CHAR CHARACTER SET utf8mb4) FROM d.c{index} ORDER BY id");
    let shown: Vec<Option<String>> = query(conn, sql).await;
    let mut scratch = Scratch::default();
    let mut cells: Vec<Option<Range<u32>>> = Vec::new();
    for (row, image) in images.iter().enumerate() {
        let length = plan.layout().split(image, &mut cells).expect("split");
        assert_eq!(length, image.len(), "{definition}");
        let Some(range) = cells[1].clone() else {
            assert_eq!(row, 0, "{definition}");
            continue;
        };
        let cell = &image[range.start as usize..range.end as usize];
        let decoded = plan.codecs()[1].decode(cell, &mut scratch);
        let value = values[row - 1];
        let context = format!(
            "{flavor} {definition} {value} {}",
            hex::encode(&cell[..cell.len().min(40)])
        );
        assert_eq!(
            decoded.exact,
            !value.starts_with("raw:") && !value.starts_with("inexact:"),
            "{context}"
        );
        if value.starts_with("raw:") {
            assert_eq!(decoded.value, Value::Null, "{context}");
            continue;
        }
        let stored = plan.version().columns[1].stored;
        let wanted = shown[row].clone().expect("not NULL");
        let same = same(decoded.value, stored, &wanted);
        assert!(same, "{context}: {:?} is not {wanted}", decoded.value);
    }
    survives_parquet(&plan, images);
    images.len()
}

/// Whether a typed value is what the server shows.
fn same(value: Value<'_>, stored: StoredType, shown: &str) -> bool {
    match (value, stored) {
        (Value::Int(us), StoredType::TimeUs) => us == time_us(shown),
        (Value::Int(v), _) => v.to_string() == shown,
        (Value::Decimal(v), StoredType::Decimal128 { scale, .. }) => {
            let digits = shown.replace('.', "");
            let scale_shown = shown.split_once('.').map_or(0, |(_, f)| f.len());
            i8::try_from(scale_shown).is_ok_and(|s| s == scale) && digits.parse() == Ok(v)
        }
        (Value::Float(v), _) => shown.parse() == Ok(v),
        (Value::Double(v), _) => shown.parse() == Ok(v),
        (Value::Text(text), _) => text == shown,
        (Value::Bytes(bytes) | Value::Vector(bytes), _) => hex::encode_upper(bytes) == shown,
        _ => false,
    }
}

fn time_us(shown: &str) -> i64 {
    let (sign, rest) = shown
        .strip_prefix('-')
        .map_or((1, shown), |rest| (-1, rest));
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let parts: Vec<i64> = whole
        .split(':')
        .map(|p| p.parse().expect("digits"))
        .collect();
    let fraction: i64 = format!("{fraction:0<6}").parse().expect("digits");
    sign * (((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1_000_000 + fraction)
}

fn survives_parquet(plan: &Arc<TablePlan>, images: &[Vec<u8>]) {
    let mut builder = BaseBuilder::new(plan.clone(), images.len());
    for image in images {
        builder.append(image, Seq(1)).expect("append");
    }
    let options = FileOptions::new(FileKind::Base, RowOrder::Sorted, true);
    let mut writer = TableFileWriter::new(plan.clone(), options).expect("writer");
    writer
        .write(&builder.finish().expect("batch"))
        .expect("write");
    let file = writer.finish().expect("file");
    let reader = TableFileReader::open(file.bytes, plan.clone(), FileKind::Base).expect("open");
    let encoder = ImageEncoder::new(plan.clone());
    let mut back = Vec::new();
    for batch in reader.read(&ReadOptions::default()).expect("read") {
        let batch = batch.expect("batch");
        let view = BatchView::new(plan, &batch).expect("view");
        for row in 0..view.rows() {
            let mut image = Vec::new();
            encoder.image(&view, row, &mut image).expect("image");
            back.push(image);
        }
    }
    assert_eq!(back, images);
}
