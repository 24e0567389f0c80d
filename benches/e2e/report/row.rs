//! One measured line.

use crate::process::{Usage, shown};
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::Duration;
use tidelog::position::Flavor;

/// What a ratio should be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    pub(crate) fn is_met(self, ratio: f64) -> bool {
        match self {
            Aim::AtLeast(aim) => ratio >= aim,
            Aim::AtMost(aim) => ratio <= aim,
        }
    }

    pub(crate) fn value(self) -> f64 {
        match self {
            Aim::AtLeast(aim) | Aim::AtMost(aim) => aim,
        }
    }

    pub(crate) fn sign(self) -> char {
        match self {
            Aim::AtLeast(_) => '≥',
            Aim::AtMost(_) => '≤',
        }
    }
}

/// What the line is held against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Against {
    pub(crate) baseline: String,
    pub(crate) ratio: f64,
    pub(crate) aim: Option<Aim>,
}

/// One measured line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Name of the line that it belongs to, as `LINES` has it.
    pub(crate) line: String,
    pub(crate) flavor: String,
    pub(crate) workload: String,
    pub(crate) work: String,
    /// The command as a person would type it; empty for what runs within the benchmark.
    pub(crate) command: String,
    pub(crate) seconds: Option<f64>,
    pub(crate) rate: Option<f64>,
    pub(crate) unit: String,
    pub(crate) against: Option<Against>,
    pub(crate) missed: bool,
    pub(crate) peak_mib: Option<f64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) note: String,
    /// Commit and time of the measurement.
    pub(crate) measured: String,
}

impl Row {
    /// A line without figures yet; its name and flavor are filled in by [`Results`](super::Results).
    pub(crate) fn new(workload: &str, work: impl Into<String>) -> Row {
        Row {
            line: String::new(),
            flavor: String::new(),
            workload: workload.to_owned(),
            work: work.into(),
            command: String::new(),
            seconds: None,
            rate: None,
            unit: String::new(),
            against: None,
            missed: false,
            peak_mib: None,
            cpu_seconds: None,
            note: String::new(),
            measured: String::new(),
        }
    }

    pub(crate) fn belonging(mut self, line: &str, flavor: Flavor) -> Row {
        self.line = line.to_owned();
        self.flavor = flavor.to_string();
        self
    }

    pub(crate) fn command(mut self, command: &Command) -> Row {
        self.command = shown(command);
        self
    }

    pub(crate) fn typed(mut self, command: &str) -> Row {
        self.command = command.to_owned();
        self
    }

    /// So much of a unit in this time: seconds and rate.
    pub(crate) fn done(mut self, amount: f64, unit: &str, took: Duration) -> Row {
        let seconds = took.as_secs_f64();
        self.seconds = Some(seconds);
        self.rate = Some(amount / seconds);
        self.unit = format!("{unit}/s");
        self
    }

    /// Memory and CPU of the process.
    pub(crate) fn used(mut self, usage: &Usage) -> Row {
        self.peak_mib = Some(usage.peak_mib);
        self.cpu_seconds = Some(usage.cpu_seconds);
        self
    }

    /// CPU time alone, of what ran within the benchmark.
    pub(crate) fn cpu(mut self, seconds: f64) -> Row {
        self.cpu_seconds = Some(seconds);
        self
    }

    /// A figure that is no rate.
    pub(crate) fn value(mut self, value: f64, unit: &str) -> Row {
        self.rate = Some(value);
        self.unit = unit.to_owned();
        self
    }

    /// Held against a baseline; a missed aim is said.
    pub(crate) fn against(mut self, baseline: &str, ratio: f64, aim: Option<Aim>) -> Row {
        self.missed = aim.is_some_and(|aim| !aim.is_met(ratio));
        self.against = Some(Against {
            baseline: baseline.to_owned(),
            ratio,
            aim,
        });
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }
}
