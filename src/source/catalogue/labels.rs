//! Labels of ENUM and SET as the bytes a table map holds.
//!
//! `information_schema` shows labels in three-byte UTF-8: they are parsed out of `COLUMN_TYPE`
//! and turned back into the column's character set by the server. What that character set cannot
//! say arrives as a question mark, in labels as in MariaDB's defaults; the true bytes are then
//! read from a temporary table of the same columns, which no binlog sees.

use super::columns::ColumnRow;
use super::rows;
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::{Column, TableName, quote_identifier, wire};
use crate::source::SqlClient;

/// A piece of a definition that the server printed with question marks, and the true one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    pub(super) column: String,
    pub(super) printed: String,
    pub(super) exact: String,
}

/// Fills in labels and pack lengths of all ENUM and SET columns.
pub(super) async fn fill(
    client: &mut SqlClient,
    table: &TableName,
    column_rows: &[ColumnRow],
    columns: &mut [Column],
) -> Result<Vec<Repair>> {
    let flavor = client.flavor();
    let mut converted = Vec::new();
    let mut repairs = Vec::new();
    for (row, column) in column_rows.iter().zip(columns.iter_mut()) {
        let named = |e: Error| e.field("column", &row.name);
        if matches!(column.wire_type, wire::ENUM | wire::SET) {
            let texts = parse(&row.column_type).ok_or_else(|| {
                named(Error::incompatible("parse labels of column")).field("type", &row.column_type)
            })?;
            column.metadata = pack_length(column.wire_type, texts.len());
            let is_doubtful = row.may_hide(&row.column_type);
            if is_doubtful {
                let found = read_exact(client, table, row, texts.len()).await;
                let found = found.map_err(named)?;
                let printed = row.column_type.clone();
                let exact = render(&row.data_type, &found.texts);
                repairs.extend(repair(row, printed, exact));
                column.labels = found.bytes;
            } else {
                converted.push((column, row, texts));
            }
        }
        // MySQL prints such defaults as bytes.
        if flavor == Flavor::MariaDb && row.default.as_deref().is_some_and(|d| row.may_hide(d)) {
            repairs.extend(default(client, table, row).await.map_err(named)?);
        }
    }
    convert(client, converted).await?;
    Ok(repairs)
}

fn repair(row: &ColumnRow, printed: String, exact: String) -> Option<Repair> {
    (printed != exact).then(|| Repair {
        column: row.name.clone(),
        printed,
        exact,
    })
}

impl ColumnRow {
    /// Whether a question mark in `text` may stand for a character the server cannot print.
    fn may_hide(&self, text: &str) -> bool {
        const WIDE: [&str; 5] = ["utf8mb4", "utf16", "utf16le", "utf32", "gb18030"];
        let is_plain = |b: u8| b.is_ascii() && b != b'?';
        match self.charset.as_deref() {
            Some(charset) => WIDE.contains(&charset) && text.contains('?'),
            // ENUM of bytes; other columns of bytes print their defaults as they are.
            None => text.starts_with(['e', 's']) && !text.bytes().all(is_plain),
        }
    }
}

fn pack_length(wire_type: u8, labels: usize) -> u16 {
    match (wire_type, labels.div_ceil(8) as u16) {
        (wire::ENUM, _) if labels < 256 => 1,
        (wire::ENUM, _) => 2,
        (_, 5..) => 8,
        (_, bytes) => bytes.max(1),
    }
}

