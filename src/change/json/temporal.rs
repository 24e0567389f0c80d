//! DATE, TIME, DATETIME and TIMESTAMP values inside JSON: eight bytes, packed.

use crate::error::{Error, Result};
use crate::schema::wire;
use std::fmt::Write;

/// Which of the four temporal types a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TemporalKind {
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// DATETIME.
    DateTime,
    /// TIMESTAMP, in the time zone of the session that made the document.
    Timestamp,
}

/// A temporal value as the server packs it (`TIME_to_longlong_packed`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JsonTemporal {
    /// The type.
    pub kind: TemporalKind,
    /// `((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second`, shifted
    /// left by 24 for the microseconds; a TIME has only hours and below and may be negative.
    pub packed: i64,
}

impl JsonTemporal {
    /// The type code of the opaque value.
    #[must_use]
    pub fn field_type(self) -> u8 {
        match self.kind {
            TemporalKind::Date => wire::DATE,
            TemporalKind::Time => wire::TIME,
            TemporalKind::DateTime => wire::DATETIME,
            TemporalKind::Timestamp => wire::TIMESTAMP,
        }
    }

    pub(super) fn from_image(field_type: u8, data: &[u8]) -> Option<Self> {
        let kind = match field_type {
            wire::DATE => TemporalKind::Date,
            wire::TIME => TemporalKind::Time,
            wire::DATETIME => TemporalKind::DateTime,
            wire::TIMESTAMP => TemporalKind::Timestamp,
            _ => return None,
        };
        let packed = i64::from_le_bytes(data.try_into().ok()?);
        Some(JsonTemporal { kind, packed })
    }

    /// Parses the server's text of a value of this type.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the text has another form.
    pub fn parse(kind: TemporalKind, text: &str) -> Result<Self> {
        let packed = match kind {
            TemporalKind::Date => pack_date(text).and_then(|ymd| ymd.checked_mul(1 << 41)),
            TemporalKind::Time => pack_time(text),
            TemporalKind::DateTime | TemporalKind::Timestamp => pack_datetime(text),
        };
        match packed {
            Some(packed) => Ok(JsonTemporal { kind, packed }),
            None => Err(Error::corrupt("parse json temporal value")
                .field("type", format!("{kind:?}"))
                .field("length", text.len())),
        }
    }

    /// Appends the text the server prints, without quotes.
    pub(super) fn push_text(self, out: &mut String) {
        let magnitude = self.packed.unsigned_abs();
        let micros = magnitude & 0xff_ffff;
        let whole = magnitude >> 24;
        let (minute, second) = (whole >> 6 & 0x3f, whole & 0x3f);
        if self.packed < 0 {
            out.push('-');
        }
        // Writing to a String cannot fail.
        if self.kind == TemporalKind::Time {
            let hour = whole >> 12 & 0x3ff;
            let _ = write!(out, "{hour:02}:{minute:02}:{second:02}.{micros:06}");
            return;
        }
        let ymd = whole >> 17;
        let (year_month, day) = (ymd >> 5, ymd & 0x1f);
        let (year, month) = (year_month / 13, year_month % 13);
        let _ = write!(out, "{year:04}-{month:02}-{day:02}");
        if self.kind != TemporalKind::Date {
            let hour = whole >> 12 & 0x1f;
            let _ = write!(out, " {hour:02}:{minute:02}:{second:02}.{micros:06}");
        }
    }
}

/// Digits only: `parse` of the standard library would take a sign, too.
fn number(text: &str, max: i64) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value: i64 = digits.then(|| text.parse().ok()).flatten()?;
    (value <= max).then_some(value)
}

fn pack_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 9_999)?;
    let month = number(parts.next()?, 12)?;
    let day = number(parts.next()?, 31)?;
    parts
        .next()
        .is_none()
        .then_some((year * 13 + month) << 5 | day)
}

/// `HH:MM:SS.ffffff` with up to `hours_max` hours.
fn pack_clock(text: &str, hours_max: i64) -> Option<i64> {
    let (clock, micros) = text.split_once('.')?;
    let micros = (micros.len() == 6).then(|| number(micros, 999_999))??;
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, hours_max)?;
    let minute = number(parts.next()?, 59)?;
    let second = number(parts.next()?, 59)?;
    parts
        .next()
        .is_none()
        .then_some((hour << 12 | minute << 6 | second) << 24 | micros)
}

fn pack_time(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => pack_clock(rest, 838).map(|packed| -packed),
        None => pack_clock(text, 838),
    }
}

fn pack_datetime(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(' ')?;
    Some(pack_date(date)? << 41 | pack_clock(clock, 23)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_packed_form_agree() {
        let cases = [
            (TemporalKind::Date, "2024-01-02"),
            (TemporalKind::Date, "0000-00-00"),
            (TemporalKind::Date, "9999-12-31"),
            (TemporalKind::Time, "-838:59:59.000000"),
            (TemporalKind::Time, "-00:00:00.000001"),
            (TemporalKind::Time, "00:00:00.000000"),
            (TemporalKind::DateTime, "2024-02-03 04:05:06.789000"),
            (TemporalKind::Timestamp, "1970-01-01 00:00:01.999999"),
        ];
        for (kind, text) in cases {
            let value = JsonTemporal::parse(kind, text).expect(text);
            let mut printed = String::new();
            value.push_text(&mut printed);
            assert_eq!(printed, text);
            let image = value.packed.to_le_bytes();
            let again = JsonTemporal::from_image(value.field_type(), &image);
            assert_eq!(again, Some(value));
        }
        for text in ["", "2024-01", "2024-01-02-03", "2024-13-01", "+024-01-01"] {
            assert!(
                JsonTemporal::parse(TemporalKind::Date, text).is_err(),
                "{text}"
            );
        }
    }
}
