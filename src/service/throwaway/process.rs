//! The server process: spawned, watched until it answers, ended for certain.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::datadir::tail;
use crate::error::{Error, Result, Wrap};

const STEP: Duration = Duration::from_millis(20);

/// Steps to wait for an answer after a start (crash recovery included) and for an orderly stop.
const STEPS_MAX: u32 = 3_000;

/// A child process and the watchdog that outlives us.
///
/// The watchdog is a shell that reads from a pipe which only this process holds. When this
/// process ends in any way, SIGKILL included, the read returns and the shell kills the server and
/// removes its directory; so an aborted test run leaves nothing behind.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    pub(super) fn spawn(mut command: Command, home: &Path) -> Result<Self> {
        let output = fs::File::options()
            .create(true)
            .append(true)
            .open(home.join("error.log"));
        let output = output.wrap(|| Error::unavailable("write server directory"))?;
        let program = command.get_program().to_string_lossy().into_owned();
        // A process group of its own: Ctrl-C on the terminal is for us, not for the server.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .process_group(0);
        let mut child = command
            .spawn()
            .wrap(|| Error::config("start database server").field("binary", program))?;
        let script = "read -r _; kill -9 \"$1\" 2>/dev/null; sleep 0.2; rm -rf -- \"$2\"";
        let watchdog = Command::new("sh")
            .args(["-c", script, "watchdog"])
            .arg(child.id().to_string())
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Process { child, watchdog }),
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Error::unavailable("start server watchdog").source(e))
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server greets on its socket, which it does once it serves clients.
    pub(super) fn wait_ready(mut self, socket: &Path, log: &Path) -> Result<Self> {
        for _ in 0..STEPS_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(refused(status, log));
            }
            if greets(socket) {
                return Ok(self);
            }
            sleep(STEP);
        }
        Err(Error::unavailable("wait for database server to answer").source(read_tail(log)))
    }

    pub(super) fn kill(mut self) -> Result<()> {
        self.end()
    }

    pub(super) fn terminate(mut self) -> Result<()> {
        let signalled = Command::new("sh")
            .args([
                "-c",
                "kill -TERM \"$1\"",
                "sh",
                &self.child.id().to_string(),
            ])
            .stderr(Stdio::null())
            .status();
        signalled.wrap(|| Error::unavailable("stop database server"))?;
        for _ in 0..STEPS_MAX {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(());
            }
            sleep(STEP);
        }
        self.end()?;
        Err(Error::unavailable("stop database server").field("outcome", "killed after a minute"))
    }

    fn end(&mut self) -> Result<()> {
        let failed = || Error::unavailable("kill database server");
        if self.child.try_wait().wrap(failed)?.is_none() {
            self.child.kill().wrap(failed)?;
            self.child.wait().wrap(failed)?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the server is reaped its number may belong to another process.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.end();
    }
}

fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let mut head = [0_u8; 5];
    let answered = stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .and_then(|()| stream.read_exact(&mut head));
    // Packet number 0, protocol version 10; an error packet has 0xFF there.
    answered.is_ok() && matches!(head, [_, _, _, 0, 10])
}

fn refused(status: ExitStatus, log: &Path) -> Error {
    Error::config("start database server")
        .field("status", status)
        .hint("see the end of its error log above; an option may be unknown to this version")
        .source(read_tail(log))
}

fn read_tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    format!(
        "the server's error log ends with:\n{}",
        tail(&String::from_utf8_lossy(&bytes))
    )
}
