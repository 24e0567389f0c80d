//! The common header of events, their type codes and checksums.
//!
//! Header (binlog version 4): u32 timestamp, u8 type, u32 server id, u32 event length with header
//! and checksum, u32 end position (low half of it in files over 4 GiB), u16 flags.

use crate::error::{Error, Result};

/// Length of the common header.
pub const HEADER_LEN: usize = 19;
/// Length of a CRC32 checksum at the end of an event.
pub const CHECKSUM_LEN: usize = 4;
/// Longest event that is accepted: the largest `max_allowed_packet` and what surrounds it.
pub const EVENT_LEN_MAX: usize = (1 << 30) + (1 << 20);

/// The binlog file is open for writing; cleared before the checksum of its first event.
pub const FLAG_IN_USE: u16 = 0x1;
/// Made by the dump thread, not in the file.
pub const FLAG_ARTIFICIAL: u16 = 0x20;
/// A reader that does not know the type may skip the event.
pub const FLAG_IGNORABLE: u16 = 0x80;

/// Event type codes (`Log_event_type`; 160 and up are MariaDB's).
pub mod kind {
    #![allow(missing_docs)]
    pub const START_V3: u8 = 1;
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const LOAD: u8 = 6;
    pub const CREATE_FILE: u8 = 8;
    pub const APPEND_BLOCK: u8 = 9;
    pub const EXEC_LOAD: u8 = 10;
    pub const DELETE_FILE: u8 = 11;
    pub const NEW_LOAD: u8 = 12;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const PRE_GA_WRITE_ROWS: u8 = 20;
    pub const PRE_GA_UPDATE_ROWS: u8 = 21;
    pub const PRE_GA_DELETE_ROWS: u8 = 22;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const ANNOTATE_ROWS: u8 = 160;
    pub const BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const GTID_LIST: u8 = 163;
    pub const START_ENCRYPTION: u8 = 164;
    pub const QUERY_COMPRESSED: u8 = 165;
    pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// How events of a stream are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Not at all.
    None,
    /// CRC32 in the last four bytes.
    Crc32,
}

impl Checksum {
    /// Bytes it takes at the end of an event.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Checksum::None => 0,
            Checksum::Crc32 => CHECKSUM_LEN,
        }
    }

    /// Whether events have none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Checksum::None
    }
}

/// The common header of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since the epoch; 0 in events that the dump thread made.
    pub timestamp_s: u32,
    /// Type code, see [`kind`].
    pub kind: u8,
    /// Originating server.
    pub server_id: u32,
    /// Length of the whole event.
    pub length: u32,
    /// Low half of the end position in the source's file; 0 where it is not known.
    pub log_pos: u32,
    /// Flags.
    pub flags: u16,
}

