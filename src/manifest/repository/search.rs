//! Finds manifests by listing from a place, never the whole log where the store can seek.

use crate::error::Result;
use crate::position::Seq;
use crate::storage::{ObjectName, Store};

/// Names asked for at a time: a page of S3.
pub(super) const PAGE: usize = 1000;

/// The names of a timeline's manifests, as their first entries.
#[derive(Clone, Debug)]
pub(super) struct LogNames {
    pub(super) store: Store,
    pub(super) timeline: u32,
    pub(super) page: usize,
}

impl LogNames {
    fn name(&self, seq_first: Seq) -> String {
        ObjectName::Manifest {
            timeline: self.timeline,
            seq_first,
        }
        .to_string()
    }

    /// First entries after `after`, ascending, at most `limit`.
    pub(super) async fn after(&self, after: Seq, limit: usize) -> Result<Vec<Seq>> {
        let prefix = ObjectName::log_prefix(self.timeline);
        let after = (after.0 > 0).then(|| self.name(after));
        let names = self.store.list(&prefix, after.as_deref(), limit).await?;
        names
            .iter()
            .map(|name| match ObjectName::parse(name)? {
                ObjectName::Manifest { seq_first, .. } => Ok(seq_first),
                _ => {
                    Err(crate::error::Error::corrupt("read name in the log").field("object", name))
                }
            })
            .collect()
    }

    /// The newest manifest. `hint` is an entry that was committed once, or anything else: a
    /// wrong hint costs lists, never the answer.
    pub(super) async fn newest(&self, hint: Seq) -> Result<Option<Seq>> {
        let newest = match self.store.can_seek() {
            true => self.newest_after(hint).await?,
            false => self.after(hint, usize::MAX).await?.last().copied(),
        };
        match newest {
            None if hint.0 > 0 => self.at_or_before(hint).await,
            found => Ok(found),
        }
    }

    /// The newest manifest after `from`: steps double until nothing follows, then the last
    /// step is bisected; a page that is not full ends the search at once.
    async fn newest_after(&self, from: Seq) -> Result<Option<Seq>> {
        let names = self.after(from, self.page).await?;
        let (Some(first), Some(last)) = (names.first(), names.last()) else {
            return Ok(None);
        };
        if names.len() < self.page {
            return Ok(Some(*last));
        }
        // `low` exists; nothing is after `high`.
        let mut low = last.0;
        let mut high: Option<i64> = None;
        let mut step = (last.0 - first.0).max(1);
        loop {
            let probe = match high {
                Some(high) => low + (high - low) / 2,
                None => low.saturating_add(step),
            };
            let names = self.after(Seq(probe), self.page).await?;
            match names.last() {
                None if probe == low => return Ok(Some(Seq(low))),
                None => high = Some(probe),
                Some(last) if names.len() < self.page => return Ok(Some(*last)),
                Some(last) => low = last.0,
            }
            step = step.saturating_mul(2);
        }
    }

    /// The manifest with the highest first entry at or before `seq`.
    pub(super) async fn at_or_before(&self, seq: Seq) -> Result<Option<Seq>> {
        let mut back: i64 = match self.store.can_seek() {
            true => self.page as i64,
            false => i64::MAX,
        };
        loop {
            let mut from = Seq(seq.0.saturating_sub(back).max(0));
            let mut found = None;
            'pages: loop {
                let names = self.after(from, self.page).await?;
                for &name in &names {
                    if name > seq {
                        break 'pages;
                    }
                    found = Some(name);
                }
                match names.last() {
                    Some(&last) if names.len() == self.page => from = last,
                    _ => break,
                }
            }
            if found.is_some() || seq.0 <= back {
                return Ok(found);
            }
            back = back.saturating_mul(16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreOptions;
    use bytes::Bytes;
    use proptest::prelude::*;

    async fn fill(store: &Store, seqs: &[i64]) {
        for &seq in seqs {
            let name = ObjectName::Manifest {
                timeline: 1,
                seq_first: Seq(seq),
            };
            store
                .put(&name.to_string(), Bytes::new())
                .await
                .expect("put");
        }
    }

    fn run(future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("runtime").block_on(future);
    }

    async fn finds_all(store: Store, seqs: &[i64], hint: i64) {
        fill(&store, seqs).await;
        let log = LogNames {
            store,
            timeline: 1,
            page: 3,
        };
        let newest = log.newest(Seq(hint)).await.expect("search");
        assert_eq!(newest, seqs.last().copied().map(Seq));
        let others = [0, 1, hint, i64::MAX];
        for &seq in seqs.iter().chain(&others) {
            for seq in [seq, seq.saturating_add(1), seq.saturating_sub(1)] {
                let expected = seqs.iter().rfind(|s| **s <= seq).copied().map(Seq);
                let found = log.at_or_before(Seq(seq)).await.expect("search");
                assert_eq!(found, expected, "at or before {seq}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_search_finds_what_a_full_list_would(
            steps in proptest::collection::vec(prop_oneof![Just(1_i64), 1_i64..50, 1_i64..1_000_000_000], 0..60),
            hint in 0_usize..70,
            noise in 0_i64..3,
        ) {
            let seqs: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            let hint = seqs.get(hint).copied().unwrap_or(0) + noise;
            run(finds_all(Store::memory(), &seqs, hint));
        }
    }

    #[test]
    fn a_store_that_cannot_seek_lists_once() {
        let folder = tempfile::tempdir().expect("folder");
        let url = url::Url::from_directory_path(folder.path()).expect("url");
        let store = Store::open(url.as_str(), &StoreOptions::default()).expect("open");
        run(finds_all(store, &[1, 5, 6, 7, 400, 1_000_000], 7));
    }

    #[test]
    fn a_year_of_segments_takes_few_lists() {
        run(async {
            let store = Store::memory();
            let seqs: Vec<i64> = (0..20_000).map(|i| 1 + i * 7_000).collect();
            fill(&store, &seqs).await;
            let (store, counts) = store.with_faults(crate::storage::FaultPlan {
                // Counts the calls: every one is "delayed" by nothing.
                delay: 1000,
                ..Default::default()
            });
            let log = LogNames {
                store,
                timeline: 1,
                page: 10,
            };
            let newest = log.newest(Seq(0)).await.expect("search");
            assert_eq!(newest, seqs.last().copied().map(Seq));
            assert!(counts.total() <= 64, "{} lists", counts.total());
        });
    }
}
