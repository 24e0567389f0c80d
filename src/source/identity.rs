//! Who a source is, and the settings that its DDL text alone does not say.
//!
//! Identity is history, not names: a MySQL server is its `server_uuid`, a MariaDB server its
//! server id and GTID domain; never a host name or a file name. Stored in the timeline record and
//! in every manifest.

use crate::error::{Error, Result};
use crate::position::Flavor;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Settings recorded on every connect, where the source has them.
const SETTINGS: &[&str] = &[
    "character_set_collations",
    "character_set_server",
    "collation_server",
    "default_collation_for_utf8mb4",
    "default_storage_engine",
    "explicit_defaults_for_timestamp",
    "gtid_mode",
    "innodb_default_row_format",
    "innodb_native_foreign_keys",
    "lower_case_table_names",
    "mysql56_temporal_format",
    "old_mode",
    "system_time_zone",
    "time_zone",
];

/// A source as it presented itself on one connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Server family.
    pub flavor: Flavor,
    /// Version text, for example `9.7.4` or `10.11.19-MariaDB-log`.
    pub version: String,
    /// MySQL: the server's uuid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uuid: Option<Uuid>,
    /// The server's id.
    pub server_id: u32,
    /// MariaDB: domain of GTIDs written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid_domain_id: Option<u32>,
    /// Settings by name, in the server's own spelling; those it does not know are absent.
    pub settings: BTreeMap<String, String>,
}

impl SourceIdentity {
    /// The statement whose rows (name, value) [`from_rows`](Self::from_rows) takes.
    #[must_use]
    pub fn statement() -> String {
        let names = ["gtid_domain_id", "server_id", "server_uuid"];
        let names: Vec<String> = names
            .iter()
            .chain(SETTINGS)
            .map(|n| format!("'{n}'"))
            .collect();
        format!(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})",
            names.join(",")
        )
    }

    /// Makes an identity of the rows of [`statement`](Self::statement).
    ///
    /// # Errors
    /// `Incompatible` when the server does not say who it is.
    pub fn from_rows(flavor: Flavor, version: &str, rows: &[Vec<Option<Bytes>>]) -> Result<Self> {
        let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
        let mut settings: BTreeMap<String, String> = rows
            .iter()
            .filter_map(|row| match row.as_slice() {
                [Some(name), Some(value)] => Some((text(name).to_ascii_lowercase(), text(value))),
                _ => None,
            })
            .collect();
        let server_uuid = settings.remove("server_uuid");
        let server_id = settings.remove("server_id").and_then(|v| v.parse().ok());
        let domain = settings
            .remove("gtid_domain_id")
            .and_then(|v| v.parse().ok());
        let bad = |what: &'static str| {
            Error::incompatible("read identity of source").field("missing", what)
        };
        let (server_uuid, gtid_domain_id) = match flavor {
            Flavor::MySql => {
                let uuid = server_uuid.and_then(|v| Uuid::parse_str(&v).ok());
                (Some(uuid.ok_or_else(|| bad("server_uuid"))?), None)
            }
            Flavor::MariaDb => (None, Some(domain.ok_or_else(|| bad("gtid_domain_id"))?)),
        };
        Ok(SourceIdentity {
            flavor,
            version: version.to_owned(),
            server_uuid,
            server_id: server_id.ok_or_else(|| bad("server_id"))?,
            gtid_domain_id,
            settings,
        })
    }

    /// Whether `other` is the same server as this one.
    #[must_use]
    pub fn is_same_server(&self, other: &SourceIdentity) -> bool {
        self.flavor == other.flavor
            && match self.flavor {
                Flavor::MySql => self.server_uuid == other.server_uuid,
                Flavor::MariaDb => {
                    (self.server_id, self.gtid_domain_id) == (other.server_id, other.gtid_domain_id)
                }
            }
    }

    /// Refuses another server than this one.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) naming both.
    pub fn require_same_server(&self, other: &SourceIdentity) -> Result<()> {
        if self.is_same_server(other) {
            return Ok(());
        }
        Err(Error::incompatible("continue history of another source")
            .field("repository_source", self.describe())
            .field("source", other.describe())
            .hint("use a repository of its own for each source (tidelog init)"))
    }

    /// The identity in one line: `mysql <uuid>`, `mariadb server_id=1 domain=0`.
    #[must_use]
    pub fn describe(&self) -> String {
        match (self.server_uuid, self.gtid_domain_id) {
            (Some(uuid), _) => format!("{} {uuid}", self.flavor),
            (None, domain) => format!(
                "{} server_id={} domain={}",
                self.flavor,
                self.server_id,
                domain.unwrap_or(0)
            ),
        }
    }
}

