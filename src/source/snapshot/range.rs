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
    /// It is about one of so many parts of the table.
    parts: u64,
}

impl KeyRange {
    /// All rows of any table.
    pub const ALL: KeyRange = KeyRange {
        from: None,
        before: None,
        parts: 1,
    };

    /// The same rows in at most so many ranges; in one where the primary key does not begin with an
    /// integer.
    ///
    /// # Errors
    /// As [`sql_error`](crate::source::sql_error) sorts them.
    pub async fn split(
        self,
        client: &mut SqlClient,
        table: &CatalogueTable,
        parts: u64,
    ) -> Result<Vec<KeyRange>> {
        let Some(column) = leading_integer(table).filter(|_| parts > 1) else {
            return Ok(vec![self]);
        };
        let column = quote_identifier(&column.name);
        let name = table.shape.name.quoted();
        let condition = self.condition(table);
        let sql = format!("SELECT MIN({column}), MAX({column}) FROM {name}{condition}");
        let rows = client.query_rows(&sql).await?;
        let ends = rows.first().map(|row| {
            let mut ends = row.iter().map(|cell| SqlClient::text(cell).parse().ok());
            (ends.next().flatten(), ends.next().flatten())
        });
        Ok(match ends {
            Some((Some(least), Some(greatest))) => self.between((least, greatest), parts),
            _ => vec![self],
        })
    }

    /// Rows in it, by the server's estimate of the table.
    pub(super) fn rows_estimate(&self, table: &CatalogueTable) -> u64 {
        table.rows_estimate / self.parts
    }

    /// Ranges of about the same width from the least to the greatest value in it; the first and the
    /// last one end where it ends, whatever else is there.
    fn between(self, (least, greatest): (i128, i128), parts: u64) -> Vec<KeyRange> {
        let width = (greatest - least).max(0) + 1;
        let parts = i128::from(parts).clamp(1, width);
        let edge = |n: i128| least + width * n / parts;
        let all = self.parts.saturating_mul(u64::try_from(parts).unwrap_or(1));
        let range = |n| KeyRange {
            from: if n == 0 { self.from } else { Some(edge(n)) },
            before: if n == parts - 1 {
                self.before
            } else {
                Some(edge(n + 1))
            },
            parts: all,
        };
        (0..parts).map(range).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_each_other_and_end_where_the_whole_ends() {
        let unsigned = i128::from(u64::MAX);
        let some = KeyRange {
            from: Some(-7),
            before: Some(1_000_001),
            parts: 3,
        };
        for (whole, least, greatest, parts) in [
            (KeyRange::ALL, 1, 1_000_000, 7),
            (KeyRange::ALL, -5, 5, 100),
            (KeyRange::ALL, 3, 3, 4),
            (KeyRange::ALL, 0, unsigned, 64),
            (KeyRange::ALL, i128::from(i64::MIN), i128::from(i64::MAX), 3),
            (some, -7, 1_000_000, 5),
            (some, 40, 40, 5),
        ] {
            let ranges = whole.between((least, greatest), parts);
            assert!(ranges.len() as u64 <= parts && !ranges.is_empty());
            assert_eq!(ranges.first().expect("first").from, whole.from);
            assert_eq!(ranges.last().expect("last").before, whole.before);
            for pair in ranges.windows(2) {
                assert_eq!(pair[0].before, pair[1].from);
                assert!(pair[0].before.is_some());
            }
            let edges: Vec<i128> = ranges.iter().skip(1).filter_map(|r| r.from).collect();
            assert!(edges.is_sorted_by(|a, b| a < b), "{edges:?}");
            assert!(edges.iter().all(|e| (least..=greatest).contains(e)));
            let all = whole.parts * ranges.len() as u64;
            assert!(ranges.iter().all(|range| range.parts == all));
        }
    }
}
