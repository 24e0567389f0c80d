//! One conformance suite for every kind of store.

use super::*;
use crate::error::ErrorKind;
use std::sync::atomic::Ordering;

const QUICK: StoreOptions = StoreOptions {
    deadline: Duration::from_secs(60),
    pause_min: Duration::from_micros(10),
    s3_endpoint: None,
    s3_region: None,
};

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn file_store(folder: &tempfile::TempDir) -> Store {
    let url = Url::from_directory_path(folder.path()).expect("url");
    Store::open(url.as_str(), &QUICK).expect("open")
}

fn quick_memory() -> Store {
    Store::open("memory://", &QUICK).expect("open")
}

/// Everything the rest of the crate relies on.
async fn conforms(store: &Store) {
    assert!(store.is_empty().await.expect("empty"));
    store.put("probe/x/a", bytes("left")).await.expect("put");
    assert!(store.is_empty().await.expect("but for a probe"));
    for name in ["a", "probe0", "q"] {
        store.put(name, bytes("x")).await.expect("put");
        assert!(!store.is_empty().await.expect("not empty"), "{name}");
        store.delete(name).await.expect("delete");
    }
    store.delete("probe/x/a").await.expect("delete");
    store.probe().await.expect("probe");
    assert!(store.is_empty().await.expect("the probe leaves nothing"));
    assert_eq!(store.get("a/x").await.expect("get"), None);
    assert_eq!(store.head("a/x").await.expect("head"), None);
    assert_eq!(store.get_range("a/x", 0..1).await.expect("range"), None);
    store.delete("a/x").await.expect("delete what is not there");

    store.put("a/x", bytes("0123456789")).await.expect("put");
    assert_eq!(
        store.get("a/x").await.expect("get"),
        Some(bytes("0123456789"))
    );
    assert_eq!(store.head("a/x").await.expect("head"), Some(10));
    let range = store.get_range("a/x", 3..6).await.expect("range");
    assert_eq!(range, Some(bytes("345")));
    let none = store.get_range("a/x", 3..3).await.expect("empty range");
    assert_eq!(none, Some(Bytes::new()));
    for past in [8..11, 10..12, 50..60] {
        let error = store
            .get_range("a/x", past)
            .await
            .expect_err("past the end");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }

    let created = |result: Result<Created>| result.expect("create");
    assert_eq!(
        created(store.create("a/c", bytes("one")).await),
        Created::Ours
    );
    assert_eq!(
        created(store.create("a/c", bytes("one")).await),
        Created::Ours
    );
    let other = created(store.create("a/c", bytes("two")).await);
    assert_eq!(other, Created::Theirs(bytes("one")));
    assert_eq!(
        created(store.create("a/e", Bytes::new()).await),
        Created::Ours
    );

    // Names that a sort by folder and a sort by whole name order differently.
    let names = ["a-b/1", "a/1/2", "a/1/3", "a/1-2", "a/10", "a0"];
    for name in names {
        store.put(name, bytes("x")).await.expect("put");
    }
    let mut all: Vec<String> = [&names[..], &["a/c", "a/e", "a/x"]]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect();
    all.sort();
    let list = async |prefix: &str, after: Option<&str>, limit| {
        store.list(prefix, after, limit).await.expect("list")
    };
    assert_eq!(list("", None, 100).await, all);
    for (index, name) in all.iter().enumerate() {
        assert_eq!(
            list("", Some(name), 100).await,
            all[index + 1..],
            "after {name}"
        );
        assert_eq!(list("", None, index).await, all[..index]);
    }
    assert_eq!(list("a/1/", None, 100).await, ["a/1/2", "a/1/3"]);
    assert_eq!(list("a/1/", Some("a/1/2"), 1).await, ["a/1/3"]);
    assert_eq!(list("a/1/", Some("a/1/2000"), 1).await, ["a/1/3"]);
    assert!(list("none/", None, 100).await.is_empty());
    store.delete("a/c").await.expect("delete");
    assert_eq!(store.get("a/c").await.expect("get"), None);

    for hostile in ["../x", "a/../../x", "/etc/passwd", "a#1", ""] {
        assert!(store.put(hostile, bytes("x")).await.is_err(), "{hostile}");
        assert!(store.get(hostile).await.is_err(), "{hostile}");
    }
}

/// Bytes above the limit of one put or get.
async fn carries_large_objects(store: &Store) {
    let large: Bytes = (0..(17_u32 << 20)).map(|i| (i ^ (i >> 9)) as u8).collect();
    store.put("large", large.clone()).await.expect("put");
    let got = store.get_range("large", 0..large.len() as u64).await;
    assert!(got.expect("get") == Some(large.clone()));
    let middle = store.get_range("large", 5..(9 << 20)).await;
    assert!(middle.expect("get") == Some(large.slice(5..(9 << 20))));
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
