//! Doubles as the server prints them, and number tokens as it types them.

use super::JsonTree;
use crate::error::{Error, Result};
use std::fmt::Write;

/// The point may stand up to this many digits left or right of the first digit before the
/// server switches to scientific notation (`MAX_DECPT_FOR_F_FORMAT`, `DBL_DIG`).
const FIXED_POINT_MAX: i32 = 15;

/// Appends a finite double in the server's form: the shortest digits that lead back to the same
/// bits, laid out by the rules of `my_gcvt`, with `.0` where neither a point nor an exponent
/// would tell it from an integer.
pub(super) fn push_double(value: f64, out: &mut String) {
    if value.is_sign_negative() {
        out.push('-');
    }
    let mut scientific = Buffer::default();
    // Writing into the buffer cannot fail: 17 digits, point, exponent and signs fit.
    let _ = write!(scientific, "{:e}", value.abs());
    let text = scientific.as_str();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    push_laid_out(first, rest, exponent, out);
}

/// Lays out `first.rest * 10^exponent`.
fn push_laid_out(first: &str, rest: &str, exponent: i32, out: &mut String) {
    // The server counts the point's place from before the first digit.
    let point = exponent + 1;
    let digits = i32::try_from(1 + rest.len()).unwrap_or(i32::MAX);
    let fixed = point > -FIXED_POINT_MAX && (point <= FIXED_POINT_MAX || digits > point);
    if !fixed {
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        let _ = write!(out, "e{exponent}");
    } else if point <= 0 {
        out.push_str("0.");
        for _ in point..0 {
            out.push('0');
        }
        out.push_str(first);
        out.push_str(rest);
    } else {
        let whole = usize::try_from(point - 1).unwrap_or(0);
        out.push_str(first);
        match rest.split_at_checked(whole) {
            Some((left, right)) if !right.is_empty() => {
                out.push_str(left);
                out.push('.');
                out.push_str(right);
            }
            _ => {
                out.push_str(rest);
                for _ in rest.len()..whole {
                    out.push('0');
                }
                out.push_str(".0");
            }
        }
    }
}

/// The value the server makes of a number token: INTEGER up to 2^32-1 and for all negative ones,
/// UNSIGNED INTEGER above, DOUBLE with a point, an exponent or too many digits.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the number exceeds a double.
pub(super) fn number_of_token(token: &str) -> Result<JsonTree> {
    if !token.contains(['.', 'e', 'E']) {
        if token.starts_with('-') {
            if let Ok(value) = token.parse::<i64>() {
                return Ok(JsonTree::Int(value));
            }
        } else if let Ok(value) = token.parse::<u64>() {
            return Ok(typed_unsigned(value));
        }
    }
    Ok(JsonTree::Double(double_of_token(token)?))
}

/// INTEGER or UNSIGNED INTEGER for a non-negative number in text.
pub(super) fn typed_unsigned(value: u64) -> JsonTree {
    u32::try_from(value).map_or(JsonTree::Uint(value), |small| {
        JsonTree::Int(i64::from(small))
    })
}

/// The double nearest to a number token.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the number exceeds a double.
pub(super) fn double_of_token(token: &str) -> Result<f64> {
    match token.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(Error::corrupt("parse json number").field("token", shortened(token))),
    }
}

/// A token for an error message, cut to a bounded length.
fn shortened(token: &str) -> &str {
    token.get(..40).unwrap_or(token)
}

/// Room for one formatted double, without allocation.
#[derive(Default)]
struct Buffer {
    bytes: [u8; 32],
    len: usize,
}

impl Buffer {
    fn as_str(&self) -> &str {
        let used = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(used).unwrap_or_default()
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
