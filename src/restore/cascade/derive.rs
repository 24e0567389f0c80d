//! Derives the cascades of all tables from what was logged of their parents.
//!
//! A table that is a child and a parent passes on what it received: it is walked once its own
//! parents' events are known, and every derived change of its rows becomes an event for its
//! children. Where tables refer to each other in a circle, or a cascade gives rows another
//! identity, a walk may find what an earlier one could not know; tables are then walked again
//! until nothing changes. Every event depends on earlier entries of the log only, or on fewer
//! steps from the logged change, so this ends, and with one result.

use super::definition::{ANY_COLUMN, Facts, OnChange, same};
use super::fold::{Arrivals, TableCascades};
use super::log::{Action, Budget, CascadeLog, Held};
use super::scan::{Cells, Link};
use super::value::KeyColumn;
use super::walk::{ChildKey, Derived, before, cell_of, refuse_absent, unordered};
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::restore::rows::{Fold, TableInput};
use crate::restore::xa::{Counting, Span};
use crate::schema::TableName;
use crate::segment::TablePlan;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Walks of one table.
const WALKS_MAX: u32 = 128;

/// A foreign key with what happened through it.
#[derive(Debug)]
pub(super) struct Edge {
    /// Its columns.
    pub(super) link: Link,
    /// The parent, by index into the tables.
    pub(super) parent: usize,
    /// The child.
    pub(super) child: usize,
    /// Changes of the parent as logged.
    pub(super) logged: Arc<CascadeLog>,
    /// Changes of the parent as derived.
    pub(super) derived: Arc<CascadeLog>,
    /// How often `derived` got another content.
    changes: u64,
}

impl Edge {
    /// A foreign key of whose parent the logged changes are known.
    pub(super) fn new(
        link: Link,
        (parent, child): (usize, usize),
        logged: CascadeLog,
        budget: &Budget,
    ) -> Edge {
        Edge {
            link,
            parent,
            child,
            logged: Arc::new(logged),
            derived: Arc::new(CascadeLog::new(budget)),
            changes: 0,
        }
    }

    fn is_quiet(&self) -> bool {
        self.logged.is_empty() && self.derived.is_empty()
    }

    fn any_within(&self, span: &Span) -> bool {
        self.logged.any_within(span) || self.derived.any_within(span)
    }
}

/// A table of the graph.
#[derive(Debug)]
pub(super) struct Node {
    /// Name.
    pub(super) name: TableName,
    /// The base holds it as of this entry.
    pub(super) exact_from: Seq,
    /// After this entry only the target has its rows: a statement changed them there.
    known_through: Seq,
    /// The entry that ended it.
    died: Seq,
    /// Plan of its version.
    pub(super) plan: Arc<TablePlan>,
    /// What its definition says besides.
    pub(super) facts: Facts,
    counting: Arc<Counting>,
    /// Epochs in which only the target has its rows: number, and the entries after and through.
    pub(super) later: Vec<(usize, Seq, Seq)>,
    /// Columns that statements may have changed for a foreign key.
    pub(super) reshaped: BTreeSet<String>,
    /// Edges of which it is the parent.
    passes: Vec<usize>,
    /// Edges of which it is the child.
    receives: Vec<usize>,
    arrivals: Arc<Arrivals>,
    arrival_changes: u64,
    walks: u32,
    /// What it was last walked with.
    walked_with: Option<u64>,
}

impl Node {
    /// A table nothing has been derived for.
    pub(super) fn new(
        (name, exact_from, known_through, died): (TableName, Seq, Seq, Seq),
        plan: Arc<TablePlan>,
        facts: Facts,
        (counting, budget): (&Arc<Counting>, &Budget),
    ) -> Node {
        Node {
            name,
            exact_from,
            known_through,
            died,
            plan,
            facts,
            counting: Arc::clone(counting),
            later: Vec::new(),
            reshaped: BTreeSet::new(),
            passes: Vec::new(),
            receives: Vec::new(),
            arrivals: Arc::new(Arrivals::new(Held::new(budget))),
            arrival_changes: 0,
            walks: 0,
            walked_with: None,
        }
    }
}

/// Tables and the foreign keys between them.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// The tables, parents before their children as far as there is such an order.
    order: Vec<usize>,
    /// Memory of all logs.
    budget: Budget,
}

