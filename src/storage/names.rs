//! Every object name of a repository, made and parsed here and nowhere else.
//!
//! Numbers are zero-padded so that listing sorts. Names of databases and tables never occur:
//! an object name is made of our own numbers, ids and uuids only, so no name can lead out of
//! the repository's prefix.

use crate::error::{Error, Result};
use crate::position::Seq;
use crate::schema::TableId;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The folder of one segment's data files: `segments/<seq_first20>-<uuid>`. The uuid is the
/// attempt's, so that two writers that seal from the same entry never share a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentFolder {
    /// Timeline.
    pub timeline: u32,
    /// First entry of the segment.
    pub seq_first: Seq,
    /// The attempt.
    pub uuid: Uuid,
}

/// A file in a segment's folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentFile {
    /// `transactions.parquet`
    Transactions,
    /// `statements.parquet`, `statements-<part>.parquet`
    Statements(u32),
    /// `<table_id>.v<version>.<part>.parquet`
    Changes {
        /// Table.
        table_id: TableId,
        /// Version of the table.
        version: u32,
        /// Part, from 0.
        part: u32,
    },
    /// `pack-<n>.bin`
    Pack(u32),
    /// `raw.binlog`
    Raw,
}

/// A base attempt: `base/<seq20>-<n4>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseId {
    /// Timeline.
    pub timeline: u32,
    /// The moment of the base.
    pub seq: Seq,
    /// Attempt; the highest complete one wins.
    pub attempt: u32,
}

/// A file in a base's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaseFile {
    /// `files.parquet`: the file list.
    Files,
    /// `views.sql`: DuckDB views over exactly those files.
    Views,
    /// `schema.sql.zst`: the schema objects as CREATE statements.
    Schema,
}

/// The name of an object, relative to the repository's prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectName {
    /// `repo.json`
    Repo,
    /// `timelines/<t4>/timeline.json`
    Timeline {
        /// Timeline.
        timeline: u32,
    },
    /// `timelines/<t4>/writers/<epoch10>.json`
    Writer {
        /// Timeline.
        timeline: u32,
        /// Epoch.
        epoch: u64,
    },
    /// `timelines/<t4>/log/<seq_first20>.json`
    Manifest {
        /// Timeline.
        timeline: u32,
        /// First entry of the segment.
        seq_first: Seq,
    },
    /// `timelines/<t4>/tail/<n20>.binlog`
    Tail {
        /// Timeline.
        timeline: u32,
        /// Number, from 1, dense over all writers.
        number: u64,
    },
    /// `timelines/<t4>/segments/<seq_first20>-<uuid>/<file>`
    Segment {
        /// Folder.
        folder: SegmentFolder,
        /// File.
        file: SegmentFile,
    },
    /// `timelines/<t4>/catalog/<seq20>.json.zst`
    Catalog {
        /// Timeline.
        timeline: u32,
        /// The catalogue includes the effects of this entry.
        seq: Seq,
    },
    /// `timelines/<t4>/base/<seq20>-<n4>.json`
    Base(BaseId),
    /// `timelines/<t4>/base/<seq20>-<n4>/<file>`
    BaseFile {
        /// Base.
        base: BaseId,
        /// File.
        file: BaseFile,
    },
    /// `tables/<table_id>/v<version>/<uuid>.parquet`
    TableData {
        /// Table.
        table_id: TableId,
        /// Version of the table.
        version: u32,
        /// The file.
        uuid: Uuid,
    },
}

impl SegmentFolder {
    /// The name of a file in the folder.
    #[must_use]
    pub fn file(&self, file: SegmentFile) -> ObjectName {
        ObjectName::Segment {
            folder: *self,
            file,
        }
    }
}

impl BaseId {
    /// The name of a file in the base's folder.
    #[must_use]
    pub fn file(&self, file: BaseFile) -> ObjectName {
        ObjectName::BaseFile { base: *self, file }
    }
}

