//! All rows, kept on disk after every line: what was interrupted is gone on with.

use super::{Row, chart, table};
use crate::settings::Settings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::Command;
use tidelog::position::Flavor;
use tidelog::runtime::Clock;

/// The file that is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Full or quick.
    form: String,
    cores: usize,
    /// `line/flavor` of what was measured to its end.
    finished: Vec<String>,
    rows: Vec<Row>,
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Results {
    kept: Kept,
    path: PathBuf,
    measured: String,
}

impl Results {
    /// Those of an earlier run of the same form stay where only some lines are asked for, or where
    /// the run is to be gone on with.
    pub(crate) fn open(settings: &Settings) -> Results {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("target/bench.json");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let earlier = serde_json::from_str(&text).ok();
        let form = settings.form();
        let earlier = earlier.filter(|kept: &Kept| kept.form == form);
        let earlier = earlier.filter(|_| settings.is_resumed || !settings.is_everything());
        let kept = earlier.unwrap_or_else(|| Kept {
            form,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ..Kept::default()
        });
        let (commit, time) = (commit(), Clock::system().now_us());
        let time = chrono::DateTime::from_timestamp_micros(time).expect("a time");
        Results {
            kept,
            path,
            measured: format!("{commit}, {}", time.format("%Y-%m-%d %H:%M")),
        }
    }

    pub(crate) fn is_finished(&self, line: &str, flavor: Flavor) -> bool {
        self.kept.finished.contains(&format!("{line}/{flavor}"))
    }

    /// Replaces the rows of a line.
    pub(crate) fn replace(&mut self, line: &str, flavor: Flavor, rows: Vec<Row>, is_whole: bool) {
        let name = flavor.to_string();
        let is_other = |row: &Row| row.line != line || row.flavor != name;
        self.kept.rows.retain(is_other);
        let rows = rows.into_iter().map(|row| Row {
            measured: self.measured.clone(),
            ..row
        });
        self.kept.rows.extend(rows);
        let mark = format!("{line}/{flavor}");
        self.kept.finished.retain(|finished| *finished != mark);
        if is_whole {
            self.kept.finished.push(mark);
        }
        self.write();
    }

    /// Rows in the order of the lines.
    pub(crate) fn sort(&mut self, lines: &[&str]) {
        let place = |row: &Row| lines.iter().position(|line| *line == row.line);
        self.kept.rows.sort_by_key(place);
    }

    pub(crate) fn print(&self) {
        print!("{}", table::render(&self.kept.rows));
        println!("{}, {} cores", self.kept.form, self.kept.cores);
    }

    /// The table and the chart as files: those in docs/ are of the full form alone.
    pub(crate) fn publish(&self) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folder = match self.kept.form.as_str() {
            "full" => root.join("docs"),
            _ => root.join("target"),
        };
        let head = format!("{} · {} cores", self.measured(), self.kept.cores);
        let files = [
            ("benchmarks.svg", chart::render(&self.kept.rows, &head)),
            (
                "benchmarks-table.md",
                table::document(&self.kept.rows, &head),
            ),
        ];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("write a report");
        }
        println!(
            "JSON: {}, table and chart: {}",
            self.path.display(),
            folder.display()
        );
    }

    /// The commits and times of all runs that have a row here.
    fn measured(&self) -> String {
        let mut all: Vec<&str> = Vec::new();
        for row in &self.kept.rows {
            if !all.contains(&row.measured.as_str()) {
                all.push(&row.measured);
            }
        }
        all.join("; ")
    }

    pub(crate) fn missed(&self) -> usize {
        self.kept.rows.iter().filter(|row| row.missed).count()
    }

    fn write(&self) {
        let parent = self.path.parent().expect("a folder");
        std::fs::create_dir_all(parent).expect("make target folder");
        let text = serde_json::to_string_pretty(&self.kept).expect("JSON");
        let new = self.path.with_extension("new");
        std::fs::write(&new, text).expect("write bench.json");
        std::fs::rename(&new, &self.path).expect("keep bench.json");
    }
}

fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    let output = git.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown commit".to_owned())
}
