//! The one write ordering of the product: durable (in the spool, in the tail, or in both) ->
//! acknowledged -> sealed -> data put -> manifest put -> spool dropped. Every step of it is taken
//! by a method here, in the order of the methods, and moves the [`Ladder`]; `commit` does the two
//! puts. Nobody else writes any of them.

use super::guard::EpochGuard;
use super::ladder::Ladder;
use super::spool::{FileHead, SPOOL_FORMAT, Spool};
use super::tail::{Group, Tail};
use crate::binlog::event::{FLAG_ARTIFICIAL, kind};
use crate::binlog::write::repeated_description;
use crate::error::{Error, Result};
use crate::manifest::TailPlace;
use crate::position::{BinlogPosition, Flavor, GtidSet};
use crate::runtime::{failpoint, ids::random_u64};
use crate::source::EventStream;
use bytes::Bytes;
use std::str::FromStr;
use uuid::Uuid;

/// When a transaction counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurabilityPolicy {
    /// When its segment is committed; until then the source's binlog holds it.
    #[default]
    None,
    /// When it is in a synced file of the spool.
    Spool,
    /// When it is in an object of the repository's tail.
    Store,
    /// When it is in the spool and in the tail.
    Both,
}

impl DurabilityPolicy {
    /// Name as a setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DurabilityPolicy::None => "none",
            DurabilityPolicy::Spool => "spool",
            DurabilityPolicy::Store => "store",
            DurabilityPolicy::Both => "both",
        }
    }

    /// What can be lost, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            DurabilityPolicy::None => {
                "safe here once its segment is committed; until then the source's binlog alone has it"
            }
            DurabilityPolicy::Spool => {
                "safe once it is on the spool's disk; lost only with source and disk"
            }
            DurabilityPolicy::Store => {
                "safe once it is in the repository, needs no local disk; with semi-sync commits wait \
                 while the store is away"
            }
            DurabilityPolicy::Both => {
                "safe once it is on the spool's disk and in the repository; with semi-sync commits \
                 wait while the store is away"
            }
        }
    }

    /// Whether what is received goes into a spool.
    #[must_use]
    pub fn uses_spool(self) -> bool {
        matches!(self, DurabilityPolicy::Spool | DurabilityPolicy::Both)
    }

    /// Whether what is received goes into the tail.
    #[must_use]
    pub fn uses_tail(self) -> bool {
        matches!(self, DurabilityPolicy::Store | DurabilityPolicy::Both)
    }
}

impl FromStr for DurabilityPolicy {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "none" => Ok(DurabilityPolicy::None),
            "spool" => Ok(DurabilityPolicy::Spool),
            "store" => Ok(DurabilityPolicy::Store),
            "both" => Ok(DurabilityPolicy::Both),
            _ => Err("use none, spool, store or both".to_owned()),
        }
    }
}

/// Whose events go into the spool.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) repository_id: Uuid,
    pub(super) timeline: u32,
    pub(super) epoch: u64,
    pub(super) writer_id: Uuid,
    pub(super) flavor: Flavor,
    pub(super) source: String,
}

/// What the first event of a file follows, where it stands, and how its times are read.
#[derive(Clone, Debug)]
pub(super) struct Beginning {
    pub(super) after_gtids: GtidSet,
    pub(super) after_position: BinlogPosition,
    pub(super) begins_at: BinlogPosition,
    pub(super) clock_offset_us: i64,
    pub(super) clock_error_us: i64,
    pub(super) backlog_until: Option<BinlogPosition>,
}

/// What is known of received events when they are handed over.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The format description in force.
    pub(super) description: Bytes,
    /// When, on our clock.
    pub(super) at_us: i64,
    /// A transaction is open at their end.
    pub(super) is_open: bool,
    /// When the last whole transaction was committed, the source's clock.
    pub(super) commit_us: Option<i64>,
}

/// Everything that makes transactions durable, and what follows from it.
#[derive(Debug)]
pub(super) struct Durability {
    ladder: Ladder,
    owner: Owner,
    spool: Option<Spool>,
    tail: Option<Tail>,
    guard: Option<EpochGuard>,
    /// Events received and not handed over yet.
    pending: Vec<Bytes>,
    /// Of a file or object that the first of `pending` begins.
    beginning: Option<Beginning>,
    /// The source's file ends with the last of `pending`.
    ends_file: bool,
    is_recovering: bool,
}

/// A batch on its way into a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed(u64);

impl Durability {
    pub(super) fn new(owner: Owner) -> Durability {
        Durability {
            ladder: Ladder::default(),
            owner,
            spool: None,
            tail: None,
            guard: None,
            pending: Vec::new(),
            beginning: None,
            ends_file: false,
            is_recovering: false,
        }
    }

    /// What is received until there is a spool comes out of an earlier one.
    pub(super) fn begin_recovery(&mut self) {
        self.is_recovering = true;
    }

