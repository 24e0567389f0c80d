//! `tidelog check`: what a source or a target must be like, what it is like, and the statement
//! that makes it so.
//!
//! Capture and restore refuse to start on a [`Blocker`](Severity::Blocker); everything else is
//! said and goes on.

mod grants;
mod server;
mod source;
mod tables;
mod target;

use super::SqlClient;
use crate::error::{Error, Result};
use crate::position::Flavor;
use serde::Serialize;
use server::{Lines, Server};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As wanted.
    Ok,
    /// Worth knowing; nothing to do.
    Info,
    /// Works, with the stated loss of exactness, safety or comfort.
    Warn,
    /// Must be put right first.
    Blocker,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// What is checked, stable, for example `binlog_format`.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// The statement (or, where no statement can, the action) that puts it right; `None` on an
    /// `Ok` line.
    pub fix: Option<String>,
    /// How much it matters.
    pub severity: Severity,
}

/// All lines of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `host:port` or the socket's path.
    pub address: String,
    /// Flavor.
    pub flavor: Flavor,
    /// Version text.
    pub version: String,
    /// The lines, in the order of checking.
    pub lines: Vec<CheckLine>,
}

impl Report {
    /// The lines that forbid to go on.
    pub fn blockers(&self) -> impl Iterator<Item = &CheckLine> {
        self.lines
            .iter()
            .filter(|l| l.severity == Severity::Blocker)
    }

    /// The line of a name.
    #[must_use]
    pub fn line(&self, name: &str) -> Option<&CheckLine> {
        self.lines.iter().find(|l| l.name == name)
    }

    /// Fails on the first blocker.
    ///
    /// # Errors
    /// `Config` that names the blocker, what was found and the statement that fixes it.
    pub fn require_no_blocker(&self) -> Result<()> {
        let Some(line) = self.blockers().next() else {
            return Ok(());
        };
        let fix = line.fix.clone().unwrap_or_default();
        Err(Error::config("prepare server: a requirement is not met")
            .field("server", &self.address)
            .field("requirement", &line.name)
            .field("found", &line.found)
            .field("wanted", &line.wanted)
            .field("blockers", self.blockers().count())
            .hint(format!("run on the server: {fix}")))
    }
}

/// What the source will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceNeeds {
    /// Rights to read rows and definitions are wanted, too (first base, DDL seen live).
    pub snapshot: bool,
    /// Commits are to wait for tidelog: semi-sync must be enabled.
    pub semi_sync: bool,
}

/// What a target must be able to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetNeeds {
    /// Flavor of the captured source.
    pub flavor: Flavor,
    /// Version text of the captured source, where known.
    pub version: Option<String>,
    /// `lower_case_table_names` of the captured source, where known.
    pub lower_case_table_names: Option<u8>,
    /// Largest row image to be written, bytes, where known.
    pub row_bytes_max: Option<u64>,
    /// Databases that will be written; the target must not have them. Empty: it must have no user
    /// table at all.
    pub databases: Vec<String>,
}

/// Checks a source. `now_us` is our clock (microseconds since the epoch).
///
/// # Errors
/// As [`sql_error`](super::sql_error) sorts them; a requirement that is not met is a line, not an
/// error.
pub async fn check_source(
    client: &mut SqlClient,
    address: &str,
    needs: SourceNeeds,
    now_us: impl Fn() -> i64,
) -> Result<Report> {
    let server = Server::read(client).await?;
    let mut lines = Lines::default();
    source::version(&server, &mut lines);
    source::binlog(&server, &mut lines);
    source::binlog_filters(client, &server, &mut lines).await?;
    source::upstream(client, &server, &mut lines).await?;
    source::durability(&server, &mut lines);
    source::semi_sync(client, needs, &mut lines).await?;
    source::privileges(&server, needs, &mut lines);
    source::clock(client, &server, now_us, &mut lines).await?;
    if needs.snapshot {
        // Without the right to read them tables cannot be seen either.
        tables::check(client, &server, &mut lines).await?;
    }
    Ok(server.report(address, lines))
}

/// Checks a restore target.
///
/// # Errors
/// As [`check_source`].
pub async fn check_target(
    client: &mut SqlClient,
    address: &str,
    needs: &TargetNeeds,
) -> Result<Report> {
    let server = Server::read(client).await?;
    let mut lines = Lines::default();
    target::kind(&server, needs, &mut lines);
    target::settings(&server, needs, &mut lines);
    target::privileges(&server, &mut lines);
    target::emptiness(client, &server, needs, &mut lines).await?;
    Ok(server.report(address, lines))
}
