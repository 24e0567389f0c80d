//! `tidelog demo`: throwaway servers, a messaging workload, the classic mistake, the restore to
//! the second before it, and the proof.

mod proof;
mod workload;

use super::args::clock;
use super::{Outcome, output};
use crate::error::{Error, Result, Wrap};
use crate::log::CaptureOptions;
use crate::manifest::Repository;
use crate::position::Flavor;
use crate::restore::{self, Edge, Moment, RestoreOptions, RestoreTarget};
use crate::runtime::{Shutdown, Stopwatch};
use crate::service::throwaway::{ServerSpec, ThrowawayServer};
use crate::service::{Service, status};
use crate::snapshot::BaseOptions;
use crate::source::Endpoint;
use crate::storage::{Store, StoreOptions};
use clap::{Args, ValueEnum};
use mysql_async::Opts;
use proof::Fingerprints;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use workload::Writers;

/// Clients that write at the same time.
const WRITERS: u64 = 6;

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Which server; MySQL where it is found, else MariaDB.
    #[arg(long, value_enum)]
    flavor: Option<FlavorArg>,
    /// Seconds of writing before and again after the first base.
    #[arg(long, default_value_t = 6, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Keeps the repository in this folder instead of a temporary one.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FlavorArg {
    Mysql,
    Mariadb,
}

#[derive(Serialize)]
struct Answer {
    flavor: Flavor,
    server_version: String,
    transactions: u64,
    rows_deleted_by_mistake: u64,
    restored_to_us: i64,
    seq: i64,
    rows_restored: u64,
    tables_equal: usize,
    seconds: f64,
}

impl Demo {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let say = |text: &str| if json { Ok(()) } else { output::line(text) };
        let watch = Stopwatch::start();
        let folder = tempfile::tempdir().wrap(|| Error::unavailable("make temporary folder"))?;
        let path = self
            .keep
            .clone()
            .unwrap_or_else(|| folder.path().join("repository"));
        say("tidelog demo: a messaging service, one mistake, and the second before it\n")?;
        let (source, target) = servers(self.flavor).await?;
        say(&format!(
            "1. two throwaway servers: {} {}",
            source.flavor(),
            source.version()
        ))?;
        let opts = opts(&source)?;
        workload::create(&opts).await?;
        let repository = open(&path).await?;
        let (stop, shutdown) = Shutdown::manual();
        let service = Service {
            repository: repository.clone(),
            source: endpoint(&source)?,
            capture: CaptureOptions {
                heartbeat: Duration::from_secs(1),
                ..CaptureOptions::default()
            },
            base: BaseOptions::default(),
            clock: clock(),
        };
        let mut running = tokio::spawn(Box::pin(service.run(shutdown)));
        let writers = Writers::start(&opts, WRITERS);
        say(&format!(
            "2. {WRITERS} clients write; tidelog captures as a replica and takes the first base meanwhile"
        ))?;
        wait_for_base(&repository, &mut running).await?;
        say(&format!(
            "3. base taken while they wrote ({} transactions so far); they go on",
            writers.committed()
        ))?;
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let transactions = writers.stop().await?;
        // The second before: nothing else happens in it, so that "equal" can be proven.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let before = proof::fingerprints(&opts).await?;
        let moment_us = proof::server_time_us(&opts).await?;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let deleted = proof::mistake(&opts).await?;
        say(&format!(
            "4. somebody runs DELETE FROM messaging.read_receipts without WHERE: {deleted} rows are gone"
        ))?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.stop();
        running.await.wrap(|| Error::internal("join service"))??;
        let report = self.restore(&repository, &target, moment_us, &say).await?;
        let after = proof::fingerprints(&self::opts(&target)?).await?;
        let equal = compare(&before, &after, &say)?;
        say(&format!(
            "\n{transactions} transactions captured, restored and proven in {:.0} s",
            watch.elapsed().as_secs_f64()
        ))?;
        if let Some(kept) = &self.keep {
            say(&format!(
                "the repository is kept in {}: try tidelog log, status, verify, inspect on it",
                kept.display()
            ))?;
        }
        if json {
            output::json(&Answer {
                flavor: source.flavor(),
                server_version: source.version().to_owned(),
                transactions,
                rows_deleted_by_mistake: deleted,
                restored_to_us: moment_us,
                seq: report.plan.cut.seq.0,
                rows_restored: report.rows,
                tables_equal: equal,
                seconds: watch.elapsed().as_secs_f64(),
            })?;
        }
        Ok(Outcome::Done)
    }

    async fn restore(
        &self,
        repository: &Repository,
        target: &ThrowawayServer,
        moment_us: i64,
        say: &impl Fn(&str) -> Result<()>,
    ) -> Result<restore::RestoreReport> {
        let state = status(repository, None, clock().now_us()).await?;
        say(&format!(
            "5. the repository can restore any second from {} through {}",
            output::or_dash(state.restorable_from),
            output::or_dash(state.restorable_through)
        ))?;
        let moment = RestoreTarget {
            edge: Some(Edge::Before),
            ..RestoreTarget::at(Moment::Time { at_us: moment_us })
        };
        let report = Box::pin(restore::run(
            repository,
            &endpoint(target)?,
            &RestoreOptions::new(moment),
        ))
        .await?;
        say(&format!(
            "6. restored to {}: {} rows in {} tables, through seq {}",
            output::time(Some(moment_us)),
            report.rows,
            report.tables.len(),
            report.plan.cut.seq
        ))?;
        Ok(report)
    }
}

