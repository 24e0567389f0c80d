//! What each event of the file means.

use super::transaction::{self, Ending};
use super::{Assembler, INFLATE_STEP, Taken, rotation};
use crate::binlog::event::{EventHeader, FLAG_IGNORABLE, HEADER_LEN, kind, name};
use crate::binlog::gtid::{self, Group};
use crate::binlog::payload::Payload;
use crate::binlog::rows::{self, DUMMY_TABLE_ID, RowsHead, RowsType, STMT_END};
use crate::binlog::{absent, inflate, partial, xa};
use crate::change::{AbsentCells, LogItem, RowsEvent, TransactionKind, Undecoded};
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::TableShape;
use bytes::Bytes;
use std::sync::Arc;

/// An event that was made of a logged one, and which cells the logged one lacks.
type Made = (Bytes, Option<AbsentCells>);

const PARTIAL_IMAGE: &str = "partial row image";

impl Assembler {
    pub(super) fn take_meaning(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        let code = taken.header.kind;
        if let Some(rows) = rows::rows_type(code) {
            return self.take_rows(taken, rows, out);
        }
        match code {
            kind::TABLE_MAP => self.take_table_map(taken, out),
            kind::QUERY | kind::QUERY_COMPRESSED => self.take_query(taken, out),
            kind::XID => self.take_xid(taken, out),
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIADB_GTID => {
                self.take_gtid(taken, out)
            }
            kind::ROWS_QUERY | kind::ANNOTATE_ROWS => self.take_rows_query(taken, out),
            kind::XA_PREPARE => self.take_xa_prepare(taken, out),
            kind::TRANSACTION_PAYLOAD => self.take_payload(taken, out),
            kind::FORMAT_DESCRIPTION if !taken.nested => self.take_description(taken, out),
            kind::ROTATE if !taken.nested => {
                self.require_between("rotate binlog inside a transaction")?;
                let (file, offset) = rotation(taken.body())?;
                self.place.rotate(file, offset);
                self.maps.clear();
                out.push(LogItem::FileEvent(taken.bytes));
                Ok(())
            }
            kind::STOP | kind::PREVIOUS_GTIDS | kind::GTID_LIST | kind::START_ENCRYPTION => {
                self.require_between("read event of the file inside a transaction")?;
                out.push(LogItem::FileEvent(taken.bytes));
                Ok(())
            }
            kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::LOAD
            | kind::CREATE_FILE
            | kind::APPEND_BLOCK
            | kind::EXEC_LOAD
            | kind::DELETE_FILE
            | kind::NEW_LOAD
            | kind::BEGIN_LOAD_QUERY
            | kind::EXECUTE_LOAD_QUERY
            | kind::PRE_GA_WRITE_ROWS
            | kind::PRE_GA_UPDATE_ROWS
            | kind::PRE_GA_DELETE_ROWS => {
                let reason = format!("statement logging: {}", name(code));
                self.undecoded(taken, None, reason, out)
            }
            kind::INCIDENT => Err(Error::corrupt("read past lost events of the source")
                .hint("the source wrote an incident: it lost events; take a new first base")),
            // Known to change nothing by themselves.
            kind::BINLOG_CHECKPOINT | kind::TRANSACTION_CONTEXT | kind::VIEW_CHANGE => {
                self.keep(taken, out);
                Ok(())
            }
            _ if taken.header.has(FLAG_IGNORABLE) => {
                self.keep(taken, out);
                Ok(())
            }
            _ => Err(Error::incompatible("read event of unknown type")
                .hint("this version of tidelog is older than the source; nothing was skipped")),
        }
    }

    fn require_between(&self, what: &'static str) -> Result<()> {
        match self.open {
            None => Ok(()),
            Some(_) => Err(Error::corrupt(what)),
        }
    }

    /// Keeps an event that has no meaning here.
    fn keep(&self, taken: Taken, out: &mut Vec<LogItem>) {
        match (&self.open, taken.nested) {
            // The payload event holds it already.
            (_, true) => {}
            (Some(_), false) => out.push(LogItem::Verbatim(taken.bytes)),
            (None, false) => out.push(LogItem::FileEvent(taken.bytes)),
        }
    }

