//! `tidelog snapshot`

use super::args::{BaseArgs, RepositoryArgs, SourceArgs, clock};
use super::{Outcome, output};
use crate::error::Result;
use crate::observe::progress;
use crate::snapshot;
use clap::Args;

/// Arguments of `snapshot`.
#[derive(Args, Debug)]
pub(super) struct Snapshot {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    base: BaseArgs,
}

impl Snapshot {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let endpoint = self.source.endpoint()?;
        let repository = self.repository.open().await?;
        let bar = progress("taking a base");
        let taken = Box::pin(snapshot::take(
            &repository,
            &endpoint,
            &self.base.options(),
            &clock(),
            &|| {},
        ))
        .await;
        bar.finish_and_clear();
        let report = taken?;
        if json {
            output::json(&report)?;
        } else {
            output::line(&format!(
                "base {} at seq {}: {} tables, {} rows, {} bytes in {:.1} s",
                report.object, report.seq, report.tables, report.rows, report.bytes, report.seconds
            ))?;
        }
        Ok(Outcome::Done)
    }
}
