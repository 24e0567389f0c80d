//! Our decoder against another one, mysql_cdc, over the binlog of a real MySQL: both say what the
//! server shows, except for the values listed in docs/PEER_DECODER.md, where mysql_cdc does not.

use crate::row_values::{images, plan_of};
use crate::support::sql::{exec, exec_all, query_one};
use crate::support::start;
use chrono::{DateTime, TimeDelta};
use mysql_cdc::binlog_reader::BinlogReader;
use mysql_cdc::errors::Error as PeerError;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_cdc::events::row_events::mysql_value::MySqlValue;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidelog::position::Flavor;
use tidelog::schema::{Column, StoredType, wire};
use tidelog::segment::{Scratch, Value};
use tidelog::service::throwaway::ServerSpec;

/// A column definition and values to insert.
struct Case(&'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    Case("TINYINT", &["-128", "127", "0"]),
    Case("TINYINT UNSIGNED", &["255"]),
    Case("SMALLINT", &["-32768", "32767"]),
    Case("SMALLINT UNSIGNED", &["65535"]),
    Case("MEDIUMINT", &["-8388608", "8388607", "-1"]),
    Case("MEDIUMINT UNSIGNED", &["16777215"]),
    Case("INT", &["-2147483648", "2147483647"]),
    Case("INT UNSIGNED", &["4294967295"]),
    Case("BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    Case("BIGINT UNSIGNED", &["18446744073709551615"]),
    Case(
        "FLOAT",
        &["1.5", "-0.0e0", "1e-45", "3.4028234e38", "16777217"],
    ),
    Case(
        "DOUBLE",
        &["0.1e0", "-0.0e0", "5e-324", "1.7976931348623157e308"],
    ),
    Case(
        "DECIMAL(14,4)",
        &["1234567890.1234", "-1234567890.1234", "0", "-0.0001"],
    ),
    Case("DECIMAL(9,9)", &["-0.999999999", "0.000000001"]),
    Case(
        "DECIMAL(38,30)",
        &["12345678.123456789012345678901234567890"],
    ),
    Case(
        "DECIMAL(65,30)",
        &[
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "1000000000.5",
        ],
    ),
    Case("DECIMAL(65,0)", &["1000000000000000000000000000"]),
    Case("BIT(1)", &["b'1'", "b'0'"]),
    Case("BIT(12)", &["b'101111111110'"]),
    Case("BIT(64)", &["0xffffffffffffffff", "1"]),
    Case("YEAR", &["1901", "2155", "0000"]),
    Case(
        "DATE",
        &[
            "'0001-01-01'",
            "'9999-12-31'",
            "'0000-00-00'",
            "'2024-00-15'",
            "'2023-02-30'",
        ],
    ),
    Case(
        "DATETIME",
        &[
            "'0001-01-01 00:00:00'",
            "'9999-12-31 23:59:59'",
            "'0000-00-00 00:00:00'",
        ],
    ),
    Case("DATETIME(3)", &["'2024-02-29 12:34:56.789'"]),
    Case(
        "DATETIME(6)",
        &[
            "'2024-02-29 12:34:56.789000'",
            "'2024-02-29 12:34:56.789012'",
        ],
    ),
    Case(
        "TIMESTAMP NULL",
        &[
            "'2038-01-19 03:14:07'",
            "'1970-01-01 00:00:01'",
            "'0000-00-00 00:00:00'",
        ],
    ),
    Case("TIMESTAMP(2) NULL", &["'2024-02-29 12:34:56.78'"]),
    Case("TIMESTAMP(6) NULL", &["'2024-02-29 12:34:56.789012'"]),
    Case("TIME", &["'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    Case("TIME(1)", &["'12:34:56.7'", "'-00:00:00.1'"]),
    Case(
        "TIME(6)",
        &[
            "'00:00:00.001000'",
            "'00:00:00.000001'",
            "'-837:59:58.999999'",
        ],
    ),
    Case("CHAR(10)", &["'abc'", "''", "'é€😀'"]),
    Case("CHAR(255)", &["'é'"]),
    Case("VARCHAR(20)", &["'a '", "''"]),
    Case("VARCHAR(300)", &["'é€'"]),
    Case("VARCHAR(20) CHARACTER SET latin1", &["'abc'", "'é'"]),
    Case("VARCHAR(20) CHARACTER SET gbk", &["'中'"]),
    Case("VARCHAR(20) CHARACTER SET utf16", &["'a'", "'中'"]),
    Case("TEXT", &["'é€'", "''"]),
    Case("LONGTEXT", &["REPEAT('é', 70000)"]),
    Case("BINARY(5)", &["X'6161616161'", "X'6100'", "X'ff'"]),
    Case("VARBINARY(300)", &["X'61'", "X''", "X'ff'"]),
    Case("BLOB", &["X'00ff'"]),
    Case("ENUM('a','é','')", &["'a'", "'é'", "3"]),
    Case("SET('a','b','é')", &["''", "'a,é'", "7"]),
    Case("GEOMETRY", &["ST_GeomFromText('POINT(1 2)')"]),
    Case("JSON", &["'{\"a\": 1}'"]),
    Case("VECTOR(2)", &["STRING_TO_VECTOR('[1,2]')"]),
];

const DOCUMENT: &str = "docs/PEER_DECODER.md";

#[tokio::test(flavor = "multi_thread")]
async fn both_decoders_say_what_the_server_shows() {
    let server = start(ServerSpec::new(Flavor::MySql)).await;
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'",
            "CREATE DATABASE d CHARACTER SET utf8mb4",
        ],
    )
    .await;
    for (index, Case(definition, values)) in CASES.iter().enumerate() {
        let table = format!("CREATE TABLE d.c{index} (id INT PRIMARY KEY, v {definition})");
        exec(&mut conn, table).await;
        for (id, value) in values.iter().enumerate() {
            exec(
                &mut conn,
                format!("INSERT INTO d.c{index} VALUES ({id}, {value})"),
            )
            .await;
        }
    }
    let ours = images(&server.data_dir(), &mut conn, Flavor::MySql).await;
    let theirs = peer(&binlog_files(&server.data_dir()));
    let (mut rows, mut found) = (0, Vec::new());
    for (index, Case(definition, values)) in CASES.iter().enumerate() {
        let table = format!("c{index}");
        let (shape, images) = &ours[&table];
        let plan = plan_of(&mut conn, Flavor::MySql, shape).await;
        let column = &plan.version().columns[1];
        let Some(peers) = theirs.get(&table) else {
            // Not even its table map is read: errors without a table.
            let error = theirs[""][0].as_ref().expect_err("an error");
            found.push(format!(
                "| `{definition}` | all | error: {} |",
                short(error)
            ));
            continue;
        };
        assert_eq!(
            (images.len(), peers.len()),
            (values.len(), values.len()),
            "{definition}"
        );
        for (id, value) in values.iter().enumerate() {
            let shown = shown(&mut conn, &table, id, column).await;
            let mut cells = Vec::new();
            plan.layout().split(&images[id], &mut cells).expect("split");
            let range = cells[1].clone().expect("not NULL");
            let cell = &images[id][range.start as usize..range.end as usize];
            let mut scratch = Scratch::default();
            let decoded = plan.codecs()[1].decode(cell, &mut scratch);
            // Without an exact form the image itself is kept.
            if decoded.exact {
                assert_eq!(
                    our_text(column, decoded.value),
                    shown,
                    "{definition} {value}"
                );
            }
            rows += 1;
            let peer = match &peers[id] {
                Ok(value) => peer_text(column, value),
                Err(error) => format!("error: {error}"),
            };
            if peer != shown {
                found.push(format!(
                    "| `{definition}` | `{}` | {} |",
                    short(value),
                    short(&peer)
                ));
            }
        }
    }
    assert!(rows > 90, "{rows} rows compared");
    let document = std::fs::read_to_string(DOCUMENT).expect("the list");
    let listed: Vec<&str> = document.lines().filter(|l| l.starts_with("| `")).collect();
    let wanted = found.join("\n");
    assert_eq!(
        listed.join("\n"),
        wanted,
        "{DOCUMENT} must list:\n{wanted}\n"
    );
}

fn binlog_files(data_dir: &std::path::Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(data_dir).expect("the data directory");
    let paths = names.map(|name| name.expect("a name").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("binlog.0")
        })
        .collect();
    files.sort();
    files
}

