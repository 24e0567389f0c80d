//! Making events: `BINLOG` statements for restore, and received events from their parts.

use super::event::{CHECKSUM_LEN, EventHeader, HEADER_LEN, checksum, kind};
use super::format_description as description;
use super::rows::STMT_END;
use super::table_map;
use crate::change::RowsKind;
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::TableVersion;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The rows event is the last of its statement. Set by [`StatementBuilder::finish`].
pub const FLAG_STMT_END: u16 = STMT_END;
/// Apply without foreign key checks and cascades.
pub const FLAG_NO_FOREIGN_KEY_CHECKS: u16 = 0x2;

/// Bytes of images after which a statement goes on in another rows event. A longer event is no
/// faster to apply, and the server decodes one at a time.
const ROWS_EVENT_BYTES: usize = 256 << 10;
/// Every statement maps one table; any id but the dummy one will do.
const TABLE_ID: [u8; 6] = [1, 0, 0, 0, 0, 0];
/// Where the flags stand in a rows event.
const FLAGS_AT: usize = HEADER_LEN + TABLE_ID.len();

/// What the headers of made events say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Flavor of the *target* server.
    pub flavor: Flavor,
    /// Server id in the headers.
    pub server_id: u32,
    /// Seconds since the epoch in the headers: the session's NOW() stays there after the
    /// statement, so give the real time.
    pub timestamp_s: u32,
}

impl Stamp {
    fn header(&self, kind: u8, length: usize) -> EventHeader {
        EventHeader {
            timestamp_s: self.timestamp_s,
            kind,
            server_id: self.server_id,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            log_pos: 0,
            flags: 0,
        }
    }
}

/// A format description event without checksums: alone in the first `BINLOG` statement of a
/// connection. `server_version` is the target's `@@version`.
#[must_use]
pub fn format_description(stamp: &Stamp, server_version: &str) -> Vec<u8> {
    description::build(
        stamp.flavor,
        server_version,
        stamp.server_id,
        stamp.timestamp_s,
    )
}

/// The text `BINLOG '<base64>'` for some events.
#[must_use]
pub fn binlog_statement(events: &[u8]) -> String {
    let mut text = String::with_capacity(statement_len(events.len()));
    text.push_str("BINLOG '");
    STANDARD.encode_string(events, &mut text);
    text.push('\'');
    text
}

fn statement_len(events: usize) -> usize {
    "BINLOG ''".len() + events.div_ceil(3) * 4
}

/// Events of one whole statement on one table: its table map, its rows events, the end flag on
/// the last. A statement without its end flag crashes MySQL 9.7, so there is no way to get one.
#[derive(Debug)]
pub struct StatementBuilder {
    stamp: Stamp,
    /// Type of the rows events.
    code: u8,
    /// Body of every rows event up to its bitmaps of present columns.
    head: Vec<u8>,
    /// Number of columns.
    width: usize,
    /// Number of those bitmaps.
    bitmaps: usize,
    /// Columns that the rows event that is being filled does not have, as a bitmap; empty for none.
    absent: Vec<u8>,
    events: Vec<u8>,
    /// Where the rows event that is being filled starts.
    open_at: Option<usize>,
    rows: u64,
}

impl StatementBuilder {
    /// Starts a statement that writes, updates or deletes rows of `table`, whose images are in
    /// the form of its columns. `flags` go on every rows event (without [`FLAG_STMT_END`]).
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when the table map cannot be made.
    pub fn begin(stamp: Stamp, table: &TableVersion, kind: RowsKind, flags: u16) -> Result<Self> {
        let map = table_map::build(&table.name, &table.columns)?;
        let length = HEADER_LEN + TABLE_ID.len() + map.len();
        let mut events = stamp.header(kind::TABLE_MAP, length).to_bytes().to_vec();
        events.extend_from_slice(&TABLE_ID);
        events.extend_from_slice(&map);
        // MariaDB has no rows events of version 2 outside compression; MySQL 9 none of version 1.
        let (code, extra): (u8, &[u8]) = match (stamp.flavor, kind) {
            (Flavor::MySql, RowsKind::Write) => (kind::WRITE_ROWS, &[2, 0]),
            (Flavor::MySql, RowsKind::Update) => (kind::UPDATE_ROWS, &[2, 0]),
            (Flavor::MySql, RowsKind::Delete) => (kind::DELETE_ROWS, &[2, 0]),
            (Flavor::MariaDb, RowsKind::Write) => (kind::WRITE_ROWS_V1, &[]),
            (Flavor::MariaDb, RowsKind::Update) => (kind::UPDATE_ROWS_V1, &[]),
            (Flavor::MariaDb, RowsKind::Delete) => (kind::DELETE_ROWS_V1, &[]),
        };
        let width = table.columns.len();
        let mut head = TABLE_ID.to_vec();
        head.extend_from_slice(&(flags & !FLAG_STMT_END).to_le_bytes());
        head.extend_from_slice(extra);
        table_map::put_lenenc(&mut head, width);
        Ok(StatementBuilder {
            stamp,
            code,
            head,
            width,
            bitmaps: 1 + usize::from(kind == RowsKind::Update),
            absent: Vec::new(),
            events,
            open_at: None,
            rows: 0,
        })
    }

