//! From where rows count that do not count where they are logged.
//!
//! The rows of an XA transaction stand at its XA PREPARE and count from its XA COMMIT on; rows of
//! a transaction that ended with ROLLBACK never count, nor those it undid by going back to a
//! savepoint. Pure: told by manifests, and by the entries
//! of the segments in which a boundary of the restore lies ([`read`] fetches those).
//!
//! **Order.** A fold takes rows in the order of the entries they stand at, not of those that
//! decide them, and comes to the same state: from before the XA PREPARE until the decision the
//! engine holds a lock on every row concerned, so no other entry about that row lies between the
//! two. (Rows without a key are counted, not replaced: a copy more for a while changes nothing,
//! and a copy less is one that the lock kept from everybody else.) So the files, sorted by key
//! and then by entry, are in order as they are. Only the base is the other way round: its rows
//! were read after an XA PREPARE that is older than it and still open. [`Counting::place_of_base`]
//! puts them before it.

mod read;

pub(super) use read::{Boundaries, entries};

use crate::change::TransactionKind;
use crate::manifest::{BaseManifest, FileEntry, SegmentManifest};
use crate::position::Seq;
use crate::segment::{EntryKind, TransactionRow};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of the rows of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They count from this entry on.
    Committed(Seq),
    /// They never count, from this entry on it is known.
    Undone(Seq),
    /// Prepared, and not decided in what was read.
    Open,
}

/// Which rows of change files count.
#[derive(Clone, Debug, Default)]
pub(super) struct Counting {
    /// Entries that are not what they seem; all others count where they stand.
    fates: BTreeMap<Seq, Fate>,
    /// Changes that were undone within their transaction: ordinals from, and up to before.
    undone_rows: BTreeMap<Seq, Vec<(i64, i64)>>,
    /// Segments before those of the restore, with rows that are decided within it.
    earlier: Vec<Arc<SegmentManifest>>,
}

impl Counting {
    /// As these say it: the base, the manifests of the segments after it in order, and the
    /// entries of every segment in which a boundary lies (a moment at which a table's base files
    /// are exact, or the cut).
    pub(super) fn new(
        base: &BaseManifest,
        segments: &[Arc<SegmentManifest>],
        entries: &[TransactionRow],
    ) -> Counting {
        let mut fates = BTreeMap::new();
        for segment in segments {
            for xa in &segment.xa_decided {
                let fate = match xa.committed {
                    true => Fate::Committed(xa.seq),
                    false => Fate::Undone(xa.seq),
                };
                fates.insert(xa.prepared, fate);
            }
            fates.extend(segment.undone.iter().map(|seq| (*seq, Fate::Undone(*seq))));
        }
        let open = segments.last().map_or(&base.open_xa, |last| &last.open_xa);
        fates.extend(open.iter().map(|xa| (xa.seq, Fate::Open)));
        for row in entries {
            if let (EntryKind::Transaction(TransactionKind::XaCommit), Some(prepared)) =
                (row.kind, row.xa_seq)
            {
                fates.insert(prepared, Fate::Committed(row.seq));
            }
        }
        let mut counting = Counting {
            fates,
            ..Counting::default()
        };
        segments.iter().for_each(|s| counting.leave_out(s));
        counting
    }

    /// Leaves out what transactions of a segment undid themselves.
    fn leave_out(&mut self, segment: &SegmentManifest) {
        for rows in &segment.undone_rows {
            let ranges = self.undone_rows.entry(rows.seq).or_default();
            ranges.push((rows.first, rows.end));
        }
    }

    /// As [`takes`](Self::takes), for the change that stands at `row` of the entry.
    pub(super) fn takes_row(&self, (seq, row): (Seq, i64), after: Seq, through: Seq) -> bool {
        let undone = self.undone_rows.get(&seq).is_some_and(|ranges| {
            let at = ranges.partition_point(|(_, end)| *end <= row);
            ranges.get(at).is_some_and(|(first, _)| *first <= row)
        });
        !undone && self.takes(seq, after, through)
    }