impl Graph {
    /// Of tables and the foreign keys between them.
    pub(super) fn new(mut nodes: Vec<Node>, edges: Vec<Edge>, budget: Budget) -> Graph {
        for (at, edge) in edges.iter().enumerate() {
            if let Some(node) = nodes.get_mut(edge.parent) {
                node.passes.push(at);
            }
            if let Some(node) = nodes.get_mut(edge.child) {
                node.receives.push(at);
            }
        }
        let mut graph = Graph {
            order: Vec::with_capacity(nodes.len()),
            nodes,
            edges,
            budget,
        };
        graph.order = graph.parents_first();
        graph
    }

    /// The next table that must be walked, parents first; `None` when all is derived.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when a table was walked too often.
    pub(super) fn next(&self) -> Result<Option<usize>> {
        let stale = |index: &usize| {
            let node = self.nodes.get(*index);
            let stamp = self.stamp(*index);
            node.is_some_and(|n| n.walked_with != stamp) && self.must_walk(*index)
        };
        let Some(index) = self.order.iter().copied().find(stale) else {
            return Ok(None);
        };
        match self.nodes.get(index).filter(|n| n.walks >= WALKS_MAX) {
            None => Ok(Some(index)),
            Some(node) => Err(
                Error::gap("derive cascades: they follow from each other too often")
                    .field("table", &node.name)
                    .field("walks_max", WALKS_MAX)
                    .hint("restore to an earlier moment, or to one soon after the next base"),
            ),
        }
    }

    /// Walks a table and keeps what it passes on.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) where a cascade cannot be derived; errors of reading.
    pub(super) fn walk(&mut self, index: usize, input: TableInput) -> Result<()> {
        let stamp = self.stamp(index);
        let cascades = self.cascades(index)?;
        let cascades = cascades.ok_or_else(|| Error::internal("derive cascades: quiet table"))?;
        let own = self
            .nodes
            .get(index)
            .map_or(Vec::new(), |node| node.passes.clone());
        self.refuse_apart(index, &own)?;
        let mut logs: Vec<CascadeLog> = own.iter().map(|_| CascadeLog::new(&self.budget)).collect();
        let plan = Arc::new(TablePlan::compile(Arc::clone(input.version()))?);
        let fold: Arc<dyn Fold> = Arc::new(cascades.clone());
        let input = input.folded_by(Some(fold));
        let links: Vec<&Link> = own
            .iter()
            .filter_map(|e| Some(&self.edges.get(*e)?.link))
            .collect();
        let arrivals = cascades.derive(&input, Held::new(&self.budget), |derived| {
            let [was, is] = cells_of(&plan, &links, &derived)?;
            for (at, (link, log)) in links.iter().zip(&mut logs).enumerate() {
                if let Some(was) = was.get(at) {
                    let after = is.get(at).filter(|_| derived.after.is_some());
                    link.note(log, derived.at, (was, after))?;
                }
            }
            Ok(())
        })?;
        for (edge, mut log) in own.into_iter().zip(logs) {
            let Some(edge) = self.edges.get_mut(edge) else {
                continue;
            };
            log.sort().map_err(|at| edge.link.context(unordered(at)))?;
            if *edge.derived != log {
                edge.derived = Arc::new(log);
                edge.changes += 1;
            }
        }
        if let Some(node) = self.nodes.get_mut(index) {
            node.walks += 1;
            node.walked_with = stamp;
            if *node.arrivals != arrivals {
                node.arrivals = Arc::new(arrivals);
                node.arrival_changes += 1;
            }
        }
        Ok(())
    }

    /// What is known of the cascades of a table; `None` when nothing reached it.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when its rows cannot be changed here.
    pub(super) fn cascades(&self, index: usize) -> Result<Option<TableCascades>> {
        let Some(node) = self.nodes.get(index) else {
            return Ok(None);
        };
        let follows = self.follows(node);
        let keys = self
            .edges_of(&node.receives)
            .filter(|edge| !edge.is_quiet())
            .map(|edge| {
                refuse_child(node, edge, follows)?;
                Ok(ChildKey {
                    parent: edge.link.key.parent.clone(),
                    columns: edge.link.child.clone(),
                    names: edge.link.key.child_columns.clone(),
                    logs: [Arc::clone(&edge.logged), Arc::clone(&edge.derived)],
                })
            });
        let keys: Vec<ChildKey> = keys.collect::<Result<_>>()?;
        Ok((!keys.is_empty()).then(|| TableCascades {
            keys,
            arrivals: Arc::clone(&node.arrivals),
            referred: self
                .edges_of(&node.passes)
                .flat_map(|edge| edge.link.parent.iter().map(|column| column.index))
                .collect(),
        }))
    }

