//! Where a source's binlog stands now.

use super::SqlClient;
use crate::error::{Error, Result, Wrap};
use crate::position::{BinlogPosition, Flavor, GtidSet};
use bytes::Bytes;

/// The end of the source's binlog with the GTIDs executed up to exactly there.
///
/// MySQL reads both in one statement (`SHOW BINARY LOG STATUS`); MariaDB reads the position and
/// asks for its GTIDs by `BINLOG_GTID_POS`, for which the server reads the whole binlog file:
/// where a moment later is as good, use [`current_end`]. On MariaDB it waits for a commit that waits
/// for a semi-sync acknowledgement; where that may be ours, use [`finished_position`].
///
/// # Errors
/// `Config` when binary logging is off or the right to see it is missing; connection errors.
pub async fn current_position(client: &mut SqlClient) -> Result<(BinlogPosition, GtidSet)> {
    let (position, gtids) = status(client).await?;
    with_gtids(client, position, gtids).await
}

/// As [`current_position`]; on MariaDB the end of the last commit that has returned to its client,
/// for which it takes no lock.
///
/// # Errors
/// As [`current_position`].
pub async fn finished_position(client: &mut SqlClient) -> Result<(BinlogPosition, GtidSet)> {
    let (position, gtids) = finished_status(client).await?;
    with_gtids(client, position, gtids).await
}

async fn with_gtids(
    client: &mut SqlClient,
    position: BinlogPosition,
    gtids: Option<String>,
) -> Result<(BinlogPosition, GtidSet)> {
    let gtids = match gtids {
        Some(gtids) => gtids,
        None => {
            let file = position.file.replace('\'', "''");
            let query = format!("SELECT BINLOG_GTID_POS('{file}', {})", position.offset);
            client.query_string(&query).await?.unwrap_or_default()
        }
    };
    Ok((position, GtidSet::parse(client.flavor(), &gtids)?))
}

/// The end of the source's binlog with the GTIDs executed there or, on MariaDB, a moment later:
/// they hold every transaction before the position and perhaps some behind it. Costs the same
/// however long the binlog is, and takes no lock that a commit holds which waits for us.
///
/// # Errors
/// As [`current_position`].
pub async fn current_end(client: &mut SqlClient) -> Result<(BinlogPosition, GtidSet)> {
    let (position, gtids) = finished_status(client).await?;
    let gtids = match gtids {
        Some(gtids) => GtidSet::parse(client.flavor(), &gtids)?,
        None => gtid_binlog_pos(client).await?,
    };
    Ok((position, gtids))
}

/// MariaDB: the last GTID of each domain in the binlog.
async fn gtid_binlog_pos(client: &mut SqlClient) -> Result<GtidSet> {
    let query = "SELECT @@global.gtid_binlog_pos";
    let gtids = client.query_string(query).await?;
    GtidSet::parse(Flavor::MariaDb, &gtids.unwrap_or_default())
}

/// The GTIDs of [`current_end`] alone: on MariaDB one question instead of many.
///
/// # Errors
/// As [`current_position`].
pub async fn executed_gtids(client: &mut SqlClient) -> Result<GtidSet> {
    match client.flavor() {
        Flavor::MySql => Ok(current_end(client).await?.1),
        Flavor::MariaDb => gtid_binlog_pos(client).await,
    }
}

/// Everything that the source's binlog holds: what was executed, and on MySQL what is in the
/// binlog while its commit waits for an acknowledgement, perhaps ours.
///
/// # Errors
/// As [`current_position`].
pub async fn logged_gtids(client: &mut SqlClient) -> Result<GtidSet> {
    if client.flavor() == Flavor::MariaDb {
        return executed_gtids(client).await;
    }
    // Read first: what leaves this set meanwhile is in the other.
    let owned = client.query_string("SELECT @@global.gtid_owned").await?;
    let owned = GtidSet::parse(Flavor::MySql, &without_owners(&owned.unwrap_or_default()))?;
    let mut gtids = executed_gtids(client).await?;
    gtids.union(&owned)?;
    Ok(gtids)
}

/// Whether commits wait for a semi-sync acknowledgement on a MariaDB server, perhaps for ours: what
/// takes the lock that the first of them holds would wait, too.
pub(super) async fn commits_wait(client: &mut SqlClient) -> Result<bool> {
    let waiting = "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_master\\_wait\\_sessions'";
    let rows = client.query_rows(waiting).await?;
    let count = |row: &Vec<Option<Bytes>>| row.get(1).cloned().flatten();
    Ok(rows.iter().filter_map(count).any(|count| count != "0"))
}

/// `uuid:4#12:5#13,uuid:1#7` without the threads that own each.
fn without_owners(text: &str) -> String {
    let mut is_owner = false;
    let kept = text.chars().filter(|c| {
        is_owner = *c == '#' || (is_owner && c.is_ascii_digit());
        !is_owner && !c.is_whitespace()
    });
    kept.collect()
}

