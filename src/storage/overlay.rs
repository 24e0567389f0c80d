//! A store that reads through to another one and writes to a directory of its own.
//!
//! What a reader must prepare before it can read (segments of what is only in the tail) is written
//! where nobody else sees it. The other store may go on meanwhile: its log is read up to one entry
//! only, for what comes behind would not follow what was prepared.

use super::backend::Backend;
use super::file::FileBackend;
use super::names::ObjectName;
use crate::error::{Error, Result, Wrap};
use crate::position::Seq;
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;

/// Where the log of the store below ends for this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The timeline.
    pub timeline: u32,
    /// Its last entry that is read from below.
    pub seq_last: Seq,
}

impl Frozen {
    /// Whether an object is of a later entry.
    fn hides(&self, name: &str) -> bool {
        let Ok(name) = ObjectName::parse(name) else {
            return false;
        };
        let seq = match &name {
            ObjectName::Manifest { seq_first, .. } => *seq_first,
            ObjectName::Catalog { seq, .. } => *seq,
            ObjectName::Base(base) | ObjectName::BaseFile { base, .. } => base.seq,
            _ => return false,
        };
        name.timeline() == Some(self.timeline) && seq > self.seq_last
    }
}

/// One store over another.
#[derive(Debug)]
pub(super) struct OverlayBackend {
    below: Arc<dyn Backend>,
    above: FileBackend,
    frozen: Frozen,
    /// Removed with the last user of the store.
    _folder: TempDir,
}

impl OverlayBackend {
    pub(super) fn new(below: Arc<dyn Backend>, frozen: Frozen) -> Result<OverlayBackend> {
        let folder = tempfile::Builder::new().prefix("tidelog-tail-").tempdir();
        let folder = folder.wrap(|| {
            Error::config("make temporary directory for what is only in the tail")
                .hint("free space where TMPDIR points, or seal it with `tidelog capture --finish`")
        })?;
        Ok(OverlayBackend {
            below,
            above: FileBackend::new(folder.path().to_owned()),
            frozen,
            _folder: folder,
        })
    }

    /// Names below that are shown, at most `limit`.
    async fn shown(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let (mut shown, mut after) = (Vec::new(), after.map(str::to_owned));
        loop {
            let page = self.below.list(prefix, after.as_deref(), limit).await?;
            let is_last = page.len() < limit;
            after = page.last().cloned();
            shown.extend(page.into_iter().filter(|name| !self.frozen.hides(name)));
            if is_last || shown.len() >= limit {
                return Ok(shown);
            }
        }
    }
}

#[async_trait]
impl Backend for OverlayBackend {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.above.put(name, bytes).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        match !self.frozen.hides(name) && self.below.head(name).await?.is_some() {
            true => Ok(false),
            false => self.above.create(name, bytes).await,
        }
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        match self.above.get(name, range.clone()).await? {
            None if !self.frozen.hides(name) => self.below.get(name, range).await,
            found => Ok(found),
        }
    }

    async fn head(&self, name: &str) -> Result<Option<u64>> {
        match self.above.head(name).await? {
            None if !self.frozen.hides(name) => self.below.head(name).await,
            found => Ok(found),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let mut names = self.shown(prefix, after, limit).await?;
        names.extend(self.above.list(prefix, after, limit).await?);
        names.sort_unstable();
        names.dedup();
        names.truncate(limit);
        Ok(names)
    }

    /// What is below is not ours to delete.
    async fn delete(&self, name: &str) -> Result<()> {
        self.above.delete(name).await
    }

    fn can_seek(&self) -> bool {
        self.below.can_seek()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Created, Store};

    fn manifest(seq: i64) -> String {
        let (timeline, seq_first) = (1, Seq(seq));
        ObjectName::Manifest {
            timeline,
            seq_first,
        }
        .to_string()
    }

    #[tokio::test]
    async fn it_reads_through_up_to_an_entry_and_writes_nothing_below() {
        let below = Store::memory();
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        for (name, text) in [
            ("repo.json".to_owned(), "repo"),
            (manifest(1), "one"),
            (manifest(5), "five"),
            (manifest(9), "nine"),
        ] {
            below.put(&name, bytes(text)).await.expect("put");
        }
        let frozen = Frozen {
            timeline: 1,
            seq_last: Seq(8),
        };
        let store = below.overlay(frozen).expect("an overlay");
        let get = async |store: &Store, name: &str| store.get(name).await.expect("get");
        assert_eq!(get(&store, &manifest(5)).await, Some(bytes("five")));
        assert_eq!(get(&store, &manifest(9)).await, None, "of a later entry");
        assert_eq!(store.head(&manifest(9)).await.expect("head"), None);
        let created = store.create(&manifest(5), bytes("mine")).await;
        assert_eq!(created.expect("create"), Created::Theirs(bytes("five")));
        let created = store.create(&manifest(9), bytes("mine")).await;
        assert_eq!(created.expect("create"), Created::Ours);
        store.put(&manifest(7), bytes("seven")).await.expect("put");
        assert_eq!(get(&store, &manifest(9)).await, Some(bytes("mine")));
        assert_eq!(get(&below, &manifest(9)).await, Some(bytes("nine")));
        let prefix = ObjectName::log_prefix(1);
        for limit in 1..6 {
            let all = [1, 5, 7, 9].map(manifest);
            let names = store.list(&prefix, None, limit).await.expect("list");
            assert_eq!(names, all[..limit.min(4)], "{limit}");
            let names = store.list(&prefix, Some(&all[1]), limit).await;
            assert_eq!(names.expect("list"), all[2..(2 + limit).min(4)], "{limit}");
        }
        assert_eq!(get(&below, &manifest(7)).await, None);
        store.delete("repo.json").await.expect("nothing of ours");
        assert_eq!(get(&below, "repo.json").await, Some(bytes("repo")));
    }
}
