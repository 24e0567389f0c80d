//! Known cells of each type, and the round trip of random ones.

use super::*;
use crate::schema::wire;
use crate::segment::testing::{any_cell, column, every_column, plan, zlib_content};
use proptest::prelude::*;

fn codec(column: Column) -> CellCodec {
    let plan = plan(Flavor::MySql, vec![column], &[]);
    plan.codecs()[0].clone()
}

fn named(name: &str, flavor: Flavor) -> CellCodec {
    let columns = every_column();
    let index = columns.iter().position(|c| c.name == name).expect("column");
    plan(flavor, columns, &[]).codecs()[index].clone()
}

/// The decoded cell as text, for comparing: `value` or `raw:value`.
fn shown(codec: &CellCodec, cell: &[u8]) -> String {
    let mut scratch = Scratch::default();
    let decoded = codec.decode(cell, &mut scratch);
    if decoded.exact {
        let mut again = Vec::new();
        codec.encode(decoded.value, &mut again).expect("encode");
        assert_eq!(again, cell, "{decoded:?}");
    }
    let text = match decoded.value {
        Value::Null => "null".to_owned(),
        Value::Int(v) => v.to_string(),
        Value::Decimal(v) => v.to_string(),
        Value::Float(v) => format!("{:08x}", v.to_bits()),
        Value::Double(v) => format!("{:016x}", v.to_bits()),
        Value::Text(t) => t.to_owned(),
        Value::Bytes(b) | Value::Vector(b) => hex::encode(b),
    };
    if decoded.exact {
        text
    } else {
        format!("raw:{text}")
    }
}

fn check(codec: &CellCodec, cells: &[(&str, &str)]) {
    for (cell, wanted) in cells {
        let bytes = hex::decode(cell).expect("hex");
        assert_eq!(shown(codec, &bytes), *wanted, "{cell}");
    }
}

#[test]
fn integers() {
    check(
        &named("tiny", Flavor::MySql),
        &[("80", "-128"), ("7f", "127")],
    );
    check(
        &named("medium", Flavor::MySql),
        &[("000080", "-8388608"), ("ffffff", "-1")],
    );
    check(&named("u_medium", Flavor::MySql), &[("ffffff", "16777215")]);
    check(
        &named("u_int", Flavor::MySql),
        &[("ffffffff", "4294967295")],
    );
    check(
        &named("big", Flavor::MySql),
        &[("0000000000000080", "-9223372036854775808")],
    );
    check(
        &named("u_big", Flavor::MySql),
        &[("ffffffffffffffff", "18446744073709551615")],
    );
    check(
        &named("bit12", Flavor::MySql),
        &[("0fff", "4095"), ("1000", "raw:null")],
    );
    check(
        &named("bit64", Flavor::MySql),
        &[("ffffffffffffffff", "18446744073709551615")],
    );
    check(
        &named("year", Flavor::MySql),
        &[("00", "0"), ("01", "1901"), ("ff", "2155")],
    );
    check(
        &named("float", Flavor::MySql),
        &[("00000080", "80000000"), ("0100c07f", "7fc00001")],
    );
}

/// The examples of the MySQL source (`decimal2bin`) and edges.
#[test]
fn decimals() {
    let decimal = |p: u16, s: u16| codec(column("d", wire::NEWDECIMAL, p << 8 | s));
    check(
        &decimal(14, 4),
        &[
            ("810dfb38d204d2", "12345678901234"),
            ("7ef204c72dfb2d", "-12345678901234"),
            ("80000000000000", "0"),
            ("7fffffffffffff", "raw:0"),
            ("80ffffffffffff", "raw:null"),
        ],
    );
    check(
        &decimal(1, 0),
        &[("89", "9"), ("76", "-9"), ("8a", "raw:null")],
    );
    let wide = decimal(65, 30);
    let mut cell = Vec::new();
    for text in [
        "99999999999999999999999999999999999.999999999999999999999999999999",
        "-0.000000000000000000000000000001",
        "0.000000000000000000000000000000",
        "-120.500000000000000000000000000000",
    ] {
        cell.clear();
        wide.encode(Value::Text(text), &mut cell).expect("encode");
        assert_eq!(shown(&wide, &cell), text);
    }
    for text in [
        "",
        "-",
        "1",
        "1.5",
        "1e5.000000000000000000000000000000",
        "+1",
    ] {
        assert!(wide.encode(Value::Text(text), &mut cell).is_err(), "{text}");
    }
    assert!(
        decimal(4, 2)
            .encode(Value::Decimal(10_000), &mut cell)
            .is_err()
    );
}

