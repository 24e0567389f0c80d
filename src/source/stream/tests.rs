//! Streams as a source sends them, with and without semi-sync, and broken ones.

use super::*;
use crate::error::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream};
use uuid::Uuid;

fn options() -> ReplicaOptions {
    ReplicaOptions {
        heartbeat: Duration::from_millis(50),
        first_packet_timeout: Duration::from_millis(200),
        ..ReplicaOptions::new(7, Uuid::nil())
    }
}

/// An event of `len` bytes whose timestamp begins with `stamp`.
fn event(stamp: u8, len: usize) -> Vec<u8> {
    let mut event = vec![0; len];
    event[0] = stamp;
    event
}

async fn send(to: &mut DuplexStream, sequence: u8, parts: &[&[u8]]) {
    let payload = parts.concat();
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend(payload);
    to.write_all(&bytes).await.expect("sent");
}

/// A stream whose dump command has been sent; the source's first packet has sequence 1.
async fn begin(first: &[&[u8]]) -> (Result<EventStream>, DuplexStream) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let mut wire = Wire::new(Box::new(ours), Duration::from_secs(5));
    wire.command(b"dump").await.expect("sent");
    if !first.is_empty() {
        send(&mut theirs, 1, first).await;
    }
    let stream = EventStream::begin(wire, &options(), Checksum::Crc32).await;
    (stream, theirs)
}

#[tokio::test]
async fn plain_streams_keep_a_timestamp_that_looks_like_semi_sync() {
    let (stream, mut theirs) = begin(&[b"\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    assert!(!stream.is_semi_sync());
    send(&mut theirs, 2, &[b"\0", &event(0xEF, 30)]).await;
    assert_eq!(stream.next().await.expect("first").event.len(), 40);
    let second = stream.next().await.expect("second");
    assert_eq!((second.event.len(), second.semi_sync_ack), (30, None));
    assert_eq!(stream.try_next_buffered().expect("nothing"), None);
}

#[tokio::test]
async fn the_sequence_begins_anew_after_a_flagged_packet() {
    let (stream, mut theirs) = begin(&[b"\0\xef\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    assert!(stream.is_semi_sync());
    send(&mut theirs, 2, &[b"\0\xef\x01", &event(1, 30)]).await;
    send(&mut theirs, 1, &[b"\0\xef\0", &event(2, 31)]).await;
    send(&mut theirs, 2, &[b"\0\xef\0", &event(3, 32)]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let packet = stream.next().await.expect("a packet");
        seen.push((packet.event.len(), packet.semi_sync_ack));
    }
    let flags = [Some(false), Some(true), Some(false), Some(false)];
    assert!(seen.iter().map(|s| s.1).eq(flags), "{seen:?}");
    assert_eq!(seen.last(), Some(&(32, Some(false))));
}

#[tokio::test]
async fn buffered_packets_are_taken_without_waiting() {
    let (stream, mut theirs) = begin(&[b"\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    for sequence in 2..9 {
        send(&mut theirs, sequence, &[b"\0", &event(sequence, 19)]).await;
    }
    let mut count = 0;
    for _ in 0..2 {
        stream.next().await.expect("a packet");
        count += 1;
        while stream.try_next_buffered().expect("intact").is_some() {
            count += 1;
        }
        if count == 8 {
            return;
        }
    }
    panic!("{count} of 8 packets");
}

#[tokio::test]
async fn refusals_and_ends_are_errors_of_their_kind() {
    let (stream, _theirs) =
        begin(&[b"\xff\xd4\x04#HY000Could not find first log file name in binary log index file"])
            .await;
    let error = stream.expect_err("purged");
    assert_eq!(
        (error.kind(), error.get("refusal")),
        (ErrorKind::Gap, Some("purged"))
    );
    let (stream, _theirs) = begin(&[b"\xfe\0\0\x02\0"]).await;
    assert_eq!(stream.expect_err("eof").kind(), ErrorKind::Unavailable);
    for bad in [
        &b"\0"[..],
        b"\0\xef",
        b"\0\xef\0",
        b"\x07",
        b"",
        b"\0aaaaaaaaaaaaaaaaaa",
    ] {
        let (stream, _theirs) = begin(&[bad]).await;
        assert!(stream.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_silent_source_is_given_up() {
    let (stream, _theirs) = begin(&[]).await;
    let error = stream.expect_err("no first packet");
    assert_eq!(
        (error.kind(), error.get("silence_ms")),
        (ErrorKind::Unavailable, Some("200"))
    );
    let (stream, _theirs) = begin(&[b"\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    stream.next().await.expect("first");
    let error = stream
        .next()
        .await
        .expect_err("two heartbeats without a byte");
    assert_eq!(
        (error.kind(), error.get("silence_ms")),
        (ErrorKind::Unavailable, Some("100"))
    );
}
