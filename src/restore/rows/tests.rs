//! Folds of real Parquet files against a model, with more files than are merged at once.

mod xa;

use super::*;
use crate::base::BaseFile;
use crate::change::{ImageWriter, Op};
use crate::manifest::{Crc32, FileEntry, FileRole, Sha256};
use crate::position::{Flavor, Seq};
use crate::restore::table::testing::table_of_base;
use crate::restore::xa::Counting;
use crate::schema::{Column, KeyPart, StoredType, TableId, TableName, wire};
use crate::segment::{
    BaseBuilder, ChangeBuilder, ChangeRow, FileOptions, KeyCodec, TableFileWriter,
};
use proptest::prelude::*;

pub(in crate::restore) fn column(name: &str, field_id: i32) -> Column {
    let mut column = Column {
        field_id,
        stored: StoredType::Int32,
        ..Column::plain(name, wire::LONG, 0)
    };
    column.stored = column.default_storage(Flavor::MySql);
    column
}

fn version(keyed: bool) -> Arc<TableVersion> {
    let key = KeyPart {
        column: 0,
        prefix: 0,
    };
    Arc::new(TableVersion {
        table_id: TableId::allocate(1, Seq(1), 0),
        version: 1,
        since: Seq(1),
        name: TableName::new("db", "t"),
        flavor: Flavor::MySql,
        // Those of a sequence, as far as its place goes.
        columns: vec![
            column("next_not_cached_value", 1),
            column("cycle_count", 2),
            column("increment", 3),
        ],
        key: if keyed { vec![key] } else { Vec::new() },
        given_rows: false,
        field_id_max: 3,
        raw_table_map: Vec::new(),
        definition: None,
    })
}

fn image(id: i32, value: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = ImageWriter::begin(Flavor::MySql, 3, &mut out);
    writer.cell().extend_from_slice(&id.to_le_bytes());
    writer.cell().extend_from_slice(&value.to_le_bytes());
    writer.cell().extend_from_slice(&1_i32.to_le_bytes());
    writer.finish().expect("image");
    out
}

/// `(id, op, value)` of each transaction.
type Log = Vec<Vec<(i32, Op, i32)>>;
type State = BTreeMap<(i32, i32), u64>;

fn replay(log: &Log, through: usize) -> State {
    let mut state = State::new();
    for (id, op, value) in log.iter().take(through).flatten() {
        let count = state.entry((*id, *value)).or_default();
        *count = if op.is_present_after() {
            *count + 1
        } else {
            *count - 1
        };
    }
    state.retain(|_, count| *count > 0);
    state
}

/// The bytes of one file of these rows.
fn file(
    plan: &Arc<TablePlan>,
    kind: FileKind,
    rows: Vec<(i32, i32, ChangeRow)>,
    groups: usize,
) -> bytes::Bytes {
    let rows = rows.into_iter();
    let rows = rows.map(|(id, value, change)| (image(id, value), change));
    write_file(plan, kind, rows.collect(), groups)
}

/// Sorts images by key, as a writer does, and gives the bytes of one file.
pub(in crate::restore) fn write_file(
    plan: &Arc<TablePlan>,
    kind: FileKind,
    mut rows: Vec<(Vec<u8>, ChangeRow)>,
    groups: usize,
) -> bytes::Bytes {
    let keys = KeyCodec::new(Arc::clone(plan));
    let key = |(image, change): &(Vec<u8>, ChangeRow)| {
        let (mut cells, mut key) = (Vec::new(), Vec::new());
        plan.layout().split(image, &mut cells).expect("split");
        keys.encode_image(image, &cells, &mut key).expect("key");
        (key, change.seq, change.row, change.op)
    };
    let order = if groups > 1 {
        RowOrder::Runs
    } else {
        RowOrder::Sorted
    };
    let options = FileOptions::new(kind, order, false);
    let mut writer = TableFileWriter::new(Arc::clone(plan), options).expect("writer");
    let size = rows.len().div_ceil(groups).max(1);
    for part in rows.chunks_mut(size) {
        part.sort_by_key(|row| key(row));
        let batch = match kind {
            FileKind::Change => {
                let mut builder = ChangeBuilder::new(Arc::clone(plan), part.len());
                for (image, change) in part.iter() {
                    builder.append(image, change).expect("append");
                }
                builder.finish()
            }
            FileKind::Base => {
                let mut builder = BaseBuilder::new(Arc::clone(plan), part.len());
                for (image, change) in part.iter() {
                    builder.append(image, change.seq).expect("append");
                }
                builder.finish()
            }
        };
        writer.write(&batch.expect("batch")).expect("write");
        writer.end_row_group().expect("row group");
    }
    writer.finish().expect("file").bytes
}

