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
///
/// Among equally short and equally near digits the server takes the even one (2^-25 ends in
/// ..312, not ..313). So does Ryu; the formatter of the standard library does not.
pub(super) fn push_double(value: f64, out: &mut String) {
    if value.is_sign_negative() {
        out.push('-');
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

    let mut digits = [b'0'; 32];
    let mut length = 0;
    for (slot, digit) in digits.iter_mut().zip(whole.bytes().chain(fraction.bytes())) {
        *slot = digit;
        length += 1;
    }
    let used = digits.get(..length).unwrap_or_default();
    let text = std::str::from_utf8(used).unwrap_or_default();
    let significant = text.trim_start_matches('0');
    let zeros = text.len() - significant.len();
    let point = whole.len() as i32 - zeros as i32 + exponent;
    match significant.trim_end_matches('0') {
        "" => out.push_str("0.0"),
        significant => push_laid_out(significant, point, out),
    }
}

/// Lays out `0.digits * 10^point`.
fn push_laid_out(digits: &str, point: i32, out: &mut String) {
    let length = digits.len() as i32;
    let fixed = point > -FIXED_POINT_MAX && (point <= FIXED_POINT_MAX || length > point);
    // Neither branch splits elsewhere than between digits.
    let split = |at: i32| digits.split_at_checked(at as usize).unwrap_or((digits, ""));
    if !fixed {
        let (first, rest) = split(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "e{}", point - 1);
    } else if point <= 0 {
        out.push_str("0.");
        (point..0).for_each(|_| out.push('0'));
        out.push_str(digits);
    } else if length > point {
        let (whole, fraction) = split(point);
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    } else {
        out.push_str(digits);
        (length..point).for_each(|_| out.push('0'));
        out.push_str(".0");
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
