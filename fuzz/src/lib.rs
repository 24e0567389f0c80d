//! What the fuzz targets share: how an input names its flavor, and how mutated bytes pass the
//! checksums that would otherwise end every run at the first flipped bit.

use tidelog::binlog::MAGIC;
use tidelog::binlog::event::{HEADER_LEN, checksum, kind};
use tidelog::position::Flavor;

/// Splits the choices off an input: its first byte.
pub fn choices(data: &[u8]) -> Option<(Choices, &[u8])> {
    let (&byte, rest) = data.split_first()?;
    Some((Choices(byte), rest))
}

/// The first byte of an input: bit 0 is the flavor, the others mean what the target says.
#[derive(Clone, Copy)]
pub struct Choices(u8);

impl Choices {
    /// MySQL, or MariaDB where the bit is set.
    pub fn flavor(self) -> Flavor {
        match self.bit(0) {
            false => Flavor::MySql,
            true => Flavor::MariaDb,
        }
    }

    /// One bit.
    pub fn bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// The byte above the lowest `bits`.
    pub fn above(self, bits: u8) -> u8 {
        self.0 >> bits
    }
}

/// A binlog file whose events have the length, position and checksum that their place asks for:
/// what is behind those checks is reached by any bytes.
pub fn repaired(file: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let mut rest = file.get(MAGIC.len()..).unwrap_or_default();
    let mut has_checksums = false;
    while rest.len() > HEADER_LEN {
        let length = u32::from_le_bytes([rest[9], rest[10], rest[11], rest[12]]) as usize;
        let length = length.clamp(HEADER_LEN + 1, rest.len());
        let (event, after) = rest.split_at(length);
        rest = after;
        let end = out.len() + length;
        let mut event = event.to_vec();
        event[9..13].copy_from_slice(&(length as u32).to_le_bytes());
        // Nothing is the position inside transactions of newer MariaDB servers.
        if event[13..17] != [0; 4] {
            event[13..17].copy_from_slice(&(end as u32).to_le_bytes());
        }
        let is_description = event[4] == kind::FORMAT_DESCRIPTION;
        if is_description && length > HEADER_LEN + 5 {
            has_checksums = event[length - 5] == 1;
        }
        if (has_checksums || is_description) && length > HEADER_LEN + 4 {
            let sum = checksum(&event[..length - 4]);
            event[length - 4..].copy_from_slice(&sum.to_le_bytes());
        }
        out.extend_from_slice(&event);
    }
    out
}

/// A JSON object of a repository: `members` in the frame with a right checksum.
pub fn framed(members: &[u8]) -> Vec<u8> {
    let mut out = members.to_vec();
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(format!(",\"crc32\":\"{sum:08x}\"}}").as_bytes());
    out
}
