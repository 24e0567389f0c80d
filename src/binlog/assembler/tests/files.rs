//! Files captured from live servers: what they mean, and what damage does to them.

use super::*;
use crate::binlog::FileReader;
use crate::schema::TableShape;
use std::fmt::Write;

/// Written by MySQL 9.7.4, MariaDB 10.11.19 and 11.8.9; `README.md` beside them says how.
const FILES: [&str; 10] = [
    "mysql-types",
    "mysql-transactions",
    "mysql-payload",
    "mysql-partial",
    "mysql-anonymous",
    "mariadb-types",
    "mariadb-transactions",
    "mariadb-compressed",
    "mariadb-partial",
    "mariadb-generated",
];

fn path(name: &str, extension: &str) -> std::path::PathBuf {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(format!("tests/data/binlog/{name}.{extension}"))
}

pub(in crate::binlog) fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name, "binlog")).expect("captured file")
}

/// Everything the file holds, or the first error.
pub(in crate::binlog) fn items(bytes: &[u8]) -> Result<Vec<LogItem>> {
    let mut reader = FileReader::new();
    reader.feed(bytes);
    let mut out = Vec::new();
    let mut assembler: Option<Assembler> = None;
    while let Some(event) = reader.next_event()? {
        let flavor = reader.flavor().expect("an event was read");
        let start = BinlogPosition::new("binlog.1", 4);
        let assembler = assembler.get_or_insert_with(|| Assembler::new(flavor, Some(start)));
        assembler.push(event, &mut out)?;
        while assembler.more(&mut out)? {}
    }
    reader.finish(false)?;
    Ok(out)
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\n', " ");
    text.chars().take(60).collect()
}

fn kind_of(event: &Bytes) -> String {
    name(event.get(4).copied().unwrap_or(0))
}

fn describe_shape(out: &mut String, shape: &TableShape) {
    let key: Vec<_> = shape.key.iter().map(|p| (p.column, p.prefix)).collect();
    let _ = writeln!(out, "table {} key {key:?}", shape.name);
    for c in &shape.columns {
        let _ = write!(
            out,
            "    {}: type {} meta {:#x}",
            c.name, c.wire_type, c.metadata
        );
        let flags = [
            (c.nullable, "null"),
            (c.unsigned, "unsigned"),
            (!c.visible, "invisible"),
        ];
        for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
            let _ = write!(out, " {flag}");
        }
        if let Some(collation) = c.collation {
            let _ = write!(out, " collation {collation}");
        }
        for label in &c.labels {
            let _ = write!(out, " '{}'", text(label));
        }
        if let Some(geometry) = c.geometry_type {
            let _ = write!(out, " geometry {geometry}");
        }
        let _ = writeln!(out, " -> {:?}", c.stored);
    }
}

fn describe(items: &[LogItem]) -> String {
    let mut out = String::new();
    let mut shapes: Vec<*const TableShape> = Vec::new();
    for item in items {
        let _ = match item {
            LogItem::Begin(b) => writeln!(
                out,
                "begin {} flags {} clock {}/{} at {:?}",
                b.gtid
                    .as_ref()
                    .map_or_else(|| "anonymous".into(), Gtid::to_string),
                b.flags,
                b.last_committed,
                b.sequence_number,
                b.immediate_commit_us,
            ),
            LogItem::Rows(r) => {
                if !shapes.contains(&std::sync::Arc::as_ptr(&r.shape)) {
                    shapes.push(std::sync::Arc::as_ptr(&r.shape));
                    describe_shape(&mut out, &r.shape);
                }
                let images = r.event.get(r.images.clone()).expect("inside the event");
                let hash = crc32fast::hash(images);
                let nested = if r.nested { " nested" } else { "" };
                let absent = r.absent.as_ref();
                let absent = absent.map_or_else(String::new, |cells| {
                    format!(" lacks {:?} in {:?}", cells.columns, cells.images)
                });
                writeln!(
                    out,
                    "  {:?} {} flags {:#x} {} bytes {hash:08x}{nested}{absent}",
                    r.kind,
                    r.shape.name,
                    r.flags,
                    images.len(),
                )
            }
            LogItem::Statement(s) => writeln!(
                out,
                "  {:?} db '{}' '{}' charset {:?} mode {:?} error {} at {} nested {}",
                s.kind,
                text(&s.default_db),
                text(&s.text),
                s.charset,
                s.sql_mode,
                s.error_code,
                s.header_us,
                s.nested,
            ),
            LogItem::Undecoded(u) => {
                let table = u.shape.as_ref().map(|s| s.name.to_string());
                writeln!(out, "  undecoded {} {table:?}", u.reason)
            }
            LogItem::Verbatim(event) => writeln!(out, "  verbatim {}", kind_of(event)),
            LogItem::Commit(c) => {
                let xa = c.xa.as_deref().map(text);
                writeln!(
                    out,
                    "commit {:?} xid {:?} xa {xa:?} end {} event {}",
                    c.kind,
                    c.xid,
                    c.end,
                    c.event.len(),
                )
            }
            LogItem::FormatDescription(_) => writeln!(out, "format description"),
            LogItem::FileEvent(event) => writeln!(out, "file {}", kind_of(event)),
            LogItem::Abandoned => writeln!(out, "abandoned"),
            LogItem::Idle(at) => writeln!(out, "idle {at}"),
        };
    }
    out
}

/// `TIDELOG_BLESS=1 cargo test` writes the descriptions anew; read the difference before it is
/// committed.
#[test]
fn captured_files_mean_what_they_meant() {
    for file in FILES {
        let got = describe(&items(&read(file)).expect(file));
        if std::env::var_os("TIDELOG_BLESS").is_some() {
            std::fs::write(path(file, "txt"), &got).expect("write");
        }
        let wanted = std::fs::read_to_string(path(file, "txt")).expect(file);
        for (number, (got, wanted)) in got.lines().zip(wanted.lines()).enumerate() {
            assert_eq!(got, wanted, "{file} line {}", number + 1);
        }
        assert_eq!(got.lines().count(), wanted.lines().count(), "{file}");
    }
}

