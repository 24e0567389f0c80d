//! Values of a `SELECT` in the binary protocol -> row images as the binlog would log them.
//!
//! A [`RowEncoder`] is compiled once per table. It says what to select (ENUM and SET as numbers,
//! MySQL JSON with its list of types) and turns each row into one image. Sources of the cell
//! formats: `Field_*::pack()` and `my_time.cc` of both servers.

use super::temporal;
use crate::change::json::{
    JsonPaths, encode as encode_json, from_text_with_types, json_types_expr,
};
use crate::change::{CellSize, ImageWriter};
use crate::error::{Error, Result, Wrap};
use crate::position::Flavor;
use crate::schema::{Column, StoredType, quote_identifier, wire};
use crate::segment;
use crate::source::catalogue::is_row_hash;
use mysql_async::Value;

/// Turns the values of one column into cells.
#[derive(Clone, Debug)]
pub(super) struct ValueEncoder {
    name: String,
    nullable: bool,
    /// Bytes of the length before the content; 0 for fixed sizes.
    prefix: u8,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Little-endian integer of this many bytes.
    Integer(usize),
    /// ENUM or SET, selected as its number.
    Label(usize),
    Year,
    Float,
    Double,
    /// Big-endian, as it comes.
    Bit(usize),
    Date,
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    OldTime,
    OldDateTime,
    OldTimestamp,
    /// DECIMAL of at most 38 digits: the codec takes an integer.
    Decimal {
        scale: usize,
        codec: Box<segment::CellCodec>,
    },
    /// Wider DECIMAL, UUID and INET: the codec takes the text.
    Text(Box<segment::CellCodec>),
    /// CHAR, VARCHAR, TEXT, BLOB, GEOMETRY, VECTOR: the bytes.
    Bytes,
    /// BINARY(n): the bytes without trailing zeros.
    Unpadded,
    /// MariaDB COMPRESSED, written with method 0 (plain).
    Compressed,
    /// MySQL JSON: text and list of types, or types at paths that are known.
    Json(Option<Box<JsonPaths>>),
    /// MariaDB `DB_ROW_HASH_n`: no SELECT shows it, and the server computes it anew.
    RowHash,
}

impl ValueEncoder {
    /// The encoder of a column whose `stored` type is its default one.
    ///
    /// # Errors
    /// `Incompatible` for a column whose cells cannot be written.
    pub(super) fn new(flavor: Flavor, column: &Column) -> Result<ValueEncoder> {
        let prefix = match CellSize::of(column)? {
            CellSize::Fixed(_) => 0,
            CellSize::Prefixed(bytes) => bytes,
        };
        let fraction = column.metadata.min(6) as u8;
        let codec = || segment::CellCodec::new(column, flavor).map(Box::new);
        let kind = match column.wire_type {
            _ if is_row_hash(column) => Kind::RowHash,
            wire::TINY => Kind::Integer(1),
            wire::SHORT => Kind::Integer(2),
            wire::INT24 => Kind::Integer(3),
            wire::LONG => Kind::Integer(4),
            wire::LONGLONG => Kind::Integer(8),
            wire::ENUM | wire::SET => Kind::Label(usize::from(column.metadata)),
            wire::YEAR => Kind::Year,
            wire::FLOAT => Kind::Float,
            wire::DOUBLE => Kind::Double,
            wire::BIT => {
                let whole = usize::from(column.metadata >> 8);
                Kind::Bit(whole + usize::from(column.metadata & 0xff > 0))
            }
            wire::DATE | wire::NEWDATE => Kind::Date,
            wire::TIME2 => Kind::Time(fraction),
            wire::DATETIME2 => Kind::DateTime(fraction),
            wire::TIMESTAMP2 => Kind::Timestamp(fraction),
            wire::TIME => Kind::OldTime,
            wire::DATETIME => Kind::OldDateTime,
            wire::TIMESTAMP => Kind::OldTimestamp,
            wire::NEWDECIMAL => match column.stored {
                StoredType::Decimal128 { scale, .. } => Kind::Decimal {
                    scale: usize::from(scale.unsigned_abs()),
                    codec: codec()?,
                },
                _ => Kind::Text(codec()?),
            },
            wire::JSON => Kind::Json(None),
            wire::VARCHAR_COMPRESSED | wire::BLOB_COMPRESSED => Kind::Compressed,
            wire::STRING if flavor == Flavor::MariaDb && column.is_network_or_uuid() => {
                Kind::Text(codec()?)
            }
            wire::STRING if column.collation == Some(63) => Kind::Unpadded,
            _ => Kind::Bytes,
        };
        Ok(ValueEncoder {
            name: column.name.clone(),
            nullable: column.nullable,
            prefix,
            kind,
        })
    }

