//! A source with a workload in its binlog that nobody has read yet.

use crate::servers::{self, binlog_files};
use crate::support::sql::exec;
use crate::support::{TestServer, start};
use crate::workloads::Workload;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tidelog::position::{BinlogPosition, Flavor};
use tidelog::runtime::Stopwatch;
use tidelog::runtime::ids::new_uuid;
use tidelog::source::{DumpFrom, ReplicaConnection, ReplicaOptions};

/// A source with a workload in its binlog files, which hold nothing else.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) source: TestServer,
    pub(crate) workload: Workload,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) bytes: u64,
}

/// A source before its workload is written.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) source: TestServer,
    workload: Workload,
}

impl Prepared {
    /// A server with the workload's tables.
    pub(crate) async fn start(flavor: Flavor, workload: Workload) -> Prepared {
        let spec = match workload {
            Workload::Tables { .. } => servers::spec_of_tables(flavor),
            _ => servers::spec(flavor),
        };
        let source = start(spec).await;
        tokio::task::block_in_place(|| workload.create(&source));
        Prepared { source, workload }
    }

    /// Writes the workload, in binlog files of its own.
    pub(crate) async fn write(self) -> Backlog {
        let mut conn = self.source.conn().await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        let (first, _) = servers::position(&self.source).await;
        tokio::task::block_in_place(|| self.workload.write(&self.source));
        let files = binlog_files(&self.source, &first).await;
        let sizes = files
            .iter()
            .map(|file| file.metadata().expect("a file").len());
        Backlog {
            bytes: sizes.sum(),
            source: self.source,
            workload: self.workload,
            files,
        }
    }
}

impl Backlog {
    pub(crate) fn mib(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20)
    }

    fn first(&self) -> String {
        let name = self.files[0].file_name().expect("a name");
        name.to_string_lossy().into_owned()
    }

    /// The dump as a replica receives it, split into packets and dropped: what any reader is bound
    /// by on this machine. In the clear.
    pub(crate) async fn drain(&self) -> Duration {
        const HEARTBEATS: [u8; 2] = [27, 41];
        let url = format!("{}/?ssl-mode=disabled", self.source.account_url());
        let mut options = ReplicaOptions::new(4_000_000_000, new_uuid());
        options.heartbeat = Duration::from_millis(500);
        let endpoint = url.parse().expect("an endpoint");
        let connection = ReplicaConnection::connect(&endpoint, &options).await;
        let connection = connection.unwrap_or_else(|e| panic!("{}", e.report()));
        let from = DumpFrom::Position(BinlogPosition::new(self.first(), 4));
        let watch = Stopwatch::start();
        let stream = connection.start(from).await;
        let mut stream = stream.unwrap_or_else(|e| panic!("{}", e.report()));
        let (mut received, mut silences, mut took) = (0, 0, Duration::ZERO);
        // A silence after all bytes is the end of what there is: a file begins with four of its own.
        loop {
            let packet = stream.next().await;
            let packet = packet.unwrap_or_else(|e| panic!("{}", e.report()));
            if HEARTBEATS.contains(&packet.event[4]) {
                silences += 1;
                if received + 4 * self.files.len() as u64 >= self.bytes {
                    return took;
                }
                assert!(silences < 100, "{received} of {} bytes came", self.bytes);
                continue;
            }
            received += packet.event.len() as u64;
            took = watch.elapsed();
        }
    }

    /// `mysqlbinlog --raw` of all files into a folder.
    pub(crate) fn raw(&self, folder: &Path) -> Command {
        std::fs::create_dir_all(folder).expect("a folder");
        servers::copy(&self.source, &self.first(), "--to-last-log", folder)
    }

    /// Bytes of the files under `zstd -3`, each compressed as one stream.
    pub(crate) fn zstd_bytes(&self) -> u64 {
        let mut bytes = 0;
        for path in &self.files {
            let mut file = std::fs::File::open(path).expect("a binlog file");
            let mut encoder = zstd::Encoder::new(Counted(0), 3).expect("zstd");
            std::io::copy(&mut file, &mut encoder).expect("compress");
            bytes += encoder.finish().expect("compress").0;
        }
        bytes
    }
}

/// Counts what is written.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
