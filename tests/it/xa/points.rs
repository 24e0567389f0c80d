//! MariaDB's position of a snapshot may be after an XA COMMIT whose rows it does not show: where
//! XA is used, a snapshot begins while commits are stopped, and elsewhere without any lock.

use super::*;
use tidelog::error::ErrorKind;
use tidelog::source::{Endpoint, SnapshotOptions, SourceSnapshot};

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_mariadb_stops_commits_where_xa_is_used() {
    let server = start(ServerSpec::new(Flavor::MariaDb)).await;
    let mut conn = server.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY)",
            "CREATE USER reader IDENTIFIED BY 'r'",
            "GRANT SELECT, BINLOG MONITOR, SHOW VIEW, TRIGGER, EVENT ON *.* TO reader",
        ],
    )
    .await;
    let all: Endpoint = server.account_url().parse().expect("an endpoint");
    let reader: Endpoint = server.url("reader", "r").parse().expect("an endpoint");
    let options = SnapshotOptions {
        lock_attempts: 1,
        ..SnapshotOptions::default()
    };
    // Another backup keeps the lock to itself.
    let mut backup = server.conn().await;
    exec(&mut backup, "BACKUP STAGE START").await;
    let open = async |endpoint| SourceSnapshot::open(endpoint, &options).await;
    open(&reader).await.expect("no lock and no right is needed");
    prepare(&server, "'x'", &["INSERT INTO d.t VALUES (1)"]).await;
    let prepared = open(&reader).await.expect("as long as none is committed");
    assert_eq!(prepared.open_xa, ["X'78',X'',1"]);
    decide(&server, "COMMIT", "'x'").await;
    let error = open(&reader).await.expect_err("no RELOAD");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.report().contains("GRANT RELOAD"), "{error:?}");
    let error = open(&all).await.expect_err("the lock is taken");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    exec(&mut backup, "BACKUP STAGE END").await;
    open(&all).await.expect("a snapshot");
    // The lock is gone.
    exec(&mut conn, "INSERT INTO d.t VALUES (2)").await;
}
