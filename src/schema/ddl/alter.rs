//! ALTER.

use super::create::object_kind;
use super::lexer::Token;
use super::parser::{NotUnderstood, Parser, Step};
use super::{Effect, ObjectChange, ObjectKind};
use crate::schema::TableName;

/// Things of the server rather than of a database.
const SERVER_OBJECTS: &[&str] = &[
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "RESOURCE",
    "INSTANCE",
];

/// The rest of an ALTER statement.
pub(super) fn alter(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    if parser.take_any(&["DATABASE", "SCHEMA"]).is_some() {
        return database(parser);
    }
    let start = parser.rest;
    parser.take_any(&["ONLINE", "OFFLINE"]);
    parser.take(&["IGNORE"]);
    if parser.take(&["TABLE"]) {
        return table(parser);
    }
    parser.rest = start;
    if parser.take(&["SEQUENCE"]) {
        parser.take(&["IF", "EXISTS"]);
        return altered(parser.name()?, ObjectKind::Sequence);
    }
    if SERVER_OBJECTS.iter().any(|word| parser.sees(&[word])) {
        return Ok(Vec::new());
    }
    parser.skip_definer_and_options()?;
    parser.take(&["JSON", "RELATIONAL", "DUALITY"]);
    let kind = object_kind(&mut parser).ok_or(NotUnderstood)?;
    parser.take(&["IF", "EXISTS"]);
    let name = parser.name()?;
    if kind == ObjectKind::Event
        && let Some(to) = event_renamed(&mut parser)?
    {
        let change = |change, name| Effect::SchemaObject { kind, change, name };
        return Ok(vec![
            change(ObjectChange::Drop, name),
            change(ObjectChange::Create, to),
        ]);
    }
    altered(name, kind)
}

fn altered(name: TableName, kind: ObjectKind) -> Step<Vec<Effect>> {
    let change = ObjectChange::Alter;
    Ok(vec![Effect::SchemaObject { kind, change, name }])
}

/// `ALTER EVENT .. RENAME TO ..`, before any DO whose body is another statement.
fn event_renamed(parser: &mut Parser<'_>) -> Step<Option<TableName>> {
    while let Some(token) = parser.peek() {
        if token.is("DO") {
            break;
        }
        if parser.take(&["RENAME", "TO"]) {
            return parser.name().map(Some);
        }
        parser.next();
    }
    Ok(None)
}

fn database(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    // The name may be left out; then an option comes first.
    let options = [
        "DEFAULT",
        "CHARACTER",
        "CHARSET",
        "COLLATE",
        "ENCRYPTION",
        "READ",
        "COMMENT",
    ];
    let unnamed = options.iter().any(|word| parser.sees(&[word]));
    let name = if unnamed {
        parser.default_db.to_owned()
    } else {
        parser.identifier()?
    };
    (!name.is_empty())
        .then(|| vec![Effect::AlterDatabase(name)])
        .ok_or(NotUnderstood)
}

fn table(mut parser: Parser<'_>) -> Step<Vec<Effect>> {
    parser.take(&["IF", "EXISTS"]);
    let table = parser.name()?;
    parser.skip_wait();
    let mut effects = vec![Effect::AlterTable(table.clone())];
    let mut renamed = None;
    while parser.peek().is_some() {
        let clause = Parser {
            rest: parser.clause()?,
            default_db: parser.default_db,
        };
        clause_effects(clause, &table, &mut effects, &mut renamed)?;
    }
    if let Some(to) = renamed {
        effects.push(Effect::RenameTable { from: table, to });
    }
    Ok(effects)
}

fn clause_effects(
    mut clause: Parser<'_>,
    table: &TableName,
    effects: &mut Vec<Effect>,
    renamed: &mut Option<TableName>,
) -> Step<()> {
    let moves = |with| Effect::MovesRows {
        table: table.clone(),
        with,
    };
    if clause.take(&["RENAME"]) {
        if clause.take_any(&["COLUMN", "INDEX", "KEY"]).is_none() {
            if clause.take_any(&["TO", "AS"]).is_none() {
                clause.take_sign(b'=');
            }
            *renamed = Some(clause.name()?);
        }
        return Ok(());
    }
    if clause.sees(&["EXCHANGE", "PARTITION"]) {
        effects.push(moves(Some(after_words(clause, "WITH")?)));
        return Ok(());
    }
    if clause.sees(&["CONVERT", "PARTITION"]) {
        // A table comes to be, and gets rows from the other one.
        let made = after_words(clause, "TO")?;
        effects.extend([Effect::new_table(made.clone()), moves(Some(made))]);
        return Ok(());
    }
    if clause.take(&["CONVERT", "TABLE"]) {
        let taken = clause.name()?;
        effects.extend([moves(Some(taken.clone())), Effect::DropTable(taken)]);
        return Ok(());
    }
    let verb = clause.take_any(&["DROP", "TRUNCATE", "DISCARD", "IMPORT"]);
    let what = clause.take_any(&["PARTITION", "TABLESPACE"]);
    let versions = verb == Some("DROP") && clause.sees(&["SYSTEM", "VERSIONING"]);
    if (verb.is_some() && what.is_some()) || versions {
        effects.push(moves(None));
    }
    Ok(())
}

/// The other table of EXCHANGE PARTITION p WITH TABLE t, CONVERT PARTITION p TO TABLE t.
fn after_words(mut clause: Parser<'_>, before: &str) -> Step<TableName> {
    while clause.peek().is_some() {
        if clause.take(&[before, "TABLE"]) {
            return clause.name();
        }
        if clause.next() == Some(&Token::Sign(b'(')) {
            break;
        }
    }
    Err(NotUnderstood)
}
