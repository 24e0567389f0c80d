//! When a transaction was committed, and how precisely that is known.
//!
//! MySQL logs `immediate_commit_timestamp`, true in every case tried. MariaDB's headers carry the
//! start of the statement or a faked `SET TIMESTAMP`, so a live transaction takes the time of its
//! receipt mapped to the source's clock, and a backlog transaction its commit event's header.
//! `lo` and `hi` bound the true time; a restore that would cut inside such a range says so.

use crate::change::{Begin, Commit, CommitTime, CommitTimeSource};
use crate::position::BinlogPosition;
use std::cmp::Ordering;

/// How far behind its commit a transaction may arrive while the stream is drained: a dump thread
/// sends at once, this allows for scheduling and the network.
const DELIVERY_US_MAX: i64 = 1_000_000;

/// Turns receipts into commit times for one connection.
#[derive(Clone, Debug)]
pub(crate) struct CommitClock {
    /// Source clock minus ours.
    pub(crate) offset_us: i64,
    /// Bound of the error of `offset_us`.
    pub(crate) offset_error_us: i64,
    /// Where the source stood when this connection was made: everything up to there is backlog.
    pub(crate) backlog_until: Option<BinlogPosition>,
    /// The latest lower bound so far: commit order is time order.
    pub(crate) lo_us: i64,
}

impl CommitClock {
    /// Maps a local receipt time to the source's clock.
    pub(crate) fn source_time_us(&self, local_us: i64) -> i64 {
        local_us.saturating_add(self.offset_us)
    }

    /// The commit time of a transaction received at `received_us` on our clock.
    pub(crate) fn commit_time(
        &mut self,
        begin: &Begin,
        commit: &Commit,
        received_us: i64,
    ) -> CommitTime {
        if let Some(at_us) = begin.immediate_commit_us.filter(|&at| at > 0) {
            self.lo_us = self.lo_us.max(at_us);
            let source = CommitTimeSource::Immediate;
            return CommitTime {
                at_us,
                lo_us: at_us,
                hi_us: at_us,
                source,
            };
        }
        let received = self.source_time_us(received_us);
        let hi_us = received.saturating_add(self.offset_error_us);
        let header_us = i64::from(commit.header_s) * 1_000_000;
        let time = if self.is_backlog(&commit.end) {
            let at_us = header_us.max(self.lo_us).min(hi_us);
            CommitTime {
                at_us,
                lo_us: at_us,
                hi_us,
                source: CommitTimeSource::Header,
            }
        } else {
            let at_us = received.max(self.lo_us);
            let lo_us = at_us
                .saturating_sub(DELIVERY_US_MAX)
                .max(self.lo_us)
                .min(at_us);
            let hi_us = hi_us.max(at_us);
            CommitTime {
                at_us,
                lo_us,
                hi_us,
                source: CommitTimeSource::Received,
            }
        };
        self.lo_us = self.lo_us.max(time.lo_us);
        time
    }

    /// Whether the source had this already when we connected.
    pub(crate) fn is_backlog(&self, end: &BinlogPosition) -> bool {
        let Some(until) = &self.backlog_until else {
            return false;
        };
        matches!(end.order(until), Some(Ordering::Less | Ordering::Equal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TransactionKind;
    use bytes::Bytes;

    fn begin(immediate_commit_us: Option<i64>) -> Begin {
        Begin {
            event: Bytes::new(),
            gtid: None,
            server_id: 1,
            last_committed: 0,
            sequence_number: 0,
            immediate_commit_us,
            original_commit_us: None,
            header_s: 0,
            commit_id: 0,
            flags: 0,
        }
    }

    fn commit(header_s: u32, offset: u64) -> Commit {
        Commit {
            event: Bytes::new(),
            kind: TransactionKind::Transaction,
            xid: None,
            xa: None,
            header_s,
            end: BinlogPosition::new("binlog.000001", offset),
            thread_id: None,
        }
    }

    fn clock() -> CommitClock {
        CommitClock {
            offset_us: 500_000,
            offset_error_us: 1_000,
            backlog_until: Some(BinlogPosition::new("binlog.000001", 1000)),
            lo_us: 0,
        }
    }

    #[test]
    fn mysql_is_exact() {
        let time = clock().commit_time(&begin(Some(42)), &commit(7, 10), 99);
        assert_eq!((time.at_us, time.lo_us, time.hi_us), (42, 42, 42));
        assert_eq!(time.source, CommitTimeSource::Immediate);
    }

    #[test]
    fn backlog_takes_the_header_and_stays_monotone() {
        let mut clock = clock();
        let first = clock.commit_time(&begin(None), &commit(100, 900), 200_000_000);
        assert_eq!((first.at_us, first.hi_us), (100_000_000, 200_501_000));
        assert_eq!(first.source, CommitTimeSource::Header);
        let second = clock.commit_time(&begin(None), &commit(90, 1000), 200_000_000);
        assert_eq!(second.at_us, 100_000_000);
    }

    #[test]
    fn live_takes_the_receipt_on_the_sources_clock() {
        let mut clock = clock();
        let time = clock.commit_time(&begin(None), &commit(1, 1001), 200_000_000);
        assert_eq!(time.at_us, 200_500_000);
        assert_eq!((time.lo_us, time.hi_us), (199_500_000, 200_501_000));
        let again = clock.commit_time(&begin(None), &commit(1, 1200), 100_000_000);
        assert!(
            again.at_us >= time.lo_us && again.lo_us >= time.lo_us,
            "time never runs back"
        );
    }
}
