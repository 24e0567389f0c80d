//! Repositories of the benchmark: in a folder or on the S3 server, and the commands on them.

use crate::process::{Usage, Watched, measure, tidelog};
use crate::support::s3::S3Server;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tidelog::runtime::Deadline;
use tidelog::service::throwaway::PASSWORD;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(300);

/// A repository; its folder is removed with it.
#[derive(Debug)]
pub(crate) struct Repo {
    pub(crate) url: String,
    /// Policy that captures into it have.
    pub(crate) durability: &'static str,
    environment: Vec<(&'static str, String)>,
    folder: TempDir,
}

impl Repo {
    /// In a folder of its own.
    pub(crate) fn on_disk(durability: &'static str) -> Repo {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("file://{}", folder.path().join("repo").display());
        Repo::make(url, durability, Vec::new(), folder)
    }

    /// Under a prefix of the bucket; `environment` says by which way the server is reached.
    pub(crate) fn on_s3(
        server: &S3Server,
        durability: &'static str,
        environment: Vec<(&'static str, String)>,
    ) -> Repo {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = folder.path().file_name().expect("a name").to_string_lossy();
        let url = server.url(name.trim_start_matches('.'));
        Repo::make(url, durability, environment, folder)
    }

    fn make(
        url: String,
        durability: &'static str,
        environment: Vec<(&'static str, String)>,
        folder: TempDir,
    ) -> Repo {
        let repo = Repo {
            url,
            durability,
            environment,
            folder,
        };
        measure(repo.command(&["init"], &[]));
        repo
    }

    /// A `tidelog` command on it.
    pub(crate) fn command(&self, words: &[&str], more: &[&str]) -> Command {
        let mut args = words.to_vec();
        args.extend(["--repo", &self.url]);
        args.extend(more);
        let mut command = tidelog(&args, &self.environment);
        command.env("TIDELOG_TARGET_PASSWORD", PASSWORD);
        command
    }

    /// Everything that the source has logged so far.
    pub(crate) fn once(&self, source: &str) -> Command {
        self.capturing(&["capture", "--once"], source, &[])
    }

    pub(crate) fn capturing(&self, words: &[&str], source: &str, more: &[&str]) -> Command {
        let spool = self.folder.path().join("spool").display().to_string();
        let mut args = vec!["--source", source, "--durability", self.durability];
        if self.durability == "spool" || self.durability == "both" {
            args.extend(["--spool-dir", &spool]);
        }
        args.extend(more);
        self.command(words, &args)
    }

    /// Runs the service until it has taken the first base.
    pub(crate) async fn base(&self, source: &str) {
        let more = ["--seal-interval-ms", "200"];
        let mut service = Watched::start(self.capturing(&["run"], source, &more));
        let deadline = Deadline::after(PATIENCE);
        while self.status(None)["restorable_from"].is_null() {
            service.must_run();
            assert!(!deadline.has_passed(), "no base after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        service.terminate();
    }

    /// `tidelog status`; the source is asked, too, where it is given.
    pub(crate) fn status(&self, source: Option<&str>) -> serde_json::Value {
        let mut more = vec!["--json"];
        if let Some(source) = source {
            more.extend(["--source", source]);
        }
        let mut command = self.command(&["status"], &more);
        let output = command.stdout(Stdio::piped()).output();
        let output = output.expect("run tidelog status");
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tidelog status: {problems}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Restores the end of the log.
    pub(crate) fn restore(&self, target: &str, jobs: u16) -> (Command, String) {
        let jobs = jobs.to_string();
        let more = ["--latest", "--jobs", &jobs, "--target", target];
        let command = self.command(&["restore"], &more);
        let typed = crate::process::shown(&command);
        (command, typed)
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.environment.is_empty()
    }

    /// Its folder, where it is in one.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// A place that is removed with it.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Bytes of all segment files.
    pub(crate) fn segment_bytes(&self) -> u64 {
        bytes_under(&self.path().join("timelines/0001/segments"))
    }

    /// Bytes of the base's files of rows.
    pub(crate) fn base_bytes(&self) -> u64 {
        bytes_under(&self.path().join("tables"))
    }
}

/// Runs a capture to its end.
pub(crate) fn capture_once(repo: &Repo, source: &str) -> (Usage, Command) {
    let usage = measure(repo.once(source));
    (usage, repo.once(source))
}

fn bytes_under(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => bytes_under(&entry.path()),
            false => entry.metadata().expect("a file").len(),
        }
    });
    sizes.sum()
}
