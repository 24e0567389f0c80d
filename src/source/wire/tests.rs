//! Framing at its edges, and bytes that break it.

use super::*;
use crate::error::ErrorKind;

/// Frames of `payload` beginning at `sequence`, as a server writes them.
fn frames(payload: &[u8], mut sequence: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = payload;
    loop {
        let (frame, tail) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
        out.extend_from_slice(&(frame.len() as u32).to_le_bytes()[..3]);
        out.push(sequence);
        out.extend_from_slice(frame);
        sequence = sequence.wrapping_add(1);
        rest = tail;
        if frame.len() < FRAME_BYTES_MAX {
            return out;
        }
    }
}

/// Feeds bytes in pieces and returns the packets that come out.
fn feed(framer: &mut Framer, bytes: &[u8], piece: usize) -> Result<Vec<Bytes>> {
    let mut packets = Vec::new();
    for piece in bytes.chunks(piece) {
        framer.buffer.extend_from_slice(piece);
        while let Some(packet) = framer.next()? {
            packets.push(packet);
        }
    }
    Ok(packets)
}

#[test]
fn packets_around_the_frame_bound_are_whole() {
    for extra in [-2_isize, -1, 0, 1, 2] {
        for frame_count in [1, 2] {
            let len = (FRAME_BYTES_MAX * frame_count).wrapping_add_signed(extra);
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut bytes = frames(&payload, 0);
            let next = if len < FRAME_BYTES_MAX * frame_count {
                frame_count as u8
            } else {
                frame_count as u8 + 1
            };
            bytes.extend(frames(b"after", next));
            let mut framer = Framer::new(1 << 30);
            let packets = feed(&mut framer, &bytes, 1 << 20).expect("packets");
            assert_eq!(packets.len(), 2, "{len}");
            assert!(packets[0] == payload, "{len}");
            assert_eq!(packets[1], &b"after"[..]);
            assert!(!framer.is_mid_packet());
        }
    }
}

#[test]
fn packets_come_out_whatever_the_pieces() {
    let mut bytes = Vec::new();
    let payloads: Vec<Vec<u8>> = (0..600_usize).map(|i| vec![i as u8; i % 7 * 100]).collect();
    for (index, payload) in payloads.iter().enumerate() {
        bytes.extend(frames(payload, index as u8));
    }
    for piece in [1, 3, 4, 5, 1000, bytes.len()] {
        let packets = feed(&mut Framer::new(1 << 20), &bytes, piece).expect("packets");
        assert!(packets.iter().eq(payloads.iter()), "pieces of {piece}");
    }
}

#[test]
fn order_and_bound_are_held() {
    let mut framer = Framer::new(100);
    let error = feed(&mut framer, &frames(b"x", 1), 9).expect_err("out of order");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(feed(&mut Framer::new(100), &frames(&[0; 100], 0), 9).is_ok());
    // Refused by the header alone, before its bytes are waited for.
    let error = feed(&mut Framer::new(100), &[101, 0, 0, 0], 4).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Config);
    // A bound above one frame holds over all frames of a packet together.
    let mut framer = Framer::new(FRAME_BYTES_MAX + 5);
    let bytes = frames(&vec![0; FRAME_BYTES_MAX + 6], 0);
    assert!(feed(&mut framer, &bytes, 1 << 20).is_err());
}

/// A slow stream of small packets shares blocks instead of pinning one each.
#[test]
fn small_packets_share_a_block() {
    let mut framer = Framer::new(1 << 20);
    assert_eq!(framer.next().expect("nothing yet"), None);
    let mut kept = Vec::new();
    for index in 0..1000_usize {
        kept.extend(feed(&mut framer, &frames(&[7; 200], index as u8), 4096).expect("packets"));
    }
    assert_eq!(kept.len(), 1000);
    let address = |packet: &Bytes| packet.as_ptr() as usize;
    let new_blocks = kept
        .windows(2)
        .filter(|pair| address(&pair[1]) != address(&pair[0]) + 200 + HEADER)
        .count();
    assert_eq!(new_blocks, 0, "200 kB fit one block");
}

fn pair(silence: Duration) -> (Wire, tokio::io::DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    (Wire::new(Box::new(ours), silence), theirs)
}

