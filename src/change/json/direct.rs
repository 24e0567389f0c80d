//! Text -> image bytes in one pass, without a tree in between.
//!
//! Nearly all documents are printed and stored as this expects: members in the server's order, keys
//! without escapes, types that the text shows, less than 64 KiB. Whatever is not is left to the tree,
//! errors too: there is one place that says what is wrong with a document.

use super::decode::Layout;
use super::encode::{int_type, uint_type, variable_length_bytes};
use super::number::number_of_token;
use super::parse::Parser;
use super::tree::key_order;
use super::{DEPTH_MAX, JsonTree, SMALL_BYTES_MAX, encode, from_text, jsonb};
use crate::error::Result;

/// Bytes of count and size before the entries of a small container; of an entry of a key and of a value.
const HEAD: usize = 4;
const KEY_ENTRY: usize = 4;
const VALUE_ENTRY: usize = 3;

/// Appends the image of the document that the server makes of a text: `encode(&from_text(text)?)?`.
///
/// # Errors
/// As [`from_text`] and [`encode`].
pub fn append_image(text: &str, out: &mut Vec<u8>) -> Result<()> {
    if append_typed(text, &Shown, out).is_some() {
        return Ok(());
    }
    let image = encode(&from_text(text)?)?;
    out.extend_from_slice(&image);
    Ok(())
}

/// What type each value of a document has.
pub(super) trait Types {
    /// A place in the document.
    type Place: Copy;
    /// The place of the document itself.
    fn root(&self) -> Self::Place;
    /// The place of a member of the object here.
    fn member(&self, place: Self::Place, key: &str) -> Option<Self::Place>;
    /// The place of an element of the array here.
    fn element(&self, place: Self::Place, index: usize) -> Option<Self::Place>;
    /// Whether the value here is of the type with this name (`JSON_TYPE`).
    fn is(&self, place: Self::Place, name: &'static str) -> bool;
    /// The number here.
    fn number(&self, place: Self::Place, token: &str) -> Option<JsonTree>;
}

/// The types that the server's parser finds.
struct Shown;

impl Types for Shown {
    type Place = ();

    fn root(&self) {}

    fn member(&self, (): (), _: &str) -> Option<()> {
        Some(())
    }

    fn element(&self, (): (), _: usize) -> Option<()> {
        Some(())
    }

    fn is(&self, (): (), _: &'static str) -> bool {
        true
    }

    fn number(&self, (): (), token: &str) -> Option<JsonTree> {
        number_of_token(token).ok()
    }
}

/// Appends the image of an object or array; `None`, and nothing appended, where the text or a type is
/// not one that this writes.
pub(super) fn append_typed<T: Types>(text: &str, types: &T, out: &mut Vec<u8>) -> Option<()> {
    let before = out.len();
    let mut writer = DirectWriter {
        parser: Parser::new(text),
        types,
        entries: Vec::new(),
        out,
    };
    let written = writer.document();
    if written.is_none() {
        out.truncate(before);
    }
    written
}

/// A value of a container that is not finished yet.
struct Entry<'t> {
    key: &'t str,
    kind: u8,
    /// The value itself where it stands in its entry, else its place behind header and keys.
    field: u16,
}

struct DirectWriter<'t, 'o, T> {
    parser: Parser<'t>,
    types: &'o T,
    /// Of all containers that are open, the innermost last.
    entries: Vec<Entry<'t>>,
    out: &'o mut Vec<u8>,
}

