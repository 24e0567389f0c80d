//! A source with semi-sync, clients that write down what they were told, and what was captured.

use crate::support::s3::S3Server;
use crate::support::server::TestServer;
use crate::support::sql::{exec, exec_all};
use crate::support::{cli, start};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Deadline;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};
use tokio::task::JoinHandle;

/// A row: its client and the client's own count.
pub(crate) type Row = (u64, u64);

/// A source whose commits wait for us, a repository, a spool.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) source: TestServer,
    pub(crate) repo: String,
    pub(crate) url: String,
    pub(crate) store: Option<S3Server>,
    pub(crate) policy: &'static str,
    pub(crate) flavor: Flavor,
    folder: tempfile::TempDir,
}

impl Scene {
    /// The table is there and captured; from now on commits wait, for an hour if need be.
    pub(crate) async fn new(flavor: Flavor) -> Scene {
        Scene::on(flavor, None).await
    }

    /// The same with the repository on an S3 server.
    pub(crate) async fn on(flavor: Flavor, store: Option<S3Server>) -> Scene {
        Scene::with(flavor, store, "spool").await
    }

    /// The same with another policy than `spool`.
    pub(crate) async fn with(
        flavor: Flavor,
        store: Option<S3Server>,
        policy: &'static str,
    ) -> Scene {
        let spec = match flavor {
            Flavor::MySql => ServerSpec::new(flavor).option("--plugin-load-add=semisync_source.so"),
            Flavor::MariaDb => ServerSpec::new(flavor),
        };
        let source = start(spec).await;
        let mut conn = source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE j",
                "CREATE TABLE j.t (client INT, n INT, pad VARCHAR(300), PRIMARY KEY (client, n))",
            ],
        )
        .await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repo = match &store {
            Some(store) => store.url("db"),
            None => format!("file://{}", folder.path().join("repo").display()),
        };
        // In the clear, so that the kernel's view shows what an acknowledgement is.
        let url = format!("{}/?ssl-mode=disabled", source.account_url());
        let scene = Scene {
            source,
            repo,
            url,
            store,
            policy,
            flavor,
            folder,
        };
        let once = [
            "capture",
            "--once",
            "--source",
            &scene.url,
            "--repo",
            &scene.repo,
        ];
        scene.run(&["init", "--repo", &scene.repo]).success();
        scene.run(&once).success();
        let role = match flavor {
            Flavor::MySql => "source",
            Flavor::MariaDb => "master",
        };
        for (name, value) in [
            ("timeout", "3600000"),
            ("wait_point", "AFTER_SYNC"),
            ("enabled", "ON"),
        ] {
            let set = format!("SET GLOBAL rpl_semi_sync_{role}_{name} = {value}");
            exec(&mut conn, set).await;
        }
        scene
    }

    /// Runs a command to its end, where the store is.
    pub(crate) fn run(&self, arguments: &[&str]) -> cli::Run {
        let environment = self.environment("");
        let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        cli::run_with(arguments, &environment)
    }

    pub(crate) fn environment(&self, failpoint: &str) -> Vec<(&'static str, String)> {
        let mut all = vec![("TIDELOG_FAILPOINT", failpoint.to_owned())];
        all.extend(self.store.iter().flat_map(S3Server::environment));
        all
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// The repository's folder, where it is on disk.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// As [`capture`](Self::capture), with a base.
    pub(crate) fn service(&self, more: &[&str], log: &Path) -> cli::Service {
        let mut arguments = self.arguments(more);
        arguments[0] = "run".to_owned();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        cli::spawn_logged(&arguments, log)
    }

    /// The spool's binlog files, the oldest first.
    pub(crate) fn spool_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.spool()).expect("a spool");
        let paths = entries.map(|e| e.expect("an entry").path());
        let mut files: Vec<_> = paths
            .filter(|p| p.extension().is_some_and(|e| e == "binlog"))
            .collect();
        files.sort();
        files
    }

    /// Capture with acknowledgements, sealing often.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<String> {
        let all = [
            "capture",
            "--source",
            &self.url,
            "--repo",
            &self.repo,
            "--durability",
            self.policy,
            "--semi-sync",
        ];
        let all = all.iter().chain(more);
        let all = all.map(|a| (*a).to_owned());
        all.chain(self.spool_arguments()).collect()
    }

    /// A policy that needs no local disk is given none.
    fn spool_arguments(&self) -> Vec<String> {
        match self.policy {
            "store" => Vec::new(),
            _ => vec!["--spool-dir".into(), self.spool().display().to_string()],
        }
    }

    pub(crate) fn capture(&self, more: &[&str], failpoint: &str) -> cli::Service {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment = self.environment(failpoint);
        let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        cli::spawn_with(&arguments, &environment)
    }

    pub(crate) fn capture_logged(&self, more: &[&str], log: &Path) -> cli::Service {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment = self.environment("");
        let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        cli::spawn_logged_with(&arguments, &environment, log)
    }

    /// Seals what is durable, as after the loss of the source.
    pub(crate) fn finish(&self, failpoint: &str) -> cli::Run {
        let spool = self.spool_arguments();
        let mut arguments = vec!["capture", "--finish", "--repo", &self.repo];
        arguments.extend(spool.iter().map(String::as_str));
        let environment = self.environment(failpoint);
        let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        cli::run_with(&arguments, &environment)
    }

    /// The rows in the repository; none of them twice.
    pub(crate) fn captured(&self) -> BTreeSet<Row> {
        self.captured_seqs().into_keys().collect()
    }

    /// The rows in the repository with the Seq of each.
    pub(crate) fn captured_seqs(&self) -> BTreeMap<Row, i64> {
        let arguments = ["log", "--json", "--repo", &self.repo, "--table", "j.t"];
        let log = self.run(&arguments);
        let mut rows = BTreeMap::new();
        for line in log.success().stdout().lines() {
            let transaction: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let seq = transaction["seq"].as_i64().expect("a Seq");
            for change in transaction["changes"].as_array().into_iter().flatten() {
                if change["op"] != "insert" {
                    continue;
                }
                let number = |name: &str| {
                    let value = &change["after"][name];
                    let number = value.as_u64();
                    number.unwrap_or_else(|| panic!("{name} in {change}"))
                };
                let row = (number("client"), number("n"));
                assert_eq!(rows.insert(row, seq), None, "captured twice: {row:?}");
            }
        }
        rows
    }
}

