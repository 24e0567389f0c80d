//! Cascades that the engine did without logging them.
//!
//! A rows event on a parent with `flags & 0x12 == 0` means that the server left foreign keys to
//! the engine (MariaDB always; MySQL with native foreign keys): children were deleted or changed
//! and no event says so. Until the fold derives those changes, a restore across one is refused,
//! and only where it matters: a child that is restored refers to the parent with an action, and
//! a row of the parent was deleted or got another key.

use super::lex::Tokens;
use super::plan::PlannedTable;
use crate::change::Op;
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::schema::TableName;
use crate::segment::{
    BatchView, ChangeRow, FileKind, KeyCodec, ReadOptions, TableFileReader, TablePlan, system,
};
use crate::source::{ObjectKind, SchemaObject};
use parquet::file::reader::ChunkReader;
use std::sync::Arc;

/// Flags that tell that the server, not the engine, looked after foreign keys: checks off, or
/// cascades done and logged by the server.
const LOGGED: u16 = 0x12;

/// What a change of a parent does to its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cascade {
    /// The table whose rows are referred to.
    pub(super) parent: TableName,
    /// The columns that are referred to.
    pub(super) columns: Vec<String>,
    /// The table whose rows would change.
    pub(super) child: TableName,
    /// ON DELETE does something.
    pub(super) on_delete: bool,
    /// ON UPDATE does something.
    pub(super) on_update: bool,
}

/// The foreign keys with an action, of all tables among the objects.
pub(super) fn cascades(objects: &[SchemaObject]) -> Vec<Cascade> {
    let tables = objects.iter().filter(|o| o.kind == ObjectKind::Table);
    tables.flat_map(of_table).collect()
}

fn of_table(object: &SchemaObject) -> Vec<Cascade> {
    let tokens = Tokens::new(&object.statement);
    let child = TableName::new(&object.db, &object.name);
    let keys = (0..tokens.len()).filter(|at| tokens.has(*at, &["FOREIGN", "KEY"]));
    keys.filter_map(|at| foreign_key(&tokens, at + 2, &child))
        .collect()
}

/// The foreign key whose column list starts at or soon after `at`.
fn foreign_key(tokens: &Tokens<'_>, at: usize, child: &TableName) -> Option<Cascade> {
    let references = (at..tokens.len()).find(|i| tokens.has(*i, &["REFERENCES"]))?;
    let mut next = references + 1;
    let mut parent = TableName::new(&child.db, tokens.name(next)?);
    next += 1;
    if tokens.has_mark(next, b'.') {
        parent = TableName::new(parent.table, tokens.name(next + 1)?);
        next += 2;
    }
    let mut columns = Vec::new();
    while !tokens.has_mark(next, b')') {
        columns.extend(tokens.name(next));
        next += 1;
        if next >= tokens.len() {
            return None;
        }
    }
    next += 1;
    let (mut on_delete, mut on_update) = (false, false);
    while tokens.has(next, &["ON"]) {
        let acts = tokens.has(next + 2, &["CASCADE"]) || tokens.has(next + 2, &["SET"]);
        let two_words = tokens.has(next + 2, &["SET"]) || tokens.has(next + 2, &["NO"]);
        on_delete |= acts && tokens.has(next + 1, &["DELETE"]);
        on_update |= acts && tokens.has(next + 1, &["UPDATE"]);
        next += 3 + usize::from(two_words);
    }
    (on_delete || on_update).then(|| Cascade {
        parent,
        columns,
        child: child.clone(),
        on_delete,
        on_update,
    })
}

