//! Three transactions of a real server, recorded once a flavor and test run, with the repository
//! that capture begins with; and what a repository says, with everything left out that no two runs
//! share.

use super::fake_source::{Recorder, Recording, local};
use super::packets::parts;
use super::sql::exec_all;
use super::start;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tidelog::error::Result;
use tidelog::history::{SegmentChanges, Versions, rebuild_segment};
use tidelog::log::{CaptureControl, CaptureEnd, CaptureOptions};
use tidelog::manifest::Repository;
use tidelog::position::{Flavor, Seq};
use tidelog::runtime::{Clock, Compute, Shutdown};
use tidelog::service::throwaway::ServerSpec;
use tidelog::source::Endpoint;
use tidelog::storage::Store;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;

/// What a real server sent, and what came of it.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) flavor: Flavor,
    pub(crate) recording: Arc<Recording>,
    /// Objects of the repository before the three transactions.
    before: Vec<(String, Bytes)>,
    /// When it was, on every clock.
    pub(crate) at_us: i64,
    /// The stream of all three.
    pub(crate) stream: Vec<u8>,
    /// The events of the binlog file from the first transaction on.
    pub(crate) file: Vec<u8>,
}

static RECORDED: [OnceCell<Recorded>; 2] = [OnceCell::const_new(), OnceCell::const_new()];

/// The recording of a flavor.
pub(crate) async fn of(flavor: Flavor) -> &'static Recorded {
    let cell = match flavor {
        Flavor::MySql => &RECORDED[0],
        Flavor::MariaDb => &RECORDED[1],
    };
    cell.get_or_init(|| record(flavor)).await
}

async fn record(flavor: Flavor) -> Recorded {
    let server = start(ServerSpec::new(flavor)).await;
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(9))",
            "CREATE TABLE d.u (a INT, b JSON)",
            "INSERT INTO d.t VALUES (1, 'one')",
        ],
    )
    .await;
    let at_us = Clock::system().now_us();
    let template = Store::memory();
    let clock = Clock::manual(at_us).0;
    Repository::init(template.clone(), &clock)
        .await
        .expect("a repository");
    once(&template, local(server.port()), at_us)
        .await
        .expect("captured");
    let start = std::fs::metadata(server.data_dir().join("binlog.000001"))
        .expect("a file")
        .len();
    exec_all(
        &mut conn,
        &[
            "INSERT INTO d.t VALUES (2, 'two')",
            "UPDATE d.t SET v = 'x' WHERE id = 1",
            "BEGIN",
            "DELETE FROM d.t WHERE id = 2",
            r#"INSERT INTO d.u VALUES (7, '{"k": 1}')"#,
            "COMMIT",
        ],
    )
    .await;
    let file = std::fs::read(server.data_dir().join("binlog.000001")).expect("a file");
    let mut recorded = Recorded {
        flavor,
        recording: Arc::default(),
        before: objects(&template).await,
        at_us,
        stream: Vec::new(),
        file: file[start as usize..].to_vec(),
    };
    // Whole, then cut before the first, behind it and behind the second transaction: what is asked
    // then.
    let mut recording = Recording::default();
    let mut cuts = vec![None];
    while let Some(cut) = cuts.pop() {
        let recorder = Recorder::start(server.port(), recording, cut).await;
        let store = recorded.before().await;
        let run = once(&store, local(recorder.port()), at_us);
        run.await.expect("captured");
        recording = recorder.stop();
        if cut.is_none() {
            recorded.stream = recording.main_dump().to_vec();
            let (prelude, ends) = parts(&recorded.stream);
            assert_eq!(ends.len(), 3, "{flavor}: three transactions");
            cuts.extend([prelude, ends[0], ends[1]].map(Some));
        }
    }
    recorded.recording = Arc::new(recording);
    recorded
}

impl Recorded {
    /// A repository as it was before the three transactions.
    pub(crate) async fn before(&self) -> Store {
        let store = Store::memory();
        self.copy_to(&store).await;
        store
    }

