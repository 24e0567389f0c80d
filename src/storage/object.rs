//! s3:// and memory://: the `object_store` crate behind our own contract.

use super::backend::Backend;
use crate::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload,
};
use std::error::Error as StdError;
use std::ops::Range;
use std::sync::Arc;

/// Objects of an `object_store` below a prefix.
#[derive(Clone, Debug)]
pub(super) struct ObjectBackend {
    inner: Arc<dyn ObjectStore>,
    /// Empty or with its slash.
    prefix: String,
}

/// A longer object is uploaded in parts: one request must end within the client's timeout on a
/// slow link.
const SINGLE_PUT_BYTES_MAX: usize = 16 << 20;
const PART_BYTES: usize = 8 << 20;
/// S3 allows 10,000.
const PARTS_MAX: usize = 9_000;
const PARTS_IN_FLIGHT: usize = 4;

impl ObjectBackend {
    /// Objects below `prefix` (without slashes at its ends).
    pub(super) fn new(inner: Arc<dyn ObjectStore>, prefix: &str) -> ObjectBackend {
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        ObjectBackend { inner, prefix }
    }

    fn path(&self, name: &str) -> Result<Path> {
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| {
            Error::internal("make object path")
                .field("object", name)
                .source(error)
        })
    }

    async fn put_parts(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let path = Path::parse(format!("{}{name}", self.prefix))?;
        let part_bytes = PART_BYTES.max(bytes.len().div_ceil(PARTS_MAX));
        let mut upload = self.inner.put_multipart(&path).await?;
        let starts = (0..bytes.len()).step_by(part_bytes);
        let parts: Vec<_> = starts
            .map(|start| {
                let end = bytes.len().min(start + part_bytes);
                upload.put_part(PutPayload::from(bytes.slice(start..end)))
            })
            .collect();
        let uploaded = futures::stream::iter(parts)
            .buffer_unordered(PARTS_IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await;
        let ended = match uploaded {
            Ok(_) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        let Err(error) = ended else {
            return Ok(());
        };
        // Dropping an upload leaks its parts. The right to abort may be missing, and a complete
        // whose answer was lost leaves nothing to abort.
        if let Err(error) = upload.abort().await {
            tracing::debug!(object = name, %error, "parts of a failed upload may stay");
        }
        // A repeated complete may say "not found" after the first one succeeded.
        match self.inner.head(&path).await {
            Ok(meta) if meta.size == bytes.len() as u64 => Ok(()),
            _ => Err(error),
        }
    }
}

#[async_trait]
impl Backend for ObjectBackend {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let put = if bytes.len() > SINGLE_PUT_BYTES_MAX {
            self.put_parts(name, &bytes).await
        } else {
            let path = self.path(name)?;
            self.inner.put(&path, bytes.into()).await.map(drop)
        };
        put.map_err(|error| classify("put object", name, error))
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        let path = self.path(name)?;
        match self.inner.put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            // A 409 of concurrent requests comes as AlreadyExists too, though nothing may be
            // there: the caller looks.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
            Err(error) => Err(classify("create object", name, error)),
        }
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        let path = self.path(name)?;
        let options = GetOptions {
            range: range.clone().map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let got = match self.inner.get_opts(&path, options).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => absent(classify("get object", name, error)),
        }
    }

    async fn head(&self, name: &str) -> Result<Option<u64>> {
        let path = self.path(name)?;
        match self.inner.head(&path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) => absent(classify("head object", name, error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let folder = self.path(prefix)?;
        let folder = (!folder.as_ref().is_empty()).then_some(folder);
        let stream = match after {
            Some(after) => self
                .inner
                .list_with_offset(folder.as_ref(), &self.path(after)?),
            None => self.inner.list(folder.as_ref()),
        };
        let names = stream.filter_map(|meta| {
            let name = meta.map(|meta| {
                let name = meta.location.as_ref().strip_prefix(&self.prefix);
                name.filter(|n| n.starts_with(prefix) && after.is_none_or(|after| *n > after))
                    .map(str::to_owned)
            });
            futures::future::ready(name.transpose())
        });
        let names = lowest(names, limit).await;
        names.map_err(|error| classify("list objects", prefix, error))
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        match self.inner.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error) => absent::<()>(classify("delete object", name, error)).map(drop),
        }
    }

    fn can_seek(&self) -> bool {
        true
    }
}

