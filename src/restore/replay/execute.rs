//! Runs one statement on the target, as the source ran it.

use super::session::{self, Surroundings};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Flavor;
use crate::restore::ddl::PlannedStatement;
use crate::schema::TableName;
use crate::source::{SqlClient, sql_error};
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;

/// Runs a statement in the session it was logged with.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the target refuses it; those of the
/// connection.
pub(super) async fn execute(
    session: &mut SqlClient,
    statement: &PlannedStatement,
    around: Surroundings<'_>,
) -> Result<()> {
    session.exec("SET NAMES utf8mb4").await?;
    for set in session::statements(&statement.ddl, around)? {
        match session.exec(&set.sql).await {
            Err(error) if !set.optional || error.kind() == ErrorKind::Unavailable => {
                return Err(refused(statement, error));
            }
            _ => {}
        }
    }
    for command in &statement.commands {
        if !command.is_logged {
            session.exec("SET NAMES utf8mb4").await?;
        }
        let mut done = send(session, &command.text).await;
        if let Err(error) = &done
            && error.kind() != ErrorKind::Unavailable
            && command.is_logged
            && let Some(relaxed) = statement.ddl.relaxed(around.flavor)
        {
            done = send(session, &relaxed).await;
        }
        done.map_err(|e| refused(statement, e))?;
    }
    Ok(())
}

async fn send(session: &mut SqlClient, text: &[u8]) -> Result<()> {
    let done = session.conn().query_drop(text).await;
    done.map_err(|e| sql_error("replay ddl", e))
}

fn refused(statement: &PlannedStatement, error: Error) -> Error {
    if error.kind() == ErrorKind::Unavailable {
        return error;
    }
    statement.ddl.name(
        Error::incompatible("replay ddl: the target refuses what the source ran")
            .source(error)
            .hint(
                "restore to a server of the source's version and settings; put right what the \
                 cause names, then restore with --resume",
            ),
    )
}

/// Collations of the server by id: their names and their character sets.
///
/// # Errors
/// Those of the connection.
pub(super) async fn collations(session: &mut SqlClient) -> Result<BTreeMap<u16, (String, String)>> {
    let sql = match session.flavor() {
        Flavor::MySql => return Ok(BTreeMap::new()),
        Flavor::MariaDb => {
            "SELECT id, full_collation_name, character_set_name FROM \
             information_schema.collation_character_set_applicability"
        }
    };
    let rows = match session.query_rows(sql).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        // Servers before 10.10 know neither these columns nor what they are needed for.
        answer => answer.unwrap_or_default(),
    };
    let text = SqlClient::text;
    let named = rows.iter().filter_map(|row| match row.as_slice() {
        [id, name, charset] => Some((text(id).parse().ok()?, (text(name), text(charset)))),
        _ => None,
    });
    Ok(named.collect())
}

/// Disables an event, so that nothing runs by itself.
///
/// # Errors
/// Those of the connection.
pub(super) async fn disable(
    session: &mut SqlClient,
    event: &TableName,
    notes: &mut Vec<String>,
) -> Result<()> {
    session.exec("SET NAMES utf8mb4").await?;
    let name = event.quoted();
    match session.exec(&format!("ALTER EVENT {name} DISABLE")).await {
        Ok(()) => notes.push(format!(
            "event {name} is restored disabled: ALTER EVENT {name} ENABLE"
        )),
        // An event that had run for the last time is gone.
        Err(error) if error.get("code") == Some("1539") => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
