//! The point of a snapshot while other connections ask the server where it stands.

use super::{endpoint, open};
use crate::support::sql::exec;
use crate::support::{TestServer, start};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidelog::position::{BinlogPosition, Flavor};
use tidelog::service::throwaway::ServerSpec;
use tidelog::source::{SqlClient, SqlSession, current_end, current_position};
use tokio::task::JoinHandle;

/// Monitors whose own snapshots are of the past, and who ask without a pause.
struct Monitors {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Monitors {
    async fn start(server: &TestServer) -> Monitors {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let mut conn = server.conn().await;
            exec(&mut conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT").await;
            let stop = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    exec(&mut conn, "SHOW STATUS LIKE 'binlog_snapshot%'").await;
                    asked += 1;
                }
                asked
            }));
        }
        Monitors { stop, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let asked = task.await.expect("a monitor");
            assert!(asked > 100, "the monitors asked: {asked}");
        }
    }
}

/// MariaDB answers with the place of another connection where both ask at the same moment: a base
/// that names an earlier or a later place than its rows have is no base.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_questions_of_others_do_not_move_the_point() {
    let server = start(ServerSpec::new(Flavor::MariaDb)).await;
    let mut conn = server.conn().await;
    exec(&mut conn, "CREATE DATABASE d").await;
    exec(&mut conn, "CREATE TABLE d.t (id int PRIMARY KEY)").await;
    let monitors = Monitors::start(&server).await;
    exec(&mut conn, "INSERT INTO d.t VALUES (1)").await;
    let mut client = SqlClient::connect(&endpoint(&server), &SqlSession::default())
        .await
        .expect("a client");
    let (expected, _) = current_position(&mut client).await.expect("a position");
    let mut seen: Vec<BinlogPosition> = Vec::new();
    for _ in 0..100 {
        let snapshot = open(&server, 8).await;
        for worker in snapshot.workers {
            seen.push(worker.point().position.clone());
            worker.close().await;
        }
        let (end, _) = current_end(&mut client).await.expect("an end");
        seen.push(end);
    }
    monitors.end().await;
    let wrong: Vec<_> = seen.iter().filter(|p| **p != expected).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} are not {expected}: {wrong:?}",
        wrong.len(),
        seen.len()
    );
}
