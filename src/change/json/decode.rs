//! Image bytes -> tree, for any bytes: checked, bounded, never a panic.

use super::jsonb;
use super::{DEPTH_MAX, JsonDecimal, JsonObject, JsonTemporal, JsonTree};
use crate::error::{Error, Result, Wrap};
use crate::schema::wire;

/// Decodes the content of a JSON cell.
///
/// No bytes at all stand for `null`, as on the server. Slack between values is skipped. Every
/// byte may be part of one value only, so forged offsets cannot make the result larger than a
/// small multiple of the input.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no document: an offset or
/// length outside its container, an unknown type, values over one another, more than 100
/// levels, a string or key that is not UTF-8, an infinite number.
pub fn decode(image: &[u8]) -> Result<JsonTree> {
    let Some((&kind, body)) = image.split_first() else {
        return Ok(JsonTree::Null);
    };
    let mut decoder = Decoder {
        budget: image.len(),
    };
    decoder.value(kind, body, 0)
}

/// Sizes of the two storage formats of arrays and objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Four-byte offsets instead of two.
    pub(super) large: bool,
}

impl Layout {
    pub(super) fn offset_bytes(self) -> usize {
        if self.large { 4 } else { 2 }
    }

    pub(super) fn key_entry_bytes(self) -> usize {
        self.offset_bytes() + 2
    }

    pub(super) fn value_entry_bytes(self) -> usize {
        self.offset_bytes() + 1
    }

    /// Bytes before the first key (of an object) or the first value.
    pub(super) fn header_bytes(self, count: usize, object: bool) -> Option<usize> {
        let keys = if object { self.key_entry_bytes() } else { 0 };
        let entry = keys + self.value_entry_bytes();
        count
            .checked_mul(entry)?
            .checked_add(self.offset_bytes() * 2)
    }

    /// Whether values of the type stand in their entry instead of behind an offset.
    pub(super) fn inlines(self, kind: u8) -> bool {
        match kind {
            jsonb::LITERAL | jsonb::INT16 | jsonb::UINT16 => true,
            jsonb::INT32 | jsonb::UINT32 => self.large,
            _ => false,
        }
    }

    /// Reads an offset, size or count at `at`.
    #[inline]
    pub(super) fn offset(self, bytes: &[u8], at: usize) -> Option<usize> {
        let field = bytes.get(at..)?;
        match self.large {
            false => field
                .first_chunk()
                .map(|b| usize::from(u16::from_le_bytes(*b))),
            true => usize::try_from(u32::from_le_bytes(*field.first_chunk()?)).ok(),
        }
    }
}

/// Reads a length of one to five bytes, seven bits each, and the bytes it takes.
pub(super) fn variable_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0u64;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = u32::try_from(length).ok()?;
            return Some((usize::try_from(length).ok()?, index + 1));
        }
    }
    None
}

/// Bytes after a variable length, of that length.
pub(super) fn counted(bytes: &[u8]) -> Option<&[u8]> {
    let (length, used) = variable_length(bytes)?;
    bytes.get(used..used.checked_add(length)?)
}

fn refuse(what: &'static str) -> Error {
    Error::corrupt("decode json document").field("reason", what)
}

struct Decoder {
    /// Bytes of the image not yet claimed by a value.
    budget: usize,
}

