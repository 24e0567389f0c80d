//! The store: one API over every kind of object storage, with retries.

use super::backend::{Backend, check_name, check_prefix};
use super::fault::{FaultBackend, FaultCounts, FaultPlan};
use super::file::FileBackend;
use super::object::ObjectBackend;
use super::overlay::{Frozen, OverlayBackend};
use super::probe::PREFIX as PROBE_PREFIX;
use super::retry::Retry;
use super::s3;
use crate::error::{Error, ErrorKind, Result, Wrap};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// An object store at a prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<dyn Backend>,
    retry: Retry,
    location: Arc<str>,
}

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// How long one call is repeated before it fails as unavailable.
    pub deadline: Duration,
    /// First pause between attempts; the next ones double.
    pub pause_min: Duration,
    /// `AWS_*` variables that win over those of the process, for example `AWS_ENDPOINT_URL`.
    pub variables: Vec<(String, String)>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            deadline: Duration::from_secs(120),
            pause_min: Duration::from_millis(50),
            variables: Vec::new(),
        }
    }
}

/// Names the variables; their values may be secret.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .variables
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        f.debug_struct("StoreOptions")
            .field("deadline", &self.deadline)
            .field("pause_min", &self.pause_min)
            .field("variables", &names)
            .finish()
    }
}

/// What [`Store::create`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object has our bytes.
    Ours,
    /// Somebody else's bytes are there.
    Theirs(Bytes),
}

/// A longer range is read in pieces, several at a time.
const PIECE_BYTES: u64 = 8 << 20;
const PIECES_IN_FLIGHT: usize = 4;

/// A create or head whose answer does not come is given up after this and its outcome looked
/// up, plus the time its bytes need at [`SLOW_BYTES_PER_S`].
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const SLOW_BYTES_PER_S: u64 = 32 << 10;

