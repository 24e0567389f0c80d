//! The fold: base rows and the changes after them, merged by row identity into a later state.
//!
//! Every input is a *run*: entries ascending by memcomparable key, then Seq, then row ordinal,
//! then before-image first. The runs of a table (its base files, its files in each segment, row
//! group by row group where a file is not one sorted run) are merged once; all entries of one key
//! meet, oldest first, and the last one decides. Memory is one batch per run; where there are too
//! many runs for that, [`merge`] condenses some of them into one run, which [`fold`] then reads
//! like any other.
//!
//! Rows of a table without a key are identified by the hash of the whole row and counted: the
//! same row inserted twice and deleted once is there once.
//!
//! A history that cannot have happened (a row deleted that is not there, inserted though it is)
//! is damage, never guessed around: the fold stops and names the key and the Seq (I7).

use crate::change::Op;
use crate::error::{Error, Result};
use crate::position::Seq;
use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// What identifies a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A primary key: at most one row per key.
    Key,
    /// The whole row: any number of equal rows.
    WholeRow,
}

/// What one entry does to the number of rows with its key.
///
/// Steps compose: any stretch of history of one key is again a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows that must be there before.
    pub need: u64,
    /// Highest number of rows on the way, counted from those before.
    pub peak: u64,
    /// Rows after, counted from those before.
    pub delta: i64,
}

impl Step {
    /// A row appears: an insert, the image after an update, a row of a base.
    pub const APPEAR: Step = Step {
        need: 0,
        peak: 1,
        delta: 1,
    };
    /// A row disappears: a delete, the image before an update.
    pub const VANISH: Step = Step {
        need: 1,
        peak: 0,
        delta: -1,
    };

    /// The step of a change.
    #[must_use]
    pub fn of(op: Op) -> Step {
        if op.is_present_after() {
            Step::APPEAR
        } else {
            Step::VANISH
        }
    }

    /// Whether an entry with this step carries the row's image: what may be left after it
    /// appeared in it. (Of a row without a key, any appearance has the same image.)
    #[must_use]
    pub fn carries_row(self, identity: Identity) -> bool {
        add(self.need, self.delta) > 0 || (identity == Identity::WholeRow && self.peak > 0)
    }

    /// This step, then `next`.
    #[must_use]
    pub fn then(self, next: Step) -> Step {
        Step {
            need: self.need.max(add(next.need, -self.delta)),
            peak: self.peak.max(add(next.peak, self.delta)),
            delta: self.delta.saturating_add(next.delta),
        }
    }
}

/// `a + b`, not below zero.
fn add(a: u64, b: i64) -> u64 {
    if b < 0 {
        a.saturating_sub(b.unsigned_abs())
    } else {
        a.saturating_add(b.unsigned_abs())
    }
}

/// Memcomparable keys of a batch, back to back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// Adds a key.
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Key of an entry; empty beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        let start = index
            .checked_sub(1)
            .and_then(|i| self.ends.get(i))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// A batch of a run. The four lists have one element per entry; `payload` holds the rows and is
/// handed back with an index into the batch.
#[derive(Clone, Debug)]
pub struct RunBatch<P> {
    /// Row identities.
    pub keys: Keys,
    /// Seq of the change; for a base row, of the row's last change.
    pub seqs: Vec<i64>,
    /// Ordinal of the change within its transaction; 0 for base rows.
    pub rows: Vec<i64>,
    /// What the entry does. Where it [carries a row](Step::carries_row), `payload` has it.
    pub steps: Vec<Step>,
    /// The rows themselves.
    pub payload: P,
}

/// A sorted run and the entries of it that count.
pub struct Run<'a, P> {
    batches: Box<dyn Iterator<Item = Result<RunBatch<P>>> + 'a>,
    counted: RangeInclusive<i64>,
}

impl<P> std::fmt::Debug for Run<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}

impl<'a, P> Run<'a, P> {
    /// A run whose entries all count: rows of a base, or what [`merge`] condensed.
    pub fn whole(batches: impl Iterator<Item = Result<RunBatch<P>>> + 'a) -> Self {
        Run {
            batches: Box::new(batches),
            counted: i64::MIN..=i64::MAX,
        }
    }

    /// A run of changes, of which those after `base` up to and including `cut` count.
    pub fn changes(
        base: Seq,
        cut: Seq,
        batches: impl Iterator<Item = Result<RunBatch<P>>> + 'a,
    ) -> Self {
        Run {
            batches: Box::new(batches),
            counted: base.next().0..=cut.0,
        }
    }
}

