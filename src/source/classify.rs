//! What a server's error means for us.
//!
//! A dump is refused with one code (1236) for very different reasons, so the reason is read from
//! the text. Texts as seen on MySQL 9.7.4 and MariaDB 10.11.19, with the older words ("master",
//! "slave") beside the newer ones. What is not known is not retried when it refuses a dump.

use super::packet::ServerError;
use crate::error::{Error, ErrorKind};

/// Why a source refuses a replica or ends its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpRefusal {
    /// The source has deleted binlogs that are still needed.
    Purged {
        /// The missing transactions as the source names them, where it does.
        missing: Option<String>,
    },
    /// The source's history is not the one read so far: it lost its tail, or is another branch.
    Diverged,
    /// The source's binlogs were reset while they were read.
    Reset,
    /// Another replica with our uuid or server id has connected.
    Collision,
    /// The source cannot read its own binlog, or the position is inside an event.
    SourceCorrupt,
    /// We asked for something that makes no sense.
    Bug,
    /// Wrong password, missing right, locked account.
    Auth,
    /// The source is not set up for replicas.
    Misconfigured,
    /// The server is overloaded, shuts down, or ended the connection.
    Transient,
    /// None of these.
    Other,
}

/// `(part of the text in lower case, what it means)`; the first match counts.
const TEXTS: &[(&str, DumpRefusal)] = &[
    ("could not find first log file name", PURGED),
    ("purged required binary logs", PURGED),
    ("has purged binary logs containing gtids", PURGED),
    ("could not find gtid state requested", PURGED),
    ("from position > file size", DumpRefusal::Diverged),
    ("from impossible position", DumpRefusal::Diverged),
    ("from position < 4", DumpRefusal::Bug),
    ("has more gtids than the", DumpRefusal::Diverged),
    ("which is not in the master's binlog", DumpRefusal::Diverged),
    (
        "binlog on the master is missing the gtid",
        DumpRefusal::Diverged,
    ),
    ("could not find next log", DumpRefusal::Reset),
    (
        "with the same server_uuid/server_id",
        DumpRefusal::Collision,
    ),
    (
        "truncated in the middle of event",
        DumpRefusal::SourceCorrupt,
    ),
    ("bogus data in log event", DumpRefusal::SourceCorrupt),
    (
        "log event entry exceeded max_allowed_packet",
        DumpRefusal::SourceCorrupt,
    ),
    ("did not pass crc check", DumpRefusal::SourceCorrupt),
    ("i/o error reading log event", DumpRefusal::SourceCorrupt),
    ("event decryption failure", DumpRefusal::SourceCorrupt),
    ("binlog file is corrupted", DumpRefusal::SourceCorrupt),
    (
        "can not handle replication events with the checksum",
        DumpRefusal::Bug,
    ),
    ("binary log is not open", DumpRefusal::Misconfigured),
    ("server_id was not set", DumpRefusal::Misconfigured),
    ("gtid_mode", DumpRefusal::Misconfigured),
    (
        "memory allocation failed reading log event",
        DumpRefusal::Transient,
    ),
];

const PURGED: DumpRefusal = DumpRefusal::Purged { missing: None };

impl DumpRefusal {
    /// Sorts an error of the server by its code and text.
    #[must_use]
    pub fn classify(code: u16, text: &str) -> Self {
        match code {
            // Malformed GTID; 1236 is read by its text below.
            1773 | 1941 => return DumpRefusal::Bug,
            4052 => return DumpRefusal::Collision,
            // Access denied in its forms, host not allowed, locked, expired, plain text refused.
            1044 | 1045 | 1129 | 1130 | 1142 | 1143 | 1227 | 1251 | 1370 | 1524 | 1698 | 1820
            | 1862 | 3118 | 3159 | 3955 | 4151 => return DumpRefusal::Auth,
            // Too many connections, shutdown, aborted, out of memory, killed, lock waits.
            1037 | 1040 | 1041 | 1053 | 1077 | 1078 | 1079 | 1080 | 1152 | 1158 | 1159 | 1160
            | 1161 | 1203 | 1205 | 1213 | 1226 | 1317 | 1927 | 3024 | 3169 | 4031 => {
                return DumpRefusal::Transient;
            }
            _ => {}
        }
        let lower = text.to_ascii_lowercase();
        let found = TEXTS.iter().find(|(part, _)| lower.contains(part));
        match found {
            Some((_, DumpRefusal::Purged { .. })) => DumpRefusal::Purged {
                missing: missing_transactions(text),
            },
            Some((_, refusal)) => refusal.clone(),
            None => DumpRefusal::Other,
        }
    }

