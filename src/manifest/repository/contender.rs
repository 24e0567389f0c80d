//! Two writers want to create one object: who goes on.

use crate::error::{Error, Result};
use uuid::Uuid;

/// Whose object stands where another was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its writer's epoch.
    pub epoch: u64,
    /// Its writer.
    pub writer_id: Uuid,
}

impl Contender {
    /// A writer of `epoch` found this one's object in the place of its own, after the outcome of the
    /// create was known. An older writer's is adopted: ours follows it.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::ErrorKind::Fenced) when it is a newer writer's,
    /// [`Internal`](crate::error::ErrorKind::Internal) when it is of the same epoch.
    pub fn require_older(self, epoch: u64, object: &str) -> Result<()> {
        let error = match epoch {
            _ if self.epoch < epoch => return Ok(()),
            _ if self.epoch > epoch => {
                Error::fenced("create object in the place of a newer writer's")
                    .hint("another tidelog captures into this timeline now: stop one of the two")
            }
            _ => Error::internal("create two objects of one epoch in one place"),
        };
        Err(error
            .field("object", object)
            .field("epoch", epoch)
            .field("other_epoch", self.epoch)
            .field("other_writer", self.writer_id))
    }
}
