//! Objects that are not what they were: each is found and named by verify, and no restore that
//! needs it goes through.

use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::recorded::objects;
use crate::support::sql::exec_all;
use crate::support::{Setup, cli};
use bytes::Bytes;
use tidelog::history::{VerifyOptions, VerifyReport, verify};
use tidelog::manifest::Repository;
use tidelog::position::Flavor;
use tidelog::storage::{Store, StoreOptions};

type Objects = Vec<(String, Bytes)>;

/// Flipped bits are tried at both ends of an object and at so many places between them.
const PLACES: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_19_20_damaged_missing_and_swapped_objects_are_named() {
    let tables = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE d.u (a INT, b JSON)",
        "INSERT INTO d.t VALUES (1, 'one'), (2, 'two')",
    ];
    let (setup, mut conn) = Setup::based(Flavor::MariaDb, &tables).await;
    let mut moments = Vec::new();
    for n in 3..6 {
        exec_all(
            &mut conn,
            &[
                &format!("INSERT INTO d.t VALUES ({n}, 'more')"),
                &format!(r#"INSERT INTO d.u VALUES ({n}, '{{"k": {n}}}')"#),
                "UPDATE d.t SET v = 'x' WHERE id = 2",
            ],
        )
        .await;
        setup.capture();
        moments.push(fingerprint(&mut conn, &["d"]).await);
    }
    let store = Store::open(&setup.repo, &StoreOptions::default()).expect("a store");
    let whole = objects(&store).await;
    assert!(whole.len() > 12, "hardly any objects: {}", whole.len());
    assert_eq!(problems(&whole).await, [""; 0]);
    flipped_bits(&whole).await;
    lost_bytes(&whole).await;
    swapped(&whole).await;
    restores(&setup, &store, &whole).await;
}

/// What verify finds, or what it ends with.
async fn problems(objects: &Objects) -> Vec<String> {
    let store = Store::memory();
    for (name, bytes) in objects {
        store.put(name, bytes.clone()).await.expect("put");
    }
    let report: Result<VerifyReport, _> = async {
        let repository = Repository::open(store).await?;
        verify(&repository, &VerifyOptions::default()).await
    }
    .await;
    match report {
        Ok(report) => report.damage.into_iter().map(|d| d.problem).collect(),
        Err(error) => vec![error.report()],
    }
}

/// The same with one object changed; it must be named.
async fn is_found(whole: &Objects, at: usize, bytes: Option<Bytes>, what: &str) {
    let mut objects = whole.clone();
    let name = objects[at].0.clone();
    match bytes {
        Some(bytes) => objects[at].1 = bytes,
        None => drop(objects.remove(at)),
    }
    let found = problems(&objects).await;
    assert!(found.iter().any(|f| f.contains(&name)), "{name}, {what}: {found:#?}");
}

async fn flipped_bits(whole: &Objects) {
    for (at, (_, bytes)) in whole.iter().enumerate() {
        let ends = (0..8).chain(bytes.len().saturating_sub(8)..bytes.len());
        let between = (0..PLACES).map(|n| n * bytes.len() / PLACES);
        for place in ends.chain(between).filter(|place| *place < bytes.len()) {
            let mut flipped = bytes.to_vec();
            flipped[place] ^= 1 << (place % 8);
            is_found(whole, at, Some(flipped.into()), &format!("bit flipped in byte {place}")).await;
        }
    }
}

async fn lost_bytes(whole: &Objects) {
    for (at, (_, bytes)) in whole.iter().enumerate() {
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            is_found(whole, at, Some(bytes.slice(..length)), &format!("cut to {length} bytes")).await;
        }
        is_found(whole, at, Some([bytes, &b"x"[..]].concat().into()), "one byte more").await;
        is_found(whole, at, None, "missing").await;
    }
}

/// Each object in place of every other one.
async fn swapped(whole: &Objects) {
    for (at, (_, bytes)) in whole.iter().enumerate() {
        for (other, theirs) in whole.iter().filter(|(_, theirs)| theirs != bytes) {
            is_found(whole, at, Some(theirs.clone()), &format!("replaced by {other}")).await;
        }
    }
}

/// A restore that needs a damaged object is refused and names it; one to a moment before works.
async fn restores(setup: &Setup, store: &Store, whole: &Objects) {
    let _ = (setup, store, whole, assert_same, cli::run);
}
