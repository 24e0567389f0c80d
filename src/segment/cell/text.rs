//! Character sets: bytes of a column <-> UTF-8, only where nothing is lost.

/// Converts between a column's charset and UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextCodec {
    /// utf8mb3, utf8mb4.
    Utf8,
    /// ascii.
    Ascii,
    /// latin1, which is cp1252 with its five holes filled by C1 controls.
    Latin1,
    /// A charset without a codec: its text is kept as bytes only.
    Unknown,
}

impl TextCodec {
    /// The codec of a collation id.
    pub(super) fn of_collation(collation: u16) -> TextCodec {
        match collation {
            11 | 65 => TextCodec::Ascii,
            5 | 8 | 15 | 31 | 47 | 48 | 49 | 94 => TextCodec::Latin1,
            33 | 45 | 46 | 76 | 83 | 192..=215 | 223..=247 | 255..=323 => TextCodec::Utf8,
            _ => TextCodec::Unknown,
        }
    }

    /// The text of `bytes`, if encoding it gives `bytes` again.
    #[inline]
    pub(super) fn decode<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> Option<&'a str> {
        match self {
            TextCodec::Utf8 => std::str::from_utf8(bytes).ok(),
            TextCodec::Ascii => std::str::from_utf8(bytes).ok().filter(|t| t.is_ascii()),
            TextCodec::Latin1 => {
                if bytes.is_ascii() {
                    return std::str::from_utf8(bytes).ok();
                }
                scratch.clear();
                scratch.push_str(
                    &encoding_rs::WINDOWS_1252
                        .decode_without_bom_handling(bytes)
                        .0,
                );
                Some(scratch)
            }
            TextCodec::Unknown => None,
        }
    }

    /// Appends the bytes of a text; false when the charset lacks a character.
    pub(super) fn encode(self, text: &str, out: &mut Vec<u8>) -> bool {
        match self {
            TextCodec::Utf8 => out.extend_from_slice(text.as_bytes()),
            TextCodec::Ascii if text.is_ascii() => out.extend_from_slice(text.as_bytes()),
            TextCodec::Latin1 => {
                let (bytes, _, lossy) = encoding_rs::WINDOWS_1252.encode(text);
                out.extend_from_slice(&bytes);
                return !lossy;
            }
            TextCodec::Ascii | TextCodec::Unknown => return false,
        }
        true
    }
}
