//! Streams made event by event; captured files are in [`files`].

pub(in crate::binlog) mod files;

use super::*;
use crate::binlog::event::FLAG_IGNORABLE;
use crate::binlog::format_description;
use crate::change::TransactionKind;
use crate::position::Gtid;
use proptest::prelude::*;

/// Makes the events of a stream with checksums, at the position they will be read.
struct Stream {
    end: u32,
}

impl Stream {
    fn event(&mut self, kind: u8, body: &[u8]) -> Bytes {
        self.flagged(kind, body, 0)
    }

    fn flagged(&mut self, kind: u8, body: &[u8], flags: u16) -> Bytes {
        self.end += (HEADER_LEN + body.len() + CHECKSUM_LEN) as u32;
        made(kind, body, flags, 1_700_000_000, self.end)
    }
}

fn made(kind: u8, body: &[u8], flags: u16, timestamp_s: u32, log_pos: u32) -> Bytes {
    let header = EventHeader {
        timestamp_s,
        kind,
        server_id: 7,
        length: (HEADER_LEN + body.len() + CHECKSUM_LEN) as u32,
        log_pos,
        flags,
    };
    let mut event = [&header.to_bytes()[..], body].concat();
    event.extend_from_slice(&crate::binlog::event::checksum(&event).to_le_bytes());
    Bytes::from(event)
}

fn fake_rotate(file: &str, offset: u64) -> Bytes {
    let body = [&offset.to_le_bytes()[..], file.as_bytes()].concat();
    made(kind::ROTATE, &body, FLAG_ARTIFICIAL, 0, 0)
}

/// A format description as repeated by the dump thread: with checksums, position 0.
fn description(flavor: Flavor) -> Bytes {
    let version = match flavor {
        Flavor::MySql => "9.7.4",
        Flavor::MariaDb => "10.11.19-MariaDB",
    };
    let mut event = format_description::build(flavor, version, 7, 1_700_000_000);
    event.truncate(event.len() - CHECKSUM_LEN);
    *event.last_mut().unwrap() = 1;
    event.extend_from_slice(&crate::binlog::event::checksum(&event).to_le_bytes());
    Bytes::from(event)
}

fn query(text: &str) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(text.as_bytes());
    body
}

fn mariadb_gtid(seq_no: u64, flags: u8) -> Vec<u8> {
    let mut body = seq_no.to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0]);
    body
}

/// A MariaDB dump that starts at offset 1000 of b.1.
fn mariadb() -> (Assembler, Stream, Vec<LogItem>) {
    let mut assembler = Assembler::new(Flavor::MariaDb, None);
    let mut out = Vec::new();
    for event in [fake_rotate("b.1", 1000), description(Flavor::MariaDb)] {
        assembler.push(event, &mut out).expect("start of dump");
    }
    (assembler, Stream { end: 1000 }, out)
}

fn kinds(items: &[LogItem]) -> Vec<TransactionKind> {
    let commits = items.iter().filter_map(|item| match item {
        LogItem::Commit(commit) => Some(commit.kind),
        _ => None,
    });
    commits.collect()
}

#[test]
fn artificial_events_do_not_move_the_position() {
    let (mut assembler, mut stream, mut out) = mariadb();
    let push = |assembler: &mut Assembler, event, out: &mut Vec<_>| {
        assembler.push(event, out).expect("event");
        assembler.position().unwrap().offset
    };
    let list = made(kind::GTID_LIST, &[0; 4], FLAG_ARTIFICIAL, 0, 0);
    assert_eq!(push(&mut assembler, list, &mut out), 1000);
    let beat = made(kind::HEARTBEAT, b"b.1", 0, 0, 1000);
    assert_eq!(push(&mut assembler, beat.clone(), &mut out), 1000);
    assert!(matches!(out.last(), Some(LogItem::Idle(at)) if at.offset == 1000));
    let gtid = stream.event(kind::MARIADB_GTID, &mariadb_gtid(1, 0));
    assert_eq!(push(&mut assembler, gtid, &mut out), 1042);
    let count = out.len();
    push(&mut assembler, beat, &mut out);
    assert_eq!(out.len(), count, "not idle inside a transaction");
    assert!(assembler.is_inside_transaction());
    assert_eq!(assembler.committed().unwrap().offset, 1000);
    let commit = stream.event(kind::QUERY, &query("COMMIT"));
    push(&mut assembler, commit, &mut out);
    assert_eq!(assembler.committed(), assembler.position());
    assert_eq!(kinds(&out), [TransactionKind::Empty]);
}

#[test]
fn heartbeats_of_every_version() {
    let mut v2 = vec![1, 3, b'b', b'.', b'1', 2, 9, 254];
    v2.extend_from_slice(&((1_u64 << 32) + 5).to_le_bytes());
    for tail in [&[][..], &[0]] {
        let body = [&v2, tail].concat();
        let taken = taken(made(kind::HEARTBEAT_V2, &body, 0, 0, 5));
        let read = heartbeat(Flavor::MySql, &taken).expect("version 2");
        assert_eq!(read, (&b"b.1"[..], (1 << 32) + 5));
    }
    let mut body = ((1_u64 << 32) + 5).to_le_bytes().to_vec();
    body.extend_from_slice(b"b.1");
    let long = taken(made(kind::HEARTBEAT, &body, 0, 0, 0));
    let read = heartbeat(Flavor::MariaDb, &long).expect("over 4 GiB");
    assert_eq!(read, (&b"b.1"[..], (1 << 32) + 5));
}

