//! file://: objects as files of a local or mounted file system, durable when a call returns.
//!
//! A file is written under `name#<digits>`, fsynced, then hard-linked (create) or renamed (put)
//! to its name, and its directory is fsynced, as is the parent of every directory that was
//! made on the way. A crash leaves at most `#` files, which no list shows. After a failed fsync
//! the file is written anew: what the kernel holds of it cannot be trusted.

use super::backend::Backend;
use crate::error::{Error, Result, Wrap};
use crate::runtime::{failpoint, ids};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as Io, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Objects below a directory.
#[derive(Clone, Debug)]
pub(super) struct FileBackend(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Directories whose entry in their parent is known to be durable.
    durable: Mutex<HashSet<PathBuf>>,
}

/// `durable` starts over at this size: every segment has a directory of its own.
const DURABLE_MAX: usize = 4096;

/// Directories nested deeper are no part of a repository (a loop of links).
const DEPTH_MAX: usize = 16;

impl FileBackend {
    /// Objects below `root`, which need not exist yet.
    pub(super) fn new(root: PathBuf) -> FileBackend {
        FileBackend(Arc::new(Shared {
            root,
            durable: Mutex::default(),
        }))
    }

    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &str,
        work: impl FnOnce(&Shared, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.0);
        let path = shared.root.join(name);
        let name = name.to_owned();
        let task = tokio::task::spawn_blocking(move || {
            work(&shared, &path).map_err(|error| classify(what, &name, error))
        });
        task.await.wrap(|| Error::internal("run file operation"))?
    }
}

#[async_trait]
impl Backend for FileBackend {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.run("put object", name, move |shared, path| {
            let temporary = shared.write_temporary(path, &bytes)?;
            fs::rename(&temporary, path).inspect_err(|_| discard(&temporary))?;
            sync_parent(path)
        })
        .await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        self.run("create object", name, move |shared, path| {
            let temporary = shared.write_temporary(path, &bytes)?;
            failpoint::place("file.written");
            let linked = fs::hard_link(&temporary, path);
            failpoint::place("file.linked");
            discard(&temporary);
            match linked {
                Ok(()) => {
                    sync_parent(path)?;
                    failpoint::place("file.synced");
                    Ok(true)
                }
                Err(error) if error.kind() == Io::AlreadyExists => {
                    // Whoever made it may have died before its directory was durable, and its
                    // bytes may turn out to be ours.
                    File::open(path)?.sync_all()?;
                    sync_parent(path).map(|()| false)
                }
                Err(error) => Err(no_hard_links(error)),
            }
        })
        .await
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        self.run("get object", name, move |_, path| {
            let Some(mut file) = absent(File::open(path))? else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            match range {
                None => file.read_to_end(&mut bytes)?,
                Some(range) => {
                    file.seek(SeekFrom::Start(range.start))?;
                    let length = range.end.saturating_sub(range.start);
                    file.take(length).read_to_end(&mut bytes)?
                }
            };
            Ok(Some(bytes.into()))
        })
        .await
    }

    async fn head(&self, name: &str) -> Result<Option<u64>> {
        self.run("head object", name, |_, path| {
            let metadata = absent(fs::metadata(path))?;
            Ok(metadata.filter(fs::Metadata::is_file).map(|m| m.len()))
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let mut walk = Walk {
            after: after.unwrap_or("").to_owned(),
            limit,
            names: Vec::new(),
        };
        let folder = prefix.to_owned();
        self.run("list objects", prefix, move |_, path| {
            walk.folder(path, &folder, 0)?;
            Ok(walk.names)
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.run("delete object", name, |_, path| {
            absent(fs::remove_file(path)).map(drop)
        })
        .await
    }

    fn can_seek(&self) -> bool {
        false
    }
}

impl Shared {
    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let folder = path.parent().ok_or(Io::InvalidInput)?;
        self.make_durable(folder)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!("#{:020}", ids::random_u64()));
        let temporary = PathBuf::from(temporary);
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().inspect_err(|_| discard(&temporary))?;
        Ok(temporary)
    }

    /// Makes a directory with all its parents and their entries durable. One that exists may
    /// be the half-done work of a process that died, so its entry is synced once all the same.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        let known = |path: &Path| self.lock().contains(path);
        let unknown: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !known(path))
            .collect();
        for path in unknown.into_iter().rev() {
            let made = match fs::create_dir(path) {
                Ok(()) => true,
                Err(_) if path.is_dir() => false,
                Err(error) => return Err(error),
            };
            // Above the root only what we made is ours to sync.
            if made || (path.starts_with(&self.root) && path != self.root) {
                sync_parent(path)?;
            }
            let mut durable = self.lock();
            if durable.len() >= DURABLE_MAX {
                durable.clear();
            }
            durable.insert(path.to_owned());
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// File systems say in several ways that they have no hard links. The temporary file was just
/// written, so a missing right to write cannot be meant.
fn no_hard_links(error: io::Error) -> io::Error {
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    const EOPNOTSUPP: i32 = 95;
    match error.raw_os_error() {
        Some(EPERM | ENOSYS | EOPNOTSUPP) => io::Error::new(Io::Unsupported, error),
        _ => error,
    }
}

/// Removes a temporary file; one that stays is never shown and never read.
fn discard(temporary: &Path) {
    if let Err(error) = fs::remove_file(temporary) {
        tracing::debug!(path = %temporary.display(), %error, "temporary file stays");
    }
}

/// `None` for a file that is not there.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists in the order of whole names, so that it can stop at the limit and skip folders.
struct Walk {
    after: String,
    limit: usize,
    names: Vec<String>,
}

impl Walk {
    fn folder(&mut self, path: &Path, prefix: &str, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other("directories nested too deeply"));
        }
        let Some(entries) = absent(fs::read_dir(path))? else {
            return Ok(());
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.contains('#') {
                continue;
            }
            let is_folder = match entry.file_type()? {
                kind if kind.is_symlink() => entry.path().is_dir(),
                kind => kind.is_dir(),
            };
            let slash = if is_folder { "/" } else { "" };
            names.push(format!("{prefix}{name}{slash}"));
        }
        names.sort_unstable();
        for name in names {
            if self.names.len() >= self.limit {
                break;
            }
            if let Some(folder) = name.strip_suffix('/') {
                // All names in it start with `name`: none is after `after` when that is past
                // the folder.
                if name > self.after || self.after.starts_with(&name) {
                    let child = folder.rsplit('/').next().unwrap_or(folder);
                    self.folder(&path.join(child), &name, depth + 1)?;
                }
            } else if name > self.after {
                self.names.push(name);
            }
        }
        Ok(())
    }
}

