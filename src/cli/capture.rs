//! `tidelog capture`

use super::args::{CaptureArgs, RepositoryArgs, SourceArgs, clock};
use super::{Outcome, output};
use crate::error::Result;
use crate::log::{self, CaptureControl, CaptureProgress};
use crate::runtime::Shutdown;
use clap::Args;
use serde::Serialize;

/// Arguments of `capture`.
#[derive(Args, Debug)]
pub(super) struct Capture {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Stops when caught up with where the source stood at the start.
    #[arg(long)]
    once: bool,
    /// Seals everything that is durable already and ends; needs no source.
    #[arg(long, conflicts_with = "once")]
    finish: bool,
}

#[derive(Serialize)]
struct Answer {
    timeline: u32,
    seq_last: Option<i64>,
    position: Option<String>,
    transactions: u64,
    event_bytes: u64,
}

impl Capture {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let control = CaptureControl::new(Shutdown::install()?);
        let progress = control.progress.subscribe();
        let (options, clock) = (self.capture.options(self.once), clock());
        if self.finish {
            let repository = self.repository.open().await?;
            Box::pin(log::finish(&repository, &options, &clock, &control)).await?;
        } else {
            options.validate()?;
            let endpoint = self.source.endpoint()?;
            let repository = self.repository.open().await?;
            let run = log::run(&repository, &endpoint, &options, &clock, control);
            Box::pin(run).await?;
        }
        let progress = progress.borrow().clone();
        print(&progress, json)
    }
}

/// How far capture came.
pub(super) fn print(progress: &CaptureProgress, json: bool) -> Result<Outcome> {
    let answer = Answer {
        timeline: progress.timeline,
        seq_last: progress.seq_committed.map(|seq| seq.0),
        position: progress
            .position_committed
            .as_ref()
            .map(ToString::to_string),
        transactions: progress.transactions,
        event_bytes: progress.event_bytes,
    };
    if json {
        output::json(&answer)?;
    } else {
        output::line(&format!(
            "captured {} transactions ({} bytes of events); committed through seq {} at {}",
            answer.transactions,
            answer.event_bytes,
            output::or_dash(answer.seq_last),
            output::or_dash(answer.position)
        ))?;
    }
    Ok(Outcome::Done)
}
