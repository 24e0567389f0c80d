//! Reads the log: head, single manifests, ranges, and the catalogue at an entry.

use super::search::{LogNames, PAGE};
use super::{Repository, StoredManifest, check_place};
use crate::error::{Error, Result};
use crate::manifest::catalogue::Catalogue;
use crate::manifest::chain;
use crate::manifest::digest::Sha256;
use crate::manifest::document::Document;
use crate::manifest::repo::Timeline;
use crate::manifest::segment::SegmentManifest;
use crate::position::Seq;
use crate::storage::ObjectName;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Manifests fetched ahead of the reader.
const AHEAD: usize = 16;

pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<StoredManifest> {
    let manifest = SegmentManifest::decode(name, bytes)?;
    check_place(manifest.object_name().to_string() == name, name)?;
    Ok(StoredManifest {
        manifest: Arc::new(manifest),
        sha256: Sha256::of(bytes),
        length: bytes.len() as u64,
    })
}

impl Repository {
    fn names(&self, timeline: u32) -> LogNames {
        LogNames {
            store: self.store.clone(),
            timeline,
            page: PAGE,
        }
    }

    async fn manifest_at(&self, timeline: u32, seq_first: Seq) -> Result<StoredManifest> {
        let name = ObjectName::Manifest {
            timeline,
            seq_first,
        }
        .to_string();
        decode(&name, &self.required(&name).await?)
    }

    /// The newest committed manifest of a timeline; `None` before the first one. Searched from
    /// where the newest writer began.
    ///
    /// # Errors
    /// As [`Store::list`](crate::storage::Store::list) and [`Document::decode`].
    pub async fn head(&self, timeline: u32) -> Result<Option<StoredManifest>> {
        let hint = self.head_hint(timeline).await?;
        match self.names(timeline).newest(hint).await? {
            Some(seq_first) => self.manifest_at(timeline, seq_first).await.map(Some),
            None => Ok(None),
        }
    }

    async fn head_hint(&self, timeline: u32) -> Result<Seq> {
        let newest = self.known_writer(timeline).await?;
        Ok(newest.map_or(Seq(0), |writer| writer.head_hint))
    }

    /// The manifest of the segment that holds an entry; `None` when the log does not reach it, or
    /// the entry is before the timeline's own first.
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when the entry should be there and is not.
    pub async fn manifest(&self, timeline: u32, seq: Seq) -> Result<Option<StoredManifest>> {
        let names = self.names(timeline);
        let Some(seq_first) = names.at_or_before(seq).await? else {
            return match names.after(seq, 1).await?.first() {
                Some(_) if seq < self.timeline(timeline).await?.seq_first() => Ok(None),
                Some(&next) => Err(hole(timeline, seq, next)),
                None => Ok(None),
            };
        };
        let found = self.manifest_at(timeline, seq_first).await?;
        if found.manifest.contains(seq) {
            return Ok(Some(found));
        }
        match names.after(seq, 1).await?.first() {
            Some(&next) => Err(hole(timeline, seq, next)),
            None => Ok(None),
        }
    }

    /// Reads the manifests of the segments that hold the entries `from..=to`, in order; to the
    /// end of the log when `to` is `None`. Entries before the timeline's own first one (0
    /// included) mean its start.
    ///
    /// # Errors
    /// As [`Store::list`](crate::storage::Store::list); damage is the reader's to report.
    pub async fn manifests(
        &self,
        timeline: u32,
        from: Seq,
        to: Option<Seq>,
    ) -> Result<ManifestReader> {
        let timeline = self.timeline(timeline).await?;
        let names = self.names(timeline.timeline);
        let from = from.max(timeline.seq_first());
        let start = match from == timeline.seq_first() {
            true => Some(from),
            false => names.at_or_before(from).await?,
        };
        Ok(ManifestReader {
            repository: self.clone(),
            names,
            timeline,
            from,
            to,
            listed: start.unwrap_or(from).prev(),
            is_listed: false,
            queue: VecDeque::new(),
            ahead: FuturesOrdered::new(),
            last: None,
        })
    }

    /// The catalogue as of the end of the segment that holds `seq` (`Seq(0)`: empty).
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when the log does not reach the entry.
    pub async fn catalogue_at(&self, timeline: u32, seq: Seq) -> Result<Catalogue> {
        let header = self.timeline(timeline).await?;
        let mut catalogue = match self.stored_catalogue(timeline, seq).await? {
            Some(catalogue) => catalogue,
            None => match header.parent {
                // A branch names a catalogue of its own in its first manifest.
                Some(fork) => Catalogue::branch(timeline, header.flavor, fork.seq),
                None => Catalogue::empty(timeline, header.flavor),
            },
        };
        if seq <= catalogue.seq() {
            return Ok(catalogue);
        }
        let from = catalogue.seq().next();
        let mut reader = self.manifests(timeline, from, Some(seq)).await?;
        while let Some(stored) = reader.next().await? {
            catalogue.apply(&stored.manifest)?;
        }
        Ok(catalogue)
    }