    /// Adds one row: its image, or before and after image back to back for an update.
    pub fn push(&mut self, row: &[u8]) {
        self.push_narrow(row, &[]);
    }

    /// Adds one row whose image (or both) lacks the columns of the bitmap `absent`, empty for
    /// none: the server computes them.
    pub fn push_narrow(&mut self, row: &[u8], absent: &[u8]) {
        let is_full = |at| self.events.len() - at + row.len() > ROWS_EVENT_BYTES;
        if self.open_at.is_some_and(is_full) || self.absent != absent {
            self.close();
            self.absent = absent.to_vec();
        }
        if self.open_at.is_none() {
            self.open_at = Some(self.events.len());
            let header = self.stamp.header(self.code, 0);
            self.events.extend_from_slice(&header.to_bytes());
            self.events.extend_from_slice(&self.head);
            let mut present = all_columns(self.stamp.flavor, self.width);
            let bytes = present.iter_mut().zip(&self.absent);
            bytes.for_each(|(present, absent)| *present &= !absent);
            for _ in 0..self.bitmaps {
                self.events.extend_from_slice(&present);
            }
        }
        self.events.extend_from_slice(row);
        self.rows += 1;
    }

    /// Writes the length of the rows event that is being filled; gives where it starts.
    fn close(&mut self) -> Option<usize> {
        let at = self.open_at.take()?;
        let length = self.events.len() - at;
        let header = self.stamp.header(self.code, length).to_bytes();
        let place = self.events.get_mut(at..at + HEADER_LEN)?;
        place.copy_from_slice(&header);
        Some(at)
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Length in bytes of the `BINLOG` statement's text if it were finished now.
    #[must_use]
    pub fn statement_bytes(&self) -> usize {
        statement_len(self.events.len())
    }

    /// Length in bytes, at most, of the statement's text with another row of `row_bytes`: what must
    /// fit into the target's `max_allowed_packet`.
    #[must_use]
    pub fn statement_bytes_with(&self, row_bytes: usize) -> usize {
        let bitmaps = self.bitmaps * self.width.div_ceil(8);
        statement_len(self.events.len() + HEADER_LEN + self.head.len() + bitmaps + row_bytes)
    }

    /// The events of the whole statement; empty when no row was added.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let Some(at) = self.close() else {
            return Vec::new();
        };
        if let Some(flags) = self.events.get_mut(at + FLAGS_AT) {
            *flags |= FLAG_STMT_END as u8;
        }
        self.events
    }
}

/// The bitmap of `width` present columns; its spare bits as the flavor writes them.
fn all_columns(flavor: Flavor, width: usize) -> Vec<u8> {
    let mut bitmap = vec![0xff_u8; width.div_ceil(8)];
    if let (Flavor::MariaDb, Some(last)) = (flavor, bitmap.last_mut()) {
        *last >>= (8 - width % 8) % 8;
    }
    bitmap
}

/// A received event again: `template` is the event up to its row images, then the images, then
/// the checksum where `checksum` says that the stream had them.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the lengths do not add up to the event
/// length in the header.
pub fn rebuild(template: &[u8], images: &[u8], has_checksum: bool) -> Result<Vec<u8>> {
    let sum_len = if has_checksum { CHECKSUM_LEN } else { 0 };
    let length = template.len() + images.len() + sum_len;
    let mut event = Vec::with_capacity(length);
    event.extend_from_slice(template);
    event.extend_from_slice(images);
    if has_checksum {
        let sum = checksum(&event);
        event.extend_from_slice(&sum.to_le_bytes());
    }
    EventHeader::of(&event).map_err(|e| Error::corrupt("rebuild event").source(e))?;
    Ok(event)
}

/// A format description as a dump repeats it when it starts in the middle of a file: it takes no
/// place there. What comes first where events of a dump are stored without their file.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `event` is no format description.
pub fn repeated_description(event: &[u8]) -> Result<Vec<u8>> {
    description::FormatDescription::parse(event)?;
    let mut header = EventHeader::of(event)?;
    header.log_pos = 0;
    let body = event.get(HEADER_LEN..event.len().saturating_sub(CHECKSUM_LEN));
    let mut repeated = header.to_bytes().to_vec();
    repeated.extend_from_slice(body.unwrap_or_default());
    let sum = checksum(&repeated);
    repeated.extend_from_slice(&sum.to_le_bytes());
    Ok(repeated)
}

#[cfg(test)]
mod tests;
