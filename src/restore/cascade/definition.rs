//! Foreign keys with an action, as `SHOW CREATE TABLE` writes them, and what else a definition
//! says that matters to a cascade.

use crate::position::Seq;
use crate::restore::ddl::Ddl;
use crate::restore::lex::Tokens;
use crate::schema::TableName;
use crate::schema::ddl::Effect;
use crate::source::{ObjectKind, SchemaObject};

/// What a foreign key does to the rows that refer to a changed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::restore) enum OnChange {
    /// They go or change with it.
    Cascade,
    /// They refer to nothing any more.
    SetNull,
}

/// A foreign key with an action, and while which entries it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::restore) struct ForeignKey {
    /// The table whose rows are referred to.
    pub(in crate::restore) parent: TableName,
    /// The columns that are referred to.
    pub(in crate::restore) parent_columns: Vec<String>,
    /// The table whose rows change.
    pub(in crate::restore) child: TableName,
    /// The columns that refer.
    pub(in crate::restore) child_columns: Vec<String>,
    /// ON DELETE.
    pub(in crate::restore) on_delete: Option<OnChange>,
    /// ON UPDATE.
    pub(in crate::restore) on_update: Option<OnChange>,
    /// It is in force after this entry.
    pub(in crate::restore) after: Seq,
    /// It is in force up to this entry.
    pub(in crate::restore) through: Seq,
    /// Where it is known from.
    pub(in crate::restore) known: Known,
}

/// Where a foreign key is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::restore) enum Known {
    /// A definition of the base.
    Base,
    /// The statement that made its child after the base.
    Created,
    /// A statement after the base that may have made, changed or ended it: what passes through
    /// it is refused.
    Unsure,
}

/// The foreign keys with an action of all tables among the objects, in force throughout.
pub(in crate::restore) fn foreign_keys(objects: &[SchemaObject]) -> Vec<ForeignKey> {
    let tables = objects.iter().filter(|o| o.kind == ObjectKind::Table);
    let keys = tables.flat_map(|object| {
        let child = TableName::new(&object.db, &object.name);
        of_table(&Tokens::new(&object.statement), &child)
    });
    keys.collect()
}

/// Takes a statement after the base into account: foreign keys it makes or may change.
pub(in crate::restore) fn follow(keys: &mut Vec<ForeignKey>, ddl: &Ddl) {
    let tokens = Tokens::new(&ddl.statement.text);
    let all = || 0..tokens.len();
    let mut made = Vec::new();
    let mut ended = Vec::new();
    for effect in &ddl.effects {
        match effect {
            Effect::CreateTable { name, .. } => {
                made = of_table(&tokens, name);
                made.iter_mut().for_each(|key| key.known = Known::Created);
            }
            Effect::AlterTable(name) => {
                made = of_table(&tokens, name);
                made.iter_mut().for_each(|key| key.known = Known::Unsure);
                let words = ["FOREIGN", "CONSTRAINT", "DROP", "CHANGE", "RENAME"];
                if all().any(|at| words.iter().any(|word| tokens.has(at, &[word]))) {
                    ended.extend(end(keys, name, ddl.seq()));
                }
            }
            _ => {}
        }
    }
    // Keys of another form than above: with a column, without names of columns.
    let child = ddl.effects.iter().find_map(|e| e.tables().first().copied());
    let references = all().filter(|at| tokens.has(*at, &["REFERENCES"]));
    let references: Vec<ForeignKey> = references
        .filter_map(|at| referenced(&tokens, at, child?))
        .collect();
    if references.len() > made.len() {
        made.extend(references);
    }
    made.extend(ended);
    made.iter_mut().for_each(|key| key.after = ddl.seq());
    keys.extend(made);
}

/// Words of statements after which the engine may do more to a child than its foreign key says,
/// or compare it otherwise.
const RESHAPING: [&str; 11] = [
    "VERSIONING",
    "GENERATED",
    "AS",
    "VIRTUAL",
    "STORED",
    "PERSISTENT",
    "CONVERT",
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "PARTITION",
];