impl<'t, T: Types> DirectWriter<'t, '_, T> {
    fn document(&mut self) -> Option<()> {
        self.parser.skip_space();
        let is_object = match self.parser.peek()? {
            b'{' => true,
            b'[' => false,
            _ => return None,
        };
        self.out.push(container_kind(is_object));
        self.container(is_object, 0, self.types.root())?;
        self.parser.skip_space();
        self.parser.is_at_end().then_some(())
    }

    /// Appends the container that begins here: its values as they come, then, before them, what says
    /// where they are.
    fn container(&mut self, is_object: bool, depth: usize, place: T::Place) -> Option<()> {
        let (name, close) = match is_object {
            true => ("OBJECT", b'}'),
            false => ("ARRAY", b']'),
        };
        if depth >= DEPTH_MAX || !self.types.is(place, name) {
            return None;
        }
        self.parser.skip_byte();
        let (start, first) = (self.out.len(), self.entries.len());
        self.parser.skip_space();
        let mut is_closed = self.parser.take(close);
        while !is_closed {
            self.parser.skip_space();
            let mut key = "";
            let index = self.entries.len() - first;
            let below = match is_object {
                true => {
                    key = self.key()?;
                    let former = self.entries.last().filter(|_| index > 0);
                    if former.is_some_and(|former| !key_order(former.key, key).is_lt()) {
                        return None;
                    }
                    self.types.member(place, key)?
                }
                false => self.types.element(place, index)?,
            };
            let (kind, field) = self.value(start, depth, below)?;
            self.entries.push(Entry { key, kind, field });
            self.parser.skip_space();
            is_closed = self.parser.take(close);
            if !is_closed && !self.parser.take(b',') {
                return None;
            }
        }
        self.finish(is_object, start, first)
    }

    /// Puts header and keys before the values of the container that began at `start`.
    fn finish(&mut self, is_object: bool, start: usize, first: usize) -> Option<()> {
        let entries = self.entries.get(first..)?;
        let key_entry = if is_object { KEY_ENTRY } else { 0 };
        let header = HEAD + entries.len() * (key_entry + VALUE_ENTRY);
        let keys: usize = entries.iter().map(|entry| entry.key.len()).sum();
        let (before, values) = (header + keys, self.out.len() - start);
        let size = before + values;
        if size > SMALL_BYTES_MAX {
            return None;
        }
        self.out.resize(start + size, 0);
        self.out.copy_within(start..start + values, start + before);
        let mut head = Head {
            bytes: self.out.get_mut(start..start + before)?,
        };
        head.put_u16(entries.len())?;
        head.put_u16(size)?;
        if is_object {
            let mut place = header;
            for entry in entries {
                head.put_u16(place)?;
                head.put_u16(entry.key.len())?;
                place += entry.key.len();
            }
        }
        for entry in entries {
            let field = match is_inline(entry.kind) {
                true => usize::from(entry.field),
                false => before + usize::from(entry.field),
            };
            head.put(&[entry.kind])?;
            head.put_u16(field)?;
        }
        for entry in entries {
            head.put(entry.key.as_bytes())?;
        }
        self.entries.truncate(first);
        Some(())
    }

    fn key(&mut self) -> Option<&'t str> {
        if self.parser.peek() != Some(b'"') {
            return None;
        }
        let key = match self.parser.string().ok()? {
            std::borrow::Cow::Borrowed(key) => key,
            std::borrow::Cow::Owned(_) => return None,
        };
        self.parser.skip_space();
        if !self.parser.take(b':') {
            return None;
        }
        self.parser.skip_space();
        Some(key)
    }

    /// Takes a value of the container that began at `start`; its type and its field.
    fn value(&mut self, start: usize, depth: usize, place: T::Place) -> Option<(u8, u16)> {
        let at = u16::try_from(self.out.len() - start).ok()?;
        let literal = |writer: &mut Self, word: &str, value, name| {
            writer.parser.word(word).ok()?;
            (writer.types.is(place, name)).then_some((jsonb::LITERAL, u16::from(value)))
        };
        match self.parser.peek()? {
            b'{' | b'[' => {
                let is_object = self.parser.peek() == Some(b'{');
                self.container(is_object, depth + 1, place)?;
                Some((container_kind(is_object), at))
            }
            b'"' => {
                let text = self.parser.string().ok()?;
                if !self.types.is(place, "STRING") {
                    return None;
                }
                self.counted(text.as_bytes());
                Some((jsonb::STRING, at))
            }
            b'-' | b'0'..=b'9' => {
                let token = self.parser.number().ok()?;
                match self.types.number(place, token)? {
                    JsonTree::Int(value) => {
                        Some(self.integer(int_type(value), value.cast_unsigned(), at))
                    }
                    JsonTree::Uint(value) => Some(self.integer(uint_type(value), value, at)),
                    JsonTree::Double(value) => {
                        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
                        Some((jsonb::DOUBLE, at))
                    }
                    _ => None,
                }
            }
            b't' => literal(self, "true", jsonb::TRUE, "BOOLEAN"),
            b'f' => literal(self, "false", jsonb::FALSE, "BOOLEAN"),
            b'n' => literal(self, "null", jsonb::NULL, "NULL"),
            _ => None,
        }
    }

    /// Takes an integer with these low bits.
    fn integer(&mut self, kind: u8, bits: u64, at: u16) -> (u8, u16) {
        match kind {
            jsonb::INT16 | jsonb::UINT16 => return (kind, bits as u16),
            jsonb::INT32 | jsonb::UINT32 => {
                self.out.extend_from_slice(&(bits as u32).to_le_bytes());
            }
            _ => self.out.extend_from_slice(&bits.to_le_bytes()),
        }
        (kind, at)
    }

    fn counted(&mut self, content: &[u8]) {
        let mut length = content.len();
        for _ in 1..variable_length_bytes(length) {
            self.out.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        self.out.push(length as u8);
        self.out.extend_from_slice(content);
    }
}

