//! Stores on bad days: storms of errors, lost answers, refusals, lies. A recorded source is
//! captured through a proxy before a real S3 server; what comes of it is compared with an
//! undisturbed run, data files byte for byte.

use super::cuts::uncut;
use crate::support::fake_source::{FakeSource, Played};
use crate::support::recorded::{self, Recorded, content, once};
use crate::support::s3::{self, S3Server};
use crate::support::s3_proxy::{Act, Request, S3Proxy};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tidelog::error::ErrorKind;
use tidelog::log::CaptureOptions;
use tidelog::manifest::Repository;
use tidelog::position::Flavor;
use tidelog::runtime::{Clock, Deadline};
use tidelog::storage::{Created, Store};

/// Calls are repeated for longer than any of these storms lasts.
const PATIENT: Duration = Duration::from_secs(60);

struct Scene {
    server: S3Server,
    proxy: S3Proxy,
    recorded: &'static Recorded,
}

impl Scene {
    async fn new() -> Scene {
        let server = s3::start();
        Scene {
            proxy: S3Proxy::start(&server).await,
            recorded: recorded::of(Flavor::MariaDb).await,
            server,
        }
    }

    fn store(&self, prefix: &str) -> Store {
        self.proxy.store(&self.server, prefix, PATIENT)
    }

    async fn source(&self) -> FakeSource {
        FakeSource::start(&self.recorded.recording, |dump| Played {
            bytes: dump.recorded.to_vec(),
            stays: true,
        })
        .await
    }

    /// Captures under a plan; the outcome is that of an undisturbed run.
    async fn captures(&self, prefix: &str, plan: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        let store = self.store(prefix);
        self.recorded.copy_to(&store).await;
        let before = self.proxy.injected();
        self.proxy.plan(plan);
        let source = self.source().await;
        let done = once(&store, source.endpoint(), self.recorded.at_us).await;
        self.proxy.plan(|_| Act::Pass);
        done.unwrap_or_else(|e| panic!("{prefix}: {}", e.report()));
        assert!(
            self.proxy.injected() > before,
            "{prefix}: nothing went wrong"
        );
        let found = content(&store).await;
        assert!(found == uncut(self.recorded).await, "{prefix}: {found:#?}");
    }
}