/// The names that statements use, of tables and of all else in them, where the statement may make
/// another child of a table for its foreign keys.
pub(in crate::restore) fn reshaped(ddl: &[Ddl]) -> Vec<(TableName, Vec<String>)> {
    let mut found = Vec::new();
    for one in ddl {
        let tokens = Tokens::new(&one.statement.text);
        let words = (0..tokens.len()).any(|at| RESHAPING.iter().any(|w| tokens.has(at, &[w])));
        // An index on an expression.
        let nested = |at: &usize| tokens.has_mark(*at, b'(') && tokens.has_mark(*at + 1, b'(');
        let named = match words || (0..tokens.len()).any(|at| nested(&at)) {
            true => vec![ANY_COLUMN.to_owned()],
            false => (0..tokens.len()).filter_map(|at| tokens.name(at)).collect(),
        };
        let tables = one.effects.iter().flat_map(Effect::tables);
        found.extend(tables.map(|table| (table.clone(), named.clone())));
    }
    found
}

/// Stands for every column in [`reshaped`].
pub(super) const ANY_COLUMN: &str = "*";

/// Ends the keys of a child at a statement that may have changed them; gives them as unsure.
fn end(keys: &mut [ForeignKey], child: &TableName, seq: Seq) -> Vec<ForeignKey> {
    let keys = keys.iter_mut().filter(|key| key.child == *child);
    let ended = keys.map(|key| {
        let mut unsure = key.clone();
        unsure.known = Known::Unsure;
        key.through = key.through.min(seq);
        unsure
    });
    ended.collect()
}

fn of_table(tokens: &Tokens<'_>, child: &TableName) -> Vec<ForeignKey> {
    let keys = (0..tokens.len()).filter(|at| tokens.has(*at, &["FOREIGN", "KEY"]));
    keys.filter_map(|at| foreign_key(tokens, at + 2, child))
        .collect()
}

/// The foreign key whose column list starts at or soon after `at`.
fn foreign_key(tokens: &Tokens<'_>, at: usize, child: &TableName) -> Option<ForeignKey> {
    let references = (at..tokens.len()).find(|i| tokens.has(*i, &["REFERENCES"]))?;
    let open = (at..references).find(|i| tokens.has_mark(*i, b'('))?;
    let (child_columns, _) = names(tokens, open)?;
    let key = referenced(tokens, references, child)?;
    (!key.parent_columns.is_empty()).then_some(ForeignKey {
        child_columns,
        known: Known::Base,
        ..key
    })
}

/// What stands from REFERENCES on, where there is an action.
fn referenced(tokens: &Tokens<'_>, references: usize, child: &TableName) -> Option<ForeignKey> {
    let mut next = references + 1;
    let mut parent = TableName::new(&child.db, tokens.name(next)?);
    next += 1;
    if tokens.has_mark(next, b'.') {
        parent = TableName::new(parent.table, tokens.name(next + 1)?);
        next += 2;
    }
    let mut parent_columns = Vec::new();
    if tokens.has_mark(next, b'(') {
        (parent_columns, next) = names(tokens, next)?;
    }
    if tokens.has(next, &["MATCH"]) {
        next += 2;
    }
    let (mut on_delete, mut on_update) = (None, None);
    while tokens.has(next, &["ON"]) {
        let action = if tokens.has(next + 2, &["CASCADE"]) {
            Some(OnChange::Cascade)
        } else if tokens.has(next + 2, &["SET", "NULL"]) {
            Some(OnChange::SetNull)
        } else {
            // InnoDB takes SET DEFAULT for no action.
            None
        };
        let two_words = tokens.has(next + 2, &["SET"]) || tokens.has(next + 2, &["NO"]);
        if tokens.has(next + 1, &["DELETE"]) {
            on_delete = action;
        } else {
            on_update = action;
        }
        next += 3 + usize::from(two_words);
    }
    (on_delete.is_some() || on_update.is_some()).then(|| ForeignKey {
        parent,
        parent_columns,
        child: child.clone(),
        child_columns: Vec::new(),
        on_delete,
        on_update,
        after: Seq(i64::MIN),
        through: Seq(i64::MAX),
        known: Known::Unsure,
    })
}

