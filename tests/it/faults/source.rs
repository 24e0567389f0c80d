//! A source that says no, lies, or counts further than 32 bits; clocks that jump.

use super::cuts::uncut;
use crate::support::fake_source::{Dump, FakeSource, Played};
use crate::support::packets::{Packets, error_packet, packet, parts};
use crate::support::recorded::{self, Recorded, content, once, run};
use bytes::Bytes;
use std::time::Duration;
use tidelog::error::ErrorKind;
use tidelog::log::CaptureOptions;
use tidelog::manifest::Repository;
use tidelog::position::{Flavor, Seq};
use tidelog::runtime::{Clock, Deadline};
use tidelog::storage::Store;

const FLAVORS: [Flavor; 2] = [Flavor::MySql, Flavor::MariaDb];

/// The stream up to the end of the first transaction, and the connection's end.
fn first_of(dump: &Dump<'_>) -> Played {
    let (_, ends) = parts(dump.recorded);
    Played {
        bytes: dump.recorded[..ends[0]].to_vec(),
        stays: false,
    }
}

fn refusal(text: &str) -> Played {
    Played {
        bytes: error_packet(1, 1236, text),
        stays: false,
    }
}

/// A source that lost the end of its binlog between two connections: capture stops, and keeps
/// exactly what it had.
#[tokio::test(flavor = "multi_thread")]
async fn fault_02_a_source_that_lost_its_tail_ends_capture() {
    for flavor in FLAVORS {
        let recorded = recorded::of(flavor).await;
        let whole = uncut(recorded).await.events;
        for text in [
            "Client requested master to start replication from position > file size",
            "Client requested source to start replication from impossible position",
            "Replica has more GTIDs than the source has, using the source's SERVER_UUID",
            "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's binlog",
        ] {
            let script = move |dump: &Dump<'_>| match dump.number {
                0 => first_of(dump),
                _ => refusal(text),
            };
            let source = FakeSource::start(&recorded.recording, script).await;
            let store = recorded.before().await;
            let ended = once(&store, source.endpoint(), recorded.at_us).await;
            let error = ended.expect_err("it must not go on");
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{}", error.report());
            assert_eq!(error.get("refusal"), Some("diverged"), "{}", error.report());
            assert!(error.hint_text().is_some(), "{}", error.report());
            assert_eq!(source.dumps(), 2, "{flavor}: asked once more, and no more");
            let kept = content(&store).await.events;
            assert!(
                !kept.is_empty() && whole.starts_with(&kept),
                "{flavor}: {text}"
            );
        }
    }
}

/// One that takes our place once may be a connection of our own; twice it is a rival, and capture
/// ends instead of taking its place again.
#[tokio::test(flavor = "multi_thread")]
async fn fault_31_a_rival_with_our_identity_ends_capture() {
    const RIVAL: &str =
        "A replica with the same server_uuid/server_id as this replica has connected to the source";
    for flavor in FLAVORS {
        let recorded = recorded::of(flavor).await;
        let once_only = |dump: &Dump<'_>| match dump.number {
            0 => refusal(RIVAL),
            _ => whole_of(dump),
        };
        let source = FakeSource::start(&recorded.recording, once_only).await;
        let store = recorded.before().await;
        let done = once(&store, source.endpoint(), recorded.at_us).await;
        done.unwrap_or_else(|e| panic!("{flavor}: {}", e.report()));
        assert!(content(&store).await == uncut(recorded).await, "{flavor}");

        let source = FakeSource::start(&recorded.recording, |_: &Dump<'_>| refusal(RIVAL)).await;
        let store = recorded.before().await;
        let ended = once(&store, source.endpoint(), recorded.at_us).await;
        let error = ended.expect_err("a rival");
        assert_eq!(error.kind(), ErrorKind::Config, "{}", error.report());
        assert_eq!(
            error.get("refusal"),
            Some("collision"),
            "{}",
            error.report()
        );
        assert_eq!(source.dumps(), 2, "{flavor}");
    }
}

fn whole_of(dump: &Dump<'_>) -> Played {
    Played {
        bytes: dump.recorded.to_vec(),
        stays: true,
    }
}

