//! One column of `information_schema.COLUMNS` as a table map describes it.
//!
//! The rules are those of the servers' `Field::save_field_metadata` and
//! `Table_map_log_event::init_metadata_fields`, seen on MySQL 9.7 and MariaDB 10.11.

use super::rows;
use crate::error::{Error, ErrorKind, Result};
use crate::position::Flavor;
use crate::schema::{Column, Generated, StoredType, TableName, wire};
use crate::source::SqlClient;
use std::collections::HashMap;

/// Collation id of bytes.
const BINARY: u16 = 63;

/// A row of `information_schema.COLUMNS`.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnRow {
    pub(super) name: String,
    pub(super) is_nullable: bool,
    /// Lowercase, for example `bigint`.
    pub(super) data_type: String,
    /// For example `bigint(20) unsigned`.
    pub(super) column_type: String,
    pub(super) octets: Option<u64>,
    pub(super) precision: Option<u64>,
    pub(super) scale: Option<u64>,
    pub(super) fraction: Option<u64>,
    pub(super) charset: Option<String>,
    pub(super) collation: Option<String>,
    pub(super) extra: String,
    /// MariaDB: `ROW START`, `ROW END` or an expression.
    pub(super) expression: String,
    /// MariaDB: a literal or an expression.
    pub(super) default: Option<String>,
}

/// Reads the columns of all tables that `condition` selects.
pub(super) async fn read_rows(
    client: &mut SqlClient,
    condition: &str,
) -> Result<HashMap<TableName, Vec<ColumnRow>>> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, IS_NULLABLE, DATA_TYPE, \
         COLUMN_TYPE, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, \
         DATETIME_PRECISION, CHARACTER_SET_NAME, COLLATION_NAME, EXTRA, GENERATION_EXPRESSION, \
         COLUMN_DEFAULT \
         FROM information_schema.COLUMNS WHERE {condition}"
    );
    let mut found: HashMap<TableName, Vec<(u64, ColumnRow)>> = HashMap::new();
    for row in rows(client, &sql).await? {
        let column = ColumnRow {
            name: row.text(3),
            is_nullable: row.text(4) == "YES",
            data_type: row.text(5).to_ascii_lowercase(),
            column_type: row.text(6),
            octets: row.number(7),
            precision: row.number(8),
            scale: row.number(9),
            fraction: row.number(10),
            charset: row.get(11),
            collation: row.get(12),
            extra: row.text(13),
            expression: row.text(14),
            default: row.get(15),
        };
        let name = TableName::new(row.text(0), row.text(1));
        let place = row.number(2).unwrap_or(0);
        found.entry(name).or_default().push((place, column));
    }
    let in_order = |mut columns: Vec<(u64, ColumnRow)>| {
        columns.sort_by_key(|(place, _)| *place);
        columns.into_iter().map(|(_, column)| column).collect()
    };
    let ordered = found.into_iter().map(|(name, c)| (name, in_order(c)));
    Ok(ordered.collect())
}

/// Ids of all collations by name.
pub(super) async fn read_collations(client: &mut SqlClient) -> Result<HashMap<String, u16>> {
    // MariaDB 10.10+: a UCA 14.0.0 collation has an id per character set, only shown here.
    const BY_CHARSET: &str = "SELECT FULL_COLLATION_NAME, ID FROM \
                              information_schema.COLLATION_CHARACTER_SET_APPLICABILITY";
    const PLAIN: &str = "SELECT COLLATION_NAME, ID FROM information_schema.COLLATIONS";
    let listed = match client.flavor() {
        Flavor::MySql => rows(client, PLAIN).await,
        Flavor::MariaDb => match rows(client, BY_CHARSET).await {
            // Older servers do not have these columns.
            Err(e) if e.kind() != ErrorKind::Unavailable => rows(client, PLAIN).await,
            listed => listed,
        },
    };
    let id = |row: &super::TextRow| Some((row.get(0)?, u16::try_from(row.number(1)?).ok()?));
    Ok(listed?.iter().filter_map(id).collect())
}

impl ColumnRow {
    /// The column, without its labels.
    ///
    /// # Errors
    /// `Incompatible` for a type or collation this version does not know.
    pub(super) fn column(
        &self,
        flavor: Flavor,
        collations: &HashMap<String, u16>,
    ) -> Result<Column> {
        let (wire_type, metadata) = self.wire(flavor)?;
        let has_collation = matches!(
            wire_type,
            wire::STRING
                | wire::VARCHAR
                | wire::BLOB
                | wire::ENUM
                | wire::SET
                | wire::BLOB_COMPRESSED
                | wire::VARCHAR_COMPRESSED
        );
        let collation = match &self.collation {
            Some(name) if has_collation => Some(*collations.get(name).ok_or_else(|| {
                Error::incompatible("find id of collation").field("collation", name)
            })?),
            _ => has_collation.then_some(BINARY),
        };
        Ok(Column {
            name: self.name.clone(),
            field_id: 0,
            wire_type,
            metadata,
            nullable: self.is_nullable,
            // YEAR is unsigned to both servers.
            unsigned: wire_type == wire::YEAR || self.column_type.contains(" unsigned"),
            collation,
            labels: Vec::new(),
            geometry_type: self.geometry_type(),
            vector_dimension: self.vector_dimension(wire_type),
            // MariaDB does not log which columns are invisible.
            visible: flavor == Flavor::MariaDb || !self.extra.contains("INVISIBLE"),
            generated: self.generated(),
            declared: Some(self.column_type.clone()),
            stored: StoredType::Binary,
        })
    }

