//! The frame of every JSON object of a repository: one line of JSON whose last member is its
//! own checksum.
//!
//! ```text
//! {"format":1,"kind":"segment","requires":[], ...members... ,"crc32":"0123abcd"}
//! ```
//! `crc32` is the CRC-32 of all bytes before the comma that introduces it, as 8 lowercase hex
//! digits; the object ends with the last 20 bytes `,"crc32":"xxxxxxxx"}` and nothing follows.
//! A reader checks, in this order: length bound, checksum, `format` and `kind`, `requires` (an
//! entry it does not know: refuse), members (one it does not know: ignore), then whether the
//! values make sense. Chains hash the stored bytes, checksum included.

use super::digest::Crc32;
use crate::error::{Error, Result, Wrap};
use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The repository format that this version writes and reads.
pub const FORMAT: u32 = 1;

/// No stored JSON object is longer (compressed ones: after inflating).
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Rows may lack cells, and rows without a key may be told apart by some of their columns.
pub const ABSENT_CELLS: &str = "absent-cells";

/// Events of transactions.parquet may be stored as skeletons and values.
pub const EVENT_SKELETONS: &str = "event-skeletons";

/// Abilities a reader must have for some object that this version knows.
const KNOWN_REQUIRES: [&str; 2] = [ABSENT_CELLS, EVENT_SKELETONS];

const TAIL: &str = ",\"crc32\":\"";
const TAIL_BYTES: usize = 20;

/// A type that is stored as a framed JSON object. Implemented by the repository header, the
/// timeline, the writer epoch, the segment and base manifests and the catalogue.
pub trait Document: Serialize + DeserializeOwned {
    /// Value of `kind`.
    const KIND: &'static str;

    /// Entries of `requires`: what a reader must understand to read this object at all.
    fn requires(&self) -> &[String] {
        &[]
    }

    /// Whether the values make sense together; called after parsing and before writing.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt), naming the member.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// The stored bytes.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the values make no sense or are too
    /// many.
    fn encode(&self) -> Result<Bytes> {
        let failed = || Error::internal("encode object").field("kind", Self::KIND);
        self.validate().wrap(failed)?;
        let members = serde_json::to_vec(self).wrap(failed)?;
        let members = members
            .strip_prefix(b"{")
            .and_then(|m| m.strip_suffix(b"}"))
            .ok_or_else(failed)?;
        let requires = serde_json::to_string(self.requires()).wrap(failed)?;
        let kind = Self::KIND;
        let mut out =
            format!(r#"{{"format":{FORMAT},"kind":"{kind}","requires":{requires}"#).into_bytes();
        out.reserve(members.len() + 1 + TAIL_BYTES);
        if !members.is_empty() {
            out.push(b',');
            out.extend_from_slice(members);
        }
        let crc32 = Crc32::of(&out);
        out.extend_from_slice(format!("{TAIL}{crc32}\"}}").as_bytes());
        if out.len() > DOCUMENT_BYTES_MAX {
            return Err(failed().field("bytes", out.len()));
        }
        Ok(out.into())
    }

    /// Reads stored bytes; `object` is the name for error messages.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) for damaged bytes or senseless values,
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) for a newer format or an unknown
    /// requirement.
    fn decode(object: &str, bytes: &[u8]) -> Result<Self> {
        let body = check_crc32(object, bytes)?;
        let head: Head = parse(object, bytes)?;
        head.check(object, Self::KIND)?;
        debug_assert!(body.len() < bytes.len());
        let value: Self = parse(object, bytes)?;
        value
            .validate()
            .wrap(|| Error::corrupt("check object").field("object", object))?;
        Ok(value)
    }
}

#[derive(Deserialize)]
struct Head {
    format: u32,
    kind: String,
    #[serde(default)]
    requires: Vec<String>,
}