impl Decoder {
    fn claim(&mut self, bytes: usize) -> Result<()> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or_else(|| refuse("values overlap"))?;
        Ok(())
    }

    fn value(&mut self, kind: u8, bytes: &[u8], depth: usize) -> Result<JsonTree> {
        match kind {
            jsonb::SMALL_OBJECT => self.container(bytes, Layout { large: false }, true, depth),
            jsonb::LARGE_OBJECT => self.container(bytes, Layout { large: true }, true, depth),
            jsonb::SMALL_ARRAY => self.container(bytes, Layout { large: false }, false, depth),
            jsonb::LARGE_ARRAY => self.container(bytes, Layout { large: true }, false, depth),
            _ => self.scalar(kind, bytes),
        }
    }

    fn container(
        &mut self,
        bytes: &[u8],
        layout: Layout,
        object: bool,
        depth: usize,
    ) -> Result<JsonTree> {
        if depth >= DEPTH_MAX {
            return Err(refuse("more than 100 levels"));
        }
        let short = || refuse("container exceeds its room");
        let count = layout.offset(bytes, 0).ok_or_else(short)?;
        let size = layout
            .offset(bytes, layout.offset_bytes())
            .ok_or_else(short)?;
        let header = layout.header_bytes(count, object).ok_or_else(short)?;
        let bytes = bytes.get(..size).ok_or_else(short)?;
        if header > size {
            return Err(short());
        }
        self.claim(header)?;
        let keys = layout.offset_bytes() * 2;
        let entries = if object {
            keys + count * layout.key_entry_bytes()
        } else {
            keys
        };
        if !object {
            let elements = (0..count).map(|index| {
                let entry = entries + index * layout.value_entry_bytes();
                self.element(bytes, layout, entry, header, depth)
            });
            return Ok(JsonTree::Array(elements.collect::<Result<_>>()?));
        }
        let mut members = Vec::with_capacity(count);
        for index in 0..count {
            let key = self.key(
                bytes,
                layout,
                keys + index * layout.key_entry_bytes(),
                header,
            )?;
            let entry = entries + index * layout.value_entry_bytes();
            members.push((key, self.element(bytes, layout, entry, header, depth)?));
        }
        Ok(JsonTree::Object(JsonObject::from_members(members)))
    }

    fn key(&mut self, bytes: &[u8], layout: Layout, entry: usize, header: usize) -> Result<String> {
        let outside = || refuse("key outside its object");
        let start = layout.offset(bytes, entry).ok_or_else(outside)?;
        let length = bytes
            .get(entry + layout.offset_bytes()..entry + layout.key_entry_bytes())
            .and_then(|field| <[u8; 2]>::try_from(field).ok())
            .map(|field| usize::from(u16::from_le_bytes(field)))
            .ok_or_else(outside)?;
        if start < header {
            return Err(outside());
        }
        let key = bytes.get(start..start + length).ok_or_else(outside)?;
        self.claim(length)?;
        utf8(key)
    }

    fn element(
        &mut self,
        bytes: &[u8],
        layout: Layout,
        entry: usize,
        header: usize,
        depth: usize,
    ) -> Result<JsonTree> {
        let outside = || refuse("value outside its container");
        let kind = *bytes.get(entry).ok_or_else(outside)?;
        if layout.inlines(kind) {
            let inlined = bytes
                .get(entry + 1..entry + layout.value_entry_bytes())
                .ok_or_else(outside)?;
            // The header that holds the entry is claimed already.
            return scalar(kind, inlined).map(|(tree, _)| tree);
        }
        let start = layout.offset(bytes, entry + 1).ok_or_else(outside)?;
        if start < header {
            return Err(outside());
        }
        let value = bytes.get(start..).ok_or_else(outside)?;
        self.value(kind, value, depth + 1)
    }

    fn scalar(&mut self, kind: u8, bytes: &[u8]) -> Result<JsonTree> {
        let (tree, size) = scalar(kind, bytes)?;
        self.claim(size)?;
        Ok(tree)
    }
}

/// Decodes a scalar at the start of `bytes`; also returns the bytes it takes, at least.
fn scalar(kind: u8, bytes: &[u8]) -> Result<(JsonTree, usize)> {
    let short = || refuse("scalar exceeds its room");
    let fixed = |length: usize| bytes.get(..length).ok_or_else(short);
    Ok(match kind {
        jsonb::LITERAL => match fixed(1)? {
            [jsonb::NULL] => (JsonTree::Null, 1),
            [jsonb::TRUE] => (JsonTree::Bool(true), 1),
            [jsonb::FALSE] => (JsonTree::Bool(false), 1),
            _ => return Err(refuse("unknown literal")),
        },
        jsonb::INT16 => (JsonTree::Int(signed(fixed(2)?)), 2),
        jsonb::INT32 => (JsonTree::Int(signed(fixed(4)?)), 4),
        jsonb::INT64 => (JsonTree::Int(signed(fixed(8)?)), 8),
        jsonb::UINT16 => (JsonTree::Uint(unsigned(fixed(2)?)), 2),
        jsonb::UINT32 => (JsonTree::Uint(unsigned(fixed(4)?)), 4),
        jsonb::UINT64 => (JsonTree::Uint(unsigned(fixed(8)?)), 8),
        jsonb::DOUBLE => {
            let value = f64::from_bits(unsigned(fixed(8)?));
            if !value.is_finite() {
                return Err(refuse("infinite number"));
            }
            (JsonTree::Double(value), 8)
        }
        jsonb::STRING => {
            let text = counted(bytes).ok_or_else(short)?;
            (JsonTree::String(utf8(text)?), text.len() + 1)
        }
        jsonb::OPAQUE => {
            let (&field_type, rest) = bytes.split_first().ok_or_else(short)?;
            let data = counted(rest).ok_or_else(short)?;
            (opaque(field_type, data), data.len() + 2)
        }
        _ => return Err(refuse("unknown value type")),
    })
}

/// Gives an opaque value its meaning where its bytes are exactly what that meaning is encoded as.
fn opaque(field_type: u8, data: &[u8]) -> JsonTree {
    if field_type == wire::NEWDECIMAL
        && let Some(decimal) = JsonDecimal::from_image(data)
    {
        return JsonTree::Decimal(decimal);
    }
    if let Some(temporal) = JsonTemporal::from_image(field_type, data) {
        return JsonTree::Temporal(temporal);
    }
    JsonTree::Opaque {
        field_type,
        data: data.to_vec(),
    }
}

fn utf8(bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).wrap(|| refuse("string is not UTF-8"))?;
    Ok(text.to_owned())
}

/// Little-endian, up to eight bytes.
pub(super) fn unsigned(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, &b| sum << 8 | u64::from(b))
}

/// Little-endian two's complement, up to eight bytes.
pub(super) fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len().clamp(1, 8);
    (unsigned(bytes) << unused).cast_signed() >> unused
}
