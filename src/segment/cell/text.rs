//! Character sets: bytes of a column <-> UTF-8, only where nothing is lost.

use crate::schema::charset::{self, Charset, charset_of_collation};
use std::borrow::Cow;

/// Converts between a column's charset and UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextCodec {
    /// utf8mb3, utf8mb4: apart, because it is by far the most frequent.
    Utf8,
    /// Another charset.
    Charset(Charset),
    /// A collation id of no known charset: its text is kept as bytes only.
    Unknown,
}

impl TextCodec {
    /// The codec of a collation id.
    pub(super) fn of_collation(collation: u16) -> TextCodec {
        match charset_of_collation(collation) {
            Some(Charset::Utf8mb3 | Charset::Utf8mb4) => TextCodec::Utf8,
            Some(charset) => TextCodec::Charset(charset),
            None => TextCodec::Unknown,
        }
    }

    /// The text of `bytes`, if encoding it gives `bytes` again.
    #[inline]
    pub(super) fn decode<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> Option<&'a str> {
        match self {
            TextCodec::Utf8 => simdutf8::basic::from_utf8(bytes).ok(),
            TextCodec::Charset(charset) => match charset::decode_to_utf8(charset, bytes)? {
                Cow::Borrowed(text) => Some(text),
                Cow::Owned(text) => {
                    *scratch = text;
                    Some(scratch)
                }
            },
            TextCodec::Unknown => None,
        }
    }

    /// Appends the bytes of a text; false when the charset lacks a character.
    pub(super) fn encode(self, text: &str, out: &mut Vec<u8>) -> bool {
        let bytes = match self {
            TextCodec::Utf8 => Some(Cow::Borrowed(text.as_bytes())),
            TextCodec::Charset(charset) => charset::encode_from_utf8(charset, text),
            TextCodec::Unknown => None,
        };
        if let Some(bytes) = &bytes {
            out.extend_from_slice(bytes);
        }
        bytes.is_some()
    }
}
