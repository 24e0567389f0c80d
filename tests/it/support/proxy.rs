//! A TCP proxy before a server that does to connections what networks do.

use super::TestServer;
use super::packets::{Packets, is_main_dump};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is wrong with the network.
#[derive(Debug, Default)]
struct Faults {
    /// Both directions end once a connection has brought so many bytes: one entry a connection.
    cuts_received: Mutex<VecDeque<u64>>,
    /// The same for bytes sent to the server.
    cuts_sent: Mutex<VecDeque<u64>>,
    /// The same for bytes of a dump alone, from its first on: one entry a dump.
    cuts_dump: Mutex<VecDeque<u64>>,
    /// Connections made so far.
    connections: AtomicU64,
    /// On the first so many of them nothing passes any more, in either direction, and none ends.
    silent: AtomicU64,
    /// What a client sends after it has asked for a dump is lost.
    loses_sent: AtomicBool,
    /// One byte a write, from the server.
    slices: AtomicBool,
    /// Each piece waits for so many milliseconds, both ways.
    delay_ms: AtomicU64,
    dumps: AtomicU64,
}

/// A proxy; it ends, with its connections, when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    faults: Arc<Faults>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Before a server on a port of this machine.
    pub(crate) async fn start(to: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                open.spawn(forward(near, to, Arc::clone(&shared)));
            }
        });
        Proxy { port, faults, task }
    }

    /// The account's URL of the server, by this way.
    pub(crate) fn url(&self, server: &TestServer) -> String {
        let (direct, near) = (server.port().to_string(), self.port.to_string());
        server.account_url().replace(&direct, &near)
    }

    /// The next connections end after so many bytes from the server.
    pub(crate) fn cut_received(&self, after: impl IntoIterator<Item = u64>) {
        self.faults
            .cuts_received
            .lock()
            .expect("not poisoned")
            .extend(after);
    }

    /// The next connections end after so many bytes from the client.
    pub(crate) fn cut_sent(&self, after: impl IntoIterator<Item = u64>) {
        self.faults
            .cuts_sent
            .lock()
            .expect("not poisoned")
            .extend(after);
    }

    /// The next dumps end after so many bytes.
    pub(crate) fn cut_dumps(&self, after: impl IntoIterator<Item = u64>) {
        self.faults
            .cuts_dump
            .lock()
            .expect("not poisoned")
            .extend(after);
    }

    /// Cuts that no connection has come to yet.
    pub(crate) fn cuts_left(&self) -> usize {
        let all = [
            &self.faults.cuts_received,
            &self.faults.cuts_sent,
            &self.faults.cuts_dump,
        ];
        all.iter()
            .map(|cuts| cuts.lock().expect("not poisoned").len())
            .sum()
    }

    /// On the connections that are open now nothing passes any more, and they stay open.
    pub(crate) fn fall_silent(&self) {
        let made = self.faults.connections.load(Ordering::SeqCst);
        self.faults.silent.store(made, Ordering::SeqCst);
    }

    pub(crate) fn lose_sent(&self, on: bool) {
        self.faults.loses_sent.store(on, Ordering::SeqCst);
    }

    pub(crate) fn slice(&self, on: bool) {
        self.faults.slices.store(on, Ordering::SeqCst);
    }

    pub(crate) fn delay(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("a short delay");
        self.faults.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// Dumps asked for so far.
    pub(crate) fn dumps(&self) -> u64 {
        self.faults.dumps.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection; both directions end together.
async fn forward(mut near: TcpStream, to: u16, faults: Arc<Faults>) -> Option<()> {
    let number = faults.connections.fetch_add(1, Ordering::SeqCst);
    let far = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], to))).await;
    let mut far = far.ok()?;
    near.set_nodelay(true).ok()?;
    far.set_nodelay(true).ok()?;
    let next = |cuts: &Mutex<VecDeque<u64>>| cuts.lock().expect("not poisoned").pop_front();
    let mut received_left = next(&faults.cuts_received).unwrap_or(u64::MAX);
    let mut sent_left = next(&faults.cuts_sent).unwrap_or(u64::MAX);
    let (mut packets, mut is_dump) = (Packets::default(), false);
    let (mut up, mut down) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    loop {
        let is_silent = || number < faults.silent.load(Ordering::SeqCst);
        let pause = || Duration::from_millis(faults.delay_ms.load(Ordering::SeqCst));
        tokio::select! {
            count = near.read(&mut up) => {
                let count = count.ok().filter(|count| *count > 0)?;
                let is_lost = is_dump && faults.loses_sent.load(Ordering::SeqCst);
                if !is_dump {
                    packets.feed(&up[..count]);
                }
                while let Some((sequence, payload)) = packets.next() {
                    if sequence == 0 && is_main_dump(&payload) {
                        is_dump = true;
                        faults.dumps.fetch_add(1, Ordering::SeqCst);
                        received_left = next(&faults.cuts_dump).unwrap_or(received_left);
                    }
                }
                let count = count.min(usize::try_from(sent_left).unwrap_or(usize::MAX));
                sent_left -= count as u64;
                tokio::time::sleep(pause()).await;
                if !is_lost && !is_silent() {
                    far.write_all(&up[..count]).await.ok()?;
                }
            }
            count = far.read(&mut down) => {
                let count = count.ok().filter(|count| *count > 0)?;
                let count = count.min(usize::try_from(received_left).unwrap_or(usize::MAX));
                received_left -= count as u64;
                tokio::time::sleep(pause()).await;
                if !is_silent() {
                    let size = if faults.slices.load(Ordering::SeqCst) { 1 } else { count.max(1) };
                    for piece in down[..count].chunks(size) {
                        near.write_all(piece).await.ok()?;
                    }
                }
            }
        }
        if received_left == 0 || sent_left == 0 {
            return None;
        }
    }
}