async fn servers(flavor: Option<FlavorArg>) -> Result<(ThrowawayServer, ThrowawayServer)> {
    let wanted = match flavor {
        Some(FlavorArg::Mysql) => vec![Flavor::MySql],
        Some(FlavorArg::Mariadb) => vec![Flavor::MariaDb],
        None => vec![Flavor::MySql, Flavor::MariaDb],
    };
    let mut last = Error::internal("start demo servers");
    for flavor in wanted {
        match tokio::try_join!(server(flavor), server(flavor)) {
            Ok(both) => return Ok(both),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn server(flavor: Flavor) -> Result<ThrowawayServer> {
    tokio::task::spawn_blocking(move || ThrowawayServer::start(ServerSpec::new(flavor)))
        .await
        .wrap(|| Error::internal("start server task"))?
}

async fn open(path: &std::path::Path) -> Result<Repository> {
    std::fs::create_dir_all(path)
        .wrap(|| Error::config("make repository folder").field("path", path.display()))?;
    let absolute = path
        .canonicalize()
        .wrap(|| Error::config("find repository folder"))?;
    let url = format!("file://{}", absolute.display());
    Repository::init(Store::open(&url, &StoreOptions::default())?, &clock()).await
}

fn endpoint(server: &ThrowawayServer) -> Result<Endpoint> {
    server.account_url().parse()
}

fn opts(server: &ThrowawayServer) -> Result<Opts> {
    let url = server.account_url();
    // mysql_async knows no ssl-mode; the throwaway server is on loopback.
    let plain = url.split('?').next().unwrap_or(&url).to_owned();
    Opts::from_url(&plain).wrap(|| Error::internal("connect to demo server"))
}

/// Waits until the first base exists; a service that ended first says why.
async fn wait_for_base<T: Send>(
    repository: &Repository,
    running: &mut tokio::task::JoinHandle<Result<T>>,
) -> Result<()> {
    loop {
        for timeline in repository.timelines().await? {
            if !repository.bases(timeline.timeline).await?.is_empty() {
                return Ok(());
            }
        }
        if running.is_finished() {
            running.await.wrap(|| Error::internal("join service"))??;
            return Err(Error::internal("take first base: the service ended early"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn compare(
    before: &Fingerprints,
    after: &Fingerprints,
    say: &impl Fn(&str) -> Result<()>,
) -> Result<usize> {
    say("7. proof: every table, every cell, source before the mistake against target")?;
    for (table, expected) in before {
        let found = after.get(table);
        let equal = found == Some(expected);
        let mark = if equal { "equal" } else { "DIFFERENT" };
        say(&format!(
            "   {:<15} {:>8} rows  {}  {mark}",
            table, expected.rows, &expected.hash
        ))?;
        if !equal {
            return Err(Error::corrupt("prove restore: a table differs").field("table", table));
        }
    }
    Ok(before.len())
}
