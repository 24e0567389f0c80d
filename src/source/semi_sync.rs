//! Semi-sync as the source sees it: whether a client's COMMIT really waits for us.
//!
//! A source waits only while semi-sync is enabled and has not timed out, and any replica that
//! speaks it may release the wait. Each way in which a commit can return without us is an
//! [`Obstacle`]; with none of them the RPO is zero.

use super::SqlClient;
use crate::error::{Error, Result};
use crate::position::Flavor;
use bytes::Bytes;
use std::collections::HashMap;

/// A wait shorter than this falls back at any slow disk or network.
const TIMEOUT_MIN_MS: u64 = 10_000;

/// What a source says of its semi-sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SemiSyncState {
    flavor: Flavor,
    /// Semi-sync is there (a plugin on MySQL, built in on MariaDB).
    pub is_installed: bool,
    /// It is enabled.
    pub is_enabled: bool,
    /// Commits wait now; `false` after a timeout, until a replica has caught up.
    pub is_on: bool,
    /// Others see a transaction only after its acknowledgement.
    pub waits_after_sync: bool,
    /// A wait that lasts longer is given up, and all after it.
    pub timeout_ms: u64,
    /// Acknowledgements that release a commit.
    pub wait_count: u64,
    /// Commits wait also while no semi-sync replica is connected.
    pub waits_without_replica: bool,
    /// Semi-sync replicas connected, ours included.
    pub clients: u64,
    /// Commits since the source's start that did not wait.
    pub commits_unprotected: u64,
    /// Times it fell back since the source's start.
    pub fallbacks: u64,
}

/// A way in which a commit returns before it is durable here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The variable or status it is about, as this server names it.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What a zero RPO needs.
    pub wanted: &'static str,
    /// Statement (or action) that puts it right.
    pub fix: String,
    /// Commits do not wait at all; otherwise they usually do.
    pub is_fatal: bool,
}

impl SemiSyncState {
    /// Asks a source.
    ///
    /// # Errors
    /// As [`SqlClient::query_rows`].
    pub async fn read(client: &mut SqlClient) -> Result<SemiSyncState> {
        let variables = client
            .query_rows("SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%'")
            .await?;
        let status = client
            .query_rows("SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'")
            .await?;
        SemiSyncState::from_rows(client.flavor(), &variables, &status)
    }

    pub(super) fn from_rows(
        flavor: Flavor,
        variables: &[Vec<Option<Bytes>>],
        status: &[Vec<Option<Bytes>>],
    ) -> Result<SemiSyncState> {
        let (variables, status) = (values(variables), values(status));
        // "source" since 8.0.26, "master" before and on MariaDB.
        let of = |all: &HashMap<String, String>, name: &str| {
            ["source", "master"]
                .iter()
                .find_map(|role| all.get(&format!("rpl_semi_sync_{role}_{name}")).cloned())
        };
        let number = |all, name: &str, absent: u64| match of(all, name) {
            None => Ok(absent),
            Some(text) => text.parse::<u64>().map_err(|_| {
                Error::incompatible("read semi-sync state of source")
                    .field("name", name)
                    .field("value", &text)
            }),
        };
        let is_on = |all, name: &str| of(all, name).is_some_and(|v| v.eq_ignore_ascii_case("ON"));
        let wait_for_replica = ["wait_no_replica", "wait_no_slave"];
        Ok(SemiSyncState {
            flavor,
            is_installed: of(&variables, "enabled").is_some(),
            is_enabled: is_on(&variables, "enabled"),
            is_on: is_on(&status, "status"),
            waits_after_sync: of(&variables, "wait_point")
                .is_some_and(|v| v.eq_ignore_ascii_case("AFTER_SYNC")),
            timeout_ms: number(&variables, "timeout", 0)?,
            wait_count: match of(&variables, "wait_for_replica_count") {
                Some(_) => number(&variables, "wait_for_replica_count", 1)?,
                None => number(&variables, "wait_for_slave_count", 1)?,
            },
            waits_without_replica: wait_for_replica.iter().any(|name| is_on(&variables, name)),
            clients: number(&status, "clients", 0)?,
            commits_unprotected: number(&status, "no_tx", 0)?,
            fallbacks: number(&status, "no_times", 0)?,
        })
    }

    /// What these status rows say, for tests.
    #[cfg(test)]
    pub(crate) fn read_from(flavor: Flavor, status: &[Vec<Option<Bytes>>]) -> SemiSyncState {
        SemiSyncState::from_rows(flavor, &[], status).expect("a state")
    }

