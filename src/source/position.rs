//! Where a source's binlog stands now.

use super::SqlClient;
use crate::error::{Error, Result, Wrap};
use crate::position::{BinlogPosition, Flavor, GtidSet};
use bytes::Bytes;

/// The end of the source's binlog with the GTIDs executed up to exactly there.
///
/// MySQL reads both in one statement (`SHOW BINARY LOG STATUS`); MariaDB reads the position and
/// asks for its GTIDs by `BINLOG_GTID_POS`, for which the server reads the whole binlog file:
/// where a moment later is as good, use [`current_end`].
///
/// # Errors
/// `Config` when binary logging is off or the right to see it is missing; connection errors.
pub async fn current_position(client: &mut SqlClient) -> Result<(BinlogPosition, GtidSet)> {
    let (position, gtids) = status(client).await?;
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
/// however long the binlog is.
///
/// # Errors
/// As [`current_position`].
pub async fn current_end(client: &mut SqlClient) -> Result<(BinlogPosition, GtidSet)> {
    let (position, gtids) = status(client).await?;
    let gtids = match gtids {
        Some(gtids) => gtids,
        None => {
            let query = "SELECT @@global.gtid_binlog_pos";
            client.query_string(query).await?.unwrap_or_default()
        }
    };
    Ok((position, GtidSet::parse(client.flavor(), &gtids)?))
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
