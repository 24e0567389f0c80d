//! A source without a server: every transaction of its binlog, made beforehand.

use crate::binlog::event::{
    CHECKSUM_LEN, EventHeader, FLAG_ARTIFICIAL, HEADER_LEN, checksum, kind,
};
use crate::binlog::write::{Stamp, StatementBuilder};
use crate::change::{ImageWriter, RowsKind};
use crate::position::{BinlogPosition, Flavor, Seq};
use crate::schema::{Column, StoredType, TableId, TableName, TableVersion, wire};
use crate::source::SourceIdentity;
use bytes::Bytes;
use std::collections::BTreeMap;

pub(super) const FILE: &str = "b.000001";
/// Where its first transaction starts.
const START: u64 = 500;
const SERVER_ID: u32 = 7;
const TIME_S: u32 = 1_700_000_000;

/// What binlog_row_metadata=FULL adds to the table map: no column is unsigned, the one is `id`.
const METADATA: &[u8] = &[1, 1, 0, 4, 3, 2, b'i', b'd'];

/// One transaction: its events, the last of them its end.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) events: Vec<Bytes>,
}

/// The binlog of a source: transaction `n` (from 1) inserts the rows that [`rows_of`] says.
#[derive(Debug)]
pub(super) struct Binlog {
    pub(super) transactions: Vec<Transaction>,
}

/// The ids that a transaction inserts: some none, some many.
pub(super) fn rows_of(number: u64) -> impl Iterator<Item = i32> {
    let count = match number % 7 {
        0 => 0,
        3 => 20,
        _ => 1,
    };
    (0..count).map(move |row| number as i32 * 100 + row)
}

impl Binlog {
    pub(super) fn new(count: u64) -> Binlog {
        let mut end = START as u32;
        let table = table();
        let transactions = (1..=count).map(|number| Transaction {
            events: transaction(number, &table, &mut end),
        });
        Binlog {
            transactions: transactions.collect(),
        }
    }

    pub(super) fn start() -> BinlogPosition {
        BinlogPosition::new(FILE, START)
    }

    /// What a dump begins with.
    pub(super) fn head(at: &BinlogPosition) -> [Bytes; 2] {
        let body = [&at.offset.to_le_bytes()[..], at.file.as_bytes()].concat();
        let stamp = stamp();
        let mut description = crate::binlog::write::format_description(&stamp, "10.11.19-MariaDB");
        // With checksums from here on.
        description.truncate(description.len() - CHECKSUM_LEN);
        if let Some(algorithm) = description.last_mut() {
            *algorithm = 1;
        }
        [
            made(kind::ROTATE, &body, FLAG_ARTIFICIAL, 0),
            summed(description),
        ]
    }

    pub(super) fn identity() -> SourceIdentity {
        SourceIdentity {
            flavor: Flavor::MariaDb,
            version: "10.11.19-MariaDB".into(),
            server_uuid: None,
            server_id: SERVER_ID,
            gtid_domain_id: Some(0),
            settings: BTreeMap::new(),
        }
    }
}

fn stamp() -> Stamp {
    Stamp {
        flavor: Flavor::MariaDb,
        server_id: SERVER_ID,
        timestamp_s: TIME_S,
    }
}

fn table() -> TableVersion {
    let mut id = Column {
        field_id: 1,
        stored: StoredType::Int32,
        ..Column::plain("id", wire::LONG, 0)
    };
    id.stored = id.default_storage(Flavor::MariaDb);
    TableVersion {
        table_id: TableId::allocate(1, Seq(1), 0),
        version: 1,
        since: Seq(1),
        name: TableName::new("d", "t"),
        flavor: Flavor::MariaDb,
        columns: vec![id],
        key: Vec::new(),
        given_rows: false,
        field_id_max: 1,
        raw_table_map: Vec::new(),
        definition: None,
    }
}

fn transaction(number: u64, table: &TableVersion, end: &mut u32) -> Vec<Bytes> {
    let mut placed = |kind: u8, body: &[u8], flags| {
        *end += (HEADER_LEN + body.len() + CHECKSUM_LEN) as u32;
        made(kind, body, flags, *end)
    };
    let mut gtid = number.to_le_bytes().to_vec();
    gtid.extend_from_slice(&[0; 11]);
    let mut events = vec![placed(kind::MARIADB_GTID, &gtid, 0)];
    let begun = StatementBuilder::begin(stamp(), table, RowsKind::Write, 0);
    let mut statement = begun.expect("a statement");
    for id in rows_of(number) {
        let mut image = Vec::new();
        let mut writer = ImageWriter::begin(Flavor::MariaDb, 1, &mut image);
        writer.cell().extend_from_slice(&id.to_le_bytes());
        writer.finish().expect("an image");
        statement.push(&image);
    }
    let whole = statement.finish();
    let mut rest = whole.as_slice();
    while let Some(header) = EventHeader::read(rest) {
        let (event, behind) = rest.split_at(header.length as usize);
        let mut body = event[HEADER_LEN..].to_vec();
        if header.kind == kind::TABLE_MAP {
            body.extend_from_slice(METADATA);
        }
        events.push(placed(header.kind, &body, header.flags));
        rest = behind;
    }
    events.push(placed(kind::XID, &number.to_le_bytes(), 0));
    events
}

fn made(kind: u8, body: &[u8], flags: u16, log_pos: u32) -> Bytes {
    let header = EventHeader {
        timestamp_s: if log_pos == 0 { 0 } else { TIME_S },
        kind,
        server_id: SERVER_ID,
        length: (HEADER_LEN + body.len() + CHECKSUM_LEN) as u32,
        log_pos,
        flags,
    };
    summed([&header.to_bytes()[..], body].concat())
}

fn summed(mut event: Vec<u8>) -> Bytes {
    let sum = checksum(&event);
    event.extend_from_slice(&sum.to_le_bytes());
    event.into()
}
