//! The mark of an unfinished restore, kept on the target itself: a database of our own with what
//! is being restored and how far each table is. Rows are written in parts, by several connections
//! at once, and what a part holds is noted in its own transaction, so a restore that was killed
//! anywhere goes on without a row twice or missing (I8), whichever parts were done.
//! The database is dropped when everything was verified.

use super::sums::Sums;
use crate::error::{Error, Result, Wrap};
use crate::position::Seq;
use crate::schema::TableId;
use crate::source::SqlClient;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use uuid::Uuid;

/// Our database on the target.
pub(super) const DATABASE: &str = "tidelog_restore";

/// What is being restored: a restore is resumed only by the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Repository.
    pub(super) repository_id: Uuid,
    /// Timeline.
    pub(super) timeline: u32,
    /// Cut.
    pub(super) seq: Seq,
    /// What is in at the cut, for an entry of the tail may get another number when it is sealed.
    #[serde(default)]
    pub(super) reached: String,
    /// [`TableFilter::describe`](super::TableFilter::describe).
    pub(super) filter: String,
}

/// How far a restore is; each phase is repeated whole when it was not finished, but for rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Databases and tables are being created; no rows yet.
    Schema,
    /// Rows are being written.
    Rows,
    /// Views, routines, triggers and events are being created; then all is verified.
    Objects,
}

impl Phase {
    const ALL: [(Phase, &'static str); 3] = [
        (Phase::Schema, "schema"),
        (Phase::Rows, "rows"),
        (Phase::Objects, "objects"),
    ];

    fn name(self) -> &'static str {
        let found = Phase::ALL.iter().find(|(phase, _)| *phase == self);
        found.map_or("", |(_, name)| name)
    }
}

/// Progress of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableProgress {
    /// Rows that are committed on the target, by their places in the order of the fold; ascending.
    pub(super) parts: Vec<Range<u64>>,
    /// Sums of the fold; set when all rows are there.
    pub(super) finished: Option<Sums>,
    /// What the table held before, where DDL left rows in it.
    pub(super) before: Option<Sums>,
    /// Whether the target computed stored columns anew before that DDL.
    pub(super) recomputed: bool,
}

/// An unfinished restore, as the target remembers it.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    /// What was being restored.
    pub(super) identity: Identity,
    /// How far.
    pub(super) phase: Phase,
    /// Whether the target's own history was empty when it began.
    pub(super) pristine: bool,
    /// Tables that have begun.
    pub(super) tables: BTreeMap<TableId, TableProgress>,
}

/// Reads the mark; `None` when there is none.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the database is there and is
/// not ours.
pub(super) async fn read(client: &mut SqlClient) -> Result<Option<Unfinished>> {
    let sql = format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = '{DATABASE}'");
    if client.query_string(&sql).await?.is_none() {
        return Ok(None);
    }
    let foreign = || {
        Error::incompatible("read progress of a restore on the target")
            .field("database", DATABASE)
            .hint("if nothing else keeps data in this database, drop it on the target")
    };
    // Killed while the mark was being made: nothing else has been touched yet.
    let sql = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = '{DATABASE}'"
    );
    let made = client.query_rows(&sql).await?;
    let begun = made
        .iter()
        .flatten()
        .all(|name| matches!(name.as_deref(), Some(b"progress" | b"parts")));
    let sql = format!("SELECT identity, phase, pristine FROM {DATABASE}.run");
    let run = match begun {
        true => Ok(Vec::new()),
        false => client.query_rows(&sql).await,
    };
    if run.as_ref().is_ok_and(Vec::is_empty) {
        client.exec(&format!("DROP DATABASE {DATABASE}")).await?;
        return Ok(None);
    }
    let run = run.map_err(|e| foreign().source(e))?;
    let text = SqlClient::text;
    let [[identity, phase, pristine]] = run.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]
    else {
        return Err(foreign());
    };
    let identity = serde_json::from_str(&text(identity)).wrap(foreign)?;
    let phase = text(phase);
    let phase = Phase::ALL.iter().find(|(_, name)| *name == phase);
    let pristine = text(pristine) == "1";
    let (phase, _) = phase.ok_or_else(foreign)?;
    Ok(Some(Unfinished {
        identity,
        phase: *phase,
        pristine,
        tables: read_tables(client, foreign).await?,
    }))
}

