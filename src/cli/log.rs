//! `tidelog log`

mod derived;

use super::args::{RepositoryArgs, clock};
use super::{Outcome, moment, output};
use crate::change::{Op, StatementKind};
use crate::error::{Error, Result};
use crate::history::{ChangeRef, SegmentChanges, Versions, images_to_json};
use crate::manifest::SegmentManifest;
use crate::position::Seq;
use crate::restore::{DerivedChange, TableFilter};
use crate::runtime::Compute;
use crate::segment::TransactionRow;
use clap::Args;
use derived::Derivation;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Arguments of `log`.
#[derive(Args, Debug)]
pub(super) struct Log {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// From this time on.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Through this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// From this entry on.
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<i64>,
    /// Through this entry.
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<i64>,
    /// Only changes of tables that match db.table (globs; repeatable).
    #[arg(long, value_name = "DB.TABLE")]
    table: Vec<String>,
    /// Prints the row changes, not only their counts (always with --json).
    #[arg(long)]
    rows: bool,
    /// Prints statement texts: they may hold secrets.
    #[arg(long)]
    show_statements: bool,
    /// Leaves out the rows that the source's engine changed without logging it: ON DELETE and ON
    /// UPDATE of foreign keys (MariaDB; MySQL with native foreign keys). They are derived for the
    /// tables shown, which are read from the base before on, and marked as derived.
    #[arg(long)]
    logged_only: bool,
    /// Zone of times without one: UTC or an offset such as +02:00.
    #[arg(
        long,
        default_value = "UTC",
        value_name = "ZONE",
        allow_hyphen_values = true
    )]
    time_zone: String,
    /// Stops after so many transactions.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// What is wanted, parsed.
struct Wanted {
    from_us: Option<i64>,
    to_us: Option<i64>,
    from_seq: Seq,
    to_seq: Seq,
    filter: TableFilter,
    left: u64,
}

