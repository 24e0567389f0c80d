//! Decoding alone: binlog files into Arrow columns, beside two decoders that drop what they read.

use crate::backlog::{Backlog, Prepared};
use crate::decode;
use crate::report::{Aim, Row};
use crate::settings::Settings;
use crate::workloads::Workload;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Stopwatch;

/// Messages, hot updates, wide rows.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for workload in Workload::all(settings).into_iter().take(3) {
        let backlog = Prepared::start(flavor, workload).await.write().await;
        rows.extend(tokio::task::block_in_place(|| of(flavor, &backlog)));
    }
    rows
}

fn of(flavor: Flavor, backlog: &Backlog) -> Vec<Row> {
    let (name, mut rows) = (backlog.workload.name(), Vec::new());
    let timed = |decode: &dyn Fn() -> Result<u64, String>| {
        let (watch, cpu) = (Stopwatch::start(), crate::process::own_cpu_seconds());
        let images = decode();
        (
            watch.elapsed(),
            crate::process::own_cpu_seconds() - cpu,
            images,
        )
    };
    let (took, cpu, images) = timed(&|| Ok(decode::tidelog(flavor, &backlog.files)));
    let images = images.expect("ours reads it");
    assert_eq!(images, backlog.workload.images(), "{name}: images");
    let mut ours = Row::new(name, "decode into Arrow, CRC32 checked")
        .done(images as f64, "images", took)
        .cpu(cpu);
    type Peer = fn(&[std::path::PathBuf]) -> Result<u64, String>;
    let peers: [(&str, Peer, f64); 2] = [
        ("mysql_common", decode::mysql_common, 4.0),
        ("mysql_cdc", decode::mysql_cdc, 1.5),
    ];
    for (peer, decode, aim) in peers {
        let (theirs, cpu, found) = timed(&|| decode(&backlog.files));
        let work = format!("{peer} decode, values dropped");
        match found {
            Ok(found) if found == images => {
                rows.push(
                    Row::new(name, work)
                        .done(images as f64, "images", theirs)
                        .cpu(cpu),
                );
                rows.push(
                    ours.clone()
                        .against(peer, ratio(theirs, took), Some(Aim::AtLeast(aim))),
                );
            }
            // What a peer cannot read is no baseline.
            Ok(found) => {
                rows.push(Row::new(name, work).note(format!("reads {found} of {images} images")))
            }
            Err(error) => rows.push(Row::new(name, work).note(format!("cannot read it: {error}"))),
        }
    }
    if rows.iter().all(|row| row.against.is_none()) {
        ours.note = "no peer reads this binlog".to_owned();
        rows.push(ours);
    }
    rows
}

fn ratio(theirs: Duration, ours: Duration) -> f64 {
    theirs.as_secs_f64() / ours.as_secs_f64()
}
