//! Table map events: the shape of the table whose rows follow.
//!
//! u48 table id, u16 flags, u8 length + name + zero byte of database and table, lenenc number of
//! columns, a type byte each, lenenc length + type metadata, a bitmap of nullable columns, then
//! the [optional metadata](super::metadata).

use super::cursor::{Cursor, bit};
use super::metadata;
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::{Column, TableName, TableShape, wire};
use std::collections::HashMap;
use std::sync::Arc;

/// A parsed table map.
#[derive(Debug)]
pub struct TableMap {
    /// The table as the map describes it.
    pub shape: Arc<TableShape>,
    /// Whether the optional metadata said all that a column needs (`binlog_row_metadata=FULL`).
    pub is_full: bool,
}

/// Parses a table map without its table id.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no table map,
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) for a type nobody knows.
pub fn parse(flavor: Flavor, raw: &[u8]) -> Result<TableMap> {
    let damaged = || Error::corrupt("parse table map").field("bytes", raw.len());
    let mut cursor = Cursor::new(raw);
    let name = head(&mut cursor).ok_or_else(damaged)?;
    let named = |error: Error| error.field("table", &name);
    let basics = basics(&mut cursor).map_err(named)?;
    let mut columns = basics.ok_or_else(|| named(damaged()))?;
    let (key, is_full) = metadata::apply(flavor, cursor.rest(), &mut columns)
        .ok_or_else(|| named(Error::corrupt("parse metadata of table map")))?;
    for column in &mut columns {
        column.stored = column.default_storage(flavor);
    }
    Ok(TableMap {
        shape: Arc::new(TableShape {
            name,
            columns,
            key,
            raw_table_map: raw.to_vec(),
            definition: None,
        }),
        is_full,
    })
}

fn head(cursor: &mut Cursor<'_>) -> Option<TableName> {
    cursor.u16()?;
    let mut name = || {
        let bytes = cursor.lenenc_bytes()?;
        let text = std::str::from_utf8(bytes).ok()?;
        (cursor.u8()? == 0).then(|| text.to_owned())
    };
    Some(TableName {
        db: name()?,
        table: name()?,
    })
}

fn basics(cursor: &mut Cursor<'_>) -> Result<Option<Vec<Column>>> {
    let Some((types, details, nullable)) = parts(cursor) else {
        return Ok(None);
    };
    let mut details = Cursor::new(details);
    let mut columns = Vec::with_capacity(types.len());
    for (index, &logged) in types.iter().enumerate() {
        let Some((wire_type, metadata)) = real_type(logged, &mut details)? else {
            return Ok(None);
        };
        columns.push(Column {
            nullable: bit(nullable, index),
            ..Column::plain(String::new(), wire_type, metadata)
        });
    }
    Ok(details.is_empty().then_some(columns))
}

fn parts<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let count = cursor.length()?;
    let types = cursor.take(count)?;
    let details = cursor.lenenc_bytes()?;
    let nullable = cursor.take(count.div_ceil(8))?;
    Some((types, details, nullable))
}

/// The real type and metadata of a column, by the conventions of
/// [`Column::metadata`](crate::schema::Column).
fn real_type(logged: u8, details: &mut Cursor<'_>) -> Result<Option<(u8, u16)>> {
    let metadata = match logged {
        wire::STRING | wire::ENUM | wire::SET => {
            let Some([high, low]) = details.array::<2>() else {
                return Ok(None);
            };
            // Whatever else stood there would be walked by the rules of another type.
            return match string_type(high, low) {
                real @ (wire::STRING, _) | real @ (wire::ENUM | wire::SET, ..=255) => {
                    Ok(Some(real))
                }
                (other, _) => Err(unknown_type(other)),
            };
        }
        wire::NEWDECIMAL => details.array::<2>().map(u16::from_be_bytes),
        wire::VARCHAR | wire::VAR_STRING | wire::VARCHAR_COMPRESSED | wire::BIT => details.u16(),
        wire::FLOAT
        | wire::DOUBLE
        | wire::TINY_BLOB
        | wire::BLOB
        | wire::MEDIUM_BLOB
        | wire::LONG_BLOB
        | wire::BLOB_COMPRESSED
        | wire::GEOMETRY
        | wire::JSON
        | wire::VECTOR
        | wire::TIMESTAMP2
        | wire::DATETIME2
        | wire::TIME2 => details.u8().map(u16::from),
        wire::TINY
        | wire::SHORT
        | wire::LONG
        | wire::INT24
        | wire::LONGLONG
        | wire::NULL
        | wire::TIMESTAMP
        | wire::DATE
        | wire::TIME
        | wire::DATETIME
        | wire::YEAR
        | wire::NEWDATE => Some(0),
        other => return Err(unknown_type(other)),
    };
    Ok(metadata.map(|metadata| (logged, metadata)))
}

