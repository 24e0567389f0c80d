//! What may be acknowledged to a source, on one connection.
//!
//! An acknowledgement says "everything in this binlog file up to here is safe with me", and the
//! source believes any position: one too far makes it stop waiting for anybody until the file
//! ends. So nothing is ever acknowledged but the end of an event that the source itself flagged,
//! that this very connection received, and whose transaction is durable; never twice, never back.

use crate::error::{Error, Result};
use crate::position::BinlogPosition;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// First byte of an acknowledgement, and of the header of a flagged stream.
pub(super) const SEMI_SYNC_MAGIC: u8 = 0xEF;
/// The servers' bound of a file name in an acknowledgement.
const FILE_BYTES_MAX: usize = 512;

/// The events that the source waits for, in the order of their receipt.
#[derive(Debug, Default)]
pub(super) struct AckGate {
    /// A flagged packet was handed out, and where it ends has not been said yet.
    owes_position: bool,
    flagged: VecDeque<Flagged>,
    last_flagged: Option<BinlogPosition>,
}

#[derive(Debug)]
struct Flagged {
    end: BinlogPosition,
    /// It may be acknowledged once this many whole transactions are durable.
    transactions: u64,
}

impl AckGate {
    /// A flagged packet is handed out.
    pub(super) fn received(&mut self) {
        self.owes_position = true;
    }

    /// Takes where the flagged event ends that was handed out last, in 64 bits.
    pub(super) fn flagged(&mut self, end: &BinlogPosition, transactions: u64) -> Result<()> {
        if !std::mem::take(&mut self.owes_position) {
            return Err(
                Error::internal("note acknowledgement that the source did not ask for")
                    .field("position", end),
            );
        }
        if let Some(last) = &self.last_flagged
            && !is_behind(last, end)
        {
            return Err(
                Error::corrupt("read flagged event that is not behind the last one")
                    .field("position", end)
                    .field("last", last)
                    .hint("the stream went back: nothing of it is acknowledged"),
            );
        }
        self.last_flagged = Some(end.clone());
        let end = end.clone();
        self.flagged.push_back(Flagged { end, transactions });
        Ok(())
    }

    /// The furthest position to acknowledge now that `durable` whole transactions are safe;
    /// `None` when the source waits for nothing that is.
    pub(super) fn due(&mut self, durable: u64) -> Option<BinlogPosition> {
        let mut due = None;
        while let Some(next) = self.flagged.pop_front_if(|f| f.transactions <= durable) {
            due = Some(next.end);
        }
        due
    }
}

/// Whether `end` comes after `last` in the source's binlog. Names that cannot be compared are of
/// two histories, which one connection never has.
fn is_behind(last: &BinlogPosition, end: &BinlogPosition) -> bool {
    match last.file == end.file {
        true => end.offset > last.offset,
        false => last.order(end) == Some(Ordering::Less),
    }
}

/// The packet: magic, u64 position, file name without a terminator.
pub(super) fn packet(end: &BinlogPosition) -> Result<Vec<u8>> {
    if end.file.is_empty() || end.file.len() > FILE_BYTES_MAX || end.file.contains('/') {
        return Err(
            Error::corrupt("acknowledge position: no binlog file has such a name")
                .field("position", end),
        );
    }
    let mut packet = vec![SEMI_SYNC_MAGIC];
    packet.extend_from_slice(&end.offset.to_le_bytes());
    packet.extend_from_slice(end.file.as_bytes());
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn at(file: &str, offset: u64) -> BinlogPosition {
        BinlogPosition::new(file, offset)
    }

    fn gate(flagged: &[(u64, u64)]) -> AckGate {
        let mut gate = AckGate::default();
        for &(offset, transactions) in flagged {
            gate.received();
            gate.flagged(&at("b.1", offset), transactions)
                .expect("in order");
        }
        gate
    }

    #[test]
    fn one_acknowledgement_stands_for_all_that_is_durable_and_for_nothing_more() {
        let mut gate = gate(&[(100, 1), (200, 2), (300, 3)]);
        assert_eq!(gate.due(0), None);
        assert_eq!(gate.due(2), Some(at("b.1", 200)));
        assert_eq!(gate.due(2), None, "never twice");
        assert_eq!(gate.due(1), None, "never back");
        assert_eq!(gate.due(u64::MAX), Some(at("b.1", 300)));
        assert_eq!(
            gate.due(u64::MAX),
            None,
            "never past the last flagged event"
        );
    }

    #[test]
    fn only_what_this_connection_was_asked_for_can_be_acknowledged() {
        let mut gate = AckGate::default();
        assert_eq!(gate.due(u64::MAX), None, "a new connection owes nothing");
        let error = gate.flagged(&at("b.1", 100), 1).expect_err("not flagged");
        assert_eq!(error.kind(), ErrorKind::Internal);
        gate.received();
        gate.flagged(&at("b.1", 100), 1).expect("flagged");
        assert!(
            gate.flagged(&at("b.1", 200), 2).is_err(),
            "one position a flag"
        );
    }

    #[test]
    fn a_flagged_event_lies_behind_the_one_before() {
        for (file, offset) in [("b.1", 100), ("b.1", 99), ("b.0", 500), ("other", 500)] {
            let mut gate = gate(&[(100, 1)]);
            gate.received();
            let error = gate.flagged(&at(file, offset), 2).expect_err(file);
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let mut gate = gate(&[(100, 1)]);
        gate.received();
        gate.flagged(&at("b.2", 4), 1).expect("the next file");
        let mut gate = self::gate(&[(u64::from(u32::MAX) - 1, 1)]);
        gate.received();
        gate.flagged(&at("b.1", (1 << 32) + 7), 2)
            .expect("past four GiB");
    }

    #[test]
    fn packets_have_the_documented_layout() {
        let bytes = packet(&at("binlog.000042", (1 << 32) + 5)).expect("a packet");
        assert_eq!(bytes, b"\xef\x05\0\0\0\x01\0\0\0binlog.000042");
        for file in ["", "/tmp/b.1", &"b".repeat(513)] {
            assert!(packet(&at(file, 4)).is_err(), "{file}");
        }
    }
}
