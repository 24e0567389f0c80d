//! What is compiled once per table version: layout, codecs and schemas.

use super::CellCodec;
use crate::change::ImageLayout;
use crate::error::{Error, Result};
use crate::schema::TableVersion;
use arrow_schema::{Schema, SchemaRef};
use std::sync::Arc;

/// Columns that every change file (and, in part, base file) has after the table's own.
pub mod system {
    /// Operation: `insert`, `update_before`, `update_after`, `delete`.
    pub const OP: &str = "__op";
    /// Log entry.
    pub const SEQ: &str = "__seq";
    /// Ordinal of the change in its transaction, over all tables.
    pub const ROW: &str = "__row";
    /// Ordinal of the rows event in its transaction.
    pub const EVENT: &str = "__event";
    /// Flags of the rows event as logged.
    pub const FLAGS: &str = "__flags";
    /// Commit time.
    pub const COMMIT_TIME: &str = "__commit_time";
    /// Cells that their typed column does not hold exactly.
    pub const RAW: &str = "__raw";

    /// Field id of `__op`.
    pub const OP_ID: i32 = 1_000_000_001;
    /// Field id of `__seq`.
    pub const SEQ_ID: i32 = 1_000_000_002;
    /// Field id of `__row`.
    pub const ROW_ID: i32 = 1_000_000_003;
    /// Field id of `__event`.
    pub const EVENT_ID: i32 = 1_000_000_004;
    /// Field id of `__flags`.
    pub const FLAGS_ID: i32 = 1_000_000_005;
    /// Field id of `__commit_time`.
    pub const COMMIT_TIME_ID: i32 = 1_000_000_006;
    /// Field id of `__raw`.
    pub const RAW_ID: i32 = 1_000_000_007;
}

/// SHA-256 (hex) of a version record: of its JSON as serde writes it.
///
/// # Errors
/// [`Internal`](crate::error::ErrorKind::Internal) when the record cannot be written as JSON.
pub fn version_sha256(version: &TableVersion) -> Result<String> {
    use crate::error::Wrap;
    use sha2::{Digest, Sha256};
    let json = serde_json::to_vec(version)
        .wrap(|| Error::internal("write table version").field("table_id", &version.table_id))?;
    Ok(hex::encode(Sha256::digest(json)))
}

/// Everything needed to read and write rows of one table version.
#[derive(Debug)]
pub struct TablePlan {
    version: Arc<TableVersion>,
    layout: ImageLayout,
    codecs: Vec<CellCodec>,
    change_schema: SchemaRef,
    base_schema: SchemaRef,
    sha256: String,
}

impl TablePlan {
    /// Compiles a table version.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a column cannot be walked or
    /// stored; see [`ImageLayout::new`] and [`CellCodec::new`].
    pub fn compile(version: Arc<TableVersion>) -> Result<TablePlan> {
        let codecs = version
            .columns
            .iter()
            .map(|column| CellCodec::new(column, version.flavor))
            .collect::<Result<_>>()?;
        Ok(TablePlan {
            layout: ImageLayout::new(&version.columns)?,
            codecs,
            change_schema: Arc::new(Schema::empty()),
            base_schema: Arc::new(Schema::empty()),
            sha256: version_sha256(&version)?,
            version,
        })
    }

    /// The table version.
    #[must_use]
    pub fn version(&self) -> &Arc<TableVersion> {
        &self.version
    }

    /// Where cells stand in row images.
    #[must_use]
    pub fn layout(&self) -> &ImageLayout {
        &self.layout
    }

    /// Codecs of the columns, in table order.
    #[must_use]
    pub fn codecs(&self) -> &[CellCodec] {
        &self.codecs
    }

    /// Schema of change files: own columns, then all of [`system`].
    #[must_use]
    pub fn change_schema(&self) -> &SchemaRef {
        &self.change_schema
    }

    /// Schema of base files: own columns, `__seq`, `__raw`.
    #[must_use]
    pub fn base_schema(&self) -> &SchemaRef {
        &self.base_schema
    }

    /// SHA-256 (hex) of the version record, as in the files' `tidelog` metadata.
    #[must_use]
    pub fn version_sha256(&self) -> &str {
        &self.sha256
    }
}
