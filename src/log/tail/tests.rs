//! The tail over a store that fails: written, taken over, read back.

use super::*;
use crate::binlog::event::{EventHeader, HEADER_LEN, checksum, kind};
use crate::error::ErrorKind;
use crate::log::durability::Beginning;
use crate::log::spool::tests::description;
use crate::log::spool::{Item, SpoolReader};
use crate::manifest::{EpochClaim, Sha256};
use crate::position::{BinlogPosition, Flavor, GtidSet, Seq};
use crate::runtime::{Clock, ids};
use crate::storage::{FaultPlan, ObjectName, Store, StoreOptions};
use bytes::Bytes;
use std::time::Duration;
use uuid::Uuid;

/// A stand-in for transaction `number`: one event that holds it, and padding.
fn event(number: u64, padding: usize) -> Bytes {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + padding, 0);
    let header = EventHeader {
        timestamp_s: 1,
        kind: kind::QUERY,
        server_id: 1,
        length: (HEADER_LEN + body.len() + 4) as u32,
        log_pos: 100,
        flags: 0,
    };
    let mut event = header.to_bytes().to_vec();
    event.extend_from_slice(&body);
    let sum = checksum(&event);
    event.extend_from_slice(&sum.to_le_bytes());
    event.into()
}

fn number_of(event: &[u8]) -> Option<u64> {
    let body = event.get(HEADER_LEN..HEADER_LEN + 8)?;
    (event[4] == kind::QUERY).then(|| u64::from_le_bytes(body.try_into().expect("8 bytes")))
}

fn owner(epoch: u64) -> Owner {
    Owner {
        repository_id: Uuid::from_u128(7),
        timeline: 1,
        epoch,
        writer_id: Uuid::from_u128(u128::from(epoch)),
        flavor: Flavor::MySql,
        source: "mysql x".into(),
    }
}

/// Transaction `number`, whole.
fn group(number: u64) -> Group {
    let position = BinlogPosition::new("binlog.000001", 4);
    Group {
        events: vec![event(number, 0)],
        received_us: number as i64,
        transactions: number,
        commit_us: Some(1_000 + number as i64),
        is_open: false,
        ends_file: false,
        beginning: Beginning {
            after_gtids: GtidSet::empty(Flavor::MySql),
            after_position: position.clone(),
            begins_at: position,
            clock_offset_us: 0,
            clock_error_us: 0,
            backlog_until: None,
        },
        description: description().into(),
    }
}

/// A store whose pauses are short.
fn quick() -> Store {
    let options = StoreOptions {
        pause_min: Duration::from_nanos(1),
        ..StoreOptions::default()
    };
    Store::open("memory://", &options).expect("a store")
}

async fn repository() -> Repository {
    let clock = Clock::system();
    let repository = Repository::init(quick(), &clock).await.expect("init");
    let timeline = repository.create_timeline(Flavor::MySql, serde_json::json!({}), None, &clock);
    timeline.await.expect("a timeline");
    repository
}

async fn claim(repository: &Repository) -> u64 {
    let claim = EpochClaim {
        writer_id: ids::new_uuid(),
        host: "test".into(),
        head_hint: Seq(0),
        durability: None,
    };
    let claimed = repository.claim_epoch(1, &claim, &Clock::system()).await;
    claimed.expect("an epoch").epoch
}

async fn until_durable(tail: &mut Tail, transactions: u64) -> Result<()> {
    while tail.durable() < transactions {
        let changed = tokio::time::timeout(Duration::from_secs(60), tail.changed());
        changed.await.expect("in time")?;
    }
    Ok(())
}

/// The transactions in the objects behind `place`, stale ones left out, and how many were stale.
async fn read(repository: &Repository, place: TailPlace) -> Result<(Vec<u64>, u64)> {
    let numbers = repository.tail_after(1, place.through).await?;
    let mut reader = TailReader::new(repository, 1, place, numbers);
    let (mut found, mut stale) = (Vec::new(), 0);
    while let Some(object) = reader.next().await? {
        object.check()?;
        if object.is_stale {
            stale += 1;
            continue;
        }
        let mut items = object.reader();
        while let Some(item) = items.next()? {
            if let Item::Event(event) = item {
                found.extend(number_of(&event));
            }
        }
    }
    Ok((found, stale))
}