    /// What an earlier spool held is in segments.
    pub(super) fn end_recovery(&mut self) {
        self.is_recovering = false;
    }

    /// From now on events go to a spool.
    pub(super) fn use_spool(&mut self, spool: Spool) {
        self.spool = Some(spool);
    }

    /// From now on events go to the tail.
    pub(super) fn use_tail(&mut self, tail: Tail) {
        self.tail = Some(tail);
    }

    /// From now on acknowledgements are sent, as long as the guard holds.
    pub(super) fn use_guard(&mut self, guard: EpochGuard) {
        self.guard = Some(guard);
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whole transactions received.
    pub(super) fn received(&self) -> u64 {
        self.ladder.received()
    }

    /// Whole transactions known to be durable.
    pub(super) fn durable(&self) -> u64 {
        self.ladder.durable()
    }

    /// Whether the next event may begin a file or an object, so that [`take`](Self::take) wants its
    /// beginning.
    pub(super) fn wants_beginning(&self) -> bool {
        let begins_file = self.spool.as_ref().is_some_and(|s| !s.is_open());
        self.pending.is_empty() && (begins_file || self.tail.is_some())
    }

    fn is_kept(&self) -> bool {
        self.spool.is_some() || self.tail.is_some()
    }

    /// An event was received, whole and checked. `true` when the source's file ends with it: it
    /// must be handed over before the next one, which begins a file here as well. (A GTID list in
    /// the middle of a file is none that MariaDB's own tool reads.)
    pub(super) fn take(&mut self, event: &Bytes, beginning: Option<Beginning>) -> bool {
        if !self.is_kept() {
            return false;
        }
        if is_spooled(event) {
            if self.pending.is_empty() {
                self.beginning = beginning;
            }
            self.pending.push(event.clone());
        }
        let ends = event.get(4) == Some(&kind::ROTATE);
        self.ends_file |= ends;
        ends
    }

    /// A transaction is whole.
    pub(super) fn receive(&mut self) -> Result<()> {
        match self.is_recovering {
            true => self.ladder.recover(),
            false => {
                self.ladder.receive();
                Ok(())
            }
        }
    }

    /// Hands what was taken to the spool and the tail.
    pub(super) fn hand_over(&mut self, received: Received) -> Result<()> {
        let ends_file = std::mem::take(&mut self.ends_file);
        if !self.pending.is_empty() {
            failpoint::place("receive.group");
            let events = std::mem::take(&mut self.pending);
            let beginning = self.beginning.take();
            let unknown =
                || Error::internal("begin spool file: what its first event follows is not known");
            if let Some(spool) = &mut self.spool {
                if !spool.is_open() {
                    let beginning = beginning.clone().ok_or_else(unknown)?;
                    let head = self.owner.head(beginning, spool.number_next());
                    spool.begin(head, repeated_description(&received.description)?.into())?;
                }
                spool.append(events.clone(), received.at_us, self.ladder.received())?;
            }
            if let Some(tail) = &mut self.tail {
                tail.append(Group {
                    events,
                    received_us: received.at_us,
                    transactions: self.ladder.received(),
                    commit_us: received.commit_us,
                    is_open: received.is_open,
                    ends_file,
                    beginning: beginning.ok_or_else(unknown)?,
                    description: received.description,
                })?;
            }
        }
        match &mut self.spool {
            Some(spool) if ends_file => spool.close(),
            _ => Ok(()),
        }
    }

    /// The connection has ended: what follows begins another file. All that was received on it is
    /// durable when this returns.
    pub(super) async fn disconnect(&mut self) -> Result<()> {
        self.pending.clear();
        (self.beginning, self.ends_file) = (None, false);
        if let Some(spool) = &mut self.spool {
            spool.close()?;
            spool.drop_through(self.ladder.committed())?;
        }
        if let Some(tail) = &self.tail {
            tail.disconnect()?;
        }
        self.settle().await
    }

    /// Whether reading must wait: for the disk or the store, or (between transactions) for room.
    pub(super) fn is_paused(&self, in_transaction: bool) -> bool {
        self.tail.as_ref().is_some_and(Tail::is_behind)
            || self
                .spool
                .as_ref()
                .is_some_and(|s| s.is_behind() || (s.is_full() && !in_transaction))
    }

    /// Whether a segment must be committed to make room.
    pub(super) fn is_full(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::is_full)
    }

