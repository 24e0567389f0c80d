//! Private database servers that live as long as a value: for `tidelog demo`, tests, benchmarks.
//!
//! A server gets a temporary directory, a free port on 127.0.0.1, a Unix socket, small buffers,
//! a binary log of full row images with full metadata, and an account with every right
//! ([`ACCOUNT`], [`PASSWORD`]). It is killed and its directory removed when the value is dropped,
//! and also when this process dies without dropping it.
//!
//! ```no_run
//! use tidelog::position::Flavor;
//! use tidelog::service::throwaway::{ServerSpec, ThrowawayServer};
//!
//! # fn main() -> tidelog::error::Result<()> {
//! let mut server = ThrowawayServer::start(ServerSpec::new(Flavor::MySql).option("--max-connections=20"))?;
//! println!("{}", server.account_url());
//! server.kill9()?;
//! server.restart(&[])?;
//! # Ok(())
//! # }
//! ```
//!
//! All calls block; from async code use `spawn_blocking`.

mod datadir;
mod packages;
mod process;
mod spec;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use self::packages::Package;
use self::process::Process;
use self::spec::{COMMON_OPTIONS, MARIADB_OPTIONS, MYSQL_OPTIONS, accounts_sql};
use crate::error::{Error, ErrorKind, Result, Wrap};
use crate::position::Flavor;
use crate::runtime::ids::random_u64;

pub use self::spec::{ACCOUNT, PASSWORD, ServerSpec};

/// A running (or deliberately stopped) private server.
#[derive(Debug)]
pub struct ThrowawayServer {
    // Declared before `home`: the process must be gone before its directory is removed.
    process: Option<Process>,
    home: TempDir,
    package: Package,
    spec: ServerSpec,
    server_id: u32,
    port: u16,
    ca_file: Option<PathBuf>,
}

impl ThrowawayServer {
    /// Initialises and starts a server and waits until it answers.
    ///
    /// # Errors
    /// `Config` when no server of the flavor is installed (the hint says how to get one) or it
    /// refuses its options (the end of its error log is the error's source), `Unavailable` when
    /// it does not answer in time.
    pub fn start(spec: ServerSpec) -> Result<Self> {
        let package = packages::find(spec.flavor, spec.package.as_deref())?;
        let home = tempfile::Builder::new()
            .prefix("tidelog-server-")
            .tempdir()
            .wrap(|| Error::unavailable("create server directory"))?;
        datadir::create(&package, &home.path().join("data"), &spec.init_options)?;
        let written = fs::create_dir(home.path().join("tmp"))
            .and_then(|()| fs::write(home.path().join("accounts.sql"), accounts_sql(spec.flavor)));
        written.wrap(|| Error::unavailable("write server directory"))?;
        let ca_file = match (spec.tls, spec.flavor) {
            (true, _) => Some(datadir::make_certificates(&home.path().join("tls"))?),
            (false, Flavor::MySql) => Some(home.path().join("data/ca.pem")),
            (false, Flavor::MariaDb) => None,
        };
        let mut server = ThrowawayServer {
            process: None,
            home,
            package,
            spec,
            server_id: random_server_id(),
            port: 0,
            ca_file,
        };
        server.start_first()?;
        Ok(server)
    }

    /// Another process may take the port between our choice and the server's bind.
    fn start_first(&mut self) -> Result<()> {
        let accounts = format!(
            "--init-file={}",
            self.home.path().join("accounts.sql").display()
        );
        for _ in 0..3 {
            self.port = free_port()?;
            match self.launch(Some(&accounts)) {
                Err(e)
                    if e.kind() == ErrorKind::Config
                        && self.log_tail().contains("ddress already in use") => {}
                outcome => return outcome,
            }
        }
        Err(Error::unavailable("find a free port for a server"))
    }

