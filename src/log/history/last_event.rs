//! An event of the last transaction, and whether the source still has it.
//!
//! A server that was reset, or put back from a copy of its disk, and went on since then, may have
//! as many transactions as we have, under the same GTIDs, in files of the same names. Only what
//! stands in the place of our last transaction tells.

use super::Ours;
use crate::change::LogItem;
use crate::error::Result;
use crate::manifest::{LastEvent, Sha256};
use crate::position::{BinlogPosition, Flavor, Gtid};
use crate::source::{Endpoint, EventAt, ReplicaOptions, SourceHistory, binlog_event_at};
use bytes::Bytes;

/// Keeps the event that stands for the transaction received last.
#[derive(Debug, Default)]
pub(in crate::log) struct LastEventTracker {
    /// Of before anything was received.
    earlier: Option<LastEvent>,
    /// The GTID event of the transaction at hand.
    begun: Option<(Bytes, Flavor)>,
    last: Option<(Bytes, u64)>,
}

impl LastEventTracker {
    /// `earlier`: of the last transaction before the first that will be seen.
    pub(in crate::log) fn new(earlier: Option<LastEvent>) -> LastEventTracker {
        LastEventTracker {
            earlier,
            ..LastEventTracker::default()
        }
    }

    /// Takes note of an item.
    pub(in crate::log) fn see(&mut self, item: &LogItem) {
        match item {
            LogItem::Begin(begin) => {
                let flavor = match begin.gtid {
                    Some(Gtid::MariaDb { .. }) => Flavor::MariaDb,
                    _ => Flavor::MySql,
                };
                self.begun = Some((begin.event.clone(), flavor));
            }
            LogItem::Commit(commit) => {
                let Some((begun, flavor)) = self.begun.take() else {
                    return;
                };
                let ends = flavor == Flavor::MariaDb && !commit.event.is_empty();
                let event = if ends { commit.event.clone() } else { begun };
                self.earlier = None;
                self.last = offset(&event, &commit.end).map(|offset| (event, offset));
            }
            _ => {}
        }
    }

    /// Of the last whole transaction seen.
    pub(in crate::log) fn get(&self) -> Option<LastEvent> {
        match &self.last {
            Some((event, offset)) => Some(LastEvent {
                offset: *offset,
                sha256: Sha256::of(event),
            }),
            None => self.earlier,
        }
    }
}

/// Where an event of a transaction that ends at `end` starts: its header tells, in 32 bits.
fn offset(event: &[u8], end: &BinlogPosition) -> Option<u64> {
    u32::try_from(end.offset).ok()?;
    let log_pos = event.get(13..17)?.try_into().ok().map(u32::from_le_bytes)?;
    let start = log_pos.checked_sub(u32::try_from(event.len()).ok()?)?;
    (start > 0).then_some(u64::from(start))
}

/// Whether the source has our last transaction where we read it; `None` where that cannot be
/// known: another server, a file that was purged.
pub(super) async fn is_there(
    endpoint: &Endpoint,
    replica: &ReplicaOptions,
    ours: &Ours<'_>,
    source: &SourceHistory,
) -> Result<Option<bool>> {
    let Some(last) = ours.last_event else {
        return Ok(None);
    };
    if !ours.identity.is_same_server(&source.identity) {
        return Ok(None);
    }
    let file = &ours.position.file;
    if let Some(files) = &source.files {
        match files.iter().find(|listed| listed.name == *file) {
            None => return Ok(None),
            Some(listed) if listed.bytes <= last.offset => return Ok(Some(false)),
            Some(_) => {}
        }
    }
    let at = BinlogPosition::new(file, last.offset);
    Ok(match binlog_event_at(endpoint, replica, at).await? {
        EventAt::Found(event) => Some(Sha256::of(&event) == last.sha256),
        EventAt::Nothing => Some(false),
        EventAt::Purged => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of 30 bytes that ends at `log_pos`.
    fn event(log_pos: u32) -> Bytes {
        let mut event = vec![7; 30];
        event[13..17].copy_from_slice(&log_pos.to_le_bytes());
        event.into()
    }

    #[test]
    fn an_event_starts_where_its_header_says() {
        let end = |offset| BinlogPosition::new("binlog.000001", offset);
        assert_eq!(offset(&event(530), &end(900)), Some(500));
        // Behind 4 GiB the header has lost the upper half, and no dump starts there.
        assert_eq!(offset(&event(530), &end(1 << 32)), None);
        assert_eq!(offset(&event(0), &end(900)), None);
        assert_eq!(offset(&event(30), &end(900)), None);
        assert_eq!(offset(&[], &end(900)), None);
    }

    #[test]
    fn before_anything_is_received_the_earlier_one_stands() {
        let earlier = LastEvent {
            offset: 5,
            sha256: Sha256::of(b"x"),
        };
        let tracker = LastEventTracker::new(Some(earlier));
        assert_eq!(tracker.get(), Some(earlier));
        assert_eq!(LastEventTracker::default().get(), None);
    }
}
