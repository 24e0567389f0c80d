//! Runs on disk, merged, against a sort of everything in memory.

use super::*;
use crate::change::StatementKind;
use crate::position::Seq;
use bytes::Bytes;
use proptest::prelude::*;

/// A row: its key, and its image.
type Row = (Vec<u8>, Vec<u8>);

/// One run: an index and the event that all of its images stand in.
fn run(rows: &[Row], number: u32) -> (TableIndex, EventRef) {
    let mut index = TableIndex::default();
    let mut images = Vec::new();
    for (row, (key, image)) in rows.iter().enumerate() {
        let start = index.keys_len();
        index.keys_mut().extend_from_slice(key);
        let (at, length) = (images.len() as u32, image.len() as u32);
        let op = match row % 3 {
            0 => Op::Insert,
            1 => Op::UpdateAfter,
            _ => Op::Delete,
        };
        index.push(start, TableIndex::row(0, at, length, row as u32, op));
        images.extend_from_slice(image);
    }
    index.sort();
    let event = EventRef {
        images: Bytes::from(images),
        transaction: number,
        ordinal: -1 - number as i32,
        flags: 0xfffe,
        absent: number % 2 == 1,
    };
    (index, event)
}

/// What a merge gives: key, image, run, row.
fn merged(file: &SpillFile, runs: &[Spilled]) -> Vec<(Vec<u8>, Vec<u8>, u32, u32)> {
    let mut merge = Merge::new(file, runs).expect("open runs");
    let mut rows = Vec::new();
    while let Some(row) = merge.next().expect("read rows") {
        let origin = row.origin;
        assert_eq!(origin.event, -1 - origin.transaction as i32);
        assert_eq!(origin.flags, 0xfffe);
        assert_eq!(origin.absent, origin.transaction % 2 == 1);
        let op = [Op::Insert, Op::UpdateAfter, Op::Delete][origin.row as usize % 3];
        assert_eq!(origin.op, op);
        let (key, image) = (row.key.to_vec(), row.image.to_vec());
        rows.push((key, image, origin.transaction, origin.row));
    }
    rows
}

proptest! {
    #[test]
    fn a_merge_is_the_stable_sort_of_all_runs(
        runs in prop::collection::vec(
            prop::collection::vec(
                (prop::collection::vec(0_u8..3, 0..12), prop::collection::vec(any::<u8>(), 0..40)),
                0..20,
            ),
            0..6,
        ),
    ) {
        let mut file = SpillFile::new().expect("a file");
        let (mut written, mut expected) = (Vec::new(), Vec::new());
        for (number, rows) in runs.iter().enumerate() {
            let (index, event) = run(rows, number as u32);
            let mut out = file.writer().expect("a writer");
            written.extend(out.rows(&index, 0..index.len(), &[event]).expect("write"));
            let end = out.finish().expect("flush");
            file.take(end);
            for (row, (key, image)) in rows.iter().enumerate() {
                expected.push((key.clone(), image.clone(), number as u32, row as u32));
            }
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(merged(&file, &written), expected);
    }
}

#[test]
fn what_was_taken_back_is_written_over() {
    let mut file = SpillFile::new().expect("a file");
    let write = |file: &mut SpillFile, rows: &[Row], number| {
        let (index, event) = run(rows, number);
        let mut out = file.writer().expect("a writer");
        let run = out.rows(&index, 0..index.len(), &[event]).expect("write");
        let end = out.finish().expect("flush");
        file.take(end);
        (run.expect("rows"), end)
    };
    let row = |byte: u8| vec![(vec![byte], vec![byte; 100])];
    let (first, kept) = write(&mut file, &row(1), 0);
    write(&mut file, &row(9), 1);
    file.truncate(kept);
    let (second, end) = write(&mut file, &row(2), 2);
    assert_eq!(end, 2 * kept);
    let keys: Vec<_> = merged(&file, &[first, second])
        .into_iter()
        .map(|row| (row.0, row.2))
        .collect();
    assert_eq!(keys, [(vec![1], 0), (vec![2], 2)]);
    file.truncate(0);
    assert!(file.is_empty());
}

#[test]
fn statements_come_back_as_they_were() {
    let row = |ordinal: i64, kind, charset| StatementRow {
        seq: Seq(i64::MAX),
        ordinal,
        kind,
        default_db: Bytes::from_static(b"d\xff"),
        text: Bytes::from(vec![b'x'; ordinal as usize * 300_000]),
        charset,
        status_vars: Bytes::from_static(b"\0\x01"),
        thread_id: u32::MAX,
        error_code: u16::MAX,
        header_us: -5,
    };
    let rows = [
        row(0, StatementKind::Query, None),
        row(1, StatementKind::RowsQuery, Some(u16::MAX)),
        row(2, StatementKind::Query, Some(0)),
    ];
    let file = SpillFile::new().expect("a file");
    let mut out = file.writer().expect("a writer");
    let written = out.statements(&rows).expect("write").expect("rows");
    assert!(out.statements(&[]).expect("write").is_none());
    out.finish().expect("flush");
    let read: Result<Vec<_>> = StatementRuns::new(&file, written).collect();
    assert_eq!(read.expect("read"), rows);
}

#[test]
fn a_file_that_lost_its_end_is_an_error() {
    let (index, event) = run(&[(vec![1], vec![7; 5_000])], 0);
    let mut file = SpillFile::new().expect("a file");
    let mut out = file.writer().expect("a writer");
    let written = out.rows(&index, 0..1, &[event]).expect("write");
    let end = out.finish().expect("flush");
    file.take(end);
    file.file.set_len(end - 1).expect("cut");
    let mut merge = Merge::new(&file, &[written.expect("a row")]).expect("its head is there");
    assert!(merge.next().is_err());
}