    /// The same in a store that is there.
    pub(crate) async fn copy_to(&self, store: &Store) {
        for (name, bytes) in &self.before {
            store.put(name, bytes.clone()).await.expect("put");
        }
    }
}

/// All objects of a store.
pub(crate) async fn objects(store: &Store) -> Vec<(String, Bytes)> {
    let mut all = Vec::new();
    for name in store.list("", None, usize::MAX).await.expect("list") {
        let bytes = store.get(&name).await.expect("get").expect("an object");
        all.push((name, bytes));
    }
    all
}

/// Captures what the source has, within a minute, on a clock that stands still.
pub(crate) async fn once(store: &Store, endpoint: Endpoint, at_us: i64) -> Result<()> {
    let options = CaptureOptions {
        once: true,
        ..CaptureOptions::default()
    };
    run(store, &endpoint, &options, &Clock::manual(at_us).0).await
}

/// Captures with options of one's own until it is caught up.
pub(crate) async fn run(
    store: &Store,
    endpoint: &Endpoint,
    options: &CaptureOptions,
    clock: &Clock,
) -> Result<()> {
    let repository = Repository::open(store.clone()).await?;
    let (_trigger, shutdown) = Shutdown::manual();
    let control = CaptureControl::new(shutdown);
    let run = Box::pin(tidelog::log::run(
        &repository,
        endpoint,
        options,
        clock,
        control,
    ));
    let ended = tokio::time::timeout(Duration::from_secs(120), run).await;
    let ended = ended.expect("capture ends within two minutes")?;
    assert_eq!(ended, CaptureEnd::CaughtUp);
    Ok(())
}

/// Starts a capture that goes on, with a way to have it seal what it has.
pub(crate) async fn spawn(
    store: &Store,
    endpoint: Endpoint,
    options: &CaptureOptions,
    clock: &Clock,
) -> (JoinHandle<Result<CaptureEnd>>, Arc<Notify>) {
    let repository = Repository::open(store.clone()).await.expect("a repository");
    let (trigger, shutdown) = Shutdown::manual();
    let control = CaptureControl::new(shutdown);
    let seal_now = Arc::clone(&control.seal_now);
    let (options, clock) = (options.clone(), clock.clone());
    let running = tokio::spawn(async move {
        let _trigger = trigger;
        let run = tidelog::log::run(&repository, &endpoint, &options, &clock, control);
        Box::pin(run).await
    });
    (running, seal_now)
}

/// What a repository holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    /// Manifests without what is drawn at random.
    pub(crate) manifests: Vec<serde_json::Value>,
    /// Every event, rebuilt from the segments.
    pub(crate) events: Vec<Bytes>,
}

/// Everything that the log of a repository says, each object checked on the way. Left out are the
/// identity of the writer (a new uuid each run), the uuid in the names of data files, and the
/// hash of the manifest before, which holds both: lengths and hashes of the data files stay.
pub(crate) async fn content(store: &Store) -> Content {
    let repository = Repository::open(store.clone()).await.expect("a repository");
    let manifests = repository.manifests(1, Seq::FIRST, None).await;
    let mut manifests = manifests.expect("manifests");
    let (mut versions, mut all) = (Versions::default(), Vec::new());
    let mut events = Vec::new();
    while let Some(stored) = manifests.next().await.expect("a whole chain") {
        versions.introduce(&stored.manifest).expect("versions");
        let compute = Compute::new(1);
        let changes = SegmentChanges::read(&repository, &stored.manifest, &versions, &compute);
        let changes = changes.await.expect("a whole segment");
        for transaction in rebuild_segment(&changes).expect("rebuilt events") {
            events.extend(transaction.events);
        }
        let mut manifest = serde_json::to_value(&*stored.manifest).expect("JSON");
        let fields = manifest.as_object_mut().expect("an object");
        fields.remove("prev_sha256");
        fields.remove("writer_id");
        for file in fields["files"].as_array_mut().expect("files") {
            let name = file["object"].as_str().expect("a name");
            let last = name.rsplit('/').next().expect("a part");
            file["object"] = last.to_owned().into();
        }
        all.push(manifest);
    }
    Content {
        manifests: all,
        events,
    }
}
