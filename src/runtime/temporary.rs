//! Unnamed temporary files: what does not fit into memory and nobody else reads.

use crate::error::{Error, Result, Wrap};
use std::fs::File;

/// An unnamed file in the temporary folder; it vanishes with its last handle.
///
/// # Errors
/// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the folder does not take it.
pub fn temporary_file() -> Result<File> {
    tempfile::tempfile().wrap(temporary_full)
}

/// The temporary folder does not take what is written.
#[must_use]
pub fn temporary_full() -> Error {
    Error::unavailable("write temporary file")
        .field("folder", std::env::temp_dir().display())
        .hint(
            "make room there, or set TMPDIR to a folder with room: a restore needs it for a \
             table's compressed files, capture for the row images of a transaction",
        )
}
