//! How far the tail of a timeline is in segments, as manifests say it.

use super::digest::Sha256;
use serde::{Deserialize, Serialize};

/// A place in the tail: behind one of its objects, or at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailPlace {
    /// Everything in the objects up to this number is in segments; 0 before the first object.
    pub through: u64,
    /// Hash of that object, which the next one repeats; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Length of all objects up to that one.
    pub bytes: u64,
    /// The writer of this epoch had claimed it before it looked for the objects up to here. What an
    /// earlier writer put behind them was never acknowledged, and is in no segment on its account.
    pub epoch: u64,
}

impl TailPlace {
    /// Before the first object.
    #[must_use]
    pub fn start(epoch: u64) -> TailPlace {
        TailPlace {
            through: 0,
            sha256: None,
            bytes: 0,
            epoch,
        }
    }

    /// Whether its members go together.
    pub(super) fn is_sound(&self, epoch: u64) -> bool {
        self.sha256.is_some() == (self.through > 0) && (1..=epoch).contains(&self.epoch)
    }
}
