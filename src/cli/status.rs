//! `tidelog status`

use super::args::{RepositoryArgs, clock};
use super::{Outcome, output};
use crate::error::Result;
use crate::log::DurabilityPolicy;
use crate::service::{Status as Answer, TimelineStatus, status};
use crate::source::{Endpoint, Secret};
use clap::Args;

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// Source server to compare with.
    #[arg(long, env = "TIDELOG_SOURCE_URL", value_name = "URL")]
    source: Option<String>,
}

impl Status {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let repository = self.repository.open().await?;
        let source = match &self.source {
            Some(url) => {
                let endpoint: Endpoint = url.parse()?;
                Some(match std::env::var("TIDELOG_SOURCE_PASSWORD") {
                    Ok(password) => endpoint.with_password(Secret::new(password)),
                    Err(_) => endpoint,
                })
            }
            None => None,
        };
        let answer = status(&repository, source.as_ref(), clock().now_us()).await?;
        if json {
            output::json(&answer)?;
        } else {
            print(&answer)?;
        }
        Ok(Outcome::Done)
    }
}

fn print(answer: &Answer) -> Result<()> {
    output::line(&format!("repository   {}", answer.repository_id))?;
    output::line(&format!(
        "restorable   {} .. {}",
        output::or_dash(answer.restorable_from.as_ref()),
        output::or_dash(answer.restorable_through.as_ref())
    ))?;
    output::line(&format!(
        "lag          {}",
        answer
            .lag_seconds
            .map_or_else(|| "-".into(), |s| format!("{s:.1} s"))
    ))?;
    match &answer.rpo {
        Some(rpo) if rpo.is_zero => output::line("zero RPO     yes: commits wait for tidelog")?,
        Some(rpo) => output::line(&format!("zero RPO     no: {}", rpo.reasons.join("; ")))?,
        None => {}
    }
    if let Some(binlog) = &answer.binlog {
        let kept = match (binlog.kept_seconds, binlog.kept_bytes) {
            (None, None) => "unlimited".to_owned(),
            (seconds, bytes) => {
                let hours = seconds.map(|s| format!("{:.1} h", s / 3600.0));
                let bytes = bytes.map(|b| format!("{b} bytes"));
                let all: Vec<String> = hours.into_iter().chain(bytes).collect();
                all.join(" or ")
            }
        };
        output::line(&format!(
            "binlog kept  {kept}, from {} on; {} bytes not captured yet",
            output::or_dash(binlog.oldest_file.as_ref()),
            output::or_dash(binlog.behind_bytes)
        ))?;
        for warning in &binlog.warnings {
            output::line(&format!("WARNING      {warning}"))?;
        }
    }
    for timeline in &answer.timelines {
        output::line(&format!("\n{}", title(timeline)))?;
        for from in timeline.sources.iter().skip(1) {
            output::line(&format!(
                "  failed over   seq {} to {}",
                from.seq_first, from.source
            ))?;
        }
        let bases: Vec<String> = timeline.bases.iter().map(ToString::to_string).collect();
        output::line(&format!(
            "  bases at seq  {}",
            if bases.is_empty() {
                "-".into()
            } else {
                bases.join(", ")
            }
        ))?;
        for stretch in &timeline.restorable {
            output::line(&format!(
                "  restorable    seq {} .. {}  {} .. {}",
                stretch.seq_first,
                stretch.seq_last,
                output::or_dash(stretch.from.as_ref()),
                output::or_dash(stretch.through.as_ref())
            ))?;
        }
        if let Some(policy) = &timeline.durability {
            let meaning = policy.parse::<DurabilityPolicy>();
            let meaning = meaning.map_or("", DurabilityPolicy::meaning);
            output::line(&format!(
                "  durability    {policy}: a transaction is {meaning}"
            ))?;
        }
        if timeline.tail.objects > 0 {
            output::line(&format!(
                "  in the tail   {} objects, {} bytes, in no segment yet; last commit {}",
                timeline.tail.objects,
                timeline.tail.bytes,
                output::or_dash(timeline.tail.through.as_ref())
            ))?;
        }
        for xa in &timeline.open_xa {
            output::line(&format!(
                "  prepared XA   seq {} {}: its rows count once it is committed",
                xa.seq, xa.xid
            ))?;
        }
        for stretch in &timeline.unprotected {
            output::line(&format!(
                "  UNPROTECTED   seq {} .. {} gtid {} .. {}: {} commits did not wait for tidelog",
                stretch.seq_first,
                stretch.seq_last,
                output::or_dash(stretch.gtid_first.as_ref()),
                output::or_dash(stretch.gtid_last.as_ref()),
                stretch.commits
            ))?;
        }
        for gap in &timeline.gaps {
            output::line(&format!("  GAP           seq {} {}", gap.seq, gap.text))?;
        }
        for barrier in &timeline.barriers {
            output::line(&format!(
                "  BARRIER       seq {} table {}: {} {}",
                barrier.seq,
                barrier.table,
                barrier.reason,
                barrier.statement.as_deref().unwrap_or_default()
            ))?;
        }
    }
    Ok(())
}

/// A timeline in one line.
pub(super) fn title(timeline: &TimelineStatus) -> String {
    let current = if timeline.current { ", current" } else { "" };
    let parent = timeline.parent.as_ref().map(|parent| {
        format!(
            "; left timeline {:04} after seq {}",
            parent.timeline, parent.seq
        )
    });
    let source = timeline.sources.first().map(|from| &from.source);
    format!(
        "timeline {:04} ({}{current}): {} segments, {} transactions, {} rows, {} bytes; seq {} .. {} at {}{}",
        timeline.timeline,
        source.unwrap_or(&timeline.flavor),
        timeline.segments,
        timeline.transactions,
        timeline.rows,
        timeline.bytes,
        timeline.seq_first,
        output::or_dash(timeline.seq_last),
        output::or_dash(timeline.position.as_ref()),
        parent.unwrap_or_default()
    )
}
