//! MariaDB's UUID, INET4 and INET6, which the binlog shows as BINARY of 16, 4 and 16 bytes.
//!
//! Row images hold all three in the order of their text (seen on 10.11 and 11.8), although tables
//! store the parts of some UUIDs in reverse.

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
                write!(out, "{}", Uuid::from_bytes(record)).ok()
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
            Network::Uuid => out.extend(Uuid::try_parse(text).ok()?.as_bytes()),
            Network::Inet4 => out.extend(text.parse::<Ipv4Addr>().ok()?.octets()),
            Network::Inet6 => out.extend(text.parse::<Ipv6Addr>().ok()?.octets()),
        }
        Some(())
    }
}