    /// The newest catalogue at or before an entry that a manifest names; one that none names
    /// does not exist.
    async fn stored_catalogue(&self, timeline: u32, seq: Seq) -> Result<Option<Catalogue>> {
        let prefix = ObjectName::catalog_prefix(timeline);
        let names = self.store.list(&prefix, None, usize::MAX).await?;
        for name in names.iter().rev() {
            let Ok(ObjectName::Catalog { seq: at, .. }) = ObjectName::parse(name) else {
                continue;
            };
            if at > seq {
                continue;
            }
            let Some(stored) = self.manifest(timeline, at).await? else {
                continue;
            };
            let reference = stored.manifest.catalog.as_ref();
            if let Some(reference) = reference.filter(|r| &r.object == name) {
                let catalogue = Catalogue::decode(name, &self.get_object(reference).await?)?;
                check_place(catalogue.seq() == at, name)?;
                return Ok(Some(catalogue));
            }
        }
        Ok(None)
    }
}

fn hole(timeline: u32, seq: Seq, next: Seq) -> Error {
    Error::gap("find segment manifest")
        .field("timeline", timeline)
        .field("seq", seq)
        .field("next", next)
        .hint("restore the missing manifest from a mirror, or choose a target outside of the gap")
}

/// Reads manifests in order, ahead of its caller, and checks the chain as it goes.
pub struct ManifestReader {
    repository: Repository,
    names: LogNames,
    timeline: Timeline,
    from: Seq,
    to: Option<Seq>,
    /// Names up to here have been queued.
    listed: Seq,
    is_listed: bool,
    queue: VecDeque<Seq>,
    ahead: FuturesOrdered<BoxFuture<'static, Result<StoredManifest>>>,
    last: Option<StoredManifest>,
}

impl fmt::Debug for ManifestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestReader")
            .field("timeline", &self.timeline.timeline)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("listed", &self.listed)
            .finish_non_exhaustive()
    }
}

impl ManifestReader {
    /// The next manifest; `None` after the last one of the range (or of the log, when the range
    /// has no end).
    ///
    /// # Errors
    /// [`Gap`](crate::error::ErrorKind::Gap) when one is missing or the log ends before the
    /// range does, [`Corrupt`](crate::error::ErrorKind::Corrupt) when one is damaged or does
    /// not follow.
    pub async fn next(&mut self) -> Result<Option<StoredManifest>> {
        let end = self.last.as_ref().map(|last| last.manifest.seq_last);
        if end.is_some_and(|end| self.to.is_some_and(|to| end >= to)) {
            return Ok(None);
        }
        self.fill().await?;
        let Some(next) = self.ahead.next().await else {
            return self.ended(end);
        };
        let next = next?;
        match &self.last {
            Some(last) => chain::follows(&last.manifest, &last.sha256, &next.manifest)?,
            None if next.manifest.seq_first == self.timeline.seq_first() => {
                chain::starts(&self.timeline, &next.manifest)?;
            }
            None if next.manifest.contains(self.from) => {}
            None => {
                let number = self.timeline.timeline;
                return Err(hole(number, self.from, next.manifest.seq_first));
            }
        }
        self.last = Some(next.clone());
        Ok(Some(next))
    }

    /// Keeps [`AHEAD`] fetches going.
    async fn fill(&mut self) -> Result<()> {
        while self.ahead.len() < AHEAD {
            if self.queue.is_empty() && !self.is_listed {
                let page = self.names.page;
                let names = self.names.after(self.listed, page).await?;
                self.is_listed = names.len() < page;
                self.listed = names.last().copied().unwrap_or(self.listed);
                self.queue.extend(names);
            }
            let Some(seq_first) = self.queue.pop_front() else {
                break;
            };
            if self.to.is_some_and(|to| seq_first > to) {
                self.queue.clear();
                self.is_listed = true;
                break;
            }
            let (repository, timeline) = (self.repository.clone(), self.timeline.timeline);
            self.ahead.push_back(Box::pin(async move {
                repository.manifest_at(timeline, seq_first).await
            }));
        }
        Ok(())
    }

    fn ended(&self, end: Option<Seq>) -> Result<Option<StoredManifest>> {
        let Some(to) = self.to.filter(|to| *to >= self.from) else {
            return Ok(None);
        };
        Err(Error::gap("read the log to an entry")
            .field("timeline", self.timeline.timeline)
            .field("seq", to)
            .field("seq_last", end.unwrap_or(self.from.prev()))
            .hint("the log does not reach this entry: choose an earlier target"))
    }
}
