//! Where the stream stands in the source's binlog, counted in 64 bits.
//!
//! Headers carry only the low half of the end position, and MariaDB from 11.4 on writes 0 inside
//! transactions: the position is the previous end plus the event's length, and what the header
//! says is only checked.

use super::event::EventHeader;
use crate::error::{Error, Result};
use crate::position::BinlogPosition;

#[derive(Debug)]
pub(crate) struct Place {
    at: Option<BinlogPosition>,
    /// The dump was asked for by position: it starts there and leaves nothing out.
    is_exact: bool,
    /// The source has said where it starts.
    is_confirmed: bool,
}

impl Place {
    pub(crate) fn new(start: Option<BinlogPosition>) -> Self {
        Place {
            is_exact: start.is_some(),
            is_confirmed: false,
            at: start,
        }
    }

    pub(crate) fn get(&self) -> Option<&BinlogPosition> {
        self.at.as_ref()
    }

    /// Takes a ROTATE event that the dump thread made: "what follows is from here".
    pub(crate) fn announce(&mut self, file: &str, offset: u64) -> Result<()> {
        let said = BinlogPosition::new(file, offset);
        if self.is_exact
            && !self.is_confirmed
            && let Some(asked) = self.at.as_ref().filter(|asked| **asked != said)
        {
            return Err(
                Error::incompatible("start dump elsewhere than it was asked for")
                    .field("asked", asked)
                    .field("got", said),
            );
        }
        self.is_confirmed = true;
        self.at = Some(said);
        Ok(())
    }

    /// Moves to the start of the next file, as a ROTATE event in the file says.
    pub(crate) fn rotate(&mut self, file: &str, offset: u64) {
        self.at = Some(BinlogPosition::new(file, offset));
    }

    /// Moves past an event of the file. `may_jump`: no transaction is open.
    pub(crate) fn advance(&mut self, header: &EventHeader, may_jump: bool) -> Result<()> {
        let Some(at) = &mut self.at else {
            return Err(Error::corrupt("read event before the source said its file"));
        };
        let wanted = at
            .offset
            .checked_add(u64::from(header.length))
            .ok_or_else(|| Error::corrupt("count binlog position over 64 bits"))?;
        at.offset = match header.log_pos {
            0 => wanted,
            said if said == wanted as u32 => wanted,
            said if may_jump && !self.is_exact => jump(wanted, said),
            said => {
                return Err(Error::corrupt("follow binlog positions")
                    .field("expected", wanted as u32)
                    .field("said", said)
                    .hint("events are missing from the stream or stand in it twice"));
            }
        };
        Ok(())
    }

    /// Takes a heartbeat's position: `true` when it is just where the stream stands. Further on
    /// means that the source left out transactions we said we have.
    pub(crate) fn heartbeat(&mut self, file: &[u8], offset: u64) -> bool {
        let is_exact = self.is_exact;
        match &mut self.at {
            Some(at) if at.file.as_bytes() == file => {
                if at.offset < offset && !is_exact {
                    at.offset = offset;
                    return false;
                }
                at.offset == offset
            }
            _ => false,
        }
    }
}

/// The first position at or after `from` whose low half is `low`.
fn jump(from: u64, low: u32) -> u64 {
    let same_half = from & !u64::from(u32::MAX) | u64::from(low);
    match same_half >= from {
        true => same_half,
        false => same_half.saturating_add(1 << 32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: u32, log_pos: u32) -> EventHeader {
        EventHeader {
            timestamp_s: 1,
            kind: 2,
            server_id: 1,
            length,
            log_pos,
            flags: 0,
        }
    }

    #[test]
    fn positions_go_on_past_four_gib() {
        let start = BinlogPosition::new("b.1", u64::from(u32::MAX) - 10);
        let mut place = Place::new(Some(start));
        place.advance(&event(20, 9), false).expect("wrapped");
        place.advance(&event(20, 0), false).expect("not said");
        assert_eq!(place.get().unwrap().offset, (1 << 32) + 9 + 20);
        assert!(place.advance(&event(20, 48), true).is_err());
    }

    #[test]
    fn a_dump_by_gtid_may_leave_out_what_we_have() {
        let mut place = Place::new(None);
        assert!(place.advance(&event(20, 24), true).is_err());
        place.announce("b.1", 4).expect("said");
        place.advance(&event(20, 1000), true).expect("jump");
        assert!(place.advance(&event(20, 2000), false).is_err());
        assert!(!place.heartbeat(b"b.1", 3000));
        assert!(place.heartbeat(b"b.1", 3000));
        assert_eq!(jump(1 << 32, u32::MAX), u64::from(u32::MAX) + (1 << 32));
        assert_eq!(jump((1 << 32) + 5, 4), (2 << 32) + 4);
    }

    #[test]
    fn a_dump_by_position_starts_where_it_was_asked_for() {
        let mut place = Place::new(Some(BinlogPosition::new("b.1", 100)));
        assert!(place.announce("b.1", 4).is_err());
        place.announce("b.1", 100).expect("as asked");
        place.announce("b.2", 4).expect("next file");
    }
}
