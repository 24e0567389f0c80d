//! The memcomparable key encoding: bytes that order as the typed key does.

use super::{BatchView, TablePlan};
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// Encodes row identities so that comparing bytes compares keys.
#[derive(Clone, Debug)]
pub struct KeyCodec {
    plan: Arc<TablePlan>,
}

impl KeyCodec {
    /// The codec of the plan's table version.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>) -> KeyCodec {
        KeyCodec { plan }
    }

    /// Whether the table has no key: the key is then the hash of the canonical row, and equal
    /// keys mean equal rows, of which there may be many.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.plan.version().key.is_empty()
    }

    /// Appends the key of a row image to `out`; `cells` as given by
    /// [`ImageLayout::split`](crate::change::ImageLayout::split). Returns whether every part is
    /// a typed value or NULL (sorting by these keys is then sorting by the typed columns);
    /// always `false` for a table without a key.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `cells` are not of this image.
    pub fn encode_image(
        &self,
        image: &[u8],
        cells: &[Option<Range<u32>>],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let _ = (image, cells, out);
        Err(Error::internal("not built yet"))
    }

    /// Appends the key of a row of a batch to `out`: the same bytes as
    /// [`encode_image`](Self::encode_image) of its image. Needs the key columns and `__raw` in
    /// the batch; without a key, all columns.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when a column is absent or malformed.
    pub fn encode_batch(
        &self,
        view: &BatchView<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let _ = (view, row, out);
        Err(Error::internal("not built yet"))
    }
}