    /// Waits until something durable is not acknowledged, or more has become durable. Fails as well
    /// when another writer has taken over. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.note()?;
        match self.guard.is_some() && self.ladder.owes_acknowledgement() {
            true => Ok(()),
            false => self.advanced().await,
        }
    }

    /// Step 1: waits until more is in the spool or in the tail; for ever without either.
    async fn advanced(&mut self) -> Result<()> {
        let (spool, tail, guard) = (&mut self.spool, &mut self.tail, &mut self.guard);
        tokio::select! {
            changed = async {
                match spool {
                    Some(spool) => spool.changed().await,
                    None => std::future::pending().await,
                }
            } => changed,
            changed = async {
                match tail {
                    Some(tail) => tail.changed().await,
                    None => std::future::pending().await,
                }
            } => changed,
            fenced = async {
                match guard {
                    Some(guard) => guard.overtaken().await,
                    None => std::future::pending().await,
                }
            } => Err(fenced),
        }
    }

    /// Takes note of what has become durable: with `both`, what is in the spool and in the tail.
    fn note(&mut self) -> Result<()> {
        let spool = self.spool.as_ref().map(Spool::durable);
        let tail = self.tail.as_ref().map(Tail::durable);
        match spool.into_iter().chain(tail).min() {
            // A commit may have made durable what has not come through here yet.
            Some(durable) => self.ladder.make_durable(durable.max(self.ladder.durable())),
            None => Ok(()),
        }
    }

    /// Step 1 for all that was received and handed over.
    pub(super) async fn settle(&mut self) -> Result<()> {
        self.note()?;
        while self.is_kept() && self.ladder.durable() < self.ladder.received() {
            self.advanced().await?;
            self.note()?;
        }
        Ok(())
    }

    /// A dump is about to start behind all that was received, which acknowledges it: it must be
    /// durable. Without semi-sync nothing waits for it.
    pub(super) async fn require_all_durable(&self) -> Result<()> {
        match &self.guard {
            Some(guard) => {
                guard.require_ours().await?;
                self.ladder.require_all_durable()
            }
            None => Ok(()),
        }
    }

    /// Step 2: acknowledges what is durable, on the connection that was asked for it.
    pub(super) async fn acknowledge(&mut self, stream: &mut EventStream) -> Result<()> {
        self.note()?;
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        guard.require_ours().await?;
        let durable = match failpoint::is_set(failpoint::ACK_ON_RECEIPT) {
            true => u64::MAX,
            false => self.ladder.durable(),
        };
        self.ladder.acknowledge(self.ladder.durable())?;
        failpoint::place("ack.before");
        if let Some(end) = stream.acknowledge(durable).await? {
            failpoint::place("ack.sent");
            tracing::debug!(position = %end, "acknowledged");
        }
        Ok(())
    }

    /// Step 3: all that was received goes into a segment. It is durable before, and the spool's
    /// next file begins behind it. Gives the place in the tail that the segment reaches.
    pub(super) async fn seal(&mut self) -> Result<(Sealed, Option<TailPlace>)> {
        self.settle().await?;
        failpoint::place("seal.before");
        let through = self.ladder.seal(self.is_kept())?;
        if let Some(spool) = &mut self.spool {
            spool.close()?;
        }
        Ok((Sealed(through), self.tail.as_ref().map(Tail::place)))
    }

    /// Steps 4 and 5 are done: the manifest exists. Step 6: the spool drops what it covers.
    pub(super) fn committed(&mut self, sealed: Sealed) -> Result<()> {
        self.ladder.commit(sealed.0)?;
        match &mut self.spool {
            Some(spool) => spool.drop_through(self.ladder.committed()),
            None => Ok(()),
        }
    }
}

impl Owner {
    pub(super) fn head(&self, beginning: Beginning, number: u64) -> FileHead {
        FileHead {
            format: SPOOL_FORMAT,
            repository_id: self.repository_id,
            timeline: self.timeline,
            epoch: self.epoch,
            writer_id: self.writer_id,
            flavor: self.flavor,
            source: self.source.clone(),
            number,
            nonce: random_u64(),
            after_gtids: beginning.after_gtids,
            after_position: beginning.after_position,
            begins_at: beginning.begins_at,
            clock_offset_us: beginning.clock_offset_us,
            clock_error_us: beginning.clock_error_us,
            backlog_until: beginning.backlog_until,
            tail: None,
        }
    }
}

fn is_artificial(event: &[u8]) -> bool {
    let flags = event.get(17..19).and_then(|b| b.try_into().ok());
    flags.is_some_and(|b| u16::from_le_bytes(b) & FLAG_ARTIFICIAL != 0)
}

/// Whether an event belongs into the spool: those that stand in the source's file. An encrypted
/// binlog arrives decrypted, but for the event that says it is not.
fn is_spooled(event: &[u8]) -> bool {
    let log_pos = event.get(13..17);
    match event.get(4).copied() {
        None | Some(kind::HEARTBEAT | kind::HEARTBEAT_V2 | kind::START_ENCRYPTION) => false,
        Some(kind::ROTATE) => !is_artificial(event) && event.get(..4) != Some(&[0; 4]),
        Some(kind::FORMAT_DESCRIPTION) => log_pos != Some(&[0; 4]),
        Some(_) => !is_artificial(event),
    }
}

#[cfg(test)]
mod tests;