/// The `limit` lowest names, ascending. As long as they come in order the rest is not asked for;
/// a store whose pages are not in order must be read to its end.
async fn lowest(
    names: impl Stream<Item = Result<String, StoreError>>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut names = std::pin::pin!(names);
    let mut found: Vec<String> = Vec::new();
    let mut is_sorted = true;
    while !is_sorted || found.len() < limit {
        let Some(name) = names.next().await.transpose()? else {
            break;
        };
        is_sorted &= found.last().is_none_or(|last| *last < name);
        found.push(name);
    }
    if !is_sorted {
        found.sort_unstable();
        found.dedup();
        found.truncate(limit);
    }
    Ok(found)
}

/// Field that [`classify`] sets on an absent object.
const ABSENT: &str = "absent";

fn absent<T>(error: Error) -> Result<Option<T>> {
    match error.get(ABSENT) {
        Some(_) => Ok(None),
        None => Err(error),
    }
}

/// Codes of S3 that mean "this will never work as configured", whatever their status.
const CONFIG_CODES: [&str; 9] = [
    "NoSuchBucket",
    "ExpiredToken",
    "InvalidToken",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "PermanentRedirect",
    "IllegalLocationConstraintException",
];

fn classify(what: &'static str, name: &str, error: StoreError) -> Error {
    let text = chain_text(&error);
    let code = CONFIG_CODES.into_iter().find(|code| text.contains(code));
    let base = match &error {
        // Of a list, the answer's status is only in the text.
        _ if is_denied(&text)
            || matches!(
                error,
                StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }
            ) =>
        {
            Error::config(what).hint(
                "the store refused the credentials: check the AWS_* variables or the profile, \
                 the machine's clock, and the rights to get, put and list below the prefix",
            )
        }
        _ if let Some(code) = code => Error::config(what)
            .field("code", code)
            .hint("correct the bucket, region, endpoint or credentials"),
        StoreError::NotFound { .. } => Error::unavailable(what).field(ABSENT, true),
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            Error::incompatible(what)
                .hint("the store cannot do this: use one with conditional puts (If-None-Match)")
        }
        StoreError::InvalidPath { .. } | StoreError::JoinError { .. } => Error::internal(what),
        _ if is_refusal(&text) => Error::incompatible(what)
            .hint("the store refused the request: it may lack a feature this needs"),
        _ => Error::unavailable(what),
    };
    base.field("object", name).source(error)
}

fn is_denied(text: &str) -> bool {
    ["status code: 401", "status code: 403"]
        .iter()
        .any(|status| text.contains(status))
}

/// Answers that no repetition changes: 400 (no cause above) and 501.
fn is_refusal(text: &str) -> bool {
    ["status code: 400", "status code: 501"]
        .iter()
        .any(|status| text.contains(status))
        && !text.contains("RequestTimeout")
}

fn chain_text(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push('\n');
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn generic(text: &str) -> Error {
        let error = StoreError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        };
        classify("get object", "x", error)
    }

    #[test]
    fn refused_is_never_absent_or_an_outage() {
        let denied = StoreError::PermissionDenied {
            path: "x".into(),
            source: "403".into(),
        };
        let error = classify("get object", "x", denied);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(absent::<()>(error).is_err());
        let bucket = StoreError::NotFound {
            path: "x".into(),
            source: "<Code>NoSuchBucket</Code>".into(),
        };
        let error = classify("get object", "x", bucket);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(absent::<()>(error).is_err());
        let gone = StoreError::NotFound {
            path: "x".into(),
            source: "<Code>NoSuchKey</Code>".into(),
        };
        assert_eq!(
            absent::<()>(classify("get object", "x", gone)).expect("absent"),
            None
        );
    }

    #[tokio::test]
    async fn pages_out_of_order_are_read_to_their_end() {
        let lowest_of = async |names: &[&str], limit| {
            let names: Vec<_> = names.iter().map(|n| Ok((*n).to_owned())).collect();
            lowest(futures::stream::iter(names), limit)
                .await
                .expect("names")
        };
        assert_eq!(
            lowest_of(&["b", "d", "a", "c", "a"], 3).await,
            ["a", "b", "c"]
        );
        assert_eq!(lowest_of(&["a", "b", "c"], 2).await, ["a", "b"]);
        assert_eq!(lowest_of(&["b", "a"], 9).await, ["a", "b"]);
    }

    #[test]
    fn only_what_may_heal_is_repeated() {
        let kind = |text| generic(text).kind();
        assert_eq!(kind("status code: 503: SlowDown"), ErrorKind::Unavailable);
        assert_eq!(kind("connection refused"), ErrorKind::Unavailable);
        assert_eq!(kind("status code: 400: ExpiredToken"), ErrorKind::Config);
        assert_eq!(
            kind("status code: 400: RequestTimeout"),
            ErrorKind::Unavailable
        );
        assert_eq!(
            kind("status code: 501: NotImplemented"),
            ErrorKind::Incompatible
        );
    }
}
