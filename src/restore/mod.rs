//! Restore: one base, the changes after it, folded up to a cut and written to a server.
//!
//! A restore's ladder: a [`RestoreTarget`] (what was asked for) becomes a [`RestorePlan`] (the
//! exact cut, the base, the files, what stands in the way; nothing is touched yet) and then a
//! [`RestoreReport`] (what was written and proven). Cut and plan are decided by pure functions.

mod absent;
mod cascade;
mod cut;
mod data;
mod ddl;
mod derived;
mod fetch;
mod find;
mod found;
mod lex;
mod load;
mod log;
mod objects;
mod plan;
mod progress;
mod recomputed;
mod replay;
mod rows;
mod run;
mod sequence;
mod server;
mod spill;
mod spool;
mod statements;
mod sums;
mod table;
mod target;
mod verify;
mod xa;
mod zone;

pub use cut::{Cut, CutTransaction};
pub use derived::{DerivedChange, derived_changes};
pub use plan::{PlannedBase, PlannedDdl, RestorePlan};
pub use recomputed::RecomputedTable;
pub use table::PlannedTable;
pub use target::{Edge, Moment, RestoreTarget, TableFilter};

use crate::error::Result;
use crate::manifest::Repository;
use crate::segment::Fingerprint;
use crate::source::Endpoint;
use serde::Serialize;

/// How a restore is done.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The moment.
    pub target: RestoreTarget,
    /// Which tables.
    pub filter: TableFilter,
    /// Timeline; the newest when `None`.
    pub timeline: Option<u32>,
    /// Connections that write rows and read them back.
    pub jobs: usize,
    /// Goes on with the unfinished restore that the target holds.
    pub resume: bool,
}

impl RestoreOptions {
    /// All tables of the newest timeline, two jobs.
    #[must_use]
    pub fn new(target: RestoreTarget) -> RestoreOptions {
        RestoreOptions {
            target,
            filter: TableFilter::default(),
            timeline: None,
            jobs: 2,
            resume: false,
        }
    }
}

/// A restored table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredTable {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Fingerprint, equal in the fold and in what was read back from the target; without the
    /// generated columns where the target computed them otherwise.
    #[serde(serialize_with = "as_text")]
    pub fingerprint: Fingerprint,
}

/// What a finished restore did.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The plan that was carried out.
    pub plan: RestorePlan,
    /// The tables, by name.
    pub tables: Vec<RestoredTable>,
    /// Rows written in all.
    pub rows: u64,
    /// Tables whose stored generated columns the target computed otherwise than the source; empty
    /// where all is as logged.
    pub recomputed: Vec<RecomputedTable>,
    /// What the reader should know or do next.
    pub notes: Vec<String>,
}

fn as_text<T: std::fmt::Display, S: serde::Serializer>(
    value: &T,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Plans a restore and touches nothing.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap) when the moment cannot be restored (both edges are
/// named), [`Config`](crate::error::ErrorKind::Config) when an edge must be chosen or an option
/// makes no sense, and those of the repository.
pub async fn plan(repo: &Repository, options: &RestoreOptions) -> Result<RestorePlan> {
    let timeline = load::timeline(repo, options.timeline).await?;
    load::plan(repo, &timeline, &options.target, &options.filter).await
}

/// Restores to a server and proves it by reading every table back.
///
/// # Errors
/// Those of [`plan`]; [`Incompatible`](crate::error::ErrorKind::Incompatible) for a target that
/// is not empty or does not fit; [`Corrupt`](crate::error::ErrorKind::Corrupt) when what was read
/// back differs in more than what the target computes. The target is then marked incomplete and the restore can be resumed (I8).
pub async fn run(
    repo: &Repository,
    target: &Endpoint,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    run::Restore::new(repo, target, options).run().await
}

/// A time for people: RFC 3339 with microseconds, UTC.
fn show_time(at_us: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(at_us) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        None => format!("{at_us} us"),
    }
}
