//! A connection that writes parts, of whichever table comes next.

use super::{Work, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::restore::progress::{self, TableProgress};
use crate::restore::statements::RowsStatement;
use crate::source::SqlClient;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};

/// What a packet needs beside the statement's text.
const STATEMENT_ROOM: usize = 64;
/// Times that a part is written again after the server undid it for the sake of another transaction.
const ATTEMPTS: u32 = 5;

/// Statements of a table that are committed together.
pub(super) struct Part {
    /// The table.
    pub(super) work: Arc<Work>,
    /// Statements whose rows follow each other; may be none.
    pub(super) statements: Vec<RowsStatement>,
    /// What closes the table, in its last part.
    pub(super) end: Option<End>,
    /// Whether what is written is noted.
    pub(super) is_last: bool,
    /// Told what came of it.
    pub(super) done: oneshot::Sender<Result<()>>,
}

/// What closes a table.
pub(super) struct End {
    /// The next AUTO_INCREMENT value, where it is to be set.
    pub(super) next_id: Option<u64>,
    /// The progress to note.
    pub(super) progress: Option<TableProgress>,
}

/// Parts that wait for a connection.
pub(super) type Waiting = Arc<Mutex<mpsc::Receiver<Part>>>;

/// Writes parts until there are no more.
pub(super) async fn lane(writer: Writer, waiting: Waiting) {
    let mut connection = None;
    loop {
        let next = waiting.lock().await.recv().await;
        let Some(mut part) = next else {
            break;
        };
        let result = writer.take(&mut connection, &part).await;
        if result.is_err() {
            // Nobody knows what it has begun.
            connection = None;
        }
        // With their room.
        part.statements.clear();
        // Who does not wait any more has an error of its own.
        part.done.send(result).ok();
    }
    if let Some(Connection { client, .. }) = connection {
        client.close().await;
    }
}

/// An open connection.
struct Connection {
    client: SqlClient,
    /// Longest statement that it takes.
    packet: usize,
}

impl Writer {
    async fn take(&self, connection: &mut Option<Connection>, part: &Part) -> Result<()> {
        let needed = part.statements.iter().map(|s| s.sql.len()).max();
        let needed = needed.map_or(0, |bytes| bytes + STATEMENT_ROOM);
        let mut attempt = 0;
        loop {
            let open = match connection.take().filter(|open| open.packet >= needed) {
                Some(open) => open,
                None => self.open(part, needed).await?,
            };
            let open = connection.insert(open);
            let written = self.write(&mut open.client, part).await;
            attempt += 1;
            match written {
                // Rows of a table without transactions would stay.
                Err(error) if is_undone(&error) && part.work.is_divisible && attempt < ATTEMPTS => {
                    tracing::warn!(error = %error.report(), attempt, "a part is written again");
                    if let Some(open) = connection.take() {
                        open.client.close().await;
                    }
                }
                written => return written,
            }
        }
    }

    /// A connection that takes statements of this length.
    async fn open(&self, part: &Part, needed: usize) -> Result<Connection> {
        if needed > self.target.packet_bytes_max() {
            let room = self.target.make_room(needed).await;
            room.map_err(|e| e.field("table", &part.work.epoch.name))?;
        }
        let mut client = self.target.connect_writer(&self.clock).await?;
        let session = "SELECT @@session.max_allowed_packet";
        let session = client.query_string(session).await?;
        let packet = session.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Ok(Connection { client, packet })
    }

    async fn write(&self, client: &mut SqlClient, part: &Part) -> Result<()> {
        let next_id = part.end.as_ref().and_then(|end| end.next_id);
        if let Some(next_id) = next_id {
            // Beyond every id that ever was, also of rows that are gone.
            let name = part.work.epoch.name.quoted();
            let alter = format!("ALTER TABLE {name} AUTO_INCREMENT = {next_id}");
            let _alone = self.turns.write().await;
            client.exec(&alter).await?;
        }
        let notes = part.notes();
        if part.statements.is_empty() && notes.is_empty() {
            return Ok(());
        }
        let _turn = self.turns.read().await;
        client.exec("BEGIN").await?;
        for statement in &part.statements {
            apply(client, &part.work, statement).await?;
        }
        for note in &notes {
            client.exec(note).await?;
        }
        client.exec("COMMIT").await
    }
}

impl Part {
    /// The statements that note what it does.
    fn notes(&self) -> Vec<String> {
        let id = &self.work.table.table_id;
        let progress = self.end.as_ref().and_then(|end| end.progress.as_ref());
        let rows = self.statements.first().zip(self.statements.last());
        // A table that is finished needs no list of its parts.
        let rows = rows.filter(|_| self.is_last && progress.is_none());
        let rows = rows.map(|(first, last)| progress::part(id, &(first.rows.start..last.rows.end)));
        let progress = progress.map(|progress| progress::statement(id, progress));
        rows.into_iter().chain(progress).collect()
    }
}

async fn apply(client: &mut SqlClient, work: &Work, statement: &RowsStatement) -> Result<()> {
    client.exec(&statement.sql).await.map_err(|e| {
        e.field("table", &work.epoch.name)
            .field("rows_from", statement.rows.start)
            .field("rows_to", statement.rows.end)
            .hint("the target's error log says more; put it right, then restore with --resume")
    })
}

/// Whether the server undid a transaction, or one of its statements, because another one had locks.
fn is_undone(error: &Error) -> bool {
    // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
    error.kind() == ErrorKind::Unavailable && matches!(error.get("code"), Some("1205" | "1213"))
}
