//! Every way in which a manifest may fail to follow, and what gaps leave of the cover.

use super::*;
use crate::error::ErrorKind;
use crate::manifest::tests::samples::{base, gtids, segment, timeline};
use crate::manifest::{CommitTimes, DecidedXa, Mark};

fn hash() -> Sha256 {
    Sha256::of(b"stored")
}

/// A manifest of one transaction that follows the sample (which ends at entry 9).
fn next() -> SegmentManifest {
    let mut next = segment();
    (next.seq_first, next.seq_last) = (Seq(10), Seq(10));
    next.prev_sha256 = Some(hash());
    next.gtids_added = gtids("11");
    next.gtids_through = gtids("1-5:7-11");
    next.transactions = 1;
    next.marks.clear();
    next
}

#[test]
fn whatever_does_not_follow_is_refused() {
    type Change = fn(&mut SegmentManifest);
    let changes: [(ErrorKind, Change); 9] = [
        (ErrorKind::Corrupt, |m| m.timeline = 2),
        (ErrorKind::Gap, |m| m.seq_first = Seq(11)),
        (ErrorKind::Corrupt, |m| m.seq_first = Seq(9)),
        (ErrorKind::Corrupt, |m| m.prev_sha256 = None),
        (ErrorKind::Corrupt, |m| {
            m.prev_sha256 = Some(Sha256::of(b"x"))
        }),
        (ErrorKind::Corrupt, |m| m.epoch = 2),
        (ErrorKind::Corrupt, |m| m.commit_time.max_us = Some(0)),
        (ErrorKind::Corrupt, |m| m.covered_through_us = None),
        (ErrorKind::Corrupt, |m| m.gtids_through = gtids("2-5:7-11")),
    ];
    let kind = |m: &SegmentManifest| follows(&segment(), &hash(), m).map_err(|e| e.kind());
    assert_eq!(kind(&next()), Ok(()));
    for (expected, change) in changes {
        let mut changed = next();
        change(&mut changed);
        assert_eq!(kind(&changed), Err(expected), "{changed:?}");
    }
    let mut late = next();
    late.seq_first = Seq(15);
    let error = follows(&segment(), &hash(), &late).expect_err("a hole");
    let edges = (error.get("seq_first"), error.get("seq_last"));
    assert_eq!(edges, (Some("10"), Some("14")), "both edges are named");
}

#[test]
fn prepared_transactions_are_handed_on() {
    type Change = fn(&mut SegmentManifest);
    let decided = |committed| DecidedXa {
        prepared: Seq(3),
        seq: Seq(10),
        committed,
    };
    let check = |change: &dyn Fn(&mut SegmentManifest)| {
        let mut next = next();
        change(&mut next);
        follows(&segment(), &hash(), &next).map_err(|e| e.kind())
    };
    for committed in [true, false] {
        let ends = |m: &mut SegmentManifest| {
            m.open_xa.clear();
            m.xa_decided.push(decided(committed));
        };
        assert_eq!(check(&ends), Ok(()));
    }
    let begins = |m: &mut SegmentManifest| {
        let mut new = m.open_xa[0].clone();
        new.seq = Seq(10);
        m.open_xa.push(new);
    };
    assert_eq!(check(&begins), Ok(()));
    let wrong: [Change; 4] = [
        |m| m.open_xa.clear(),
        |m| m.open_xa[0].seq = Seq(2),
        |m| {
            m.xa_decided.push(DecidedXa {
                prepared: Seq(2),
                seq: Seq(10),
                committed: true,
            })
        },
        |m| {
            m.xa_decided.push(DecidedXa {
                prepared: Seq(3),
                seq: Seq(10),
                committed: true,
            })
        },
    ];
    for change in wrong {
        assert_eq!(check(&change), Err(ErrorKind::Corrupt));
    }
}

#[test]
fn a_timeline_starts_where_it_says() {
    let timeline = timeline();
    let mut first = segment();
    first.timeline = timeline.timeline;
    (first.seq_first, first.seq_last) = (Seq(78), Seq(80));
    first.prev_sha256 = timeline.parent.map(|fork| fork.sha256);
    starts(&timeline, &first).expect("the branch links to its parent");
    first.prev_sha256 = None;
    assert_eq!(
        starts(&timeline, &first).expect_err("no link").kind(),
        ErrorKind::Corrupt
    );
    first.seq_first = Seq(79);
    assert_eq!(
        starts(&timeline, &first).expect_err("a hole").kind(),
        ErrorKind::Gap
    );
    first.timeline = 1;
    assert_eq!(
        starts(&timeline, &first).expect_err("another").kind(),
        ErrorKind::Corrupt
    );
}

fn stretch(seq_first: i64, seq_last: i64, gap_at: Option<i64>) -> SegmentManifest {
    let us = |seq: i64| Some(seq * 1_000_000);
    SegmentManifest {
        seq_first: Seq(seq_first),
        seq_last: Seq(seq_last),
        marks: gap_at
            .map(|seq| Mark {
                seq: Seq(seq),
                kind: MarkKind::Gap {
                    missing: None,
                    from: None,
                    to: None,
                },
            })
            .into_iter()
            .collect(),
        commit_time: CommitTimes {
            first_us: us(seq_first),
            last_us: us(seq_last),
            max_us: us(seq_last),
        },
        covered_through_us: Some(seq_last * 1_000_000 + 500),
        ..segment()
    }
}

fn cover(segments: &[SegmentManifest], bases: &[i64]) -> Cover {
    let mut builder = CoverBuilder::default();
    segments.iter().for_each(|m| builder.add(m));
    let bases: Vec<BaseManifest> = bases
        .iter()
        .map(|&seq| BaseManifest {
            seq: Seq(seq),
            ..base()
        })
        .collect();
    builder.finish(&bases)
}

fn ranges(cover: &Cover) -> Vec<(i64, i64)> {
    let range = |c: &Covered| (c.seq_first.0, c.seq_last.0);
    cover.restorable.iter().map(range).collect()
}

#[test]
fn nothing_is_restorable_without_a_base() {
    let segments = [stretch(1, 10, None), stretch(11, 20, None)];
    assert_eq!(ranges(&cover(&segments, &[])), []);
    assert_eq!(cover(&segments, &[]).seq_last, Some(Seq(20)));
    assert_eq!(cover(&[], &[]), Cover::default());
    let one = cover(&segments, &[15, 4]);
    assert_eq!(
        ranges(&one),
        [(4, 20)],
        "the earliest base serves all after it"
    );
    assert_eq!(one.restorable[0].through_us, Some(20_000_500));
    assert_eq!(
        ranges(&cover(&segments, &[30])),
        [],
        "the log does not reach it"
    );
}

#[test]
fn a_gap_ends_what_the_bases_before_it_serve() {
    let segments = [
        stretch(1, 10, None),
        stretch(11, 11, Some(11)),
        stretch(12, 20, None),
    ];
    let both = cover(&segments, &[4, 15]);
    assert_eq!(ranges(&both), [(4, 10), (15, 20)]);
    assert_eq!(both.restorable[0].through_us, Some(10_000_500));
    assert_eq!(both.gaps.len(), 1);
    assert_eq!(both.gaps[0].from_us, Some(10_000_500));
    assert_eq!(both.gaps[0].to_us, Some(11_000_000));
    assert_eq!(ranges(&cover(&segments, &[4])), [(4, 10)]);
    assert_eq!(ranges(&cover(&segments, &[10, 15])), [(10, 10), (15, 20)]);
    assert_eq!(
        ranges(&cover(&segments, &[11])),
        [(11, 20)],
        "a base at the gap is of the far side"
    );
}
