//! Every charset in both directions, and the pin that freezes the codecs.

use super::*;
use proptest::prelude::*;

/// All one- and two-byte texts, and a spread of the longer forms of EUC-JP and GB18030.
fn samples(charset: Charset) -> impl Iterator<Item = Vec<u8>> {
    let width = usize::from(charset.min_len());
    let pad = move |bytes: &[u8]| {
        let mut padded = vec![0; width.saturating_sub(bytes.len())];
        padded.extend_from_slice(bytes);
        padded
    };
    let one = (0..=255u8).map(move |byte| pad(&[byte]));
    let two = (0x80..=0xffffu16).map(move |code| pad(&code.to_be_bytes()));
    let longer = (0xa1a1..=0xfefeu16).flat_map(|code| {
        let [a, b] = code.to_be_bytes();
        [
            vec![0x8f, a, b],
            vec![0x81 + a % 4, 0x30 + b % 10, a, 0x30 + a % 10],
        ]
    });
    one.chain(two).chain(longer)
}

#[test]
fn what_is_decoded_comes_back_exactly() {
    for charset in Charset::ALL {
        let mut decoded = 0;
        for bytes in samples(charset) {
            if let Some(text) = decode_to_utf8(charset, &bytes) {
                let again = encode_from_utf8(charset, &text).expect("encode what was decoded");
                assert_eq!(*again, *bytes, "{charset:?} {text}");
                decoded += 1;
            }
        }
        assert!(decoded >= 117, "{charset:?} decoded {decoded} samples only");
    }
}

/// Files of format version 1 were written with these mappings: when this fails, a dependency
/// changed its tables, and the old ones must be brought into this folder.
#[test]
fn mappings_are_frozen() {
    let mut pins = String::new();
    for charset in Charset::ALL {
        let mut crc = crc32fast::Hasher::new();
        for bytes in samples(charset) {
            let text = decode_to_utf8(charset, &bytes);
            crc.update(text.as_deref().unwrap_or("\u{0}none").as_bytes());
            crc.update(b"\n");
        }
        pins.push_str(&format!("{} {:08x}\n", charset.name(), crc.finalize()));
    }
    assert_eq!(pins, include_str!("frozen.txt"));
}

#[test]
fn known_texts() {
    let cases: [(Charset, &[u8], &str); 12] = [
        (Charset::Utf8mb4, "é😀".as_bytes(), "é😀"),
        (Charset::Latin1, b"\x80\x81\xe9\xff", "€\u{81}éÿ"),
        (Charset::Latin2, b"\xb1\xe6", "ąć"),
        (Charset::Cp1251, b"\xcf\xf0\xe8", "При"),
        (Charset::Koi8r, b"\xf0\xd2\xc9", "При"),
        (Charset::Swe7, b"@[a", "ÉÄa"),
        (Charset::Gbk, b"\xd6\xd0\x81\x5c", "中乗"),
        (Charset::Big5, b"\xa4\xa4", "中"),
        (Charset::Sjis, b"\x93\xfa\x5c\xb1", "日\\ｱ"),
        (Charset::Ucs2, b"\x00a\x4e\x2d", "a中"),
        (Charset::Utf16le, b"\x3d\xd8\x00\xde", "😀"),
        (Charset::Utf32, b"\x00\x01\xf6\x00", "😀"),
    ];
    for (charset, bytes, text) in cases {
        assert_eq!(
            decode_to_utf8(charset, bytes).as_deref(),
            Some(text),
            "{charset:?}"
        );
        assert_eq!(
            encode_from_utf8(charset, text).as_deref(),
            Some(bytes),
            "{charset:?}"
        );
    }
}

#[test]
fn what_is_not_text_is_refused() {
    let cases: [(Charset, &[u8]); 10] = [
        (Charset::Utf8mb4, b"\xed\xa0\x80"),
        (Charset::Utf8mb4, b"\xc0\x80"),
        (Charset::Ascii, b"\x80"),
        (Charset::Ucs2, b"\x00"),
        (Charset::Ucs2, b"\xd8\x00"),
        (Charset::Utf16, b"\xd8\x00\x00a"),
        (Charset::Utf32, b"\x00\x11\x00\x00"),
        (Charset::Gbk, b"\x81"),
        (Charset::Hebrew, b"\xa1"),
        // Two codes of ARMSCII-8 for one parenthesis.
        (Charset::Armscii8, b"\xa4"),
    ];
    for (charset, bytes) in cases {
        assert_eq!(
            decode_to_utf8(charset, bytes),
            None,
            "{charset:?} {bytes:x?}"
        );
    }
    assert_eq!(encode_from_utf8(Charset::Latin1, "中"), None);
    assert_eq!(encode_from_utf8(Charset::Ucs2, "😀"), None);
    assert_eq!(encode_from_utf8(Charset::Swe7, "["), None);
    assert_eq!(encode_from_utf8(Charset::Ascii, "é"), None);
}

#[test]
fn ascii_text_is_borrowed() {
    for charset in [
        Charset::Utf8mb4,
        Charset::Ascii,
        Charset::Latin1,
        Charset::Gbk,
    ] {
        let text = decode_to_utf8(charset, b"plain").expect("ascii");
        assert!(matches!(text, Cow::Borrowed(_)), "{charset:?}");
        let bytes = encode_from_utf8(charset, "plain").expect("ascii");
        assert!(matches!(bytes, Cow::Borrowed(_)), "{charset:?}");
    }
}

#[test]
fn collations_of_both_flavors() {
    let cases = [
        (1, Charset::Big5),
        (8, Charset::Latin1),
        (33, Charset::Utf8mb3),
        (45, Charset::Utf8mb4),
        (63, Charset::Binary),
        (255, Charset::Utf8mb4),
        (309, Charset::Utf8mb4),
        (250, Charset::Gb18030),
        (576, Charset::Utf8mb3),
        (1032, Charset::Latin1),
        (1070, Charset::Utf8mb4),
        (2048, Charset::Utf8mb3),
        (2304, Charset::Utf8mb4),
        (3271, Charset::Utf32),
    ];
    for (id, charset) in cases {
        assert_eq!(charset_of_collation(id), Some(charset), "{id}");
    }
    for id in [0, 17, 100, 254, 324, 1024, 1041, 3328, u16::MAX] {
        assert_eq!(charset_of_collation(id), None, "{id}");
    }
}

#[test]
fn names_are_unique_and_found() {
    for charset in Charset::ALL {
        assert_eq!(Charset::from_name(charset.name()), Some(charset));
    }
    assert_eq!(Charset::from_name("utf8"), Some(Charset::Utf8mb3));
    assert_eq!(Charset::from_name("ebcdic"), None);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_exact_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for charset in Charset::ALL {
            if let Some(text) = decode_to_utf8(charset, &bytes) {
                let again = encode_from_utf8(charset, &text);
                prop_assert_eq!(again.as_deref(), Some(bytes.as_slice()), "{:?}", charset);
            }
        }
    }

    #[test]
    fn any_text_is_exact_or_refused(text in "\\PC{0,20}") {
        for charset in Charset::ALL {
            if let Some(bytes) = encode_from_utf8(charset, &text) {
                // Encoders of East Asian charsets fold look-alikes; then decoding refuses or
                // gives the canonical character, whose bytes are the same.
                if let Some(again) = decode_to_utf8(charset, &bytes) {
                    let twice = encode_from_utf8(charset, &again);
                    prop_assert_eq!(twice.as_deref(), Some(&*bytes), "{:?}", charset);
                }
            }
        }
    }
}
