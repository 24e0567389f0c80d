//! The three forms of a document against each other, on random and on forged input.

use super::decode::Layout;
use super::*;
use crate::schema::wire;
use proptest::prelude::*;

fn decimal() -> impl Strategy<Value = JsonTree> {
    let text = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,12})?";
    (text, 0..10u8).prop_map(|(text, wider)| {
        let negative_zero =
            text.starts_with('-') && !text.contains(['1', '2', '3', '4', '5', '6', '7', '8', '9']);
        let text = if negative_zero {
            text.replace('-', "")
        } else {
            text
        };
        let decimal = JsonDecimal::parse(&text).expect("decimal text");
        JsonTree::Decimal(decimal.widened(wider))
    })
}

fn temporal() -> impl Strategy<Value = JsonTree> {
    let texts = prop_oneof![
        (0..=9999, 0..=12, 0..=31)
            .prop_map(|(y, m, d)| (TemporalKind::Date, format!("{y:04}-{m:02}-{d:02}"))),
        (any::<bool>(), 0..=838, 0..=59, 0..=999_999).prop_map(|(minus, h, m, f)| (
            TemporalKind::Time,
            // No -00:00:00.000000: the server has none either.
            format!("{}{h:02}:{m:02}:07.{f:06}", if minus { "-" } else { "" })
        )),
        (0..=9999, 0..=23, 0..=999_999, any::<bool>()).prop_map(|(y, h, f, stamp)| (
            if stamp {
                TemporalKind::Timestamp
            } else {
                TemporalKind::DateTime
            },
            format!("{y:04}-02-30 {h:02}:59:00.{f:06}")
        )),
    ];
    texts.prop_map(|(kind, text)| {
        JsonTree::Temporal(JsonTemporal::parse(kind, &text).expect("temporal text"))
    })
}

fn plain_scalar() -> impl Strategy<Value = JsonTree> {
    prop_oneof![
        Just(JsonTree::Null),
        any::<bool>().prop_map(JsonTree::Bool),
        any::<i16>().prop_map(|v| JsonTree::Int(v.into())),
        any::<i32>().prop_map(|v| JsonTree::Int(v.into())),
        any::<i64>().prop_map(|v| JsonTree::Int(v.min(u32::MAX.into()))),
        any::<u64>().prop_map(|v| JsonTree::Uint(v.max(1 << 32))),
        any::<f64>()
            .prop_filter("finite", |v| v.is_finite())
            .prop_map(JsonTree::Double),
        "\\PC{0,200}".prop_map(JsonTree::String),
        "[\\x00-\\x7f]{0,20}".prop_map(JsonTree::String),
        (0..40_000usize).prop_map(|length| JsonTree::String("x".repeat(length))),
    ]
}

fn any_scalar() -> impl Strategy<Value = JsonTree> {
    prop_oneof![
        4 => plain_scalar(),
        1 => any::<i64>().prop_map(JsonTree::Int),
        1 => any::<u64>().prop_map(JsonTree::Uint),
        1 => (0..70_000u64).prop_map(JsonTree::Uint),
        1 => decimal(),
        1 => temporal(),
        1 => (
            prop_oneof![Just(wire::BIT), Just(wire::BLOB), Just(wire::VARCHAR), Just(wire::GEOMETRY)],
            prop::collection::vec(any::<u8>(), 0..200)
        ).prop_map(|(field_type, data)| JsonTree::Opaque { field_type, data }),
    ]
}

fn document(scalar: impl Strategy<Value = JsonTree> + 'static) -> impl Strategy<Value = JsonTree> {
    scalar.prop_recursive(5, 60, 12, |inner| {
        let key = prop_oneof!["[a-c]{0,2}", "\\PC{0,9}", Just("k".repeat(300))];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(JsonTree::Array),
            prop::collection::vec((key, inner), 0..12)
                .prop_map(|members| JsonTree::Object(JsonObject::from_members(members))),
        ]
    })
}

