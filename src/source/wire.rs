//! Packets on a byte stream: framing, sequence numbers, and small statements by text protocol.
//!
//! A packet is one or more frames of at most 2^24-1 bytes: u24 length, u8 sequence number,
//! payload; a full frame is always followed by another one, if need be an empty one. Bytes are read
//! in large pieces into one buffer and packets are split off it without a copy; only a packet of
//! several frames is joined.

use super::classify::server_error;
use super::packet::{self, ServerError, malformed};
use crate::error::{Error, Result, Wrap};
use crate::runtime::Stopwatch;
use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt as _;
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Payload of a frame that another one follows.
pub(super) const FRAME_BYTES_MAX: usize = 0xFF_FFFF;
const HEADER: usize = 4;
/// Size of a block that reads go into: few, large system calls.
const BLOCK_BYTES: usize = 512 << 10;
/// Room below which a new block is begun. Packets keep their block alive, so a block is used up
/// before the next: a slow stream of small packets must not pin one block each.
const ROOM_BYTES_MIN: usize = 64 << 10;
/// How long a stream that is gathered rests once everything that was there is taken.
const REST: Duration = Duration::from_millis(5);
/// What comes faster than this is a backlog, and would fill the socket while it rests.
const BACKLOG_BYTES_PER_MS: u32 = 16 << 10;
/// Over so long a time it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Bound of a packet outside the dump stream (results of our own small statements).
pub(super) const SETUP_PACKET_BYTES_MAX: usize = 64 << 20;

/// What a [`Wire`] runs on: TCP, TLS over TCP, a unix socket, a pipe in tests.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Takes packets out of received bytes; no input or output of its own.
#[derive(Debug)]
pub(super) struct Framer {
    buffer: BytesMut,
    /// Frames of a packet whose last frame has not come yet.
    joined: BytesMut,
    is_joining: bool,
    /// Sequence number the next frame must carry.
    sequence: u8,
    packet_bytes_max: usize,
}

impl Framer {
    pub(super) fn new(packet_bytes_max: usize) -> Self {
        Framer {
            buffer: BytesMut::new(),
            joined: BytesMut::new(),
            is_joining: false,
            sequence: 0,
            packet_bytes_max,
        }
    }

    /// The next whole packet in the buffer; `None` when more bytes are needed, for which room has
    /// then been made.
    ///
    /// # Errors
    /// `Unavailable` for a wrong sequence number, `Config` for a packet over the bound.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(&[a, b, c, sequence]) = self.buffer.first_chunk::<HEADER>() else {
                self.make_room(0);
                return Ok(None);
            };
            let len = u32::from_le_bytes([a, b, c, 0]) as usize;
            if sequence != self.sequence {
                return Err(malformed("read packet: out of order")
                    .field("sequence", sequence)
                    .field("expected", self.sequence));
            }
            if self.joined.len() + len > self.packet_bytes_max {
                return Err(Error::config("read packet: over the bound")
                    .field("bytes", self.joined.len() + len)
                    .field("bound", self.packet_bytes_max)
                    .hint("raise the packet bound of this connection"));
            }
            if self.buffer.len() < HEADER + len {
                self.make_room(HEADER + len - self.buffer.len());
                return Ok(None);
            }
            self.buffer.advance(HEADER);
            self.sequence = sequence.wrapping_add(1);
            let frame = self.buffer.split_to(len);
            if len < FRAME_BYTES_MAX && !self.is_joining {
                return Ok(Some(frame.freeze()));
            }
            self.joined.extend_from_slice(&frame);
            self.is_joining = len == FRAME_BYTES_MAX;
            if !self.is_joining {
                return Ok(Some(self.joined.split().freeze()));
            }
        }
    }

    fn make_room(&mut self, missing: usize) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < missing.max(ROOM_BYTES_MIN) {
            self.buffer.reserve(missing.max(BLOCK_BYTES));
        }
    }

    /// Whether a packet has begun that is not whole yet.
    fn is_mid_packet(&self) -> bool {
        self.is_joining || !self.buffer.is_empty()
    }
}

