//! The store: one API over every kind of object storage, with retries.

use crate::error::Result;
use bytes::Bytes;
use std::ops::Range;
use std::time::Duration;

/// An object store at a prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How long one call is repeated before it fails as unavailable.
    pub deadline: Duration,
    /// S3 endpoint; the AWS environment variables and AWS itself when `None`.
    pub s3_endpoint: Option<String>,
    /// S3 region; the AWS environment variables when `None`.
    pub s3_region: Option<String>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            deadline: Duration::from_secs(120),
            s3_endpoint: None,
            s3_region: None,
        }
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

impl Store {
    /// Opens the store of a URL: `file:///path`, `s3://bucket/prefix`, `memory://` (a new,
    /// empty one). Nothing is contacted yet.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when the URL or the environment is wrong.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Store> {
        let _ = (url, options);
        todo!()
    }

    /// A new, empty store in memory, for tests.
    #[must_use]
    pub fn memory() -> Store {
        todo!()
    }

    /// Puts an object under a name that nobody else uses.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) after the deadline,
    /// [`Config`](crate::error::ErrorKind::Config) for refused credentials.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let _ = (name, bytes);
        todo!()
    }

    /// Creates an object unless one is there. The same bytes are put until the outcome is
    /// known; bytes equal to ours are ours, whoever put them.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) after the deadline: the outcome is
    /// unknown, repeat the call with the same bytes.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        let _ = (name, bytes);
        todo!()
    }

    /// The object's bytes; `None` when there is none.
    ///
    /// # Errors
    /// As [`put`](Self::put). A refused right is never an absent object.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let _ = name;
        todo!()
    }

    /// A range of the object's bytes; `None` when there is no object.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Corrupt`](crate::error::ErrorKind::Corrupt) when the object is
    /// shorter.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let _ = (name, range);
        todo!()
    }

    /// The object's length; `None` when there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn head(&self, name: &str) -> Result<Option<u64>> {
        let _ = name;
        todo!()
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
        let _ = (prefix, after, limit);
        todo!()
    }

    /// Deletes an object; an absent one is no error. Capture never calls it.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }

    /// Checks what the format needs of a store: an object can be created once and only once,
    /// read back, listed and (where the right is given) deleted.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the store lies.
    pub async fn probe(&self) -> Result<()> {
        todo!()
    }
}