/// The labels of `enum('a','it''s')`, as the server prints them under an empty `sql_mode`.
pub(super) fn parse(column_type: &str) -> Option<Vec<String>> {
    let open = column_type.find('(')?;
    let mut rest = column_type.get(open + 1..)?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        if rest.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match rest.next()? {
                '\'' if rest.peek() == Some(&'\'') => {
                    rest.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match rest.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'Z' => '\u{1a}',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label);
        match rest.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}

fn render(data_type: &str, labels: &[String]) -> String {
    let labels: Vec<String> = labels.iter().map(|l| literal(l)).collect();
    format!("{data_type}({})", labels.join(","))
}

/// A literal escaped as the servers print it.
fn literal(text: &str) -> String {
    let mut out = String::from("'");
    for character in text.chars() {
        match character {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// Lets the server convert the labels that are not the same bytes in their character set.
async fn convert(
    client: &mut SqlClient,
    columns: Vec<(&mut Column, &ColumnRow, Vec<String>)>,
) -> Result<()> {
    // The limit of expressions in one SELECT is far higher.
    const AT_ONCE: usize = 500;
    for (column, row, texts) in columns {
        let charset = row.charset.as_deref().unwrap_or("binary");
        let is_same = |text: &String| match charset {
            "utf8mb4" | "utf8mb3" | "utf8" | "binary" => true,
            "ucs2" | "utf16" | "utf16le" | "utf32" | "swe7" => text.is_empty(),
            _ => text.is_ascii(),
        };
        column.labels = texts.iter().map(|t| t.clone().into_bytes()).collect();
        let different: Vec<usize> = (0..texts.len())
            .filter(|&i| texts.get(i).is_some_and(|t| !is_same(t)))
            .collect();
        for some in different.chunks(AT_ONCE) {
            let expressions: Vec<String> = some
                .iter()
                .filter_map(|&i| texts.get(i))
                .map(|t| {
                    let bytes = hex::encode(t);
                    format!("HEX(CONVERT(CONVERT(0x{bytes} USING utf8mb4) USING {charset}))")
                })
                .collect();
            let found = rows(client, &format!("SELECT {}", expressions.join(", "))).await?;
            for (place, &index) in some.iter().enumerate() {
                let text = found.first().map(|row| row.text(place)).unwrap_or_default();
                if let Some(label) = column.labels.get_mut(index) {
                    *label = unhex(&text)?;
                }
            }
        }
    }
    Ok(())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    hex::decode(text).map_err(|e| Error::internal("read bytes from server").source(e))
}

struct Exact {
    bytes: Vec<Vec<u8>>,
    texts: Vec<String>,
}

const TEMPORARY: &str = "tidelog_labels";

/// Reads the labels of one column from a temporary table that has one row a label.
async fn read_exact(
    client: &mut SqlClient,
    table: &TableName,
    row: &ColumnRow,
    count: usize,
) -> Result<Exact> {
    let values: Vec<String> = match row.data_type.as_str() {
        "set" => (0..count).map(|i| format!("({})", 1_u64 << i)).collect(),
        _ => (1..=count).map(|i| format!("({i})")).collect(),
    };
    let column = quote_identifier(&row.name);
    let insert = format!("({column}) VALUES {}", values.join(","));
    let select = format!(
        "SELECT HEX({column}), HEX(CONVERT({column} USING utf8mb4)) FROM {{}} ORDER BY {column}+0"
    );
    let found = through_temporary(client, table, &column, &insert, &select).await?;
    let mut exact = Exact {
        bytes: Vec::new(),
        texts: Vec::new(),
    };
    for row in &found {
        exact.bytes.push(unhex(&row.text(0))?);
        let text = String::from_utf8(unhex(&row.text(1))?);
        exact.texts.push(text.map_err(|e| {
            Error::incompatible("read labels: they are not text")
                .source(e)
                .hint("give the column a character set")
        })?);
    }
    match exact.bytes.len() == count {
        true => Ok(exact),
        false => {
            Err(Error::internal("read labels through a temporary table").field("labels", count))
        }
    }
}

/// The true default of a column.
async fn default(
    client: &mut SqlClient,
    table: &TableName,
    row: &ColumnRow,
) -> Result<Option<Repair>> {
    let printed = row.default.clone().unwrap_or_default();
    if !printed.starts_with('\'') {
        return Ok(None);
    }
    let column = quote_identifier(&row.name);
    let select = format!("SELECT HEX(CONVERT({column} USING utf8mb4)) FROM {{}}");
    let found = through_temporary(client, table, &column, "() VALUES ()", &select).await?;
    let text = unhex(&found.first().map(|row| row.text(0)).unwrap_or_default())?;
    let exact = literal(&String::from_utf8_lossy(&text));
    Ok(repair(
        row,
        format!("DEFAULT {printed}"),
        format!("DEFAULT {exact}"),
    ))
}

async fn through_temporary(
    client: &mut SqlClient,
    table: &TableName,
    column: &str,
    insert: &str,
    select: &str,
) -> Result<Vec<super::TextRow>> {
    let temporary = TableName::new(&table.db, TEMPORARY).quoted();
    let create = format!(
        "CREATE TEMPORARY TABLE {temporary} SELECT {column} FROM {} LIMIT 0",
        table.quoted()
    );
    let made = client.exec(&create).await;
    made.map_err(|e| {
        e.hint(
            "the server prints a character of this column as '?': GRANT CREATE TEMPORARY TABLES \
             on the database, so that it can be read another way",
        )
    })?;
    let found = async {
        client
            .exec(&format!("INSERT INTO {temporary} {insert}"))
            .await?;
        rows(client, &select.replace("{}", &temporary)).await
    }
    .await;
    client
        .exec(&format!("DROP TEMPORARY TABLE {temporary}"))
        .await?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_the_server_prints_them() {
        let labels = parse("enum('it''s','b\\\\c','n\\nl','','a\\0b','x,)')").expect("labels");
        assert_eq!(labels, ["it's", "b\\c", "n\nl", "", "a\0b", "x,)"]);
        assert_eq!(parse("set('x')").expect("labels"), ["x"]);
        for text in ["enum", "enum()", "enum('a", "enum('a'x)", "enum(a)"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let again = render("enum", &labels);
        assert_eq!(parse(&again).expect("labels"), labels);
    }

    #[test]
    fn pack_lengths_follow_the_number_of_labels() {
        assert_eq!(pack_length(wire::ENUM, 255), 1);
        assert_eq!(pack_length(wire::ENUM, 256), 2);
        assert_eq!(pack_length(wire::SET, 8), 1);
        assert_eq!(pack_length(wire::SET, 32), 4);
        assert_eq!(pack_length(wire::SET, 33), 8);
    }
}
