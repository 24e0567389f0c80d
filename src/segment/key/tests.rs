//! Order of keys, and vectors that pin the encoding.

use super::*;
use crate::position::Flavor;
use crate::schema::{Column, wire};
use crate::segment::testing::{Cells, any_cell, column, every_column, image_of, plan};
use proptest::prelude::*;
use std::cmp::Ordering;

fn key_of(plan: &Arc<TablePlan>, cells: &Cells) -> (Vec<u8>, bool) {
    let image = image_of(plan.version().flavor, cells);
    let (mut ranges, mut key) = (Vec::new(), Vec::new());
    plan.layout().split(&image, &mut ranges).expect("split");
    let typed = KeyCodec::new(plan.clone()).encode_image(&image, &ranges, &mut key);
    (key, typed.expect("key"))
}

/// Order of two cells by their typed values, if both have one.
fn order(codec: &CellCodec, a: &[u8], b: &[u8]) -> Option<Ordering> {
    let (mut room_a, mut room_b) = (Scratch::default(), Scratch::default());
    let (a, b) = (codec.decode(a, &mut room_a), codec.decode(b, &mut room_b));
    if !a.exact || !b.exact {
        return None;
    }
    Some(match (a.value, b.value) {
        (Value::Int(a), Value::Int(b)) => a.cmp(&b),
        (Value::Decimal(a), Value::Decimal(b)) => a.cmp(&b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(&b),
        (Value::Double(a), Value::Double(b)) => a.total_cmp(&b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) | (Value::Vector(a), Value::Vector(b)) => a.cmp(b),
        _ => unreachable!("two kinds of values in one column"),
    })
}

proptest! {
    #[test]
    fn keys_order_as_typed_values(
        (index, a, b, c) in (0..every_column().len()).prop_flat_map(|index| {
            let cell = || any_cell(&every_column()[index]);
            (Just(index), cell(), cell(), any::<i8>())
        })
    ) {
        let columns = vec![every_column()[index].clone(), column("c", wire::TINY, 0)];
        let plan = plan(Flavor::MySql, columns, &[0, 1]);
        let key = |cell: &Vec<u8>, c: i8| key_of(&plan, &vec![Some(cell.clone()), Some(vec![c as u8])]);
        let ((key_a, typed_a), (key_b, typed_b)) = (key(&a, c), key(&b, 0));
        let codec = &plan.codecs()[0];
        if let Some(order) = order(codec, &a, &b) {
            prop_assert_eq!(key_a.cmp(&key_b), order.then(c.cmp(&0)));
        }
        // A raw part orders before every typed one, and NULL before both.
        if typed_a != typed_b {
            prop_assert_eq!(key_a < key_b, typed_b);
        }
        let (null, typed) = key_of(&plan, &vec![None, Some(vec![1])]);
        prop_assert!(typed && null < key_a && null < key_b);
        if a != b && !codec.is_canonical_by_value() {
            prop_assert_ne!(key(&a, 0).0, key(&b, 0).0);
        }
    }
}

/// One line a vector: column, cell in hex or `null`, key in hex. Never change a line.
#[test]
fn vectors_are_frozen() {
    let mut count = 0;
    for line in include_str!("vectors.txt").lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [name, cell, wanted] = parts.as_slice() else {
            panic!("malformed vector: {line}");
        };
        let column: Column = every_column()
            .into_iter()
            .find(|c| c.name == *name)
            .expect("column");
        let plan = plan(Flavor::MariaDb, vec![column], &[0]);
        let cell = (*cell != "null").then(|| hex::decode(cell).expect("hex"));
        assert_eq!(hex::encode(key_of(&plan, &vec![cell]).0), *wanted, "{line}");
        count += 1;
    }
    assert!(count >= 30);
}

#[test]
fn rows_without_a_key_go_by_their_canonical_row() {
    let columns = vec![
        column("a", wire::TIME2, 0),
        column("DB_ROW_HASH_1", wire::LONGLONG, 0),
        every_column()
            .into_iter()
            .find(|c| c.name == "decimal10_2")
            .expect("decimal"),
    ];
    let plan = plan(Flavor::MariaDb, columns, &[]);
    let row = |hash: u8, decimal: &str| -> Cells {
        vec![
            Some(vec![0x80, 0, 1]),
            Some(vec![hash; 8]),
            Some(hex::decode(decimal).expect("hex")),
        ]
    };
    let (zero, minus_zero) = ("8000000000", "7fffffffff");
    let (key, typed) = key_of(&plan, &row(1, zero));
    assert!(!typed);
    assert_eq!(key.len(), 16);
    assert_eq!(key, key_of(&plan, &row(2, minus_zero)).0);
    assert_ne!(key, key_of(&plan, &row(1, "8000000001")).0);
    let canonical = [&[2][..], &1_000_000i64.to_le_bytes(), &[3], &[0; 16]].concat();
    let hash = xxhash_rust::xxh3::xxh3_128(&canonical);
    assert_eq!(key, hash.to_be_bytes());
    assert_eq!(hex::encode(&key), "100eb2a37c16b0707052e670bdd2296e");
}
