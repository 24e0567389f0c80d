//! Which table of the log a name in a statement means: names move, tables come and go.
//!
//! Pure: the tables of the base, the statements after it and the first rows of each table id are
//! walked in log order. What the three do not agree on is refused; a name is never guessed at.

use super::Ddl;
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::schema::ddl::{Effect, ObjectChange, ObjectKind};
use crate::schema::{TableId, TableName};
use std::collections::BTreeMap;

/// One life of a table, from CREATE (or the base) to DROP (or the cut).
#[derive(Clone, Debug)]
pub(in crate::restore) struct Incarnation {
    /// Its id in the log; `None` when no row of it was ever logged.
    pub(in crate::restore) id: Option<TableId>,
    /// Whether the base has it.
    pub(in crate::restore) in_base: bool,
    /// Changes after this entry are changes of it that are not in the base.
    pub(in crate::restore) after: Seq,
    /// The entry that ended it.
    pub(in crate::restore) died: Option<Seq>,
    /// Its names, each from an entry on.
    names: Vec<(Seq, TableName)>,
    /// Statements that may read or change its rows.
    pub(in crate::restore) breaks: Vec<Break>,
    /// A MariaDB sequence.
    pub(in crate::restore) is_sequence: bool,
}

/// A statement that may read or change rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::restore) struct Break {
    /// Its entry.
    pub(in crate::restore) seq: Seq,
    /// The other table that rows are exchanged with.
    pub(in crate::restore) partner: Option<usize>,
}

impl Incarnation {
    /// Its name after an entry.
    pub(in crate::restore) fn name_at(&self, seq: Seq) -> &TableName {
        let mut names = self.names.iter().rev();
        let found = names.find(|(since, _)| *since <= seq);
        // There is always a first name.
        let first = self.names.first();
        found.or(first).map_or(&NO_NAME, |(_, name)| name)
    }

    fn new(name: TableName, after: Seq) -> Incarnation {
        Incarnation {
            id: None,
            in_base: false,
            after,
            died: None,
            names: vec![(after, name)],
            breaks: Vec::new(),
            is_sequence: false,
        }
    }
}

static NO_NAME: TableName = TableName {
    db: String::new(),
    table: String::new(),
};

/// A table of the base.
#[derive(Clone, Debug)]
pub(in crate::restore) struct BaseTable {
    /// Id.
    pub(in crate::restore) id: TableId,
    /// Name at the base.
    pub(in crate::restore) name: TableName,
    /// The base has its rows as of this entry.
    pub(in crate::restore) exact_from: Seq,
    /// A MariaDB sequence.
    pub(in crate::restore) is_sequence: bool,
}

/// The first rows of a table id that the base does not have.
#[derive(Clone, Debug)]
pub(in crate::restore) struct Sight {
    /// Their entry.
    pub(in crate::restore) seq: Seq,
    /// Id.
    pub(in crate::restore) id: TableId,
    /// Name of the table there.
    pub(in crate::restore) name: TableName,
}

/// All lives of all tables from the base to the cut.
#[derive(Clone, Debug, Default)]
pub(in crate::restore) struct Model {
    /// The tables.
    pub(in crate::restore) tables: Vec<Incarnation>,
    /// For every statement, for every effect, the tables it names (in the order of
    /// [`Effect::tables`]; a table that it creates is the new one).
    pub(in crate::restore) touched: Vec<Vec<Vec<Option<usize>>>>,
    live: BTreeMap<TableName, usize>,
}

impl Model {
    /// Walks the log.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when rows and statements do not agree on what tables
    /// there are.
    pub(in crate::restore) fn of(
        base: Vec<BaseTable>,
        mut sights: Vec<Sight>,
        ddl: &[Ddl],
    ) -> Result<Model> {
        let mut model = Model::default();
        for table in base {
            let mut one = Incarnation::new(table.name.clone(), table.exact_from);
            one.id = Some(table.id);
            one.in_base = true;
            one.is_sequence = table.is_sequence;
            model.live.insert(table.name, model.tables.len());
            model.tables.push(one);
        }
        sights.sort_by_key(|sight| sight.seq);
        let mut sights = sights.into_iter().peekable();
        for one in ddl {
            while let Some(sight) = sights.next_if(|sight| sight.seq < one.seq()) {
                model.see(&sight)?;
            }
            let touched = one.effects.iter().map(|effect| model.apply(effect, one));
            let touched: Result<_> = touched.collect();
            model.touched.push(touched?);
        }
        sights.try_for_each(|sight| model.see(&sight))?;
        Ok(model)
    }

