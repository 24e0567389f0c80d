//! The event a transaction starts with, of every kind.
//!
//! MySQL: `GTID` (33) and `ANONYMOUS_GTID` (34) have fixed fields with optional ones behind them,
//! `GTID_TAGGED` (42) is a message of the serialization library (varlen version, size, last
//! non-ignorable field, then field id and value pairs in ascending order). MariaDB: `GTID` (162).

use super::cursor::Cursor;
use super::event::kind;
use super::xa;
use crate::position::{Gtid, Tag};
use uuid::Uuid;

/// What a GTID event says.
#[derive(Clone, Debug, Default)]
pub(crate) struct GtidEvent {
    pub(crate) gtid: Option<Gtid>,
    pub(crate) flags: u8,
    pub(crate) last_committed: i64,
    pub(crate) sequence_number: i64,
    pub(crate) immediate_us: Option<i64>,
    pub(crate) original_us: Option<i64>,
    pub(crate) commit_id: u64,
    pub(crate) group: Group,
}

/// How the events of the transaction are delimited.
#[derive(Clone, Debug, Default)]
pub(crate) enum Group {
    /// The next query says: BEGIN and XA START open, anything else is all there is (MySQL).
    #[default]
    Asked,
    /// Open until XID, COMMIT or ROLLBACK (MariaDB).
    Open,
    /// Open until XA PREPARE of this XA identifier (MariaDB).
    Prepared(Vec<u8>),
    /// One statement (MariaDB).
    Standalone,
    /// One statement that changes nothing by itself: the start or rollback of a two-phase ALTER,
    /// whose text comes again at its commit (MariaDB).
    AlterPhase,
}

const FL_STANDALONE: u8 = 1;
const FL_GROUP_COMMIT_ID: u8 = 2;
const FL_PREPARED_XA: u8 = 64;
const FL_COMPLETED_XA: u8 = 128;
const FL_START_ALTER: u8 = 2;
const FL_ROLLBACK_ALTER: u8 = 8;

/// Parses the body (checksum left out) of a GTID event of the given type.
pub(crate) fn parse(kind: u8, body: &[u8]) -> Option<GtidEvent> {
    let mut cursor = Cursor::new(body);
    match kind {
        kind::MARIADB_GTID => mariadb(&mut cursor),
        kind::GTID_TAGGED => tagged(body),
        _ => mysql(&mut cursor, kind == kind::ANONYMOUS_GTID),
    }
}

fn mysql(cursor: &mut Cursor<'_>, anonymous: bool) -> Option<GtidEvent> {
    let flags = cursor.u8()?;
    let uuid = Uuid::from_bytes(cursor.array()?);
    let gno = cursor.u64()?;
    let mut event = GtidEvent {
        gtid: identity(uuid, Tag::default(), gno, anonymous)?,
        flags,
        ..GtidEvent::default()
    };
    // Absent before 5.7; type code 2 is the logical clock in use since.
    if cursor.u8() != Some(2) {
        return Some(event);
    }
    event.last_committed = cursor.u64()? as i64;
    event.sequence_number = cursor.u64()? as i64;
    if cursor.is_empty() {
        return Some(event);
    }
    let immediate = cursor.uint(7)?;
    event.immediate_us = Some((immediate & !(1 << 55)) as i64);
    event.original_us = match immediate >> 55 {
        0 => event.immediate_us,
        _ => Some(cursor.uint(7)? as i64),
    };
    Some(event)
}

/// `None` for numbers no server gives.
fn identity(uuid: Uuid, tag: Tag, gno: u64, anonymous: bool) -> Option<Option<Gtid>> {
    match (anonymous, gno) {
        (true, 0) => Some(None),
        (false, 1..0x7fff_ffff_ffff_ffff) => Some(Some(Gtid::MySql { uuid, tag, gno })),
        _ => None,
    }
}

