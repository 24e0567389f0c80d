//! The `tidelog` binary as a user runs it.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tidelog::runtime::Deadline;

/// A finished run.
#[derive(Debug)]
pub(crate) struct Run {
    output: Output,
    args: String,
}

impl Run {
    pub(crate) fn ok(&self) -> bool {
        self.output.status.success()
    }

    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The answer as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.output.stdout).expect("the answer is JSON")
    }

    /// Fails the test with everything that was printed unless the run succeeded.
    pub(crate) fn success(&self) -> &Run {
        assert!(
            self.ok(),
            "tidelog {} ended with {}\nstdout: {}\nstderr: {}",
            self.args,
            self.code(),
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// Fails the test unless the run ended with this code and one error that has all these words.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) -> &Run {
        let stderr = self.stderr();
        assert_eq!(
            self.code(),
            code,
            "tidelog {}\nstdout: {}\nstderr: {stderr}",
            self.args,
            self.stdout()
        );
        for word in words {
            assert!(
                stderr.contains(word),
                "tidelog {}: no {word:?} in: {stderr}",
                self.args
            );
        }
        assert!(!stderr.contains("panicked"), "{stderr}");
        self
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidelog"));
    command.args(args).stdin(Stdio::null());
    // So that the small tables of tests are read in parts, too.
    command.env("TIDELOG_SNAPSHOT_PART_BYTES_MIN", "4096");
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Run {
    run_with(args, &[])
}

/// Runs a command to its end in an environment.
pub(crate) fn run_with(args: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = command(args);
    for (name, value) in environment {
        command.env(name, value);
    }
    let output = command.output().expect("run tidelog");
    Run {
        output,
        args: args.join(" "),
    }
}

/// As [`run`], for a command that must end by itself: one that goes on is killed after two minutes.
pub(crate) fn run_to_its_end(args: &[&str]) -> Run {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "120", env!("CARGO_BIN_EXE_tidelog")]);
    let output = command.args(args).stdin(Stdio::null()).output();
    Run {
        output: output.expect("run timeout"),
        args: args.join(" "),
    }
}

/// Runs `tidelog restore`.
pub(crate) fn restore(args: &[&str]) -> Run {
    let mut all = vec!["restore"];
    all.extend(args);
    run(&all)
}

/// A command that goes on; killed when a test fails.
#[derive(Debug)]
pub(crate) struct Service(Child);

/// Starts a command that goes on; its log goes to the test's stderr.
pub(crate) fn spawn(args: &[&str]) -> Service {
    spawn_with(args, &[])
}

/// As [`spawn`], in an environment.
pub(crate) fn spawn_with(args: &[&str], environment: &[(&str, &str)]) -> Service {
    let mut command = command(args);
    command.envs(environment.iter().copied());
    let child = command.stdout(Stdio::null()).spawn();
    Service(child.expect("start tidelog"))
}

/// As [`spawn`]; its log goes to a file.
pub(crate) fn spawn_logged(args: &[&str], log: &Path) -> Service {
    spawn_logged_with(args, &[], log)
}

/// As [`spawn_logged`], in an environment.
pub(crate) fn spawn_logged_with(
    args: &[&str],
    environment: &[(&str, &str)],
    log: &Path,
) -> Service {
    let mut command = command(args);
    command.envs(environment.iter().copied());
    let log = std::fs::File::create(log).expect("create log");
    let child = command.stdout(Stdio::null()).stderr(log).spawn();
    Service(child.expect("start tidelog"))
}

/// As [`spawn_logged`]; no file grows over a size, and writing on fails as on a full disk.
pub(crate) fn spawn_limited(args: &[&str], kib: u64, log: &Path) -> Service {
    let mut command = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$0\" \"$@\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_tidelog")])
        .args(args);
    let log = std::fs::File::create(log).expect("create log");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    Service(child.expect("start tidelog"))
}

impl Service {
    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended by itself, at most this long; `None` when it goes on.
    pub(crate) fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Deadline::after(within);
        while !deadline.has_passed() {
            if let Some(status) = self.0.try_wait().expect("wait for tidelog") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// SIGKILL.
    pub(crate) fn kill9(mut self) {
        self.0.kill().expect("SIGKILL tidelog");
        self.0.wait().expect("reap tidelog");
    }

    /// SIGTERM, and the end within a minute.
    pub(crate) fn terminate(mut self) {
        let kill = Command::new("kill")
            .arg(self.0.id().to_string())
            .status()
            .expect("run kill");
        assert!(kill.success(), "SIGTERM was not delivered");
        let deadline = Deadline::after(Duration::from_secs(60));
        loop {
            if let Some(status) = self.0.try_wait().expect("wait for tidelog") {
                assert!(
                    status.success(),
                    "tidelog ended with {status} after SIGTERM"
                );
                return;
            }
            assert!(!deadline.has_passed(), "tidelog goes on after SIGTERM");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