/// Documents of every type that a server can store.
pub(crate) fn any_document() -> BoxedStrategy<JsonTree> {
    document(any_scalar()).boxed()
}

/// The server's own way: small format first, everything again in the large one on overflow.
fn serialize_like_the_server(tree: &JsonTree) -> Vec<u8> {
    fn value(tree: &JsonTree, small_parent: bool, out: &mut Vec<u8>) -> Option<u8> {
        let kind = |large| match (tree, large) {
            (JsonTree::Array(_), false) => Some(2),
            (JsonTree::Array(_), true) => Some(3),
            (JsonTree::Object(_), false) => Some(0),
            (JsonTree::Object(_), true) => Some(1),
            _ => None,
        };
        let Some(small) = kind(false) else {
            let image = encode(tree).expect("scalar");
            out.extend_from_slice(&image[1..]);
            return Some(image[0]);
        };
        let start = out.len();
        if container(tree, false, out).is_some() {
            return Some(small);
        }
        out.truncate(start);
        if small_parent {
            return None;
        }
        container(tree, true, out)?;
        kind(true)
    }

    fn put(layout: Layout, out: &mut [u8], at: usize, offset: usize) -> Option<()> {
        let width = layout.offset_bytes();
        if !layout.large && offset > 0xffff {
            return None;
        }
        out[at..at + width].copy_from_slice(&offset.to_le_bytes()[..width]);
        Some(())
    }

    fn container(tree: &JsonTree, large: bool, out: &mut Vec<u8>) -> Option<()> {
        let layout = Layout { large };
        let (keys, values): (Vec<&str>, Vec<&JsonTree>) = match tree {
            JsonTree::Object(o) => o.members().iter().map(|(k, v)| (k.as_str(), v)).unzip(),
            JsonTree::Array(a) => (Vec::new(), a.iter().collect()),
            _ => unreachable!(),
        };
        let object = matches!(tree, JsonTree::Object(_));
        let (start, count) = (out.len(), values.len());
        let header = layout.header_bytes(count, object)?;
        out.resize(start + header, 0);
        put(layout, out, start, count)?;
        let mut at = start + layout.offset_bytes() * 2;
        let mut key_offset = header;
        for key in &keys {
            put(layout, out, at, key_offset)?;
            at += layout.offset_bytes();
            out[at..at + 2].copy_from_slice(&(key.len() as u16).to_le_bytes());
            at += 2;
            key_offset += key.len();
        }
        keys.iter()
            .for_each(|key| out.extend_from_slice(key.as_bytes()));
        for child in values {
            let scalar = encode(child).ok().filter(|image| layout.inlines(image[0]));
            if let Some(image) = scalar {
                let wide: Vec<u8> = match child {
                    JsonTree::Int(v) => v.to_le_bytes().to_vec(),
                    JsonTree::Uint(v) => v.to_le_bytes().to_vec(),
                    _ => [image[1], 0, 0, 0].to_vec(),
                };
                out[at] = image[0];
                let width = layout.offset_bytes();
                out[at + 1..at + 1 + width].copy_from_slice(&wide[..width]);
            } else {
                let offset = out.len() - start;
                put(layout, out, at + 1, offset)?;
                out[at] = value(child, !large, out)?;
            }
            at += layout.value_entry_bytes();
        }
        let size = out.len() - start;
        put(layout, out, start + layout.offset_bytes(), size)
    }

    let mut out = vec![0];
    out[0] = value(tree, false, &mut out).expect("fits the large format");
    out
}

fn exact_by_definition(image: &[u8]) -> bool {
    let tree = decode(image).ok();
    let again = tree.and_then(|tree| from_text(&to_text(&tree)).ok());
    again
        .and_then(|tree| encode(&tree).ok())
        .is_some_and(|bytes| bytes == image)
}

