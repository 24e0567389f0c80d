//! Runs one statement on the target, as the source ran it.

use super::session::{self, Set, Surroundings};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Flavor;
use crate::restore::ddl::PlannedStatement;
use crate::schema::TableName;
use crate::source::{SqlClient, sql_error};
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;

/// What is set on a connection by the statement before. Most are of one session like it: ten
/// thousand tables are made by as many statements, each of which needs a dozen settings.
#[derive(Debug, Default)]
pub(super) struct Standing(Option<Vec<Set>>);

impl Standing {
    /// Nothing is known of the connection any more.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// What is left to be set where all of this must stand: all of it, or the time alone. Settings
    /// depend on each other, so that no other part of them is sent for itself.
    fn missing<'a>(&self, all: &'a [Set]) -> &'a [Set] {
        let is_same = |(a, b): (&Set, &Set)| a == b || (a.is_time() && b.is_time());
        let stands = self.0.as_ref().is_some_and(|standing| {
            standing.len() == all.len() && standing.iter().zip(all).all(is_same)
        });
        let time = all.iter().position(Set::is_time).filter(|_| stands);
        time.and_then(|at| all.get(at..=at)).unwrap_or(all)
    }
}

/// Runs a statement in the session it was logged with.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the target refuses it; those of the
/// connection.
pub(super) async fn execute(
    (session, standing): (&mut SqlClient, &mut Standing),
    statement: &PlannedStatement,
    around: Surroundings<'_>,
) -> Result<()> {
    let wanted = session::statements(&statement.ddl, around)?;
    let missing = standing.missing(&wanted);
    if missing.len() == wanted.len() {
        session.exec("SET NAMES utf8mb4").await?;
    }
    for set in missing {
        match session.exec(&set.sql).await {
            Err(error) if !set.optional || error.kind() == ErrorKind::Unavailable => {
                return Err(refused(statement, error));
            }
            _ => {}
        }
    }
    // The default database and its character set are part of the session: what is about anything but
    // tables may change them.
    let mut effects = statement.ddl.effects.iter();
    let is_of_tables = effects.all(|effect| !effect.tables().is_empty());
    standing.0 = is_of_tables.then_some(wanted);
    for command in &statement.commands {
        if !command.is_logged {
            standing.forget();
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
