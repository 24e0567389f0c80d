//! What the tests share: private servers, SQL, exact fingerprints, an S3 server, DuckDB.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod cli;
pub(crate) mod duckdb;
pub(crate) mod fake_source;
pub(crate) mod fingerprint;
pub(crate) mod packets;
pub(crate) mod proxy;
pub(crate) mod recorded;
pub(crate) mod s3;
pub(crate) mod s3_proxy;
pub(crate) mod server;
pub(crate) mod setup;
pub(crate) mod sql;
pub(crate) mod workload;

pub(crate) use server::{TestServer, start, start_all};
pub(crate) use setup::Setup;

use std::path::PathBuf;

/// The cache folder that the set-up scripts fill.
pub(crate) fn cache_dir() -> PathBuf {
    match std::env::var_os("TIDELOG_CACHE").filter(|d| !d.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/tidelog")
        }
    }
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let kill = std::process::Command::new("kill")
        .args([name, &pid.to_string()])
        .status();
    assert!(
        kill.expect("run kill").success(),
        "{name} was not delivered"
    );
}

/// A program of the Python environment; a missing one fails the test.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = cache_dir().join("venv/bin").join(name);
    assert!(
        path.is_file(),
        "{} is missing: run scripts/setup-tools (make test does)",
        path.display()
    );
    path
}
