//! Skeletons against random records, and against damage.

use super::*;
use crate::change::{CommitTime, CommitTimeSource, TransactionKind};
use crate::position::{BinlogPosition, Seq, Tag};
use crate::segment::{EntryKind, RawWriter, TransactionsReader, TransactionsWriter};
use proptest::prelude::*;
use uuid::Uuid;

/// A whole event; `checksum` is added to the right one.
fn event(kind: u8, (time, end): (u32, u32), body: &[u8], checksum: u32) -> Vec<u8> {
    let length = (HEADER_LEN + body.len() + CHECKSUM_LEN) as u32;
    let mut bytes = time.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(7_u32.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(end.to_le_bytes());
    bytes.extend([8, 0]);
    bytes.extend(body);
    let right = crc32fast::hash(&bytes);
    bytes.extend(right.wrapping_add(checksum).to_le_bytes());
    bytes
}

fn gtid_body(
    gno: u64,
    (last, sequence): (i64, i64),
    us: u64,
    original: Option<u64>,
    total: u16,
) -> Vec<u8> {
    let mut body = vec![1];
    body.extend([9; 16]);
    body.extend(gno.to_le_bytes());
    body.push(2);
    body.extend(last.to_le_bytes());
    body.extend(sequence.to_le_bytes());
    let flag = u64::from(original.is_some()) << 55;
    body.extend((us | flag).to_le_bytes().get(..7).expect("seven"));
    body.extend(
        original
            .iter()
            .flat_map(|us| us.to_le_bytes().into_iter().take(7)),
    );
    body.push(252);
    body.extend(total.to_le_bytes());
    body.extend(90_704_u32.to_le_bytes());
    body
}

fn query_body(thread: u32, vars: &[u8]) -> Vec<u8> {
    let mut body = thread.to_le_bytes().to_vec();
    body.extend([0, 0, 0, 0, 5, 0, 0]);
    body.extend((vars.len() as u16).to_le_bytes());
    body.extend(vars);
    body.extend(b"bench\0BEGIN");
    body
}

/// A transaction of one row that is all that a server makes of it, ending at `end`.
fn transaction(number: u64, end: u64, images: usize) -> TransactionRow {
    let us = 1_700_000_000_000_000 + number * 1_234_567;
    let time = (us / 1_000_000) as u32;
    let vars = [0, 0, 0, 0, 0, 13, number as u8, 1, 2];
    let rows_length = HEADER_LEN + 10 + images + CHECKSUM_LEN;
    let lengths = |gtid: usize, query: usize| {
        let fixed = 2 * (HEADER_LEN + CHECKSUM_LEN) + gtid + query;
        let map = HEADER_LEN + 30 + CHECKSUM_LEN;
        fixed + map + rows_length + HEADER_LEN + 8 + CHECKSUM_LEN
    };
    let query = query_body(33, &vars);
    let gtid = |total| gtid_body(number, (number as i64 - 1, number as i64), us, None, total);
    let total = lengths(gtid(0).len(), query.len());
    let mut at = end - total as u64;
    let mut raw = RawWriter::default();
    let mut add = |kind, body: &[u8]| {
        at += (HEADER_LEN + body.len() + CHECKSUM_LEN) as u64;
        raw.verbatim(&event(kind, (time, at as u32), body, 0));
        at
    };
    add(kind::GTID, &gtid(total as u16));
    add(kind::QUERY, &query);
    let at = add(kind::TABLE_MAP, &[5; 30]);
    let mut rows = event(
        kind::UPDATE_ROWS,
        (time, (at + rows_length as u64) as u32),
        &[3; 10],
        0,
    );
    rows[9..13].copy_from_slice(&(rows_length as u32).to_le_bytes());
    raw.cut(0, rows.get(..HEADER_LEN + 10).expect("a head"));
    raw.verbatim(&event(
        kind::XID,
        (time, end as u32),
        &(1_000 + number).to_le_bytes(),
        0,
    ));
    let kind = EntryKind::Transaction(TransactionKind::Transaction);
    TransactionRow {
        gtid: Some(Gtid::MySql {
            uuid: Uuid::from_bytes([9; 16]),
            tag: Tag::default(),
            gno: number,
        }),
        commit: Some(CommitTime {
            at_us: us as i64,
            lo_us: us as i64,
            hi_us: us as i64,
            source: CommitTimeSource::Immediate,
        }),
        end: Some(BinlogPosition::new("b.1", end)),
        server_id: Some(7),
        thread_id: Some(33),
        xid: Some(1_000 + number),
        last_committed: Some(number as i64 - 1),
        sequence_number: Some(number as i64),
        raw: Some(raw.take()),
        ..TransactionRow::empty(Seq(number as i64), kind, 0)
    }
}

fn pack(row: &TransactionRow) -> Option<(Bytes, Option<Bytes>)> {
    Packer::default().pack(row)
}

fn assert_comes_back(row: &TransactionRow) -> (Bytes, Option<Bytes>) {
    let (skeleton, values) = pack(row).expect("it has a skeleton");
    let again = unpack(row, &skeleton, values.as_deref()).expect("unpacked");
    assert_eq!(Some(&again), row.raw.as_ref());
    (skeleton, values)
}

#[test]
fn transactions_of_one_kind_share_a_skeleton_and_have_few_values() {
    let (first, _) = assert_comes_back(&transaction(1, 4_000, 50));
    let mut packer = Packer::default();
    for (number, end, images) in [(2, 70_000, 50), (3, (1 << 32) + 100, 9_000), (4, 5_000, 0)] {
        let (skeleton, values) = assert_comes_back(&transaction(number, end, images));
        assert_eq!(skeleton, first, "{number}");
        let again = packer.pack(&transaction(number, end, images));
        assert_eq!(again, Some((skeleton, values.clone())), "{number}");
        // The microseconds, and the length of the images.
        assert!(values.map_or(0, |values| values.len()) <= 10, "{number}");
    }
}

#[test]
fn what_nothing_tells_is_kept_as_a_value() {
    let row = transaction(5, 90_000, 20);
    let exact = assert_comes_back(&row).1.expect("values").len();
    let none = TransactionRow::empty(row.seq, row.kind, 0);
    let bare = TransactionRow {
        raw: row.raw.clone(),
        ..none
    };
    assert!(assert_comes_back(&bare).1.expect("values").len() > exact + 20);
    let mut writer = RawWriter::default();
    let times = (1_700_000_000, 77);
    let replicated = gtid_body(5, (4, 5), 17, Some(1 << 54), 300);
    writer.verbatim(&event(kind::GTID, times, &replicated, 0));
    writer.verbatim(&event(kind::MARIADB_GTID, times, &[2; 21], 99));
    writer.text(
        0,
        event(kind::QUERY, times, &query_body(4, &[128, 1, 2, 3]), 0)
            .get(..40)
            .expect("a head"),
    );
    writer.text(
        1,
        event(kind::ROWS_QUERY, times, &[250], 0)
            .get(..20)
            .expect("a head"),
    );
    let bare = TransactionRow {
        raw: Some(writer.take()),
        ..bare
    };
    assert_comes_back(&bare);
}

#[test]
fn what_is_not_known_stays_as_it_is() {
    let row = transaction(6, 5_000, 20);
    let with = |event: &[u8]| {
        let mut writer = RawWriter::default();
        writer.verbatim(event);
        let raw = [writer.take(), row.raw.clone().expect("records")].concat();
        TransactionRow {
            raw: Some(raw.into()),
            ..row.clone()
        }
    };
    assert!(pack(&with(&event(kind::XID, (1, 2), &[0; 8], 0))).is_some());
    assert!(pack(&with(&event(kind::ROTATE, (1, 2), &[0; 8], 0))).is_none());
    assert!(pack(&with(b"short")).is_none());
    assert!(pack(&with(&event(kind::GTID, (1, 2), &[0; 8], 0))).is_none());
    assert!(
        pack(&with(&event(
            kind::TABLE_MAP,
            (1, 2),
            &[0; RECORDS_BYTES_MAX],
            0
        )))
        .is_none()
    );
    for raw in [None, Some(Bytes::new()), Some(Bytes::from_static(&[9, 9]))] {
        let row = TransactionRow { raw, ..row.clone() };
        assert!(pack(&row).is_none());
    }
}

#[test]
fn a_value_for_no_place_or_too_large_for_it_is_refused() {
    let row = transaction(7, 5_000, 20);
    let (skeleton, _) = assert_comes_back(&row);
    let refused = |values: &[u8]| {
        let outcome = unpack(&row, &skeleton, Some(values));
        assert!(outcome.is_err(), "{values:?}");
    };
    refused(&[100, 1]);
    refused(&[1]);
    refused(&[0, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let mut endless = Vec::new();
    put_uvarint(&mut endless, u64::MAX);
    refused(&[endless, vec![1]].concat());
}

fn frozen_path() -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format/v1");
    folder.join("transactions.parquet")
}

/// With skeletons, and one stored as records.
fn frozen_rows() -> Vec<TransactionRow> {
    let mut rows: Vec<_> = (1..5).map(|n| transaction(n, n * 10_000, 50)).collect();
    let last = transaction(5, 1 << 33, 50);
    let rotate = event(kind::ROTATE, (1, 2), b"binlog.2", 0);
    let mut writer = RawWriter::default();
    writer.verbatim(&rotate);
    let raw = [writer.take(), last.raw.clone().expect("records")].concat();
    rows.push(TransactionRow {
        raw: Some(raw.into()),
        ..last
    });
    rows
}

/// What a version once wrote is read for ever.
#[test]
fn the_frozen_file_is_read_as_it_was_written() {
    let bytes = std::fs::read(frozen_path()).expect("the sample");
    let rows: Result<Vec<_>> = TransactionsReader::open(bytes.into())
        .expect("open")
        .collect();
    assert_eq!(rows.expect("rows"), frozen_rows());
}

#[test]
#[ignore = "freezes a format version"]
fn freeze() {
    let rows = frozen_rows();
    let mut writer = TransactionsWriter::new();
    for row in &rows {
        writer.push(row).expect("a row");
    }
    assert!(writer.has_skeletons());
    let bytes = writer.finish().expect("a file");
    if !frozen_path().exists() {
        std::fs::write(frozen_path(), bytes).expect("write");
    }
}

proptest! {
    /// Whatever the events say, and whatever the columns say of them.
    #[test]
    fn records_come_back(
        number in 1_u64..1 << 40,
        end in 2_000_u64..1 << 40,
        images in 0_usize..400,
        damage in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
        other in 1_u64..1 << 40,
    ) {
        let row = transaction(number, end, images);
        let mut raw = row.raw.clone().expect("records").to_vec();
        for (at, byte) in damage {
            let at = usize::from(at) % raw.len();
            raw[at] = byte;
        }
        let row = TransactionRow { raw: Some(raw.into()), ..transaction(other, end, 3) };
        if let Some((skeleton, values)) = pack(&row) {
            let again = unpack(&row, &skeleton, values.as_deref()).expect("unpacked");
            prop_assert_eq!(Some(again), row.raw);
        }
    }

    #[test]
    fn hostile_skeletons_are_refused_or_filled(
        skeleton in prop::collection::vec(any::<u8>(), 0..200),
        values in prop::collection::vec(any::<u8>(), 0..30),
        flips in prop::collection::vec((any::<u16>(), any::<u8>()), 0..3),
    ) {
        let row = transaction(8, 5_000, 20);
        let _ = unpack(&row, &skeleton, Some(&values));
        let (good, _) = pack(&row).expect("a skeleton");
        let mut bent = good.to_vec();
        for (at, byte) in flips {
            let at = usize::from(at) % bent.len();
            bent[at] = byte;
        }
        let _ = unpack(&row, &bent, Some(&values));
    }
}