pub(in crate::restore) fn change(seq: usize, row: i64, op: Op) -> ChangeRow {
    ChangeRow {
        op,
        seq: Seq(seq as i64),
        row,
        event: 0,
        flags: 0,
        commit_time_us: 0,
    }
}

pub(in crate::restore) fn base_entry(bytes: &bytes::Bytes, rows: usize) -> BaseFile {
    BaseFile {
        name: TableName::new("db", "t"),
        table_id: TableId::allocate(1, Seq(1), 0),
        version: 1,
        object: "tables/x".to_owned(),
        offset: 0,
        bytes: bytes.len() as u64,
        rows: rows as u64,
        key_min: None,
        key_max: None,
        crc32: 0,
        sha256: [0; 32],
        fingerprint: 0,
        order: RowOrder::Sorted,
    }
}

pub(in crate::restore) fn change_entry(
    bytes: &bytes::Bytes,
    rows: usize,
    groups: usize,
    seqs: (i64, i64),
) -> FileEntry {
    FileEntry {
        role: FileRole::Changes,
        table_id: Some(TableId::allocate(1, Seq(1), 0)),
        version: Some(1),
        part: 0,
        object: "x".to_owned(),
        offset: 0,
        length: bytes.len() as u64,
        rows: rows as u64,
        crc32: Crc32(0),
        sha256: Sha256([0; 32]),
        order: if groups > 1 {
            FileOrder::KeyRuns
        } else {
            FileOrder::Key
        },
        key_min: None,
        key_max: None,
        seq_first: Seq(seqs.0),
        seq_last: Seq(seqs.1),
        absent: false,
    }
}

/// The table folded from files: the base at `base`, then every transaction in segments of
/// `segment`, up to `cut`.
fn folded(keyed: bool, log: &Log, range: (usize, usize, usize), segment: usize) -> Result<State> {
    let case = Case {
        keyed,
        is_sequence: false,
        log,
        found: replay(log, range.0),
        counting: Arc::default(),
        segment,
    };
    fold_files(case, range)
}

/// A table to fold.
struct Case<'a> {
    keyed: bool,
    is_sequence: bool,
    log: &'a Log,
    /// What its base holds.
    found: State,
    counting: Arc<Counting>,
    /// Entries of a file.
    segment: usize,
}

