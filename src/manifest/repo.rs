//! The small objects: repository header, timeline, writer epoch.

use super::digest::Sha256;
use super::document::{Document, invalid};
use crate::error::Result;
use crate::position::{Flavor, Seq};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `repo.json`: makes a prefix a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoHeader {
    /// Identity of the repository, for ever.
    pub repository_id: Uuid,
    /// When it was made, microseconds since the epoch.
    pub created_us: i64,
    /// Version of tidelog that made it.
    pub created_by: String,
}

impl Document for RepoHeader {
    const KIND: &'static str = "repository";
}

/// `timelines/<t4>/timeline.json`: one unbroken history of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Number, from 1, dense.
    pub timeline: u32,
    /// Flavor of the source.
    pub flavor: Flavor,
    /// Identity and settings of the source when the timeline began, as the source part of the
    /// program writes them (`source::SourceIdentity`).
    pub source: serde_json::Value,
    /// When it was made, microseconds since the epoch.
    pub created_us: i64,
    /// The timeline it branched off; its own first entry is the one after `fork_seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Fork>,
}

/// Where a timeline left its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The parent timeline.
    pub timeline: u32,
    /// Last entry that both share.
    pub seq: Seq,
    /// Hash of the parent's manifest that holds that entry: the first manifest of the branch
    /// links to it.
    pub sha256: Sha256,
}

impl Timeline {
    /// The number of the timeline's own first entry.
    #[must_use]
    pub fn seq_first(&self) -> Seq {
        self.parent.map_or(Seq::FIRST, |fork| fork.seq.next())
    }
}

impl Document for Timeline {
    const KIND: &'static str = "timeline";

    fn validate(&self) -> Result<()> {
        if self.timeline == 0 {
            return Err(invalid("read timeline number").field("timeline", self.timeline));
        }
        if let Some(fork) = self.parent
            && (fork.timeline == 0 || fork.timeline >= self.timeline || fork.seq.0 < 1)
        {
            return Err(invalid("read timeline fork")
                .field("parent", fork.timeline)
                .field("seq", fork.seq));
        }
        Ok(())
    }
}

/// `timelines/<t4>/writers/<epoch10>.json`: the claim of one writer process. A writer whose
/// epoch is not the highest is fenced at its next commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterEpoch {
    /// Timeline.
    pub timeline: u32,
    /// Number, from 1, dense within the timeline.
    pub epoch: u64,
    /// Identity of the writer process.
    pub writer_id: Uuid,
    /// Host name, for people.
    pub host: String,
    /// Process id, for people.
    pub pid: u32,
    /// When it was claimed, microseconds since the epoch.
    pub started_us: i64,
    /// Version of tidelog.
    pub version: String,
    /// Last entry that the writer saw committed when it claimed: where a search for the head
    /// begins. `Seq(0)` when there was none.
    pub head_hint: Seq,
    /// When a transaction counts as durable for this writer, by the name of the setting; `None` for
    /// one that does not capture, or of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
}

impl Document for WriterEpoch {
    const KIND: &'static str = "writer";

    fn validate(&self) -> Result<()> {
        if self.timeline == 0 || self.epoch == 0 || self.head_hint.0 < 0 {
            return Err(invalid("read writer epoch").field("epoch", self.epoch));
        }
        Ok(())
    }
}
