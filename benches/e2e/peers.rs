//! The peers, and our own decoder alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{LogItem, Op, RowsKind};
use tidelog::manifest::Catalogue;
use tidelog::position::{BinlogPosition, Flavor, Seq};
use tidelog::segment::{ChangeBuilder, ChangeRow, TablePlan};
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ThrowawayServer};

/// `mysqlbinlog --raw` of all files from one on, over TCP into a folder.
pub(crate) fn mysqlbinlog_raw(server: &ThrowawayServer, from: &str, folder: &Path) -> Duration {
    let watch = Instant::now();
    let status = Command::new(server.mysqlbinlog())
        .arg("--no-defaults")
        .args([
            "--raw",
            "--read-from-remote-server",
            "--to-last-log",
            "-h127.0.0.1",
            "--protocol=tcp",
        ])
        .args([
            format!("-P{}", server.port()),
            format!("-u{ACCOUNT}"),
            format!("-p{PASSWORD}"),
        ])
        .arg(format!("--result-file={}/", folder.display()))
        .arg(from)
        .stderr(Stdio::null())
        .status()
        .expect("run mysqlbinlog");
    assert!(status.success(), "mysqlbinlog --raw failed");
    watch.elapsed()
}

/// `mysqlbinlog FILES | mysql`.
pub(crate) fn mysqlbinlog_replay(target: &ThrowawayServer, files: &[PathBuf]) -> Duration {
    let watch = Instant::now();
    let mut reader = Command::new(target.mysqlbinlog());
    reader.arg("--no-defaults").args(["--database=bench"]);
    if target.flavor() == Flavor::MySql {
        reader.arg("--skip-gtids");
    }
    let mut reader = reader
        .args(files)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("run mysqlbinlog");
    let status = Command::new(target.client())
        .arg("--no-defaults")
        .args(["-uroot", "--binary-mode", "--force", "-S"])
        .arg(target.socket())
        .stdin(reader.stdout.take().expect("a pipe"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("run the client");
    // --force: the schema is there already. What counts is checked by the caller.
    let _ = status;
    assert!(
        reader.wait().expect("wait for mysqlbinlog").success(),
        "mysqlbinlog failed"
    );
    watch.elapsed()
}

/// mysql_cdc over binlog files: every row decoded, values dropped.
pub(crate) fn mysql_cdc_decode(files: &[PathBuf]) -> Result<(Duration, u64), String> {
    use mysql_cdc::binlog_reader::BinlogReader;
    use mysql_cdc::events::binlog_event::BinlogEvent;
    let watch = Instant::now();
    let mut rows = 0;
    for path in files {
        let file = File::open(path).map_err(|e| e.to_string())?;
        for event in BinlogReader::new(file)
            .map_err(|e| format!("{e:?}"))?
            .read_events()
        {
            rows += match event.map_err(|e| format!("{e:?}"))?.1 {
                BinlogEvent::WriteRowsEvent(event) => event.rows.len() as u64,
                BinlogEvent::UpdateRowsEvent(event) => 2 * event.rows.len() as u64,
                BinlogEvent::DeleteRowsEvent(event) => event.rows.len() as u64,
                _ => 0,
            };
        }
    }
    Ok((watch.elapsed(), rows))
}

/// Our decoder over the same files: checksums, transactions, images into Arrow columns.
pub(crate) fn tidelog_decode(flavor: Flavor, files: &[PathBuf]) -> (Duration, u64) {
    let watch = Instant::now();
    let mut rows = 0;
    for path in files {
        let bytes = std::fs::read(path).expect("a binlog file");
        let name = path.file_name().expect("a name").to_string_lossy();
        let mut assembler = Assembler::new(flavor, Some(BinlogPosition::new(name, 4)));
        let (mut catalogue, mut reader) = (Catalogue::empty(1, flavor), FileReader::new());
        let (mut items, mut cells) = (Vec::new(), Vec::new());
        let mut builders: Vec<(Arc<TablePlan>, ChangeBuilder)> = Vec::new();
        for chunk in bytes.chunks(1 << 20) {
            reader.feed(chunk);
            while let Some(event) = reader.next_event().expect("an event") {
                assembler.push(event, &mut items).expect("a sound event");
                for item in items.drain(..) {
                    let LogItem::Rows(event) = item else { continue };
                    let version = catalogue.observe(&event.shape, Seq(1));
                    let at = builders
                        .iter()
                        .position(|(p, _)| Arc::ptr_eq(p.version(), &version));
                    let at = at.unwrap_or_else(|| {
                        let plan = Arc::new(TablePlan::compile(version).expect("a plan"));
                        builders.push((Arc::clone(&plan), ChangeBuilder::new(plan, 8_192)));
                        builders.len() - 1
                    });
                    let (plan, builder) = &mut builders[at];
                    let mut rest = &event.event[event.images.clone()];
                    let op = if event.kind == RowsKind::Write {
                        Op::Insert
                    } else {
                        Op::UpdateAfter
                    };
                    let row = ChangeRow {
                        op,
                        seq: Seq(1),
                        row: 0,
                        event: 0,
                        flags: event.flags,
                        commit_time_us: 0,
                    };
                    while !rest.is_empty() {
                        let length = plan.layout().split(rest, &mut cells).expect("an image");
                        builder.append(&rest[..length], &row).expect("a row");
                        rest = &rest[length..];
                        rows += 1;
                        if builder.len() == 8_192 {
                            drop(builder.finish().expect("a batch"));
                        }
                    }
                }
            }
        }
    }
    (watch.elapsed(), rows)
}
