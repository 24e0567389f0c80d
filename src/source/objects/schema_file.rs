//! `schema.sql`: SQL for the flavor's command line client (run it with `--comments`, else
//! MariaDB's takes the comments out of routines), read back exactly.
//!
//! ```text
//! -- tidelog schema 1 mysql
//! -- tidelog {"kind":"view","db":"shop","name":"v",...,"skip":61,"bytes":42}
//! USE `shop`;
//! SET sql_mode='';
//! DELIMITER $tidelog$
//! CREATE ... VIEW `v` AS select ...
//! $tidelog$
//! DELIMITER ;
//! ```
//!
//! The JSON line is [`SchemaObject`] with two more members: the statement's bytes begin `skip`
//! bytes after the line's end and are `bytes` long, so nothing is ever searched in SQL text. JSON
//! escapes line ends, so a name cannot leave its comment. The delimiter is one that the statement
//! does not contain. The last line says how many objects there are.

use super::SchemaObject;
use crate::error::{Error, Result, Wrap};
use crate::position::Flavor;
use serde::{Deserialize, Serialize};

const HEAD: &str = "-- tidelog schema 1 ";
const OBJECT: &str = "-- tidelog {";
const END: &str = "-- tidelog end ";

#[derive(Serialize)]
struct WrittenHeader<'a> {
    #[serde(flatten)]
    object: &'a SchemaObject,
    skip: usize,
    bytes: usize,
}

#[derive(Deserialize)]
struct ReadHeader {
    #[serde(flatten)]
    object: SchemaObject,
    skip: usize,
    bytes: usize,
}

/// Writes `schema.sql`: SQL the flavor's command line client can run, and that
/// [`parse_schema`] reads back exactly.
///
/// # Errors
/// [`Internal`](crate::error::ErrorKind::Internal) when an object cannot be written as JSON.
pub fn render_schema(flavor: Flavor, objects: &[SchemaObject]) -> Result<Vec<u8>> {
    let mut out = format!("{HEAD}{flavor}\n").into_bytes();
    for object in objects {
        let delimiter = delimiter_for(&object.statement);
        let mut before = String::new();
        for statement in object.session_statements(flavor, &object.db) {
            before.push_str(&statement);
            before.push_str(";\n");
        }
        before.push_str(&format!("DELIMITER {delimiter}\n"));
        let header = WrittenHeader {
            object,
            skip: before.len(),
            bytes: object.statement.len(),
        };
        let header = serde_json::to_string(&header);
        let header = header.wrap(|| Error::internal("write schema object"))?;
        out.extend_from_slice(format!("-- tidelog {header}\n{before}").as_bytes());
        out.extend_from_slice(&object.statement);
        out.extend_from_slice(format!("\n{delimiter}\nDELIMITER ;\n").as_bytes());
        for statement in object.after_statements(&object.db) {
            out.extend_from_slice(format!("{statement};\n").as_bytes());
        }
    }
    out.extend_from_slice(format!("{END}{}\n", objects.len()).as_bytes());
    Ok(out)
}

fn delimiter_for(statement: &[u8]) -> String {
    let mut delimiter = "$tidelog$".to_owned();
    let mut n = 0;
    while statement
        .windows(delimiter.len())
        .any(|w| w == delimiter.as_bytes())
    {
        n += 1;
        delimiter = format!("$tidelog{n}$");
    }
    delimiter
}

/// Reads what [`render_schema`] wrote.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the file is not whole,
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a newer version wrote it.
pub fn parse_schema(file: &[u8]) -> Result<Vec<SchemaObject>> {
    if !file.starts_with(HEAD.as_bytes()) {
        return Err(match file.starts_with(b"-- tidelog schema ") {
            true => Error::incompatible("read schema: a newer version wrote it"),
            false => Error::corrupt("read schema: it does not begin with its version"),
        });
    }
    let mut objects = Vec::new();
    let mut rest = file;
    while let Some((line, tail)) = split_line(rest) {
        rest = tail;
        if line.starts_with(OBJECT.as_bytes()) {
            let (object, tail) = read_object(line, tail)?;
            objects.push(object);
            rest = tail;
        } else if let Some(count) = line.strip_prefix(END.as_bytes()) {
            let is_whole = rest.is_empty() && count == objects.len().to_string().as_bytes();
            return match is_whole {
                true => Ok(objects),
                false => Err(Error::corrupt("read schema: objects are missing")
                    .field("found", objects.len())),
            };
        }
    }
    Err(Error::corrupt("read schema: it is cut").field("objects", objects.len()))
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let (line, tail) = bytes.split_at_checked(end)?;
    Some((line, tail.get(1..)?))
}

fn read_object<'a>(line: &[u8], tail: &'a [u8]) -> Result<(SchemaObject, &'a [u8])> {
    let json = line.get("-- tidelog ".len()..).unwrap_or_default();
    let read: ReadHeader =
        serde_json::from_slice(json).wrap(|| Error::corrupt("read schema: bad object line"))?;
    let end = read.skip.checked_add(read.bytes);
    let statement = end.and_then(|end| tail.get(read.skip..end));
    let Some((statement, end)) = statement.zip(end) else {
        return Err(Error::corrupt("read schema: a statement is cut")
            .field("db", &read.object.db)
            .field("name", &read.object.name));
    };
    let mut object = read.object;
    object.statement = statement.to_vec();
    Ok((object, tail.get(end..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::objects::{DatabaseCollation, ObjectKind};

    fn object(name: &str, statement: &[u8]) -> SchemaObject {
        SchemaObject {
            kind: ObjectKind::Function,
            db: "a`b\n-- x".into(),
            name: name.into(),
            table: None,
            statement: statement.to_vec(),
            sql_mode: "ANSI_QUOTES".into(),
            character_set_client: "latin1".into(),
            collation_connection: Some("latin1_swedish_ci".into()),
            database_collation: Some(DatabaseCollation {
                created: "utf8mb4_bin".into(),
                current: "latin1_swedish_ci".into(),
            }),
            time_zone: None,
            definer: Some("u@h".into()),
            broken: false,
        }
    }

    #[test]
    fn statements_come_back_byte_for_byte() {
        let objects = [
            object(
                "f",
                b"CREATE FUNCTION f() ...; -- tidelog {\n$tidelog$\nDELIMITER ;\n",
            ),
            object("g", b""),
            object("h", b"\xff\n-- tidelog end 3\n$tidelog1$ $tidelog$"),
        ];
        let file = render_schema(Flavor::MySql, &objects).expect("a file");
        assert_eq!(parse_schema(&file).expect("its own output"), objects);
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("DELIMITER $tidelog1$\nCREATE FUNCTION f()"));
        assert!(text.contains("DELIMITER $tidelog2$\n"));
        assert!(text.contains("ALTER DATABASE `a``b\n-- x` COLLATE utf8mb4_bin;\n"));
    }

    #[test]
    fn a_cut_file_is_refused_wherever_it_is_cut() {
        let objects = [
            object("f", b"CREATE FUNCTION f() RETURN 1"),
            object("g", b"x"),
        ];
        let file = render_schema(Flavor::MySql, &objects).expect("a file");
        for end in 0..file.len() {
            assert!(parse_schema(&file[..end]).is_err(), "cut at {end}");
        }
        let mut newer = file.clone();
        newer[18] = b'2';
        assert!(parse_schema(&newer).is_err());
    }
}