fn classify(what: &'static str, name: &str, error: io::Error) -> Error {
    let base = match error.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Error::config(what)
            .hint("give this user the right to read and write the repository's directory"),
        Io::Unsupported => Error::incompatible(what)
            .hint("the file system has no hard links: use a local one, or an object store"),
        Io::NotADirectory
        | Io::IsADirectory
        | Io::AlreadyExists
        | Io::InvalidInput
        | Io::InvalidFilename => {
            Error::incompatible(what).hint("something that is no repository is in the way")
        }
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            Error::unavailable(what).hint("free space on the repository's file system")
        }
        _ => Error::unavailable(what),
    };
    base.field("object", name).source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn half_written_files_are_never_shown() {
        let folder = tempfile::tempdir().expect("folder");
        let backend = FileBackend::new(folder.path().join("new/repo"));
        backend
            .put("a/b", Bytes::from_static(b"1"))
            .await
            .expect("put");
        fs::write(folder.path().join("new/repo/a/b#123"), b"half").expect("write");
        fs::write(folder.path().join("new/repo/a/c#9"), b"half").expect("write");
        assert_eq!(backend.list("", None, 10).await.expect("list"), ["a/b"]);
        let inside = fs::read_dir(folder.path().join("new/repo/a")).expect("read");
        assert_eq!(inside.count(), 3, "put leaves nothing behind");
    }

    #[tokio::test]
    async fn a_folder_without_rights_or_in_the_way_is_no_outage() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("a"), b"a file").expect("write");
        let backend = FileBackend::new(folder.path().to_owned());
        let error = backend
            .put("a/b", Bytes::new())
            .await
            .expect_err("in the way");
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
        assert_eq!(backend.get("a/b", None).await.expect("get"), None);
    }
}
