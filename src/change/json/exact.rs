//! Does the text of an image lead back to the very same bytes? One walk answers and prints.
//!
//! Equivalent to encoding the parsed text again and comparing, without building either: the
//! walk accepts exactly the layout that [`encode`](super::encode) makes (checked against it by
//! a property test) and exactly the value types that [`from_text`](super::from_text) gives.

use super::decode::{Layout, variable_length};
use super::encode::{int_type, variable_length_bytes};
use super::jsonb;
use super::keys::JsonKeys;
use super::number::{push_double, push_int, push_uint, typed_unsigned};
use super::text::push_string;
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

/// An array or object whose header is within the image.
struct Container<'a> {
    /// Where it starts in the image.
    start: usize,
    depth: usize,
    /// Its bytes.
    bytes: &'a [u8],
    /// Values.
    count: usize,
    /// Bytes before the first key or value, and what they would be in the small format.
    header: usize,
    small_header: usize,
}

struct Walk<'a> {
    image: &'a [u8],
    out: &'a mut String,
    keys: &'a mut JsonKeys,
    /// Objects so far.
    objects: usize,
}

impl<'a> Walk<'a> {
    /// Walks the value of type `kind` that starts at `start`; `None` when it is not exact.
    fn value(&mut self, kind: u8, start: usize, depth: usize) -> Option<Found> {
        match kind {
            jsonb::SMALL_OBJECT => self.object::<false>(start, depth),
            jsonb::LARGE_OBJECT => self.object::<true>(start, depth),
            jsonb::SMALL_ARRAY => self.array::<false>(start, depth),
            jsonb::LARGE_ARRAY => self.array::<true>(start, depth),
            _ => {
                let size = self.scalar(kind, self.image.get(start..)?)?;
                let end = start.checked_add(size)?;
                Some(Found { end, small: size })
            }
        }
    }

    fn object<const LARGE: bool>(&mut self, start: usize, depth: usize) -> Option<Found> {
        let container = self.container::<LARGE>(start, depth, true)?;
        let nth = self.objects;
        self.objects += 1;
        let mut keys = self.keys.take(nth);
        let (count, header) = (container.count, container.header);
        let length = keys.read(container.bytes, Layout { large: LARGE }, count, header)?;
        self.out.push('{');
        let texts = keys.texts().iter().map(String::as_str);
        let found = self.values::<LARGE>(&container, length, texts);
        self.out.push('}');
        self.keys.keep(nth, keys);
        found
    }

    fn array<const LARGE: bool>(&mut self, start: usize, depth: usize) -> Option<Found> {
        let container = self.container::<LARGE>(start, depth, false)?;
        self.out.push('[');
        let separators = std::iter::once("").chain(std::iter::repeat(", "));
        let found = self.values::<LARGE>(&container, 0, separators);
        self.out.push(']');
        found
    }

    #[inline]
    fn container<const LARGE: bool>(
        &self,
        start: usize,
        depth: usize,
        is_object: bool,
    ) -> Option<Container<'a>> {
        if depth >= DEPTH_MAX {
            return None;
        }
        let layout = Layout { large: LARGE };
        let bytes = self.image.get(start..)?;
        let count = layout.offset(bytes, 0)?;
        let size = layout.offset(bytes, layout.offset_bytes())?;
        let bytes = bytes.get(..size)?;
        let header = layout.header_bytes(count, is_object)?;
        // Implies that the count fits the image, before anything is looped over.
        bytes.get(..header)?;
        Some(Container {
            start,
            depth,
            bytes,
            count,
            header,
            small_header: Layout { large: false }.header_bytes(count, is_object)?,
        })
    }

    /// Prints the values of a container with as many bytes of keys, each behind its text.
    #[inline]
    fn values<'t, const LARGE: bool>(
        &mut self,
        container: &Container<'_>,
        key_bytes: usize,
        texts: impl Iterator<Item = &'t str>,
    ) -> Option<Found> {
        let (layout, bytes) = (Layout { large: LARGE }, container.bytes);
        let width = layout.value_entry_bytes();
        let mut end = container.header + key_bytes;
        let mut small = container.small_header + key_bytes;
        let entries = bytes.get(container.header - container.count * width..container.header)?;
        for (entry, text) in entries.chunks_exact(width).zip(texts) {
            self.out.push_str(text);
            let (&kind, field) = entry.split_first()?;
            if layout.inlines(kind) {
                small += self.inlined(kind, layout.offset(field, 0)?, layout)?;
                continue;
            }
            if layout.offset(field, 0)? != end {
                return None;
            }
            let start = container.start.checked_add(end)?;
            let found = self.value(kind, start, container.depth + 1)?;
            end = found.end.checked_sub(container.start)?;
            small = small.checked_add(found.small)?;
        }
        let format_fits = layout.large == (small > SMALL_BYTES_MAX);
        (end == bytes.len() && format_fits).then_some(Found {
            end: container.start + end,
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
