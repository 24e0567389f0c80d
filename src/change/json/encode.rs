//! Tree -> image bytes, as the server serializes a fresh document.

use super::decode::Layout;
use super::jsonb;
use super::{DEPTH_MAX, JsonTree, SMALL_BYTES_MAX, decode};
use crate::error::{Error, Result};
use crate::schema::wire;

/// Encodes a document the way a fresh serialization on the server does: arrays and objects in
/// the small format when their whole small form fits 64 KiB, integers in the fewest bytes,
/// literals and short integers in their entry, keys then values without gaps.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the document cannot be stored: a key of
/// more than 65,535 bytes, more than 100 levels, or more than 4 GiB.
pub fn encode(tree: &JsonTree) -> Result<Vec<u8>> {
    let mut plan = Vec::new();
    let sizes = measure(tree, 0, &mut plan)?;
    let mut writer = Writer {
        out: Vec::with_capacity(1 + sizes.actual),
        plan: plan.iter(),
    };
    writer
        .out
        .push(type_byte(tree, plan.first().copied().unwrap_or(false)));
    writer.value(tree)?;
    if writer.out.len() > u32::MAX as usize {
        return Err(refuse("document over 4 GiB"));
    }
    Ok(writer.out)
}

/// The canonical form of a stored document, for row equality: slack of in-place updates and
/// foreign key order gone, decimals with the smallest precision that holds them, types kept.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the image is no document.
pub fn canonical(image: &[u8]) -> Result<Vec<u8>> {
    let mut tree = decode(image)?;
    normalize_decimals(&mut tree);
    encode(&tree)
}

fn normalize_decimals(tree: &mut JsonTree) {
    match tree {
        JsonTree::Decimal(decimal) => *decimal = decimal.normalized(),
        JsonTree::Array(elements) => elements.iter_mut().for_each(normalize_decimals),
        JsonTree::Object(object) => object.values_mut().for_each(normalize_decimals),
        _ => {}
    }
}

fn refuse(what: &'static str) -> Error {
    Error::corrupt("encode json document").field("reason", what)
}

/// Bytes of a value apart from its entry in the parent.
struct Sizes {
    /// In its own best format.
    actual: usize,
    /// With itself and everything inside in the small format, which decides whether a parent
    /// can be small.
    small: usize,
}

/// Measures a value and appends, in preorder, whether each container needs the large format.
fn measure(tree: &JsonTree, depth: usize, plan: &mut Vec<bool>) -> Result<Sizes> {
    let (object, count) = match tree {
        JsonTree::Array(elements) => (false, elements.len()),
        JsonTree::Object(object) => (true, object.members().len()),
        scalar => {
            let actual = scalar_bytes(scalar)?;
            return Ok(Sizes {
                actual,
                small: actual,
            });
        }
    };
    if depth >= DEPTH_MAX {
        return Err(refuse("more than 100 levels"));
    }
    let slot = plan.len();
    plan.push(false);
    let header = |large| {
        let layout = Layout { large };
        layout
            .header_bytes(count, object)
            .ok_or_else(|| refuse("document over 4 GiB"))
    };
    let (mut small, mut large) = (header(false)?, header(true)?);
    let mut add = |child: &JsonTree, plan: &mut Vec<bool>| -> Result<()> {
        let sizes = measure(child, depth + 1, plan)?;
        if !inlines(child, Layout { large: false }) {
            small = small.saturating_add(sizes.small);
        }
        if !inlines(child, Layout { large: true }) {
            large = large.saturating_add(sizes.actual);
        }
        Ok(())
    };
    match tree {
        JsonTree::Array(elements) => elements.iter().try_for_each(|child| add(child, plan))?,
        JsonTree::Object(object) => {
            object
                .members()
                .iter()
                .try_for_each(|(_, child)| add(child, plan))?;
            for (key, _) in object.members() {
                if key.len() > usize::from(u16::MAX) {
                    return Err(refuse("key over 65535 bytes"));
                }
                small = small.saturating_add(key.len());
                large = large.saturating_add(key.len());
            }
        }
        _ => {}
    }
    let needs_large = small > SMALL_BYTES_MAX;
    if let Some(entry) = plan.get_mut(slot) {
        *entry = needs_large;
    }
    let actual = if needs_large { large } else { small };
    Ok(Sizes { actual, small })
}

