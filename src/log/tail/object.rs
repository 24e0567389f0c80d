//! An object of the tail: a whole spool file in memory.

use crate::binlog::write::repeated_description;
use crate::error::Result;
use crate::log::durability::{Beginning, Owner};
use crate::log::spool::frame::{self, Mark};
use crate::log::spool::{FileHead, TailLink};
use crate::manifest::{Sha256, TailPlace};
use bytes::Bytes;

/// Events that were received together.
#[derive(Clone, Debug)]
pub(in crate::log) struct Group {
    pub(in crate::log) events: Vec<Bytes>,
    pub(in crate::log) received_us: i64,
    /// Whole transactions received up to its end.
    pub(in crate::log) transactions: u64,
    /// When the last of them was committed, the source's clock.
    pub(in crate::log) commit_us: Option<i64>,
    /// A transaction is open at its end.
    pub(in crate::log) is_open: bool,
    /// The source's file ends with it.
    pub(in crate::log) ends_file: bool,
    /// What its first event follows.
    pub(in crate::log) beginning: Beginning,
    /// The format description in force.
    pub(in crate::log) description: Bytes,
}

impl Group {
    pub(super) fn bytes(&self) -> u64 {
        self.events.iter().map(|e| e.len() as u64).sum()
    }
}

/// An object ready to be put.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) sha256: Sha256,
}

/// The object behind `place` with these groups, the first of which begins it.
pub(super) fn encode(
    owner: &Owner,
    place: &TailPlace,
    groups: &[Group],
    continues: bool,
) -> Result<Option<Encoded>> {
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
        return Ok(None);
    };
    let link = TailLink {
        prev_sha256: place.sha256,
        bytes_before: place.bytes,
        continues,
    };
    let head = FileHead {
        tail: Some(link),
        ..owner.head(first.beginning.clone(), place.through + 1)
    };
    let mut bytes = frame::start(&head, &repeated_description(&first.description)?)?;
    let mut crc32 = crc32fast::Hasher::new();
    let mut summed = 0;
    let mut mark = |bytes: &[u8], received_us| {
        crc32.update(bytes.get(summed..).unwrap_or_default());
        summed = bytes.len();
        Mark {
            nonce: head.nonce,
            offset: summed as u64,
            synced: 0,
            crc32: crc32.clone().finalize(),
            received_us,
        }
    };
    for group in groups {
        let begun = mark(&bytes, group.received_us).group()?;
        bytes.extend_from_slice(&begun);
        group
            .events
            .iter()
            .for_each(|event| bytes.extend_from_slice(event));
    }
    let end = mark(&bytes, last.commit_us.unwrap_or(0)).end()?;
    bytes.extend_from_slice(&end);
    Ok(Some(Encoded {
        sha256: Sha256::of(&bytes),
        bytes: bytes.into(),
    }))
}
