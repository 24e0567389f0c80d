//! A statement without what it says of how it is to be carried out.

use super::StatementContext;
use super::lexer::{Token, placed_tokens};

/// What ALGORITHM and LOCK may ask for.
const DEMANDS: [(&str, &[&str]); 2] = [
    ("ALGORITHM", &["COPY", "INPLACE", "INSTANT", "NOCOPY"]),
    ("LOCK", &["NONE", "SHARED", "EXCLUSIVE"]),
];

/// The statement with DEFAULT for what its clauses ALGORITHM and LOCK ask for: rows and
/// definitions come out the same, and a server that cannot do it that way does it another way.
/// `None` where it asks for nothing.
#[must_use]
pub fn relaxed(text: &[u8], context: &StatementContext<'_>) -> Option<Vec<u8>> {
    let tokens = placed_tokens(text, context).ok()?;
    let mut places = Vec::new();
    let mut depth = 0_i32;
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth -= 1,
            _ => {}
        }
        let demand = DEMANDS.iter().find(|(word, _)| token.is(word));
        let Some((_, values)) = demand.filter(|_| depth == 0) else {
            continue;
        };
        let is_sign = |next: &(Token, _)| next.0 == Token::Sign(b'=');
        let value = at + 1 + usize::from(tokens.get(at + 1).is_some_and(is_sign));
        if let Some((value, place)) = tokens.get(value)
            && values.iter().any(|word| value.is(word))
        {
            places.push(place.clone());
        }
    }
    let mut relaxed = text.to_vec();
    for place in places.iter().rev() {
        relaxed.splice(place.clone(), *b"DEFAULT");
    }
    (!places.is_empty()).then_some(relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Flavor;

    fn relax(text: &str) -> Option<String> {
        let context = StatementContext {
            flavor: Flavor::MariaDb,
            default_db: b"d",
            collation: None,
            sql_mode: 0,
        };
        let relaxed = relaxed(text.as_bytes(), &context);
        relaxed.map(|text| String::from_utf8(text).expect("text"))
    }

    #[test]
    fn only_the_way_it_is_done_is_left_open() {
        for (text, wanted) in [
            (
                "ALTER TABLE t ADD c INT DEFAULT 5, ALGORITHM=INSTANT, LOCK = none",
                "ALTER TABLE t ADD c INT DEFAULT 5, ALGORITHM=DEFAULT, LOCK = DEFAULT",
            ),
            (
                "ALTER TABLE t algorithm inplace, ADD c INT",
                "ALTER TABLE t algorithm DEFAULT, ADD c INT",
            ),
            (
                "CREATE INDEX i ON t (c) /* x */ ALGORITHM=NOCOPY LOCK=SHARED",
                "CREATE INDEX i ON t (c) /* x */ ALGORITHM=DEFAULT LOCK=DEFAULT",
            ),
        ] {
            assert_eq!(relax(text).as_deref(), Some(wanted));
        }
        for text in [
            "ALTER TABLE t ADD c INT",
            "ALTER TABLE t ADD c VARCHAR(20) DEFAULT 'ALGORITHM=COPY' COMMENT 'LOCK=NONE'",
            "ALTER TABLE t ADD c INT AS (ALGORITHM = COPY), ADD `LOCK` INT",
            "ALTER TABLE t ADD algorithm INT, ADD c INT -- LOCK=NONE",
            "CREATE ALGORITHM=MERGE VIEW v AS SELECT 1",
            "ALTER TABLE t ADD c CHAR(9) DEFAULT 'open",
        ] {
            assert_eq!(relax(text), None, "{text}");
        }
    }
}
