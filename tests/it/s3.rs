//! The store over a real S3 server.

#[path = "../../src/storage/store/tests/conformance.rs"]
mod conformance;

use crate::support::s3::{S3Server, start};
use bytes::Bytes;
use std::time::Duration;
use tidelog::error::{ErrorKind, Result};
use tidelog::manifest::Repository;
use tidelog::runtime::Clock;
use tidelog::storage::{Created, Store, StoreOptions};

fn options(server: &S3Server) -> StoreOptions {
    let variables = server.environment().into_iter();
    StoreOptions {
        deadline: Duration::from_secs(20),
        pause_min: Duration::from_millis(5),
        variables: variables
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

fn open(server: &S3Server, prefix: &str) -> Store {
    Store::open(&server.url(prefix), &options(server)).unwrap()
}

#[tokio::test]
async fn s3_conforms() {
    let server = start();
    conformance::conforms(&open(&server, "some/prefix")).await;
    conformance::carries_large_objects(&open(&server, "large")).await;
    // A prefix is a folder: its neighbours are not in it.
    assert!(open(&server, "some/pre").is_empty().await.unwrap());
    // More than one page of a list.
    let store = open(&server, "pages");
    let names: Vec<String> = (0..1100).map(|n| format!("log/{n:020}.json")).collect();
    for chunk in names.chunks(50) {
        let puts = chunk
            .iter()
            .map(|name| store.put(name, conformance::bytes("x")));
        futures::future::try_join_all(puts).await.unwrap();
    }
    assert_eq!(store.list("log/", None, usize::MAX).await.unwrap(), names);
    let after = store.list("log/", Some(&names[49]), 1050).await.unwrap();
    assert_eq!(after, names[50..]);
}

#[tokio::test]
async fn what_is_wrong_with_s3_is_said_and_never_taken_for_emptiness() {
    let server = start();
    let clock = Clock::system();
    Repository::init(open(&server, "repo"), &clock)
        .await
        .unwrap();
    Repository::init(open(&server, "repo"), &clock)
        .await
        .unwrap();
    Repository::open(open(&server, "repo")).await.unwrap();

    let none = Repository::open(open(&server, "other")).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Config, "{none:?}");
    let foreign = Repository::init(open(&server, ""), &clock)
        .await
        .unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::Incompatible, "{foreign:?}");

    let store = Store::open("s3://no-such-bucket/repo", &options(&server)).unwrap();
    for error in [
        store.get("repo.json").await.unwrap_err(),
        store.list("", None, 1).await.unwrap_err(),
        store.create("a", Bytes::new()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(!format!("{error:?}").contains(server.secret_access_key));
    }

    let mut dead = options(&server);
    dead.deadline = Duration::from_millis(200);
    for (key, value) in &mut dead.variables {
        if key.starts_with("AWS_ENDPOINT") {
            // Nothing listens on the discard port.
            *value = "http://127.0.0.1:9".to_owned();
        }
    }
    let store = Store::open(&server.url("repo"), &dead).unwrap();
    let error = store.get("repo.json").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}