impl Log {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let repository = self.repository.open_with_tail().await?;
        let timeline = repository.timelines().await?.pop();
        let timeline =
            timeline.ok_or_else(|| Error::gap("find timeline: nothing has been captured yet"))?;
        let mut wanted = self.wanted()?;
        let from = wanted.from_seq.max(timeline.seq_first());
        let mut manifests = repository.manifests(timeline.timeline, from, None).await?;
        let mut versions: Option<Versions> = None;
        let compute = Compute::per_core();
        let mut derivation = match self.logged_only {
            true => None,
            false => Some(Derivation::new(&repository, &timeline, &wanted).await?),
        };
        while let Some(stored) = manifests.next().await? {
            let manifest = &stored.manifest;
            let mut known = match versions.take() {
                Some(known) => known,
                None => Versions::of(
                    &repository
                        .catalogue_at(timeline.timeline, manifest.seq_first.prev())
                        .await?,
                )?,
            };
            known.introduce(manifest)?;
            if manifest.seq_first > wanted.to_seq || wanted.left == 0 {
                break;
            }
            if wanted.may_hold(manifest) {
                let derived = match &mut derivation {
                    Some(derivation) => derivation.of(manifest, &wanted).await?,
                    None => Vec::new(),
                };
                let read = SegmentChanges::read(&repository, manifest, &known, &compute);
                let segment = Segment {
                    changes: read.await?,
                    manifest,
                    derived,
                };
                self.segment(&segment, &mut wanted, json)?;
            }
            versions = Some(known);
        }
        Ok(Outcome::Done)
    }

    fn wanted(&self) -> Result<Wanted> {
        let now_us = clock().now_us();
        let time = |text: &Option<String>| {
            text.as_ref()
                .map(|t| moment::parse(t, &self.time_zone, now_us))
                .transpose()
        };
        Ok(Wanted {
            from_us: time(&self.from)?,
            to_us: time(&self.to)?,
            from_seq: Seq(self.from_seq.unwrap_or(1).max(1)),
            to_seq: Seq(self.to_seq.unwrap_or(i64::MAX)),
            filter: TableFilter::new(&[], &self.table)?,
            left: self.limit.unwrap_or(u64::MAX),
        })
    }

    fn segment(&self, segment: &Segment<'_>, wanted: &mut Wanted, json: bool) -> Result<()> {
        let changes = &segment.changes;
        for transaction in &changes.transactions {
            let rows: Vec<&ChangeRef> = changes
                .rows_of(transaction.seq)
                .iter()
                .filter(|row| {
                    changes
                        .plans
                        .get(row.plan)
                        .is_some_and(|p| wanted.filter.takes(&p.version().name))
                })
                .collect();
            let derived = segment.derived_of(transaction.seq);
            let is_empty = rows.is_empty() && derived.is_empty();
            if !wanted.takes(transaction) || (!wanted.filter.is_everything() && is_empty) {
                continue;
            }
            if wanted.left == 0 {
                return Ok(());
            }
            wanted.left -= 1;
            let rows = (rows.as_slice(), derived);
            let object = self.render(segment, transaction, rows, json || self.rows)?;
            if json {
                output::line(&object.to_string())?
            } else {
                print(&object)?
            }
        }
        Ok(())
    }

    fn render(
        &self,
        segment: &Segment<'_>,
        transaction: &TransactionRow,
        (rows, derived): (&[&ChangeRef], &[DerivedChange]),
        with_rows: bool,
    ) -> Result<Value> {
        let changes = &segment.changes;
        let mut counts: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for row in rows.iter().filter(|row| !segment.is_undone(row)) {
            let Some(plan) = changes.plans.get(row.plan) else {
                continue;
            };
            let count = counts.entry(plan.version().name.to_string()).or_default();
            match row.op {
                Op::Insert => count[0] += 1,
                Op::UpdateAfter => count[1] += 1,
                Op::Delete => count[2] += 1,
                Op::UpdateBefore => {}
            }
        }
        let tables: Map<String, Value> = counts
            .into_iter()
            .map(|(table, [i, u, d])| (table, json!({"inserted": i, "updated": u, "deleted": d})))
            .collect();
        let statements = changes.statements_of(transaction.seq).iter();
        let statements = statements.filter(|s| s.kind == StatementKind::Query);
        let statements = statements.map(|s| {
            let mut bytes = Vec::new();
            changes.text(s, &mut bytes)?;
            let text = match self.show_statements {
                true => String::from_utf8_lossy(&bytes).into_owned(),
                false => masked(&bytes),
            };
            let db = String::from_utf8_lossy(&s.default_db);
            Ok(json!({"ordinal": s.ordinal, "db": db, "text": text}))
        });
        let statements = statements.collect::<Result<Vec<Value>>>()?;
        let mut object = json!({
            "seq": transaction.seq,
            "kind": transaction.kind.name(),
            "prepared_seq": transaction.xa_seq,
            "gtid": transaction.gtid.as_ref().map(ToString::to_string),
            "commit_time": transaction.commit.map(|c| output::time(Some(c.at_us))),
            "position": transaction.end.as_ref().map(ToString::to_string),
            "tables": tables,
            "statements": statements,
        });
        if let Some(object) = object.as_object_mut() {
            if !derived.is_empty() {
                object.insert("derived".into(), derived::counts(derived));
            }
            if with_rows {
                let mut all = row_changes(segment, rows)?;
                all.extend(derived::changes(derived)?);
                all.sort_by_key(|(row, _)| *row);
                let all: Vec<Value> = all.into_iter().map(|(_, change)| change).collect();
                object.insert("changes".into(), all.into());
            }
        }
        Ok(object)
    }
}

/// A segment that is shown.
struct Segment<'a> {
    changes: SegmentChanges,
    manifest: &'a SegmentManifest,
    /// What is derived in its entries, in order.
    derived: Vec<DerivedChange>,
}

impl Segment<'_> {
    fn derived_of(&self, seq: Seq) -> &[DerivedChange] {
        let start = self.derived.partition_point(|change| change.seq < seq);
        let end = self.derived.partition_point(|change| change.seq <= seq);
        self.derived.get(start..end).unwrap_or_default()
    }

    /// Whether its transaction undid the change itself, by ROLLBACK TO a savepoint.
    fn is_undone(&self, row: &ChangeRef) -> bool {
        let rows = &self.manifest.undone_rows;
        let at = rows.partition_point(|r| (r.seq, r.end) <= (row.seq, row.row));
        rows.get(at)
            .is_some_and(|r| r.seq == row.seq && r.first <= row.row)
    }
}

