//! The segment manifest: the commit point of the log.
//!
//! What no manifest names does not exist. A manifest is created once, under a name derived
//! from its first entry, so two writers cannot both commit it.

use super::digest::{Crc32, Sha256};
use super::document::Document;
use super::tail::TailPlace;
use crate::position::{BinlogPosition, GtidSet, Seq};
use crate::schema::{TableId, TableVersion};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// `timelines/<t4>/log/<seq_first20>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentManifest {
    /// Timeline.
    pub timeline: u32,
    /// First entry.
    pub seq_first: Seq,
    /// Last entry, inclusive.
    pub seq_last: Seq,
    /// Hash of the stored bytes of the manifest before this one; `None` only in a timeline's
    /// first, unless it branched off another timeline.
    pub prev_sha256: Option<Sha256>,
    /// Epoch of the writer.
    pub epoch: u64,
    /// Identity of the writer process.
    pub writer_id: Uuid,
    /// When it was sealed, microseconds since the epoch, on the writer's clock.
    pub created_us: i64,
    /// Transactions of this segment.
    pub gtids_added: GtidSet,
    /// All transactions of the history up to the end of this segment, those before the
    /// timeline's start included: where to resume by GTID.
    pub gtids_through: GtidSet,
    /// Where the segment starts in the source's binlog.
    pub position_first: BinlogPosition,
    /// End of the last transaction in the source's binlog: where to resume by position.
    pub position_last: BinlogPosition,
    /// Commit times.
    pub commit_time: CommitTimes,
    /// The history is complete up to this moment of the source's clock, microseconds since the
    /// epoch; never runs back within a timeline. `None` until the first one is known.
    pub covered_through_us: Option<i64>,
    /// Version and settings of the source in force, as the source part of the program writes
    /// them; `null` when no connection was made for this segment.
    pub source: serde_json::Value,
    /// An event of the last transaction, as it stands in the file of `position_last`; `None`
    /// before the first one, behind 4 GiB, and after another server took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<LastEvent>,
    /// The format description event in force at `position_last`, whole; empty when none was
    /// received yet.
    #[serde(with = "hex::serde")]
    pub format_description: Vec<u8>,
    /// Table versions that this segment introduces.
    #[serde(with = "arc_list")]
    pub tables: Vec<Arc<TableVersion>>,
    /// Tables whose incarnation ends in this segment (DROP, TRUNCATE, re-CREATE).
    pub retired: Vec<TableId>,
    /// Data files, packs before their members.
    pub files: Vec<FileEntry>,
    /// Number of transactions (marks are not counted).
    pub transactions: u64,
    /// Number of row images in change files.
    pub rows: u64,
    /// Entries that are no transactions, in order.
    pub marks: Vec<Mark>,
    /// Where rows of a table (or of all) cannot be known from row events.
    pub barriers: Vec<Barrier>,
    /// Statements that change definitions, in order; their texts and sessions are in
    /// `statements.parquet`. Restores run them again in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ddl: Vec<Ddl>,
    /// XA transactions that are prepared and undecided at the end of this segment.
    pub open_xa: Vec<OpenXa>,
    /// XA transactions that this segment decides, ascending by the entry that does; those
    /// prepared and committed within it are left out, for only a moment inside of the segment
    /// could tell the two entries apart, and `xa_seq` of its transactions.parquet does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xa_decided: Vec<DecidedXa>,
    /// Transactions of this segment that hold rows and ended with ROLLBACK, ascending: what
    /// they changed in transactional tables was undone, and servers log nothing else in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<Seq>,
    /// Changes that were undone by ROLLBACK TO a savepoint, ascending, no two alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone_rows: Vec<UndoneRows>,
    /// Stretches noticed by the writer, of this segment or before it, in which the source let
    /// commits return that were not durable here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unprotected: Vec<Unprotected>,
    /// How far the tail is in segments; `None` where there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailPlace>,
    /// The catalogue as of `seq_last`, where this manifest names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<ObjectRef>,
    /// Which columns of tables are generated, where no version says it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub computed: Vec<super::ComputedColumns>,
    /// See [`Document::requires`].
    #[serde(default, skip_serializing)]
    pub requires: Vec<String>,
}