/// The examples of the MySQL source (`my_time_packed_from_binary`) and edges.
#[test]
fn times() {
    check(
        &named("time2", Flavor::MySql),
        &[
            ("80000000", "0"),
            ("7fffffff", "-10000"),
            ("7fffff9d", "-990000"),
            ("7fffff00", "-1000000"),
            ("7ffffeff", "-1010000"),
            ("7ffffef6", "-1100000"),
            ("80000064", "raw:null"),
            ("80003c00", "raw:null"),
        ],
    );
    check(
        &named("time6", Flavor::MySql),
        &[
            ("b46efb000000", "3020399000000"),
            ("4b9105000000", "-3020399000000"),
        ],
    );
    check(
        &named("old_time", Flavor::MySql),
        &[
            ("000000", "0"),
            ("ffffff", "-1000000"),
            ("40e201", "45296000000"),
            ("480000", "raw:null"),
        ],
    );
}

#[test]
fn dates_that_do_not_exist_stay_raw() {
    check(
        &named("date", Flavor::MySql),
        &[
            ("21640f", "0"),
            ("9f1f4e", "2932896"),
            ("210200", "-719162"),
            ("5dd00f", "19782"),
            ("000000", "raw:null"),
            ("5dce0f", "raw:null"),
            ("0fd00f", "raw:null"),
            ("20a00f", "raw:null"),
            ("a1a10f", "raw:null"),
        ],
    );
    check(
        &named("datetime6", Flavor::MySql),
        &[
            ("99b2bac8b80c0a14", "1709210096789012"),
            ("fef3ff7efb0f423f", "253402300799999999"),
            ("8003820000000000", "-62135596800000000"),
            ("99b2bb8000000000", "raw:null"),
            ("99b2ba00000f4240", "raw:null"),
            ("8000000000000000", "raw:null"),
            ("19b2bac8b80c0a14", "raw:null"),
        ],
    );
    check(
        &named("old_datetime", Flavor::MySql),
        &[
            ("0000000000000000", "raw:null"),
            ("4063eaa230120000", "946684800000000"),
        ],
    );
}

#[test]
fn instants_end_where_their_flavor_ends() {
    let mysql = named("timestamp1", Flavor::MySql);
    let mariadb = named("timestamp1", Flavor::MariaDb);
    for both in [&mysql, &mariadb] {
        check(
            both,
            &[
                ("0000000000", "raw:null"),
                ("000000000a", "100000"),
                ("7fffffff5a", "2147483647900000"),
            ],
        );
    }
    check(&mysql, &[("ffffffff00", "raw:null")]);
    check(&mariadb, &[("ffffffff00", "4294967295000000")]);
}

#[test]
fn labels_must_be_unambiguous() {
    let mysql = Flavor::MySql;
    check(
        &named("enum", mysql),
        &[
            ("00", "raw:null"),
            ("01", "raw:null"),
            ("02", "green"),
            ("03", "raw:null"),
            ("04", "é"),
            ("05", ""),
            ("06", "raw:null"),
        ],
    );
    check(
        &named("set", mysql),
        &[
            ("00", ""),
            ("15", "a,c,f"),
            ("08", "raw:null"),
            ("80", "raw:null"),
        ],
    );
}

