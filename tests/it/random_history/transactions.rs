//! Transactions of several statements: XA, left open over other work, and savepoints.

use super::*;
use crate::support::TestServer;
use std::time::Duration;

impl Generator {
    /// Runs a transaction, or decides a prepared one; gives what was done. What is prepared before
    /// the log begins is a barrier once it is committed, so XA comes after the base.
    pub(super) async fn transaction(
        &mut self,
        server: &TestServer,
        conn: &mut Conn,
        is_captured: bool,
    ) -> String {
        match self.random.random_range(0..10) {
            0..=2 if is_captured && self.prepared.len() < 3 => self.xa(server).await,
            0..=5 if !self.prepared.is_empty() => self.decide(conn).await,
            _ => self.savepoints(server, conn).await,
        }
    }

    /// Statements on rows of some tables.
    fn some_rows(&mut self) -> Vec<String> {
        let count = self.random.random_range(1..4);
        let mut statements = Vec::new();
        for _ in 0..count {
            let Some(index) = self.table() else { break };
            let table = self.tables[index].clone();
            statements.push(self.rows(&table));
        }
        statements
    }

    /// An XA transaction: of one phase, or prepared and left to itself.
    async fn xa(&mut self, server: &TestServer) -> String {
        let xid = format!("'{}'", self.names);
        self.names += 1;
        let mut conn = server.conn().await;
        begin(&mut conn).await;
        exec(&mut conn, format!("XA START {xid}")).await;
        let mut log = vec![format!("XA START {xid}")];
        for sql in self.some_rows() {
            let done = attempt(&mut conn, &sql).await;
            log.push(format!("  {}{sql}", if done { "" } else { "refused: " }));
        }
        let last = match self.random.random_range(0..4) {
            0 => format!("XA COMMIT {xid} ONE PHASE"),
            1 => format!("XA ROLLBACK {xid}"),
            _ => format!("XA PREPARE {xid}"),
        };
        // A deadlock leaves nothing but a rollback.
        let ended = attempt(&mut conn, &format!("XA END {xid}")).await;
        match ended && attempt(&mut conn, &last).await {
            false => drop(attempt(&mut conn, &format!("XA ROLLBACK {xid}")).await),
            true if last.starts_with("XA PREPARE") => self.prepared.push(xid),
            true => {}
        }
        conn.disconnect().await.expect("disconnect");
        log.push(last);
        log.join("\n")
    }

    /// XA COMMIT or XA ROLLBACK of one that is prepared.
    async fn decide(&mut self, conn: &mut Conn) -> String {
        let index = self.random.random_range(0..self.prepared.len());
        let xid = self.prepared.swap_remove(index);
        let verb = ["COMMIT", "COMMIT", "ROLLBACK"][self.random.random_range(0..3)];
        let sql = format!("XA {verb} {xid}");
        // Its connection may still be about to let go; one that changed nothing may be gone.
        for _ in 0..20 {
            if attempt(conn, &sql).await {
                return sql;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        format!("refused: {sql}")
    }

    /// A transaction that goes back to a savepoint. Where GTIDs are on, MySQL does not mix tables
    /// of both kinds.
    async fn savepoints(&mut self, server: &TestServer, conn: &mut Conn) -> String {
        let mixes = server.flavor() == Flavor::MariaDb;
        let mut all = vec!["BEGIN".to_owned()];
        for step in 0..self.random.random_range(1..3) {
            all.extend(self.some_rows());
            all.push(format!("SAVEPOINT s{step}"));
            all.extend(self.some_rows());
            if mixes && self.random.random_bool(0.7) {
                all.push("INSERT INTO d.plain VALUES (1)".to_owned());
            }
            let to = self.random.random_range(0..=step);
            all.push(format!("ROLLBACK TO s{to}"));
        }
        all.extend(self.some_rows());
        all.push(["COMMIT", "COMMIT", "ROLLBACK"][self.random.random_range(0..3)].to_owned());
        for sql in &mut all {
            if !attempt(conn, sql).await {
                sql.insert_str(0, "refused: ");
            }
        }
        all.join("\n  ")
    }
}