fn unknown_type(code: u8) -> Error {
    Error::incompatible("read table map with unknown column type").field("type", code)
}

/// STRING hides ENUM and SET in its first metadata byte, and there, inverted in bits 4 and 5,
/// also the two upper bits of a length over 255 (mysql-server `Field_string`).
fn string_type(high: u8, low: u8) -> (u8, u16) {
    if high & 0x30 == 0x30 {
        return (high, u16::from(low));
    }
    let upper = u16::from((high & 0x30) ^ 0x30) << 4;
    (high | 0x30, upper | u16::from(low))
}

/// Bytes of a table map without its id for columns as known here, with the optional metadata that
/// appliers need: what [`parse`] reads, the other way.
///
/// # Errors
/// [`Internal`](crate::error::ErrorKind::Internal) for a name that no table map can hold.
pub fn build(name: &TableName, columns: &[Column]) -> Result<Vec<u8>> {
    /// The length of a BIT column is exact; both servers always set it.
    const BIT_LEN_EXACT: u16 = 1;
    let mut out = BIT_LEN_EXACT.to_le_bytes().to_vec();
    for text in [&name.db, &name.table] {
        let length = u8::try_from(text.len()).ok().filter(|&n| n < 251);
        out.push(length.ok_or_else(|| Error::internal("make table map").field("table", name))?);
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    put_lenenc(&mut out, columns.len());
    let mut details = Vec::new();
    for column in columns {
        let [low, high] = column.metadata.to_le_bytes();
        let logged = match column.wire_type {
            wire::ENUM | wire::SET => {
                details.extend_from_slice(&[column.wire_type, low]);
                wire::STRING
            }
            wire::STRING => {
                details.extend_from_slice(&[wire::STRING ^ (high << 4), low]);
                wire::STRING
            }
            wire::NEWDECIMAL => {
                details.extend_from_slice(&[high, low]);
                wire::NEWDECIMAL
            }
            wire::VARCHAR | wire::VAR_STRING | wire::VARCHAR_COMPRESSED | wire::BIT => {
                details.extend_from_slice(&[low, high]);
                column.wire_type
            }
            wire::FLOAT
            | wire::DOUBLE
            | wire::TINY_BLOB
            | wire::BLOB
            | wire::MEDIUM_BLOB
            | wire::LONG_BLOB
            | wire::BLOB_COMPRESSED
            | wire::GEOMETRY
            | wire::JSON
            | wire::VECTOR
            | wire::TIMESTAMP2
            | wire::DATETIME2
            | wire::TIME2 => {
                details.push(low);
                column.wire_type
            }
            other => other,
        };
        out.push(logged);
    }
    put_lenenc(&mut out, details.len());
    out.append(&mut details);
    let mut nullable = vec![0_u8; columns.len().div_ceil(8)];
    for (index, _) in columns.iter().enumerate().filter(|(_, c)| c.nullable) {
        if let Some(byte) = nullable.get_mut(index / 8) {
            *byte |= 1 << (index % 8);
        }
    }
    out.append(&mut nullable);
    out.append(&mut vector_dimensions(columns));
    Ok(out)
}

/// The one optional metadata that appliers ask for: MySQL refuses rows with a VECTOR column when
/// its dimension is not said (seen on 9.7.4).
fn vector_dimensions(columns: &[Column]) -> Vec<u8> {
    let mut values = Vec::new();
    for dimension in columns.iter().filter_map(|c| c.vector_dimension) {
        put_lenenc(&mut values, dimension as usize);
    }
    let mut field = Vec::new();
    if !values.is_empty() {
        field.push(metadata::VECTOR_DIMENSION);
        put_lenenc(&mut field, values.len());
        field.append(&mut values);
    }
    field
}

/// Writes a length-encoded count (at most 65,535 is ever needed: 4,096 columns, two bytes each).
pub(crate) fn put_lenenc(out: &mut Vec<u8>, value: usize) {
    match value {
        0..=250 => out.push(value as u8),
        _ => {
            out.push(252);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
    }
}

/// The table maps in force, and shapes that were parsed before.
#[derive(Debug)]
pub(crate) struct TableMaps {
    flavor: Flavor,
    /// Of the statement at hand; a statement maps few tables.
    current: Vec<(u64, Arc<TableMap>)>,
    /// Last map of each table id. Only a hint: used when the bytes are the same again, so that a
    /// small transaction does not parse its metadata anew.
    seen: HashMap<u64, Arc<TableMap>>,
    /// The map taken last: mostly the next one is the same.
    last: Option<(u64, Arc<TableMap>)>,
}

/// Shapes remembered at most; forgetting them only costs parsing them again.
const SEEN_MAX: usize = 16_384;

impl TableMaps {
    pub(crate) fn new(flavor: Flavor) -> Self {
        TableMaps {
            flavor,
            current: Vec::new(),
            seen: HashMap::new(),
            last: None,
        }
    }

    /// Takes the map of `table_id`, whose bytes after the id are `raw`.
    pub(crate) fn add(&mut self, table_id: u64, raw: &[u8]) -> Result<()> {
        let last = self.last.as_ref().filter(|(id, _)| *id == table_id);
        let known = match last {
            Some((_, map)) => Some(map),
            None => self.seen.get(&table_id),
        };
        let known = known.filter(|map| map.shape.raw_table_map == raw).cloned();
        let map = match known {
            Some(map) => map,
            None => {
                let map = Arc::new(parse(self.flavor, raw)?);
                if self.seen.len() >= SEEN_MAX {
                    self.seen.clear();
                }
                self.seen.insert(table_id, Arc::clone(&map));
                map
            }
        };
        if last.is_none_or(|(_, last)| !Arc::ptr_eq(last, &map)) {
            self.last = Some((table_id, Arc::clone(&map)));
        }
        self.current.retain(|(id, _)| *id != table_id);
        self.current.push((table_id, map));
        Ok(())
    }

    pub(crate) fn get(&self, table_id: u64) -> Option<&Arc<TableMap>> {
        self.current
            .iter()
            .find(|(id, _)| *id == table_id)
            .map(|(_, map)| map)
    }

    /// Ends the statement: ids may mean other tables in the next.
    pub(crate) fn clear(&mut self) {
        self.current.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_no_other_type_in_disguise() {
        // One nullable column `t.a` of type STRING whose metadata names the real type.
        let map = |high| {
            let head = b"\x01\x00\x01d\x00\x01t\x00\x01\xfe\x02".as_slice();
            [head, &[high, 4], b"\x01"].concat()
        };
        for (high, wire_type) in [
            (0xfe, wire::STRING),
            (0xee, wire::STRING),
            (0xf7, wire::ENUM),
            (0xf8, wire::SET),
        ] {
            let parsed = parse(Flavor::MySql, &map(high)).expect("a string");
            assert_eq!(parsed.shape.columns.first().unwrap().wire_type, wire_type);
        }
        for high in [
            wire::VECTOR,
            wire::BLOB,
            wire::NEWDECIMAL,
            0x30,
            0,
            wire::ENUM ^ 0x20,
        ] {
            assert!(parse(Flavor::MySql, &map(high)).is_err(), "{high:#x}");
        }
    }

    #[test]
    fn an_id_means_what_its_last_map_says() {
        // One nullable INT column; the maps of all names have one length.
        let map = |name: &str| {
            [
                b"\x01\x00\x01d\x00\x01",
                name.as_bytes(),
                b"\x00\x01\x03\x00\x01",
            ]
            .concat()
        };
        let mut maps = TableMaps::new(Flavor::MySql);
        for (id, name) in [(5, "a"), (5, "b"), (6, "a"), (5, "b"), (5, "a"), (6, "b")] {
            maps.add(id, &map(name)).expect("a map");
            let found = maps.get(id).expect("the map");
            assert_eq!(found.shape.name.table, name, "{id}");
        }
    }

    #[test]
    fn lengths_over_255_hide_in_the_type() {
        // CHAR(255) utf8mb4: 1020 bytes.
        assert_eq!(string_type(0xce, 0xfc), (wire::STRING, 1020));
        assert_eq!(string_type(0xfe, 10), (wire::STRING, 10));
        assert_eq!(string_type(0xf7, 2), (wire::ENUM, 2));
        assert_eq!(string_type(0xf8, 8), (wire::SET, 8));
        for length in 0..1024_u16 {
            let [low, high] = length.to_le_bytes();
            assert_eq!(
                string_type(wire::STRING ^ (high << 4), low),
                (wire::STRING, length)
            );
        }
    }
}