    /// What is known of the cascades of a table in each of its epochs.
    ///
    /// # Errors
    /// As [`cascades`](Self::cascades).
    pub(super) fn by_epoch(&self, index: usize) -> Result<Vec<(usize, TableCascades)>> {
        let (Some(node), Some(all)) = (self.nodes.get(index), self.cascades(index)?) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (epoch, after, through) in &node.later {
            let span = Span::new(&node.counting, *after, *through);
            let mut received = self.edges_of(&node.receives);
            if received.any(|edge| edge.any_within(&span)) {
                found.push((*epoch, all.clone()));
            }
        }
        found.push((0, all));
        Ok(found)
    }

    /// Whether cascades into a table that a statement changed after the base can be derived while
    /// it is restored: whatever would have to be refused, or be passed on, must be known before.
    fn follows(&self, node: &Node) -> bool {
        let key = &node.plan.version().key;
        let identifies = |column: &KeyColumn| {
            key.is_empty() || key.iter().any(|part| part.column as usize == column.index)
        };
        let mut seen = HashSet::new();
        let mut noisy = self.edges_of(&node.receives).filter(|e| !e.is_quiet());
        let each = noisy.all(|edge| {
            let mut columns = edge.link.child.iter();
            let mut own: HashSet<_> = edge.logged.places().collect();
            own.extend(edge.derived.places());
            let apart = own.is_disjoint(&seen);
            seen.extend(own);
            let names = &edge.link.key.child_columns;
            let is_kept = |name: &String| !node.reshaped.iter().any(|r| same(r, name));
            let moves = changes_rows(edge) && columns.clone().any(identifies);
            apart && !moves && names.iter().all(is_kept) && !columns.any(KeyColumn::may_be_unsure)
        });
        each && node.passes.is_empty() && !node.reshaped.contains(ANY_COLUMN)
    }

    fn edges_of<'a>(&'a self, list: &'a [usize]) -> impl Iterator<Item = &'a Edge> + Clone {
        list.iter().filter_map(|edge| self.edges.get(*edge))
    }

    /// Changes whenever what a table received changes; `None` while it received nothing.
    fn stamp(&self, index: usize) -> Option<u64> {
        let node = self.nodes.get(index)?;
        let edges = self.edges_of(&node.receives);
        let noisy = edges.clone().any(|edge| !edge.is_quiet());
        let changes: u64 = edges.map(|edge| edge.changes).sum();
        noisy.then_some(changes + node.arrival_changes)
    }

    /// Whether what a table received can change anything but the rows it leaves, or may have to
    /// be refused for one of its rows: that is found out before anything is restored.
    fn must_walk(&self, index: usize) -> bool {
        let Some(node) = self.nodes.get(index) else {
            return false;
        };
        if !node.passes.is_empty() {
            return true;
        }
        let key = &node.plan.version().key;
        let identifies = |column: &KeyColumn| {
            key.is_empty() || key.iter().any(|part| part.column as usize == column.index)
        };
        let mut seen = HashSet::new();
        let mut edges = self.edges_of(&node.receives).filter(|e| !e.is_quiet());
        edges.any(|edge| {
            let mut columns = edge.link.child.iter();
            let moves = changes_rows(edge) && columns.clone().any(identifies);
            let mut own = HashSet::new();
            own.extend(edge.logged.places().chain(edge.derived.places()));
            let meets = !own.is_disjoint(&seen);
            seen.extend(own);
            moves || meets || columns.any(KeyColumn::may_be_unsure)
        })
    }