/// What the server would answer to [`json_types_expr`] for a tree.
fn type_list(tree: &JsonTree) -> String {
    fn name(tree: &JsonTree) -> &'static str {
        match tree {
            JsonTree::Uint(_) => "UNSIGNED INTEGER",
            JsonTree::Decimal(_) => "DECIMAL",
            JsonTree::Temporal(t) => match t.kind {
                TemporalKind::Date => "DATE",
                TemporalKind::Time => "TIME",
                TemporalKind::DateTime => "DATETIME",
                TemporalKind::Timestamp => "TIMESTAMP",
            },
            JsonTree::Opaque { .. } => "BLOB",
            _ => "STRING",
        }
    }
    fn visit(tree: &JsonTree, lists: &mut [(usize, Vec<String>); 2]) {
        let (list, children): (usize, Vec<&JsonTree>) = match tree {
            JsonTree::Object(o) => (0, o.members().iter().map(|(_, v)| v).collect()),
            JsonTree::Array(a) => (1, a.iter().collect()),
            _ => return,
        };
        for child in &children {
            lists[list].0 += 1;
            let ordinal = lists[list].0;
            if name(child) != "STRING" {
                lists[list]
                    .1
                    .push(format!("\"{ordinal}\": \"{}\"", name(child)));
            }
        }
        children.iter().for_each(|child| visit(child, lists));
    }
    let mut lists = Default::default();
    visit(tree, &mut lists);
    let [members, elements] = lists.map(|(_, types)| types.join(", "));
    format!("[\"{}\", {{{members}}}, {{{elements}}}]", name(tree))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn encode_is_undone_by_decode_and_equals_the_server_algorithm(tree in document(any_scalar())) {
        let image = encode(&tree).expect("encode");
        prop_assert_eq!(&decode(&image).expect("decode"), &tree);
        prop_assert_eq!(&serialize_like_the_server(&tree), &image);
        prop_assert_eq!(is_exact(&image), exact_by_definition(&image));
        // Canonical rows rely on it.
        prop_assert!(!is_exact(&image) || canonical(&image).expect("a document") == image);
        let canonical_image = canonical(&image).expect("canonical");
        prop_assert_eq!(decode(&canonical_image).expect("decode canonical"), tree);
        prop_assert_eq!(&canonical(&canonical_image).expect("again"), &canonical_image);
    }

    #[test]
    fn text_of_plain_documents_is_exact(tree in document(plain_scalar())) {
        let image = encode(&tree).expect("encode");
        let mut text = String::from("kept ");
        prop_assert!(text_if_exact(&image, &mut text, &mut JsonKeys::default()));
        prop_assert_eq!(&text[5..], to_text(&tree));
        prop_assert_eq!(from_text(&text[5..]).expect("parse"), tree);
    }

    /// What is kept of one document changes nothing about another, a damaged one included.
    #[test]
    fn kept_keys_change_no_answer(
        documents in prop::collection::vec((document(plain_scalar()), any::<u16>(), any::<u8>()), 1..5)
    ) {
        let mut keys = JsonKeys::default();
        let images: Vec<Vec<u8>> =
            documents.iter().map(|(tree, _, _)| encode(tree).expect("encode")).collect();
        for (image, (_, at, byte)) in images.iter().zip(&documents) {
            let mut damaged = image.clone();
            let at = usize::from(*at) % damaged.len();
            damaged[at] = *byte;
            // Twice: the second time what the first has kept is used.
            for image in [image, &damaged, image, image, &damaged] {
                let (mut with, mut without) = (String::new(), String::new());
                let kept = text_if_exact(image, &mut with, &mut keys);
                let fresh = text_if_exact(image, &mut without, &mut JsonKeys::default());
                prop_assert_eq!((kept, with), (fresh, without));
            }
        }
    }

    #[test]
    fn text_and_types_give_the_tree(tree in document(any_scalar())) {
        let types = type_list(&tree);
        let again = from_text_with_types(&to_text(&tree), &types).expect("join");
        prop_assert_eq!(again, tree);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let exact = is_exact(&bytes);
        prop_assert_eq!(exact, exact_by_definition(&bytes));
        if let Ok(tree) = decode(&bytes) {
            let _ = to_text(&tree);
            let image = encode(&tree).expect("encode what was decoded");
            prop_assert!(image.len() <= 4 * bytes.len() + 2);
        }
    }

    #[test]
    fn flipped_bytes_never_panic(
        tree in document(any_scalar()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        small_values in any::<bool>(),
    ) {
        let mut image = encode(&tree).expect("encode");
        // Structure sits at the front; data in the middle is dull.
        let front = image.len().min(64);
        for (index, byte) in flips {
            let at = index.index(front);
            image[at] = if small_values { byte & 0x0f } else { byte };
        }
        prop_assert_eq!(is_exact(&image), exact_by_definition(&image));
        prop_assert!(!is_exact(&image) || canonical(&image).is_ok_and(|c| c == image));
        let shorter = &image[..cut.index(image.len())];
        prop_assert_eq!(is_exact(shorter), exact_by_definition(shorter));
        let _ = canonical(&image);
    }

    #[test]
    fn random_text_never_panics(text in "[\\[\\]{}:,\"\\\\ue0-9.+\\-tfn a]{0,60}") {
        let _ = from_text(&text);
        let _ = from_text_with_types(&text, "[\"ARRAY\", null, {\"1\": \"DECIMAL\"}]");
        let _ = from_text_with_types("[1.5]", &text);
    }
}

