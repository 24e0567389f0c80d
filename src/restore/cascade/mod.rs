//! Cascades that the engine did without logging them.
//!
//! A rows event on a parent with `flags & 0x12 == 0` means that the server left foreign keys to
//! the engine (MariaDB always; MySQL with native foreign keys): children were deleted or changed
//! and no event says so. Those changes are derived: [`scan`] finds in the parents' change files
//! what was passed on, [`log`] holds it by the value that rows refer to, [`walk`] takes a row of
//! a child through its history, [`fold`] does so for a whole table in place of the plain fold,
//! and [`derive`] carries it from table to table. What cannot be derived exactly is refused.

mod definition;
mod derive;
mod fold;
mod log;
mod members;
mod scan;
#[cfg(test)]
mod tests;
mod value;
mod walk;

pub(super) use definition::{ForeignKey, follow, foreign_keys, reshaped};
pub(super) use fold::TableCascades;
pub(super) use walk::Derived;

use super::fetch::Fetch;
use super::rows::TableInput;
use super::spool::Spooled;
use super::table::PlannedTable;
use super::target::TableFilter;
use super::xa::{Counting, Span};
use crate::error::{Error, Result};
use crate::manifest::{BaseManifest, FileEntry, FileRole, Repository, SegmentManifest};
use crate::position::Seq;
use crate::runtime::Compute;
use crate::schema::{TableId, TableName, TableVersion};
use crate::segment::TablePlan;
use crate::source::SchemaObject;
use definition::Facts;
use derive::{Edge, Graph, Node};
use log::{BYTES_MAX, Budget};
use members::Member;
use scan::{Link, Scan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tables that are not taken, but from which rows of those taken are cascaded to.
pub(super) fn ancestors<'a>(
    keys: &[ForeignKey],
    tables: impl Iterator<Item = &'a TableName> + Clone,
    filter: &TableFilter,
) -> BTreeSet<TableName> {
    let mut known: BTreeSet<&TableName> = tables.clone().filter(|t| filter.takes(t)).collect();
    let mut found = BTreeSet::new();
    loop {
        let parents = keys.iter().filter(|key| known.contains(&key.child));
        let next: Vec<&TableName> = parents
            .filter_map(|key| tables.clone().find(|t| **t == key.parent))
            .filter(|parent| !known.contains(parent))
            .collect();
        if next.is_empty() {
            return found;
        }
        found.extend(next.iter().map(|name| (*name).clone()));
        known.extend(next);
    }
}

/// What cascades are derived from.
#[derive(Clone, Debug)]
pub(super) struct Cascades<'a> {
    /// Where files are.
    pub(super) repo: &'a Repository,
    /// The base.
    pub(super) base: &'a BaseManifest,
    /// The segments after the bases of all tables, in order.
    pub(super) segments: &'a [Arc<SegmentManifest>],
    /// Every table version known up to the cut.
    pub(super) versions: &'a BTreeMap<(TableId, u32), Arc<TableVersion>>,
    /// Definitions of the base's tables.
    pub(super) objects: &'a [SchemaObject],
    /// Foreign keys with an action, each with the entries while which it is in force.
    pub(super) keys: Vec<ForeignKey>,
    /// Which rows of change files count.
    pub(super) counting: Arc<Counting>,
    /// Tables that statements may have made other children of, and the columns concerned.
    pub(super) reshaped: Vec<(TableName, Vec<String>)>,
    /// The last entry that counts.
    pub(super) through: Seq,
}

