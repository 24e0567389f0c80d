//! `tidelog verify`

use super::args::{RepositoryArgs, clock};
use super::{Outcome, output};
use crate::error::Result;
use crate::history::{VerifyOptions, VerifyReport, verify};
use crate::log::{check_tail, through_tail};
use crate::manifest::Repository;
use crate::observe::progress;
use crate::position::Seq;
use clap::Args;

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// Also decodes every row, rebuilds every event and recomputes every fingerprint.
    #[arg(long)]
    full: bool,
    /// Starts at the segment that holds this entry.
    #[arg(long, value_name = "SEQ")]
    since: Option<i64>,
}

impl Verify {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let repository = self.repository.open().await?;
        let options = VerifyOptions {
            full: self.full,
            since: self.since.map(Seq),
        };
        let bar = progress("verifying");
        let verified = verify(&repository, &options).await;
        bar.finish_and_clear();
        let mut report = verified?;
        let checked = self.tail(&repository, &mut report).await;
        report.note(checked)?;
        if json {
            output::json(&report)?;
        } else {
            for damage in &report.damage {
                output::line(&format!("DAMAGE {}", damage.problem))?;
            }
            output::line(&format!(
                "{} segments, {} objects of the tail, {} bases, {} files, {} bytes read{}: {}",
                report.segments,
                report.tail_objects,
                report.bases,
                report.files,
                report.bytes,
                if self.full {
                    format!(
                        ", {} rows decoded, {} events rebuilt",
                        report.rows, report.events
                    )
                } else {
                    String::new()
                },
                if report.damage.is_empty() {
                    "no damage"
                } else {
                    "DAMAGED"
                }
            ))?;
        }
        Ok(if report.damage.is_empty() {
            Outcome::Done
        } else {
            Outcome::No
        })
    }

    /// What is in no segment yet; with `--full` it is recovered as well, into nothing.
    async fn tail(&self, repository: &Repository, report: &mut VerifyReport) -> Result<()> {
        for timeline in repository.timelines().await? {
            let checked = check_tail(repository, timeline.timeline).await?;
            report.tail_objects += checked.objects;
        }
        if self.full && report.tail_objects > 0 {
            Box::pin(through_tail(repository, &clock())).await?;
        }
        Ok(())
    }
}