    fn take_gtid(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        self.require_between("begin transaction inside a transaction")?;
        let header = taken.header;
        let parsed = gtid::parse(header.kind, taken.body())
            .ok_or_else(|| Error::corrupt("parse gtid event"))?;
        let (begin, open) =
            transaction::begin(taken.bytes, header.server_id, header.timestamp_s, parsed);
        self.open = Some(open);
        out.push(LogItem::Begin(begin));
        Ok(())
    }

    pub(super) fn open(&mut self) -> Result<&mut transaction::Transaction> {
        self.open
            .as_mut()
            .ok_or_else(|| Error::corrupt("read event outside a transaction"))
    }

    /// The open transaction, past its BEGIN.
    fn begun(&mut self) -> Result<&mut transaction::Transaction> {
        let open = self.open()?;
        open.require_begun()?;
        Ok(open)
    }

    fn take_table_map(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        self.begun()?;
        let id_len = self.table_id_len(kind::TABLE_MAP);
        let (id, raw) = taken
            .body()
            .split_at_checked(id_len)
            .ok_or_else(|| Error::corrupt("parse table map"))?;
        let id = id.iter().rev().fold(0, |sum, &b| sum << 8 | u64::from(b));
        self.maps.add(id, raw)?;
        self.keep(taken, out);
        Ok(())
    }

    /// Ids have 6 bytes since MySQL 5.1.4.
    fn table_id_len(&self, code: u8) -> usize {
        let length = self.description.as_ref();
        match length.and_then(|d| d.post_header_length(code)) {
            Some(6) => 4,
            _ => 6,
        }
    }

    fn take_rows(&mut self, taken: Taken, rows: RowsType, out: &mut Vec<LogItem>) -> Result<()> {
        self.begun()?.has_content = true;
        let id_len = self.table_id_len(taken.header.kind);
        let head = rows::parse(&taken.bytes, taken.body.clone(), rows, id_len)
            .ok_or_else(|| Error::corrupt("parse rows event"))?;
        let is_last = head.flags & STMT_END != 0;
        let (shape, is_full) = match self.maps.get(head.table_id) {
            Some(map) => (Arc::clone(&map.shape), map.is_full),
            // Tables that the source filtered away leave only the end of their statement.
            None if head.table_id == DUMMY_TABLE_ID && is_last => {
                self.maps.clear();
                self.keep(taken, out);
                return Ok(());
            }
            None => {
                return Err(
                    Error::corrupt("find table map of rows event").field("table_id", head.table_id)
                );
            }
        };
        if head.width != shape.columns.len() {
            return Err(Error::corrupt("match rows event with its table map")
                .field("table", &shape.name)
                .field("columns", head.width));
        }
        if is_last {
            self.maps.clear();
        }
        if !is_full {
            let reason = "row metadata is not full".to_owned();
            return self.undecoded(taken, Some(shape), reason, out);
        }
        let made = match self.made(&taken, rows, (&head, &shape))? {
            Ok(made) => made,
            Err(reason) => {
                return self.undecoded(taken, Some(shape), reason.to_owned(), out);
            }
        };
        let (event, images, nested, absent) = match made {
            None => (taken.bytes, head.images, taken.nested, None),
            Some((event, absent)) => {
                self.keep(taken, out);
                let images = head.images.start..event.len();
                (event, images, true, absent)
            }
        };
        out.push(LogItem::Rows(RowsEvent {
            event,
            shape,
            kind: rows.kind,
            flags: head.flags,
            images,
            absent,
            nested,
        }));
        Ok(())
    }

