//! The optional metadata of table maps (`binlog_row_metadata`): fields of u8 type, lenenc length
//! and value, as mysql-server `Table_map_event::Optional_metadata_field_type` lists them.
//!
//! Most fields walk only the columns of one class and say nothing of which these are: both sides
//! must agree on the class of every type, and the flavors do not agree with each other.

use super::cursor::{Cursor, high_bit};
use crate::position::Flavor;
use crate::schema::{Column, KeyPart, wire};

const SIGNEDNESS: u8 = 1;
const DEFAULT_CHARSET: u8 = 2;
const COLUMN_CHARSET: u8 = 3;
const COLUMN_NAME: u8 = 4;
const SET_LABELS: u8 = 5;
const ENUM_LABELS: u8 = 6;
const GEOMETRY_TYPE: u8 = 7;
const PRIMARY_KEY: u8 = 8;
const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
const ENUM_SET_DEFAULT_CHARSET: u8 = 10;
const ENUM_SET_COLUMN_CHARSET: u8 = 11;
const VISIBILITY: u8 = 12;
pub(crate) const VECTOR_DIMENSION: u8 = 13;

/// Fills in what the fields say of `columns`. Gives the primary key and whether everything that
/// decoding needs was said; `None` when the bytes are damaged.
pub(crate) fn apply(
    flavor: Flavor,
    bytes: &[u8],
    columns: &mut [Column],
) -> Option<(Vec<KeyPart>, bool)> {
    let mut cursor = Cursor::new(bytes);
    let mut key = Vec::new();
    let mut has_names = false;
    let mut has_signs = false;
    while !cursor.is_empty() {
        let field = cursor.u8()?;
        let value = cursor.lenenc_bytes()?;
        let mut value = Cursor::new(value);
        match field {
            SIGNEDNESS => {
                has_signs = true;
                signs(&mut value, columns)?;
            }
            DEFAULT_CHARSET => default_charset(&mut value, columns, |c| is_text(flavor, c))?,
            COLUMN_CHARSET => charsets(&mut value, columns, |c| is_text(flavor, c))?,
            ENUM_SET_DEFAULT_CHARSET => default_charset(&mut value, columns, is_enum_or_set)?,
            ENUM_SET_COLUMN_CHARSET => charsets(&mut value, columns, is_enum_or_set)?,
            COLUMN_NAME => {
                has_names = true;
                for column in columns.iter_mut() {
                    let name = std::str::from_utf8(value.lenenc_bytes()?).ok()?;
                    column.name = name.to_owned();
                }
            }
            SET_LABELS => labels(&mut value, columns, wire::SET)?,
            ENUM_LABELS => labels(&mut value, columns, wire::ENUM)?,
            GEOMETRY_TYPE => {
                for column in of_type(columns, wire::GEOMETRY) {
                    column.geometry_type = Some(u32::try_from(value.lenenc()?).ok()?);
                }
            }
            PRIMARY_KEY => key = key_parts(&mut value, columns.len(), false)?,
            PRIMARY_KEY_WITH_PREFIX => key = key_parts(&mut value, columns.len(), true)?,
            VISIBILITY => {
                let bitmap = value.take(columns.len().div_ceil(8))?;
                for (index, column) in columns.iter_mut().enumerate() {
                    column.visible = high_bit(bitmap, index);
                }
            }
            VECTOR_DIMENSION => {
                for column in of_type(columns, wire::VECTOR) {
                    column.vector_dimension = Some(u32::try_from(value.lenenc()?).ok()?);
                }
            }
            // A later field says more of columns that are understood without it.
            _ => continue,
        }
        // What is left over was meant for columns that we count to another class: everything
        // would stand one column off.
        if !value.is_empty() {
            return None;
        }
    }
    let is_said = |column: &Column| {
        (has_signs || !is_numeric(column))
            && (column.collation.is_some() || !(is_text(flavor, column) || is_enum_or_set(column)))
            && (!column.labels.is_empty() || !is_enum_or_set(column))
    };
    let is_full = has_names && columns.iter().all(is_said);
    // MariaDB walks geometry columns with the text columns, MySQL vectors, but these have no
    // collation.
    for wire_type in [wire::GEOMETRY, wire::VECTOR] {
        for column in of_type(columns, wire_type) {
            column.collation = None;
        }
    }
    Some((key, is_full))
}

