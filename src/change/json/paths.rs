//! Documents read by SELECT whose values are all at paths that are known.
//!
//! As [`json_types_expr`](super::json_types_expr), for much less work of the server: instead of
//! walking every document it looks up the types at the paths that a few documents had. A document
//! with a value elsewhere cannot be read that way, and says so.

use super::direct::{Types, append_typed};
use super::encode;
use super::number::double_of_token;
use super::parse::parse;
use super::typed::{Keep, Kept, mismatch, scalar};
use super::{JsonObject, JsonTree};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Paths at most: each is looked up in every row.
const PATHS_MAX: usize = 64;
/// Paths for each value of a document, at most, about: beyond it, walking is cheaper.
const PATHS_PER_VALUE: usize = 4;

/// The paths of all values of some documents.
#[derive(Clone, Debug, Default)]
pub struct JsonPaths {
    /// In the order in which they were found; what a path is found by is its place.
    paths: Vec<String>,
    root: Shape,
    documents: usize,
    values: usize,
}

/// What is known below a path.
#[derive(Clone, Debug, Default)]
struct Shape {
    members: BTreeMap<String, (usize, Shape)>,
    elements: Vec<(usize, Shape)>,
}

/// Why a document could not be read.
enum Miss {
    /// It has a value at another path.
    Unknown,
    Bad(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Miss {
        Miss::Bad(error)
    }
}

impl JsonPaths {
    /// Takes up the paths of a document, given as its text; `false` when there are too many of
    /// them, or some that this does not write.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no JSON.
    pub fn learn(&mut self, text: &str) -> Result<bool> {
        let node = parse(text, &mut Keep)?;
        self.documents += 1;
        let mut root = std::mem::take(&mut self.root);
        let known = self.add(&node, "$", &mut root);
        self.root = root;
        Ok(known)
    }

    fn add(&mut self, node: &Kept<'_>, path: &str, shape: &mut Shape) -> bool {
        match node {
            Kept::Object(members) => members.iter().all(|(key, child)| {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if key.is_empty() || !key.chars().all(is_plain) {
                    return false;
                }
                let path = format!("{path}.\"{key}\"");
                let entry = shape.members.entry(key.clone());
                let (_, below) = entry.or_insert_with(|| (self.found(&path), Shape::default()));
                self.add_value(child, &path, below)
            }),
            Kept::Array(elements) => elements.iter().enumerate().all(|(index, child)| {
                let path = format!("{path}[{index}]");
                if shape.elements.len() <= index {
                    shape.elements.push((self.found(&path), Shape::default()));
                }
                let below = shape.elements.get_mut(index);
                below.is_some_and(|(_, below)| self.add_value(child, &path, below))
            }),
            _ => true,
        }
    }

    fn add_value(&mut self, node: &Kept<'_>, path: &str, shape: &mut Shape) -> bool {
        self.values += 1;
        self.paths.len() <= PATHS_MAX && self.add(node, path, shape)
    }

    fn found(&mut self, path: &str) -> usize {
        self.paths.push(path.to_owned());
        self.paths.len() - 1
    }

    /// Whether looking them all up is less work than walking a document like those seen.
    #[must_use]
    pub fn pay(&self) -> bool {
        self.documents > 0
            && self.paths.len() * self.documents <= PATHS_PER_VALUE * (self.values + self.documents)
    }

    /// The SELECT expression for the types of a JSON column of MySQL at these paths; `column` is
    /// quoted (and qualified where needed) already.
    #[must_use]
    pub fn types_expr(&self, column: &str) -> String {
        let mut all = format!("CONCAT_WS(',', JSON_TYPE({column})");
        for path in &self.paths {
            all.push_str(&format!(
                ", IFNULL(JSON_TYPE(JSON_EXTRACT({column}, '{path}')), '')"
            ));
        }
        all.push(')');
        all
    }

    /// Appends the image of a document from its text and the value of [`types_expr`](Self::types_expr)
    /// for the same row; `None`, and nothing appended, when it has a value at another path.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the two do not belong together, or when a
    /// value has a type this version does not know.
    pub fn append_image(&self, text: &str, types: &str, out: &mut Vec<u8>) -> Result<Option<()>> {
        let mut names = types.split(',');
        let root = names.next().unwrap_or_default();
        let names: Vec<&str> = names.collect();
        if names.len() != self.paths.len() {
            return Err(mismatch("another number of types than paths"));
        }
        let known = Known {
            root: (root, &self.root),
            names: &names,
        };
        if append_typed(text, &known, out).is_some() {
            return Ok(Some(()));
        }
        let Some(tree) = Self::tree(text, &known)? else {
            return Ok(None);
        };
        out.extend_from_slice(&encode(&tree)?);
        Ok(Some(()))
    }

