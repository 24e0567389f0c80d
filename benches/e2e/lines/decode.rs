//! Decoding alone: binlog files into Arrow columns, beside two decoders that drop what they read.

use crate::backlog::{Backlog, Prepared};
use crate::decode;
use crate::report::{Aim, Row};
use crate::settings::Settings;
use crate::workloads::Workload;
use std::path::PathBuf;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Stopwatch;

/// Messages, hot updates, wide rows.
pub(crate) async fn run(flavor: Flavor, settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for workload in Workload::all(settings).into_iter().take(3) {
        let backlog = Prepared::start(flavor, workload).await.write().await;
        let turns = settings.turns(3);
        rows.extend(tokio::task::block_in_place(|| of(flavor, &backlog, turns)));
    }
    rows
}

/// A way to read binlog files; gives the number of images.
type Decode = fn(Flavor, &[PathBuf]) -> Result<u64, String>;

/// Ours, then the peers and what is aimed at beside each.
const DECODERS: [(&str, Decode, f64); 3] = [
    (
        "tidelog",
        |flavor, files| Ok(decode::tidelog(flavor, files)),
        0.0,
    ),
    ("mysql_common", |_, files| decode::mysql_common(files), 4.0),
    ("mysql_cdc", |_, files| decode::mysql_cdc(files), 1.5),
];

/// The shortest of a decoder's turns.
struct Best {
    took: Duration,
    cpu_seconds: f64,
    images: Result<u64, String>,
}

fn of(flavor: Flavor, backlog: &Backlog, turns: usize) -> Vec<Row> {
    let (name, mut rows) = (backlog.workload.name(), Vec::new());
    let mut best: [Option<Best>; 3] = Default::default();
    for _ in 0..turns {
        for ((_, decode, _), best) in DECODERS.iter().zip(&mut best) {
            let (watch, cpu) = (Stopwatch::start(), crate::process::own_cpu_seconds());
            let images = decode(flavor, &backlog.files);
            let turn = Best {
                took: watch.elapsed(),
                cpu_seconds: crate::process::own_cpu_seconds() - cpu,
                images,
            };
            let is_better = |best: &Best| turn.took < best.took;
            if best.as_ref().is_none_or(is_better) {
                *best = Some(turn);
            }
        }
    }
    let [ours, peers @ ..] = best.map(|best| best.expect("several turns"));
    let images = ours.images.expect("ours reads it");
    assert_eq!(images, backlog.workload.images(), "{name}: images");
    let mut row = Row::new(name, "decode into Arrow, CRC32 checked")
        .done(images as f64, "images", ours.took)
        .cpu(ours.cpu_seconds);
    for ((peer, _, aim), best) in DECODERS.iter().skip(1).zip(peers) {
        let work = format!("{peer} decode, values dropped");
        match best.images {
            Ok(found) if found == images => {
                let ratio = best.took.as_secs_f64() / ours.took.as_secs_f64();
                rows.push(
                    Row::new(name, work)
                        .done(images as f64, "images", best.took)
                        .cpu(best.cpu_seconds),
                );
                rows.push(row.clone().against(peer, ratio, Some(Aim::AtLeast(*aim))));
            }
            // What a peer cannot read is no baseline.
            Ok(found) => {
                rows.push(Row::new(name, work).note(format!("reads {found} of {images} images")))
            }
            Err(error) => rows.push(Row::new(name, work).note(format!("cannot read it: {error}"))),
        }
    }
    if rows.iter().all(|row| row.against.is_none()) {
        row.note = "no peer reads this binlog".to_owned();
        rows.push(row);
    }
    rows
}
