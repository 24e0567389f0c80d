//! What a server's time zone does, whatever it is called.
//!
//! A statement that ran in the zone `SYSTEM` is logged under that word alone, and
//! `system_time_zone` is an abbreviation that several zones share (`CST`) or that names only half
//! of one (`CEST`). So a zone is known by its *rule*: the offsets that `FROM_UNIXTIME()` shows from
//! 1970 to 2038, the seconds at which they change, and what `UNIX_TIMESTAMP()` makes of a local time
//! that comes twice or never. Two servers whose zones have the same rule read and write the same
//! local times.

use super::SqlClient;
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};

/// Name under which the rule of the source's `SYSTEM` zone is recorded among its settings.
pub const SYSTEM_ZONE_RULE: &str = "system_time_zone_rule";

/// Seconds of a day: how far apart the first samples are. No zone changes there and back between.
const DAY: i64 = 86_400;

/// Parts into which the time of a change is cut at a time.
const PARTS: i64 = 16;
/// Columns of one statement; servers take 4,096.
const COLUMNS_MAX: usize = 2_000;

/// Numbers from 0, as a table of one column.
const SIXTEEN: &str = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 \
    UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 \
    UNION ALL SELECT 9 UNION ALL SELECT 10 UNION ALL SELECT 11 UNION ALL SELECT 12 \
    UNION ALL SELECT 13 UNION ALL SELECT 14 UNION ALL SELECT 15)";

/// The days at which the offset is not that of the day before, the first one included: two
/// conversions a day, and no sort, for this is asked on every connection.
fn days_of_changes() -> String {
    format!(
        "SELECT day, TIMESTAMPDIFF(SECOND, '1970-01-01', FROM_UNIXTIME(day * {DAY})) - day * {DAY} AS ahead \
         FROM (SELECT n1.d + 16 * n2.d + 256 * n3.d + 4096 * n4.d AS day FROM \
         (SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 \
         UNION ALL SELECT 5 UNION ALL SELECT 6) AS n4, {SIXTEEN} AS n1, {SIXTEEN} AS n2, \
         {SIXTEEN} AS n3) AS days WHERE day BETWEEN 1 AND 24855 AND (day = 1 OR \
         TIMESTAMPDIFF(SECOND, '1970-01-01', FROM_UNIXTIME(day * {DAY})) - {DAY} <> \
         TIMESTAMPDIFF(SECOND, '1970-01-01', FROM_UNIXTIME(day * {DAY} - {DAY}))) ORDER BY day"
    )
}

/// The rule of a zone: an offset that `SET time_zone` takes where it never changed, else a digest
/// of all changes. Leaves the session in `+00:00`.
///
/// # Errors
/// `Config` for a zone the server does not know; those of the connection.
pub async fn zone_rule(client: &mut SqlClient, zone: &str) -> Result<String> {
    let zone = zone.replace('\'', "''").replace('\\', "");
    client.exec(&format!("SET time_zone='{zone}'")).await?;
    let probed = probe(client).await;
    client.exec("SET time_zone='+00:00'").await?;
    Ok(rule(&probed?))
}

/// A change of the clock.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// A second at which the offset is still the former one.
    low: i64,
    /// A second at which it no longer is; in the end, the first one.
    high: i64,
    /// Offset before.
    before: i64,
    /// Offset after.
    after: i64,
}

/// The offset of the first day, then every change with the moment that the server takes for the
/// middle of the local times that come twice or never.
async fn probe(client: &mut SqlClient) -> Result<Vec<(i64, i64, i64)>> {
    let (mut changes, mut former) = (Vec::new(), None);
    let mut all = Vec::new();
    for row in client.query_rows(&days_of_changes()).await? {
        let mut cells = row.iter().map(|cell| number(cell.as_deref()));
        let (Some(Some(day)), Some(Some(after))) = (cells.next(), cells.next()) else {
            return Err(unreadable());
        };
        match former {
            None => all.push((0, after, 0)),
            Some(before) => changes.push(Change {
                low: (day - 1) * DAY,
                high: day * DAY,
                before,
                after,
            }),
        }
        former = Some(after);
    }
    if all.is_empty() {
        return Err(unreadable());
    }
    while changes.iter().any(|change| change.high - change.low > 1) {
        narrow(client, &mut changes).await?;
    }
    let middles = changes.iter().map(|change| {
        let local = change.high + (change.before + change.after) / 2;
        format!("UNIX_TIMESTAMP(TIMESTAMPADD(SECOND, {local}, '1970-01-01'))")
    });
    let taken = row(client, middles.collect()).await?;
    let changes = changes.iter().zip(taken);
    all.extend(changes.map(|(change, taken)| (change.high, change.after, taken)));
    Ok(all)
}