    /// Every way in which a commit may return without us.
    #[must_use]
    pub fn obstacles(&self) -> Vec<Obstacle> {
        let role = self.role();
        let variable = |name: &str| format!("rpl_semi_sync_{role}_{name}");
        let set = |name: &str, value: &str| match self.flavor {
            Flavor::MySql => format!("SET PERSIST {} = {value}", variable(name)),
            Flavor::MariaDb => format!(
                "SET GLOBAL {0} = {value} /* and in my.cnf, [mysqld]: {0}={value} */",
                variable(name)
            ),
        };
        let mut found = Vec::new();
        if !self.is_installed {
            let plugin = "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'";
            found.push(Obstacle {
                name: variable("enabled"),
                found: "the plugin is not loaded".to_owned(),
                wanted: "ON",
                fix: format!("{plugin}; SET PERSIST rpl_semi_sync_source_enabled = ON"),
                is_fatal: true,
            });
            return found;
        }
        let mut add = |met: bool, name: &str, seen: String, wanted, fix: String, is_fatal| {
            if !met {
                found.push(Obstacle {
                    name: variable(name),
                    found: seen,
                    wanted,
                    fix,
                    is_fatal,
                });
            }
        };
        let off = "OFF".to_owned();
        add(
            self.is_enabled,
            "enabled",
            off.clone(),
            "ON",
            set("enabled", "ON"),
            true,
        );
        let point = "AFTER_COMMIT".to_owned();
        let fix = set("wait_point", "AFTER_SYNC");
        let wanted = "AFTER_SYNC: nobody sees what is not safe yet";
        add(
            self.waits_after_sync,
            "wait_point",
            point,
            wanted,
            fix,
            false,
        );
        let wanted = "10000 ms or more: after it commits no longer wait";
        let fix = set("timeout", "3600000");
        let seen = format!("{} ms", self.timeout_ms);
        let met = self.timeout_ms >= TIMEOUT_MIN_MS;
        add(met, "timeout", seen, wanted, fix, false);
        let name = self.wait_without_replica_name();
        let wanted = "ON: commits wait while tidelog is away, too";
        add(
            self.waits_without_replica,
            name,
            off,
            wanted,
            set(name, "ON"),
            false,
        );
        if self.clients > self.wait_count {
            let (wanted, fix) = match self.flavor {
                Flavor::MySql => (
                    "one acknowledgement of every semi-sync replica",
                    set("wait_for_replica_count", &self.clients.to_string()),
                ),
                Flavor::MariaDb => (
                    "tidelog as the only semi-sync replica: any other releases commits, too",
                    "SET GLOBAL rpl_semi_sync_slave_enabled = OFF on the other replicas, then \
                     STOP SLAVE; START SLAVE"
                        .to_owned(),
                ),
            };
            let seen = format!("{} replicas, waits for {}", self.clients, self.wait_count);
            add(false, "clients", seen, wanted, fix, false);
        }
        found
    }

    fn role(&self) -> &'static str {
        match self.flavor {
            Flavor::MySql => "source",
            Flavor::MariaDb => "master",
        }
    }

    fn wait_without_replica_name(&self) -> &'static str {
        match self.flavor {
            Flavor::MySql => "wait_no_replica",
            Flavor::MariaDb => "wait_no_slave",
        }
    }
}

fn values(rows: &[Vec<Option<Bytes>>]) -> HashMap<String, String> {
    let pairs = rows.iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(value)] => Some((
            String::from_utf8_lossy(name).to_ascii_lowercase(),
            String::from_utf8_lossy(value).into_owned(),
        )),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<Vec<Option<Bytes>>> {
        let cell = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        pairs.iter().map(|(n, v)| vec![cell(n), cell(v)]).collect()
    }

    fn names(state: &SemiSyncState) -> Vec<String> {
        state.obstacles().into_iter().map(|o| o.name).collect()
    }

    #[test]
    fn both_spellings_are_read_and_a_good_source_has_no_obstacle() {
        for (flavor, role, replica) in [
            (Flavor::MySql, "source", "replica"),
            (Flavor::MySql, "master", "slave"),
            (Flavor::MariaDb, "master", "slave"),
        ] {
            let name = |what: &str| format!("rpl_semi_sync_{role}_{what}");
            let (enabled, point, timeout) = (name("enabled"), name("wait_point"), name("timeout"));
            let wait = name(&format!("wait_no_{replica}"));
            let variables = rows(&[
                (&enabled, "ON"),
                (&point, "AFTER_SYNC"),
                (&timeout, "10000"),
                (&wait, "ON"),
            ]);
            let (on, clients, no) = (name("status"), name("clients"), name("no_tx"));
            let status = rows(&[(&on, "ON"), (&clients, "1"), (&no, "7")]);
            let state = SemiSyncState::from_rows(flavor, &variables, &status).expect("a state");
            assert_eq!(names(&state), [""; 0], "{role}");
            assert!(state.is_installed && state.is_enabled && state.is_on);
            assert_eq!((state.clients, state.commits_unprotected), (1, 7));
        }
    }

    #[test]
    fn every_way_around_us_is_named_with_what_closes_it() {
        let bare = SemiSyncState::from_rows(Flavor::MySql, &[], &[]).expect("a state");
        assert_eq!(names(&bare), ["rpl_semi_sync_source_enabled"]);
        assert!(bare.obstacles().iter().all(|o| o.is_fatal));
        let variables = rows(&[
            ("rpl_semi_sync_master_enabled", "OFF"),
            ("rpl_semi_sync_master_wait_point", "AFTER_COMMIT"),
            ("rpl_semi_sync_master_timeout", "100"),
            ("rpl_semi_sync_master_wait_no_slave", "OFF"),
        ]);
        let status = rows(&[("Rpl_semi_sync_master_clients", "2")]);
        let state =
            SemiSyncState::from_rows(Flavor::MariaDb, &variables, &status).expect("a state");
        let wanted = [
            "enabled",
            "wait_point",
            "timeout",
            "wait_no_slave",
            "clients",
        ]
        .map(|name| format!("rpl_semi_sync_master_{name}"));
        assert_eq!(names(&state), wanted);
        let bad = rows(&[("rpl_semi_sync_master_timeout", "soon")]);
        assert!(SemiSyncState::from_rows(Flavor::MariaDb, &bad, &[]).is_err());
    }
}
