//! The kinds of cells: which codec serves which wire type.

use super::decimal::Decimal;
use super::label::Labels;
use super::network::Network;
use super::temporal::Fraction;
use super::text::TextCodec;
use crate::change::CellSize;
use crate::position::Flavor;
use crate::schema::{Column, StoredType, wire};
use std::sync::Arc;

/// What a cell is and what compiling its column gave.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// 1 to 8 bytes, two's complement or unsigned; unsigned 8 bytes are `Wide`.
    Int { bytes: u8, unsigned: bool },
    /// BIGINT UNSIGNED.
    Wide,
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL of up to 38 digits.
    Decimal(Decimal),
    /// DECIMAL of more.
    DecimalText(Decimal),
    /// DATE.
    Date,
    /// DATETIME(f).
    DateTime(Fraction),
    /// TIMESTAMP(f), and the last second it has.
    Timestamp(Fraction, u32),
    /// TIME(f).
    Time(Fraction),
    /// DATETIME before 5.6.
    OldDateTime,
    /// TIMESTAMP before 5.6.
    OldTimestamp(u32),
    /// TIME before 5.6.
    OldTime,
    /// YEAR.
    Year,
    /// BIT(n), big endian.
    Bit { bytes: u8, bits: u8 },
    /// ENUM.
    Enum { bytes: u8, labels: Arc<Labels> },
    /// SET.
    Set { bytes: u8, labels: Arc<Labels> },
    /// Text in a charset.
    Text { prefix: u8, codec: TextCodec },
    /// Bytes.
    Bytes { prefix: u8 },
    /// BINARY(n): trailing zeros are not in the cell.
    Padded { prefix: u8, length: usize },
    /// MySQL's binary JSON.
    Json { prefix: u8 },
    /// SRID and WKB.
    Geometry { prefix: u8 },
    /// VECTOR(n).
    Vector { prefix: u8, bytes: usize },
    /// UUID, INET4, INET6.
    Network { prefix: u8, network: Network },
    /// COMPRESSED text or bytes.
    Compressed {
        prefix: u8,
        codec: Option<TextCodec>,
    },
}

impl Kind {
    /// The kind of a column; `None` for a type that has none.
    pub(super) fn of(column: &Column, flavor: Flavor) -> Option<Kind> {
        let size = CellSize::of(column).ok()?;
        let (bytes, prefix) = match size {
            CellSize::Fixed(bytes) => (bytes as u8, 0),
            CellSize::Prefixed(prefix) => (0, prefix),
        };
        Kind::number(column, bytes, flavor).or_else(|| Kind::string(column, bytes, prefix))
    }

    /// Numbers and times.
    fn number(column: &Column, bytes: u8, flavor: Flavor) -> Option<Kind> {
        let fraction = || Fraction::new(column.metadata);
        // MariaDB 11.5 and later count TIMESTAMP seconds to 2106 in the same four bytes.
        let seconds_max = match flavor {
            Flavor::MySql => i32::MAX as u32,
            Flavor::MariaDb => u32::MAX,
        };
        Some(match column.wire_type {
            wire::LONGLONG if column.unsigned => Kind::Wide,
            wire::TINY | wire::SHORT | wire::INT24 | wire::LONG | wire::LONGLONG => Kind::Int {
                bytes,
                unsigned: column.unsigned,
            },
            wire::FLOAT => Kind::Float,
            wire::DOUBLE => Kind::Double,
            wire::NEWDECIMAL => {
                let (precision, scale) = (column.metadata >> 8, column.metadata & 0xff);
                let decimal = Decimal::new(u32::from(precision), u32::from(scale))?;
                match precision {
                    ..=38 => Kind::Decimal(decimal),
                    _ => Kind::DecimalText(decimal),
                }
            }
            wire::DATE | wire::NEWDATE => Kind::Date,
            wire::DATETIME2 => Kind::DateTime(fraction()?),
            wire::TIMESTAMP2 => Kind::Timestamp(fraction()?, seconds_max),
            wire::TIME2 => Kind::Time(fraction()?),
            wire::DATETIME => Kind::OldDateTime,
            wire::TIMESTAMP => Kind::OldTimestamp(seconds_max),
            wire::TIME => Kind::OldTime,
            wire::YEAR => Kind::Year,
            wire::BIT => Kind::Bit {
                bytes,
                bits: ((column.metadata >> 8) * 8 + (column.metadata & 0xff)) as u8,
            },
            _ => return None,
        })
    }

