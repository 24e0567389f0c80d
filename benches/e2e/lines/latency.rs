//! What an acknowledgement costs: the time of COMMIT without capture, with capture that
//! acknowledges nothing, with every durability, and with a semi-synchronous replica.

use crate::process::Watched;
use crate::repo::Repo;
use crate::report::Row;
use crate::servers::{self, Replica};
use crate::settings::Settings;
use crate::support::s3::{self, S3Server};
use crate::support::s3_proxy::{Act, S3Proxy};
use crate::support::sql::{exec, exec_all};
use crate::support::{TestServer, start};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::{Deadline, Stopwatch};
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};

/// What a PUT takes, at least.
const PUT: Duration = Duration::from_millis(20);
/// A measurement goes on until so many commits have returned,
const COMMITS_MIN: u64 = 50;
/// but not for longer than this.
const LONGEST: Duration = Duration::from_secs(30);
/// Not counted at the start of each measurement.
const WARM_UP: Duration = Duration::from_millis(300);

/// What commits wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    NoCapture,
    Capture,
    Replica { is_synced: bool },
    Spool,
    Store,
}

impl Mode {
    /// The replicas come before what is held against them.
    const ALL: [Mode; 6] = [
        Mode::NoCapture,
        Mode::Capture,
        Mode::Replica { is_synced: false },
        Mode::Replica { is_synced: true },
        Mode::Spool,
        Mode::Store,
    ];

    fn name(self) -> &'static str {
        match self {
            Mode::NoCapture => "no capture",
            Mode::Capture => "capture, no acknowledgement",
            Mode::Replica { is_synced: false } => "semi-sync replica",
            Mode::Replica { is_synced: true } => "semi-sync replica, sync_relay_log=1",
            Mode::Spool => "capture, spool",
            Mode::Store => "capture, store (PUT of 20 ms)",
        }
    }

    fn is_semi_sync(self) -> bool {
        !matches!(self, Mode::NoCapture | Mode::Capture)
    }
}

/// What is connected to the source in a mode.
enum Follower {
    Nobody,
    Replica(Box<Replica>),
    Capture {
        watched: Box<Watched>,
        typed: String,
        // Its folder goes with it.
        _repo: Repo,
    },
}

struct Scene {
    source: TestServer,
    proxy: S3Proxy,
    store: S3Server,
    /// Objects of the tail, and microseconds that they took.
    puts: Arc<AtomicU64>,
}

/// Times of the commits of one measurement.
struct Measured {
    took: Duration,
    /// Ascending.
    commits_us: Vec<u64>,
    puts: u64,
}

impl Measured {
    fn percentile(&self, percent: usize) -> f64 {
        let last = self.commits_us.len() - 1;
        self.commits_us[last * percent / 100] as f64 / 1000.0
    }
}

/// All modes at 1, 8 and 64 clients.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let scene = Scene::new(flavor).await;
    let clients: &[u64] = if settings.is_quick { &[8] } else { &[1, 8, 64] };
    let time = settings.time(Duration::from_secs(5), Duration::from_millis(300));
    let mut rows = Vec::new();
    // By number of clients: p50 and p99 of nobody, p50 of the synced replica.
    let mut plain = vec![(0.0, 0.0); clients.len()];
    let mut replica = vec![0.0; clients.len()];
    for mode in Mode::ALL {
        let mut follower = scene.follow(mode).await;
        for (place, count) in clients.iter().enumerate() {
            let before = follower.cpu_seconds();
            let measured = scene.measure(mode, *count, time).await;
            let (p50, p99) = (measured.percentile(50), measured.percentile(99));
            let mut note = format!("COMMIT p50 {p50:.2} ms, p99 {p99:.2} ms");
            match mode {
                Mode::NoCapture => plain[place] = (p50, p99),
                _ => {
                    let (added_50, added_99) = (p50 - plain[place].0, p99 - plain[place].1);
                    note.push_str(&format!("; added {added_50:+.2}, {added_99:+.2}"));
                }
            }
            if measured.puts > 0 {
                let share = measured.commits_us.len() as f64 / measured.puts as f64;
                note.push_str(&format!("; {share:.1} commits a PUT"));
            }
            let mut row = Row::new(&format!("{count} clients"), mode.name())
                .typed(&follower.typed())
                .done(measured.commits_us.len() as f64, "commits", measured.took)
                .cpu(follower.cpu_seconds() - before)
                .note(note);
            row.peak_mib = follower.peak_mib();
            match mode {
                Mode::Replica { is_synced: true } => replica[place] = p50,
                Mode::Spool | Mode::Store => {
                    let name = "p50 of the replica, sync_relay_log=1";
                    row = row.against(name, replica[place] / p50, None);
                }
                _ => {}
            }
            rows.push(row);
        }
        follower.stop().await;
    }
    rows
}

