//! A port that leads to a server, with the faults of a network.

use super::TestServer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A way to a server.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The account's URL on this way.
    pub(crate) url: String,
    broken: Arc<AtomicU64>,
}

impl Proxy {
    /// Breaks one connection after each of these numbers of bytes, and waits for `pause` after
    /// every 16 KiB that the server sends.
    pub(crate) async fn start(server: &TestServer, breaks: Vec<u64>, pause: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let broken = Arc::new(AtomicU64::new(0));
        let (count, to) = (Arc::clone(&broken), server.port());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let at = breaks.get(count.load(Ordering::SeqCst) as usize);
                tokio::spawn(carry(client, to, at.copied(), pause, Arc::clone(&count)));
            }
        });
        let (from, to) = (format!(":{}", server.port()), format!(":{own}"));
        Proxy {
            url: server.account_url().replace(&from, &to),
            broken,
        }
    }

    /// Connections that were broken.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::SeqCst)
    }
}

async fn carry(
    client: TcpStream,
    to: u16,
    breaks_at: Option<u64>,
    pause: Duration,
    count: Arc<AtomicU64>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let (mut buffer, mut passed, mut since) = (vec![0; 16 << 10], 0, 0);
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            passed += read as u64;
            since += read;
            if breaks_at.is_some_and(|at| passed >= at) {
                count.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
            if since >= buffer.len() && !pause.is_zero() {
                since = 0;
                tokio::time::sleep(pause).await;
            }
        }
    };
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}
