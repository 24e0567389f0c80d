//! Query events: the texts that open and close transactions, and statements.

use super::meaning::own_bytes;
use super::transaction::Ending;
use super::{Assembler, Taken};
use crate::binlog::event::{HEADER_LEN, kind};
use crate::binlog::gtid::Group;
use crate::binlog::inflate;
use crate::binlog::query::{self, Query, Verb};
use crate::change::{LogItem, Statement, StatementKind, TransactionKind};
use crate::error::{Error, Result};
use bytes::Bytes;

/// Post-header length of query events since MySQL 5.0.
const QUERY_POST_HEADER: usize = 13;

impl Assembler {
    pub(super) fn take_query(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        self.open()?;
        let post_header = self.description.as_ref();
        let post_header = post_header
            .and_then(|d| d.post_header_length(kind::QUERY))
            .unwrap_or(QUERY_POST_HEADER);
        let damaged = || Error::corrupt("parse query event");
        let parsed = query::parse(&taken.bytes, taken.body.clone(), post_header);
        let mut parsed = parsed.ok_or_else(damaged)?;
        let mut taken = taken;
        if taken.header.kind == kind::QUERY_COMPRESSED {
            let (at, end) = (parsed.text.start, parsed.text.end);
            let plain = inflate::plain_event(&taken.bytes, at, end, kind::QUERY)?;
            parsed.text.end = plain.len();
            let nested = Taken {
                header: taken.header,
                body: HEADER_LEN..plain.len(),
                bytes: plain,
                nested: true,
            };
            if !taken.nested {
                out.push(LogItem::Verbatim(taken.bytes));
            }
            taken = nested;
        }
        self.open()?.thread_id = Some(parsed.thread_id);
        self.take_text(taken, &parsed, out)
    }

    fn take_text(&mut self, taken: Taken, parsed: &Query, out: &mut Vec<LogItem>) -> Result<()> {
        let header_s = taken.header.timestamp_s;
        let open = self.open()?;
        let is_single = matches!(open.group, Group::Standalone | Group::AlterPhase);
        let text = taken.bytes.get(parsed.text.clone()).unwrap_or_default();
        let kind = match query::verb(text) {
            Verb::Begin | Verb::XaStart if !is_single => {
                open.has_begun = true;
                return self.keep_text(taken, out);
            }
            Verb::XaEnd if open.has_begun => return self.keep_text(taken, out),
            Verb::Commit if !is_single => {
                let kind = open.commit_kind();
                let ending = Ending::new(own_bytes(taken), kind, header_s);
                return self.end_transaction(ending, out);
            }
            Verb::Rollback if !is_single => {
                let kind = TransactionKind::Rollback;
                let ending = Ending::new(own_bytes(taken), kind, header_s);
                return self.end_transaction(ending, out);
            }
            Verb::XaCommit(xid) => (TransactionKind::XaCommit, Some(xid.to_vec())),
            Verb::XaRollback(xid) => (TransactionKind::XaRollback, Some(xid.to_vec())),
            _ => (TransactionKind::Ddl, None),
        };
        if open.has_begun {
            open.has_content = true;
            out.push(LogItem::Statement(statement(taken, parsed)));
            return Ok(());
        }
        // The one statement of its transaction.
        let mut ending = Ending::new(Bytes::new(), kind.0, header_s);
        ending.xa = kind.1;
        match open.group {
            Group::AlterPhase => {
                ending.kind = TransactionKind::Empty;
                ending.event = own_bytes(taken);
            }
            _ => out.push(LogItem::Statement(statement(taken, parsed))),
        }
        self.end_transaction(ending, out)
    }

    fn keep_text(&self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        if !taken.nested {
            out.push(LogItem::Verbatim(taken.bytes));
        }
        Ok(())
    }

    /// ROWS_QUERY (a length byte of no use, then text) and ANNOTATE_ROWS (text): the statement
    /// behind the rows events that follow.
    pub(super) fn take_rows_query(&mut self, taken: Taken, out: &mut Vec<LogItem>) -> Result<()> {
        self.open()?.require_begun()?;
        let skipped = usize::from(taken.header.kind == kind::ROWS_QUERY);
        let at = (taken.body.start + skipped).min(taken.body.end);
        out.push(LogItem::Statement(Statement {
            text: taken.bytes.slice(at..taken.body.end),
            text_at: at,
            kind: StatementKind::RowsQuery,
            default_db: Vec::new(),
            status_vars: Bytes::new(),
            charset: None,
            sql_mode: None,
            thread_id: 0,
            error_code: 0,
            header_us: i64::from(taken.header.timestamp_s) * 1_000_000,
            nested: taken.nested,
            event: taken.bytes,
        }));
        Ok(())
    }
}

fn statement(taken: Taken, parsed: &Query) -> Statement {
    let status_vars = taken.bytes.slice(parsed.status_vars.clone());
    let vars = query::status_vars(&status_vars);
    let (charset, sql_mode, microseconds) = (vars.charset, vars.sql_mode, vars.microseconds);
    let seconds = i64::from(taken.header.timestamp_s);
    Statement {
        kind: StatementKind::Query,
        default_db: taken
            .bytes
            .get(parsed.db.clone())
            .unwrap_or_default()
            .to_vec(),
        text: taken.bytes.slice(parsed.text.clone()),
        text_at: parsed.text.start,
        status_vars,
        charset,
        sql_mode,
        thread_id: parsed.thread_id,
        error_code: parsed.error_code,
        header_us: seconds * 1_000_000 + i64::from(microseconds),
        nested: taken.nested,
        event: taken.bytes,
    }
}
