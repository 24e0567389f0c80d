//! The repository over memory, with and without faults.

mod objects;

use super::*;
use crate::error::ErrorKind;
use crate::manifest::tests::samples::{gtids, segment, shape};
use crate::manifest::{Catalogue, CommitTimes};
use crate::storage::{FaultPlan, StoreOptions};
use bytes::Bytes;
use std::time::Duration;

async fn new_repository() -> Repository {
    let options = StoreOptions {
        pause_min: Duration::from_micros(10),
        deadline: Duration::from_secs(60),
        ..StoreOptions::default()
    };
    let store = Store::open("memory://", &options).expect("open");
    let repository = Repository::init(store, &Clock::system()).await;
    let repository = repository.expect("init");
    let source = serde_json::json!({});
    let clock = Clock::system();
    let made = repository.create_timeline(Flavor::MySql, source, None, &clock);
    assert_eq!(made.await.expect("timeline").timeline, 1);
    repository
}

/// A writer as the log stage will be one: it knows its head and commits after it.
struct Writer {
    repository: Repository,
    epoch: u64,
    head: Option<StoredManifest>,
    catalogue: Catalogue,
}

impl Writer {
    async fn new(repository: &Repository) -> Writer {
        let claim = EpochClaim {
            writer_id: ids::new_uuid(),
            host: "test".into(),
            head_hint: Seq(0),
            durability: None,
        };
        let clock = Clock::system();
        let writer = repository.claim_epoch(1, &claim, &clock).await;
        let head = repository.head(1).await.expect("head");
        let seq = head.as_ref().map_or(Seq(0), |h| h.manifest.seq_last);
        Writer {
            repository: repository.clone(),
            epoch: writer.expect("epoch").epoch,
            catalogue: repository.catalogue_at(1, seq).await.expect("catalogue"),
            head,
        }
    }

    /// A segment of `entries` empty transactions after the head.
    fn next(&mut self, entries: i64) -> SegmentManifest {
        let last = self.head.as_ref().map(|h| &*h.manifest);
        let seq_first = last.map_or(Seq::FIRST, |m| m.seq_last.next());
        let seq_last = Seq(seq_first.0 + entries - 1);
        let pending = self.catalogue.take_pending(seq_last);
        let at = Some(seq_last.0);
        SegmentManifest {
            seq_first,
            seq_last,
            prev_sha256: self.head.as_ref().map(|h| h.sha256),
            epoch: self.epoch,
            writer_id: Uuid::from_u128(u128::from(self.epoch)),
            gtids_added: gtids(&seq_last.to_string()),
            gtids_through: gtids(&format!("1-{seq_last}")),
            commit_time: CommitTimes {
                first_us: at,
                last_us: at,
                max_us: at,
            },
            covered_through_us: at,
            tables: pending.tables,
            retired: pending.retired,
            files: Vec::new(),
            transactions: entries.unsigned_abs(),
            marks: Vec::new(),
            barriers: Vec::new(),
            ddl: Vec::new(),
            open_xa: Vec::new(),
            xa_decided: Vec::new(),
            undone: Vec::new(),
            undone_rows: Vec::new(),
            unprotected: Vec::new(),
            catalog: None,
            ..segment()
        }
    }

    async fn commit(&mut self, entries: i64) -> Result<bool> {
        let manifest = Arc::new(self.next(entries));
        match self.repository.commit(manifest).await? {
            CommitOutcome::Committed(stored) => {
                self.head = Some(stored);
                Ok(true)
            }
            CommitOutcome::Adopt(theirs) => {
                let seq = theirs.manifest.seq_last;
                self.head = Some(theirs);
                self.catalogue = self.repository.catalogue_at(1, seq).await?;
                Ok(false)
            }
        }
    }
}

async fn read_all(repository: &Repository, from: i64, to: Option<i64>) -> Result<Vec<i64>> {
    let mut reader = repository.manifests(1, Seq(from), to.map(Seq)).await?;
    let mut firsts = Vec::new();
    while let Some(stored) = reader.next().await? {
        firsts.push(stored.manifest.seq_first.0);
    }
    Ok(firsts)
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_repository_is_made_once_and_never_among_others() {
    let store = Store::memory();
    let none = Repository::open(store.clone()).await;
    assert_eq!(kind(none), Some(ErrorKind::Config));
    let clock = Clock::system();
    let first = Repository::init(store.clone(), &clock).await.expect("init");
    let again = Repository::init(store.clone(), &clock)
        .await
        .expect("again");
    assert_eq!(first.header(), again.header());
    let foreign = Store::memory();
    foreign.put("a", Bytes::new()).await.expect("put");
    let refused = Repository::init(foreign, &clock).await;
    assert_eq!(kind(refused), Some(ErrorKind::Incompatible));
}

#[tokio::test]
async fn timelines_and_epochs_are_dense_under_concurrent_claims() {
    let repository = new_repository().await;
    let claims = (0..8).map(|_| Writer::new(&repository));
    let mut epochs: Vec<u64> = futures::future::join_all(claims)
        .await
        .iter()
        .map(|writer| writer.epoch)
        .collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=8).collect::<Vec<u64>>());
    let source = || serde_json::json!({});
    let clock = Clock::system();
    let made = (0..3).map(|_| repository.create_timeline(Flavor::MySql, source(), None, &clock));
    futures::future::try_join_all(made)
        .await
        .expect("timelines");
    let numbers: Vec<u32> = repository
        .timelines()
        .await
        .expect("timelines")
        .iter()
        .map(|t| t.timeline)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(kind(repository.timeline(5).await), Some(ErrorKind::Config));
}

