//! What of the benchmark is run, and how large: `QUICK`, `LINES`, `FLAVORS`, `RESUME`.

use std::time::Duration;
use tidelog::position::Flavor;

/// Sizes of a run. The short form only shows that every line works and where figures roughly are.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The short form.
    pub(crate) is_quick: bool,
    /// Lines asked for; empty: all.
    lines: Vec<String>,
    flavors: Vec<Flavor>,
    /// Whether lines that an earlier run of the same form has finished are left out.
    pub(crate) is_resumed: bool,
    /// A hundredth of every number of rows and of the time that something is watched.
    percent: u64,
}

impl Settings {
    /// From `TIDELOG_BENCH_...`, which `make bench` sets.
    pub(crate) fn from_environment() -> Settings {
        let given = |name: &str| {
            let value = std::env::var(format!("TIDELOG_BENCH_{name}")).ok();
            value.filter(|value| !value.is_empty())
        };
        let list = |name: &str| -> Vec<String> {
            let text = given(name).unwrap_or_default();
            let words = text.split(',').map(|word| word.trim().to_lowercase());
            words.filter(|word| !word.is_empty()).collect()
        };
        let mut flavors = vec![Flavor::MySql, Flavor::MariaDb];
        let wanted = list("FLAVORS");
        if !wanted.is_empty() {
            flavors.retain(|flavor| wanted.contains(&flavor.to_string().to_lowercase()));
            assert!(!flavors.is_empty(), "FLAVORS is mysql, mariadb or both");
        }
        let percent = given("PERCENT").map(|text| text.parse().expect("PERCENT is a number"));
        Settings {
            is_quick: given("QUICK").is_some_and(|value| value != "0"),
            lines: list("LINES"),
            flavors,
            is_resumed: given("RESUME").is_some_and(|value| value != "0"),
            percent: percent.unwrap_or(100),
        }
    }

    /// Name of the form, for the files.
    pub(crate) fn form(&self) -> String {
        let form = if self.is_quick { "quick" } else { "full" };
        match self.percent {
            100 => form.to_owned(),
            percent => format!("{form}, {percent} %"),
        }
    }

    pub(crate) fn wants(&self, line: &str) -> bool {
        self.lines.is_empty() || self.lines.iter().any(|wanted| wanted == line)
    }

    /// Lines asked for that are none.
    pub(crate) fn unknown<'a>(&'a self, known: &[&str]) -> Option<&'a String> {
        let mut lines = self.lines.iter();
        lines.find(|line| !known.contains(&line.as_str()))
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.lines.is_empty() && self.flavors.len() == 2
    }

    pub(crate) fn flavors(&self) -> Vec<Flavor> {
        self.flavors.clone()
    }

    /// A number of rows: the full one or the short one.
    pub(crate) fn rows(&self, full: u64, quick: u64) -> u64 {
        let rows = if self.is_quick { quick } else { full };
        (rows * self.percent / 100).max(1)
    }

    /// How often what is compared takes turns: one look at something short says little.
    pub(crate) fn turns(&self, full: usize) -> usize {
        if self.is_quick { 1 } else { full }
    }

    /// How long something is watched.
    pub(crate) fn time(&self, full: Duration, quick: Duration) -> Duration {
        let time = if self.is_quick { quick } else { full };
        time.mul_f64(self.percent as f64 / 100.0)
    }
}