fn fold_files(case: Case<'_>, (base, split, cut): (usize, usize, usize)) -> Result<State> {
    let Case { log, segment, .. } = case;
    let version = version(case.keyed);
    let plan = Arc::new(TablePlan::compile(Arc::clone(&version)).expect("plan"));
    let mut rows = Vec::new();
    for ((id, value), count) in case.found {
        (0..count).for_each(|_| rows.push((id, value, change(base, 0, Op::Insert))));
    }
    let count = rows.len();
    let base_bytes = file(&plan, FileKind::Base, rows, 1);
    let base_files = vec![base_entry(&base_bytes, count)];
    let mut table = table_of_base(&version, Seq(base as i64), (base_files, count));
    table.is_sequence = case.is_sequence;
    table.counting = case.counting;
    let mut changes = Vec::new();
    for start in (0..log.len()).step_by(segment) {
        let mut rows = Vec::new();
        for (index, transaction) in log.iter().enumerate().skip(start).take(segment) {
            let mut ordinal = -1;
            for (id, op, value) in transaction {
                ordinal += i64::from(*op != Op::UpdateAfter);
                rows.push((*id, *value, change(index + 1, ordinal, *op)));
            }
        }
        if rows.is_empty() {
            continue;
        }
        let groups = 1 + start % 3;
        let count = rows.len();
        let bytes = file(&plan, FileKind::Change, rows, groups);
        let seqs = (start as i64 + 1, (start + segment).min(log.len()) as i64);
        table
            .change_files
            .push(change_entry(&bytes, count, groups, seqs));
        changes.push(Spooled::new(bytes)?);
    }
    let base_file = Spooled::new(base_bytes)?;
    let mut state = State::new();
    let mut after = base;
    for through in [split, cut] {
        let epoch = epoch(after, through, after == base && through == split);
        let listed = table.change_files.iter().zip(&changes);
        let reads = |file: &FileEntry| table.counting.reads(file, epoch.after, epoch.through);
        let within = listed.filter(|(entry, _)| reads(entry));
        let files = (
            epoch
                .base_files(&table)
                .iter()
                .map(|_| base_file.clone())
                .collect(),
            within.map(|(_, file)| file.clone()).collect(),
        );
        let input = TableInput::new((&table, &epoch), Arc::clone(&version), files)?;
        let number =
            |row: &[u8], at: usize| i32::from_le_bytes(row[at..at + 4].try_into().expect("cell"));
        input.vanished(|row, copies| {
            let left = state.entry((number(row, 1), number(row, 5))).or_default();
            *left = left.checked_sub(copies).expect("what vanishes was there");
            Ok(())
        })?;
        if case.is_sequence {
            state.clear();
        }
        input.appeared(|row, copies| {
            *state.entry((number(row, 1), number(row, 5))).or_default() += copies;
            Ok(())
        })?;
        after = through;
        if through == cut {
            break;
        }
    }
    state.retain(|_, count| *count > 0);
    Ok(state)
}

fn epoch(after: usize, through: usize, is_first: bool) -> Epoch {
    Epoch {
        after: Seq(after as i64),
        through: Seq(through as i64),
        is_first,
        from_base: is_first,
        name: TableName::new("db", "t"),
        version: None,
        may_be_empty: false,
        load_at: None,
    }
}

/// A history that can happen, of wishes `(id, value, delete)`.
fn history(wishes: &[(i32, i32, bool)], per_transaction: usize) -> Log {
    let mut present = BTreeMap::new();
    let mut changes = Vec::new();
    for &(id, value, delete) in wishes {
        match present.get(&id).copied() {
            None => changes.push(vec![(id, Op::Insert, value)]),
            Some(former) if delete => changes.push(vec![(id, Op::Delete, former)]),
            Some(former) => changes.push(vec![
                (id, Op::UpdateBefore, former),
                (id, Op::UpdateAfter, value),
            ]),
        }
        match delete && present.contains_key(&id) {
            true => drop(present.remove(&id)),
            false => drop(present.insert(id, value)),
        }
    }
    changes
        .chunks(per_transaction)
        .map(|part| part.concat())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn files_fold_to_the_replayed_state(
        wishes in prop::collection::vec((-20..20i32, 0..5i32, any::<bool>()), 1..200),
        per_transaction in 1..4usize,
        segment in 1..30usize,
        base in 0..1000usize,
        rest in 0..1000usize,
        split in 0..1000usize,
        keyed in any::<bool>(),
    ) {
        let log = history(&wishes, per_transaction);
        let base = base % (log.len() + 1);
        let cut = base + rest % (log.len() + 1 - base);
        let split = base + split % (cut + 1 - base);
        let state = folded(keyed, &log, (base, split, cut), segment).expect("fold");
        prop_assert_eq!(state, replay(&log, cut));
    }
}

