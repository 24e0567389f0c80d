//! Named places where a test kills the process.
//!
//! `TIDELOG_FAILPOINT=name` ends the process with SIGKILL the first time it comes to the place of
//! that name, `name:3` the third time. Without the variable a place costs one load and one branch.
//! Each step of the write ordering has a place before it and one behind it, so that a crash
//! between any two steps can be tried.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Variable that names the place.
pub const VARIABLE: &str = "TIDELOG_FAILPOINT";

/// Acknowledge to the source what was received and is not durable. It is no place but a fault: it
/// shows that a test of what was acknowledged can fail at all.
pub const ACK_ON_RECEIPT: &str = "ack.on_receipt";

/// Every place, in the order in which a transaction comes to it.
pub const PLACES: &[&str] = &[
    "epoch.claimed",
    "epoch.marked",
    "recover.tail_begin",
    "recover.tail_sealed",
    "recover.begin",
    "recover.file_read",
    "recover.sealed",
    "recover.dropped",
    "receive.connected",
    "receive.group",
    "spool.before_create",
    "spool.created",
    "spool.head_written",
    "spool.group_begun",
    "spool.group_written",
    "spool.file_synced",
    "spool.synced",
    "spool.before_end",
    "spool.ended",
    "tail.before_put",
    "tail.put",
    "tail.looked",
    "ack.before",
    "ack.sent",
    "seal.before",
    "seal.encoded",
    "data.one_put",
    "data.put",
    "manifest.before_put",
    "file.written",
    "file.linked",
    "file.synced",
    "manifest.put",
    "spool.before_drop",
    "spool.dropped_one",
    "spool.dropped",
];

#[derive(Debug)]
struct Armed {
    names: Vec<String>,
    hits_left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn armed() -> Option<&'static Armed> {
    let read = || {
        let value = std::env::var(VARIABLE).ok().filter(|v| !v.is_empty())?;
        let (value, hits) = match value.rsplit_once(':') {
            Some((names, hits)) => (names.to_owned(), hits.parse().ok()?),
            None => (value, 1),
        };
        Some(Armed {
            names: value.split(',').map(str::to_owned).collect(),
            hits_left: AtomicU64::new(hits),
        })
    };
    ARMED.get_or_init(read).as_ref()
}

/// Whether a fault (or a place) of this name was asked for.
#[must_use]
pub fn is_set(name: &str) -> bool {
    armed().is_some_and(|armed| armed.names.iter().any(|n| n == name))
}

/// A place: the process ends here when a test asked for it.
pub fn place(name: &'static str) {
    debug_assert!(PLACES.contains(&name), "failpoint without a name: {name}");
    let Some(armed) = armed() else { return };
    if !is_set(name) {
        return;
    }
    if armed.hits_left.fetch_sub(1, Ordering::SeqCst) == 1 {
        // Nothing of this process runs on: no destructor, no flush, no other thread.
        let own = rustix::process::getpid();
        if rustix::process::kill_process(own, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn places_have_names_of_their_own() {
        let unique: BTreeSet<_> = PLACES.iter().collect();
        assert_eq!(unique.len(), PLACES.len());
        assert!(PLACES.len() >= 25);
        assert!(!PLACES.contains(&ACK_ON_RECEIPT));
        PLACES.iter().for_each(|name| place(name));
    }
}
