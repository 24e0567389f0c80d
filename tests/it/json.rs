//! MySQL's binary JSON against MySQL: images of the binlog, text and types of SELECT.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tidelog::binlog::{Assembler, FileReader};

use tidelog::change::json::{
    JsonTree, canonical, decode, encode, from_text, from_text_with_types, is_exact,
    json_types_expr, to_text,
};
use tidelog::change::{ImageLayout, LogItem, RowsEvent, RowsKind};
use tidelog::position::{BinlogPosition, Flavor};
use tidelog::service::throwaway::{ServerSpec, ThrowawayServer};

use crate::support::sql::{exec, exec_all, query};
use crate::support::start;

/// Documents of every type and shape that SQL can make. In `plain`, text alone is exact.
const PLAIN: &[&str] = &[
    "'null'",
    "'true'",
    "'\"\"'",
    "'0'",
    "'-1'",
    "'32767'",
    "'32768'",
    "'-32769'",
    "'2147483648'",
    "'4294967295'",
    "'4294967296'",
    "'18446744073709551615'",
    "'-9223372036854775808'",
    "'18446744073709551616'",
    "'[]'",
    "'{}'",
    "'[[], {}, [[]], {\"\": {}}]'",
    "'{\"b\": 1, \"a\": 2, \"aa\": 3, \"\": 4, \"B\": 5, \"ä\": 6, \"😀\": 7, \"$**\": 8, \"a.b\": 9, \"\\\\\"\": 10}'",
    "'{\"a\": 1, \"a\": 2, \"a \": 3, \"A\": 4}'",
    "'[1e-7, -0.0, 0.0, 1e308, 5e-324, 0.1, 1e15, 1e16, 123456789012345.0, 1e-15, 1e-16]'",
    "'\"\\\\u0000\\\\u001f\\\\b\\\\t\\\\n\\\\f\\\\r\\\\\"\\\\\\\\/\\\\u007f\\\\u00e4\\\\ud83d\\\\ude00\"'",
    "'[1, 70000, 5000000000, -70000, 1.5, \"x\", null, true, false]'",
    "JSON_ARRAY(CAST('2020' AS JSON), 'base64:type16:AAU=', '2024-01-01')",
    "JSON_ARRAY(REPEAT('x', 127), REPEAT('y', 128), REPEAT('z', 16384))",
    "JSON_ARRAY(REPEAT('x', 65522), 70000)",
    "JSON_ARRAY(REPEAT('x', 65523), 70000)",
    "JSON_ARRAY(REPEAT('x', 65528))",
    "JSON_ARRAY(REPEAT('x', 65529))",
    "JSON_OBJECT('big', REPEAT('x', 70000), 'small', JSON_ARRAY(1, 70000, JSON_OBJECT('k', 'v')))",
    "JSON_OBJECT(REPEAT('k', 40000), 1, REPEAT('l', 40000), JSON_ARRAY(JSON_ARRAY(1)))",
    "JSON_ARRAY(JSON_ARRAY(JSON_ARRAY(REPEAT('x', 66000))), 1, 70000)",
    "CONCAT(REPEAT('[', 100), REPEAT(']', 100))",
];

/// Documents with values that look like others in text.
const TYPED: &[&str] = &[
    "JSON_ARRAY(CAST(5 AS UNSIGNED), CAST(70000 AS UNSIGNED), CAST(4294967296 AS SIGNED))",
    "CAST(CAST(1 AS UNSIGNED) AS JSON)",
    "CAST(1.50 AS JSON)",
    "CAST(DATE'2024-02-29' AS JSON)",
    "JSON_ARRAY(1.50, -1.50, 0.0, 0.5, -0.000001, 100, 12345678901234567890.123456789)",
    "JSON_ARRAY(CAST(1.5 AS DECIMAL(10,2)), CAST(1.5 AS DECIMAL(3,2)), CAST(0 AS DECIMAL(65,30)), \
     CAST(-99999999999999999999999999999999999 AS DECIMAL(65,30)), CAST(7 AS DECIMAL(18,0)))",
    "JSON_ARRAY(DATE'0000-00-00', DATE'9999-12-31', TIME'-838:59:59', TIME'00:00:00.000001', \
     TIMESTAMP'2024-02-03 04:05:06.789', CAST('2000-01-01' AS DATETIME(6)))",
    "JSON_ARRAY(X'', X'00FF', REPEAT(X'AB', 57), REPEAT(X'CD', 58), REPEAT(X'EF', 1000))",
    "JSON_OBJECT('date', DATE'2024-01-01', 'text', '2024-01-01', 'list', JSON_ARRAY(X'01', \
     JSON_OBJECT('u', CAST(1 AS UNSIGNED), 'i', 1, 'd', 1.0, 'e', 1e0), JSON_ARRAY(), 2.5))",
    "JSON_OBJECT('', CAST(1 AS UNSIGNED), 'a.b', 1.0, '$**', X'41', '\"', JSON_OBJECT('x', 1.0))",
    "(SELECT JSON_ARRAY(bi, bu, de, f, d, da, t, dt, ts, y, bt, ch, vb, bn, bl, tx, en, se, g, jj, tb, lb, NULL) FROM types)",
];

