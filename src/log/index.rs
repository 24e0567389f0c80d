//! The index of an open batch: where every row image of a table stands and by what key it sorts.

use crate::change::Op;
use std::cmp::Ordering;
use std::ops::Range;

/// One row image of the open batch. 40 bytes: a batch holds millions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef {
    /// First eight bytes of the key, big endian: decides nearly every comparison.
    prefix: u64,
    /// Where the key starts in [`TableIndex::keys`].
    key_offset: u32,
    /// Length of the key.
    key_length: u32,
    /// Index of the event in the batch.
    pub(crate) event: u32,
    /// Where the image starts in the event.
    pub(crate) offset: u32,
    /// Length of the image.
    pub(crate) length: u32,
    /// Ordinal of the change in its transaction.
    pub(crate) row: u32,
    /// Operation.
    pub(crate) op: Op,
}

/// The row images of one table version in the open batch, in order of receipt.
#[derive(Debug, Default)]
pub(crate) struct TableIndex {
    rows: Vec<RowRef>,
    keys: Vec<u8>,
}

/// How much of an index there was at a moment, to go back to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IndexMark {
    rows: usize,
    keys: usize,
}

impl IndexMark {
    /// Number of images then.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

impl TableIndex {
    /// The key buffer: append the key of the next row to it, then [`push`](Self::push).
    pub(crate) fn keys_mut(&mut self) -> &mut Vec<u8> {
        &mut self.keys
    }

    /// Bytes of keys so far.
    pub(crate) fn keys_len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a row whose key is everything in the key buffer since `key_start`.
    pub(crate) fn push(&mut self, key_start: usize, mut row: RowRef) {
        let key = self.keys.get(key_start..).unwrap_or_default();
        let mut prefix = [0_u8; 8];
        for (to, from) in prefix.iter_mut().zip(key) {
            *to = *from;
        }
        row.prefix = u64::from_be_bytes(prefix);
        row.key_offset = key_start as u32;
        row.key_length = key.len() as u32;
        self.rows.push(row);
    }

    /// A row yet without its key.
    pub(crate) fn row(event: u32, offset: u32, length: u32, row: u32, op: Op) -> RowRef {
        RowRef {
            prefix: 0,
            key_offset: 0,
            key_length: 0,
            event,
            offset,
            length,
            row,
            op,
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.rows.len() * size_of::<RowRef>() + self.keys.len()
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn mark(&self) -> IndexMark {
        IndexMark {
            rows: self.rows.len(),
            keys: self.keys.len(),
        }
    }

    pub(crate) fn truncate(&mut self, mark: IndexMark) {
        self.rows.truncate(mark.rows);
        self.keys.truncate(mark.keys);
    }

    fn key(&self, row: &RowRef) -> &[u8] {
        let start = row.key_offset as usize;
        self.keys
            .get(start..start + row.key_length as usize)
            .unwrap_or_default()
    }

    /// Sorts by key; images of one key keep the order of receipt, which is Seq, ordinal, before
    /// after. The sort is stable and fast on input that is sorted already (inserts by a counter).
    pub(crate) fn sort(&mut self) {
        self.sort_range(0..self.rows.len());
    }

    /// Sorts these rows among themselves.
    pub(crate) fn sort_range(&mut self, range: Range<usize>) {
        let mut rows = std::mem::take(&mut self.rows);
        if let Some(part) = rows.get_mut(range) {
            part.sort_by(|a, b| match a.prefix.cmp(&b.prefix) {
                Ordering::Equal => self.key(a).cmp(self.key(b)),
                other => other,
            });
        }
        self.rows = rows;
    }

    /// Forgets all rows and gives their memory back.
    pub(crate) fn clear(&mut self) {
        *self = TableIndex::default();
    }

    /// The rows in their present order with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RowRef, &[u8])> {
        self.rows.iter().map(|row| (row, self.key(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(keys: &[&[u8]]) -> TableIndex {
        let mut index = TableIndex::default();
        for (number, key) in keys.iter().enumerate() {
            let start = index.keys_len();
            index.keys_mut().extend_from_slice(key);
            index.push(start, TableIndex::row(0, 0, 0, number as u32, Op::Insert));
        }
        index
    }

    #[test]
    fn rows_sort_by_whole_key_and_keep_their_order_within_one() {
        let mut index = index(&[b"12345678b", b"2", b"12345678a", b"", b"2", b"12345678a"]);
        index.sort();
        let order: Vec<u32> = index.iter().map(|(row, _)| row.row).collect();
        assert_eq!(order, [3, 2, 5, 0, 1, 4]);
    }

    #[test]
    fn truncation_forgets_rows_and_keys() {
        let mut index = index(&[b"a", b"b"]);
        let mark = index.mark();
        let start = index.keys_len();
        index.keys_mut().extend_from_slice(b"c");
        index.push(start, TableIndex::row(1, 1, 1, 1, Op::Delete));
        index.truncate(mark);
        assert_eq!((index.len(), index.keys_len()), (2, 2));
    }
}
