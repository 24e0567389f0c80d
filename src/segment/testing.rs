//! Tables with every type, and random rows of them, for the tests of this folder.

use super::{CellCodec, TablePlan, Value};
use crate::change::{CellSize, ImageWriter};
use crate::position::{Flavor, Seq};
use crate::schema::{Column, KeyPart, TableId, TableName, TableVersion, wire};
use proptest::prelude::*;
use std::sync::Arc;

/// A column without an id.
pub(super) fn column(name: &str, wire_type: u8, metadata: u16) -> Column {
    Column::plain(name, wire_type, metadata)
}

fn text(name: &str, wire_type: u8, metadata: u16, collation: u16) -> Column {
    Column {
        collation: Some(collation),
        ..column(name, wire_type, metadata)
    }
}

fn unsigned(name: &str, wire_type: u8) -> Column {
    Column {
        unsigned: true,
        ..column(name, wire_type, 0)
    }
}

fn labels(name: &str, wire_type: u8, metadata: u16, labels: &[&str]) -> Column {
    Column {
        labels: labels.iter().map(|l| l.as_bytes().to_vec()).collect(),
        ..text(name, wire_type, metadata, 45)
    }
}

fn declared(name: &str, metadata: u16, declared: &str) -> Column {
    Column {
        declared: Some(declared.into()),
        ..text(name, wire::STRING, metadata, 63)
    }
}

/// A plan of these columns; ids count down, so that table order is not id order.
pub(super) fn plan(flavor: Flavor, mut columns: Vec<Column>, key: &[u32]) -> Arc<TablePlan> {
    let count = columns.len() as i32;
    for (index, column) in columns.iter_mut().enumerate() {
        column.field_id = count - index as i32;
        column.stored = column.default_storage(flavor);
    }
    let key = key.iter().map(|column| KeyPart {
        column: *column,
        prefix: 0,
    });
    let version = TableVersion {
        table_id: TableId::allocate(1, Seq(1), 0),
        version: 1,
        since: Seq(1),
        name: TableName::new("db", "t"),
        flavor,
        columns,
        key: key.collect(),
        given_rows: false,
        field_id_max: count,
        raw_table_map: Vec::new(),
        definition: None,
    };
    Arc::new(TablePlan::compile(Arc::new(version)).expect("plan"))
}

/// Columns of every type, as both flavors have them.
pub(super) fn every_column() -> Vec<Column> {
    let mut columns = vec![
        column("tiny", wire::TINY, 0),
        column("short", wire::SHORT, 0),
        column("medium", wire::INT24, 0),
        column("int", wire::LONG, 0),
        column("big", wire::LONGLONG, 0),
        unsigned("u_tiny", wire::TINY),
        unsigned("u_short", wire::SHORT),
        unsigned("u_medium", wire::INT24),
        unsigned("u_int", wire::LONG),
        unsigned("u_big", wire::LONGLONG),
        column("float", wire::FLOAT, 4),
        column("double", wire::DOUBLE, 8),
        column("year", wire::YEAR, 0),
        column("date", wire::DATE, 0),
        column("old_time", wire::TIME, 0),
        column("old_datetime", wire::DATETIME, 0),
        column("old_timestamp", wire::TIMESTAMP, 0),
        column("bit1", wire::BIT, 1),
        column("bit12", wire::BIT, 1 << 8 | 4),
        column("bit63", wire::BIT, 7 << 8 | 7),
        column("bit64", wire::BIT, 8 << 8),
        text("varchar", wire::VARCHAR, 200, 45),
        text("varchar_long", wire::VARCHAR, 2_000, 255),
        text("char", wire::STRING, 40, 46),
        text("char_long", wire::STRING, 1_020, 255),
        text("latin1", wire::VARCHAR, 100, 8),
        text("ascii", wire::VARCHAR, 100, 11),
        text("gbk", wire::VARCHAR, 100, 28),
        text("unknown", wire::VARCHAR, 100, 9_999),
        text("binary", wire::STRING, 16, 63),
        text("varbinary", wire::VARCHAR, 300, 63),
        text("tinyblob", wire::BLOB, 1, 63),
        text("blob", wire::BLOB, 2, 63),
        text("mediumtext", wire::BLOB, 3, 45),
        text("longtext", wire::BLOB, 4, 45),
        column("geometry", wire::GEOMETRY, 4),
        column("json", wire::JSON, 4),
        Column {
            vector_dimension: Some(3),
            ..column("vector", wire::VECTOR, 4)
        },
        labels("enum", wire::ENUM, 1, &["red", "green", "red", "é", ""]),
        labels("enum2", wire::ENUM, 2, &["one", "two"]),
        labels("set", wire::SET, 1, &["a", "b", "c", "d,e", "f"]),
        declared("uuid", 16, "uuid"),
        declared("inet4", 4, "inet4"),
        declared("inet6", 16, "inet6"),
        text("compressed", wire::VARCHAR_COMPRESSED, 400, 45),
        text("compressed_blob", wire::BLOB_COMPRESSED, 2, 63),
        column("__OP", wire::TINY, 0),
    ];
    for digits in 0..=6 {
        columns.push(column(&format!("time{digits}"), wire::TIME2, digits));
        columns.push(column(
            &format!("datetime{digits}"),
            wire::DATETIME2,
            digits,
        ));
        columns.push(column(
            &format!("timestamp{digits}"),
            wire::TIMESTAMP2,
            digits,
        ));
    }
    for (precision, scale) in [
        (1, 0),
        (10, 2),
        (9, 9),
        (38, 0),
        (38, 30),
        (65, 30),
        (39, 0),
    ] {
        let name = format!("decimal{precision}_{scale}");
        columns.push(column(&name, wire::NEWDECIMAL, precision << 8 | scale));
    }
    columns
}