/// The names in the brackets that open at `at`, and what follows.
fn names(tokens: &Tokens<'_>, at: usize) -> Option<(Vec<String>, usize)> {
    let end = (at..tokens.len()).find(|i| tokens.has_mark(*i, b')'))?;
    let list = (at..end).filter_map(|i| tokens.name(i)).collect();
    Some((list, end + 1))
}

/// What else the definition of a table says that matters to a cascade.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// MariaDB keeps the history of its rows.
    pub(super) versioned: bool,
    /// Columns that generated ones are computed from.
    pub(super) read: Vec<String>,
}

impl Facts {
    /// Of the table of that name.
    pub(super) fn of(objects: &[SchemaObject], name: &TableName) -> Facts {
        let mut objects = objects.iter().filter(|o| o.kind == ObjectKind::Table);
        let object = objects.find(|o| o.db == name.db && o.name == name.table);
        let tokens = Tokens::new(object.map_or(&[], |object| &object.statement));
        let mut facts = Facts::default();
        for at in 0..tokens.len() {
            facts.versioned |= tokens.has(at, &["SYSTEM", "VERSIONING"]);
            if tokens.has(at, &["GENERATED", "ALWAYS", "AS"]) {
                facts.read.extend(expression(&tokens, at + 3));
            }
        }
        facts
    }

    /// Whether a generated column is computed from one of these.
    pub(super) fn reads(&self, columns: &[String]) -> bool {
        let reads = |column: &String| self.read.iter().any(|r| same(r, column));
        columns.iter().any(reads)
    }
}

/// Names within the brackets that open at `at`.
fn expression(tokens: &Tokens<'_>, at: usize) -> Vec<String> {
    let mut depth = 0;
    let mut found = Vec::new();
    for i in at..tokens.len() {
        if tokens.has_mark(i, b'(') {
            depth += 1;
        } else if tokens.has_mark(i, b')') {
            depth -= 1;
        } else {
            found.extend(tokens.name(i));
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Names of columns compare without case.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
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
        let found = foreign_keys(&[table("d", "c", statement)]);
        let names = |list: &[&str]| list.iter().map(|c| (*c).to_owned()).collect();
        let key =
            |parent: (&str, &str), columns: (&[&str], &[&str]), on_delete, on_update| ForeignKey {
                parent: TableName::new(parent.0, parent.1),
                parent_columns: names(columns.0),
                child: TableName::new("d", "c"),
                child_columns: names(columns.1),
                on_delete,
                on_update,
                after: Seq(i64::MIN),
                through: Seq(i64::MAX),
                known: Known::Base,
            };
        let (set_null, cascade) = (Some(OnChange::SetNull), Some(OnChange::Cascade));
        assert_eq!(
            found,
            [
                key(("o`db", "p 2"), (&["x", "Y"], &["a", "b"]), None, set_null),
                key(("d", "p"), (&["id"], &["b"]), cascade, None),
            ]
        );
        for damaged in ["FOREIGN KEY (`a`) REFERENCES `p` (`id`", "FOREIGN KEY", ""] {
            assert!(foreign_keys(&[table("d", "c", damaged)]).is_empty());
        }
    }

    #[test]
    fn generated_columns_and_versioning_are_seen() {
        let statement = "CREATE TABLE `c` (`a` int, `g` int GENERATED ALWAYS AS ((`A` + `x`)) VIRTUAL \
            COMMENT 'SYSTEM VERSIONING', `z` int)";
        let name = TableName::new("d", "c");
        let facts = Facts::of(&[table("d", "c", statement)], &name);
        assert!(!facts.versioned);
        assert!(facts.reads(&["a".to_owned()]) && facts.reads(&["X".to_owned()]));
        assert!(!facts.reads(&["z".to_owned(), "g".to_owned()]));
        let versioned = "CREATE TABLE `c` (`a` int) ENGINE=InnoDB WITH SYSTEM VERSIONING";
        assert!(Facts::of(&[table("d", "c", versioned)], &name).versioned);
    }
}
