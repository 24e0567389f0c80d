//! Does the text of an image lead back to the very same bytes? One walk answers and prints.
//!
//! Equivalent to encoding the parsed text again and comparing, without building either: the
//! walk accepts exactly the layout that [`encode`](super::encode) makes (checked against it by
//! a property test) and exactly the value types that [`from_text`](super::from_text) gives.

use super::decode::{Layout, variable_length};
use super::encode::{int_type, variable_length_bytes};
use super::jsonb;
use super::keys::{JsonKeys, ObjectKeys};
use super::number::{push_double, push_int, push_uint, typed_unsigned};
use super::text::{push_separator, push_string};
use super::{DEPTH_MAX, JsonTree, SMALL_BYTES_MAX};

/// Whether `encode(from_text(to_text(decode(image)))) == image`.
#[must_use]
pub fn is_exact(image: &[u8]) -> bool {
    text_if_exact(image, &mut String::new(), &mut JsonKeys::default())
}

/// Appends the document's text to `out` if that text alone leads back to the same image;
/// otherwise leaves `out` as it was and returns false. `keys` are those of the document before, of
/// any document or none.
#[must_use]
pub fn text_if_exact(image: &[u8], out: &mut String, keys: &mut JsonKeys) -> bool {
    let length = out.len();
    let mut walk = Walk {
        image,
        out,
        keys,
        objects: 0,
    };
    let exact = image
        .first()
        .and_then(|&kind| walk.value(kind, 1, 0))
        .is_some_and(|value| value.end == image.len());
    keys.end();
    if !exact {
        out.truncate(length);
    }
    exact
}

/// A value that was found where a fresh serialization would put it.
struct Found {
    /// Offset in the image behind its last byte.
    end: usize,
    /// Bytes it would take with everything in the small format.
    small: usize,
}

struct Walk<'a> {
    image: &'a [u8],
    out: &'a mut String,
    keys: &'a mut JsonKeys,
    /// Objects so far.
    objects: usize,
}

