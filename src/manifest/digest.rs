//! SHA-256 and CRC-32 as manifests write them: lowercase hex.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::Digest;
use std::fmt;
use std::str::FromStr;

/// A SHA-256, written as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }
}

/// A CRC-32 (IEEE 802.3, as zlib's), written as 8 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Crc32(pub u32);

impl Crc32 {
    /// The checksum of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Crc32 {
        Crc32(crc32fast::hash(bytes))
    }
}

/// Only the one way in which we write a digest is read: the same bytes for the same value.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (!text.bytes().any(|b| b.is_ascii_uppercase())).then_some(bytes)
}

impl FromStr for Sha256 {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = unhex(text).ok_or_else(|| Error::corrupt("parse sha256").field("text", text));
        bytes.map(Sha256)
    }
}

impl FromStr for Crc32 {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = unhex(text).ok_or_else(|| Error::corrupt("parse crc32").field("text", text));
        bytes.map(|b| Crc32(u32::from_be_bytes(b)))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Crc32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Crc32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> String {
                digest.to_string()
            }
        }
    )*};
}

text_form!(Sha256, Crc32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_fixed() {
        let sha = Sha256::of(b"abc");
        assert_eq!(
            sha.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(sha.to_string().parse::<Sha256>().expect("own text"), sha);
        assert_eq!(Crc32::of(b"123456789").to_string(), "cbf43926");
        assert_eq!(Crc32(1).to_string(), "00000001");
        for bad in ["", "CBF43926", "cbf4392", "+bf43926", "cbf439266"] {
            assert!(bad.parse::<Crc32>().is_err(), "{bad}");
        }
    }
}