#[tokio::test]
async fn the_log_reads_back_in_order() {
    let repository = new_repository().await;
    assert_eq!(repository.head(1).await.expect("head"), None);
    assert!(
        read_all(&repository, 0, None)
            .await
            .expect("empty")
            .is_empty()
    );
    assert_eq!(
        kind(read_all(&repository, 1, Some(1)).await),
        Some(ErrorKind::Gap)
    );
    let mut writer = Writer::new(&repository).await;
    for entries in [1, 5, 10, 1, 3] {
        assert!(writer.commit(entries).await.expect("commit"));
    }
    let head = repository.head(1).await.expect("head");
    assert_eq!(head, writer.head);
    assert_eq!(
        read_all(&repository, 0, None).await.expect("all"),
        [1, 2, 7, 17, 18]
    );
    assert_eq!(
        read_all(&repository, 6, Some(7)).await.expect("some"),
        [2, 7]
    );
    assert_eq!(read_all(&repository, 16, Some(16)).await.expect("one"), [7]);
    assert_eq!(
        read_all(&repository, 20, Some(20)).await.expect("last"),
        [18]
    );
    assert_eq!(
        kind(read_all(&repository, 18, Some(21)).await),
        Some(ErrorKind::Gap)
    );
    let found = repository.manifest(1, Seq(9)).await.expect("found");
    assert_eq!(found.expect("there").manifest.seq_first, Seq(7));
    assert_eq!(repository.manifest(1, Seq(21)).await.expect("beyond"), None);
}

#[tokio::test]
async fn damage_to_the_log_is_told_from_its_end() {
    let repository = new_repository().await;
    let mut writer = Writer::new(&repository).await;
    for entries in [2, 2, 2] {
        writer.commit(entries).await.expect("commit");
    }
    let name = |seq| {
        let (timeline, seq_first) = (1, Seq(seq));
        ObjectName::Manifest {
            timeline,
            seq_first,
        }
        .to_string()
    };
    let store = repository.store().clone();
    let get = async |seq| store.get(&name(seq)).await.expect("get").expect("there");
    let (one, two) = (get(1).await, get(3).await);

    store.delete(&name(3)).await.expect("delete");
    assert_eq!(
        kind(read_all(&repository, 1, None).await),
        Some(ErrorKind::Gap)
    );
    assert_eq!(
        kind(repository.manifest(1, Seq(3)).await),
        Some(ErrorKind::Gap)
    );
    store.put(&name(3), one.clone()).await.expect("swap");
    assert_eq!(
        kind(read_all(&repository, 1, None).await),
        Some(ErrorKind::Corrupt)
    );
    let mut flipped = two.to_vec();
    flipped[40] ^= 1;
    store.put(&name(3), flipped.into()).await.expect("flip");
    assert_eq!(
        kind(read_all(&repository, 1, None).await),
        Some(ErrorKind::Corrupt)
    );
    // A well-formed manifest of another history.
    let mut other = SegmentManifest::decode("x", &two).expect("decode");
    other.created_us += 1;
    store
        .put(&name(3), other.encode().expect("encode"))
        .await
        .expect("replace");
    assert_eq!(
        kind(read_all(&repository, 1, None).await),
        Some(ErrorKind::Corrupt)
    );
    store.put(&name(3), two).await.expect("heal");
    assert_eq!(
        read_all(&repository, 1, None).await.expect("healed"),
        [1, 3, 5]
    );
    store.delete(&name(1)).await.expect("delete");
    assert_eq!(
        kind(read_all(&repository, 1, None).await),
        Some(ErrorKind::Gap)
    );
}

