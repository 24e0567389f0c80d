//! MySQL's binary JSON, by way of `change::json`.

use super::Scratch;
use crate::change::json::{self, JsonKeys};
use std::borrow::Cow;

/// Appends the text of a document; whether it is exact. `None` when it is malformed.
pub(super) fn decode(content: &[u8], out: &mut String, keys: &mut JsonKeys) -> Option<bool> {
    if json::text_if_exact(content, out, keys) {
        return Some(true);
    }
    // The text serves readers; the bytes travel beside it.
    out.push_str(&json::to_text(&json::decode(content).ok()?));
    Some(false)
}

/// Appends the document of a text.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    json::append_image(text, out).ok()
}

/// The document without slack, as a fresh serialization would write it.
pub(super) fn canonical<'c>(content: &'c [u8], scratch: &mut Scratch) -> Option<Cow<'c, [u8]>> {
    scratch.text.clear();
    // What its text leads back to is a fresh serialization.
    if json::text_if_exact(content, &mut scratch.text, &mut scratch.keys) {
        return Some(Cow::Borrowed(content));
    }
    json::canonical(content).ok().map(Cow::Owned)
}
