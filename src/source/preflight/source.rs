//! What capture needs of a source. A setting that the server does not know is not checked.

use super::server::{Lines, Server};
use super::tables::text;
use super::{Severity, SourceNeeds};
use crate::error::{ErrorKind, Result};
use crate::position::Flavor;
use crate::source::position::commits_wait;
use crate::source::retention::kept_seconds;
use crate::source::{SemiSyncState, SqlClient};

/// Below this, a weekend is enough for the source to delete what was not read yet.
const RETENTION_MIN_SECONDS: f64 = 24.0 * 3600.0;
/// What the fix sets: three days.
const RETENTION_DAYS: u32 = 3;
/// Beyond this, times given to a restore on our clock mean another moment on the source's.
const CLOCK_MAX_US: i64 = 1_000_000;

pub(super) fn version(server: &Server, lines: &mut Lines) {
    let (oldest, text) = match server.flavor {
        Flavor::MySql => ((8, 0), "MySQL 8.0 or later"),
        Flavor::MariaDb => ((10, 6), "MariaDB 10.6 or later"),
    };
    lines.judge(
        server.release().is_some_and(|release| release >= oldest),
        Severity::Blocker,
        "version",
        &server.version,
        text,
        format!("upgrade the server to {text}"),
    );
}

/// What makes the events complete and readable.
pub(super) fn binlog(server: &Server, lines: &mut Lines) {
    if let Some(found) = server.variable("log_bin") {
        let fix = "add log-bin to my.cnf, [mysqld], and restart the server: no statement can";
        let met = found.eq_ignore_ascii_case("ON");
        lines.judge(met, Severity::Blocker, "log_bin", found, "ON", fix);
    }
    for (name, wanted, per_session) in [
        ("binlog_format", "ROW", true),
        ("binlog_row_image", "FULL", true),
        ("binlog_row_metadata", "FULL", false),
        ("binlog_checksum", "CRC32", false),
    ] {
        let fix = server.set(name, &format!("'{wanted}'"));
        let fix = match per_session {
            true => format!("{fix} /* open connections keep the old value: restart them */"),
            false => fix,
        };
        setting(server, lines, Severity::Blocker, name, wanted, fix);
    }
    if let Some(found) = server.variable("server_id") {
        let fix = server.set("server_id", "1");
        let fix = format!("{fix} /* any number that no other server of this replication has */");
        let met = found != "0";
        lines.judge(met, Severity::Blocker, "server_id", found, "not 0", fix);
    }
    gtids(server, lines);
    costs(server, lines);
    retention(server, lines);
}

/// Settings that are followed exactly and cost capture some time.
fn costs(server: &Server, lines: &mut Lines) {
    let unpack = "any: compressed events cost capture time to unpack";
    let apply = "any: differences of JSON documents are applied to the row before, and cost \
                 capture time";
    for (name, usual, wanted) in [
        ("binlog_transaction_compression", "OFF", unpack),
        ("log_bin_compress", "OFF", unpack),
        ("binlog_row_value_options", "", apply),
    ] {
        if let Some(found) = server.variable(name) {
            let severity = match found == usual {
                true => Severity::Ok,
                false => Severity::Info,
            };
            lines.add(severity, name, shown(found), wanted, None);
        }
    }
}

fn shown(value: &str) -> String {
    match value {
        "" => "empty".to_owned(),
        value => value.to_owned(),
    }
}

/// Without GTIDs capture resumes by file and offset, which a failover does not survive.
fn gtids(server: &Server, lines: &mut Lines) {
    if server.flavor == Flavor::MariaDb {
        return;
    }
    let enforce = server.set("enforce_gtid_consistency", "ON");
    let steps = ["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"].map(|step| server.set("gtid_mode", step));
    // The server takes one step at a time, and none that it has already taken.
    let done = match server.variable("gtid_mode") {
        Some("OFF_PERMISSIVE") => 1,
        Some("ON_PERMISSIVE") => 2,
        _ => 0,
    };
    let steps = steps.into_iter().skip(done);
    let steps: Vec<String> = std::iter::once(enforce.clone()).chain(steps).collect();
    for (name, fix) in [
        ("enforce_gtid_consistency", enforce),
        ("gtid_mode", steps.join("; ")),
    ] {
        setting(server, lines, Severity::Warn, name, "ON", fix);
    }
}