const TYPES_TABLE: &[&str] = &[
    "CREATE TABLE types (bi BIGINT, bu BIGINT UNSIGNED, de DECIMAL(30,10), f FLOAT, d DOUBLE, da DATE, \
     t TIME(6), dt DATETIME(3), ts TIMESTAMP(6) NULL, y YEAR, bt BIT(12), ch CHAR(5), vb VARBINARY(10), \
     bn BINARY(4), bl BLOB, tx TEXT, en ENUM('a','b'), se SET('x','y'), g GEOMETRY, jj JSON, tb TINYBLOB, lb LONGBLOB)",
    "INSERT INTO types VALUES (-5, 5, -1.50, 1.1, 1e-7, '2024-01-02', '-01:02:03.4', '2024-02-03 04:05:06.789', \
     '2024-02-03 04:05:06.123456', 2024, b'101', 'abc', X'00FF', 'ab', 'blob', 'text', 'b', 'x,y', \
     ST_GeomFromText('POINT(1 2)'), '{\"a\": 1}', 'tb', 'lb')",
];

/// What the binlog and a SELECT say of one document.
struct Row {
    image: Vec<u8>,
    text: String,
    types: String,
}

fn json_cells(event: &RowsEvent, last: &mut BTreeMap<i64, Vec<u8>>) {
    let layout = ImageLayout::new(&event.shape.columns).expect("layout");
    let mut images = &event.event[event.images.clone()];
    let mut cells = Vec::new();
    // Updates have a before image in front of each after image.
    let mut is_before = event.kind == RowsKind::Update;
    while !images.is_empty() {
        let length = layout.split(images, &mut cells).expect("image");
        let cell = |index: usize| {
            let range = cells[index].clone().expect("not NULL");
            &images[range.start as usize..range.end as usize]
        };
        if !is_before {
            let id = i32::from_le_bytes(cell(0).try_into().expect("INT"));
            last.insert(id.into(), cell(1)[4..].to_vec());
        }
        is_before = event.kind == RowsKind::Update && !is_before;
        images = &images[length..];
    }
}

/// The last image of every document of a table, by id.
fn images(server: &ThrowawayServer, table: &str) -> BTreeMap<i64, Vec<u8>> {
    let mut last = BTreeMap::new();
    let mut files: Vec<_> = std::fs::read_dir(server.data_dir())
        .expect("data directory")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("binlog.") && !name.ends_with("index")
        })
        .collect();
    files.sort();
    for file in files {
        let mut reader = FileReader::new();
        reader.feed(&std::fs::read(&file).expect("binlog file"));
        let start = BinlogPosition {
            file: "binlog".to_owned(),
            offset: 4,
        };
        let mut assembler = Assembler::new(Flavor::MySql, Some(start));
        let mut items = Vec::new();
        while let Some(event) = reader.next_event().expect("event") {
            assembler.push(event, &mut items).expect("assemble");
            while assembler.more(&mut items).expect("inflate") {}
        }
        for item in items {
            if let LogItem::Rows(event) = item
                && event.shape.name.table == table
            {
                json_cells(&event, &mut last);
            }
        }
    }
    last
}

