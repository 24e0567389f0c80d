//! Which rows count, for boundaries everywhere around prepared transactions.

use super::*;
use crate::manifest::tests::samples;
use crate::manifest::{DecidedXa, OpenXa};

pub(in crate::restore) fn open(seq: i64) -> OpenXa {
    OpenXa {
        xid: seq.to_string().into_bytes(),
        seq: Seq(seq),
        object: String::new(),
    }
}

fn decided(prepared: i64, seq: i64, committed: bool) -> DecidedXa {
    DecidedXa {
        prepared: Seq(prepared),
        seq: Seq(seq),
        committed,
    }
}

fn segment(first: i64, last: i64, lists: (&[DecidedXa], &[i64], &[i64])) -> Arc<SegmentManifest> {
    let mut segment = samples::segment();
    (segment.seq_first, segment.seq_last) = (Seq(first), Seq(last));
    segment.xa_decided = lists.0.to_vec();
    segment.open_xa = lists.1.iter().copied().map(open).collect();
    segment.undone = lists.2.iter().copied().map(Seq).collect();
    Arc::new(segment)
}

pub(in crate::restore) fn xa_commit(seq: i64, prepared: i64) -> TransactionRow {
    TransactionRow {
        xa_seq: Some(Seq(prepared)),
        ..TransactionRow::empty(
            Seq(seq),
            EntryKind::Transaction(TransactionKind::XaCommit),
            0,
        )
    }
}

/// Entries 11-30 in two segments. Prepared and decided: 5 -> 15, 7 -> 25, 12 -> 18 (told by
/// its entry only), 13 -> rolled back at 22; 8 and 27 stay open; 24 ended with ROLLBACK.
fn counting() -> Counting {
    let segments = [
        segment(11, 20, (&[decided(5, 15, true)], &[7, 8, 13], &[])),
        segment(
            21,
            30,
            (
                &[decided(13, 22, false), decided(7, 25, true)],
                &[8, 27],
                &[24],
            ),
        ),
    ];
    Counting::new(&samples::base(), &segments, &[xa_commit(18, 12)])
}

#[test]
fn rows_count_from_the_entry_that_commits_them() {
    let counting = counting();
    let commits = |seq: i64| match seq {
        5 => Some(15),
        7 => Some(25),
        12 => Some(18),
        8 | 13 | 24 | 27 => None,
        other => Some(other),
    };
    for after in 0..30 {
        for through in after..=30 {
            for seq in 1..=30 {
                let wanted = commits(seq).is_some_and(|at| at > after && at <= through);
                let found = counting.takes(Seq(seq), Seq(after), Seq(through));
                assert_eq!(found, wanted, "{seq} in ({after}, {through}]");
            }
        }
    }
}

#[test]
fn the_base_comes_before_what_was_prepared_before_it() {
    let counting = counting();
    let back = |after: i64, through: i64| -> Vec<i64> {
        let seqs = counting.reaching_back(Seq(after), Seq(through));
        seqs.map(|seq| seq.0).collect()
    };
    assert_eq!(back(10, 30), [5, 7]);
    assert_eq!(back(10, 24), [5]);
    assert_eq!(back(10, 14), [0_i64; 0]);
    assert_eq!(back(14, 30), [5, 7, 12]);
    assert_eq!(back(15, 30), [7, 12]);
    assert_eq!(counting.place_of_base(Seq(10), Seq(30)), Seq(4));
    assert_eq!(counting.place_of_base(Seq(15), Seq(30)), Seq(6));
    assert_eq!(counting.place_of_base(Seq(25), Seq(30)), Seq(25));
    for (range, wanted) in [
        ((1, 4), false),
        ((1, 5), true),
        ((6, 6), false),
        ((6, 9), true),
    ] {
        let range = (Seq(range.0), Seq(range.1));
        assert_eq!(
            counting.reach_into(range, Seq(10), Seq(30)),
            wanted,
            "{range:?}"
        );
    }
}

#[test]
fn what_is_undecided_at_the_cut_is_named() {
    let counting = counting();
    let at = |cut: i64| -> Vec<i64> {
        let seqs = counting.undecided_at(Seq(cut));
        seqs.iter().map(|seq| seq.0).collect()
    };
    assert_eq!(at(11), [5, 7, 8]);
    assert_eq!(at(13), [5, 7, 8, 12, 13]);
    assert_eq!(at(18), [7, 8, 13]);
    assert_eq!(at(24), [7, 8]);
    assert_eq!(at(30), [8, 27]);
    // At the base itself no segment is read.
    let mut base = samples::base();
    base.open_xa = vec![open(3)];
    let none = Counting::new(&base, &[], &[]);
    assert_eq!(none.undecided_at(Seq(9)), [Seq(3)]);
    assert!(!none.takes(Seq(3), Seq(2), Seq(9)));
}
