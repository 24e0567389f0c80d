//! What of a DDL statement cannot be repeated elsewhere with the same outcome for rows.
//!
//! A statement that is run again on a server that holds the same rows, in the session it was
//! logged with, does the same to them, but for what stands here: the outcome depends on something
//! that neither the text nor the log says.

use super::lexer::{Token, tokens};
use super::{Effect, StatementContext};
use crate::schema::TableName;

/// Why the rows of a table are not known after a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The table; `None` where it may be any.
    pub table: Option<TableName>,
    /// Why, lowercase.
    pub reason: &'static str,
}

/// Functions whose value is another one each time or in another session.
const VOLATILE: &[&str] = &[
    "UUID",
    "UUID_SHORT",
    "UUID_V4",
    "UUID_V7",
    "SYS_GUID",
    "RAND",
    "RANDOM_BYTES",
    "CONNECTION_ID",
    "LAST_INSERT_ID",
    "ROW_COUNT",
    "FOUND_ROWS",
    "SYSDATE",
    "NEXTVAL",
    "LASTVAL",
];

/// The same, also without parentheses.
const VOLATILE_WORDS: &[&str] = &[
    "CURRENT_USER",
    "CURRENT_ROLE",
    "SESSION_USER",
    "SYSTEM_USER",
];

/// Engines that keep rows somewhere else, or not at all.
const FOREIGN_ENGINES: &[&str] = &[
    "BLACKHOLE",
    "CONNECT",
    "EXAMPLE",
    "FEDERATED",
    "FEDERATEDX",
    "MERGE",
    "MRG_MYISAM",
    "MROONGA",
    "NDB",
    "NDBCLUSTER",
    "S3",
    "SPHINX",
    "SPIDER",
];

/// What cannot be repeated of a statement with these effects. `is_keyless` says whether a table
/// is known to have no primary key.
#[must_use]
pub fn obstacles(
    text: &[u8],
    context: &StatementContext<'_>,
    effects: &[Effect],
    is_keyless: impl Fn(&TableName) -> bool,
) -> Vec<Obstacle> {
    let Ok(tokens) = tokens(text, context) else {
        return vec![Obstacle {
            table: None,
            reason: "statement that is not understood",
        }];
    };
    let words = Words(&tokens);
    let mut found = Vec::new();
    for effect in effects {
        let reason = match effect {
            Effect::AlterTable(name) => words.alter(is_keyless(name)),
            Effect::MovesRows { .. } => words.moves(),
            Effect::CreateTable {
                select,
                rows_follow,
                ..
            } => match *select && !rows_follow {
                true => Some("table filled by a query that is logged as a statement"),
                false => words.engine(),
            },
            _ => None,
        };
        let Some(reason) = reason else { continue };
        // A table that begins with this statement has no identity yet.
        let is_new = matches!(effect, Effect::CreateTable { .. });
        let tables = effect.tables().into_iter().cloned().map(Some);
        let tables: Vec<Option<TableName>> = if is_new { vec![None] } else { tables.collect() };
        found.extend(tables.into_iter().map(|table| Obstacle { table, reason }));
    }
    found
}

struct Words<'a>(&'a [Token]);

