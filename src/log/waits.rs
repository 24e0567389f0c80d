//! Whether clients' commits really waited for us: looked at once a heartbeat.
//!
//! A source that gives up waiting tells nobody. It counts, though, the commits that no replica
//! acknowledged in time. Whatever came in between two looks, of which the later one tells of such
//! commits, is reported as a stretch: from the first to the last transaction that may not have been
//! safe here when its client was told. The flag of an event does not tell: a commit whose client
//! gave up is flagged, for it was waiting when it was sent, and of commits that wait together
//! (group commit) only the last one is.

use crate::error::Result;
use crate::manifest::Unprotected;
use crate::position::{Gtid, GtidSet, Seq};
use crate::runtime::Clock;
use crate::source::{Endpoint, SemiSyncState, SqlClient, SqlSession, logged_gtids};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(endpoint: &Endpoint, clock: &Clock, every: Duration) -> Watch {
        let (sender, looks) = mpsc::channel(1);
        let (endpoint, clock) = (endpoint.clone(), clock.clone());
        let task = tokio::spawn(async move {
            let mut client = None;
            loop {
                tokio::time::sleep(every).await;
                match look(&mut client, &endpoint, &clock).await {
                    Ok(look) => {
                        if sender.send(look).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        client = None;
                        tracing::warn!(error = %error.report(), "cannot see whether commits wait");
                    }
                }
            }
        });
        Watch { looks, task }
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

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(client: &mut Option<SqlClient>, endpoint: &Endpoint, clock: &Clock) -> Result<Look> {
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
    window: Option<Window>,
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
}

impl Waits {
    /// A whole transaction was received.
    pub(super) fn receive(&mut self, seq: Seq, gtid: Option<Gtid>) {
        match &mut self.window {
            Some(window) => window.last = (seq, gtid),
            None => {
                self.window = Some(Window {
                    first: (seq, gtid.clone()),
                    last: (seq, gtid),
                });
            }
        }
    }

    /// Takes a look; `true` when something is to be reported now. `received` is all we have.
    pub(super) fn look(&mut self, look: &Look, received: &GtidSet) -> bool {
        let count = look.state.commits_unprotected;
        // A restarted source counts from 0.
        let more = match self.commits_unprotected.replace(count) {
            Some(before) if before <= count => count - before,
            Some(_) => count,
            None => 0,
        };
        let is_uncovered = more > 0 || !look.state.is_on || self.is_suspect;
        let from_us = self.looked_us.replace(look.at_us).unwrap_or(look.at_us);
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
        let Some(window) = self.window.take().filter(|_| is_uncovered) else {
            return false;
        };
        let text = |gtid: Option<Gtid>| gtid.map(|g| g.to_string());
        let stretch = Unprotected {
            seq_first: window.first.0,
            seq_last: window.last.0,
            gtid_first: text(window.first.1),
            gtid_last: text(window.last.1),
            commits: more,
            from_us,
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
        waits.receive(Seq(n), Some(gtid));
    }

    #[test]
    fn commits_that_waited_are_not_reported() {
        let mut waits = Waits::default();
        for n in 1..4 {
            receive(&mut waits, n);
            assert!(!waits.look(&look("ON", "7", "0-1-9", n), &set("0-1-3")));
        }
        assert_eq!(waits.take(), []);
    }

    #[test]
    fn a_stretch_goes_from_the_first_to_the_last_that_may_not_have_waited() {
        let mut waits = Waits::default();
        receive(&mut waits, 1);
        assert!(!waits.look(&look("ON", "0", "0-1-1", 10), &set("0-1-1")));
        // It was flagged, and its client gave up before we answered: only the counter tells.
        receive(&mut waits, 2);
        receive(&mut waits, 3);
        assert!(waits.look(&look("ON", "1", "0-1-3", 20), &set("0-1-3")));
        receive(&mut waits, 4);
        assert!(!waits.look(&look("ON", "1", "0-1-4", 30), &set("0-1-4")));
        let stretches = waits.take();
        let [stretch] = stretches.as_slice() else {
            panic!("{stretches:?}");
        };
        assert_eq!((stretch.seq_first, stretch.seq_last), (Seq(2), Seq(3)));
        assert_eq!(stretch.gtid_first.as_deref(), Some("0-1-2"));
        assert_eq!(stretch.gtid_last.as_deref(), Some("0-1-3"));
        assert_eq!(
            (stretch.commits, stretch.from_us, stretch.to_us),
            (1, 10, 20)
        );
        assert_eq!(waits.take(), []);
    }

    #[test]
    fn off_and_not_arrived_yet_are_uncovered_too() {
        let mut waits = Waits::default();
        receive(&mut waits, 1);
        assert!(waits.look(&look("OFF", "0", "0-1-1", 1), &set("0-1-1")));
        receive(&mut waits, 2);
        assert!(!waits.look(&look("ON", "0", "0-1-2", 2), &set("0-1-2")));
        // The counter rose for a commit that has not arrived: it is in the next window.
        assert!(!waits.look(&look("ON", "1", "0-1-3", 3), &set("0-1-2")));
        receive(&mut waits, 3);
        assert!(waits.look(&look("ON", "1", "0-1-3", 4), &set("0-1-3")));
        receive(&mut waits, 4);
        assert!(!waits.look(&look("ON", "1", "0-1-4", 5), &set("0-1-4")));
        // A restarted source counts from 0.
        receive(&mut waits, 5);
        assert!(!waits.look(&look("ON", "0", "0-1-5", 6), &set("0-1-5")));
    }

    #[test]
    fn what_did_not_wait_before_the_first_look_is_uncovered() {
        let mut waits = Waits::default();
        // Nobody was there, the source gave up, and is on again before the next look.
        assert!(!waits.look(&look("OFF", "5", "0-1-3", 1), &set("0-1-1")));
        receive(&mut waits, 2);
        receive(&mut waits, 3);
        assert!(waits.look(&look("ON", "5", "0-1-3", 2), &set("0-1-3")));
    }
}
