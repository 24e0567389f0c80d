//! MariaDB's COMPRESSED columns (wire types 140 and 141).
//!
//! The content is empty for the empty value; else a header byte, whose upper half is the method
//! (0 = plain, 8 = zlib). Plain: the value follows. zlib: the lower three bits are the size of
//! the value's length, which follows in big endian, and bit 3 says that the deflate stream has no
//! zlib wrapper. Source: `compress_zlib()` and `uncompress_zlib()` in MariaDB's `field_comp.cc`.
//!
//! A zlib stream depends on the level and strategy of the session that wrote it, so only plain
//! content is given back exactly from its value; the others keep their image in `__raw`.

use flate2::{Decompress, FlushDecompress, Status};

/// No deflate stream inflates to more than this many times its size.
const RATIO_MAX: usize = 1_032;

/// Appends the value to `out` and returns whether [`deflate_plain`] makes the same content of
/// it; `None` when the content is malformed or of an unknown method.
pub(super) fn inflate(content: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    let Some((header, rest)) = content.split_first() else {
        return Some(true);
    };
    if *header == 0 {
        out.extend_from_slice(rest);
        return Some(!rest.is_empty());
    }
    let (size, wrapped) = (usize::from(header & 7), header & 8 == 0);
    if header >> 4 != 8 || size == 0 || size > 4 || rest.len() < size {
        return None;
    }
    let (length, stream) = rest.split_at(size);
    let length = length.iter().fold(0usize, |l, b| l << 8 | usize::from(*b));
    if length > stream.len().saturating_mul(RATIO_MAX) {
        return None;
    }
    let start = out.len();
    // One byte more than promised, so that a longer stream is noticed.
    out.reserve_exact(length + 1);
    let mut inflate = Decompress::new(wrapped);
    loop {
        let before = (inflate.total_in(), inflate.total_out());
        let input = stream.get(usize::try_from(before.0).ok()?..)?;
        let status = inflate
            .decompress_vec(input, out, FlushDecompress::Finish)
            .ok()?;
        if out.len() - start > length {
            return None;
        }
        if status == Status::StreamEnd {
            break;
        }
        if before == (inflate.total_in(), inflate.total_out()) {
            return None;
        }
    }
    (out.len() - start == length).then_some(false)
}

/// Appends the plain content of a value.
pub(super) fn deflate_plain(value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.push(0);
        out.extend_from_slice(value);
    }
}
