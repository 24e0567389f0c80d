//! Dates and times of the binary protocol -> cells of row images.
//!
//! Field by field, so that zero, partial and impossible dates come out as they went in. `None`
//! when the value is not of the type.

use super::encode::put_le;
use mysql_async::Value;

struct Parts {
    year: i64,
    month: i64,
    day: i64,
    /// Hours, minutes and seconds as `h << 12 | m << 6 | s`.
    clock: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

fn parts(value: &Value) -> Option<Parts> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else {
        return None;
    };
    let [hour, minute, second] = [hour, minute, second].map(i64::from);
    Some(Parts {
        year: i64::from(year),
        month: i64::from(month),
        day: i64::from(day),
        clock: hour << 12 | minute << 6 | second,
        hour,
        minute,
        second,
        micros: i64::from(micros),
    })
}

/// Bytes of a fraction of this many digits, and microseconds of its unit.
fn unit(fraction: u8) -> (usize, i64) {
    match fraction {
        0 => (0, 1_000_000),
        1 | 2 => (1, 10_000),
        3 | 4 => (2, 100),
        _ => (3, 1),
    }
}

fn put_be(out: &mut Vec<u8>, value: i64, bytes: usize) -> Option<()> {
    out.extend_from_slice(value.to_be_bytes().get(8 - bytes..)?);
    Some(())
}

pub(super) fn year(value: i128, out: &mut Vec<u8>) -> Option<()> {
    match value {
        0 => out.push(0),
        1901..=2155 => out.push((value - 1900) as u8),
        _ => return None,
    }
    Some(())
}

/// DATE: 3 bytes, little endian: 15 bits year, 4 month, 5 day.
pub(super) fn date(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let p = parts(value)?;
    put_le(out, i128::from(p.year << 9 | p.month << 5 | p.day), 3)
}

/// DATETIME(f): 5 bytes, big endian: a set sign bit, 17 bits `year * 13 + month`, 5 day, 17
/// clock; then the fraction.
pub(super) fn datetime(value: &Value, fraction: u8, out: &mut Vec<u8>) -> Option<()> {
    let p = parts(value)?;
    let packed = (p.year * 13 + p.month) << 22 | p.day << 17 | p.clock;
    let (bytes, micros) = unit(fraction);
    put_be(out, packed | 1 << 39, 5)?;
    put_be(out, p.micros / micros, bytes)
}

/// Seconds since the epoch of a value read in UTC; 0 for the zero timestamp.
fn seconds(p: &Parts) -> Option<i64> {
    if (p.year, p.month, p.day) == (0, 0, 0) {
        return Some(0);
    }
    let day = u32::try_from(p.day).ok()?;
    let date = chrono::NaiveDate::from_ymd_opt(
        i32::try_from(p.year).ok()?,
        u32::try_from(p.month).ok()?,
        day,
    )?;
    let epoch = chrono::NaiveDate::default();
    let days = date.signed_duration_since(epoch).num_days();
    let seconds = ((days * 24 + p.hour) * 60 + p.minute) * 60 + p.second;
    // MariaDB keeps fractions of the first second, MySQL nothing of it; all zeros is the zero date.
    let is_first = seconds == 0 && p.micros > 0;
    ((1..=i64::from(u32::MAX)).contains(&seconds) || is_first).then_some(seconds)
}

/// TIMESTAMP(f): 4 bytes of seconds, big endian; then the fraction.
pub(super) fn timestamp(value: &Value, fraction: u8, out: &mut Vec<u8>) -> Option<()> {
    let p = parts(value)?;
    let (bytes, micros) = unit(fraction);
    put_be(out, seconds(&p)?, 4)?;
    put_be(out, p.micros / micros, bytes)
}

struct Span {
    is_negative: bool,
    hours: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

fn span(value: &Value) -> Option<Span> {
    let Value::Time(is_negative, days, hour, minute, second, micros) = *value else {
        return None;
    };
    Some(Span {
        is_negative,
        hours: i64::from(days) * 24 + i64::from(hour),
        minute: i64::from(minute),
        second: i64::from(second),
        micros: i64::from(micros),
    })
}

/// TIME(f): 3 bytes and the fraction as one big-endian number with the bias 0x800000 in the three
/// bytes: 10 bits hours, 6 minutes, 6 seconds, then the fraction.
pub(super) fn time(value: &Value, fraction: u8, out: &mut Vec<u8>) -> Option<()> {
    let s = span(value)?;
    let (bytes, micros) = unit(fraction);
    let bits = 8 * bytes;
    let whole = s.hours << 12 | s.minute << 6 | s.second;
    let magnitude = whole << bits | (s.micros / micros);
    let signed = if s.is_negative { -magnitude } else { magnitude };
    put_be(out, signed + (0x80_0000 << bits), 3 + bytes)
}

/// Old TIME: 3 bytes, little endian, signed: the digits HHHMMSS.
pub(super) fn old_time(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let s = span(value)?;
    let digits = (s.hours * 100 + s.minute) * 100 + s.second;
    let signed = if s.is_negative { -digits } else { digits };
    put_le(out, i128::from(signed), 3)
}

/// Old DATETIME: 8 bytes, little endian: the digits YYYYMMDDhhmmss.
pub(super) fn old_datetime(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let p = parts(value)?;
    let date = (p.year * 100 + p.month) * 100 + p.day;
    let clock = (p.hour * 100 + p.minute) * 100 + p.second;
    put_le(out, i128::from(date * 1_000_000 + clock), 8)
}

/// Old TIMESTAMP: 4 bytes of seconds, little endian.
pub(super) fn old_timestamp(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    put_le(out, i128::from(seconds(&parts(value)?)?), 4)
}
