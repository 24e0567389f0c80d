//! The cut: which entry of the log is the last one a restore includes.
//!
//! Pure. The caller brings a *window* of entries around the moment: every entry before the
//! window is surely in, every entry after it surely out.

use super::target::Edge;
use crate::change::{CommitTime, CommitTimeSource};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, Gtid, GtidSet, Seq};
use crate::segment::{EntryKind, TransactionRow};
use serde::Serialize;
use std::cmp::Ordering;

/// A commit time less certain than this is asked about when it decides: a second, and what the
/// clocks of source and writer may differ unnoticed.
const PRECISION_US: i64 = 1_500_000;

/// A transaction at an edge of the cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CutTransaction {
    /// Log entry.
    pub seq: Seq,
    /// Its GTID, where it has one.
    pub gtid: Option<String>,
    /// End in the source's binlog.
    pub position: Option<BinlogPosition>,
    /// Commit time on the source's clock, microseconds since the epoch.
    pub commit_time_us: Option<i64>,
    /// The commit was not before this.
    pub commit_time_lo_us: Option<i64>,
    /// The commit was not after this.
    pub commit_time_hi_us: Option<i64>,
    /// Where the commit time comes from: `immediate`, `received` or `header`.
    pub commit_time_source: Option<&'static str>,
}

impl CutTransaction {
    fn of(row: &TransactionRow) -> CutTransaction {
        let commit = row.commit.as_ref();
        CutTransaction {
            seq: row.seq,
            gtid: row.gtid.as_ref().map(Gtid::to_string),
            position: row.end.clone(),
            commit_time_us: commit.map(|c| c.at_us),
            commit_time_lo_us: commit.map(|c| c.lo_us),
            commit_time_hi_us: commit.map(|c| c.hi_us),
            commit_time_source: commit.map(|c| CommitTimeSource::name(c.source)),
        }
    }
}

/// The exact moment a restore leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Last entry that is in.
    pub seq: Seq,
    /// All transactions of the history up to there.
    pub gtids: GtidSet,
    /// The last transaction that is in; `None` when it lies before the window (the base, or an
    /// earlier segment, ends with it).
    pub last: Option<CutTransaction>,
    /// The first transaction that is left out; `None` at the end of the log.
    pub first_left_out: Option<CutTransaction>,
}

/// Makes the cut that keeps the first `kept` entries of the window. `before` is the entry before
/// the window, `gtids_before` all transactions up to it.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when GTIDs of both flavors are mixed.
pub(super) fn cut(
    window: &[TransactionRow],
    kept: usize,
    before: Seq,
    gtids_before: GtidSet,
) -> Result<Cut> {
    let (inside, outside) = window.split_at(kept.min(window.len()));
    let mut gtids = gtids_before;
    for gtid in inside.iter().filter_map(|row| row.gtid.as_ref()) {
        gtids.add(gtid)?;
    }
    let transaction = |row: &&TransactionRow| matches!(row.kind, EntryKind::Transaction(_));
    Ok(Cut {
        seq: inside.last().map_or(before, |row| row.seq),
        gtids,
        last: inside
            .iter()
            .rev()
            .find(transaction)
            .map(CutTransaction::of),
        first_left_out: outside.iter().find(transaction).map(CutTransaction::of),
    })
}

/// How many entries of the window are in a prefix whose commit times are all at or before
/// `at_us`.
///
/// # Errors
/// [`Config`](crate::error::ErrorKind::Config) when the commit times around `at_us` leave more
/// than a second of doubt and no edge was chosen; both edges are named.
pub(super) fn by_time(window: &[TransactionRow], at_us: i64, edge: Option<Edge>) -> Result<usize> {
    let commits: Vec<(usize, CommitTime)> = window
        .iter()
        .enumerate()
        .filter_map(|(index, row)| Some((index, row.commit?)))
        .collect();
    let first = |out: &dyn Fn(&CommitTime) -> bool| {
        let found = commits.iter().find(|(_, commit)| out(commit));
        found.map_or(window.len(), |(index, _)| *index)
    };
    let plain = first(&|c| c.at_us > at_us);
    let low = first(&|c| c.at_us > at_us || c.hi_us > at_us);
    // After the last transaction that may be in, up to the next transaction.
    let last_in = commits
        .iter()
        .rposition(|(_, c)| c.at_us <= at_us || c.lo_us <= at_us);
    let high = match last_in {
        None => first(&|_| true),
        Some(at) => commits
            .get(at + 1)
            .map_or(window.len(), |(index, _)| *index),
    };
    match edge {
        Some(Edge::Before) => Ok(low),
        Some(Edge::After) => Ok(high),
        None if is_doubtful(&commits, at_us, low, plain, high) => {
            Err(doubt(window, at_us, low, high))
        }
        None => Ok(plain),
    }
}

