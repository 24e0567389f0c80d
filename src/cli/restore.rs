//! `tidelog restore`

use super::args::{RepositoryArgs, TargetArgs, clock};
use super::{Outcome, moment, output};
use crate::error::{Error, Result};
use crate::manifest::Repository;
use crate::observe::progress;
use crate::position::{BinlogPosition, Gtid, GtidSet, Seq};
use crate::restore::{self, Edge, Moment, RestoreOptions, RestoreTarget, TableFilter};
use clap::{ArgGroup, Args, ValueEnum};

/// Arguments of `restore`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("moment").required(true))]
pub(super) struct Restore {
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// All transactions committed at or before this time.
    #[arg(
        long,
        group = "moment",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    to_time: Option<String>,
    /// Through this transaction; or exactly this set of transactions.
    #[arg(long, group = "moment", value_name = "GTID")]
    to_gtid: Option<String>,
    /// Through the last transaction that ends at or before this place, FILE:OFFSET.
    #[arg(long, group = "moment", value_name = "FILE:OFFSET")]
    to_position: Option<BinlogPosition>,
    /// Through this entry of the log.
    #[arg(long, group = "moment", value_name = "SEQ")]
    to_seq: Option<i64>,
    /// Through the end of the log.
    #[arg(long, group = "moment")]
    latest: bool,
    /// Just before the moment instead of through it.
    #[arg(long)]
    before: bool,
    /// Which side is meant when the cut by time is imprecise.
    #[arg(long, value_enum)]
    edge: Option<EdgeArg>,
    /// Zone of a --to-time without one: UTC or an offset such as +02:00.
    #[arg(
        long,
        env = "TIDELOG_RESTORE_TIME_ZONE",
        default_value = "UTC",
        value_name = "ZONE",
        allow_hyphen_values = true
    )]
    time_zone: String,
    /// Only tables that match db.table (globs; repeatable).
    #[arg(long, value_name = "DB.TABLE")]
    table: Vec<String>,
    /// Only this database (repeatable).
    #[arg(long, value_name = "DB")]
    database: Vec<String>,
    /// Connections that write rows and read them back; a large table keeps all of them busy.
    #[arg(long, env = "TIDELOG_RESTORE_JOBS", default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Prints the plan and touches nothing.
    #[arg(long)]
    dry_run: bool,
    /// Goes on with an unfinished restore of the same moment.
    #[arg(long)]
    resume: bool,
    /// Timeline; the newest by default.
    #[arg(long, value_name = "N")]
    timeline: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EdgeArg {
    Before,
    After,
}

impl Restore {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let repository = self.repository.open_with_tail().await?;
        let options = self.options(&repository).await?;
        if self.dry_run {
            let plan = restore::plan(&repository, &options).await?;
            if json {
                output::json(&plan)?;
            } else {
                output::line(plan.render().trim_end())?;
            }
            return Ok(Outcome::Done);
        }
        let target = self.target.endpoint()?.ok_or_else(|| {
            Error::config("find target: give --target, or --dry-run for the plan alone")
        })?;
        let bar = progress("restoring");
        let restored = Box::pin(restore::run(&repository, &target, &options)).await;
        bar.finish_and_clear();
        let report = restored?;
        for table in &report.recomputed {
            tracing::warn!("{}", table.describe());
        }
        if json {
            output::json(&report)?;
        } else {
            output::line(report.plan.render().trim_end())?;
            let but = match report.recomputed.is_empty() {
                true => "",
                false => ", but for generated columns that the target computed",
            };
            output::line(&format!(
                "\nrestored {} rows in {} tables; every table was read back and is equal{but}",
                report.rows,
                report.tables.len()
            ))?;
            for table in &report.recomputed {
                output::line(&format!("recomputed: {}", table.describe()))?;
            }
            for note in &report.notes {
                output::line(&format!("note: {note}"))?;
            }
        }
        Ok(Outcome::Done)
    }

    async fn options(&self, repository: &Repository) -> Result<RestoreOptions> {
        let target = RestoreTarget {
            moment: self.moment(repository).await?,
            before: self.before,
            edge: self.edge.map(|edge| match edge {
                EdgeArg::Before => Edge::Before,
                EdgeArg::After => Edge::After,
            }),
        };
        Ok(RestoreOptions {
            filter: TableFilter::new(&self.database, &self.table)?,
            timeline: self.timeline,
            jobs: usize::from(self.jobs),
            resume: self.resume,
            ..RestoreOptions::new(target)
        })
    }

    async fn moment(&self, repository: &Repository) -> Result<Moment> {
        if let Some(text) = &self.to_time {
            let at_us = moment::parse(text, &self.time_zone, clock().now_us())?;
            return Ok(Moment::Time { at_us });
        }
        if let Some(text) = &self.to_gtid {
            return gtid(repository, text).await;
        }
        if let Some(position) = &self.to_position {
            return Ok(Moment::Position(position.clone()));
        }
        Ok(match self.to_seq {
            Some(seq) => Moment::Seq(Seq(seq)),
            None => Moment::Latest,
        })
    }
}

/// One GTID, or else a set of the repository's flavor.
async fn gtid(repository: &Repository, text: &str) -> Result<Moment> {
    if let Ok(gtid) = text.parse::<Gtid>() {
        return Ok(Moment::Gtid(gtid));
    }
    let timeline = repository.timelines().await?.pop();
    let timeline =
        timeline.ok_or_else(|| Error::gap("find timeline: nothing has been captured yet"))?;
    Ok(Moment::GtidSet(GtidSet::parse(timeline.flavor, text)?))
}
