//! One conformance suite for every kind of store.

mod conformance;

use super::*;
use crate::error::ErrorKind;
use conformance::{bytes, carries_large_objects, conforms};
use std::sync::atomic::Ordering;

const QUICK: StoreOptions = StoreOptions {
    deadline: Duration::from_secs(60),
    pause_min: Duration::from_micros(10),
    variables: Vec::new(),
};

fn file_store(folder: &tempfile::TempDir) -> Store {
    let url = Url::from_directory_path(folder.path()).expect("url");
    Store::open(url.as_str(), &QUICK).expect("open")
}

fn quick_memory() -> Store {
    Store::open("memory://", &QUICK).expect("open")
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&quick_memory()).await;
    carries_large_objects(&Store::memory()).await;
}

#[tokio::test]
async fn file_conforms() {
    let folder = tempfile::tempdir().expect("folder");
    conforms(&file_store(&folder)).await;
    carries_large_objects(&file_store(&folder)).await;
}

#[tokio::test]
async fn a_store_under_faults_conforms() {
    let folder = tempfile::tempdir().expect("folder");
    for (seed, inner) in [(1, quick_memory()), (2, file_store(&folder))] {
        let (store, counts) = inner.with_faults(FaultPlan {
            seed,
            error_before: 200,
            error_after: 200,
            false_conflict: 0,
            truncated_get: 200,
            delay: 100,
            delay_for: Duration::from_micros(50),
        });
        conforms(&store).await;
        for count in [
            &counts.error_before,
            &counts.error_after,
            &counts.truncated_get,
        ] {
            assert!(count.load(Ordering::Relaxed) > 0, "{counts:?}");
        }
    }
}

/// Two writers, one name, every kind of ambiguity: exactly one of them has it, both know.
#[tokio::test]
async fn one_of_two_creates_wins_and_both_learn_it() {
    let mut conflicts = 0;
    for seed in 0..200 {
        let inner = quick_memory();
        let plan = FaultPlan {
            seed,
            error_before: 300,
            error_after: 300,
            false_conflict: 200,
            ..FaultPlan::default()
        };
        let (store, counts) = inner.with_faults(plan);
        let (a, b) = tokio::join!(store.create("n", bytes("a")), store.create("n", bytes("b")));
        let winner = inner.get("n").await.expect("get").expect("exists");
        for (mine, outcome) in [(bytes("a"), a), (bytes("b"), b)] {
            let expected = match winner == mine {
                true => Created::Ours,
                false => Created::Theirs(winner.clone()),
            };
            assert_eq!(outcome.expect("known"), expected, "seed {seed}");
        }
        conflicts += counts.false_conflict.load(Ordering::Relaxed);
    }
    assert!(conflicts > 0, "no conflict was injected");
}

#[tokio::test]
async fn a_dead_store_is_unavailable_after_the_deadline() {
    let options = StoreOptions {
        deadline: Duration::from_millis(5),
        ..QUICK
    };
    let inner = Store::open("memory://", &options).expect("open");
    let (store, _) = inner.with_faults(FaultPlan {
        error_before: 1000,
        ..FaultPlan::default()
    });
    let error = store.create("n", bytes("a")).await.expect_err("dead");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = store.list("", None, 1).await.expect_err("dead");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_lying_store_is_found_out() {
    let (store, _) = quick_memory().with_faults(FaultPlan {
        false_conflict: 1000,
        ..FaultPlan::default()
    });
    let impatient = Store {
        retry: Retry {
            deadline: Duration::ZERO,
            pause_min: Duration::from_micros(1),
        },
        ..store
    };
    impatient.probe().await.expect_err("never creates anything");
}

#[test]
fn only_known_urls_open() {
    for bad in ["", "/tmp/x", "ftp://x/y", "file://host/x", "s3://"] {
        let error = Store::open(bad, &QUICK).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    }
}