#[test]
fn every_prefix_of_an_image_is_refused() {
    let image =
        encode(&from_text("{\"a\": [1, 70000, \"x\", null, 1e300], \"b\": {}}").expect("text"));
    let image = image.expect("encode");
    for length in 1..image.len() {
        assert!(decode(&image[..length]).is_err(), "{length}");
    }
    assert_eq!(decode(&[]).expect("empty is null"), JsonTree::Null);
    assert!(!is_exact(&[]));
}

#[test]
fn values_over_one_another_are_refused() {
    // An array whose elements all point at the next array doubles its size per level.
    let level = |offset: u8| [2, 0, 20, 0, 2, offset, 0, 2, offset, 0];
    let mut image = vec![2];
    image.extend_from_slice(&level(10));
    image.extend_from_slice(&level(10));
    let error = decode(&image).expect_err("overlap");
    assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
    assert!(!is_exact(&image));
}

#[test]
fn depth_is_limited_like_on_the_server() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let deepest = from_text(&nested(100)).expect("100 levels");
    let image = encode(&deepest).expect("encode");
    assert_eq!(decode(&image).expect("decode"), deepest);
    assert!(is_exact(&image));
    assert!(from_text(&nested(101)).is_err());
    assert!(encode(&JsonTree::Array(vec![deepest])).is_err());

    // 101 levels by hand: each array holds one array four bytes and one entry further on.
    let mut deep = vec![2u8];
    for level in 0..101u16 {
        let size = 4 + 7 * (100 - level);
        deep.extend_from_slice(&(u16::from(level < 100)).to_le_bytes());
        deep.extend_from_slice(&size.to_le_bytes());
        if level < 100 {
            deep.extend_from_slice(&[2, 7, 0]);
        }
    }
    assert!(decode(&deep).is_err());
    assert!(!is_exact(&deep));
}