/// Every so many requests, by a fixed scramble of their number.
fn is_hit(request: &Request, percent: u64) -> bool {
    request.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < percent * 0x1_0000 / 100
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_10_11_12_15_16_storms_and_lost_answers_change_nothing() {
    let scene = Scene::new().await;
    for percent in [10, 50] {
        scene
            .captures(&format!("storm-{percent}"), move |request| {
                match is_hit(request, percent) {
                    true => Act::Refuse([500, 503, 429][request.number as usize % 3]),
                    false => Act::Pass,
                }
            })
            .await;
    }
    // Every request for a while, and then none.
    let (storm, seen) = (AtomicBool::new(true), AtomicU64::new(0));
    scene
        .captures("storm-100", move |_| {
            if seen.fetch_add(1, Ordering::SeqCst) > 24 {
                storm.store(false, Ordering::SeqCst);
            }
            match storm.load(Ordering::SeqCst) {
                true => Act::Refuse(503),
                false => Act::Pass,
            }
        })
        .await;
    scene
        .captures("lost", |request| {
            match request.method == "PUT" && is_hit(request, 50) {
                true => Act::LoseAnswer,
                false => Act::Pass,
            }
        })
        .await;
    scene
        .captures("conflict", |request| {
            match request.is_create && is_hit(request, 50) {
                true => Act::Refuse(409),
                false => Act::Pass,
            }
        })
        .await;
    scene
        .captures("half", |request| {
            match request.method == "GET" && is_hit(request, 50) {
                true => Act::Half,
                false => Act::Pass,
            }
        })
        .await;
    scene
        .captures("slow", |_| Act::Slow(Duration::from_millis(100)))
        .await;
}

/// An answer that was lost, and a conflict, are looked into: ours stays ours, and another
/// writer's bytes are told apart.
#[tokio::test(flavor = "multi_thread")]
async fn fault_11_12_13_the_outcome_of_a_create_is_always_known() {
    let scene = Scene::new().await;
    let store = scene.store("create");
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    for (name, act) in [("lost", Act::LoseAnswer), ("conflict", Act::Refuse(409))] {
        let first = AtomicBool::new(true);
        scene.proxy.plan(move |request| {
            match request.is_create && first.swap(false, Ordering::SeqCst) {
                true => act,
                false => Act::Pass,
            }
        });
        let created = store.create(name, bytes("mine")).await.expect("known");
        assert_eq!(created, Created::Ours, "{name}");
        assert_eq!(store.get(name).await.expect("get"), Some(bytes("mine")));
        let again = store.create(name, bytes("other")).await.expect("known");
        assert_eq!(again, Created::Theirs(bytes("mine")), "{name}");
    }
    // Their object is there, and the store says so in any of its ways.
    for act in [Act::Refuse(409), Act::Refuse(412), Act::LoseAnswer] {
        let first = AtomicBool::new(true);
        scene.proxy.plan(move |request| {
            match request.is_create && first.swap(false, Ordering::SeqCst) {
                true => act,
                false => Act::Pass,
            }
        });
        let created = store.create("lost", bytes("other")).await.expect("known");
        assert_eq!(created, Created::Theirs(bytes("mine")), "{act:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_a_store_that_ignores_conditions_gets_no_repository() {
    let scene = Scene::new().await;
    scene.proxy.plan(|request| match request.is_create {
        true => Act::Unconditional,
        false => Act::Pass,
    });
    let refused = Repository::init(scene.store("lies"), &Clock::system()).await;
    let error = refused.expect_err("two writers would not see each other");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{}", error.report());
    assert!(
        error.report().contains("If-None-Match"),
        "{}",
        error.report()
    );
    scene.proxy.plan(|_| Act::Pass);
    let none = Repository::open(scene.store("lies")).await;
    assert_eq!(none.expect_err("none was made").kind(), ErrorKind::Config);

    // One that does so from some day on gets no writer, and keeps what it has.
    let store = scene.store("lies-later");
    scene.recorded.copy_to(&store).await;
    scene.proxy.plan(|request| match request.is_create {
        true => Act::Unconditional,
        false => Act::Pass,
    });
    let source = scene.source().await;
    let done = once(&store, source.endpoint(), scene.recorded.at_us).await;
    let error = done.expect_err("two writers would not see each other");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{}", error.report());
    assert!(error.report().contains("/writers/"), "{}", error.report());
    scene.proxy.plan(|_| Act::Pass);
    let source = scene.source().await;
    let done = once(&store, source.endpoint(), scene.recorded.at_us).await;
    done.expect("capture goes on");
    let whole = uncut(scene.recorded).await;
    assert_eq!(content(&store).await.events, whole.events);
}

/// Credentials that expire in the middle: capture ends and says so, whatever it was doing; what is
/// there is never taken for nothing, and the next start goes on.
#[tokio::test(flavor = "multi_thread")]
async fn fault_17_refused_credentials_are_never_an_empty_repository() {
    let scene = Scene::new().await;
    let whole = uncut(scene.recorded).await;
    let store = scene.store("expired");
    scene.recorded.copy_to(&store).await;
    let (mut ended, mut allowed) = (0, 0);
    loop {
        let left = AtomicU64::new(allowed);
        let take = |left: u64| left.checked_sub(1);
        scene.proxy.plan(move |_| {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
                Ok(_) => Act::Pass,
                Err(_) => Act::Refuse(403),
            }
        });
        let source = scene.source().await;
        let done = once(&store, source.endpoint(), scene.recorded.at_us).await;
        scene.proxy.plan(|_| Act::Pass);
        let Err(error) = done else { break };
        assert_eq!(
            error.kind(),
            ErrorKind::Config,
            "{allowed}: {}",
            error.report()
        );
        let repository = Repository::open(store.clone()).await.expect("still there");
        let timelines = repository.timelines().await.expect("timelines");
        assert_eq!(timelines.len(), 1, "{allowed}: no history begun anew");
        (ended, allowed) = (ended + 1, allowed + 4);
    }
    assert!(ended > 5, "hardly any start was refused: {ended}");
    // Each start that got so far left its epoch mark; the transactions are there once.
    assert_eq!(content(&store).await.events, whole.events);
}

/// Two captures of one configuration: the one that claimed the timeline last goes on, the other
/// ends before it commits anything more.
#[tokio::test(flavor = "multi_thread")]
async fn fault_13_22_a_writer_that_was_overtaken_is_fenced() {
    let recorded = recorded::of(Flavor::MySql).await;
    let whole = uncut(recorded).await;
    let store = recorded.before().await;
    let source = FakeSource::start(&recorded.recording, |dump| Played {
        bytes: dump.recorded.to_vec(),
        stays: true,
    });
    let source = source.await;
    let options = CaptureOptions {
        seal_interval: Duration::from_secs(3600),
        ..CaptureOptions::default()
    };
    let (clock, _hand) = Clock::manual(recorded.at_us);
    let (first, seal_now) = recorded::spawn(&store, source.endpoint(), &options, &clock).await;
    let deadline = Deadline::after(PATIENT);
    while source.dumps() == 0 {
        assert!(!deadline.has_passed(), "the first asks for no dump");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    once(&store, source.endpoint(), recorded.at_us)
        .await
        .expect("the second captures");
    while !first.is_finished() {
        assert!(!deadline.has_passed(), "the first goes on");
        seal_now.notify_one();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ended = first.await;
    let error = ended.expect("joined").expect_err("it was overtaken");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{}", error.report());
    assert_eq!(content(&store).await.events, whole.events);
}