    /// Whether rows that stand at `seq` are to be applied to a state as of `after` to make it
    /// one as of `through`.
    pub(super) fn takes(&self, seq: Seq, after: Seq, through: Seq) -> bool {
        let counts = match self.fates.get(&seq) {
            None => seq,
            Some(Fate::Committed(commit)) => *commit,
            Some(Fate::Undone(_) | Fate::Open) => return false,
        };
        counts > after && counts <= through
    }

    /// XA PREPAREs at or before `after` whose rows are taken all the same, oldest first.
    pub(super) fn reaching_back(&self, after: Seq, through: Seq) -> impl Iterator<Item = Seq> {
        let prepared = self.fates.range(..=after).map(|(seq, _)| *seq);
        prepared.filter(move |seq| self.takes(*seq, after, through))
    }

    /// The last place that a row of the base may have in the order of the fold: before all that
    /// is applied to it.
    pub(super) fn place_of_base(&self, after: Seq, through: Seq) -> Seq {
        let oldest = self.reaching_back(after, through).next();
        oldest.map_or(after, Seq::prev)
    }

    /// Whether a file whose rows stand at entries of `range` has some that are taken though they
    /// stand at or before `after`.
    pub(super) fn reach_into(&self, range: (Seq, Seq), after: Seq, through: Seq) -> bool {
        self.reaching_back(after, through)
            .any(|seq| range.0 <= seq && seq <= range.1)
    }

    /// Whether a change file may have rows that are taken.
    pub(super) fn reads(&self, file: &FileEntry, after: Seq, through: Seq) -> bool {
        let stands = file.seq_last > after && file.seq_first <= through;
        stands || self.reach_into((file.seq_first, file.seq_last), after, through)
    }

    /// Segments before those of the restore in which rows stand that count in it.
    pub(super) fn earlier(&self) -> &[Arc<SegmentManifest>] {
        &self.earlier
    }

    /// XA transactions that are prepared and undecided at the cut, oldest first.
    pub(super) fn undecided_at(&self, cut: Seq) -> Vec<Seq> {
        let open = self.fates.range(..=cut).filter(|(_, fate)| match fate {
            Fate::Committed(seq) | Fate::Undone(seq) => *seq > cut,
            Fate::Open => true,
        });
        open.map(|(seq, _)| *seq).collect()
    }
}

/// What makes a state as of one entry one as of another.
#[derive(Clone, Debug)]
pub(super) struct Span {
    counting: Arc<Counting>,
    after: Seq,
    through: Seq,
}

impl Span {
    /// From the state as of `after` to the one as of `through`.
    pub(super) fn new(counting: &Arc<Counting>, after: Seq, through: Seq) -> Span {
        Span {
            counting: Arc::clone(counting),
            after,
            through,
        }
    }

    /// The entry of the state before.
    pub(super) fn after(&self) -> Seq {
        self.after
    }

    /// The entry of the state that it leads to.
    pub(super) fn through(&self) -> Seq {
        self.through
    }

    /// As [`Counting::takes`].
    pub(super) fn takes(&self, seq: Seq) -> bool {
        self.counting.takes(seq, self.after, self.through)
    }

    /// As [`Counting::takes_row`].
    pub(super) fn takes_row(&self, seq: Seq, row: i64) -> bool {
        self.counting
            .takes_row((seq, row), self.after, self.through)
    }

    /// As [`Counting::place_of_base`].
    pub(super) fn place_of_base(&self) -> Seq {
        self.counting.place_of_base(self.after, self.through)
    }

    /// As [`Counting::reads`].
    pub(super) fn reads(&self, file: &FileEntry) -> bool {
        self.counting.reads(file, self.after, self.through)
    }
}

#[cfg(test)]
pub(super) mod tests;
