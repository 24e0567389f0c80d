//! The spool: received events in fsynced local files, until the segments that hold them are
//! committed.
//!
//! A spool file holds the events of one connection between two seals, in the order received; it is
//! a valid binlog file (`frame`). [`SpoolDir`] owns the directory, [`Spool`] hands events to the
//! writing thread (`writer`) and knows which of them are durable, `read` gives them back after a
//! crash.

pub(super) mod frame;
mod read;
mod writer;

pub(super) use frame::{FileHead, SPOOL_FORMAT, TailLink};
pub(super) use read::{Item, SpoolFile, SpoolReader};

use crate::error::{Error, ErrorKind, Result, Wrap};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use writer::{Group, Message, Writer};

/// Bytes handed to the writer that are not on disk yet, before reading from the source waits.
const BEHIND_BYTES_MAX: u64 = 32 << 20;
/// File that a process holds locked while it owns the directory.
const LOCK_FILE: &str = "spool.lock";

/// A spool directory that this process owns.
#[derive(Clone, Debug)]
pub(crate) struct SpoolDir {
    path: PathBuf,
    _lock: Arc<File>,
}

impl SpoolDir {
    /// Makes the directory where there is none, and locks it.
    pub(super) fn open(path: &Path) -> Result<SpoolDir> {
        std::fs::create_dir_all(path)
            .map_err(|e| writer::failed("create spool directory", path, e))?;
        let lock = path.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).append(true).open(&lock);
        let file = file.map_err(|e| writer::failed("open lock of spool", &lock, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::config("use spool directory of another process")
                    .field("path", path.display())
                    .hint("one tidelog writes a spool: stop the other, or give this one its own"));
            }
            Err(TryLockError::Error(e)) => return Err(writer::failed("lock spool", &lock, e)),
        }
        writer::sync_folder(path)?;
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            writer::sync_folder(parent)?;
        }
        Ok(SpoolDir {
            path: path.to_owned(),
            _lock: Arc::new(file),
        })
    }

    /// Removes files whose transactions are all committed, the oldest first.
    pub(super) fn remove(&self, files: &[SpoolFile]) -> Result<()> {
        let numbers: Vec<u64> = files.iter().map(|f| f.number).collect();
        writer::remove(&self.path, &numbers)?;
        writer::sync_folder(&self.path)
    }
}

fn file_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.binlog"))
}

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Whole transactions that are durable.
    transactions: u64,
    /// Bytes of events that are durable.
    bytes: u64,
}

/// A file that is not dropped yet.
#[derive(Debug)]
struct FileUse {
    number: u64,
    bytes: u64,
    /// Whole transactions received up to its end.
    transactions: u64,
}

/// Hands events to the writing thread.
#[derive(Debug)]
pub(crate) struct Spool {
    sender: mpsc::UnboundedSender<Message>,
    progress: watch::Receiver<Progress>,
    failure: Arc<Mutex<Option<Error>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    files: VecDeque<FileUse>,
    is_open: bool,
    number_next: u64,
    bytes_handed: u64,
    bytes_max: u64,
}

impl Spool {
    /// Starts the writing thread. All files of the directory have been recovered and removed;
    /// `transactions` were received before. Beyond `bytes_max` reading pauses.
    pub(super) fn start(
        folder: &SpoolDir,
        number_next: u64,
        transactions: u64,
        bytes_max: u64,
    ) -> Result<Spool> {
        let (sender, messages) = mpsc::unbounded_channel();
        let (progress, seen) = watch::channel(Progress {
            transactions,
            bytes: 0,
        });
        let failure = Arc::new(Mutex::new(None));
        let mut writer = Writer::new(folder.path.clone(), messages, progress);
        // The lock is held as long as the thread may write.
        let (place, owned) = (Arc::clone(&failure), folder.clone());
        let work = move || {
            if let Err(error) = writer.run() {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            // Who waits for progress learns of the end here, and finds the reason in its place.
            drop((writer, owned));
        };
        let thread = std::thread::Builder::new().name("spool".into()).spawn(work);
        Ok(Spool {
            sender,
            progress: seen,
            failure,
            thread: Some(thread.wrap(|| Error::internal("start spool thread"))?),
            files: VecDeque::new(),
            is_open: false,
            number_next,
            bytes_handed: 0,
            bytes_max,
        })
    }

    /// Whether a file is open; without one, [`begin`](Self::begin) comes before the next events.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Number of the next file.
    pub(super) fn number_next(&self) -> u64 {
        self.number_next
    }

    /// Begins the file of `head`.
    pub(super) fn begin(&mut self, head: FileHead, description: Bytes) -> Result<()> {
        self.files.push_back(FileUse {
            number: head.number,
            bytes: 0,
            transactions: 0,
        });
        self.number_next = head.number + 1;
        self.is_open = true;
        self.send(Message::Begin(Box::new(head), description))
    }

    /// Hands events over; `transactions` whole ones were received up to their end.
    pub(super) fn append(
        &mut self,
        events: Vec<Bytes>,
        received_us: i64,
        transactions: u64,
    ) -> Result<()> {
        let bytes = events.iter().map(|e| e.len() as u64).sum();
        if let Some(file) = self.files.back_mut() {
            file.bytes += bytes;
            file.transactions = transactions;
        }
        self.bytes_handed += bytes;
        self.send(Message::Group(Group {
            events,
            received_us,
            transactions,
            bytes,
        }))
    }

    /// Closes the open file: the next events begin another one.
    pub(super) fn close(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_open) {
            self.send(Message::Close)?;
        }
        Ok(())
    }

    /// Drops the closed files all of whose transactions are among the first `committed`.
    pub(super) fn drop_through(&mut self, committed: u64) -> Result<()> {
        let mut numbers = Vec::new();
        while self.files.len() > usize::from(self.is_open)
            && let Some(file) = self.files.pop_front_if(|f| f.transactions <= committed)
        {
            numbers.push(file.number);
        }
        match numbers.is_empty() {
            true => Ok(()),
            false => self.send(Message::Drop(numbers)),
        }
    }

    /// Whole transactions that are durable.
    pub(super) fn durable(&self) -> u64 {
        self.progress.borrow().transactions
    }

    /// Whether so much waits for the disk that reading must wait, too.
    pub(super) fn is_behind(&self) -> bool {
        self.bytes_handed - self.progress.borrow().bytes > BEHIND_BYTES_MAX
    }

    /// Whether the files have reached their limit.
    pub(super) fn is_full(&self) -> bool {
        self.files.iter().map(|f| f.bytes).sum::<u64>() >= self.bytes_max
    }

    /// Waits until more has become durable. Cancel-safe.
    ///
    /// # Errors
    /// What the writing thread failed with.
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
        failure.take().unwrap_or_else(|| {
            Error::new(ErrorKind::Internal, "write to spool: its thread has ended")
        })
    }
}

impl Drop for Spool {
    /// The directory is free when this returns.
    fn drop(&mut self) {
        let (closed, _) = mpsc::unbounded_channel();
        self.sender = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
