//! What a source says of its own history: who it is, what it has executed, what it still has.

use super::dump::{DumpFrom, FIRST_OFFSET, ReplicaConnection, ReplicaOptions};
use super::position::commits_wait;
use super::{Endpoint, SourceIdentity, SqlClient, current_end, logged_gtids};
use crate::error::{Error, Result, Wrap};
use crate::position::{BinlogPosition, Flavor, Gtid, GtidSet};
use bytes::Bytes;

// Types of events at the beginning of a dump.
const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const GTID_LIST: u8 = 163;
const START_ENCRYPTION: u8 = 164;
/// Packets looked at for the first event of a file.
const HEAD_PACKETS: usize = 8;

/// A binlog file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinlogFile {
    /// Name.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A source's history as it describes it on one connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHistory {
    /// Who it is.
    pub identity: SourceIdentity,
    /// End of its binlog; on MariaDB of the last commit that has returned to its client.
    pub end: BinlogPosition,
    /// What it had executed there, or a moment later, and what only waits for an acknowledgement.
    pub executed: GtidSet,
    /// MariaDB: the last GTID of every domain *and* originating server that it has logged or
    /// replicated, for a position alone does not tell two servers of one domain apart.
    pub last_gtids: Vec<Gtid>,
    /// What it has executed and cannot send: before its oldest binlog file, or never logged.
    pub purged: GtidSet,
    /// Its binlog files, oldest first; `None` where asking would wait for ourselves.
    pub files: Option<Vec<BinlogFile>>,
}

impl SourceHistory {
    /// Asks a source.
    ///
    /// # Errors
    /// `Config` where a right is missing or binary logging is off; connection errors.
    pub async fn read(client: &mut SqlClient) -> Result<SourceHistory> {
        let identity = client.identity().await?;
        let flavor = identity.flavor;
        let files = files(client, flavor).await?;
        let oldest = files.as_ref().and_then(|files| files.first());
        let mut purged = purged(client, flavor, oldest).await?;
        let (end, _) = current_end(client).await?;
        let executed = logged_gtids(client).await?;
        let mut last_gtids = Vec::new();
        if flavor == Flavor::MariaDb {
            last_gtids = gtids(client, "gtid_binlog_state").await?;
            for gtid in gtids(client, "gtid_slave_pos").await? {
                // Executed by a replica that does not log what it replicates: it cannot send it.
                if !is_logged(&last_gtids, &gtid) {
                    purged.add(&gtid)?;
                }
                last_gtids.push(gtid);
            }
        }
        Ok(SourceHistory {
            identity,
            end,
            executed,
            last_gtids,
            purged,
            files,
        })
    }

    /// The start of its newest file.
    #[must_use]
    pub fn start_of_last_file(&self) -> BinlogPosition {
        BinlogPosition::new(&self.end.file, FIRST_OFFSET)
    }
}

/// The binlog files. For their list MariaDB takes a lock that a commit holds while it waits for a
/// semi-sync acknowledgement, perhaps ours: then the start of the dump tells what is missing.
pub(super) async fn files(
    client: &mut SqlClient,
    flavor: Flavor,
) -> Result<Option<Vec<BinlogFile>>> {
    if flavor == Flavor::MariaDb && commits_wait(client).await? {
        return Ok(None);
    }
    let mut files = Vec::new();
    for row in client.query_rows("SHOW BINARY LOGS").await? {
        let [name, bytes, ..] = row.as_slice() else {
            return Err(Error::incompatible("list binlog files of source"));
        };
        let bytes = SqlClient::text(bytes).parse();
        files.push(BinlogFile {
            name: SqlClient::text(name),
            bytes: bytes.wrap(|| Error::incompatible("list binlog files of source"))?,
        });
    }
    Ok(Some(files))
}

async fn gtids(client: &mut SqlClient, variable: &str) -> Result<Vec<Gtid>> {
    let query = format!("SELECT @@global.{variable}");
    let text = client.query_string(&query).await?.unwrap_or_default();
    let gtids = text.split(',').map(str::trim).filter(|g| !g.is_empty());
    gtids.map(str::parse).collect()
}

