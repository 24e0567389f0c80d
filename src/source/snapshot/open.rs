//! Opening the workers of a snapshot so that each knows the point it sees.
//!
//! MySQL: `FLUSH TABLES WITH READ LOCK` stops commits, every worker starts its transaction, the
//! position and `gtid_executed` are read, and the lock is gone: nothing else is done under it.
//! MariaDB: a consistent snapshot covers its binlog as well, and `Binlog_snapshot_file` and
//! `_position` say where it stands; `gtid_binlog_pos` would run ahead of what a SELECT sees. Only
//! XA COMMIT is not covered: the position may be after one whose rows the snapshot does not see
//! yet. Where XA is used, commits are stopped for the moment in which the workers start.

use super::{SnapshotOptions, SnapshotPoint, SnapshotWorker};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Flavor, GtidSet};
use crate::source::catalogue::{TextRow, optional, prepare_session, rows, text_literal};
use crate::source::position::{START_SNAPSHOT, no_binlog, snapshot_position};
use crate::source::{Endpoint, SqlClient, SqlSession};
use futures::future::try_join_all;

pub(super) struct Opened {
    pub(super) workers: Vec<SnapshotWorker>,
    pub(super) open_xa: Vec<String>,
}

/// Connects and opens all workers. `control` is a connection outside of them.
pub(super) async fn workers(
    endpoint: &Endpoint,
    control: &mut SqlClient,
    options: &SnapshotOptions,
) -> Result<Opened> {
    let count = options.workers.max(1);
    let mut clients = try_join_all((0..count).map(|_| connect(endpoint))).await?;
    let flavor = control.flavor();
    let (points, open_xa) = match flavor {
        Flavor::MySql => mysql(control, &mut clients, options).await?,
        Flavor::MariaDb => mariadb(control, &mut clients, options).await?,
    };
    let workers = clients
        .into_iter()
        .zip(points)
        .map(|(client, point)| SnapshotWorker {
            client,
            point,
            flavor,
            batch_bytes: options.batch_bytes,
            is_idle: false,
        });
    Ok(Opened {
        workers: workers.collect(),
        open_xa,
    })
}

/// A worker of a server that nobody writes to.
pub(super) async fn idle_worker(
    endpoint: &Endpoint,
    options: &SnapshotOptions,
) -> Result<SnapshotWorker> {
    let mut client = connect(endpoint).await?;
    client.exec(START_SNAPSHOT).await?;
    let flavor = client.flavor();
    Ok(SnapshotWorker {
        client,
        point: SnapshotPoint {
            position: BinlogPosition::new("", 0),
            gtids: GtidSet::empty(flavor),
            at_us: 0,
        },
        flavor,
        batch_bytes: options.batch_bytes,
        is_idle: true,
    })
}

/// A connection that reads stored bytes and is never cut off for being slow.
async fn connect(endpoint: &Endpoint) -> Result<SqlClient> {
    let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
    // As the catalogue was read, so that definitions can be compared.
    prepare_session(&mut client).await?;
    for statement in [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET SESSION sql_select_limit=18446744073709551615, sql_big_selects=1",
        // The source waits for us: the store behind us may be slow.
        "SET SESSION net_write_timeout=86400, net_read_timeout=86400, wait_timeout=2147483",
        "SET SESSION character_set_results=NULL",
    ] {
        client.exec(statement).await?;
    }
    let limits: &[&str] = match client.flavor() {
        Flavor::MySql => &["SET SESSION max_execution_time=0"],
        Flavor::MariaDb => &[
            "SET SESSION max_statement_time=0",
            "SET SESSION idle_transaction_timeout=0, idle_readonly_transaction_timeout=0",
            // Else ROLLBACK TO SAVEPOINT keeps metadata locks and DDL waits for the end of the
            // snapshot; it does so where the right BINLOG ADMIN is missing.
            "SET SESSION sql_log_bin=0",
        ],
    };
    for statement in limits {
        optional(&mut client, statement).await?;
    }
    Ok(client)
}

/// Time given to writers between two attempts.
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(300);

type Points = (Vec<SnapshotPoint>, Vec<String>);

