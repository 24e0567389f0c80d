//! The repository: reads and commits manifests over a store.
//!
//! This file owns one write ordering: files are put, then the manifest that names them is
//! created ([`Repository::commit`], [`Repository::commit_base`]); whoever acknowledges to a
//! source does it after that.

mod audit;
mod contender;
mod files;
mod log;
mod search;
mod tail;

pub use contender::Contender;
pub use files::PutFile;
pub use log::ManifestReader;

use super::base::BaseManifest;
use super::digest::Sha256;
use super::document::Document;
use super::repo::{Fork, RepoHeader, Timeline, WriterEpoch};
use super::segment::SegmentManifest;
use crate::error::{Error, ErrorKind, Result};
use crate::position::{Flavor, Seq};
use crate::runtime::{Clock, ids};
use crate::storage::{BaseId, Created, ObjectName, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// An open repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Store,
    header: Arc<RepoHeader>,
}

/// A committed manifest with the hash that the next one links to.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredManifest {
    /// The manifest.
    pub manifest: Arc<SegmentManifest>,
    /// SHA-256 of its stored bytes.
    pub sha256: Sha256,
    /// Length of its stored bytes.
    pub length: u64,
}

/// How a commit ended.
#[derive(Clone, Debug)]
pub enum CommitOutcome {
    /// Ours is in the log (now, or since an earlier attempt).
    Committed(StoredManifest),
    /// A writer of a lower epoch was faster: its manifest is in the log. Move the head to it,
    /// number the batch anew and commit again.
    Adopt(StoredManifest),
}

