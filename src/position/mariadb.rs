//! MariaDB GTID positions: the last GTID of every domain, as in `@@gtid_binlog_pos`.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Last executed GTID per replication domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MariaDbGtidPos {
    domains: BTreeMap<u32, (u32, u64)>,
}

impl MariaDbGtidPos {
    /// Whether no domain is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// `(domain, server_id, seq_no)` in order of domain.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        self.domains
            .iter()
            .map(|(&domain, &(server_id, seq_no))| (domain, server_id, seq_no))
    }

    /// Moves a domain forward; `false` (and no change) when it already stands at or past it.
    pub fn add(&mut self, domain: u32, server_id: u32, seq_no: u64) -> bool {
        if self.contains(domain, seq_no) {
            return false;
        }
        self.domains.insert(domain, (server_id, seq_no));
        true
    }

    /// Whether the domain stands at or past `seq_no`.
    #[must_use]
    pub fn contains(&self, domain: u32, seq_no: u64) -> bool {
        self.domains
            .get(&domain)
            .is_some_and(|&(_, last)| seq_no <= last)
    }

    /// Moves every domain to the later of both.
    pub fn union(&mut self, other: &MariaDbGtidPos) {
        for (domain, server_id, seq_no) in other.iter() {
            self.add(domain, server_id, seq_no);
        }
    }

    /// Whether no domain of `self` stands past the same domain of `other`.
    #[must_use]
    pub fn is_subset(&self, other: &MariaDbGtidPos) -> bool {
        self.iter()
            .all(|(domain, _, seq_no)| other.contains(domain, seq_no))
    }
}

impl fmt::Display for MariaDbGtidPos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (domain, server_id, seq_no)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{domain}-{server_id}-{seq_no}")?;
        }
        Ok(())
    }
}

impl FromStr for MariaDbGtidPos {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::config("parse MariaDB gtid position")
                .field("text", text)
                .hint("write DOMAIN-SERVER-SEQUENCE[,...], as in @@gtid_binlog_pos")
        };
        let mut set = MariaDbGtidPos::default();
        for gtid in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let parts: Vec<&str> = gtid.split('-').collect();
            let [domain, server_id, seq_no] = parts.as_slice() else {
                return Err(bad());
            };
            set.add(
                domain.parse().map_err(|_| bad())?,
                server_id.parse().map_err(|_| bad())?,
                seq_no.parse().map_err(|_| bad())?,
            );
        }
        Ok(set)
    }
}
