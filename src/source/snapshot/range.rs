//! A table in parts that several connections read at once.

use super::CatalogueTable;
use crate::error::Result;
use crate::schema::{Column, quote_identifier, wire};
use crate::source::SqlClient;

/// The rows whose first column of the primary key, an integer, is in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Not below this one.
    from: Option<i128>,
    /// Below this one.
    before: Option<i128>,
}

impl KeyRange {
    /// All rows of any table.
    pub const ALL: KeyRange = KeyRange {
        from: None,
        before: None,
    };

    /// A table in at most so many ranges, which together are all of its rows; one where its primary
    /// key does not begin with an integer.
    ///
    /// # Errors
    /// As [`sql_error`](crate::source::sql_error) sorts them.
    pub async fn split(
        client: &mut SqlClient,
        table: &CatalogueTable,
        parts: u64,
    ) -> Result<Vec<KeyRange>> {
        let Some(column) = leading_integer(table).filter(|_| parts > 1) else {
            return Ok(vec![KeyRange::ALL]);
        };
        let column = quote_identifier(&column.name);
        let name = table.shape.name.quoted();
        let sql = format!("SELECT MIN({column}), MAX({column}) FROM {name}");
        let rows = client.query_rows(&sql).await?;
        let ends = rows.first().map(|row| {
            let mut ends = row.iter().map(|cell| SqlClient::text(cell).parse().ok());
            (ends.next().flatten(), ends.next().flatten())
        });
        Ok(match ends {
            Some((Some(least), Some(greatest))) => between(least, greatest, parts),
            _ => vec![KeyRange::ALL],
        })
    }

    /// The clause that reads only these.
    pub(super) fn condition(&self, table: &CatalogueTable) -> String {
        let Some(column) = leading_integer(table) else {
            return String::new();
        };
        let column = quote_identifier(&column.name);
        let from = self.from.map(|value| format!("{column} >= {value}"));
        let before = self.before.map(|value| format!("{column} < {value}"));
        let both: Vec<String> = from.into_iter().chain(before).collect();
        match both.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", both.join(" AND ")),
        }
    }
}

/// The column that the primary key begins with, where it is an integer.
fn leading_integer(table: &CatalogueTable) -> Option<&Column> {
    let part = table.shape.key.first().filter(|_| table.has_primary)?;
    let column = table.shape.columns.get(part.column as usize)?;
    let is_integer = matches!(
        column.wire_type,
        wire::TINY | wire::SHORT | wire::INT24 | wire::LONG | wire::LONGLONG
    );
    is_integer.then_some(column)
}

/// Ranges of about the same width; the first and the last one are open, whatever else is there.
fn between(least: i128, greatest: i128, parts: u64) -> Vec<KeyRange> {
    let width = (greatest - least).max(0) + 1;
    let parts = i128::from(parts).clamp(1, width);
    let edge = |n: i128| (n > 0 && n < parts).then(|| least + width * n / parts);
    let range = |n| KeyRange {
        from: edge(n),
        before: edge(n + 1),
    };
    (0..parts).map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_each_other_and_are_open_at_both_ends() {
        let unsigned = i128::from(u64::MAX);
        for (least, greatest, parts) in [
            (1, 1_000_000, 7),
            (-5, 5, 100),
            (3, 3, 4),
            (0, unsigned, 64),
            (i128::from(i64::MIN), i128::from(i64::MAX), 3),
        ] {
            let ranges = between(least, greatest, parts);
            assert!(ranges.len() as u64 <= parts && !ranges.is_empty());
            assert_eq!(ranges.first().expect("first").from, None);
            assert_eq!(ranges.last().expect("last").before, None);
            for pair in ranges.windows(2) {
                assert_eq!(pair[0].before, pair[1].from);
                assert!(pair[0].before.is_some());
            }
            let edges: Vec<i128> = ranges.iter().filter_map(|r| r.from).collect();
            assert!(edges.is_sorted_by(|a, b| a < b), "{edges:?}");
            assert!(edges.iter().all(|e| (least..=greatest).contains(e)));
        }
    }
}
