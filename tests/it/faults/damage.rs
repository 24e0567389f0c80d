//! Objects that are not what they were: each is found and named by verify, and no restore that
//! needs it goes through.

use crate::support::fingerprint::{Fingerprint, assert_same, fingerprint};
use crate::support::recorded::objects;
use crate::support::sql::exec_all;
use crate::support::{Setup, cli};
use bytes::Bytes;
use tidelog::history::{VerifyOptions, VerifyReport, verify};
use tidelog::manifest::Repository;
use tidelog::position::{Flavor, Seq};
use tidelog::storage::{Store, StoreOptions};

/// The last entry at a moment, and the tables then.
type Moment = (Seq, Fingerprint);
type Objects = Vec<(String, Bytes)>;

/// Flipped bits are tried at both ends of an object and at so many places between them.
const PLACES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_19_20_damaged_missing_and_swapped_objects_are_named() {
    let tables = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE d.u (a INT, b JSON)",
        "INSERT INTO d.t VALUES (1, 'one'), (2, 'two')",
    ];
    let (setup, mut conn) = Setup::based(Flavor::MariaDb, &tables).await;
    let store = Store::open(&setup.repo, &StoreOptions::default()).expect("a store");
    let repository = Repository::open(store.clone()).await.expect("a repository");
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
        let head = repository.head(1).await.expect("a head").expect("segments");
        let tables = fingerprint(&mut conn, &["d"]).await;
        moments.push((head.manifest.seq_last, tables));
    }
    let whole = objects(&store).await;
    assert!(whole.len() > 12, "hardly any objects: {}", whole.len());
    assert_eq!(problems(&whole).await, [""; 0]);
    flipped_bits(&whole).await;
    lost_bytes(&whole).await;
    swapped(&whole).await;
    restores(&setup, &store, &whole, &moments).await;
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
    let is_named = |found: &String| {
        // Without its header there is no repository; a hole in the log is named by its entries.
        let number = name
            .rsplit('/')
            .next()
            .and_then(|n| n.trim_end_matches(".json").parse::<i64>().ok());
        found.contains(&name)
            || (name == "repo.json" && found.contains("find repository"))
            || (found.contains("find segment manifest")
                && number.is_some_and(|n| found.contains(&format!("={n} "))))
    };
    assert!(found.iter().any(is_named), "{name}, {what}: {found:#?}");
}

async fn flipped_bits(whole: &Objects) {
    for (at, (_, bytes)) in whole.iter().enumerate() {
        let ends = (0..4).chain(bytes.len().saturating_sub(4)..bytes.len());
        let between = (0..PLACES).map(|n| n * bytes.len() / PLACES);
        for place in ends.chain(between).filter(|place| *place < bytes.len()) {
            let mut flipped = bytes.to_vec();
            flipped[place] ^= 1 << (place % 8);
            is_found(
                whole,
                at,
                Some(flipped.into()),
                &format!("bit flipped in byte {place}"),
            )
            .await;
        }
    }
}

async fn lost_bytes(whole: &Objects) {
    let newest = whole.iter().rposition(|(name, _)| name.contains("/log/"));
    for (at, (_, bytes)) in whole.iter().enumerate() {
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            is_found(
                whole,
                at,
                Some(bytes.slice(..length)),
                &format!("cut to {length} bytes"),
            )
            .await;
        }
        is_found(
            whole,
            at,
            Some([bytes, &b"x"[..]].concat().into()),
            "one byte more",
        )
        .await;
        // Of the newest manifest nothing else tells: a log without it is one that ended before. Nor
        // of a base without its manifest: it looks like one that was never finished.
        let is_base = whole[at].0.contains("/base/") && whole[at].0.ends_with(".json");
        if Some(at) != newest && !is_base {
            is_found(whole, at, None, "missing").await;
        }
    }
    // A log that ends before what a writer had seen when it began was cut.
    let newest = &whole[newest.expect("a manifest")].0;
    let mut cut = whole.clone();
    cut.retain(|(name, _)| !name.contains("/log/") || name.ends_with("/00000000000000000001.json"));
    let found = problems(&cut).await;
    assert!(
        found.iter().any(|f| f.contains("a writer saw committed")),
        "without {newest} and others: {found:#?}"
    );
}

/// Each object in place of every other one of its format.
async fn swapped(whole: &Objects) {
    let format = |name: &str| name.rsplit('.').next().map(str::to_owned);
    for (at, (name, bytes)) in whole.iter().enumerate() {
        let others = whole
            .iter()
            .filter(|(other, _)| format(other) == format(name));
        for (other, theirs) in others.filter(|(_, theirs)| theirs != bytes) {
            is_found(
                whole,
                at,
                Some(theirs.clone()),
                &format!("replaced by {other}"),
            )
            .await;
        }
    }
}

/// A restore that needs a damaged object is refused and names it, every other one is exact.
async fn restores(setup: &Setup, store: &Store, whole: &Objects, moments: &[Moment]) {
    let [.., before, latest] = moments else {
        panic!("two moments");
    };
    let kind = |name: &str| -> String { name.chars().filter(|c| !c.is_ascii_hexdigit()).collect() };
    let mut kinds: Vec<(String, usize)> = Vec::new();
    // The newest of each kind: what comes before it need not be read.
    for (at, (name, _)) in whole.iter().enumerate().rev() {
        if !kinds.iter().any(|(seen, _)| *seen == kind(name)) {
            kinds.push((kind(name), at));
        }
    }
    let mut refused = Vec::new();
    for (_, at) in kinds {
        let (name, bytes) = &whole[at];
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 4;
        store.put(name, flipped.into()).await.expect("damage");
        let restored = setup.restore(&["--latest"]);
        if restored.ok() {
            let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
            assert_same(&latest.1, &found, &format!("without {name}"));
        } else {
            restored.refused(restored.code(), &[name]);
            refused.push(name.as_str());
        }
        setup.drop_on_target(&["d", "tidelog_restore"]).await;
        if name.ends_with(".parquet") && name.contains("/segments/") {
            let seq = before.0.to_string();
            setup.restore(&["--to-seq", &seq]).success();
            let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
            assert_same(&before.1, &found, &format!("before {name}"));
            setup.drop_on_target(&["d", "tidelog_restore"]).await;
        }
        store.put(name, bytes.clone()).await.expect("mend");
    }
    println!("refused for: {refused:#?}");
    for part in [
        "/log/",
        "/segments/",
        "/base/",
        "files.parquet",
        "schema.sql",
    ] {
        assert!(
            refused.iter().any(|name| name.contains(part)),
            "{part}: {refused:#?}"
        );
    }
    // What a writer said when it began helps to find the end of the log, and no more than that.
    let claims = |name: &&str| name.contains("/writers/");
    assert_eq!(refused.iter().find(|name| claims(name)), None);
    let (claim, bytes) = whole
        .iter()
        .rfind(|(name, _)| claims(&name.as_str()))
        .expect("a claim");
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 4;
    store.put(claim, flipped.into()).await.expect("damage");
    let url = setup.source.account_url();
    let capture = cli::run(&["capture", "--once", "--source", &url, "--repo", &setup.repo]);
    capture.refused(capture.code(), &[claim]);
    assert_eq!(
        objects(store).await.len(),
        whole.len(),
        "nothing was written"
    );
    cli::run(&["status", "--repo", &setup.repo]).success();
    store.put(claim, bytes.clone()).await.expect("mend");
    setup.capture();
}