/// Cells of a column: plain random bytes, and bytes that look like values.
pub(super) fn any_cell(column: &Column) -> BoxedStrategy<Vec<u8>> {
    match CellSize::of(column).expect("size") {
        CellSize::Fixed(size) => {
            let size = size as usize;
            prop_oneof![
                3 => prop::collection::vec(any::<u8>(), size),
                1 => prop::collection::vec(prop_oneof![Just(0u8), Just(0x80), Just(0xff)], size),
                2 => small_number(column, size),
                2 => moment(column, size),
            ]
            .boxed()
        }
        CellSize::Prefixed(prefix) => any_content(column)
            .prop_map(move |content| {
                let mut cell = (content.len() as u32).to_le_bytes()[..usize::from(prefix)].to_vec();
                cell.extend_from_slice(&content);
                cell
            })
            .boxed(),
    }
}

/// Few bits set, where small values are valid more often.
fn small_number(column: &Column, size: usize) -> BoxedStrategy<Vec<u8>> {
    let little_endian = column.wire_type == wire::ENUM;
    let flip = column.wire_type == wire::NEWDECIMAL || column.wire_type == wire::TIME2;
    (prop_oneof![any::<u16>(), 0..100u16], any::<bool>())
        .prop_map(move |(value, negative)| {
            let mut cell = vec![0u8; size];
            for (byte, part) in cell.iter_mut().rev().zip(value.to_le_bytes()) {
                *byte = part;
            }
            if little_endian {
                cell.fill(0);
                cell[0] = value as u8 % 4;
            }
            if flip {
                cell[0] ^= 0x80;
                if negative {
                    cell.iter_mut().for_each(|b| *b = !*b);
                }
            }
            cell
        })
        .boxed()
}

/// Dates and times that exist; zeros for other types.
fn moment(column: &Column, size: usize) -> BoxedStrategy<Vec<u8>> {
    let mut column = column.clone();
    column.stored = column.default_storage(Flavor::MariaDb);
    let codec = CellCodec::new(&column, Flavor::MariaDb).expect("codec");
    (-62_135_596_800i64..253_402_300_800, 0i64..10)
        .prop_map(move |(seconds, tenths)| {
            let us = seconds * 1_000_000 + tenths * 100_000;
            // Whatever this type takes: a moment, seconds, or a date.
            [
                us,
                us.abs() % 4_000_000_000_000_000,
                seconds * 1_000_000,
                seconds / 86_400,
            ]
            .into_iter()
            .find_map(|value| {
                let mut cell = Vec::new();
                let encoded = codec.encode(Value::Int(value), &mut cell);
                (encoded.is_ok() && cell.len() == size).then_some(cell)
            })
            .unwrap_or_else(|| vec![0; size])
        })
        .boxed()
}

fn any_content(column: &Column) -> BoxedStrategy<Vec<u8>> {
    let max = usize::from(column.metadata);
    let max = match column.wire_type {
        wire::VARCHAR | wire::STRING | wire::VARCHAR_COMPRESSED => max.min(60),
        _ => 60,
    };
    let cut = move |mut bytes: Vec<u8>| {
        bytes.truncate(max);
        bytes
    };
    let own: BoxedStrategy<Vec<u8>> = match column.wire_type {
        wire::VECTOR => prop::collection::vec(any::<u8>(), 12).boxed(),
        wire::GEOMETRY => prop::collection::vec(any::<u8>(), 0..30)
            .prop_map(|wkb| [vec![0; 4], wkb].concat())
            .boxed(),
        wire::VARCHAR_COMPRESSED | wire::BLOB_COMPRESSED => prop_oneof![
            "[a-z]{1,20}".prop_map(|t| [&[0u8], t.as_bytes()].concat()),
            "[a-z]{1,9}".prop_map(|t| zlib_content(t.repeat(9).as_bytes())),
        ]
        .boxed(),
        _ => ".{0,15}".prop_map(String::into_bytes).boxed(),
    };
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..=max),
        2 => "[ -~]{0,40}".prop_map(String::into_bytes),
        3 => own,
    ]
    .prop_map(cut)
    .boxed()
}

/// A zlib cell content as MariaDB writes it.
pub(super) fn zlib_content(value: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(value).expect("compress");
    let stream = encoder.finish().expect("compress");
    [&[0x81, value.len() as u8][..], &stream].concat()
}

/// One cell for every column.
pub(super) type Cells = Vec<Option<Vec<u8>>>;

/// A random row.
pub(super) fn any_row(columns: &[Column]) -> BoxedStrategy<Cells> {
    let cells: Vec<_> = columns
        .iter()
        .map(|column| prop::option::weighted(0.85, any_cell(column)))
        .collect();
    cells.boxed()
}

/// The image of a row.
pub(super) fn image_of(flavor: Flavor, cells: &Cells) -> Vec<u8> {
    let mut image = Vec::new();
    let mut writer = ImageWriter::begin(flavor, cells.len(), &mut image);
    for cell in cells {
        match cell {
            None => writer.null(),
            Some(cell) => writer.cell().extend_from_slice(cell),
        }
    }
    writer.finish().expect("image");
    image
}
