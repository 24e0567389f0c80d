//! Spool files written by the thread and read back, whole, torn and damaged.

pub(crate) use super::frame::tests::{description, head};
use super::*;
use crate::binlog::FileReader;
use crate::error::ErrorKind;
use std::time::Duration;

const FILE: &[u8] = include_bytes!("../../../tests/data/binlog/mysql-transactions.binlog");

fn events() -> Vec<Bytes> {
    let mut reader = FileReader::new();
    reader.feed(FILE);
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().expect("events") {
        events.push(event);
    }
    events.drain(1..).collect()
}

async fn until_durable(spool: &mut Spool, transactions: u64) {
    while spool.durable() < transactions {
        let changed = tokio::time::timeout(Duration::from_secs(20), spool.changed());
        changed.await.expect("in time").expect("no failure");
    }
}

/// A spool with one file of three groups; `close` ends it in order.
async fn written(folder: &Path, close: bool) -> Vec<Bytes> {
    let dir = SpoolDir::open(folder).expect("a directory");
    let mut spool = Spool::start(&dir, 4, 10, 1 << 20).expect("a thread");
    spool.begin(head(4), description().into()).expect("begun");
    let events = events();
    for (index, group) in events.chunks(events.len().div_ceil(3)).enumerate() {
        let transactions = 11 + index as u64;
        let received_us = 1000 + index as i64;
        spool
            .append(group.to_vec(), received_us, transactions)
            .expect("handed over");
        // One sync each, so that the marks say so.
        until_durable(&mut spool, transactions).await;
    }
    if close {
        spool.close().expect("closed");
    }
    drop(spool);
    events
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    events: Vec<Bytes>,
    received: Vec<i64>,
    cut: Option<(u64, u64)>,
}

fn read(folder: &Path) -> Result<Read> {
    let dir = SpoolDir::open(folder).expect("a directory");
    let mut read = Read::default();
    for file in dir.files()? {
        let mut reader = SpoolReader::open(&file)?;
        while let Some(item) = reader.next()? {
            match item {
                Item::Head(found) => assert_eq!(found.number, file.number),
                Item::Received(at) => read.received.push(at),
                Item::Event(event) => read.events.push(event),
                Item::End(_) => {}
            }
        }
        read.cut = reader.cut();
    }
    Ok(read)
}

fn path(folder: &Path) -> PathBuf {
    file_path(folder, 4)
}

#[tokio::test]
async fn what_was_durable_is_read_back_byte_for_byte() {
    for close in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let events = written(folder.path(), close).await;
        let read = read(folder.path()).expect("whole");
        // Description and file name stand before the first event.
        assert_eq!(read.events[2..], events[..]);
        assert_eq!(
            (read.received.as_slice(), read.cut),
            (&[1000, 1001, 1002][..], None)
        );
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let folder = tempfile::tempdir().expect("folder");
    let events = written(folder.path(), false).await;
    let bytes = std::fs::read(path(folder.path())).expect("a file");
    let mut last = 0;
    for cut in 0..bytes.len() {
        std::fs::write(path(folder.path()), &bytes[..cut]).expect("cut");
        let read = read(folder.path()).unwrap_or_else(|e| panic!("cut at {cut}: {e:?}"));
        let count = read.events.len().saturating_sub(2);
        assert_eq!(
            read.events.get(2..).unwrap_or_default(),
            &events[..count],
            "{cut}"
        );
        assert!(count >= last, "a longer file has no fewer events: {cut}");
        last = count;
    }
    assert_eq!(last, events.len() - 1);
}

#[tokio::test]
async fn damage_is_an_error_that_names_file_and_offset_unless_a_crash_explains_it() {
    let folder = tempfile::tempdir().expect("folder");
    let events = written(folder.path(), false).await;
    let bytes = std::fs::read(path(folder.path())).expect("a file");
    // The last group was synced, but nothing in the file says so.
    let group: usize = events
        .chunks(events.len().div_ceil(3))
        .last()
        .expect("three")
        .iter()
        .map(Bytes::len)
        .sum();
    let last_group = bytes.len() - group - frame::MARK_BYTES;
    let mut cuts = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(path(folder.path()), &damaged).expect("damage");
        match read(folder.path()) {
            Err(error) => {
                assert!(at < last_group, "{at}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                assert!(
                    error.get("file").is_some_and(|f| f.contains("004.binlog")),
                    "{error:?}"
                );
                let offset: usize = error
                    .get("offset")
                    .expect("an offset")
                    .parse()
                    .expect("number");
                assert!(offset <= at.max(4), "damage at {at} found at {offset}");
            }
            Ok(read) => {
                assert!(at >= last_group, "damage at {at} went through");
                assert!(read.cut.is_some(), "{at}");
                cuts += 1;
            }
        }
    }
    assert!(cuts > 0, "the last group was not tried");
    // An older file is never torn: a newer one was begun after its end was on disk.
    std::fs::write(path(folder.path()), &bytes).expect("whole, without an end");
    std::fs::write(file_path(folder.path(), 5), &bytes).expect("a newer one");
    let error = read(folder.path()).expect_err("its end is missing");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    std::fs::rename(file_path(folder.path(), 5), file_path(folder.path(), 6)).expect("a hole");
    let error = read(folder.path()).expect_err("a file is missing");
    assert!(error.get("before").is_some(), "{error:?}");
}

#[tokio::test]
async fn events_taken_out_or_swapped_are_found() {
    let folder = tempfile::tempdir().expect("folder");
    let events = written(folder.path(), true).await;
    let bytes = std::fs::read(path(folder.path())).expect("a file");
    let at = bytes
        .windows(events[1].len())
        .position(|w| w == events[1])
        .expect("the event");
    let mut without = bytes.clone();
    without.drain(at..at + events[1].len());
    std::fs::write(path(folder.path()), &without).expect("one less");
    // Every checksum of an event is right; the mark behind it is not where it says.
    read(folder.path()).expect_err("an event is missing");
}

#[tokio::test]
async fn files_are_dropped_oldest_first_and_bound_the_spool() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = SpoolDir::open(folder.path()).expect("a directory");
    let bytes: u64 = events().iter().map(|e| e.len() as u64).sum();
    let mut spool = Spool::start(&dir, 4, 0, bytes * 2).expect("a thread");
    for number in 4..6 {
        assert!(!spool.is_full());
        spool
            .begin(head(number), description().into())
            .expect("begun");
        spool.append(events(), 1, number).expect("handed over");
        spool.close().expect("closed");
    }
    assert!(spool.is_full());
    spool.drop_through(3).expect("nothing is committed");
    assert!(spool.is_full());
    spool.drop_through(4).expect("one file");
    assert!(!spool.is_full());
    drop(spool);
    let left: Vec<u64> = dir
        .files()
        .expect("files")
        .iter()
        .map(|f| f.number)
        .collect();
    assert_eq!(left, [5]);
}

#[test]
fn one_process_owns_a_spool() {
    let folder = tempfile::tempdir().expect("folder");
    let first = SpoolDir::open(&folder.path().join("a/b")).expect("made");
    let error = SpoolDir::open(&folder.path().join("a/b")).expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Config);
    drop(first);
    SpoolDir::open(&folder.path().join("a/b")).expect("free again");
}
