//! Whether the values of a manifest make sense, whoever wrote it.
//!
//! A manifest with a right checksum may still be hostile or the work of a bug: names must stay
//! in their folders, ranges must be ranges, and numbers must be small enough to compute with.

use super::base::BaseManifest;
use super::document::invalid;
use super::segment::{
    FileEntry, FileRole, ObjectRef, OpenXa, SegmentManifest, UndoneRows, Unprotected,
};
use crate::error::Result;
use crate::position::Seq;
use crate::storage::{BaseFile, ObjectName, SegmentFile};

/// Entries are numbered below this, so that sums of two never overflow.
const SEQ_MAX: Seq = Seq(1 << 61);

/// No object is longer (the limit of S3).
const OBJECT_BYTES_MAX: u64 = 5 << 40;

/// Checks a segment manifest by itself; how it follows another is [`chain`](super::chain)'s.
pub(super) fn segment(m: &SegmentManifest) -> Result<()> {
    if m.timeline == 0 || m.epoch == 0 {
        return Err(invalid("read timeline and epoch").field("epoch", m.epoch));
    }
    if m.seq_first < Seq::FIRST || m.seq_last < m.seq_first || m.seq_last > SEQ_MAX {
        return Err(invalid("read entry range")
            .field("seq_first", m.seq_first)
            .field("seq_last", m.seq_last));
    }
    let entries = m.seq_last.0 - m.seq_first.0 + 1;
    let marks = i64::try_from(m.marks.len()).unwrap_or(i64::MAX);
    let transactions = i64::try_from(m.transactions).unwrap_or(i64::MAX);
    if marks.saturating_add(transactions) != entries {
        return Err(invalid("count entries")
            .field("entries", entries)
            .field("transactions", transactions)
            .field("marks", marks));
    }
    let seqs = m.marks.iter().map(|mark| mark.seq);
    let seqs = seqs.chain(m.barriers.iter().map(|b| b.seq));
    let seqs = seqs.chain(m.ddl.iter().map(|ddl| ddl.seq));
    for seq in seqs.chain(m.tables.iter().map(|t| t.since)) {
        if !m.contains(seq) {
            return Err(invalid("read entry outside of its segment").field("seq", seq));
        }
    }
    if m.marks.windows(2).any(|w| w[0].seq >= w[1].seq) {
        return Err(invalid("read marks out of order"));
    }
    let flavor = m.gtids_through.flavor();
    if m.gtids_added.flavor() != flavor || m.tables.iter().any(|t| t.flavor != flavor) {
        return Err(invalid("read mixed flavors").field("flavor", flavor));
    }
    if !m.gtids_added.is_subset(&m.gtids_through) {
        return Err(invalid("read gtids that were added but are not through"));
    }
    if m.tail.is_some_and(|tail| !tail.is_sound(m.epoch)) {
        return Err(invalid("read place in the tail"));
    }
    times(m)?;
    files(m)?;
    open_xa(&m.open_xa, m.seq_last)?;
    decided(m)?;
    match &m.catalog {
        Some(catalog) => catalog_ref(catalog, m.timeline, Some(m.seq_last)),
        None => Ok(()),
    }
}

fn times(m: &SegmentManifest) -> Result<()> {
    let times = m.commit_time;
    let has = |at: Option<i64>| at.is_some() == (m.transactions > 0);
    let below = |at: Option<i64>| at.is_none_or(|at| times.max_us.is_some_and(|max| at <= max));
    let sound =
        has(times.first_us) && has(times.last_us) && below(times.first_us) && below(times.last_us);
    sound
        .then_some(())
        .ok_or_else(|| invalid("read commit times"))
}

fn files(m: &SegmentManifest) -> Result<()> {
    let mut pack: Option<&FileEntry> = None;
    for entry in &m.files {
        let bad = |what| invalid(what).field("file", &entry.object);
        let range = entry.offset.checked_add(entry.length);
        if range.is_none_or(|end| end > OBJECT_BYTES_MAX) {
            return Err(bad("read file length").field("length", entry.length));
        }
        if entry.role != FileRole::Pack
            && (entry.seq_first > entry.seq_last
                || !m.contains(entry.seq_first)
                || !m.contains(entry.seq_last))
        {
            return Err(bad("read file's entry range"));
        }
        let ObjectName::Segment { folder, file } = ObjectName::parse(&entry.object)? else {
            return Err(bad("read name of a segment file"));
        };
        if folder.timeline != m.timeline || !role_fits(entry, &file) {
            return Err(bad("read file under another's name"));
        }
        match (&file, entry.role) {
            (SegmentFile::Pack(_), FileRole::Pack) => pack = Some(entry),
            (SegmentFile::Pack(_), _) => {
                let pack = pack.filter(|p| p.object == entry.object);
                if pack.is_none_or(|p| range.is_none_or(|end| end > p.length)) {
                    return Err(bad("read pack member outside of its pack"));
                }
            }
            _ if entry.offset != 0 => return Err(bad("read file offset")),
            _ => {}
        }
    }
    Ok(())
}

