//! Whether clients' commits really waited for us: looked at once a heartbeat.
//!
//! A source that gives up waiting tells nobody. It counts, though, the commits that no replica
//! acknowledged in time. Whatever came in between two looks, of which the later one tells of such
//! commits, is reported as a stretch: from the first to the last transaction that may not have been
//! safe here when its client was told. The flag of an event does not tell: a commit whose client
//! gave up is flagged, for it was waiting when it was sent, and of commits that wait together
//! (group commit) only the last one is.

use crate::error::{Error, Result};
use crate::manifest::Unprotected;
use crate::position::{Gtid, GtidSet, Seq};
use crate::runtime::Clock;
use crate::source::{Endpoint, SemiSyncState, SqlClient, SqlSession, logged_gtids};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// Bound of a look at the source; it takes no lock that could be waited for.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// What a look at the source showed.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) state: SemiSyncState,
    /// What its binlog held.
    pub(super) logged: GtidSet,
    pub(super) at_us: i64,
}

/// Looks at the source once a heartbeat; stops when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    looks: mpsc::Receiver<Look>,
    next: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(endpoint: &Endpoint, clock: &Clock, every: Duration) -> Watch {
        let (sender, looks) = mpsc::channel(1);
        let (endpoint, clock) = (endpoint.clone(), clock.clone());
        let next = Arc::new(Notify::new());
        let asked = Arc::clone(&next);
        let task = tokio::spawn(async move {
            let mut client = None;
            loop {
                tokio::time::sleep(every).await;
                match look(&mut client, &endpoint, &clock).await {
                    Ok(look) => {
                        if sender.send(look).await.is_err() {
                            return;
                        }
                        // Only what is taken in before counts as known at the next look.
                        asked.notified().await;
                    }
                    Err(error) => {
                        client = None;
                        tracing::warn!(error = %error.report(), "cannot see whether commits wait");
                    }
                }
            }
        });
        Watch { looks, next, task }
    }

    /// The look with which it all begins, before the dump: what had not waited until then.
    pub(super) async fn first(endpoint: &Endpoint, clock: &Clock) -> Result<Look> {
        look(&mut None, endpoint, clock).await
    }

    /// The next look. Cancel-safe.
    pub(super) async fn next(&mut self) -> Look {
        match self.looks.recv().await {
            Some(look) => look,
            None => std::future::pending().await,
        }
    }
}

impl Watch {
    /// A look has been taken in: the next one may come.
    pub(super) fn go_on(&self) {
        self.next.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer that does not come is given up: the connection may be half open.
async fn look(client: &mut Option<SqlClient>, endpoint: &Endpoint, clock: &Clock) -> Result<Look> {
    let looking = Box::pin(ask(client, endpoint, clock));
    match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
        Ok(look) => look,
        Err(_) => Err(Error::unavailable("look at source: no answer")),
    }
}

async fn ask(client: &mut Option<SqlClient>, endpoint: &Endpoint, clock: &Clock) -> Result<Look> {
    let client = match client {
        Some(client) => client,
        None => client.insert(SqlClient::connect(endpoint, &SqlSession::default()).await?),
    };
    Ok(Look {
        state: SemiSyncState::read(client).await?,
        logged: logged_gtids(client).await?,
        at_us: clock.now_us(),
    })
}

/// The transactions since the last look, and what the looks before said.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Received since the last look.
    new: Option<Window>,
    /// Received before it: a commit that times out counts only then.
    old: Option<Window>,
    /// Whole transactions that were durable at the last look.
    durable: u64,
    /// The last look told of commits that had not arrived yet.
    is_suspect: bool,
    commits_unprotected: Option<u64>,
    looked_us: Option<i64>,
    is_on: Option<bool>,
    reported: Vec<Unprotected>,
}

/// What was received between two looks.
#[derive(Debug)]
struct Window {
    first: (Seq, Option<Gtid>),
    last: (Seq, Option<Gtid>),
    /// Whole transactions received up to the last.
    transactions: u64,
    /// The look before the first.
    since_us: Option<i64>,
}

fn join(old: Option<Window>, new: Option<Window>) -> Option<Window> {
    match (old, new) {
        (Some(old), Some(new)) => Some(Window {
            first: old.first,
            since_us: old.since_us,
            ..new
        }),
        (old, new) => old.or(new),
    }
}

impl Waits {
    /// A whole transaction was received, the one of this number.
    pub(super) fn receive(&mut self, seq: Seq, gtid: Option<Gtid>, number: u64) {
        let window = Window {
            first: (seq, gtid.clone()),
            last: (seq, gtid),
            transactions: number,
            since_us: self.looked_us,
        };
        self.new = join(self.new.take(), Some(window));
    }