/// Bytes of a scalar outside an entry.
fn scalar_bytes(tree: &JsonTree) -> Result<usize> {
    let counted = |length: usize| variable_length_bytes(length) + length;
    Ok(match tree {
        JsonTree::Null | JsonTree::Bool(_) => 1,
        JsonTree::Int(value) => integer_bytes(int_type(*value)),
        JsonTree::Uint(value) => integer_bytes(uint_type(*value)),
        JsonTree::Double(_) => 8,
        JsonTree::String(text) => counted(text.len()),
        JsonTree::Decimal(decimal) => {
            let image = decimal.image().ok_or_else(|| refuse("decimal digits"))?;
            1 + counted(image.len())
        }
        JsonTree::Temporal(_) => 1 + counted(8),
        JsonTree::Opaque { data, .. } => 1 + counted(data.len()),
        JsonTree::Array(_) | JsonTree::Object(_) => 0,
    })
}

pub(super) fn variable_length_bytes(length: usize) -> usize {
    let bits = usize::BITS - length.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

pub(super) fn int_type(value: i64) -> u8 {
    if i16::try_from(value).is_ok() {
        jsonb::INT16
    } else if i32::try_from(value).is_ok() {
        jsonb::INT32
    } else {
        jsonb::INT64
    }
}

pub(super) fn uint_type(value: u64) -> u8 {
    if u16::try_from(value).is_ok() {
        jsonb::UINT16
    } else if u32::try_from(value).is_ok() {
        jsonb::UINT32
    } else {
        jsonb::UINT64
    }
}

fn integer_bytes(kind: u8) -> usize {
    match kind {
        jsonb::INT16 | jsonb::UINT16 => 2,
        jsonb::INT32 | jsonb::UINT32 => 4,
        _ => 8,
    }
}

/// The type byte; `large` matters for containers only.
fn type_byte(tree: &JsonTree, large: bool) -> u8 {
    match tree {
        JsonTree::Null | JsonTree::Bool(_) => jsonb::LITERAL,
        JsonTree::Int(value) => int_type(*value),
        JsonTree::Uint(value) => uint_type(*value),
        JsonTree::Double(_) => jsonb::DOUBLE,
        JsonTree::String(_) => jsonb::STRING,
        JsonTree::Array(_) if large => jsonb::LARGE_ARRAY,
        JsonTree::Array(_) => jsonb::SMALL_ARRAY,
        JsonTree::Object(_) if large => jsonb::LARGE_OBJECT,
        JsonTree::Object(_) => jsonb::SMALL_OBJECT,
        JsonTree::Decimal(_) | JsonTree::Temporal(_) | JsonTree::Opaque { .. } => jsonb::OPAQUE,
    }
}

fn inlines(tree: &JsonTree, layout: Layout) -> bool {
    layout.inlines(type_byte(tree, false))
}

struct Writer<'a> {
    out: Vec<u8>,
    plan: std::slice::Iter<'a, bool>,
}

