//! Answers on stdout: a table for people, JSON for programs.

use crate::error::{Error, Result, Wrap};
use serde::Serialize;
use std::io::Write;

/// Prints a JSON document.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).wrap(|| Error::internal("write answer"))?;
    line(&text)
}

/// Prints one line; a closed pipe ends the answer, not the program.
pub(super) fn line(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::unavailable("write answer to stdout").source(error))
        }
        _ => Ok(()),
    }
}

/// Prints rows under a header, columns aligned.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                format!(
                    "{cell}{}",
                    " ".repeat(width.saturating_sub(cell.chars().count()))
                )
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(&render(header.to_vec()))?;
    for row in rows {
        line(&render(row.iter().map(String::as_str).collect()))?;
    }
    Ok(())
}

/// A time for people: RFC 3339 with microseconds, UTC; `-` where there is none.
pub(super) fn time(at_us: Option<i64>) -> String {
    at_us
        .and_then(chrono::DateTime::from_timestamp_micros)
        .map_or_else(
            || "-".to_owned(),
            |t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        )
}

/// A text or `-`.
pub(super) fn or_dash(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}