    /// Whether the server computes it from an expression (and not from the clock, as MariaDB's
    /// period columns).
    fn generated(&self) -> Option<Generated> {
        if ["ROW START", "ROW END"].contains(&self.expression.as_str()) {
            return None;
        }
        // MySQL's DEFAULT_GENERATED is a default expression.
        let is = |word: &str| self.extra.contains(word);
        if is("VIRTUAL GENERATED") {
            return Some(Generated::Virtual);
        }
        is("STORED GENERATED").then_some(Generated::Stored)
    }

    fn geometry_type(&self) -> Option<u32> {
        const KINDS: [&str; 7] = [
            "geometry",
            "point",
            "linestring",
            "polygon",
            "multipoint",
            "multilinestring",
            "multipolygon",
        ];
        let index = KINDS.iter().position(|k| *k == self.data_type);
        match self.data_type.as_str() {
            "geomcollection" | "geometrycollection" => Some(7),
            _ => u32::try_from(index?).ok(),
        }
    }

    fn vector_dimension(&self, wire_type: u8) -> Option<u32> {
        let digits = self
            .column_type
            .strip_prefix("vector(")?
            .strip_suffix(')')?;
        (wire_type == wire::VECTOR).then(|| digits.parse().ok())?
    }

    fn wire(&self, flavor: Flavor) -> Result<(u8, u16)> {
        let fraction = self.fraction.unwrap_or(0) as u16;
        // `time(3) /* mariadb-5.3 */`: no metadata is logged for these.
        let is_old = self.column_type.contains("/* mariadb-5.3 */");
        let temporal = |new: u8, old: u8| match is_old {
            true => (old, 0),
            false => (new, fraction),
        };
        let blob = |length_bytes: u16| match self.is_compressed() {
            true => (wire::BLOB_COMPRESSED, length_bytes),
            false => (wire::BLOB, length_bytes),
        };
        Ok(match self.data_type.as_str() {
            "tinyint" => (wire::TINY, 0),
            "smallint" => (wire::SHORT, 0),
            "mediumint" => (wire::INT24, 0),
            "int" => (wire::LONG, 0),
            "bigint" => (wire::LONGLONG, 0),
            "year" => (wire::YEAR, 0),
            "float" => (wire::FLOAT, 4),
            "double" => (wire::DOUBLE, 8),
            "decimal" => (wire::NEWDECIMAL, self.decimal()?),
            "bit" => {
                let bits = u16::try_from(self.precision.unwrap_or(1)).unwrap_or(u16::MAX);
                (wire::BIT, ((bits / 8) << 8) | (bits % 8))
            }
            "date" => (wire::DATE, 0),
            "time" => temporal(wire::TIME2, wire::TIME),
            "datetime" => temporal(wire::DATETIME2, wire::DATETIME),
            "timestamp" => temporal(wire::TIMESTAMP2, wire::TIMESTAMP),
            "char" | "binary" => (wire::STRING, self.octets_u16()?),
            "uuid" | "inet6" => (wire::STRING, 16),
            "inet4" => (wire::STRING, 4),
            "varchar" | "varbinary" => match self.is_compressed() {
                // One byte more for the method of compression.
                true => (
                    wire::VARCHAR_COMPRESSED,
                    self.octets_u16()?.saturating_add(1),
                ),
                false => (wire::VARCHAR, self.octets_u16()?),
            },
            "tinytext" | "tinyblob" => blob(1),
            "text" | "blob" => blob(2),
            "mediumtext" | "mediumblob" => blob(3),
            "longtext" | "longblob" => blob(4),
            "json" => (wire::JSON, 4),
            "vector" if flavor == Flavor::MySql => (wire::VECTOR, 4),
            // A string of bytes to the binlog, four for each element (seen on MariaDB 11.8).
            "vector" => (wire::VARCHAR, self.octets_u16()?),
            // The number of labels is not known yet.
            "enum" => (wire::ENUM, 1),
            "set" => (wire::SET, 1),
            _ if self.geometry_type().is_some() => (wire::GEOMETRY, 4),
            _ => {
                return Err(Error::incompatible("map column type: it is not known here")
                    .field("type", &self.column_type)
                    .hint("drop or change the column, or use a newer tidelog"));
            }
        })
    }

    fn is_compressed(&self) -> bool {
        self.column_type.contains("COMPRESSED*/")
    }

    fn decimal(&self) -> Result<u16> {
        match (self.precision, self.scale) {
            (Some(precision @ 1..=65), Some(scale @ 0..=38)) => {
                Ok((precision as u16) << 8 | scale as u16)
            }
            _ => Err(self.impossible()),
        }
    }

    fn octets_u16(&self) -> Result<u16> {
        let octets = self.octets.unwrap_or(0);
        u16::try_from(octets).map_err(|_| self.impossible())
    }

    fn impossible(&self) -> Error {
        Error::incompatible("map column type: impossible size").field("type", &self.column_type)
    }
}
