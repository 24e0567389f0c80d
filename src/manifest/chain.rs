//! How manifests follow each other, and what the chain covers. Pure; called at seal, commit,
//! fold, plan and restore (I2).

use super::base::BaseManifest;
use super::digest::Sha256;
use super::repo::Timeline;
use super::segment::{MarkKind, OpenXa, SegmentManifest};
use crate::error::{Error, Result};
use crate::position::Seq;
use serde::Serialize;
use std::collections::BTreeSet;

/// Checks a timeline's first manifest.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) or [`Gap`](crate::error::ErrorKind::Gap).
pub fn starts(timeline: &Timeline, first: &SegmentManifest) -> Result<()> {
    if first.timeline != timeline.timeline || first.gtids_through.flavor() != timeline.flavor {
        return Err(broken("start of another timeline", first));
    }
    if first.seq_first != timeline.seq_first() {
        return Err(missing(
            timeline.seq_first(),
            first.seq_first.prev(),
            first.timeline,
        ));
    }
    if first.prev_sha256 != timeline.parent.map(|fork| fork.sha256) {
        return Err(broken("link to the parent timeline", first));
    }
    Ok(())
}

/// Checks that `next` follows `prev`, whose stored bytes hash to `prev_sha256`: contiguous,
/// linked, and with running values that never run back.
///
/// # Errors
/// [`Gap`](crate::error::ErrorKind::Gap) when entries are missing between the two,
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) for everything else.
pub fn follows(prev: &SegmentManifest, prev_sha256: &Sha256, next: &SegmentManifest) -> Result<()> {
    if next.timeline != prev.timeline {
        return Err(broken("timeline", next));
    }
    if next.seq_first > prev.seq_last.next() {
        return Err(missing(
            prev.seq_last.next(),
            next.seq_first.prev(),
            next.timeline,
        ));
    }
    if next.seq_first < prev.seq_last.next() {
        return Err(broken("entries overlap", next).field("after", prev.seq_last));
    }
    if next.prev_sha256.as_ref() != Some(prev_sha256) {
        return Err(broken("hash of the manifest before", next)
            .field("stored", format!("{:?}", next.prev_sha256))
            .field("computed", prev_sha256));
    }
    if next.epoch < prev.epoch {
        return Err(broken("writer epoch runs back", next).field("epoch", next.epoch));
    }
    if next.commit_time.max_us < prev.commit_time.max_us {
        return Err(broken("running maximum of commit times runs back", next));
    }
    if next.covered_through_us < prev.covered_through_us {
        return Err(broken("covered_through runs back", next));
    }
    if !prev.gtids_through.is_subset(&next.gtids_through) {
        return Err(broken("gtids_through shrinks", next));
    }
    open_xa_follows(prev, next)
}

/// What is prepared at the end of one segment is decided in the next one or still prepared at
/// its end; nothing else is.
fn open_xa_follows(prev: &SegmentManifest, next: &SegmentManifest) -> Result<()> {
    let decided: BTreeSet<Seq> = next.xa_decided.iter().map(|xa| xa.prepared).collect();
    let stays = |xa: &&OpenXa| !decided.contains(&xa.seq);
    let stayed = |xa: &&OpenXa| !next.contains(xa.seq);
    let known: BTreeSet<Seq> = prev.open_xa.iter().map(|xa| xa.seq).collect();
    let invented = decided
        .iter()
        .find(|seq| !next.contains(**seq) && !known.contains(*seq));
    let same = prev
        .open_xa
        .iter()
        .filter(stays)
        .eq(next.open_xa.iter().filter(stayed));
    match invented {
        None if same => Ok(()),
        _ => Err(broken("prepared XA transactions", next)),
    }
}

fn broken(what: &'static str, manifest: &SegmentManifest) -> Error {
    Error::corrupt("follow segment manifests")
        .field("wrong", what)
        .field("object", manifest.object_name())
        .hint("restore the object from a mirror or a bucket version")
}

fn missing(from: Seq, to: Seq, timeline: u32) -> Error {
    Error::gap("find segment manifests")
        .field("timeline", timeline)
        .field("seq_first", from)
        .field("seq_last", to)
        .hint("restore the missing manifest from a mirror, or choose a target outside of the gap")
}

/// One stretch of entries that can be restored to, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// First entry: that of a base.
    pub seq_first: Seq,
    /// Last entry.
    pub seq_last: Seq,
    /// Commit time at the first entry (running maximum), microseconds since the epoch.
    pub from_us: Option<i64>,
    /// Every moment up to here is covered, microseconds since the epoch.
    pub through_us: Option<i64>,
}

/// A hole in the history, as a gap mark says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The gap mark.
    pub seq: Seq,
    /// Covered through, before it.
    pub from_us: Option<i64>,
    /// First commit time after it.
    pub to_us: Option<i64>,
}

/// What a timeline covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cover {
    /// Stretches that can be restored to, ascending, disjoint.
    pub restorable: Vec<Covered>,
    /// Holes, ascending.
    pub gaps: Vec<Hole>,
    /// Last committed entry.
    pub seq_last: Option<Seq>,
}

/// Computes [`Cover`] from the manifests of a timeline, fed in order, and its bases.
#[derive(Debug, Default)]
pub struct CoverBuilder {
    gaps: Vec<Hole>,
    /// Ends of the stretches between gaps: last entry and covered through.
    stretches: Vec<(Seq, Option<i64>)>,
    seq_last: Option<Seq>,
    through_us: Option<i64>,
}

impl CoverBuilder {
    /// Adds the next manifest.
    pub fn add(&mut self, manifest: &SegmentManifest) {
        for mark in &manifest.marks {
            if matches!(mark.kind, MarkKind::Gap { .. }) {
                self.stretches.push((mark.seq.prev(), self.through_us));
                self.gaps.push(Hole {
                    seq: mark.seq,
                    from_us: self.through_us,
                    to_us: None,
                });
            }
        }
        if let (Some(hole), Some(first_us)) = (self.gaps.last_mut(), manifest.commit_time.first_us)
        {
            hole.to_us.get_or_insert(first_us);
        }
        self.seq_last = Some(manifest.seq_last);
        self.through_us = manifest.covered_through_us.max(manifest.commit_time.max_us);
    }

    /// The cover, given the complete bases in any order.
    #[must_use]
    pub fn finish<'a>(mut self, bases: impl IntoIterator<Item = &'a BaseManifest>) -> Cover {
        if let Some(seq_last) = self.seq_last {
            self.stretches.push((seq_last, self.through_us));
        }
        let mut starts: Vec<(Seq, Option<i64>)> = bases
            .into_iter()
            .map(|base| (base.seq, base.commit_time.max_us))
            .collect();
        starts.sort_unstable();
        let mut restorable = Vec::new();
        let mut begin = Seq(0);
        for (seq_last, through_us) in self.stretches {
            // The earliest base of a stretch serves all of it.
            let first = starts
                .iter()
                .find(|(seq, _)| (begin..=seq_last).contains(seq));
            if let Some(&(seq_first, from_us)) = first {
                restorable.push(Covered {
                    seq_first,
                    seq_last,
                    from_us,
                    through_us,
                });
            }
            begin = seq_last.next();
        }
        Cover {
            restorable,
            gaps: self.gaps,
            seq_last: self.seq_last,
        }
    }
}

#[cfg(test)]
mod tests;