impl Writer<'_> {
    fn value(&mut self, tree: &JsonTree) -> Result<()> {
        match tree {
            JsonTree::Array(elements) => {
                let values = elements.iter();
                self.container(elements.len(), None, values)
            }
            JsonTree::Object(object) => {
                let members = object.members();
                let values = members.iter().map(|(_, value)| value);
                self.container(members.len(), Some(members), values)
            }
            scalar => self.scalar(scalar),
        }
    }

    fn container<'t>(
        &mut self,
        count: usize,
        keys: Option<&[(String, JsonTree)]>,
        values: impl Iterator<Item = &'t JsonTree>,
    ) -> Result<()> {
        let large = self.plan.next().copied().unwrap_or(false);
        let layout = Layout { large };
        let start = self.out.len();
        self.push_offset(layout, count)?;
        self.push_offset(layout, 0)?;
        let header = layout
            .header_bytes(count, keys.is_some())
            .ok_or_else(|| refuse("document over 4 GiB"))?;
        if let Some(members) = keys {
            let mut offset = header;
            for (key, _) in members {
                self.push_offset(layout, offset)?;
                let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
                self.out.extend_from_slice(&length.to_le_bytes());
                offset += key.len();
            }
        }
        let mut entry = self.out.len();
        self.out.resize(start + header, 0);
        for (key, _) in keys.unwrap_or_default() {
            self.out.extend_from_slice(key.as_bytes());
        }
        for child in values {
            self.child(child, layout, start, entry)?;
            entry += layout.value_entry_bytes();
        }
        let size = self.out.len() - start;
        self.write_offset(layout, start + layout.offset_bytes(), size)
    }

    /// Writes a child: into its entry where it fits, else to the end with its offset there.
    fn child(
        &mut self,
        child: &JsonTree,
        layout: Layout,
        start: usize,
        entry: usize,
    ) -> Result<()> {
        let child_large = match child {
            JsonTree::Array(_) | JsonTree::Object(_) => {
                self.plan.as_slice().first().copied().unwrap_or(false)
            }
            _ => false,
        };
        let kind = type_byte(child, child_large);
        if let Some(slot) = self.out.get_mut(entry) {
            *slot = kind;
        }
        if layout.inlines(kind) {
            let bits = match child {
                JsonTree::Int(value) => value.cast_unsigned(),
                JsonTree::Uint(value) => *value,
                other => u64::from(literal(other)),
            };
            let bytes = bits.to_le_bytes();
            let width = layout.offset_bytes();
            if let (Some(slot), Some(value)) = (
                self.out.get_mut(entry + 1..entry + 1 + width),
                bytes.get(..width),
            ) {
                slot.copy_from_slice(value);
            }
            return Ok(());
        }
        let offset = self.out.len() - start;
        self.write_offset(layout, entry + 1, offset)?;
        self.value(child)
    }

    fn scalar(&mut self, tree: &JsonTree) -> Result<()> {
        match tree {
            JsonTree::Int(value) => {
                let width = integer_bytes(int_type(*value));
                self.push_integer(value.cast_unsigned(), width);
            }
            JsonTree::Uint(value) => self.push_integer(*value, integer_bytes(uint_type(*value))),
            JsonTree::Double(value) => self.out.extend_from_slice(&value.to_bits().to_le_bytes()),
            JsonTree::String(text) => self.push_counted(text.as_bytes()),
            JsonTree::Decimal(decimal) => {
                let image = decimal.image().ok_or_else(|| refuse("decimal digits"))?;
                self.out.push(wire::NEWDECIMAL);
                self.push_counted(&image);
            }
            JsonTree::Temporal(temporal) => {
                self.out.push(temporal.field_type());
                self.push_counted(&temporal.packed.to_le_bytes());
            }
            JsonTree::Opaque { field_type, data } => {
                self.out.push(*field_type);
                self.push_counted(data);
            }
            other => self.out.push(literal(other)),
        }
        Ok(())
    }

    fn push_integer(&mut self, bits: u64, width: usize) {
        let bytes = bits.to_le_bytes();
        self.out
            .extend_from_slice(bytes.get(..width).unwrap_or_default());
    }

    fn push_counted(&mut self, data: &[u8]) {
        let mut length = data.len();
        while length > 0x7f {
            self.out.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        self.out.push(length as u8);
        self.out.extend_from_slice(data);
    }

    fn push_offset(&mut self, layout: Layout, value: usize) -> Result<()> {
        let at = self.out.len();
        self.out.resize(at + layout.offset_bytes(), 0);
        self.write_offset(layout, at, value)
    }

    fn write_offset(&mut self, layout: Layout, at: usize, value: usize) -> Result<()> {
        let value = u32::try_from(value).map_err(|_| refuse("document over 4 GiB"))?;
        let bytes = value.to_le_bytes();
        let width = layout.offset_bytes();
        match (self.out.get_mut(at..at + width), bytes.split_at(width)) {
            (Some(slot), (low, high)) if high.iter().all(|&byte| byte == 0) => {
                slot.copy_from_slice(low);
                Ok(())
            }
            // The plan says small only where everything fits.
            _ => Err(Error::internal("encode json document").field("offset", value)),
        }
    }
}

fn literal(tree: &JsonTree) -> u8 {
    match tree {
        JsonTree::Bool(true) => jsonb::TRUE,
        JsonTree::Bool(false) => jsonb::FALSE,
        _ => jsonb::NULL,
    }
}
