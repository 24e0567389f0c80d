//! Posing as a replica: session set-up, registration and the request for the stream.
//!
//! The order and the variables follow MariaDB's and MySQL's own replicas; every variable that has
//! two spellings ("master", "source") is set in both, which neither server minds. The commands:
//! MySQL manual, `COM_REGISTER_SLAVE`, `COM_BINLOG_DUMP`, `COM_BINLOG_DUMP_GTID`.

use super::auth::{self, Greeting};
use super::identity::SourceIdentity;
use super::packet::put_lenenc_bytes;
use super::stream::EventStream;
use super::wire::Wire;
use super::{ClockOffset, Endpoint};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Flavor, GtidSet, MySqlGtidSet};
use bytes::Bytes;
use std::time::Duration;
use uuid::Uuid;

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1E;

/// On MariaDB: send `ANNOTATE_ROWS` events, so that no gap is left in the positions. On MySQL
/// (8.0.26+, ignored before): heartbeats of version 2, whose position has 64 bits.
const DUMP_FLAGS: u16 = 0x02;
/// Start of the first event of a binlog file.
pub const FIRST_OFFSET: u64 = 4;
/// How long the source keeps a stream open that we do not read because a store is slow.
const SOURCE_WRITE_TIMEOUT_S: u32 = 600;

/// How a replica presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaOptions {
    /// Server id, unique among the source's replicas; never 0, which means "do not wait".
    pub server_id: u32,
    /// Stable uuid: a MySQL source knows by it that a new connection replaces the old one.
    pub uuid: Uuid,
    /// Silence after which the source sends a heartbeat; twice this time without a byte ends the
    /// connection.
    pub heartbeat: Duration,
    /// Bound of connecting and logging in.
    pub connect_timeout: Duration,
    /// Bound of the wait for the first packet of the stream: a source may hang there for ever.
    pub first_packet_timeout: Duration,
    /// Largest packet taken, in bytes.
    pub packet_bytes_max: usize,
    /// Ask the source to wait for acknowledgements (semi-sync). From then on a dump's start is an
    /// acknowledgement itself, of everything before it: start at a durable position only.
    pub semi_sync: bool,
}

impl ReplicaOptions {
    /// Options with the usual times: heartbeat 10 s, connect 15 s, first packet 10 s; packets up
    /// to 1 GiB (the servers' own bound) and 1 MiB.
    #[must_use]
    pub fn new(server_id: u32, uuid: Uuid) -> Self {
        ReplicaOptions {
            server_id,
            uuid,
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            first_packet_timeout: Duration::from_secs(10),
            packet_bytes_max: (1 << 30) + (1 << 20),
            semi_sync: false,
        }
    }
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpFrom {
    /// After everything in the set (MariaDB: after the last GTID of each domain).
    Gtid(GtidSet),
    /// At an event's first byte.
    Position(BinlogPosition),
}

/// Whether the events of the stream end with a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Four bytes of CRC32 after each event.
    Crc32,
    /// No checksum (`binlog_checksum=NONE` on the source); a blocker for capture.
    None,
}

/// A connection to a source, logged in and set up as a replica, that has not begun to stream.
#[derive(Debug)]
pub struct ReplicaConnection {
    wire: Wire,
    greeting: Greeting,
    options: ReplicaOptions,
    checksum: Checksum,
}

impl ReplicaConnection {
    /// Connects, logs in and sets the session up.
    ///
    /// # Errors
    /// `Config` for a wrong password, certificate or right; `Unavailable` when the server does
    /// not answer; `Incompatible` when it is too old.
    pub async fn connect(endpoint: &Endpoint, options: &ReplicaOptions) -> Result<Self> {
        if options.server_id == 0 {
            return Err(Error::config("pose as replica: server id is 0")
                .hint("give a server id that no other replica of the source has"));
        }
        let (wire, greeting) = auth::connect(endpoint, options.connect_timeout).await?;
        let mut connection = ReplicaConnection {
            wire,
            greeting,
            options: options.clone(),
            checksum: Checksum::None,
        };
        connection.set_up_session().await?;
        Ok(connection)
    }

