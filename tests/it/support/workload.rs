//! Clients of a messaging service that write all at once: inserts, updates of hot rows, key
//! changes, deletes, multi-table transactions, rollbacks, rows without a key.

use super::TestServer;
use super::sql::exec_all;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, TxOpts};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidelog::position::Flavor;
use tokio::task::JoinHandle;

/// Databases of the workload; one has a name that must be quoted everywhere.
pub(crate) const DATABASES: [&str; 2] = ["chat", "we`ird; drop"];

/// Creates the tables, with some rows in them.
pub(crate) async fn create(conn: &mut Conn, flavor: Flavor) {
    let statements = [
        "CREATE DATABASE chat CHARACTER SET utf8mb4",
        "CREATE DATABASE `we``ird; drop` CHARACTER SET latin1",
        "CREATE TABLE chat.users (
            id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
            handle VARCHAR(40) NOT NULL UNIQUE,
            karma BIGINT NOT NULL DEFAULT 0,
            born DATE, seen TIMESTAMP(6) NULL, balance DECIMAL(20,6) NOT NULL DEFAULT 0)",
        "CREATE TABLE chat.messages (
            id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
            user_id INT UNSIGNED NOT NULL,
            body TEXT NOT NULL,
            length INT GENERATED ALWAYS AS (CHAR_LENGTH(body)) STORED,
            shout VARCHAR(20) GENERATED ALWAYS AS (UPPER(LEFT(body, 10))) VIRTUAL,
            meta JSON, score FLOAT, ratio DOUBLE,
            kind ENUM('text','image','','voice') NOT NULL DEFAULT 'text',
            flags SET('seen','starred','muted') NOT NULL DEFAULT '',
            bits BIT(17), sent DATETIME(3), took TIME(2), era YEAR,
            KEY (user_id), FOREIGN KEY (user_id) REFERENCES chat.users (id))",
        "CREATE TABLE chat.settings (
            scope VARCHAR(30) CHARACTER SET utf8mb4 NOT NULL, number SMALLINT NOT NULL,
            value VARBINARY(300), PRIMARY KEY (scope, number DESC))",
        "CREATE TABLE chat.audit (at DATETIME(6) NOT NULL, what VARCHAR(60), who TINYINT UNSIGNED)",
        "CREATE TABLE `we``ird; drop`.`t``able '1'` (
            `k``ey` BINARY(8) PRIMARY KEY, `select` VARCHAR(20), `__seq` INT, b MEDIUMBLOB)",
    ];
    // Descending key parts are newer in MariaDB than in MySQL.
    for statement in statements {
        let statement = match flavor {
            Flavor::MySql => statement.to_owned(),
            Flavor::MariaDb => statement.replace(" DESC))", "))"),
        };
        exec_all(conn, &[&statement]).await;
    }
    for user in 1..=40 {
        let insert = "INSERT INTO chat.users (handle, born) VALUES (?, '1990-02-28')";
        conn.exec_drop(insert, (format!("user-{user}-ü"),))
            .await
            .expect("insert user");
    }
}

/// Writing clients.
#[derive(Debug)]
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(server: &TestServer, clients: u64, seed: u64) -> Writers {
        let (stop, committed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let opts = server.opts(
            tidelog::service::throwaway::ACCOUNT,
            tidelog::service::throwaway::PASSWORD,
        );
        let tasks = (0..clients).map(|client| {
            let (opts, stop, committed) = (opts.clone(), Arc::clone(&stop), Arc::clone(&committed));
            let mut random = StdRng::seed_from_u64(seed ^ client.wrapping_mul(0x9e37_79b9));
            tokio::spawn(async move {
                let mut conn = Conn::new(opts).await.expect("connect writer");
                while !stop.load(Ordering::Relaxed) {
                    match transaction(&mut conn, &mut random).await {
                        Ok(()) => {
                            committed.fetch_add(1, Ordering::Relaxed);
                        }
                        // Deadlock, lock wait, duplicate key: what busy clients live with.
                        Err(mysql_async::Error::Server(e))
                            if matches!(e.code, 1205 | 1213 | 1062) => {}
                        Err(error) => panic!("writer {client}: {error}"),
                    }
                }
            })
        });
        Writers {
            tasks: tasks.collect(),
            stop,
            committed,
        }
    }

    /// Stops all clients and gives the number of committed transactions.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("writer");
        }
        self.committed.load(Ordering::Relaxed)
    }
}

