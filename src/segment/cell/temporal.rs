//! Dates and times: packed forms of row images <-> days and microseconds.
//!
//! Only values that exist in the proleptic Gregorian calendar, years 1 to 9999, have a typed
//! form; zero, partial and impossible dates do not. Sources: `my_datetime_packed_to_binary()`,
//! `my_time_packed_to_binary()`, `my_timestamp_to_binary()` of both servers for the types with
//! fractions; the MySQL internals documentation for the old ones.

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Bytes of a fraction of a second, with the microseconds of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    bytes: usize,
    unit_us: i64,
}

impl Fraction {
    /// For 0 to 6 digits.
    pub(super) fn new(digits: u16) -> Option<Fraction> {
        let (bytes, unit_us) = match digits {
            0 => (0, SECOND_US),
            1 | 2 => (1, 10_000),
            3 | 4 => (2, 100),
            5 | 6 => (3, 1),
            _ => return None,
        };
        Some(Fraction { bytes, unit_us })
    }

    /// Microseconds of a stored fraction; `None` when it is a second or more.
    fn micros(self, stored: u64) -> Option<i64> {
        let micros = i64::try_from(stored).ok()?.checked_mul(self.unit_us)?;
        (micros < SECOND_US && (self.bytes > 0 || stored == 0)).then_some(micros)
    }

    /// The stored form of microseconds below a second; `None` when digits would be lost.
    fn stored(self, micros: i64) -> Option<u64> {
        (micros % self.unit_us == 0).then_some((micros / self.unit_us) as u64)
    }
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, b| value << 8 | u64::from(*b))
}

fn le(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, b| value << 8 | u64::from(*b))
}

fn put_be(out: &mut Vec<u8>, value: u64, bytes: usize) {
    out.extend_from_slice(value.to_be_bytes().get(8 - bytes..).unwrap_or_default());
}

/// Days since 1970-01-01 of a date that exists, years 1 to 9999.
pub(super) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if day > DAYS.get(month as usize - 1)? + i64::from(leap) {
        return None;
    }
    // Years run from March, so that the leap day is the last one.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day of days since 1970-01-01; `None` outside years 1 to 9999.
pub(super) fn date_of(days: i64) -> Option<(i64, i64, i64)> {
    if !(-719_162..=2_932_896).contains(&days) {
        return None;
    }
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    Some((era * 400 + year_of_era + i64::from(month <= 2), month, day))
}

/// DATE: 3 bytes, little endian: 5 bits day, 4 bits month, 15 bits year.
pub(super) fn decode_date(cell: &[u8]) -> Option<i64> {
    let packed = le(sized(cell, 3)?) as i64;
    days_of(packed >> 9, packed >> 5 & 15, packed & 31)
}

pub(super) fn encode_date(days: i64, out: &mut Vec<u8>) -> Option<()> {
    let (year, month, day) = date_of(days)?;
    let packed = (year << 9 | month << 5 | day) as u32;
    out.extend_from_slice(packed.to_le_bytes().get(..3)?);
    Some(())
}

fn sized(cell: &[u8], bytes: usize) -> Option<&[u8]> {
    (cell.len() == bytes).then_some(cell)
}

/// Microseconds since the epoch of date and time parts that exist.
fn instant(date: (i64, i64, i64), time: (i64, i64, i64), micros: i64) -> Option<i64> {
    moment(days_of(date.0, date.1, date.2)?, time, micros)
}

/// As [`instant`], of the days since the epoch.
fn moment(days: i64, (hour, minute, second): (i64, i64, i64), micros: i64) -> Option<i64> {
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days * DAY_US + ((hour * 60 + minute) * 60 + second) * SECOND_US + micros)
}

/// Date, time of day in whole seconds, and microseconds.
fn parts(us: i64) -> Option<((i64, i64, i64), i64, i64)> {
    let of_day = us.rem_euclid(DAY_US);
    let date = date_of(us.div_euclid(DAY_US))?;
    Some((date, of_day / SECOND_US, of_day % SECOND_US))
}

