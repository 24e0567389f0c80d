//! The columns of each test, with cells of them that are known.

use super::{Case, case, hex_cells, prefixed, texts};
use crate::change::json::{encode, tests::any_document};
use crate::schema::wire;
use crate::segment::testing::zlib_content;
use proptest::prelude::*;

pub(super) fn integers(wire_type: u8, bytes: usize) -> Vec<Case> {
    let high = |last: u8| {
        let mut cell = vec![0xff; bytes];
        cell[bytes - 1] = last;
        cell
    };
    let mut lowest = vec![0; bytes];
    lowest[bytes - 1] = 0x80;
    let edges = vec![vec![0; bytes], high(0xff), high(0x7f), lowest];
    let signed = case(wire_type, 0).exact(edges.clone());
    vec![signed, case(wire_type, 0).unsigned().exact(edges)]
}

pub(super) fn bits() -> Vec<Case> {
    (1..=64u16)
        .map(|bits| {
            let bytes = usize::from(bits.div_ceil(8));
            let ones = (u64::MAX >> (64 - bits)).to_be_bytes();
            let case = case(wire::BIT, ((bits / 8) << 8) | (bits % 8));
            let case = case.exact(vec![vec![0; bytes], ones[8 - bytes..].to_vec()]);
            match bits % 8 {
                0 => case,
                _ => case.raw(vec![vec![0xff; bytes]]),
            }
        })
        .collect()
}

/// Signs, infinities, the smallest, and NaN of every kind.
pub(super) fn floats() -> Vec<Vec<u8>> {
    let bits = [
        0,
        1 << 31,
        1,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
        0x7f80_0001,
        0xffff_ffff,
    ];
    bits.map(|bits: u32| bits.to_le_bytes().to_vec()).into()
}

pub(super) fn doubles() -> Vec<Vec<u8>> {
    let bits = [
        0,
        1 << 63,
        1,
        0x7ff0 << 48,
        0xfff0 << 48,
        0x7ff8 << 48,
        (0x7ff0 << 48) + 1,
        u64::MAX,
    ];
    bits.map(|bits: u64| bits.to_le_bytes().to_vec()).into()
}

/// All shapes; zero is exact, minus zero and too large a group are not.
pub(super) fn decimals() -> Vec<Case> {
    let shapes = (1..=65u16).flat_map(|p| (0..=p.min(30)).map(move |s| (p, s)));
    shapes
        .map(|(precision, scale)| {
            let size = crate::change::decimal_size(precision.into(), scale.into()) as usize;
            let mut zero = vec![0; size];
            zero[0] = 0x80;
            let minus = zero.iter().map(|b| !b).collect();
            case(wire::NEWDECIMAL, precision << 8 | scale)
                .exact(vec![zero])
                .raw(vec![minus, vec![0xff; size]])
        })
        .collect()
}

/// Year, month and day in 15, 4 and 5 bits.
pub(super) fn dates() -> Vec<Case> {
    let cell = |y: u32, m: u32, d: u32| (y << 9 | m << 5 | d).to_le_bytes()[..3].to_vec();
    let exact = [
        cell(1, 1, 1),
        cell(9999, 12, 31),
        cell(2024, 2, 29),
        cell(1582, 10, 10),
    ];
    let raw = [
        cell(0, 0, 0),
        cell(2024, 0, 15),
        cell(2024, 2, 0),
        cell(2023, 2, 30),
        cell(0, 1, 1),
        cell(2024, 15, 31),
    ];
    let of = |wire_type| case(wire_type, 0).exact(exact.clone()).raw(raw.clone());
    vec![of(wire::DATE), of(wire::NEWDATE)]
}

/// Both ends of the range and values next to zero; images that no server writes.
pub(super) fn times() -> Vec<Case> {
    (0..=6u16)
        .map(|digits| {
            let bytes = usize::from(digits.div_ceil(2));
            let cell = |whole: &str, fraction: u8| {
                let mut cell = hex::decode(whole).expect("hex");
                cell.resize(3 + bytes, fraction);
                cell
            };
            // 838:59:59, its negative, zero, one second below it, 62 seconds.
            case(wire::TIME2, digits)
                .exact(vec![
                    cell("b46efb", 0),
                    cell("800000", 0),
                    cell("7fffff", 0),
                ])
                .raw(vec![cell("80003e", 0)])
        })
        .collect()
}

/// A type with fractions; these images have no typed form.
pub(super) fn fractions(wire_type: u8, bytes: usize, raw: &[&str]) -> Vec<Case> {
    (0..=6u16)
        .map(|digits| {
            let raw = hex_cells(raw).into_iter().map(|mut cell| {
                cell.resize(bytes + usize::from(digits.div_ceil(2)), 0);
                cell
            });
            case(wire_type, digits).raw(raw)
        })
        .collect()
}

/// Number 0 and numbers outside of the list; labels that occur twice.
pub(super) fn enums() -> Vec<Case> {
    let many: Vec<Vec<u8>> = (1..=300).map(|n| format!("l{n}").into_bytes()).collect();
    let few = ["red", "é", "", "red"]
        .map(|l| l.as_bytes().to_vec())
        .to_vec();
    vec![
        case(wire::ENUM, 1)
            .collation(45)
            .labels(few)
            .exact(vec![vec![2], vec![3]])
            .raw(vec![vec![0], vec![5], vec![255]]),
        case(wire::ENUM, 2)
            .collation(45)
            .labels(many)
            .exact(vec![vec![1, 0], vec![0x2c, 1]])
            .raw(vec![vec![0, 0], vec![0x2d, 1], vec![0xff, 0xff]]),
    ]
}

