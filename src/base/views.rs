//! `views.sql`: DuckDB views over exactly the files of a base, for analysts.
//!
//! Table and database names come from users and stand in the analyst's SQL session: identifiers
//! are quoted by doubling `"`, literals by doubling `'`, and no name ever stands in a comment.
//! Paths start at `getvariable('tidelog_repository')`, so that a copy or a mirror can be read
//! without another file, and at the repository's own URL where that variable is not set.

use super::BaseFile;
use crate::error::{Error, Result};
use crate::schema::{Column, StoredType, TableId, TableName};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A table as its view shows it.
#[derive(Clone, Debug)]
pub struct ViewTable<'a> {
    /// Name at the base's Seq.
    pub name: &'a TableName,
    /// The incarnation.
    pub table_id: &'a TableId,
    /// The columns at the base's Seq, for the view of a table without files.
    pub columns: &'a [Column],
    /// The table's files.
    pub files: Vec<&'a BaseFile>,
}

/// Schema names that DuckDB keeps for itself or resolves to a catalog.
const RESERVED: [&str; 5] = [
    "temp",
    "system",
    "memory",
    "pg_catalog",
    "information_schema",
];

/// The text of `views.sql`; `repository_url` has no trailing slash and no credentials.
///
/// DuckDB ignores case in names: of two tables that differ in case only, the later one's view is
/// named `<table>__<table_id>`. A database with one of DuckDB's own names gets `_db` appended.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a name holds a NUL, which no server allows
/// and no SQL text can carry.
pub fn render(repository_url: &str, tables: &[ViewTable<'_>]) -> Result<String> {
    let mut text = String::from(
        "-- Views over the files of one base of a tidelog repository, for DuckDB.\n\
         -- Read a copy or a mirror: SET VARIABLE tidelog_repository = 'URL or path of it';\n",
    );
    let mut schemas = BTreeSet::new();
    let mut views = BTreeSet::new();
    for table in tables {
        let (schema, view) = view_name(table, &mut views)?;
        if schemas.insert(schema.to_lowercase()) {
            line(
                &mut text,
                format_args!("CREATE SCHEMA IF NOT EXISTS {};", quoted(&schema)),
            );
        }
        let body = if table.files.is_empty() {
            empty_select(table.columns)
        } else {
            select(repository_url, &table.files)?
        };
        let target = format!("{}.{}", quoted(&schema), quoted(&view));
        line(
            &mut text,
            format_args!("CREATE OR REPLACE VIEW {target} AS {body};"),
        );
    }
    Ok(text)
}

fn view_name(
    table: &ViewTable<'_>,
    taken: &mut BTreeSet<(String, String)>,
) -> Result<(String, String)> {
    let TableName { db, table: name } = table.name;
    if db.contains('\0') || name.contains('\0') {
        return Err(Error::corrupt("name view of a table").field("table_id", table.table_id));
    }
    let mut schema = db.clone();
    if RESERVED.contains(&schema.to_lowercase().as_str()) {
        schema.push_str("_db");
    }
    let mut view = name.clone();
    while !taken.insert((schema.to_lowercase(), view.to_lowercase())) {
        view = format!("{view}__{}", table.table_id);
    }
    Ok((schema, view))
}

fn select(repository_url: &str, files: &[&BaseFile]) -> Result<String> {
    let mut list = String::new();
    let mut versions = BTreeSet::new();
    for file in files {
        if file.offset != 0 {
            return Err(Error::internal("render view over a member of a pack")
                .field("object", &file.object));
        }
        versions.insert(file.version);
        let comma = if list.is_empty() { "" } else { ", " };
        let path = literal(&format!("/{}", file.object));
        let prefix = literal(repository_url);
        let root = format!("coalesce(getvariable('tidelog_repository'), {prefix})");
        // Writing into a String cannot fail.
        let _ = write!(list, "{comma}{root} || {path}");
    }
    let by_name = if versions.len() > 1 {
        ", union_by_name = true"
    } else {
        ""
    };
    Ok(format!(
        "SELECT * FROM read_parquet([{list}], hive_partitioning = false{by_name})"
    ))
}

/// A typed view of no rows: a table without rows needs no file.
fn empty_select(columns: &[Column]) -> String {
    let mut list: Vec<String> = columns
        .iter()
        .map(|c| {
            let kind = duckdb_type(c.stored);
            format!("CAST(NULL AS {kind}) AS {}", quoted(&stored_name(c)))
        })
        .collect();
    list.push("CAST(NULL AS BIGINT) AS \"__seq\"".to_owned());
    list.push("CAST(NULL AS BLOB) AS \"__raw\"".to_owned());
    format!("SELECT {} WHERE false", list.join(", "))
}

/// A user's column with the name of a system column is stored under another name.
fn stored_name(column: &Column) -> String {
    const SYSTEM: [&str; 7] = [
        "__op",
        "__seq",
        "__row",
        "__event",
        "__flags",
        "__commit_time",
        "__raw",
    ];
    if SYSTEM.contains(&column.name.to_lowercase().as_str()) {
        return format!("{}__col{}", column.name, column.field_id);
    }
    column.name.clone()
}

fn duckdb_type(stored: StoredType) -> String {
    match stored {
        StoredType::Int8 => "TINYINT".into(),
        StoredType::Int16 => "SMALLINT".into(),
        StoredType::Int32 => "INTEGER".into(),
        StoredType::Int64 | StoredType::TimeUs => "BIGINT".into(),
        StoredType::Decimal128 { precision, scale } => format!("DECIMAL({precision},{scale})"),
        StoredType::Float32 => "FLOAT".into(),
        StoredType::Float64 => "DOUBLE".into(),
        StoredType::Date32 => "DATE".into(),
        StoredType::TimestampUs { utc: true } => "TIMESTAMPTZ".into(),
        StoredType::TimestampUs { utc: false } => "TIMESTAMP".into(),
        StoredType::Utf8 => "VARCHAR".into(),
        StoredType::Binary => "BLOB".into(),
        StoredType::Vector { .. } => "FLOAT[]".into(),
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{line}");
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Seq;
    use crate::segment::RowOrder;

    fn file(object: &str, version: u32) -> BaseFile {
        BaseFile {
            name: TableName::new("d", "t"),
            table_id: TableId::allocate(1, Seq(1), 0),
            version,
            object: object.to_owned(),
            offset: 0,
            bytes: 9,
            rows: 1,
            key_min: None,
            key_max: None,
            crc32: 0,
            sha256: [0; 32],
            fingerprint: 0,
            order: RowOrder::Sorted,
        }
    }

    fn one(db: &str, table: &str, files: Vec<&BaseFile>) -> Result<String> {
        let (name, table_id) = (TableName::new(db, table), TableId::allocate(1, Seq(1), 0));
        let table = ViewTable {
            name: &name,
            table_id: &table_id,
            columns: &[],
            files,
        };
        let text = render("s3://b/it's", &[table])?;
        Ok(text.lines().skip(2).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn names_and_paths_cannot_leave_their_quotes() {
        let file = file("tables/x'; drop", 1);
        let text = one("a\"b;\n--", "t'\"; DROP", vec![&file]).expect("render");
        assert_eq!(
            text,
            "CREATE SCHEMA IF NOT EXISTS \"a\"\"b;\n--\";\n\
             CREATE OR REPLACE VIEW \"a\"\"b;\n--\".\"t'\"\"; DROP\" AS SELECT * FROM read_parquet(\
             [coalesce(getvariable('tidelog_repository'), 's3://b/it''s') || '/tables/x''; drop'], \
             hive_partitioning = false);"
        );
        assert!(one("a\0b", "t", vec![]).is_err());
    }

    #[test]
    fn an_empty_table_has_typed_columns_and_names_never_shadow_each_other() {
        let (a, b) = (TableName::new("temp", "T"), TableName::new("TEMP", "t"));
        let id = TableId::allocate(1, Seq(1), 7);
        let view = |name| ViewTable {
            name,
            table_id: &id,
            columns: &[],
            files: vec![],
        };
        let text = render("/r", &[view(&a), view(&b)]).expect("render");
        assert!(
            text.contains("VIEW \"temp_db\".\"T\" AS SELECT CAST(NULL AS BIGINT) AS \"__seq\"")
        );
        assert!(text.contains("VIEW \"TEMP_db\".\"t__0001-00000000000000000001-7\""));
        assert_eq!(text.matches("CREATE SCHEMA").count(), 1);
    }

    #[test]
    fn versions_are_united_by_name() {
        let (v1, v2) = (file("a", 1), file("b", 2));
        assert!(
            one("d", "t", vec![&v1, &v2])
                .expect("render")
                .contains("union_by_name = true")
        );
    }
}
