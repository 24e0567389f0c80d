//! CREATE.

use super::lexer::Token;
use super::parser::{NotUnderstood, Parser, Step};
use super::{Effect, ObjectChange, ObjectKind};

/// Objects of the server rather than of a database: nothing to restore in tables.
const SERVER_OBJECTS: &[&str] = &[
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "RESOURCE",
    "SPATIAL",
];

/// The rest of a CREATE statement.
pub(super) fn create(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    let or_replace = parser.take(&["OR", "REPLACE"]);
    if parser.take_any(&["DATABASE", "SCHEMA"]).is_some() {
        parser.take(&["IF", "NOT", "EXISTS"]);
        let name = parser.identifier()?;
        return Ok(vec![Effect::CreateDatabase(name)]);
    }
    if parser.take(&["TEMPORARY"]) {
        let known = parser.take(&["TABLE"]) || parser.take(&["SEQUENCE"]);
        return known.then(Vec::new).ok_or(NotUnderstood);
    }
    if parser.take(&["TABLE"]) {
        return table(parser, or_replace);
    }
    if let Some(effect) = index(&mut parser)? {
        return Ok(vec![effect]);
    }
    if parser.take(&["SEQUENCE"]) {
        return object(parser, ObjectKind::Sequence);
    }
    if SERVER_OBJECTS.iter().any(|word| parser.sees(&[word])) {
        return Ok(Vec::new());
    }
    parser.skip_definer_and_options()?;
    parser.take(&["AGGREGATE"]);
    parser.take(&["JSON", "RELATIONAL", "DUALITY"]);
    let kind = object_kind(&mut parser).ok_or(NotUnderstood)?;
    if kind == ObjectKind::Function && is_loadable(&parser) {
        return Ok(Vec::new());
    }
    object(parser, kind)
}

/// Takes the keyword of a schema object.
pub(super) fn object_kind(parser: &mut Parser<'_>) -> Option<ObjectKind> {
    let words = [
        "VIEW",
        "TRIGGER",
        "PROCEDURE",
        "FUNCTION",
        "EVENT",
        "PACKAGE",
        "LIBRARY",
    ];
    let kind = match parser.take_any(&words)? {
        "VIEW" => ObjectKind::View,
        "TRIGGER" => ObjectKind::Trigger,
        "PROCEDURE" => ObjectKind::Procedure,
        "FUNCTION" => ObjectKind::Function,
        "EVENT" => ObjectKind::Event,
        "LIBRARY" => ObjectKind::Library,
        _ => {
            parser.take(&["BODY"]);
            ObjectKind::Package
        }
    };
    Some(kind)
}

fn object(mut parser: Parser<'_>, kind: ObjectKind) -> Step<Vec<Effect>> {
    parser.take(&["IF", "NOT", "EXISTS"]);
    let name = parser.name()?;
    let change = ObjectChange::Create;
    Ok(vec![Effect::SchemaObject { kind, change, name }])
}

/// `FUNCTION name RETURNS type SONAME 'file'`: code of the server, of no database.
fn is_loadable(parser: &Parser<'_>) -> bool {
    let mut words = parser.rest.iter().skip_while(|token| !token.is("RETURNS"));
    words.next().is_some() && words.next().is_some() && words.next().is_some_and(|t| t.is("SONAME"))
}

/// CREATE INDEX is an ALTER TABLE.
fn index(parser: &mut Parser<'_>) -> Step<Option<Effect>> {
    let start = parser.rest;
    parser.take_any(&["ONLINE", "OFFLINE"]);
    parser.take_any(&["UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"]);
    if !parser.take(&["INDEX"]) {
        parser.rest = start;
        return Ok(None);
    }
    parser.take(&["IF", "NOT", "EXISTS"]);
    parser.identifier()?;
    if parser.take_any(&["USING", "TYPE"]).is_some() {
        parser.next();
    }
    parser.require(&["ON"])?;
    let table = parser.name()?;
    Ok(Some(Effect::AlterTable(table)))
}

fn table(mut parser: Parser<'_>, or_replace: bool) -> Step<Vec<Effect>> {
    let if_not_exists = parser.take(&["IF", "NOT", "EXISTS"]);
    let name = parser.name()?;
    let like = like(&mut parser)?;
    Ok(vec![Effect::CreateTable {
        name,
        or_replace,
        if_not_exists,
        like,
        select: has_query(parser.rest)?,
        rows_follow: ends_with_start_transaction(parser.rest),
    }])
}

fn like(parser: &mut Parser<'_>) -> Step<Option<crate::schema::TableName>> {
    if parser.take(&["LIKE"]) {
        return parser.name().map(Some);
    }
    let start = parser.rest;
    if parser.take_sign(b'(') && parser.take(&["LIKE"]) {
        let name = parser.name()?;
        return parser
            .take_sign(b')')
            .then_some(Some(name))
            .ok_or(NotUnderstood);
    }
    parser.rest = start;
    Ok(None)
}

/// Whether a query follows the definition: outside of all parentheses, or as all that is in a
/// pair of them at the start.
fn has_query(rest: &[Token]) -> Step<bool> {
    let starts_query = |tokens: &[Token]| match tokens {
        [first, second, ..] if first.is("WITH") => {
            // WITH SYSTEM VERSIONING is a table option of MariaDB.
            !second.is("SYSTEM")
        }
        [first, ..] => first.is("SELECT") || first.is("VALUES") || first.is("TABLE"),
        [] => false,
    };
    let mut depth = 0usize;
    let mut outside_definition = true;
    for (index, token) in rest.iter().enumerate() {
        let tail = rest.get(index..).unwrap_or_default();
        match token {
            Token::Sign(b'(') => {
                depth += 1;
                continue;
            }
            Token::Sign(b')') => depth = depth.checked_sub(1).ok_or(NotUnderstood)?,
            _ if depth == 0 && starts_query(tail) => return Ok(true),
            _ if outside_definition && starts_query(tail) => return Ok(true),
            _ => {}
        }
        // Parentheses directly behind one another may hold a query; anything else is a column.
        outside_definition = false;
    }
    (depth == 0).then_some(false).ok_or(NotUnderstood)
}

fn ends_with_start_transaction(rest: &[Token]) -> bool {
    let rest = rest.strip_suffix(&[Token::Sign(b';')]).unwrap_or(rest);
    matches!(rest, [.., start, end] if start.is("START") && end.is("TRANSACTION"))
}
