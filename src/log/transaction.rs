//! The transaction that is being received: counters, raw form, and what its statements mean.

use super::batch::BatchMark;
use super::savepoints::Savepoints;
use crate::binlog::query;
use crate::change::{Begin, Commit, CommitTime, RowsKind, Statement, StatementKind, Undecoded};
use crate::error::{Error, Result};
use crate::manifest::{Barrier, Catalogue, Ddl};
use crate::position::{Flavor, Gtid, Seq};
use crate::schema::ddl::{
    self, ColumnSaid, Effect, StatementClass, StatementContext, TransactionControl,
};
use crate::schema::{TableId, TableName};
use crate::segment::{EntryKind, RawWriter, StatementRow, TransactionRow};
use bytes::Bytes;

/// A transaction between its begin and its end.
#[derive(Debug)]
pub(crate) struct OpenTransaction {
    pub(crate) begin: Begin,
    pub(crate) mark: BatchMark,
    pub(crate) raw: RawWriter,
    /// Whether a statement of it may have changed what tables there are.
    pub(crate) ddl: bool,
    /// What it went back to, and the changes that were undone by that.
    pub(crate) savepoints: Savepoints,
    rows_next: u32,
    events_next: i32,
    inserted: i64,
    updated: i64,
    deleted: i64,
    thread_id: Option<u32>,
}

/// What a statement adds to the batch.
#[derive(Debug)]
pub(crate) struct StatementOutcome {
    pub(crate) row: StatementRow,
    pub(crate) barriers: Vec<Barrier>,
    /// Of a statement that changes definitions.
    pub(crate) entry: Option<Ddl>,
    pub(crate) ddl: bool,
}

impl OpenTransaction {
    /// `file_events` stand in the source's binlog between the transaction before and this one.
    pub(crate) fn new(begin: Begin, mark: BatchMark, file_events: Vec<Bytes>) -> Self {
        let mut raw = RawWriter::default();
        file_events.iter().for_each(|event| raw.verbatim(event));
        raw.verbatim(&begin.event);
        OpenTransaction {
            begin,
            mark,
            raw,
            ddl: false,
            savepoints: Savepoints::default(),
            rows_next: 0,
            events_next: 0,
            inserted: 0,
            updated: 0,
            deleted: 0,
            thread_id: None,
        }
    }

    /// Ordinal of the next rows event.
    pub(crate) fn next_event(&mut self) -> i32 {
        let ordinal = self.events_next;
        self.events_next += 1;
        ordinal
    }

    /// Ordinal of the next change, counted by kind.
    pub(crate) fn next_row(&mut self, kind: RowsKind) -> Result<u32> {
        match kind {
            RowsKind::Write => self.inserted += 1,
            RowsKind::Update => self.updated += 1,
            RowsKind::Delete => self.deleted += 1,
        }
        let ordinal = self.next_ordinal()?;
        self.savepoints.change(ordinal);
        Ok(ordinal)
    }

    fn next_ordinal(&mut self) -> Result<u32> {
        let ordinal = self.rows_next;
        self.rows_next = ordinal.checked_add(1).ok_or_else(|| {
            Error::incompatible("receive transaction: more than 4,294,967,295 changes")
        })?;
        Ok(ordinal)
    }

