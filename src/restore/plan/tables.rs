//! Which tables a restore writes, from which files, and where DDL stands between their rows.

use super::files::{Files, change_files};
use super::{PlanInput, refuse_barriers, version};
use crate::error::{Error, Result};
use crate::manifest::BaseTable;
use crate::position::Seq;
use crate::restore::ddl::model::{self, Incarnation, Model, Sight};
use crate::restore::ddl::{Ddl, PlannedStatement, commands, events};
use crate::restore::table::{Epoch, PlannedTable};
use crate::schema::ddl::Effect;
use crate::schema::{TableId, TableName};
use crate::source::ObjectKind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tables by name, and the statements that are run again.
///
/// # Errors
/// As [`super::decide`].
pub(super) fn decide(input: &PlanInput<'_>) -> Result<(Vec<PlannedTable>, Vec<PlannedStatement>)> {
    refuse_young(input)?;
    let ddl: Vec<Ddl> = statements_after_base(input)?;
    let model = Model::of(base_tables(input), sights(input)?, &ddl)?;
    let needs = Needs::of(input, &model, &ddl);
    let files = Files::of(input);
    let mut places = BTreeMap::new();
    let mut tables = Vec::new();
    for (index, incarnation) in model.tables.iter().enumerate() {
        if needs.exists(index) {
            places.insert(index, tables.len());
            let mut table = planned(input, incarnation, index)?;
            table.is_wanted = needs.wanted(index);
            if needs.rows(index) {
                files.add_to(input, &mut table)?;
                add_epochs(input, &mut table, incarnation)?;
            }
            tables.push(table);
        }
    }
    // A barrier says more than the changes that followed from it.
    refuse_barriers(input, &tables)?;
    for table in &mut tables {
        for mut epoch in std::mem::take(&mut table.epochs) {
            epoch.find_version(table)?;
            table.epochs.push(epoch);
        }
        let last = table.epochs.iter().rev().find_map(|e| e.version.as_ref());
        table.version = last.map_or(table.version, |version| version.version);
    }
    let statements = statements(input, &ddl, &model, (&needs, &places, &tables))?;
    if !tables.iter().any(|t| t.is_wanted) && !input.filter.is_everything() {
        return Err(Error::config("plan restore: no table matches")
            .hint("see the tables of the base with --dry-run and without a filter"));
    }
    Ok((tables, statements))
}

fn refuse_young(input: &PlanInput<'_>) -> Result<()> {
    let mut wanted = input.base.tables.iter();
    let young = wanted.find(|t| t.exact_from_seq > input.cut.seq && input.filter.takes(&t.name));
    young.map_or(Ok(()), |table| {
        Err(
            Error::gap("plan restore: a table of the base is younger than the cut")
                .field("table", &table.name)
                .field("seq", table.exact_from_seq)
                .field("cut", input.cut.seq),
        )
    })
}

/// A base is not taken while definitions change, so none changed between its first table and its
/// last.
fn statements_after_base(input: &PlanInput<'_>) -> Result<Vec<Ddl>> {
    let (before, after): (Vec<Ddl>, Vec<Ddl>) = input
        .ddl
        .iter()
        .cloned()
        .partition(|ddl| ddl.seq() <= input.base.seq);
    let inside = before.iter().find(|ddl| {
        input.base.tables.iter().any(|table| {
            let named = |effect: &Effect| effect.tables().contains(&&table.name);
            table.exact_from_seq < ddl.seq() && ddl.effects.iter().any(named)
        })
    });
    match inside {
        Some(ddl) => Err(ddl.name(
            Error::gap("plan restore: a table changed while the base was taken")
                .field("base", input.base.seq)
                .hint("restore from another base: choose a moment after the next one"),
        )),
        None => Ok(after),
    }
}

