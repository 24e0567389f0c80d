//! The tail: received events in objects of the repository, until segments hold them.
//!
//! An object is a spool file (`object`); its number is the next one over all writers, and it is
//! created only where there is none. [`Tail`] hands events to the task that puts them (`writer`)
//! and knows which of them are durable, `read` gives them back.

mod object;
mod read;
mod writer;

pub(super) use object::Group;
pub(super) use read::TailReader;

use super::durability::Owner;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Repository, TailPlace};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use writer::{Message, Writer};

/// Bytes of events in one object, about: what has arrived beyond waits for the next one.
const OBJECT_BYTES_MAX: u64 = 8 << 20;
/// Bytes handed over that are not durable yet, before reading from the source waits.
const BEHIND_BYTES_MAX: u64 = 4 * OBJECT_BYTES_MAX;

/// What a writer found when it had claimed its epoch.
#[derive(Clone, Debug)]
pub(super) struct TailFound {
    /// How far the tail is in segments.
    pub(super) place: TailPlace,
    /// The objects behind.
    pub(super) numbers: Vec<u64>,
}

impl TailFound {
    /// Looks behind the place that the newest manifest names; one list where nothing is there.
    pub(super) async fn look(
        repository: &Repository,
        timeline: u32,
        sealed: Option<TailPlace>,
    ) -> Result<TailFound> {
        let place = sealed.unwrap_or_else(|| TailPlace::start(1));
        let numbers = repository.tail_after(timeline, place.through).await?;
        Ok(TailFound { place, numbers })
    }
}

/// How far the task is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Whole transactions that are durable.
    transactions: u64,
    /// Bytes of events that were dealt with.
    bytes: u64,
    /// Behind the last object.
    place: TailPlace,
}

/// Hands events to the task that puts them; ends it when dropped.
#[derive(Debug)]
pub(crate) struct Tail {
    sender: mpsc::UnboundedSender<Message>,
    progress: watch::Receiver<Progress>,
    failure: Arc<Mutex<Option<Error>>>,
    task: JoinHandle<()>,
    bytes_handed: u64,
}

impl Tail {
    /// Starts the task. All objects up to `place` have been recovered; `transactions` were received
    /// before.
    pub(super) fn start(
        repository: &Repository,
        owner: &Owner,
        place: TailPlace,
        transactions: u64,
    ) -> Tail {
        let (sender, messages) = mpsc::unbounded_channel();
        let (progress, seen) = watch::channel(Progress {
            transactions,
            bytes: 0,
            place,
        });
        let failure = Arc::new(Mutex::new(None));
        let mut writer = Writer::new(repository.clone(), owner.clone(), messages, progress);
        let reason = Arc::clone(&failure);
        let task = tokio::spawn(async move {
            if let Err(error) = writer.run().await {
                *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            // Who waits for progress learns of the end here, and finds the reason in its place.
            drop(writer);
        });
        Tail {
            sender,
            progress: seen,
            failure,
            task,
            bytes_handed: 0,
        }
    }

    /// Hands events over.
    pub(super) fn append(&mut self, group: Group) -> Result<()> {
        self.bytes_handed += group.bytes();
        self.send(Message::Group(Box::new(group)))
    }

    /// What follows is of another connection.
    pub(super) fn disconnect(&self) -> Result<()> {
        self.send(Message::Disconnect)
    }

    /// Whole transactions that are durable.
    pub(super) fn durable(&self) -> u64 {
        self.progress.borrow().transactions
    }

    /// Behind the last object: it holds nothing that is not durable.
    pub(super) fn place(&self) -> TailPlace {
        self.progress.borrow().place
    }

    /// Whether so much waits for the store that reading must wait, too.
    pub(super) fn is_behind(&self) -> bool {
        self.bytes_handed - self.progress.borrow().bytes > BEHIND_BYTES_MAX
    }

    /// Waits until more has become durable. Cancel-safe.
    ///
    /// # Errors
    /// What the task failed with: `Fenced` once a newer writer was seen.
    pub(super) async fn changed(&mut self) -> Result<()> {
        match self.progress.changed().await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failed()),
        }
    }

    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| self.failed())
    }

    fn failed(&self) -> Error {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Internal, "write tail: its task has ended"))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