impl Cascades<'_> {
    /// What cascades did to the rows of each table in its epochs, by their numbers; nothing where
    /// none reached it. `ancestors` are read for what they passed on.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) where a cascade cannot be derived exactly, naming
    /// parent, child and entry; those of reading.
    pub(super) async fn derive(
        &self,
        tables: &[PlannedTable],
        ancestors: &[PlannedTable],
    ) -> Result<BTreeMap<(TableId, usize), Arc<TableCascades>>> {
        let compute = Compute::per_core();
        let tables: Vec<&PlannedTable> = tables.iter().chain(ancestors).collect();
        let members = members::find(self, &tables);
        let budget = Budget::new(BYTES_MAX);
        let mut graph = self.graph(&compute, &members, &budget).await?;
        let mut files: BTreeMap<usize, (Vec<Spooled>, Vec<Spooled>)> = BTreeMap::new();
        while let Some(index) = graph.next()? {
            let Some(member) = members.get(index) else {
                return Err(Error::internal("derive cascades: no such table"));
            };
            let Some((table, epoch, version)) = member.first_epoch() else {
                return Err(member.lost());
            };
            let spooled = match files.remove(&index) {
                Some(files) => files,
                None => Fetch::new(self.repo, &compute).files(table, epoch).await?,
            };
            let version = Arc::clone(version);
            let input = TableInput::new((table, epoch), version, spooled.clone())?;
            files.insert(index, spooled);
            let name = table.name.clone();
            let walk = move || graph.walk(index, input).map(|()| graph);
            graph = compute.run(walk).await.map_err(|e| match e.get("child") {
                Some(_) => e,
                None => e.field("table", name),
            })?;
        }
        let mut derived = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            if member.first_epoch().is_none() {
                continue;
            }
            for (epoch, cascades) in graph.by_epoch(index)? {
                derived.insert((member.id.clone(), epoch), Arc::new(cascades));
            }
        }
        Ok(derived)
    }

    /// The tables and keys, with what was logged of every parent.
    async fn graph(
        &self,
        compute: &Compute,
        members: &[Member<'_>],
        budget: &Budget,
    ) -> Result<Graph> {
        let mut nodes = Vec::with_capacity(members.len());
        for member in members {
            let plan = Arc::new(TablePlan::compile(Arc::clone(&member.version))?);
            let facts = Facts::of(self.objects, member.base_name());
            let mut node = Node::new(member.place(), plan, facts, (&self.counting, budget));
            node.later = member.later_epochs();
            node.reshaped = member.reshaped(&self.reshaped);
            nodes.push(node);
        }
        let pairs = members::links(&self.keys, members);
        let mut edges = Vec::new();
        for (parent, member) in members.iter().enumerate() {
            let mut children = Vec::new();
            let mut links = Vec::new();
            for (key, child) in pairs
                .iter()
                .filter(|p| p.parent == parent)
                .map(|p| (&p.key, p.child))
            {
                if let Some((p, c)) = nodes.get(parent).zip(nodes.get(child)) {
                    children.push(child);
                    links.push(Link::new(key, &p.plan, &c.plan));
                }
            }
            if links.is_empty() {
                continue;
            }
            let versioned = nodes.get(parent).is_some_and(|node| node.facts.versioned);
            // What reaches a table goes through others: none of them may have missed it.
            let after = members.iter().map(|m| m.exact_from).min();
            let after = after.unwrap_or(member.exact_from);
            self.refuse_barrier(member, after)?;
            let span = Span::new(&self.counting, after, self.through);
            let scan = Scan::new(&member.name, links.clone(), (&span, versioned), budget);
            let logs = self.scan(compute, &member.id, &span, scan).await?;
            for ((link, child), log) in links.into_iter().zip(children).zip(logs) {
                edges.push(Edge::new(link, (parent, child), log, budget));
            }
        }
        Ok(Graph::new(nodes, edges, budget.clone()))
    }

    async fn scan(
        &self,
        compute: &Compute,
        table: &TableId,
        span: &Span,
        mut scan: Scan,
    ) -> Result<Vec<log::CascadeLog>> {
        for file in self.files(table, span) {
            let version = (table.clone(), file.version.unwrap_or(0));
            let version = self.versions.get(&version);
            let version = version.ok_or_else(|| {
                Error::corrupt("derive cascades: a change file of an unknown version")
                    .field("object", &file.object)
            })?;
            let plan = Arc::new(TablePlan::compile(Arc::clone(version))?);
            let bytes = self.repo.get_file(file).await?;
            let read = move || scan.file(bytes, &plan).map(|()| scan);
            let read = compute.run(read).await;
            scan = read.map_err(|e| e.field("object", &file.object))?;
        }
        scan.finish()
    }

    /// Change files of a table with entries that count.
    fn files(&self, table: &TableId, span: &Span) -> impl Iterator<Item = &FileEntry> {
        let segments = self.counting.earlier().iter().chain(self.segments);
        let files = segments.flat_map(|s| s.files_of(FileRole::Changes));
        files.filter(move |file| file.table_id.as_ref() == Some(table) && span.reads(file))
    }

    /// What happened to a parent must be known, also where its own rows are not asked for.
    fn refuse_barrier(&self, parent: &Member<'_>, after: Seq) -> Result<()> {
        let mut barriers = self.segments.iter().flat_map(|s| &s.barriers);
        let between = barriers.find(|barrier| {
            barrier.stops()
                && barrier.table.as_ref() == Some(&parent.id)
                && barrier.seq > after
                && barrier.seq <= self.through
        });
        match between {
            None => Ok(()),
            Some(barrier) => Err(Error::gap(
                "derive cascades: the rows of a parent cannot be followed",
            )
            .field("seq", barrier.seq)
            .field("table", &parent.name)
            .field("reason", &barrier.reason)
            .hint(walk::before((barrier.seq.0, 0)))),
        }
    }
}
