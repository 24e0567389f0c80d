//! Paths of JSON documents, learnt from a few rows before all of them are read.
//!
//! Types in documents of MySQL are asked for at the paths that the first rows have, which is much less
//! work of the server than the list of all types. A row with a value elsewhere ends that: what its
//! document has is learnt, and the rows that are left of the range are read again.

use super::encode::RowEncoder;
use super::{CatalogueTable, KeyRange, SnapshotWorker, is_ordered};
use crate::change::json::JsonPaths;
use crate::error::Result;
use crate::schema::quote_identifier;
use crate::source::SqlClient;

/// Rows looked at.
const SAMPLE_ROWS: usize = 64;
/// A longer document is not looked at.
const SAMPLE_BYTES: usize = 16 << 10;
/// Rows of a range, about: so many are read again at a time.
const RANGE_ROWS: u64 = 32_768;
/// Rows that are read for nothing, beyond as many as there are good ones.
const WASTED_ROWS_MAX: u64 = 4 * RANGE_ROWS;

/// Whether documents are still to be read by paths after so many rows of the table were read, and so
/// many for nothing. An estimate may be wrong, and a range all of a large table.
pub(super) fn pays(good: u64, wasted: u64) -> bool {
    wasted <= good.saturating_add(WASTED_ROWS_MAX)
}

impl SnapshotWorker {
    /// The ranges to read one after the other: those of a table with documents are short. Rows are
    /// read again by their number, so they must come in the same order again.
    pub(super) async fn ranges(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        encoder: &mut RowEncoder,
    ) -> Result<Vec<KeyRange>> {
        let stays = self.is_idle || table.transactional;
        if encoder.json_columns().is_empty() || !is_ordered(table) || !stays {
            return Ok(vec![*range]);
        }
        self.learn_paths((table, range), encoder).await?;
        let parts = range.rows_estimate(table).div_ceil(RANGE_ROWS);
        range.split(&mut self.client, table, parts).await
    }

    /// Learns the paths of every column of JSON.
    async fn learn_paths(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        encoder: &mut RowEncoder,
    ) -> Result<()> {
        for column in encoder.json_columns() {
            let column_name = quote_identifier(&column);
            let sql = format!(
                "SELECT IF(JSON_STORAGE_SIZE({column_name}) <= {SAMPLE_BYTES}, {column_name}, NULL) \
                 FROM {}{} LIMIT {SAMPLE_ROWS}",
                table.shape.name.quoted(),
                range.condition(table)
            );
            let mut paths = JsonPaths::default();
            let mut known = true;
            for row in self.client.query_rows(&sql).await? {
                for cell in row.iter().filter(|cell| cell.is_some()) {
                    known = known && paths.learn(&SqlClient::text(cell))?;
                }
            }
            if known && paths.pay() {
                encoder.read_by(&column, paths);
            }
        }
        Ok(())
    }
}