fn role_fits(entry: &FileEntry, file: &SegmentFile) -> bool {
    let is_changes = entry.role == FileRole::Changes;
    if entry.table_id.is_some() != is_changes || entry.version.is_some() != is_changes {
        return false;
    }
    match file {
        SegmentFile::Transactions => entry.role == FileRole::Transactions,
        SegmentFile::Statements(part) => entry.role == FileRole::Statements && entry.part == *part,
        SegmentFile::Raw => entry.role == FileRole::Raw,
        SegmentFile::Pack(_) => true,
        SegmentFile::Changes {
            table_id,
            version,
            part,
        } => {
            is_changes
                && entry.table_id.as_ref() == Some(table_id)
                && entry.version == Some(*version)
                && entry.part == *part
        }
    }
}

fn open_xa(open: &[OpenXa], through: Seq) -> Result<()> {
    for xa in open {
        let is_manifest = matches!(
            ObjectName::parse(&xa.object)?,
            ObjectName::Manifest { seq_first, .. } if seq_first <= xa.seq
        );
        if !is_manifest || xa.seq > through {
            return Err(invalid("read open XA transaction").field("file", &xa.object));
        }
    }
    Ok(())
}

/// What a segment says of rows that do not count where they stand.
fn decided(m: &SegmentManifest) -> Result<()> {
    for xa in &m.xa_decided {
        let listed = !xa.committed || !m.contains(xa.prepared);
        if xa.prepared < Seq::FIRST || xa.prepared >= xa.seq || !m.contains(xa.seq) || !listed {
            return Err(invalid("read decided XA transaction")
                .field("prepared", xa.prepared)
                .field("seq", xa.seq));
        }
    }
    if m.xa_decided.windows(2).any(|w| w[0].seq >= w[1].seq) {
        return Err(invalid("read decided XA transactions out of order"));
    }
    let inside = m.undone.iter().all(|seq| m.contains(*seq));
    if !inside || m.undone.windows(2).any(|w| w[0] >= w[1]) {
        return Err(invalid("read undone transactions"));
    }
    let rows = &m.undone_rows;
    let sound = |r: &UndoneRows| m.contains(r.seq) && 0 <= r.first && r.first < r.end;
    let ascend =
        |w: &[UndoneRows]| w[0].seq < w[1].seq || (w[0].seq == w[1].seq && w[0].end <= w[1].first);
    if !rows.iter().all(sound) || !rows.windows(2).all(ascend) {
        return Err(invalid("read undone rows"));
    }
    let wrong = |u: &Unprotected| u.seq_first > u.seq_last || u.seq_last > m.seq_last;
    if m.unprotected.iter().any(wrong) {
        return Err(invalid("read unprotected transactions"));
    }
    if m.last_event
        .is_some_and(|event| event.offset >= m.position_last.offset)
    {
        return Err(invalid("read event of the last transaction"));
    }
    Ok(())
}

/// A catalogue of the timeline: of exactly `seq` where one is given. A base's may be of a later
/// entry: ids of tables that were new when it was taken are allocated after the fact.
fn catalog_ref(reference: &ObjectRef, timeline: u32, seq: Option<Seq>) -> Result<()> {
    match ObjectName::parse(&reference.object)? {
        ObjectName::Catalog {
            timeline: t,
            seq: at,
        } if t == timeline && seq.is_none_or(|seq| at == seq) => Ok(()),
        _ => Err(invalid("read catalogue name").field("file", &reference.object)),
    }
}

/// Checks a base manifest.
pub(super) fn base(m: &BaseManifest) -> Result<()> {
    if !m.complete {
        return Err(invalid("read incomplete base"));
    }
    if m.timeline == 0 || m.seq.0 < 0 || m.seq > SEQ_MAX {
        return Err(invalid("read base entry").field("seq", m.seq));
    }
    if m.apply_from_seq < Seq::FIRST || m.apply_from_seq > m.seq.next() {
        return Err(invalid("read where changes apply from").field("seq", m.apply_from_seq));
    }
    for table in &m.tables {
        let exact = table.exact_from_seq;
        if exact > m.seq || exact.next() < m.apply_from_seq {
            return Err(invalid("read where a table is exact from")
                .field("table", &table.name)
                .field("seq", exact));
        }
    }
    if m.tables.windows(2).any(|w| w[0].table_id >= w[1].table_id) {
        return Err(invalid("read tables out of order"));
    }
    open_xa(&m.open_xa, m.seq)?;
    let files = [
        (&m.files, BaseFile::Files),
        (&m.views, BaseFile::Views),
        (&m.schema, BaseFile::Schema),
    ];
    for (reference, file) in files {
        if ObjectName::parse(&reference.object)? != m.id().file(file) {
            return Err(invalid("read base file name").field("file", &reference.object));
        }
    }
    catalog_ref(&m.catalog, m.timeline, None)
}