async fn mysql(
    control: &mut SqlClient,
    clients: &mut [SqlClient],
    options: &SnapshotOptions,
) -> Result<Points> {
    let lock_tables = Lock {
        take: &["FLUSH TABLES WITH READ LOCK"],
        undo: "UNLOCK TABLES",
    };
    lock_tables.take(control, options).await?;
    let opened = async {
        try_join_all(clients.iter_mut().map(|c| c.exec(START_SNAPSHOT))).await?;
        let point = current_point(control).await?;
        Ok((point, open_xa(control).await?))
    }
    .await;
    let unlocked = control.exec(lock_tables.undo).await;
    let (point, open_xa) = opened?;
    unlocked?;
    Ok((vec![point; clients.len()], open_xa))
}

/// A lock on all of the server, held only while the workers start.
struct Lock {
    take: &'static [&'static str],
    undo: &'static str,
}

impl Lock {
    /// Takes it. It waits for running statements, and a statement may wait for a row that belongs
    /// to a transaction whose next statement waits for us: under load only giving way and trying
    /// again ends that, so each attempt is short and writers are never stopped for longer.
    async fn take(&self, control: &mut SqlClient, options: &SnapshotOptions) -> Result<()> {
        let wait = options.lock_wait_s.max(1);
        control
            .exec(&format!("SET SESSION lock_wait_timeout={wait}"))
            .await?;
        let mut attempt = 1;
        loop {
            match self.attempt(control).await.map_err(lock_error) {
                Err(error) if error.kind().is_retryable() && attempt < options.lock_attempts => {
                    tracing::info!(attempt, "global lock not got in time, giving way");
                    tokio::time::sleep(LOCK_PAUSE).await;
                    attempt += 1;
                }
                locked => return locked,
            }
        }
    }

    async fn attempt(&self, control: &mut SqlClient) -> Result<()> {
        for statement in self.take {
            if let Err(error) = control.exec(statement).await {
                // What was got on the way; the cause says more than a failure of this.
                let _ = control.exec(self.undo).await;
                return Err(error);
            }
        }
        Ok(())
    }
}

fn lock_error(error: Error) -> Error {
    match error.get("code") {
        // ER_LOCK_WAIT_TIMEOUT
        Some("1205") => Error::unavailable(
            "lock tables for the snapshot: a statement runs too long",
        )
        .source(error)
        .hint(
            "the global read lock waits for running statements while new writes wait for it: \
                 end the long statement (SHOW PROCESSLIST), or try again later",
        ),
        // ER_SPECIFIC_ACCESS_DENIED_ERROR
        Some("1227" | "1045") => {
            Error::config("lock tables for the snapshot: the right is missing")
                .source(error)
                .hint("GRANT RELOAD ON *.* to the account (MariaDB: needed where XA is used)")
        }
        _ => error,
    }
}

async fn mariadb(
    control: &mut SqlClient,
    clients: &mut [SqlClient],
    options: &SnapshotOptions,
) -> Result<Points> {
    if !commits_xa(control).await? {
        // Before the points: what is prepared now and ends before a point is only listed too much.
        let open_xa = open_xa(control).await?;
        let points = mariadb_points(clients).await?;
        // A statement is counted when it begins: none was under way.
        if !commits_xa(control).await? {
            return Ok((points, open_xa));
        }
    }
    let lock_commits = Lock {
        take: &["BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"],
        undo: "BACKUP STAGE END",
    };
    lock_commits.take(control, options).await?;
    let opened = async {
        let points = mariadb_points(clients).await?;
        Ok((points, open_xa(control).await?))
    }
    .await;
    let unlocked = control.exec(lock_commits.undo).await;
    let opened = opened?;
    unlocked?;
    Ok(opened)
}

/// MariaDB: whether an XA COMMIT was ever begun since the server started.
async fn commits_xa(client: &mut SqlClient) -> Result<bool> {
    let status = rows(client, "SHOW GLOBAL STATUS LIKE 'Com_xa_commit'").await?;
    Ok(status.first().is_none_or(|row| row.text(1) != "0"))
}

/// MariaDB: times that the workers start anew to see the same point.
const SAME_POINT_ATTEMPTS: usize = 10;

