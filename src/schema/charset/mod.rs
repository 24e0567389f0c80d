//! Character sets: collation ids, and text to and from UTF-8 where that is exact.
//!
//! A text column is stored as UTF-8 when, and only when, the UTF-8 leads back to the very bytes
//! of the row image: [`decode_to_utf8`] answers `None` for everything else, and the cell is then
//! kept as bytes.
//!
//! **The codecs are frozen with the format version.** A file written today must be turned back
//! into the same bytes by every later version. The single-byte tables are our own; the East
//! Asian charsets come from `encoding_rs`, and a test pins a digest of every mapping in use.

mod collation;
mod multibyte;
mod tables;
#[cfg(test)]
mod tests;
mod unicode;

pub use collation::charset_of_collation;

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tables::High;

/// A character set of MySQL or MariaDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Charset {
    Armscii8,
    Ascii,
    Big5,
    Binary,
    Cp1250,
    Cp1251,
    Cp1256,
    Cp1257,
    Cp850,
    Cp852,
    Cp866,
    Cp932,
    Dec8,
    Eucjpms,
    Euckr,
    Gb18030,
    Gb2312,
    Gbk,
    Geostd8,
    Greek,
    Hebrew,
    Hp8,
    Keybcs2,
    Koi8r,
    Koi8u,
    Latin1,
    Latin2,
    Latin5,
    Latin7,
    Macce,
    Macroman,
    Sjis,
    Swe7,
    Tis620,
    Ucs2,
    Ujis,
    Utf16,
    Utf16le,
    Utf32,
    Utf8mb3,
    Utf8mb4,
}

use Charset::{
    Armscii8, Ascii, Big5, Binary, Cp850, Cp852, Cp866, Cp932, Cp1250, Cp1251, Cp1256, Cp1257,
    Dec8, Eucjpms, Euckr, Gb2312, Gb18030, Gbk, Geostd8, Greek, Hebrew, Hp8, Keybcs2, Koi8r, Koi8u,
    Latin1, Latin2, Latin5, Latin7, Macce, Macroman, Sjis, Swe7, Tis620, Ucs2, Ujis, Utf8mb3,
    Utf8mb4, Utf16, Utf16le, Utf32,
};

impl Charset {
    /// All of them.
    pub const ALL: [Charset; 41] = [
        Armscii8, Ascii, Big5, Binary, Cp1250, Cp1251, Cp1256, Cp1257, Cp850, Cp852, Cp866, Cp932,
        Dec8, Eucjpms, Euckr, Gb18030, Gb2312, Gbk, Geostd8, Greek, Hebrew, Hp8, Keybcs2, Koi8r,
        Koi8u, Latin1, Latin2, Latin5, Latin7, Macce, Macroman, Sjis, Swe7, Tis620, Ucs2, Ujis,
        Utf16, Utf16le, Utf32, Utf8mb3, Utf8mb4,
    ];