/// Clients that insert rows and write down which COMMIT has returned.
#[derive(Debug)]
pub(crate) struct Journal {
    acknowledged: Arc<Mutex<BTreeSet<Row>>>,
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Journal {
    pub(crate) fn start(source: &TestServer, clients: u64) -> Journal {
        let mut journal = Journal {
            acknowledged: Arc::default(),
            count: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for client in 0..clients {
            let opts = source.opts(ACCOUNT, PASSWORD);
            let (acknowledged, count) = (journal.acknowledged.clone(), journal.count.clone());
            let stop = journal.stop.clone();
            journal.tasks.push(tokio::spawn(async move {
                let mut conn = Conn::new(opts).await.expect("connect client");
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let insert = "INSERT INTO j.t VALUES (?, ?, REPEAT('x', ?))";
                    let done = conn.exec_drop(insert, (client, n, n % 300)).await;
                    if done.is_err() {
                        // The source is gone: this row was never acknowledged.
                        break;
                    }
                    let mut rows = acknowledged.lock().expect("not poisoned");
                    rows.insert((client, n));
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        journal
    }

    /// Commits acknowledged to clients so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until so many more commits were acknowledged. What hangs does so for an hour; a machine
    /// that does much else lets capture wait for its turn.
    pub(crate) async fn wait_for(&self, more: u64) {
        let (wanted, deadline) = (
            self.count() + more,
            Deadline::after(Duration::from_secs(300)),
        );
        while self.count() < wanted {
            assert!(
                !deadline.has_passed(),
                "commits do not return: {}",
                self.count()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What clients were told, once nothing moves any more.
    pub(crate) async fn acknowledged(&self) -> BTreeSet<Row> {
        loop {
            let before = self.count();
            tokio::time::sleep(Duration::from_millis(150)).await;
            if self.count() == before {
                return self.acknowledged.lock().expect("not poisoned").clone();
            }
        }
    }

    pub(crate) async fn stop(self) -> BTreeSet<Row> {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("client");
        }
        self.acknowledged.lock().expect("not poisoned").clone()
    }
}

/// Everything that clients were told is in the repository.
pub(crate) fn assert_nothing_lost(told: &BTreeSet<Row>, captured: &BTreeSet<Row>, what: &str) {
    let lost: Vec<&Row> = told.difference(captured).collect();
    assert!(
        lost.is_empty(),
        "{what}: {} of {} acknowledged rows are lost: {lost:?}",
        lost.len(),
        told.len()
    );
}