/// All that happened to one key.
#[derive(Debug)]
pub struct Folded<'a, P> {
    /// Row identity.
    pub key: &'a [u8],
    /// Seq of the last entry.
    pub seq: i64,
    /// Ordinal of the last entry.
    pub row: i64,
    /// The entries as one step.
    pub step: Step,
    /// The row as it last appeared; `None` where `step` carries none.
    pub last: Option<(&'a P, usize)>,
}

/// A row of the folded state.
#[derive(Debug)]
pub struct FoldedRow<'a, P> {
    /// Row identity.
    pub key: &'a [u8],
    /// Seq of the row's last change.
    pub seq: i64,
    /// How many of it there are: 1 where the table has a key.
    pub copies: u64,
    /// The batch the row is in.
    pub payload: &'a P,
    /// Its index there.
    pub index: usize,
}

/// Folds runs into the rows that are left, ascending by key.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a run is out of order or the history is
/// impossible (fields `key`, `seq`; the caller adds the table); errors of runs and of `each`.
pub fn fold<P>(
    identity: Identity,
    runs: Vec<Run<'_, P>>,
    mut each: impl FnMut(FoldedRow<'_, P>) -> Result<()>,
) -> Result<()> {
    groups(identity, runs, Start::Empty, |folded| {
        let copies = u64::try_from(folded.step.delta).unwrap_or(0);
        match folded.last {
            Some((payload, index)) if copies > 0 => {
                let (key, seq) = (folded.key, folded.seq);
                each(FoldedRow {
                    key,
                    seq,
                    copies,
                    payload,
                    index,
                })
            }
            None if copies > 0 => Err(Error::internal("fold rows: a row without an image")),
            _ => Ok(()),
        }
    })
}

/// Condenses runs into one, in the order of a run. Runs condensed together must not leave out
/// one whose Seqs lie between theirs (whole neighbouring segments are condensed together).
///
/// # Errors
/// As [`fold`].
pub fn merge<P>(
    identity: Identity,
    runs: Vec<Run<'_, P>>,
    each: impl FnMut(Folded<'_, P>) -> Result<()>,
) -> Result<()> {
    groups(identity, runs, Start::Unknown, each)
}

/// What is known of a key before the first entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Empty,
    Unknown,
}

/// A run with its current entry.
struct Head<'a, P> {
    run: Run<'a, P>,
    batch: Rc<RunBatch<P>>,
    index: usize,
}

impl<'a, P> Head<'a, P> {
    /// The run at its first counted entry; `None` when it has none.
    fn open(mut run: Run<'a, P>) -> Result<Option<Head<'a, P>>> {
        let Some(batch) = next_batch(&mut run)? else {
            return Ok(None);
        };
        let mut head = Head {
            run,
            batch,
            index: 0,
        };
        Ok(head.settle()?.then_some(head))
    }

    fn key(&self) -> &[u8] {
        self.batch.keys.get(self.index)
    }

    fn seq(&self) -> i64 {
        self.batch.seqs.get(self.index).copied().unwrap_or(0)
    }

    fn row(&self) -> i64 {
        self.batch.rows.get(self.index).copied().unwrap_or(0)
    }

    fn step(&self) -> Step {
        self.batch
            .steps
            .get(self.index)
            .copied()
            .unwrap_or_default()
    }

    /// Order of entries; of one update the image that vanishes comes first.
    fn order(&self, other: &Head<'_, P>) -> Ordering {
        let vanish = |head: &Head<'_, P>| head.step().delta;
        let place = |head: &Head<'_, P>| (head.seq(), head.row(), vanish(head));
        self.key()
            .cmp(other.key())
            .then_with(|| place(self).cmp(&place(other)))
    }

    /// Moves to the next counted entry; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        let former = (Rc::clone(&self.batch), self.index);
        self.index += 1;
        if !self.settle()? {
            return Ok(false);
        }
        let (batch, index) = former;
        let ordered = match batch.keys.get(index).cmp(self.key()) {
            Ordering::Less => true,
            Ordering::Equal => {
                let place = (
                    batch.seqs.get(index).copied(),
                    batch.rows.get(index).copied(),
                );
                place <= (Some(self.seq()), Some(self.row()))
            }
            Ordering::Greater => false,
        };
        if ordered {
            return Ok(true);
        }
        Err(
            Error::corrupt("fold rows: a file is not in the order it claims")
                .field("key", printable(self.key()))
                .field("seq", self.seq()),
        )
    }