/// Tells whether a source still has the transaction that we received last: of MySQL the GTID event
/// (it holds the microsecond of the commit), of MariaDB the XID event, or without one the GTID event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEvent {
    /// Where it starts in the binlog file.
    pub offset: u64,
    /// SHA-256 of its bytes as received, header and checksum included.
    pub sha256: Sha256,
}

/// Commit times of a segment, microseconds since the epoch on the source's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitTimes {
    /// Of the first transaction; `None` when there is none.
    pub first_us: Option<i64>,
    /// Of the last transaction.
    pub last_us: Option<i64>,
    /// Highest of the whole timeline up to here: a running maximum, so that a cut by time can
    /// be searched for. `None` until there was a transaction.
    pub max_us: Option<i64>,
}

/// What a data file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileRole {
    /// One row per entry.
    Transactions,
    /// One row per statement.
    Statements,
    /// Row images of one table version.
    Changes,
    /// Events kept verbatim.
    Raw,
    /// Several small files back to back: its members are entries of their own with the same
    /// object and an offset.
    Pack,
}

/// In which order the rows of a data file stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOrder {
    /// By `__seq`, then ordinal.
    Seq,
    /// By key, then `__seq`, `__row`, op: one sorted run.
    Key,
    /// Several sorted runs by key, each row group within one.
    KeyRuns,
    /// By hash of the row (tables without a key).
    Hash,
    /// Of no use.
    None,
}

/// A data file, or a member of a pack. Every number is checked against the bytes before they
/// are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// What it holds.
    pub role: FileRole,
    /// Table, for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<TableId>,
    /// Version of the table, for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Part, from 0.
    pub part: u32,
    /// Object name.
    pub object: String,
    /// Where it starts in the object; 0 unless it is a member of a pack.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Number of rows; of events in `raw.binlog`; 0 for a pack.
    pub rows: u64,
    /// CRC-32 of its bytes.
    pub crc32: Crc32,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Order of its rows.
    pub order: FileOrder,
    /// Lowest key in the frozen memcomparable encoding.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_option")]
    pub key_min: Option<Vec<u8>>,
    /// Highest key.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_option")]
    pub key_max: Option<Vec<u8>>,
    /// Lowest entry with rows in it.
    pub seq_first: Seq,
    /// Highest entry with rows in it.
    pub seq_last: Seq,
    /// Whether the source left cells of its rows out of the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

/// Another object, named with its length and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Object name.
    pub object: String,
    /// Length in bytes.
    pub length: u64,
    /// CRC-32 of its bytes.
    pub crc32: Crc32,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// An entry of the log that is no transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The entry.
    pub seq: Seq,
    /// What it says.
    #[serde(flatten)]
    pub kind: MarkKind,
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MarkKind {
    /// The timeline starts here; the manifest names the catalogue.
    Start,
    /// A writer took over.
    Epoch {
        /// Its epoch.
        epoch: u64,
    },
    /// History is missing between the entry before and the one after.
    Gap {
        /// Transactions known to be missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<GtidSet>,
        /// Position of the last event received before the gap.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<BinlogPosition>,
        /// Position of the first event received after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<BinlogPosition>,
    },
    /// Nothing was committed on the source up to this moment.
    Idle {
        /// Microseconds since the epoch, on the source's clock.
        covered_through_us: i64,
    },
    /// See [`Barrier`], for one that is not caused by a transaction.
    Barrier,
}

impl MarkKind {
    /// Stable lowercase name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            MarkKind::Start => "start",
            MarkKind::Epoch { .. } => "epoch",
            MarkKind::Gap { .. } => "gap",
            MarkKind::Idle { .. } => "idle",
            MarkKind::Barrier => "barrier",
        }
    }
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MarkKind::Gap { missing, from, to } = self else {
            return f.write_str(self.name());
        };
        f.write_str("history is missing")?;
        match missing {
            Some(missing @ GtidSet::MySql(_)) => write!(f, ": {missing}")?,
            Some(missing) => write!(f, ": through {missing}")?,
            None => f.write_str(", which transactions is not known")?,
        }
        if let (Some(from), Some(to)) = (from, to) {
            write!(f, "; from {from} to {to}")?;
        }
        Ok(())
    }
}

