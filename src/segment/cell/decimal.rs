//! DECIMAL: the packed binary of row images <-> unscaled integer or canonical text.
//!
//! Nine digits are four bytes, big endian; the digits that are left at the outer end of each side
//! take 1 to 4 bytes. The first bit is flipped, and every bit of a negative number is: then bytes
//! order as numbers do. Source: `decimal2bin()` of both servers.

use crate::change::decimal_size;
use std::fmt::Write;

/// Bytes of a group of 0 to 9 digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Powers of ten of a group.
const POWERS: [u32; 10] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];
/// Digits of the widest DECIMAL, on both sides, rounded up to whole groups.
const GROUPS_MAX: usize = 10;

/// Precision and scale, cut into groups of digits in the order of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    groups: [u8; GROUPS_MAX],
    count: usize,
    integer_groups: usize,
    bytes: usize,
    precision: u32,
    scale: u32,
}

/// A decoded number.
pub(super) struct Number {
    pub(super) unscaled: i128,
    /// False for minus zero.
    pub(super) exact: bool,
}

impl Decimal {
    /// `None` for impossible metadata.
    pub(super) fn new(precision: u32, scale: u32) -> Option<Decimal> {
        let integer = precision.checked_sub(scale)?;
        if precision > 65 || precision == 0 {
            return None;
        }
        let mut groups = [0u8; GROUPS_MAX];
        let (mut count, mut integer_groups) = (0, 0);
        let mut push = |digits: u32| {
            if digits > 0
                && let Some(slot) = groups.get_mut(count)
            {
                *slot = digits as u8;
                count += 1;
            }
            count
        };
        push(integer % 9);
        for _ in 0..integer / 9 {
            push(9);
        }
        integer_groups += push(0);
        for _ in 0..scale / 9 {
            push(9);
        }
        let count = push(scale % 9);
        Some(Decimal {
            groups,
            count,
            integer_groups,
            bytes: decimal_size(precision, scale) as usize,
            precision,
            scale,
        })
    }

    /// Precision and scale.
    pub(super) fn shape(&self) -> (u8, i8) {
        (self.precision as u8, self.scale as i8)
    }

    fn groups(&self) -> &[u8] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// Hands the groups to `each` as `(index, digits, value)`; returns whether the number is
    /// negative. `None` when the cell is not of this type or a group has too many digits.
    #[inline]
    fn read(&self, cell: &[u8], mut each: impl FnMut(usize, usize, u32)) -> Option<bool> {
        if cell.len() != self.bytes {
            return None;
        }
        let negative = cell.first()? & 0x80 == 0;
        let mask = if negative { 0xff } else { 0 };
        let mut at = 0;
        let mut flip = 0x80;
        for (index, digits) in self.groups().iter().enumerate() {
            let digits = usize::from(*digits);
            let end = at + GROUP_BYTES.get(digits)?;
            let mut value = 0u32;
            for byte in cell.get(at..end)? {
                value = value << 8 | u32::from(byte ^ mask ^ flip);
                flip = 0;
            }
            if value >= *POWERS.get(digits)? {
                return None;
            }
            each(index, digits, value);
            at = end;
        }
        Some(negative)
    }

    /// The unscaled value; only for precisions up to 38.
    pub(super) fn decode(&self, cell: &[u8]) -> Option<Number> {
        let mut unscaled: i128 = 0;
        let negative = self.read(cell, |_, digits, value| {
            let power = POWERS.get(digits).copied().unwrap_or(1);
            unscaled = unscaled
                .wrapping_mul(i128::from(power))
                .wrapping_add(i128::from(value));
        })?;
        Some(Number {
            unscaled: if negative { -unscaled } else { unscaled },
            exact: !(negative && unscaled == 0),
        })
    }

    /// Appends the canonical text: no plus, no leading zeros but the one before the point, all
    /// digits of the scale. Returns whether it is exact (minus zero prints as zero).
    pub(super) fn decode_text(&self, cell: &[u8], out: &mut String) -> Option<bool> {
        let start = out.len();
        let mut digits_text = String::with_capacity(96);
        let mut integer_end = 0;
        let negative = self.read(cell, |index, digits, value| {
            // Writing to a String cannot fail.
            let _ = write!(digits_text, "{value:0digits$}");
            if index < self.integer_groups {
                integer_end = digits_text.len();
            }
        })?;
        let (integer, fraction) = digits_text.split_at_checked(integer_end)?;
        let zero = digits_text.bytes().all(|b| b == b'0');
        if negative && !zero {
            out.push('-');
        }
        let integer = integer.trim_start_matches('0');
        out.push_str(if integer.is_empty() { "0" } else { integer });
        if self.scale > 0 {
            out.push('.');
            out.push_str(fraction);
        }
        debug_assert!(out.len() > start);
        Some(!(negative && zero))
    }

    /// Appends the cell of an unscaled value; false when it has too many digits.
    pub(super) fn encode(&self, unscaled: i128, out: &mut Vec<u8>) -> bool {
        let mut values = [0u32; GROUPS_MAX];
        let mut rest = unscaled.unsigned_abs();
        let used = values.get_mut(..self.count).unwrap_or_default();
        for (value, digits) in used.iter_mut().zip(self.groups()).rev() {
            let power = u128::from(POWERS.get(usize::from(*digits)).copied().unwrap_or(1));
            *value = (rest % power) as u32;
            rest /= power;
        }
        if rest != 0 {
            return false;
        }
        self.write(&values, unscaled < 0, out);
        true
    }

    /// Appends the cell of a canonical text; false when it is not one of this type.
    pub(super) fn encode_text(&self, text: &str, out: &mut Vec<u8>) -> bool {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let integer = integer.trim_start_matches('0').as_bytes();
        let width = |groups: &[u8]| groups.iter().map(|d| usize::from(*d)).sum::<usize>();
        let (before, after) = self.groups().split_at(self.integer_groups);
        let Some(padding) = width(before).checked_sub(integer.len()) else {
            return false;
        };
        if width(after) != fraction.len() {
            return false;
        }
        let mut digits = std::iter::repeat_n(&b'0', padding)
            .chain(integer)
            .chain(fraction.as_bytes());
        let mut values = [0u32; GROUPS_MAX];
        for (value, group) in values.iter_mut().zip(self.groups()) {
            for digit in digits.by_ref().take(usize::from(*group)) {
                if !digit.is_ascii_digit() {
                    return false;
                }
                *value = *value * 10 + u32::from(digit - b'0');
            }
        }
        self.write(&values, negative, out);
        true
    }

    fn write(&self, values: &[u32; GROUPS_MAX], negative: bool, out: &mut Vec<u8>) {
        let start = out.len();
        for (value, digits) in values.iter().zip(self.groups()) {
            let bytes = GROUP_BYTES.get(usize::from(*digits)).copied().unwrap_or(0);
            out.extend_from_slice(value.to_be_bytes().get(4 - bytes..).unwrap_or_default());
        }
        let cell = out.get_mut(start..).unwrap_or_default();
        if let Some(first) = cell.first_mut() {
            *first ^= 0x80;
        }
        if negative {
            for byte in cell {
                *byte = !*byte;
            }
        }
    }
}
