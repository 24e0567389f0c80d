//! What a kind of object storage must do, once, without retries.

use crate::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// One kind of object storage. Implemented by [`FileBackend`](super::file::FileBackend) for
/// file://, [`ObjectBackend`](super::object::ObjectBackend) for s3:// and memory://, and
/// [`FaultBackend`](super::fault::FaultBackend) around any of them in tests.
///
/// Every method is one attempt. An [`Unavailable`](crate::error::ErrorKind::Unavailable) error
/// says that repeating may help (and, for a write, that it may have happened all the same);
/// every other kind is final. Names have passed [`check_name`].
#[async_trait]
pub(super) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Writes an object under a name that nobody else uses.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()>;

    /// Writes an object unless one is there. `false`: the store says that one is there, which
    /// may be wrong, and may be one of our own earlier attempts.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool>;

    /// Reads an object or a range of it; `None` only when the store says that there is none.
    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>>;

    /// Length of an object.
    async fn head(&self, name: &str) -> Result<Option<u64>>;

    /// At most `limit` names below a folder, ascending, those after `after` only.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>>;

    /// Deletes an object if it is there.
    async fn delete(&self, name: &str) -> Result<()>;

    /// Whether a list after a name costs less than a list of all.
    fn can_seek(&self) -> bool;
}

/// Whether a name stays below the prefix on every kind of store.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt): names come from our own code or from
/// manifests, and a manifest with such a name is damaged or hostile.
pub(super) fn check_name(name: &str) -> Result<()> {
    const NAME_BYTES_MAX: usize = 512;
    let sound = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    if name.len() <= NAME_BYTES_MAX && name.split('/').all(sound) {
        return Ok(());
    }
    Err(Error::corrupt("check object name").field("object", name.escape_debug()))
}

/// As [`check_name`] for a folder with its slash, or nothing at all.
pub(super) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    match prefix.strip_suffix('/') {
        Some(folder) => check_name(folder),
        None => Err(Error::internal("list a prefix that is no folder").field("prefix", prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_leave_the_prefix() {
        for good in ["repo.json", "a/b-c_d.e/0001"] {
            check_name(good).expect(good);
        }
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "a/../b",
            "a/.",
            "a\\b",
            "a\0",
            "a b",
            "a#1",
            "a%2e",
            "ä",
            "a\n",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name(&"a".repeat(513)).is_err());
        assert!(check_prefix("a").is_err());
        assert!(check_prefix("../").is_err());
        check_prefix("").expect("the root");
        check_prefix("a/b/").expect("a folder");
    }
}
