//! The fold against a model that replays every change into a map.

use super::*;
use crate::change::Op;
use crate::position::Seq;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A change: key, op, value.
type Change = (u8, Op, u32);
/// A transaction: its changes, numbered by their place.
type Transaction = Vec<Change>;
/// Rows of a state: key to values; with a key there is one value, without it equal ones.
type State = BTreeMap<Vec<u8>, Vec<u32>>;

/// What a test row carries: its value.
type Batch = RunBatch<Vec<u32>>;

/// One wished change: key, other key, value, and which kind where there is a choice.
type Wish = (u8, u8, u32, u8);

/// Turns wishes into a history that can happen: insert what is absent, else update (perhaps to
/// another key) or delete.
fn history(wishes: &[Vec<Wish>]) -> Vec<Transaction> {
    let mut present: BTreeMap<u8, u32> = BTreeMap::new();
    let mut log = Vec::new();
    for transaction in wishes {
        let mut changes = Vec::new();
        for &(key, other, value, kind) in transaction {
            let Some(&former) = present.get(&key) else {
                present.insert(key, value);
                changes.push((key, Op::Insert, value));
                continue;
            };
            let moved = if kind % 3 == 1 && !present.contains_key(&other) {
                other
            } else {
                key
            };
            present.remove(&key);
            if kind % 3 == 2 {
                changes.push((key, Op::Delete, former));
                continue;
            }
            present.insert(moved, value);
            changes.push((key, Op::UpdateBefore, former));
            changes.push((moved, Op::UpdateAfter, value));
        }
        log.push(changes);
    }
    log
}

fn key_bytes(key: u8) -> Vec<u8> {
    vec![b'k'; 1 + usize::from(key % 3)]
        .into_iter()
        .chain([key])
        .collect()
}

fn replay(log: &[Transaction], through: usize) -> State {
    let mut state = State::new();
    for (key, op, value) in log.iter().take(through).flatten() {
        let rows = state.entry(key_bytes(*key)).or_default();
        if op.is_present_after() {
            rows.push(*value);
        } else {
            rows.pop();
        }
    }
    state.retain(|_, rows| !rows.is_empty());
    state
}

/// Entries `(key, seq, row, op, value)` of transactions, sorted as a file is.
type Entry = (Vec<u8>, i64, i64, Op, u32);

fn entries(log: &[Transaction], transactions: std::ops::Range<usize>) -> Vec<Entry> {
    let mut list = Vec::new();
    for index in transactions {
        let mut row = -1;
        for (key, op, value) in &log[index] {
            row += i64::from(*op != Op::UpdateAfter);
            list.push((key_bytes(*key), index as i64 + 1, row, *op, *value));
        }
    }
    list.sort();
    list
}

fn batches(list: &[Entry], size: usize) -> Vec<Result<Batch>> {
    let batch = |rows: &[Entry]| {
        let mut keys = Keys::default();
        rows.iter().for_each(|e| keys.push(&e.0));
        Ok(RunBatch {
            keys,
            seqs: rows.iter().map(|e| e.1).collect(),
            rows: rows.iter().map(|e| e.2).collect(),
            steps: rows.iter().map(|e| Step::of(e.3)).collect(),
            payload: rows.iter().map(|e| e.4).collect(),
        })
    };
    list.chunks(size.max(1)).map(batch).collect()
}

fn base_run<'a>(state: &State, seq: i64, size: usize) -> Run<'a, Vec<u32>> {
    let mut list = Vec::new();
    for (key, rows) in state {
        list.extend(rows.iter().map(|v| (key.clone(), seq, 0, Op::Insert, *v)));
    }
    Run::whole(batches(&list, size).into_iter())
}

fn folded(identity: Identity, runs: Vec<Run<'_, Vec<u32>>>) -> Result<State> {
    let mut state = State::new();
    fold(identity, runs, |row| {
        let value = row.payload[row.index];
        let former = state.insert(row.key.to_vec(), vec![value; row.copies as usize]);
        assert!(former.is_none(), "keys come once");
        Ok(())
    })?;
    Ok(state)
}