/// Progress of every table that has begun.
async fn read_tables(
    client: &mut SqlClient,
    foreign: impl Fn() -> Error + Copy,
) -> Result<BTreeMap<TableId, TableProgress>> {
    let text = SqlClient::text;
    // A killed run's last COMMIT may still be under way: its rows are locked until then.
    let sql =
        format!("SELECT table_id, sums, held, recomputed FROM {DATABASE}.progress FOR UPDATE");
    let mut tables: BTreeMap<TableId, TableProgress> = BTreeMap::new();
    for row in client.query_rows(&sql).await? {
        let [id, sums, held, recomputed] = row.as_slice() else {
            return Err(foreign());
        };
        let parsed = |cell: &Option<bytes::Bytes>| {
            let parsed = cell.is_some().then(|| text(cell).parse());
            parsed.transpose()
        };
        let progress = TableProgress {
            parts: Vec::new(),
            finished: parsed(sums)?,
            before: parsed(held)?,
            recomputed: text(recomputed) == "1",
        };
        tables.insert(TableId::parse(&text(id))?, progress);
    }
    let sql = format!(
        "SELECT table_id, first_row, end_row FROM {DATABASE}.parts \
         ORDER BY table_id, first_row FOR UPDATE"
    );
    let parts = client.query_rows(&sql).await;
    for row in parts.map_err(|e| foreign().source(e))? {
        let [id, first, end] = row.as_slice() else {
            return Err(foreign());
        };
        let [first, end] = [first, end].map(|cell| text(cell).parse::<u64>());
        let table = tables.entry(TableId::parse(&text(id))?).or_default();
        table.parts.push(first.wrap(foreign)?..end.wrap(foreign)?);
    }
    Ok(tables)
}

/// Sets the mark before anything else is touched.
///
/// # Errors
/// Those of the connection.
pub(super) async fn begin(
    client: &mut SqlClient,
    identity: &Identity,
    pristine: bool,
) -> Result<()> {
    let identity = serde_json::to_string(identity).wrap(|| Error::internal("write progress"))?;
    let name = Phase::Schema.name();
    for sql in [
        format!("CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4"),
        format!(
            "CREATE TABLE {DATABASE}.progress (table_id VARCHAR(64) NOT NULL PRIMARY KEY, \
             sums VARCHAR(128), held VARCHAR(128), recomputed INT NOT NULL) ENGINE = InnoDB"
        ),
        format!(
            "CREATE TABLE {DATABASE}.parts (table_id VARCHAR(64) NOT NULL, \
             first_row BIGINT UNSIGNED NOT NULL, end_row BIGINT UNSIGNED NOT NULL, \
             PRIMARY KEY (table_id, first_row)) ENGINE = InnoDB"
        ),
        format!(
            "CREATE TABLE {DATABASE}.run (id INT NOT NULL PRIMARY KEY, identity LONGTEXT NOT NULL, \
             phase VARCHAR(16) NOT NULL, pristine INT NOT NULL) ENGINE = InnoDB"
        ),
        format!(
            "INSERT INTO {DATABASE}.run VALUES (1, CONVERT(X'{}' USING utf8mb4), '{name}', {})",
            hex::encode(identity),
            u8::from(pristine)
        ),
    ] {
        client.exec(&sql).await?;
    }
    Ok(())
}

/// Enters a phase.
///
/// # Errors
/// Those of the connection.
pub(super) async fn enter(client: &mut SqlClient, phase: Phase) -> Result<()> {
    let name = phase.name();
    client
        .exec(&format!("UPDATE {DATABASE}.run SET phase = '{name}'"))
        .await
}

/// The statement that puts a table's progress into the open transaction.
pub(super) fn statement(table: &TableId, progress: &TableProgress) -> String {
    let text = |sums: Option<Sums>| match sums {
        Some(sums) => format!("'{sums}'"),
        None => "NULL".to_owned(),
    };
    let (finished, held) = (text(progress.finished), text(progress.before));
    let recomputed = u8::from(progress.recomputed);
    format!(
        "REPLACE INTO {DATABASE}.progress (table_id, sums, held, recomputed) \
         VALUES ('{table}', {finished}, {held}, {recomputed})"
    )
}

/// The statement that notes in the open transaction which rows of a table it writes.
pub(super) fn part(table: &TableId, rows: &Range<u64>) -> String {
    let Range { start, end } = rows;
    format!("INSERT INTO {DATABASE}.parts VALUES ('{table}', {start}, {end})")
}

/// Takes the mark away: the restore is complete and verified.
///
/// # Errors
/// Those of the connection.
pub(super) async fn end(client: &mut SqlClient) -> Result<()> {
    client.exec(&format!("DROP DATABASE {DATABASE}")).await
}