    /// Takes a statement in: its row, its barriers, its effect on the catalogue.
    pub(crate) fn statement(
        &mut self,
        statement: &Statement,
        seq: Seq,
        catalogue: &mut Catalogue,
    ) -> Result<StatementOutcome> {
        let ordinal = self.next_ordinal()?;
        if !statement.nested {
            // The text stands in statements.parquet: half of a MariaDB binlog is such text.
            match before_text(statement) {
                Some(head) => self.raw.text(ordinal, head),
                None => self.raw.verbatim(&statement.event),
            }
        }
        let mut barriers = Vec::new();
        let (mut is_ddl, mut entry) = (false, None);
        if statement.kind == StatementKind::Query {
            self.thread_id = Some(statement.thread_id);
            let context = StatementContext {
                flavor: match self.begin.gtid {
                    Some(Gtid::MariaDb { .. }) => Flavor::MariaDb,
                    _ => Flavor::MySql,
                },
                default_db: &statement.default_db,
                collation: statement.charset,
                sql_mode: statement.sql_mode.unwrap_or(0),
            };
            let class = match unfinished_alter(statement) {
                true => StatementClass::NoRowEffect,
                false => ddl::classify(&statement.text, &context),
            };
            is_ddl = matches!(class, StatementClass::Ddl { .. } | StatementClass::Unknown);
            barriers = barriers_of(&class, seq, (statement, &context), catalogue);
            if let StatementClass::TransactionControl(control) = &class
                && let Err(reason) = self.savepoint(control)
            {
                barriers.push(barrier(statement, seq, None, reason));
            }
            if let StatementClass::Ddl { effects } = &class {
                entry = Some(Ddl {
                    seq,
                    statement: excerpt(&statement.text),
                });
                let computed = || ddl::computed_columns(&statement.text, &context);
                for effect in effects {
                    apply_effect(effect, (&statement.text, seq), catalogue, &computed);
                }
            }
            self.ddl |= is_ddl;
        }
        let row = StatementRow {
            seq,
            ordinal: i64::from(ordinal),
            kind: statement.kind,
            default_db: statement.default_db.clone().into(),
            text: statement.text.clone(),
            charset: statement.charset,
            status_vars: statement.status_vars.clone(),
            thread_id: statement.thread_id,
            error_code: statement.error_code,
            header_us: statement.header_us,
        };
        Ok(StatementOutcome {
            row,
            barriers,
            entry,
            ddl: is_ddl,
        })
    }

