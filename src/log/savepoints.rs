//! Savepoints of a transaction, and what going back to them undid.
//!
//! In row format both servers log non-transactional rows apart, as a transaction of their own, so
//! that the rows between SAVEPOINT and ROLLBACK TO are all of tables that were rolled back. A
//! server usually cuts them out of its log; MariaDB logs them and ROLLBACK TO once the transaction
//! has written to a non-transactional table.
//!
//! Which SAVEPOINT is meant is in the log but for one thing: RELEASE is not, nor where a stored
//! function begins and ends, in which a name of the caller is another savepoint. Where two
//! savepoints of a name hold rows between them, nobody can tell.

use std::ops::Range;

/// Ranges of changes that one transaction lists: a manifest stays small.
const RANGES_MAX: usize = 1_000;
/// Savepoints of one transaction that are remembered.
const SAVEPOINTS_MAX: usize = 10_000;

/// Why it is not known what was undone.
pub(super) const SET_TWICE: &str = "rows undone by rollback to a savepoint that was set twice";
pub(super) const NOT_SET: &str = "rows undone by rollback to a savepoint that the log does not set";
pub(super) const TOO_MANY: &str = "rows undone by more rollbacks to savepoints than are listed";

/// The savepoints of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Savepoints {
    /// Name, and the ordinal from which on changes were made after it.
    set: Vec<(String, u32)>,
    /// Ordinal after the last change that was not undone.
    end: u32,
    /// Ordinals of undone changes, ascending.
    undone: Vec<Range<u32>>,
    /// There were more than are remembered.
    lost: bool,
}

impl Savepoints {
    /// A change was logged.
    pub(crate) fn change(&mut self, ordinal: u32) {
        self.end = ordinal.saturating_add(1);
    }

    /// SAVEPOINT. One of the same name may be gone by that, or be the caller's.
    pub(crate) fn set(&mut self, name: &str) {
        let same = |(known, at): &(String, u32)| *at == self.end && known == name;
        if self.set.iter().any(same) {
            return;
        }
        match self.set.len() < SAVEPOINTS_MAX {
            true => self.set.push((name.to_owned(), self.end)),
            false => self.lost = true,
        }
    }

    /// ROLLBACK TO.
    ///
    /// # Errors
    /// Why it is not known which changes were undone.
    pub(crate) fn back_to(&mut self, name: &str) -> Result<(), &'static str> {
        if self.lost {
            return Err(TOO_MANY);
        }
        let named = |(_, (known, _)): &(usize, &(String, u32))| may_be_same(known, name);
        let mut meant = self.set.iter().enumerate().filter(named);
        let Some((first, &(_, from))) = meant.next() else {
            return Err(NOT_SET);
        };
        let mut last = first;
        for (index, (_, at)) in meant {
            if *at != from {
                return Err(SET_TWICE);
            }
            last = index;
        }
        self.set.truncate(last + 1);
        if from < self.end {
            self.undone.retain(|range| range.start < from);
            if self.undone.len() == RANGES_MAX {
                return Err(TOO_MANY);
            }
            self.undone.push(from..self.end);
            self.end = from;
        }
        Ok(())
    }

    /// Ordinals of the changes that were undone, ascending.
    pub(crate) fn undone(self) -> Vec<Range<u32>> {
        self.undone
    }
}

/// Whether two names may be of one savepoint: the servers compare them without case and accents.
fn may_be_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim_end_matches(' '), b.trim_end_matches(' '));
    let alike = |(a, b): (char, char)| match a.is_ascii() && b.is_ascii() {
        true => a.eq_ignore_ascii_case(&b),
        false => true,
    };
    a.chars().count() == b.chars().count() && a.chars().zip(b.chars()).all(alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs steps: a number is a change of that ordinal, `+s` sets and `-s` goes back.
    fn run(steps: &[&str]) -> Result<Vec<Range<u32>>, &'static str> {
        let mut savepoints = Savepoints::default();
        for step in steps {
            match step.split_at(1) {
                ("+", name) => savepoints.set(name),
                ("-", name) => savepoints.back_to(name)?,
                _ => savepoints.change(step.parse().expect("an ordinal")),
            }
        }
        Ok(savepoints.undone())
    }

    #[test]
    fn what_lies_between_is_undone() {
        let undone = |steps: &[&str]| -> Vec<(u32, u32)> {
            let ranges = run(steps).expect("known");
            ranges
                .iter()
                .map(|range| (range.start, range.end))
                .collect()
        };
        assert_eq!(undone(&["0", "+a", "2", "3", "-a", "5"]), [(1, 4)]);
        assert_eq!(undone(&["+A", "1", "+b", "3", "-b", "5", "-a"]), [(0, 6)]);
        assert_eq!(undone(&["+a", "1", "-a", "3", "-a", "5"]), [(0, 4)]);
        assert_eq!(undone(&["0", "+a", "2", "+b", "4", "-b", "6"]), [(3, 5)]);
        assert!(undone(&["0", "+a", "-a", "3"]).is_empty());
        // Set again with nothing between.
        assert_eq!(undone(&["+a", "1", "-a", "+a", "4", "-a", "6"]), [(0, 5)]);
        assert_eq!(undone(&["0", "+\u{e9}", "2", "-\u{c9}", "5"]), [(1, 3)]);
    }

    #[test]
    fn what_may_be_either_of_two_is_not_known() {
        assert_eq!(run(&["+a", "1", "+a", "3", "-a"]), Err(SET_TWICE));
        assert_eq!(run(&["+\u{e9}", "1", "+e", "3", "-e"]), Err(SET_TWICE));
        assert_eq!(run(&["+a", "1", "-b"]), Err(NOT_SET));
        assert_eq!(run(&["+a", "+b", "2", "-a", "4", "-b"]), Err(NOT_SET));
        let many: Vec<String> = (0..=RANGES_MAX as u32)
            .flat_map(|n| {
                [
                    format!("{}", 2 * n),
                    format!("+s{n}"),
                    format!("{}", 2 * n + 1),
                    format!("-s{n}"),
                ]
            })
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(run(&many), Err(TOO_MANY));
    }
}
