//! What happens before the acknowledgement, seen from the kernel.

use super::harness::Scene;
use crate::support::cli;
use crate::support::sql::exec;
use std::collections::{BTreeMap, HashSet};
use std::process::{Command, Stdio};
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Deadline;

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_is_on_disk_before_the_acknowledgement_is_sent_on_mysql() {
    synced_before_acknowledged(Scene::new(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_object_is_there_before_the_acknowledgement_is_sent() {
    synced_before_acknowledged(Scene::with(Flavor::MariaDb, None, "store").await).await;
    synced_before_acknowledged(Scene::with(Flavor::MySql, None, "both").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_is_on_disk_before_the_acknowledgement_is_sent_on_mariadb() {
    synced_before_acknowledged(Scene::new(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_tool_reads_the_spool() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::new(flavor).await;
        let capture = scene.capture(&[], "");
        let mut conn = scene.source.conn().await;
        exec(&mut conn, "INSERT INTO j.t VALUES (7, 1, 'one')").await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        exec(&mut conn, "CREATE TABLE j.other (a INT)").await;
        exec(&mut conn, "INSERT INTO j.t VALUES (7, 2, 'two')").await;
        capture.kill9();
        let files = scene.spool_files();
        assert_eq!(
            files.len(),
            2,
            "{flavor}: one a file of the source: {files:?}"
        );
        // One by one: MariaDB's tool wants a GTID list in the first file when a later one has it.
        let mut text = String::new();
        for file in &files {
            let mut tool = Command::new(scene.source.mysqlbinlog());
            tool.args(["--no-defaults", "-vv", "--verify-binlog-checksum"]);
            let output = tool.arg(file).output().expect("run mysqlbinlog");
            let problems = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{flavor}: {problems}");
            text.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        for wanted in [
            "@3='one'",
            "CREATE TABLE j.other",
            "@3='two'",
            "binlog.000002",
        ] {
            assert!(text.contains(wanted), "{flavor}: no {wanted} in {text}");
        }
        // And so does ours.
        for (file, wanted) in files.iter().zip(["\"one\"", "\"two\""]) {
            let inspected = cli::run(&["inspect", "--json", &file.display().to_string()]);
            let changes = inspected.success().stdout();
            assert!(changes.contains(wanted), "{flavor}: {changes}");
        }
    }
}

/// What must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A file of the spool.
    Spool,
    /// An object of the tail, on its way to its name.
    Tail,
    /// The names of the tail.
    TailNames,
}

/// A system call of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Write(Place),
    Sync(Place),
    Acknowledge,
}

async fn synced_before_acknowledged(scene: Scene) {
    let flavor = format!("{} {}", scene.flavor, scene.policy);
    let wanted: &[Place] = match scene.policy {
        "store" => &[Place::Tail, Place::TailNames],
        "both" => &[Place::Spool, Place::Tail, Place::TailNames],
        _ => &[Place::Spool],
    };
    let trace = scene.spool().with_extension("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "24", "-x"]);
    strace.args([
        "-e",
        "trace=write,writev,sendto,sendmsg,fsync,fdatasync",
        "-o",
    ]);
    strace.arg(&trace).arg(env!("CARGO_BIN_EXE_tidelog"));
    strace.args(scene.arguments(&[]));
    let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut child = child.expect("run strace (scripts/setup-tools installs it)");
    commit_twenty(&scene).await;
    stop(&mut child);
    let calls = calls(&std::fs::read_to_string(&trace).expect("a trace"));
    let mut acknowledgements = 0;
    let mut synced: HashSet<Place> = HashSet::new();
    for call in &calls {
        match call {
            Call::Write(Place::Tail) => {
                synced.remove(&Place::Tail);
                synced.remove(&Place::TailNames);
            }
            Call::Write(place) => {
                synced.remove(place);
            }
            // A name is durable once what it names is.
            Call::Sync(Place::TailNames) if !synced.contains(&Place::Tail) => {}
            Call::Sync(place) => {
                synced.insert(*place);
            }
            Call::Acknowledge => {
                acknowledgements += 1;
                assert!(
                    wanted.iter().all(|place| synced.contains(place)),
                    "{flavor}: acknowledged with no more than {synced:?} synced: {calls:?}"
                );
            }
        }
    }
    // One client: no two of its commits share an acknowledgement.
    assert!(
        acknowledgements >= 20,
        "{flavor}: {acknowledgements} in {calls:?}"
    );
}

/// Twenty commits, each of which returns only when it was acknowledged.
pub(super) async fn commit_twenty(scene: &Scene) {
    let mut conn = scene.source.conn().await;
    for n in 0..20 {
        let insert = format!("INSERT INTO j.t VALUES (1, {n}, '')");
        let done = tokio::time::timeout(Duration::from_secs(60), exec(&mut conn, insert)).await;
        done.expect("the commit returns");
    }
}

/// Ends the traced process (a child of strace) and strace with it.
pub(super) fn stop(child: &mut std::process::Child) {
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let traced = std::fs::read_to_string(children).expect("children of strace");
    let kill = Command::new("kill")
        .args(traced.split_whitespace())
        .status();
    assert!(kill.expect("run kill").success());
    let deadline = Deadline::after(Duration::from_secs(60));
    while child.try_wait().expect("wait for strace").is_none() {
        assert!(!deadline.has_passed(), "tidelog goes on after SIGTERM");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Which place a call is about.
fn place(call: &str) -> Option<Place> {
    match call {
        _ if call.contains("/spool/") && call.contains(".binlog>") => Some(Place::Spool),
        _ if call.contains("/tail/") && call.contains(".binlog#") => Some(Place::Tail),
        _ if call.contains("/tail>") => Some(Place::TailNames),
        _ => None,
    }
}

/// Writes and acknowledgements where they begin, syncs where they end.
fn calls(trace: &str) -> Vec<Call> {
    // `pid call(fd<path>, "\x..`; a call that another thread interrupts comes as two lines.
    let (mut calls, mut syncing) = (Vec::new(), BTreeMap::new());
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let place = place(call);
        let is_sync = call.contains("fsync") || call.contains("fdatasync");
        if is_sync && call.contains("<unfinished") {
            if let Some(place) = place {
                syncing.insert(thread, place);
            }
        } else if is_sync {
            let resumed = call.contains("resumed>").then(|| syncing.remove(thread));
            if let Some(place) = place.or(resumed.flatten()) {
                assert!(call.ends_with("= 0"), "{call}");
                calls.push(Call::Sync(place));
            }
        } else if is_acknowledgement(call) {
            calls.push(Call::Acknowledge);
        } else if let Some(place) = place.filter(|_| call.contains("write")) {
            calls.push(Call::Write(place));
        }
    }
    calls
}

/// Length, sequence 0, magic.
pub(super) fn is_acknowledgement(line: &str) -> bool {
    let Some((head, bytes)) = line.split_once("\"\\x") else {
        return false;
    };
    let is_socket = head.contains("socket:") || head.contains("TCP");
    let bytes: Vec<&str> = bytes.split("\\x").collect();
    is_socket && bytes.get(1..5) == Some(&["00", "00", "00", "ef"])
}