const DATETIME_SIGN: u64 = 1 << 39;

/// DATETIME(f): 5 bytes, big endian: sign (1), 17 bits year * 13 + month, 5 day, 5 hour,
/// 6 minute, 6 second; then the fraction.
pub(super) fn decode_datetime2(
    cell: &[u8],
    fraction: Fraction,
    last: &mut LastDate,
) -> Option<i64> {
    let (head, tail) = sized(cell, 5 + fraction.bytes)?.split_at(5);
    let packed = be(head);
    if packed & DATETIME_SIGN == 0 {
        return None;
    }
    let packed = (packed & !DATETIME_SIGN) as i64;
    moment(
        last.days_of(packed >> 17)?,
        (packed >> 12 & 31, packed >> 6 & 63, packed & 63),
        fraction.micros(be(tail))?,
    )
}

/// The date of a DATETIME looked up last: those of a block are mostly the same.
#[derive(Debug, Default)]
pub(super) struct LastDate {
    /// As packed, behind the sign; at first the zero date, which is none.
    packed: i64,
    days: Option<i64>,
}

impl LastDate {
    fn days_of(&mut self, packed: i64) -> Option<i64> {
        if self.packed != packed {
            let months = packed >> 5;
            *self = LastDate {
                packed,
                days: days_of(months / 13, months % 13, packed & 31),
            };
        }
        self.days
    }
}

