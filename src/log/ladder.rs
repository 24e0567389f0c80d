//! How far transactions have come, and that none overtakes another step (I1).
//!
//! Counts whole transactions since this capture began: received >= durable >= acked, durable >=
//! sealed >= committed >= dropped. Each is asserted where it moves. What durable means is the
//! policy's: an fsynced file of the spool, an object of the tail, both, or a committed segment.

use crate::error::{Error, Result};

/// The counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ladder {
    received: u64,
    durable: u64,
    acked: u64,
    sealed: u64,
    committed: u64,
}

impl Ladder {
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// A whole transaction has been received.
    pub(super) fn receive(&mut self) {
        self.received += 1;
    }

    /// A whole transaction has been read back from where it is durable.
    pub(super) fn recover(&mut self) -> Result<()> {
        self.received += 1;
        self.make_durable(self.received)
    }

    /// The first `through` are durable.
    pub(super) fn make_durable(&mut self, through: u64) -> Result<()> {
        self.hold(
            self.durable <= through && through <= self.received,
            "durable",
            through,
        )?;
        self.durable = through;
        Ok(())
    }

    /// Whether something durable is not acknowledged.
    pub(super) fn owes_acknowledgement(&self) -> bool {
        self.acked < self.durable
    }

    /// The first `through` may be acknowledged.
    pub(super) fn acknowledge(&mut self, through: u64) -> Result<()> {
        self.hold(
            self.acked <= through && through <= self.durable,
            "acked",
            through,
        )?;
        self.acked = through;
        Ok(())
    }

    /// All received so far go into a segment; with a spool they are durable before.
    pub(super) fn seal(&mut self, is_spooled: bool) -> Result<u64> {
        let through = self.received;
        let is_safe = !is_spooled || through <= self.durable;
        self.hold(is_safe && self.sealed <= through, "sealed", through)?;
        self.sealed = through;
        Ok(through)
    }

    /// The manifest that covers the first `through` exists.
    pub(super) fn commit(&mut self, through: u64) -> Result<()> {
        self.hold(
            self.committed <= through && through <= self.sealed,
            "committed",
            through,
        )?;
        self.committed = through;
        self.durable = self.durable.max(through);
        Ok(())
    }

    /// Everything received is durable: a dump may start behind it, which acknowledges it all.
    pub(super) fn require_all_durable(&self) -> Result<()> {
        self.hold(self.durable == self.received, "requested", self.received)
    }

    fn hold(&self, is_held: bool, step: &'static str, through: u64) -> Result<()> {
        match is_held {
            true => Ok(()),
            false => Err(Error::internal("keep the order of the write ladder (I1)")
                .field("step", step)
                .field("through", through)
                .field("received", self.received)
                .field("durable", self.durable)
                .field("acked", self.acked)
                .field("sealed", self.sealed)
                .field("committed", self.committed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_overtakes_the_one_before() {
        let mut ladder = Ladder::default();
        ladder.receive();
        ladder.receive();
        ladder.receive();
        assert!(ladder.make_durable(4).is_err(), "not received");
        ladder.make_durable(2).expect("received");
        assert!(ladder.make_durable(1).is_err(), "never back");
        assert!(ladder.acknowledge(3).is_err(), "not durable");
        ladder.acknowledge(2).expect("durable");
        assert!(ladder.acknowledge(1).is_err(), "never back");
        assert!(ladder.require_all_durable().is_err(), "one is not");
        assert!(ladder.seal(true).is_err(), "one is not durable");
        ladder.make_durable(3).expect("received");
        ladder.require_all_durable().expect("all are");
        assert_eq!(ladder.seal(true).expect("all durable"), 3);
        ladder.receive();
        assert!(ladder.commit(4).is_err(), "not sealed");
        ladder.commit(3).expect("sealed");
        assert_eq!((ladder.received(), ladder.committed()), (4, 3));
    }

    #[test]
    fn without_a_spool_a_commit_makes_durable() {
        let mut ladder = Ladder::default();
        ladder.receive();
        assert_eq!(ladder.seal(false).expect("nothing to wait for"), 1);
        assert!(
            ladder.acknowledge(1).is_err(),
            "not durable before it is committed"
        );
        ladder.commit(1).expect("sealed");
        assert_eq!(ladder.durable(), 1);
        let mut ladder = Ladder::default();
        ladder.recover().expect("durable");
        ladder.require_all_durable().expect("durable");
    }
}