#[tokio::test]
async fn silence_and_closing_are_told_apart() {
    let (mut wire, theirs) = pair(Duration::from_millis(20));
    let error = wire.next().await.expect_err("silent");
    assert!(error.message().contains("silent"), "{error}");
    drop(theirs);
    let error = wire.next().await.expect_err("closed");
    assert_eq!(error.get("at"), Some("between packets"));

    let (mut wire, mut theirs) = pair(Duration::from_secs(20));
    theirs.write_all(&[9, 0, 0, 0, 1]).await.expect("sent");
    drop(theirs);
    let error = wire.next().await.expect_err("cut");
    assert_eq!(error.get("at"), Some("inside a packet"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Capture gives a wait up whenever something else is due, a segment or an acknowledgement.
#[tokio::test]
async fn silence_counts_over_waits_that_are_given_up() {
    let (mut wire, mut theirs) = pair(Duration::from_millis(60));
    let mut ended = None;
    for _ in 0..2_000 {
        let wait = tokio::time::timeout(Duration::from_millis(5), wire.next()).await;
        if let Ok(packet) = wait {
            ended = Some(packet);
            break;
        }
    }
    let error = ended.expect("an end").expect_err("nothing was sent");
    assert_eq!(error.get("silence_ms"), Some("60"));
    // What is there already is no silence, however long nobody looked.
    theirs.write_all(b"\x01\0\0\0a").await.expect("sent");
    let packet = wire.next().await.expect("a packet");
    assert_eq!(packet, b"a".as_slice());
}

/// Packets that a task sends one by one, a millisecond apart; gives how many are there at each
/// wake-up.
async fn wake_ups(is_gathered: bool) -> Vec<usize> {
    let (mut wire, mut peer) = pair(Duration::from_secs(1));
    if is_gathered {
        wire.gather();
        // Time stands still for who looks at the pace.
        wire.pace.as_mut().expect("a pace").is_slow = true;
    }
    let sender = tokio::spawn(async move {
        for sequence in 0..12 {
            let packet = frames(b"event", sequence);
            peer.write_all(&packet).await.expect("room in the pipe");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 12 {
        wire.next().await.expect("a packet");
        let more = std::iter::from_fn(|| wire.try_next().expect("whole packets"));
        counts.push(1 + more.count());
    }
    sender.await.expect("the sender");
    counts
}

#[tokio::test(start_paused = true)]
async fn small_packets_are_gathered_and_the_first_is_not_held_back() {
    assert_eq!(wake_ups(false).await, [1; 12]);
    let gathered = wake_ups(true).await;
    assert_eq!(gathered[0], 1, "it came after a silence");
    assert!(gathered.len() <= 4, "{gathered:?}");
}

#[test]
fn a_backlog_is_not_slow() {
    let time = Duration::from_millis(20);
    assert!(is_slow(0, time) && is_slow(300 << 10, time));
    assert!(!is_slow(320 << 10, time) && !is_slow(100 << 20, time));
    assert!(!Pace::start().is_slow, "it begins with what is behind");
}

#[tokio::test]
async fn long_packets_are_sent_in_frames() {
    let (ours, mut theirs) = tokio::io::duplex(40 << 20);
    let mut wire = Wire::new(Box::new(ours), Duration::from_secs(20));
    let payload = vec![5; FRAME_BYTES_MAX];
    wire.command(&payload).await.expect("sent");
    drop(wire);
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).await.expect("received");
    assert!(received == frames(&payload, 0));
}

/// Runs a query against scripted answers.
async fn query(answers: &[&[u8]]) -> Result<Vec<Vec<Option<Bytes>>>> {
    let (mut wire, mut theirs) = pair(Duration::from_secs(20));
    for (index, answer) in answers.iter().enumerate() {
        let bytes = frames(answer, index as u8 + 1);
        theirs.write_all(&bytes).await.expect("sent");
    }
    let mut command = [0; 13];
    let (rows, read) = tokio::join!(wire.query("SELECT 1"), async {
        let read = theirs.read_exact(&mut command).await;
        drop(theirs);
        read
    });
    read.expect("the command");
    assert_eq!(&command, b"\x09\0\0\0\x03SELECT 1");
    rows
}

#[tokio::test]
async fn statements_return_rows_and_refuse_files() {
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    let rows = query(&[
        b"\x02",
        b"def1",
        b"def2",
        eof,
        b"\x01a\xfb",
        b"\x00\x01b",
        eof,
    ])
    .await;
    let rows = rows.expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], [Some(Bytes::from_static(b"a")), None]);
    assert!(query(&[b"\0\0\0\x02\0\0\0"]).await.expect("ok").is_empty());
    let error = query(&[b"\xfb/etc/passwd"]).await.expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = query(&[b"\xff\x15\x04#28000no"])
        .await
        .expect_err("refused");
    assert_eq!(error.get("code"), Some("1045"));
    assert_eq!(error.get("sql"), Some("SELECT 1"));
    let error = query(&[b"\x01", b"def", eof, b"\xff\x25\x05#70100killed"]).await;
    assert_eq!(error.expect_err("killed").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn no_cut_or_changed_answer_panics() {
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    let good: Vec<&[u8]> = vec![b"\x02", b"def1", b"def2", eof, b"\x01a\xfb", eof];
    for at in 0..good.len() {
        for cut in 0..good[at].len() {
            let mut answers = good.clone();
            answers[at] = &good[at][..cut];
            query(&answers).await.ok();
        }
        for value in 0..=255 {
            let mut changed = good[at].to_vec();
            changed[0] = value;
            let mut answers = good.clone();
            answers[at] = &changed;
            query(&answers).await.ok();
        }
    }
    let mut framer = Framer::new(1 << 16);
    for seed in 0..2000_u32 {
        let noise = seed.wrapping_mul(2_654_435_761).to_le_bytes();
        if feed(&mut framer, &noise, 3).is_err() {
            framer = Framer::new(1 << 16);
        }
    }
}
