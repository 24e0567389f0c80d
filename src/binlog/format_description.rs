//! The format description event: the first of every file and dump.
//!
//! Body: u16 binlog version (4), 50 bytes server version, u32 creation time, u8 header length
//! (19), u8 post-header length per event type from 1 on, u8 checksum algorithm, u32 CRC32. It
//! always has a checksum, even where the algorithm says that the other events have none.

use super::cursor::Cursor;
use super::event::{CHECKSUM_LEN, Checksum, EventHeader, FLAG_IN_USE, HEADER_LEN, kind};
use super::event::{has_valid_checksum, name};
use crate::error::{Error, Result};
use crate::position::Flavor;

/// What a format description says of the events after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// Server version text, for example `9.7.4` or `10.11.19-MariaDB-log`.
    pub server_version: String,
    /// Family of the server, by its version text.
    pub flavor: Flavor,
    /// Checksum of the events after it.
    pub checksum: Checksum,
    /// Seconds since the epoch at which the server started, where this file is its first; else 0.
    pub created_s: u32,
    /// The file was open for writing (or the server died while it was).
    pub in_use: bool,
    post_header_lengths: Vec<u8>,
}

impl FormatDescription {
    /// Parses a whole event.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when its checksum or its fields are wrong,
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) for another binlog version or
    /// checksum algorithm.
    pub fn parse(event: &[u8]) -> Result<FormatDescription> {
        let header = EventHeader::of(event)?;
        if header.kind != kind::FORMAT_DESCRIPTION {
            return Err(Error::corrupt("read format description").field("type", name(header.kind)));
        }
        if !has_valid_checksum(event) {
            return Err(Error::corrupt("verify checksum of format description"));
        }
        Self::body(event, header)
            .ok_or_else(|| Error::corrupt("parse format description").field("bytes", event.len()))?
    }

    fn body(event: &[u8], header: EventHeader) -> Option<Result<FormatDescription>> {
        let body = event.get(HEADER_LEN..event.len().checked_sub(CHECKSUM_LEN)?)?;
        let (algorithm, body) = body.split_last()?;
        let mut cursor = Cursor::new(body);
        let version = cursor.u16()?;
        let text = cursor.take(50)?;
        let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        let server_version = String::from_utf8_lossy(text.get(..end)?).into_owned();
        let created_s = cursor.u32()?;
        let header_length = cursor.u8()?;
        if version != 4 || usize::from(header_length) != HEADER_LEN {
            return Some(Err(Error::incompatible("read binlog of another version")
                .field("version", version)
                .field("header_length", header_length)));
        }
        let checksum = match algorithm {
            0 => Checksum::None,
            1 => Checksum::Crc32,
            other => {
                return Some(Err(Error::incompatible(
                    "read binlog with unknown checksum",
                )
                .field("algorithm", other)));
            }
        };
        let is_mariadb = server_version.to_ascii_lowercase().contains("mariadb");
        Some(Ok(FormatDescription {
            flavor: if is_mariadb {
                Flavor::MariaDb
            } else {
                Flavor::MySql
            },
            server_version,
            checksum,
            created_s,
            in_use: header.has(FLAG_IN_USE),
            post_header_lengths: cursor.rest().to_vec(),
        }))
    }

    /// Length of the post-header of an event type; `None` for types the server does not know.
    #[must_use]
    pub fn post_header_length(&self, kind: u8) -> Option<usize> {
        let index = usize::from(kind).checked_sub(1)?;
        self.post_header_lengths.get(index).map(|&n| usize::from(n))
    }
}

/// A format description as the servers this was tried on write it (MySQL 9.7, MariaDB 10.11),
/// whose other events have no checksum.
#[must_use]
pub(crate) fn build(
    flavor: Flavor,
    server_version: &str,
    server_id: u32,
    timestamp_s: u32,
) -> Vec<u8> {
    let mut body = 4_u16.to_le_bytes().to_vec();
    let text = server_version.bytes().filter(|&b| b != 0).take(49);
    body.extend(text.chain(std::iter::repeat(0)).take(50));
    body.extend_from_slice(&0_u32.to_le_bytes());
    body.push(HEADER_LEN as u8);
    body.extend_from_slice(&post_header_lengths(flavor));
    body.push(0);
    let length = HEADER_LEN + body.len() + CHECKSUM_LEN;
    let header = EventHeader {
        timestamp_s,
        kind: kind::FORMAT_DESCRIPTION,
        server_id,
        length: length as u32,
        log_pos: 0,
        flags: 0,
    };
    let mut event = header.to_bytes().to_vec();
    event.append(&mut body);
    let sum = super::event::checksum(&event);
    event.extend_from_slice(&sum.to_le_bytes());
    event
}

fn post_header_lengths(flavor: Flavor) -> Vec<u8> {
    match flavor {
        Flavor::MySql => vec![
            0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0,
            0, 10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
        ],
        Flavor::MariaDb => {
            let mut lengths = vec![
                56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 228, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8,
                2, 0, 0, 0, 10, 10, 10, 0, 0, 0, 0, 0, 0, 10, 10, 10,
            ];
            lengths.resize(159, 0);
            lengths.extend_from_slice(&[0, 4, 19, 4, 0, 13, 8, 8, 8, 10, 10, 10]);
            lengths
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_description_is_read_back() {
        for (flavor, version) in [
            (Flavor::MySql, "9.7.4"),
            (Flavor::MariaDb, "10.11.19-MariaDB-log"),
        ] {
            let event = build(flavor, version, 3, 1_700_000_000);
            let read = FormatDescription::parse(&event).expect("own event");
            assert_eq!(
                (read.flavor, read.server_version.as_str()),
                (flavor, version)
            );
            assert_eq!(read.checksum, Checksum::None);
            assert_eq!(read.post_header_length(kind::QUERY), Some(13));
            for at in 0..event.len() {
                let mut damaged = event.clone();
                *damaged.get_mut(at).unwrap() ^= 4;
                let result = FormatDescription::parse(&damaged);
                assert!(result.is_err(), "byte {at} of {flavor}");
            }
        }
    }
}