    fn tree(text: &str, known: &Known<'_>) -> Result<Option<JsonTree>> {
        let node = parse(text, &mut Keep)?;
        match resolve(node, known.root, known) {
            Ok(tree) => Ok(Some(tree)),
            Err(Miss::Unknown) => Ok(None),
            Err(Miss::Bad(error)) => Err(error),
        }
    }
}

/// The types that the server named.
struct Known<'a> {
    /// Of the document, and what is known below.
    root: (&'a str, &'a Shape),
    /// By the place of their path.
    names: &'a [&'a str],
}

impl<'a> Known<'a> {
    fn at<'s>(&self, known: Option<&'s (usize, Shape)>) -> Option<(&'a str, &'s Shape)> {
        let (place, shape) = known?;
        Some((self.names.get(*place).copied()?, shape))
    }
}

impl<'a> Types for Known<'a> {
    type Place = (&'a str, &'a Shape);

    fn root(&self) -> Self::Place {
        self.root
    }

    fn member(&self, (_, shape): Self::Place, key: &str) -> Option<Self::Place> {
        self.at(shape.members.get(key))
    }

    fn element(&self, (_, shape): Self::Place, index: usize) -> Option<Self::Place> {
        self.at(shape.elements.get(index))
    }

    fn is(&self, (found, _): Self::Place, name: &'static str) -> bool {
        found == name
    }

    fn number(&self, (name, _): Self::Place, token: &str) -> Option<JsonTree> {
        let is_whole = !token.contains(['.', 'e']);
        match name {
            "INTEGER" if is_whole => token.parse().ok().map(JsonTree::Int),
            "UNSIGNED INTEGER" if is_whole => token.parse().ok().map(JsonTree::Uint),
            "DOUBLE" if !is_whole => double_of_token(token).ok().map(JsonTree::Double),
            _ => None,
        }
    }
}

fn resolve(
    node: Kept<'_>,
    (name, shape): (&str, &Shape),
    known: &Known<'_>,
) -> std::result::Result<JsonTree, Miss> {
    let below = |child: Kept<'_>, found: Option<&(usize, Shape)>| {
        resolve(child, known.at(found).ok_or(Miss::Unknown)?, known)
    };
    match node {
        Kept::Array(elements) if name == "ARRAY" => {
            let children = elements.into_iter().enumerate();
            let children = children.map(|(index, child)| below(child, shape.elements.get(index)));
            Ok(JsonTree::Array(
                children.collect::<std::result::Result<_, _>>()?,
            ))
        }
        Kept::Object(members) if name == "OBJECT" => {
            let members = members.into_iter().map(|(key, child)| {
                let child = below(child, shape.members.get(&key))?;
                Ok::<_, Miss>((key, child))
            });
            let members = members.collect::<std::result::Result<_, _>>()?;
            Ok(JsonTree::Object(JsonObject::from_members(members)))
        }
        node => {
            let is_shown = shown(&node) == Some(name);
            Ok(scalar(node, (!is_shown).then_some(name))?)
        }
    }
}

