//! Generated columns, as CREATE TABLE and ALTER TABLE define them.

use super::StatementContext;
use super::lexer::{Token, tokens};
use super::parser::Parser;
use crate::schema::Generated;

/// What a statement says of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSaid {
    /// How it is generated, or that it is not.
    Defined(Option<Generated>),
    /// It is what the column of this name was before the statement.
    Was(String),
}

/// What a CREATE TABLE or ALTER TABLE says of columns, by name; all names in lower case. What is
/// not understood is not listed.
#[must_use]
pub fn computed_columns(text: &[u8], context: &StatementContext<'_>) -> Vec<(String, ColumnSaid)> {
    let Ok(tokens) = tokens(text, context) else {
        return Vec::new();
    };
    let mut parser = Parser {
        rest: &tokens,
        default_db: "",
    };
    let mut found = Vec::new();
    while let Some(token) = parser.next() {
        if token.is("TABLE") {
            let is_alter = tokens.iter().take(6).any(|token| token.is("ALTER"));
            match is_alter {
                true => altered(parser, &mut found),
                false => created(parser, &mut found),
            }
            break;
        }
    }
    found
}

type Found = Vec<(String, ColumnSaid)>;

/// The definitions between the first parentheses.
fn created(mut parser: Parser<'_>, found: &mut Found) {
    while let Some(token) = parser.peek() {
        if *token == Token::Sign(b'(') {
            for clause in within(&mut parser) {
                found.extend(definition(clause));
            }
            return;
        }
        parser.next();
    }
}

fn altered(mut parser: Parser<'_>, found: &mut Found) {
    parser.take(&["IF", "EXISTS"]);
    parser.next();
    if parser.take_sign(b'.') {
        parser.next();
    }
    parser.skip_wait();
    while parser.peek().is_some() {
        let Ok(clause) = parser.clause() else { return };
        let mut clause = Parser {
            rest: clause,
            default_db: "",
        };
        if clause.take(&["RENAME", "COLUMN"]) {
            found.extend(renamed(clause));
            continue;
        }
        let Some(verb) = clause.take_any(&["ADD", "MODIFY", "CHANGE"]) else {
            continue;
        };
        clause.take(&["COLUMN"]);
        if !clause.take(&["IF", "NOT", "EXISTS"]) {
            clause.take(&["IF", "EXISTS"]);
        }
        if verb == "CHANGE" {
            clause.next();
        }
        if clause.peek() == Some(&Token::Sign(b'(')) {
            for definitions in within(&mut clause) {
                found.extend(definition(definitions));
            }
        } else {
            found.extend(definition(clause.rest));
        }
    }
}

/// `[IF EXISTS] name TO name`.
fn renamed(mut clause: Parser<'_>) -> Option<(String, ColumnSaid)> {
    clause.take(&["IF", "EXISTS"]);
    let from = clause.identifier().ok()?.to_lowercase();
    clause.take(&["TO"]);
    let to = clause.identifier().ok()?.to_lowercase();
    Some((to, ColumnSaid::Was(from)))
}

/// The parts between commas within the parentheses that come next.
fn within<'a>(parser: &mut Parser<'a>) -> Vec<&'a [Token]> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 1);
    for (index, token) in parser.rest.iter().enumerate() {
        let ends = match token {
            Token::Sign(b'(') => {
                depth += 1;
                false
            }
            Token::Sign(b')') => {
                depth = depth.saturating_sub(1);
                depth == 0
            }
            Token::Sign(b',') => depth == 1,
            _ => false,
        };
        if ends {
            parts.extend(parser.rest.get(start..index));
            start = index + 1;
        }
        if depth == 0 {
            parser.rest = parser.rest.get(index + 1..).unwrap_or_default();
            return parts;
        }
    }
    Vec::new()
}