async fn rows(server: &ThrowawayServer, conn: &mut Conn, table: &str) -> BTreeMap<i64, Row> {
    let types = json_types_expr("`j`");
    let sql = format!("SELECT id, CAST(j AS CHAR), {types} FROM {table} ORDER BY id");
    let selected: Vec<(i64, String, String)> = conn.exec(sql, ()).await.expect("select");
    let mut images = images(server, table);
    let row = |(id, text, types)| {
        let image = images.remove(&id).expect("an image of every row");
        (id, Row { image, text, types })
    };
    selected.into_iter().map(row).collect()
}

/// What must hold for every document, fresh or updated in place.
fn check(row: &Row, what: &str) {
    let tree = decode(&row.image).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(to_text(&tree), row.text, "text of {what}");
    let joined = from_text_with_types(&row.text, &row.types)
        .unwrap_or_else(|error| panic!("{what}: {error}\n{}\n{}", row.text, row.types));
    assert_eq!(joined, tree, "text and types of {what}: {}", row.types);
    let selected = encode(&joined).expect("encode");
    assert_eq!(
        canonical(&selected).expect("canonical"),
        canonical(&row.image).expect("canonical"),
        "canonical form of {what}"
    );
    let again = encode(&from_text(&row.text).expect("parse")).expect("encode");
    assert_eq!(
        is_exact(&row.image),
        again == row.image,
        "exactness of {what}"
    );
}

/// What must hold for documents that were just inserted.
fn check_fresh(row: &Row, what: &str) {
    check(row, what);
    let tree = decode(&row.image).expect("decoded before");
    assert_eq!(encode(&tree).expect("encode"), row.image, "image of {what}");
}

async fn server_with_documents() -> (crate::support::server::TestServer, Conn) {
    let server = start(ServerSpec::new(Flavor::MySql)).await;
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE docs",
            "USE docs",
            "SET time_zone = '+00:00', sql_mode = ''",
            "CREATE TABLE doc (id INT PRIMARY KEY, j JSON)",
        ],
    )
    .await;
    exec_all(&mut conn, TYPES_TABLE).await;
    (server, conn)
}

#[tokio::test]
async fn documents_of_every_type_are_what_the_server_stores_and_prints() {
    let (server, mut conn) = server_with_documents().await;
    for (id, document) in PLAIN.iter().chain(TYPED).enumerate() {
        exec(
            &mut conn,
            format!("INSERT INTO doc VALUES ({id}, {document})"),
        )
        .await;
    }
    let rows = rows(&server, &mut conn, "doc").await;
    assert_eq!(rows.len(), PLAIN.len() + TYPED.len());
    for (id, row) in &rows {
        let id = usize::try_from(*id).expect("id");
        let what = PLAIN.iter().chain(TYPED).nth(id).expect("document");
        check_fresh(row, what);
        assert_eq!(
            is_exact(&row.image),
            id < PLAIN.len(),
            "exactness of {what}"
        );
    }
}

#[tokio::test]
async fn documents_updated_in_place_are_equal_to_fresh_ones() {
    let (server, mut conn) = server_with_documents().await;
    let updates = [
        "JSON_SET(j, '$.name', 'x')",
        "JSON_REPLACE(j, '$.list[1]', 1.0)",
        "JSON_REMOVE(j, '$.list')",
        "JSON_REMOVE(JSON_SET(j, '$.name', 'y', '$.inner.a', CAST(3 AS UNSIGNED)), '$.inner.b')",
        "JSON_SET(j, '$.when', DATE'2024-01-01', '$.inner', 0)",
        "JSON_REPLACE(j, '$.n', 5)",
    ];
    for (id, update) in updates.iter().enumerate() {
        let fresh = "JSON_OBJECT('name', 'a longer name', 'n', 5000000000, 'list', JSON_ARRAY(1, 'two', X'03'), \
             'inner', JSON_OBJECT('a', 1, 'b', 'bbbbbbbb'), 'when', NOW(6))";
        exec(&mut conn, format!("INSERT INTO doc VALUES ({id}, {fresh})")).await;
        exec(
            &mut conn,
            format!("UPDATE doc SET j = {update} WHERE id = {id}"),
        )
        .await;
    }
    let rows = rows(&server, &mut conn, "doc").await;
    let mut with_slack = 0;
    for (id, row) in &rows {
        check(row, updates[usize::try_from(*id).expect("id")]);
        let fresh = encode(&decode(&row.image).expect("decode")).expect("encode");
        with_slack += usize::from(fresh != row.image);
    }
    assert!(
        with_slack >= 3,
        "the server did update in place: {with_slack}"
    );
}

