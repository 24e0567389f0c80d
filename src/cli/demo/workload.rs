//! The demo's messaging service: a schema with foreign keys, JSON, utf8mb4 and a generated
//! column, and clients that write to it all at once.

use crate::error::{Error, Result, Wrap};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, TxOpts};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Database of the demo.
pub(super) const DATABASE: &str = "messaging";

/// Tables of the demo, parents before children.
pub(super) const TABLES: [&str; 6] = [
    "users",
    "conversations",
    "members",
    "messages",
    "read_receipts",
    "attachments",
];

const SCHEMA: [&str; 7] = [
    "CREATE DATABASE messaging CHARACTER SET utf8mb4",
    "CREATE TABLE messaging.users (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        handle VARCHAR(64) NOT NULL UNIQUE,
        display_name VARCHAR(191) NOT NULL,
        settings JSON,
        created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE messaging.conversations (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        kind ENUM('direct','group','channel') NOT NULL,
        title VARCHAR(255),
        last_message_at TIMESTAMP(3) NULL)",
    "CREATE TABLE messaging.members (
        conversation_id BIGINT UNSIGNED NOT NULL,
        user_id BIGINT UNSIGNED NOT NULL,
        roles SET('owner','admin','muted') NOT NULL DEFAULT '',
        PRIMARY KEY (conversation_id, user_id),
        FOREIGN KEY (conversation_id) REFERENCES messaging.conversations (id),
        FOREIGN KEY (user_id) REFERENCES messaging.users (id))",
    "CREATE TABLE messaging.messages (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        conversation_id BIGINT UNSIGNED NOT NULL,
        sender_id BIGINT UNSIGNED NOT NULL,
        body TEXT NOT NULL,
        body_length INT GENERATED ALWAYS AS (CHAR_LENGTH(body)) STORED,
        meta JSON,
        score FLOAT,
        sent_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
        edited_at DATETIME(3) NULL,
        KEY (conversation_id, id),
        FOREIGN KEY (conversation_id) REFERENCES messaging.conversations (id),
        FOREIGN KEY (sender_id) REFERENCES messaging.users (id))",
    "CREATE TABLE messaging.read_receipts (
        message_id BIGINT UNSIGNED NOT NULL,
        user_id BIGINT UNSIGNED NOT NULL,
        read_at DATETIME(6) NOT NULL,
        PRIMARY KEY (message_id, user_id),
        FOREIGN KEY (message_id) REFERENCES messaging.messages (id),
        FOREIGN KEY (user_id) REFERENCES messaging.users (id))",
    "CREATE TABLE messaging.attachments (
        id BINARY(16) NOT NULL PRIMARY KEY,
        message_id BIGINT UNSIGNED NOT NULL,
        name VARCHAR(255) NOT NULL,
        bytes BLOB NOT NULL,
        price DECIMAL(12,4),
        FOREIGN KEY (message_id) REFERENCES messaging.messages (id))",
];

const USERS: u64 = 60;
const CONVERSATIONS: u64 = 25;

const BODIES: [&str; 8] = [
    "on my way, five minutes",
    "did you see the numbers from last night?",
    "naïve café crème 🍮, she said",
    "明日の会議は何時ですか",
    "can someone review the rollout before noon",
    "lol",
    "Привет! Как прошёл отпуск?",
    "the deploy is done, dashboards are green, nobody touch anything until monday please",
];

fn failed(what: &'static str) -> impl FnOnce() -> Error {
    move || Error::unavailable(what)
}