fn container_kind(is_object: bool) -> u8 {
    match is_object {
        true => jsonb::SMALL_OBJECT,
        false => jsonb::SMALL_ARRAY,
    }
}

fn is_inline(kind: u8) -> bool {
    Layout { large: false }.inlines(kind)
}

/// What of a container's header is not written yet.
struct Head<'a> {
    bytes: &'a mut [u8],
}

impl Head<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let (place, rest) = std::mem::take(&mut self.bytes).split_at_mut_checked(bytes.len())?;
        place.copy_from_slice(bytes);
        self.bytes = rest;
        Some(())
    }

    fn put_u16(&mut self, value: usize) -> Option<()> {
        self.put(&u16::try_from(value).ok()?.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::json::tests::any_document;
    use crate::change::json::to_text;
    use proptest::prelude::*;

    fn by_tree(text: &str) -> Option<Vec<u8>> {
        encode(&from_text(text).ok()?).ok()
    }

    fn direct(text: &str) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let written = append_typed(text, &Shown, &mut out);
        assert!(out.starts_with(b"before"), "{text}");
        assert!(written.is_some() || out.len() == 6, "{text}");
        written.map(|()| out.split_off(6))
    }

    #[test]
    fn usual_documents_are_written_directly() {
        for text in [
            "{}",
            "[]",
            r#"{"a": 1}"#,
            r#"{"v": 1.5, "client": 3, "mentions": [70000, -1, 4294967295, 9007199254740993, 18446744073709551615]}"#,
            r#"{"a": null, "b": true, "c": false, "dd": "größe \n\" 🌊", "ee": {"f": [[], {}, [[1]]]}}"#,
            r#"[ {"a" : -9223372036854775808 } , "" ]"#,
        ] {
            assert_eq!(direct(text), by_tree(text), "{text}");
            assert!(direct(text).is_some(), "{text}");
        }
        let long = format!(r#"{{"t": "{}", "u": [1, 2]}}"#, "x".repeat(60_000));
        assert_eq!(direct(&long), by_tree(&long));
        assert!(direct(&long).is_some());
    }

    #[test]
    fn others_are_left_to_the_tree() {
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        let long = format!(r#"["{}"]"#, "x".repeat(70_000));
        let nested = format!(r#"[["{}"], "{}"]"#, "x".repeat(40_000), "y".repeat(40_000));
        for text in [
            "1",
            "\"a\"",
            "null",
            "",
            "{",
            "[1,]",
            "[1] 2",
            "[01]",
            "[1e999]",
            r#"{"bb": 1, "a": 2}"#,
            r#"{"a": 1, "a": 2}"#,
            r#"{"a\n": 1}"#,
            r#"["\ud800"]"#,
            "{1: 2}",
            "[nul]",
            &deep,
            &long,
            &nested,
        ] {
            assert_eq!(direct(text), None, "{text}");
            let mut out = Vec::new();
            let appended = append_image(text, &mut out).is_ok();
            assert_eq!(appended.then_some(out), by_tree(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn direct_or_not_the_image_is_the_same(tree in any_document()) {
            let text = to_text(&tree);
            let by_tree = by_tree(&text);
            if let Some(image) = direct(&text) {
                prop_assert_eq!(Some(&image), by_tree.as_ref());
            }
            let mut out = Vec::new();
            let appended = append_image(&text, &mut out).is_ok();
            prop_assert_eq!(appended.then_some(out), by_tree);
        }
    }
}
