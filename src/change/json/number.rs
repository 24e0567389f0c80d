//! Doubles as the server prints them, and number tokens as it types them.

use super::JsonTree;
use crate::error::{Error, Result};
use std::fmt::Write;

/// The point may stand up to this many digits left or right of the first digit before the
/// server switches to scientific notation (`MAX_DECPT_FOR_F_FORMAT`, `DBL_DIG`).
const FIXED_POINT_MAX: i32 = 15;

/// Digits behind the point up to which a short decimal is looked for.
const SHORT_FRACTION: usize = 4;

/// Appends a finite double in the server's form: the shortest digits that lead back to the same
/// bits, laid out by the rules of `my_gcvt`, with `.0` where neither a point nor an exponent
/// would tell it from an integer.
///
/// Most doubles in documents are short decimals: these are found without a search.
///
/// Among equally short and equally near digits the server takes the even one (2^-25 ends in
/// ..312, not ..313). So does Ryu; the formatter of the standard library does not.
pub(super) fn push_double(value: f64, out: &mut String) {
    if value.is_sign_negative() {
        out.push('-');
    }
    if !push_short(value.abs(), out) {
        push_searched(value.abs(), out);
    }
}

/// Appends any finite double that is not negative, by a search for its shortest digits.
fn push_searched(value: f64, out: &mut String) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
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

/// Appends a double that is a decimal of at most 15 digits with at most [`SHORT_FRACTION`] behind
/// the point; false for any other. Two decimals of so few digits are never the same double, so the
/// one that is found is the shortest; and the quotient of two numbers that doubles hold exactly is
/// the double nearest to the decimal.
fn push_short(value: f64, out: &mut String) -> bool {
    const DIGITS_BOUND: f64 = 1e15;
    let mut scale = 1_u64;
    for places in 0..=SHORT_FRACTION {
        let scaled = value * scale as f64;
        if scaled >= DIGITS_BOUND {
            return false;
        }
        // The nearest integer: without an instruction of its own, `round` is a call.
        let digits = (scaled + 0.5) as u64;
        if digits as f64 / scale as f64 == value {
            let whole = value as u64;
            push_uint(whole, out);
            out.push('.');
            let mut buffer = itoa::Buffer::new();
            let fraction = buffer.format(digits - whole * scale);
            (fraction.len()..places).for_each(|_| out.push('0'));
            out.push_str(fraction);
            return true;
        }
        scale *= 10;
    }
    false
}

/// Appends an integer.
pub(super) fn push_int(value: i64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends an integer that is not negative.
pub(super) fn push_uint(value: u64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(value: f64) {
        let (mut short, mut searched) = (String::new(), String::new());
        if push_short(value, &mut short) {
            push_searched(value, &mut searched);
            assert_eq!(short, searched, "{value:e}");
        }
    }

    #[test]
    fn short_decimals_print_as_the_search_prints_them() {
        for value in [
            0.0,
            1.5,
            0.1 + 0.2,
            1e-4,
            0.00012,
            999_999_999_999_999.0,
            1e15,
            1e22,
            99_999_999_999.999_9,
            f64::MIN_POSITIVE,
            f64::MAX,
        ] {
            both(value);
        }
        let mut out = String::new();
        assert!(push_short(100_000.5, &mut out) && push_short(10.0625, &mut out));
        assert_eq!(out, "100000.510.0625");
        assert!(!push_short(0.1 + 0.2, &mut out) && !push_short(1e15, &mut out));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_short_way_agrees_with_the_search(digits in 0_u64..2_000_000_000_000_000, scale in 0_i32..8, bits in any::<u64>()) {
            both(digits as f64 / 10_f64.powi(scale));
            let any = f64::from_bits(bits).abs();
            if any.is_finite() {
                both(any);
            }
            // Neighbours of short decimals.
            both(f64::from_bits((digits as f64 / 10_f64.powi(scale)).to_bits() + 1));
        }
    }
}
