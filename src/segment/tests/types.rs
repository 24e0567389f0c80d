//! One test for each column type of both flavors: row image -> Arrow -> Parquet -> Arrow -> the
//! same row image, for random cells and for the values that tools get wrong (docs/TRAPS.md), each
//! known to have a typed form or not to have one.

use super::{check_base, check_changes, images, plan, write_changes};
use crate::position::Flavor::{self, MariaDb, MySql};
use crate::schema::{Column, wire};
use crate::segment::Scratch;
use crate::segment::testing::{Cells, any_cell, column};
use cases::*;

mod cases;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Columns drawn of a test at a time.
const DRAWN: usize = 8;

/// A column, and cells of it that are known: with a typed form that is exact, or without one.
#[derive(Clone, Debug)]
struct Case {
    column: Column,
    exact: Vec<Vec<u8>>,
    raw: Vec<Vec<u8>>,
    /// More random cells than those of the wire type.
    cells: Option<BoxedStrategy<Vec<u8>>>,
}

fn case(wire_type: u8, metadata: u16) -> Case {
    Case {
        column: column("v", wire_type, metadata),
        exact: Vec::new(),
        raw: Vec::new(),
        cells: None,
    }
}

impl Case {
    fn unsigned(mut self) -> Case {
        self.column.unsigned = true;
        self
    }

    fn collation(mut self, id: u16) -> Case {
        self.column.collation = Some(id);
        self
    }

    fn declared(mut self, declared: &str) -> Case {
        self.column.declared = Some(declared.into());
        self
    }

    fn labels(mut self, labels: Vec<Vec<u8>>) -> Case {
        self.column.labels = labels;
        self
    }

    fn exact(mut self, cells: impl IntoIterator<Item = Vec<u8>>) -> Case {
        self.exact.extend(cells);
        self
    }

    fn raw(mut self, cells: impl IntoIterator<Item = Vec<u8>>) -> Case {
        self.raw.extend(cells);
        self
    }

    fn random(mut self, cells: BoxedStrategy<Vec<u8>>) -> Case {
        self.cells = Some(cells);
        self
    }

    fn any(&self) -> BoxedStrategy<Option<Vec<u8>>> {
        let random = any_cell(&self.column);
        let random = match &self.cells {
            Some(more) => prop_oneof![2 => more.clone(), 1 => random].boxed(),
            None => random,
        };
        let known: Vec<Vec<u8>> = self.exact.iter().chain(&self.raw).cloned().collect();
        if known.is_empty() {
            return prop::option::weighted(0.9, random).boxed();
        }
        let cell = prop_oneof![3 => random, 1 => select(known)];
        prop::option::weighted(0.9, cell).boxed()
    }
}

/// Hexadecimal cells.
fn hex_cells(cells: &[&str]) -> Vec<Vec<u8>> {
    cells.iter().map(|c| hex::decode(c).expect("hex")).collect()
}

/// A cell with a length prefix.
fn prefixed(prefix: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_le_bytes();
    [&length[..prefix], content].concat()
}

fn texts(prefix: usize, contents: &[&str]) -> Vec<Vec<u8>> {
    contents
        .iter()
        .map(|c| prefixed(prefix, c.as_bytes()))
        .collect()
}

/// Some of a test's columns with a few rows of them.
fn drawn(cases: Vec<Case>) -> BoxedStrategy<(Vec<Case>, Vec<Cells>)> {
    let most = cases.len().min(DRAWN);
    subsequence(cases, 1..=most)
        .prop_flat_map(|cases| {
            let row: Vec<_> = cases.iter().map(Case::any).collect();
            (Just(cases), prop::collection::vec(row, 1..7))
        })
        .boxed()
}

fn columns_of(cases: &[Case]) -> Vec<Column> {
    let named = cases.iter().enumerate().map(|(index, case)| Column {
        name: format!("v{index}"),
        ..case.column.clone()
    });
    named.collect()
}

/// Rows of changes and of a base, with a key and without.
fn check_rows(flavor: Flavor, cases: &[Case], rows: &[Cells]) {
    let images = images(flavor, rows);
    for key in [&[0][..], &[]] {
        let plan = plan(flavor, columns_of(cases), key);
        check_changes(&plan, &write_changes(&plan, &images), &images);
        check_base(&plan, &images);
    }
}

