//! Keys of objects, as they were in the documents before.
//!
//! The documents of a column mostly have the same members. The keys of an object stand together,
//! with a table of their places before them: where both are the bytes that were there last time,
//! what was found out about them holds again, and their text is there already.

use super::decode::{Layout, unsigned};
use super::text::{push_separator, push_string};
use super::tree::key_order;

/// Objects of one document of which the keys are kept.
const OBJECTS_MAX: usize = 16;
/// Longer keys are not kept.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// The keys of the objects of a column's last document.
#[derive(Debug, Default)]
pub struct JsonKeys {
    objects: Vec<ObjectKeys>,
}

impl JsonKeys {
    /// The place for the keys of the `nth` object of a document; none where they are not kept.
    pub(super) fn place(&mut self, nth: usize) -> Option<&mut ObjectKeys> {
        if nth >= OBJECTS_MAX {
            return None;
        }
        if self.objects.len() <= nth {
            self.objects.resize_with(nth + 1, ObjectKeys::default);
        }
        self.objects.get_mut(nth)
    }

    /// The keys of the `nth` object, where they are kept.
    #[inline]
    pub(super) fn kept(&self, nth: usize) -> Option<&ObjectKeys> {
        self.objects.get(nth)
    }

    /// Gives back the room of long keys after a document.
    pub(super) fn end(&mut self) {
        for keys in &mut self.objects {
            if keys.text.len() > KEPT_BYTES_MAX {
                *keys = ObjectKeys::default();
            }
        }
    }
}

/// The keys of one object, found where a fresh serialization puts them.
#[derive(Debug, Default)]
pub(super) struct ObjectKeys {
    is_large: bool,
    header: usize,
    /// Table of keys as in the image.
    table: Vec<u8>,
    /// The keys as in the image.
    keys: Vec<u8>,
    /// What is printed before each value, one after the other.
    text: String,
    /// Where each of these ends.
    ends: Vec<usize>,
}

impl ObjectKeys {
    /// Makes these the keys of the object with these bytes; gives their length, or `None` when they
    /// are not exact.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        layout: Layout,
        count: usize,
        header: usize,
    ) -> Option<usize> {
        let first = layout.offset_bytes() * 2;
        let table = bytes.get(first..first + count * layout.key_entry_bytes())?;
        let is_known = self.is_large == layout.large
            && self.header == header
            && self.table == table
            && bytes.get(header..header + self.keys.len()) == Some(&self.keys);
        if !is_known {
            self.read_new(bytes, layout, table, header)?;
        }
        Some(self.keys.len())
    }

    fn read_new(
        &mut self,
        bytes: &[u8],
        layout: Layout,
        table: &[u8],
        header: usize,
    ) -> Option<()> {
        *self = ObjectKeys {
            is_large: layout.large,
            header,
            ..ObjectKeys::default()
        };
        let mut at = header;
        let mut previous: Option<&str> = None;
        for (index, entry) in table.chunks_exact(layout.key_entry_bytes()).enumerate() {
            let (place, length) = entry.split_at_checked(layout.offset_bytes())?;
            if usize::try_from(unsigned(place)).ok()? != at {
                return None;
            }
            let end = at + usize::try_from(unsigned(length)).ok()?;
            let key = std::str::from_utf8(bytes.get(at..end)?).ok()?;
            if previous.is_some_and(|previous| key_order(previous, key).is_ge()) {
                return None;
            }
            previous = Some(key);
            at = end;
            push_separator(index, &mut self.text);
            push_string(key, &mut self.text);
            self.text.push_str(": ");
            self.ends.push(self.text.len());
        }
        self.keys.extend_from_slice(bytes.get(header..at)?);
        // Last: keys that were not read to their end are no keys of a table.
        self.table.extend_from_slice(table);
        Some(())
    }

    /// Appends what stands before the value of the member at `index`.
    #[inline]
    pub(super) fn push(&self, index: usize, out: &mut String) -> Option<()> {
        let start = match index {
            0 => 0,
            _ => *self.ends.get(index - 1)?,
        };
        out.push_str(self.text.get(start..*self.ends.get(index)?)?);
        Some(())
    }
}
