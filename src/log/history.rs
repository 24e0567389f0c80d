//! Whether a source's history continues ours. Compared on every connect, before anything is asked
//! of its binlog: a server that was reset accepts the same file names and small positions, and one
//! that knows nothing of our GTIDs streams from its first file, both without a word.
//!
//! [`compare`] is pure; [`examine`] brings it what only the source knows.

mod last_event;

use crate::change::LogItem;
use crate::error::{Error, Result};
use crate::manifest::LastEvent;
use crate::position::{BinlogPosition, Flavor, Gtid, GtidSet, MariaDbGtidPos};
use crate::source::{Endpoint, ReplicaOptions, SourceHistory, SourceIdentity, binlog_file_begun};
use std::cmp::Ordering;

pub(super) use last_event::LastEventTracker;

/// Files looked at for the one whose first event we hold: it may be later than the file in which
/// our last transaction ends when nothing was committed since.
const FILES_MAX: usize = 64;

/// What we hold of a source's history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'a> {
    /// Who the source was when we heard of it last.
    pub(super) identity: &'a SourceIdentity,
    /// All transactions up to here.
    pub(super) gtids: &'a GtidSet,
    /// End of the last transaction in that source's binlog.
    pub(super) position: &'a BinlogPosition,
    /// The newest format description received; empty when there was none.
    pub(super) format_description: &'a [u8],
    /// An event of that transaction, where it is known.
    pub(super) last_event: Option<LastEvent>,
}

/// What the source's binlog shows of ours. `None` where that cannot be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Binlog {
    /// The source has the very file whose first event we hold.
    pub(super) has_our_file: Option<bool>,
    /// Our last transaction stands where we read it.
    pub(super) has_our_last_event: Option<bool>,
}

/// What the source's history is to ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same server goes on.
    Continues,
    /// Another server with the same transactions goes on.
    FailedOver,
    /// It does not go on.
    Stops(Stop),
}

/// Why a source's history does not continue ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) why: Why,
    /// Behind and diverged: what we have and it has not. Purged: what neither of us has.
    pub(super) missing: Option<GtidSet>,
    /// The same for people.
    range: String,
}

/// Kinds of histories that do not continue ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// All it has is ours, and we have more.
    Behind,
    /// Each has transactions that the other lacks.
    Diverged,
    /// It has deleted binlogs that we have not read.
    Purged,
    /// It is the same server with a history begun anew, or gone on from an earlier state of it.
    Reset,
    /// It is another server that has nothing in common with ours.
    Stranger,
}

/// Compares histories.
pub(super) fn compare(ours: &Ours<'_>, source: &SourceHistory, binlog: Binlog) -> Verdict {
    let same = ours.identity.is_same_server(&source.identity);
    let stops = |why, missing: Option<GtidSet>, range| {
        Verdict::Stops(Stop {
            why,
            missing,
            range,
        })
    };
    let is_reset = || stops(Why::Reset, None, ours.position.to_string());
    if same && (binlog.has_our_file == Some(false) || has_run_back(ours.position, source)) {
        return is_reset();
    }
    // The same numbers, and other transactions under them. Where some are missing, that says more.
    let is_rewritten = same && binlog.has_our_last_event == Some(false);
    if !resumes_by_gtid(&source.identity, ours.gtids) {
        return match (same, by_position(ours.position, source)) {
            (true, Verdict::Continues) if is_rewritten => is_reset(),
            (true, verdict) => verdict,
            (false, _) => stops(Why::Stranger, None, ours.position.to_string()),
        };
    }
    let lacks = lacking(ours.gtids, source);
    if !lacks.is_empty() {
        let range = ranges(&lacks, &source.executed);
        let why = match (has_in_common(ours.gtids, source), same) {
            (false, true) => Why::Reset,
            (false, false) => Why::Stranger,
            _ if is_behind(ours.gtids, source) => Why::Behind,
            _ => Why::Diverged,
        };
        return stops(why, Some(lacks), range);
    }
    if is_rewritten {
        return is_reset();
    }
    let purged = subtract(&source.purged, ours.gtids);
    if !purged.is_empty() {
        let range = ranges(&purged, ours.gtids);
        return stops(Why::Purged, Some(purged), range);
    }
    match same {
        true => Verdict::Continues,
        false => Verdict::FailedOver,
    }
}