impl Wanted {
    /// Whether a segment may hold a wanted transaction: by its commit time range.
    fn may_hold(&self, manifest: &SegmentManifest) -> bool {
        let times = manifest.commit_time;
        let late = self
            .from_us
            .is_none_or(|from| times.max_us.is_none_or(|max| max >= from));
        let early = self
            .to_us
            .is_none_or(|to| times.first_us.is_none_or(|first| first <= to));
        late && early
    }

    fn takes(&self, transaction: &TransactionRow) -> bool {
        let by_time = match transaction.commit {
            Some(commit) => {
                self.from_us.is_none_or(|from| commit.at_us >= from)
                    && self.to_us.is_none_or(|to| commit.at_us <= to)
            }
            None => self.from_us.is_none() && self.to_us.is_none(),
        };
        by_time && transaction.seq >= self.from_seq && transaction.seq <= self.to_seq
    }
}

/// Statements may hold secrets: without the flag only what kind of statement it is.
pub(super) fn masked(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    format!("{} ... (--show-statements prints it)", words.join(" "))
}

/// Row changes in order, with their ordinals: an update is one change with both images.
fn row_changes(segment: &Segment<'_>, rows: &[&ChangeRef]) -> Result<Vec<(i64, Value)>> {
    let changes = &segment.changes;
    let mut out: Vec<(i64, Value)> = Vec::with_capacity(rows.len());
    let (mut before, mut bytes): (Option<Map<String, Value>>, _) = (None, Vec::new());
    for row in rows {
        let Some(plan) = changes.plans.get(row.plan) else {
            continue;
        };
        bytes.clear();
        changes.image(row, &mut bytes)?;
        let image = images_to_json(plan, &[&bytes])?.pop().unwrap_or_default();
        let table = plan.version().name.to_string();
        let mut change = match row.op {
            Op::UpdateBefore => {
                before = Some(image);
                continue;
            }
            Op::UpdateAfter => {
                json!({"table": table, "op": "update", "before": before.take(), "after": image})
            }
            Op::Insert => json!({"table": table, "op": "insert", "after": image}),
            Op::Delete => json!({"table": table, "op": "delete", "before": image}),
        };
        if segment.is_undone(row)
            && let Some(change) = change.as_object_mut()
        {
            change.insert("undone".into(), true.into());
        }
        out.push((row.row, change));
    }
    Ok(out)
}

fn print(object: &Value) -> Result<()> {
    let text = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    let seq = object
        .get("seq")
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut tables = Vec::new();
    for (table, counts) in object
        .get("tables")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let count = |key: &str| counts.get(key).and_then(Value::as_u64).unwrap_or(0);
        tables.push(format!(
            "{table} +{} ~{} -{}",
            count("inserted"),
            count("updated"),
            count("deleted")
        ));
    }
    let derived = object.get("derived").and_then(Value::as_object);
    for (table, counts) in derived.into_iter().flatten() {
        let count = |key: &str| counts.get(key).and_then(Value::as_u64).unwrap_or(0);
        let (updated, deleted) = (count("updated"), count("deleted"));
        tables.push(format!("{table} ~{updated} -{deleted} (derived)"));
    }
    let prepared = object.get("prepared_seq").and_then(Value::as_i64);
    if let Some(prepared) = prepared {
        tables.push(format!("prepared at seq {prepared}"));
    }
    output::line(&format!(
        "{seq:>10}  {}  {:<12} {}  {}",
        text("commit_time"),
        text("kind"),
        text("gtid"),
        tables.join(", ")
    ))?;
    for statement in object
        .get("statements")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        output::line(&format!(
            "            {}",
            statement
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default()
        ))?;
    }
    for change in object
        .get("changes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        output::line(&format!("            {change}"))?;
    }
    Ok(())
}