fn setting(
    server: &Server,
    lines: &mut Lines,
    severity: Severity,
    name: &str,
    wanted: &str,
    fix: String,
) {
    let Some(found) = server.variable(name) else {
        return;
    };
    let met = found.eq_ignore_ascii_case(wanted);
    lines.judge(met, severity, name, shown(found), shown(wanted), fix);
}

fn retention(server: &Server, lines: &mut Lines) {
    let seconds = server.number("binlog_expire_logs_seconds");
    if seconds.is_none() && server.number("expire_logs_days").is_none() {
        return;
    }
    let kept = kept_seconds(|name| server.variable(name));
    let found = match kept {
        None => "unlimited".to_owned(),
        Some(kept) => format!("{:.1} h", kept / 3600.0),
    };
    let fix = match seconds {
        Some(_) => {
            let seconds = RETENTION_DAYS * 24 * 3600;
            server.set("binlog_expire_logs_seconds", &seconds.to_string())
        }
        None => server.set("expire_logs_days", &RETENTION_DAYS.to_string()),
    };
    lines.judge(
        kept.is_none_or(|kept| kept >= RETENTION_MIN_SECONDS),
        Severity::Warn,
        "binlog_retention",
        found,
        "24 h or more: capture that was down for longer has a gap",
        fix,
    );
}

/// Filters of what is logged at all. The server shows them with its binlog position, for which
/// MariaDB takes a lock that a commit holds while it waits for a semi-sync acknowledgement: nothing
/// is asked that would wait for ourselves.
pub(super) async fn binlog_filters(
    client: &mut SqlClient,
    server: &Server,
    lines: &mut Lines,
) -> Result<()> {
    if server.flavor == Flavor::MariaDb && commits_wait(client).await? {
        let found = "not seen: commits are waiting for an acknowledgement";
        lines.add(Severity::Info, "binlog_do_db", found, "empty", None);
        return Ok(());
    }
    let statement = match (server.flavor, server.release()) {
        (Flavor::MySql, Some(release)) if release >= (8, 2) => "SHOW BINARY LOG STATUS",
        _ => "SHOW MASTER STATUS",
    };
    let Some(rows) = permitted(client, statement).await? else {
        // The missing right has a line of its own, a blocker.
        return Ok(());
    };
    let Some(row) = rows.first() else {
        // Nothing is logged, which has a line of its own.
        return Ok(());
    };
    for (index, name) in [(2, "binlog_do_db"), (3, "binlog_ignore_db")] {
        let found = text(row, index);
        let option = name.replace('_', "-");
        let fix = format!(
            "remove {option} from my.cnf, [mysqld], and restart the server: no statement can"
        );
        let met = found.is_empty();
        let found = if met { "empty".to_owned() } else { found };
        lines.judge(met, Severity::Blocker, name, found, "empty", fix);
    }
    Ok(())
}

/// The rows, or `None` when the account may not ask.
async fn permitted(
    client: &mut SqlClient,
    statement: &str,
) -> Result<Option<Vec<Vec<Option<bytes::Bytes>>>>> {
    match client.query_rows(statement).await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.kind() == ErrorKind::Config => Ok(None),
        Err(error) => Err(error),
    }
}

/// A replica must log what it applies.
pub(super) async fn upstream(
    client: &mut SqlClient,
    server: &Server,
    lines: &mut Lines,
) -> Result<()> {
    let names = ["log_replica_updates", "log_slave_updates"];
    let found = names
        .iter()
        .find_map(|name| Some((*name, server.variable(name)?)));
    let Some((name, found)) = found else {
        return Ok(());
    };
    let wanted = "ON where the server is a replica";
    if found.eq_ignore_ascii_case("ON") {
        lines.ok(name, found, wanted);
        return Ok(());
    }
    let statement = match (server.flavor, name) {
        (Flavor::MariaDb, _) => "SHOW ALL SLAVES STATUS",
        (Flavor::MySql, "log_replica_updates") => "SHOW REPLICA STATUS",
        (Flavor::MySql, _) => "SHOW SLAVE STATUS",
    };
    match permitted(client, statement).await? {
        Some(rows) => lines.judge(
            rows.is_empty(),
            Severity::Warn,
            name,
            format!("{found}, {} replication sources", rows.len()),
            wanted,
            format!(
                "set {name}=ON in my.cnf, [mysqld], and restart the server: what it replicates is \
                 not captured"
            ),
        ),
        None => {
            let right = match server.flavor {
                Flavor::MySql => "REPLICATION CLIENT",
                Flavor::MariaDb => "SLAVE MONITOR",
            };
            let found = format!("{found}, and whether it is a replica cannot be seen");
            let fix = server.grants.statement(&[right]);
            lines.add(Severity::Info, name, found, wanted, Some(fix));
        }
    }
    Ok(())
}

