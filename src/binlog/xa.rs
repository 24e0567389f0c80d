//! XA identifiers and the XA PREPARE event (38): u8 one-phase, u32 format id, u32 length of the
//! global part, u32 length of the branch part, both parts.

use super::cursor::Cursor;
use std::fmt::Write;

/// What an XA PREPARE event says.
#[derive(Debug)]
pub(crate) struct XaPrepare {
    /// `XA COMMIT ... ONE PHASE`: this is a commit.
    pub(crate) one_phase: bool,
    pub(crate) xid: Vec<u8>,
}

pub(crate) fn parse(body: &[u8]) -> Option<XaPrepare> {
    let mut cursor = Cursor::new(body);
    let one_phase = cursor.u8()? != 0;
    let format = cursor.u32()?;
    let (gtrid, bqual) = (cursor.u32()? as usize, cursor.u32()? as usize);
    // The X/Open limits; they also keep the text small.
    if gtrid > 64 || bqual > 64 {
        return None;
    }
    Some(XaPrepare {
        one_phase,
        xid: text(format, cursor.take(gtrid)?, cursor.take(bqual)?),
    })
}

/// The identifier as both servers write it in XA statements: `X'61',X'62',7`.
pub(crate) fn text(format: u32, gtrid: &[u8], bqual: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    let _ = write!(
        text,
        "X'{}',X'{}',{format}",
        hex::encode(gtrid),
        hex::encode(bqual)
    );
    text.into_bytes()
}
