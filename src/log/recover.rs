//! After a crash: what the tail and the spool hold past the last manifest is read back and sealed.
//!
//! The place is found from the manifests and their own content. The events go through the
//! same assembler and batch as when they were received, at the same times, so that the segments
//! are those that the crash prevented. A dump starts only after all of them are committed.

use super::commit_time::CommitClock;
use super::durability::Owner;
use super::run::CaptureControl;
use super::session::{Capture, Ended};
use super::spool::{FileHead, Item, SPOOL_FORMAT, SpoolDir, SpoolReader};
use crate::binlog::Assembler;
use crate::change::{Begin, LogItem};
use crate::error::{Error, Result};
use crate::position::{BinlogPosition, GtidSet};
use crate::runtime::failpoint;
use bytes::Bytes;
use std::cmp::Ordering;

mod tail;

/// Progress through all files of a spool, or all objects of a tail.
struct Recovery {
    /// Where the log ended when recovery began.
    committed: GtidSet,
    position: BinlogPosition,
    /// What they say was received, up to here.
    seen: GtidSet,
    /// A transaction that is in no segment was taken.
    has_taken: bool,
    transactions: u64,
    /// The file at hand.
    replay: Option<Replay>,
}

/// One file on its way.
struct Replay {
    head: FileHead,
    assembler: Assembler,
    clock: CommitClock,
    received_us: i64,
    /// The transaction at hand is in a segment already.
    skips: bool,
}

impl Capture {
    /// Seals what the spool holds and no segment does; gives the number of the next spool file.
    /// The files are removed once the manifests exist.
    pub(super) async fn recover(
        &mut self,
        spool: &SpoolDir,
        control: &CaptureControl,
    ) -> Result<u64> {
        let files = spool.files()?;
        let Some(newest) = files.last() else {
            return Ok(1);
        };
        failpoint::place("recover.begin");
        self.durability.begin_recovery();
        let mut recovery = self.recovery()?;
        for file in &files {
            let mut reader = SpoolReader::open(file)?;
            self.recover_file(&mut reader, &mut recovery, control)
                .await?;
            if let Some((offset, bytes)) = reader.cut() {
                tracing::warn!(
                    file = %file.path.display(), offset, bytes,
                    "the end of the spool was torn by a crash and is cut off; it was not acknowledged"
                );
            }
            failpoint::place("recover.file_read");
        }
        self.end_files(&mut recovery);
        self.seal_now(control).await?;
        self.settle(control).await?;
        failpoint::place("recover.sealed");
        self.durability.end_recovery();
        spool.remove(&files)?;
        failpoint::place("recover.dropped");
        tracing::info!(
            files = files.len(),
            transactions = recovery.transactions,
            "spool recovered"
        );
        Ok(newest.number + 1)
    }

    fn recovery(&self) -> Result<Recovery> {
        let committed = self.gtids_all()?;
        Ok(Recovery {
            seen: GtidSet::empty(committed.flavor()),
            committed,
            position: self.batch.position.clone(),
            has_taken: false,
            transactions: 0,
            replay: None,
        })
    }

    async fn seal_now(&mut self, control: &CaptureControl) -> Result<()> {
        match self.seal(control).await {
            Err(Ended::Commit(error) | Ended::Stream(error)) => Err(error),
            Err(Ended::Done(_)) | Ok(()) => Ok(()),
        }
    }

    async fn recover_file(
        &mut self,
        reader: &mut SpoolReader,
        recovery: &mut Recovery,
        control: &CaptureControl,
    ) -> Result<()> {
        let mut description: Option<Bytes> = None;
        let (mut has_head, mut is_repeated) = (false, false);
        while let Some(item) = reader.next()? {
            let taken = match item {
                Item::Head(head) if !has_head => {
                    has_head = true;
                    is_repeated = head.tail.is_some_and(|link| link.continues);
                    self.begin_file(*head, description.take(), recovery)
                }
                Item::Head(_) => Err(Error::corrupt("read spool file with two heads")),
                Item::Received(at_us) => {
                    is_repeated = false;
                    recovery.received(at_us)
                }
                // The description stands before the head.
                Item::Event(event) if !has_head => {
                    description = Some(event);
                    Ok(())
                }
                // What begins the file says where a transaction goes on that is at hand.
                Item::Event(_) if is_repeated => Ok(()),
                Item::Event(event) => self.replay_next(event, recovery),
                Item::End(_) => Ok(()),
            };
            taken.map_err(|error| reader.named(error))?;
            if self.is_full() {
                self.seal_now(control).await?;
            }
        }
        Ok(())
    }