pub(super) fn encode_datetime2(us: i64, fraction: Fraction, out: &mut Vec<u8>) -> Option<()> {
    let ((year, month, day), seconds, micros) = parts(us)?;
    let stored = fraction.stored(micros)?;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let packed = (year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second;
    put_be(out, packed as u64 | DATETIME_SIGN, 5);
    put_be(out, stored, fraction.bytes);
    Some(())
}

/// TIMESTAMP(f): 4 bytes of seconds, big endian, then the fraction. All zero is the zero
/// timestamp, no instant. Seconds above `seconds_max` do not exist.
pub(super) fn decode_timestamp2(cell: &[u8], fraction: Fraction, seconds_max: u32) -> Option<i64> {
    let (head, tail) = sized(cell, 4 + fraction.bytes)?.split_at(4);
    let us = be(head) as i64 * SECOND_US + fraction.micros(be(tail))?;
    (us != 0 && be(head) <= u64::from(seconds_max)).then_some(us)
}

pub(super) fn encode_timestamp2(
    us: i64,
    fraction: Fraction,
    seconds_max: u32,
    out: &mut Vec<u8>,
) -> Option<()> {
    let stored = fraction.stored(us.rem_euclid(SECOND_US))?;
    let seconds = u32::try_from(us.div_euclid(SECOND_US)).ok()?;
    if us == 0 || seconds > seconds_max {
        return None;
    }
    put_be(out, u64::from(seconds), 4);
    put_be(out, stored, fraction.bytes);
    Some(())
}

/// TIME(f): 3 bytes and the fraction as one big-endian number, biased by 0x800000 in the three
/// bytes; its magnitude is 10 bits hour, 6 minute, 6 second, then the fraction.
pub(super) fn decode_time2(cell: &[u8], fraction: Fraction) -> Option<i64> {
    let bits = 8 * fraction.bytes;
    let biased = be(sized(cell, 3 + fraction.bytes)?) as i64;
    let signed = biased - (0x80_0000 << bits);
    let magnitude = signed.abs();
    let whole = magnitude >> bits;
    let (hour, minute, second) = (whole >> 12, whole >> 6 & 63, whole & 63);
    if hour > 1023 || minute > 59 || second > 59 {
        return None;
    }
    let micros = fraction.micros((magnitude & ((1 << bits) - 1)) as u64)?;
    let us = ((hour * 60 + minute) * 60 + second) * SECOND_US + micros;
    Some(if signed < 0 { -us } else { us })
}

pub(super) fn encode_time2(us: i64, fraction: Fraction, out: &mut Vec<u8>) -> Option<()> {
    let magnitude = us.checked_abs()?;
    let stored = fraction.stored(magnitude % SECOND_US)? as i64;
    let seconds = magnitude / SECOND_US;
    let hour = seconds / 3600;
    if hour > 1023 {
        return None;
    }
    let bits = 8 * fraction.bytes;
    let whole = hour << 12 | (seconds / 60 % 60) << 6 | (seconds % 60);
    let packed = whole << bits | stored;
    let signed = if us < 0 { -packed } else { packed };
    put_be(
        out,
        (signed + (0x80_0000 << bits)) as u64,
        3 + fraction.bytes,
    );
    Some(())
}

/// Old TIME: 3 bytes, little endian, signed: the digits HHHMMSS.
pub(super) fn decode_old_time(cell: &[u8]) -> Option<i64> {
    let unsigned = le(sized(cell, 3)?) as i64;
    let digits = if unsigned >= 1 << 23 {
        unsigned - (1 << 24)
    } else {
        unsigned
    };
    let magnitude = digits.abs();
    let (hour, minute, second) = (magnitude / 10_000, magnitude / 100 % 100, magnitude % 100);
    if minute > 59 || second > 59 {
        return None;
    }
    let us = ((hour * 60 + minute) * 60 + second) * SECOND_US;
    Some(if digits < 0 { -us } else { us })
}

pub(super) fn encode_old_time(us: i64, out: &mut Vec<u8>) -> Option<()> {
    let magnitude = us.checked_abs()?;
    let seconds = magnitude / SECOND_US;
    let digits = seconds / 3600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60;
    if magnitude % SECOND_US != 0 || digits >= 1 << 23 {
        return None;
    }
    let signed = if us < 0 { -digits } else { digits } as i32;
    out.extend_from_slice(signed.to_le_bytes().get(..3)?);
    Some(())
}

/// Old DATETIME: 8 bytes, little endian: the digits YYYYMMDDhhmmss.
pub(super) fn decode_old_datetime(cell: &[u8]) -> Option<i64> {
    let digits = i64::try_from(le(sized(cell, 8)?)).ok()?;
    let (date, time) = (digits / 1_000_000, digits % 1_000_000);
    instant(
        (date / 10_000, date / 100 % 100, date % 100),
        (time / 10_000, time / 100 % 100, time % 100),
        0,
    )
}

pub(super) fn encode_old_datetime(us: i64, out: &mut Vec<u8>) -> Option<()> {
    let ((year, month, day), seconds, micros) = parts(us)?;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let date = (year * 100 + month) * 100 + day;
    let digits = date * 1_000_000 + (hour * 100 + minute) * 100 + second;
    out.extend_from_slice(&digits.to_le_bytes());
    (micros == 0).then_some(())
}

/// Old TIMESTAMP: 4 bytes of seconds, little endian; zero is no instant.
pub(super) fn decode_old_timestamp(cell: &[u8], seconds_max: u32) -> Option<i64> {
    let seconds = le(sized(cell, 4)?);
    (seconds != 0 && seconds <= u64::from(seconds_max)).then_some(seconds as i64 * SECOND_US)
}

pub(super) fn encode_old_timestamp(us: i64, out: &mut Vec<u8>) -> Option<()> {
    let seconds = u32::try_from(us.div_euclid(SECOND_US)).ok()?;
    out.extend_from_slice(&seconds.to_le_bytes());
    (us % SECOND_US == 0 && seconds != 0).then_some(())
}

/// YEAR: 1 byte, years since 1900; 0 is the year 0000.
pub(super) fn decode_year(cell: &[u8]) -> Option<i64> {
    match sized(cell, 1)?.first()? {
        0 => Some(0),
        byte => Some(1900 + i64::from(*byte)),
    }
}

pub(super) fn encode_year(year: i64, out: &mut Vec<u8>) -> Option<()> {
    let byte = match year {
        0 => 0,
        1901..=2155 => (year - 1900) as u8,
        _ => return None,
    };
    out.push(byte);
    Some(())
}