/// Doubles print with the digits and the layout of the server, whatever their bits.
#[tokio::test]
async fn doubles_of_all_sizes_print_like_on_the_server() {
    let (server, mut conn) = server_with_documents().await;
    let mut values = vec![
        1_234_567_890_123_456.8,
        9_007_199_254_740_992.0,
        f64::MAX,
        5e-324,
    ];
    values.extend((-1074..1024).map(|exponent| 2f64.powi(exponent)));
    values.extend((-330..=308).map(|exponent: i32| format!("1e{exponent}").parse().unwrap_or(0.0)));
    // A linear congruential generator: the same bits on every run.
    let mut state = 0x1234_5678_9abc_def0_u64;
    for _ in 0..6_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        values.push(f64::from_bits(state ^ (state >> 29)));
        values.push((state >> 12) as f64 / 1e4);
    }
    values.retain(|value| value.is_finite());
    for (id, chunk) in values.chunks(500).enumerate() {
        let marks = vec!["?"; chunk.len()].join(",");
        let sql = format!("INSERT INTO doc VALUES ({id}, JSON_ARRAY({marks}))");
        conn.exec_drop(sql, chunk.to_vec()).await.expect("insert");
    }
    let rows = rows(&server, &mut conn, "doc").await;
    let mut seen = 0;
    for row in rows.values() {
        check_fresh(row, "doubles");
        assert!(is_exact(&row.image));
        let JsonTree::Array(elements) = decode(&row.image).expect("decode") else {
            panic!("an array");
        };
        for element in elements {
            assert_eq!(element, JsonTree::Double(values[seen]));
            seen += 1;
        }
    }
    assert_eq!(seen, values.len());
}

/// Text documents of random shape: the server stores what `encode(from_text(..))` makes.
#[tokio::test]
async fn documents_sent_as_text_are_encoded_like_on_the_server() {
    let (server, mut conn) = server_with_documents().await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut texts = Vec::new();
    for id in 0..400 {
        let mut text = String::new();
        random.document(&mut text, 0);
        conn.exec_drop("INSERT INTO doc VALUES (?, ?)", (id, &text))
            .await
            .expect("insert");
        texts.push(text);
    }
    let rows = rows(&server, &mut conn, "doc").await;
    let mut large = 0;
    for (row, text) in rows.values().zip(&texts) {
        check_fresh(row, text);
        let tree = from_text(text).expect("parse");
        assert_eq!(encode(&tree).expect("encode"), row.image, "{text}");
        assert!(is_exact(&row.image));
        large += usize::from(row.image.len() > 70_000);
    }
    assert!(large > 10, "documents in the large format: {large}");
    let count: Vec<u64> = query(&mut conn, "SELECT COUNT(*) FROM doc").await;
    assert_eq!(count, [400]);
}

/// Makes the same documents on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn document(&mut self, out: &mut String, depth: u64) {
        let choice = self.below(if depth > 5 { 6 } else { 10 });
        let _ = match choice {
            0 => write!(out, "{}", ["null", "true", "false"][self.below(3) as usize]),
            1 => write!(out, "{}", self.below(70_000) as i64 - 35_000),
            2 => write!(out, "{}", self.below(1 << 31) as i64 * self.below(9) as i64),
            3 => write!(
                out,
                "{}.{}e{}",
                self.below(99),
                self.below(999),
                self.below(40) as i64 - 20
            ),
            4 => write!(out, "\"{}\"", "ä\\n😀x".repeat(self.below(200) as usize)),
            5 if self.below(12) == 0 => write!(out, "\"{}\"", "l".repeat(60_000)),
            5 => write!(out, "\"{}\"", self.below(1 << 30)),
            6 | 7 => {
                out.push('[');
                for index in 0..self.below(9) {
                    out.push_str(if index > 0 { ", " } else { "" });
                    self.document(out, depth + 1);
                }
                out.write_str("]")
            }
            _ => {
                out.push('{');
                for index in 0..self.below(9) {
                    out.push_str(if index > 0 { "," } else { "" });
                    let _ = write!(out, "\"{}\": ", "kK".repeat(self.below(4) as usize));
                    self.document(out, depth + 1);
                }
                out.write_str("}")
            }
        };
    }
}