impl ObjectName {
    /// The timeline the object belongs to; `None` for objects shared by all.
    #[must_use]
    pub fn timeline(&self) -> Option<u32> {
        match self {
            ObjectName::Repo | ObjectName::TableData { .. } => None,
            ObjectName::Timeline { timeline }
            | ObjectName::Writer { timeline, .. }
            | ObjectName::Manifest { timeline, .. }
            | ObjectName::Tail { timeline, .. }
            | ObjectName::Catalog { timeline, .. } => Some(*timeline),
            ObjectName::Segment { folder, .. } => Some(folder.timeline),
            ObjectName::Base(base) | ObjectName::BaseFile { base, .. } => Some(base.timeline),
        }
    }

    /// Prefix of a timeline's segment manifests.
    #[must_use]
    pub fn log_prefix(timeline: u32) -> String {
        format!("timelines/{timeline:04}/log/")
    }

    /// Prefix of a timeline's tail.
    #[must_use]
    pub fn tail_prefix(timeline: u32) -> String {
        format!("timelines/{timeline:04}/tail/")
    }

    /// Prefix of a timeline's writer epochs.
    #[must_use]
    pub fn writers_prefix(timeline: u32) -> String {
        format!("timelines/{timeline:04}/writers/")
    }

    /// Prefix of a timeline's catalogues.
    #[must_use]
    pub fn catalog_prefix(timeline: u32) -> String {
        format!("timelines/{timeline:04}/catalog/")
    }

    /// Prefix of a timeline's bases (manifests and folders).
    #[must_use]
    pub fn base_prefix(timeline: u32) -> String {
        format!("timelines/{timeline:04}/base/")
    }

    /// Parses a name; only what [`Display`](fmt::Display) writes is accepted.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the text is no name of this format.
    pub fn parse(text: &str) -> Result<ObjectName> {
        let parts: Vec<&str> = text.split('/').collect();
        let name = match parts.as_slice() {
            ["repo.json"] => Some(ObjectName::Repo),
            ["timelines", timeline, rest @ ..] => {
                number(timeline, 4).and_then(|timeline| in_timeline(timeline, rest))
            }
            ["tables", table_id, version, file] => table_data(table_id, version, file),
            _ => None,
        };
        // One text per name: what would be written differently (a longer number, an upper case
        // uuid) is refused.
        name.filter(|name| name.to_string() == text)
            .ok_or_else(|| Error::corrupt("parse object name").field("object", text))
    }
}

impl fmt::Display for SegmentFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentFolder {
            timeline,
            seq_first,
            uuid,
        } = self;
        write!(
            f,
            "timelines/{timeline:04}/segments/{:020}-{uuid}",
            seq_first.0
        )
    }
}

impl fmt::Display for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentFile::Transactions => f.write_str("transactions.parquet"),
            SegmentFile::Statements(0) => f.write_str("statements.parquet"),
            SegmentFile::Statements(part) => write!(f, "statements-{part}.parquet"),
            SegmentFile::Changes {
                table_id,
                version,
                part,
            } => write!(f, "{table_id}.v{version}.{part}.parquet"),
            SegmentFile::Pack(n) => write!(f, "pack-{n}.bin"),
            SegmentFile::Raw => f.write_str("raw.binlog"),
        }
    }
}

impl fmt::Display for BaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BaseId {
            timeline,
            seq,
            attempt,
        } = self;
        write!(f, "timelines/{timeline:04}/base/{:020}-{attempt:04}", seq.0)
    }
}

impl BaseFile {
    fn file_name(self) -> &'static str {
        match self {
            BaseFile::Files => "files.parquet",
            BaseFile::Views => "views.sql",
            BaseFile::Schema => "schema.sql.zst",
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectName::Repo => f.write_str("repo.json"),
            ObjectName::Timeline { timeline } => {
                write!(f, "timelines/{timeline:04}/timeline.json")
            }
            ObjectName::Writer { timeline, epoch } => {
                write!(f, "timelines/{timeline:04}/writers/{epoch:010}.json")
            }
            ObjectName::Manifest {
                timeline,
                seq_first,
            } => write!(f, "timelines/{timeline:04}/log/{:020}.json", seq_first.0),
            ObjectName::Tail { timeline, number } => {
                write!(f, "timelines/{timeline:04}/tail/{number:020}.binlog")
            }
            ObjectName::Segment { folder, file } => write!(f, "{folder}/{file}"),
            ObjectName::Catalog { timeline, seq } => {
                write!(f, "timelines/{timeline:04}/catalog/{:020}.json.zst", seq.0)
            }
            ObjectName::Base(base) => write!(f, "{base}.json"),
            ObjectName::BaseFile { base, file } => write!(f, "{base}/{}", file.file_name()),
            ObjectName::TableData {
                table_id,
                version,
                uuid,
            } => write!(f, "tables/{table_id}/v{version}/{uuid}.parquet"),
        }
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ObjectName::parse(text)
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> String {
        name.to_string()
    }
}