#[test]
fn doubles_print_as_on_the_server() {
    // Left column sent to MySQL 9.7 as text, right column what SELECT printed.
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (1e14, "100000000000000.0"),
        (1e15, "1e15"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (1.5e300, "1.5e300"),
        (12345678901234567890.0, "1.2345678901234567e19"),
        (1234567890123456.7, "1234567890123456.8"),
        (1e-7, "0.0000001"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (2f64.powi(-25), "0.000000029802322387695312"),
    ];
    for (value, text) in cases {
        assert_eq!(to_text(&JsonTree::Double(value)), text);
        assert_eq!(from_text(text).expect(text), JsonTree::Double(value));
    }
}

#[test]
fn numbers_are_typed_like_on_the_server() {
    let cases = [
        ("-0", JsonTree::Int(0)),
        ("4294967295", JsonTree::Int(4_294_967_295)),
        ("4294967296", JsonTree::Uint(4_294_967_296)),
        ("18446744073709551615", JsonTree::Uint(u64::MAX)),
        (
            "18446744073709551616",
            JsonTree::Double(18_446_744_073_709_551_616.0),
        ),
        ("-9223372036854775808", JsonTree::Int(i64::MIN)),
        (
            "-9223372036854775809",
            JsonTree::Double(-9_223_372_036_854_775_808.0),
        ),
        ("1E2", JsonTree::Double(100.0)),
    ];
    for (text, tree) in cases {
        assert_eq!(from_text(text).expect(text), tree);
    }
    for text in [
        "",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e400",
        "-",
        "1 2",
        "nul",
        "[1,]",
        "{\"a\":1,}",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\n\"",
        "'a'",
    ] {
        assert!(from_text(text).is_err(), "{text}");
    }
}

#[test]
fn last_of_equal_keys_stays_and_keys_are_ordered() {
    let tree = from_text(r#"{"bb": 1, "a": 2, "bb": 3, "": 4, "aa": 5, "a": 6}"#).expect("text");
    assert_eq!(to_text(&tree), r#"{"": 4, "a": 6, "aa": 5, "bb": 3}"#);
}

#[test]
fn escapes_are_the_servers() {
    let text = "\"\\b\\t\\n\\f\\r\\\"\\\\/\\u0000\\u001f\u{7f}\u{fffd}😀\"";
    assert_eq!(to_text(&from_text(text).expect("text")), text);
    let pair = from_text("\"\\ud83d\\ude00\"").expect("pair");
    assert_eq!(pair, JsonTree::String("😀".into()));
}

#[test]
fn slack_of_in_place_updates_goes_in_the_canonical_form() {
    // {"a": "xy"} after an in-place update of a longer string: the object keeps its size.
    let image = [
        0, 1, 0, 18, 0, 11, 0, 1, 0, 12, 12, 0, b'a', 2, b'x', b'y', b'o', b'l', b'd',
    ];
    let tree = decode(&image).expect("slack is skipped");
    assert_eq!(to_text(&tree), r#"{"a": "xy"}"#);
    assert!(!is_exact(&image));
    let fresh = canonical(&image).expect("canonical");
    assert!(fresh.len() < image.len());
    assert!(is_exact(&fresh));
}

#[test]
fn type_lists_that_do_not_fit_are_refused() {
    let join = from_text_with_types;
    assert_eq!(
        join(
            "[5, \"2024-01-02\"]",
            r#"["ARRAY", null, {"1": "UNSIGNED INTEGER", "2": "DATE"}]"#
        )
        .expect("fits"),
        JsonTree::Array(vec![
            JsonTree::Uint(5),
            JsonTree::Temporal(
                JsonTemporal::parse(TemporalKind::Date, "2024-01-02").expect("date")
            ),
        ])
    );
    for (text, types) in [
        ("[5]", r#"["ARRAY", null, {"2": "DECIMAL"}]"#),
        ("[5]", r#"["ARRAY", {"1": "DECIMAL"}, null]"#),
        ("[5]", r#"["ARRAY", null]"#),
        ("[5]", r#"[null, null, null]"#),
        ("[5]", r#"["ARRAY", null, {"1": "DATE"}]"#),
        ("[\"x\"]", r#"["ARRAY", null, {"1": "BLOB"}]"#),
        ("[\"x\"]", r#"["ARRAY", null, {"1": "DECIMAL"}]"#),
        ("[true]", r#"["ARRAY", null, {"1": "DECIMAL"}]"#),
        ("5", r#"["DATE", null, null]"#),
        ("5", "null"),
    ] {
        assert!(join(text, types).is_err(), "{text} {types}");
    }
}