fn taken(bytes: Bytes) -> Taken {
    Taken {
        header: EventHeader::read(&bytes).unwrap(),
        body: HEADER_LEN..bytes.len() - CHECKSUM_LEN,
        bytes,
        nested: false,
    }
}

#[test]
fn every_form_of_commit() {
    let (mut assembler, mut stream, mut out) = mariadb();
    let forms: [(u8, &str); 5] = [
        (0, "COMMIT"),
        (0, "ROLLBACK"),
        (1, "CREATE TABLE t (a INT)"),
        (0, "commit"),
        (1, "XA ROLLBACK X'72',X'',1"),
    ];
    for (index, (flags, text)) in forms.into_iter().enumerate() {
        let gtid = stream.event(kind::MARIADB_GTID, &mariadb_gtid(index as u64 + 1, flags));
        assembler.push(gtid, &mut out).expect("gtid");
        let end = stream.event(kind::QUERY, &query(text));
        assembler.push(end, &mut out).expect(text);
    }
    let wanted = [
        TransactionKind::Empty,
        TransactionKind::Rollback,
        TransactionKind::Ddl,
        TransactionKind::Empty,
        TransactionKind::XaRollback,
    ];
    assert_eq!(kinds(&out), wanted);
    let Some(LogItem::Commit(last)) = out.last() else {
        panic!("a commit comes last");
    };
    assert_eq!(last.xa.as_deref(), Some(&b"X'72',X'',1"[..]));
    assert_eq!(last.thread_id, Some(1));
    assert_eq!(last.end, BinlogPosition::new("b.1", u64::from(stream.end)));
}

#[test]
fn a_new_file_rolls_back_what_the_old_one_left_open() {
    let (mut assembler, mut stream, mut out) = mariadb();
    let gtid = stream.event(kind::MARIADB_GTID, &mariadb_gtid(1, 0));
    assembler.push(gtid, &mut out).expect("gtid");
    assembler
        .push(fake_rotate("b.2", 4), &mut out)
        .expect("crashed source");
    assert_eq!(assembler.committed().unwrap().offset, 1000);
    let next = description(Flavor::MariaDb);
    assembler.push(next, &mut out).expect("next file");
    let tail: Vec<_> = out.iter().rev().take(2).collect();
    let is_undone =
        |i: &[&LogItem]| matches!(i, [LogItem::FormatDescription(_), LogItem::Abandoned]);
    assert!(is_undone(&tail));
    assert!(!assembler.is_inside_transaction());
}

#[test]
fn what_must_not_come_is_an_error_that_names_the_position() {
    let incident = (kind::INCIDENT, vec![1, 0, 0], 0, ErrorKind::Corrupt);
    let unknown = (200, vec![1], 0, ErrorKind::Incompatible);
    let rows = (kind::WRITE_ROWS_V1, vec![0; 12], 0, ErrorKind::Corrupt);
    let text = (kind::QUERY, query("COMMIT"), 0, ErrorKind::Corrupt);
    for (kind, body, flags, wanted) in [incident, unknown, rows, text] {
        let (mut assembler, mut stream, mut out) = mariadb();
        let event = stream.flagged(kind, &body, flags);
        let error = assembler.push(event, &mut out).expect_err("refused");
        assert_eq!(error.kind(), wanted, "{error}");
        assert_eq!(error.get("position"), Some("b.1:1000"));
        let after = stream.event(kind::MARIADB_GTID, &mariadb_gtid(1, 0));
        assert_eq!(
            assembler.push(after, &mut out).expect_err("over").kind(),
            ErrorKind::Internal
        );
    }
}

#[test]
fn ignorable_events_are_kept_where_they_stand() {
    let (mut assembler, mut stream, mut out) = mariadb();
    let outside = stream.flagged(200, b"x", FLAG_IGNORABLE);
    assembler.push(outside, &mut out).expect("ignorable");
    assert!(matches!(out.last(), Some(LogItem::FileEvent(_))));
    let gtid = stream.event(kind::MARIADB_GTID, &mariadb_gtid(1, 0));
    assembler.push(gtid, &mut out).expect("gtid");
    let inside = stream.flagged(200, b"x", FLAG_IGNORABLE);
    assembler.push(inside, &mut out).expect("ignorable");
    assert!(matches!(out.last(), Some(LogItem::Verbatim(_))));
}