/// A connection that carries packets.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    framer: Framer,
    /// Longest silence that is tolerated while a packet is waited for.
    silence_max: Duration,
    /// Since when bytes are waited for; a wait that is given up and begun again goes on.
    waiting: Option<Stopwatch>,
    /// Of a stream that is gathered.
    pace: Option<Pace>,
    out: Vec<u8>,
}

/// How fast bytes come.
#[derive(Debug)]
struct Pace {
    since: Stopwatch,
    bytes: usize,
    is_slow: bool,
    /// Whether anything came since the last rest.
    has_come: bool,
}

impl Pace {
    fn start() -> Pace {
        Pace {
            since: Stopwatch::start(),
            bytes: 0,
            is_slow: false,
            has_come: false,
        }
    }

    /// Looks whether they come slowly, when it is time to.
    fn look(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed >= LOOK {
            self.is_slow = is_slow(self.bytes, elapsed);
            (self.since, self.bytes) = (Stopwatch::start(), 0);
        }
    }
}

fn is_slow(bytes: usize, time: Duration) -> bool {
    (bytes as u128) < u128::from(BACKLOG_BYTES_PER_MS) * time.as_millis()
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("buffered", &self.framer.buffer.len())
            .field("sequence", &self.framer.sequence)
            .finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>, silence_max: Duration) -> Self {
        Wire {
            stream,
            framer: Framer::new(SETUP_PACKET_BYTES_MAX),
            silence_max,
            waiting: None,
            pace: None,
            out: Vec::new(),
        }
    }

    /// Takes the stream out to encrypt it; refused when the peer has sent bytes ahead, which would
    /// then be taken for encrypted ones.
    pub(super) fn into_stream(self) -> Result<(Box<dyn Stream>, u8)> {
        match self.framer.is_mid_packet() {
            true => Err(malformed("start TLS: bytes came before it")),
            false => Ok((self.stream, self.framer.sequence)),
        }
    }

    /// A wire over the encrypted stream, continuing the sequence.
    pub(super) fn resume(stream: Box<dyn Stream>, silence_max: Duration, sequence: u8) -> Self {
        let mut wire = Wire::new(stream, silence_max);
        wire.framer.sequence = sequence;
        wire
    }

    pub(super) fn set_silence_max(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
        self.waiting = None;
    }

    pub(super) fn set_packet_bytes_max(&mut self, bytes: usize) {
        self.framer.packet_bytes_max = bytes;
    }

    /// From now on small packets are gathered. A source writes each commit on its own, and waking up
    /// for each takes CPU that both may share. What comes after a silence is taken at once.
    pub(super) fn gather(&mut self) {
        self.pace = Some(Pace::start());
    }

    /// Sets the sequence number that the next frame must carry.
    pub(super) fn expect_sequence(&mut self, sequence: u8) {
        self.framer.sequence = sequence;
    }

    /// A packet that is already here; never waits.
    pub(super) fn try_next(&mut self) -> Result<Option<Bytes>> {
        self.framer.next()
    }

    /// The next packet. Cancel-safe: bytes received stay in the buffer, and silence before counts.
    ///
    /// # Errors
    /// `Unavailable` when the peer closes, or is silent for longer than the deadline.
    pub(super) async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(packet) = self.framer.next()? {
                return Ok(packet);
            }
            let waiting = self.waiting.get_or_insert_with(Stopwatch::start);
            let left = self.silence_max.saturating_sub(waiting.elapsed());
            let buffer = &mut self.framer.buffer;
            let read = read_some(&mut self.stream, buffer, self.pace.as_mut());
            let Ok(read) = tokio::time::timeout(left, read).await else {
                return Err(Error::unavailable("wait for packet: the server is silent")
                    .field("silence_ms", self.silence_max.as_millis())
                    .hint("the connection is dead or the server hangs; it is opened again"));
            };
            self.waiting = None;
            let count = read.wrap(|| Error::unavailable("read from server"))?;
            if count == 0 {
                let at = match self.framer.is_mid_packet() {
                    true => "inside a packet",
                    false => "between packets",
                };
                return Err(
                    Error::unavailable("read from server: it closed the connection")
                        .field("at", at),
                );
            }
        }
    }

    /// Sends one packet that continues the current exchange, in one write per frame.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.waiting = None;
        let mut rest = payload;
        loop {
            let (frame, tail) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
            self.out.clear();
            self.out
                .extend_from_slice(&(frame.len() as u32).to_le_bytes());
            self.out.truncate(3);
            self.out.push(self.framer.sequence);
            self.out.extend_from_slice(frame);
            self.framer.sequence = self.framer.sequence.wrapping_add(1);
            let write = async {
                self.stream.write_all(&self.out).await?;
                self.stream.flush().await
            };
            let Ok(written) = tokio::time::timeout(self.silence_max, write).await else {
                return Err(Error::unavailable("write to server: it does not read"));
            };
            written.wrap(|| Error::unavailable("write to server"))?;
            rest = tail;
            if frame.len() < FRAME_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// Sends one packet of sequence 0 that is no part of the exchange: what is received goes on
    /// in its own sequence. One write, so that over TLS it is one record: a source takes one
    /// packet each time it wakes up.
    pub(super) async fn send_apart(&mut self, payload: &[u8]) -> Result<()> {
        let sequence = std::mem::take(&mut self.framer.sequence);
        let sent = self.send(payload).await;
        self.framer.sequence = sequence;
        sent
    }

    /// Begins an exchange: sends a command as packet 0.
    pub(super) async fn command(&mut self, payload: &[u8]) -> Result<()> {
        self.framer.sequence = 0;
        self.send(payload).await
    }

    /// Waits for OK.
    pub(super) async fn expect_ok(&mut self, what: &'static str) -> Result<()> {
        let packet = self.next().await?;
        match packet.first() {
            Some(&packet::OK) => Ok(()),
            Some(&packet::ERR) => Err(server_error(what, &ServerError::parse(&packet))),
            _ => Err(malformed(what)),
        }
    }

    /// Runs one statement of ours by text protocol; no rows for a statement without a result.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<Bytes>>>> {
        const WHAT: &str = "run statement";
        let fail = |packet: &Bytes| match packet.first() {
            Some(&packet::ERR) => server_error(WHAT, &ServerError::parse(packet)),
            Some(&packet::LOCAL_INFILE) => Error::config("refuse to send a local file")
                .hint("the server asked for a file of this machine: it is not to be trusted"),
            _ => malformed(WHAT),
        };
        let mut command = vec![0x03];
        command.extend_from_slice(sql.as_bytes());
        self.command(&command).await?;
        let head = self.next().await?;
        let columns = match head.first() {
            Some(&packet::OK) => return Ok(Vec::new()),
            Some(&(packet::ERR | packet::LOCAL_INFILE)) | None => {
                return Err(fail(&head).field("sql", sql));
            }
            Some(_) => packet::Reader(&head).lenenc(),
        };
        let columns = columns
            .and_then(|c| usize::try_from(c).ok())
            .filter(|&c| c <= 4096);
        let columns = columns.ok_or_else(|| malformed(WHAT).field("sql", sql))?;
        for _ in 0..columns {
            self.next().await?;
        }
        let end = self.next().await?;
        if !packet::is_eof(&end) {
            return Err(fail(&end).field("sql", sql));
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.next().await?;
            if packet::is_eof(&packet) {
                return Ok(rows);
            }
            if packet.first() == Some(&packet::ERR) {
                return Err(fail(&packet).field("sql", sql));
            }
            rows.push(packet::text_row(&packet, columns)?);
        }
    }
}

/// Reads what is there, or waits for it; while little comes, the wait begins with a rest. Cancel-safe.
async fn read_some(
    stream: &mut Box<dyn Stream>,
    buffer: &mut BytesMut,
    pace: Option<&mut Pace>,
) -> std::io::Result<usize> {
    let Some(pace) = pace else {
        return stream.read_buf(buffer).await;
    };
    pace.look();
    let read = match stream.read_buf(buffer).now_or_never() {
        Some(read) => read?,
        None => {
            if pace.is_slow && pace.has_come {
                tokio::time::sleep(REST).await;
            }
            pace.has_come = false;
            stream.read_buf(buffer).await?
        }
    };
    pace.bytes += read;
    pace.has_come = true;
    Ok(read)
}

#[cfg(test)]
mod tests;