impl Head {
    fn check(&self, object: &str, kind: &str) -> Result<()> {
        let newer = || {
            Error::incompatible("read object of a newer tidelog")
                .field("object", object)
                .hint("read this repository with the version that writes it, or a later one")
        };
        if self.format != FORMAT {
            return Err(newer().field("format", self.format).field("known", FORMAT));
        }
        if let Some(unknown) = self
            .requires
            .iter()
            .find(|r| !KNOWN_REQUIRES.contains(&r.as_str()))
        {
            return Err(newer().field("requires", unknown));
        }
        if self.kind != kind {
            return Err(Error::corrupt("read object of another kind")
                .field("object", object)
                .field("kind", &self.kind)
                .field("wanted", kind));
        }
        Ok(())
    }
}

/// Checks the frame and gives the bytes under the checksum.
fn check_crc32<'a>(object: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let bad = |what: &'static str| {
        Error::corrupt(what)
            .field("object", object)
            .field("bytes", bytes.len())
            .hint("restore the object from a mirror or a bucket version")
    };
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(bad("read object that is too long"));
    }
    let (body, tail) = bytes
        .split_at_checked(bytes.len().saturating_sub(TAIL_BYTES))
        .ok_or_else(|| bad("read object without checksum"))?;
    let stored = std::str::from_utf8(tail)
        .ok()
        .and_then(|t| t.strip_prefix(TAIL))
        .and_then(|t| t.strip_suffix("\"}"))
        .and_then(|t| t.parse::<Crc32>().ok())
        .ok_or_else(|| bad("read object without checksum"))?;
    let computed = Crc32::of(body);
    if stored != computed {
        return Err(bad("check object checksum")
            .field("stored", stored)
            .field("computed", computed));
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(object: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).wrap(|| Error::corrupt("parse object").field("object", object))
}

/// An error of [`Document::validate`].
pub(crate) fn invalid(what: &'static str) -> Error {
    Error::corrupt(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Sample {
        a: i64,
        #[serde(default)]
        b: Option<String>,
    }

    impl Document for Sample {
        const KIND: &'static str = "sample";
    }

    fn framed(body: &str) -> Vec<u8> {
        format!("{body}{TAIL}{}\"}}", Crc32::of(body.as_bytes())).into_bytes()
    }

    #[test]
    fn the_frame_is_frozen() {
        let sample = Sample { a: 7, b: None };
        let bytes = sample.encode().expect("encode");
        assert_eq!(
            bytes,
            r#"{"format":1,"kind":"sample","requires":[],"a":7,"b":null,"crc32":"002b9bec"}"#
        );
        assert_eq!(Sample::decode("x", &bytes).expect("decode"), sample);
    }

    #[test]
    fn every_flipped_bit_is_corrupt() {
        let bytes = Sample { a: 7, b: None }.encode().expect("encode");
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.to_vec();
                bad[position] ^= 1 << bit;
                let error = Sample::decode("x", &bad).expect_err("damaged");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            }
        }
        for length in 0..bytes.len() {
            assert!(Sample::decode("x", &bytes[..length]).is_err());
        }
    }

    #[test]
    fn unknown_requirement_refuses_and_unknown_member_does_not() {
        let kind = |body: &str| Sample::decode("x", &framed(body)).map_err(|e| e.kind());
        let member = r#"{"format":1,"kind":"sample","a":7,"z":[{}]"#;
        assert_eq!(kind(member), Ok(Sample { a: 7, b: None }));
        let required = r#"{"format":1,"kind":"sample","requires":["z"],"a":7"#;
        assert_eq!(kind(required), Err(ErrorKind::Incompatible));
        let newer = r#"{"format":2,"kind":"sample","a":7"#;
        assert_eq!(kind(newer), Err(ErrorKind::Incompatible));
        let other = r#"{"format":1,"kind":"base","a":7"#;
        assert_eq!(kind(other), Err(ErrorKind::Corrupt));
        let twice = r#"{"format":1,"kind":"sample","a":7,"a":8"#;
        assert_eq!(kind(twice), Err(ErrorKind::Corrupt));
    }
}