    /// The event that holds whole images where the logged one does not, plain and without a
    /// checksum; `Err` says why its images are not known.
    fn made(
        &self,
        taken: &Taken,
        rows: RowsType,
        (head, shape): (&RowsHead, &TableShape),
    ) -> Result<std::result::Result<Option<Made>, &'static str>> {
        let images = head.images.clone();
        if rows.is_partial {
            let whole = head
                .is_whole
                .then(|| partial::whole_event(&taken.bytes, images, &shape.columns));
            return Ok(match whole.flatten() {
                Some(event) => Ok(Some((event, None))),
                None if head.is_whole => Err("partial JSON update"),
                None => Err(PARTIAL_IMAGE),
            });
        }
        // Inflating what is not taken apart would be in vain.
        if !head.is_whole && self.flavor != Flavor::MariaDb {
            return Ok(Err(PARTIAL_IMAGE));
        }
        let plain = match rows.inflated {
            Some(code) => Some(inflate::plain_event(
                &taken.bytes,
                images.start,
                images.end,
                code,
            )?),
            None => None,
        };
        if head.is_whole {
            return Ok(Ok(plain.map(|event| (event, None))));
        }
        let (event, end) = match plain {
            Some(event) => (event.clone(), event.len()),
            None => (taken.bytes.clone(), images.end),
        };
        let widened = absent::widened(&event, end, (head, rows.kind), shape, self.flavor);
        Ok(widened.ok_or(PARTIAL_IMAGE).map(|(event, mut cells)| {
            cells.logged = taken.bytes.clone();
            Some((event, Some(cells)))
        }))
    }

    fn undecoded(
        &mut self,
        taken: Taken,
        shape: Option<Arc<TableShape>>,
        reason: String,
        out: &mut Vec<LogItem>,
    ) -> Result<()> {
        self.open()?.has_content = true;
        out.push(LogItem::Undecoded(Undecoded {
            event: taken.bytes,
            shape,
            reason,
            nested: taken.nested,
        }));
        Ok(())
    }

    fn take_xid(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        let kind = self.begun()?.commit_kind();
        let xid = taken.body().first_chunk().copied();
        let xid = xid.ok_or_else(|| Error::corrupt("parse xid event"))?;
        let header_s = taken.header.timestamp_s;
        let mut ending = Ending::new(own_bytes(taken), kind, header_s);
        ending.xid = Some(u64::from_le_bytes(xid));
        self.end_transaction(ending, out)
    }

    fn take_xa_prepare(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        let committed = self.begun()?.commit_kind();
        let parsed = xa::parse(taken.body());
        let parsed = parsed.ok_or_else(|| Error::corrupt("parse xa prepare event"))?;
        if let Group::Prepared(announced) = &self.open()?.group
            && *announced != parsed.xid
        {
            return Err(Error::corrupt("match xa prepare with its gtid event"));
        }
        let header_s = taken.header.timestamp_s;
        let mut ending = Ending::new(own_bytes(taken), committed, header_s);
        if !parsed.one_phase {
            ending.kind = TransactionKind::XaPrepare;
            ending.xa = Some(parsed.xid);
        }
        self.end_transaction(ending, out)
    }

    pub(super) fn end_transaction(&mut self, ending: Ending, out: &mut Vec<LogItem>) -> Result<()> {
        let end = self.place.get().cloned();
        let (Some(open), Some(end)) = (self.open.take(), end) else {
            return Err(Error::corrupt("end transaction that has not begun"));
        };
        self.maps.clear();
        out.push(LogItem::Commit(open.end(ending, end)));
        Ok(())
    }

    fn take_payload(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        self.open()?;
        if taken.nested {
            return Err(Error::corrupt("read payload inside payload"));
        }
        self.payload = Some(Payload::open(&taken.bytes.slice(taken.body.clone()))?);
        self.keep(taken, out);
        self.inflate(out)
    }

    /// Takes the next events of the payload at hand.
    pub(super) fn inflate(&mut self, out: &mut Vec<LogItem>) -> Result<()> {
        let Some(mut payload) = self.payload.take() else {
            return Ok(());
        };
        let mut done = 0;
        while done < INFLATE_STEP {
            let Some(bytes) = payload.next_event()? else {
                if self.open.is_some() {
                    return Err(Error::corrupt(
                        "read payload without the end of its transaction",
                    ));
                }
                self.settle();
                return Ok(());
            };
            done += bytes.len();
            let header = EventHeader::of(&bytes)?;
            self.open()?;
            let body = HEADER_LEN..bytes.len();
            let nested = Taken {
                bytes,
                header,
                body,
                nested: true,
            };
            self.take_meaning(nested, out)?;
        }
        self.payload = Some(payload);
        Ok(())
    }
}

/// The event as the ending of its transaction: nested ones are in their payload already.
pub(super) fn own_bytes(taken: Taken) -> Bytes {
    match taken.nested {
        true => Bytes::new(),
        false => taken.bytes,
    }
}
