//! The servers of the benchmark, and what is asked of them.

use crate::support::sql::{exec, query, query_one};
use crate::support::{TestServer, start};
use mysql_async::{Conn, Row};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidelog::position::Flavor;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};

/// A server with room for the data of the benchmark.
pub(crate) fn spec(flavor: Flavor) -> ServerSpec {
    let spec = match flavor {
        Flavor::MySql => ServerSpec::new(flavor).option("--innodb-redo-log-capacity=1G"),
        Flavor::MariaDb => ServerSpec::new(flavor).option("--innodb-log-file-size=512M"),
    };
    spec.option("--innodb-buffer-pool-size=512M")
        .option("--max-allowed-packet=64M")
        .option("--max-binlog-size=1G")
        .option("--local-infile=ON")
}

/// A server that syncs what servers sync by default: a restore is proven and complete on disk.
pub(crate) fn spec_of_target(flavor: Flavor) -> ServerSpec {
    let binlog = match flavor {
        Flavor::MySql => "--sync-binlog=1",
        Flavor::MariaDb => "--sync-binlog=0",
    };
    let spec = spec(flavor).option(binlog);
    spec.option("--innodb-flush-log-at-trx-commit=1")
}

/// A server with room for thousands of tables.
pub(crate) fn spec_of_tables(flavor: Flavor) -> ServerSpec {
    spec(flavor)
        .option("--table-open-cache=12000")
        .option("--table-definition-cache=12000")
        .option("--open-files-limit=65000")
}

/// File and offset of the end of the binlog.
pub(crate) async fn position(server: &TestServer) -> (String, u64) {
    let status = match server.flavor() {
        Flavor::MySql => "SHOW BINARY LOG STATUS",
        Flavor::MariaDb => "SHOW MASTER STATUS",
    };
    let row: Row = query_one(&mut server.conn().await, status).await;
    (row.get(0).expect("file"), row.get(1).expect("offset"))
}

/// `mysqlbinlog` that copies what a server logs into a folder: the least that anyone can do who
/// reads along. From the start of a file up to where `end` says.
pub(crate) fn copy(server: &TestServer, first: &str, end: &str, folder: &Path) -> Command {
    let mut command = Command::new(server.mysqlbinlog());
    command
        .arg("--no-defaults")
        .args(["--raw", "--read-from-remote-server", end])
        .args(["--host=127.0.0.1", "--protocol=tcp"])
        .arg(format!("--port={}", server.port()))
        .arg(format!("--user={ACCOUNT}"))
        .env("MYSQL_PWD", PASSWORD)
        .arg(format!("--result-file={}/", folder.display()))
        .arg(first)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The server's binlog files from one on.
pub(crate) async fn binlog_files(server: &TestServer, from: &str) -> Vec<PathBuf> {
    let rows: Vec<Row> = query(&mut server.conn().await, "SHOW BINARY LOGS").await;
    let names = rows
        .iter()
        .map(|row| row.get::<String, _>(0).expect("name"));
    let names = names.filter(|name| name.as_str() >= from);
    names.map(|name| server.data_dir().join(name)).collect()
}

/// The words that the flavors have for the two sides.
fn role(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "source",
        Flavor::MariaDb => "master",
    }
}

/// Lets commits wait for an acknowledgement, for an hour if need be, or not.
pub(crate) async fn set_semi_sync(conn: &mut Conn, flavor: Flavor, is_on: bool) {
    let role = role(flavor);
    for (name, value) in [
        ("timeout", "3600000"),
        ("wait_point", "AFTER_SYNC"),
        ("enabled", if is_on { "ON" } else { "OFF" }),
    ] {
        exec(
            conn,
            format!("SET GLOBAL rpl_semi_sync_{role}_{name} = {value}"),
        )
        .await;
    }
}

/// A counter of the source's semi-sync: `clients`, `yes_tx`, `no_tx`.
pub(crate) async fn semi_sync_counter(conn: &mut Conn, flavor: Flavor, name: &str) -> u64 {
    let role = role(flavor);
    let row: Row = query_one(
        conn,
        format!("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{role}_{name}'"),
    )
    .await;
    let text: String = row.get(1).expect("a value");
    text.parse().expect("a number")
}

/// A semi-synchronous replica that receives and acknowledges. It does not apply what it receives:
/// on its own machine that would take nothing from the source.
#[derive(Debug)]
pub(crate) struct Replica {
    server: TestServer,
}

impl Replica {
    /// `is_synced`: its relay log is synced before every acknowledgement, which is not the default.
    pub(crate) async fn start(source: &TestServer, is_synced: bool) -> Replica {
        let flavor = source.flavor();
        let spec = match flavor {
            Flavor::MySql => {
                ServerSpec::new(flavor).option("--plugin-load-add=semisync_replica.so")
            }
            Flavor::MariaDb => ServerSpec::new(flavor),
        };
        let sync = if is_synced { 1 } else { 10_000 };
        let server = start(spec.option(format!("--sync-relay-log={sync}"))).await;
        let mut conn = server.conn().await;
        let (port, host) = (source.port(), "127.0.0.1");
        match flavor {
            Flavor::MySql => {
                exec(&mut conn, "SET GLOBAL rpl_semi_sync_replica_enabled = ON").await;
                let change = format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{host}', SOURCE_PORT = {port}, \
                     SOURCE_USER = '{ACCOUNT}', SOURCE_PASSWORD = '{PASSWORD}', \
                     SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
                );
                exec(&mut conn, change).await;
                exec(&mut conn, "START REPLICA IO_THREAD").await;
            }
            Flavor::MariaDb => {
                exec(&mut conn, "SET GLOBAL rpl_semi_sync_slave_enabled = ON").await;
                let change = format!(
                    "CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, \
                     MASTER_USER = '{ACCOUNT}', MASTER_PASSWORD = '{PASSWORD}', \
                     MASTER_USE_GTID = slave_pos"
                );
                exec(&mut conn, change).await;
                exec(&mut conn, "START SLAVE IO_THREAD").await;
            }
        }
        Replica { server }
    }

    /// CPU seconds of the whole replica server so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        crate::process::cpu_seconds(self.server.pid().expect("it runs"))
    }

    pub(crate) async fn stop(self) {
        let statement = match self.server.flavor() {
            Flavor::MySql => "STOP REPLICA",
            Flavor::MariaDb => "STOP SLAVE",
        };
        exec(&mut self.server.conn().await, statement).await;
    }
}
