//! UCS-2, UTF-16 and UTF-32, the big-endian ones and UTF-16LE.
//!
//! Each character has one form only, so decoding needs no check by encoding again.

use super::Charset;

/// Decodes; `None` for a cut unit, a lone surrogate or a code beyond Unicode.
pub(super) fn decode(charset: Charset, bytes: &[u8]) -> Option<String> {
    match charset {
        Charset::Ucs2 => units(bytes, u16::from_be_bytes)?
            .map(|unit| char::from_u32(u32::from(unit)))
            .collect(),
        Charset::Utf16 => utf16(units(bytes, u16::from_be_bytes)?),
        Charset::Utf16le => utf16(units(bytes, u16::from_le_bytes)?),
        _ => units(bytes, u32::from_be_bytes)?
            .map(char::from_u32)
            .collect(),
    }
}

/// Encodes; `None` for a character beyond the charset (UCS-2 ends at U+FFFF).
pub(super) fn encode(charset: Charset, text: &str) -> Option<Vec<u8>> {
    match charset {
        Charset::Ucs2 => {
            let fits = text.chars().all(|character| u32::from(character) <= 0xffff);
            fits.then(|| text.encode_utf16().flat_map(u16::to_be_bytes).collect())
        }
        Charset::Utf16 => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        Charset::Utf16le => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        _ => {
            let codes = text.chars().map(u32::from);
            Some(codes.flat_map(u32::to_be_bytes).collect())
        }
    }
}

/// Whole units of `N` bytes; `None` when bytes are left over.
fn units<const N: usize, T>(
    bytes: &[u8],
    unit: impl Fn([u8; N]) -> T,
) -> Option<impl Iterator<Item = T>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty()
        .then(|| chunks.iter().map(move |&chunk| unit(chunk)))
}

fn utf16(units: impl Iterator<Item = u16>) -> Option<String> {
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}