/// Condenses runs into one, as a spill file would.
fn condense<'a>(identity: Identity, runs: Vec<Run<'_, Vec<u32>>>) -> Result<Run<'a, Vec<u32>>> {
    let mut out = RunBatch {
        keys: Keys::default(),
        seqs: vec![],
        rows: vec![],
        steps: vec![],
        payload: vec![],
    };
    merge(identity, Keep::Last, runs, |f| {
        let carries = f.step.carries_row(identity);
        assert!(f.last.is_some() || !carries, "{:?}", f.step);
        let last = f.last.filter(|_| carries);
        out.keys.push(f.key);
        out.seqs.push(f.seq);
        out.rows.push(f.row);
        out.steps.push(f.step);
        out.payload
            .push(last.map_or(u32::MAX, |(payload, index)| payload[index]));
        Ok(())
    })?;
    Ok(Run::whole([Ok(out)].into_iter()))
}

#[derive(Clone, Debug)]
struct Case {
    log: Vec<Transaction>,
    base: usize,
    cut: usize,
    segment: usize,
    runs_per_segment: usize,
    fan_in: usize,
    batch: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let wish = (0..12u8, 0..12u8, 0..1000u32, 0..3u8);
    let wishes = prop::collection::vec(prop::collection::vec(wish, 0..6), 1..40);
    (
        wishes,
        0..100usize,
        0..100usize,
        1..9usize,
        1..4usize,
        1..5usize,
        1..9usize,
    )
        .prop_map(
            |(wishes, base, rest, segment, runs_per_segment, fan_in, batch)| {
                let log = history(&wishes);
                let base = base % (log.len() + 1);
                let cut = base + rest % (log.len() + 1 - base);
                Case {
                    log,
                    base,
                    cut,
                    segment,
                    runs_per_segment,
                    fan_in,
                    batch,
                }
            },
        )
}

/// The runs of a case: all segments (also those before the base and after the cut), each split
/// into runs, neighbouring segments condensed by `fan_in`.
fn runs<'a>(
    identity: Identity,
    case: &Case,
    log: &[Transaction],
) -> Result<Vec<Run<'a, Vec<u32>>>> {
    let (base, cut) = (Seq(case.base as i64), Seq(case.cut as i64));
    let mut all = vec![base_run(&replay(log, case.base), base.0, case.batch)];
    let mut pending = Vec::new();
    let mut waiting = 0;
    for start in (0..log.len()).step_by(case.segment) {
        let list = entries(log, start..(start + case.segment).min(log.len()));
        for n in 0..case.runs_per_segment {
            let part: Vec<Entry> = list
                .iter()
                .skip(n)
                .step_by(case.runs_per_segment)
                .cloned()
                .collect();
            pending.push(Run::changes(
                base,
                cut,
                batches(&part, case.batch).into_iter(),
            ));
        }
        waiting += 1;
        if waiting == case.fan_in {
            all.push(condense(identity, std::mem::take(&mut pending))?);
            waiting = 0;
        }
    }
    all.append(&mut pending);
    Ok(all)
}

