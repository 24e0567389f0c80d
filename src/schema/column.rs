//! One column: what the binlog says of it and how its values are stored.

use crate::position::Flavor;
use serde::{Deserialize, Serialize};

/// Wire type codes of row images (`enum_field_types`; 140 and 141 are MariaDB's).
///
/// A [`Column`] holds the *real* type: the table map sends ENUM and SET as STRING and hides the
/// real code in the metadata.
pub mod wire {
    #![allow(missing_docs)]
    pub const DECIMAL_OLD: u8 = 0;
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const TYPED_ARRAY: u8 = 20;
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// How a generated column comes to its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generated {
    /// Computed when read.
    Virtual,
    /// Computed when written.
    Stored,
}

/// The Parquet/Arrow type of a column in files of one table version; readers never infer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredType {
    /// 8-bit signed integer.
    Int8,
    /// 16-bit signed integer.
    Int16,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// Decimal of at most 38 digits.
    Decimal128 {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// IEEE 754 single.
    Float32,
    /// IEEE 754 double.
    Float64,
    /// Days since the epoch.
    Date32,
    /// Microseconds since the epoch.
    TimestampUs {
        /// An instant (TIMESTAMP) rather than a wall-clock time (DATETIME).
        utc: bool,
    },
    /// Signed microseconds of a TIME, as a 64-bit integer.
    TimeUs,
    /// UTF-8 text.
    Utf8,
    /// Bytes.
    Binary,
    /// A vector of singles of fixed length.
    Vector {
        /// Number of elements.
        dimension: u32,
    },
}

/// A column of a table shape or version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name as the server spells it.
    pub name: String,
    /// Never reused within the table; 0 until the log chain has allocated it.
    pub field_id: i32,
    /// Real wire type, see [`wire`].
    pub wire_type: u8,
    /// Type metadata as a number: for one-byte metadata the byte; for VARCHAR the byte length
    /// (little endian as logged); for NEWDECIMAL `precision << 8 | scale`; for BIT
    /// `bytes << 8 | bits`; for ENUM/SET the pack length in bytes; for STRING the maximum byte
    /// length (0..=1023).
    pub metadata: u16,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// UNSIGNED of a numeric column.
    pub unsigned: bool,
    /// Collation id of a character, ENUM or SET column; 63 is binary; `None` for others.
    pub collation: Option<u16>,
    /// ENUM or SET labels as bytes in the column's charset, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex_list")]
    pub labels: Vec<Vec<u8>>,
    /// Geometry subtype of a GEOMETRY column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry_type: Option<u32>,
    /// Number of elements of a VECTOR column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_dimension: Option<u32>,
    /// Whether `SELECT *` shows it.
    pub visible: bool,
    /// Whether it is generated, where known (the binlog does not say; `information_schema` does).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<Generated>,
    /// `COLUMN_TYPE` text, for example `bigint unsigned`, where known. It alone tells MariaDB's
    /// UUID and INET types from BINARY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// How values are stored.
    pub stored: StoredType,
}

impl Column {
    /// A column of this type and nothing more: visible, nullable, not yet numbered by the log
    /// chain, stored as bytes.
    #[must_use]
    pub fn plain(name: impl Into<String>, wire_type: u8, metadata: u16) -> Column {
        Column {
            name: name.into(),
            field_id: 0,
            wire_type,
            metadata,
            nullable: true,
            unsigned: false,
            collation: None,
            labels: Vec::new(),
            geometry_type: None,
            vector_dimension: None,
            visible: true,
            generated: None,
            declared: None,
            stored: StoredType::Binary,
        }
    }

    /// Whether two columns have the same shape: all that a table map says, ids apart.
    #[must_use]
    pub fn same_shape(&self, other: &Column) -> bool {
        self.name == other.name
            && self.wire_type == other.wire_type
            && self.metadata == other.metadata
            && self.nullable == other.nullable
            && self.unsigned == other.unsigned
            && self.collation == other.collation
            && self.labels == other.labels
            && self.geometry_type == other.geometry_type
            && self.vector_dimension == other.vector_dimension
            && self.visible == other.visible
    }

    /// Whether it is not known how long its cells are: MariaDB's temporal types of before 5.6 have
    /// the same codes with and without fractions (`mysql56_temporal_format=OFF`), and no metadata.
    /// The declared type says that there are none, where it is known.
    #[must_use]
    pub fn is_of_unknown_length(&self, flavor: Flavor) -> bool {
        let is_old = matches!(
            self.wire_type,
            wire::TIME | wire::DATETIME | wire::TIMESTAMP
        );
        let declared = self.declared.as_deref();
        is_old && flavor == Flavor::MariaDb && declared.is_none_or(|d| d.contains('('))
    }

    /// The version 1 writer's choice of storage for this column (format document, "MySQL ->
    /// Parquet").
    #[must_use]
    pub fn default_storage(&self, flavor: Flavor) -> StoredType {
        let text = self.collation.is_some_and(|id| id != 63);
        match self.wire_type {
            wire::TINY if self.unsigned => StoredType::Int16,
            wire::TINY => StoredType::Int8,
            wire::SHORT if self.unsigned => StoredType::Int32,
            wire::SHORT | wire::YEAR => StoredType::Int16,
            wire::INT24 => StoredType::Int32,
            wire::LONG if self.unsigned => StoredType::Int64,
            wire::LONG => StoredType::Int32,
            wire::LONGLONG if self.unsigned => StoredType::Decimal128 {
                precision: 20,
                scale: 0,
            },
            wire::LONGLONG => StoredType::Int64,
            wire::FLOAT => StoredType::Float32,
            wire::DOUBLE => StoredType::Float64,
            wire::DATE | wire::NEWDATE => StoredType::Date32,
            wire::TIMESTAMP | wire::TIMESTAMP2 => StoredType::TimestampUs { utc: true },
            wire::DATETIME | wire::DATETIME2 => StoredType::TimestampUs { utc: false },
            wire::TIME | wire::TIME2 => StoredType::TimeUs,
            wire::BIT => match (self.metadata >> 8) * 8 + (self.metadata & 0xff) {
                64.. => StoredType::Decimal128 {
                    precision: 20,
                    scale: 0,
                },
                _ => StoredType::Int64,
            },
            wire::NEWDECIMAL => {
                let (precision, scale) = ((self.metadata >> 8) as u8, (self.metadata & 0xff) as i8);
                match precision {
                    1..=38 => StoredType::Decimal128 { precision, scale },
                    _ => StoredType::Utf8,
                }
            }
            wire::ENUM | wire::SET | wire::JSON => StoredType::Utf8,
            wire::VECTOR => match self.vector_dimension {
                Some(dimension) if dimension > 0 => StoredType::Vector { dimension },
                _ => StoredType::Binary,
            },
            wire::STRING if flavor == Flavor::MariaDb && self.is_network_or_uuid() => {
                StoredType::Utf8
            }
            wire::GEOMETRY => StoredType::Binary,
            _ if text => StoredType::Utf8,
            _ => StoredType::Binary,
        }
    }

    /// MariaDB's UUID, INET4 and INET6, which the binlog shows as BINARY.
    #[must_use]
    pub fn is_network_or_uuid(&self) -> bool {
        matches!(self.declared.as_deref(), Some("uuid" | "inet4" | "inet6"))
    }
}

mod hex_list {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(hex::encode))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts
            .iter()
            .map(|t| hex::decode(t).map_err(D::Error::custom))
            .collect()
    }
}