/// What mysql_cdc makes of column `v` of every row, by table.
fn peer(files: &[PathBuf]) -> BTreeMap<String, Vec<Result<MySqlValue, String>>> {
    let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for path in files {
        let file = std::fs::File::open(path).expect("a binlog file");
        let mut reader = BinlogReader::new(file).expect("a binlog file");
        let mut table = String::new();
        loop {
            let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.next()));
            match next {
                Ok(None) => break,
                Ok(Some(Ok((_, BinlogEvent::TableMapEvent(map))))) => table = map.table_name,
                Ok(Some(Ok((_, BinlogEvent::WriteRowsEvent(rows))))) => {
                    for mut row in rows.rows {
                        let value = row.cells.pop().flatten().expect("a value");
                        all.entry(table.clone()).or_default().push(Ok(value));
                    }
                }
                // A transaction begins: no table yet.
                Ok(Some(Ok((_, BinlogEvent::QueryEvent(_))))) => table.clear(),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => {
                    let error = match error {
                        PeerError::String(text) => text,
                        PeerError::FromUtf8Error(error) => error.to_string(),
                        error => format!("{error:?}"),
                    };
                    all.entry(table.clone()).or_default().push(Err(error));
                }
                Err(_) => all
                    .entry(table.clone())
                    .or_default()
                    .push(Err("panic".into())),
            }
        }
    }
    all
}