fn base_tables(input: &PlanInput<'_>) -> Vec<model::BaseTable> {
    let objects = input.objects.iter();
    let sequences = objects.filter(|object| object.kind == ObjectKind::Sequence);
    let sequences: BTreeSet<(&str, &str)> = sequences
        .map(|object| (object.db.as_str(), object.name.as_str()))
        .collect();
    let all = input.base.tables.iter();
    all.map(|table| model::BaseTable {
        id: table.table_id.clone(),
        name: table.name.clone(),
        exact_from: table.exact_from_seq,
        is_sequence: sequences.contains(&(table.name.db.as_str(), table.name.table.as_str())),
    })
    .collect()
}

/// What the base says of a table; its list is in order.
fn of_base<'a>(input: &PlanInput<'a>, id: &TableId) -> Option<&'a BaseTable> {
    let tables = &input.base.tables;
    let found = tables.binary_search_by(|table| table.table_id.cmp(id));
    tables.get(found.ok()?)
}

/// First rows of every table id that the base does not have, rows that only a barrier tells of
/// included: without them a table that has nothing else would be restored as an empty one. A table whose rows are all older
/// than the base had ended before it, for a table with prepared rows is there until they are
/// decided; rows that are prepared later show that it was there, whatever becomes of them.
fn sights(input: &PlanInput<'_>) -> Result<Vec<Sight>> {
    let mut first: BTreeMap<TableId, Sight> = BTreeMap::new();
    for file in change_files(input) {
        let (Some(id), Some(number)) = (&file.table_id, file.version) else {
            return Err(Error::corrupt("plan restore: a change file names no table")
                .field("object", &file.object));
        };
        if of_base(input, id).is_some() || file.seq_last <= input.base.seq {
            continue;
        }
        let record = version(input, id, number)?;
        let seq = file.seq_first.max(input.base.seq.next());
        see(&mut first, id, seq, &record.name);
    }
    for barrier in input.segments.iter().flat_map(|segment| &segment.barriers) {
        let Some(id) = &barrier.table else { continue };
        let is_after = barrier.seq > input.base.seq && barrier.seq <= input.cut.seq;
        if of_base(input, id).is_some() || !is_after || !barrier.stops() {
            continue;
        }
        let versions = input
            .versions
            .range((id.clone(), 0)..=(id.clone(), u32::MAX));
        let mut then = versions.map(|(_, version)| version);
        if let Some(record) = then.rfind(|version| version.since <= barrier.seq) {
            see(&mut first, id, barrier.seq, &record.name);
        }
    }
    Ok(first.into_values().collect())
}

fn see(first: &mut BTreeMap<TableId, Sight>, id: &TableId, seq: Seq, name: &TableName) {
    let sight = Sight {
        seq,
        id: id.clone(),
        name: name.clone(),
    };
    match first.get_mut(id) {
        Some(known) if known.seq <= seq => {}
        Some(known) => *known = sight,
        None => drop(first.insert(id.clone(), sight)),
    }
}

/// What is needed of each table for those that are wanted.
struct Needs {
    wanted: Vec<bool>,
    exists: Vec<bool>,
    rows: Vec<bool>,
}

impl Needs {
    fn of(input: &PlanInput<'_>, model: &Model, ddl: &[Ddl]) -> Needs {
        let wanted: Vec<bool> = model
            .tables
            .iter()
            .map(|t| t.died.is_none() && input.filter.takes(t.name_at(input.cut.seq)))
            .collect();
        let mut needs = Needs {
            exists: wanted
                .iter()
                .map(|wanted| *wanted || input.filter.is_everything())
                .collect(),
            rows: wanted.clone(),
            wanted,
        };
        // What a needed table was made from, or exchanged rows with, is needed, too; statements
        // are looked at from the last to the first.
        for (index, one) in ddl.iter().enumerate().rev() {
            let touched = model
                .touched
                .get(index)
                .map(Vec::as_slice)
                .unwrap_or_default();
            for (effect, tables) in one.effects.iter().zip(touched) {
                needs.follow(model, effect, tables, one.seq());
            }
        }
        needs
    }