/// Every known cell has the form it is known to have, and survives.
fn check_known(flavor: Flavor, cases: &[Case]) {
    for case in cases {
        let column = std::slice::from_ref(case);
        let plan = plan(flavor, columns_of(column), &[]);
        let mut scratch = Scratch::default();
        for (cells, wanted) in [(&case.exact, true), (&case.raw, false)] {
            for cell in cells {
                let decoded = plan.codecs()[0].decode(cell, &mut scratch);
                let shown = (&case.column, hex::encode(cell), decoded.value);
                assert_eq!(decoded.exact, wanted, "{shown:?}");
            }
        }
        let known = case.exact.iter().chain(&case.raw);
        let rows: Vec<Cells> = known.map(|cell| vec![Some(cell.clone())]).collect();
        check_rows(flavor, column, &rows);
    }
}

/// One test a type: `name: flavors, columns`.
macro_rules! survives {
    ($($name:ident: $flavors:expr, $cases:expr;)+) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(16))]
            $(
                #[test]
                fn $name((cases, rows) in drawn($cases)) {
                    for flavor in $flavors {
                        check_rows(flavor, &cases, &rows);
                    }
                }
            )+
        }

        /// The values that tools get wrong, type by type.
        #[test]
        fn known_values_of_every_type() {
            $(
                let cases: Vec<Case> = $cases;
                for flavor in $flavors {
                    check_known(flavor, &cases);
                }
            )+
        }
    };
}

const BOTH: [Flavor; 2] = [MySql, MariaDb];

