//! Cells of single values. Whole rows are compared with logged images on real servers.

use super::*;
use mysql_async::Value as V;

fn column(wire_type: u8, metadata: u16) -> Column {
    Column {
        declared: Some(String::new()),
        ..Column::plain("c", wire_type, metadata)
    }
}

fn cell(column: &Column, value: V) -> Result<String> {
    let encoder = RowEncoder::new(Flavor::MariaDb, std::slice::from_ref(column))?;
    let mut out = Vec::new();
    encoder.encode(&[value], &mut out)?;
    Ok(hex::encode(out))
}

#[track_caller]
fn is(wire_type: u8, metadata: u16, value: V, image: &str) {
    let found = cell(&column(wire_type, metadata), value).expect("an image");
    // One column on MariaDB: seven filler bits.
    assert_eq!(found, format!("fe{image}"));
}

#[track_caller]
fn is_refused(wire_type: u8, metadata: u16, value: V) {
    let found = cell(&column(wire_type, metadata), value);
    assert!(found.is_err(), "{found:?}");
}

fn bytes(text: &str) -> V {
    V::Bytes(text.as_bytes().to_vec())
}

#[test]
fn numbers() {
    is(wire::TINY, 0, V::Int(-1), "ff");
    is(wire::TINY, 0, V::UInt(255), "ff");
    is(wire::INT24, 0, V::Int(-2), "feffff");
    is(wire::LONGLONG, 0, V::UInt(u64::MAX), "ffffffffffffffff");
    is(wire::SET, 8, V::UInt(1 << 63), "0000000000000080");
    is(wire::ENUM, 2, V::UInt(256), "0001");
    is(wire::FLOAT, 4, V::Float(-0.0), "00000080");
    is(wire::DOUBLE, 8, V::Double(1.5), "000000000000f83f");
    is(wire::YEAR, 0, V::Int(0), "00");
    is(wire::YEAR, 0, V::Int(2155), "ff");
    is(wire::BIT, 0x0101, V::Bytes(vec![1, 2]), "0102");
    is_refused(wire::TINY, 0, V::Int(-129));
    is_refused(wire::TINY, 0, V::Int(256));
    is_refused(wire::ENUM, 1, V::UInt(256));
    is_refused(wire::BIT, 0x0101, V::Bytes(vec![1]));
    is_refused(wire::YEAR, 0, V::Int(1900));
    is_refused(wire::LONG, 0, bytes("1"));
}

#[test]
fn decimals() {
    let metadata = 10 << 8 | 3;
    is(
        wire::NEWDECIMAL,
        metadata,
        bytes("1234567.890"),
        "8012d687037a",
    );
    is(wire::NEWDECIMAL, metadata, bytes("-0.001"), "7ffffffffffe");
    is(
        wire::NEWDECIMAL,
        metadata,
        bytes("0000001.500"),
        "8000000101f4",
    );
    is_refused(wire::NEWDECIMAL, metadata, bytes("1.5"));
    is_refused(wire::NEWDECIMAL, metadata, bytes("12345678.000"));
    is_refused(wire::NEWDECIMAL, metadata, bytes("1.5e0"));
    // 65 digits do not fit a number: by text.
    let wide = 65 << 8 | 1;
    let nines = format!("{}.9", "9".repeat(64));
    let zeros = format!("{}7.9", "0".repeat(63));
    assert!(cell(&column(wire::NEWDECIMAL, wide), bytes(&nines)).is_ok());
    assert_eq!(
        cell(&column(wire::NEWDECIMAL, wide), bytes(&zeros)).expect("zerofill"),
        cell(&column(wire::NEWDECIMAL, wide), bytes("7.9")).expect("the same"),
    );
}

