//! Fixed tables and rows. The numbers are made, not drawn: a run is the same on every machine.

use std::sync::Arc;
use tidelog::change::json::{encode, from_text};
use tidelog::change::{ImageWriter, Op};
use tidelog::position::{Flavor, Seq};
use tidelog::schema::{Column, KeyPart, TableId, TableName, TableShape, TableVersion, wire};
use tidelog::segment::{CellCodec, ChangeRow, TablePlan, Value};

/// Rows of every input: what capture makes a batch of.
pub(crate) const ROWS: u64 = 8_192;

const FLAVOR: Flavor = Flavor::MySql;
const UTF8MB4: u16 = 45;

/// A table with the images of its rows.
pub(crate) struct Table {
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) images: Vec<Vec<u8>>,
}

/// A column, and the content of its cell in the nth row: a value, or the bytes of the cell as logged.
struct Source {
    column: Column,
    cell: fn(u64) -> Cell,
}

enum Cell {
    Int(i64),
    Decimal(i128),
    Double(f64),
    Text(String),
    /// With the length prefix of the column.
    Logged(Vec<u8>),
}

fn column(name: &str, wire_type: u8, metadata: u16) -> Column {
    Column::plain(name, wire_type, metadata)
}

fn text(name: &str, wire_type: u8, metadata: u16) -> Column {
    Column {
        collation: Some(UTF8MB4),
        ..column(name, wire_type, metadata)
    }
}

/// A number that looks like no pattern.
fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 32
}

/// Microseconds of a moment in 2026 with this number of digits behind the second.
fn moment(n: u64, digits: u32) -> Cell {
    let step = 10_i64.pow(6 - digits);
    let us = i64::try_from(mixed(n) % 10_000_000_000_000).expect("small") / step * step;
    Cell::Int(1_767_225_600_000_000 + us)
}

fn sentence(n: u64) -> String {
    const WORDS: [&str; 8] = [
        "meeting", "tomorrow", "release", "blocked", "größe", "lunch?", "see", "you",
    ];
    let words = (0..4 + mixed(n) % 20).map(|word| WORDS[(mixed(n + word) % 8) as usize]);
    words.collect::<Vec<_>>().join(" ")
}

fn prefixed(content: &[u8], prefix: usize) -> Cell {
    let mut cell = (content.len() as u64).to_le_bytes()[..prefix].to_vec();
    cell.extend_from_slice(content);
    Cell::Logged(cell)
}

fn document(n: u64) -> Cell {
    let text = format!(
        r#"{{"client": {}, "mentions": [{}, {}], "v": 1.5, "via": "web"}}"#,
        n % 9,
        mixed(n) % 100_000,
        n
    );
    let tree = from_text(&text).expect("JSON");
    prefixed(&encode(&tree).expect("a document"), 4)
}

/// One column of each type that has a loop of its own.
fn sources() -> Vec<Source> {
    let labels = ["text", "image", "voice"].map(|label| label.as_bytes().to_vec());
    vec![
        Source {
            column: column("int", wire::LONG, 0),
            cell: |n| Cell::Int(i64::from(mixed(n) as i32)),
        },
        Source {
            column: column("bigint", wire::LONGLONG, 0),
            cell: |n| Cell::Int(mixed(n) as i64),
        },
        Source {
            column: column("double", wire::DOUBLE, 8),
            cell: |n| Cell::Double(mixed(n) as f64 / 7.0),
        },
        Source {
            column: column("decimal", wire::NEWDECIMAL, 20 << 8 | 6),
            cell: |n| Cell::Decimal(i128::from(mixed(n) >> 8)),
        },
        Source {
            column: column("date", wire::DATE, 0),
            cell: |n| Cell::Int(20_000 + (n % 1_000) as i64),
        },
        Source {
            column: column("datetime6", wire::DATETIME2, 6),
            cell: |n| moment(n, 6),
        },
        Source {
            column: column("timestamp3", wire::TIMESTAMP2, 3),
            cell: |n| moment(n, 3),
        },
        Source {
            column: column("time", wire::TIME2, 0),
            cell: |n| Cell::Int((mixed(n) % 80_000) as i64 * 1_000_000),
        },
        Source {
            column: text("varchar", wire::VARCHAR, 800),
            cell: |n| Cell::Text(sentence(n)),
        },
        Source {
            column: column("blob", wire::BLOB, 2),
            cell: |n| {
                let bytes: Vec<u8> = (0..128).flat_map(|i| mixed(n + i).to_le_bytes()).collect();
                prefixed(&bytes, 2)
            },
        },
        Source {
            column: Column {
                labels: labels.to_vec(),
                ..text("enum", wire::ENUM, 1)
            },
            cell: |n| Cell::Logged(vec![1 + (n % 3) as u8]),
        },
        Source {
            column: column("json", wire::JSON, 4),
            cell: document,
        },
    ]
}

