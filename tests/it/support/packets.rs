//! Packets of the client protocol, as little of them as a proxy and a fake server need.

use tokio::io::{AsyncRead, AsyncReadExt};

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
const XID: u8 = 16;
const GTIDS: [u8; 3] = [33, 42, 162];

/// Takes packets out of bytes that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Packets(Vec<u8>);

impl Packets {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Sequence and payload of the next whole packet.
    pub(crate) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let &[a, b, c, sequence] = self.0.first_chunk::<4>()?;
        let end = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        let payload = self.0.get(4..end)?.to_vec();
        self.0.drain(..end);
        Some((sequence, payload))
    }

    /// The next packet of a connection; `None` at its end.
    pub(crate) async fn read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Option<(u8, Vec<u8>)> {
        let mut buffer = vec![0; 1 << 14];
        loop {
            if let Some(packet) = self.next() {
                return Some(packet);
            }
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.feed(&buffer[..count]),
            }
        }
    }
}

/// One frame.
pub(crate) fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend_from_slice(payload);
    bytes
}

/// A payload of any length in as many frames as it takes, and the sequence of the next.
pub(crate) fn frames(mut sequence: u8, mut payload: &[u8]) -> (Vec<u8>, u8) {
    let mut bytes = Vec::new();
    loop {
        let (frame, rest) = payload.split_at(payload.len().min(0xff_ffff));
        bytes.extend(packet(sequence, frame));
        sequence = sequence.wrapping_add(1);
        payload = rest;
        if frame.len() < 0xff_ffff {
            return (bytes, sequence);
        }
    }
}

/// An error of the server.
pub(crate) fn error_packet(sequence: u8, code: u16, text: &str) -> Vec<u8> {
    let mut payload = vec![0xff];
    payload.extend_from_slice(&code.to_le_bytes());
    payload.extend_from_slice(b"#HY000");
    payload.extend_from_slice(text.as_bytes());
    packet(sequence, &payload)
}

/// Whether a command asks for the stream that capture follows. Looks at single events of the binlog
/// come under the last of the sixteen server ids of a repository.
pub(crate) fn is_main_dump(command: &[u8]) -> bool {
    match command.first() {
        Some(&COM_BINLOG_DUMP_GTID) => true,
        Some(&COM_BINLOG_DUMP) => command.get(7).is_some_and(|id| id & 0xf != 0xf),
        _ => false,
    }
}

/// Where the parts of a recorded dump end: what comes before the first transaction, then each
/// transaction that ends with an XID event.
pub(crate) fn parts(stream: &[u8]) -> (usize, Vec<usize>) {
    let mut packets = Packets::default();
    packets.feed(stream);
    let (mut at, mut prelude, mut ends) = (0, None, Vec::new());
    while let Some((_, payload)) = packets.next() {
        let kind = payload.get(5).copied().unwrap_or_default();
        if GTIDS.contains(&kind) {
            prelude.get_or_insert(at);
        }
        at += 4 + payload.len();
        if kind == XID {
            ends.push(at);
        }
    }
    (prelude.unwrap_or(at), ends)
}