/// Whether the dump is asked for by GTID: these survive a failover and need no file; without
/// them, only the position is left.
pub(super) fn resumes_by_gtid(source: &SourceIdentity, received: &GtidSet) -> bool {
    let mode = source.settings.get("gtid_mode");
    let is_on = mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ON"));
    !received.is_empty() && (source.flavor == Flavor::MariaDb || is_on)
}

/// A server numbers its files upwards for ever, unless it is reset.
fn has_run_back(ours: &BinlogPosition, source: &SourceHistory) -> bool {
    let newest = source.files.as_ref().and_then(|files| files.last());
    newest.is_some_and(|newest| {
        let end = BinlogPosition::new(&newest.name, u64::MAX);
        ours.order(&end) == Some(Ordering::Greater)
    })
}

fn by_position(ours: &BinlogPosition, source: &SourceHistory) -> Verdict {
    let stops = |why, range| {
        Verdict::Stops(Stop {
            why,
            missing: None,
            range,
        })
    };
    let Some(files) = &source.files else {
        return Verdict::Continues;
    };
    match files.iter().find(|file| file.name == ours.file) {
        Some(file) if file.bytes >= ours.offset => Verdict::Continues,
        Some(file) => stops(
            Why::Behind,
            format!("{}:{}..{}", file.name, file.bytes, ours.offset),
        ),
        None => {
            let first = files.first().map_or("-", |file| &file.name);
            stops(Why::Purged, format!("{ours}..{first}:4"))
        }
    }
}

/// What of a set the source has not.
pub(super) fn lacking(set: &GtidSet, source: &SourceHistory) -> GtidSet {
    let GtidSet::MariaDb(ours) = set else {
        return subtract(set, &source.executed);
    };
    let mut rest = MariaDbGtidPos::default();
    for (domain, server, seq) in ours.iter() {
        let has = source.last_gtids.iter().any(|gtid| {
            matches!(gtid, Gtid::MariaDb { domain: d, server_id, seq_no }
                if (*d, *server_id) == (domain, server) && *seq_no >= seq)
        });
        if !has {
            rest.add(domain, server, seq);
        }
    }
    GtidSet::MariaDb(rest)
}

/// What is in one set and not in the other; of MariaDB's positions, the domains that stand further.
pub(super) fn subtract(set: &GtidSet, other: &GtidSet) -> GtidSet {
    match (set, other) {
        (GtidSet::MySql(set), GtidSet::MySql(other)) => GtidSet::MySql(set.subtract(other)),
        (GtidSet::MariaDb(set), GtidSet::MariaDb(other)) => {
            let mut rest = MariaDbGtidPos::default();
            for (domain, server, seq) in set.iter().filter(|g| !other.contains(g.0, g.2)) {
                rest.add(domain, server, seq);
            }
            GtidSet::MariaDb(rest)
        }
        (set, _) => set.clone(),
    }
}

/// Whether some of our transactions are the source's, too.
fn has_in_common(ours: &GtidSet, source: &SourceHistory) -> bool {
    let GtidSet::MariaDb(positions) = ours else {
        return lacking(ours, source) != *ours;
    };
    source.last_gtids.iter().any(|gtid| {
        matches!(gtid, Gtid::MariaDb { domain, server_id, .. }
            if positions.iter().any(|ours| (ours.0, ours.1) == (*domain, *server_id)))
    })
}

/// Whether all that the source has is ours: it may only have to catch up.
fn is_behind(ours: &GtidSet, source: &SourceHistory) -> bool {
    match (ours, &source.executed) {
        // Positions of different servers in one domain say that both have written.
        (GtidSet::MariaDb(ours), GtidSet::MariaDb(theirs)) => theirs.iter().all(|theirs| {
            let ours = ours.iter().find(|ours| ours.0 == theirs.0);
            ours.is_some_and(|ours| ours.1 == theirs.1 && ours.2 >= theirs.2)
        }),
        (ours, theirs) => theirs.is_subset(ours),
    }
}

