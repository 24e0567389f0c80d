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
        Some(gtids) => gtids,
        None => {
            let query = "SELECT @@global.gtid_binlog_pos";
            client.query_string(query).await?.unwrap_or_default()
        }
    };
    Ok((position, GtidSet::parse(client.flavor(), &gtids)?))
}

/// Everything that the source's binlog holds: what was executed, and on MySQL what is in the
/// binlog while its commit waits for an acknowledgement, perhaps ours.
///
/// # Errors
/// As [`current_position`].
pub async fn logged_gtids(client: &mut SqlClient) -> Result<GtidSet> {
    if client.flavor() == Flavor::MariaDb {
        return Ok(current_end(client).await?.1);
    }
    // Read first: what leaves this set meanwhile is in the other.
    let owned = client.query_string("SELECT @@global.gtid_owned").await?;
    let owned = GtidSet::parse(Flavor::MySql, &without_owners(&owned.unwrap_or_default()))?;
    let (_, mut gtids) = current_end(client).await?;
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

/// Where the last commit ended that has returned to its client. MariaDB holds a lock while a commit
/// waits for an acknowledgement that `SHOW MASTER STATUS` takes, too: it would wait for us.
async fn finished(client: &mut SqlClient) -> Result<Option<BinlogPosition>> {
    let statement = "SHOW GLOBAL STATUS LIKE 'Binlog\\_snapshot\\_%'";
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
    Ok(file
        .zip(offset)
        .map(|(file, offset)| BinlogPosition::new(file, offset)))
}

/// [`status`] without a lock.
async fn finished_status(client: &mut SqlClient) -> Result<(BinlogPosition, Option<String>)> {
    if client.flavor() == Flavor::MariaDb
        && let Some(position) = finished(client).await?
    {
        return Ok((position, None));
    }
    status(client).await
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
    let row = rows.first().ok_or_else(|| {
        Error::config("read binlog position: binary logging is off")
            .hint("start the source with --log-bin and check it with `tidelog check`")
    })?;
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
