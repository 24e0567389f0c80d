//! Prepared XA transactions: which are undecided, and what decides them.
//!
//! The rows of an XA transaction are logged with its XA PREPARE and count from its XA COMMIT on,
//! perhaps in a later segment, or never. The rows stay where they were logged; manifests say
//! which entries decide them. An entry changes this state only when it is whole, so a transaction
//! that is taken back (I4) has never touched it.

use crate::change::{Commit, TransactionKind};
use crate::manifest::{DecidedXa, OpenXa};
use crate::position::Seq;
use crate::storage::ObjectName;
use std::collections::BTreeMap;

/// The XA transactions of one segment while it is filled.
#[derive(Clone, Debug)]
pub(crate) struct XaLog {
    timeline: u32,
    seq_first: Seq,
    /// By identifier in the server's text form.
    open: BTreeMap<Vec<u8>, OpenXa>,
    decided: Vec<DecidedXa>,
}

/// What an entry means for XA transactions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum XaOutcome {
    /// Nothing, or a prepared transaction that is known from here on.
    Nothing,
    /// Decides the transaction of this XA PREPARE.
    Decides(Seq),
    /// Rows count, or may count, that the log does not have: why.
    RowsUnknown(&'static str),
}

impl XaLog {
    /// Of a segment that starts with `seq_first`, with what is undecided before it.
    pub(crate) fn new(timeline: u32, seq_first: Seq, open: &[OpenXa]) -> XaLog {
        let open = open.iter().map(|xa| (xa.xid.clone(), xa.clone()));
        XaLog {
            timeline,
            seq_first,
            open: open.collect(),
            decided: Vec::new(),
        }
    }

    /// Of the segment after this one.
    pub(crate) fn next(&self, seq_first: Seq) -> XaLog {
        XaLog {
            timeline: self.timeline,
            seq_first,
            open: self.open.clone(),
            decided: Vec::new(),
        }
    }

    /// Takes a whole entry in.
    pub(crate) fn take(&mut self, commit: &Commit, seq: Seq) -> XaOutcome {
        let xid = commit.xa.clone().unwrap_or_default();
        match commit.kind {
            TransactionKind::XaPrepare => self.prepare(xid, seq),
            TransactionKind::XaCommit => {
                let decides = self.decide(&xid, seq, true);
                decides.map_or(
                    XaOutcome::RowsUnknown(
                        "xa commit of a transaction whose xa prepare is not in the log",
                    ),
                    XaOutcome::Decides,
                )
            }
            // Where the log has no rows of it, none of them count either.
            TransactionKind::XaRollback => self
                .decide(&xid, seq, false)
                .map_or(XaOutcome::Nothing, XaOutcome::Decides),
            _ => XaOutcome::Nothing,
        }
    }

    fn prepare(&mut self, xid: Vec<u8>, seq: Seq) -> XaOutcome {
        // No server prepares an identifier twice: the end of the first one was never logged.
        let lost = self.decide(&xid, seq, false);
        let segment = ObjectName::Manifest {
            timeline: self.timeline,
            seq_first: self.seq_first,
        };
        let object = segment.to_string();
        self.open.insert(xid.clone(), OpenXa { xid, seq, object });
        match lost {
            Some(_) => {
                XaOutcome::RowsUnknown("xa prepare of a transaction that is prepared already")
            }
            None => XaOutcome::Nothing,
        }
    }

    /// The XA PREPARE of an identifier, which `seq` decides.
    fn decide(&mut self, xid: &[u8], seq: Seq, committed: bool) -> Option<Seq> {
        let prepared = self.open.remove(xid)?.seq;
        // See `SegmentManifest::xa_decided`.
        if !committed || prepared < self.seq_first {
            self.decided.push(DecidedXa {
                prepared,
                seq,
                committed,
            });
        }
        Some(prepared)
    }

    /// What is prepared and undecided, oldest first.
    pub(crate) fn open(&self) -> Vec<OpenXa> {
        let mut open: Vec<OpenXa> = self.open.values().cloned().collect();
        open.sort_by_key(|xa| xa.seq);
        open
    }

    /// What this segment decides and its manifest lists.
    pub(crate) fn decided(&self) -> &[DecidedXa] {
        &self.decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::BinlogPosition;

    fn commit(kind: TransactionKind, xid: &str) -> Commit {
        Commit {
            event: bytes::Bytes::new(),
            kind,
            xid: None,
            xa: Some(xid.as_bytes().to_vec()),
            header_s: 0,
            end: BinlogPosition::new("b.000001", 4),
            thread_id: None,
        }
    }

    fn decided(prepared: i64, seq: i64, committed: bool) -> DecidedXa {
        DecidedXa {
            prepared: Seq(prepared),
            seq: Seq(seq),
            committed,
        }
    }

    #[test]
    fn a_manifest_lists_what_reaches_over_segments_and_what_never_counts() {
        use TransactionKind::{XaCommit, XaPrepare, XaRollback};
        let mut log = XaLog::new(1, Seq(1), &[]);
        for (seq, xid) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
            let outcome = log.take(&commit(XaPrepare, xid), Seq(seq));
            assert_eq!(outcome, XaOutcome::Nothing);
        }
        let outcome = log.take(&commit(XaCommit, "b"), Seq(5));
        assert_eq!(outcome, XaOutcome::Decides(Seq(2)));
        let outcome = log.take(&commit(XaRollback, "a"), Seq(6));
        assert_eq!(outcome, XaOutcome::Decides(Seq(1)));
        assert_eq!(log.decided(), [decided(1, 6, false)]);
        let open = log.open();
        assert_eq!(open.iter().map(|xa| xa.seq.0).collect::<Vec<_>>(), [3, 4]);
        let mut log = log.next(Seq(7));
        assert_eq!(log.decided(), []);
        log.take(&commit(XaCommit, "d"), Seq(8));
        assert_eq!(log.decided(), [decided(4, 8, true)]);
        // Capture goes on from what the manifest says.
        let again = XaLog::new(1, Seq(9), &log.open());
        assert_eq!(again.open(), log.open());
        let segment = ObjectName::parse(&log.open()[0].object).expect("name");
        assert!(matches!(
            segment,
            ObjectName::Manifest {
                seq_first: Seq(1),
                timeline: 1
            }
        ));
    }

    #[test]
    fn rows_that_the_log_does_not_have_are_told() {
        use TransactionKind::{XaCommit, XaPrepare, XaRollback};
        let mut log = XaLog::new(1, Seq(1), &[]);
        let unknown = |outcome| matches!(outcome, XaOutcome::RowsUnknown(_));
        assert!(unknown(log.take(&commit(XaCommit, "old"), Seq(1))));
        let outcome = log.take(&commit(XaRollback, "old"), Seq(2));
        assert_eq!(outcome, XaOutcome::Nothing);
        log.take(&commit(XaPrepare, "x"), Seq(3));
        assert!(unknown(log.take(&commit(XaPrepare, "x"), Seq(4))));
        assert_eq!(log.decided(), [decided(3, 4, false)]);
        let outcome = log.take(&commit(XaCommit, "x"), Seq(5));
        assert_eq!(outcome, XaOutcome::Decides(Seq(4)));
        assert!(
            unknown(log.take(&commit(XaCommit, "x"), Seq(6))),
            "only once"
        );
    }
}