#[test]
fn more_files_than_are_merged_at_once_are_condensed() {
    let wishes: Vec<_> = (0..900).map(|n| ((n * 7) % 31, n, n % 5 == 4)).collect();
    let log = history(&wishes, 3);
    assert!(log.len() / 2 > RUNS_MAX);
    for keyed in [true, false] {
        let state = folded(keyed, &log, (40, 290, 290), 2).expect("fold");
        assert_eq!(state, replay(&log, 290));
        let state = folded(keyed, &log, (40, 60, 290), 2).expect("fold");
        assert_eq!(state, replay(&log, 290), "most of it after the split");
    }
}

#[test]
fn a_base_row_younger_than_its_base_is_refused() {
    let log = history(&[(1, 1, false), (2, 2, false)], 1);
    // The table claims to be exact at an entry before that of its rows.
    let version = version(true);
    let plan = Arc::new(TablePlan::compile(Arc::clone(&version)).expect("plan"));
    let bytes = file(
        &plan,
        FileKind::Base,
        vec![(1, 1, change(9, 0, Op::Insert))],
        1,
    );
    let base_files = vec![base_entry(&bytes, 1)];
    let table = table_of_base(&version, Seq(log.len() as i64), (base_files, 1));
    let files = (vec![Spooled::new(bytes).expect("spool")], Vec::new());
    let epoch = epoch(log.len(), 9, true);
    let input = TableInput::new((&table, &epoch), version, files).expect("input");
    let error = input.appeared(|_, _| Ok(())).unwrap_err();
    assert_eq!(error.get("seq"), Some("9"));
}

#[test]
fn a_sequence_is_its_furthest_row() {
    let inserts = |n: i32| (0..n).map(|v| vec![(v, Op::Insert, v)]).collect::<Log>();
    let log = inserts(9);
    let last = |cut: usize| {
        let state = sequence(&log, cut).expect("fold");
        state
            .into_iter()
            .map(|((id, _), count)| (id, count))
            .collect::<Vec<_>>()
    };
    assert_eq!(last(1), [(0, 1)], "the base alone");
    assert_eq!(last(6), [(5, 1)]);
    assert_eq!(last(9), [(8, 1)]);
    // Logged out of order, then in the next cycle.
    let place = |next, cycle| vec![(next, Op::Insert, cycle)];
    let log = vec![
        place(1, 0),
        place(7, 0),
        place(5, 0),
        place(2, 1),
        place(9, 0),
    ];
    let at = |cut| {
        sequence(&log, cut)
            .expect("fold")
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(at(3), [(7, 0)]);
    assert_eq!(at(5), [(2, 1)]);
}

/// A sequence whose base is exact at entry 1.
fn sequence(log: &Log, cut: usize) -> Result<State> {
    let case = Case {
        keyed: false,
        is_sequence: true,
        log,
        found: replay(log, 1),
        counting: Arc::default(),
        segment: 2,
    };
    fold_files(case, (1, cut, cut))
}

#[test]
fn files_that_follow_each_other_by_key_are_one_run() {
    let file = |min: u8, max: u8, sorted| InputFile {
        file: Spooled::Memory(bytes::Bytes::new()),
        version: 1,
        sorted,
        rows: 1,
        keys: Some((vec![min], vec![max])),
    };
    let chains = |files: &[InputFile]| -> Vec<usize> {
        let chains = following(files);
        chains.iter().map(Vec::len).collect()
    };
    let parts = [
        file(1, 3, true),
        file(4, 6, true),
        file(7, 9, true),
        // The next segment begins again.
        file(2, 5, true),
        file(6, 6, true),
    ];
    assert_eq!(chains(&parts), [3, 2]);
    // A key at the border of two parts is in both: its changes are merged.
    assert_eq!(chains(&[file(1, 3, true), file(3, 6, true)]), [1, 1]);
    assert_eq!(chains(&[file(1, 3, true), file(4, 6, false)]), [1, 1]);
    let unknown = InputFile {
        keys: None,
        ..file(4, 6, true)
    };
    assert_eq!(
        chains(&[file(1, 3, true), unknown, file(7, 9, true)]),
        [1, 1, 1]
    );
}
