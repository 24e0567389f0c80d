//! `tidelog verify`

use super::args::RepositoryArgs;
use super::{Outcome, output};
use crate::error::Result;
use crate::history::{VerifyOptions, verify};
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
        let report = verified?;
        if json {
            output::json(&report)?;
        } else {
            for damage in &report.damage {
                output::line(&format!("DAMAGE {}", damage.problem))?;
            }
            output::line(&format!(
                "{} segments, {} bases, {} files, {} bytes read{}: {}",
                report.segments,
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
}