/// Refuses when a change of `table` in one of its files, after `exact_from` up to `cut`, may
/// have cascaded unlogged.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap), naming parent, child and entry; those of reading.
pub(super) fn refuse<R: ChunkReader + Clone + 'static>(
    table: &PlannedTable,
    cut: Seq,
    cascade: &Cascade,
    (file, version): (R, u32),
) -> Result<()> {
    let record = table.versions.get(&version);
    let record = record.ok_or_else(|| Error::internal("scan parent: unknown version"))?;
    let plan = Arc::new(TablePlan::compile(Arc::clone(record))?);
    let key_names = record
        .key
        .iter()
        .filter_map(|part| record.columns.get(part.column as usize));
    // A key that stays is a key that is still referred to.
    let by_key = !record.key.is_empty()
        && cascade.columns.iter().all(|column| {
            key_names
                .clone()
                .any(|k| k.name.eq_ignore_ascii_case(column))
        });
    let mut fields: Vec<i32> = key_names.map(|column| column.field_id).collect();
    fields.extend(system::OP_ID..=system::RAW_ID);
    let options = ReadOptions {
        fields: (!record.key.is_empty()).then_some(fields),
        ..ReadOptions::default()
    };
    let keys = KeyCodec::new(Arc::clone(&plan));
    let refused = |change: &ChangeRow| {
        Error::gap("plan restore: an engine cascade that was not logged")
            .field("parent", &table.name)
            .field("child", &cascade.child)
            .field("seq", change.seq)
            .field("cut", cut)
            .hint(format!(
                "restore to just before it (--to-seq {} --before), or to a moment after the next \
                 base",
                change.seq
            ))
    };
    // An update whose image before was seen and whose image after has not been yet.
    let mut open: Option<(Vec<u8>, ChangeRow)> = None;
    for batch in TableFileReader::open(file, Arc::clone(&plan), FileKind::Change)?.read(&options)? {
        let batch = batch?;
        let view = BatchView::new(&plan, &batch)?;
        for row in 0..view.rows() {
            let change = view.change(row)?;
            let counts = change.seq > table.exact_from_seq && change.seq <= cut;
            if !counts || change.flags & LOGGED != 0 {
                continue;
            }
            let mut key = Vec::new();
            keys.encode_batch(&view, row, &mut key)?;
            if let Some((before, update)) = open.take() {
                let stays = change.op == Op::UpdateAfter
                    && before == key
                    && (update.seq, update.row) == (change.seq, change.row);
                if !stays {
                    return Err(refused(&update));
                }
            }
            match change.op {
                Op::Delete if cascade.on_delete => return Err(refused(&change)),
                Op::UpdateBefore if cascade.on_update && !by_key => return Err(refused(&change)),
                Op::UpdateBefore if cascade.on_update => open = Some((key, change)),
                _ => {}
            }
        }
    }
    open.map_or(Ok(()), |(_, update)| Err(refused(&update)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(db: &str, name: &str, statement: &str) -> SchemaObject {
        SchemaObject {
            kind: ObjectKind::Table,
            db: db.to_owned(),
            name: name.to_owned(),
            table: None,
            statement: statement.as_bytes().to_vec(),
            sql_mode: String::new(),
            character_set_client: "utf8mb4".to_owned(),
            collation_connection: None,
            database_collation: None,
            time_zone: None,
            definer: None,
            broken: false,
        }
    }

    #[test]
    fn only_foreign_keys_with_an_action_are_cascades() {
        let statement = "CREATE TABLE `c` (\n  `FOREIGN KEY` int COMMENT 'FOREIGN KEY (x) REFERENCES \
            y (z) ON DELETE CASCADE',\n  KEY `a` (`a`),\n  CONSTRAINT `1` FOREIGN KEY (`a`) REFERENCES \
            `p` (`id`),\n  CONSTRAINT `2` FOREIGN KEY (`a`, `b`) REFERENCES `o``db`.`p 2` (`x`, `Y`) ON \
            DELETE NO ACTION ON UPDATE SET NULL,\n  CONSTRAINT `3` FOREIGN KEY (`b`) REFERENCES `p` \
            (`id`) ON DELETE CASCADE ON UPDATE RESTRICT\n) ENGINE=InnoDB";
        let found = cascades(&[table("d", "c", statement)]);
        let cascade = |db: &str, parent: &str, columns: &[&str], on_delete, on_update| Cascade {
            parent: TableName::new(db, parent),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            child: TableName::new("d", "c"),
            on_delete,
            on_update,
        };
        assert_eq!(
            found,
            [
                cascade("o`db", "p 2", &["x", "Y"], false, true),
                cascade("d", "p", &["id"], true, false),
            ]
        );
        for damaged in ["FOREIGN KEY (`a`) REFERENCES `p` (`id`", "FOREIGN KEY", ""] {
            assert!(cascades(&[table("d", "c", damaged)]).is_empty());
        }
    }
}