/// The type that the text of a value shows.
fn shown(node: &Kept<'_>) -> Option<&'static str> {
    match node {
        Kept::Literal(None) => Some("NULL"),
        Kept::Literal(Some(_)) => Some("BOOLEAN"),
        Kept::Number(token) if token.contains(['.', 'e']) => Some("DOUBLE"),
        Kept::Number(_) => Some("INTEGER"),
        Kept::String(_) => Some("STRING"),
        Kept::Array(_) | Kept::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::json::decode;

    fn learnt(texts: &[&str]) -> JsonPaths {
        let mut paths = JsonPaths::default();
        for text in texts {
            assert!(paths.learn(text).expect("json"), "{text}");
        }
        paths
    }

    fn tree(paths: &JsonPaths, text: &str, types: &str) -> Result<Option<JsonTree>> {
        let mut image = Vec::new();
        let appended = paths.append_image(text, types, &mut image)?;
        assert!(appended.is_some() || image.is_empty(), "{text}");
        Ok(appended.map(|()| decode(&image).expect(text)))
    }

    #[test]
    fn types_are_found_by_path() {
        let paths = learnt(&[r#"{"a": 1, "b": [1, {"c": "x"}]}"#, r#"{"d": null}"#]);
        let expr = paths.types_expr("`j`");
        assert!(
            expr.starts_with("CONCAT_WS(',', JSON_TYPE(`j`), IFNULL("),
            "{expr}"
        );
        let wanted = [
            r#"$."a""#,
            r#"$."b""#,
            r#"$."b"[0]"#,
            r#"$."b"[1]"#,
            r#"$."b"[1]."c""#,
        ];
        let mut at = 0;
        for path in wanted {
            let quoted = format!("'{path}'");
            at += expr[at..].find(&quoted).expect(path);
        }
        let types = "OBJECT,UNSIGNED INTEGER,ARRAY,DECIMAL,OBJECT,DATE,";
        let text = r#"{"a": 7, "b": [1.5, {"c": "2026-11-20"}]}"#;
        let tree = tree(&paths, text, types).expect("joined").expect("known");
        let JsonTree::Object(object) = &tree else {
            panic!("{tree:?}")
        };
        let members: Vec<&JsonTree> = object.members().iter().map(|(_, tree)| tree).collect();
        assert!(matches!(members[0], JsonTree::Uint(7)), "{tree:?}");
        let JsonTree::Array(elements) = members[1] else {
            panic!("{tree:?}")
        };
        assert!(matches!(elements[0], JsonTree::Decimal(_)), "{tree:?}");
        let JsonTree::Object(inner) = &elements[1] else {
            panic!("{tree:?}")
        };
        assert!(
            inner
                .members()
                .iter()
                .all(|(_, t)| matches!(t, JsonTree::Temporal(_)))
        );
    }

    /// Types that the text shows are written without a tree, and the image is the same.
    #[test]
    fn both_ways_give_the_same_image() {
        let paths = learnt(&[r#"{"a": 1, "b": [1, {"c": "x"}]}"#]);
        for (text, types, is_direct) in [
            (
                r#"{"a": 7, "b": [1.5, {"c": "größe"}]}"#,
                "OBJECT,INTEGER,ARRAY,DOUBLE,OBJECT,STRING",
                true,
            ),
            (
                r#"{"a": 70000, "b": [null, {"c": true}]}"#,
                "OBJECT,UNSIGNED INTEGER,ARRAY,NULL,OBJECT,BOOLEAN",
                true,
            ),
            (
                r#"{"a": 7, "b": [1.5, {}]}"#,
                "OBJECT,INTEGER,ARRAY,DECIMAL,OBJECT,",
                false,
            ),
            (
                r#"{"a": 7, "b": ["2026-11-20"]}"#,
                "OBJECT,INTEGER,ARRAY,DATE,,",
                false,
            ),
        ] {
            let mut names = types.split(',');
            let root = names.next().unwrap_or_default();
            let names: Vec<&str> = names.collect();
            let known = Known {
                root: (root, &paths.root),
                names: &names,
            };
            let by_tree = JsonPaths::tree(text, &known).expect(text).expect(text);
            let by_tree = encode(&by_tree).expect(text);
            let mut image = Vec::new();
            let direct = append_typed(text, &known, &mut image);
            assert_eq!(direct.is_some(), is_direct, "{text}");
            assert!(direct.is_none() || image == by_tree, "{text}");
            image.clear();
            let appended = paths.append_image(text, types, &mut image);
            assert_eq!(appended.expect(text), Some(()), "{text}");
            assert_eq!(image, by_tree, "{text}");
        }
    }

    #[test]
    fn a_value_elsewhere_is_not_read() {
        let paths = learnt(&[r#"{"a": 1}"#, "[1]"]);
        for (text, types) in [
            (r#"{"b": 1}"#, "OBJECT,,"),
            (r#"{"a": {"b": 1}}"#, "OBJECT,OBJECT,"),
            ("[1, 2]", "ARRAY,,INTEGER"),
            (r#"[{"a": 1}]"#, "ARRAY,,OBJECT"),
        ] {
            assert!(tree(&paths, text, types).expect(text).is_none(), "{text}");
        }
        for (text, types) in [
            ("5", "INTEGER,,INTEGER"),
            ("{}", "OBJECT,,"),
            ("[]", "ARRAY,,"),
        ] {
            assert!(tree(&paths, text, types).expect(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let paths = learnt(&[r#"{"a": 1}"#]);
        for (text, types) in [
            (r#"{"a": 1}"#, "OBJECT,"),
            (r#"{"a": 1}"#, "OBJECT"),
            (r#"{"a": 1}"#, "OBJECT,STRING"),
            (r#"{"a": 1}"#, "OBJECT,DOUBLE"),
            (r#"{"a": 1.0}"#, "OBJECT,INTEGER"),
            (r#"{"a": {}}"#, "OBJECT,INTEGER"),
            (r#"{"a": 1}"#, "ARRAY,INTEGER"),
            (r#"{"a": true}"#, "OBJECT,NULL"),
        ] {
            assert!(tree(&paths, text, types).is_err(), "{text} {types}");
        }
    }

    #[test]
    fn few_paths_pay_and_many_do_not() {
        assert!(!JsonPaths::default().pay());
        assert!(learnt(&["1", "{}"]).pay());
        assert!(learnt(&[r#"{"a": 1, "b": 2}"#]).pay());
        let apart: Vec<String> = (0..40).map(|n| format!("{{\"k{n}\": 1}}")).collect();
        let apart: Vec<&str> = apart.iter().map(String::as_str).collect();
        assert!(!learnt(&apart).pay());
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let many = format!("[{}]", many.join(","));
        assert!(!JsonPaths::default().learn(&many).expect("json"));
        for odd in [
            r#"{"a b": 1}"#,
            r#"{"": 1}"#,
            r#"{"a": {"é": 1}}"#,
            r#"{"a\"": 1}"#,
        ] {
            assert!(!JsonPaths::default().learn(odd).expect("json"), "{odd}");
        }
    }
}
