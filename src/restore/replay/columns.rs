//! What of a target's tables no row image tells: engines, counters and generated columns.

use crate::error::Result;
use crate::restore::server::Target;
use crate::schema::{Generated, TableName, TableVersion};
use crate::source::{SqlClient, user_databases};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Columns of the target that no row image tells apart from others.
#[derive(Debug, Default)]
pub(super) struct SpecialColumns {
    /// AUTO_INCREMENT columns by table.
    pub(super) counters: BTreeMap<TableName, String>,
    /// Generated columns.
    generated: BTreeMap<(TableName, String), Generated>,
    /// Tables of InnoDB.
    innodb: BTreeSet<TableName>,
}

/// InnoDB wants ascending values in a column of this name where a full-text index uses it.
const DOCUMENT_ID: &str = "FTS_DOC_ID";

impl SpecialColumns {
    /// What the target has besides ordinary columns.
    pub(super) async fn read(target: &Target) -> Result<SpecialColumns> {
        let mut client = target.connect().await?;
        // Else a server opens all of its own tables, too.
        let ours = user_databases("table_schema");
        let sql = format!(
            "SELECT table_schema, table_name, column_name, extra FROM information_schema.columns \
             WHERE {ours} AND (extra LIKE '%auto_increment%' \
             OR (extra LIKE '%VIRTUAL GENERATED%' OR extra LIKE '%STORED GENERATED%') \
             AND generation_expression NOT IN ('ROW START', 'ROW END'))"
        );
        let rows = client.query_rows(&sql).await?;
        let sql = format!(
            "SELECT table_schema, table_name FROM information_schema.tables \
             WHERE {ours} AND engine = 'InnoDB'"
        );
        let innodb = client.query_rows(&sql).await?;
        client.close().await;
        let text = SqlClient::text;
        let mut found = SpecialColumns::default();
        let names = innodb.iter().filter_map(|row| match row.as_slice() {
            [db, table] => Some(TableName::new(text(db), text(table))),
            _ => None,
        });
        found.innodb = names.collect();
        for row in &rows {
            let [db, table, column, extra] = row.as_slice() else {
                continue;
            };
            let (table, column) = (TableName::new(text(db), text(table)), text(column));
            let extra = text(extra);
            let generated = match extra.contains("VIRTUAL") {
                true => Generated::Virtual,
                false => Generated::Stored,
            };
            match extra.contains("auto_increment") {
                true => drop(found.counters.insert(table, column)),
                false => drop(found.generated.insert((table, column), generated)),
            }
        }
        Ok(found)
    }

    /// Whether rows of a table may be written by several transactions at once, in any order.
    pub(super) fn is_divisible(&self, version: &TableVersion) -> bool {
        let mut columns = version.columns.iter();
        self.innodb.contains(&version.name) && columns.all(|c| c.name != DOCUMENT_ID)
    }

    /// A version that stands on the target, with what is generated there.
    pub(super) fn with_generated(&self, version: Arc<TableVersion>) -> Arc<TableVersion> {
        let mut version = TableVersion::clone(&version);
        for column in &mut version.columns {
            let name = (version.name.clone(), column.name.clone());
            column.generated = self.generated.get(&name).copied();
        }
        Arc::new(version)
    }
}
