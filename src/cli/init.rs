//! `tidelog init`

use super::args::{RepositoryArgs, clock};
use super::{Outcome, output};
use crate::error::Result;
use crate::manifest::Repository;
use clap::Args;

/// Arguments of `init`.
#[derive(Args, Debug)]
pub(super) struct Init {
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Init {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let store = self.repository.store()?;
        store.probe().await?;
        let repository = Repository::init(store, &clock()).await?;
        let header = repository.header();
        if json {
            output::json(header)?;
        } else {
            output::line(&format!(
                "repository {} at {}",
                header.repository_id, self.repository.repo
            ))?;
        }
        Ok(Outcome::Done)
    }
}