    /// The expressions to select for this column.
    fn select(&self) -> Vec<String> {
        let name = quote_identifier(&self.name);
        match &self.kind {
            Kind::RowHash => Vec::new(),
            Kind::Json(None) => vec![json_types_expr(&name), name],
            Kind::Json(Some(paths)) => vec![paths.types_expr(&name), name],
            // Not `+ 0`: that is a double, too short for a SET of 64.
            Kind::Label(_) => vec![format!("CAST({name} AS UNSIGNED)")],
            _ => vec![name],
        }
    }

    /// Appends the cell of a value that is not NULL; `false` for a document with a value at a path
    /// that is not known.
    fn encode(&self, value: &Value, types: Option<&Value>, out: &mut Vec<u8>) -> Result<bool> {
        let written = match &self.kind {
            Kind::Integer(bytes) | Kind::Label(bytes) => {
                integer(value).and_then(|v| put_le(out, v, *bytes))
            }
            Kind::Year => integer(value).and_then(|v| temporal::year(v, out)),
            Kind::Float => match value {
                Value::Float(v) => put(out, &v.to_bits().to_le_bytes()),
                _ => None,
            },
            Kind::Double => match value {
                Value::Double(v) => put(out, &v.to_bits().to_le_bytes()),
                _ => None,
            },
            Kind::Bit(bytes) => match value {
                Value::Bytes(v) if v.len() == *bytes => put(out, v),
                _ => None,
            },
            Kind::Date => temporal::date(value, out),
            Kind::Time(fraction) => temporal::time(value, *fraction, out),
            Kind::DateTime(fraction) => temporal::datetime(value, *fraction, out),
            Kind::Timestamp(fraction) => temporal::timestamp(value, *fraction, out),
            Kind::OldTime => temporal::old_time(value, out),
            Kind::OldDateTime => temporal::old_datetime(value, out),
            Kind::OldTimestamp => temporal::old_timestamp(value, out),
            Kind::Decimal { scale, codec } => text(value)
                .and_then(|t| unscaled(t, *scale))
                .and_then(|v| codec.encode(segment::Value::Decimal(v), out).ok()),
            Kind::Text(codec) => {
                text(value).and_then(|t| codec.encode(segment::Value::Text(canonical(t)), out).ok())
            }
            Kind::Bytes => bytes(value).and_then(|v| self.put_content(out, &[], v)),
            Kind::Unpadded => bytes(value).and_then(|v| {
                let end = v.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                self.put_content(out, &[], v.get(..end)?)
            }),
            Kind::Compressed => bytes(value).and_then(|v| match v {
                [] => self.put_content(out, &[], v),
                _ => self.put_content(out, &[0], v),
            }),
            Kind::Json(paths) => {
                let start = out.len();
                out.resize(start + usize::from(self.prefix), 0);
                let known = append_json(value, types, paths.as_deref(), out);
                if !known.map_err(|e| e.field("column", &self.name))? {
                    return Ok(false);
                }
                self.put_length(out, start)
            }
            Kind::RowHash => put(out, &[0; 8]),
        };
        let written = written.ok_or_else(|| {
            Error::internal("encode value of row: the server sent another type than its column has")
                .field("column", &self.name)
        });
        written.map(|()| true)
    }

    /// Writes the length of what was appended after the room for it.
    fn put_length(&self, out: &mut [u8], start: usize) -> Option<()> {
        let prefix = usize::from(self.prefix);
        let length = (out.len() - start - prefix).to_le_bytes();
        let (length, above) = length.split_at_checked(prefix)?;
        out.get_mut(start..start + prefix)?.copy_from_slice(length);
        above.iter().all(|byte| *byte == 0).then_some(())
    }

    /// Appends length, header and content; `None` when the length does not fit its prefix.
    fn put_content(&self, out: &mut Vec<u8>, header: &[u8], content: &[u8]) -> Option<()> {
        put_le(
            out,
            (header.len() + content.len()) as i128,
            usize::from(self.prefix),
        )?;
        out.extend_from_slice(header);
        put(out, content)
    }
}

/// Turns rows of one table into images.
#[derive(Clone, Debug)]
pub(super) struct RowEncoder {
    flavor: Flavor,
    columns: Vec<ValueEncoder>,
}

impl RowEncoder {
    /// The encoder of rows with these columns; how they are stored does not matter.
    ///
    /// # Errors
    /// As [`ValueEncoder::new`].
    pub(super) fn new(flavor: Flavor, columns: &[Column]) -> Result<RowEncoder> {
        let encoder = |column: &Column| {
            let mut column = column.clone();
            column.stored = column.default_storage(flavor);
            ValueEncoder::new(flavor, &column)
        };
        Ok(RowEncoder {
            flavor,
            columns: columns.iter().map(encoder).collect::<Result<_>>()?,
        })
    }

    /// The select list.
    pub(super) fn select_list(&self) -> String {
        let all: Vec<String> = self.columns.iter().flat_map(ValueEncoder::select).collect();
        all.join(", ")
    }

    /// Its columns of MySQL JSON, by their names.
    pub(super) fn json_columns(&self) -> Vec<String> {
        let columns = self.columns.iter();
        let json = columns.filter(|column| matches!(column.kind, Kind::Json(_)));
        json.map(|column| column.name.clone()).collect()
    }