/// Looks at several moments within every change, all in one statement.
async fn narrow(client: &mut SqlClient, changes: &mut [Change]) -> Result<()> {
    let moments: Vec<Vec<i64>> = changes
        .iter()
        .map(|change| {
            let step = ((change.high - change.low) / PARTS).max(1);
            let moments = (1..PARTS).map(|n| change.low + n * step);
            moments.filter(|moment| *moment < change.high).collect()
        })
        .collect();
    let columns = moments.iter().flatten();
    let columns = columns
        .map(|m| format!("TIMESTAMPDIFF(SECOND, '1970-01-01', FROM_UNIXTIME({m})) - {m}"))
        .collect();
    let mut offsets = row(client, columns).await?.into_iter();
    for (change, moments) in changes.iter_mut().zip(moments) {
        let same = moments.into_iter().zip(offsets.by_ref());
        // The zip must take no offset beyond its moments: moments end first.
        for (moment, offset) in same {
            match offset == change.before {
                true => change.low = change.low.max(moment),
                false => change.high = change.high.min(moment),
            }
        }
    }
    Ok(())
}

/// The values of one row of numbers.
async fn row(client: &mut SqlClient, columns: Vec<String>) -> Result<Vec<i64>> {
    let mut values = Vec::with_capacity(columns.len());
    for columns in columns.chunks(COLUMNS_MAX) {
        let sql = format!("SELECT {}", columns.join(","));
        let rows = client.query_rows(&sql).await?;
        let cells = rows.first().ok_or_else(unreadable)?.iter();
        let numbers: Option<Vec<i64>> = cells.map(|cell| number(cell.as_deref())).collect();
        values.extend(numbers.ok_or_else(unreadable)?);
    }
    Ok(values)
}

fn number(cell: Option<&[u8]>) -> Option<i64> {
    let text = std::str::from_utf8(cell?).ok()?;
    // UNIX_TIMESTAMP may show a fraction of nothing.
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}

fn unreadable() -> Error {
    Error::incompatible("read time zone of server")
        .hint("the server shows local times in a form that is not known here; report its version")
}

fn rule(changes: &[(i64, i64, i64)]) -> String {
    if let [(_, offset, _)] = changes
        && offset % 60 == 0
        && offset.abs() < 14 * 3_600
    {
        let sign = if *offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        return format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
    let text = changes
        .iter()
        .map(|(at, to, taken)| format!("{at}:{to}:{taken}"));
    let text: Vec<String> = text.collect();
    let digest = Sha256::digest(text.join(";").as_bytes());
    format!("sha256:{}", hex::encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_an_offset_or_a_digest() {
        assert_eq!(rule(&[(0, 0, 0)]), "+00:00");
        assert_eq!(rule(&[(0, 19_800, 0)]), "+05:30");
        assert_eq!(rule(&[(0, -12_600, 0)]), "-03:30");
        let summer = rule(&[(0, 3_600, 0), (323_830_800, 7_200, 323_830_800)]);
        assert!(summer.starts_with("sha256:"), "{summer}");
        for other in [
            (323_830_801, 7_200, 323_830_800),
            (323_830_800, 7_200, 323_829_000),
        ] {
            assert_ne!(summer, rule(&[(0, 3_600, 0), other]));
        }
        assert!(rule(&[(0, 50_401, 0)]).starts_with("sha256:"));
    }
}
