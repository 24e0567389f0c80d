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
        semi_sync: true,
        ..ReplicaOptions::new(7, Uuid::nil())
    }
}

/// An event of `len` bytes whose timestamp begins with `stamp`.
fn event(stamp: u8, len: usize) -> Vec<u8> {
    let mut event = vec![0; len];
    event[0] = stamp;
    event[4] = ROTATE;
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

/// Everything that was sent to the source so far.
async fn sent(theirs: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let read = tokio::io::AsyncReadExt::read(theirs, &mut bytes);
    let count = tokio::time::timeout(Duration::from_millis(500), read).await;
    bytes.truncate(count.expect("something was sent").expect("readable"));
    bytes
}

fn at(offset: u64) -> BinlogPosition {
    BinlogPosition::new("b.1", offset)
}

#[tokio::test]
async fn acknowledgements_have_sequence_zero_and_do_not_disturb_what_is_received() {
    let (stream, mut theirs) = begin(&[b"\0\xef\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    assert_eq!(sent(&mut theirs).await, b"\x04\0\0\0dump");
    stream.next().await.expect("first");
    for (sequence, transaction) in [(2, 1), (1, 2), (1, 3)] {
        let flagged = event(transaction, 30);
        send(&mut theirs, sequence, &[b"\0\xef\x01", &flagged]).await;
        stream.next().await.expect("flagged");
        let end = at(u64::from(transaction) * 100);
        stream
            .note_flagged(&end, u64::from(transaction))
            .expect("in order");
    }
    // One acknowledgement for the two that are durable, while the third is not.
    assert_eq!(stream.acknowledge(0).await.expect("nothing due"), None);
    let acked = stream.acknowledge(2).await.expect("sent");
    assert_eq!(acked, Some(at(200)));
    assert_eq!(
        sent(&mut theirs).await,
        b"\x0c\0\0\0\xef\xc8\0\0\0\0\0\0\0b.1"
    );
    send(&mut theirs, 1, &[b"\0\xef\0", &event(9, 33)]).await;
    assert_eq!(stream.next().await.expect("goes on").event.len(), 33);
    send(&mut theirs, 2, &[b"\0\xef\0", &event(9, 34)]).await;
    assert_eq!(stream.next().await.expect("goes on").event.len(), 34);
    assert_eq!(stream.acknowledge(2).await.expect("nothing due"), None);
    assert_eq!(
        stream.acknowledge(u64::MAX).await.expect("sent"),
        Some(at(300))
    );
}

#[tokio::test]
async fn a_packet_that_was_not_flagged_is_never_acknowledged() {
    let (stream, mut theirs) = begin(&[b"\0\xef\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    send(&mut theirs, 2, &[b"\0\xef\0", &event(1, 30)]).await;
    stream.next().await.expect("first");
    stream.next().await.expect("not flagged");
    let error = stream.note_flagged(&at(100), 1).expect_err("not asked for");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(
        stream.acknowledge(u64::MAX).await.expect("nothing due"),
        None
    );
}

#[tokio::test]
async fn the_header_is_known_from_the_first_packet_only() {
    // A later packet without the header is broken, whatever its bytes look like.
    let (stream, mut theirs) = begin(&[b"\0\xef\0", &event(0, 40)]).await;
    let mut stream = stream.expect("a stream");
    stream.next().await.expect("first");
    send(&mut theirs, 2, &[b"\0", &event(0, 30)]).await;
    stream.next().await.expect_err("no header");
    // A first event that is no ROTATE of the dump thread cannot tell header from timestamp.
    for first in [event(0xEF, 40), vec![0; 40]] {
        let (stream, _theirs) = begin(&[b"\0", &first]).await;
        stream.expect_err("not the start of a stream");
    }
}
