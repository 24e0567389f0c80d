//! MariaDB's UUID, INET4 and INET6, which the binlog shows as BINARY of 16, 4 and 16 bytes.
//!
//! UUIDs of the versions 1 to 5 are stored with their five parts in reverse order, so that the
//! fast-moving part of a version 1 UUID stands last; all others as they are. Source:
//! `sql_type_uuid.h` of MariaDB 10.11.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Uuid,
    Inet4,
    Inet6,
}

impl Network {
    pub(super) fn of_declared(declared: Option<&str>) -> Option<Network> {
        Some(match declared? {
            "uuid" => Network::Uuid,
            "inet4" => Network::Inet4,
            "inet6" => Network::Inet6,
            _ => return None,
        })
    }

    /// Bytes of a value.
    pub(super) fn bytes(self) -> usize {
        match self {
            Network::Inet4 => 4,
            Network::Uuid | Network::Inet6 => 16,
        }
    }

    /// Appends the text of a record of [`bytes`](Self::bytes) bytes.
    pub(super) fn text(self, record: &[u8], out: &mut String) -> Option<()> {
        match self {
            Network::Uuid => {
                let record: [u8; 16] = record.try_into().ok()?;
                let memory = if is_swapped_record(record) {
                    from_swapped(record)
                } else {
                    record
                };
                write!(out, "{}", Uuid::from_bytes(memory)).ok()
            }
            Network::Inet4 => {
                let record: [u8; 4] = record.try_into().ok()?;
                write!(out, "{}", Ipv4Addr::from(record)).ok()
            }
            Network::Inet6 => {
                let record: [u8; 16] = record.try_into().ok()?;
                write!(out, "{}", Ipv6Addr::from(record)).ok()
            }
        }
    }

    /// Appends the record of a text.
    pub(super) fn record(self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Network::Uuid => {
                let memory = *Uuid::try_parse(text).ok()?.as_bytes();
                out.extend(if is_swapped_value(memory) {
                    to_swapped(memory)
                } else {
                    memory
                });
            }
            Network::Inet4 => out.extend(text.parse::<Ipv4Addr>().ok()?.octets()),
            Network::Inet6 => out.extend(text.parse::<Ipv6Addr>().ok()?.octets()),
        }
        Some(())
    }
}

/// Whether the server stores a UUID in reverse order: versions 1 to 5 of the usual variants.
fn is_swapped_value(memory: [u8; 16]) -> bool {
    let [.., version, _, variant, _, _, _, _, _, _, _] = memory;
    (1..0x60).contains(&version) && variant & 0x80 != 0
}

/// Whether the server takes a record for one in reverse order. Not quite the same rule, so that a
/// few version 8 UUIDs are shown swapped by the server, too.
fn is_swapped_record(record: [u8; 16]) -> bool {
    let [.., variant, _, version, _, _, _, _, _, _, _] = record;
    (1..=0x80).contains(&version) && variant & 0x80 != 0
}

fn to_swapped(m: [u8; 16]) -> [u8; 16] {
    let [
        a0,
        a1,
        a2,
        a3,
        b0,
        b1,
        c0,
        c1,
        d0,
        d1,
        e0,
        e1,
        e2,
        e3,
        e4,
        e5,
    ] = m;
    [
        e0, e1, e2, e3, e4, e5, d0, d1, c0, c1, b0, b1, a0, a1, a2, a3,
    ]
}

fn from_swapped(r: [u8; 16]) -> [u8; 16] {
    let [
        e0,
        e1,
        e2,
        e3,
        e4,
        e5,
        d0,
        d1,
        c0,
        c1,
        b0,
        b1,
        a0,
        a1,
        a2,
        a3,
    ] = r;
    [
        a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, e0, e1, e2, e3, e4, e5,
    ]
}