/// A column's name and how it is generated; `None` for keys and constraints.
fn definition(tokens: &[Token]) -> Option<(String, ColumnSaid)> {
    const NO_COLUMN: [&str; 11] = [
        "PRIMARY",
        "KEY",
        "INDEX",
        "UNIQUE",
        "FULLTEXT",
        "SPATIAL",
        "VECTOR",
        "CONSTRAINT",
        "FOREIGN",
        "CHECK",
        "PERIOD",
    ];
    let (first, rest) = tokens.split_first()?;
    let name = match first {
        Token::Word(name) if !NO_COLUMN.iter().any(|word| first.is(word)) => name,
        Token::Quoted(name) => name,
        _ => return None,
    };
    let mut depth = 0_usize;
    let (mut is_generated, mut is_stored) = (false, false);
    for (index, token) in rest.iter().enumerate() {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            token if depth == 0 => {
                is_generated |= token.is("AS") && rest.get(index + 1) == Some(&Token::Sign(b'('));
                is_stored |= token.is("STORED") || token.is("PERSISTENT");
            }
            _ => {}
        }
    }
    let generated = is_generated.then_some(match is_stored {
        true => Generated::Stored,
        false => Generated::Virtual,
    });
    Some((name.to_lowercase(), ColumnSaid::Defined(generated)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Flavor;

    fn of(text: &str) -> Found {
        let context = StatementContext {
            flavor: Flavor::MariaDb,
            default_db: b"d",
            collation: None,
            sql_mode: 0,
        };
        computed_columns(text.as_bytes(), &context)
    }

    #[test]
    fn generated_columns_are_found_in_every_spelling() {
        let (plain, virtual_, stored) = (None, Some(Generated::Virtual), Some(Generated::Stored));
        let list = |wanted: &[(&str, Option<Generated>)]| -> Found {
            let said = |(name, generated): &(&str, _)| {
                ((*name).to_owned(), ColumnSaid::Defined(*generated))
            };
            wanted.iter().map(said).collect()
        };
        assert_eq!(
            of("ALTER TABLE t RENAME COLUMN IF EXISTS V TO `W`, RENAME INDEX a TO b, RENAME TO u"),
            [("w".to_owned(), ColumnSaid::Was("v".to_owned()))]
        );
        assert_eq!(
            of(
                "CREATE OR REPLACE TABLE IF NOT EXISTS `d`.`t` (`ID` int DEFAULT (1 + (2)), \
                a ENUM('x,(', ')') COMMENT 'AS (', /* AS ( */ V int AS (a*2), \
                `key` int GENERATED ALWAYS AS (concat(a, ')')) VIRTUAL INVISIBLE, \
                s int unsigned as ((a)) persistent unique, s2 int AS (1) STORED, \
                rs timestamp(6) GENERATED ALWAYS AS ROW START, \
                PERIOD FOR SYSTEM_TIME(rs, re), PRIMARY KEY (id), KEY `x` (v), \
                CONSTRAINT c CHECK (a > 0), CHECK (v > 1)) AS SELECT 1 AS (z)"
            ),
            list(&[
                ("id", plain),
                ("a", plain),
                ("v", virtual_),
                ("key", virtual_),
                ("s", stored),
                ("s2", stored),
                ("rs", plain),
            ])
        );
        assert_eq!(
            of(
                "ALTER ONLINE IGNORE TABLE IF EXISTS d.t WAIT 5 ADD COLUMN IF NOT EXISTS v int AS \
                (a) AFTER a, ADD (w int, x int AS (a + 1) STORED), MODIFY v int, CHANGE x `y` int \
                AS (2), DROP COLUMN q, ADD INDEX (v), ADD UNIQUE KEY k (v), ALGORITHM=COPY, \
                RENAME TO z"
            ),
            list(&[
                ("v", virtual_),
                ("w", plain),
                ("x", stored),
                ("v", plain),
                ("y", virtual_),
            ])
        );
        for other in [
            "CREATE TABLE t LIKE u",
            "CREATE TABLE t (a int AS (",
            "DROP TABLE t",
            "'",
        ] {
            assert_eq!(of(other), [], "{other}");
        }
    }
}