/// A decimal number of at least `width` digits and nothing else.
fn number<T: FromStr>(text: &str, width: usize) -> Option<T> {
    let digits = text.len() >= width && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn seq(text: &str) -> Option<Seq> {
    number(text, 20).map(Seq)
}

fn in_timeline(timeline: u32, parts: &[&str]) -> Option<ObjectName> {
    Some(match *parts {
        ["timeline.json"] => ObjectName::Timeline { timeline },
        ["writers", file] => ObjectName::Writer {
            timeline,
            epoch: number(file.strip_suffix(".json")?, 10)?,
        },
        ["log", file] => ObjectName::Manifest {
            timeline,
            seq_first: seq(file.strip_suffix(".json")?)?,
        },
        ["tail", file] => ObjectName::Tail {
            timeline,
            number: number(file.strip_suffix(".binlog")?, 20)?,
        },
        ["segments", folder, file] => {
            let (seq_first, uuid) = folder.split_once('-')?;
            let folder = SegmentFolder {
                timeline,
                seq_first: seq(seq_first)?,
                uuid: Uuid::try_parse(uuid).ok()?,
            };
            folder.file(segment_file(file)?)
        }
        ["catalog", file] => ObjectName::Catalog {
            timeline,
            seq: seq(file.strip_suffix(".json.zst")?)?,
        },
        ["base", file] => ObjectName::Base(base_id(timeline, file.strip_suffix(".json")?)?),
        ["base", folder, file] => {
            let files = [BaseFile::Files, BaseFile::Views, BaseFile::Schema];
            let file = files.into_iter().find(|f| f.file_name() == file)?;
            base_id(timeline, folder)?.file(file)
        }
        _ => return None,
    })
}

fn base_id(timeline: u32, text: &str) -> Option<BaseId> {
    let (number_text, attempt) = text.split_once('-')?;
    Some(BaseId {
        timeline,
        seq: seq(number_text)?,
        attempt: number(attempt, 4)?,
    })
}

fn segment_file(text: &str) -> Option<SegmentFile> {
    if let Some(n) = text
        .strip_prefix("pack-")
        .and_then(|t| t.strip_suffix(".bin"))
    {
        return Some(SegmentFile::Pack(number(n, 1)?));
    }
    if let Some(part) = text
        .strip_prefix("statements-")
        .and_then(|t| t.strip_suffix(".parquet"))
    {
        let part = number(part, 1)?;
        return (part > 0).then_some(SegmentFile::Statements(part));
    }
    Some(match text {
        "transactions.parquet" => SegmentFile::Transactions,
        "statements.parquet" => SegmentFile::Statements(0),
        "raw.binlog" => SegmentFile::Raw,
        _ => {
            let mut parts = text.strip_suffix(".parquet")?.split('.');
            let (table_id, version, part) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            SegmentFile::Changes {
                table_id: TableId::parse(table_id).ok()?,
                version: number(version.strip_prefix('v')?, 1)?,
                part: number(part, 1)?,
            }
        }
    })
}

fn table_data(table_id: &str, version: &str, file: &str) -> Option<ObjectName> {
    Some(ObjectName::TableData {
        table_id: TableId::parse(table_id).ok()?,
        version: number(version.strip_prefix('v')?, 1)?,
        uuid: Uuid::try_parse(file.strip_suffix(".parquet")?).ok()?,
    })
}

#[cfg(test)]
mod tests;
