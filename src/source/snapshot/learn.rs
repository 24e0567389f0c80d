//! Paths of JSON documents, learnt from a few rows before all of them are read.

use super::encode::{RowEncoder, UNKNOWN_PATH};
use super::{CatalogueTable, KeyRange, SnapshotWorker};
use crate::change::json::JsonPaths;
use crate::error::{Error, Result};
use crate::schema::quote_identifier;
use crate::source::SqlClient;

/// Rows looked at.
const SAMPLE_ROWS: usize = 64;
/// A longer document is not looked at.
const SAMPLE_BYTES: usize = 16 << 10;

impl SnapshotWorker {
    /// Whether documents of MySQL are read by the paths that the first rows have: much less work of
    /// the server, but a read that meets another path [ends](Self::is_unknown_path) and is to be
    /// repeated without.
    pub fn read_json_by_paths(&mut self, on: bool) {
        self.by_paths = on;
    }

    /// Whether a read ended for that reason.
    #[must_use]
    pub fn is_unknown_path(error: &Error) -> bool {
        error.get(UNKNOWN_PATH).is_some()
    }

    /// Learns the paths of every column of JSON.
    pub(super) async fn learn_paths(
        &mut self,
        (table, range): (&CatalogueTable, &KeyRange),
        encoder: &mut RowEncoder,
    ) -> Result<()> {
        if !self.by_paths {
            return Ok(());
        }
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