/// The server's own words; bits of floats, bytes of what is no text.
async fn shown(conn: &mut mysql_async::Conn, table: &str, id: usize, column: &Column) -> String {
    let what = match (column.wire_type, column.stored) {
        (wire::FLOAT | wire::DOUBLE, _) => {
            let sql = format!("SELECT v FROM d.{table} WHERE id = ?");
            let value: Option<mysql_async::Value> =
                mysql_async::prelude::Queryable::exec_first(conn, sql, (id,))
                    .await
                    .expect("a float");
            return match value.expect("a row") {
                mysql_async::Value::Float(v) => format!("{:08x}", v.to_bits()),
                mysql_async::Value::Double(v) => format!("{:016x}", v.to_bits()),
                other => panic!("{other:?}"),
            };
        }
        (wire::BIT, _) => "v + 0",
        (wire::YEAR, _) => "LPAD(v + 0, 4, '0')",
        (wire::GEOMETRY, _) => "HEX(ST_AsWKB(v))",
        (wire::BLOB, StoredType::Utf8) => "SHA2(v, 256)",
        (_, StoredType::Binary | StoredType::Vector { .. }) => "HEX(v)",
        _ => "v",
    };
    query_one(
        conn,
        format!("SELECT CAST({what} AS CHAR CHARACTER SET utf8mb4) FROM d.{table} WHERE id = {id}"),
    )
    .await
}

fn sha256(text: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}

fn digits(column: &Column) -> usize {
    match column.wire_type {
        wire::TIME2 | wire::DATETIME2 | wire::TIMESTAMP2 => usize::from(column.metadata),
        _ => 0,
    }
}

/// A fraction of a second to as many digits as the column has.
fn fraction(column: &Column, micros: i64) -> String {
    match digits(column) {
        0 => String::new(),
        digits => format!(".{}", &format!("{micros:06}")[..digits]),
    }
}

fn moment_text(column: &Column, us: i64) -> String {
    let seconds = DateTime::UNIX_EPOCH + TimeDelta::seconds(us.div_euclid(1_000_000));
    let seconds = seconds.format("%Y-%m-%d %H:%M:%S");
    format!("{seconds}{}", fraction(column, us.rem_euclid(1_000_000)))
}

