//! The tables that foreign keys are between: those of the plan, and those that are only read for
//! what they passed on.

use super::Cascades;
use super::definition::{ForeignKey, Known};
use crate::error::Error;
use crate::position::Seq;
use crate::restore::table::{Epoch, PlannedTable};
use crate::schema::{TableId, TableName, TableVersion};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One table of the log.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    /// In the plan.
    planned: Option<&'a PlannedTable>,
    /// Incarnation.
    pub(super) id: TableId,
    /// Name, at the cut where it is known.
    pub(super) name: TableName,
    /// Its name in the base.
    base_name: Option<TableName>,
    /// Every name known of it.
    names: BTreeSet<TableName>,
    /// Changes after this entry are not in the base.
    pub(super) exact_from: Seq,
    /// The shape of its first images.
    pub(super) version: Arc<TableVersion>,
}

impl<'a> Member<'a> {
    fn planned(table: &'a PlannedTable) -> Option<Member<'a>> {
        let first = table
            .epochs
            .first()
            .and_then(|epoch| epoch.version.as_ref());
        let version = first
            .or_else(|| table.versions.get(&table.version))
            .or_else(|| table.versions.values().next())?;
        let names = table.epochs.iter().map(|epoch| &epoch.name);
        let names = names.chain(&table.base_name).chain([&table.name]);
        Some(Member {
            planned: Some(table),
            id: table.table_id.clone(),
            name: table.name.clone(),
            base_name: table.base_name.clone(),
            names: names.cloned().collect(),
            exact_from: table.exact_from_seq,
            version: Arc::clone(version),
        })
    }

    /// The stretch of its history in which its rows are known, where they are read at all, and
    /// the shape of its images.
    pub(super) fn first_epoch(&self) -> Option<(&'a PlannedTable, &'a Epoch, &Arc<TableVersion>)> {
        let table = self.planned?;
        Some((table, table.epochs.first()?, &self.version))
    }

    /// Name; the entry of its base; the last entry up to which its rows are known; its end.
    pub(super) fn place(&self) -> (TableName, Seq, Seq, Seq) {
        let epoch = self.planned.and_then(|table| table.epochs.first());
        let known = epoch.map_or(self.exact_from, |epoch| epoch.through);
        let died = self.planned.and_then(|table| table.died);
        let died = died.unwrap_or(Seq(i64::MAX));
        (self.name.clone(), self.exact_from, known, died)
    }

    /// Its epochs after the first, numbered: on the target alone are the rows they begin with.
    pub(super) fn later_epochs(&self) -> Vec<(usize, Seq, Seq)> {
        let epochs = self.planned.map_or(&[][..], |table| &table.epochs);
        let later = epochs.iter().enumerate().skip(1);
        later.map(|(at, e)| (at, e.after, e.through)).collect()
    }

    /// Columns of it that a statement may have changed for a foreign key.
    pub(super) fn reshaped(&self, all: &[(TableName, Vec<String>)]) -> BTreeSet<String> {
        let ours = all.iter().filter(|(name, _)| self.names.contains(name));
        ours.flat_map(|(_, columns)| columns.iter().cloned())
            .collect()
    }

    /// Its name in the base, or what it is called.
    pub(super) fn base_name(&self) -> &TableName {
        self.base_name.as_ref().unwrap_or(&self.name)
    }

    /// Its rows are needed and are not at hand.
    pub(super) fn lost(&self) -> Error {
        Error::gap("derive cascades: the rows of a table on the way are not known")
            .field("table", &self.name)
            .hint("restore to a moment after the next base")
    }
}

/// Planned tables, then others that are called as the parent of a key.
pub(super) fn find<'a>(cascades: &Cascades<'_>, tables: &[&'a PlannedTable]) -> Vec<Member<'a>> {
    let mut members: Vec<Member<'a>> = Vec::new();
    let mut known = BTreeSet::new();
    let concerned: BTreeSet<&TableName> = cascades
        .keys
        .iter()
        .flat_map(|key| [&key.parent, &key.child])
        .collect();
    for table in tables {
        let member = Member::planned(table);
        let member = member.filter(|m| m.names.iter().any(|name| concerned.contains(name)));
        if known.insert(table.table_id.clone()) {
            members.extend(member);
        }
    }
    for ((id, _), version) in cascades.versions {
        let ends = cascades.keys.iter().any(|key| key.parent == version.name);
        if !ends || !known.insert(id.clone()) {
            continue;
        }
        let mut base = cascades.base.tables.iter();
        let base = base.find(|table| table.table_id == *id);
        members.push(Member {
            planned: None,
            id: id.clone(),
            name: version.name.clone(),
            base_name: base.map(|table| table.name.clone()),
            names: [version.name.clone()].into(),
            exact_from: base.map_or(version.since.prev(), |table| table.exact_from_seq),
            version: Arc::clone(version),
        });
    }
    members
}

/// A key between two members.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The key, unsure where it may be of other tables of the same names.
    pub(super) key: ForeignKey,
    /// The parent.
    pub(super) parent: usize,
    /// The child.
    pub(super) child: usize,
}

/// The keys that rows which are needed may change through.
pub(super) fn links(keys: &[ForeignKey], members: &[Member<'_>]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = keys.iter().flat_map(|key| between(key, members)).collect();
    let mut needed: BTreeSet<usize> = (0..members.len())
        .filter(|at| members.get(*at).is_some_and(|m| m.first_epoch().is_some()))
        .collect();
    loop {
        let parents = pairs.iter().filter(|pair| needed.contains(&pair.child));
        let parents: Vec<usize> = parents.map(|pair| pair.parent).collect();
        let count = needed.len();
        needed.extend(parents);
        if needed.len() == count {
            break;
        }
    }
    pairs.retain(|pair| needed.contains(&pair.child));
    pairs
}

fn between(key: &ForeignKey, members: &[Member<'_>]) -> Vec<Pair> {
    let places = |is: &dyn Fn(&Member<'_>) -> bool| -> Vec<usize> {
        let members = members.iter().enumerate();
        members.filter(|(_, m)| is(m)).map(|(at, _)| at).collect()
    };
    let of_base = key.known == Known::Base;
    let children = places(&|m| match key.known {
        Known::Base => m.base_name.as_ref() == Some(&key.child),
        Known::Created => m.base_name.is_none() && m.names.contains(&key.child),
        Known::Unsure => m.names.contains(&key.child),
    });
    let parents = places(&|m| m.names.contains(&key.parent));
    let mut pairs = Vec::new();
    for child in &children {
        for parent in &parents {
            let in_base = members.get(*parent).and_then(|m| m.base_name.as_ref());
            let sure = match of_base {
                true => in_base == Some(&key.parent),
                false => children.len() == 1 && parents.len() == 1,
            };
            let mut key = key.clone();
            if !sure {
                key.known = Known::Unsure;
            }
            pairs.push(Pair {
                key,
                parent: *parent,
                child: *child,
            });
        }
    }
    pairs
}
