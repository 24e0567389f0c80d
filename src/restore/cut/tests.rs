//! Cuts of made-up windows, and by time against the definition.

use super::*;
use crate::change::TransactionKind;
use crate::error::ErrorKind;
use proptest::prelude::*;

const S: i64 = 1_000_000;

fn gtid(n: u64) -> Gtid {
    format!("0-1-{n}").parse().expect("gtid")
}

fn row(seq: i64, commit: Option<(i64, i64, i64)>) -> TransactionRow {
    let kind = match commit {
        Some(_) => EntryKind::Transaction(TransactionKind::Transaction),
        None => EntryKind::Idle,
    };
    TransactionRow {
        gtid: commit.map(|_| gtid(seq as u64)),
        commit: commit.map(|(at_us, lo_us, hi_us)| CommitTime {
            at_us,
            lo_us,
            hi_us,
            source: CommitTimeSource::Immediate,
        }),
        end: commit.map(|_| BinlogPosition::new("b.000009", seq as u64 * 100)),
        ..TransactionRow::empty(Seq(seq), kind, 0)
    }
}

fn exact(times: &[Option<i64>]) -> Vec<TransactionRow> {
    let commit = |t: &Option<i64>| t.map(|t| (t, t, t));
    times
        .iter()
        .enumerate()
        .map(|(i, t)| row(i as i64 + 1, commit(t)))
        .collect()
}

#[test]
fn a_time_between_two_commits_keeps_the_marks_between_them() {
    let window = exact(&[Some(10 * S), None, Some(20 * S), Some(20 * S), Some(30 * S)]);
    for (at, kept) in [
        (9 * S, 0),
        (10 * S, 2),
        (19 * S, 2),
        (20 * S, 4),
        (99 * S, 5),
    ] {
        assert_eq!(by_time(&window, at, None).expect("sure"), kept, "{at}");
    }
    let cut = cut(
        &window,
        2,
        Seq(0),
        "0-1-0".parse().map(GtidSet::MariaDb).expect("set"),
    );
    let cut = cut.expect("cut");
    assert_eq!(cut.seq, Seq(2));
    assert_eq!(cut.gtids.to_string(), "0-1-1");
    assert_eq!(cut.last.expect("last").seq, Seq(1));
    assert_eq!(
        cut.first_left_out.expect("next").commit_time_us,
        Some(20 * S)
    );
}

#[test]
fn a_wide_commit_time_needs_an_edge_only_when_it_straddles() {
    let commits = [
        (10 * S, 9 * S, 10 * S),
        (15 * S, 12 * S, 18 * S),
        (30 * S, 29 * S, 30 * S),
    ];
    let window: Vec<_> = (1..)
        .zip(commits)
        .map(|(seq, c)| row(seq, Some(c)))
        .collect();
    assert_eq!(by_time(&window, 11 * S, None).expect("before it"), 1);
    assert_eq!(by_time(&window, 18 * S, None).expect("after it"), 2);
    // Less than a second of doubt is not asked about.
    assert_eq!(by_time(&window, 29 * S + 5, None).expect("narrow"), 2);
    let error = by_time(&window, 13 * S, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.get("before").is_some_and(|t| t.starts_with("seq 1 ")),
        "{error}"
    );
    assert!(
        error.get("after").is_some_and(|t| t.starts_with("seq 2 ")),
        "{error}"
    );
    assert_eq!(
        by_time(&window, 13 * S, Some(Edge::Before)).expect("low"),
        1
    );
    assert_eq!(
        by_time(&window, 13 * S, Some(Edge::After)).expect("high"),
        2
    );
}

#[test]
fn a_clock_that_stepped_back_needs_an_edge() {
    let window = exact(&[Some(10 * S), Some(100 * S), Some(20 * S), Some(110 * S)]);
    assert!(by_time(&window, 50 * S, None).is_err());
    assert_eq!(
        by_time(&window, 50 * S, Some(Edge::Before)).expect("low"),
        1
    );
    assert_eq!(
        by_time(&window, 50 * S, Some(Edge::After)).expect("high"),
        3
    );
    assert_eq!(by_time(&window, 105 * S, None).expect("beyond the step"), 3);
    // Commits of one group are out of order by a little; that is no step.
    let group = exact(&[Some(10 * S), Some(11 * S), Some(11 * S - 50), Some(12 * S)]);
    assert_eq!(by_time(&group, 11 * S - 20, None).expect("prefix"), 1);
}

proptest! {
    #[test]
    fn by_time_is_the_longest_prefix(
        times in prop::collection::vec(prop::option::of(0..400_000i64), 0..12),
        at in 0..400_000i64,
    ) {
        // All within a second: the plain rule.
        let window = exact(&times);
        let kept = by_time(&window, at, None).expect("sure");
        let fits = |n: usize| times[..n].iter().flatten().all(|t| *t <= at);
        prop_assert!(fits(kept));
        prop_assert!((kept + 1..=times.len()).all(|n| !fits(n)));
        let low = by_time(&window, at, Some(Edge::Before)).expect("low");
        let high = by_time(&window, at, Some(Edge::After)).expect("high");
        prop_assert!(low == kept && high >= kept);
        prop_assert!(times[high..].iter().flatten().all(|t| *t > at));
    }
}

#[test]
fn gtids_and_positions_name_the_last_transaction() {
    let window = exact(&[Some(1), None, Some(3), Some(4)]);
    assert_eq!(by_gtid(&window, &gtid(3), false), Some(3));
    assert_eq!(by_gtid(&window, &gtid(3), true), Some(2));
    assert_eq!(by_gtid(&window, &gtid(2), false), None);
    for (offset, kept, strictly) in [
        (50, 0, 0),
        (100, 2, 0),
        (299, 2, 2),
        (300, 3, 2),
        (900, 4, 4),
    ] {
        let position = BinlogPosition::new("b.000009", offset);
        assert_eq!(
            by_position(&window, &position, false).expect("one server"),
            kept
        );
        assert_eq!(
            by_position(&window, &position, true).expect("one server"),
            strictly
        );
    }
    assert!(by_position(&window, &BinlogPosition::new("other.000009", 5), false).is_err());
}

#[test]
fn a_gtid_set_must_be_a_prefix() {
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let set = |text: &str| GtidSet::MySql(text.replace('U', uuid).parse().expect("set"));
    let mut window = exact(&[Some(1), Some(2), None, Some(3)]);
    for (row, n) in window.iter_mut().zip([1, 3, 0, 2]) {
        row.gtid = (n > 0).then(|| format!("{uuid}:{n}").parse().expect("gtid"));
    }
    let find = |text: &str| {
        by_gtid_set(
            &window,
            &GtidSet::empty(set("").flavor()),
            &set(text),
            false,
        )
    };
    assert_eq!(find("").expect("empty"), 0);
    assert_eq!(find("U:1").expect("first"), 1);
    assert_eq!(find("U:1:3").expect("two"), 2);
    assert_eq!(find("U:1-3").expect("all"), 4);
    assert_eq!(find("U:1-2").unwrap_err().get("seq"), Some("4"));
    assert_eq!(find("U:9").unwrap_err().kind(), ErrorKind::Gap);
}
