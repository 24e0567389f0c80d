//! `tidelog run`

use super::args::{BaseArgs, CaptureArgs, RepositoryArgs, SourceArgs, clock};
use super::{Outcome, capture};
use crate::error::Result;
use crate::runtime::Shutdown;
use crate::service;
use clap::Args;

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    base: BaseArgs,
}

impl Run {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let endpoint = self.source.endpoint()?;
        let repository = self.repository.open().await?;
        let service = service::Service {
            repository,
            source: endpoint,
            capture: self.capture.options(false),
            base: self.base.options(),
            clock: clock(),
        };
        let progress = Box::pin(service.run(Shutdown::install()?)).await?;
        capture::print(&progress, json)
    }
}
