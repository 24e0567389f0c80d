//! MySQL's binary JSON, by way of `change::json`.

use crate::change::json::{self, JsonKeys};

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
    let image = json::encode(&json::from_text(text).ok()?).ok()?;
    out.extend_from_slice(&image);
    Some(())
}

/// The document without slack, as a fresh serialization would write it.
pub(super) fn canonical(content: &[u8]) -> Option<Vec<u8>> {
    json::canonical(content).ok()
}
