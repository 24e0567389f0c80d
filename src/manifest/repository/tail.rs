//! The names of a tail, found from a place in it.

use super::Repository;
use super::search::PAGE;
use crate::error::{Error, Result};
use crate::storage::ObjectName;

impl Repository {
    /// Whether a timeline ever had a tail; one list.
    ///
    /// # Errors
    /// As [`Store::list`](crate::storage::Store::list).
    pub async fn has_tail(&self, timeline: u32) -> Result<bool> {
        let prefix = ObjectName::tail_prefix(timeline);
        Ok(!self.store.list(&prefix, None, 1).await?.is_empty())
    }

    /// The numbers of the tail's objects behind `through`, ascending: listed from there, never the
    /// whole tail where the store can seek.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) for a hole: what was acknowledged may be in it.
    pub async fn tail_after(&self, timeline: u32, through: u64) -> Result<Vec<u64>> {
        let prefix = ObjectName::tail_prefix(timeline);
        let name = |number| ObjectName::Tail { timeline, number }.to_string();
        let (mut numbers, mut last) = (Vec::new(), through);
        loop {
            let after = (last > 0).then(|| name(last));
            let names = self.store.list(&prefix, after.as_deref(), PAGE).await?;
            for found in &names {
                match ObjectName::parse(found)? {
                    ObjectName::Tail { number, .. } if number == last + 1 => last = number,
                    ObjectName::Tail { .. } => {
                        return Err(Error::corrupt("read tail: an object is missing")
                            .field("object", name(last + 1))
                            .field("next", found)
                            .hint(
                                "bring it back from a mirror or a bucket version; without it what \
                                 was acknowledged may be lost",
                            ));
                    }
                    _ => {
                        return Err(Error::corrupt("read name in the tail").field("object", found));
                    }
                }
                numbers.push(last);
            }
            if names.len() < PAGE {
                return Ok(numbers);
            }
        }
    }
}