/// Starts all workers, at one point where commits leave room for that.
async fn mariadb_points(clients: &mut [SqlClient]) -> Result<Vec<SnapshotPoint>> {
    let mut positions = Vec::new();
    for _ in 0..SAME_POINT_ATTEMPTS {
        // Ends the transaction of the attempt before.
        try_join_all(clients.iter_mut().map(|c| c.exec(START_SNAPSHOT))).await?;
        positions.clear();
        // One after the other: questions at the same moment get each other's answers.
        for client in clients.iter_mut() {
            positions.push(snapshot_position(client).await?);
        }
        let mut others = positions.iter();
        let first = others.next();
        if others.all(|position| Some(position) == first) {
            break;
        }
    }
    let mut points = Vec::with_capacity(clients.len());
    for (client, position) in clients.iter_mut().zip(positions) {
        points.push(SnapshotPoint {
            gtids: gtids_at(client, &position).await?,
            position,
            at_us: clock(client).await?,
        });
    }
    Ok(points)
}

/// MariaDB: the GTID state at a place of the binlog.
async fn gtids_at(client: &mut SqlClient, position: &BinlogPosition) -> Result<GtidSet> {
    let file = text_literal(&position.file);
    let sql = format!("SELECT BINLOG_GTID_POS({file}, {})", position.offset);
    let text = client.query_string(&sql).await?;
    let text = text.ok_or_else(|| {
        Error::unavailable("read gtid of position: the binlog has no such place")
            .field("position", position)
            .hint("the binlog was purged meanwhile: try again")
    })?;
    GtidSet::parse(Flavor::MariaDb, &text)
}

async fn clock(client: &mut SqlClient) -> Result<i64> {
    // SYSDATE: NOW is the statement's time, and may be set.
    let sql = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";
    let text = client.query_string(sql).await?;
    text.and_then(|t| t.parse().ok())
        .ok_or_else(|| Error::internal("read clock of server"))
}

/// Where the source is now: everything that can be seen is at or before this.
pub(super) async fn current_point(client: &mut SqlClient) -> Result<SnapshotPoint> {
    let flavor = client.flavor();
    let sql = match flavor {
        Flavor::MySql => "SHOW BINARY LOG STATUS",
        Flavor::MariaDb => "SHOW MASTER STATUS",
    };
    let status = match rows(client, sql).await {
        // ER_PARSE_ERROR: MySQL before 8.2.
        Err(e) if e.get("code") == Some("1064") => rows(client, "SHOW MASTER STATUS").await?,
        status => status?,
    };
    let row = status.first().ok_or_else(no_binlog)?;
    let offset = row.number(1).ok_or_else(no_binlog)?;
    let position = BinlogPosition::new(row.text(0), offset);
    let gtids = match flavor {
        Flavor::MySql => {
            let text = client.query_string("SELECT @@GLOBAL.gtid_executed").await?;
            GtidSet::parse(flavor, &text.unwrap_or_default())?
        }
        Flavor::MariaDb => gtids_at(client, &position).await?,
    };
    Ok(SnapshotPoint {
        gtids,
        position,
        at_us: clock(client).await?,
    })
}

/// Prepared XA transactions as the binlog names them: `X'gtrid',X'bqual',format`.
async fn open_xa(client: &mut SqlClient) -> Result<Vec<String>> {
    let listed = match client.flavor() {
        Flavor::MySql => rows(client, "XA RECOVER CONVERT XID").await,
        Flavor::MariaDb => {
            // Raw bytes.
            client.exec("SET character_set_results=NULL").await?;
            let listed = rows(client, "XA RECOVER").await;
            client.exec("SET character_set_results=utf8mb4").await?;
            listed
        }
    };
    let listed = listed.map_err(|e| {
        e.hint(
            "GRANT XA_RECOVER_ADMIN ON *.* to the account, so that prepared transactions are seen",
        )
    })?;
    let flavor = client.flavor();
    let xid = |row: &TextRow| {
        let data = row.bytes(3);
        let data = match flavor {
            Flavor::MySql => hex::decode(data.strip_prefix(b"0x").unwrap_or_default()).ok()?,
            Flavor::MariaDb => data.to_vec(),
        };
        let gtrid = data.get(..usize::try_from(row.number(1)?).ok()?)?;
        let bqual = data.get(gtrid.len()..)?;
        let [gtrid, bqual] = [gtrid, bqual].map(hex::encode);
        Some(format!("X'{gtrid}',X'{bqual}',{}", row.text(0)))
    };
    let read: Option<Vec<String>> = listed.iter().map(xid).collect();
    read.ok_or_else(|| Error::internal("read prepared transactions"))
}
