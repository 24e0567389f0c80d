//! Names of tables: the user's (any text) and ours (never derived from the user's).

use crate::error::{Error, Result};
use crate::position::Seq;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Database and table as the server spells them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
}

impl TableName {
    /// A name.
    pub fn new(db: impl Into<String>, table: impl Into<String>) -> Self {
        TableName {
            db: db.into(),
            table: table.into(),
        }
    }

    /// In lower case, as a server with `lower_case_table_names=1` keeps it.
    #[must_use]
    pub fn lower(&self) -> TableName {
        TableName::new(self.db.to_lowercase(), self.table.to_lowercase())
    }

    /// `` `db`.`table` `` for SQL text.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.db),
            quote_identifier(&self.table)
        )
    }
}

/// For people: `db.table`, unquoted. Never use it in SQL.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.db, self.table)
    }
}

/// Quotes an identifier for MySQL and MariaDB by doubling backticks.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Identity of one incarnation of a table: `<timeline 4>-<seq 20 of first sight>-<n>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableId(String);

impl TableId {
    /// The `n`th table first seen at `seq` of `timeline`.
    #[must_use]
    pub fn allocate(timeline: u32, seq: Seq, n: u32) -> TableId {
        TableId(format!("{timeline:04}-{:020}-{n}", seq.0))
    }

    /// Parses a stored id; anything but digits and dashes in their places is refused, so that
    /// an id can be a part of an object name.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the text is no table id.
    pub fn parse(text: &str) -> Result<TableId> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.split('-').collect();
        match parts.as_slice() {
            [timeline, seq, n]
                if timeline.len() == 4
                    && seq.len() == 20
                    && n.len() <= 10
                    && digits(timeline)
                    && digits(seq)
                    && digits(n) =>
            {
                Ok(TableId(text.to_owned()))
            }
            _ => Err(Error::corrupt("parse table id").field("text", text)),
        }
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TableId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        TableId::parse(&text)
    }
}

impl From<TableId> for String {
    fn from(id: TableId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_by_doubling() {
        assert_eq!(
            TableName::new("a`b", "c; drop").quoted(),
            "`a``b`.`c; drop`"
        );
    }

    #[test]
    fn table_ids_cannot_leave_their_folder() {
        let id = TableId::allocate(1, Seq(42), 3);
        assert_eq!(id.as_str(), "0001-00000000000000000042-3");
        assert_eq!(TableId::parse(id.as_str()).expect("own id"), id);
        for text in [
            "",
            "../x",
            "0001-42-3",
            "0001-00000000000000000042-",
            "0001-0000000000000000004/-3",
        ] {
            assert!(TableId::parse(text).is_err(), "{text}");
        }
    }
}