    fn parents_first(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut seen = vec![false; self.nodes.len()];
        // A table, and how many of its parents were looked at.
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..self.nodes.len() {
            path.push((start, 0));
            while let Some((index, looked_at)) = path.pop() {
                if looked_at == 0 && std::mem::replace(&mut seen[index], true) {
                    continue;
                }
                let parent = self
                    .nodes
                    .get(index)
                    .and_then(|n| n.receives.get(looked_at));
                match parent.and_then(|edge| self.edges.get(*edge)) {
                    Some(edge) => path.extend([(index, looked_at + 1), (edge.parent, 0)]),
                    None => order.push(index),
                }
            }
        }
        order
    }

    /// A parent in the middle whose base is younger than that of a child: what cascades did to
    /// it in between is in its base already, and nobody knows which rows they were.
    fn refuse_apart(&self, index: usize, own: &[usize]) -> Result<()> {
        let Some(node) = self.nodes.get(index) else {
            return Ok(());
        };
        for edge in self.edges_of(own) {
            let child = self.nodes.get(edge.child).map(|child| child.exact_from);
            let Some(from) = child.filter(|from| *from < node.exact_from) else {
                continue;
            };
            let mut received = self.edges_of(&node.receives);
            let between = Span::new(&node.counting, from, node.exact_from);
            if received.any(|e| e.any_within(&between)) {
                return Err(edge.link.context(
                    Error::gap("derive cascades: parent and child were read at different moments")
                        .field("parent_seq", node.exact_from)
                        .field("child_seq", from)
                        .hint("restore to a moment after the next base"),
                ));
            }
        }
        Ok(())
    }
}

/// The cells of every link in the two images of a derived change.
fn cells_of(plan: &TablePlan, links: &[&Link], derived: &Derived<'_>) -> Result<[Vec<Cells>; 2]> {
    let mut ranges = Vec::new();
    let mut of = |image: &[u8]| -> Result<Vec<Cells>> {
        let row = plan.layout().split_row(image, &mut ranges)?;
        let columns = links.iter().flat_map(|link| &link.parent);
        refuse_absent(&row, columns.map(|column| column.index))?;
        let cell = |column: &KeyColumn| {
            let range = ranges.get(column.index)?.as_ref()?;
            Some(cell_of(image, range).to_vec())
        };
        let cells = |link: &&Link| link.parent.iter().map(cell).collect();
        Ok(links.iter().map(cells).collect())
    };
    Ok([
        of(derived.before)?,
        derived.after.map_or(Ok(Vec::new()), of)?,
    ])
}

/// Whether a foreign key changes rows rather than deleting them.
fn changes_rows(edge: &Edge) -> bool {
    let key = &edge.link.key;
    key.on_update.is_some() || key.on_delete == Some(OnChange::SetNull)
}

/// Refuses what a cascade does to a row besides what its foreign key says.
fn refuse_child(node: &Node, edge: &Edge, follows: bool) -> Result<()> {
    let Some(at) = edge
        .logged
        .first()
        .into_iter()
        .chain(edge.derived.first())
        .min()
    else {
        return Ok(());
    };
    let refused = |what: &'static str| {
        let error = Error::gap(what).field("seq", at.0).hint(before(at));
        Err(edge.link.context(error))
    };
    let known = match node.later.last().filter(|_| follows) {
        Some((.., through)) => *through,
        None => node.known_through,
    };
    let later = Span::new(&node.counting, known, node.died);
    if edge.any_within(&later) {
        let error = Error::gap("derive cascades: a statement changed the child after the base")
            .field("after", node.known_through)
            .hint("restore to a moment before that Seq, or after the next base");
        return Err(edge.link.context(error));
    }
    if node.facts.versioned {
        return refused("derive cascades: the child is a system-versioned table");
    }
    let rewrites = |log: &CascadeLog| log.any(|action| *action != Action::Delete);
    if !rewrites(&edge.logged) && !rewrites(&edge.derived) {
        return Ok(());
    }
    let columns = node.plan.version().columns.iter().enumerate();
    let mut hidden = columns.filter(|(index, column)| {
        node.plan.is_hidden(*index) || column.name.starts_with("DB_ROW_HASH_")
    });
    if node.facts.reads(&edge.link.key.child_columns) || hidden.next().is_some() {
        return refused(
            "derive cascades: a generated column of the child may depend on its foreign key",
        );
    }
    Ok(())
}