#[test]
fn text_goes_through_its_charset() {
    let mysql = Flavor::MySql;
    check(
        &named("varchar", mysql),
        &[("02c3a9", "é"), ("01e9", "raw:null"), ("00", "")],
    );
    check(
        &named("latin1", mysql),
        &[("03e98081", "é€\u{81}"), ("0161", "a")],
    );
    check(
        &named("ascii", mysql),
        &[("0161", "a"), ("01e9", "raw:null")],
    );
    check(&named("unknown", mysql), &[("0161", "raw:null")]);
    check(&named("char_long", mysql), &[("010061", "a")]);
}

#[test]
fn bytes_keep_what_the_image_strips() {
    let mysql = Flavor::MySql;
    let padded = format!("ab{}", "00".repeat(15));
    check(
        &named("binary", mysql),
        &[
            ("01ab", &padded),
            ("00", &"00".repeat(16)),
            ("02ab00", "raw:null"),
        ],
    );
    check(&named("varbinary", mysql), &[("0200ab00", "ab00")]);
    check(
        &named("geometry", mysql),
        &[
            ("0500000000000000aa", "aa"),
            ("05000000e6100000aa", "raw:aa"),
            ("0200000000aa", "raw:null"),
        ],
    );
    check(
        &named("vector", mysql),
        &[
            (
                "0c0000000000803f0100c07f00000080",
                "0000803f0100c07f00000080",
            ),
            ("0400000000000000", "raw:null"),
        ],
    );
}

#[test]
fn mariadb_types_are_shown_as_text() {
    let mariadb = Flavor::MariaDb;
    check(
        &named("uuid", mariadb),
        &[
            (
                "106ccd45500b1111ed8002a7cc0242ac11",
                "6ccd4550-0b11-11ed-8002-a7cc0242ac11",
            ),
            ("00", "00000000-0000-0000-0000-000000000000"),
            (
                "100192f5d29e7c7ccab3ff1d5d0e2a1b3c",
                "0192f5d2-9e7c-7cca-b3ff-1d5d0e2a1b3c",
            ),
        ],
    );
    check(
        &named("inet4", mariadb),
        &[("047f000001", "127.0.0.1"), ("010a", "10.0.0.0")],
    );
    check(
        &named("inet6", mariadb),
        &[("00", "::"), ("1000000000000000000000000000000001", "::1")],
    );
}

#[test]
fn compressed_content_is_inflated() {
    let text = named("compressed", Flavor::MariaDb);
    check(&text, &[("0000", ""), ("0300006162", "ab")]);
    let value = "hello ".repeat(20);
    let content = zlib_content(value.as_bytes());
    let mut cell = (content.len() as u16).to_le_bytes().to_vec();
    cell.extend_from_slice(&content);
    assert_eq!(shown(&text, &cell), format!("raw:{value}"));
    // A length that is not the stream's, in both directions.
    for length in [119, 121] {
        cell[3] = length;
        assert_eq!(shown(&text, &cell), "raw:null");
    }
    check(
        &text,
        &[("060084ffffffff00", "raw:null"), ("010050", "raw:null")],
    );
}

proptest! {
    #[test]
    fn exact_cells_encode_to_themselves(
        (index, cell) in (0..every_column().len()).prop_flat_map(|index| {
            (Just(index), any_cell(&every_column()[index]))
        })
    ) {
        for flavor in [Flavor::MySql, Flavor::MariaDb] {
            let plan = plan(flavor, every_column(), &[]);
            shown(&plan.codecs()[index], &cell);
        }
    }
}

/// The random cells reach both answers for the types that have both.
#[test]
fn random_cells_are_sometimes_exact() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let columns = every_column();
    let plan = plan(Flavor::MySql, columns.clone(), &[]);
    for (column, codec) in columns.iter().zip(plan.codecs()) {
        let cells = any_cell(column);
        let exact = (0..400)
            .filter(|_| {
                let cell = cells.new_tree(&mut runner).expect("cell").current();
                codec.decode(&cell, &mut Scratch::default()).exact
            })
            .count();
        let never = ["unknown", "json"].contains(&column.name.as_str());
        assert_eq!(exact == 0, never, "{}: {exact} of 400 exact", column.name);
    }
}
