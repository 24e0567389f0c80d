//! The first keyword decides which grammar a statement has.

use super::lexer::{Token, first_token, tokens};
use super::parser::{NotUnderstood, Parser, Step};
use super::{Effect, StatementClass, StatementContext, TransactionControl};
use super::{alter, create, drop};

/// First keywords of statements that change rows in a way the text does not tell us.
const DML: &[&str] = &[
    "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "DO", "SELECT", "WITH", "VALUES",
    "TABLE", "HANDLER",
];

/// First keywords of statements that leave rows and definitions of tables alone.
const NO_ROW_EFFECT: &[&str] = &[
    "GRANT",
    "REVOKE",
    "FLUSH",
    "ANALYZE",
    "OPTIMIZE",
    "REPAIR",
    "CHECK",
    "CHECKSUM",
    "RESET",
    "KILL",
    "USE",
    "SHOW",
    "EXPLAIN",
    "DESCRIBE",
    "DESC",
    "HELP",
    "INSTALL",
    "UNINSTALL",
    "LOCK",
    "UNLOCK",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "PURGE",
    "CHANGE",
    "SHUTDOWN",
    "RESTART",
    "CLONE",
    "CACHE",
];

/// Classifies a statement of the binlog.
#[must_use]
pub fn classify(text: &[u8], context: &StatementContext<'_>) -> StatementClass {
    // Large DML statements are told by their first word, without reading all of them.
    match first_token(text, context) {
        Ok(Some(first)) if DML.iter().any(|word| first.is(word)) => {
            return StatementClass::StatementDml;
        }
        Ok(Some(Token::Sign(b'('))) => return StatementClass::StatementDml,
        Ok(None) => return StatementClass::NoRowEffect,
        _ => {}
    }
    let Ok(default_db) = std::str::from_utf8(context.default_db) else {
        return StatementClass::Unknown;
    };
    let Ok(tokens) = tokens(text, context) else {
        return StatementClass::Unknown;
    };
    let parser = Parser {
        rest: &tokens,
        default_db,
    };
    statement(parser).unwrap_or(StatementClass::Unknown)
}

fn statement(mut parser: Parser<'_>) -> Step<StatementClass> {
    if parser.take(&["SET", "STATEMENT"]) {
        return set_statement(parser);
    }
    if let Some(control) = transaction(&mut parser)? {
        return Ok(StatementClass::TransactionControl(control));
    }
    let effects = match parser.next() {
        Some(Token::Sign(b';')) if parser.rest.is_empty() => Vec::new(),
        Some(first) if first.is("CREATE") => create::create(parser)?,
        Some(first) if first.is("ALTER") => alter::alter(parser)?,
        Some(first) if first.is("DROP") => drop::drop(parser)?,
        Some(first) if first.is("RENAME") => drop::rename(parser)?,
        Some(first) if first.is("TRUNCATE") => drop::truncate(parser)?,
        // SET PASSWORD and SET DEFAULT ROLE are all that is logged of it.
        Some(first) if first.is("SET") => Vec::new(),
        Some(first) if DML.iter().any(|word| first.is(word)) => {
            return Ok(StatementClass::StatementDml);
        }
        Some(first) if NO_ROW_EFFECT.iter().any(|word| first.is(word)) => Vec::new(),
        _ => return Err(NotUnderstood),
    };
    Ok(classified(effects))
}

fn classified(effects: Vec<Effect>) -> StatementClass {
    if effects.is_empty() {
        StatementClass::NoRowEffect
    } else {
        StatementClass::Ddl { effects }
    }
}

/// `SET STATEMENT variable = value, ... FOR statement` (MariaDB).
fn set_statement(mut parser: Parser<'_>) -> Step<StatementClass> {
    let mut depth = 0usize;
    while let Some(token) = parser.next() {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.checked_sub(1).ok_or(NotUnderstood)?,
            token if depth == 0 && token.is("FOR") => return statement(parser),
            _ => {}
        }
    }
    Err(NotUnderstood)
}

fn transaction(parser: &mut Parser<'_>) -> Step<Option<TransactionControl>> {
    use TransactionControl::{
        Begin, Commit, ReleaseSavepoint, Rollback, RollbackTo, Savepoint, XaCommit, XaEnd,
        XaPrepare, XaRollback, XaStart,
    };
    let control = if parser.take(&["BEGIN"]) {
        parser.take(&["WORK"]);
        parser.end()?;
        Begin
    } else if parser.take(&["START", "TRANSACTION"]) {
        Begin
    } else if parser.take(&["COMMIT"]) {
        Commit
    } else if parser.take(&["ROLLBACK"]) {
        parser.take(&["WORK"]);
        if parser.take(&["TO"]) {
            parser.take(&["SAVEPOINT"]);
            RollbackTo(parser.identifier()?)
        } else {
            Rollback
        }
    } else if parser.take(&["SAVEPOINT"]) {
        Savepoint(parser.identifier()?)
    } else if parser.take(&["RELEASE", "SAVEPOINT"]) {
        ReleaseSavepoint(parser.identifier()?)
    } else if parser.take(&["XA"]) {
        match parser.take_any(&["START", "BEGIN", "END", "PREPARE", "COMMIT", "ROLLBACK"]) {
            Some("START" | "BEGIN") => XaStart(parser.xid()?),
            Some("END") => XaEnd(parser.xid()?),
            Some("PREPARE") => XaPrepare(parser.xid()?),
            Some("COMMIT") => XaCommit(parser.xid()?),
            Some("ROLLBACK") => XaRollback(parser.xid()?),
            _ => return Err(NotUnderstood),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(control))
}