fn tagged(body: &[u8]) -> Option<GtidEvent> {
    let mut cursor = Cursor::new(body);
    let version = cursor.varlen()?;
    let size = usize::try_from(cursor.varlen()?).ok()?;
    let needed = cursor.varlen()?;
    if version != 1 || needed > 11 {
        return None;
    }
    let skipped = cursor.at();
    let mut cursor = Cursor::new(body.get(skipped..size)?);
    let mut event = GtidEvent::default();
    let (mut uuid, mut tag, mut gno) = (None, Tag::default(), None);
    while !cursor.is_empty() {
        match cursor.varlen()? {
            0 => event.flags = u8::try_from(cursor.varlen()?).ok()?,
            1 => uuid = Some(serialized_uuid(&mut cursor)?),
            2 => gno = u64::try_from(cursor.varlen_signed()?).ok(),
            3 => {
                let length = usize::try_from(cursor.varlen()?).ok()?;
                tag = Tag::new(std::str::from_utf8(cursor.take(length)?).ok()?)?;
            }
            4 => event.last_committed = cursor.varlen_signed()?,
            5 => event.sequence_number = cursor.varlen_signed()?,
            6 => event.immediate_us = i64::try_from(cursor.varlen()?).ok(),
            7 => event.original_us = i64::try_from(cursor.varlen()?).ok(),
            8..=11 => {
                cursor.varlen()?;
            }
            // Later fields are ignorable by the check of `needed` above.
            _ => break,
        }
    }
    event.gtid = identity(uuid?, tag, gno?, false)?;
    event.original_us = event.original_us.or(event.immediate_us);
    Some(event)
}

fn serialized_uuid(cursor: &mut Cursor<'_>) -> Option<Uuid> {
    let mut bytes = [0_u8; 16];
    for byte in &mut bytes {
        *byte = u8::try_from(cursor.varlen()?).ok()?;
    }
    Some(Uuid::from_bytes(bytes))
}

fn mariadb(cursor: &mut Cursor<'_>) -> Option<GtidEvent> {
    let seq_no = cursor.u64()?;
    let domain = cursor.u32()?;
    let flags = cursor.u8()?;
    let mut event = GtidEvent {
        flags,
        // The server id is the header's; the caller fills it in.
        gtid: Some(Gtid::MariaDb {
            domain,
            server_id: 0,
            seq_no,
        }),
        group: match flags & FL_STANDALONE {
            0 => Group::Open,
            _ => Group::Standalone,
        },
        ..GtidEvent::default()
    };
    if flags & FL_GROUP_COMMIT_ID != 0 {
        event.commit_id = cursor.u64()?;
    }
    if flags & (FL_PREPARED_XA | FL_COMPLETED_XA) != 0 {
        let format = cursor.u32()?;
        let (gtrid, bqual) = (cursor.u8()?, cursor.u8()?);
        let gtrid = cursor.take(usize::from(gtrid))?;
        let bqual = cursor.take(usize::from(bqual))?;
        event.group = match flags & FL_PREPARED_XA {
            0 => Group::Standalone,
            _ => Group::Prepared(xa::text(format, gtrid, bqual)),
        };
    }
    let extra = cursor.u8().unwrap_or(0);
    if extra & (FL_START_ALTER | FL_ROLLBACK_ALTER) != 0 {
        event.group = Group::AlterPhase;
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    // From MySQL 9.7.4: `SET gtid_next='3e11fa47-...:tagged_one:9223372036854775806'`.
    const TAGGED: &str = "028e000002027c22e9038ee229032285037902662103\
        14a502845502c404fffcffffffffffffff06147461676765645f6f6e65083c0a480c7f556759b4b4\
        600610cd031283120b";

    #[test]
    fn a_tagged_gtid_is_a_message_of_the_serialization_library() {
        let body = hex::decode(TAGGED).expect("hex");
        let event = parse(kind::GTID_TAGGED, &body).expect("a gtid");
        assert_eq!(
            event.gtid.expect("not anonymous").to_string(),
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:tagged_one:9223372036854775806"
        );
        assert_eq!((event.flags, event.last_committed), (1, 15));
        assert_eq!(event.sequence_number, 18);
        assert_eq!(event.immediate_us, Some(1_795_179_096_401_749));
        assert_eq!(event.original_us, event.immediate_us);
        for cut in 0..body.len() {
            assert!(parse(kind::GTID_TAGGED, body.get(..cut).unwrap()).is_none());
        }
    }

    #[test]
    fn an_anonymous_gtid_has_no_number() {
        let mut body = [0_u8; 42];
        assert!(parse(kind::ANONYMOUS_GTID, &body).unwrap().gtid.is_none());
        assert!(parse(kind::GTID, &body).is_none());
        *body.get_mut(17).unwrap() = 1;
        assert!(parse(kind::GTID, &body).unwrap().gtid.is_some());
    }
}