    fn launch(&mut self, extra: Option<&str>) -> Result<()> {
        let mut command = Command::new(&self.package.server);
        command.args(self.arguments()).args(extra);
        command.envs(self.spec.environment.iter().map(|(n, v)| (n, v)));
        let process = Process::spawn(command, self.home.path())?;
        self.process = Some(process.wait_ready(&self.socket(), &self.error_log())?);
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let home = self.home.path().display();
        let mut all = vec![
            // Must be the first.
            "--no-defaults".to_owned(),
            format!("--datadir={home}/data"),
            format!("--socket={home}/s"),
            format!("--pid-file={home}/pid"),
            format!("--log-error={home}/error.log"),
            format!("--tmpdir={home}/tmp"),
            format!("--port={}", self.port),
            format!("--server-id={}", self.server_id),
        ];
        if is_root(self.home.path()) {
            all.push("--user=root".to_owned());
        }
        let flavored = match self.spec.flavor {
            Flavor::MySql => MYSQL_OPTIONS,
            Flavor::MariaDb => MARIADB_OPTIONS,
        };
        all.extend(COMMON_OPTIONS.iter().chain(flavored).map(|&o| o.to_owned()));
        if self.spec.tls {
            all.push(format!("--ssl-ca={home}/tls/ca.pem"));
            all.push(format!("--ssl-cert={home}/tls/server-cert.pem"));
            all.push(format!("--ssl-key={home}/tls/server-key.pem"));
        }
        all.extend(
            self.spec
                .init_options
                .iter()
                .chain(&self.spec.options)
                .cloned(),
        );
        all
    }

    /// The flavor.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.spec.flavor
    }

    /// Version as the binary prints it, such as `9.7.4`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.package.version
    }

    /// TCP port on 127.0.0.1; stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `server_id`, chosen at random.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.server_id
    }

    /// Process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("s")
    }

    /// Data directory; the binary logs are `binlog.000001`, ... in it.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The server's error log, over all its starts.
    #[must_use]
    pub fn error_log(&self) -> PathBuf {
        self.home.path().join("error.log")
    }

    /// Certificate of the CA that signed the server's certificate; `None` when it has no TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// `mysql://user:password@127.0.0.1:port`; name and password are percent-encoded.
    #[must_use]
    pub fn url(&self, user: &str, password: &str) -> String {
        let [user, password] = [user, password].map(percent_encode);
        let separator = if password.is_empty() { "" } else { ":" };
        format!(
            "mysql://{user}{separator}{password}@127.0.0.1:{}",
            self.port
        )
    }

    /// URL of the account with every right.
    #[must_use]
    pub fn account_url(&self) -> String {
        self.url(ACCOUNT, PASSWORD)
    }

    /// The flavor's `mysqlbinlog` / `mariadb-binlog`.
    #[must_use]
    pub fn mysqlbinlog(&self) -> &Path {
        &self.package.binlog_tool
    }

    /// The flavor's command line client.
    #[must_use]
    pub fn client(&self) -> &Path {
        &self.package.client
    }

    /// The flavor's `mysqldump` / `mariadb-dump`.
    #[must_use]
    pub fn mysqldump(&self) -> &Path {
        &self.package.dump
    }

    /// Kills the server like a crash would (SIGKILL) and waits until it is gone. The page cache
    /// survives, so every committed transaction is there after [`restart`](Self::restart).
    ///
    /// # Errors
    /// `Unavailable` when the process cannot be killed.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Shuts the server down in order; its data stays until the value is dropped.
    ///
    /// # Errors
    /// `Unavailable` when it does not stop within a minute (it is killed then).
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::terminate)
    }

    /// Stops the server when it runs and starts it again on the same port and data. `extra`
    /// options are added after those of the start, for this and every later start.
    ///
    /// # Errors
    /// As for [`start`](Self::start) and [`stop`](Self::stop).
    pub fn restart(&mut self, extra: &[&str]) -> Result<()> {
        self.stop()?;
        self.spec
            .options
            .extend(extra.iter().map(|&o| o.to_owned()));
        // After a kill these name a dead process, and mysqld refuses to start when its number
        // was given to another one meanwhile.
        for leftover in ["s", "s.lock", "pid"] {
            let _ = fs::remove_file(self.home.path().join(leftover));
        }
        self.launch(None)
    }

    /// The last lines of the error log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(self.error_log()).unwrap_or_default();
        datadir::tail(&String::from_utf8_lossy(&bytes))
    }
}

/// Whether this process runs as root, seen from a directory it has just made: a database server
/// started by root wants to be told so.
fn is_root(made_by_us: &Path) -> bool {
    fs::metadata(made_by_us).is_ok_and(|m| m.uid() == 0)
}

/// Never 0 (which turns replication off) and hardly ever that of another server.
fn random_server_id() -> u32 {
    let [.., a, b, c, d] = random_u64().to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]) >> 1) + 1
}

/// A port below the range from which the kernel serves outgoing connections: one of those could
/// hold the port while the server is being restarted.
fn free_port() -> Result<u16> {
    for _ in 0..200 {
        let [low, high, ..] = random_u64().to_le_bytes();
        let port = 20_000 + u16::from_le_bytes([low, high]) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::unavailable("find a free port for a server").field("range", "20000..32000"))
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
