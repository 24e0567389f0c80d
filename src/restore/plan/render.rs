//! The plan for people.

use super::RestorePlan;
use crate::restore::cut::CutTransaction;
use crate::restore::show_time;

impl RestorePlan {
    /// The plan for people.
    #[must_use]
    pub fn render(&self) -> String {
        let mut lines = vec![format!("cut       seq {}", self.cut.seq)];
        let transaction = |label: &str, t: &CutTransaction| {
            let mut text = format!("{label} seq {}", t.seq);
            if let Some(gtid) = &t.gtid {
                text.push_str(&format!(", GTID {gtid}"));
            }
            if let Some(position) = &t.position {
                text.push_str(&format!(", ends at {position}"));
            }
            if let (Some(at), Some(lo), Some(hi)) =
                (t.commit_time_us, t.commit_time_lo_us, t.commit_time_hi_us)
            {
                text.push_str(&format!(", committed {}", show_time(at)));
                if lo != hi {
                    let (lo, hi) = (show_time(lo), show_time(hi));
                    text.push_str(&format!(" (between {lo} and {hi})"));
                }
            }
            text
        };
        match &self.cut.last {
            Some(last) => lines.push(transaction("  last in ", last)),
            None => lines.push("  last in  before the segments read".to_owned()),
        }
        match &self.cut.first_left_out {
            Some(next) => lines.push(transaction("  left out", next)),
            None => lines.push("  left out nothing: this is the end of the log".to_owned()),
        }
        lines.push(format!("  GTIDs    {}", self.cut.gtids));
        let created = show_time(self.base.created_us);
        lines.push(format!(
            "base      seq {}, written {created}",
            self.base.seq
        ));
        lines.push(format!("segments  {} after it", self.segments));
        let bytes = self.bytes as f64 / 1_048_576.0;
        lines.push(format!(
            "to read   {} tables, {} files, {bytes:.1} MiB, {} rows, about {} s with one job",
            self.tables.len(),
            self.files,
            self.rows,
            self.predicted_seconds
        ));
        for ddl in &self.ddl {
            lines.push(format!(
                "run again seq {}: {}",
                ddl.seq,
                one_line(&ddl.statement)
            ));
        }
        for table in self.tables.iter().filter(|table| table.is_wanted) {
            lines.push(format!(
                "  {}: {} rows in the base, {} row images after it",
                table.name, table.base_rows, table.change_rows
            ));
        }
        lines.extend(self.open_xa.iter().map(|seq| {
            format!("left out  the XA transaction prepared at seq {seq}: undecided at the cut")
        }));
        lines.extend(self.notes.iter().map(|note| format!("note      {note}")));
        lines.push(String::new());
        lines.join("\n")
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}
