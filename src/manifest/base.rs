//! The base manifest: a state of all tables at one entry of the log.

use super::document::Document;
use super::segment::{CommitTimes, ObjectRef, OpenXa};
use crate::error::Result;
use crate::position::{BinlogPosition, GtidSet, Seq};
use crate::schema::{TableId, TableName};
use crate::storage::{BaseId, ObjectName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `timelines/<t4>/base/<seq20>-<n4>.json`. Written last: a base is complete when its manifest
/// exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseManifest {
    /// Timeline.
    pub timeline: u32,
    /// The moment of the base: the earliest target it can restore.
    pub seq: Seq,
    /// Attempt; the highest one of a moment wins.
    pub attempt: u32,
    /// Changes from this entry on are applied to the files (per table: those after
    /// `exact_from_seq` count, earlier ones are in the files already).
    pub apply_from_seq: Seq,
    /// When it was written, microseconds since the epoch, on the writer's clock.
    pub created_us: i64,
    /// How it came to be.
    pub origin: BaseOrigin,
    /// Identity of the writer process.
    pub writer_id: Uuid,
    /// All transactions up to `seq`.
    pub gtids: GtidSet,
    /// Position on the source at `seq`.
    pub position: BinlogPosition,
    /// Commit times at `seq`.
    pub commit_time: CommitTimes,
    /// Version and settings of the source, as in the segment manifest.
    pub source: serde_json::Value,
    /// Tables, ordered by table id.
    pub tables: Vec<BaseTable>,
    /// MariaDB sequences.
    pub sequences: Vec<SequenceState>,
    /// XA transactions that were prepared and undecided before `apply_from_seq`: their rows are
    /// not in the files, and count if an XA COMMIT comes.
    pub open_xa: Vec<OpenXa>,
    /// `files.parquet`: the file list.
    pub files: ObjectRef,
    /// `views.sql`.
    pub views: ObjectRef,
    /// `schema.sql.zst`.
    pub schema: ObjectRef,
    /// A catalogue that knows every table version the base names.
    pub catalog: ObjectRef,
    /// Always `true`: a reader refuses anything else.
    pub complete: bool,
    /// See [`Document::requires`].
    #[serde(default, skip_serializing)]
    pub requires: Vec<String>,
}

/// How a base came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseOrigin {
    /// Read from the source.
    Snapshot,
    /// Folded from an older base and segments.
    Compaction,
}

/// A table of a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseTable {
    /// Table.
    pub table_id: TableId,
    /// Version in force at `seq`; files may be of older ones.
    pub version: u32,
    /// Name at `seq`.
    pub name: TableName,
    /// The files hold the table's state at exactly this entry.
    pub exact_from_seq: Seq,
    /// Number of rows in the files.
    pub rows: u64,
    /// Sum of the canonical rows' hashes modulo 2^128, 32 hex digits.
    #[serde(with = "hex_u128")]
    pub fingerprint: u128,
    /// Next AUTO_INCREMENT value, where the table has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_increment: Option<u64>,
}

/// The state of a MariaDB sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceState {
    /// Name.
    pub name: TableName,
    /// `next_not_cached_value`.
    pub next_value: i64,
    /// `cycle_count`.
    pub cycle_count: i64,
}

impl Document for BaseManifest {
    const KIND: &'static str = "base";

    fn requires(&self) -> &[String] {
        &self.requires
    }

    fn validate(&self) -> Result<()> {
        super::check::base(self)
    }
}

impl BaseManifest {
    /// Its identity.
    #[must_use]
    pub fn id(&self) -> BaseId {
        BaseId {
            timeline: self.timeline,
            seq: self.seq,
            attempt: self.attempt,
        }
    }

    /// The name it is stored under.
    #[must_use]
    pub fn object_name(&self) -> ObjectName {
        ObjectName::Base(self.id())
    }
}

mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u128, D::Error> {
        let text = String::deserialize(d)?;
        let legal = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = legal
            .then(|| u128::from_str_radix(&text, 16).ok())
            .flatten();
        value.ok_or_else(|| D::Error::custom("not 32 hex digits"))
    }
}
