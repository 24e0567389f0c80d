//! Where something stands in a source's history.
//!
//! A transaction has up to four names, each for one use: its [`Seq`] (our own dense number, the
//! only one that orders things inside a repository), its [`Gtid`] (the identity that survives a
//! failover), its [`BinlogPosition`] (where one server wrote it) and its commit time. Sets of
//! GTIDs are [`GtidSet`]s of either [`Flavor`].

mod gtid;
mod mariadb;
mod mysql;

pub use gtid::{Gtid, GtidSet};
pub use mariadb::MariaDbGtidPos;
pub use mysql::{MySqlGtidSet, Tag};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which of the two server families a history comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// Oracle MySQL and servers that speak its binlog.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Flavor {
    /// Name as stored in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Flavor::MySql => "mysql",
            Flavor::MariaDb => "mariadb",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Number of a log entry: dense, ascending, starting at 1 within a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl Seq {
    /// The first entry of a timeline.
    pub const FIRST: Seq = Seq(1);

    /// The entry after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    /// The entry before this one; `Seq(0)` before the first.
    #[must_use]
    pub fn prev(self) -> Seq {
        Seq(self.0 - 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A place in one server's binlog: file name and byte offset (64-bit: files outgrow 4 GiB).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BinlogPosition {
    /// File name without a path, for example `binlog.000042`.
    pub file: String,
    /// Byte offset of the next event.
    pub offset: u64,
}

impl BinlogPosition {
    /// A position.
    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        BinlogPosition {
            file: file.into(),
            offset,
        }
    }

    /// Orders two positions of one server: by the number in the file name, then by offset.
    /// `None` when the names have different stems or no number.
    #[must_use]
    pub fn order(&self, other: &BinlogPosition) -> Option<std::cmp::Ordering> {
        let (stem, number) = split_file(&self.file)?;
        let (other_stem, other_number) = split_file(&other.file)?;
        (stem == other_stem).then(|| (number, self.offset).cmp(&(other_number, other.offset)))
    }
}

fn split_file(name: &str) -> Option<(&str, u64)> {
    let (stem, number) = name.rsplit_once('.')?;
    Some((stem, number.parse().ok()?))
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

impl FromStr for BinlogPosition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::config("parse binlog position")
                .field("text", text)
                .hint("write FILE:OFFSET, for example binlog.000042:1573")
        };
        let (file, offset) = text.rsplit_once(':').ok_or_else(bad)?;
        let offset = offset.parse().map_err(|_| bad())?;
        if file.is_empty() {
            return Err(bad());
        }
        Ok(BinlogPosition::new(file, offset))
    }
}

#[cfg(test)]
mod tests;