impl Scene {
    async fn new(flavor: Flavor) -> Scene {
        let spec = match flavor {
            Flavor::MySql => ServerSpec::new(flavor).option("--plugin-load-add=semisync_source.so"),
            Flavor::MariaDb => ServerSpec::new(flavor),
        };
        // The source keeps its own promise: a commit is on its disk.
        let spec = spec.option("--sync-binlog=1");
        let source = start(spec.option("--innodb-flush-log-at-trx-commit=1")).await;
        let tables = [
            "CREATE DATABASE j",
            "CREATE TABLE j.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT, pad VARCHAR(300))",
        ];
        exec_all(&mut source.conn().await, &tables).await;
        let store = s3::start();
        let proxy = S3Proxy::start(&store).await;
        let puts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&puts);
        proxy.plan(move |request| match request.method.as_str() {
            "PUT" => {
                if request.path.contains("/tail/") {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                Act::NotBefore(PUT)
            }
            _ => Act::Pass,
        });
        Scene {
            source,
            proxy,
            store,
            puts,
        }
    }

    /// Connects who follows, and lets commits wait for it.
    async fn follow(&self, mode: Mode) -> Follower {
        let flavor = self.source.flavor();
        let mut conn = self.source.conn().await;
        // Nobody has to read first what was written in another mode.
        let forget = match flavor {
            Flavor::MySql => "RESET BINARY LOGS AND GTIDS",
            Flavor::MariaDb => "RESET MASTER",
        };
        servers::set_semi_sync(&mut conn, flavor, false).await;
        exec(&mut conn, forget).await;
        servers::set_semi_sync(&mut conn, flavor, mode.is_semi_sync()).await;
        let repo = match mode {
            Mode::NoCapture => return Follower::Nobody,
            Mode::Replica { is_synced } => {
                let replica = Replica::start(&self.source, is_synced).await;
                self.wait_for_client(&mut conn).await;
                return Follower::Replica(Box::new(replica));
            }
            Mode::Capture => Repo::on_disk("none"),
            Mode::Spool => Repo::on_disk("spool"),
            Mode::Store => {
                let environment = self.proxy.environment(&self.store);
                Repo::on_s3(&self.store, "store", environment)
            }
        };
        let url = self.source.account_url();
        servers::set_semi_sync(&mut conn, flavor, false).await;
        crate::process::measure(repo.once(&url));
        servers::set_semi_sync(&mut conn, flavor, mode.is_semi_sync()).await;
        let more: &[&str] = match mode.is_semi_sync() {
            true => &["--semi-sync"],
            false => &[],
        };
        let command = repo.capturing(&["capture"], &url, more);
        let typed = crate::process::shown(&command);
        let watched = Watched::start(command);
        if mode.is_semi_sync() {
            self.wait_for_client(&mut conn).await;
        } else {
            // Until it has connected; nothing else tells from outside.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Follower::Capture {
            watched: Box::new(watched),
            typed,
            _repo: repo,
        }
    }