    fn follow(&mut self, model: &Model, effect: &Effect, tables: &[Option<usize>], seq: Seq) {
        match effect {
            Effect::MovesRows { .. } => {
                let all: Vec<usize> = tables.iter().copied().flatten().collect();
                if all.iter().any(|index| self.rows(*index)) {
                    for index in all {
                        set(&mut self.rows, index);
                        set(&mut self.exists, index);
                    }
                }
            }
            // It is the former table that is emptied on the target.
            Effect::Truncate(_) => {
                if let [Some(former), Some(made)] = tables
                    && self.exists(*made)
                {
                    set(&mut self.exists, *former);
                }
            }
            Effect::CreateTable {
                like: Some(like), ..
            } => {
                let made = tables.first().copied().flatten();
                let alive =
                    |t: &Incarnation| t.after < seq && t.died.is_none_or(|died| died >= seq);
                let source = model
                    .tables
                    .iter()
                    .position(|t| alive(t) && t.name_at(seq.prev()) == like);
                if let (Some(made), Some(source)) = (made, source)
                    && self.exists(made)
                {
                    set(&mut self.exists, source);
                }
            }
            _ => {}
        }
    }

    fn wanted(&self, index: usize) -> bool {
        self.wanted.get(index).copied().unwrap_or(false)
    }

    fn exists(&self, index: usize) -> bool {
        self.exists.get(index).copied().unwrap_or(false)
    }

    fn rows(&self, index: usize) -> bool {
        self.rows.get(index).copied().unwrap_or(false)
    }
}

fn set(flags: &mut [bool], index: usize) {
    if let Some(flag) = flags.get_mut(index) {
        *flag = true;
    }
}

/// A table without its files yet.
fn planned(input: &PlanInput<'_>, table: &Incarnation, index: usize) -> Result<PlannedTable> {
    let id = table.id.as_ref().filter(|_| table.in_base);
    let base = id.and_then(|id| of_base(input, id));
    // A table without rows in the log has no id there; this one is nobody else's.
    let made_up = || TableId::allocate(input.base.timeline, table.after, u32::MAX - index as u32);
    let mut planned = PlannedTable {
        name: table.name_at(input.cut.seq).clone(),
        table_id: table.id.clone().unwrap_or_else(made_up),
        version: base.map_or(0, |base| base.version),
        exact_from_seq: table.after,
        base_rows: base.map_or(0, |base| base.rows),
        change_rows: 0,
        bytes: 0,
        auto_increment: base.and_then(|base| base.auto_increment),
        is_sequence: table.is_sequence,
        base_files: Vec::new(),
        change_files: Vec::new(),
        versions: BTreeMap::new(),
        epochs: Vec::new(),
        is_wanted: false,
        died: table.died,
        base_name: base.map(|base| base.name.clone()),
        counting: Arc::clone(&input.counting),
    };
    if let Some(base) = base {
        let record = version(input, &base.table_id, base.version)?;
        planned.versions.insert(base.version, record);
    }
    Ok(planned)
}

fn add_epochs(
    input: &PlanInput<'_>,
    table: &mut PlannedTable,
    incarnation: &Incarnation,
) -> Result<()> {
    let mut after = table.exact_from_seq;
    let mut was_altered = false;
    let mut add =
        |table: &mut PlannedTable, through: Seq, load_at: Option<Seq>, was_altered: bool| {
            let epoch = Epoch {
                after,
                through,
                is_first: table.epochs.is_empty(),
                from_base: table.epochs.is_empty() && !was_altered,
                name: incarnation.name_at(through).clone(),
                version: None,
                may_be_empty: false,
                load_at,
            };
            after = through;
            table.epochs.push(epoch);
        };
    for one in &incarnation.breaks {
        let before = one.seq.prev();
        let has_rows = table.base_rows > 0
            || table.change_files.iter().any(|f| f.seq_first <= before)
            || !table.epochs.is_empty()
            // The first row of a new sequence is the statement's own.
            || incarnation.is_sequence;
        // What the statement brings from elsewhere does not wait for the first row.
        if has_rows || one.partner.is_some() {
            add(table, before, Some(one.seq), was_altered);
        } else {
            was_altered = true;
        }
    }
    if table.died.is_none() {
        add(table, input.cut.seq, None, was_altered);
    } else if table.epochs.is_empty() {
        return Err(
            Error::internal("plan restore: rows of a table that nobody needs")
                .field("table", &table.name),
        );
    }
    Ok(())
}