survives! {
    tinyint: BOTH, integers(wire::TINY, 1);
    smallint: BOTH, integers(wire::SHORT, 2);
    mediumint: BOTH, integers(wire::INT24, 3);
    int: BOTH, integers(wire::LONG, 4);
    bigint: BOTH, integers(wire::LONGLONG, 8);
    bit_1_to_64: BOTH, bits();
    float: BOTH, vec![case(wire::FLOAT, 4).exact(floats())];
    double: BOTH, vec![case(wire::DOUBLE, 8).exact(doubles())];
    decimal: BOTH, decimals();
    year: BOTH, vec![case(wire::YEAR, 0).exact((0..=255).map(|year| vec![year]))];
    date: BOTH, dates();
    time_0_to_6: BOTH, times();
    datetime_0_to_6: BOTH, fractions(wire::DATETIME2, 5, &["8000000000", "ffffffffff"]);
    timestamp_0_to_6: BOTH, fractions(wire::TIMESTAMP2, 4, &["00000000"]);
    old_time: BOTH, vec![case(wire::TIME, 0).declared("time").exact(hex_cells(&["000000", "a7f57f", "590a80"])).raw(hex_cells(&["ffff7f", "3d0000"]))];
    old_datetime: BOTH, vec![case(wire::DATETIME, 0).declared("datetime").raw(hex_cells(&["0000000000000000", "ffffffffffffffff"]))];
    old_timestamp: BOTH, vec![case(wire::TIMESTAMP, 0).declared("timestamp").exact(hex_cells(&["01000000", "ffffff7f"])).raw(hex_cells(&["00000000"]))];
    enum_of_one_and_two_bytes: BOTH, enums();
    set_of_up_to_64: BOTH, sets();
    char_of_many_bytes: BOTH, chars();
    varchar: BOTH, vec![
        case(wire::VARCHAR, 255).collation(45).exact(texts(1, &["", "a ", "é😀\0"])).raw(vec![prefixed(1, b"\xff")]),
        case(wire::VARCHAR, 256).collation(255).exact(texts(2, &["", " ", "é"])),
        case(wire::VARCHAR, 65_532).collation(45).exact(texts(2, &[&"😀".repeat(16_000)])),
    ];
    text_of_every_size: BOTH, (1..=4).map(|bytes| {
        let texts = texts(usize::from(bytes), &["", "é\n", "😀 "]);
        case(wire::BLOB, bytes).collation(45).exact(texts)
    }).collect();
    binary: BOTH, vec![
        case(wire::STRING, 16).collation(63).exact(vec![prefixed(1, b""), prefixed(1, b"a"), prefixed(1, b"\0\0a")]).raw(vec![prefixed(1, b"a\0")]),
        case(wire::STRING, 255).collation(63).exact(vec![prefixed(1, b"x")]),
    ];
    varbinary: BOTH, vec![
        case(wire::VARCHAR, 255).collation(63).exact(vec![prefixed(1, b"a\0"), prefixed(1, b"")]),
        case(wire::VARCHAR, 3_000).collation(63).exact(vec![prefixed(2, b"a\0\xff")]),
    ];
    blob_of_every_size: BOTH, (1..=4).map(|bytes| {
        let prefix = usize::from(bytes);
        case(wire::BLOB, bytes).collation(63).exact(vec![prefixed(prefix, b"\0\xff"), prefixed(prefix, b"")])
    }).collect();
    geometry: BOTH, geometries();
    json: [MySql], vec![case(wire::JSON, 4).random(documents()).raw(vec![prefixed(4, b""), prefixed(4, b"\xff")])];
    vector_of_mysql: [MySql], vectors();
    vector_of_mariadb: [MariaDb], vec![case(wire::VARCHAR, 12).collation(63).declared("vector(3)").exact(vec![prefixed(1, &[0xff; 12])])];
    uuid: [MariaDb], vec![case(wire::STRING, 16).collation(63).declared("uuid").exact(vec![prefixed(1, &[0xff; 16]), prefixed(1, &[1; 16])]).raw(vec![prefixed(1, b"\x01\0")])];
    inet4: [MariaDb], vec![case(wire::STRING, 4).collation(63).declared("inet4").exact(vec![prefixed(1, &[127, 0, 0, 1])])];
    inet6: [MariaDb], vec![case(wire::STRING, 16).collation(63).declared("inet6").exact(vec![prefixed(1, &[0x20; 16])])];
    compressed_140: [MariaDb], compressed(wire::VARCHAR_COMPRESSED, &[200, 3_000]);
    compressed_141: [MariaDb], compressed(wire::BLOB_COMPRESSED, &[1, 2, 3, 4]);
    charset_armscii8: BOTH, charset(32);
    charset_ascii: BOTH, charset(11);
    charset_big5: BOTH, charset(1);
    charset_cp1250: BOTH, charset(26);
    charset_cp1251: BOTH, charset(51);
    charset_cp1256: BOTH, charset(57);
    charset_cp1257: BOTH, charset(59);
    charset_cp850: BOTH, charset(4);
    charset_cp852: BOTH, charset(40);
    charset_cp866: BOTH, charset(36);
    charset_cp932: BOTH, charset(95);
    charset_dec8: BOTH, charset(3);
    charset_eucjpms: BOTH, charset(97);
    charset_euckr: BOTH, charset(19);
    charset_gb18030: [MySql], charset(248);
    charset_gb2312: BOTH, charset(24);
    charset_gbk: BOTH, charset(28);
    charset_geostd8: BOTH, charset(92);
    charset_greek: BOTH, charset(25);
    charset_hebrew: BOTH, charset(16);
    charset_hp8: BOTH, charset(6);
    charset_keybcs2: BOTH, charset(37);
    charset_koi8r: BOTH, charset(7);
    charset_koi8u: BOTH, charset(22);
    charset_latin1: BOTH, charset(8);
    charset_latin2: BOTH, charset(9);
    charset_latin5: BOTH, charset(30);
    charset_latin7: BOTH, charset(41);
    charset_macce: BOTH, charset(38);
    charset_macroman: BOTH, charset(39);
    charset_sjis: BOTH, charset(13);
    charset_swe7: BOTH, charset(10);
    charset_tis620: BOTH, charset(18);
    charset_ucs2: BOTH, charset(35);
    charset_ujis: BOTH, charset(12);
    charset_utf16: BOTH, charset(54);
    charset_utf16le: BOTH, charset(56);
    charset_utf32: BOTH, charset(60);
    charset_utf8mb3: BOTH, charset(33);
    charset_utf8mb4: BOTH, charset(45);
    charset_unknown: BOTH, charset(9_999);
}

/// Every charset that a server ships has its test.
#[test]
fn no_charset_is_left_out() {
    let source = include_str!("types.rs");
    for charset in crate::schema::charset::Charset::ALL {
        let name = format!("{charset:?}").to_lowercase();
        let has_test = source.contains(&format!("    charset_{name}: "));
        assert!(has_test || name == "binary", "{name}");
    }
}
