//! The RSA key a server sends for `caching_sha2_password` without TLS.
//!
//! The RSA code that uses the key indexes into it unchecked, so its shape is proven here first:
//! `SubjectPublicKeyInfo` (RFC 5280) around `RSAPublicKey` (RFC 8017), DER.

use super::packet::Reader;
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
/// Bytes that OAEP with SHA-1 takes from a block, and the NUL after the password.
const OVERHEAD: usize = 42 + 1;

/// The key as a PEM text of this one block, if it is an RSA key that is long enough to hide
/// anything and to hold a password of `password_bytes`.
pub(super) fn checked(pem: &[u8], password_bytes: usize) -> Result<String> {
    let bad = || {
        Error::config("log in: the server's public key is not usable")
            .hint("use TLS, or give the server an RSA key of 2048 bits and a shorter password")
    };
    let der = block(pem).ok_or_else(bad)?;
    let modulus_bytes = modulus_bytes(&der).ok_or_else(bad)?;
    if !(128..=1024).contains(&modulus_bytes) || password_bytes + OVERHEAD > modulus_bytes {
        return Err(bad());
    }
    Ok(format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    ))
}

fn block(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// Length of the modulus; `None` unless everything around it is as it must be.
fn modulus_bytes(der: &[u8]) -> Option<usize> {
    let mut outer = Reader(element(&mut Reader(der), SEQUENCE)?);
    element(&mut outer, SEQUENCE)?;
    let (&unused_bits, key) = element(&mut outer, BIT_STRING)?.split_first()?;
    let mut key = Reader(element(&mut Reader(key), SEQUENCE)?);
    let modulus = element(&mut key, INTEGER)?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let exponent = element(&mut key, INTEGER)?;
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|b| b & 1 == 1);
    let sane = unused_bits == 0
        && modulus.first().is_some_and(|&b| b >= 0x80)
        && is_odd(modulus)
        && is_odd(exponent)
        && exponent.len() <= 8
        && exponent != [1];
    sane.then_some(modulus.len())
}

fn element<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    if reader.u8()? != tag {
        return None;
    }
    let len = match reader.u8()? {
        short @ 0..=0x7F => usize::from(short),
        0x81 => usize::from(reader.u8()?),
        0x82 => usize::from(u16::from_be_bytes(reader.take(2)?.try_into().ok()?)),
        _ => return None,
    };
    reader.take(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mysql_common::crypto;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoi3TgpLCqg6DURnrcl04
KPuoMCtmZplPobcN42PJ8cF/Bqg5T/JfsIycEW5rt4laaTINBIRg/Sff6mCuxdvp
QN5WPtAm3Y2Sg9/6jurRQ2nPbL6PIzxKLcIgApWqHqsBHVhkLPUkhSx9N6cmB2AD
xxxu77EQn4njHB4EXyUNzoszjVmMZdm2rFvcZA9aCKQMovjScICKGHTf1ZkneTqk
afDaq/WSxlOZIevDdrBk8CzTOIxv7ri27Nfs9mUfW4elm2MhNNG6456efoPBKNce
yrQ/MCP16ypwXyINYyeVQvHup7MmvixBQKmj3Ybx9GUr5PATPSIUYbIMRPVnrVRU
ZwIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn a_good_key_passes_and_a_long_password_does_not() {
        let pem = checked(KEY.as_bytes(), 20).expect("a key");
        assert_eq!(
            crypto::encrypt(b"secret\0", pem.as_bytes())
                .expect("encrypted")
                .len(),
            256
        );
        assert!(checked(KEY.as_bytes(), 213).is_ok());
        let longest = crypto::encrypt(&[b'x'; 214], pem.as_bytes());
        assert!(longest.is_ok(), "the bound is the RSA code's own");
        assert!(checked(KEY.as_bytes(), 214).is_err());
    }

    /// Whatever passes the check must not make the RSA code panic.
    #[test]
    fn no_cut_or_changed_key_panics() {
        let der = block(KEY.as_bytes()).expect("a block");
        let wrap = |der: &[u8]| {
            let body = STANDARD.encode(der);
            format!("-----BEGIN PUBLIC KEY-----{body}-----END PUBLIC KEY-----")
        };
        for cut in 0..der.len() {
            assert!(checked(wrap(der.get(..cut).expect("a prefix")).as_bytes(), 9).is_err());
        }
        for at in 0..der.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = der.clone();
                *changed.get_mut(at).expect("inside") = value;
                if at > 40 && at % 16 != 0 {
                    continue;
                }
                if let Ok(pem) = checked(wrap(&changed).as_bytes(), 9) {
                    crypto::encrypt(b"secret\0", pem.as_bytes()).ok();
                }
            }
        }
        for text in [
            &b""[..],
            b"\xff",
            b"-----BEGIN PUBLIC KEY-----!-----END PUBLIC KEY-----",
        ] {
            assert!(checked(text, 9).is_err());
        }
    }
}
