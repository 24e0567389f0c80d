//! A source that is none: it plays what a [`Recorder`] wrote down of a real server, and for the
//! stream of a dump whatever a script says.
//!
//! Replies are kept by command and by what the client can do, for a result is encoded differently
//! for each; a reply to a dump also by the GTIDs that MariaDB takes from session variables.

use super::packets::{Packets, error_packet, is_main_dump};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tidelog::source::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a server said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    greeting: Vec<u8>,
    /// By the capabilities of the client.
    logins: HashMap<[u8; 4], Login>,
}

#[derive(Clone, Debug, Default)]
struct Login {
    /// Replies to the packets of a login, in order.
    steps: Vec<Vec<u8>>,
    replies: HashMap<Vec<u8>, Vec<u8>>,
}

impl Recording {
    fn keep(&mut self, capabilities: [u8; 4], steps: &[Vec<u8>], key: &[u8], reply: &[u8]) {
        let login = self.logins.entry(capabilities).or_default();
        if login.steps.is_empty() {
            login.steps = steps.to_vec();
        }
        let kept = login.replies.entry(key.to_vec()).or_default();
        // A dump that was cut is known whole from before.
        if kept.len() < reply.len() || !is_dump(key) {
            *kept = reply.to_vec();
        }
    }

    /// The longest stream of a dump.
    pub(crate) fn main_dump(&self) -> &[u8] {
        let replies = self.logins.values().flat_map(|login| &login.replies);
        let dumps = replies.filter(|(key, reply)| is_dump(key) && reply.get(4) == Some(&0));
        let longest = dumps
            .map(|(_, reply)| reply)
            .max_by_key(|reply| reply.len());
        longest.expect("a dump was recorded")
    }
}

/// Tells dumps apart: MariaDB is asked for one in two commands.
#[derive(Debug, Default)]
struct Asked(Vec<u8>);

impl Asked {
    fn key(&mut self, command: &[u8]) -> Vec<u8> {
        if command.windows(20).any(|w| w == b"@slave_connect_state") {
            self.0 = command.to_vec();
        }
        match is_main_dump(command) {
            true => [&self.0, command].concat(),
            false => command.to_vec(),
        }
    }
}

/// Passes connections on to a server and writes down what it says.
#[derive(Debug)]
pub(crate) struct Recorder {
    port: u16,
    recording: Arc<Mutex<Recording>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// The first dump ends after so many bytes, where given.
    pub(crate) async fn start(to: u16, recording: Recording, cut: Option<usize>) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let recording = Arc::new(Mutex::new(recording));
        let shared = Arc::clone(&recording);
        let cut = Arc::new(Mutex::new(cut));
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], to))).await;
                let far = far.expect("the server");
                tokio::spawn(record(near, far, Arc::clone(&shared), Arc::clone(&cut)));
            }
        });
        Recorder {
            port,
            recording,
            task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn stop(self) -> Recording {
        self.task.abort();
        self.recording.lock().expect("not poisoned").clone()
    }
}

/// One connection: a client speaks, the server answers.
async fn record(
    mut near: TcpStream,
    mut far: TcpStream,
    recording: Arc<Mutex<Recording>>,
    cut: Arc<Mutex<Option<usize>>>,
) -> Option<()> {
    let (mut sent, mut asked) = (Packets::default(), Asked::default());
    let (mut capabilities, mut steps) = (None, Vec::new());
    let (mut key, mut reply, mut left) = (None, Vec::new(), usize::MAX);
    let (mut up, mut down) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    loop {
        tokio::select! {
            count = near.read(&mut up) => {
                let count = count.ok().filter(|count| *count > 0)?;
                sent.feed(&up[..count]);
                while let Some((sequence, payload)) = sent.next() {
                    reply.clear();
                    if sequence > 0 {
                        capabilities = capabilities.or(payload.first_chunk::<4>().copied());
                        steps.push(Vec::new());
                        continue;
                    }
                    key = Some(asked.key(&payload));
                    if is_main_dump(&payload) {
                        left = cut.lock().expect("not poisoned").take().unwrap_or(left);
                    }
                }
                far.write_all(&up[..count]).await.ok()?;
            }
            count = far.read(&mut down) => {
                let count = count.ok().filter(|count| *count > 0)?.min(left);
                left -= count;
                reply.extend_from_slice(&down[..count]);
                // Before it is passed on: the client may have seen enough then.
                {
                    let mut all = recording.lock().expect("not poisoned");
                    match (capabilities, &key) {
                        (None, _) => all.greeting.clone_from(&reply),
                        (Some(_), None) => steps.last_mut()?.clone_from(&reply),
                        (Some(can), Some(key)) => all.keep(can, &steps, key, &reply),
                    }
                }
                near.write_all(&down[..count]).await.ok()?;
                if left == 0 {
                    return None;
                }
            }
        }
    }
}