    /// Labels, text, bytes and documents.
    fn string(column: &Column, bytes: u8, prefix: u8) -> Option<Kind> {
        let codec = match column.collation {
            None | Some(63) => None,
            Some(id) => Some(TextCodec::of_collation(id)),
        };
        let labels = |set| {
            let codec = codec.unwrap_or(TextCodec::Utf8);
            Arc::new(Labels::new(&column.labels, codec, set))
        };
        Some(match (column.wire_type, column.stored) {
            (wire::ENUM, _) => Kind::Enum {
                bytes,
                labels: labels(false),
            },
            (wire::SET, _) => Kind::Set {
                bytes,
                labels: labels(true),
            },
            (wire::JSON, _) => Kind::Json { prefix },
            (wire::GEOMETRY, _) => Kind::Geometry { prefix },
            (wire::VECTOR, StoredType::Vector { dimension }) => Kind::Vector {
                prefix,
                bytes: (dimension as usize).checked_mul(4)?,
            },
            (wire::VARCHAR_COMPRESSED | wire::BLOB_COMPRESSED, _) => {
                Kind::Compressed { prefix, codec }
            }
            (wire::STRING, StoredType::Utf8) if codec.is_none() => Kind::Network {
                prefix,
                network: Network::of_declared(column.declared.as_deref())?,
            },
            (wire::STRING, _) if column.collation == Some(63) => Kind::Padded {
                prefix,
                length: usize::from(column.metadata),
            },
            _ => match codec {
                Some(codec) => Kind::Text { prefix, codec },
                None => Kind::Bytes { prefix },
            },
        })
    }

    /// Whether values of this kind go into a column of that type.
    pub(super) fn fits(&self, stored: StoredType) -> bool {
        use StoredType as S;
        let wide = S::Decimal128 {
            precision: 20,
            scale: 0,
        };
        match self {
            Kind::Int { bytes, unsigned } => match (bytes, unsigned) {
                (1, false) => stored == S::Int8,
                (1, true) | (2, false) => stored == S::Int16,
                (2, true) | (3, _) | (4, false) => stored == S::Int32,
                _ => stored == S::Int64,
            },
            Kind::Bit { bits: 64.., .. } | Kind::Wide => stored == wide,
            Kind::Bit { .. } => stored == S::Int64,
            Kind::Float => stored == S::Float32,
            Kind::Double => stored == S::Float64,
            Kind::Decimal(decimal) => {
                let (precision, scale) = decimal.shape();
                stored == S::Decimal128 { precision, scale }
            }
            Kind::Date => stored == S::Date32,
            Kind::DateTime(_) | Kind::OldDateTime => stored == S::TimestampUs { utc: false },
            Kind::Timestamp(..) | Kind::OldTimestamp(_) => stored == S::TimestampUs { utc: true },
            Kind::Time(_) | Kind::OldTime => stored == S::TimeUs,
            Kind::Year => stored == S::Int16,
            Kind::DecimalText(_)
            | Kind::Enum { .. }
            | Kind::Set { .. }
            | Kind::Text { .. }
            | Kind::Json { .. }
            | Kind::Network { .. }
            | Kind::Compressed { codec: Some(_), .. } => stored == S::Utf8,
            Kind::Bytes { .. }
            | Kind::Padded { .. }
            | Kind::Geometry { .. }
            | Kind::Compressed { codec: None, .. } => stored == S::Binary,
            Kind::Vector { .. } => matches!(stored, S::Vector { .. }),
        }
    }

    /// Bytes of the length prefix.
    pub(super) fn prefix(&self) -> u8 {
        match self {
            Kind::Text { prefix, .. }
            | Kind::Bytes { prefix }
            | Kind::Padded { prefix, .. }
            | Kind::Json { prefix }
            | Kind::Geometry { prefix }
            | Kind::Vector { prefix, .. }
            | Kind::Network { prefix, .. }
            | Kind::Compressed { prefix, .. } => *prefix,
            _ => 0,
        }
    }

    pub(super) fn is_canonical_by_value(&self) -> bool {
        matches!(
            self,
            Kind::Decimal(_)
                | Kind::DecimalText(_)
                | Kind::Time(_)
                | Kind::OldTime
                | Kind::Compressed { .. }
        )
    }

    /// For error messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Int { .. } => "integer",
            Kind::Wide => "bigint unsigned",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Decimal(_) | Kind::DecimalText(_) => "decimal",
            Kind::Date => "date",
            Kind::DateTime(_) | Kind::OldDateTime => "datetime",
            Kind::Timestamp(..) | Kind::OldTimestamp(_) => "timestamp",
            Kind::Time(_) | Kind::OldTime => "time",
            Kind::Year => "year",
            Kind::Bit { .. } => "bit",
            Kind::Enum { .. } => "enum",
            Kind::Set { .. } => "set",
            Kind::Text { .. } => "text",
            Kind::Bytes { .. } | Kind::Padded { .. } => "binary",
            Kind::Json { .. } => "json",
            Kind::Geometry { .. } => "geometry",
            Kind::Vector { .. } => "vector",
            Kind::Network { .. } => "network address or uuid",
            Kind::Compressed { .. } => "compressed",
        }
    }
}