fn is_numeric(column: &Column) -> bool {
    matches!(
        column.wire_type,
        wire::TINY
            | wire::SHORT
            | wire::INT24
            | wire::LONG
            | wire::LONGLONG
            | wire::NEWDECIMAL
            | wire::FLOAT
            | wire::DOUBLE
            | wire::YEAR
    )
}

/// Whether the charset fields walk the column (seen on MySQL 9.7.4 and MariaDB 10.11.19).
fn is_text(flavor: Flavor, column: &Column) -> bool {
    match column.wire_type {
        wire::STRING | wire::VAR_STRING | wire::VARCHAR => true,
        wire::TINY_BLOB | wire::BLOB | wire::MEDIUM_BLOB | wire::LONG_BLOB => true,
        wire::VECTOR => flavor == Flavor::MySql,
        wire::GEOMETRY | wire::BLOB_COMPRESSED | wire::VARCHAR_COMPRESSED => {
            flavor == Flavor::MariaDb
        }
        _ => false,
    }
}

fn is_enum_or_set(column: &Column) -> bool {
    matches!(column.wire_type, wire::ENUM | wire::SET)
}

fn of_type(columns: &mut [Column], wire_type: u8) -> impl Iterator<Item = &mut Column> {
    columns
        .iter_mut()
        .filter(move |column| column.wire_type == wire_type)
}

fn signs(value: &mut Cursor<'_>, columns: &mut [Column]) -> Option<()> {
    let count = columns.iter().filter(|column| is_numeric(column)).count();
    let bitmap = value.take(count.div_ceil(8))?;
    let numeric = columns.iter_mut().filter(|column| is_numeric(column));
    for (index, column) in numeric.enumerate() {
        column.unsigned = high_bit(bitmap, index);
    }
    Some(())
}

/// One collation for most columns of the class, pairs of index in the class and collation for
/// the others.
fn default_charset(
    value: &mut Cursor<'_>,
    columns: &mut [Column],
    class: impl Fn(&Column) -> bool,
) -> Option<()> {
    let default = u16::try_from(value.lenenc()?).ok()?;
    let mut members: Vec<&mut Column> = columns.iter_mut().filter(|c| class(c)).collect();
    for column in &mut members {
        column.collation = Some(default);
    }
    while !value.is_empty() {
        let index = value.length()?;
        let collation = u16::try_from(value.lenenc()?).ok()?;
        members.get_mut(index)?.collation = Some(collation);
    }
    Some(())
}

/// One collation for each column of the class.
fn charsets(
    value: &mut Cursor<'_>,
    columns: &mut [Column],
    class: impl Fn(&Column) -> bool,
) -> Option<()> {
    for column in columns.iter_mut().filter(|c| class(c)) {
        column.collation = Some(u16::try_from(value.lenenc()?).ok()?);
    }
    Some(())
}

fn labels(value: &mut Cursor<'_>, columns: &mut [Column], wire_type: u8) -> Option<()> {
    for column in of_type(columns, wire_type) {
        let count = value.length()?;
        column.labels.clear();
        for _ in 0..count {
            column.labels.push(value.lenenc_bytes()?.to_vec());
        }
    }
    Some(())
}

fn key_parts(value: &mut Cursor<'_>, width: usize, has_prefix: bool) -> Option<Vec<KeyPart>> {
    let mut key = Vec::new();
    while !value.is_empty() {
        let column = u32::try_from(value.lenenc()?).ok()?;
        let prefix = match has_prefix {
            true => u32::try_from(value.lenenc()?).ok()?,
            false => 0,
        };
        if column as usize >= width {
            return None;
        }
        key.push(KeyPart { column, prefix });
    }
    Some(key)
}