    /// Takes a look; `true` when something is to be reported now. `received` is all we have, of
    /// which the first `durable` transactions are durable.
    pub(super) fn look(&mut self, look: &Look, received: &GtidSet, durable: u64) -> bool {
        let count = look.state.commits_unprotected;
        // A restarted source counts from 0.
        let more = match self.commits_unprotected.replace(count) {
            Some(before) if before <= count => count - before,
            Some(_) => count,
            None => 0,
        };
        let is_uncovered = more > 0 || !look.state.is_on || self.is_suspect;
        self.looked_us = Some(look.at_us);
        if self.is_on != Some(look.state.is_on) {
            match look.state.is_on {
                true if self.is_on.is_some() => {
                    tracing::warn!("commits wait for tidelog again");
                }
                true => {}
                false => tracing::warn!(
                    commits_unprotected = count,
                    fallbacks = look.state.fallbacks,
                    "commits do not wait for tidelog: the source has given up waiting"
                ),
            }
        }
        self.is_on = Some(look.state.is_on);
        self.is_suspect = is_uncovered && !look.logged.is_subset(received);
        let durable = std::mem::replace(&mut self.durable, durable);
        // What was durable at the look before has been answered, in time or not, and counted.
        let is_open = |window: &Window| is_uncovered || window.transactions > durable;
        let window = join(self.old.take().filter(is_open), self.new.take());
        if !is_uncovered {
            self.old = window;
            return false;
        }
        let Some(window) = window else { return false };
        let text = |gtid: Option<Gtid>| gtid.map(|g| g.to_string());
        let stretch = Unprotected {
            seq_first: window.first.0,
            seq_last: window.last.0,
            gtid_first: text(window.first.1),
            gtid_last: text(window.last.1),
            commits: more,
            from_us: window.since_us.unwrap_or(look.at_us),
            to_us: look.at_us,
        };
        tracing::warn!(
            gtid_first = stretch.gtid_first, gtid_last = stretch.gtid_last,
            seq_first = %stretch.seq_first, seq_last = %stretch.seq_last, commits = more,
            "commits returned to their clients before they were durable here, in this stretch"
        );
        self.reported.push(stretch);
        true
    }

    /// The stretches since they were taken last, for a manifest.
    pub(super) fn take(&mut self) -> Vec<Unprotected> {
        std::mem::take(&mut self.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Flavor;
    use bytes::Bytes;

    fn look(on: &str, no_tx: &str, logged: &str, at_us: i64) -> Look {
        let cell = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        let status = [
            vec![cell("Rpl_semi_sync_master_status"), cell(on)],
            vec![cell("Rpl_semi_sync_master_no_tx"), cell(no_tx)],
        ];
        Look {
            state: SemiSyncState::read_from(Flavor::MariaDb, &status),
            logged: set(logged),
            at_us,
        }
    }

    fn set(text: &str) -> GtidSet {
        GtidSet::parse(Flavor::MariaDb, text).expect("a set")
    }

    fn receive(waits: &mut Waits, n: i64) {
        let gtid: Gtid = format!("0-1-{n}").parse().expect("a gtid");
        waits.receive(Seq(n), Some(gtid), n as u64);
    }

    #[test]
    fn commits_that_waited_are_not_reported() {
        let mut waits = Waits::default();
        for n in 1..4 {
            receive(&mut waits, n);
            assert!(!waits.look(&look("ON", "7", "0-1-9", n), &set("0-1-3"), n as u64));
        }
        assert_eq!(waits.take(), []);
    }

    #[test]
    fn a_stretch_is_never_too_short_and_leaves_out_what_was_safe_before() {
        let mut waits = Waits::default();
        receive(&mut waits, 1);
        assert!(!waits.look(&look("ON", "0", "0-1-1", 10), &set("0-1-1"), 1));
        receive(&mut waits, 2);
        receive(&mut waits, 3);
        // These two came and are not durable; an old look that knows nothing of them is taken in.
        assert!(!waits.look(&look("ON", "0", "0-1-1", 20), &set("0-1-3"), 1));
        assert!(!waits.look(&look("ON", "0", "0-1-3", 30), &set("0-1-3"), 1));
        // Their clients have given up: only the counter tells.
        assert!(waits.look(&look("ON", "2", "0-1-3", 40), &set("0-1-3"), 3));
        receive(&mut waits, 4);
        assert!(!waits.look(&look("ON", "2", "0-1-4", 50), &set("0-1-4"), 4));
        let stretches = waits.take();
        let [stretch] = stretches.as_slice() else {
            panic!("{stretches:?}");
        };
        assert_eq!((stretch.seq_first, stretch.seq_last), (Seq(2), Seq(3)));
        assert_eq!(stretch.gtid_first.as_deref(), Some("0-1-2"));
        assert_eq!(stretch.gtid_last.as_deref(), Some("0-1-3"));
        assert_eq!(
            (stretch.commits, stretch.from_us, stretch.to_us),
            (2, 10, 40)
        );
        assert_eq!(waits.take(), []);
    }

    #[test]
    fn off_and_not_arrived_yet_are_uncovered_too() {
        let mut waits = Waits::default();
        receive(&mut waits, 1);
        assert!(waits.look(&look("OFF", "0", "0-1-1", 1), &set("0-1-1"), 1));
        receive(&mut waits, 2);
        assert!(!waits.look(&look("ON", "0", "0-1-2", 2), &set("0-1-2"), 2));
        assert!(!waits.look(&look("ON", "0", "0-1-2", 3), &set("0-1-2"), 2));
        // The counter rose for a commit that has not arrived: it is in the next window.
        assert!(!waits.look(&look("ON", "1", "0-1-3", 4), &set("0-1-2"), 2));
        receive(&mut waits, 3);
        assert!(waits.look(&look("ON", "1", "0-1-3", 5), &set("0-1-3"), 3));
        receive(&mut waits, 4);
        assert!(!waits.look(&look("ON", "1", "0-1-4", 6), &set("0-1-4"), 4));
        // A restarted source counts from 0.
        receive(&mut waits, 5);
        assert!(!waits.look(&look("ON", "0", "0-1-5", 7), &set("0-1-5"), 5));
    }

    #[test]
    fn what_did_not_wait_before_the_first_look_is_uncovered() {
        let mut waits = Waits::default();
        // Nobody was there, the source gave up, and is on again before the next look.
        assert!(!waits.look(&look("OFF", "5", "0-1-3", 1), &set("0-1-1"), 1));
        receive(&mut waits, 2);
        receive(&mut waits, 3);
        assert!(waits.look(&look("ON", "5", "0-1-3", 2), &set("0-1-3"), 3));
    }
}