    /// Flavor of the source.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.greeting.flavor()
    }

    /// Version of the source, for example `9.7.4` or `10.11.19-MariaDB-log`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        &self.greeting.version
    }

    /// The source's number of this connection, for `KILL`.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.greeting.connection_id
    }

    /// Whether the stream will carry checksums.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Runs a small statement and returns its rows, `None` for NULL; values as the server prints
    /// them in UTF-8.
    ///
    /// # Errors
    /// As the server says, see [`statement_error`](super::statement_error); field `sql`.
    pub async fn query_rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<Bytes>>>> {
        self.wire.query(sql).await
    }

    /// Who the source is, read on this very connection: behind a proxy another connection may
    /// reach another server.
    ///
    /// # Errors
    /// As [`query_rows`](Self::query_rows), and `Incompatible` for an answer that makes no sense.
    pub async fn identity(&mut self) -> Result<SourceIdentity> {
        let rows = self.query_rows(&SourceIdentity::statement()).await?;
        SourceIdentity::from_rows(self.flavor(), self.server_version(), &rows)
    }

    /// The source's clock minus ours; `now_us` is our clock.
    ///
    /// # Errors
    /// As [`query_rows`](Self::query_rows).
    pub async fn clock_offset(&mut self, now_us: impl Fn() -> i64) -> Result<ClockOffset> {
        let mut best: Option<ClockOffset> = None;
        for _ in 0..ClockOffset::PROBES {
            let before = now_us();
            let rows = self.query_rows(ClockOffset::STATEMENT).await?;
            let probe = ClockOffset::from_probe(before, &rows, now_us())?;
            best = Some(best.map_or(probe, |b| b.tighter(probe)));
        }
        best.ok_or_else(|| Error::internal("measure clock of source"))
    }

    async fn set_up_session(&mut self) -> Result<()> {
        let heartbeat_ns = self.options.heartbeat.as_nanos();
        let uuid = self.options.uuid;
        let mut statements = vec![
            format!("SET @@session.net_write_timeout={SOURCE_WRITE_TIMEOUT_S}"),
            format!(
                "SET @master_heartbeat_period={heartbeat_ns}, @source_heartbeat_period={heartbeat_ns}"
            ),
            // Compulsory: without it the source refuses a binlog that has checksums.
            "SET @master_binlog_checksum=@@global.binlog_checksum, \
             @source_binlog_checksum=@@global.binlog_checksum"
                .to_owned(),
            format!("SET @slave_uuid='{uuid}', @replica_uuid='{uuid}'"),
        ];
        if self.flavor() == Flavor::MariaDb {
            // 4 = we know GTID and annotate events; with less they come disguised as queries.
            statements.push("SET @mariadb_slave_capability=4".to_owned());
        }
        if self.options.semi_sync {
            // Each server reads the name it knows and takes the other for a variable of ours.
            statements.push("SET @rpl_semi_sync_replica=1, @rpl_semi_sync_slave=1".to_owned());
        }
        for statement in &statements {
            self.query_rows(statement).await?;
        }
        let rows = self.query_rows("SELECT @master_binlog_checksum").await?;
        let value = rows.into_iter().flatten().next().flatten();
        self.checksum = match value.as_deref() {
            Some(b"CRC32") => Checksum::Crc32,
            Some(b"NONE") => Checksum::None,
            other => {
                let text = String::from_utf8_lossy(other.unwrap_or(b"NULL")).into_owned();
                return Err(Error::incompatible("negotiate checksum with source")
                    .field("binlog_checksum", text)
                    .hint("SET GLOBAL binlog_checksum=CRC32 on the source"));
            }
        };
        Ok(())
    }

    async fn register(&mut self) -> Result<()> {
        let mut command = vec![COM_REGISTER_SLAVE];
        command.extend_from_slice(&self.options.server_id.to_le_bytes());
        put_lenenc_bytes(&mut command, b"tidelog");
        // User and password stay empty: a source shows them to its administrators.
        put_lenenc_bytes(&mut command, b"");
        put_lenenc_bytes(&mut command, b"");
        command.extend_from_slice(&[0; 2 + 4 + 4]);
        self.wire.command(&command).await?;
        self.wire.expect_ok("register as replica").await
    }

    /// Registers and asks for the stream; returns when its first packet has come, so that a
    /// refusal is an error of this call.
    ///
    /// # Errors
    /// Sorted as [`DumpRefusal`](super::DumpRefusal) says, with its name in the field `refusal`;
    /// `Unavailable` when no packet comes in time.
    pub async fn start(mut self, from: DumpFrom) -> Result<EventStream> {
        let request = self.request(&from).await?;
        self.register().await?;
        self.wire
            .set_packet_bytes_max(self.options.packet_bytes_max);
        self.wire.command(&request).await?;
        let described = describe(&from);
        EventStream::begin(self.wire, &self.options, self.checksum)
            .await
            .map_err(|e| e.field("from", described))
    }

    /// The dump command; on MariaDB a start by GTID lies in session variables instead.
    async fn request(&mut self, from: &DumpFrom) -> Result<Vec<u8>> {
        let id = self.options.server_id;
        match (self.flavor(), from) {
            (Flavor::MySql, DumpFrom::Gtid(GtidSet::MySql(set))) => Ok(gtid_request(id, set)),
            (Flavor::MariaDb, DumpFrom::Gtid(GtidSet::MariaDb(set))) => {
                for statement in [
                    format!("SET @slave_connect_state='{set}'"),
                    "SET @slave_gtid_strict_mode=1".to_owned(),
                    "SET @slave_gtid_ignore_duplicates=0".to_owned(),
                ] {
                    self.query_rows(&statement).await?;
                }
                Ok(position_request(id, "", FIRST_OFFSET as u32))
            }
            (flavor, DumpFrom::Gtid(set)) => Err(Error::incompatible(
                "start dump: the position is of the other server family",
            )
            .field("source", flavor)
            .field("position", set)),
            (_, DumpFrom::Position(at)) if at.offset < FIRST_OFFSET || at.file.is_empty() => {
                Err(Error::config("start dump: no event is there")
                    .field("position", at)
                    .hint("give a file name and an offset of 4 or more"))
            }
            (_, DumpFrom::Position(at)) => match u32::try_from(at.offset) {
                Ok(offset) => Ok(position_request(id, &at.file, offset)),
                // MySQL's other command has room for it, but then sends the format description
                // with a position of its own, as if it stood there.
                Err(_) => Err(Error::incompatible(
                    "start dump: an offset over 4 GiB cannot be asked for",
                )
                .field("position", at)
                .hint("start by GTID, or at the start of the file")),
            },
        }
    }
}

