//! What a restore is asked for: a moment of the source's history, and which tables.

use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Gtid, GtidSet, Seq};
use crate::schema::TableName;

/// A moment of the source's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The longest commit-order prefix of whole transactions whose commit times are all at or
    /// before this one; microseconds since the epoch, UTC, on the source's clock.
    Time {
        /// The time.
        at_us: i64,
    },
    /// Just after this transaction.
    Gtid(Gtid),
    /// When exactly these transactions had been executed.
    GtidSet(GtidSet),
    /// After the last transaction that ends at or before this place of the source's binlog.
    Position(BinlogPosition),
    /// After this entry of the log.
    Seq(Seq),
    /// The end of the log.
    Latest,
}

/// Which side of an uncertain cut is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Leave out every transaction that may have committed after the time.
    Before,
    /// Take every transaction that may have committed at or before the time.
    After,
}

/// What a restore is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTarget {
    /// The moment.
    pub moment: Moment,
    /// Just before the moment: commit times strictly before the time, the named transaction,
    /// position or entry left out.
    pub before: bool,
    /// For a time that falls into the uncertainty of a commit time, or where the source's clock
    /// stepped back.
    pub edge: Option<Edge>,
}

impl RestoreTarget {
    /// The moment itself, no edge chosen.
    #[must_use]
    pub fn at(moment: Moment) -> RestoreTarget {
        RestoreTarget {
            moment,
            before: false,
            edge: None,
        }
    }
}

/// Which tables are restored. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFilter {
    databases: Vec<String>,
    /// `(database glob, table glob)`.
    tables: Vec<(String, String)>,
}

impl TableFilter {
    /// A filter of whole databases (exact names) and of `db.table` globs, in which `*` stands
    /// for any text and `?` for any character. A table is taken when either list names it.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when a glob has no dot.
    pub fn new(databases: &[String], tables: &[String]) -> Result<TableFilter> {
        let parsed = tables.iter().map(|glob| {
            let parts = glob.split_once('.');
            let parts = parts.filter(|(db, table)| !db.is_empty() && !table.is_empty());
            parts
                .map(|(db, table)| (db.to_owned(), table.to_owned()))
                .ok_or_else(|| {
                    Error::config("parse table filter")
                        .field("table", glob)
                        .hint("write DATABASE.TABLE, with * and ? as wildcards")
                })
        });
        Ok(TableFilter {
            databases: databases.to_vec(),
            tables: parsed.collect::<Result<_>>()?,
        })
    }

    /// A filter of these tables (and of those that match a name with a wildcard in it).
    pub(super) fn of_tables<'a>(names: impl Iterator<Item = &'a TableName>) -> TableFilter {
        TableFilter {
            databases: Vec::new(),
            tables: names.map(|n| (n.db.clone(), n.table.clone())).collect(),
        }
    }

    /// Whether everything is taken.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.databases.is_empty() && self.tables.is_empty()
    }

    /// Whether a table (or view) is taken.
    #[must_use]
    pub fn takes(&self, name: &TableName) -> bool {
        self.is_everything()
            || self.takes_database(&name.db)
            || self
                .tables
                .iter()
                .any(|(db, table)| glob(db, &name.db) && glob(table, &name.table))
    }

    /// Whether a database is taken whole, with its routines and events.
    #[must_use]
    pub fn takes_database(&self, db: &str) -> bool {
        self.is_everything() || self.databases.iter().any(|d| d == db)
    }

    /// The filter as text, the same for the same filter: part of a restore's identity.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut parts: Vec<String> = self.databases.iter().map(|d| format!("{d:?}")).collect();
        parts.extend(self.tables.iter().map(|(d, t)| format!("{d:?}.{t:?}")));
        parts.sort();
        parts.join(" ")
    }
}

/// Whether `text` matches a pattern of `*` and `?`.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and where its match ends so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    p = at + 1;
                    t = end + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?b", "ab", true),
            ("?", "", false),
            ("a**b*", "axxb", true),
            ("*ab", "aab", true),
            ("日?", "日本", true),
        ] {
            assert_eq!(glob(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn filters_unite_databases_and_tables() {
        let filter = TableFilter::new(&["a".into()], &["b.t*".into()]).expect("filter");
        let takes = |db: &str, table: &str| filter.takes(&TableName::new(db, table));
        assert!(takes("a", "x") && takes("b", "t1"));
        assert!(!takes("b", "x") && !takes("c", "t"));
        assert!(filter.takes_database("a") && !filter.takes_database("b"));
        assert!(TableFilter::default().takes(&TableName::new("x", "y")));
        assert!(TableFilter::new(&[], &["nodot".into()]).is_err());
    }
}
