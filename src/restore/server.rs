//! The target server: whether it fits, and sessions on it.

use super::zone::Zones;
use crate::binlog::write::{Stamp, binlog_statement, format_description};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Flavor;
use crate::runtime::Clock;
use crate::source::{Endpoint, SqlClient, SqlSession};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Server id in the headers of made events.
const SERVER_ID: u32 = 1;

/// What a restore needs to know of its target.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// How to reach it.
    pub(super) endpoint: Endpoint,
    /// Flavor.
    pub(super) flavor: Flavor,
    /// Version text.
    pub(super) version: String,
    /// `max_allowed_packet`, shared by all jobs.
    packet: Arc<Packet>,
    /// Whether its event scheduler was stopped, to be started again.
    events_held: Arc<AtomicBool>,
    /// Whether sessions may keep out of the binlog.
    pub(super) quiet: bool,
    /// Time zones of the source.
    zones: Zones,
    /// Statements that set every session's neutral state.
    session: Vec<String>,
}

/// `max_allowed_packet` of a target.
#[derive(Debug)]
struct Packet {
    /// Its own.
    own: usize,
    /// In force.
    now: AtomicUsize,
}

impl Packet {
    fn new(own: usize) -> Packet {
        Packet {
            own,
            now: AtomicUsize::new(own),
        }
    }
}

impl Target {
    /// Connects and looks at the server; gives the session it used, too.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the server is of another
    /// flavor or would do more than store the rows; those of the connection.
    pub(super) async fn open(
        endpoint: &Endpoint,
        flavor: Flavor,
        notes: &mut Vec<String>,
    ) -> Result<(Target, SqlClient)> {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        if client.flavor() != flavor {
            return Err(Error::incompatible("restore to a server of another flavor")
                .field("source", flavor)
                .field("target", client.flavor())
                .field("version", client.version())
                .hint("restore to a server of the source's flavor"));
        }
        if flavor == Flavor::MariaDb {
            refuse_triggers(&mut client).await?;
        }
        let packet = client
            .query_string("SELECT @@session.max_allowed_packet")
            .await?;
        let packet = packet.and_then(|text| text.parse().ok());
        let mut target = Target {
            endpoint: endpoint.clone(),
            flavor,
            version: client.version().to_owned(),
            packet: Arc::new(Packet::new(packet.unwrap_or(4 << 20))),
            events_held: Arc::default(),
            quiet: false,
            zones: Zones::default(),
            session: neutral_session(flavor),
        };
        for statement in &target.session {
            client.exec(statement).await?;
        }
        match client.exec("SET SESSION sql_log_bin = 0").await {
            Ok(()) => {
                target.quiet = true;
                target
                    .session
                    .push("SET SESSION sql_log_bin = 0".to_owned());
            }
            Err(error) if error.kind() == ErrorKind::Config => notes.push(
                "the account may not set sql_log_bin: the restore is in the target's own binlog"
                    .to_owned(),
            ),
            Err(error) => return Err(error),
        }
        Ok((target, client))
    }

    /// Takes the time zones of the source: MySQL computes stored generated columns again, and
    /// statements are run again in the zone they ran in.
    ///
    /// # Errors
    /// As [`Zones::find`].
    pub(super) async fn take_time_zones(
        &mut self,
        client: &mut SqlClient,
        source: &serde_json::Value,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        self.zones = Zones::find(client, source).await?;
        match &self.zones.default {
            Some(zone) => {
                let statement = format!("SET SESSION time_zone = '{}'", zone.replace('\'', "''"));
                client.exec(&statement).await?;
                self.session.push(statement);
            }
            None => notes.push(
                "the target does not have the source's time zone: generated columns were computed \
                 in UTC"
                    .to_owned(),
            ),
        }
        Ok(())
    }