    /// Reads a column of JSON by these paths.
    pub(super) fn read_by(&mut self, name: &str, paths: JsonPaths) {
        let column = self.columns.iter_mut().find(|column| column.name == name);
        if let Some(column) = column {
            column.kind = Kind::Json(Some(Box::new(paths)));
        }
    }

    /// Learns the paths of a document that has others; a column whose documents are too different is
    /// read by the list of all types from now on.
    ///
    /// # Errors
    /// `Corrupt` when it is no JSON.
    pub(super) fn learn(&mut self, unknown: &Unknown) -> Result<()> {
        let columns = self.columns.iter_mut();
        for column in columns.filter(|column| column.name == unknown.column) {
            if let Kind::Json(read_by) = &mut column.kind
                && let Some(mut paths) = read_by.take()
                && paths.learn(&unknown.document)?
                && paths.pay()
            {
                *read_by = Some(paths);
            }
        }
        Ok(())
    }

    /// Reads all columns of JSON by the list of all types.
    pub(super) fn forget_paths(&mut self) {
        for column in &mut self.columns {
            if let Kind::Json(paths) = &mut column.kind {
                *paths = None;
            }
        }
    }

    /// Appends the image of a row of that list; nothing where a document is unknown.
    ///
    /// # Errors
    /// `Internal` naming the column when a value is not of its type, `Corrupt` for JSON that does
    /// not fit its types.
    pub(super) fn encode(&self, row: &[Value], out: &mut Vec<u8>) -> Result<Option<Unknown>> {
        let start = out.len();
        let mut values = row.iter();
        let short = || Error::internal("encode row: too few values");
        let mut image = ImageWriter::begin(self.flavor, self.columns.len(), out);
        for column in &self.columns {
            let types = match column.kind {
                Kind::Json(_) => Some(values.next().ok_or_else(short)?),
                _ => None,
            };
            let value = match column.kind {
                Kind::RowHash if column.nullable => &Value::NULL,
                Kind::RowHash => &Value::Int(0),
                _ => values.next().ok_or_else(short)?,
            };
            match value {
                Value::NULL if column.nullable => image.null(),
                Value::NULL => {
                    return Err(
                        Error::internal("encode row: NULL in a column that is NOT NULL")
                            .field("column", &column.name),
                    );
                }
                value => {
                    if !column.encode(value, types, image.cell())? {
                        out.truncate(start);
                        return Ok(Some(Unknown {
                            column: column.name.clone(),
                            document: text(value).unwrap_or_default().to_owned(),
                        }));
                    }
                }
            }
        }
        image.finish()?;
        Ok(None)
    }
}

/// A document that has a value at a path that is not known.
#[derive(Debug)]
pub(super) struct Unknown {
    column: String,
    document: String,
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(bytes);
    Some(())
}

/// Appends the low bytes of an integer that fits them, signed or unsigned.
pub(super) fn put_le(out: &mut Vec<u8>, value: i128, bytes: usize) -> Option<()> {
    let bits = 8 * u32::try_from(bytes).ok()?;
    let fits = value < 1_i128 << bits && value >= -(1_i128 << bits) / 2;
    fits.then(|| out.extend_from_slice(value.to_le_bytes().get(..bytes).unwrap_or_default()))
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(v) => Some(i128::from(*v)),
        Value::UInt(v) => Some(i128::from(*v)),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(v) => Some(v),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

/// A DECIMAL without the zeros of ZEROFILL.
fn canonical(text: &str) -> &str {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match is_number && text.starts_with('0') {
        true => {
            let kept = text.trim_start_matches('0');
            let start = text.len() - kept.len();
            let needs_zero = kept.is_empty() || kept.starts_with('.');
            text.get(start - usize::from(needs_zero)..).unwrap_or(text)
        }
        false => text,
    }
}

/// The digits of a DECIMAL of this scale as one number.
fn unscaled(text: &str, scale: usize) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() != scale {
        return None;
    }
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { -value } else { value })
}

/// Appends the image of a document; `false`, and nothing, for one that is unknown.
fn append_json(
    value: &Value,
    types: Option<&Value>,
    paths: Option<&JsonPaths>,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let missing = || {
        Error::incompatible("read json with its types: the server sent no types")
            .hint("raise max_allowed_packet of the server: the list of types is limited by it")
    };
    let document = text(value).ok_or_else(|| Error::internal("read json: it is no text"))?;
    let types = types.and_then(text).ok_or_else(missing)?;
    if let Some(paths) = paths {
        return Ok(paths.append_image(document, types, out)?.is_some());
    }
    let tree = from_text_with_types(document, types)?;
    let image = encode_json(&tree).wrap(|| Error::internal("encode json of row"))?;
    out.extend_from_slice(&image);
    Ok(true)
}

#[cfg(test)]
mod tests;
