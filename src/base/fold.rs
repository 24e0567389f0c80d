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

mod run;

pub use run::{Identity, Keep, Keys, Run, RunBatch, Step};

use crate::error::{Error, Result};
use std::cmp::Ordering;
use std::rc::Rc;

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
    /// The row as it last appeared, or as it first vanished ([`Keep`]); `None` where `step`
    /// carries none.
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
    let how = Grouping {
        identity,
        keep: Keep::Last,
        start: Start::Empty,
    };
    groups(how, runs, |folded| {
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

/// What a stretch of history comes to for every key in it, ascending; also how runs are condensed
/// into one. Runs condensed together must not leave out one whose Seqs lie between theirs (whole
/// neighbouring segments are condensed together).
///
/// # Errors
/// As [`fold`].
pub fn merge<P>(
    identity: Identity,
    keep: Keep,
    runs: Vec<Run<'_, P>>,
    each: impl FnMut(Folded<'_, P>) -> Result<()>,
) -> Result<()> {
    let how = Grouping {
        identity,
        keep,
        start: Start::Unknown,
    };
    groups(how, runs, each)
}

/// How entries of a key are put together.
#[derive(Clone, Copy)]
struct Grouping {
    identity: Identity,
    keep: Keep,
    start: Start,
}

/// An entry as it stands in its run.
#[derive(Debug)]
pub struct Entry<'a, P: ?Sized> {
    /// Row identity.
    pub key: &'a [u8],
    /// Seq of the change; of a base row, of its last change.
    pub seq: i64,
    /// Its ordinal in the transaction.
    pub row: i64,
    /// What it does.
    pub step: Step,
    /// The batch its row is in.
    pub payload: &'a P,
    /// Its index there.
    pub index: usize,
}

/// Merges runs and keeps every entry: ascending by key, then in the order of the log.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a run is out of order; errors of runs and
/// of `each`.
pub fn entries<P>(
    runs: Vec<Run<'_, P>>,
    mut each: impl FnMut(Entry<'_, P>) -> Result<()>,
) -> Result<()> {
    let mut heads = Heads::open(runs)?;
    while let Some(top) = heads.0.first() {
        each(Entry {
            key: top.key(),
            seq: top.seq(),
            row: top.row(),
            step: top.step(),
            payload: &top.batch.payload,
            index: top.index,
        })?;
        heads.advance()?;
    }
    Ok(())
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
    how: Grouping,
    runs: Vec<Run<'_, P>>,
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
            take(how, &mut group, top)?;
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
fn take<P>(how: Grouping, group: &mut Group<P>, head: &Head<'_, P>) -> Result<()> {
    let Grouping {
        identity,
        keep,
        start,
    } = how;
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
    if keep.takes(identity, step, group.step, group.last.is_some()) {
        group.last = Some((Rc::clone(&head.batch), head.index));
    } else if keep == Keep::Last && identity == Identity::Key {
        group.last = None;
    }
    Ok(())
}

pub(crate) fn printable(key: &[u8]) -> String {
    let mut text = hex::encode(key.get(..64).unwrap_or(key));
    if key.len() > 64 {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;
