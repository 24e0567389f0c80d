//! A failover while the last transactions of the former server are in the tail only.

use super::{insert, replicated, restores, seq_last, state, status, stop_replica_at};
use crate::support::cli;
use crate::support::server::{FLAVORS, TestServer};
use crate::support::sql::exec_all;

/// Same GTIDs, other binlog files: what the tail holds is sealed from the tail, and the replica is
/// read behind it.
#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_failover_seals_what_the_tail_holds_of_the_former_server() {
    for flavor in FLAVORS {
        let (setup, mut primary, mut replica) = replicated(flavor).await;
        let before = status(&setup)["timelines"][0]["transactions"].as_i64();
        let before = before.expect("a number of transactions");
        // Later files than the replica has.
        exec_all(&mut primary, &["FLUSH BINARY LOGS", "FLUSH BINARY LOGS"]).await;
        insert(&mut primary, 3..6).await;
        let run = |server: &TestServer, failpoint: &str| {
            let (url, repo) = (server.account_url(), setup.repo.as_str());
            let args = ["capture", "--once", "--source", &url, "--repo", repo];
            let more = ["--durability", "store"];
            let environment = [("TIDELOG_FAILPOINT", failpoint)];
            cli::run_with(&[&args[..], &more[..]].concat(), &environment)
        };
        let in_tail = || status(&setup)["timelines"][0]["tail"]["objects"].as_u64();
        let captured = || {
            let log = cli::run(&["log", "--json", "--repo", &setup.repo, "--table", "d.t"]);
            let log = log.success().stdout().to_owned();
            (0..20).map(move |id| log.matches(&format!("row {id}\"")).count())
        };
        // Behind the epoch mark, the only segment is the one that is not finished.
        assert!(!run(&setup.source, "seal.encoded:2").ok(), "{flavor}");
        assert!(in_tail() > Some(0), "{flavor}: {:?}", in_tail());
        let held: Vec<usize> = captured().collect();
        assert_eq!(held[3..8], [1, 1, 1, 0, 0], "{flavor}: in the tail");
        // The tail has three of five: the rest is read from the replica.
        insert(&mut primary, 6..8).await;
        stop_replica_at(&mut replica, flavor, 8).await;
        insert(&mut replica, 8..10).await;

        // Killed once more behind what it sealed, and once within the next tail.
        assert!(!run(&setup.target, "manifest.put:2").ok(), "{flavor}");
        assert!(!run(&setup.target, "seal.encoded:2").ok(), "{flavor}");
        run(&setup.target, "").success();
        assert_eq!(in_tail(), Some(0), "{flavor}");
        let held: Vec<usize> = captured().collect();
        assert_eq!(held[3..11], [1, 1, 1, 1, 1, 1, 1, 0], "{flavor}: sealed");
        let status = status(&setup);
        let timelines = status["timelines"].as_array().expect("timelines");
        assert_eq!(timelines.len(), 1, "{status}");
        assert_eq!(timelines[0]["transactions"], before + 7, "{flavor}");
        let sources = timelines[0]["sources"].as_array().expect("sources");
        assert_eq!(sources.len(), 2, "{status}");
        assert_eq!(status["gaps"].as_array().map(Vec::len), Some(0), "{status}");
        let (last, newest) = (seq_last(&setup), state(&setup.target).await);
        restores(&setup, &setup.source, &["--to-seq", &last], &newest).await;
    }
}
