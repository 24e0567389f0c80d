//! Canonical rows, their hash, and fingerprints of whole tables.

use super::TablePlan;
use crate::error::{Error, Result};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Name of the row hash, recorded wherever fingerprints are kept.
pub const ROW_HASH: &str = "xxh3-128/1";

/// Turns row images of one table version into canonical rows.
#[derive(Clone, Debug)]
pub struct Canonicalizer {
    plan: Arc<TablePlan>,
}

impl Canonicalizer {
    /// For images of this plan's table version.
    #[must_use]
    pub fn new(plan: Arc<TablePlan>) -> Canonicalizer {
        Canonicalizer { plan }
    }

    /// Appends the canonical row of an image to `out`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when `cells` are not of this image.
    pub fn row(&self, image: &[u8], cells: &[Option<Range<u32>>], out: &mut Vec<u8>) -> Result<()> {
        let _ = (&self.plan, image, cells, out);
        Err(Error::internal("not built yet"))
    }

    /// Hash of the canonical row ("xxh3-128/1").
    ///
    /// # Errors
    /// As [`row`](Self::row).
    pub fn hash(&self, image: &[u8], cells: &[Option<Range<u32>>]) -> Result<u128> {
        let mut row = Vec::new();
        self.row(image, cells, &mut row)?;
        Ok(xxhash_rust::xxh3::xxh3_128(&row))
    }
}

/// Order-free identity of a multiset of rows: the sum of the hashes of their canonical rows
/// modulo 2^128, and their number.
///
/// Printed as `<32 hex digits>-<rows>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Wrapping sum of row hashes.
    pub sum: u128,
    /// Number of rows.
    pub rows: u64,
}

impl Fingerprint {
    /// Adds a row by its hash.
    pub fn add(&mut self, hash: u128) {
        self.sum = self.sum.wrapping_add(hash);
        self.rows = self.rows.wrapping_add(1);
    }

    /// Takes away a row by its hash.
    pub fn remove(&mut self, hash: u128) {
        self.sum = self.sum.wrapping_sub(hash);
        self.rows = self.rows.wrapping_sub(1);
    }

    /// Adds all rows of another set.
    pub fn merge(&mut self, other: &Fingerprint) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows = self.rows.wrapping_add(other.rows);
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.sum, self.rows)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::corrupt("parse fingerprint").field("text", text);
        let (sum, rows) = text.split_once('-').ok_or_else(bad)?;
        if sum.len() != 32 {
            return Err(bad());
        }
        Ok(Fingerprint {
            sum: u128::from_str_radix(sum, 16).map_err(|_| bad())?,
            rows: rows.parse().map_err(|_| bad())?,
        })
    }
}