fn our_text(column: &Column, value: Value<'_>) -> String {
    match (value, column.stored) {
        (Value::Int(us), StoredType::TimeUs) => {
            let (sign, us) = (if us < 0 { "-" } else { "" }, us.abs());
            let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
            let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            format!("{sign}{h:02}:{m:02}:{s:02}{}", fraction(column, micros))
        }
        (Value::Int(us), StoredType::TimestampUs { .. }) => moment_text(column, us),
        (Value::Int(days), StoredType::Date32) => {
            let date = DateTime::UNIX_EPOCH + TimeDelta::days(days);
            date.format("%Y-%m-%d").to_string()
        }
        (Value::Int(v), _) if column.wire_type == wire::YEAR => format!("{v:04}"),
        (Value::Int(v), _) => v.to_string(),
        (Value::Decimal(v), StoredType::Decimal128 { scale, .. }) if scale > 0 => {
            let scale = usize::from(scale.unsigned_abs());
            let all = format!("{:0width$}", v.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = all.split_at(all.len() - scale);
            format!("{}{whole}.{fraction}", if v < 0 { "-" } else { "" })
        }
        (Value::Decimal(v), _) => v.to_string(),
        (Value::Float(v), _) => format!("{:08x}", v.to_bits()),
        (Value::Double(v), _) => format!("{:016x}", v.to_bits()),
        (Value::Text(text), _) if column.wire_type == wire::BLOB => sha256(text.as_bytes()),
        (Value::Text(text), _) => text.to_owned(),
        (Value::Bytes(bytes) | Value::Vector(bytes), _) => hex::encode_upper(bytes),
        (Value::Null, _) => "NULL".to_owned(),
    }
}

/// What it gives as bits gets the sign and the labels that the reader of mysql_cdc has to know.
fn peer_text(column: &Column, value: &MySqlValue) -> String {
    let signed = |v: u64, bits: u32| match column.unsigned {
        true => v.to_string(),
        false => ((v << (64 - bits)) as i64 >> (64 - bits)).to_string(),
    };
    let label = |n: usize| {
        let label = n.checked_sub(1).and_then(|n| column.labels.get(n));
        label.map_or_else(
            || format!("#{n}"),
            |l| String::from_utf8_lossy(l).into_owned(),
        )
    };
    match value {
        MySqlValue::TinyInt(v) => signed(u64::from(*v), 8),
        MySqlValue::SmallInt(v) => signed(u64::from(*v), 16),
        MySqlValue::MediumInt(v) => signed(u64::from(*v), 24),
        MySqlValue::Int(v) => signed(u64::from(*v), 32),
        MySqlValue::BigInt(v) => signed(*v, 64),
        MySqlValue::Float(v) => format!("{:08x}", v.to_bits()),
        MySqlValue::Double(v) => format!("{:016x}", v.to_bits()),
        MySqlValue::Decimal(text) => text.clone(),
        MySqlValue::String(text) if column.stored == StoredType::Binary => hex::encode_upper(text),
        MySqlValue::String(text) => text.clone(),
        MySqlValue::Bit(bits) => {
            let number = bits
                .iter()
                .fold(0_u64, |all, bit| all << 1 | u64::from(*bit));
            number.to_string()
        }
        MySqlValue::Enum(number) => label(*number as usize),
        MySqlValue::Set(bits) => {
            let members = (0..64).filter(|n| bits >> n & 1 == 1).map(|n| label(n + 1));
            members.collect::<Vec<_>>().join(",")
        }
        MySqlValue::Blob(bytes)
            if column.stored == StoredType::Utf8 && column.wire_type == wire::BLOB =>
        {
            sha256(bytes)
        }
        MySqlValue::Blob(bytes) if column.wire_type == wire::GEOMETRY => {
            hex::encode_upper(bytes.get(4..).unwrap_or_default())
        }
        MySqlValue::Blob(bytes) => hex::encode_upper(bytes),
        MySqlValue::Year(year) => format!("{year:04}"),
        MySqlValue::Date(d) => format!("{:04}-{:02}-{:02}", d.year, d.month, d.day),
        MySqlValue::Time(t) => {
            let fraction = fraction(column, i64::from(t.millis) * 1_000);
            format!("{:02}:{:02}:{:02}{fraction}", t.hour, t.minute, t.second)
        }
        MySqlValue::DateTime(t) => {
            let fraction = fraction(column, i64::from(t.millis) * 1_000);
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction}",
                t.year, t.month, t.day, t.hour, t.minute, t.second
            )
        }
        MySqlValue::Timestamp(millis) => {
            let millis = i64::try_from(*millis).expect("a moment");
            moment_text(column, millis * 1_000)
        }
    }
}

fn short(text: &str) -> String {
    let text = text.replace('|', "/").replace('`', "'");
    let text = text.replace(char::is_control, "?");
    match text.chars().count() {
        ..=70 => text,
        _ => format!("{}...", text.chars().take(70).collect::<String>()),
    }
}
