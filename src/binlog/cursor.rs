//! A checked little-endian reader: every read gives `None` past the end, none panics.

/// Reads forward over some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor {
            rest: bytes,
            length: bytes.len(),
        }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (&first, tail) = self.rest.split_first()?;
        self.rest = tail;
        Some(first)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An integer of `n` bytes, at most 8.
    pub(crate) fn uint(&mut self, n: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..n)?.copy_from_slice(self.take(n)?);
        Some(u64::from_le_bytes(bytes))
    }

    /// A length-encoded integer of the client protocol; 251 (NULL) and 255 are none.
    pub(crate) fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            252 => self.uint(2),
            253 => self.uint(3),
            254 => self.u64(),
            251 | 255 => None,
            small => Some(u64::from(small)),
        }
    }

    /// A length-encoded integer used as a length or count of bytes that follow.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.lenenc()?).ok()
    }

    /// Bytes behind their length-encoded length.
    pub(crate) fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.length()?;
        self.take(n)
    }

    /// Bytes behind a one-byte length.
    pub(crate) fn short_bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(usize::from(n))
    }

    /// An unsigned integer of MySQL's serialization library: the number of trailing ones of the
    /// first byte is the number of bytes that follow it.
    pub(crate) fn varlen(&mut self) -> Option<u64> {
        let more = self.rest.first()?.trailing_ones() as usize;
        if more == 8 {
            self.u8()?;
            return self.u64();
        }
        Some(self.uint(more + 1)? >> (more + 1))
    }

    /// A signed integer of the same library: the sign in the lowest bit, negative ones inverted.
    pub(crate) fn varlen_signed(&mut self) -> Option<i64> {
        let raw = self.varlen()?;
        let magnitude = (raw >> 1) as i64;
        Some(if raw & 1 == 0 { magnitude } else { !magnitude })
    }
}

/// Bit `index` of a bitmap whose lowest bit comes first; `false` past its end.
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Bit `index` of a bitmap whose highest bit comes first; `false` past its end.
pub(crate) fn high_bit(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_the_bytes_end() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.u16(), Some(0x0201));
        assert_eq!((cursor.u16(), cursor.at()), (None, 2));
        assert_eq!(cursor.u8(), Some(3));
        assert_eq!(Cursor::new(&[252, 1]).lenenc(), None);
        assert_eq!(Cursor::new(&[252, 1, 2]).lenenc(), Some(0x0201));
        assert_eq!(Cursor::new(&[0; 16]).uint(9), None);
    }

    #[test]
    fn varlen_integers_of_the_serialization_library() {
        assert_eq!(Cursor::new(&[0x72]).varlen(), Some(57));
        assert_eq!(Cursor::new(&[0x75, 0x03]).varlen(), Some(0xdd));
        assert_eq!(Cursor::new(&[0x75]).varlen(), None);
        let mut huge = vec![0xff];
        huge.extend_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Cursor::new(&huge).varlen(), Some(u64::MAX));
        assert_eq!(Cursor::new(&[0x04]).varlen_signed(), Some(1));
        assert_eq!(Cursor::new(&[0x02]).varlen_signed(), Some(-1));
    }

    #[test]
    fn bitmaps_of_both_orders() {
        assert!(bit(&[0b10], 1) && !bit(&[0b10], 0) && !bit(&[0b10], 9));
        assert!(high_bit(&[0x40], 1) && !high_bit(&[0x40], 0) && !high_bit(&[0x40], 8));
    }
}