#[tokio::test]
async fn a_lower_epoch_is_adopted_and_a_higher_one_fences() {
    let repository = new_repository().await;
    let mut old = Writer::new(&repository).await;
    old.commit(1).await.expect("commit");
    let mut new = Writer::new(&repository).await;
    assert!(old.commit(5).await.expect("the old one is still faster"));
    assert!(!new.commit(1).await.expect("adopts"));
    assert!(new.commit(1).await.expect("and goes on"));
    let error = old.commit(1).await.expect_err("too late");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error:?}");
    assert_eq!(
        read_all(&repository, 1, None).await.expect("all"),
        [1, 2, 7]
    );
    // One epoch never commits two manifests in one place.
    let mut twin = Writer {
        epoch: new.epoch,
        head: repository.manifest(1, Seq(2)).await.expect("found"),
        catalogue: Catalogue::empty(1, Flavor::MySql),
        repository: repository.clone(),
    };
    assert_eq!(kind(twin.commit(3).await), Some(ErrorKind::Internal));
}

/// Seeds: two writers race under faults; the log stays one chain, and each writer's view of
/// what it committed is what is there.
#[tokio::test]
async fn racing_writers_leave_one_chain() {
    let (mut fenced, mut adopted, mut faults) = (0, 0, 0);
    for seed in 0..60 {
        let clean = new_repository().await;
        let (store, counts) = clean.store().with_faults(FaultPlan {
            seed,
            error_before: 100,
            error_after: 150,
            false_conflict: 100,
            truncated_get: 50,
            ..FaultPlan::default()
        });
        let faulty = Repository::open(store).await.expect("open");
        let mut writers = [Writer::new(&faulty).await, Writer::new(&faulty).await];
        let mut committed = Vec::new();
        for round in 0..12 {
            let writer = &mut writers[(seed >> (round % 6)) as usize & 1];
            let (before, epoch) = (writer.head.clone(), writer.epoch);
            match writer.commit(1 + round).await {
                Ok(true) => committed.extend(writer.head.clone()),
                Ok(false) => adopted += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Fenced, "seed {seed}: {error:?}");
                    assert_eq!(epoch, 1, "seed {seed}: the newest is never fenced");
                    assert_eq!(writer.head, before);
                    fenced += 1;
                }
            }
        }
        faults += counts.total();
        let mut reader = clean.manifests(1, Seq(0), None).await.expect("read");
        let mut all = Vec::new();
        while let Some(stored) = reader.next().await.expect("one chain") {
            all.push(stored);
        }
        committed.sort_by_key(|stored| stored.manifest.seq_first);
        assert_eq!(all, committed, "seed {seed}");
    }
    assert!(
        fenced > 0 && adopted > 0 && faults > 0,
        "{fenced} {adopted} {faults}"
    );
}

#[tokio::test]
async fn the_catalogue_is_that_of_the_entry() {
    let repository = new_repository().await;
    let mut writer = Writer::new(&repository).await;
    for (seq, columns) in [(1, &["a"][..]), (2, &["a", "b"]), (3, &["b"])] {
        writer
            .catalogue
            .observe(&shape("db", "t", columns), Seq(seq));
        let mut manifest = writer.next(1);
        if seq == 2 {
            let seq = Seq(2);
            let name = ObjectName::Catalog { timeline: 1, seq };
            let bytes = writer.catalogue.encode().expect("encode");
            manifest.catalog = Some(repository.put_object(&name, bytes).await.expect("put"));
        }
        let outcome = repository.commit(Arc::new(manifest)).await.expect("commit");
        if let CommitOutcome::Committed(stored) = outcome {
            writer.head = Some(stored);
        }
    }
    // A catalogue that no manifest names does not exist, whatever it says.
    let orphan = ObjectName::Catalog {
        timeline: 1,
        seq: Seq(3),
    };
    repository
        .store()
        .put(&orphan.to_string(), Bytes::from_static(b"?"))
        .await
        .expect("put");
    let table = crate::schema::TableName::new("db", "t");
    for (seq, version) in [(0, None), (1, Some(1)), (2, Some(2)), (3, Some(3))] {
        let catalogue = repository
            .catalogue_at(1, Seq(seq))
            .await
            .expect("catalogue");
        assert_eq!(
            catalogue.by_name(&table).map(|t| t.version),
            version,
            "at {seq}"
        );
    }
    assert_eq!(
        kind(repository.catalogue_at(1, Seq(4)).await),
        Some(ErrorKind::Gap)
    );
}

/// Stages spawn these calls.
#[test]
fn calls_can_be_spawned() {
    fn spawnable<T: Send>(_: impl Future<Output = T> + Send) {}
    fn check(repository: &Repository, reader: &mut ManifestReader, manifest: Arc<SegmentManifest>) {
        spawnable(repository.head(1));
        spawnable(repository.commit(manifest));
        spawnable(repository.catalogue_at(1, Seq(1)));
        spawnable(repository.get_files(&[]));
        spawnable(repository.put_file(&ObjectName::Repo, Bytes::new()));
        spawnable(reader.next());
        spawnable(repository.store().probe());
    }
    let _ = check;
}