fn is_dump(key: &[u8]) -> bool {
    matches!(key.first(), Some(0x12 | 0x1e))
        || key.windows(20).any(|w| w == b"@slave_connect_state")
}

/// A dump that was asked for.
#[derive(Debug)]
pub(crate) struct Dump<'a> {
    /// Dumps before it.
    pub(crate) number: usize,
    /// What the real server sent.
    pub(crate) recorded: &'a [u8],
}

/// What is sent for a dump.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) bytes: Vec<u8>,
    /// The connection stays open and silent, else it is closed.
    pub(crate) stays: bool,
}

type Script = dyn Fn(&Dump<'_>) -> Played + Send + Sync;
type Edit = dyn Fn(&str, &mut Vec<u8>) + Send + Sync;

struct Play {
    recording: Arc<Recording>,
    script: Box<Script>,
    edit: Box<Edit>,
    dumps: AtomicUsize,
    unknown: Mutex<Vec<String>>,
}

/// A listening fake.
pub(crate) struct FakeSource {
    pub(crate) port: u16,
    play: Arc<Play>,
    task: JoinHandle<()>,
}

impl FakeSource {
    /// Sends what `script` says for each dump.
    pub(crate) async fn start(
        recording: &Arc<Recording>,
        script: impl Fn(&Dump<'_>) -> Played + Send + Sync + 'static,
    ) -> FakeSource {
        FakeSource::edited(recording, script, |_, _| {}).await
    }

    /// The same, with replies to statements changed by `edit`.
    pub(crate) async fn edited(
        recording: &Arc<Recording>,
        script: impl Fn(&Dump<'_>) -> Played + Send + Sync + 'static,
        edit: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> FakeSource {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let play = Arc::new(Play {
            recording: Arc::clone(recording),
            script: Box::new(script),
            edit: Box::new(edit),
            dumps: AtomicUsize::new(0),
            unknown: Mutex::default(),
        });
        let shared = Arc::clone(&play);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let play = Arc::clone(&shared);
                tokio::spawn(async move { play.serve(near).await });
            }
        });
        FakeSource { port, play, task }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        local(self.port)
    }

    /// Dumps asked for so far; every command was one that had been recorded.
    pub(crate) fn dumps(&self) -> usize {
        let unknown = self.play.unknown.lock().expect("not poisoned");
        assert!(unknown.is_empty(), "not recorded: {unknown:?}");
        self.play.dumps.load(Ordering::SeqCst)
    }
}

impl Drop for FakeSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The account of all test servers at a port of this machine, in the clear.
pub(crate) fn local(port: u16) -> Endpoint {
    use tidelog::service::throwaway::{ACCOUNT, PASSWORD};
    let url = format!("mysql://{ACCOUNT}:{PASSWORD}@127.0.0.1:{port}/?ssl-mode=disabled");
    url.parse().expect("an endpoint")
}

impl Play {
    /// Until the client goes; `None` is its end.
    async fn serve(&self, mut near: TcpStream) -> Option<()> {
        near.set_nodelay(true).ok()?;
        near.write_all(&self.recording.greeting).await.ok()?;
        let (mut sent, mut asked) = (Packets::default(), Asked::default());
        let (_, first) = sent.read(&mut near).await?;
        let login = self.recording.logins.get(first.first_chunk::<4>()?);
        let Some(login) = login else {
            let what = format!("a client of capabilities {:?}", &first[..4]);
            self.unknown.lock().expect("not poisoned").push(what);
            return None;
        };
        for (number, reply) in login.steps.iter().enumerate() {
            if number > 0 {
                sent.read(&mut near).await?;
            }
            near.write_all(reply).await.ok()?;
        }
        loop {
            let (_, command) = sent.read(&mut near).await?;
            if command == [1] {
                return None;
            }
            let key = asked.key(&command);
            let text = String::from_utf8_lossy(command.get(1..)?).into_owned();
            let Some(recorded) = login.replies.get(&key) else {
                self.unknown
                    .lock()
                    .expect("not poisoned")
                    .push(text.clone());
                near.write_all(&error_packet(1, 1064, "not recorded"))
                    .await
                    .ok()?;
                continue;
            };
            if !is_main_dump(&command) {
                let mut reply = recorded.clone();
                (self.edit)(&text, &mut reply);
                near.write_all(&reply).await.ok()?;
                continue;
            }
            let number = self.dumps.fetch_add(1, Ordering::SeqCst);
            let played = (self.script)(&Dump { number, recorded });
            near.write_all(&played.bytes).await.ok()?;
            if !played.stays {
                near.shutdown().await.ok()?;
                return None;
            }
        }
    }
}
