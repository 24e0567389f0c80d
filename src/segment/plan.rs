//! What is compiled once per table version: layout, codecs and schemas.

use super::CellCodec;
use crate::change::ImageLayout;
use crate::error::{Error, Result, Wrap};
use crate::schema::{Column, StoredType, TableVersion};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
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

    /// All names, in file order.
    pub(crate) const NAMES: [&str; 7] = [OP, SEQ, ROW, EVENT, FLAGS, COMMIT_TIME, RAW];

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
    /// Field id of no column: of the bitmap of absent cells in `__raw`.
    pub const ABSENT_ID: i32 = 1_000_000_008;
}

/// SHA-256 (hex) of a version record: of its JSON as serde writes it.
///
/// # Errors
/// [`Internal`](crate::error::ErrorKind::Internal) when the record cannot be written as JSON.
pub fn version_sha256(version: &TableVersion) -> Result<String> {
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
    hidden: Vec<bool>,
    change_schema: SchemaRef,
    base_schema: SchemaRef,
    sha256: String,
}

impl TablePlan {
    /// Compiles a table version.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a column cannot be walked or
    /// stored, see [`ImageLayout::new`] and [`CellCodec::new`];
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the version record is not consistent.
    pub fn compile(version: Arc<TableVersion>) -> Result<TablePlan> {
        let context = |error: Error| error.field("table", &version.name);
        check_version(&version).map_err(context)?;
        let layout = ImageLayout::new(&version.columns).map_err(context)?;
        let codecs = version
            .columns
            .iter()
            .map(|column| CellCodec::new(column, version.flavor))
            .collect::<Result<_>>()
            .map_err(context)?;
        let own = own_fields(&version);
        Ok(TablePlan {
            layout,
            codecs,
            hidden: version.columns.iter().map(is_hidden).collect(),
            change_schema: schema_of(&own, &system_fields()),
            base_schema: schema_of(
                &own,
                &[system_field(system::SEQ), system_field(system::RAW)],
            ),
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

    /// Whether the server alone sees this column (functional indexes, long UNIQUE keys): it is
    /// logged and stored, but no part of the canonical row.
    #[must_use]
    pub fn is_hidden(&self, column: usize) -> bool {
        self.hidden.get(column).copied().unwrap_or(false)
    }

    /// Whether the server computes this column from others of the row, as far as is known: its
    /// value may be absent from row images.
    #[must_use]
    pub fn is_computed(&self, column: usize) -> bool {
        let own = self.version.columns.get(column);
        self.is_hidden(column) || own.is_some_and(|column| column.generated.is_some())
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

    /// Name of a column in files.
    #[must_use]
    pub fn stored_name(&self, column: usize) -> Option<&str> {
        let own = self.base_schema.fields().get(column)?;
        (column < self.codecs.len()).then_some(own.name().as_str())
    }
}

/// A version read from a repository could say anything: field ids must tell columns apart, and
/// key parts must name columns.
fn check_version(version: &TableVersion) -> Result<()> {
    let bad = |what: &'static str| {
        Error::corrupt(what)
            .field("table_id", &version.table_id)
            .field("version", version.version)
    };
    let mut seen = HashSet::new();
    for column in &version.columns {
        if !(1..system::OP_ID).contains(&column.field_id) || !seen.insert(column.field_id) {
            return Err(bad("compile table version: field ids are not distinct")
                .field("column", &column.name)
                .field("field_id", column.field_id));
        }
    }
    let columns = version.columns.len();
    if version
        .key
        .iter()
        .any(|part| part.column as usize >= columns)
    {
        return Err(bad("compile table version: key names no column"));
    }
    Ok(())
}

/// Columns the server adds for itself: MySQL's for functional indexes, and the hash MariaDB
/// keeps for a long UNIQUE key. The binlog marks neither.
fn is_hidden(column: &Column) -> bool {
    let hash = column.name.strip_prefix("DB_ROW_HASH_");
    column.name.starts_with("!hidden!")
        || hash.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            && column.declared.is_none()
}

/// The Arrow type of a stored type.
pub(super) fn arrow_type(stored: StoredType) -> DataType {
    match stored {
        StoredType::Int8 => DataType::Int8,
        StoredType::Int16 => DataType::Int16,
        StoredType::Int32 => DataType::Int32,
        StoredType::Int64 | StoredType::TimeUs => DataType::Int64,
        StoredType::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale),
        StoredType::Float32 => DataType::Float32,
        StoredType::Float64 => DataType::Float64,
        StoredType::Date32 => DataType::Date32,
        StoredType::TimestampUs { utc } => {
            DataType::Timestamp(TimeUnit::Microsecond, utc.then(|| "UTC".into()))
        }
        StoredType::Utf8 => DataType::Utf8,
        StoredType::Binary => DataType::Binary,
        StoredType::Vector { dimension } => DataType::FixedSizeList(
            vector_element(),
            i32::try_from(dimension).unwrap_or(i32::MAX),
        ),
    }
}

/// The element of a vector column.
pub(super) fn vector_element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Float32, true))
}

fn field(name: &str, data_type: DataType, nullable: bool, id: i32) -> FieldRef {
    let metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
    Arc::new(Field::new(name, data_type, nullable).with_metadata(metadata))
}

/// The table's own columns. A name that a system column has, in any case, gets a suffix, which
/// is repeated while another column has that name, too.
fn own_fields(version: &TableVersion) -> Vec<FieldRef> {
    let lower = |name: &str| name.to_lowercase();
    let taken: HashSet<String> = version.columns.iter().map(|c| lower(&c.name)).collect();
    let stored_name = |column: &Column| {
        let mut name = column.name.clone();
        if system::NAMES.contains(&lower(&name).as_str()) {
            while name == column.name || taken.contains(&lower(&name)) {
                name = format!("{name}__col{}", column.field_id);
            }
        }
        name
    };
    let own = version.columns.iter();
    own.map(|c| field(&stored_name(c), arrow_type(c.stored), true, c.field_id))
        .collect()
}

fn system_fields() -> Vec<FieldRef> {
    system::NAMES.map(system_field).to_vec()
}

fn system_field(name: &str) -> FieldRef {
    let instant = arrow_type(StoredType::TimestampUs { utc: true });
    match name {
        system::OP => field(name, DataType::Utf8, false, system::OP_ID),
        system::SEQ => field(name, DataType::Int64, false, system::SEQ_ID),
        system::ROW => field(name, DataType::Int64, false, system::ROW_ID),
        system::EVENT => field(name, DataType::Int32, false, system::EVENT_ID),
        system::FLAGS => field(name, DataType::Int16, false, system::FLAGS_ID),
        system::COMMIT_TIME => field(name, instant, false, system::COMMIT_TIME_ID),
        _ => field(system::RAW, DataType::Binary, true, system::RAW_ID),
    }
}

fn schema_of(own: &[FieldRef], system: &[FieldRef]) -> SchemaRef {
    Arc::new(Schema::new([own, system].concat()))
}

/// The field id of an Arrow field of a file.
pub(super) fn field_id(field: &Field) -> Option<i32> {
    let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY)?;
    id.parse().ok()
}