    /// A file begins: with what came on its connection, or with the rest of a transaction.
    fn begin_file(
        &mut self,
        head: FileHead,
        description: Option<Bytes>,
        recovery: &mut Recovery,
    ) -> Result<()> {
        check_owner(&head, self.durability.owner())?;
        recovery.seen.union(&head.after_gtids)?;
        if head.tail.is_some_and(|link| link.continues) {
            let at_hand = recovery.replay.as_ref();
            return match at_hand.is_some_and(|r| r.head.epoch == head.epoch) {
                true => Ok(()),
                false => Err(Error::corrupt(
                    "read tail object that goes on with a transaction nobody began",
                )),
            };
        }
        self.end_files(recovery);
        recovery.replay = Some(self.replay(head));
        match description {
            Some(event) => self.replay_next(event, recovery),
            None => Ok(()),
        }
    }

    /// What was open when the connection ended came again on the next one.
    fn end_files(&mut self, recovery: &mut Recovery) {
        self.batch.abandon();
        if let Some(replay) = recovery.replay.take() {
            self.commit_lo_us = self.commit_lo_us.max(replay.clock.lo_us);
        }
    }

    fn replay_next(&mut self, event: Bytes, recovery: &mut Recovery) -> Result<()> {
        let Some(mut replay) = recovery.replay.take() else {
            return Err(Error::corrupt("read spool file without its head"));
        };
        let replayed = self.replay_event(event, &mut replay, recovery);
        recovery.replay = Some(replay);
        replayed
    }

    fn replay(&self, head: FileHead) -> Replay {
        Replay {
            assembler: Assembler::new(head.flavor, None),
            clock: CommitClock {
                offset_us: head.clock_offset_us,
                offset_error_us: head.clock_error_us,
                backlog_until: head.backlog_until.clone(),
                lo_us: self.commit_lo_us,
            },
            received_us: self.clock.now_us(),
            skips: false,
            head,
        }
    }

    fn replay_event(
        &mut self,
        event: Bytes,
        replay: &mut Replay,
        recovery: &mut Recovery,
    ) -> Result<()> {
        let mut items = Vec::new();
        replay.assembler.push(event, &mut items)?;
        loop {
            for item in items.drain(..) {
                self.replay_item(item, replay, recovery)?;
            }
            if !replay.assembler.more(&mut items)? {
                return Ok(());
            }
        }
    }

    fn replay_item(
        &mut self,
        item: LogItem,
        replay: &mut Replay,
        recovery: &mut Recovery,
    ) -> Result<()> {
        let at = replay.assembler.position();
        if let LogItem::Begin(begin) = &item {
            replay.skips = recovery.is_committed(begin, at);
            if let Some(gtid) = &begin.gtid {
                recovery.seen.add(gtid)?;
            }
            match replay.skips {
                true if recovery.has_taken => {
                    return Err(Error::corrupt(
                        "read spool: a committed transaction stands behind one that is not",
                    )
                    .field("position", at.map(ToString::to_string).unwrap_or_default()));
                }
                true => {}
                false => self.begin_uncommitted(replay, recovery)?,
            }
        }
        let is_end = matches!(item, LogItem::Commit(_) | LogItem::Abandoned);
        if !replay.skips {
            recovery.transactions += u64::from(matches!(item, LogItem::Commit(_)));
            self.apply(item, at, &mut replay.clock, replay.received_us)?;
        }
        replay.skips &= !is_end;
        Ok(())
    }