pub(super) fn sets() -> Vec<Case> {
    (1..=8usize)
        .map(|bytes| {
            let members = bytes * 8 - 1;
            let labels = (0..members).map(|n| format!("m{n}").into_bytes()).collect();
            let mut top = vec![0; bytes];
            top[bytes - 1] = 0x40;
            case(wire::SET, bytes as u16)
                .collation(45)
                .labels(labels)
                .exact(vec![vec![0; bytes], top])
                .raw(vec![vec![0xff; bytes]])
        })
        .chain([case(wire::SET, 8)
            .collation(45)
            .labels((0..64).map(|n| format!("m{n}").into_bytes()).collect())
            .exact(vec![vec![0xff; 8], vec![0, 0, 0, 0, 0, 0, 0, 0x80]])])
        .collect()
}

pub(super) fn chars() -> Vec<Case> {
    vec![
        case(wire::STRING, 40)
            .collation(45)
            .exact(texts(1, &["", "a b", "é😀"]))
            .raw(vec![prefixed(1, b"\xc3")]),
        case(wire::STRING, 1_020)
            .collation(255)
            .exact(texts(2, &["", &"😀".repeat(255)])),
    ]
}

pub(super) fn geometries() -> Vec<Case> {
    let point = |srid: u32| {
        let wkb = hex::decode("0101000000000000000000f03f0000000000000040").expect("hex");
        prefixed(4, &[&srid.to_le_bytes()[..], &wkb].concat())
    };
    vec![case(wire::GEOMETRY, 4).exact(vec![point(0)]).raw(vec![
        point(4_326),
        prefixed(4, b""),
        prefixed(4, b"abc"),
    ])]
}

/// Trees, and trees with the slack that updates in place leave.
pub(super) fn documents() -> BoxedStrategy<Vec<u8>> {
    (any_document(), prop::collection::vec(any::<u8>(), 0..4))
        .prop_map(|(tree, slack)| {
            let image = encode(&tree).unwrap_or_default();
            prefixed(4, &[image, slack].concat())
        })
        .boxed()
}

pub(super) fn vectors() -> Vec<Case> {
    let vector = |dimension: u32| {
        let mut case = case(wire::VECTOR, 4);
        case.column.vector_dimension = Some(dimension);
        let bytes = 4 * dimension as usize;
        case.exact(vec![
            prefixed(4, &vec![0xff; bytes]),
            prefixed(4, &vec![0; bytes]),
        ])
        .raw(vec![prefixed(4, &[0; 2])])
    };
    vec![vector(1), vector(3), vector(768)]
}

/// Plain and deflated content, and content of no known method.
pub(super) fn compressed(wire_type: u8, sizes: &[u16]) -> Vec<Case> {
    let cases = sizes.iter().flat_map(|size| {
        let prefix = match (wire_type, size) {
            (wire::BLOB_COMPRESSED, size) => usize::from(*size),
            (_, 256..) => 2,
            _ => 1,
        };
        [45, 63].map(|collation| {
            case(wire_type, *size)
                .collation(collation)
                .exact(vec![prefixed(prefix, b""), prefixed(prefix, b"\0plain")])
                .raw(vec![
                    prefixed(prefix, &zlib_content(&[b'x'; 100])),
                    prefixed(prefix, b"\x90what"),
                    prefixed(prefix, b"\0"),
                ])
        })
    });
    cases.collect()
}

/// CHAR, VARCHAR, TEXT, ENUM and SET with random bytes as content and as labels.
pub(super) fn charset(collation: u16) -> Vec<Case> {
    let bytes = |prefix: usize| {
        let content = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(prop_oneof![0x20u8..0x7f, 0x80u8..=0xff], 0..40),
            // Two and four bytes a character.
            prop::collection::vec((Just(0u8), any::<u8>()), 0..12)
                .prop_map(|pairs| pairs.into_iter().flat_map(|(a, b)| [a, b]).collect()),
            prop::collection::vec(any::<u16>(), 0..9).prop_map(|all| all
                .into_iter()
                .flat_map(|c| [0, 0].into_iter().chain(c.to_be_bytes()))
                .collect()),
        ];
        content
            .prop_map(move |content: Vec<u8>| prefixed(prefix, &content))
            .boxed()
    };
    let labels: Vec<Vec<u8>> = [
        &b"plain"[..],
        b"\xe4\xf6",
        b"\x81\x40",
        b"\0a",
        b"\0\0\0b",
        b"\xff",
        b"",
        b"\x8e\xa1\xb1",
        b"\xf0\x9f\x8c\x8a",
    ]
    .map(<[u8]>::to_vec)
    .into();
    vec![
        case(wire::STRING, 60).collation(collation).random(bytes(1)),
        case(wire::STRING, 1_020)
            .collation(collation)
            .random(bytes(2)),
        case(wire::VARCHAR, 200)
            .collation(collation)
            .random(bytes(1)),
        case(wire::VARCHAR, 2_000)
            .collation(collation)
            .random(bytes(2)),
        case(wire::BLOB, 2).collation(collation).random(bytes(2)),
        case(wire::BLOB, 4).collation(collation).random(bytes(4)),
        case(wire::ENUM, 1)
            .collation(collation)
            .labels(labels.clone()),
        case(wire::SET, 2).collation(collation).labels(labels),
    ]
}
