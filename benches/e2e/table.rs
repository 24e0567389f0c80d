//! The table that is printed, and its JSON.

use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tidelog::position::Flavor;

/// One measured line.
pub(crate) struct Row {
    flavor: Flavor,
    work: String,
    seconds: f64,
    rate: f64,
    unit: &'static str,
    against: Option<(String, f64, f64)>,
    memory_mib: Option<u64>,
}

impl Row {
    /// A baseline.
    pub(crate) fn peer(flavor: Flavor, work: &str, amount: f64, took: Duration) -> Row {
        let seconds = took.as_secs_f64();
        Row {
            flavor,
            work: work.into(),
            seconds,
            rate: amount / seconds,
            unit: "MiB/s",
            against: None,
            memory_mib: None,
        }
    }

    /// Ours against (name, time of the same work, aim): the ratio is the peer's time by ours.
    pub(crate) fn ours(
        flavor: Flavor,
        work: &str,
        amount: f64,
        took: Duration,
        peer: (&str, Duration, f64),
    ) -> Row {
        let ratio = peer.1.as_secs_f64() / took.as_secs_f64();
        Row {
            against: Some((peer.0.into(), ratio, peer.2)),
            ..Row::peer(flavor, work, amount, took)
        }
    }

    /// A figure that is no time.
    pub(crate) fn note(flavor: Flavor, work: &str, value: f64) -> Row {
        Row {
            flavor,
            work: work.into(),
            seconds: 0.0,
            rate: value,
            unit: "",
            against: None,
            memory_mib: None,
        }
    }

    pub(crate) fn unit(mut self, unit: &'static str) -> Row {
        self.unit = unit;
        self
    }

    pub(crate) fn memory(mut self, mib: u64) -> Row {
        self.memory_mib = Some(mib);
        self
    }
}

/// All lines.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        println!("measured: {} {}", row.flavor, row.work);
        self.0.push(row);
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{:<8} {:<48} {:>8} {:>16}  {:<34} {:>8}",
            "flavor", "work", "seconds", "rate", "against (aim)", "peak MiB"
        );
        for row in &self.0 {
            let against = row
                .against
                .as_ref()
                .map_or_else(String::new, |(peer, ratio, aim)| {
                    let missed = if ratio < aim { " missed" } else { "" };
                    format!("{ratio:.2}x {peer} (aim {aim}){missed}")
                });
            let memory = row.memory_mib.map_or_else(String::new, |m| m.to_string());
            let rate = format!("{:.2} {}", row.rate, row.unit);
            println!(
                "{:<8} {:<48} {:>8.2} {:>16}  {:<34} {:>8}",
                row.flavor, row.work, row.seconds, rate, against, memory
            );
        }
    }

    pub(crate) fn write(&self, path: &Path) {
        let rows: Vec<serde_json::Value> = self
            .0
            .iter()
            .map(|row| {
                let (peer, ratio, aim) = match &row.against {
                    Some((peer, ratio, aim)) => (Some(peer), Some(ratio), Some(aim)),
                    None => (None, None, None),
                };
                json!({
                    "flavor": row.flavor, "work": row.work, "seconds": row.seconds, "rate": row.rate,
                    "unit": row.unit, "peer": peer, "ratio": ratio, "aim": aim, "peak_mib": row.memory_mib,
                })
            })
            .collect();
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("make target folder");
        }
        let text = serde_json::to_string_pretty(&rows).expect("JSON");
        std::fs::write(path, text).expect("write bench.json");
    }
}