/// Missing transactions for people: MySQL's sets say them; of MariaDB's positions, from the one
/// after what is there.
fn ranges(missing: &GtidSet, there: &GtidSet) -> String {
    let (GtidSet::MariaDb(missing), GtidSet::MariaDb(there)) = (missing, there) else {
        return missing.to_string();
    };
    let range = |(domain, server, last): (u32, u32, u64)| {
        let there = there.iter().find(|gtid| gtid.0 == domain);
        match there.map_or(1, |gtid| gtid.2 + 1) {
            first if first < last => {
                format!("{domain}-{server}-{first}..{domain}-{server}-{last}")
            }
            _ => format!("{domain}-{server}-{last}"),
        }
    };
    let ranges: Vec<String> = missing.iter().map(range).collect();
    ranges.join(",")
}

impl Stop {
    /// The error of a command that needed a history to continue.
    pub(super) fn error(&self, ours: &Ours<'_>, source: &SourceHistory) -> Error {
        let fork = "`tidelog timeline fork` starts a new timeline from here, with a new base";
        let (error, hint) = match self.why {
            Why::Behind => (
                Error::incompatible(
                    "continue history: the source lacks transactions that the repository holds",
                ),
                format!(
                    "let the source catch up if it is a replica; if those transactions are lost, {fork}"
                ),
            ),
            Why::Diverged => (
                Error::incompatible(
                    "continue history: source and repository have diverged, each has transactions the other lacks",
                ),
                format!("check that this is the right server; if it is the primary now, {fork}"),
            ),
            Why::Purged => (
                Error::gap(
                    "continue history: the source has deleted binlogs that were not captured yet",
                ),
                format!("{fork} and the hole recorded as a gap; keep binlogs longer on the source"),
            ),
            Why::Reset => (
                Error::incompatible(
                    "continue history: the source was reset or put back to an earlier state, its \
                     binlogs hold another history",
                ),
                fork.to_owned(),
            ),
            Why::Stranger => (
                Error::incompatible("continue history of another source"),
                format!(
                    "use a repository of its own for each source (tidelog init); if this one shares a \
                     part of the history, {fork}"
                ),
            ),
        };
        error
            .field("history", self.why.name())
            .field("missing", &self.range)
            .field("repository_source", ours.identity.describe())
            .field("repository_gtids", ours.gtids)
            .field("repository_position", ours.position)
            .field("source", source.identity.describe())
            .field("source_gtids", &source.executed)
            .field("source_position", &source.end)
            .hint(hint)
    }
}

impl Why {
    /// Stable lowercase name; travels in the field `history` of errors.
    fn name(self) -> &'static str {
        match self {
            Why::Behind => "behind",
            Why::Diverged => "diverged",
            Why::Purged => "purged",
            Why::Reset => "reset",
            Why::Stranger => "stranger",
        }
    }
}

/// Compares histories; where the source is the same server, reads what stands in its binlog in the
/// place of our last transaction, or else the first event of the file we stand in.
///
/// # Errors
/// Those of the connection.
pub(super) async fn examine(
    endpoint: &Endpoint,
    replica: &ReplicaOptions,
    ours: &Ours<'_>,
    source: &SourceHistory,
) -> Result<Verdict> {
    let has_our_last_event = last_event::is_there(endpoint, replica, ours, source).await?;
    let has_our_file = match has_our_last_event {
        Some(true) => None,
        _ => is_our_file(endpoint, replica, ours, source).await?,
    };
    let binlog = Binlog {
        has_our_file,
        has_our_last_event,
    };
    Ok(compare(ours, source, binlog))
}

/// As [`examine`]; a history that stops is an error, a failover is told of.
///
/// # Errors
/// As [`Stop::error`] and [`examine`].
pub(super) async fn require(
    endpoint: &Endpoint,
    replica: &ReplicaOptions,
    ours: &Ours<'_>,
    source: &SourceHistory,
) -> Result<Verdict> {
    let verdict = examine(endpoint, replica, ours, source).await?;
    match &verdict {
        Verdict::Stops(stop) => return Err(stop.error(ours, source)),
        Verdict::FailedOver => tracing::warn!(
            from = ours.identity.describe(),
            to = source.identity.describe(),
            gtids = %ours.gtids,
            "the source is another server with the same transactions: going on by GTID"
        ),
        Verdict::Continues => {}
    }
    Ok(verdict)
}

