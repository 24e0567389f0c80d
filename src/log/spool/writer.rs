//! The thread that writes spool files.
//!
//! It takes what has been handed to it, writes all of it, and syncs once: one fdatasync carries
//! everything that arrived while the one before ran. A sync that fails is final: what the kernel
//! holds of the file afterwards cannot be trusted, so the thread ends, and nothing that it was
//! handed since the last good sync is ever said to be durable.

use super::frame::{self, FileHead, Mark};
use super::{Progress, file_path};
use crate::error::{Error, Result};
use crate::runtime::failpoint;
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind as Io, Write};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};

/// Bytes written between two syncs, about.
const SYNC_BYTES: u64 = 64 << 20;
/// Small events are joined up to this size before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What the writer is asked to do, in order.
#[derive(Debug)]
pub(super) enum Message {
    /// Begin a file; closes the one before.
    Begin(Box<FileHead>, Bytes),
    /// Write what was received together.
    Group(Group),
    /// Close the file in order.
    Close,
    /// Remove closed files up to this number.
    Drop(Vec<u64>),
}

/// Events that were received together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) events: Vec<Bytes>,
    pub(super) received_us: i64,
    /// Whole transactions received up to its end.
    pub(super) transactions: u64,
    pub(super) bytes: u64,
}

/// The open file.
#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    nonce: u64,
    offset: u64,
    synced: u64,
    crc32: crc32fast::Hasher,
    is_named: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) folder: PathBuf,
    pub(super) messages: mpsc::UnboundedReceiver<Message>,
    pub(super) progress: watch::Sender<Progress>,
    open: Option<Open>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        messages: mpsc::UnboundedReceiver<Message>,
        progress: watch::Sender<Progress>,
    ) -> Writer {
        Writer {
            folder,
            messages,
            progress,
            open: None,
            buffer: Vec::new(),
        }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(&mut self) -> Result<()> {
        let mut done = *self.progress.borrow();
        while let Some(first) = self.messages.blocking_recv() {
            let (mut next, mut taken) = (Some(first), 0);
            while let Some(message) = next.take() {
                if let Message::Group(group) = &message {
                    done.transactions = group.transactions;
                    done.bytes += group.bytes;
                    taken += group.bytes;
                }
                self.take(message)?;
                if taken < SYNC_BYTES {
                    next = self.messages.try_recv().ok();
                }
            }
            self.sync()?;
            self.progress.send_replace(done);
        }
        Ok(())
    }

    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Begin(head, description) => self.begin(&head, &description),
            Message::Group(group) => self.group(&group),
            Message::Close => self.close(),
            Message::Drop(numbers) => self.drop_files(&numbers),
        }
    }

    fn begin(&mut self, head: &FileHead, description: &[u8]) -> Result<()> {
        self.close()?;
        let start = frame::start(head, description)?;
        let path = file_path(&self.folder, head.number);
        failpoint::place("spool.before_create");
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| failed("create spool file", &path, e))?;
        failpoint::place("spool.created");
        let mut open = Open {
            file,
            path,
            nonce: head.nonce,
            offset: 0,
            synced: 0,
            crc32: crc32fast::Hasher::new(),
            is_named: false,
        };
        open.write(&start)?;
        failpoint::place("spool.head_written");
        self.open = Some(open);
        Ok(())
    }

    fn group(&mut self, group: &Group) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Err(Error::internal("write to spool without a file"));
        };
        self.buffer.clear();
        let mark = open.mark(group.received_us);
        self.buffer.extend_from_slice(&mark.group()?);
        for event in &group.events {
            if self.buffer.len() + event.len() > BUFFER_BYTES {
                open.write(&self.buffer)?;
                self.buffer.clear();
            }
            match event.len() > BUFFER_BYTES {
                true => open.write(event)?,
                false => self.buffer.extend_from_slice(event),
            }
        }
        if failpoint::is_set("spool.group_begun") {
            // A group that the crash has torn.
            let (half, rest) = self.buffer.split_at(self.buffer.len() / 2);
            open.write(half)?;
            failpoint::place("spool.group_begun");
            open.write(rest)?;
        } else {
            open.write(&self.buffer)?;
        }
        failpoint::place("spool.group_written");
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        failpoint::place("spool.before_end");
        let end = open.mark(0).end()?;
        open.write(&end)?;
        self.sync()?;
        failpoint::place("spool.ended");
        self.open = None;
        Ok(())
    }

    /// Makes the open file durable, its name included.
    fn sync(&mut self) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.synced == open.offset {
            return Ok(());
        }
        let synced = match open.is_named {
            true => open.file.sync_data(),
            false => open.file.sync_all(),
        };
        synced.map_err(|e| failed("sync spool file", &open.path, e))?;
        failpoint::place("spool.file_synced");
        if !open.is_named {
            sync_folder(&self.folder)?;
            open.is_named = true;
        }
        open.synced = open.offset;
        failpoint::place("spool.synced");
        Ok(())
    }

    /// Removes files, the oldest first: what a crash leaves is always the newest of them.
    fn drop_files(&mut self, numbers: &[u64]) -> Result<()> {
        remove(&self.folder, numbers)
    }
}

impl Open {
    fn mark(&self, received_us: i64) -> Mark {
        Mark {
            nonce: self.nonce,
            offset: self.offset,
            synced: self.synced,
            crc32: self.crc32.clone().finalize(),
            received_us,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| failed("write spool file", &self.path, e))?;
        self.crc32.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// Removes files in this order.
pub(super) fn remove(folder: &Path, numbers: &[u64]) -> Result<()> {
    for number in numbers {
        failpoint::place("spool.before_drop");
        let path = file_path(folder, *number);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != Io::NotFound => {
                return Err(failed("remove spool file", &path, error));
            }
            _ => failpoint::place("spool.dropped_one"),
        }
    }
    failpoint::place("spool.dropped");
    Ok(())
}

/// Makes the names in a directory durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    synced.map_err(|e| failed("sync spool directory", folder, e))
}

/// A full disk empties again when segments are committed; a broken one is never trusted again.
pub(super) fn failed(what: &'static str, path: &Path, error: io::Error) -> Error {
    let made = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Error::unavailable(what)
            .hint("free space in the spool's directory; what was not acknowledged is read again"),
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory | Io::NotFound => {
            Error::config(what).hint("give tidelog a directory of its own with --spool-dir")
        }
        Io::AlreadyExists => Error::internal(what),
        _ => Error::corrupt(what).hint(
            "the disk of the spool failed: nothing written since its last sync was acknowledged. \
             Check the disk or choose another --spool-dir, then start again: the rest is read from \
             the spool and the source",
        ),
    };
    made.field("path", path.display()).source(error)
}
