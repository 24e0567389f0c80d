//! The table that is printed: Markdown, so that it can be quoted as it is.

use super::Row;

const HEAD: [&str; 11] = [
    "flavor", "workload", "work", "s", "rate", "ratio", "baseline", "aim", "peak MiB", "CPU s",
    "note",
];
/// Columns of numbers.
const RIGHT: [bool; 11] = [
    false, false, false, true, true, true, false, false, true, true, false,
];

/// The table as a document.
pub(crate) fn document(rows: &[Row], head: &str) -> String {
    format!(
        "# The last full run of `make bench`\n\n\
         Written by the run itself ({head}); what the lines are, and why an aim is missed, is in\n\
         [BENCHMARKS.md](BENCHMARKS.md).\n{}",
        render(rows).trim_end_matches('\n').to_owned() + "\n"
    )
}

/// All rows, in columns of one width.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut cells: Vec<[String; 11]> = vec![HEAD.map(str::to_owned)];
    // A bar would end the cell.
    let escaped = |row| cells_of(row).map(|cell| cell.replace('|', "\\|"));
    cells.extend(rows.iter().map(escaped));
    let width = |column: usize| {
        let lengths = cells.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |row: &[String; 11]| {
        let padded = row.iter().enumerate().map(|(column, cell)| {
            let gap = " ".repeat(widths[column] - cell.chars().count());
            if RIGHT[column] {
                format!("{gap}{cell}")
            } else {
                format!("{cell}{gap}")
            }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(column, width)| {
        let end = if RIGHT[column] { ":" } else { "-" };
        format!("{}{end}", "-".repeat(width + 1))
    });
    let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
    let mut text = format!("\n{}{rule}", line(&cells[0]));
    for row in &cells[1..] {
        text.push_str(&line(row));
    }
    text.push_str("\nCommands:\n\n");
    let mut commands: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| !row.command.is_empty()) {
        let command = format!("- {}: `{}`\n", row.work, row.command);
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    text.push_str(&commands.concat());
    text.push('\n');
    text
}

fn cells_of(row: &Row) -> [String; 11] {
    let against = row.against.as_ref();
    let aim = against.and_then(|against| against.aim).map(|aim| {
        let missed = if row.missed { " **missed**" } else { "" };
        format!("{} {}{missed}", aim.sign(), aim.value())
    });
    [
        row.flavor.clone(),
        row.workload.clone(),
        row.work.clone(),
        row.seconds.map_or_else(String::new, |s| format!("{s:.2}")),
        row.rate
            .map_or_else(String::new, |rate| format!("{} {}", number(rate), row.unit)),
        against.map_or_else(String::new, |a| number(a.ratio)),
        against.map_or_else(String::new, |a| a.baseline.clone()),
        aim.unwrap_or_default(),
        row.peak_mib.map_or_else(String::new, |m| format!("{m:.0}")),
        row.cpu_seconds
            .map_or_else(String::new, |s| format!("{s:.2}")),
        row.note.clone(),
    ]
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 || v == 0.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}