impl Words<'_> {
    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|token| token.is(word))
    }

    fn pair(&self, first: &str, second: &str) -> bool {
        let mut pairs = self.0.windows(2);
        pairs.any(|pair| matches!(pair, [a, b] if a.is(first) && b.is(second)))
    }

    fn alter(&self, is_keyless: bool) -> Option<&'static str> {
        if self.pair("ALTER", "IGNORE") {
            return Some("rows dropped by alter ignore");
        }
        if self.is_volatile() {
            return Some("default whose value is another one in each row or session");
        }
        if is_keyless && self.numbers_rows() {
            return Some("auto_increment column added to a table without a key");
        }
        self.engine()
    }

    /// AUTO_INCREMENT as an attribute of a column, and not `AUTO_INCREMENT = n` of the table.
    fn numbers_rows(&self) -> bool {
        let attribute = |at: usize| {
            let next = self.0.get(at + 1);
            let is_value = match next {
                Some(Token::Sign(b'=')) => true,
                Some(Token::Word(word)) => word.bytes().all(|b| b.is_ascii_digit()),
                _ => false,
            };
            !is_value
        };
        let mut all = self.0.iter().enumerate();
        all.any(|(at, token)| token.is("AUTO_INCREMENT") && attribute(at))
    }

    fn is_volatile(&self) -> bool {
        let called = |at: usize| self.0.get(at + 1) == Some(&Token::Sign(b'('));
        let mut all = self.0.iter().enumerate();
        let named = all.any(|(at, token)| {
            VOLATILE_WORDS.iter().any(|word| token.is(word))
                || (called(at) && VOLATILE.iter().chain(&["USER"]).any(|word| token.is(word)))
        });
        named || self.pair("VALUE", "FOR")
    }

    fn engine(&self) -> Option<&'static str> {
        let mut all = self.0.iter().enumerate();
        let foreign = all.any(|(at, token)| {
            let skip = usize::from(self.0.get(at + 1) == Some(&Token::Sign(b'=')));
            let engine = self.0.get(at + 1 + skip);
            (token.is("ENGINE") || token.is("TYPE"))
                && engine.is_some_and(|e| FOREIGN_ENGINES.iter().any(|name| e.is(name)))
        });
        foreign.then_some("table of an engine that keeps its rows elsewhere")
    }

    fn moves(&self) -> Option<&'static str> {
        let moves = self.has("TABLESPACE") && (self.has("IMPORT") || self.has("DISCARD"));
        moves.then_some("rows brought or taken with a tablespace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Flavor;
    use crate::schema::ddl::{StatementClass, classify};

    fn reasons(text: &str, keyless: bool) -> Vec<&'static str> {
        let context = StatementContext {
            flavor: Flavor::MariaDb,
            default_db: b"d",
            collation: None,
            sql_mode: 0,
        };
        let StatementClass::Ddl { effects } = classify(text.as_bytes(), &context) else {
            panic!("no ddl: {text}");
        };
        let found = obstacles(text.as_bytes(), &context, &effects, |_| keyless);
        found.into_iter().map(|o| o.reason).collect()
    }

    #[test]
    fn what_is_determined_by_rows_and_session_is_no_obstacle() {
        for text in [
            "ALTER TABLE t ADD COLUMN c DATETIME DEFAULT CURRENT_TIMESTAMP",
            "ALTER TABLE t ADD COLUMN c VARCHAR(9) DEFAULT 'uuid()' COMMENT 'ENGINE=BLACKHOLE'",
            "ALTER TABLE t AUTO_INCREMENT = 7",
            "ALTER TABLE t AUTO_INCREMENT 7",
            "ALTER TABLE t DROP PARTITION p1",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
            "ALTER TABLE t CONVERT PARTITION p TO TABLE u",
            "ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES LESS THAN (9)",
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, u CHAR(36) DEFAULT (UUID())) ENGINE=InnoDB",
            "CREATE INDEX i ON t (c)",
            "DROP TABLE a, b",
        ] {
            assert_eq!(reasons(text, true), Vec::<&str>::new(), "{text}");
        }
        let text = "ALTER TABLE t ADD COLUMN id INT AUTO_INCREMENT UNIQUE";
        assert_eq!(reasons(text, false), Vec::<&str>::new());
    }

    #[test]
    fn what_the_log_does_not_say_is_an_obstacle() {
        for (text, word) in [
            (
                "ALTER TABLE t ADD COLUMN c CHAR(36) DEFAULT (uuid())",
                "default",
            ),
            (
                "ALTER TABLE t ADD c VARCHAR(99) DEFAULT current_user",
                "default",
            ),
            (
                "ALTER TABLE t ADD c INT DEFAULT (NEXT VALUE FOR s)",
                "default",
            ),
            ("ALTER IGNORE TABLE t ADD UNIQUE (c)", "ignore"),
            (
                "ALTER TABLE t ADD id INT AUTO_INCREMENT UNIQUE",
                "auto_increment",
            ),
            ("ALTER TABLE t IMPORT TABLESPACE", "tablespace"),
            ("ALTER TABLE t ENGINE = BLACKHOLE", "engine"),
            ("CREATE TABLE t (a INT) ENGINE CONNECT", "engine"),
            ("CREATE TABLE t SELECT * FROM u", "query"),
        ] {
            let found = reasons(text, true);
            assert!(found.iter().any(|r| r.contains(word)), "{text}: {found:?}");
        }
    }
}
