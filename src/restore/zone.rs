//! The source's time zones, as the target calls them.

use crate::error::{ErrorKind, Result};
use crate::source::{SYSTEM_ZONE_RULE, SqlClient, zone_rule};
use serde_json::Value;

/// Name of the zone of a server's host.
const SYSTEM: &str = "SYSTEM";

/// Zones in which the source ran statements and computed stored generated columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones {
    /// Its default; `None` where the target knows no such zone.
    pub(super) default: Option<String>,
    /// The one it calls `SYSTEM`; `None` where the target knows no zone that does the same.
    pub(super) system: Option<String>,
}

impl Zones {
    /// Finds them on the target; `source` is what was recorded of the source. Leaves the session
    /// in `+00:00`.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn find(client: &mut SqlClient, source: &Value) -> Result<Zones> {
        let setting = |name: &str| {
            let value = source.get("settings").and_then(|s| s.get(name));
            value.and_then(Value::as_str).filter(|v| !v.is_empty())
        };
        let system = match setting(SYSTEM_ZONE_RULE) {
            Some(rule) => find_system(client, rule).await?,
            None => None,
        };
        let default = match setting("time_zone") {
            None => None,
            Some(SYSTEM) => system.clone(),
            Some(name) => is_known(client, name).await?.then(|| name.to_owned()),
        };
        Ok(Zones { default, system })
    }
}

/// What the source calls `SYSTEM`. A zone with a name is no stand-in for it where clocks change:
/// of the hour that comes twice, servers take the first for a name and the second for `SYSTEM`,
/// and MySQL's copying ALTER turns every TIMESTAMP into local time and back.
async fn find_system(client: &mut SqlClient, rule: &str) -> Result<Option<String>> {
    if rule.starts_with(['+', '-']) {
        return Ok(Some(rule.to_owned()));
    }
    let own = zone_rule(client, SYSTEM).await?;
    Ok((own == rule).then(|| SYSTEM.to_owned()))
}

async fn is_known(client: &mut SqlClient, zone: &str) -> Result<bool> {
    let sql = format!("SET time_zone='{}'", zone.replace('\'', "''"));
    match client.exec(&sql).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        Err(_) => return Ok(false),
    }
    client.exec("SET time_zone='+00:00'").await?;
    Ok(true)
}