/// Our clock jumps an hour forth and back while connections end: the log keeps the order of the
/// source, what it covers never runs back, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn fault_26_a_clock_that_jumps_orders_nothing() {
    const HOUR_US: i64 = 3_600_000_000;
    for flavor in FLAVORS {
        let recorded = recorded::of(flavor).await;
        let (clock, hand) = Clock::manual(recorded.at_us);
        let script = move |dump: &Dump<'_>| {
            let by = [HOUR_US, -2 * HOUR_US, 2 * HOUR_US];
            hand.advance(by.get(dump.number).copied().unwrap_or(-HOUR_US));
            match parts(dump.recorded).1.len() {
                1 => whole_of(dump),
                _ => first_of(dump),
            }
        };
        let source = FakeSource::start(&recorded.recording, script).await;
        let store = recorded.before().await;
        let options = CaptureOptions {
            once: true,
            ..CaptureOptions::default()
        };
        let done = run(&store, &source.endpoint(), &options, &clock).await;
        done.unwrap_or_else(|e| panic!("{flavor}: {}", e.report()));
        assert_eq!(source.dumps(), 3, "{flavor}: the clock jumped between them");
        let found = content(&store).await;
        assert_eq!(found.events, uncut(recorded).await.events, "{flavor}");
        let covered = found
            .manifests
            .iter()
            .map(|m| m["covered_through_us"].as_i64());
        assert!(covered.is_sorted(), "{flavor}: {:#?}", found.manifests);
        let latest = found
            .manifests
            .iter()
            .filter_map(|m| m["commit_time"]["max_us"].as_i64());
        assert!(latest.is_sorted(), "{flavor}: {:#?}", found.manifests);
    }
}

/// The recorded stream as if its file were one of over 4 GiB: each event stands so much further on,
/// of which headers have the low half only. The half is full within the second transaction.
fn beyond_four_gib(recorded: &Recorded) -> (Vec<u8>, Vec<Bytes>, u64) {
    let (prelude, ends) = parts(&recorded.stream);
    let start = (1_u64 << 32) - (ends[0] + (ends[1] - ends[0]) / 2 - prelude / 2) as u64;
    let mut packets = Packets::default();
    packets.feed(&recorded.stream[..ends[2]]);
    let (mut at, mut sequence, mut stream, mut events) = (start, 1_u8, Vec::new(), Vec::new());
    while let Some((_, mut payload)) = packets.next() {
        let event = &mut payload[1..];
        let (kind, length) = (event[4], event.len());
        match kind {
            // Heartbeats tell of the file as it was.
            27 | 41 => continue,
            4 if event[..4] == [0; 4] => event[19..27].copy_from_slice(&start.to_le_bytes()),
            // What the dump thread made is not in the file.
            _ if event[17] & 0x20 != 0 || (kind == 15 && event[13..17] == [0; 4]) => {}
            _ => {
                at += length as u64;
                // MariaDB 11.8 leaves positions out within a transaction.
                if event[13..17] != [0; 4] {
                    event[13..17].copy_from_slice(&(at as u32).to_le_bytes());
                }
            }
        }
        let sum = crc32fast::hash(&event[..length - 4]);
        event[length - 4..].copy_from_slice(&sum.to_le_bytes());
        if at > start || !matches!(kind, 4 | 15) {
            events.push(Bytes::copy_from_slice(event));
        }
        stream.extend(packet(sequence, &payload));
        sequence = sequence.wrapping_add(1);
    }
    (stream, events, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_33_positions_go_on_past_four_gib() {
    for flavor in FLAVORS {
        let recorded = recorded::of(flavor).await;
        let (stream, sent, end) = beyond_four_gib(recorded);
        assert!(end > 1 << 32);
        let script = move |_: &Dump<'_>| Played {
            bytes: stream.clone(),
            stays: true,
        };
        let source = FakeSource::start(&recorded.recording, script).await;
        let store = recorded.before().await;
        let (clock, _hand) = Clock::manual(recorded.at_us);
        let options = CaptureOptions::default();
        let (running, seal_now) =
            recorded::spawn(&store, source.endpoint(), &options, &clock).await;
        let deadline = Deadline::after(Duration::from_secs(60));
        while transactions(&store).await < 3 {
            assert!(
                !deadline.has_passed() && !running.is_finished(),
                "{flavor}: {running:?}"
            );
            seal_now.notify_one();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.abort();
        let found = content(&store).await;
        let last = found.manifests.last().expect("a manifest");
        assert_eq!(
            last["position_last"]["offset"].as_u64(),
            Some(end),
            "{flavor}"
        );
        let tail = &found.events[found.events.len() - 3..];
        assert!(sent.ends_with(tail), "{flavor}: {tail:?}");
    }
}

/// Transactions after those with which the recording begins.
async fn transactions(store: &Store) -> u64 {
    let repository = Repository::open(store.clone()).await.expect("a repository");
    let mut manifests = repository
        .manifests(1, Seq::FIRST, None)
        .await
        .expect("manifests");
    let mut count = 0;
    while let Some(stored) = manifests.next().await.expect("a whole chain") {
        count += stored.manifest.transactions;
    }
    count
}
