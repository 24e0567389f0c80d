//! MySQL's binary JSON, by way of `change::json`.

/// Appends the text of a document; whether it is exact. `None` when it is malformed.
pub(super) fn decode(_content: &[u8], _out: &mut String) -> Option<bool> {
    None
}

/// Appends the document of a text.
pub(super) fn encode(_text: &str, _out: &mut Vec<u8>) -> Option<()> {
    None
}

/// The document without slack, as a fresh serialization would write it.
pub(super) fn canonical(_content: &[u8]) -> Option<Vec<u8>> {
    None
}