    /// Follows savepoints; fails with why it is not known what was undone.
    fn savepoint(&mut self, control: &TransactionControl) -> std::result::Result<(), &'static str> {
        match control {
            TransactionControl::Savepoint(name) => self.savepoints.set(name),
            TransactionControl::RollbackTo(name) => self.savepoints.back_to(name)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes an event in that is kept verbatim only.
    pub(crate) fn undecoded(
        &mut self,
        event: &Undecoded,
        seq: Seq,
        catalogue: &mut Catalogue,
    ) -> Result<Barrier> {
        if !event.nested {
            self.raw.verbatim(&event.event);
        }
        self.next_ordinal()?;
        let table = event
            .shape
            .as_ref()
            .and_then(|shape| catalogue.by_name(&shape.name));
        Ok(Barrier {
            seq,
            table: table.map(|v| v.table_id.clone()),
            reason: event.reason.clone(),
            statement: None,
        })
    }

    /// Whether it holds row images.
    pub(crate) fn has_rows(&self) -> bool {
        self.events_next > 0
    }

    /// The transaction's row.
    pub(crate) fn finish(
        mut self,
        commit: &Commit,
        seq: Seq,
        time: CommitTime,
        received_us: i64,
    ) -> TransactionRow {
        if !commit.event.is_empty() {
            self.raw.verbatim(&commit.event);
        }
        TransactionRow {
            gtid: self.begin.gtid,
            commit: Some(time),
            end: Some(commit.end.clone()),
            server_id: Some(self.begin.server_id),
            thread_id: commit.thread_id.or(self.thread_id),
            rows_inserted: self.inserted,
            rows_updated: self.updated,
            rows_deleted: self.deleted,
            xid: commit.xid,
            last_committed: Some(self.begin.last_committed),
            sequence_number: Some(self.begin.sequence_number),
            raw: Some(self.raw.take()),
            ..TransactionRow::empty(seq, EntryKind::Transaction(commit.kind), received_us)
        }
    }
}

/// The event before its text, where nothing but a verified checksum follows the text.
fn before_text(statement: &Statement) -> Option<&[u8]> {
    const CHECKSUM_BYTES: usize = 4;
    let (event, text) = (&statement.event, &statement.text);
    let head = event.get(..statement.text_at)?;
    let end = statement.text_at.checked_add(text.len())?;
    let is_last = matches!(event.len().checked_sub(end)?, 0 | CHECKSUM_BYTES);
    is_last.then_some(head)
}

/// Whether it is the start of a two-phase ALTER (MariaDB), or its rollback: the ALTER happens when
/// it commits, as another statement of the log.
fn unfinished_alter(statement: &Statement) -> bool {
    query::status_vars(&statement.status_vars).alter_flags & (2 | 8) != 0
}

fn barrier(statement: &Statement, seq: Seq, table: Option<TableId>, reason: &str) -> Barrier {
    Barrier {
        seq,
        table,
        reason: reason.to_owned(),
        statement: Some(excerpt(&statement.text)),
    }
}

/// What restores cannot repeat stops them.
fn barriers_of(
    class: &StatementClass,
    seq: Seq,
    (statement, context): (&Statement, &StatementContext<'_>),
    catalogue: &Catalogue,
) -> Vec<Barrier> {
    let barrier = |table, reason| barrier(statement, seq, table, reason);
    match class {
        StatementClass::TransactionControl(_) | StatementClass::NoRowEffect => Vec::new(),
        StatementClass::StatementDml => vec![barrier(None, "statement-format change of rows")],
        StatementClass::Unknown => vec![barrier(None, "statement that is not understood")],
        StatementClass::Ddl { .. } if statement.error_code != 0 => {
            vec![barrier(None, "ddl that ended with an error")]
        }
        StatementClass::Ddl { effects } => {
            let known = |name: &TableName| catalogue.by_name(name);
            let is_keyless = |name: &TableName| known(name).is_some_and(|v| v.key.is_empty());
            let all = ddl::obstacles(&statement.text, context, effects, is_keyless);
            let of = |table: Option<TableName>| Some(known(&table?)?.table_id.clone());
            all.into_iter()
                .map(|found| barrier(of(found.table), found.reason))
                .collect()
        }
    }
}

/// Table identity follows what happened to the table; all else about a DDL is for those who repeat it.
fn apply_effect(
    effect: &Effect,
    (text, seq): (&[u8], Seq),
    catalogue: &mut Catalogue,
    computed: &dyn Fn() -> Vec<(String, ColumnSaid)>,
) {
    match effect {
        // With IF NOT EXISTS it is logged also when the table stays as it is.
        Effect::CreateTable {
            if_not_exists: true,
            name,
            ..
        } if catalogue.knows(name) => {}
        Effect::CreateTable { name, like, .. } => {
            catalogue.drop_table(name);
            match like {
                Some(like) => catalogue.tell_alike(name, like),
                None => catalogue.tell_computed(name, &computed()),
            }
        }
        Effect::AlterTable(name) => {
            catalogue.tell_computed(name, &computed());
            if may_change_times(text) {
                catalogue.doubt_table(name, seq);
            }
        }
        Effect::DropTable(name) => {
            catalogue.drop_table(name);
        }
        Effect::Truncate(name) => {
            catalogue.truncate_table(name, seq);
        }
        Effect::RenameTable { from, to } => {
            catalogue.rename_table(from, to, seq);
        }
        Effect::DropDatabase(db) => {
            catalogue.drop_database(db);
        }
        _ => {}
    }
}

/// Whether a statement names TIME, DATETIME or TIMESTAMP anywhere: only then can it give a column
/// of these types another length.
fn may_change_times(text: &[u8]) -> bool {
    text.windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"time"))
}

/// The start of a statement for a barrier's text: enough to recognise it, never a secret (the
/// statements that carry passwords have no effect on rows and make no barrier).
pub(super) fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        format!("{short}...")
    } else {
        short
    }
}