/// MariaDB: equal answers in a row that are believed.
const EQUAL_ANSWERS: usize = 5;

/// MariaDB: questions before it is given up.
const QUESTIONS: usize = 500;

/// Opens a consistent snapshot; on MariaDB it has a place in the binlog.
pub(super) const START_SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Where the binlog of a MariaDB server stood when this connection's consistent snapshot was taken.
/// Without such a snapshot the place moves, and there may be no answer.
///
/// The server copies both values through variables of all connections and holds a lock meanwhile
/// that it shares with every other `SHOW STATUS`: where a monitor asks at the same moment, we may
/// read *its* place (seen on 10.11 and 11.8, in up to 15 of 1,000 answers). The place of a snapshot
/// never changes, so it is what several answers in a row say.
///
/// # Errors
/// `Config` when binary logging is off; `Unavailable` where answers go on differing; connection errors.
pub(super) async fn snapshot_position(client: &mut SqlClient) -> Result<BinlogPosition> {
    let (mut last, mut equal) = (None, 0);
    for _ in 0..QUESTIONS {
        let place = place_in_status(client).await?;
        equal = if last.as_ref() == Some(&place) {
            equal + 1
        } else {
            1
        };
        if equal == EQUAL_ANSWERS {
            return Ok(place);
        }
        last = Some(place);
    }
    Err(Error::unavailable(
        "read position of snapshot: the server gives a different one each time",
    )
    .field("answers", QUESTIONS)
    .hint("other connections ask for SHOW STATUS without a pause: end them, or try again later"))
}

async fn place_in_status(client: &mut SqlClient) -> Result<BinlogPosition> {
    let statement = "SHOW STATUS LIKE 'Binlog\\_snapshot\\_%'";
    let rows = client.query_rows(statement).await?;
    let value = |name: &str| {
        let row = rows.iter().find(|row| match row.first() {
            Some(Some(found)) => found.eq_ignore_ascii_case(name.as_bytes()),
            _ => false,
        })?;
        let value = row.get(1)?.as_deref()?;
        String::from_utf8(value.to_vec()).ok()
    };
    let file = value("Binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = value("Binlog_snapshot_position").and_then(|text| text.parse().ok());
    let place = file.zip(offset);
    let place = place.map(|(file, offset)| BinlogPosition::new(file, offset));
    place.ok_or_else(no_binlog)
}

/// Where the last commit ended that has returned to its client. MariaDB holds a lock while a commit
/// waits for an acknowledgement that `SHOW MASTER STATUS` takes, too: it would wait for us.
async fn finished(client: &mut SqlClient) -> Result<BinlogPosition> {
    client.exec(START_SNAPSHOT).await?;
    let position = snapshot_position(client).await;
    let ended = client.exec("ROLLBACK").await;
    let position = position?;
    ended.map(|()| position)
}

/// [`status`] without a lock.
async fn finished_status(client: &mut SqlClient) -> Result<(BinlogPosition, Option<String>)> {
    match client.flavor() {
        Flavor::MySql => status(client).await,
        Flavor::MariaDb => Ok((finished(client).await?, None)),
    }
}

pub(super) fn no_binlog() -> Error {
    Error::config("read binlog position: binary logging is off")
        .hint("start the source with --log-bin and check it with `tidelog check`")
}

/// The position, and the GTIDs where the same statement gives them.
async fn status(client: &mut SqlClient) -> Result<(BinlogPosition, Option<String>)> {
    let flavor = client.flavor();
    let statement = match flavor {
        Flavor::MySql => "SHOW BINARY LOG STATUS",
        Flavor::MariaDb => "SHOW MASTER STATUS",
    };
    let rows = match client.query_rows(statement).await {
        // Servers before 8.2 know the old words only.
        Err(_) if flavor == Flavor::MySql => client.query_rows("SHOW MASTER STATUS").await?,
        rows => rows?,
    };
    let row = rows.first().ok_or_else(no_binlog)?;
    let text = |index: usize| -> Result<String> {
        let cell = row
            .get(index)
            .and_then(Option::as_ref)
            .map_or(&[][..], Bytes::as_ref);
        String::from_utf8(cell.to_vec()).wrap(|| Error::incompatible("read binlog position"))
    };
    let offset = text(1)?
        .parse()
        .wrap(|| Error::incompatible("read binlog position"))?;
    let position = BinlogPosition::new(text(0)?, offset);
    let gtids = match flavor {
        Flavor::MySql => Some(text(4)?.replace('\n', "")),
        Flavor::MariaDb => None,
    };
    Ok((position, gtids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_gtids_are_read_without_their_owners() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let owned = format!("{uuid}:4#12:5#13,\n{uuid}:a:1#7");
        let read = GtidSet::parse(Flavor::MySql, &without_owners(&owned)).expect("a set");
        let wanted = GtidSet::parse(Flavor::MySql, &format!("{uuid}:4-5:a:1")).expect("a set");
        assert_eq!(read, wanted);
        assert!(without_owners("").is_empty());
    }
}