/// How far the source's clock is from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Source's clock minus ours, in microseconds.
    pub offset_us: i64,
    /// The true offset is within this of `offset_us`: half of the round trip.
    pub bound_us: i64,
}

impl ClockOffset {
    /// Probes of one measurement; the one with the shortest round trip counts.
    pub(super) const PROBES: usize = 4;
    /// The statement's own time in seconds with microseconds: unlike `NOW(6)` it does not depend on
    /// a time zone.
    pub(super) const STATEMENT: &str = "SELECT CAST(@@session.timestamp AS DECIMAL(20,6))";

    /// One probe: our clock before and after, and what the source answered between.
    pub(super) fn from_probe(
        before_us: i64,
        rows: &[Vec<Option<Bytes>>],
        after_us: i64,
    ) -> Result<Self> {
        let bad = || Error::incompatible("read clock of source");
        let value = rows.first().and_then(|row| row.first()).cloned().flatten();
        let value = value.ok_or_else(bad)?;
        let text = std::str::from_utf8(&value).map_err(|_| bad())?;
        let (seconds, micros) = text.split_once('.').ok_or_else(bad)?;
        let seconds: i64 = seconds.parse().map_err(|_| bad())?;
        let micros: i64 = micros.parse().map_err(|_| bad())?;
        let source_us = seconds.checked_mul(1_000_000).ok_or_else(bad)? + micros;
        // Our clock may step back between the two readings.
        let bound_us = (after_us.saturating_sub(before_us).max(0) + 1) / 2;
        Ok(ClockOffset {
            offset_us: source_us.saturating_sub(before_us.saturating_add(bound_us)),
            bound_us,
        })
    }

    pub(super) fn tighter(self, other: ClockOffset) -> ClockOffset {
        match other.bound_us < self.bound_us {
            true => other,
            false => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<Vec<Option<Bytes>>> {
        let cell = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        pairs.iter().map(|(n, v)| vec![cell(n), cell(v)]).collect()
    }

    #[test]
    fn identity_is_the_uuid_on_mysql_and_id_with_domain_on_mariadb() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let read =
            |flavor, pairs: &[(&str, &str)]| SourceIdentity::from_rows(flavor, "1", &rows(pairs));
        let mysql = [("server_id", "1"), ("server_uuid", uuid), ("old_mode", "")];
        let one = read(Flavor::MySql, &mysql).expect("an identity");
        assert_eq!(one.settings.get("old_mode").map(String::as_str), Some(""));
        let other_id = [("server_id", "2"), ("server_uuid", uuid)];
        let two = read(Flavor::MySql, &other_id).expect("an identity");
        assert!(one.is_same_server(&two));
        assert!(read(Flavor::MySql, &[("server_id", "1")]).is_err());

        let maria = [
            ("server_id", "1"),
            ("gtid_domain_id", "0"),
            ("server_uuid", uuid),
        ];
        let three = read(Flavor::MariaDb, &maria).expect("an identity");
        assert_eq!(three.server_uuid, None);
        assert!(!one.is_same_server(&three));
        let moved = [("server_id", "1"), ("gtid_domain_id", "7")];
        assert!(!three.is_same_server(&read(Flavor::MariaDb, &moved).expect("an identity")));
        let json = serde_json::to_string(&three).expect("json");
        assert_eq!(
            serde_json::from_str::<SourceIdentity>(&json).expect("back"),
            three
        );
    }

    #[test]
    fn the_offset_lies_within_half_of_the_round_trip() {
        let answer = [vec![Some(Bytes::from_static(b"1700000000.250000"))]];
        let probe = ClockOffset::from_probe(1_700_000_000_000_000, &answer, 1_700_000_000_100_000);
        let wanted = ClockOffset {
            offset_us: 200_000,
            bound_us: 50_000,
        };
        assert_eq!(probe.expect("a probe"), wanted);
        for text in ["", "1", "x.5", "99999999999999999999.000000"] {
            let answer = [vec![Some(Bytes::copy_from_slice(text.as_bytes()))]];
            assert!(ClockOffset::from_probe(0, &answer, 1).is_err(), "{text}");
        }
    }
}
