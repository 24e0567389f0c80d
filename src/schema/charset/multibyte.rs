//! East Asian charsets through `encoding_rs`, guarded by a check in both directions.
//!
//! The tables of the WHATWG differ from the server's in places (the wave dash of EUC-JP, vendor
//! extensions of Big5 and GBK). That may show another look-alike character to a reader of the
//! file, but never changes bytes: what does not come back exactly is not accepted.

use encoding_rs::Encoding;
use std::borrow::Cow;

/// Decodes, if encoding gives the same bytes again.
pub(super) fn decode<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let again = encode(encoding, &text)?;
    (*again == *bytes).then_some(text)
}

/// Encodes, if the charset has every character.
pub(super) fn encode<'a>(encoding: &'static Encoding, text: &'a str) -> Option<Cow<'a, [u8]>> {
    let (bytes, _, unmappable) = encoding.encode(text);
    (!unmappable).then_some(bytes)
}
