//! Rows that lack what the source computed: the target computes it, and must be able to.
//!
//! MariaDB 11.8 computes generated columns that a rows event does not have. 10.11 stores NULL in
//! them, and its indexes of them are then damaged; so the server is asked with a row of our own
//! before any other is written.

use super::plan::RestorePlan;
use super::progress::DATABASE;
use super::server::Target;
use super::table::PlannedTable;
use crate::binlog::write::{StatementBuilder, binlog_statement};
use crate::change::{ImageWriter, RowsKind};
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::runtime::Clock;
use crate::schema::{Column, StoredType, TableId, TableName, TableShape, TableVersion, wire};
use crate::source::SqlClient;

/// The table of the row of our own.
const TABLE: &str = "computed";

impl PlannedTable {
    /// Whether rows of it lack cells: what the target computes cannot be compared then.
    pub(super) fn lacks_cells(&self) -> bool {
        self.change_files.iter().any(|file| file.absent)
    }

    /// What a reader should know of a table whose rows lack cells.
    pub(super) fn note_of_lack(&self) -> Option<String> {
        let version = self.versions.values().next_back()?;
        let generated = version.columns.iter().filter(|c| c.generated.is_some());
        let names: Vec<&str> = generated.map(|c| c.name.as_str()).collect();
        (self.lacks_cells() && !names.is_empty()).then(|| {
            format!(
                "{}: the source did not log generated columns ({}) of all rows: the target computes \
                 them, and they are not compared",
                self.name,
                names.join(", ")
            )
        })
    }
}

/// Refuses a target that does not compute what rows of the plan lack.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when it does not; those of the
/// connection.
pub(super) async fn require_computing(
    client: &mut SqlClient,
    target: &Target,
    (plan, clock): (&RestorePlan, &Clock),
) -> Result<()> {
    let Some(table) = plan.tables.iter().find(|table| table.lacks_cells()) else {
        return Ok(());
    };
    if computes(client, (target, clock), Logged::Absent).await? {
        return Ok(());
    }
    Err(
        Error::incompatible("restore: the target does not compute generated columns of row events")
            .field("table", &table.name)
            .field("target", &target.version)
            .hint("the source did not log them; restore to a server of the source's version"),
    )
}

/// What a row of our own has of its stored column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logged {
    /// Nothing.
    Absent,
    /// Another value than the target computes.
    Otherwise,
}

/// Whether a target computes the stored column of a row that it gets by a rows event, in the
/// database of ours that an unfinished restore has there.
///
/// # Errors
/// Those of the connection.
pub(super) async fn computes(
    client: &mut SqlClient,
    (target, clock): (&Target, &Clock),
    logged: Logged,
) -> Result<bool> {
    let name = format!("{DATABASE}.{TABLE}");
    client.exec(&format!("DROP TABLE IF EXISTS {name}")).await?;
    let make = format!(
        "CREATE TABLE {name} (id INT NOT NULL PRIMARY KEY, v INT AS (id + 1) VIRTUAL, \
         s INT AS (id + 2) STORED, UNIQUE (v), UNIQUE (s)) ENGINE = InnoDB"
    );
    client.exec(&make).await?;
    let mut writer = target.connect_writer(clock).await?;
    writer.exec(&statement((target, clock), logged)?).await?;
    writer.close().await;
    let sql = format!("SELECT v + s FROM {name} FORCE INDEX (v) WHERE v = 8 AND s = 9");
    let found = client.query_string(&sql).await?;
    client.exec(&format!("DROP TABLE {name}")).await?;
    Ok(found.as_deref() == Some("17"))
}

/// The row with id 7.
fn statement((target, clock): (&Target, &Clock), logged: Logged) -> Result<String> {
    let (values, absent): (&[i32], &[u8]) = match logged {
        Logged::Absent => (&[7], &[0b110]),
        Logged::Otherwise => (&[7, 8, 1], &[]),
    };
    let column = |name: &str| Column {
        nullable: name != "id",
        stored: StoredType::Int32,
        ..Column::plain(name, wire::LONG, 0)
    };
    let shape = TableShape {
        name: TableName::new(DATABASE, TABLE),
        columns: ["id", "v", "s"].map(column).to_vec(),
        key: Vec::new(),
        raw_table_map: Vec::new(),
        definition: None,
    };
    let id = TableId::allocate(0, Seq(0), 0);
    let version = TableVersion::first(id, Seq(0), target.flavor, shape);
    let mut image = Vec::new();
    let mut cells = ImageWriter::begin(target.flavor, values.len(), &mut image);
    for value in values {
        cells.cell().extend_from_slice(&value.to_le_bytes());
    }
    cells.finish()?;
    let stamp = target.stamp(clock);
    let mut builder = StatementBuilder::begin(stamp, &version, RowsKind::Write, 0)?;
    builder.push_narrow(&image, absent);
    Ok(binlog_statement(&builder.finish()))
}