async fn transaction(conn: &mut Conn, random: &mut StdRng) -> mysql_async::Result<()> {
    let mut tx = conn.start_transaction(TxOpts::default()).await?;
    for _ in 0..random.random_range(1..5) {
        let user = random.random_range(1..=40_u32);
        match random.random_range(0..12) {
            0..=3 => {
                let body = "größe 🌊 ".repeat(random.random_range(1..30));
                let meta = format!(
                    r#"{{"n": {}, "f": {}, "s": "ü\n", "a": [1, null, true, {{}}], "u": {}}}"#,
                    random.random_range(-100_000..100_000_i64),
                    random.random::<f32>(),
                    u64::MAX - u64::from(user)
                );
                let kinds = ["text", "image", "", "voice"];
                tx.exec_drop(
                    "INSERT INTO chat.messages (user_id, body, meta, score, ratio, kind, flags, bits, sent, took, era)
                     VALUES (?, ?, ?, RAND() * 1e6, -RAND() / 3, ?, ?, ?, SYSDATE(3), SEC_TO_TIME(? / 7), 2026)",
                    (user, body, meta, kinds[random.random_range(0..4)], "seen,muted",
                     random.random_range(0..131_072_u32), random.random_range(-2_000_000..2_000_000)),
                )
                .await?;
            }
            4 | 5 => {
                tx.exec_drop(
                    "UPDATE chat.users SET karma = karma + 1, balance = balance - 0.000001, seen = SYSDATE(6) WHERE id = ?",
                    (user,),
                )
                .await?;
            }
            6 => {
                tx.exec_drop(
                    "UPDATE chat.messages SET body = CONCAT(body, '!'), meta = NULL WHERE user_id = ? ORDER BY id DESC LIMIT 3",
                    (user,),
                )
                .await?;
            }
            7 => {
                tx.exec_drop(
                    "DELETE FROM chat.messages WHERE user_id = ? ORDER BY id LIMIT 1",
                    (user,),
                )
                .await?;
            }
            8 => {
                let (scope, number) = (
                    format!("scope {} ß", user % 7),
                    random.random_range(-300..300_i16),
                );
                tx.exec_drop(
                    "REPLACE INTO chat.settings VALUES (?, ?, RANDOM_BYTES(20))",
                    (scope, number),
                )
                .await
                .or_else(ignore_missing_function)?;
                tx.exec_drop(
                    "UPDATE chat.settings SET number = number + 601 WHERE number = ?",
                    (number,),
                )
                .await?;
            }
            9 => {
                tx.exec_drop(
                    "INSERT INTO chat.audit VALUES (SYSDATE(6), 'twice', ?), ('2026-01-01', 'same', 7), ('2026-01-01', 'same', 7)",
                    (user,),
                )
                .await?;
                tx.exec_drop("DELETE FROM chat.audit WHERE what = 'same' LIMIT 1", ())
                    .await?;
            }
            10 => {
                let key = random.random_range(0..500_u64).to_be_bytes();
                tx.exec_drop(
                    "INSERT INTO `we``ird; drop`.`t``able '1'` VALUES (?, 'é', ?, REPEAT('x', ?))
                     ON DUPLICATE KEY UPDATE `select` = CONCAT('ö', LEFT(`select`, 10)), `__seq` = NULL",
                    (&key[..], user, random.random_range(0..2_000)),
                )
                .await?;
            }
            _ => {
                tx.exec_drop(
                    "DELETE FROM `we``ird; drop`.`t``able '1'` WHERE `__seq` = ?",
                    (user,),
                )
                .await?;
            }
        }
    }
    if random.random_range(0..20) == 0 {
        tx.rollback().await
    } else {
        tx.commit().await
    }
}

/// A server without RANDOM_BYTES (MariaDB before 10.10) does without this row.
fn ignore_missing_function(error: mysql_async::Error) -> mysql_async::Result<()> {
    match error {
        mysql_async::Error::Server(e) if e.code == 1305 => Ok(()),
        error => Err(error),
    }
}
