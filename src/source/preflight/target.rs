//! What a restore needs of its target.

use super::server::{Lines, Server, release};
use super::tables::{listed, text, user_databases};
use super::{Severity, TargetNeeds};
use crate::error::Result;
use crate::position::Flavor;
use crate::source::SqlClient;
use std::collections::BTreeSet;

/// Database in which a restore keeps its own progress.
const OWN_DATABASE: &str = "tidelog_restore";
/// Neither server takes larger packets.
const PACKET_MAX: u64 = 1 << 30;

/// Whether it is the same kind of server.
pub(super) fn kind(server: &Server, needs: &TargetNeeds, lines: &mut Lines) {
    lines.judge(
        server.flavor == needs.flavor,
        Severity::Blocker,
        "flavor",
        server.flavor.name(),
        needs.flavor.name(),
        format!("use a {} server as target", needs.flavor),
    );
    let Some(version) = &needs.version else {
        return;
    };
    let wanted = format!("{version} or later");
    let fix = format!("use a target of version {wanted}");
    let (here, there) = (server.release(), release(version));
    let severity = match (here, there) {
        (Some((here, _)), Some((there, _))) if here >= there => Severity::Warn,
        _ => Severity::Blocker,
    };
    let met = matches!((here, there), (Some(here), Some(there)) if here >= there);
    lines.judge(met, severity, "version", &server.version, wanted, fix);
}

pub(super) fn settings(server: &Server, needs: &TargetNeeds, lines: &mut Lines) {
    if let (Some(wanted), Some(found)) = (
        needs.lower_case_table_names,
        server.variable("lower_case_table_names"),
    ) {
        let wanted = wanted.to_string();
        let fix = format!(
            "initialise a new target with lower_case_table_names={wanted}: it cannot be changed \
             later"
        );
        let met = found == wanted;
        let name = "lower_case_table_names";
        lines.judge(met, Severity::Blocker, name, found, wanted, fix);
    }
    if let (Some(bytes), Some(found)) = (needs.row_bytes_max, server.variable("max_allowed_packet"))
    {
        packet(server, bytes, found, lines);
    }
    if let Some(found) = server.variable("slave_run_triggers_for_rbr") {
        // Rows written as binlog events would fire the triggers a second time.
        let name = "slave_run_triggers_for_rbr";
        let fix = server.set(name, "'NO'");
        let met = found.eq_ignore_ascii_case("NO");
        lines.judge(met, Severity::Blocker, name, found, "NO", fix);
    }
    if let Some(found) = server.variable("super_read_only") {
        let fix = server.set("super_read_only", "OFF");
        let met = found.eq_ignore_ascii_case("OFF");
        lines.judge(met, Severity::Blocker, "super_read_only", found, "OFF", fix);
    }
    if let Some(found) = server.variable("event_scheduler") {
        let fix = server.set("event_scheduler", "OFF");
        let met = !found.eq_ignore_ascii_case("ON");
        let wanted = "OFF, or restored events run as soon as they are there";
        lines.judge(met, Severity::Info, "event_scheduler", found, wanted, fix);
    }
}

/// A row travels in base64, four characters for three bytes.
fn packet(server: &Server, row_bytes: u64, found: &str, lines: &mut Lines) {
    let wanted = row_bytes.div_ceil(3).saturating_mul(4);
    let name = "max_allowed_packet";
    let fix = match wanted.checked_next_multiple_of(1024) {
        Some(bytes) if bytes <= PACKET_MAX => format!(
            "{} /* and connect again */",
            server.set(name, &bytes.to_string())
        ),
        _ => format!("leave the table with the row of {row_bytes} bytes out of the restore"),
    };
    let met = found.parse::<u64>().is_ok_and(|found| found >= wanted);
    let wanted = format!("{wanted} or more, for a row of {row_bytes} bytes");
    lines.judge(met, Severity::Blocker, name, found, wanted, fix);
}

pub(super) fn privileges(server: &Server, lines: &mut Lines) {
    use Severity::{Blocker, Warn};
    match server.flavor {
        Flavor::MySql => {
            lines.privilege(server, Blocker, &["BINLOG_ADMIN", "SUPER"]);
            lines.privilege(server, Blocker, &["SESSION_VARIABLES_ADMIN", "SUPER"]);
        }
        // SUPER is not enough on MariaDB.
        Flavor::MariaDb => {
            lines.privilege(server, Blocker, &["BINLOG REPLAY"]);
            lines.privilege(server, Blocker, &["BINLOG ADMIN"]);
        }
    }
    for name in [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "ALTER",
        "INDEX",
        "REFERENCES",
        "CREATE VIEW",
        "SHOW VIEW",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
        "TRIGGER",
        "EVENT",
    ] {
        lines.privilege(server, Blocker, &[name]);
    }
    // Views, routines, triggers and events whose definer is another account.
    match (server.flavor, server.release()) {
        (Flavor::MySql, Some(release)) if release < (8, 2) => {
            lines.privilege(server, Warn, &["SET_USER_ID", "SUPER"]);
        }
        (Flavor::MySql, _) => {
            lines.privilege(server, Warn, &["SET_ANY_DEFINER", "SUPER"]);
            // Where that account has it itself, as root has.
            lines.privilege(server, Warn, &["SYSTEM_USER"]);
        }
        (Flavor::MariaDb, _) => lines.privilege(server, Warn, &["SET USER", "SUPER"]),
    }
}

/// Nothing of the users' is there that a restore could mix with or overwrite.
pub(super) async fn emptiness(
    client: &mut SqlClient,
    server: &Server,
    needs: &TargetNeeds,
    lines: &mut Lines,
) -> Result<()> {
    let (found, wanted) = match needs.databases.is_empty() {
        true => (user_tables(client).await?, "no user tables"),
        false => {
            let taken = taken_databases(client, server, needs).await?;
            (taken, "none of the databases to be restored")
        }
    };
    lines.judge(
        found.is_empty(),
        Severity::Blocker,
        "empty",
        listed(found.into_iter()),
        wanted,
        "use an empty target, or restore under other names (--rename)",
    );
    Ok(())
}

async fn user_tables(client: &mut SqlClient) -> Result<Vec<String>> {
    let rows = client
        .query_rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE {} AND TABLE_SCHEMA <> '{OWN_DATABASE}' ORDER BY 1, 2",
            user_databases()
        ))
        .await?;
    let name = |row: &Vec<_>| format!("{}.{}", text(row, 0), text(row, 1));
    Ok(rows.iter().map(name).collect())
}

async fn taken_databases(
    client: &mut SqlClient,
    server: &Server,
    needs: &TargetNeeds,
) -> Result<Vec<String>> {
    let folds = server
        .variable("lower_case_table_names")
        .is_some_and(|v| v != "0");
    let folded = |name: &str| match folds {
        true => name.to_lowercase(),
        false => name.to_owned(),
    };
    let rows = client
        .query_rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1")
        .await?;
    let wanted: BTreeSet<String> = needs.databases.iter().map(|d| folded(d)).collect();
    let mut names: Vec<String> = rows.iter().map(|row| text(row, 0)).collect();
    names.retain(|name| name != OWN_DATABASE && wanted.contains(&folded(name)));
    Ok(names)
}