impl EventHeader {
    /// Reads the header at the start of `event`; `None` when there are too few bytes.
    #[must_use]
    pub fn read(event: &[u8]) -> Option<EventHeader> {
        // One look at the length for all fields.
        #[rustfmt::skip]
        let [
            t0, t1, t2, t3, kind, s0, s1, s2, s3, l0, l1, l2, l3, p0, p1, p2, p3, f0, f1,
        ] = *event.first_chunk::<HEADER_LEN>()?;
        Some(EventHeader {
            timestamp_s: u32::from_le_bytes([t0, t1, t2, t3]),
            kind,
            server_id: u32::from_le_bytes([s0, s1, s2, s3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            log_pos: u32::from_le_bytes([p0, p1, p2, p3]),
            flags: u16::from_le_bytes([f0, f1]),
        })
    }

    /// Reads the header of one whole event and checks that its length is the event's.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) for anything else.
    pub fn of(event: &[u8]) -> Result<EventHeader> {
        let header = Self::read(event)
            .ok_or_else(|| Error::corrupt("read event header").field("bytes", event.len()))?;
        if header.length as usize != event.len() {
            return Err(Error::corrupt("read event of another length than it says")
                .field("type", name(header.kind))
                .field("said", header.length)
                .field("bytes", event.len()));
        }
        Ok(header)
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let parts = self
            .timestamp_s
            .to_le_bytes()
            .into_iter()
            .chain([self.kind])
            .chain(self.server_id.to_le_bytes())
            .chain(self.length.to_le_bytes())
            .chain(self.log_pos.to_le_bytes())
            .chain(self.flags.to_le_bytes());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// The checksum of an event whose last four bytes are not part of `covered`. Of a format
/// description the IN_USE flag is left out: the server clears it when it closes the file.
#[must_use]
pub fn checksum(covered: &[u8]) -> u32 {
    let is_description = covered.get(4) == Some(&kind::FORMAT_DESCRIPTION);
    match covered.split_at_checked(HEADER_LEN - 2) {
        Some((head, [flags, tail @ ..])) if is_description && flags & FLAG_IN_USE as u8 != 0 => {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(head);
            hasher.update(&[flags & !(FLAG_IN_USE as u8)]);
            hasher.update(tail);
            hasher.finalize()
        }
        _ => crc32fast::hash(covered),
    }
}

/// Whether the last four bytes of `event` are the checksum of the rest.
#[must_use]
pub fn has_valid_checksum(event: &[u8]) -> bool {
    event
        .split_last_chunk::<CHECKSUM_LEN>()
        .is_some_and(|(covered, sum)| u32::from_le_bytes(*sum) == checksum(covered))
}

/// Name of an event type for messages, as the servers' tools spell it.
#[must_use]
pub fn name(code: u8) -> String {
    let text = match code {
        kind::QUERY => "Query",
        kind::STOP => "Stop",
        kind::ROTATE => "Rotate",
        kind::INTVAR => "Intvar",
        kind::LOAD
        | kind::CREATE_FILE
        | kind::APPEND_BLOCK
        | kind::EXEC_LOAD
        | kind::DELETE_FILE
        | kind::NEW_LOAD
        | kind::BEGIN_LOAD_QUERY
        | kind::EXECUTE_LOAD_QUERY => "Load_data",
        kind::RAND => "Rand",
        kind::USER_VAR => "User_var",
        kind::FORMAT_DESCRIPTION => "Format_description",
        kind::XID => "Xid",
        kind::TABLE_MAP => "Table_map",
        kind::WRITE_ROWS_V1 | kind::WRITE_ROWS => "Write_rows",
        kind::UPDATE_ROWS_V1 | kind::UPDATE_ROWS => "Update_rows",
        kind::DELETE_ROWS_V1 | kind::DELETE_ROWS => "Delete_rows",
        kind::PARTIAL_UPDATE_ROWS => "Update_rows_partial",
        kind::INCIDENT => "Incident",
        kind::HEARTBEAT | kind::HEARTBEAT_V2 => "Heartbeat",
        kind::ROWS_QUERY => "Rows_query",
        kind::GTID | kind::MARIADB_GTID | kind::GTID_TAGGED => "Gtid",
        kind::ANONYMOUS_GTID => "Anonymous_gtid",
        kind::PREVIOUS_GTIDS => "Previous_gtids",
        kind::XA_PREPARE => "XA_prepare",
        kind::TRANSACTION_PAYLOAD => "Transaction_payload",
        kind::ANNOTATE_ROWS => "Annotate_rows",
        kind::BINLOG_CHECKPOINT => "Binlog_checkpoint",
        kind::GTID_LIST => "Gtid_list",
        kind::START_ENCRYPTION => "Start_encryption",
        kind::QUERY_COMPRESSED => "Query_compressed",
        kind::WRITE_ROWS_COMPRESSED_V1 | kind::WRITE_ROWS_COMPRESSED => "Write_compressed_rows",
        kind::UPDATE_ROWS_COMPRESSED_V1 | kind::UPDATE_ROWS_COMPRESSED => "Update_compressed_rows",
        kind::DELETE_ROWS_COMPRESSED_V1 | kind::DELETE_ROWS_COMPRESSED => "Delete_compressed_rows",
        other => return format!("event type {other}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_its_bytes() {
        let header = EventHeader {
            timestamp_s: 0x0102_0304,
            kind: kind::XID,
            server_id: 7,
            length: 31,
            log_pos: u32::MAX,
            flags: FLAG_IGNORABLE,
        };
        let bytes = header.to_bytes();
        assert_eq!(EventHeader::read(&bytes), Some(header));
        assert!(EventHeader::of(&bytes).is_err());
        assert_eq!(EventHeader::read(bytes.get(..18).unwrap()), None);
    }

    #[test]
    fn the_in_use_flag_is_no_part_of_the_checksum_of_a_format_description() {
        let mut event = vec![0_u8; 40];
        *event.get_mut(4).unwrap() = kind::FORMAT_DESCRIPTION;
        let closed = checksum(&event);
        *event.get_mut(17).unwrap() = 1;
        assert_eq!(checksum(&event), closed);
        *event.get_mut(4).unwrap() = kind::QUERY;
        assert_ne!(checksum(&event), closed);
    }
}
