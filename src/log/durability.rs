//! The one write ordering of the product: durable -> acknowledged -> sealed -> data put ->
//! manifest put -> spool dropped. Every step of it is taken by a method here, in the order of the
//! methods, and moves the [`Ladder`]; `commit` does the two puts. Nobody else writes any of them.

use super::guard::EpochGuard;
use super::ladder::Ladder;
use super::spool::{FileHead, SPOOL_FORMAT, Spool};
use crate::binlog::event::{FLAG_ARTIFICIAL, kind};
use crate::binlog::write::repeated_description;
use crate::error::{Error, Result};
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
}

impl DurabilityPolicy {
    /// Name as a setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DurabilityPolicy::None => "none",
            DurabilityPolicy::Spool => "spool",
        }
    }
}

impl FromStr for DurabilityPolicy {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "none" => Ok(DurabilityPolicy::None),
            "spool" => Ok(DurabilityPolicy::Spool),
            "store" | "both" => Err(format!(
                "durability {text} is not in this version: use spool"
            )),
            _ => Err("use none or spool".to_owned()),
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

/// Everything that makes transactions durable, and what follows from it.
#[derive(Debug)]
pub(super) struct Durability {
    ladder: Ladder,
    owner: Owner,
    spool: Option<Spool>,
    guard: Option<EpochGuard>,
    /// Events received and not handed to the spool yet.
    pending: Vec<Bytes>,
    /// Of the file that the first of `pending` begins.
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

    /// Whether the next event begins a file, so that [`take`](Self::take) wants its beginning.
    pub(super) fn wants_beginning(&self) -> bool {
        self.beginning.is_none() && self.spool.as_ref().is_some_and(|s| !s.is_open())
    }

    /// An event was received, whole and checked. `true` when the source's file ends with it: it
    /// must be handed over before the next one, which begins a file here as well. (A GTID list in
    /// the middle of a file is none that MariaDB's own tool reads.)
    pub(super) fn take(&mut self, event: &Bytes, beginning: Option<Beginning>) -> bool {
        let Some(spool) = &self.spool else {
            return false;
        };
        if is_spooled(event) {
            if !spool.is_open() && self.pending.is_empty() {
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

    /// Hands what was taken to the spool.
    pub(super) fn hand_over(&mut self, description: &Bytes, received_us: i64) -> Result<()> {
        let Some(spool) = &mut self.spool else {
            return Ok(());
        };
        let ends_file = std::mem::take(&mut self.ends_file);
        if !self.pending.is_empty() {
            failpoint::place("receive.group");
            if !spool.is_open() {
                let beginning = self.beginning.take().ok_or_else(|| {
                    Error::internal("begin spool file: what its first event follows is not known")
                })?;
                let head = self.owner.head(beginning, spool.number_next());
                spool.begin(head, repeated_description(description)?.into())?;
            }
            let events = std::mem::take(&mut self.pending);
            spool.append(events, received_us, self.ladder.received())?;
        }
        match ends_file {
            true => spool.close(),
            false => Ok(()),
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
        self.settle().await
    }

    /// Whether reading must wait: for the disk, or (between transactions) for room.
    pub(super) fn is_paused(&self, in_transaction: bool) -> bool {
        self.spool
            .as_ref()
            .is_some_and(|s| s.is_behind() || (s.is_full() && !in_transaction))
    }

    /// Whether a segment must be committed to make room.
    pub(super) fn is_full(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::is_full)
    }

    /// Step 1: waits until more is durable; for ever without a spool. Fails as well when another
    /// writer has taken over. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let (spool, guard) = (&mut self.spool, &mut self.guard);
        tokio::select! {
            changed = async {
                match spool {
                    Some(spool) => spool.changed().await,
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

    /// Takes note of what has become durable.
    fn note(&mut self) -> Result<()> {
        match &self.spool {
            Some(spool) => self.ladder.make_durable(spool.durable()),
            None => Ok(()),
        }
    }

    /// Step 1 for all that was received and handed over.
    pub(super) async fn settle(&mut self) -> Result<()> {
        self.note()?;
        while self.spool.is_some() && self.ladder.durable() < self.ladder.received() {
            self.changed().await?;
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
    /// next file begins behind it.
    pub(super) async fn seal(&mut self) -> Result<Sealed> {
        self.settle().await?;
        failpoint::place("seal.before");
        let through = self.ladder.seal(self.spool.is_some())?;
        if let Some(spool) = &mut self.spool {
            spool.close()?;
        }
        Ok(Sealed(through))
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
    fn head(&self, beginning: Beginning, number: u64) -> FileHead {
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
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        assert_eq!("spool".parse(), Ok(DurabilityPolicy::Spool));
        for later in ["store", "both"] {
            let error = DurabilityPolicy::from_str(later).expect_err("not built");
            assert!(error.contains(later) && error.contains("spool"), "{error}");
        }
        assert!(DurabilityPolicy::from_str("disk").is_err());
    }

    #[test]
    fn what_the_dump_thread_made_is_not_spooled() {
        let event = |code: u8, log_pos: u8, flags: u8| {
            let mut event = vec![0_u8; 23];
            event[0] = log_pos;
            event[4] = code;
            event[13] = log_pos;
            event[17] = flags;
            event
        };
        for (code, log_pos, flags, wanted) in [
            (kind::QUERY, 9, 0, true),
            (kind::QUERY, 0, 0, true),
            (kind::ROTATE, 0, 0x20, false),
            (kind::ROTATE, 0, 0, false),
            (kind::ROTATE, 9, 0, true),
            (kind::FORMAT_DESCRIPTION, 0, 0, false),
            (kind::FORMAT_DESCRIPTION, 9, 0, true),
            (kind::GTID_LIST, 9, 0x20, false),
            (kind::HEARTBEAT, 9, 0, false),
            (kind::START_ENCRYPTION, 9, 0, false),
        ] {
            assert_eq!(is_spooled(&event(code, log_pos, flags)), wanted, "{code}");
        }
        assert!(!is_spooled(&[]));
    }
}