    async fn wait_for_client(&self, conn: &mut Conn) {
        let deadline = Deadline::after(Duration::from_secs(60));
        let flavor = self.source.flavor();
        while servers::semi_sync_counter(conn, flavor, "clients").await == 0 {
            assert!(!deadline.has_passed(), "nobody acknowledges");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn measure(&self, mode: Mode, clients: u64, time: Duration) -> Measured {
        let flavor = self.source.flavor();
        let mut conn = self.source.conn().await;
        let is_semi_sync = mode.is_semi_sync();
        let counters = async |conn: &mut Conn| match is_semi_sync {
            true => {
                let yes = servers::semi_sync_counter(conn, flavor, "yes_tx").await;
                (yes, servers::semi_sync_counter(conn, flavor, "no_tx").await)
            }
            false => (0, 0),
        };
        let before = counters(&mut conn).await;
        let (counts, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let opts = self.source.opts(ACCOUNT, PASSWORD);
                let client = Client {
                    number: client,
                    counts: Arc::clone(&counts),
                    done: Arc::clone(&done),
                    stop: Arc::clone(&stop),
                };
                tokio::spawn(async move {
                    let conn = Conn::new(opts).await.expect("connect client");
                    client.commits(conn).await
                })
            })
            .collect();
        tokio::time::sleep(WARM_UP).await;
        counts.store(true, Ordering::SeqCst);
        let (watch, puts) = (Stopwatch::start(), self.puts.load(Ordering::SeqCst));
        tokio::time::sleep(time).await;
        let deadline = Deadline::after(LONGEST);
        while done.load(Ordering::SeqCst) < COMMITS_MIN && !deadline.has_passed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        counts.store(false, Ordering::SeqCst);
        let (took, puts) = (watch.elapsed(), self.puts.load(Ordering::SeqCst) - puts);
        stop.store(true, Ordering::SeqCst);
        let (mut commits_us, mut all) = (Vec::new(), 0);
        for task in tasks {
            let (times, committed) = task.await.expect("client");
            commits_us.extend(times);
            all += committed;
        }
        commits_us.sort_unstable();
        assert!(!commits_us.is_empty(), "{mode:?}: no commit returned");
        let after = counters(&mut conn).await;
        if is_semi_sync {
            // A group of commits waits, and counts, once.
            let (yes, no) = (after.0 - before.0, after.1 - before.1);
            assert!(
                yes > 0 && no == 0,
                "{mode:?}: of {all} commits {yes} groups were acknowledged, {no} let go"
            );
        }
        Measured {
            took,
            commits_us,
            puts,
        }
    }
}

/// A client that commits.
struct Client {
    number: u64,
    /// Whether commits count now, and how many have.
    counts: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Client {
    /// Commits until told to stop; times of those that counted, and the number of all.
    async fn commits(self, mut conn: Conn) -> (Vec<u64>, u64) {
        let (mut times, mut all) = (Vec::new(), 0);
        while !self.stop.load(Ordering::SeqCst) {
            exec(&mut conn, "BEGIN").await;
            let insert = "INSERT INTO j.t (client, pad) VALUES (?, REPEAT('x', ?))";
            let done = conn.exec_drop(insert, (self.number, all % 300)).await;
            done.expect("insert a row");
            let watch = Stopwatch::start();
            exec(&mut conn, "COMMIT").await;
            all += 1;
            if self.counts.load(Ordering::SeqCst) {
                self.done.fetch_add(1, Ordering::SeqCst);
                times.push(u64::try_from(watch.elapsed().as_micros()).expect("microseconds"));
            }
        }
        (times, all)
    }
}

impl Follower {
    fn typed(&self) -> String {
        match self {
            Follower::Capture { typed, .. } => typed.clone(),
            _ => String::new(),
        }
    }

    fn cpu_seconds(&self) -> f64 {
        match self {
            Follower::Nobody => 0.0,
            Follower::Replica(replica) => replica.cpu_seconds(),
            Follower::Capture { watched, .. } => watched.cpu_seconds(),
        }
    }

    fn peak_mib(&self) -> Option<f64> {
        match self {
            Follower::Capture { watched, .. } => Some(watched.peak_mib()),
            _ => None,
        }
    }

    async fn stop(&mut self) {
        match std::mem::replace(self, Follower::Nobody) {
            Follower::Nobody => {}
            Follower::Replica(replica) => replica.stop().await,
            Follower::Capture { watched, .. } => {
                watched.terminate();
            }
        }
    }
}
