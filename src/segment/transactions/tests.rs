//! Rows of both files, there and back.

use super::*;
use crate::change::CommitTimeSource;
use crate::change::StatementKind;
use crate::segment::{StatementRow, StatementsReader, StatementsWriter};

fn mark(seq: i64, kind: EntryKind) -> TransactionRow {
    TransactionRow {
        detail: Some(r#"{"covered_through":1}"#.into()),
        ..TransactionRow::empty(Seq(seq), kind, 5)
    }
}

fn full(seq: i64, gtid: &str) -> TransactionRow {
    TransactionRow {
        gtid: Some(gtid.parse().expect("gtid")),
        commit: Some(CommitTime {
            at_us: seq,
            lo_us: seq - 1,
            hi_us: seq + 1,
            source: CommitTimeSource::Received,
        }),
        end: Some(BinlogPosition::new(
            "binlog.000001",
            u64::from(u32::MAX) + 9,
        )),
        server_id: Some(u32::MAX),
        thread_id: Some(7),
        rows_inserted: 1,
        rows_updated: 2,
        rows_deleted: 3,
        xid: Some(u64::MAX),
        xa_seq: Some(Seq(1)),
        last_committed: Some(0),
        sequence_number: Some(9),
        status_vars: Some(Bytes::from_static(b"\0\xff")),
        raw: Some(Bytes::from_static(b"raw")),
        detail: None,
        ..mark(seq, EntryKind::Transaction(TransactionKind::XaCommit))
    }
}

fn there_and_back(rows: &[TransactionRow]) -> Vec<TransactionRow> {
    let mut writer = TransactionsWriter::new();
    for row in rows {
        writer.push(row).expect("push");
    }
    assert_eq!(writer.rows(), rows.len() as u64);
    let bytes = writer.finish().expect("finish");
    let reader = TransactionsReader::open(bytes.clone()).expect("open");
    let found: Vec<_> = reader.collect::<Result<_>>().expect("rows");
    let reader = TransactionsReader::without_events(bytes).expect("open");
    let without: Vec<_> = reader.collect::<Result<_>>().expect("rows");
    let expected = found.iter().map(|row| TransactionRow {
        raw: None,
        ..row.clone()
    });
    assert!(without.iter().cloned().eq(expected), "without events");
    found
}

/// MariaDB logs statements beside rows: few transactions may bring many megabytes.
#[test]
fn few_large_rows_are_compressed_as_many_small_ones() {
    use crate::segment::file::open_metadata;
    use parquet::basic::Compression;
    let codec = |raw_bytes: usize| {
        let rows = [1, 2, 3].map(|seq| TransactionRow {
            raw: Some(Bytes::from(vec![seq as u8; raw_bytes])),
            ..mark(seq, EntryKind::Idle)
        });
        let mut writer = TransactionsWriter::new();
        for row in &rows {
            writer.push(row).expect("push");
        }
        let bytes = writer.finish().expect("finish");
        let metadata = open_metadata(&bytes).expect("open");
        metadata.metadata().row_group(0).column(0).compression()
    };
    assert_eq!(codec(100), Compression::SNAPPY);
    assert!(matches!(codec(1 << 20), Compression::ZSTD(_)));
}

#[test]
fn transactions_come_back() {
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let mut rows = vec![
        full(1, &format!("{uuid}:5")),
        full(2, &format!("{uuid}:tag:5")),
        full(3, "4294967295-1-18446744073709551615"),
    ];
    rows.extend(EntryKind::ALL.into_iter().map(|kind| mark(9, kind)));
    assert_eq!(there_and_back(&rows), rows);
    assert!(there_and_back(&[]).is_empty());
}

#[test]
fn large_files_come_back_too() {
    let rows: Vec<_> = (1..20_000).map(|seq| full(seq, "0-1-7")).collect();
    assert!(there_and_back(&rows) == rows);
}

#[test]
fn statements_come_back() {
    let rows: Vec<_> = [StatementKind::Query, StatementKind::RowsQuery]
        .into_iter()
        .map(|kind| StatementRow {
            seq: Seq(3),
            ordinal: 4,
            kind,
            default_db: Bytes::from_static(b"d\xe4"),
            text: Bytes::from_static(b"DROP TABLE `\xe4`"),
            charset: Some(8),
            status_vars: Bytes::from_static(&[0, 1, 2]),
            thread_id: u32::MAX,
            error_code: u16::MAX,
            header_us: -1,
        })
        .collect();
    let mut writer = StatementsWriter::new();
    for row in &rows {
        writer.push(row).expect("push");
    }
    let bytes = writer.finish().expect("finish");
    let reader = StatementsReader::open(bytes.clone()).expect("open");
    assert_eq!(reader.collect::<Result<Vec<_>>>().expect("rows"), rows);
    assert!(TransactionsReader::open(bytes).is_err());
}
