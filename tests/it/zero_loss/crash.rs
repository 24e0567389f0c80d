//! Capture is killed while clients write and write down which commits have returned; the source is
//! not asked again: the spool alone must give back everything that a client was told.

use super::harness::{Journal, Scene, assert_nothing_lost};
use crate::end_to_end::seed;
use crate::support::s3;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::failpoint::PLACES;

const SIGKILL: i32 = 9;
const SEALS: [&str; 2] = ["--seal-interval-ms", "300"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_acknowledged_is_lost_on_mysql() {
    random_kills(Scene::new(Flavor::MySql).await, kills()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_acknowledged_is_lost_on_mariadb() {
    random_kills(Scene::new(Flavor::MariaDb).await, kills()).await;
}

/// `TIDELOG_TEST_KILLS`, or a few.
fn kills() -> u64 {
    let number = std::env::var("TIDELOG_TEST_KILLS").ok();
    number.and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_acknowledged_is_lost_in_the_store() {
    random_kills(Scene::with(Flavor::MariaDb, None, "store").await, 2).await;
    random_kills(Scene::with(Flavor::MySql, None, "both").await, 2).await;
}

async fn random_kills(mut scene: Scene, kills: u64) {
    let (seed, flavor) = (seed(), format!("{} {}", scene.flavor, scene.policy));
    println!("{flavor}: TIDELOG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let journal = Journal::start(&scene.source, 6);
    for kill in 0..kills {
        let capture = scene.capture(&SEALS, "");
        journal.wait_for(20).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..700))).await;
        capture.kill9();
        let told = journal.acknowledged().await;
        // Every other time the next start recovers, with the source.
        if kill % 2 == 0 {
            scene.finish("").success();
            assert_nothing_lost(&told, &scene.captured(), &format!("{flavor}, kill {kill}"));
        }
    }
    let capture = scene.capture(&SEALS, "");
    journal.wait_for(20).await;
    capture.kill9();
    scene.source.kill9().expect("the source is gone for good");
    let told = journal.stop().await;
    scene.finish("").success();
    let captured = scene.captured();
    assert_nothing_lost(&told, &captured, &format!("{flavor}, without the source"));
    let wanted = 20 * (kills as usize + 1);
    assert!(
        told.len() > wanted,
        "the clients hardly wrote: {}",
        told.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_on_receipt_rows_are_lost_so_the_test_can_fail() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let scene = Scene::new(flavor).await;
        let journal = Journal::start(&scene.source, 4);
        let mut lost = 0;
        for hit in 40..60 {
            // Dies with events in hand that were acknowledged and never written; now and then
            // they are the first half of a transaction, which nobody waits for.
            let failpoint = format!("ack.on_receipt,receive.group:{hit}");
            let mut capture = scene.capture(&SEALS, &failpoint);
            let ended = capture.ended(Duration::from_secs(60)).expect("killed");
            assert_eq!(ended.signal(), Some(SIGKILL), "{flavor}: {ended}");
            let told = journal.acknowledged().await;
            scene.finish("").success();
            lost = told.difference(&scene.captured()).count();
            if lost > 0 {
                break;
            }
        }
        assert!(lost > 0, "{flavor}: the harness is blind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_failpoint_nothing_is_lost_or_doubled_on_mysql() {
    every_failpoint(Scene::new(Flavor::MySql).await, &spool_places()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_failpoint_nothing_is_lost_or_doubled_on_mariadb() {
    every_failpoint(Scene::new(Flavor::MariaDb).await, &spool_places()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_around_every_put_nothing_is_lost_or_doubled_on_mariadb() {
    every_failpoint(
        Scene::with(Flavor::MariaDb, None, "store").await,
        &STORE_PLACES,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_around_every_put_nothing_is_lost_or_doubled_on_mysql_and_s3() {
    let scene = Scene::with(Flavor::MySql, Some(s3::start()), "store");
    let places = [
        "recover.tail_begin",
        "tail.before_put",
        "tail.put",
        "ack.before",
    ];
    every_failpoint(scene.await, &places).await;
}

/// Where the tail is written and recovered.
const STORE_PLACES: [&str; 9] = [
    "recover.tail_begin",
    "recover.tail_sealed",
    "receive.group",
    "tail.before_put",
    "file.linked",
    "tail.put",
    "tail.looked",
    "ack.before",
    "manifest.put",
];

fn spool_places() -> Vec<&'static str> {
    let is_tail = |place: &&str| place.starts_with("tail.") || place.starts_with("recover.tail");
    PLACES.iter().copied().filter(|p| !is_tail(p)).collect()
}

async fn every_failpoint(scene: Scene, places: &[&str]) {
    let (seed, flavor) = (seed(), format!("{} {}", scene.flavor, scene.policy));
    println!("{flavor}: TIDELOG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let journal = Journal::start(&scene.source, 4);
    let mut told = BTreeSet::new();
    for place in places {
        let what = format!("{flavor}, killed at {place}");
        let is_recovery = place.starts_with("recover.");
        // Later times too, at places that every group or segment comes by.
        let is_once = ["epoch.", "receive.connected"]
            .iter()
            .any(|p| place.starts_with(p));
        let hits = match is_recovery {
            true if scene.policy == "store" => "tail.looked:9".to_owned(),
            true => "spool.synced:30".to_owned(),
            false if is_once => (*place).to_owned(),
            false => format!("{place}:{}", random.random_range(1..4)),
        };
        let mut capture = scene.capture(&SEALS, &hits);
        let ended = capture.ended(Duration::from_secs(60));
        let ended = ended.unwrap_or_else(|| panic!("{what}: it was never reached"));
        assert_eq!(ended.signal(), Some(SIGKILL), "{what}: {ended}");
        if is_recovery {
            let died = scene.finish(place);
            assert_eq!(died.code(), -1, "{what}: {}", died.stderr());
        }
        told = journal.acknowledged().await;
        scene.finish("").success();
        assert_nothing_lost(&told, &scene.captured(), &what);
    }
    let wanted = 4 * places.len();
    assert!(
        told.len() > wanted,
        "the clients hardly wrote: {}",
        told.len()
    );
    // Everything goes on, and the source agrees row for row.
    let capture = scene.capture(&SEALS, "");
    journal.wait_for(10).await;
    let told = journal.stop().await;
    capture.terminate();
    assert_nothing_lost(&told, &scene.captured(), "the end");
    scene
        .run(&["verify", "--full", "--repo", &scene.repo])
        .success();
}