/// Whether a binlog state holds a GTID: the last ones of its domain and server are at or past it.
fn is_logged(state: &[Gtid], gtid: &Gtid) -> bool {
    let Gtid::MariaDb {
        domain,
        server_id,
        seq_no,
    } = gtid
    else {
        return false;
    };
    state.iter().any(|last| {
        matches!(last, Gtid::MariaDb { domain: d, server_id: s, seq_no: n }
            if (d, s) == (domain, server_id) && n >= seq_no)
    })
}

async fn purged(
    client: &mut SqlClient,
    flavor: Flavor,
    oldest: Option<&BinlogFile>,
) -> Result<GtidSet> {
    let query = match (flavor, oldest) {
        (Flavor::MySql, _) => "SELECT @@global.gtid_purged".to_owned(),
        (Flavor::MariaDb, Some(file)) => {
            let name = file.name.replace('\'', "''");
            format!("SELECT BINLOG_GTID_POS('{name}', {FIRST_OFFSET})")
        }
        (Flavor::MariaDb, None) => return Ok(GtidSet::empty(flavor)),
    };
    let text = client.query_string(&query).await?.unwrap_or_default();
    GtidSet::parse(flavor, &text.replace('\n', ""))
}

/// When a binlog file of the source was begun (seconds since the epoch, from its first event).
/// A file that was deleted and made anew under the same name says another time.
///
/// # Errors
/// As [`ReplicaConnection::start`]; `Incompatible` for a stream that does not begin like a file.
pub async fn binlog_file_begun(
    endpoint: &Endpoint,
    replica: &ReplicaOptions,
    file: &str,
) -> Result<u32> {
    let connection = ReplicaConnection::connect(endpoint, replica).await?;
    let from = DumpFrom::Position(BinlogPosition::new(file, FIRST_OFFSET));
    let mut stream = connection.start(from).await?;
    for _ in 0..HEAD_PACKETS {
        let event = stream.next().await?.event;
        if event.get(4) == Some(&FORMAT_DESCRIPTION)
            && let Some(time) = event.first_chunk::<4>()
        {
            return Ok(u32::from_le_bytes(*time));
        }
    }
    Err(Error::incompatible("read first event of binlog file").field("file", file))
}

/// What stands at a place of the source's binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventAt {
    /// This event, header and checksum included.
    Found(Bytes),
    /// No event starts there.
    Nothing,
    /// The source has no such file (any more).
    Purged,
}

/// Reads the one event that starts at a position of the source's binlog.
///
/// # Errors
/// Those of the connection, and a refusal that is not about the position.
pub async fn binlog_event_at(
    endpoint: &Endpoint,
    replica: &ReplicaOptions,
    at: BinlogPosition,
) -> Result<EventAt> {
    let start = u32::try_from(at.offset).wrap(|| {
        Error::internal("read event behind what a dump can start at").field("position", &at)
    })?;
    let connection = ReplicaConnection::connect(endpoint, replica).await?;
    match event_of_dump(connection, at, start).await {
        Ok(found) => Ok(found),
        Err(error) => match error.get("refusal") {
            Some("purged") => Ok(EventAt::Purged),
            // Past the end, or inside of an event: servers say it in several ways.
            Some("diverged" | "source-corrupt" | "bug") => Ok(EventAt::Nothing),
            _ => Err(error),
        },
    }
}

async fn event_of_dump(
    connection: ReplicaConnection,
    at: BinlogPosition,
    start: u32,
) -> Result<EventAt> {
    let mut stream = connection.start(DumpFrom::Position(at)).await?;
    for _ in 0..HEAD_PACKETS {
        let event = stream.next().await?.event;
        let end = event.get(13..17).and_then(|b| b.try_into().ok());
        let (Some(end), Ok(length)) = (end.map(u32::from_le_bytes), u32::try_from(event.len()))
        else {
            return Ok(EventAt::Nothing);
        };
        match event.get(4) {
            _ if end == start.wrapping_add(length) => return Ok(EventAt::Found(event)),
            // What the dump thread sends before the first event.
            Some(&ROTATE | &FORMAT_DESCRIPTION | &GTID_LIST | &START_ENCRYPTION) => {}
            // It waits for what comes next, or another event stands there.
            _ => return Ok(EventAt::Nothing),
        }
    }
    Ok(EventAt::Nothing)
}
