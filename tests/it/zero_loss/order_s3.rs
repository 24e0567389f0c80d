//! What happens before the acknowledgement where the tail is in S3, seen from the kernel.

use super::harness::Scene;
use super::order::{commit_twenty, is_acknowledgement, stop};
use crate::support::s3;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use tidelog::position::Flavor;

/// A system call of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    /// The request that creates an object of the tail begins.
    Put,
    /// Its answer was read.
    Answered,
    Acknowledge,
}

/// The answer to the PUT was read from its socket before the acknowledgement is written to that of
/// the source.
#[tokio::test(flavor = "multi_thread")]
async fn the_put_is_answered_before_the_acknowledgement_is_sent() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::with(flavor, Some(s3::start()), "store").await;
        let trace = scene.spool().with_extension("strace");
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-y", "-s", "64", "-x", "-o"])
            .arg(&trace);
        strace.args([
            "-e",
            "trace=write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg",
        ]);
        strace.arg(env!("CARGO_BIN_EXE_tidelog"));
        strace
            .args(scene.arguments(&[]))
            .envs(scene.environment(""));
        let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut child = child.expect("run strace (scripts/setup-tools installs it)");
        commit_twenty(&scene).await;
        stop(&mut child);
        let calls = calls(&std::fs::read_to_string(&trace).expect("a trace"));
        let (mut acknowledged, mut answered) = (0, false);
        for call in &calls {
            match call {
                Call::Put => answered = false,
                Call::Answered => answered = true,
                Call::Acknowledge => {
                    assert!(answered, "{flavor}: acknowledged too early: {calls:?}");
                    acknowledged += 1;
                }
            }
        }
        // One client: no two of its commits share an object or an acknowledgement.
        let puts = calls.iter().filter(|call| **call == Call::Put).count();
        assert!(
            acknowledged >= 20 && puts >= 20,
            "{flavor}: {acknowledged} in {calls:?}"
        );
    }
}

/// Requests and acknowledgements where they begin, answers where they end.
fn calls(trace: &str) -> Vec<Call> {
    // `pid call(fd<socket>, "..`; a call that another thread interrupts comes as two lines, of which
    // the second has what was read and the first has the socket.
    let (mut calls, mut reading) = (Vec::new(), BTreeMap::new());
    let mut asked: Vec<String> = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let call = call.trim_start();
        let socket = socket(call);
        let is_read = ["read", "recv"]
            .iter()
            .any(|name| call.starts_with(name) || call.contains(&format!("<... {name}")));
        if is_read && call.contains("<unfinished") {
            reading.insert(thread, socket);
        } else if is_read {
            let resumed = call.starts_with("<...").then(|| reading.remove(thread));
            let socket = socket.or(resumed.flatten().flatten());
            let of_put = socket.filter(|_| call.contains("HTTP/1.1 200"));
            let of_put = of_put.and_then(|s| asked.iter().position(|other| *other == s));
            if let Some(place) = of_put {
                asked.swap_remove(place);
                calls.push(Call::Answered);
            }
        } else if is_acknowledgement(call) {
            calls.push(Call::Acknowledge);
        } else if call.contains("\"PUT /") && call.contains("/tail/") {
            asked.extend(socket);
            calls.push(Call::Put);
        }
    }
    calls
}

/// The file descriptor of a call with the socket behind it.
fn socket(call: &str) -> Option<String> {
    let (_, arguments) = call.split_once('(')?;
    let (descriptor, _) = arguments.split_once('>')?;
    descriptor.contains('<').then(|| descriptor.to_owned())
}
