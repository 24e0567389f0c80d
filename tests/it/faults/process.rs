//! Processes that stand still or come twice, and disks without room.

use super::cuts::uncut;
use super::until;
use crate::support::fake_source::{FakeSource, Played};
use crate::support::recorded::{self, content};
use crate::support::{cli, signal};
use crate::zero_loss::harness::{Journal, Scene, assert_nothing_lost};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tidelog::manifest::{EpochClaim, Repository};
use tidelog::position::{Flavor, Seq};
use tidelog::runtime::Clock;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD};
use tidelog::storage::{Store, StoreOptions};

/// Frozen, overtaken and woken up: it asks before it acknowledges anything more, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn fault_07_22_a_frozen_capture_that_was_overtaken_ends() {
    const CLIENTS: u64 = 2;
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::new(flavor).await;
        let log = scene.spool().with_extension("log");
        let mut capture = scene.capture_logged(&["--heartbeat-ms", "300"], &log);
        let journal = Journal::start(&scene.source, CLIENTS);
        journal.wait_for(20).await;
        signal(capture.pid(), "-STOP");
        journal.acknowledged().await;
        let before = journal.count();
        // Another writer begins, and has not come to the source yet.
        let store = Store::open(&scene.repo, &StoreOptions::default()).expect("a store");
        let repository = Repository::open(store).await.expect("a repository");
        let claim = EpochClaim {
            writer_id: uuid::Uuid::nil(),
            host: "another".to_owned(),
            head_hint: Seq(0),
            durability: None,
        };
        let claimed = repository.claim_epoch(1, &claim, &Clock::system()).await;
        claimed.expect("claimed");
        // For many heartbeats nobody looks.
        tokio::time::sleep(Duration::from_secs(3)).await;
        signal(capture.pid(), "-CONT");
        let ended = capture.ended(Duration::from_secs(60));
        let said = std::fs::read_to_string(&log).expect("a log");
        let ended = ended.unwrap_or_else(|| panic!("{flavor}: it goes on: {said}"));
        assert_eq!(ended.code(), Some(1), "{flavor}: {said}");
        assert!(
            said.contains("another writer has claimed"),
            "{flavor}: {said}"
        );
        // One that was just being sent when it froze is all that may have got out.
        let told = journal.acknowledged().await;
        assert!(
            journal.count() <= before + CLIENTS,
            "{flavor}: {} after {before}",
            journal.count()
        );
        scene.finish("").success();
        assert_nothing_lost(&told, &scene.captured(), &format!("{flavor}, overtaken"));
    }
}

/// A place with little room: a small file system where one can be mounted, else a limit on the
/// size of files, which a full disk looks like to whoever writes.
struct Tight {
    folder: PathBuf,
    is_mounted: bool,
}

impl Tight {
    const KIB: u64 = 256;
    const FILE_KIB: u64 = 8;

    fn new(folder: &Path) -> Tight {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut mount = Command::new("mount");
        let size = format!("size={}k", Tight::KIB);
        mount
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        println!(
            "{}: a file system of its own: {is_mounted}",
            folder.display()
        );
        Tight {
            folder: folder.to_owned(),
            is_mounted,
        }
    }

