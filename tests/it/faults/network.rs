//! A bad network between capture and a real source whose commits wait for it.

use super::until;
use crate::end_to_end::seed;
use crate::support::proxy::Proxy;
use crate::zero_loss::harness::{Journal, Scene, assert_nothing_lost};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tidelog::position::Flavor;
use tidelog::runtime::Deadline;

const CUTS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_04_05_a_bad_network_loses_and_doubles_nothing_on_mysql() {
    bad_network(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_04_05_a_bad_network_loses_and_doubles_nothing_on_mariadb() {
    bad_network(Flavor::MariaDb).await;
}

/// Commits only return while capture acknowledges them: each step ends when some more have.
async fn bad_network(flavor: Flavor) {
    let seed = seed();
    println!("{flavor}: TIDELOG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = Scene::new(flavor).await;
    let proxy = Proxy::start(scene.source.port()).await;
    let (direct, near) = (scene.source.port().to_string(), proxy.port.to_string());
    scene.url = scene.url.replace(&direct, &near);
    proxy.cut_dumps((0..CUTS).map(|_| random.random_range(300..6_000)));
    let capture = scene.capture(&["--heartbeat-ms", "400", "--seal-interval-ms", "500"], "");
    let journal = Journal::start(&scene.source, 3);

    // Cut in the middle of whatever comes, in both directions.
    until(|| proxy.cuts_left() == 0, "every dump was cut").await;
    journal.wait_for(10).await;
    proxy.cut_sent((0..4).map(|_| random.random_range(1..1_200)));
    proxy.cut_received((0..4).map(|_| random.random_range(0..1_200)));
    proxy.fall_silent();
    until(|| proxy.cuts_left() == 0, "every connection was cut").await;
    journal.wait_for(10).await;

    // Slow, and one byte at a time.
    proxy.slice(true);
    proxy.delay(Duration::from_millis(3));
    journal.wait_for(10).await;
    proxy.slice(false);
    proxy.delay(Duration::ZERO);

    // Half open: no byte comes any more and nobody says that it ended.
    let dumps = proxy.dumps();
    proxy.fall_silent();
    journal.wait_for(10).await;
    assert!(
        proxy.dumps() > dumps,
        "{flavor}: no new dump after the silence"
    );

    // Acknowledgements are lost behind what is durable: commits wait, until the next connection
    // says by where it starts what is safe.
    proxy.lose_sent(true);
    // What was under way returns; then nothing does, which without this fault never happens.
    let deadline = Deadline::after(Duration::from_secs(60));
    let mut seen = u64::MAX;
    while std::mem::replace(&mut seen, journal.count()) != seen {
        assert!(
            !deadline.has_passed(),
            "{flavor}: commits return without acknowledgement"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    proxy.lose_sent(false);
    proxy.fall_silent();
    journal.wait_for(10).await;

    let told = journal.stop().await;
    capture.terminate();
    // Fails on a row that is there twice.
    assert_nothing_lost(&told, &scene.captured(), &format!("{flavor}, seed {seed}"));
}
