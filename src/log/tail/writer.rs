//! The task that puts the tail's objects: one at a time, each with all that arrived meanwhile.
//!
//! Put, then look whether a newer writer has claimed the timeline, then say that it is durable. A
//! newer writer claims first and lists the tail afterwards. So either the look sees the claim, and
//! nothing of the object is acknowledged; or the object was there before the claim, and the list
//! shows it.

use super::object::{Encoded, Group, encode};
use super::read::head_of;
use super::{OBJECT_BYTES_MAX, Progress};
use crate::error::{Error, Result, Wrap};
use crate::log::commit::patiently;
use crate::log::durability::Owner;
use crate::log::guard;
use crate::manifest::{Contender, Repository, Sha256, TailPlace};
use crate::runtime::failpoint;
use crate::storage::{Created, ObjectName};
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::sync::{mpsc, watch};

/// Encoding and hashing more than this would hold up the sockets of the same thread.
const INLINE_BYTES_MAX: u64 = 256 << 10;

/// What the writer is asked to do, in order.
#[derive(Debug)]
pub(super) enum Message {
    /// Make these events durable.
    Group(Box<Group>),
    /// What follows is of another connection: what is open comes again on it.
    Disconnect,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) repository: Repository,
    pub(super) owner: Owner,
    pub(super) messages: mpsc::UnboundedReceiver<Message>,
    pub(super) progress: watch::Sender<Progress>,
    /// Behind the last object.
    place: TailPlace,
    queue: VecDeque<Group>,
    /// The last object of this connection ends within a transaction.
    continues: bool,
}

impl Writer {
    pub(super) fn new(
        repository: Repository,
        owner: Owner,
        messages: mpsc::UnboundedReceiver<Message>,
        progress: watch::Sender<Progress>,
    ) -> Writer {
        let place = progress.borrow().place;
        Writer {
            repository,
            owner,
            messages,
            progress,
            place,
            queue: VecDeque::new(),
            continues: false,
        }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) async fn run(&mut self) -> Result<()> {
        loop {
            while let Ok(message) = self.messages.try_recv() {
                self.take(message);
            }
            if let Some(count) = self.due() {
                self.store(count).await?;
                continue;
            }
            match self.messages.recv().await {
                Some(message) => self.take(message),
                None => return Ok(()),
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Group(group) => self.queue.push_back(*group),
            Message::Disconnect => match self.queue.back_mut() {
                // It may hold whole transactions before the open one.
                Some(last) => last.ends_file = true,
                None => self.continues = false,
            },
        }
    }

    /// How many groups go into the next object: up to the last one that ends between transactions,
    /// or all where the limit lies within one. `None` when more must arrive first.
    fn due(&self) -> Option<usize> {
        let (mut bytes, mut whole, mut count) = (0, None, 0);
        for group in &self.queue {
            count += 1;
            bytes += group.bytes();
            if !group.is_open {
                whole = Some(count);
            }
            if group.ends_file || bytes >= OBJECT_BYTES_MAX {
                return whole.or(Some(count));
            }
        }
        whole
    }

    async fn store(&mut self, count: usize) -> Result<()> {
        let mut groups: Vec<Group> = self.queue.drain(..count).collect();
        let bytes: u64 = groups.iter().map(Group::bytes).sum();
        let transactions = groups.last().map(|last| last.transactions);
        let ends = groups.last().is_some_and(|last| last.ends_file);
        let is_open = groups.last().is_some_and(|last| last.is_open);
        loop {
            let (returned, encoded) = self.encode(groups, bytes).await?;
            groups = returned;
            let Some(encoded) = encoded else {
                return Ok(());
            };
            if self.put(encoded).await? {
                break;
            }
        }
        failpoint::place("tail.put");
        self.look().await?;
        failpoint::place("tail.looked");
        self.continues = is_open && !ends;
        self.progress.send_modify(|progress| {
            progress.bytes += bytes;
            progress.place = self.place;
            progress.transactions = transactions.unwrap_or(progress.transactions);
        });
        Ok(())
    }

    async fn encode(
        &self,
        groups: Vec<Group>,
        bytes: u64,
    ) -> Result<(Vec<Group>, Option<Encoded>)> {
        let (owner, place, continues) = (self.owner.clone(), self.place, self.continues);
        let work = move || {
            let encoded = encode(&owner, &place, &groups, continues)?;
            Ok((groups, encoded))
        };
        if bytes <= INLINE_BYTES_MAX {
            return work();
        }
        let task = tokio::task::spawn_blocking(work);
        task.await.wrap(|| Error::internal("encode tail object"))?
    }

    /// Creates the next object, until the outcome is known. `false`: an older writer's is there,
    /// which was never acknowledged; ours comes behind it.
    async fn put(&mut self, encoded: Encoded) -> Result<bool> {
        let (timeline, number) = (self.owner.timeline, self.place.through + 1);
        let name = ObjectName::Tail { timeline, number }.to_string();
        failpoint::place("tail.before_put");
        let store = self.repository.store();
        let created = patiently(|| store.create(&name, encoded.bytes.clone())).await?;
        let (is_ours, sha256, bytes) = match created {
            Created::Ours => (true, encoded.sha256, encoded.bytes),
            Created::Theirs(theirs) => (false, self.theirs(&name, &theirs)?, theirs),
        };
        self.place = TailPlace {
            through: number,
            sha256: Some(sha256),
            bytes: self.place.bytes + bytes.len() as u64,
            epoch: self.place.epoch,
        };
        Ok(is_ours)
    }

    fn theirs(&self, name: &str, theirs: &Bytes) -> Result<Sha256> {
        let head = head_of(name, theirs.clone())?;
        let other = Contender {
            epoch: head.epoch,
            writer_id: head.writer_id,
        };
        other.require_older(self.owner.epoch, name)?;
        tracing::warn!(
            object = name,
            epoch = head.epoch,
            "an older writer put this behind its last acknowledgement: it is skipped"
        );
        super::read::require_link(name, &head, &self.place)?;
        Ok(Sha256::of(theirs))
    }

    async fn look(&self) -> Result<()> {
        let (timeline, epoch) = (self.owner.timeline, self.owner.epoch);
        let is_newest = patiently(|| self.repository.is_newest_epoch(timeline, epoch));
        match is_newest.await? {
            true => Ok(()),
            false => Err(guard::overtaken(timeline, epoch)),
        }
    }
}