async fn is_our_file(
    endpoint: &Endpoint,
    replica: &ReplicaOptions,
    ours: &Ours<'_>,
    source: &SourceHistory,
) -> Result<Option<bool>> {
    let Some(begun) = begun_by(ours.format_description, source.identity.server_id) else {
        return Ok(None);
    };
    if !ours.identity.is_same_server(&source.identity) {
        return Ok(None);
    }
    let is_listed = source.files.is_some();
    let from: Vec<&str> = match &source.files {
        Some(files) => {
            let names = files.iter().map(|file| file.name.as_str());
            names
                .skip_while(|name| *name != ours.position.file)
                .collect()
        }
        None => vec![&ours.position.file],
    };
    if from.is_empty() {
        return Ok(None);
    }
    for name in from.into_iter().take(FILES_MAX) {
        let found = match binlog_file_begun(endpoint, replica, name).await {
            // It may be deleted: the start of the dump will tell.
            Err(error) if !is_listed && error.get("refusal").is_some() => return Ok(None),
            found => found?,
        };
        // Files are begun one after the other.
        if found >= begun {
            return Ok(Some(found == begun));
        }
    }
    Ok(is_listed.then_some(false))
}

/// When the file of this format description was begun, if that server wrote it.
fn begun_by(format_description: &[u8], server_id: u32) -> Option<u32> {
    let id = format_description.get(5..9)?.try_into().ok()?;
    (u32::from_le_bytes(id) == server_id).then(|| event_time(format_description))?
}

fn event_time(event: &[u8]) -> Option<u32> {
    event
        .first_chunk::<4>()
        .map(|time| u32::from_le_bytes(*time))
}

/// Watches the beginning of a stream: histories were compared a moment before, and the source may
/// have been reset in between.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamStart {
    /// The file we stand in and when it was begun at the latest, on the same server.
    file: Option<(BinlogPosition, u32)>,
    is_seen: bool,
}

impl StreamStart {
    /// For a stream that follows what we hold.
    pub(super) fn new(ours: &Ours<'_>, source: &SourceHistory) -> StreamStart {
        let begun = begun_by(ours.format_description, source.identity.server_id);
        let begun = begun.filter(|_| ours.identity.is_same_server(&source.identity));
        StreamStart {
            file: begun.map(|begun| (BinlogPosition::new(&ours.position.file, 0), begun)),
            is_seen: false,
        }
    }

    /// Takes the next item of the stream, which stands at `position`.
    ///
    /// # Errors
    /// `Incompatible` where the file we stand in was begun anew, or the first transaction is one
    /// that a set holds: the source did not begin where it was asked to.
    pub(super) fn check(
        &mut self,
        item: &LogItem,
        position: Option<&BinlogPosition>,
        held: [&GtidSet; 2],
    ) -> Result<()> {
        let hint =
            "check that this is the right server; `tidelog timeline fork` starts a new timeline";
        match item {
            LogItem::FormatDescription(event) if !self.is_seen => {
                let (Some((ours, begun)), Some(at)) = (&self.file, position) else {
                    return Ok(());
                };
                let at = BinlogPosition::new(&at.file, 0);
                let is_anew = at == *ours && event_time(event) > Some(*begun);
                if is_anew || at.order(ours) == Some(Ordering::Less) {
                    return Err(Error::incompatible(
                        "continue history: the source was reset, its binlogs begin a new history",
                    )
                    .field("history", Why::Reset.name())
                    .field("file", at.file)
                    .field("repository_file", &ours.file)
                    .hint(hint));
                }
                Ok(())
            }
            LogItem::Begin(begin) if !std::mem::replace(&mut self.is_seen, true) => {
                match &begin.gtid {
                    Some(gtid) if held.iter().any(|set| set.contains(gtid)) => {
                        Err(Error::incompatible(
                            "continue history: the source sends transactions that the repository holds",
                        )
                        .field("gtid", gtid)
                        .field("repository_gtids", held[0])
                        .hint(hint))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