/// The types that have a loop of their own.
pub(crate) fn types() -> Vec<String> {
    let names = sources().into_iter().map(|source| source.column.name);
    names.collect()
}

/// A table of one column of a type.
pub(crate) fn one_of(name: &str) -> Table {
    let mut sources = sources();
    sources.retain(|source| source.column.name == name);
    table(&sources, false)
}

/// A table like a messaging service has it, ascending by key.
pub(crate) fn messages() -> Table {
    let id = Source {
        column: column("id", wire::LONGLONG, 0),
        cell: |n| Cell::Int(n as i64),
    };
    let wanted = [
        "bigint",
        "int",
        "varchar",
        "json",
        "double",
        "enum",
        "datetime6",
    ];
    let mut columns = vec![id];
    let rest = sources().into_iter();
    columns.extend(rest.filter(|source| wanted.contains(&source.column.name.as_str())));
    table(&columns, true)
}

fn table(sources: &[Source], has_key: bool) -> Table {
    let shape = TableShape {
        name: TableName::new("bench", "t"),
        columns: sources.iter().map(|source| source.column.clone()).collect(),
        key: match has_key {
            true => vec![KeyPart {
                column: 0,
                prefix: 0,
            }],
            false => Vec::new(),
        },
        raw_table_map: Vec::new(),
        definition: None,
    };
    let version = TableVersion::first(TableId::allocate(1, Seq(1), 0), Seq(1), FLAVOR, shape);
    let codec = |column: &Column| CellCodec::new(column, FLAVOR).expect("a codec");
    let codecs: Vec<CellCodec> = version.columns.iter().map(codec).collect();
    let image = |n: u64| {
        let mut image = Vec::new();
        let mut writer = ImageWriter::begin(FLAVOR, sources.len(), &mut image);
        for (source, codec) in sources.iter().zip(&codecs) {
            let out = writer.cell();
            match (source.cell)(n) {
                Cell::Int(value) => codec.encode(Value::Int(value), out),
                Cell::Decimal(value) => codec.encode(Value::Decimal(value), out),
                Cell::Double(value) => codec.encode(Value::Double(value), out),
                Cell::Text(value) => codec.encode(Value::Text(&value), out),
                Cell::Logged(bytes) => {
                    out.extend_from_slice(&bytes);
                    Ok(())
                }
            }
            .expect("a cell");
        }
        writer.finish().expect("an image");
        image
    };
    Table {
        images: (0..ROWS).map(image).collect(),
        plan: Arc::new(TablePlan::compile(Arc::new(version)).expect("a plan")),
    }
}

/// What a change file says of the nth row.
pub(crate) fn change(n: u64) -> ChangeRow {
    ChangeRow {
        op: Op::Insert,
        seq: Seq(i64::try_from(n).expect("small") + 1),
        row: 0,
        event: 0,
        flags: 1,
        commit_time_us: 1_767_225_600_000_000 + i64::try_from(n).expect("small"),
    }
}
