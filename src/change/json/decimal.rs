//! DECIMAL values inside JSON: `{precision, scale, MySQL's binary decimal}`.

use crate::error::{Error, Result};

/// Most digits a DECIMAL of the server can have (`DECIMAL_MAX_PRECISION` is 65; the arithmetic
/// behind JSON documents works on 81).
const DIGITS_MAX: usize = 81;

/// Digits per four-byte group.
const GROUP: usize = 9;

/// Bytes that a group of 0..=9 digits takes.
const GROUP_BYTES: [usize; GROUP + 1] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// A DECIMAL with the scale it is printed with and the precision it is stored with.
///
/// Equality is by value and scale: `1.50` from a `DECIMAL(3,2)` column equals `1.50` from a
/// `DECIMAL(10,2)` column, though their images differ in the stored precision.
#[derive(Clone, Debug)]
pub struct JsonDecimal {
    text: String,
    precision: u8,
}

impl PartialEq for JsonDecimal {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JsonDecimal {}

impl JsonDecimal {
    /// Parses the server's text of a decimal (`-12.50`) with the smallest precision that holds it.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the text is not digits with at most
    /// one point, in the form the server prints, or has too many digits.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = || Error::corrupt("parse json decimal").field("length", text.len());
        let (whole, fraction) = split(text).ok_or_else(refuse)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = whole == "0" || (!whole.is_empty() && !whole.starts_with('0'));
        let dangling = text.ends_with('.');
        if !digits(whole) || !digits(fraction) || !plain || dangling {
            return Err(refuse());
        }
        let whole_digits = if whole == "0" { 0 } else { whole.len() };
        let precision = (whole_digits + fraction.len()).max(1);
        if precision > DIGITS_MAX {
            return Err(refuse());
        }
        Ok(JsonDecimal {
            text: text.to_owned(),
            precision: u8::try_from(precision).unwrap_or(u8::MAX),
        })
    }

    /// The number as the server prints it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Stored digits in all, leading zeros included.
    #[must_use]
    pub fn precision(&self) -> u8 {
        self.precision
    }

    /// The same value with the smallest precision that holds it.
    #[must_use]
    pub fn normalized(&self) -> Self {
        JsonDecimal::parse(&self.text).unwrap_or_else(|_| self.clone())
    }

    /// The same value with leading zeros in store, as a column of more digits gives it.
    #[cfg(test)]
    pub(super) fn widened(mut self, digits: u8) -> Self {
        self.precision += digits;
        self
    }

    /// Reads the content of an opaque value of type NEWDECIMAL; `None` when the bytes are not
    /// what [`image`](Self::image) makes of the value, so that nothing is bent.
    pub(super) fn from_image(data: &[u8]) -> Option<Self> {
        let (&[precision, scale], groups) = data.split_first_chunk::<2>()?;
        let text = read_groups(precision, scale, groups)?;
        let decimal = JsonDecimal { text, precision };
        (decimal.image()? == data).then_some(decimal)
    }

    /// The content of the opaque value, `None` when the digits exceed the precision.
    pub(super) fn image(&self) -> Option<Vec<u8>> {
        let (whole, fraction) = split(&self.text)?;
        let whole = if whole == "0" { "" } else { whole };
        let precision = usize::from(self.precision);
        let whole_digits = precision.checked_sub(fraction.len())?;
        let padding = whole_digits.checked_sub(whole.len())?;
        let scale = u8::try_from(fraction.len()).ok()?;

        let mut image = vec![self.precision, scale];
        let padded = "0".repeat(padding) + whole;
        let (head, tail) = padded.split_at_checked(whole_digits % GROUP)?;
        push_group(head, &mut image)?;
        push_groups(tail, &mut image)?;
        push_groups(fraction, &mut image)?;
        if self.text.starts_with('-') {
            image.iter_mut().skip(2).for_each(|byte| *byte = !*byte);
        }
        if let Some(first) = image.get_mut(2) {
            *first ^= 0x80;
        }
        Some(image)
    }
}

