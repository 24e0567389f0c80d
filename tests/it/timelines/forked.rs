//! The fork itself: who still writes to the timeline that is left, and a fork that is cut short.

use super::*;

fn seq_last_of(setup: &Setup, timeline: usize) -> i64 {
    let status = status(setup);
    let last = &status["timelines"][timeline]["seq_last"];
    last.as_i64().expect("a seq")
}

fn timelines(setup: &Setup) -> usize {
    status(setup)["timelines"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_a_fork_ends_the_writer_of_the_timeline_it_leaves() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &TABLE).await;
        let (url, repo) = (setup.source.account_url(), setup.repo.clone());
        let writer = tokio::task::spawn_blocking(move || {
            let all = ["capture", "--source", &url, "--repo", &repo];
            cli::run_to_its_end(&[&all[..], &["--seal-interval-ms", "300"]].concat())
        });
        insert(&mut conn, 0..3).await;
        let rows = |timeline: usize| status(&setup)["timelines"][timeline]["rows"].as_i64();
        for _ in 0..600 {
            if rows(0) == Some(3) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (point, left) = (seq_last_of(&setup, 0), state(&setup.source).await);
        let at = point.to_string();
        // Nothing to fork: the writer goes on.
        fork(&setup, &setup.source, &[]).refused(2, &["the source continues it"]);
        insert(&mut conn, 3..4).await;
        for _ in 0..600 {
            if rows(0) == Some(4) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(rows(0), Some(4), "a refused fork stops nobody");

        fork(&setup, &setup.source, &["--at", &at]).success();
        let parent_last = seq_last_of(&setup, 0);
        insert(&mut conn, 4..9).await;
        let ended = writer.await.expect("the writer ends");
        ended.refused(1, &["another tidelog captures into this timeline now"]);
        assert_eq!(seq_last_of(&setup, 0), parent_last, "nothing was appended");
        assert_eq!(rows(0), Some(4));

        base(&setup, &setup.source).await;
        setup.capture();
        let latest = state(&setup.source).await;
        let before = ["--timeline", "1", "--to-seq", &at];
        restores(&setup, &setup.target, &before, &left).await;
        restores(&setup, &setup.target, &["--latest"], &latest).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_06_a_fork_that_is_killed_is_absent_or_whole() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &TABLE).await;
        let url = setup.source.account_url();
        // The first of each stops whoever writes to the parent, the second begins the new timeline.
        for (failpoint, made) in [
            ("epoch.marked:1", 0),
            ("epoch.claimed:2", 1),
            ("epoch.marked:2", 1),
        ] {
            insert(&mut conn, 0..3).await;
            setup.capture();
            let before = timelines(&setup);
            let at = seq_last(&setup);
            let all = [
                "timeline",
                "fork",
                "--source",
                &url,
                "--repo",
                &setup.repo,
                "--at",
                &at,
            ];
            let killed = cli::run_with(&all, &[("TIDELOG_FAILPOINT", failpoint)]);
            assert_eq!(killed.code(), -1, "killed by a signal: {}", killed.stderr());
            assert_eq!(timelines(&setup), before + made, "{flavor} {failpoint}");
            if made == 0 {
                cli::run(&all).success();
            }
            setup.capture();
            assert_eq!(timelines(&setup), before + 1, "{flavor} {failpoint}");
            let parent = &status(&setup)["timelines"][before]["parent"]["seq"];
            assert_eq!(parent.to_string(), at, "{flavor} {failpoint}");
            exec(&mut conn, "DELETE FROM d.t").await;
        }
        insert(&mut conn, 0..3).await;
        base(&setup, &setup.source).await;
        setup.capture();
        let latest = state(&setup.source).await;
        restores(&setup, &setup.target, &["--latest"], &latest).await;
        cli::run(&["verify", "--full", "--repo", &setup.repo]).success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_of_the_timeline_that_was_left_is_finished_into_it() {
    for flavor in FLAVORS {
        let (setup, mut conn) = Setup::based(flavor, &TABLE).await;
        let (url, spool) = (setup.source.account_url(), setup.scratch("spool"));
        let spool = spool.display().to_string();
        let at = seq_last(&setup);
        let capture = ["capture", "--source", &url, "--repo", &setup.repo];
        let spooled = ["--durability", "spool", "--spool-dir", &spool];
        let never = ["--seal-interval-ms", "3600000"];
        let service = cli::spawn(&[&capture[..], &spooled, &never].concat());
        insert(&mut conn, 0..3).await;
        for _ in 0..600 {
            if holds(&spool, b"row 2") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        service.kill9();
        // Somebody who does not know of the spool.
        fork(&setup, &setup.source, &["--at", &at]).success();
        let parent = state(&setup.source).await;
        insert(&mut conn, 3..5).await;
        let refused = cli::run(&[&capture[..], &spooled, &["--once"]].concat());
        refused.refused(1, &["another repository or timeline", "capture --finish"]);
        cli::run(
            &[
                &["capture", "--finish", "--repo", &setup.repo],
                &spooled[..],
            ]
            .concat(),
        )
        .success();
        let timelines = &status(&setup)["timelines"];
        assert_eq!(
            timelines[0]["rows"].as_i64(),
            Some(3),
            "{flavor}: {timelines}"
        );
        assert_eq!(
            timelines[1]["rows"].as_i64(),
            Some(0),
            "{flavor}: {timelines}"
        );
        cli::run(&[&capture[..], &spooled, &["--once"]].concat()).success();
        base(&setup, &setup.source).await;
        setup.capture();
        let latest = state(&setup.source).await;
        let last = seq_last_of(&setup, 0).to_string();
        let of_parent = ["--timeline", "1", "--to-seq", &last];
        restores(&setup, &setup.target, &of_parent, &parent).await;
        restores(&setup, &setup.target, &["--latest"], &latest).await;
    }
}

/// Whether a file of a folder holds these bytes.
fn holds(folder: &str, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files = entries.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    files.any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}
