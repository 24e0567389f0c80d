//! What is written reads back.

use super::*;
use crate::binlog::assembler::tests::files::{items, read};
use crate::binlog::{Assembler, FormatDescription};
use crate::change::{LogItem, RowsEvent};
use crate::position::{BinlogPosition, Seq};
use crate::schema::TableId;
use bytes::Bytes;

fn stamp(flavor: Flavor) -> Stamp {
    Stamp {
        flavor,
        server_id: 3,
        timestamp_s: 1_700_000_000,
    }
}

fn rows_of(file: &str) -> Vec<RowsEvent> {
    let all = items(&read(file))
        .expect(file)
        .into_iter()
        .filter_map(|item| match item {
            LogItem::Rows(rows) => Some(rows),
            _ => None,
        });
    all.collect()
}

fn table(rows: &RowsEvent, flavor: Flavor) -> TableVersion {
    let id = TableId::allocate(1, Seq(1), 1);
    TableVersion::first(id, Seq(1), flavor, (*rows.shape).clone())
}

/// The statement as events again.
fn events(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut events = Vec::new();
    while let Some(header) = EventHeader::read(bytes) {
        let (event, rest) = bytes.split_at(header.length as usize);
        events.push(Bytes::copy_from_slice(event));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    events
}

/// What we make of captured images is what the server wrote, but for table id and flags.
#[test]
fn a_made_statement_is_the_logged_one() {
    for (file, flavor) in [
        ("mysql-types", Flavor::MySql),
        ("mariadb-types", Flavor::MariaDb),
    ] {
        for rows in rows_of(file) {
            let table = table(&rows, flavor);
            let images = rows.event.get(rows.images.clone()).unwrap();
            let flags = rows.flags;
            let mut builder =
                StatementBuilder::begin(stamp(flavor), &table, rows.kind, flags).unwrap();
            builder.push(images);
            let bytes = builder.finish();
            let [map, made] = &events(&bytes)[..] else {
                panic!("a map and a rows event");
            };
            let raw = &rows.shape.raw_table_map;
            let basics = map.get(HEADER_LEN + 6..).unwrap();
            let has_vector = table.columns.iter().any(|c| c.vector_dimension.is_some());
            let said = if has_vector { b"\x0d\x01\x03".len() } else { 0 };
            let (basics, said) = basics.split_at(basics.len() - said);
            assert!(raw.starts_with(basics), "{file} {}", table.name);
            assert!(said.is_empty() || said == b"\x0d\x01\x03");
            let tail = |event: &Bytes, cut: usize| event.slice(FLAGS_AT + 2..event.len() - cut);
            assert_eq!(tail(made, 0), tail(&rows.event, 4), "{file} {}", table.name);
            let made_flags = made.get(FLAGS_AT..FLAGS_AT + 2).unwrap();
            assert_eq!(made_flags, (flags | FLAG_STMT_END).to_le_bytes());
        }
    }
}

#[test]
fn only_the_last_of_many_rows_events_ends_the_statement() {
    let rows = rows_of("mysql-types").pop().unwrap();
    let table = table(&rows, Flavor::MySql);
    let stamp = stamp(Flavor::MySql);
    let flags = FLAG_NO_FOREIGN_KEY_CHECKS | FLAG_STMT_END;
    let mut builder = StatementBuilder::begin(stamp, &table, RowsKind::Write, flags).unwrap();
    let image = vec![7; 100_000];
    for _ in 0..7 {
        builder.push(&image);
    }
    assert_eq!(builder.rows(), 7);
    let expected = builder.statement_bytes();
    let bytes = builder.finish();
    assert_eq!(binlog_statement(&bytes).len(), expected);
    let flags: Vec<u8> = events(&bytes)
        .iter()
        .skip(1)
        .map(|event| *event.get(FLAGS_AT).unwrap())
        .collect();
    assert_eq!(flags, [2, 2, 2, 3]);
    let empty = StatementBuilder::begin(stamp, &table, RowsKind::Write, 0).unwrap();
    assert!(empty.finish().is_empty());
}

#[test]
fn events_are_rebuilt_from_template_and_images() {
    for rows in rows_of("mariadb-types") {
        let template = rows.event.get(..rows.images.start).unwrap();
        let images = rows.event.get(rows.images.clone()).unwrap();
        assert_eq!(rebuild(template, images, true).unwrap(), rows.event);
        let cut = images.get(1..).unwrap();
        assert!(rebuild(template, cut, true).is_err());
    }
}

#[test]
fn a_repeated_description_takes_no_place() {
    let Some(LogItem::FormatDescription(event)) = items(&read("mysql-types"))
        .expect("file")
        .into_iter()
        .next()
    else {
        panic!("a format description comes first");
    };
    let repeated = repeated_description(&event).unwrap();
    assert_eq!(
        FormatDescription::parse(&repeated).unwrap(),
        FormatDescription::parse(&event).unwrap()
    );
    let start = BinlogPosition::new("b.1", 900);
    let mut assembler = Assembler::new(Flavor::MySql, Some(start.clone()));
    assembler
        .push(Bytes::from(repeated), &mut Vec::new())
        .expect("repeated");
    assert_eq!(assembler.position(), Some(&start));
    assert!(repeated_description(b"no event").is_err());
}