impl Walk<'_> {
    /// Walks the value of type `kind` that starts at `start`; `None` when it is not exact.
    fn value(&mut self, kind: u8, start: usize, depth: usize) -> Option<Found> {
        match kind {
            jsonb::SMALL_OBJECT => self.container(start, Layout { large: false }, true, depth),
            jsonb::LARGE_OBJECT => self.container(start, Layout { large: true }, true, depth),
            jsonb::SMALL_ARRAY => self.container(start, Layout { large: false }, false, depth),
            jsonb::LARGE_ARRAY => self.container(start, Layout { large: true }, false, depth),
            _ => {
                let size = self.scalar(kind, self.image.get(start..)?)?;
                let end = start.checked_add(size)?;
                Some(Found { end, small: size })
            }
        }
    }

    fn container(
        &mut self,
        start: usize,
        layout: Layout,
        object: bool,
        depth: usize,
    ) -> Option<Found> {
        if depth >= DEPTH_MAX {
            return None;
        }
        let bytes = self.image.get(start..)?;
        let count = layout.offset(bytes, 0)?;
        let size = layout.offset(bytes, layout.offset_bytes())?;
        let bytes = bytes.get(..size)?;
        let header = layout.header_bytes(count, object)?;
        let small_header = Layout { large: false }.header_bytes(count, object)?;
        // Implies that the count fits the image, before anything is looped over.
        bytes.get(..header)?;

        let nth = self.objects;
        let (mut own, mut key_bytes) = (None, 0);
        if object {
            self.objects += 1;
            key_bytes = match self.keys.place(nth) {
                Some(keys) => keys.read(bytes, layout, count, header)?,
                None => {
                    let own = own.insert(ObjectKeys::default());
                    own.read(bytes, layout, count, header)?
                }
            };
        }
        let mut end = header + key_bytes;
        let mut small = small_header + key_bytes;
        self.out.push(if object { '{' } else { '[' });
        let entries = bytes.get(header - count * layout.value_entry_bytes()..header)?;
        let entries = entries.chunks_exact(layout.value_entry_bytes());
        for (index, entry) in entries.enumerate() {
            match object {
                true => {
                    let keys = own.as_ref().or_else(|| self.keys.kept(nth))?;
                    keys.push(index, self.out)?;
                }
                false => push_separator(index, self.out),
            }
            let (&kind, field) = entry.split_first()?;
            if layout.inlines(kind) {
                small += self.inlined(kind, layout.offset(field, 0)?, layout)?;
                continue;
            }
            if layout.offset(field, 0)? != end {
                return None;
            }
            let found = self.value(kind, start.checked_add(end)?, depth + 1)?;
            end = found.end.checked_sub(start)?;
            small = small.checked_add(found.small)?;
        }
        self.out.push(if object { '}' } else { ']' });
        let format_fits = layout.large == (small > SMALL_BYTES_MAX);
        (end == size && format_fits).then_some(Found {
            end: start + end,
            small,
        })
    }

    /// Prints a value that stands in its entry, in the low bits of its field; returns the bytes it
    /// would take outside of a small entry.
    fn inlined(&mut self, kind: u8, field: usize, layout: Layout) -> Option<usize> {
        if kind == jsonb::LITERAL {
            self.literal(u8::try_from(field).ok()?)?;
            return Some(0);
        }
        // Short integers are widened to the entry with their sign.
        let value = match layout.large {
            false => i64::from(u16::try_from(field).ok()?.cast_signed()),
            true => i64::from(u32::try_from(field).ok()?.cast_signed()),
        };
        if kind == jsonb::UINT16 || kind == jsonb::UINT32 || int_type(value) != kind {
            return None;
        }
        push_int(value, self.out);
        Some(if kind == jsonb::INT32 { 4 } else { 0 })
    }

    fn literal(&mut self, literal: u8) -> Option<()> {
        self.out.push_str(match literal {
            jsonb::NULL => "null",
            jsonb::TRUE => "true",
            jsonb::FALSE => "false",
            _ => return None,
        });
        Some(())
    }

    /// Prints a scalar at the start of `bytes`; returns the bytes it takes.
    fn scalar(&mut self, kind: u8, bytes: &[u8]) -> Option<usize> {
        match kind {
            jsonb::LITERAL => {
                self.literal(*bytes.first()?)?;
                Some(1)
            }
            jsonb::INT16 | jsonb::INT32 | jsonb::INT64 => {
                let (value, width) = match kind {
                    jsonb::INT16 => (i64::from(i16::from_le_bytes(*bytes.first_chunk()?)), 2),
                    jsonb::INT32 => (i64::from(i32::from_le_bytes(*bytes.first_chunk()?)), 4),
                    _ => (i64::from_le_bytes(*bytes.first_chunk()?), 8),
                };
                let text_is_unsigned = u32::try_from(value).is_err() && value >= 0;
                if int_type(value) != kind || text_is_unsigned {
                    return None;
                }
                push_int(value, self.out);
                Some(width)
            }
            jsonb::UINT64 => {
                let value = u64::from_le_bytes(*bytes.first_chunk()?);
                if !matches!(typed_unsigned(value), JsonTree::Uint(_)) {
                    return None;
                }
                push_uint(value, self.out);
                Some(8)
            }
            jsonb::DOUBLE => {
                let value = f64::from_le_bytes(*bytes.first_chunk()?);
                if !value.is_finite() {
                    return None;
                }
                push_double(value, self.out);
                Some(8)
            }
            jsonb::STRING => {
                let (length, prefix) = variable_length(bytes)?;
                if prefix != variable_length_bytes(length) {
                    return None;
                }
                let data = bytes.get(prefix..prefix.checked_add(length)?)?;
                push_string(simdutf8::basic::from_utf8(data).ok()?, self.out);
                Some(prefix + length)
            }
            _ => None,
        }
    }
}
