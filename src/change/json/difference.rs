//! Differences of documents, as `binlog_row_value_options=PARTIAL_JSON` logs them in place of the
//! document: operations on paths, each on the outcome of the one before.
//!
//! Paths and their meaning: mysql-server `sql-common/json_path.cc` (`Json_path::to_string`) and
//! `apply_json_diffs()` in `sql/json_diff.cc`.

use super::{JsonTree, from_text};
use crate::error::{Error, Result};

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// The value at a path that exists becomes another.
    Replace(JsonTree),
    /// A new member, or a new element before the one at the path.
    Insert(JsonTree),
    /// The value at a path that exists goes.
    Remove,
}

/// Applies a difference at `path`.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the path is none or does not fit the
/// document; the document may then be half changed.
pub fn apply_difference(tree: &mut JsonTree, path: &str, difference: Difference) -> Result<()> {
    let refuse = || Error::corrupt("apply difference of json document").field("path", path);
    let legs = legs(path).ok_or_else(refuse)?;
    let Some((last, parents)) = legs.split_last() else {
        return match difference {
            Difference::Replace(value) => {
                *tree = value;
                Ok(())
            }
            _ => Err(refuse()),
        };
    };
    let parent = parents.iter().try_fold(tree, |tree, leg| child(tree, leg));
    let parent = parent.ok_or_else(refuse)?;
    let done = match difference {
        Difference::Replace(value) => child(parent, last).map(|place| *place = value),
        Difference::Insert(value) => insert(parent, last, value),
        Difference::Remove => remove(parent, last),
    };
    done.ok_or_else(refuse)
}

/// One step of a path.
enum Leg {
    Member(String),
    /// An index, from the end where that is said.
    Cell(usize, bool),
}

impl Leg {
    /// The index of an element that exists.
    fn index(&self, length: usize) -> Option<usize> {
        match *self {
            Leg::Cell(index, from_end) if index < length => Some(match from_end {
                true => length - 1 - index,
                false => index,
            }),
            _ => None,
        }
    }
}

fn legs(path: &str) -> Option<Vec<Leg>> {
    let mut rest = path.strip_prefix('$')?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        let (leg, tail) = match rest.strip_prefix('.') {
            Some(name) => member(name)?,
            None => cell(rest.strip_prefix('[')?)?,
        };
        legs.push(leg);
        rest = tail;
    }
    Some(legs)
}

/// A name, quoted as JSON where it is no plain word.
fn member(rest: &str) -> Option<(Leg, &str)> {
    if !rest.starts_with('"') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at_checked(end)?;
        return (!name.is_empty()).then(|| (Leg::Member(name.to_owned()), tail));
    }
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find_map(|(at, c)| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end.then_some(at + 1)
    });
    let (quoted, tail) = rest.split_at_checked(end?)?;
    match from_text(quoted).ok()? {
        JsonTree::String(name) => Some((Leg::Member(name), tail)),
        _ => None,
    }
}

fn cell(rest: &str) -> Option<(Leg, &str)> {
    let (text, tail) = rest.split_once(']')?;
    let leg = match text.strip_prefix("last") {
        Some("") => Leg::Cell(0, true),
        Some(before) => Leg::Cell(before.strip_prefix('-')?.parse().ok()?, true),
        None => Leg::Cell(text.parse().ok()?, false),
    };
    Some((leg, tail))
}

/// The value one step below; what is no array is its own only element.
fn child<'t>(tree: &'t mut JsonTree, leg: &Leg) -> Option<&'t mut JsonTree> {
    match (tree, leg) {
        (JsonTree::Object(object), Leg::Member(name)) => object.get_mut(name),
        (JsonTree::Array(elements), Leg::Cell(..)) => {
            let index = leg.index(elements.len())?;
            elements.get_mut(index)
        }
        (tree, Leg::Cell(0, _)) => Some(tree),
        _ => None,
    }
}

fn insert(parent: &mut JsonTree, leg: &Leg, value: JsonTree) -> Option<()> {
    match (parent, leg) {
        (JsonTree::Object(object), Leg::Member(name)) => object.insert(name, value),
        (JsonTree::Array(elements), Leg::Cell(_, from_end)) => {
            // Before the first or behind the last when there is no such element.
            let outside = if *from_end { 0 } else { elements.len() };
            let index = leg.index(elements.len()).unwrap_or(outside);
            elements.insert(index, value);
            Some(())
        }
        _ => None,
    }
}

fn remove(parent: &mut JsonTree, leg: &Leg) -> Option<()> {
    match (parent, leg) {
        (JsonTree::Object(object), Leg::Member(name)) => object.remove(name).map(drop),
        (JsonTree::Array(elements), Leg::Cell(..)) => {
            let index = leg.index(elements.len())?;
            elements.remove(index);
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::json::to_text;

    fn applied(text: &str, path: &str, difference: Difference) -> Option<String> {
        let mut tree = from_text(text).expect("a document");
        apply_difference(&mut tree, path, difference).ok()?;
        Some(to_text(&tree))
    }

    #[test]
    fn operations_are_the_servers() {
        use Difference::{Insert, Remove, Replace};
        let one = || JsonTree::Int(1);
        let document = r#"{"a": [10, 20], "b c": {"x": 0}}"#;
        for (path, difference, wanted) in [
            ("$", Replace(one()), Some("1")),
            (
                "$.a[1]",
                Replace(one()),
                Some(r#"{"a": [10, 1], "b c": {"x": 0}}"#),
            ),
            (
                "$.a[last-1]",
                Replace(one()),
                Some(r#"{"a": [1, 20], "b c": {"x": 0}}"#),
            ),
            (
                "$.\"b c\"[0].x",
                Replace(one()),
                Some(r#"{"a": [10, 20], "b c": {"x": 1}}"#),
            ),
            (
                "$.a[1]",
                Insert(one()),
                Some(r#"{"a": [10, 1, 20], "b c": {"x": 0}}"#),
            ),
            (
                "$.a[9]",
                Insert(one()),
                Some(r#"{"a": [10, 20, 1], "b c": {"x": 0}}"#),
            ),
            (
                "$.a[last-9]",
                Insert(one()),
                Some(r#"{"a": [1, 10, 20], "b c": {"x": 0}}"#),
            ),
            (
                "$.z",
                Insert(one()),
                Some(r#"{"a": [10, 20], "z": 1, "b c": {"x": 0}}"#),
            ),
            ("$.\"b c\"", Remove, Some(r#"{"a": [10, 20]}"#)),
            ("$.a[last]", Remove, Some(r#"{"a": [10], "b c": {"x": 0}}"#)),
            ("$", Remove, None),
            ("$", Insert(one()), None),
            ("$.z", Replace(one()), None),
            ("$.a", Insert(one()), None),
            ("$.a[2]", Remove, None),
            ("$.a.b", Insert(one()), None),
            ("$.a[", Remove, None),
            ("$.\"b", Remove, None),
            ("$..a", Remove, None),
            ("", Remove, None),
            ("$[-1]", Remove, None),
        ] {
            let found = applied(document, path, difference.clone());
            assert_eq!(found.as_deref(), wanted, "{path} {difference:?}");
        }
    }
}
