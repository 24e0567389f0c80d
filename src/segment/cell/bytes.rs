//! Length-prefixed cells and little-endian integers.

/// The content of a cell with a length prefix of that many bytes, if the prefix is right.
#[inline]
pub(super) fn content(cell: &[u8], prefix: u8) -> Option<&[u8]> {
    let (head, content) = cell.split_at_checked(usize::from(prefix))?;
    (unsigned(head) == content.len() as u64).then_some(content)
}

/// Appends a length prefix, then what `write` appends; `None` when that is too long for the
/// prefix or `write` fails.
pub(super) fn prefixed(
    prefix: u8,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let prefix = usize::from(prefix);
    let start = out.len();
    out.resize(start + prefix, 0);
    write(out)?;
    let length = u32::try_from(out.len() - start - prefix)
        .ok()?
        .to_le_bytes();
    let (kept, cut) = length.split_at_checked(prefix)?;
    if cut.iter().any(|b| *b != 0) {
        return None;
    }
    out.get_mut(start..start + prefix)?.copy_from_slice(kept);
    Some(())
}

/// A little-endian number of up to 8 bytes.
#[inline]
pub(super) fn unsigned(bytes: &[u8]) -> u64 {
    match bytes {
        [a] => u64::from(*a),
        [a, b] => u64::from(u16::from_le_bytes([*a, *b])),
        [a, b, c, d] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)),
    }
}

/// A little-endian number of 1 to 8 bytes in two's complement.
#[inline]
pub(super) fn signed(bytes: &[u8]) -> i64 {
    match bytes {
        [a] => i64::from(*a as i8),
        [a, b] => i64::from(i16::from_le_bytes([*a, *b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([*a, *b, *c, *d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => {
            let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
            (unsigned(bytes) << unused) as i64 >> unused
        }
    }
}

/// Appends the low bytes of a number.
pub(super) fn put_le(out: &mut Vec<u8>, value: u64, bytes: u8) {
    let bytes = usize::from(bytes);
    out.extend_from_slice(value.to_le_bytes().get(..bytes).unwrap_or_default());
}
