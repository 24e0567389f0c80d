//! Histories with XA transactions that are open over other work, and with changes that were undone
//! by going back to a savepoint.

use super::*;
use crate::manifest::tests::samples;
use crate::manifest::{DecidedXa, UndoneRows};
use crate::restore::xa::tests::{open, xa_commit};
use std::collections::BTreeSet;

type Wishes = Vec<(i32, i32, bool)>;

/// A prepared transaction: its entry, its changes, the rows that it holds.
struct Prepared {
    seq: Seq,
    changes: Vec<(i32, Op, i32)>,
    held: BTreeSet<i32>,
}

#[derive(Default)]
struct Story {
    log: Log,
    /// What counts after each entry, from none on.
    states: Vec<State>,
    now: BTreeMap<i32, i32>,
    prepared: Vec<Prepared>,
    decided: Vec<DecidedXa>,
    undone: Vec<UndoneRows>,
}

impl Story {
    fn of(steps: &[(u8, Wishes)]) -> Story {
        let mut story = Story::default();
        story.states.push(State::new());
        for (kind, wishes) in steps {
            let entry = story.step(*kind, wishes);
            story.log.push(entry);
            let counts = story.now.iter().map(|(id, value)| ((*id, *value), 1));
            story.states.push(counts.collect());
        }
        story
    }

    fn step(&mut self, kind: u8, wishes: &Wishes) -> Vec<(i32, Op, i32)> {
        let seq = Seq(self.log.len() as i64 + 1);
        let mut now = self.now.clone();
        match kind {
            0..=3 => {
                let changes = self.changes(&mut now, wishes);
                self.now = now;
                changes
            }
            4 | 5 => {
                let changes = self.changes(&mut now, wishes);
                self.prepared.push(Prepared {
                    seq,
                    held: changes.iter().map(|(id, ..)| *id).collect(),
                    changes: changes.clone(),
                });
                changes
            }
            6 => {
                let (kept, gone) = wishes.split_at(wishes.len() / 2);
                let mut changes = self.changes(&mut now, &kept.to_vec());
                self.now = now.clone();
                let gone = self.changes(&mut now, &gone.to_vec());
                let ordinals = |changes: &[(i32, Op, i32)]| {
                    let whole = changes.iter().filter(|(_, op, _)| *op != Op::UpdateAfter);
                    whole.count() as i64
                };
                let first = ordinals(&changes);
                let end = first + ordinals(&gone);
                if first < end {
                    self.undone.push(UndoneRows { seq, first, end });
                }
                changes.extend(gone);
                changes
            }
            _ if self.prepared.is_empty() => Vec::new(),
            _ => {
                let index = wishes.len() % self.prepared.len();
                let one = self.prepared.swap_remove(index);
                let committed = kind == 7;
                self.decided.push(DecidedXa {
                    prepared: one.seq,
                    seq,
                    committed,
                });
                for (id, op, value) in one.changes.iter().filter(|_| committed) {
                    match op.is_present_after() {
                        true => drop(self.now.insert(*id, *value)),
                        false => drop(self.now.remove(id)),
                    }
                }
                Vec::new()
            }
        }
    }

    /// Changes of rows that nobody holds.
    fn changes(&self, now: &mut BTreeMap<i32, i32>, wishes: &Wishes) -> Vec<(i32, Op, i32)> {
        let held = |id: &i32| self.prepared.iter().any(|one| one.held.contains(id));
        let mut changes = Vec::new();
        for (id, value, delete) in wishes.iter().filter(|(id, ..)| !held(id)) {
            match now.get(id).copied() {
                None => changes.push((*id, Op::Insert, *value)),
                Some(former) if *delete => changes.push((*id, Op::Delete, former)),
                Some(former) => changes.extend([
                    (*id, Op::UpdateBefore, former),
                    (*id, Op::UpdateAfter, *value),
                ]),
            }
            match *delete && now.contains_key(id) {
                true => drop(now.remove(id)),
                false => drop(now.insert(*id, *value)),
            }
        }
        changes
    }

    /// As manifests and entries tell it.
    fn counting(&self) -> Arc<Counting> {
        let mut segment = samples::segment();
        (segment.seq_first, segment.seq_last) = (Seq(1), Seq(self.log.len() as i64));
        let (committed, rolled_back): (Vec<_>, Vec<_>) =
            self.decided.iter().partition(|xa| xa.committed);
        segment.xa_decided = rolled_back;
        segment.open_xa = self.prepared.iter().map(|one| open(one.seq.0)).collect();
        segment.undone_rows.clone_from(&self.undone);
        let entries = committed
            .iter()
            .map(|xa| xa_commit(xa.seq.0, xa.prepared.0));
        let entries: Vec<_> = entries.collect();
        let base = samples::base();
        Arc::new(Counting::new(&base, &[Arc::new(segment)], &entries))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rows_count_from_their_decision_on_or_never(
        steps in prop::collection::vec(
            (0..9u8, prop::collection::vec((-9..9i32, 0..5i32, any::<bool>()), 1..6)),
            1..80,
        ),
        segment in 1..20usize,
        base in 0..1000usize,
        rest in 0..1000usize,
        keyed in any::<bool>(),
    ) {
        let story = Story::of(&steps);
        let base = base % (story.log.len() + 1);
        let cut = base + rest % (story.log.len() + 1 - base);
        let case = Case {
            keyed,
            is_sequence: false,
            log: &story.log,
            found: story.states[base].clone(),
            counting: story.counting(),
            segment,
        };
        let state = fold_files(case, (base, cut, cut)).expect("fold");
        prop_assert_eq!(&state, &story.states[cut]);
    }
}
