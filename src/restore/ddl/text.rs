//! The SQL texts that repeat a statement, whole or the wanted part of it.

use super::Ddl;
use crate::error::{Error, Result};
use crate::schema::ddl::{Effect, ObjectChange, ObjectKind};
use crate::schema::quote_identifier;

/// A text for the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::restore) struct Command {
    /// In the statement's own character set when it is as logged, else in UTF-8.
    pub(in crate::restore) text: Vec<u8>,
    /// Whether it is the statement as logged.
    pub(in crate::restore) is_logged: bool,
}

impl Command {
    fn made(text: String) -> Command {
        Command {
            text: text.into_bytes(),
            is_logged: false,
        }
    }
}

/// The commands for those effects of a statement that are `wanted`.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap) when the statement cannot be taken apart.
pub(in crate::restore) fn commands(ddl: &Ddl, wanted: &[bool]) -> Result<Vec<Command>> {
    let effects = ddl.effects.iter().zip(wanted).filter(|(_, w)| **w);
    let effects: Vec<&Effect> = effects.map(|(effect, _)| effect).collect();
    if effects.is_empty() {
        return Ok(Vec::new());
    }
    // A source may log names that were not there; the target has what was really there.
    let apart: Option<Vec<String>> = effects.iter().map(|effect| alone(effect)).collect();
    let renames = |effect: &&Effect| matches!(effect, Effect::RenameTable { .. });
    let whole = effects.len() == ddl.effects.len();
    match apart {
        Some(texts) if !whole || !effects.iter().all(renames) => {
            Ok(texts.into_iter().map(Command::made).collect())
        }
        _ if whole => {
            let text = match effects.first() {
                Some(Effect::CreateTable {
                    rows_follow: true, ..
                }) => without_start_transaction(&ddl.statement.text)
                    .ok_or_else(|| ddl.name(Error::internal("replay ddl: no end was found")))?,
                _ => &ddl.statement.text,
            };
            Ok(vec![Command {
                text: text.to_vec(),
                is_logged: true,
            }])
        }
        _ => Err(ddl.name(
            Error::gap("plan restore: a statement concerns tables that are restored and others")
                .hint("restore those tables, too (--table), or the whole database"),
        )),
    }
}

/// The statement that does one effect and nothing else, where there is one.
fn alone(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::DropTable(name) => format!("DROP TABLE IF EXISTS {}", name.quoted()),
        Effect::Truncate(name) => format!("TRUNCATE TABLE {}", name.quoted()),
        Effect::RenameTable { from, to } => {
            format!("RENAME TABLE {} TO {}", from.quoted(), to.quoted())
        }
        Effect::DropDatabase(db) => format!("DROP DATABASE IF EXISTS {}", quote_identifier(db)),
        Effect::SchemaObject {
            kind: kind @ (ObjectKind::View | ObjectKind::Sequence),
            change: ObjectChange::Drop,
            name,
        } => {
            let word = if *kind == ObjectKind::View {
                "VIEW"
            } else {
                "SEQUENCE"
            };
            format!("DROP {word} IF EXISTS {}", name.quoted())
        }
        _ => return None,
    })
}

/// MySQL logs CREATE .. SELECT with START TRANSACTION at its end; after that only logged rows may
/// follow on the connection.
fn without_start_transaction(text: &[u8]) -> Option<&[u8]> {
    let cut = |text: &[u8], word: &str| {
        let text = text.trim_ascii_end();
        let at = text.len().checked_sub(word.len())?;
        let (head, tail) = text.split_at_checked(at)?;
        tail.eq_ignore_ascii_case(word.as_bytes())
            .then(|| head.to_vec())
    };
    let body = text.trim_ascii_end();
    let body = body.strip_suffix(b";").unwrap_or(body);
    let head = cut(&cut(body, "TRANSACTION")?, "START")?;
    text.get(..head.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::StatementKind;
    use crate::position::{Flavor, Seq};
    use crate::segment::StatementRow;

    fn texts(sql: &str, wanted: &[bool]) -> Result<Vec<String>> {
        let statement = StatementRow {
            seq: Seq(1),
            ordinal: 0,
            kind: StatementKind::Query,
            default_db: b"d".to_vec().into(),
            text: sql.as_bytes().to_vec().into(),
            charset: None,
            status_vars: Vec::new().into(),
            thread_id: 1,
            error_code: 0,
            header_us: 0,
        };
        let ddl = Ddl::of(statement, Flavor::MySql, false, |_| false).expect("ddl");
        let all = vec![true; ddl.effects.len()];
        let wanted = if wanted.is_empty() { &all } else { wanted };
        let made = commands(&ddl, wanted)?;
        let text = |command: Command| String::from_utf8(command.text).expect("text");
        Ok(made.into_iter().map(text).collect())
    }

    #[test]
    fn statements_are_repeated_whole_or_in_part() {
        let one = |sql: &str, wanted: &[bool]| texts(sql, wanted).expect("commands");
        assert_eq!(
            one("ALTER TABLE a ADD x INT", &[]),
            ["ALTER TABLE a ADD x INT"]
        );
        assert_eq!(
            one("DROP TABLE a, `b``c`", &[]),
            [
                "DROP TABLE IF EXISTS `d`.`a`",
                "DROP TABLE IF EXISTS `d`.`b``c`"
            ]
        );
        assert_eq!(
            one("RENAME TABLE a TO b, c TO a", &[]),
            ["RENAME TABLE a TO b, c TO a"]
        );
        assert_eq!(
            one("RENAME TABLE a TO b, c TO a", &[false, true]),
            ["RENAME TABLE `d`.`c` TO `d`.`a`"]
        );
        assert_eq!(
            one("CREATE TABLE t (a int) start  transaction", &[]),
            ["CREATE TABLE t (a int) "]
        );
        assert!(one("DROP TABLE a", &[false]).is_empty());
        let error = texts(
            "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b",
            &[true, false],
        );
        assert!(error.is_err());
    }
}
