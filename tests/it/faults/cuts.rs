//! Connections that end anywhere: between two bytes, and for good.

use crate::support::fake_source::{Dump, FakeSource, Played};
use crate::support::packets::parts;
use crate::support::recorded::{self, Content, Recorded, content, once};
use futures::{StreamExt, stream};
use tidelog::position::Flavor;

/// Runs at the same time: nearly all that they do is wait for the next attempt.
const RUNS_AT_ONCE: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_a_cut_at_every_byte_changes_nothing_on_mysql() {
    cut_at_every_byte(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_a_cut_at_every_byte_changes_nothing_on_mariadb() {
    cut_at_every_byte(Flavor::MariaDb).await;
}

/// Every connection of a run but the last ends in the middle of something: the first within what
/// comes before the transactions, each of the next within one transaction more. Run `n` cuts each
/// part at its byte `n`, so that all runs together cut the stream at each of its bytes.
async fn cut_at_every_byte(flavor: Flavor) {
    let recorded = recorded::of(flavor).await;
    let whole = uncut(recorded).await;
    let (prelude, ends) = parts(&recorded.stream);
    let starts = [&[0, prelude][..], &ends].concat();
    let lengths: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longest = lengths.iter().copied().max().expect("parts");
    let runs = (0..longest).map(|n| {
        let cut_parts: Vec<usize> = (0..lengths.len())
            .filter(|part| n < lengths[*part])
            .collect();
        async move {
            let count = cut_parts.len();
            let run = tokio::spawn(cut(recorded, n, cut_parts));
            (n, count, run.await.expect("a run"))
        }
    });
    let mut runs = stream::iter(runs).buffer_unordered(RUNS_AT_ONCE);
    let mut cuts = 0;
    while let Some((n, count, (found, dumps))) = runs.next().await {
        assert!(
            found == whole,
            "{flavor}, byte {n} of each part: {found:#?}\ninstead of {whole:#?}"
        );
        assert_eq!(
            dumps,
            count + 1,
            "{flavor}, byte {n}: a new dump after each cut"
        );
        cuts += count;
    }
    assert_eq!(
        cuts,
        recorded.stream[..ends[2]].len(),
        "{flavor}: one cut a byte"
    );
    println!("{flavor}: cut at {cuts} bytes in {longest} runs");
}

/// The repository of an undisturbed stream: what the server sent, byte for byte.
pub(crate) async fn uncut(recorded: &Recorded) -> Content {
    let source = FakeSource::start(&recorded.recording, |dump| Played {
        bytes: dump.recorded.to_vec(),
        stays: true,
    });
    let (source, store) = (source.await, recorded.before().await);
    let run = once(&store, source.endpoint(), recorded.at_us);
    run.await.expect("captured");
    assert_eq!(source.dumps(), 1);
    let content = content(&store).await;
    let events = content.events.concat();
    assert!(
        events.ends_with(&recorded.file),
        "{}: rebuilt {} bytes that do not end with the {} of the file",
        recorded.flavor,
        events.len(),
        recorded.file.len()
    );
    content
}

/// A capture whose connections end at byte `n` of these parts, one after the other.
async fn cut(recorded: &Recorded, n: usize, parts_cut: Vec<usize>) -> (Content, usize) {
    let script = move |dump: &Dump<'_>| {
        let (prelude, ends) = parts(dump.recorded);
        let received = 3 - ends.len();
        let length = match parts_cut.get(dump.number) {
            None => dump.recorded.len(),
            Some(0) => n,
            // What was cut before comes whole this time.
            Some(part) => match part - 1 - received {
                0 => prelude + n,
                before => ends[before - 1] + n,
            },
        };
        Played {
            bytes: dump.recorded[..length].to_vec(),
            stays: dump.number >= parts_cut.len(),
        }
    };
    let source = FakeSource::start(&recorded.recording, script).await;
    let store = recorded.before().await;
    let run = once(&store, source.endpoint(), recorded.at_us);
    run.await
        .unwrap_or_else(|e| panic!("byte {n}: {}", e.report()));
    (content(&store).await, source.dumps())
}