#[tokio::test]
async fn what_was_durable_is_read_back_and_one_object_carries_many() {
    let repository = repository().await;
    let epoch = claim(&repository).await;
    let mut tail = Tail::start(&repository, &owner(epoch), TailPlace::start(epoch), 0);
    for number in 1..=100 {
        tail.append(group(number)).expect("handed over");
    }
    until_durable(&mut tail, 100).await.expect("no failure");
    for number in 101..=103 {
        tail.append(group(number)).expect("handed over");
        until_durable(&mut tail, number).await.expect("no failure");
    }
    let place = tail.place();
    assert!(place.through <= 8, "{} objects", place.through);
    let (found, _) = read(&repository, TailPlace::start(1)).await.expect("whole");
    assert_eq!(found, (1..=103).collect::<Vec<u64>>());
    // From a place in the middle; its hash is that of the object before.
    let name = |number| {
        ObjectName::Tail {
            timeline: 1,
            number,
        }
        .to_string()
    };
    let store = repository.store();
    let mut bytes = 0;
    for number in 1..place.through {
        let object = store.get(&name(number)).await.expect("get").expect("there");
        bytes += object.len() as u64;
        if number + 1 == place.through {
            let before = TailPlace {
                through: number,
                sha256: Some(Sha256::of(&object)),
                bytes,
                epoch,
            };
            assert_eq!(read(&repository, before).await.expect("whole").0, [103]);
        }
    }
    // The end says when the last of them was committed.
    let newest = store.get(&name(place.through)).await.expect("get");
    let mut reader = SpoolReader::object("x".into(), newest.expect("there"));
    let mut end = None;
    while let Some(item) = reader.next().expect("whole") {
        if let Item::End(at_us) = item {
            end = Some(at_us);
        }
    }
    assert_eq!(end, Some(1_103));
}

#[tokio::test]
async fn damage_a_hole_and_another_order_are_errors_that_name_the_object() {
    let repository = repository().await;
    let epoch = claim(&repository).await;
    let mut tail = Tail::start(&repository, &owner(epoch), TailPlace::start(epoch), 0);
    for number in 1..=4 {
        tail.append(group(number)).expect("handed over");
        until_durable(&mut tail, number).await.expect("no failure");
    }
    let name = |number| {
        ObjectName::Tail {
            timeline: 1,
            number,
        }
        .to_string()
    };
    let store = repository.store();
    let get = async |number| store.get(&name(number)).await.expect("get").expect("there");
    let (second, third) = (get(2).await, get(3).await);
    let refused = async |what: &str| {
        let error = read(&repository, TailPlace::start(1))
            .await
            .expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
        let object = error.get("object").unwrap_or_default().to_owned();
        assert!(object.contains("/tail/"), "{what}: {error:?}");
    };
    for at in (0..second.len()).step_by(11) {
        let mut damaged = second.to_vec();
        damaged[at] ^= 4;
        store.put(&name(2), damaged.into()).await.expect("damage");
        refused(&format!("damage at {at}")).await;
    }
    for cut in [0, 3, 100, second.len() - 1] {
        store.put(&name(2), second.slice(..cut)).await.expect("cut");
        refused(&format!("cut at {cut}")).await;
    }
    store.put(&name(2), third.clone()).await.expect("swap");
    refused("another object").await;
    store.delete(&name(2)).await.expect("delete");
    refused("a hole").await;
    store.put(&name(2), second).await.expect("mend");
    read(&repository, TailPlace::start(1))
        .await
        .expect("mended");
}