/// Digits before and after the point, without the sign.
fn split(text: &str) -> Option<(&str, &str)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((_, fraction)) if fraction.contains('.') => None,
        Some(parts) => Some(parts),
        None => Some((unsigned, "")),
    }
}

fn push_groups(digits: &str, image: &mut Vec<u8>) -> Option<()> {
    let mut rest = digits;
    while !rest.is_empty() {
        let (group, after) = rest.split_at_checked(GROUP.min(rest.len()))?;
        push_group(group, image)?;
        rest = after;
    }
    Some(())
}

fn push_group(digits: &str, image: &mut Vec<u8>) -> Option<()> {
    if digits.is_empty() {
        return Some(());
    }
    let value: u32 = digits.parse().ok()?;
    let bytes = *GROUP_BYTES.get(digits.len())?;
    image.extend_from_slice(value.to_be_bytes().get(4 - bytes..)?);
    Some(())
}

fn read_groups(precision: u8, scale: u8, groups: &[u8]) -> Option<String> {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let whole = precision.checked_sub(scale)?;
    if precision == 0 || precision > DIGITS_MAX {
        return None;
    }
    let negative = groups.first()? & 0x80 == 0;
    let mut bytes = groups.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut rest: &[u8] = &bytes;
    let mut digits = String::new();
    take_group(&mut rest, whole % GROUP, &mut digits)?;
    for _ in 0..whole / GROUP {
        take_group(&mut rest, GROUP, &mut digits)?;
    }
    for _ in 0..scale / GROUP {
        take_group(&mut rest, GROUP, &mut digits)?;
    }
    take_group(&mut rest, scale % GROUP, &mut digits)?;

    let (left, right) = digits.split_at_checked(whole)?;
    let left = left.trim_start_matches('0');
    let mut text = String::with_capacity(digits.len() + 3);
    if negative {
        text.push('-');
    }
    text.push_str(if left.is_empty() { "0" } else { left });
    if !right.is_empty() {
        text.push('.');
        text.push_str(right);
    }
    Some(text)
}

fn take_group(rest: &mut &[u8], width: usize, digits: &mut String) -> Option<()> {
    use std::fmt::Write;
    if width == 0 {
        return Some(());
    }
    let (group, after) = rest.split_at_checked(*GROUP_BYTES.get(width)?)?;
    *rest = after;
    let value = group.iter().fold(0u32, |sum, &b| sum << 8 | u32::from(b));
    let before = digits.len();
    write!(digits, "{value:0width$}").ok()?;
    // More digits than the group holds: not a decimal that the server wrote.
    (digits.len() - before == width).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_images() {
        // SELECT on MySQL 9.7: 1.50 and -1.50 of DECIMAL(10,2), 12345678901.5 of DECIMAL(12,1).
        let cases: [(&[u8], &str); 4] = [
            (&[10, 2, 0x80, 0, 0, 1, 50], "1.50"),
            (&[10, 2, 0x7f, 0xff, 0xff, 0xfe, 0xcd], "-1.50"),
            (&[3, 2, 0x81, 50], "1.50"),
            (&[1, 1, 0x85], "0.5"),
        ];
        for (image, text) in cases {
            let decimal = JsonDecimal::from_image(image).expect(text);
            assert_eq!(decimal.text(), text);
            assert_eq!(decimal.image().expect(text), image);
            assert_eq!(decimal, JsonDecimal::parse(text).expect(text));
        }
    }

    #[test]
    fn forged_images_are_left_alone() {
        for image in [
            &[][..],
            &[1],
            &[0, 0],
            &[2, 3, 0x80],
            &[200, 0, 0x80],
            &[3, 2, 0x81],
            &[3, 2, 0x81, 150],
            &[3, 2, 0x81, 50, 0],
        ] {
            assert!(JsonDecimal::from_image(image).is_none(), "{image:?}");
        }
        for text in ["", "-", ".5", "1.", "01", "1.2.3", "1e5", "+1", "--1"] {
            assert!(JsonDecimal::parse(text).is_err(), "{text}");
        }
    }
}
