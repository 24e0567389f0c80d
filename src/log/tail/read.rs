//! The tail read back: its objects in order, each linked to the one before.

use crate::error::{Error, Result};
use crate::log::spool::{FileHead, Item, SpoolReader};
use crate::manifest::{Repository, Sha256, TailPlace};
use crate::storage::ObjectName;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use std::fmt;

/// Objects fetched ahead of the reader.
const AHEAD: usize = 8;

/// An object of the tail.
#[derive(Debug)]
pub(in crate::log) struct TailObject {
    pub(in crate::log) name: String,
    pub(in crate::log) bytes: Bytes,
    /// Length of all objects before.
    bytes_before: u64,
    /// An older writer put it after the tail had been read for the last time before a newer one
    /// went on: nothing of it was acknowledged.
    pub(in crate::log) is_stale: bool,
}

/// Reads the objects behind a place.
pub(in crate::log) struct TailReader {
    place: TailPlace,
    objects: BoxStream<'static, Result<(u64, String, Option<Bytes>)>>,
}

impl fmt::Debug for TailReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TailReader");
        debug.field("place", &self.place).finish_non_exhaustive()
    }
}

impl TailReader {
    /// Reads these objects, which follow `place`.
    pub(in crate::log) fn new(
        repository: &Repository,
        timeline: u32,
        place: TailPlace,
        numbers: Vec<u64>,
    ) -> TailReader {
        let store = repository.store().clone();
        let objects = futures::stream::iter(numbers).map(move |number| {
            let (store, name) = (store.clone(), ObjectName::Tail { timeline, number });
            async move {
                let name = name.to_string();
                let bytes = store.get(&name).await?;
                Ok((number, name, bytes))
            }
        });
        TailReader {
            place,
            objects: objects.buffered(AHEAD).boxed(),
        }
    }

    /// One object, whatever it follows.
    pub(in crate::log) async fn one(
        repository: &Repository,
        timeline: u32,
        number: u64,
    ) -> Result<TailObject> {
        let name = ObjectName::Tail { timeline, number }.to_string();
        let bytes = repository.store().get(&name).await?;
        let bytes = bytes.ok_or_else(|| missing(&name))?;
        let head = head_of(&name, bytes.clone())?;
        Ok(TailObject {
            bytes_before: head.tail.map_or(0, |link| link.bytes_before),
            name,
            bytes,
            is_stale: false,
        })
    }

    /// Behind the object read last.
    pub(in crate::log) fn place(&self) -> TailPlace {
        self.place
    }

    /// The next object.
    ///
    /// # Errors
    /// `Corrupt` naming the object when it is gone, damaged at its start or does not follow.
    pub(in crate::log) async fn next(&mut self) -> Result<Option<TailObject>> {
        let Some(next) = self.objects.next().await else {
            return Ok(None);
        };
        let (number, name, bytes) = next?;
        let bytes = bytes.ok_or_else(|| missing(&name))?;
        let head = head_of(&name, bytes.clone())?;
        require_link(&name, &head, &self.place)?;
        self.place = TailPlace {
            through: number,
            sha256: Some(Sha256::of(&bytes)),
            bytes: self.place.bytes + bytes.len() as u64,
            epoch: self.place.epoch,
        };
        Ok(Some(TailObject {
            is_stale: head.epoch < self.place.epoch,
            bytes_before: self.place.bytes - bytes.len() as u64,
            name,
            bytes,
        }))
    }
}

impl TailObject {
    pub(in crate::log) fn reader(&self) -> SpoolReader {
        SpoolReader::object(self.name.clone(), self.bytes.clone())
    }

    /// Length of all objects up to this one.
    pub(in crate::log) fn bytes_through(&self) -> u64 {
        self.bytes_before.saturating_add(self.bytes.len() as u64)
    }

    /// Reads it to its end; gives when the last transaction up to there was committed.
    ///
    /// # Errors
    /// `Corrupt` naming object and offset.
    pub(in crate::log) fn check(&self) -> Result<Option<i64>> {
        let (mut reader, mut commit_us) = (self.reader(), 0);
        while let Some(item) = reader.next()? {
            if let Item::End(at_us) = item {
                commit_us = at_us;
            }
        }
        Ok((commit_us != 0).then_some(commit_us))
    }
}

fn missing(name: &str) -> Error {
    Error::corrupt("read tail: an object is missing")
        .field("object", name)
        .hint("bring it back from a mirror or a bucket version")
}

/// The head of an object.
pub(super) fn head_of(name: &str, bytes: Bytes) -> Result<FileHead> {
    let mut reader = SpoolReader::object(name.to_owned(), bytes);
    while let Some(item) = reader.next()? {
        if let Item::Head(head) = item {
            return Ok(*head);
        }
    }
    Err(reader.named(Error::corrupt("read tail object without a head")))
}

/// An object says of itself which one it follows.
pub(super) fn require_link(name: &str, head: &FileHead, place: &TailPlace) -> Result<()> {
    let link = head.tail.filter(|_| head.number == place.through + 1);
    if link.is_some_and(|l| (l.prev_sha256, l.bytes_before) == (place.sha256, place.bytes)) {
        return Ok(());
    }
    let hash = |sha256: Option<Sha256>| sha256.map(|s| s.to_string()).unwrap_or_default();
    Err(
        Error::corrupt("read tail object that does not follow the one before")
            .field("object", name)
            .field("number", head.number)
            .field("prev_sha256", hash(link.and_then(|l| l.prev_sha256)))
            .field("wanted_prev_sha256", hash(place.sha256))
            .hint("one of the two was replaced: bring both back from a mirror or a bucket version"),
    )
}
