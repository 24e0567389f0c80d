//! One GTID and a set of them, of either flavor.

use super::{Flavor, MariaDbGtidPos, MySqlGtidSet, Tag};
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The global identity of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Gtid {
    /// `uuid:gno` or `uuid:tag:gno`.
    MySql {
        /// The originating server.
        uuid: Uuid,
        /// Tag (8.3+), empty where there is none.
        tag: Tag,
        /// Number, from 1.
        gno: u64,
    },
    /// `domain-server-sequence`.
    MariaDb {
        /// Replication domain.
        domain: u32,
        /// Originating server id.
        server_id: u32,
        /// Sequence number within the domain.
        seq_no: u64,
    },
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::MySql { uuid, tag, gno } if tag.is_empty() => write!(f, "{uuid}:{gno}"),
            Gtid::MySql { uuid, tag, gno } => write!(f, "{uuid}:{tag}:{gno}"),
            Gtid::MariaDb {
                domain,
                server_id,
                seq_no,
            } => {
                write!(f, "{domain}-{server_id}-{seq_no}")
            }
        }
    }
}

impl FromStr for Gtid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::config("parse gtid").field("text", text).hint(
                "write UUID:NUMBER or UUID:TAG:NUMBER (MySQL), DOMAIN-SERVER-SEQUENCE (MariaDB)",
            )
        };
        let text = text.trim();
        if text.contains(':') {
            let mut parts = text.split(':');
            let uuid = parts
                .next()
                .and_then(|p| Uuid::parse_str(p).ok())
                .ok_or_else(bad)?;
            let rest: Vec<&str> = parts.collect();
            let (tag, gno) = match rest.as_slice() {
                [gno] => (Tag::default(), gno),
                [tag, gno] => (Tag::new(tag).ok_or_else(bad)?, gno),
                _ => return Err(bad()),
            };
            let gno: u64 = gno.parse().map_err(|_| bad())?;
            if gno == 0 || gno >= i64::MAX as u64 {
                return Err(bad());
            }
            return Ok(Gtid::MySql { uuid, tag, gno });
        }
        let parts: Vec<&str> = text.split('-').collect();
        let [domain, server_id, seq_no] = parts.as_slice() else {
            return Err(bad());
        };
        Ok(Gtid::MariaDb {
            domain: domain.parse().map_err(|_| bad())?,
            server_id: server_id.parse().map_err(|_| bad())?,
            seq_no: seq_no.parse().map_err(|_| bad())?,
        })
    }
}

/// A set of executed transactions: a real set on MySQL, the last one per domain on MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GtidSet {
    /// Intervals per server and tag.
    MySql(MySqlGtidSet),
    /// Last GTID per domain.
    MariaDb(MariaDbGtidPos),
}

impl GtidSet {
    /// The empty set.
    #[must_use]
    pub fn empty(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MySql => GtidSet::MySql(MySqlGtidSet::default()),
            Flavor::MariaDb => GtidSet::MariaDb(MariaDbGtidPos::default()),
        }
    }

    /// Parses `@@gtid_executed` or `@@gtid_binlog_pos` text.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when the text is no set of that flavor.
    pub fn parse(flavor: Flavor, text: &str) -> Result<Self> {
        Ok(match flavor {
            Flavor::MySql => GtidSet::MySql(text.parse()?),
            Flavor::MariaDb => GtidSet::MariaDb(text.parse()?),
        })
    }

    /// The flavor.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        match self {
            GtidSet::MySql(_) => Flavor::MySql,
            GtidSet::MariaDb(_) => Flavor::MariaDb,
        }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            GtidSet::MySql(set) => set.is_empty(),
            GtidSet::MariaDb(set) => set.is_empty(),
        }
    }

    /// Adds one transaction; `false` when it was in the set already.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the flavors differ.
    pub fn add(&mut self, gtid: &Gtid) -> Result<bool> {
        match (self, gtid) {
            (GtidSet::MySql(set), Gtid::MySql { uuid, tag, gno }) => Ok(set.add(*uuid, tag, *gno)),
            (
                GtidSet::MariaDb(set),
                Gtid::MariaDb {
                    domain,
                    server_id,
                    seq_no,
                },
            ) => Ok(set.add(*domain, *server_id, *seq_no)),
            (set, gtid) => Err(mixed(set, gtid)),
        }
    }

    /// Whether the transaction is in the set (MariaDB: at or before the domain's last one).
    #[must_use]
    pub fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (GtidSet::MySql(set), Gtid::MySql { uuid, tag, gno }) => set.contains(*uuid, tag, *gno),
            (GtidSet::MariaDb(set), Gtid::MariaDb { domain, seq_no, .. }) => {
                set.contains(*domain, *seq_no)
            }
            _ => false,
        }
    }

    /// Adds all of `other`.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the flavors differ.
    pub fn union(&mut self, other: &GtidSet) -> Result<()> {
        match (self, other) {
            (GtidSet::MySql(set), GtidSet::MySql(other)) => set.union(other),
            (GtidSet::MariaDb(set), GtidSet::MariaDb(other)) => set.union(other),
            (set, other) => return Err(mixed(set, other)),
        }
        Ok(())
    }

    /// Whether everything in `self` is in `other`; `false` across flavors unless empty.
    #[must_use]
    pub fn is_subset(&self, other: &GtidSet) -> bool {
        match (self, other) {
            (GtidSet::MySql(set), GtidSet::MySql(other)) => set.is_subset(other),
            (GtidSet::MariaDb(set), GtidSet::MariaDb(other)) => set.is_subset(other),
            (set, _) => set.is_empty(),
        }
    }
}

fn mixed(left: &dyn fmt::Display, right: &dyn fmt::Display) -> Error {
    Error::incompatible("combine gtids of MySQL and MariaDB")
        .field("left", left)
        .field("right", right)
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidSet::MySql(set) => set.fmt(f),
            GtidSet::MariaDb(set) => set.fmt(f),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    flavor: Flavor,
    set: String,
}

impl Serialize for GtidSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored {
            flavor: self.flavor(),
            set: self.to_string(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        GtidSet::parse(stored.flavor, &stored.set).map_err(serde::de::Error::custom)
    }
}