#[tokio::test]
async fn a_transaction_larger_than_an_object_spans_several() {
    let repository = repository().await;
    let epoch = claim(&repository).await;
    let mut tail = Tail::start(&repository, &owner(epoch), TailPlace::start(epoch), 0);
    let part = |is_open, number| Group {
        events: vec![event(number, 3 << 20)],
        is_open,
        transactions: u64::from(!is_open),
        ..group(number)
    };
    for number in 0..9 {
        tail.append(part(number < 8, number)).expect("handed over");
    }
    until_durable(&mut tail, 1).await.expect("no failure");
    let through = tail.place().through;
    assert!((3..=5).contains(&through), "{through} objects");
    let (found, _) = read(&repository, TailPlace::start(1)).await.expect("whole");
    assert_eq!(found, (0..9).collect::<Vec<u64>>());
    let numbers = repository.tail_after(1, 0).await.expect("names");
    for number in numbers {
        let name = ObjectName::Tail {
            timeline: 1,
            number,
        }
        .to_string();
        let bytes = repository.store().get(&name).await.expect("get");
        let head = super::read::head_of(&name, bytes.expect("there")).expect("a head");
        let continues = head.tail.is_some_and(|link| link.continues);
        assert_eq!(continues, number > 1, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_neither_doubles_nor_fences() {
    for seed in 0..20 {
        let clean = repository().await;
        let (store, counts) = clean.store().with_faults(FaultPlan {
            seed,
            error_after: 400,
            ..FaultPlan::default()
        });
        let faulty = Repository::open(store).await.expect("open");
        let epoch = claim(&faulty).await;
        let mut tail = Tail::start(&faulty, &owner(epoch), TailPlace::start(epoch), 0);
        for number in 1..=20 {
            tail.append(group(number)).expect("handed over");
            let durable = until_durable(&mut tail, number).await;
            durable.unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        }
        let (found, _) = read(&clean, TailPlace::start(1)).await.expect("whole");
        assert_eq!(found, (1..=20).collect::<Vec<u64>>(), "seed {seed}");
        assert!(counts.total() > 0);
    }
}

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What one writer saw of its own.
struct Seen {
    /// Acknowledged by the first writer, ever.
    acknowledged: u64,
    was_fenced: bool,
    stale: u64,
}

/// Writes until it is refused or has written `count` more; gives what it acknowledged.
async fn write(mut tail: Tail, from: u64, count: u64, mut draw: Draw) -> (u64, Option<Error>) {
    for number in from + 1..=from + count {
        if let Err(error) = tail.append(group(number)) {
            return (tail.durable(), Some(error));
        }
        for _ in 0..draw.below(20) {
            tokio::task::yield_now().await;
        }
    }
    let ended = until_durable(&mut tail, from + count).await.err();
    (tail.durable(), ended)
}

/// The first writer is taken over at some moment by a second one that claims, lists, and goes on
/// where the list ends, as capture does.
async fn takeover(seed: u64) -> Seen {
    let mut draw = Draw(seed);
    let clean = repository().await;
    let plan = FaultPlan {
        seed,
        error_before: 60,
        error_after: 90,
        false_conflict: 60,
        truncated_get: 30,
        delay: 300,
        delay_for: Duration::from_millis(1),
    };
    let first_store = Repository::open(clean.store().with_faults(plan).0);
    let second_store = Repository::open(
        clean
            .store()
            .with_faults(FaultPlan {
                seed: !seed,
                ..plan
            })
            .0,
    );
    let (first_store, second_store) = (first_store.await, second_store.await);
    let (first_store, second_store) = (first_store.expect("open"), second_store.expect("open"));
    let epoch = claim(&first_store).await;
    let tail = Tail::start(&first_store, &owner(epoch), TailPlace::start(epoch), 0);
    let count = 1 + draw.below(30);
    let first = tokio::spawn(write(tail, 0, count, Draw(seed ^ 1)));
    for _ in 0..draw.below(800) {
        tokio::task::yield_now().await;
    }
    let epoch = claim(&second_store).await;
    let found = TailFound::look(&second_store, 1, None)
        .await
        .expect("a tail");
    let mut reader = TailReader::new(&second_store, 1, found.place, found.numbers);
    let mut recovered = 0;
    while let Some(object) = reader.next().await.expect("a chain") {
        let mut items = object.reader();
        while let Some(item) = items.next().expect("whole") {
            if let Item::Event(event) = item
                && let Some(number) = number_of(&event)
            {
                assert_eq!(number, recovered + 1, "seed {seed}");
                recovered = number;
            }
        }
    }
    let place = TailPlace {
        epoch,
        ..reader.place()
    };
    let tail = Tail::start(&second_store, &owner(epoch), place, recovered);
    let more = 1 + draw.below(10);
    let (durable, error) = write(tail, recovered, more, Draw(seed ^ 2)).await;
    assert!(
        error.is_none(),
        "seed {seed}: the newest is never refused: {error:?}"
    );
    assert_eq!(durable, recovered + more, "seed {seed}");
    let (acknowledged, error) = first.await.expect("the first writer");
    if let Some(error) = &error {
        assert_eq!(error.kind(), ErrorKind::Fenced, "seed {seed}: {error:?}");
    }
    assert!(
        acknowledged <= recovered,
        "seed {seed}: {acknowledged} acknowledged, {recovered} seen by the next writer"
    );
    // Whoever reads it all finds every transaction once, and one object at each place.
    let (mut all, _) = read(&clean, TailPlace::start(1)).await.expect("one chain");
    all.truncate(recovered as usize);
    let (behind, stale) = read(&clean, place).await.expect("one chain");
    all.extend(behind);
    assert_eq!(
        all,
        (1..=recovered + more).collect::<Vec<u64>>(),
        "seed {seed}"
    );
    Seen {
        acknowledged,
        was_fenced: error.is_some(),
        stale,
    }
}

#[tokio::test]
async fn whoever_is_taken_over_acknowledges_nothing_that_the_next_one_has_not_seen() {
    let runs = futures::future::join_all((0..1_000).map(takeover)).await;
    let fenced = runs.iter().filter(|run| run.was_fenced).count();
    let stale: u64 = runs.iter().map(|run| run.stale).sum();
    let acknowledged: u64 = runs.iter().map(|run| run.acknowledged).sum();
    println!("{fenced} fenced, {stale} stale objects, {acknowledged} acknowledged");
    assert!(fenced > 100 && fenced < 1_000, "{fenced} of 1,000 fenced");
    assert!(stale > 10, "{stale} stale objects");
    assert!(acknowledged > 500, "{acknowledged} acknowledged");
}
