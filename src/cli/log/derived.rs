//! What cascades did that the source did not log, for the entries that are shown.

use super::Wanted;
use crate::error::{ErrorKind, Result};
use crate::history::images_to_json;
use crate::manifest::{Repository, SegmentManifest, Timeline};
use crate::position::Seq;
use crate::restore::{DerivedChange, derived_changes};
use crate::storage::BaseId;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Derives a stretch between two bases at a time.
pub(super) struct Derivation<'a> {
    repository: &'a Repository,
    timeline: &'a Timeline,
    bases: Vec<BaseId>,
    /// The last entry that is shown.
    last: Seq,
    /// Entries up to this one are derived, or cannot be.
    done: Seq,
    /// Of segments to come.
    waiting: Vec<DerivedChange>,
}

impl<'a> Derivation<'a> {
    /// For the entries that are wanted.
    pub(super) async fn new(
        repository: &'a Repository,
        timeline: &'a Timeline,
        wanted: &Wanted,
    ) -> Result<Derivation<'a>> {
        let mut last = Seq(0);
        let from = wanted.from_seq.max(timeline.seq_first());
        if wanted.to_us.is_some() {
            let mut manifests = repository.manifests(timeline.timeline, from, None).await?;
            while let Some(stored) = manifests.next().await? {
                if wanted.may_hold(&stored.manifest) {
                    last = stored.manifest.seq_last;
                }
            }
        } else if let Some(head) = repository.head(timeline.timeline).await? {
            last = head.manifest.seq_last;
        }
        Ok(Derivation {
            repository,
            timeline,
            bases: repository.bases(timeline.timeline).await?,
            last: last.min(wanted.to_seq),
            done: from.prev(),
            waiting: Vec::new(),
        })
    }

    /// Derived changes in the entries of a segment, in order. Where they cannot be derived, says
    /// so on stderr, for what was logged is known all the same.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn of(
        &mut self,
        segment: &SegmentManifest,
        wanted: &Wanted,
    ) -> Result<Vec<DerivedChange>> {
        let last = segment.seq_last.min(self.last);
        self.done = self.done.max(segment.seq_first.prev());
        while self.done < last {
            let base = self.bases.iter().rev().find(|base| base.seq <= self.done);
            let next = self.bases.iter().find(|base| base.seq > self.done);
            let through = next.map_or(self.last, |next| next.seq.min(self.last));
            let after = std::mem::replace(&mut self.done, through);
            // Before the first base no row is known.
            let Some(base) = base else { continue };
            let base = self.repository.base(*base).await?;
            let (repository, timeline) = (self.repository, self.timeline);
            let range = (after, through);
            let derived = derived_changes(repository, timeline, base, range, &wanted.filter);
            match Box::pin(derived).await {
                Ok(changes) => self.waiting.extend(changes),
                // The filter takes no table of the base.
                Err(error) if error.kind() == ErrorKind::Config => {}
                Err(error) if error.kind() == ErrorKind::Gap => tracing::warn!(
                    after_seq = after.0,
                    through_seq = through.0,
                    error = %error.report(),
                    "what cascades did is not shown"
                ),
                Err(error) => return Err(error),
            }
        }
        let now = self.waiting.partition_point(|change| change.seq <= last);
        let mut now: Vec<DerivedChange> = self.waiting.drain(..now).collect();
        now.retain(|change| change.seq >= segment.seq_first);
        Ok(now)
    }
}

/// Counts by table.
pub(super) fn counts(derived: &[DerivedChange]) -> Value {
    let mut counts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for change in derived {
        let table = change.plan.version().name.to_string();
        let count = counts.entry(table).or_default();
        count[usize::from(change.after.is_none())] += change.copies;
    }
    let counts = counts.into_iter();
    let tables: Map<String, Value> = counts
        .map(|(table, [u, d])| (table, json!({"updated": u, "deleted": d})))
        .collect();
    tables.into()
}

/// The changes, with the ordinals of those they follow from.
///
/// # Errors
/// `Corrupt` when an image is not of its version.
pub(super) fn changes(derived: &[DerivedChange]) -> Result<Vec<(i64, Value)>> {
    let render = |change: &DerivedChange| {
        let plan = &change.plan;
        let images: Vec<&[u8]> = [Some(&change.before), change.after.as_ref()]
            .into_iter()
            .flatten()
            .map(Vec::as_slice)
            .collect();
        let mut images = images_to_json(plan, &images)?.into_iter();
        let mut object = json!({
            "table": plan.version().name.to_string(),
            "op": if change.after.is_some() { "update" } else { "delete" },
            "derived": true,
            "before": images.next(),
        });
        if let (Some(object), Some(after)) = (object.as_object_mut(), images.next()) {
            object.insert("after".into(), after.into());
        }
        if let Some(object) = object.as_object_mut().filter(|_| change.copies > 1) {
            object.insert("copies".into(), change.copies.into());
        }
        Ok((change.row, object))
    };
    derived.iter().map(render).collect()
}
