//! An HTTP proxy before the S3 server that does what object stores do on bad days.

use super::s3::S3Server;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidelog::runtime::Stopwatch;
use tidelog::storage::{Store, StoreOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request, as far as a fault may depend on it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path with the query.
    pub(crate) path: String,
    /// A create: it has `If-None-Match`.
    pub(crate) is_create: bool,
    /// Requests before it.
    pub(crate) number: u64,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    /// Passed on.
    Pass,
    /// Answered with a status; the store never hears of it.
    Refuse(u16),
    /// Passed on and done; the answer is lost with the connection.
    LoseAnswer,
    /// The answer says its whole length and ends in the middle.
    Half,
    /// Passed on without its condition.
    Unconditional,
    /// Passed on after a while, and answered in small pieces.
    Slow(Duration),
    /// Passed on, and answered so long after the request at the earliest.
    NotBefore(Duration),
}

type Plan = dyn Fn(&Request) -> Act + Send + Sync;

struct Shared {
    to: String,
    plan: Mutex<Arc<Plan>>,
    requests: AtomicU64,
    injected: AtomicU64,
}

/// A proxy; it ends when it is dropped.
pub(crate) struct S3Proxy {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl S3Proxy {
    /// Before a server; everything passes until told otherwise.
    pub(crate) async fn start(server: &S3Server) -> S3Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let pass: Arc<Plan> = Arc::new(|_: &Request| Act::Pass);
        let shared = Arc::new(Shared {
            to: server.endpoint.trim_start_matches("http://").to_owned(),
            plan: Mutex::new(pass),
            requests: AtomicU64::new(0),
            injected: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                open.spawn(async move { serving.serve(near).await });
            }
        });
        S3Proxy {
            endpoint: format!("http://127.0.0.1:{port}"),
            shared,
            task,
        }
    }

    /// From now on.
    pub(crate) fn plan(&self, plan: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        *self.shared.plan.lock().expect("not poisoned") = Arc::new(plan);
    }

    /// Requests that were not simply passed on.
    pub(crate) fn injected(&self) -> u64 {
        self.shared.injected.load(Ordering::SeqCst)
    }

    /// Environment of a store behind this proxy.
    pub(crate) fn environment(&self, server: &S3Server) -> Vec<(&'static str, String)> {
        let mut all = server.environment();
        for (name, value) in &mut all {
            if name.starts_with("AWS_ENDPOINT") {
                value.clone_from(&self.endpoint);
            }
        }
        all
    }

    /// A store behind this proxy that repeats for `deadline`.
    pub(crate) fn store(&self, server: &S3Server, prefix: &str, deadline: Duration) -> Store {
        let variables = self.environment(server).into_iter();
        let options = StoreOptions {
            deadline,
            pause_min: Duration::from_millis(2),
            variables: variables
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        };
        Store::open(&server.url(prefix), &options).expect("a store")
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// One request a connection: the answer says that it ends.
    async fn serve(&self, mut near: TcpStream) -> Option<()> {
        near.set_nodelay(true).ok()?;
        let (head, body) = message(&mut near).await?;
        let watch = Stopwatch::start();
        let line: Vec<&str> = head.lines().next()?.split(' ').collect();
        let is_condition = |line: &str| line.to_ascii_lowercase().starts_with("if-none-match:");
        let request = Request {
            method: (*line.first()?).to_owned(),
            path: (*line.get(1)?).to_owned(),
            is_create: head.lines().any(is_condition),
            number: self.requests.fetch_add(1, Ordering::SeqCst),
        };
        let plan = Arc::clone(&self.plan.lock().expect("not poisoned"));
        let act = plan(&request);
        if act != Act::Pass {
            self.injected.fetch_add(1, Ordering::SeqCst);
        }
        if let Act::Refuse(status) = act {
            return refuse(&mut near, status).await;
        }
        if let Act::Slow(by) = act {
            tokio::time::sleep(by).await;
        }
        let is_kept = |line: &&str| {
            let is_stripped = act == Act::Unconditional && is_condition(line);
            !is_stripped && !line.to_ascii_lowercase().starts_with("connection:")
        };
        let lines: Vec<&str> = head.lines().filter(is_kept).collect();
        let head = format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
        let mut far = TcpStream::connect(&self.to).await.ok()?;
        far.set_nodelay(true).ok()?;
        far.write_all(head.as_bytes()).await.ok()?;
        far.write_all(&body).await.ok()?;
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.ok()?;
        if let Act::NotBefore(after) = act {
            tokio::time::sleep(after.saturating_sub(watch.elapsed())).await;
        }
        match act {
            Act::LoseAnswer => return None,
            Act::Half => {
                let head = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
                let length = answer.len() - head;
                near.write_all(&answer[..head + length / 2]).await.ok()?;
            }
            Act::Slow(_) => {
                for piece in answer.chunks(1 << 10) {
                    near.write_all(piece).await.ok()?;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            _ => near.write_all(&answer).await.ok()?,
        }
        near.shutdown().await.ok()
    }
}

/// Head without its empty line, and body.
async fn message(from: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 14];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at].to_vec()).ok()?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            });
            let mut body = bytes.split_off(at + 4);
            while body.len() < length.unwrap_or(0) {
                let count = from
                    .read(&mut buffer)
                    .await
                    .ok()
                    .filter(|count| *count > 0)?;
                body.extend_from_slice(&buffer[..count]);
            }
            return Some((head, body));
        }
        let count = from
            .read(&mut buffer)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    }
}

async fn refuse(near: &mut TcpStream, status: u16) -> Option<()> {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        429 | 503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    near.write_all(head.as_bytes()).await.ok()?;
    near.write_all(body.as_bytes()).await.ok()?;
    near.shutdown().await.ok()
}