/// Who claims an epoch.
#[derive(Clone, Debug)]
pub struct EpochClaim {
    /// Identity of the writer process.
    pub writer_id: Uuid,
    /// Host name, for people.
    pub host: String,
    /// Last committed entry that it knows of; `Seq(0)` when there is none.
    pub head_hint: Seq,
    /// See [`WriterEpoch::durability`].
    pub durability: Option<String>,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Repository {
    /// Makes a repository of an empty prefix, after probing the store. Where a repository
    /// stands already, it is opened.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when something else is there, or
    /// when the store lies (see [`Store::probe`]).
    pub async fn init(store: Store, clock: &Clock) -> Result<Repository> {
        let name = ObjectName::Repo.to_string();
        let mut stored = store.get(&name).await?;
        if stored.is_none() {
            if !store.is_empty().await? {
                return Err(Error::incompatible("make a repository among other objects")
                    .field("repository", store.location())
                    .hint("choose an empty prefix or directory"));
            }
            store.probe().await?;
            let header = RepoHeader {
                repository_id: ids::new_uuid(),
                created_us: clock.now_us(),
                created_by: VERSION.to_owned(),
            };
            let bytes = header.encode()?;
            stored = Some(match store.create(&name, bytes.clone()).await? {
                Created::Ours => bytes,
                Created::Theirs(theirs) => theirs,
            });
        }
        let header = RepoHeader::decode(&name, stored.as_deref().unwrap_or_default())?;
        Ok(Repository {
            store,
            header: Arc::new(header),
        })
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when there is none.
    pub async fn open(store: Store) -> Result<Repository> {
        let name = ObjectName::Repo.to_string();
        let Some(bytes) = store.get(&name).await? else {
            return Err(Error::config("find repository")
                .field("repository", store.location())
                .hint("check the url, or make one with `tidelog init --repo ...`"));
        };
        let header = Arc::new(RepoHeader::decode(&name, &bytes)?);
        Ok(Repository { store, header })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &RepoHeader {
        &self.header
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All timelines, by number.
    ///
    /// # Errors
    /// As [`Store::get`] and [`Document::decode`].
    pub async fn timelines(&self) -> Result<Vec<Timeline>> {
        let mut timelines = Vec::new();
        // They are numbered densely and never deleted.
        for number in 1.. {
            match self.find_timeline(number).await? {
                Some(timeline) => timelines.push(timeline),
                None => break,
            }
        }
        Ok(timelines)
    }

    /// One timeline.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when there is none of that number.
    pub async fn timeline(&self, timeline: u32) -> Result<Timeline> {
        self.find_timeline(timeline).await?.ok_or_else(|| {
            Error::config("find timeline")
                .field("timeline", timeline)
                .hint("`tidelog status` lists the timelines of a repository")
        })
    }

    async fn find_timeline(&self, timeline: u32) -> Result<Option<Timeline>> {
        let name = ObjectName::Timeline { timeline }.to_string();
        let Some(bytes) = self.store.get(&name).await? else {
            return Ok(None);
        };
        let found = Timeline::decode(&name, &bytes)?;
        check_place(found.timeline == timeline, &name)?;
        Ok(Some(found))
    }

    /// Makes the next timeline.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub async fn create_timeline(
        &self,
        flavor: Flavor,
        source: serde_json::Value,
        parent: Option<Fork>,
        clock: &Clock,
    ) -> Result<Timeline> {
        let mut timeline = Timeline {
            timeline: u32::try_from(self.timelines().await?.len()).unwrap_or(u32::MAX),
            flavor,
            source,
            created_us: clock.now_us(),
            parent,
        };
        loop {
            timeline.timeline = timeline.timeline.saturating_add(1);
            let number = timeline.timeline;
            let name = ObjectName::Timeline { timeline: number }.to_string();
            if self.store.create(&name, timeline.encode()?).await? == Created::Ours {
                return Ok(timeline);
            }
        }
    }

    /// Claims the next writer epoch: from its first commit on, writers before are fenced.
    ///
    /// # Errors
    /// As [`newest_writer`](Self::newest_writer), for nobody writes behind a claim that is damaged;
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the store lets an object be
    /// created twice.
    pub async fn claim_epoch(
        &self,
        timeline: u32,
        claim: &EpochClaim,
        clock: &Clock,
    ) -> Result<WriterEpoch> {
        let newest = self.newest_writer(timeline).await?;
        let mut writer = WriterEpoch {
            timeline,
            epoch: newest.map_or(0, |newest| newest.epoch),
            writer_id: claim.writer_id,
            host: claim.host.clone(),
            pid: std::process::id(),
            started_us: clock.now_us(),
            version: VERSION.to_owned(),
            head_hint: claim.head_hint,
            durability: claim.durability.clone(),
        };
        loop {
            writer.epoch += 1;
            let epoch = writer.epoch;
            let name = ObjectName::Writer { timeline, epoch }.to_string();
            let bytes = writer.encode()?;
            if self.store.create(&name, bytes.clone()).await? == Created::Ours {
                self.store.require_created_once(&name, bytes).await?;
                return Ok(writer);
            }
        }
    }

    /// Whether nobody has claimed an epoch after this one: they are claimed one by one.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn is_newest_epoch(&self, timeline: u32, epoch: u64) -> Result<bool> {
        let epoch = epoch + 1;
        let name = ObjectName::Writer { timeline, epoch }.to_string();
        Ok(self.store.get(&name).await?.is_none())
    }

    /// What the newest writer said when it claimed its epoch; `None` before the first. Readers do
    /// without it where it is damaged: [`known_writer`](Self::known_writer).
    ///
    /// # Errors
    /// As [`Store::get`] and [`Document::decode`].
    pub async fn newest_writer(&self, timeline: u32) -> Result<Option<WriterEpoch>> {
        let epoch = self.newest_epoch(timeline).await?;
        let name = ObjectName::Writer { timeline, epoch }.to_string();
        let Some(bytes) = self.store.get(&name).await? else {
            return Ok(None);
        };
        let writer = WriterEpoch::decode(&name, &bytes)?;
        check_place(writer.timeline == timeline && writer.epoch == epoch, &name)?;
        Ok(Some(writer))
    }

    /// As [`newest_writer`](Self::newest_writer) for a reader: what a claim says is a hint to it, and
    /// a damaged one says nothing.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn known_writer(&self, timeline: u32) -> Result<Option<WriterEpoch>> {
        match self.newest_writer(timeline).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let report = error.report();
                tracing::warn!(error = %report, "the claim of the newest writer cannot be read");
                Ok(None)
            }
            found => found,
        }
    }

    /// The newest claimed epoch of a timeline, by its name; 0 when there is none.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn newest_epoch(&self, timeline: u32) -> Result<u64> {
        let prefix = ObjectName::writers_prefix(timeline);
        let names = self.store.list(&prefix, None, usize::MAX).await?;
        let epochs = names
            .iter()
            .filter_map(|name| match ObjectName::parse(name) {
                Ok(ObjectName::Writer { epoch, .. }) => Some(epoch),
                _ => None,
            });
        Ok(epochs.max().unwrap_or(0))
    }

    /// Commits a manifest whose files have all been put. After an
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) error the outcome is unknown:
    /// commit the same manifest again, never another one under its name.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::ErrorKind::Fenced) when a higher epoch's manifest is there.
    pub async fn commit(&self, manifest: Arc<SegmentManifest>) -> Result<CommitOutcome> {
        let name = manifest.object_name().to_string();
        let bytes = manifest.encode()?;
        let theirs = match self.store.create(&name, bytes.clone()).await? {
            Created::Ours => {
                return Ok(CommitOutcome::Committed(StoredManifest {
                    manifest,
                    sha256: Sha256::of(&bytes),
                    length: bytes.len() as u64,
                }));
            }
            Created::Theirs(bytes) => log::decode(&name, &bytes)?,
        };
        let there = &theirs.manifest;
        let (epoch, writer_id) = (there.epoch, there.writer_id);
        if there.prev_sha256 != manifest.prev_sha256 {
            return Err(
                Error::corrupt("commit after another manifest than the log's")
                    .field("object", &name)
                    .field("epoch", manifest.epoch)
                    .field("other_epoch", epoch)
                    .field("other_writer", writer_id),
            );
        }
        Contender { epoch, writer_id }.require_older(manifest.epoch, &name)?;
        Ok(CommitOutcome::Adopt(theirs))
    }

    /// Writes a base manifest, all of whose files have been put: the base exists from now on.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::ErrorKind::Fenced) when another writer has made that attempt.
    pub async fn commit_base(&self, base: &BaseManifest) -> Result<()> {
        let name = base.object_name().to_string();
        match self.store.create(&name, base.encode()?).await? {
            Created::Ours => Ok(()),
            Created::Theirs(_) => Err(Error::fenced("commit base manifest")
                .field("object", name)
                .hint("another process has made this base: take the next attempt number")),
        }
    }

    /// The complete bases of a timeline, ascending by entry; of each entry the highest attempt.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn bases(&self, timeline: u32) -> Result<Vec<BaseId>> {
        let prefix = ObjectName::base_prefix(timeline);
        let names = self.store.list(&prefix, None, usize::MAX).await?;
        let mut highest = BTreeMap::new();
        for name in &names {
            if let Ok(ObjectName::Base(base)) = ObjectName::parse(name) {
                // Names are in order, so the last attempt of an entry stays.
                highest.insert(base.seq, base);
            }
        }
        Ok(highest.into_values().collect())
    }

    /// A base's manifest.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is missing or damaged.
    pub async fn base(&self, id: BaseId) -> Result<BaseManifest> {
        let name = ObjectName::Base(id).to_string();
        let bytes = self.required(&name).await?;
        let base = BaseManifest::decode(&name, &bytes)?;
        check_place(base.id() == id, &name)?;
        Ok(base)
    }

    /// The newest base at or before an entry.
    ///
    /// # Errors
    /// As [`base`](Self::base).
    pub async fn latest_base(&self, timeline: u32, seq: Seq) -> Result<Option<BaseManifest>> {
        let bases = self.bases(timeline).await?;
        match bases.into_iter().rfind(|base| base.seq <= seq) {
            Some(id) => self.base(id).await.map(Some),
            None => Ok(None),
        }
    }
}

/// An object must say of itself what its name says: swapped objects are found out here.
fn check_place(is_own: bool, name: &str) -> Result<()> {
    is_own.then_some(()).ok_or_else(|| {
        Error::corrupt("read object under another's name")
            .field("object", name)
            .hint("restore the object from a mirror or a bucket version")
    })
}

#[cfg(test)]
mod tests;