#[test]
fn the_dummy_table_id_ends_a_filtered_statement() {
    let (mut assembler, mut stream, mut out) = mariadb();
    let gtid = stream.event(kind::MARIADB_GTID, &mariadb_gtid(1, 0));
    assembler.push(gtid, &mut out).expect("gtid");
    let dummy = [0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 1];
    let event = stream.event(kind::WRITE_ROWS_V1, &dummy);
    assembler.push(event, &mut out).expect("dummy");
    assert!(matches!(out.last(), Some(LogItem::Verbatim(_))));
}

#[test]
fn a_missing_checksum_is_damage() {
    let (mut assembler, mut stream, mut out) = mariadb();
    let whole = stream.event(kind::MARIADB_GTID, &mariadb_gtid(1, 0));
    let mut header = EventHeader::read(&whole).unwrap();
    header.length -= 4;
    let cut = [
        &header.to_bytes()[..],
        whole.get(19..whole.len() - 4).unwrap(),
    ]
    .concat();
    let error = assembler
        .push(Bytes::from(cut), &mut out)
        .expect_err("no checksum");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.get("position"), Some("b.1:1000"));
}

#[test]
fn the_other_flavor_and_another_start_are_refused() {
    let mut out = Vec::new();
    let mut assembler = Assembler::new(Flavor::MySql, None);
    assembler
        .push(fake_rotate("b.1", 4), &mut out)
        .expect("rotate");
    let error = assembler
        .push(description(Flavor::MariaDb), &mut out)
        .expect_err("flavor");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let start = BinlogPosition::new("b.1", 500);
    let mut assembler = Assembler::new(Flavor::MySql, Some(start));
    let error = assembler
        .push(fake_rotate("b.1", 4), &mut out)
        .expect_err("start");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
}

/// A payload of 3 x 8 MiB comes in steps; one that lies about its size is refused.
#[test]
fn a_large_payload_comes_in_steps() {
    let mut inner = Vec::new();
    let mut nested = |kind: u8, body: &[u8]| {
        let event = made(kind, body, 0, 1, 0);
        let mut header = EventHeader::read(&event).unwrap();
        header.length -= 4;
        inner.extend_from_slice(&header.to_bytes());
        inner.extend_from_slice(body);
    };
    nested(kind::QUERY, &query("BEGIN"));
    for _ in 0..24 {
        nested(kind::ROWS_QUERY, &vec![b'x'; 1 << 20]);
    }
    nested(kind::XID, &9_u64.to_le_bytes());
    for lie in [0, 1, -1] {
        let (mut assembler, out) = payload_dump(&inner, lie);
        let result = out.map(|mut out| {
            let mut steps = 1;
            let mut all = out.len();
            loop {
                out.clear();
                match assembler.more(&mut out) {
                    Ok(true) => steps += 1,
                    Ok(false) => return Ok((steps, all)),
                    Err(error) => return Err(error),
                }
                all += out.len();
            }
        });
        match lie {
            // Payload, 24 texts, commit.
            0 => assert_eq!(result.expect("event").expect("all"), (4, 26)),
            _ => assert!(result.is_err() || result.is_ok_and(|r| r.is_err())),
        }
    }
}

fn payload_dump(inner: &[u8], lie: i64) -> (Assembler, Result<Vec<LogItem>>) {
    let packed = zstd::stream::encode_all(inner, 1).expect("zstd");
    let mut body = vec![2, 1, 0, 3, 9, 254];
    body.extend_from_slice(&(inner.len() as i64 + lie).to_le_bytes());
    body.extend_from_slice(&[1, 9, 254]);
    body.extend_from_slice(&(packed.len() as u64).to_le_bytes());
    body.push(0);
    body.extend_from_slice(&packed);
    let mut assembler = Assembler::new(Flavor::MySql, None);
    let mut stream = Stream { end: 4 };
    let mut gtid = vec![0; 42];
    *gtid.get_mut(17).unwrap() = 1;
    let events = [
        fake_rotate("b.1", 4),
        description(Flavor::MySql),
        stream.event(kind::GTID, &gtid),
        stream.event(kind::TRANSACTION_PAYLOAD, &body),
    ];
    let mut out = Vec::new();
    for event in events {
        out.clear();
        if let Err(error) = assembler.push(event, &mut out) {
            return (assembler, Err(error));
        }
    }
    (assembler, Ok(out))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bodies_never_panic(
        events in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6),
        flavor in prop::bool::ANY,
    ) {
        let flavor = if flavor { Flavor::MySql } else { Flavor::MariaDb };
        let mut assembler = Assembler::new(flavor, None);
        let mut out = Vec::new();
        let mut stream = Stream { end: 4 };
        for event in [fake_rotate("b.1", 4), description(flavor)] {
            assembler.push(event, &mut out).expect("start");
        }
        for (kind, body) in events {
            let event = stream.event(kind, &body);
            if assembler.push(event, &mut out).is_err() {
                break;
            }
            while assembler.more(&mut out).unwrap_or(false) {}
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut assembler = Assembler::new(Flavor::MySql, None);
        prop_assert!(assembler.push(Bytes::from(bytes.clone()), &mut Vec::new()).is_err());
        let file = [&crate::binlog::MAGIC[..], &bytes].concat();
        prop_assert!(files::items(&file).is_err());
    }
}