fn describe(from: &DumpFrom) -> String {
    match from {
        DumpFrom::Gtid(set) if set.is_empty() => "the first transaction".to_owned(),
        DumpFrom::Gtid(set) => set.to_string(),
        DumpFrom::Position(at) => at.to_string(),
    }
}

fn position_request(server_id: u32, file: &str, offset: u32) -> Vec<u8> {
    let mut out = vec![COM_BINLOG_DUMP];
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&DUMP_FLAGS.to_le_bytes());
    out.extend_from_slice(&server_id.to_le_bytes());
    out.extend_from_slice(file.as_bytes());
    out
}

fn gtid_request(server_id: u32, set: &MySqlGtidSet) -> Vec<u8> {
    let set = set.encode();
    let mut out = vec![COM_BINLOG_DUMP_GTID];
    out.extend_from_slice(&DUMP_FLAGS.to_le_bytes());
    out.extend_from_slice(&server_id.to_le_bytes());
    // No file name: the source finds the file.
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(&FIRST_OFFSET.to_le_bytes());
    out.extend_from_slice(&(set.len() as u32).to_le_bytes());
    out.extend_from_slice(&set);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_documented_layout() {
        assert_eq!(
            position_request(0x0102_0304, "b.1", 0x0A0B),
            b"\x12\x0b\x0a\0\0\x02\0\x04\x03\x02\x01b.1"
        );
        let empty = gtid_request(7, &MySqlGtidSet::default());
        let wanted = b"\x1e\x02\0\x07\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(empty, wanted);
    }

    /// The set as `mysqlbinlog` 9.7.4 sends it with `--exclude-gtids`.
    #[test]
    fn tagged_sets_are_encoded_as_the_servers_own_client_does() {
        let uuid = "ab66e362-e4e5-11f1-98a5-02fc00000001";
        let set: MySqlGtidSet = format!("{uuid}:1-4:b:1:tag_a:1-2").parse().expect("a set");
        let one = "ab66e362e4e511f198a502fc00000001";
        let wanted = [
            "0103000000000001",
            &format!("{one}00010000000000000001000000000000000500000000000000"),
            &format!("{one}0262010000000000000001000000000000000200000000000000"),
            &format!("{one}0a7461675f61010000000000000001000000000000000300000000000000"),
        ];
        let request = gtid_request(0, &set);
        assert_eq!(hex::encode(request.split_at(23).1), wanted.concat());
        assert_eq!(request.get(19..23), Some(&137_u32.to_le_bytes()[..]));
    }
}
