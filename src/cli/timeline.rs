//! `tidelog timeline`

use super::args::{CaptureArgs, RepositoryArgs, SourceArgs, clock};
use super::{Outcome, output};
use crate::error::{Error, Result};
use crate::log::{self, ForkAt};
use crate::position::Seq;
use crate::service::status;
use clap::{Args, Subcommand};

/// Arguments of `timeline`.
#[derive(Args, Debug)]
pub(super) struct Timeline {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a new timeline where a source's history left ours (failover to a server that lacks
    /// transactions, reset, purged binlogs); the one before stays restorable.
    Fork(Fork),
    /// Lists the timelines.
    List(List),
}

#[derive(Args, Debug)]
struct Fork {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Last point that both timelines share, a GTID or a Seq; by default the last that both have.
    #[arg(long, value_name = "GTID|SEQ")]
    at: Option<String>,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Timeline {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        match self.command {
            Command::Fork(command) => command.execute(json).await,
            Command::List(command) => command.execute(json).await,
        }
    }
}

impl Fork {
    async fn execute(self, json: bool) -> Result<Outcome> {
        let endpoint = self.source.endpoint()?;
        let at = at(self.at.as_deref())?;
        let repository = self.repository.open().await?;
        let options = self.capture.options(false);
        let clock = clock();
        let forked = log::fork(&repository, &endpoint, &at, &options, &clock);
        let report = Box::pin(forked).await?;
        if json {
            output::json(&report)?;
            return Ok(Outcome::Done);
        }
        output::line(&format!(
            "timeline {:04} leaves timeline {:04} after seq {} (which ends at seq {}) and goes on from {}",
            report.timeline, report.parent, report.fork_seq, report.parent_seq_last, report.source
        ))?;
        if let Some(gap) = &report.gap {
            output::line(&format!("GAP  {gap}"))?;
        }
        output::line(
            "next: tidelog run takes its first base (or tidelog snapshot beside tidelog capture); \
             until then nothing of it can be restored",
        )?;
        Ok(Outcome::Done)
    }
}

fn at(text: Option<&str>) -> Result<ForkAt> {
    let Some(text) = text else {
        return Ok(ForkAt::LastCommon);
    };
    if let Ok(seq) = text.parse() {
        return Ok(ForkAt::Seq(Seq(seq)));
    }
    text.parse().map(ForkAt::Gtid).map_err(|error| {
        Error::config("read point to fork at")
            .field("at", text)
            .hint("write a Seq (a number) or one GTID")
            .source(error)
    })
}

impl List {
    async fn execute(self, json: bool) -> Result<Outcome> {
        let repository = self.repository.open().await?;
        let answer = status(&repository, None, clock().now_us()).await?;
        if json {
            output::json(&answer.timelines)?;
            return Ok(Outcome::Done);
        }
        for timeline in &answer.timelines {
            output::line(&super::status::title(timeline))?;
        }
        Ok(Outcome::Done)
    }
}
