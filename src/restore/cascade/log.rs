//! What happened to the rows that a foreign key refers to.
//!
//! One [`CascadeLog`] per foreign key: by value, the changes of the parent that the engine passed
//! on to the children without logging them, in order.

use super::value::MatchKey;
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::restore::xa::Span;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seq, and ordinal of the change in the transaction.
pub(in crate::restore) type Place = (i64, i64);

/// Bytes that all logs of a restore may hold.
pub(super) const BYTES_MAX: u64 = 256 << 20;
/// Bytes that an event takes besides its key and cells, about: tree, list and allocations.
const EVENT_BYTES: u64 = 96;

/// What a change of the parent does to a row that refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The row is deleted.
    Delete,
    /// All columns of the foreign key become NULL.
    SetNull,
    /// These parts of the foreign key get new cells (`None`: NULL), as the child has them.
    Update(Vec<(usize, Option<Vec<u8>>)>),
}

/// Memory that several logs share.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Arc<AtomicU64>,
}

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: u64) -> Budget {
        Budget {
            left: Arc::new(AtomicU64::new(bytes)),
        }
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when there is not so much left.
    fn take(&self, bytes: u64) -> Result<()> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_ok() {
            return Ok(());
        }
        Err(Error::gap("derive cascades: they do not fit into memory")
            .field("bytes_max", BYTES_MAX)
            .hint(
                "restore to an earlier moment, or to one soon after the next base: fewer rows \
                     of parents were deleted or got other keys until then",
            ))
    }

    fn give(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Bytes taken from a budget, given back when they are dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Budget,
    bytes: u64,
}

impl Held {
    /// None yet.
    pub(super) fn new(budget: &Budget) -> Held {
        Held {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// Takes more.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when there is not so much left.
    pub(super) fn add(&mut self, bytes: u64) -> Result<()> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives some back.
    pub(super) fn give(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.budget.give(bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

/// The changes of one parent that one foreign key passed on.
#[derive(Debug)]
pub(super) struct CascadeLog {
    events: BTreeMap<Vec<u8>, Vec<(Place, Action)>>,
    /// Places of events by the sure part of their key, where it is not sure as a whole.
    unsure: BTreeMap<Vec<u8>, Vec<Place>>,
    held: Held,
}

impl PartialEq for CascadeLog {
    fn eq(&self, other: &CascadeLog) -> bool {
        self.events == other.events
    }
}

impl CascadeLog {
    /// An empty log.
    pub(super) fn new(budget: &Budget) -> CascadeLog {
        CascadeLog {
            events: BTreeMap::new(),
            unsure: BTreeMap::new(),
            held: Held::new(budget),
        }
    }

    /// Whether nothing happened.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The place of the first event.
    pub(super) fn first(&self) -> Option<Place> {
        self.places().min()
    }

    /// The places of all events.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.events.values().flatten().map(|(at, _)| *at)
    }

    /// Whether there is such an action.
    pub(super) fn any(&self, is: impl Fn(&Action) -> bool) -> bool {
        let mut events = self.events.values().flatten();
        events.any(|(_, action)| is(action))
    }

    /// Whether anything happened between two states.
    pub(super) fn any_within(&self, span: &Span) -> bool {
        let mut places = self.places();
        places.any(|(seq, _)| span.takes(Seq(seq)))
    }

    /// Notes an event; [`sort`](Self::sort) comes after the last one.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when there is not so much left.
    pub(super) fn push(&mut self, key: MatchKey, at: Place, action: Action) -> Result<()> {
        let cells = match &action {
            Action::Update(cells) => cells
                .iter()
                .map(|(_, cell)| 48 + cell.as_ref().map_or(0, Vec::len) as u64)
                .sum(),
            _ => 0,
        };
        self.held
            .add(EVENT_BYTES + key.bytes.len() as u64 + cells)?;
        if let Some(sure) = key.sure {
            let prefix = key.bytes.get(..sure).unwrap_or_default();
            self.held.add(EVENT_BYTES + prefix.len() as u64)?;
            self.unsure.entry(prefix.to_vec()).or_default().push(at);
        }
        self.events.entry(key.bytes).or_default().push((at, action));
        Ok(())
    }

    /// Puts the events of every value in order. Rows of the parent with the same value that were
    /// changed alike by one cascade are one event.
    ///
    /// # Errors
    /// The place at which two of them were not changed alike: their order is not known.
    pub(super) fn sort(&mut self) -> Result<(), Place> {
        for list in self.events.values_mut() {
            list.sort_by_key(|(at, _)| *at);
            list.dedup();
            let mut pairs = list.iter().zip(list.iter().skip(1));
            if let Some((a, _)) = pairs.find(|(a, b)| a.0 == b.0) {
                return Err(a.0);
            }
        }
        self.unsure.values_mut().for_each(|list| list.sort());
        Ok(())
    }

    /// The first event of a value within `window`.
    ///
    /// # Errors
    /// The place of an event before it whose value may be the same.
    pub(super) fn next(
        &self,
        key: &MatchKey,
        window: (Bound<Place>, Bound<Place>),
    ) -> Result<Option<(Place, &Action)>, Place> {
        use std::ops::RangeBounds;
        let first = self.events.get(&key.bytes).and_then(|list| {
            let start = list.partition_point(|(at, _)| match window.0 {
                Bound::Excluded(from) => *at <= from,
                Bound::Included(from) => *at < from,
                Bound::Unbounded => false,
            });
            let (at, action) = list.get(start)?;
            window.contains(at).then_some((*at, action))
        });
        let until = first.map_or(window.1, |(at, _)| Bound::Excluded(at));
        let doubted = self.doubt(key, (window.0, until));
        doubted.map_or(Ok(first), Err)
    }

    /// An event within `window` whose value may be the same without having the same bytes.
    fn doubt(&self, key: &MatchKey, window: (Bound<Place>, Bound<Place>)) -> Option<Place> {
        use std::ops::RangeBounds;
        if let Some(sure) = key.sure {
            let prefix = key.bytes.get(..sure).unwrap_or_default();
            let alike = self
                .events
                .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
                .take_while(|(other, _)| other.starts_with(prefix))
                .filter(|(other, _)| **other != key.bytes);
            let mut places = alike.flat_map(|(_, list)| list.iter().map(|(at, _)| *at));
            if let Some(at) = places.find(|at| window.contains(at)) {
                return Some(at);
            }
        }
        if self.unsure.is_empty() {
            return None;
        }
        let own = self.events.get(&key.bytes).map_or(&[][..], Vec::as_slice);
        let is_own = |at: &Place| own.iter().any(|(own, _)| own == at);
        (0..=key.bytes.len())
            .filter_map(|end| self.unsure.get(key.bytes.get(..end)?))
            .flatten()
            .copied()
            .find(|at| window.contains(at) && !is_own(at))
    }
}