#[test]
fn dates_that_do_not_exist_come_out_as_they_went_in() {
    is(wire::DATE, 0, V::Date(0, 0, 0, 0, 0, 0, 0), "000000");
    is(wire::DATE, 0, V::Date(2024, 0, 15, 0, 0, 0, 0), "0fd00f");
    is(wire::DATE, 0, V::Date(2024, 2, 31, 0, 0, 0, 0), "5fd00f");
    is(
        wire::DATETIME2,
        0,
        V::Date(0, 0, 0, 0, 0, 0, 0),
        "8000000000",
    );
    is(
        wire::DATETIME2,
        6,
        V::Date(9999, 12, 31, 23, 59, 59, 999_999),
        "fef3ff7efb0f423f",
    );
    is(
        wire::TIMESTAMP2,
        0,
        V::Date(0, 0, 0, 0, 0, 0, 0),
        "00000000",
    );
    is(
        wire::TIMESTAMP2,
        1,
        V::Date(1970, 1, 1, 0, 0, 1, 100_000),
        "000000010a",
    );
    is(
        wire::TIMESTAMP2,
        6,
        V::Date(2038, 1, 19, 3, 14, 7, 999_999),
        "7fffffff0f423f",
    );
    is_refused(wire::TIMESTAMP2, 0, V::Date(1969, 12, 31, 23, 59, 59, 0));
    is_refused(wire::DATE, 0, V::Time(false, 0, 0, 0, 0, 0));
}

#[test]
fn negative_times() {
    is(wire::TIME2, 0, V::Time(false, 0, 0, 0, 0, 0), "800000");
    is(wire::TIME2, 0, V::Time(true, 34, 22, 59, 59, 0), "4b9105");
    is(
        wire::TIME2,
        2,
        V::Time(true, 0, 0, 0, 0, 10_000),
        "7fffffff",
    );
    is(
        wire::TIME2,
        2,
        V::Time(true, 0, 0, 0, 1, 500_000),
        "7ffffece",
    );
    is(wire::TIME2, 6, V::Time(true, 0, 0, 0, 0, 1), "7fffffffffff");
    is(wire::TIME, 0, V::Time(true, 0, 1, 2, 3, 0), "25d8ff");
    is(
        wire::DATETIME,
        0,
        V::Date(2020, 1, 2, 3, 4, 5, 0),
        "45ece7335f120000",
    );
    is(
        wire::TIMESTAMP,
        0,
        V::Date(1970, 1, 1, 0, 1, 0, 0),
        "3c000000",
    );
}

#[test]
fn bytes_and_their_lengths() {
    is(wire::VARCHAR, 255, bytes("ab"), "026162");
    is(wire::VARCHAR, 256, bytes("ab"), "02006162");
    is(wire::BLOB, 4, bytes("a"), "0100000061");
    let mut binary = column(wire::STRING, 4);
    binary.collation = Some(63);
    let padded = V::Bytes(vec![0, 1, 0, 0]);
    assert_eq!(cell(&binary, padded).expect("a cell"), "fe020001");
    assert_eq!(cell(&binary, V::Bytes(vec![0; 4])).expect("a cell"), "fe00");
    is(wire::BLOB_COMPRESSED, 2, bytes(""), "0000");
    is(wire::VARCHAR_COMPRESSED, 11, bytes("x"), "020078");
    is_refused(wire::VARCHAR, 255, bytes(&"x".repeat(256)));
    binary.metadata = 16;
    binary.declared = Some("inet6".into());
    assert_eq!(cell(&binary, bytes("::")).expect("a cell"), "fe00");
}

#[test]
fn nulls_and_hidden_hashes() {
    let mut hash = column(wire::LONGLONG, 0);
    hash.name = "DB_ROW_HASH_1".into();
    hash.declared = None;
    let columns = [column(wire::TINY, 0), hash.clone()];
    let encoder = RowEncoder::new(Flavor::MySql, &columns).expect("an encoder");
    assert_eq!(encoder.select_list(), "`c`");
    let mut out = Vec::new();
    encoder.encode(&[V::NULL], &mut out).expect("an image");
    assert_eq!(out, [3]);
    hash.nullable = false;
    let encoder = RowEncoder::new(Flavor::MySql, &[hash]).expect("an encoder");
    out.clear();
    encoder.encode(&[], &mut out).expect("an image");
    assert_eq!(out, [0; 9]);
    let mut required = column(wire::TINY, 0);
    required.nullable = false;
    assert!(cell(&required, V::NULL).is_err());
}