    /// The charset with a name of `information_schema.CHARACTER_SETS`; `utf8` is `utf8mb3`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Charset> {
        let name = if name == "utf8" { "utf8mb3" } else { name };
        let mut all = Self::ALL.into_iter();
        all.find(|charset| charset.name() == name)
    }

    /// Name as in `information_schema.CHARACTER_SETS` of MySQL 9 and MariaDB 10.6 and later.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Armscii8 => "armscii8",
            Ascii => "ascii",
            Big5 => "big5",
            Binary => "binary",
            Cp1250 => "cp1250",
            Cp1251 => "cp1251",
            Cp1256 => "cp1256",
            Cp1257 => "cp1257",
            Cp850 => "cp850",
            Cp852 => "cp852",
            Cp866 => "cp866",
            Cp932 => "cp932",
            Dec8 => "dec8",
            Eucjpms => "eucjpms",
            Euckr => "euckr",
            Gb18030 => "gb18030",
            Gb2312 => "gb2312",
            Gbk => "gbk",
            Geostd8 => "geostd8",
            Greek => "greek",
            Hebrew => "hebrew",
            Hp8 => "hp8",
            Keybcs2 => "keybcs2",
            Koi8r => "koi8r",
            Koi8u => "koi8u",
            Latin1 => "latin1",
            Latin2 => "latin2",
            Latin5 => "latin5",
            Latin7 => "latin7",
            Macce => "macce",
            Macroman => "macroman",
            Sjis => "sjis",
            Swe7 => "swe7",
            Tis620 => "tis620",
            Ucs2 => "ucs2",
            Ujis => "ujis",
            Utf16 => "utf16",
            Utf16le => "utf16le",
            Utf32 => "utf32",
            Utf8mb3 => "utf8mb3",
            Utf8mb4 => "utf8mb4",
        }
    }

    /// Most bytes one character takes (`mbmaxlen`).
    #[must_use]
    pub fn max_len(self) -> u8 {
        match self {
            Utf8mb4 | Utf16 | Utf16le | Utf32 | Gb18030 => 4,
            Utf8mb3 | Ujis | Eucjpms => 3,
            Big5 | Cp932 | Euckr | Gb2312 | Gbk | Sjis | Ucs2 => 2,
            _ => 1,
        }
    }

    /// Fewest bytes one character takes (`mbminlen`).
    #[must_use]
    pub fn min_len(self) -> u8 {
        match self {
            Utf32 => 4,
            Ucs2 | Utf16 | Utf16le => 2,
            _ => 1,
        }
    }

    /// Whether 0x5C can be the second byte of a character, so that a lexer must not take it for
    /// a backslash.
    #[must_use]
    pub fn hides_backslash(self) -> bool {
        matches!(self, Big5 | Cp932 | Gb18030 | Gbk | Sjis)
    }

    fn codec(self) -> Codec {
        match self {
            Utf8mb4 | Utf8mb3 | Binary => Codec::Utf8,
            Ascii => Codec::Ascii,
            Swe7 => Codec::Swe7,
            Ucs2 | Utf16 | Utf16le | Utf32 => Codec::Wide,
            Big5 => Codec::Multibyte(encoding_rs::BIG5),
            Cp932 | Sjis => Codec::Multibyte(encoding_rs::SHIFT_JIS),
            Eucjpms | Ujis => Codec::Multibyte(encoding_rs::EUC_JP),
            Euckr => Codec::Multibyte(encoding_rs::EUC_KR),
            Gb18030 => Codec::Multibyte(encoding_rs::GB18030),
            Gb2312 | Gbk => Codec::Multibyte(encoding_rs::GBK),
            Armscii8 => Codec::Single(&tables::ARMSCII8),
            Cp1250 => Codec::Single(&tables::CP1250),
            Cp1251 => Codec::Single(&tables::CP1251),
            Cp1256 => Codec::Single(&tables::CP1256),
            Cp1257 => Codec::Single(&tables::CP1257),
            Cp850 => Codec::Single(&tables::CP850),
            Cp852 => Codec::Single(&tables::CP852),
            Cp866 => Codec::Single(&tables::CP866),
            Dec8 => Codec::Single(&tables::DEC8),
            Geostd8 => Codec::Single(&tables::GEOSTD8),
            Greek => Codec::Single(&tables::GREEK),
            Hebrew => Codec::Single(&tables::HEBREW),
            Hp8 => Codec::Single(&tables::HP8),
            Keybcs2 => Codec::Single(&tables::KEYBCS2),
            Koi8r => Codec::Single(&tables::KOI8R),
            Koi8u => Codec::Single(&tables::KOI8U),
            Latin1 => Codec::Single(&tables::LATIN1),
            Latin2 => Codec::Single(&tables::LATIN2),
            Latin5 => Codec::Single(&tables::LATIN5),
            Latin7 => Codec::Single(&tables::LATIN7),
            Macce => Codec::Single(&tables::MACCE),
            Macroman => Codec::Single(&tables::MACROMAN),
            Tis620 => Codec::Single(&tables::TIS620),
        }
    }
}

