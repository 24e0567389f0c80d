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
    /// Takes out the keys of the `nth` object of the document before; none where they are not kept.
    #[inline]
    pub(super) fn take(&mut self, nth: usize) -> ObjectKeys {
        self.objects
            .get_mut(nth)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Keeps the keys of the `nth` object of a document; long ones not.
    #[inline]
    pub(super) fn keep(&mut self, nth: usize, keys: ObjectKeys) {
        if keys.keys.len() > KEPT_BYTES_MAX {
            return;
        }
        match self.objects.get_mut(nth) {
            Some(place) => *place = keys,
            None if nth < OBJECTS_MAX => {
                self.objects.resize_with(nth, ObjectKeys::default);
                self.objects.push(keys);
            }
            None => {}
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
    /// What is printed before each value.
    texts: Vec<String>,
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
            let mut text = String::new();
            push_separator(index, &mut text);
            push_string(key, &mut text);
            text.push_str(": ");
            self.texts.push(text);
        }
        self.keys.extend_from_slice(bytes.get(header..at)?);
        // Last: keys that were not read to their end are no keys of a table.
        self.table.extend_from_slice(table);
        Some(())
    }

    /// What stands before the value of each member.
    #[inline]
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }
}