    fn see(&mut self, sight: &Sight) -> Result<()> {
        let refused = |what| {
            Error::gap(what)
                .field("table", &sight.name)
                .field("seq", sight.seq)
                .hint("take a base after it, or restore to a moment before that Seq")
        };
        let found = self.live.get(&sight.name).copied();
        let table = found.and_then(|index| self.tables.get_mut(index));
        let table = table.ok_or_else(|| {
            refused("plan restore: a table has rows and no statement that created it")
        })?;
        if table.id.as_ref().is_some_and(|id| *id != sight.id) {
            return Err(refused(
                "plan restore: a table was replaced by another without a statement that says so",
            ));
        }
        table.id = Some(sight.id.clone());
        Ok(())
    }

    /// Follows one effect; gives the tables it names.
    fn apply(&mut self, effect: &Effect, ddl: &Ddl) -> Result<Vec<Option<usize>>> {
        let seq = ddl.seq();
        Ok(match effect {
            Effect::CreateTable {
                name,
                or_replace,
                if_not_exists,
                ..
            } => {
                if *if_not_exists && self.live.contains_key(name) {
                    return Ok(vec![self.live.get(name).copied()]);
                }
                if !or_replace && self.live.contains_key(name) {
                    return Err(ddl.name(
                        Error::gap("plan restore: a table is created that is there already")
                            .field("table", name)
                            .hint("take a base after it, or restore to a moment before that Seq"),
                    ));
                }
                vec![Some(self.create(name, seq, false))]
            }
            Effect::AlterTable(name) => vec![self.interrupt(name, seq, None)],
            Effect::DropTable(name) => vec![self.end(name, seq)],
            Effect::Truncate(name) => {
                let former = self.live.get(name).copied();
                let was_sequence = former.and_then(|at| self.tables.get(at));
                let is_sequence = was_sequence.is_some_and(|table| table.is_sequence);
                vec![former, former.map(|_| self.create(name, seq, is_sequence))]
            }
            Effect::RenameTable { from, to } => {
                let index = self.live.remove(from);
                if let Some(index) = index {
                    self.live.insert(to.clone(), index);
                    if let Some(table) = self.tables.get_mut(index) {
                        table.names.push((seq, to.clone()));
                    }
                }
                vec![index, index]
            }
            Effect::MovesRows { table, with } => {
                let index = |name: &TableName| self.live.get(name).copied();
                let (one, other) = (index(table), with.as_ref().and_then(index));
                let mut touched = vec![self.interrupt(table, seq, other)];
                if let Some(with) = with {
                    touched.push(self.interrupt(with, seq, one));
                }
                touched
            }
            Effect::DropDatabase(db) => {
                let names = self.live.keys().filter(|name| name.db == *db).cloned();
                let names: Vec<TableName> = names.collect();
                names.iter().map(|name| self.end(name, seq)).collect()
            }
            Effect::SchemaObject {
                kind: ObjectKind::Sequence,
                change,
                name,
            } => vec![match change {
                ObjectChange::Create => Some(self.create(name, seq, true)),
                ObjectChange::Alter => self.interrupt(name, seq, None),
                ObjectChange::Drop => self.end(name, seq),
            }],
            _ => Vec::new(),
        })
    }

    fn create(&mut self, name: &TableName, seq: Seq, is_sequence: bool) -> usize {
        self.end(name, seq);
        let index = self.tables.len();
        let mut table = Incarnation::new(name.clone(), seq.prev());
        table.is_sequence = is_sequence;
        self.tables.push(table);
        self.live.insert(name.clone(), index);
        index
    }

    fn end(&mut self, name: &TableName, seq: Seq) -> Option<usize> {
        let index = self.live.remove(name)?;
        self.tables.get_mut(index)?.died = Some(seq);
        Some(index)
    }

    fn interrupt(&mut self, name: &TableName, seq: Seq, partner: Option<usize>) -> Option<usize> {
        let index = self.live.get(name).copied()?;
        let table = self.tables.get_mut(index)?;
        let same = table.breaks.iter_mut().find(|b| b.seq == seq);
        match same {
            Some(same) => same.partner = same.partner.or(partner),
            None => table.breaks.push(Break { seq, partner }),
        }
        Some(index)
    }
}