/// How a charset becomes UTF-8 and back.
enum Codec {
    /// The bytes are UTF-8, if they are text at all.
    Utf8,
    Ascii,
    Swe7,
    /// UCS-2, UTF-16 of either order, UTF-32.
    Wide,
    Multibyte(&'static encoding_rs::Encoding),
    /// ASCII and a table for the rest.
    Single(&'static High),
}

/// The text as UTF-8, or `None` when the bytes are no text of the charset or when
/// [`encode_from_utf8`] would not give exactly these bytes again.
///
/// For UTF-8 and ASCII columns this costs one SIMD validation and copies nothing; so does ASCII
/// text in any charset that contains ASCII.
#[must_use]
pub fn decode_to_utf8(charset: Charset, bytes: &[u8]) -> Option<Cow<'_, str>> {
    match charset.codec() {
        Codec::Utf8 => utf8(bytes),
        Codec::Wide => unicode::decode(charset, bytes).map(Cow::Owned),
        Codec::Swe7 => decode_swe7(bytes),
        _ if bytes.is_ascii() => utf8(bytes),
        Codec::Ascii => None,
        Codec::Single(high) => decode_single(high, bytes).map(Cow::Owned),
        Codec::Multibyte(encoding) => multibyte::decode(encoding, bytes),
    }
}

/// The text in a charset, or `None` when it has characters that the charset lacks.
#[must_use]
pub fn encode_from_utf8(charset: Charset, text: &str) -> Option<Cow<'_, [u8]>> {
    match charset.codec() {
        Codec::Utf8 => Some(Cow::Borrowed(text.as_bytes())),
        Codec::Wide => unicode::encode(charset, text).map(Cow::Owned),
        Codec::Swe7 => encode_swe7(text),
        _ if text.is_ascii() => Some(Cow::Borrowed(text.as_bytes())),
        Codec::Ascii => None,
        Codec::Single(high) => encode_single(high, text).map(Cow::Owned),
        Codec::Multibyte(encoding) => multibyte::encode(encoding, text),
    }
}

fn utf8(bytes: &[u8]) -> Option<Cow<'_, str>> {
    simdutf8::basic::from_utf8(bytes).ok().map(Cow::Borrowed)
}

/// No check by encoding again: a table names no character twice.
fn decode_single(high: &High, bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 2);
    for &byte in bytes {
        let character = match byte.checked_sub(0x80) {
            None => char::from(byte),
            Some(index) => match high.get(usize::from(index)) {
                Some(&code) if code != 0 => char::from_u32(u32::from(code))?,
                _ => return None,
            },
        };
        text.push(character);
    }
    Some(text)
}

fn encode_single(high: &High, text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            bytes.push(character as u8);
            continue;
        }
        let code = u16::try_from(u32::from(character)).ok()?;
        let index = high.iter().position(|&known| known == code)?;
        bytes.push(0x80 | u8::try_from(index).ok()?);
    }
    Some(bytes)
}

/// Letters of SWE7 in place of ASCII's brackets; 0x7F and above are no characters.
const SWE7: [(u8, char); 10] = [
    (0x40, 'É'),
    (0x5b, 'Ä'),
    (0x5c, 'Ö'),
    (0x5d, 'Å'),
    (0x5e, 'Ü'),
    (0x60, 'é'),
    (0x7b, 'ä'),
    (0x7c, 'ö'),
    (0x7d, 'å'),
    (0x7e, 'ü'),
];

fn decode_swe7(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let letter = |byte: u8| {
        let other = SWE7.iter().find(|(code, _)| *code == byte);
        match other {
            Some((_, character)) => Some(*character),
            None => (byte < 0x7f).then(|| char::from(byte)),
        }
    };
    let text: Option<String> = bytes.iter().map(|&byte| letter(byte)).collect();
    text.map(Cow::Owned)
}

fn encode_swe7(text: &str) -> Option<Cow<'_, [u8]>> {
    let code = |character: char| {
        if let Some((code, _)) = SWE7.iter().find(|(_, letter)| *letter == character) {
            return Some(*code);
        }
        let byte = u8::try_from(u32::from(character)).ok()?;
        let taken = SWE7.iter().any(|(code, _)| *code == byte);
        (byte < 0x7f && !taken).then_some(byte)
    };
    let bytes: Option<Vec<u8>> = text.chars().map(code).collect();
    bytes.map(Cow::Owned)
}
