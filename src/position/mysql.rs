//! MySQL GTID sets, tagged GTIDs (8.3+) included.
//!
//! Text form: `uuid:1-5:7,uuid:tag:1-3` with inclusive intervals, as in `@@gtid_executed`.
//! Binary form: the payload of `COM_BINLOG_DUMP_GTID`, with exclusive ends.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A GTID tag: up to 32 of `[a-z0-9_]`, not starting with a digit; empty means untagged.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// A tag, lowercased as the server does; `None` where the text is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Tag> {
        let text = text.trim().to_ascii_lowercase();
        let legal = text.len() <= 32
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !text.starts_with(|c: char| c.is_ascii_digit());
        legal.then_some(Tag(text))
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Executed transactions per server and tag, as sorted disjoint intervals `[start, end)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MySqlGtidSet {
    sids: BTreeMap<(Uuid, Tag), Vec<(u64, u64)>>,
}

impl MySqlGtidSet {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sids.is_empty()
    }

    /// The servers and tags with their intervals `[start, end)`, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Tag, &[(u64, u64)])> {
        self.sids
            .iter()
            .map(|((uuid, tag), v)| (*uuid, tag, v.as_slice()))
    }

    /// Adds one transaction; `false` when it was there.
    pub fn add(&mut self, uuid: Uuid, tag: &Tag, gno: u64) -> bool {
        if self.contains(uuid, tag, gno) {
            return false;
        }
        self.add_interval(uuid, tag, gno, gno.saturating_add(1));
        true
    }

    /// Adds `[start, end)`.
    pub fn add_interval(&mut self, uuid: Uuid, tag: &Tag, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let list = self.sids.entry((uuid, tag.clone())).or_default();
        // Everything that touches [start, end) melts into it.
        let first = list.partition_point(|&(_, e)| e < start);
        let last = list.partition_point(|&(s, _)| s <= end);
        let mut merged = (start, end);
        if let (Some(low), Some(high)) = (
            list.get(first),
            last.checked_sub(1).and_then(|i| list.get(i)),
        ) && first < last
        {
            merged = (start.min(low.0), end.max(high.1));
        }
        list.splice(first..last.max(first), [merged]);
    }

    /// Whether the transaction is in the set.
    #[must_use]
    pub fn contains(&self, uuid: Uuid, tag: &Tag, gno: u64) -> bool {
        self.covers(uuid, tag, gno, gno.saturating_add(1))
    }

    fn covers(&self, uuid: Uuid, tag: &Tag, start: u64, end: u64) -> bool {
        self.sids.get(&(uuid, tag.clone())).is_some_and(|list| {
            let after = list.partition_point(|&(s, _)| s <= start);
            after
                .checked_sub(1)
                .and_then(|i| list.get(i))
                .is_some_and(|&(_, e)| end <= e)
        })
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: &MySqlGtidSet) {
        for (uuid, tag, intervals) in other.iter() {
            for &(start, end) in intervals {
                self.add_interval(uuid, tag, start, end);
            }
        }
    }

    /// What is in `self` but not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &MySqlGtidSet) -> MySqlGtidSet {
        let mut rest = MySqlGtidSet::default();
        for (uuid, tag, intervals) in self.iter() {
            let holes = other
                .sids
                .get(&(uuid, tag.clone()))
                .map_or(&[][..], Vec::as_slice);
            for &(start, end) in intervals {
                let mut from = start;
                for &(hole_start, hole_end) in holes.iter().filter(|h| h.1 > start && h.0 < end) {
                    rest.add_interval(uuid, tag, from, hole_start.min(end));
                    from = from.max(hole_end);
                }
                rest.add_interval(uuid, tag, from, end);
            }
        }
        rest
    }

    /// Whether everything in `self` is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &MySqlGtidSet) -> bool {
        self.iter()
            .all(|(uuid, tag, list)| list.iter().all(|&(s, e)| other.covers(uuid, tag, s, e)))
    }

    /// The set as `COM_BINLOG_DUMP_GTID` carries it (mysql-server `Gtid_set::encode`): u64 number
    /// of servers, then per server 16 bytes uuid, u64 number of intervals, u64 start and
    /// exclusive u64 end each. With any tag the first word is format 1 in its top and lowest
    /// byte with the count between them, and each uuid is followed by its tag: varlen length
    /// (one byte, value * 2) and bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.sids.keys().any(|(_, tag)| !tag.is_empty());
        let count = self.sids.len() as u64;
        let head = if tagged {
            (1_u64 << 56) | (count << 8) | 1
        } else {
            count
        };
        let mut out = head.to_le_bytes().to_vec();
        for (uuid, tag, intervals) in self.iter() {
            out.extend_from_slice(uuid.as_bytes());
            if tagged {
                out.push((tag.as_str().len() as u8) << 1);
                out.extend_from_slice(tag.as_str().as_bytes());
            }
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for &(start, end) in intervals {
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        out
    }
}

impl fmt::Display for MySqlGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: Option<Uuid> = None;
        for (uuid, tag, intervals) in self.iter() {
            match last {
                Some(previous) if previous == uuid => {}
                Some(_) => write!(f, ",{uuid}")?,
                None => write!(f, "{uuid}")?,
            }
            last = Some(uuid);
            if !tag.is_empty() {
                write!(f, ":{tag}")?;
            }
            for &(start, end) in intervals {
                match end - start {
                    1 => write!(f, ":{start}")?,
                    _ => write!(f, ":{start}-{}", end - 1)?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for MySqlGtidSet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::config("parse MySQL gtid set")
                .field("text", text)
                .hint("write UUID:1-5:7[,UUID:TAG:1-3], as in @@gtid_executed")
        };
        let mut set = MySqlGtidSet::default();
        for server in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let mut parts = server.split(':').map(str::trim);
            let uuid = parts
                .next()
                .and_then(|p| Uuid::parse_str(p).ok())
                .ok_or_else(bad)?;
            let mut tag = Tag::default();
            for part in parts {
                if !part.starts_with(|c: char| c.is_ascii_digit()) {
                    tag = Tag::new(part).filter(|t| !t.is_empty()).ok_or_else(bad)?;
                    continue;
                }
                let (start, end) = part.split_once('-').unwrap_or((part, part));
                let start: u64 = start.trim().parse().map_err(|_| bad())?;
                let end: u64 = end.trim().parse().map_err(|_| bad())?;
                if start == 0 || end < start || end >= i64::MAX as u64 {
                    return Err(bad());
                }
                set.add_interval(uuid, &tag, start, end + 1);
            }
        }
        Ok(set)
    }
}
