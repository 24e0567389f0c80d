//! What the rest of the crate relies on, of every kind of store. Included by the unit tests and
//! by the integration tests (for S3), so all it uses comes from its parent.

use super::{Bytes, Created, ErrorKind, Result, Store};

pub(crate) fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Everything the rest of the crate relies on.
pub(crate) async fn conforms(store: &Store) {
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
pub(crate) async fn carries_large_objects(store: &Store) {
    let large: Bytes = (0..(17_u32 << 20)).map(|i| (i ^ (i >> 9)) as u8).collect();
    store.put("large", large.clone()).await.expect("put");
    let got = store.get_range("large", 0..large.len() as u64).await;
    assert!(got.expect("get") == Some(large.clone()));
    let middle = store.get_range("large", 5..(9 << 20)).await;
    assert!(middle.expect("get") == Some(large.slice(5..(9 << 20))));
}
