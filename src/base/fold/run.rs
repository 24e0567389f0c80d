//! Runs: what a fold merges.

use crate::change::Op;
use crate::error::Result;
use crate::position::Seq;
use std::ops::RangeInclusive;

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

/// Which image of a row is kept where several entries become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The row as the stretch leaves it.
    Last,
    /// The row as it was before the stretch: the first image of it that vanished.
    First,
}

impl Keep {
    /// Whether the image of an entry with `step` becomes that of the whole, whose step including
    /// it is `all`; `has` says whether the whole has one already.
    #[must_use]
    pub fn takes(self, identity: Identity, step: Step, all: Step, has: bool) -> bool {
        match self {
            Keep::Last => step.carries_row(identity),
            Keep::First => !has && step.need > 0 && all.need > 0,
        }
    }

    /// Whether an entry with this step has an image.
    #[must_use]
    pub fn has_image(self, identity: Identity, step: Step) -> bool {
        match self {
            Keep::Last => step.carries_row(identity),
            Keep::First => step.need > 0,
        }
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
    pub(super) batches: Box<dyn Iterator<Item = Result<RunBatch<P>>> + 'a>,
    pub(super) counted: RangeInclusive<i64>,
}

impl<P> std::fmt::Debug for Run<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}

impl<'a, P> Run<'a, P> {
    /// A run whose entries all count: rows of a base, or what [`merge`](super::merge) condensed.
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