/// Whether the entries between the two edges leave more than a second of doubt: by the width of
/// a commit time, or because the clock stepped back.
fn is_doubtful(
    commits: &[(usize, CommitTime)],
    at_us: i64,
    low: usize,
    plain: usize,
    high: usize,
) -> bool {
    let mut highest = i64::MIN;
    commits.iter().any(|(index, commit)| {
        if *index < low || *index >= high {
            return false;
        }
        if *index >= plain {
            highest = highest.max(commit.at_us);
        }
        let wide = commit.hi_us.saturating_sub(commit.lo_us) > PRECISION_US;
        let stepped = commit.at_us <= at_us && highest.saturating_sub(commit.at_us) > PRECISION_US;
        (wide && commit.lo_us <= at_us && at_us < commit.hi_us) || stepped
    })
}

fn doubt(window: &[TransactionRow], at_us: i64, low: usize, high: usize) -> Error {
    let edge = |kept: usize| {
        let inside = window.get(..kept).unwrap_or_default();
        let last = inside.iter().rev().find(|row| row.commit.is_some());
        match last {
            None => "before the first transaction here".to_owned(),
            Some(row) => {
                let gtid = row.gtid.as_ref().map_or("-".to_owned(), Gtid::to_string);
                let at = row.commit.map_or(0, |c| c.at_us);
                format!(
                    "seq {} gtid {gtid} committed {}",
                    row.seq,
                    super::show_time(at)
                )
            }
        }
    };
    Error::config("cut by time: commit times there are uncertain by more than a second")
        .field("time", super::show_time(at_us))
        .field("before", edge(low))
        .field("after", edge(high))
        .hint("choose with --edge before or --edge after, or name a GTID, position or Seq")
}

/// How many entries of the window are in when the transaction is the last one (`before`: the
/// first one left out). `None` when it is not in the window.
#[must_use]
pub(super) fn by_gtid(window: &[TransactionRow], gtid: &Gtid, before: bool) -> Option<usize> {
    let at = window
        .iter()
        .position(|row| row.gtid.as_ref() == Some(gtid))?;
    Some(if before { at } else { at + 1 })
}

/// How many entries of the window are in when exactly the set has been executed.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap) when the set is no prefix of the commit order: the
/// first prefix that holds it also holds other transactions.
pub(super) fn by_gtid_set(
    window: &[TransactionRow],
    gtids_before: &GtidSet,
    set: &GtidSet,
    before: bool,
) -> Result<usize> {
    let mut executed = gtids_before.clone();
    let mut kept = 0;
    while !set.is_subset(&executed) {
        let Some(row) = window.get(kept) else {
            return Err(Error::gap("find gtid set in the log").field("gtids", set));
        };
        if let Some(gtid) = &row.gtid {
            executed.add(gtid)?;
        }
        kept += 1;
    }
    if !executed.is_subset(set) {
        let seq = window.get(kept.saturating_sub(1)).map(|row| row.seq);
        return Err(
            Error::gap("find gtid set in the log: it is no prefix of the commit order")
                .field("gtids", set)
                .field("executed", executed)
                .field("seq", seq.unwrap_or(Seq(0)))
                .hint("name the last transaction wanted as a single GTID, or the Seq given here"),
        );
    }
    Ok(if before { kept.saturating_sub(1) } else { kept })
}

/// How many entries of the window end at or before a position (`before`: strictly before).
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the window's positions are of
/// another server's binlog.
pub(super) fn by_position(
    window: &[TransactionRow],
    position: &BinlogPosition,
    before: bool,
) -> Result<usize> {
    for (index, row) in window.iter().enumerate() {
        let Some(end) = &row.end else {
            continue;
        };
        let order = compare(end, position)?;
        if order == Ordering::Greater || (before && order == Ordering::Equal) {
            return Ok(index);
        }
    }
    Ok(window.len())
}

/// Orders two positions of one server.
///
/// # Errors
/// As [`by_position`].
pub(super) fn compare(a: &BinlogPosition, b: &BinlogPosition) -> Result<Ordering> {
    a.order(b).ok_or_else(|| {
        Error::incompatible("compare binlog positions of different servers")
            .field("position", a)
            .field("wanted", b)
            .hint("name a GTID, a time or a Seq instead")
    })
}

#[cfg(test)]
mod tests;
