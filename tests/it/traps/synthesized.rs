//! Traps that no server here produces: events made by hand, without checksums.

use std::sync::Arc;
use tidelog::binlog::event::{EventHeader, HEADER_LEN, kind};
use tidelog::binlog::{Assembler, parse_table_map, write};
use tidelog::change::{ImageLayout, LogItem, TransactionKind};
use tidelog::error::{ErrorKind, Result};
use tidelog::position::{BinlogPosition, Flavor, Seq};
use tidelog::schema::{StoredType, TableId, TableVersion};
use tidelog::segment::{Scratch, TablePlan, Value};

/// A MySQL dump from the start of a file, its events one behind the other.
struct Stream {
    assembler: Assembler,
    end: u32,
    items: Vec<LogItem>,
}

impl Stream {
    fn new() -> Stream {
        let stamp = write::Stamp {
            flavor: Flavor::MySql,
            server_id: 7,
            timestamp_s: 1_700_000_000,
        };
        let start = BinlogPosition::new("b.1", 4);
        let mut stream = Stream {
            assembler: Assembler::new(Flavor::MySql, Some(start)),
            end: 4,
            items: Vec::new(),
        };
        let description = write::format_description(&stamp, "9.7.4");
        let pushed = stream.assembler.push(description.into(), &mut stream.items);
        pushed.expect("format description");
        stream
    }

    fn push(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        self.end += (HEADER_LEN + body.len()) as u32;
        let event = event(kind, body, self.end);
        self.assembler.push(event.into(), &mut self.items)?;
        while self.assembler.more(&mut self.items)? {}
        Ok(())
    }

    /// GTID and BEGIN.
    fn begin(&mut self) {
        let mut gtid = vec![0_u8];
        gtid.extend_from_slice(&[9; 16]);
        gtid.extend_from_slice(&1_u64.to_le_bytes());
        self.push(kind::GTID, &gtid).expect("gtid");
        self.push(kind::QUERY, &query("BEGIN")).expect("begin");
    }
}

fn event(kind: u8, body: &[u8], log_pos: u32) -> Vec<u8> {
    let header = EventHeader {
        timestamp_s: 1_700_000_000,
        kind,
        server_id: 7,
        length: (HEADER_LEN + body.len()) as u32,
        log_pos,
        flags: 0,
    };
    [&header.to_bytes()[..], body].concat()
}

fn query(text: &str) -> Vec<u8> {
    [&[0; 14], text.as_bytes()].concat()
}

fn last_commit(items: &[LogItem]) -> TransactionKind {
    match items.last() {
        Some(LogItem::Commit(commit)) => commit.kind,
        other => panic!("no commit: {other:?}"),
    }
}

/// Dates of old tables have a type code that newer readers have forgotten.
#[test]
fn trap_39_newdate() {
    // One nullable column of type 14, without metadata, named `a`.
    let map = b"\x01\x00\x01d\x00\x01t\x00\x01\x0e\x00\x01\x04\x02\x01a";
    let parsed = parse_table_map(Flavor::MySql, map).expect("a table map");
    let shape = (*parsed.shape).clone();
    assert_eq!(shape.columns[0].stored, StoredType::Date32);
    let layout = ImageLayout::new(&shape.columns).expect("a layout");
    assert_eq!(layout.measure(&[0, 0x5d, 0xd0, 0x0f]).expect("an image"), 4);
    let id = TableId::allocate(1, Seq::FIRST, 0);
    let version = TableVersion::first(id, Seq::FIRST, Flavor::MySql, shape);
    let plan = TablePlan::compile(Arc::new(version)).expect("a plan");
    let mut scratch = Scratch::default();
    let decoded = plan.codecs()[0].decode(&[0x5d, 0xd0, 0x0f], &mut scratch);
    assert_eq!((decoded.value, decoded.exact), (Value::Int(19_782), true));
}

/// A payload may be stored as it is; one that is packed in another way is refused.
#[test]
fn trap_74_compression_of_payloads() {
    let mut inner = event(kind::QUERY, &query("BEGIN"), 0);
    inner.extend(event(kind::XID, &9_u64.to_le_bytes(), 0));
    let size = u8::try_from(inner.len()).expect("small");
    for (compression, wanted) in [
        (&[2, 3, 252, 255, 0][..], None),
        (&[2, 1, 1], Some(ErrorKind::Incompatible)),
        (&[2, 1, 0], Some(ErrorKind::Corrupt)),
        (&[], Some(ErrorKind::Corrupt)),
    ] {
        let mut stream = Stream::new();
        let mut gtid = vec![0_u8; 25];
        gtid[17] = 1;
        stream.push(kind::GTID, &gtid).expect("gtid");
        let head = [&[1, 1, size][..], compression, &[3, 1, size, 0]].concat();
        let pushed = stream.push(kind::TRANSACTION_PAYLOAD, &[&head[..], &inner].concat());
        assert_eq!(
            pushed.map_err(|e| e.kind()).err(),
            wanted,
            "{compression:?}"
        );
        if wanted.is_none() {
            assert_eq!(last_commit(&stream.items), TransactionKind::Empty);
        }
    }
}

/// Group replication's view change is a transaction with a GTID and no rows.
#[test]
fn trap_112_view_changes() {
    let mut stream = Stream::new();
    stream
        .push(kind::TRANSACTION_CONTEXT, &[0; 18])
        .expect("between transactions");
    stream.begin();
    let mut view = [0_u8; 40 + 8 + 4];
    view[..4].copy_from_slice(b"view");
    stream.push(kind::VIEW_CHANGE, &view).expect("view change");
    stream.push(kind::QUERY, &query("COMMIT")).expect("commit");
    assert_eq!(last_commit(&stream.items), TransactionKind::Empty);
    let begins = stream.items.iter().filter_map(|item| match item {
        LogItem::Begin(begin) => begin.gtid.clone(),
        _ => None,
    });
    assert_eq!(begins.count(), 1, "its GTID is counted");
    assert_eq!(
        stream.assembler.committed().map(|p| p.offset),
        Some(u64::from(stream.end))
    );
}
