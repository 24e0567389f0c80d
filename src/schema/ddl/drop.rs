//! DROP, RENAME and TRUNCATE.

use super::create::object_kind;
use super::parser::{NotUnderstood, Parser, Step};
use super::{Effect, ObjectChange, ObjectKind};

/// Things of the server rather than of a database.
const SERVER_OBJECTS: &[&str] = &[
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "RESOURCE",
    "SPATIAL",
    "PREPARE",
];

/// The rest of a DROP statement.
pub(super) fn drop(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    if parser.take_any(&["DATABASE", "SCHEMA"]).is_some() {
        parser.take(&["IF", "EXISTS"]);
        let name = parser.identifier()?;
        parser.end()?;
        return Ok(vec![Effect::DropDatabase(name)]);
    }
    if parser.take(&["TEMPORARY"]) {
        let known = parser.take_any(&["TABLE", "TABLES", "SEQUENCE"]);
        return known.map(|_| Vec::new()).ok_or(NotUnderstood);
    }
    if parser.take_any(&["TABLE", "TABLES"]).is_some() {
        parser.take(&["IF", "EXISTS"]);
        let tables = parser.names()?;
        parser.take_any(&["RESTRICT", "CASCADE"]);
        parser.skip_wait();
        parser.end()?;
        let dropped = tables.into_iter().map(Effect::DropTable);
        return Ok(dropped.collect());
    }
    if let Some(effect) = index(&mut parser)? {
        return Ok(vec![effect]);
    }
    if parser.take(&["SEQUENCE"]) {
        return objects(parser, ObjectKind::Sequence);
    }
    if SERVER_OBJECTS.iter().any(|word| parser.sees(&[word])) {
        return Ok(Vec::new());
    }
    let kind = object_kind(&mut parser).ok_or(NotUnderstood)?;
    objects(parser, kind)
}

fn objects(mut parser: Parser<'_>, kind: ObjectKind) -> Step<Vec<Effect>> {
    parser.take(&["IF", "EXISTS"]);
    let change = ObjectChange::Drop;
    let names = parser.names()?;
    parser.take_any(&["RESTRICT", "CASCADE"]);
    parser.skip_wait();
    parser.end()?;
    let dropped = names
        .into_iter()
        .map(|name| Effect::SchemaObject { kind, change, name });
    Ok(dropped.collect())
}

/// DROP INDEX is an ALTER TABLE.
fn index(parser: &mut Parser<'_>) -> Step<Option<Effect>> {
    let start = parser.rest;
    parser.take_any(&["ONLINE", "OFFLINE"]);
    if !parser.take(&["INDEX"]) {
        parser.rest = start;
        return Ok(None);
    }
    parser.take(&["IF", "EXISTS"]);
    parser.identifier()?;
    parser.require(&["ON"])?;
    let table = parser.name()?;
    Ok(Some(Effect::AlterTable(table)))
}

/// The rest of a RENAME statement.
pub(super) fn rename(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    if parser.sees(&["USER"]) {
        return Ok(Vec::new());
    }
    if parser.take_any(&["TABLE", "TABLES"]).is_none() {
        return Err(NotUnderstood);
    }
    parser.take(&["IF", "EXISTS"]);
    let mut effects = Vec::new();
    loop {
        let from = parser.name()?;
        parser.skip_wait();
        parser.require(&["TO"])?;
        let to = parser.name()?;
        effects.push(Effect::RenameTable { from, to });
        if !parser.take_sign(b',') {
            parser.end()?;
            return Ok(effects);
        }
    }
}

/// The rest of a TRUNCATE statement.
pub(super) fn truncate(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    parser.take(&["TABLE"]);
    let table = parser.name()?;
    parser.skip_wait();
    parser.end()?;
    Ok(vec![Effect::Truncate(table)])
}
