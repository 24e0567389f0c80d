//! What a table holds, as order-free sums over its rows: one over all cells that are stored and,
//! where a server computes some of these, one over the others.
//!
//! The second tells a cell that a server computed anew from one that is wrong.

use crate::error::{Error, Result};
use crate::schema::Generated;
use crate::segment::{CanonicalRow, Canonicalizer, Fingerprint, TablePlan};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Sums over the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Of all stored cells; of the given ones alone where rows lack others.
    pub(super) all: Fingerprint,
    /// Of the given cells, where `all` has cells that are computed.
    pub(super) given: Option<Fingerprint>,
}

/// How two sums agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// In all.
    Equal,
    /// In the given cells, and not in those that are computed.
    Given,
    /// The rows are other ones.
    Different,
}

/// Hashes of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowHash {
    all: u128,
    given: Option<u128>,
}

impl Sums {
    /// Adds a row.
    pub(super) fn add(&mut self, row: RowHash) {
        self.change(row, Fingerprint::add);
    }

    /// Takes a row away.
    pub(super) fn remove(&mut self, row: RowHash) {
        self.change(row, Fingerprint::remove);
    }

    /// Adds the rows of another sum of the same table.
    pub(super) fn merge(&mut self, other: &Sums) {
        self.all.merge(&other.all);
        self.given = self.given.zip(other.given).map(|(mut given, other)| {
            given.merge(&other);
            given
        });
    }

    fn change(&mut self, row: RowHash, change: fn(&mut Fingerprint, u128)) {
        change(&mut self.all, row.all);
        self.given = self.given.zip(row.given).map(|(mut given, hash)| {
            change(&mut given, hash);
            given
        });
    }

    /// How these rows are like others.
    pub(super) fn like(&self, other: &Sums) -> Likeness {
        if self.all == other.all {
            return Likeness::Equal;
        }
        match self.given.zip(other.given) {
            Some((a, b)) if a == b => Likeness::Given,
            _ => Likeness::Different,
        }
    }

    /// Of the given cells, where they are told apart; else of all.
    pub(super) fn given_alone(&self) -> Sums {
        Sums {
            all: self.given.unwrap_or(self.all),
            given: None,
        }
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.given {
            None => write!(f, "{}", self.all),
            Some(given) => write!(f, "{} {given}", self.all),
        }
    }
}

impl std::str::FromStr for Sums {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (all, given) = match text.split_once(' ') {
            None => (text, None),
            Some((all, given)) => (all, Some(given)),
        };
        Ok(Sums {
            all: all.parse()?,
            given: given.map(str::parse).transpose()?,
        })
    }
}

/// Hashes the rows of one table version.
#[derive(Clone, Debug)]
pub(super) struct Summing {
    all: Canonicalizer,
    given: Option<Canonicalizer>,
}

impl Summing {
    /// Of the stored cells of images of this plan, or of the given ones alone.
    pub(super) fn new(plan: Arc<TablePlan>, only_given: bool) -> Summing {
        if only_given {
            return Summing {
                all: Canonicalizer::of_given(plan),
                given: None,
            };
        }
        let mut columns = plan.version().columns.iter();
        let computes = columns.any(|column| column.generated == Some(Generated::Stored));
        Summing {
            given: computes.then(|| Canonicalizer::of_given(Arc::clone(&plan))),
            all: Canonicalizer::of_stored(plan),
        }
    }

    /// How the images are read.
    pub(super) fn plan(&self) -> &Arc<TablePlan> {
        self.all.plan()
    }

    /// The sums of no row.
    pub(super) fn start(&self) -> Sums {
        Sums {
            all: Fingerprint::default(),
            given: self.given.as_ref().map(|_| Fingerprint::default()),
        }
    }

    /// Hashes of a row.
    ///
    /// # Errors
    /// As [`Canonicalizer::hash`].
    pub(super) fn hash(
        &self,
        image: &[u8],
        cells: &[Option<Range<u32>>],
        row: &mut CanonicalRow,
    ) -> Result<RowHash> {
        let all = self.all.hash(image, cells, row)?;
        let given = self.given.as_ref();
        let given = given.map(|given| given.hash(image, cells, row));
        Ok(RowHash {
            all,
            given: given.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(all: u128, given: Option<u128>) -> RowHash {
        RowHash { all, given }
    }

    fn sums(rows: &[RowHash], given: bool) -> Sums {
        let mut sums = Sums {
            given: given.then(Fingerprint::default),
            ..Sums::default()
        };
        rows.iter().for_each(|row| sums.add(*row));
        sums
    }

    #[test]
    fn only_computed_cells_may_differ() {
        let logged = sums(&[row(1, Some(10)), row(2, Some(20))], true);
        let computed = sums(&[row(1, Some(10)), row(3, Some(20))], true);
        let wrong = sums(&[row(1, Some(10)), row(3, Some(21))], true);
        let fewer = sums(&[row(3, Some(30))], true);
        assert_eq!(logged.like(&logged), Likeness::Equal);
        assert_eq!(logged.like(&computed), Likeness::Given);
        assert_eq!(computed.given_alone(), logged.given_alone());
        // One row of the same sum is not two.
        for other in [wrong, fewer, Sums::default()] {
            assert_eq!(logged.like(&other), Likeness::Different);
        }
    }

    #[test]
    fn tables_without_computed_cells_are_equal_or_not() {
        let (a, b) = (sums(&[row(1, None)], false), sums(&[row(2, None)], false));
        assert_eq!(a.like(&a), Likeness::Equal);
        assert_eq!(a.like(&b), Likeness::Different);
        assert_eq!(a.given_alone(), a);
        // What was not counted from the start is not known.
        let mut unknown = sums(&[], false);
        unknown.add(row(1, Some(1)));
        assert_eq!(unknown.given, None);
    }

    #[test]
    fn parts_make_the_whole() {
        let all = [row(1, Some(10)), row(2, Some(20)), row(u128::MAX, Some(5))];
        for given in [true, false] {
            let mut merged = sums(&all[..1], given);
            merged.merge(&sums(&all[1..], given));
            assert_eq!(merged, sums(&all, given));
        }
    }

    #[test]
    fn their_text_is_read_back() {
        let mut both = sums(&[row(u128::MAX, Some(7)), row(5, Some(6))], true);
        both.remove(row(5, Some(6)));
        for sums in [both, sums(&[row(4, None)], false), Sums::default()] {
            let text = sums.to_string();
            assert_eq!(text.parse::<Sums>().expect("own text"), sums, "{text}");
        }
        for bad in ["", " ", "4-2", "00000000000000000000000000000004-2 x"] {
            assert!(bad.parse::<Sums>().is_err(), "{bad}");
        }
    }
}