    fn spawn(&self, arguments: &[&str], log: &Path) -> cli::Service {
        match self.is_mounted {
            true => cli::spawn_logged(arguments, log),
            false => cli::spawn_limited(arguments, Tight::FILE_KIB, log),
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler#1")
    }

    /// Leaves hardly any room.
    fn fill(&self) {
        const PAGE: [u8; 4096] = [0; 4096];
        if self.is_mounted {
            let mut filler = std::fs::File::create(self.filler()).expect("fill");
            while filler.write_all(&PAGE).is_ok() {}
            let full = filler.metadata().expect("its size").len();
            filler
                .set_len(full - 2 * PAGE.len() as u64)
                .expect("leave some room");
        }
    }

    /// Gives room back.
    fn free(&self, capture: &cli::Service) {
        if self.is_mounted {
            std::fs::remove_file(self.filler()).expect("free");
            let mut again = Command::new("mount");
            again.args(["-o", "remount,size=64m"]).arg(&self.folder);
            assert!(again.status().expect("run mount").success());
        } else {
            let mut lift = Command::new("prlimit");
            lift.args([
                "--fsize=unlimited:unlimited",
                "--pid",
                &capture.pid().to_string(),
            ]);
            assert!(lift.status().expect("run prlimit").success());
        }
    }
}

impl Drop for Tight {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}

fn log_says(log: &Path, word: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|said| said.contains(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_08_a_full_disk_under_the_spool_loses_nothing() {
    let scene = Scene::new(Flavor::MariaDb).await;
    let log = scene.spool().with_extension("log");
    let tight = Tight::new(&scene.spool());
    tight.fill();
    let arguments = scene.arguments(&["--seal-interval-ms", "3600000", "--heartbeat-ms", "300"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let capture = tight.spawn(&arguments, &log);
    let journal = Journal::start(&scene.source, 2);
    until(|| log_says(&log, "free space"), "the disk was full").await;
    tight.free(&capture);
    journal.wait_for(50).await;
    let told = journal.stop().await;
    capture.terminate();
    assert_nothing_lost(&told, &scene.captured(), "after a full disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_08_a_full_disk_under_the_repository_loses_nothing() {
    let recorded = recorded::of(Flavor::MySql).await;
    let source = FakeSource::start(&recorded.recording, |dump| Played {
        bytes: dump.recorded.to_vec(),
        stays: true,
    });
    let source = source.await;
    let folder = tempfile::tempdir().expect("a folder");
    let tight = Tight::new(&folder.path().join("repo"));
    let repo = format!("file://{}", tight.folder.display());
    let store = Store::open(&repo, &StoreOptions::default()).expect("a store");
    recorded.copy_to(&store).await;
    tight.fill();
    let url = format!(
        "mysql://{ACCOUNT}:{PASSWORD}@127.0.0.1:{}/?ssl-mode=disabled",
        source.port
    );
    let log = folder.path().join("log");
    let arguments = ["capture", "--once", "--source", &url, "--repo", &repo];
    let mut capture = tight.spawn(&arguments, &log);
    until(|| log_says(&log, "free space"), "the disk was full").await;
    tight.free(&capture);
    let ended = capture
        .ended(Duration::from_secs(60))
        .expect("it goes on to its end");
    assert!(
        ended.success(),
        "{}",
        std::fs::read_to_string(&log).expect("a log")
    );
    // The clocks of process and recording differ: what is compared are the events.
    assert_eq!(content(&store).await.events, uncut(recorded).await.events);
}

/// A spool that was deleted, and one that came back from a copy: what the repository holds wins,
/// and what only the spool had is read from the source again.
#[tokio::test(flavor = "multi_thread")]
async fn fault_48_a_deleted_or_an_old_spool_loses_and_doubles_nothing() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::new(flavor).await;
        let never = ["--seal-interval-ms", "3600000"];
        let journal = Journal::start(&scene.source, 2);
        let capture = scene.capture(&never, "");
        journal.wait_for(20).await;
        capture.kill9();
        let copy: Vec<_> = scene
            .spool_files()
            .into_iter()
            .map(|path| (std::fs::read(&path).expect("a spool file"), path))
            .collect();
        assert!(!copy.is_empty(), "{flavor}: nothing in the spool");
        // Deleted: the source still has all of it.
        std::fs::remove_dir_all(scene.spool()).expect("delete the spool");
        let capture = scene.capture(&["--seal-interval-ms", "200"], "");
        journal.wait_for(20).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        capture.terminate();
        // The old one is back: all it holds is in the repository by now.
        for (bytes, path) in &copy {
            std::fs::write(path, bytes).expect("put back");
        }
        let capture = scene.capture(&never, "");
        journal.wait_for(20).await;
        let told = journal.stop().await;
        capture.terminate();
        assert_nothing_lost(&told, &scene.captured(), &format!("{flavor}, an old spool"));
    }
}