    fn settle(&mut self) -> Result<bool> {
        loop {
            while self.index < self.batch.keys.len() {
                if self.run.counted.contains(&self.seq()) {
                    return Ok(true);
                }
                self.index += 1;
            }
            match next_batch(&mut self.run)? {
                Some(batch) => (self.batch, self.index) = (batch, 0),
                None => return Ok(false),
            }
        }
    }
}

fn next_batch<P>(run: &mut Run<'_, P>) -> Result<Option<Rc<RunBatch<P>>>> {
    let Some(batch) = run.batches.next().transpose()? else {
        return Ok(None);
    };
    let count = batch.keys.len();
    if [batch.seqs.len(), batch.rows.len(), batch.steps.len()] != [count; 3] {
        return Err(Error::internal(
            "fold rows: lists of a batch differ in length",
        ));
    }
    Ok(Some(Rc::new(batch)))
}

/// A heap of heads, least entry on top.
struct Heads<'a, P>(Vec<Head<'a, P>>);

impl<'a, P> Heads<'a, P> {
    fn open(runs: Vec<Run<'a, P>>) -> Result<Self> {
        let mut heads = Vec::with_capacity(runs.len());
        for run in runs {
            heads.extend(Head::open(run)?);
        }
        let mut heap = Heads(heads);
        for index in (0..heap.0.len() / 2).rev() {
            heap.sink(index);
        }
        Ok(heap)
    }

    fn is_less(&self, a: usize, b: usize) -> bool {
        match (self.0.get(a), self.0.get(b)) {
            (Some(a), Some(b)) => a.order(b) == Ordering::Less,
            _ => false,
        }
    }

    fn sink(&mut self, mut index: usize) {
        loop {
            let (left, right) = (2 * index + 1, 2 * index + 2);
            let least = if self.is_less(right, left) {
                right
            } else {
                left
            };
            if !self.is_less(least, index) {
                return;
            }
            self.0.swap(least, index);
            index = least;
        }
    }

    /// Moves the top run on.
    fn advance(&mut self) -> Result<()> {
        let Some(top) = self.0.first_mut() else {
            return Ok(());
        };
        if !top.advance()? {
            self.0.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }
}

/// The entries of the current key so far.
struct Group<P> {
    key: Vec<u8>,
    seq: i64,
    row: i64,
    step: Step,
    last: Option<(Rc<RunBatch<P>>, usize)>,
}

fn groups<P>(
    identity: Identity,
    runs: Vec<Run<'_, P>>,
    start: Start,
    mut each: impl FnMut(Folded<'_, P>) -> Result<()>,
) -> Result<()> {
    let mut heads = Heads::open(runs)?;
    let mut group = Group {
        key: Vec::new(),
        seq: 0,
        row: 0,
        step: Step::default(),
        last: None,
    };
    loop {
        let Some(top) = heads.0.first() else {
            return Ok(());
        };
        group.key.clear();
        group.key.extend_from_slice(top.key());
        group.step = Step::default();
        group.last = None;
        while let Some(top) = heads.0.first().filter(|top| top.key() == group.key) {
            take(identity, start, &mut group, top)?;
            heads.advance()?;
        }
        each(Folded {
            key: &group.key,
            seq: group.seq,
            row: group.row,
            step: group.step,
            last: group
                .last
                .as_ref()
                .map(|(batch, index)| (&batch.payload, *index)),
        })?;
    }
}

/// Adds an entry to the group and refuses what cannot have happened.
fn take<P>(
    identity: Identity,
    start: Start,
    group: &mut Group<P>,
    head: &Head<'_, P>,
) -> Result<()> {
    let step = head.step();
    group.step = group.step.then(step);
    group.seq = head.seq();
    group.row = head.row();
    let missing = start == Start::Empty && group.step.need > 0;
    let present = identity == Identity::Key && group.step.need + group.step.peak > 1;
    if missing || present {
        let what = if missing {
            "fold rows: a change to a row that is not there"
        } else {
            "fold rows: a row appears that is already there"
        };
        return Err(Error::corrupt(what)
            .field("key", printable(&group.key))
            .field("seq", group.seq)
            .hint("the history of this table is not complete: take a new base, and report it"));
    }
    if step.carries_row(identity) {
        group.last = Some((Rc::clone(&head.batch), head.index));
    } else if identity == Identity::Key {
        group.last = None;
    }
    Ok(())
}

fn printable(key: &[u8]) -> String {
    let mut text = hex::encode(key.get(..64).unwrap_or(key));
    if key.len() > 64 {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;