/// What keeps the binlog from losing, at a crash, what was already read from it.
pub(super) fn durability(server: &Server, lines: &mut Lines) {
    for name in ["sync_binlog", "innodb_flush_log_at_trx_commit"] {
        let fix = server.set(name, "1");
        setting(server, lines, Severity::Warn, name, "1", fix);
    }
}

/// Whether a client's COMMIT can be made to wait until it is safe here, and what gets around it.
pub(super) async fn semi_sync(
    client: &mut SqlClient,
    needs: SourceNeeds,
    lines: &mut Lines,
) -> Result<()> {
    let state = SemiSyncState::read(client).await?;
    let obstacles = state.obstacles();
    if obstacles.is_empty() {
        let clients = state.clients;
        let found = match state.is_on {
            true => format!("on, {clients} replicas"),
            false => format!("enabled, not waiting now, {clients} replicas"),
        };
        lines.ok(
            "semi_sync",
            found,
            "zero RPO: every commit waits for tidelog",
        );
    }
    for obstacle in obstacles {
        let severity = match (needs.semi_sync, obstacle.is_fatal) {
            (true, true) => Severity::Blocker,
            (false, true) => Severity::Info,
            (_, false) => Severity::Warn,
        };
        let wanted = format!("{} (zero RPO)", obstacle.wanted);
        let fix = Some(obstacle.fix);
        lines.add(severity, &obstacle.name, obstacle.found, wanted, fix);
        if !state.is_enabled {
            // The rest counts once it is.
            break;
        }
    }
    Ok(())
}

pub(super) fn privileges(server: &Server, needs: SourceNeeds, lines: &mut Lines) {
    use Severity::{Blocker, Warn};
    let mysql = server.flavor == Flavor::MySql;
    lines.privilege(server, Blocker, &["REPLICATION SLAVE"]);
    match mysql {
        true => lines.privilege(server, Blocker, &["REPLICATION CLIENT", "SUPER"]),
        // 10.5 renamed it; the old name is taken and shown as the new one.
        false => lines.privilege(server, Blocker, &["BINLOG MONITOR", "REPLICATION CLIENT"]),
    }
    if !needs.snapshot {
        return;
    }
    lines.privilege(server, Blocker, &["SELECT"]);
    if mysql {
        lines.privilege(server, Blocker, &["RELOAD"]);
        // A transaction prepared before the log began is in no base and no segment: it is named.
        lines.privilege(server, Blocker, &["XA_RECOVER_ADMIN"]);
        // A global SELECT shows the bodies of routines, too.
        lines.privilege(server, Warn, &["SHOW_ROUTINE", "SELECT"]);
    }
    for name in ["SHOW VIEW", "TRIGGER", "EVENT"] {
        lines.privilege(server, Warn, &[name]);
    }
    if !mysql {
        // Where XA is used, commits are stopped for the moment in which a base begins.
        lines.privilege(server, Severity::Info, &["RELOAD"]);
        // Without it DDL on a table that was read waits for the end of the whole base.
        lines.privilege(server, Severity::Info, &["BINLOG ADMIN"]);
    }
}

pub(super) async fn clock(
    client: &mut SqlClient,
    server: &Server,
    now_us: impl Fn() -> i64,
    lines: &mut Lines,
) -> Result<()> {
    let zone = match (
        server.variable("time_zone"),
        server.variable("system_time_zone"),
    ) {
        (Some("SYSTEM"), Some(system)) => format!("SYSTEM ({system})"),
        (zone, _) => zone.unwrap_or_default().to_owned(),
    };
    let wanted = "any: everything is captured in UTC";
    lines.add(Severity::Info, "time_zone", zone, wanted, None);

    let offset = client.clock_offset(now_us).await?;
    let sure = offset
        .offset_us
        .saturating_abs()
        .saturating_sub(offset.bound_us);
    lines.judge(
        sure <= CLOCK_MAX_US,
        Severity::Warn,
        "clock",
        format!("{:+.3} s from ours", offset.offset_us as f64 / 1e6),
        "within 1 s of ours",
        "set the clocks of the server and of this machine by NTP",
    );
    Ok(())
}
