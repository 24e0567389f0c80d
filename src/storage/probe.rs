//! Whether a store does what the format needs of it.

use super::store::{Created, Store};
use crate::error::{Error, Result};
use crate::runtime::ids;
use bytes::Bytes;

/// Names of the probe's objects; the uuid is that of one run.
pub(super) const PREFIX: &str = "probe/";

impl Store {
    /// Checks what the format needs of a store: an object can be created once and only once,
    /// read back whole and in part, listed in order and after a name. Its objects are deleted
    /// at the end; where that right is missing (a capture role has none) they stay, and are
    /// harmless.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the store lies,
    /// [`Config`](crate::error::ErrorKind::Config) when a right is missing.
    pub async fn probe(&self) -> Result<()> {
        let folder = format!("{PREFIX}{}/", ids::new_uuid());
        let names = ["a", "b", "c"].map(|name| format!("{folder}{name}"));
        let result = self.probe_with(&folder, &names).await;
        for name in &names {
            if let Err(error) = self.delete(name).await {
                tracing::debug!(%error, "probe object stays");
            }
        }
        result
    }

    /// Checks that an object which was just created cannot be created again. The same bytes are put,
    /// so that nothing is harmed where the store lies.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when it can: two writers would not see
    /// each other.
    pub(crate) async fn require_created_once(&self, name: &str, bytes: Bytes) -> Result<()> {
        match self.create_once(name, bytes).await? {
            false => Ok(()),
            true => Err(self.lies("create an object twice").field("object", name)),
        }
    }

    fn lies(&self, what: &'static str) -> Error {
        Error::incompatible(what)
            .field("store", self.location())
            .hint("use a store with conditional puts (If-None-Match) and ordered lists")
    }

    async fn probe_with(&self, folder: &str, names: &[String; 3]) -> Result<()> {
        let lies = |what: &'static str| self.lies(what);
        let [a, b, c] = names;
        if self.get(a).await?.is_some() {
            return Err(lies("find an object before it was made"));
        }
        let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
        if self.create(a, first.clone()).await? != Created::Ours {
            return Err(lies("create an object"));
        }
        if self.create_once(a, second.clone()).await? {
            return Err(lies("create an object twice"));
        }
        if self.get(a).await? != Some(first.clone()) {
            return Err(lies("read back the object that was there first"));
        }
        if self.get_range(a, 1..3).await?.as_deref() != Some(b"ir") {
            return Err(lies("read a range of an object"));
        }
        if self.head(a).await? != Some(first.len() as u64) {
            return Err(lies("read the length of an object"));
        }
        self.put(c, second.clone()).await?;
        self.put(b, second).await?;
        if self.list(folder, None, 10).await? != [a.as_str(), b, c] {
            return Err(lies("list objects in order"));
        }
        if self.list(folder, Some(a), 1).await? != [b.as_str()] {
            return Err(lies("list objects after a name"));
        }
        Ok(())
    }
}
