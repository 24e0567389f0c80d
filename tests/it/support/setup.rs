//! A source, a target and a repository between them: what most tests of the whole product need.

use super::fingerprint::{assert_same, fingerprint};
use super::sql::{exec, exec_all};
use super::{TestServer, cli, start_all};
use mysql_async::Conn;
use std::path::PathBuf;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// A source, a target and a repository.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) source: TestServer,
    pub(crate) target: TestServer,
    folder: tempfile::TempDir,
    pub(crate) repo: String,
}

impl Setup {
    /// The usual servers of a flavor, the target with some options.
    pub(crate) async fn new(flavor: Flavor, target_options: &[&str]) -> Setup {
        let mut target = ServerSpec::new(flavor);
        for option in target_options {
            target = target.option(*option);
        }
        Setup::of(ServerSpec::new(flavor), target).await
    }

    /// The usual servers, a base of what these statements made, and the connection that ran them.
    pub(crate) async fn based(flavor: Flavor, statements: &[&str]) -> (Setup, Conn) {
        let setup = Setup::new(flavor, &[]).await;
        let mut conn = setup.source.conn().await;
        exec_all(&mut conn, statements).await;
        setup.base().await;
        (setup, conn)
    }

    /// These servers and an empty repository.
    pub(crate) async fn of(source: ServerSpec, target: ServerSpec) -> Setup {
        let [source, target] = start_all([source, target]).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repo = format!("file://{}", folder.path().join("repo").display());
        cli::run(&["init", "--repo", &repo]).success();
        Setup {
            source,
            target,
            folder,
            repo,
        }
    }

    /// Runs the service until it has taken the first base.
    pub(crate) async fn base(&self) {
        let url = self.source.account_url();
        let service = cli::spawn(&["run", "--source", &url, "--repo", &self.repo]);
        self.wait_for_base().await;
        service.terminate();
    }

    /// Waits until a service has taken the first base.
    pub(crate) async fn wait_for_base(&self) {
        for _ in 0..600 {
            let status = cli::run(&["status", "--json", "--repo", &self.repo]);
            if status.ok() && !status.json()["restorable_from"].is_null() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no base after a minute");
    }

    /// A place that is removed with the set-up.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many XA transactions were prepared when each base was taken.
    pub(crate) fn open_xa_of_bases(&self) -> Vec<usize> {
        let folder = self.folder.path().join("repo/timelines/0001/base");
        let entries = std::fs::read_dir(folder).expect("bases");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let manifests = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
        let open = manifests.map(|path| {
            let text = std::fs::read(path).expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            manifest["open_xa"].as_array().expect("a list").len()
        });
        open.collect()
    }

    /// Takes everything the source has logged so far.
    pub(crate) fn capture(&self) {
        let url = self.source.account_url();
        cli::run(&["capture", "--once", "--source", &url, "--repo", &self.repo]).success();
    }

    /// Restores to the target.
    pub(crate) fn restore(&self, more: &[&str]) -> cli::Run {
        let url = self.target.account_url();
        let mut args = vec!["--repo", &self.repo, "--target", &url];
        args.extend(more);
        cli::restore(&args)
    }

    pub(crate) async fn drop_on_target(&self, databases: &[&str]) {
        let mut conn = self.target.conn().await;
        for database in databases {
            let name = database.replace('`', "``");
            exec(&mut conn, format!("DROP DATABASE IF EXISTS `{name}`")).await;
        }
    }

    /// Every cell of both servers.
    pub(crate) async fn compare(&self, databases: &[&str], what: &str) {
        let expected = fingerprint(&mut self.source.conn().await, databases).await;
        let found = fingerprint(&mut self.target.conn().await, databases).await;
        assert!(
            expected.values().any(|table| table.rows > 0),
            "nothing to compare"
        );
        assert_same(&expected, &found, what);
    }
}