    /// Longest statement that new sessions take.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.packet.now.load(Ordering::Relaxed)
    }

    /// Makes room for a longer statement in sessions opened from now on.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the account may not: with the
    /// statement that does it.
    pub(super) async fn make_room(&self, bytes: usize) -> Result<()> {
        let wanted = bytes.div_ceil(1 << 20) << 20;
        if wanted <= self.packet_bytes_max() {
            return Ok(());
        }
        let mut client = self.connect().await?;
        let sql = format!("SET GLOBAL max_allowed_packet = {wanted}");
        let raised = client.exec(&sql).await;
        client.close().await;
        raised.map_err(|e| match e.kind() {
            ErrorKind::Unavailable => e,
            _ => Error::incompatible("write row: it is larger than the target accepts")
                .field("max_allowed_packet", self.packet_bytes_max())
                .source(e)
                .hint(format!(
                    "run on the target: {sql}, then restore with --resume"
                )),
        })?;
        self.packet.now.fetch_max(wanted, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps the target from running events while statements create them, until it is
    /// [left](Self::leave).
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the account may not: with the
    /// statement that does it.
    pub(super) async fn hold_events(&self, session: &mut SqlClient) -> Result<()> {
        let found = session.query_string("SELECT @@global.event_scheduler");
        if found.await?.as_deref() != Some("ON") {
            return Ok(());
        }
        let held = session.exec("SET GLOBAL event_scheduler = OFF").await;
        held.map_err(|e| match e.kind() {
            ErrorKind::Unavailable => e,
            _ => Error::incompatible("replay ddl: the target would run events that are restored")
                .source(e)
                .hint(
                    "run on the target: SET GLOBAL event_scheduler = OFF, then restore with \
                     --resume",
                ),
        })?;
        self.events_held.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the target its own settings back, whatever became of the restore.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn leave(&self, client: &mut SqlClient) -> Result<()> {
        let own = self.packet.own;
        let mut statements = Vec::new();
        if self.packet_bytes_max() != own {
            statements.push(format!("SET GLOBAL max_allowed_packet = {own}"));
        }
        if self.events_held.load(Ordering::Relaxed) {
            statements.push("SET GLOBAL event_scheduler = ON".to_owned());
        }
        let mut left = Ok(());
        for statement in statements {
            left = left.and(client.exec(&statement).await);
        }
        left
    }

    /// Time zones of the source.
    pub(super) fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Another session for ordinary SQL, in the same state.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn connect(&self) -> Result<SqlClient> {
        let session = SqlSession {
            statements: self.session.clone(),
            ..SqlSession::default()
        };
        SqlClient::connect(&self.endpoint, &session).await
    }

    /// A session that takes rows by `BINLOG` statements: it has been given the format
    /// description, alone in a statement of its own and outside of a transaction (together with
    /// rows MySQL refuses it and leaves the session broken).
    ///
    /// # Errors
    /// Those of the connection; [`Config`](crate::error::ErrorKind::Config) when a right is
    /// missing.
    pub(super) async fn connect_writer(&self, clock: &Clock) -> Result<SqlClient> {
        let mut client = self.connect().await?;
        let event = format_description(&self.stamp(clock), &self.version);
        let made = client.exec(&binlog_statement(&event)).await;
        made.map_err(|e| match (e.kind(), self.flavor) {
            (ErrorKind::Config, Flavor::MySql) => e.hint(
                "grant BINLOG_ADMIN and SESSION_VARIABLES_ADMIN (or REPLICATION_APPLIER and INSERT) \
                 to the account on the target",
            ),
            (ErrorKind::Config, Flavor::MariaDb) => {
                e.hint("grant BINLOG REPLAY and BINLOG ADMIN to the account on the target")
            }
            _ => e,
        })?;
        if self.flavor == Flavor::MySql {
            client.exec("SET gtid_next = 'AUTOMATIC'").await?;
        }
        Ok(client)
    }

    /// Headers of made events: the real time, for the session's NOW() stays at it.
    pub(super) fn stamp(&self, clock: &Clock) -> Stamp {
        Stamp {
            flavor: self.flavor,
            server_id: SERVER_ID,
            timestamp_s: u32::try_from(clock.now_us() / 1_000_000).unwrap_or(u32::MAX),
        }
    }
}

/// A session in which nothing of the target's own configuration changes what rows become.
fn neutral_session(flavor: Flavor) -> Vec<String> {
    let mut list = vec![
        "SET SESSION sql_mode = ''",
        "SET SESSION lc_time_names = 'en_US'",
        "SET SESSION foreign_key_checks = 0",
        "SET SESSION unique_checks = 1",
        "SET SESSION autocommit = 1",
    ];
    list.extend(match flavor {
        Flavor::MySql => [
            "SET SESSION sql_require_primary_key = 0",
            "SET SESSION sql_generate_invisible_primary_key = 0",
            "SET SESSION innodb_strict_mode = 0",
        ],
        Flavor::MariaDb => [
            "SET SESSION binlog_annotate_row_events = 0",
            "SET SESSION check_constraint_checks = 1",
            "SET SESSION innodb_strict_mode = 0",
        ],
    });
    list.into_iter().map(str::to_owned).collect()
}

async fn refuse_triggers(client: &mut SqlClient) -> Result<()> {
    let set = client
        .query_string("SELECT @@global.slave_run_triggers_for_rbr")
        .await?;
    match set.as_deref() {
        None | Some("NO") => Ok(()),
        Some(found) => Err(Error::incompatible(
            "restore: the target fires triggers for row events",
        )
        .field("slave_run_triggers_for_rbr", found)
        .hint("run on the target: SET GLOBAL slave_run_triggers_for_rbr = 'NO'")),
    }
}