/// Every event of the file is in exactly one item, whole and in order: nested ones are extra.
#[test]
fn items_hold_every_byte_of_the_file() {
    for file in FILES {
        let bytes = read(file);
        let mut rebuilt = crate::binlog::MAGIC.to_vec();
        for item in items(&bytes).expect(file) {
            match item {
                LogItem::Begin(b) => rebuilt.extend_from_slice(&b.event),
                LogItem::Rows(r) if !r.nested => rebuilt.extend_from_slice(&r.event),
                LogItem::Statement(s) if !s.nested => rebuilt.extend_from_slice(&s.event),
                LogItem::Undecoded(u) if !u.nested => rebuilt.extend_from_slice(&u.event),
                LogItem::Verbatim(event)
                | LogItem::FileEvent(event)
                | LogItem::FormatDescription(event) => rebuilt.extend_from_slice(&event),
                LogItem::Commit(c) => rebuilt.extend_from_slice(&c.event),
                _ => {}
            }
        }
        assert!(rebuilt == bytes, "{file}");
    }
}

#[test]
fn shapes_are_shared_by_events_of_the_same_map() {
    let mut shapes = Vec::new();
    for item in items(&read("mysql-types")).expect("file") {
        if let LogItem::Rows(rows) = item
            && rows.shape.name.table == "keyless"
        {
            shapes.push(rows.shape);
        }
    }
    let [first, second] = shapes.as_slice() else {
        panic!("two events of the table");
    };
    assert!(std::sync::Arc::ptr_eq(first, second));
}

/// One flipped bit anywhere is found, but for the flag that is no part of any checksum.
#[test]
fn a_flipped_bit_is_found() {
    for file in ["mysql-payload", "mariadb-compressed", "mysql-types"] {
        let mut bytes = read(file);
        for at in 0..bytes.len() {
            let mask = 1_u8 << (at % 8);
            *bytes.get_mut(at).unwrap() ^= mask;
            let is_in_use_flag = at == 4 + 17 && mask == 1;
            assert_eq!(items(&bytes).is_err(), !is_in_use_flag, "{file} byte {at}");
            *bytes.get_mut(at).unwrap() ^= mask;
        }
    }
}

/// The file with all checksums taken away, so that damage reaches the parsers.
fn without_checksums(bytes: &[u8]) -> Vec<Bytes> {
    let mut reader = FileReader::new();
    reader.feed(bytes);
    let mut events = Vec::new();
    let mut end = 4;
    while let Some(event) = reader.next_event().expect("whole file") {
        let mut header = EventHeader::read(&event).expect("header");
        let is_description = header.kind == kind::FORMAT_DESCRIPTION;
        let mut kept = event
            .get(HEADER_LEN..event.len() - CHECKSUM_LEN)
            .unwrap()
            .to_vec();
        if is_description {
            *kept.last_mut().unwrap() = 0;
        }
        header.length = (HEADER_LEN + kept.len()) as u32 + if is_description { 4 } else { 0 };
        end += header.length;
        header.log_pos = end;
        let mut event = [&header.to_bytes()[..], &kept].concat();
        if is_description {
            event.extend_from_slice(&crate::binlog::event::checksum(&event).to_le_bytes());
        }
        events.push(Bytes::from(event));
    }
    events
}

fn assemble(flavor: Flavor, events: impl Iterator<Item = Bytes>) -> Result<Vec<LogItem>> {
    let mut assembler = Assembler::new(flavor, Some(BinlogPosition::new("binlog.1", 4)));
    let mut out = Vec::new();
    for event in events {
        assembler.push(event, &mut out)?;
        while assembler.more(&mut out)? {}
    }
    Ok(out)
}

#[test]
fn damage_that_no_checksum_finds_never_panics() {
    for file in FILES {
        let flavor = match file.starts_with("mysql") {
            true => Flavor::MySql,
            false => Flavor::MariaDb,
        };
        let events = without_checksums(&read(file));
        assemble(flavor, events.iter().cloned()).expect(file);
        let (mut errors, mut runs) = (0, 0);
        for (index, event) in events.iter().enumerate().skip(1) {
            for at in 0..event.len() {
                let mut damaged = event.to_vec();
                *damaged.get_mut(at).unwrap() ^= 1 << (at % 8);
                let mut cut = event.slice(..at).to_vec();
                if let Some(length) = cut.get_mut(9..13) {
                    length.copy_from_slice(&(at as u32).to_le_bytes());
                }
                for changed in [damaged, cut] {
                    let changed = Bytes::from(changed);
                    // What leads to this event is the same every time: only it and the rest.
                    let from = index.saturating_sub(4).max(1);
                    let lead = events
                        .iter()
                        .take(1)
                        .chain(events.iter().take(index).skip(from));
                    let rest = events.iter().skip(index + 1).take(3);
                    let all = lead.cloned().chain([changed]).chain(rest.cloned());
                    let mut assembler = Assembler::new(flavor, None);
                    assembler.place.announce("binlog.1", 4).expect("start");
                    let mut out = Vec::new();
                    let result = all.into_iter().try_for_each(|event| {
                        assembler.push(event, &mut out)?;
                        while assembler.more(&mut out)? {}
                        Ok::<(), Error>(())
                    });
                    errors += usize::from(result.is_err());
                    runs += 1;
                }
            }
        }
        assert!(
            errors > runs / 4,
            "{file}: {errors} of {runs} damages were found"
        );
    }
}