    /// Stable lowercase name; travels in the field `refusal` of errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            DumpRefusal::Purged { .. } => "purged",
            DumpRefusal::Diverged => "diverged",
            DumpRefusal::Reset => "reset",
            DumpRefusal::Collision => "collision",
            DumpRefusal::SourceCorrupt => "source-corrupt",
            DumpRefusal::Bug => "bug",
            DumpRefusal::Auth => "auth",
            DumpRefusal::Misconfigured => "misconfigured",
            DumpRefusal::Transient => "transient",
            DumpRefusal::Other => "other",
        }
    }

    /// What the reader must do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            DumpRefusal::Purged { .. } => ErrorKind::Gap,
            DumpRefusal::Diverged | DumpRefusal::Reset | DumpRefusal::Other => {
                ErrorKind::Incompatible
            }
            DumpRefusal::Collision | DumpRefusal::Auth | DumpRefusal::Misconfigured => {
                ErrorKind::Config
            }
            DumpRefusal::SourceCorrupt => ErrorKind::Corrupt,
            DumpRefusal::Bug => ErrorKind::Internal,
            DumpRefusal::Transient => ErrorKind::Unavailable,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            DumpRefusal::Purged { .. } => {
                "the source no longer has what was not captured yet: `tidelog timeline fork` starts \
                 a new timeline with the hole recorded as a gap; keep binlogs longer"
            }
            DumpRefusal::Diverged => {
                "the source does not continue the captured history (it lost its last binlog \
                 events, was restored, or is another server): check it, then `tidelog timeline fork`"
            }
            DumpRefusal::Reset => {
                "the source's binlogs were reset or deleted while they were read: `tidelog timeline \
                 fork` starts a new timeline"
            }
            DumpRefusal::Collision => {
                "another replica uses this server id or uuid: stop it, or give this one its own"
            }
            DumpRefusal::SourceCorrupt => {
                "the source cannot read its binlog here, or the position is inside an event: check \
                 it with mysqlbinlog --verify-binlog-checksum on the source"
            }
            DumpRefusal::Bug => "report this with the position asked for",
            DumpRefusal::Auth => {
                "correct user, password, host and rights; a replica needs REPLICATION SLAVE and \
                 REPLICATION CLIENT (MariaDB: REPLICATION SLAVE, BINLOG MONITOR)"
            }
            DumpRefusal::Misconfigured => {
                "set log_bin, server_id and (MySQL) gtid_mode=ON on the source; tidelog check \
                 names every setting"
            }
            DumpRefusal::Transient => "it is tried again",
            DumpRefusal::Other => "read the server's message; nothing was stored past it",
        }
    }
}

/// The set in "... the missing transactions are '...'".
fn missing_transactions(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("missing transactions are '")?;
    let (set, _) = rest.split_once('\'')?;
    Some(set.replace('\n', ""))
}

/// The error for an ERR packet while dumping; `what` is "verb object".
pub(super) fn dump_error(what: &'static str, error: &ServerError) -> Error {
    let refusal = DumpRefusal::classify(error.code, &error.text);
    let mut made = Error::new(refusal.kind(), what)
        .field("refusal", refusal.name())
        .field("code", error.code);
    if let DumpRefusal::Purged { missing: Some(set) } = &refusal {
        made = made.field("missing", set);
    }
    made.hint(refusal.hint()).source(error.text.clone())
}

/// The error for an ERR packet outside the dump: what only a dump can mean is not read into it,
/// and an unknown code is a statement that cannot work here.
pub(super) fn server_error(what: &'static str, error: &ServerError) -> Error {
    statement_error(what, error.code, &error.text)
}

/// The error for a statement that the server refused with `code` and `text`.
#[must_use]
pub fn statement_error(what: &'static str, code: u16, text: &str) -> Error {
    let refusal = match DumpRefusal::classify(code, "") {
        known @ (DumpRefusal::Auth | DumpRefusal::Transient) => known,
        _ => DumpRefusal::Other,
    };
    let made = Error::new(refusal.kind(), what)
        .field("code", code)
        .source(text.to_owned());
    match refusal {
        DumpRefusal::Auth => made.hint("correct user, password, host and rights of the account"),
        DumpRefusal::Transient => made.hint(refusal.hint()),
        _ => made,
    }
}

#[cfg(test)]
mod tests;