proptest! {
    #[test]
    fn a_fold_equals_replay(case in case()) {
        let runs = runs(Identity::Key, &case, &case.log).expect("runs");
        let state = folded(Identity::Key, runs).expect("fold");
        prop_assert_eq!(state, replay(&case.log, case.cut));
    }

    #[test]
    fn equal_rows_without_a_key_are_counted(case in case()) {
        // Keys become row hashes: twelve different rows, many equal; before and after differ.
        let mut log = case.log.clone();
        for change in log.iter_mut().flatten() {
            change.2 = u32::from(change.0 % 4);
            change.0 %= 4;
        }
        let runs = runs(Identity::WholeRow, &case, &log).expect("runs");
        let state = folded(Identity::WholeRow, runs).expect("fold");
        prop_assert_eq!(state, replay(&log, case.cut));
    }

    #[test]
    fn a_lost_change_is_noticed_or_harmless(case in case(), lost in 0..200usize) {
        // Losing one insert or delete in the range either leaves an impossible history (an
        // error), or it was the last word on its key: then only that key may differ.
        let mut log = case.log.clone();
        let mut places = Vec::new();
        for (t, transaction) in log.iter().enumerate().take(case.cut).skip(case.base) {
            for (c, change) in transaction.iter().enumerate() {
                if matches!(change.1, Op::Insert | Op::Delete) {
                    places.push((t, c));
                }
            }
        }
        prop_assume!(!places.is_empty());
        let (t, c) = places[lost % places.len()];
        let gone = log[t].remove(c);
        let touched_later = log.iter().take(case.cut).enumerate().skip(t).any(|(i, transaction)| {
            transaction.iter().skip(if i == t { c } else { 0 }).any(|change| change.0 == gone.0)
        });
        // The base is of the true history.
        let mut with_base = log.clone();
        with_base.truncate(case.cut);
        let all = runs(Identity::Key, &Case { log: log.clone(), ..case.clone() }, &with_base);
        let result = all.and_then(|mut all| {
            all[0] = base_run(&replay(&case.log, case.base), case.base as i64, case.batch);
            folded(Identity::Key, all)
        });
        prop_assert_eq!(result.is_err(), touched_later);
    }
}

fn run(list: &[Entry]) -> Run<'static, Vec<u32>> {
    Run::changes(Seq(0), Seq(100), batches(list, 2).into_iter())
}

#[test]
fn impossible_histories_name_key_and_seq() {
    let entry = |key: u8, seq, op| (vec![key], seq, 0, op, 0);
    let delete = folded(Identity::Key, vec![run(&[entry(7, 5, Op::Delete)])]).unwrap_err();
    assert_eq!(
        delete.message(),
        "fold rows: a change to a row that is not there"
    );
    assert_eq!(
        (delete.get("key"), delete.get("seq")),
        (Some("07"), Some("5"))
    );
    let twice = [entry(7, 5, Op::Insert), entry(7, 6, Op::Insert)];
    let error = folded(Identity::Key, vec![run(&twice)]).unwrap_err();
    assert_eq!(
        error.message(),
        "fold rows: a row appears that is already there"
    );
    assert_eq!(error.get("seq"), Some("6"));
    let counted = folded(Identity::WholeRow, vec![run(&twice)]).expect("duplicates are legal");
    assert_eq!(counted.get(&vec![7]), Some(&vec![0, 0]));
    let fewer = [
        entry(7, 5, Op::Insert),
        entry(7, 6, Op::Delete),
        entry(7, 7, Op::Delete),
    ];
    assert!(folded(Identity::WholeRow, vec![run(&fewer)]).is_err());
}

#[test]
fn an_unsorted_run_is_refused_also_across_batches() {
    let entry = |key: u8, seq| (vec![key], seq, 0, Op::Insert, 0);
    for list in [
        vec![entry(2, 1), entry(1, 2)],
        vec![entry(1, 1), entry(3, 2), entry(2, 3)],
        vec![entry(1, 9), entry(1, 8)],
    ] {
        let error = folded(Identity::WholeRow, vec![run(&list)]).unwrap_err();
        assert!(error.message().contains("order it claims"), "{error}");
    }
}

#[test]
fn key_swaps_and_moves_inside_one_transaction() {
    // Ascending ids moved up by one, highest first, as `UPDATE .. ORDER BY id DESC` logs it.
    let mut list = Vec::new();
    for (row, id) in [3u8, 2, 1].into_iter().enumerate() {
        list.push((vec![id], 5, row as i64, Op::UpdateBefore, u32::from(id)));
        list.push((vec![id + 1], 5, row as i64, Op::UpdateAfter, u32::from(id)));
    }
    list.sort();
    let base: State = (1..=3).map(|id| (vec![id], vec![u32::from(id)])).collect();
    let state = folded(Identity::Key, vec![base_run(&base, 0, 2), run(&list)]).expect("fold");
    let moved: State = (1..=3)
        .map(|id| (vec![id + 1], vec![u32::from(id)]))
        .collect();
    assert_eq!(state, moved);
}