/// From this entry on the rows of a table cannot be known from row events alone: only a base
/// taken after it makes them exact again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// The entry.
    pub seq: Seq,
    /// The table; `None` means all of them (`"*"` when stored).
    #[serde(with = "table_or_all")]
    pub table: Option<TableId>,
    /// Why, lowercase.
    pub reason: String,
    /// The statement, where one caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl Barrier {
    /// Reason of the barriers that earlier versions wrote for every DDL statement, which restores
    /// now run again: no barrier by itself any more.
    pub const DDL: &str = "ddl after the base";

    /// Whether restores stop at it.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.reason != Self::DDL
    }
}

/// A statement that changes definitions of tables or other schema objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ddl {
    /// The entry.
    pub seq: Seq,
    /// Its start, for people.
    pub statement: String,
}

/// An XA transaction that is prepared and undecided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenXa {
    /// XA identifier in the server's text form.
    #[serde(with = "hex::serde")]
    pub xid: Vec<u8>,
    /// Entry of its XA PREPARE.
    pub seq: Seq,
    /// Manifest of the segment that holds it.
    pub object: String,
}

/// An XA transaction that was prepared and is decided now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedXa {
    /// Entry of its XA PREPARE, which holds its rows.
    pub prepared: Seq,
    /// Entry that decides it: the rows count from here on, or never.
    pub seq: Seq,
    /// XA COMMIT; otherwise XA ROLLBACK.
    pub committed: bool,
}

/// Changes of a transaction that never count, by their ordinals (`__row`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoneRows {
    /// Its entry.
    pub seq: Seq,
    /// The first of them.
    pub first: i64,
    /// The one after the last.
    pub end: i64,
}

/// Transactions whose clients may have been told of their COMMIT before they were durable here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unprotected {
    /// First of them.
    pub seq_first: Seq,
    /// Last of them.
    pub seq_last: Seq,
    /// GTID of the first.
    pub gtid_first: Option<String>,
    /// GTID of the last.
    pub gtid_last: Option<String>,
    /// Commits that did not wait, as the source counted them; 0 where it was not asked before.
    pub commits: u64,
    /// The look at the source before, our clock, microseconds since the epoch.
    pub from_us: i64,
    /// The look that told.
    pub to_us: i64,
}

impl Document for SegmentManifest {
    const KIND: &'static str = "segment";

    fn requires(&self) -> &[String] {
        &self.requires
    }

    fn validate(&self) -> crate::error::Result<()> {
        super::check::segment(self)
    }
}

impl SegmentManifest {
    /// The name it is stored under.
    #[must_use]
    pub fn object_name(&self) -> crate::storage::ObjectName {
        crate::storage::ObjectName::Manifest {
            timeline: self.timeline,
            seq_first: self.seq_first,
        }
    }

    /// Whether an entry is in this segment.
    #[must_use]
    pub fn contains(&self, seq: Seq) -> bool {
        (self.seq_first..=self.seq_last).contains(&seq)
    }

    /// Entries with statements that change definitions, ascending, once each.
    #[must_use]
    pub fn ddl_entries(&self) -> Vec<Seq> {
        let barriers = self.barriers.iter().filter(|barrier| !barrier.stops());
        let all = self.ddl.iter().map(|ddl| ddl.seq);
        let mut seqs: Vec<Seq> = all.chain(barriers.map(|barrier| barrier.seq)).collect();
        seqs.sort();
        seqs.dedup();
        seqs
    }

    /// The file entries of a role (members of packs included).
    pub fn files_of(&self, role: FileRole) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().filter(move |f| f.role == role)
    }
}

pub(super) mod hex_option {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => s.serialize_some(&hex::encode(bytes)),
            None => s.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        text.map(|t| hex::decode(t).map_err(D::Error::custom))
            .transpose()
    }
}

mod table_or_all {
    use crate::schema::TableId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const ALL: &str = "*";

    pub(super) fn serialize<S: Serializer>(
        table: &Option<TableId>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(table.as_ref().map_or(ALL, TableId::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<TableId>, D::Error> {
        match String::deserialize(d)?.as_str() {
            ALL => Ok(None),
            text => TableId::parse(text).map(Some).map_err(D::Error::custom),
        }
    }
}

/// Lists of shared values, as lists of values.
pub(super) mod arc_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(in super::super) fn serialize<T: Serialize, S: Serializer>(
        list: &[Arc<T>],
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(Arc::as_ref))
    }

    pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        let list = Vec::<T>::deserialize(d)?;
        Ok(list.into_iter().map(Arc::new).collect())
    }
}