/// Creates the schema, its users and conversations.
pub(super) async fn create(opts: &Opts) -> Result<()> {
    let mut conn = Conn::new(opts.clone())
        .await
        .wrap(failed("connect to demo server"))?;
    for statement in SCHEMA {
        conn.query_drop(statement)
            .await
            .wrap(failed("create demo schema"))?;
    }
    for id in 1..=USERS {
        let settings = format!(r#"{{"theme": "dark", "muted": [], "tz": {}}}"#, id % 24);
        let name = format!("User № {id} ✨");
        conn.exec_drop(
            "INSERT INTO messaging.users (id, handle, display_name, settings) VALUES (?, ?, ?, ?)",
            (id, format!("user{id}"), name, settings),
        )
        .await
        .wrap(failed("insert demo user"))?;
    }
    for id in 1..=CONVERSATIONS {
        let kind = ["direct", "group", "channel"][(id % 3) as usize];
        conn.exec_drop(
            "INSERT INTO messaging.conversations (id, kind, title) VALUES (?, ?, ?)",
            (id, kind, format!("conversation {id}")),
        )
        .await
        .wrap(failed("insert demo conversation"))?;
        for user in 0..6 {
            let roles = if user == 0 { "owner,admin" } else { "" };
            conn.exec_drop(
                "INSERT INTO messaging.members VALUES (?, ?, ?)",
                (id, (id * 7 + user * 11) % USERS + 1, roles),
            )
            .await
            .wrap(failed("insert demo member"))?;
        }
    }
    conn.disconnect()
        .await
        .wrap(failed("disconnect from demo server"))
}

/// Writers that run until they are stopped.
#[derive(Debug)]
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Writers {
    /// Starts `count` clients.
    pub(super) fn start(opts: &Opts, count: u64) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let transactions = Arc::new(AtomicU64::new(0));
        let tasks = (0..count)
            .map(|client| {
                tokio::spawn(write(
                    opts.clone(),
                    client,
                    Arc::clone(&stop),
                    Arc::clone(&transactions),
                ))
            })
            .collect();
        Writers {
            stop,
            transactions,
            tasks,
        }
    }

    /// Transactions committed so far.
    pub(super) fn committed(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Stops them all and waits for their last commits.
    pub(super) async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.wrap(|| Error::internal("join demo writer"))??;
        }
        Ok(self.transactions.load(Ordering::Relaxed))
    }
}

async fn write(
    opts: Opts,
    client: u64,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
) -> Result<()> {
    let mut conn = Conn::new(opts).await.wrap(failed("connect demo writer"))?;
    // A small fixed generator: the demo needs variety, not randomness.
    let mut state = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while !stop.load(Ordering::Relaxed) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let pick = state >> 33;
        match transaction(&mut conn, client, pick).await {
            Ok(()) => {
                committed.fetch_add(1, Ordering::Relaxed);
            }
            // Deadlocks and duplicate receipts are everyday life of a busy service.
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1205 | 1213 | 1062) => {}
            Err(error) => return Err(Error::unavailable("run demo transaction").source(error)),
        }
    }
    conn.disconnect()
        .await
        .wrap(failed("disconnect demo writer"))
}

async fn transaction(conn: &mut Conn, client: u64, pick: u64) -> mysql_async::Result<()> {
    let mut tx = conn.start_transaction(TxOpts::default()).await?;
    let (conversation, user) = (pick % CONVERSATIONS + 1, pick % USERS + 1);
    match pick % 10 {
        0..=5 => {
            let body = BODIES[(pick % 8) as usize].repeat((pick % 3 + 1) as usize);
            let meta =
                format!(r#"{{"client": {client}, "mentions": [{user}], "ratio": 0.{pick}}}"#);
            tx.exec_drop(
                "INSERT INTO messaging.messages (conversation_id, sender_id, body, meta, score)
                 VALUES (?, ?, ?, ?, RAND())",
                (conversation, user, body, meta),
            )
            .await?;
            tx.exec_drop(
                "UPDATE messaging.conversations SET last_message_at = NOW(3) WHERE id = ?",
                (conversation,),
            )
            .await?;
            if pick.is_multiple_of(4) {
                tx.exec_drop(
                    "INSERT INTO messaging.attachments
                     SELECT RANDOM_BYTES(16), MAX(id), ?, RANDOM_BYTES(300), RAND() * 1000
                     FROM messaging.messages HAVING MAX(id) IS NOT NULL",
                    (format!("photo-{pick}.jpg"),),
                )
                .await?;
            }
        }
        6 | 7 => {
            tx.exec_drop(
                "INSERT INTO messaging.read_receipts SELECT MAX(id), ?, NOW(6)
                 FROM messaging.messages HAVING MAX(id) IS NOT NULL",
                (user,),
            )
            .await?;
        }
        8 => {
            tx.exec_drop(
                "UPDATE messaging.messages SET body = CONCAT(body, ' (edited)'), edited_at = NOW(3)
                 WHERE sender_id = ? ORDER BY id DESC LIMIT 3",
                (user,),
            )
            .await?;
        }
        _ => {
            tx.exec_drop(
                "UPDATE messaging.users SET settings = JSON_SET(settings, '$.theme', ?) WHERE id = ?",
                (if pick.is_multiple_of(2) { "light" } else { "dark" }, user),
            )
            .await?;
        }
    }
    tx.commit().await
}
