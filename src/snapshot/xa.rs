//! XA transactions that are prepared and undecided at an entry of the log: a base has none of
//! their rows, and names where they are.

use super::cover;
use crate::change::TransactionKind;
use crate::error::{Error, Result};
use crate::manifest::{FileRole, OpenXa, Repository, SegmentManifest};
use crate::position::{Flavor, Seq};
use crate::schema::ddl::{self, StatementClass, StatementContext, TransactionControl};
use crate::segment::{EntryKind, StatementRow, StatementsReader, TransactionRow};

/// What is prepared and undecided after the entry `seq`, oldest first.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when manifests and entries contradict each
/// other; those of reading.
pub(super) async fn open_at(
    repository: &Repository,
    timeline: u32,
    seq: Seq,
) -> Result<Vec<OpenXa>> {
    let at = match seq {
        Seq(0) => None,
        seq => repository.manifest(timeline, seq).await?,
    };
    let Some(at) = at else {
        return Ok(Vec::new());
    };
    let segment = &at.manifest;
    // At the end of the segment, less what was prepared in between...
    let mut open = segment.open_xa.clone();
    open.retain(|xa| xa.seq <= seq);
    if seq == segment.seq_last {
        return Ok(open);
    }
    // ...and what was decided in between.
    let rows = cover::transactions(repository, segment).await?;
    let decides = |row: &&TransactionRow| {
        use TransactionKind::{XaCommit, XaRollback};
        let decides = matches!(row.kind, EntryKind::Transaction(XaCommit | XaRollback));
        decides && row.seq > seq && row.xa_seq.is_some_and(|prepared| prepared <= seq)
    };
    let later: Vec<&TransactionRow> = rows.iter().filter(decides).collect();
    if !later.is_empty() {
        let before = match segment.seq_first.prev() {
            Seq(0) => None,
            before => repository.manifest(timeline, before).await?,
        };
        let former = before.map_or(Vec::new(), |before| before.manifest.open_xa.clone());
        let entries: Vec<Seq> = later.iter().map(|row| row.seq).collect();
        let statements = statements(repository, segment, &entries).await?;
        for row in later {
            open.push(prepared(segment, &former, &statements, row)?);
        }
    }
    open.sort_by_key(|xa| xa.seq);
    Ok(open)
}

/// Says which of the transactions that the source lists as prepared the log has not seen being
/// prepared: an XA COMMIT of such a one is a barrier.
///
/// # Errors
/// As [`open_at`].
pub(super) async fn warn_of_unknown(
    repository: &Repository,
    timeline: u32,
    seq: Seq,
    listed: &[String],
) -> Result<()> {
    if listed.is_empty() {
        return Ok(());
    }
    let open = open_at(repository, timeline, seq).await?;
    for xid in listed {
        if !open.iter().any(|xa| xa.xid == xid.as_bytes()) {
            tracing::warn!(
                xid,
                "an XA transaction is prepared on the source that the log does not know as open: \
                 if it is committed, only a base taken after that has its rows"
            );
        }
    }
    Ok(())
}

/// The transaction that an entry of a segment decides.
fn prepared(
    segment: &SegmentManifest,
    former: &[OpenXa],
    statements: &[StatementRow],
    row: &TransactionRow,
) -> Result<OpenXa> {
    let seq = row.xa_seq.unwrap_or(row.seq);
    if let Some(xa) = former.iter().find(|xa| xa.seq == seq) {
        return Ok(xa.clone());
    }
    let statement = statements.iter().find(|s| s.seq == row.seq);
    let xid = statement.and_then(|s| xid(&s.text)).ok_or_else(|| {
        Error::corrupt("find identifier of an xa transaction")
            .field("seq", row.seq)
            .field("object", segment.object_name())
    })?;
    Ok(OpenXa {
        xid,
        seq,
        object: segment.object_name().to_string(),
    })
}

/// The identifier in XA COMMIT and XA ROLLBACK.
fn xid(text: &[u8]) -> Option<Vec<u8>> {
    let context = StatementContext {
        // XA statements are the same in both.
        flavor: Flavor::MySql,
        default_db: b"",
        collation: None,
        sql_mode: 0,
    };
    match ddl::classify(text, &context) {
        StatementClass::TransactionControl(
            TransactionControl::XaCommit(xid) | TransactionControl::XaRollback(xid),
        ) => Some(xid.text().into_bytes()),
        _ => None,
    }
}

/// The statements of some entries, ascending: all of a segment may be more than memory holds.
async fn statements(
    repository: &Repository,
    segment: &SegmentManifest,
    entries: &[Seq],
) -> Result<Vec<StatementRow>> {
    let is_wanted = |row: &StatementRow| entries.binary_search(&row.seq).is_ok();
    let mut rows = Vec::new();
    for file in segment.files_of(FileRole::Statements) {
        let bytes = repository.get_file(file).await?;
        let read = StatementsReader::open(bytes)?;
        let read = read.filter(|row| row.as_ref().map_or(true, is_wanted));
        let read: Result<Vec<StatementRow>> = read.collect();
        rows.extend(read.map_err(|e| e.field("object", &file.object))?);
    }
    Ok(rows)
}
