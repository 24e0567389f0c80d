//! Times as people write them.

use crate::error::{Error, Result};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime};

/// Parses a time: RFC 3339 with a zone, `YYYY-MM-DD[ HH:MM:SS[.ffffff]]` in `zone` (`+HH:MM` or
/// UTC), or relative to now (`-15m`, `-2h30m`, units d h m s). Microseconds since the epoch.
pub(super) fn parse(text: &str, zone: &str, now_us: i64) -> Result<i64> {
    let bad = || {
        Error::config("parse time").field("text", text).hint(
            "write 2026-11-20T10:00:00Z, 2026-11-20 10:00:00 with --time-zone, or a relative -15m",
        )
    };
    let text = text.trim();
    if let Some(relative) = text.strip_prefix('-') {
        let us = duration_us(relative).ok_or_else(bad)?;
        return now_us.checked_sub(us).ok_or_else(bad);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
        .ok()
        .or_else(|| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()?
                .and_hms_opt(0, 0, 0)
        })
        .ok_or_else(bad)?;
    let offset = offset(zone)?;
    let time = local.and_local_timezone(offset).single().ok_or_else(bad)?;
    Ok(time.timestamp_micros())
}

fn offset(zone: &str) -> Result<FixedOffset> {
    let bad = || {
        Error::config("parse time zone")
            .field("zone", zone)
            .hint("write UTC or an offset such as +02:00; names change their offset twice a year")
    };
    if matches!(zone, "UTC" | "utc" | "Z") {
        return FixedOffset::east_opt(0).ok_or_else(bad);
    }
    zone.parse().map_err(|_| bad())
}

fn duration_us(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0_i64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let count: i64 = number.parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?.checked_mul(1_000_000)?)?;
        number.clear();
    }
    (number.is_empty() && total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_763_632_800_000_000;

    #[test]
    fn all_three_forms_name_the_same_moment() {
        assert_eq!(
            parse("2025-11-20T10:00:00Z", "UTC", 0).expect("rfc 3339"),
            T
        );
        assert_eq!(
            parse("2025-11-20T12:00:00+02:00", "UTC", 0).expect("offset"),
            T
        );
        assert_eq!(parse("2025-11-20 12:00:00", "+02:00", 0).expect("zone"), T);
        assert_eq!(
            parse("-1h30m", "UTC", T + 5_400_000_000).expect("relative"),
            T
        );
        assert_eq!(
            parse("2025-11-20 10:00:00.000001", "UTC", 0).expect("micros"),
            T + 1
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "yesterday",
            "-",
            "-5",
            "-5y",
            "2025-13-01",
            "2025-11-20T10:00:00",
        ] {
            let parsed = parse(text, "UTC", T);
            assert_eq!(parsed.is_err(), text != "2025-11-20T10:00:00", "{text}");
        }
        assert!(parse("2025-11-20 10:00:00", "Europe/Berlin", 0).is_err());
    }
}
