//! Reading what is only in the tail: as if it were in segments already.
//!
//! The unsealed part of the tail is recovered as capture would do it, by the same code, into a
//! store above the repository that nobody else sees. So whatever reads segments reads the tail as
//! well, and with the entries that a capture which goes on will give them.

use super::resume::{CaptureOptions, Writer, newest};
use super::run::CaptureControl;
use super::session::Capture;
use super::tail::{TailFound, TailReader};
use crate::error::Result;
use crate::manifest::{Repository, TailPlace};
use crate::runtime::{Clock, Shutdown};
use crate::storage::Frozen;
use uuid::Uuid;

/// What is in the tail and in no segment yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailStatus {
    /// Objects.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// When the last transaction was committed, microseconds since the epoch on the source's clock.
    pub commit_us: Option<i64>,
}

/// The repository with what its tail holds, to read from; the repository itself where every part of
/// the tail is in a segment. One list where there never was a tail.
///
/// # Errors
/// `Corrupt` for damage, a hole or a broken chain in the tail, and those of the store.
pub async fn through_tail(repository: &Repository, clock: &Clock) -> Result<Repository> {
    let timeline = repository.timelines().await?.pop();
    let has_tail = match &timeline {
        Some(timeline) => repository.has_tail(timeline.timeline).await?,
        None => false,
    };
    let newest = match has_tail {
        true => newest(repository).await?,
        false => None,
    };
    let Some((timeline, head)) = newest else {
        return Ok(repository.clone());
    };
    let sealed = head.manifest.tail;
    let found = TailFound::look(repository, timeline.timeline, sealed).await?;
    if found.numbers.is_empty() {
        return Ok(repository.clone());
    }
    let store = repository.store().overlay(Frozen {
        timeline: timeline.timeline,
        seq_last: head.manifest.seq_last,
    })?;
    let above = Repository::open(store).await?;
    let options = CaptureOptions::default();
    let writer = Writer::above(&above, (&timeline, &head), &options, clock).await?;
    let mut capture = Capture::new(writer, (0, Uuid::nil()), &options, clock);
    let (_, shutdown) = Shutdown::manual();
    let control = CaptureControl::new(shutdown);
    capture.recover_tail(&above, found, &control).await?;
    Ok(above)
}

/// How much of a timeline's tail is in no segment: a list, and the newest object. `sealed` is what
/// the newest manifest says.
///
/// # Errors
/// `Corrupt` for a hole or damage in the newest object, and those of the store.
pub async fn tail_status(
    repository: &Repository,
    timeline: u32,
    sealed: Option<TailPlace>,
) -> Result<TailStatus> {
    if sealed.is_none() {
        return Ok(TailStatus::default());
    }
    let TailFound { place, numbers } = TailFound::look(repository, timeline, sealed).await?;
    let Some(&newest) = numbers.last() else {
        return Ok(TailStatus::default());
    };
    let newest = TailReader::one(repository, timeline, newest).await?;
    Ok(TailStatus {
        objects: numbers.len() as u64,
        bytes: newest.bytes_through().saturating_sub(place.bytes),
        commit_us: newest.check()?,
    })
}

/// Reads the part of a timeline's tail that is in no segment: every checksum, and that each object
/// follows the one before.
///
/// # Errors
/// `Corrupt` naming the object, and those of the store.
pub async fn check_tail(repository: &Repository, timeline: u32) -> Result<TailStatus> {
    let mut status = TailStatus::default();
    if !repository.has_tail(timeline).await? {
        return Ok(status);
    }
    let sealed = repository.head(timeline).await?;
    let sealed = sealed.and_then(|head| head.manifest.tail);
    let TailFound { place, numbers } = TailFound::look(repository, timeline, sealed).await?;
    status.objects = numbers.len() as u64;
    let mut reader = TailReader::new(repository, timeline, place, numbers);
    while let Some(object) = reader.next().await? {
        status.commit_us = object.check()?.or(status.commit_us);
        status.bytes += object.bytes.len() as u64;
    }
    Ok(status)
}