impl Store {
    /// Opens the store of a URL: `file:///path`, `s3://bucket/prefix`, `memory://` (a new,
    /// empty one). Nothing is contacted yet.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when the URL or the environment is wrong.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Store> {
        let bad = || {
            Error::config("open repository store")
                .field("url", url)
                .hint("write file:///path or s3://bucket/prefix")
        };
        let parsed = Url::parse(url).wrap(bad)?;
        let backend: Arc<dyn Backend> = match parsed.scheme() {
            "file" => Arc::new(FileBackend::new(parsed.to_file_path().map_err(|()| bad())?)),
            "s3" => Arc::new(s3::open(&parsed, options)?),
            "memory" => Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), "")),
            _ => return Err(bad().field("scheme", parsed.scheme())),
        };
        Ok(Store {
            backend,
            retry: Retry {
                deadline: options.deadline,
                pause_min: options.pause_min,
            },
            location: url.trim_end_matches('/').into(),
        })
    }

    /// A new, empty store in memory, for tests.
    #[must_use]
    pub fn memory() -> Store {
        let options = StoreOptions::default();
        Store {
            backend: Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), "")),
            retry: Retry {
                deadline: options.deadline,
                pause_min: options.pause_min,
            },
            location: "memory://".into(),
        }
    }

    /// The same store with faults injected below the retries, for tests.
    #[must_use]
    pub fn with_faults(&self, plan: FaultPlan) -> (Store, Arc<FaultCounts>) {
        let (backend, counts) = FaultBackend::new(Arc::clone(&self.backend), plan);
        let store = Store {
            backend: Arc::new(backend),
            ..self.clone()
        };
        (store, counts)
    }

    /// This store up to an entry of a log, with what is written kept apart, in a temporary directory.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when no directory can be made.
    pub fn overlay(&self, frozen: Frozen) -> Result<Store> {
        let backend = OverlayBackend::new(Arc::clone(&self.backend), frozen)?;
        Ok(Store {
            backend: Arc::new(backend),
            ..self.clone()
        })
    }

    /// The URL it was opened with, without a slash at its end.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether a list after a name costs less than a list of all.
    #[must_use]
    pub fn can_seek(&self) -> bool {
        self.backend.can_seek()
    }

    /// Puts an object under a name that nobody else uses.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) after the deadline,
    /// [`Config`](crate::error::ErrorKind::Config) for refused credentials.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        check_name(name)?;
        self.retry
            .run(|| self.backend.put(name, bytes.clone()))
            .await
    }

    /// Creates an object unless one is there. The same bytes are put until the outcome is
    /// known; bytes equal to ours are ours, whoever put them.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) after the deadline: the outcome is
    /// unknown, repeat the call with the same bytes. Refused credentials are
    /// [`Config`](crate::error::ErrorKind::Config), and leave it just as unknown.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        check_name(name)?;
        let mut attempts = self.retry.attempts();
        loop {
            let create = self.backend.create(name, bytes.clone());
            let failure = match within(name, bytes.len(), create).await {
                Ok(true) => return Ok(Created::Ours),
                Ok(false) => Error::unavailable("create object that seemed to exist")
                    .field("object", name)
                    .hint("the store answers conflict for an object that is not there"),
                Err(error) if error.kind().is_retryable() => error,
                Err(error) => return Err(error),
            };
            match self.get(name).await? {
                Some(there) if there == bytes => return Ok(Created::Ours),
                Some(there) => return Ok(Created::Theirs(there)),
                None => attempts.pause(failure).await?,
            }
        }
    }

    /// The object's bytes; `None` when there is none.
    ///
    /// # Errors
    /// As [`put`](Self::put). A refused right is never an absent object.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        check_name(name)?;
        self.retry.run(|| self.backend.get(name, None)).await
    }

    /// A range of the object's bytes; `None` when there is no object.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Corrupt`](crate::error::ErrorKind::Corrupt) when the object is
    /// shorter.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        check_name(name)?;
        let starts = (range.start..range.end).step_by(PIECE_BYTES as usize);
        let pieces: Vec<Range<u64>> = starts
            .map(|start| start..range.end.min(start.saturating_add(PIECE_BYTES)))
            .collect();
        let [piece] = pieces.as_slice() else {
            return self.get_pieces(name, pieces).await;
        };
        self.get_piece(name, piece).await
    }

    async fn get_piece(&self, name: &str, range: &Range<u64>) -> Result<Option<Bytes>> {
        let got = self.retry.run(|| self.try_piece(name, range));
        match got.await? {
            Some(bytes) if bytes.len() as u64 != range.end - range.start => Err(short(name, range)),
            got => Ok(got),
        }
    }

    async fn try_piece(&self, name: &str, range: &Range<u64>) -> Result<Option<Bytes>> {
        match self.backend.get(name, Some(range.clone())).await {
            // S3 answers 416 for a range that starts past the end.
            Err(error) if error.kind() != ErrorKind::Config => {
                match self.backend.head(name).await? {
                    Some(length) if length <= range.start => Err(short(name, range)),
                    _ => Err(error),
                }
            }
            got => got,
        }
    }

    async fn get_pieces(&self, name: &str, pieces: Vec<Range<u64>>) -> Result<Option<Bytes>> {
        if pieces.is_empty() {
            return Ok(self.head(name).await?.map(|_| Bytes::new()));
        }
        let gets: Vec<_> = pieces.iter().map(|p| self.get_piece(name, p)).collect();
        let got: Vec<Option<Bytes>> = futures::stream::iter(gets)
            .buffered(PIECES_IN_FLIGHT)
            .try_collect()
            .await?;
        let Some(got) = got.into_iter().collect::<Option<Vec<Bytes>>>() else {
            return Ok(None);
        };
        let mut whole = BytesMut::with_capacity(got.iter().map(Bytes::len).sum());
        got.iter().for_each(|piece| whole.extend_from_slice(piece));
        Ok(Some(whole.freeze()))
    }

    /// The object's length; `None` when there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn head(&self, name: &str) -> Result<Option<u64>> {
        check_name(name)?;
        self.retry
            .run(|| within(name, 0, self.backend.head(name)))
            .await
    }

    /// At most `limit` names with a prefix (a folder, with its slash), ascending, those after
    /// `after` only.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        check_prefix(prefix)?;
        after.map_or(Ok(()), check_name)?;
        self.retry
            .run(|| self.backend.list(prefix, after, limit))
            .await
    }

    /// Deletes an object; an absent one is no error. Capture never calls it.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.retry.run(|| self.backend.delete(name)).await
    }

    /// Whether anything but leftovers of [`probe`](Self::probe) is below the prefix.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn is_empty(&self) -> Result<bool> {
        let before = self.list("", None, 1).await?;
        if before.iter().any(|name| !name.starts_with(PROBE_PREFIX)) {
            return Ok(false);
        }
        // The first name after the folder: "0" follows "/".
        let past = PROBE_PREFIX.replace('/', "0");
        let after = self.list("", Some(&past), 1).await?;
        Ok(after.is_empty() && self.head(&past).await?.is_none())
    }

    /// The store's bare answer to a create, for the probe: [`create`](Self::create) would look
    /// at the bytes.
    pub(super) async fn create_once(&self, name: &str, bytes: Bytes) -> Result<bool> {
        self.retry
            .run(|| self.backend.create(name, bytes.clone()))
            .await
    }
}

fn short(name: &str, range: &Range<u64>) -> Error {
    Error::corrupt("read range of a shorter object")
        .field("object", name)
        .field("offset", range.start)
        .field("length", range.end - range.start)
        .hint("restore the object from a mirror or a bucket version")
}

/// Gives a call up whose answer does not come.
async fn within<T>(name: &str, bytes: usize, call: impl Future<Output = Result<T>>) -> Result<T> {
    let timeout = ANSWER_TIMEOUT + Duration::from_secs(bytes as u64 / SLOW_BYTES_PER_S);
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result,
        Err(_) => Err(Error::unavailable("wait for the store")
            .field("object", name)
            .field("seconds", timeout.as_secs())),
    }
}

#[cfg(test)]
mod tests;
