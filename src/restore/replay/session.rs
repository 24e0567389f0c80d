//! The session a statement was logged with, as SET statements.
//!
//! What the log does not say of a session is what the source's settings were; all of it is set,
//! unless the connection has it from the statement before.

use crate::binlog::query::status_vars;
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::restore::ddl::Ddl;
use crate::restore::zone::Zones;
use crate::schema::quote_identifier;
use std::collections::BTreeMap;

/// What is known besides the statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Flavor of source and target.
    pub(super) flavor: Flavor,
    /// Version and settings of the source.
    pub(super) source: &'a serde_json::Value,
    /// The source's time zones.
    pub(super) zones: &'a Zones,
    /// Collations of the target by id: name, and name of the character set.
    pub(super) collations: &'a BTreeMap<u16, (String, String)>,
}

/// A statement, and whether the session is good without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// SQL, plain ASCII but for the name of the default database.
    pub(super) sql: String,
    /// A server without this setting, or without this database, is good all the same.
    pub(super) optional: bool,
}

impl Set {
    /// Whether it says when the statement was run: no two say the same.
    pub(super) fn is_time(&self) -> bool {
        self.sql.starts_with("SET timestamp=")
    }
}

/// The statements that make the session of a logged one.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the log says something of the
/// session that this version does not know.
pub(super) fn statements(ddl: &Ddl, around: Surroundings<'_>) -> Result<Vec<Set>> {
    let row = &ddl.statement;
    let vars = status_vars(&row.status_vars);
    if !vars.complete {
        return Err(ddl.name(
            Error::incompatible("replay ddl: its session has a variable of an unknown kind")
                .hint("restore with a newer version of tidelog"),
        ));
    }
    let mut sets = Vec::new();
    let mut set = |optional: bool, sql: String| sets.push(Set { sql, optional });
    // While the client's character set is still UTF-8.
    if let Some(db) = std::str::from_utf8(&row.default_db)
        .ok()
        .filter(|db| !db.is_empty())
    {
        set(true, format!("USE {}", quote_identifier(db)));
    }
    set(
        false,
        format!("SET sql_mode={}", vars.sql_mode.unwrap_or(0)),
    );
    let zone = zone(ddl, vars.time_zone, around.zones)?;
    set(false, format!("SET time_zone={}", text(&zone)));
    let locale = vars.lc_time_names.unwrap_or(0);
    set(false, format!("SET lc_time_names={locale}"));
    let (increment, offset) = vars.auto_increment.unwrap_or((1, 1));
    set(
        false,
        format!("SET auto_increment_increment={increment}, auto_increment_offset={offset}"),
    );
    let (seconds, micros) = (row.header_us / 1_000_000, row.header_us % 1_000_000);
    set(false, format!("SET timestamp={seconds}.{micros:06}"));
    let setting = |name: &str| {
        let value = around.source.get("settings").and_then(|s| s.get(name));
        value.and_then(serde_json::Value::as_str)
    };
    if let Some(engine) = setting("default_storage_engine") {
        set(true, format!("SET default_storage_engine={}", word(engine)));
    }
    let explicit = match vars.explicit_defaults {
        Some(explicit) => explicit,
        None => setting("explicit_defaults_for_timestamp") != Some("OFF"),
    };
    let explicit = u8::from(explicit);
    set(
        true,
        format!("SET explicit_defaults_for_timestamp={explicit}"),
    );
    match around.flavor {
        Flavor::MySql => {
            set(true, "SET restrict_fk_on_non_standard_key=0".to_owned());
            if let Some(id) = vars.utf8mb4_collation {
                set(false, format!("SET default_collation_for_utf8mb4={id}"));
            }
            let encrypted = u8::from(vars.table_encryption == Some(true));
            set(
                encrypted == 0,
                format!("SET default_table_encryption={encrypted}"),
            );
        }
        Flavor::MariaDb => {
            set(true, "SET system_versioning_alter_history=KEEP".to_owned());
            if let Some(mode) = setting("old_mode") {
                set(true, format!("SET old_mode={}", text(mode)));
            }
            let list = collations(ddl, vars.character_set_collations, around)?;
            set(
                list.is_empty(),
                format!("SET character_set_collations={}", text(&list)),
            );
        }
    }
    if let Some(id) = vars.collation_database {
        let known = around.collations.get(&id);
        let name = known.map_or_else(|| id.to_string(), |(name, _)| name.clone());
        set(false, format!("SET collation_database={name}"));
    }
    if let (Some(client), Some((connection, server))) = (vars.charset, vars.collations) {
        // MariaDB takes no number of its newer collations; others know no names here.
        let known = |id: u16| around.collations.get(&id);
        let name = |id: u16| known(id).map_or_else(|| id.to_string(), |(name, _)| name.clone());
        let client = known(client).map_or_else(|| client.to_string(), |(_, set)| set.clone());
        let (connection, server) = (name(connection), name(server));
        set(
            false,
            format!(
                "SET character_set_client={client}, collation_connection={connection}, \
                 collation_server={server}"
            ),
        );
    }
    Ok(sets)
}

/// The zone a statement ran in. The source logs it only with statements that looked at it.
fn zone(ddl: &Ddl, logged: Option<&[u8]>, zones: &Zones) -> Result<String> {
    let utc = || "+00:00".to_owned();
    match logged.map(String::from_utf8_lossy) {
        None => Ok(zones.default.clone().unwrap_or_else(utc)),
        Some(zone) if zone != "SYSTEM" => Ok(zone.into_owned()),
        Some(_) => zones.system.clone().ok_or_else(|| {
            ddl.name(
                Error::incompatible(
                    "replay ddl: it ran in the time zone of the source's host, which the target's \
                     host does not have",
                )
                .hint(
                    "run the target in that time zone (TZ in the environment of the server), then \
                     restore with --resume; if the source's host changed its zone, restore from a \
                     base taken after that",
                ),
            )
        }),
    }
}

/// `charset=collation,...` of MariaDB's pairs of ids.
fn collations(ddl: &Ddl, pairs: &[u8], around: Surroundings<'_>) -> Result<String> {
    let name = |id: &[u8]| {
        let id = u16::from_le_bytes(id.try_into().unwrap_or_default());
        around.collations.get(&id).ok_or_else(|| {
            ddl.name(
                Error::incompatible("replay ddl: the target does not know a collation")
                    .field("collation_id", id)
                    .hint("restore to a server of the source's version or a newer one"),
            )
        })
    };
    let mut list = Vec::new();
    for pair in pairs.chunks_exact(4) {
        let (from, to) = pair.split_at(2);
        list.push(format!("{}={}", name(from)?.1, name(to)?.0));
    }
    Ok(list.join(","))
}

/// A literal in any `sql_mode`; none of these values has a backslash.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''").replace('\\', ""))
}

/// A name that is never quoted.
fn word(value: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    value.chars().filter(is_plain).collect()
}