    /// The first transaction past the log must follow it without a hole, and the log must hold
    /// nothing that this spool does not know.
    fn begin_uncommitted(&mut self, replay: &Replay, recovery: &mut Recovery) -> Result<()> {
        let head = &replay.head;
        let received = self.gtids_all()?;
        let follows = head.after_gtids.is_subset(&received)
            && (!head.after_gtids.is_empty()
                || matches!(
                    head.after_position.order(&self.batch.position),
                    Some(Ordering::Less | Ordering::Equal)
                ));
        if !follows {
            return Err(Error::incompatible(
                "continue from spool: it begins behind the end of the log",
            )
            .field("spool_after", &head.after_gtids)
            .field("spool_position", &head.after_position)
            .field("repository", received)
            .field("position", &self.batch.position)
            .hint(
                "the repository is older than its spool, or files of the spool are gone: \
                         bring the repository or the files back. Nothing was changed",
            ));
        }
        if !recovery.has_taken && !recovery.committed.is_subset(&recovery.seen) {
            return Err(Error::incompatible(
                "continue from spool: the repository went on without it",
            )
            .field("spool", &recovery.seen)
            .field("repository", &recovery.committed)
            .hint(
                "another writer has captured since, from a source that lacks what this spool \
                 holds: keep the spool aside and compare before anything is given up",
            ));
        }
        recovery.has_taken = true;
        Ok(())
    }
}

impl Recovery {
    fn received(&mut self, at_us: i64) -> Result<()> {
        if let Some(replay) = &mut self.replay {
            replay.received_us = at_us;
        }
        Ok(())
    }

    /// Whether a segment holds the transaction; `at` is the end of its first event.
    fn is_committed(&self, begin: &Begin, at: Option<&BinlogPosition>) -> bool {
        match &begin.gtid {
            Some(gtid) => self.committed.contains(gtid),
            None => at.is_some_and(|at| {
                matches!(
                    at.order(&self.position),
                    Some(Ordering::Less | Ordering::Equal)
                )
            }),
        }
    }
}

/// A spool belongs to one timeline of one repository, and to a writer before this one.
fn check_owner(head: &FileHead, own: &Owner) -> Result<()> {
    let refused = |what: &'static str, hint: &'static str| {
        Err(Error::incompatible(what)
            .field("spool_repository", head.repository_id)
            .field("spool_timeline", head.timeline)
            .field("spool_epoch", head.epoch)
            .field("spool_source", &head.source)
            .field("repository", own.repository_id)
            .field("timeline", own.timeline)
            .field("epoch", own.epoch)
            .field("source", &own.source)
            .hint(hint))
    };
    if head.format > SPOOL_FORMAT {
        return refused(
            "read spool of a later version",
            "finish it with the version of tidelog that wrote it",
        );
    }
    if head.repository_id != own.repository_id || head.timeline != own.timeline {
        return refused(
            "read spool of another repository or timeline",
            "give each its own --spool-dir; finish this one with `tidelog capture --finish`",
        );
    }
    if head.flavor != own.flavor || head.source != own.source {
        return refused(
            "read spool of another source",
            "give each source its own --spool-dir and repository",
        );
    }
    if head.epoch >= own.epoch {
        return refused(
            "read spool of a later writer than the repository knows",
            "the repository was put back to an earlier state: bring the newer one back",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::position::Flavor;
    use uuid::Uuid;

    fn owner() -> Owner {
        Owner {
            repository_id: Uuid::from_u128(7),
            timeline: 1,
            epoch: 4,
            writer_id: Uuid::from_u128(9),
            flavor: Flavor::MySql,
            source: "mysql x".into(),
        }
    }

    #[test]
    fn a_spool_of_anybody_else_is_refused() {
        let own = crate::log::spool::tests::head(1);
        check_owner(&own, &owner()).expect("our own");
        let change: [fn(&mut FileHead); 6] = [
            |h| h.repository_id = Uuid::nil(),
            |h| h.timeline = 2,
            |h| h.epoch = 4,
            |h| h.flavor = Flavor::MariaDb,
            |h| h.source = "mysql y".into(),
            |h| h.format = 2,
        ];
        for (index, change) in change.into_iter().enumerate() {
            let mut other = own.clone();
            change(&mut other);
            let error = check_owner(&other, &owner()).expect_err("another's");
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{index}");
        }
    }
}