fn statements(
    input: &PlanInput<'_>,
    ddl: &[Ddl],
    model: &Model,
    (needs, places, tables): (&Needs, &BTreeMap<usize, usize>, &[PlannedTable]),
) -> Result<Vec<PlannedStatement>> {
    let mut planned = Vec::new();
    for (index, one) in ddl.iter().enumerate() {
        let touched = model
            .touched
            .get(index)
            .map(Vec::as_slice)
            .unwrap_or_default();
        refuse_obstacles(one, touched, needs)?;
        let wanted = one.effects.iter().zip(touched);
        let wanted: Vec<bool> = wanted
            .map(|(effect, touched)| is_wanted(input, effect, touched, (needs, tables)))
            .collect();
        let commands = commands(one, &wanted)?;
        if commands.is_empty() {
            continue;
        }
        let mut indexes: Vec<usize> = touched.iter().flatten().copied().flatten().collect();
        indexes.sort_unstable();
        indexes.dedup();
        let (mut loads, mut rereads) = (Vec::new(), Vec::new());
        for index in indexes {
            let incarnation = model.tables.get(index);
            let (Some(place), Some(incarnation)) = (places.get(&index), incarnation) else {
                continue;
            };
            let epochs = tables.get(*place).map(|table| table.epochs.as_slice());
            let epochs = epochs.unwrap_or_default();
            let ends = epochs.iter().position(|e| e.load_at == Some(one.seq()));
            // A new sequence has its first row from the statement.
            let is_new = incarnation.is_sequence && incarnation.after == one.seq().prev();
            let is_there = incarnation.died != Some(one.seq());
            if is_there && (ends.is_some() || (is_new && !epochs.is_empty())) {
                rereads.push((*place, incarnation.name_at(one.seq()).clone()));
            }
            loads.extend(ends.map(|epoch| (*place, epoch)));
        }
        planned.push(PlannedStatement {
            loads,
            rereads,
            events: events(&one.effects),
            ddl: one.clone(),
            commands,
        });
    }
    Ok(planned)
}

/// Refuses what cannot be repeated of a table whose rows are wanted at the end of all.
fn refuse_obstacles(ddl: &Ddl, touched: &[Vec<Option<usize>>], needs: &Needs) -> Result<()> {
    for obstacle in &ddl.obstacles {
        let named = |effect: &Effect, table: &TableName| effect.tables().contains(&table);
        let mut touched = ddl.effects.iter().zip(touched);
        let concerned = match &obstacle.table {
            None => needs.rows.iter().any(|rows| *rows),
            Some(table) => touched.any(|(effect, tables)| {
                named(effect, table) && tables.iter().flatten().any(|index| needs.rows(*index))
            }),
        };
        if concerned {
            return Err(ddl.name(
                Error::gap("plan restore: rows cannot be followed up to the cut")
                    .field("reason", obstacle.reason)
                    .hint(format!(
                        "restore to just before it (--to-seq {} --before), or to a moment after \
                         the next base",
                        ddl.seq()
                    )),
            ));
        }
    }
    Ok(())
}

fn is_wanted(
    input: &PlanInput<'_>,
    effect: &Effect,
    touched: &[Option<usize>],
    (needs, tables): (&Needs, &[PlannedTable]),
) -> bool {
    let filter = input.filter;
    if filter.is_everything() || touched.iter().flatten().any(|index| needs.exists(*index)) {
        return true;
    }
    let database = |db: &str| {
        let mut names = tables.iter().flat_map(|t| &t.epochs).map(|e| &e.name);
        filter.takes_database(db)
            || names.any(|name| name.db == db)
            || tables.iter().any(|t| t.name.db == db)
    };
    match effect {
        Effect::CreateDatabase(db) | Effect::AlterDatabase(db) => database(db),
        Effect::DropDatabase(db) => filter.takes_database(db),
        Effect::SchemaObject { name, .. } => filter.takes_database(&name.db) || filter.takes(name),
        _ => false,
    }
}
