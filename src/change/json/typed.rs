//! Documents read by SELECT: their text, and the types that the text does not show.
//!
//! The server prints UNSIGNED INTEGER like INTEGER, DECIMAL like DOUBLE and everything temporal
//! or opaque like a string. [`json_types_expr`] is a SELECT expression that lists, next to the
//! text, the type of every value that is not what its text looks like;
//! [`from_text_with_types`] joins the two into the tree of the binlog image.
//!
//! The list is one JSON array `[root, members, elements]`: the type of the document, and two
//! objects `{"ordinal": "TYPE"}` for the hits of the paths `$**.*` (members of all objects) and
//! `$**[*]` (elements of all arrays). The server visits containers in preorder, parents before
//! their children, and lists all values of a container together. The ordinal travels with each
//! type, so the order in which an aggregate function sees them does not matter.

use super::number::double_of_token;
use super::parse::{Build, parse};
use super::{JsonDecimal, JsonObject, JsonTemporal, JsonTree, TemporalKind, from_text};
use crate::error::{Error, Result, Wrap};
use base64::Engine;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Types that the text of a value shows already: the list leaves them out.
const SHOWN: &str = "'OBJECT','ARRAY','STRING','INTEGER','DOUBLE','BOOLEAN','NULL'";

/// The SELECT expression for the type list of a JSON column of MySQL; `column` is quoted (and
/// qualified where needed) already. NULL columns give NULL.
#[must_use]
pub fn json_types_expr(column: &str) -> String {
    let listed = |path: &str| {
        format!(
            "(SELECT JSON_OBJECTAGG(x.i, JSON_TYPE(x.v)) FROM JSON_TABLE({column}, '{path}' \
             COLUMNS (i FOR ORDINALITY, v JSON PATH '$')) AS x \
             WHERE JSON_TYPE(x.v) NOT IN ({SHOWN}))"
        )
    };
    let (members, elements) = (listed("$**.*"), listed("$**[*]"));
    format!(
        "IF({column} IS NULL, NULL, IF(JSON_TYPE({column}) IN ('OBJECT','ARRAY'), \
         JSON_ARRAY(JSON_TYPE({column}), {members}, {elements}), \
         JSON_ARRAY(JSON_TYPE({column}), NULL, NULL)))"
    )
}

/// Rebuilds the tree of a document from the text a SELECT gave and the value of
/// [`json_types_expr`] for the same row.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when either is no JSON, when they do not belong
/// together, or when a value has a type this version does not know.
pub fn from_text_with_types(text: &str, types: &str) -> Result<JsonTree> {
    let root = parse(text, &mut Keep)?;
    let list = from_text(types).wrap(|| mismatch("type list is no json"))?;
    let JsonTree::Array(list) = list else {
        return Err(mismatch("type list is no array"));
    };
    let [root_type, members, elements] = list.as_slice() else {
        return Err(mismatch("type list has other parts"));
    };
    let mut types = Types {
        members: Ordinals::read(members)?,
        elements: Ordinals::read(elements)?,
    };
    let shown = matches!(root_type, JsonTree::String(name) if SHOWN.contains(&format!("'{name}'")));
    let root_type = match root_type {
        JsonTree::String(_) if shown => None,
        JsonTree::String(name) => Some(name.clone()),
        _ => return Err(mismatch("type list has no root type")),
    };
    let tree = types.resolve(root, root_type)?;
    if !types.members.given.is_empty() || !types.elements.given.is_empty() {
        return Err(mismatch("more types than values"));
    }
    Ok(tree)
}

pub(super) fn mismatch(what: &'static str) -> Error {
    Error::corrupt("join json text with its types").field("reason", what)
}

/// A document with its number tokens as text.
pub(super) enum Kept<'t> {
    Literal(Option<bool>),
    Number(&'t str),
    String(Cow<'t, str>),
    Array(Vec<Kept<'t>>),
    Object(Vec<(String, Kept<'t>)>),
}

pub(super) struct Keep;

impl<'t> Build<'t> for Keep {
    type Node = Kept<'t>;

    fn literal(&mut self, value: Option<bool>) -> Kept<'t> {
        Kept::Literal(value)
    }

    fn number(&mut self, token: &'t str) -> Result<Kept<'t>> {
        Ok(Kept::Number(token))
    }

    fn string(&mut self, text: Cow<'t, str>) -> Kept<'t> {
        Kept::String(text)
    }

    fn array(&mut self, elements: Vec<Kept<'t>>) -> Kept<'t> {
        Kept::Array(elements)
    }

    fn object(&mut self, members: Vec<(String, Kept<'t>)>) -> Kept<'t> {
        Kept::Object(members)
    }
}

/// Types by ordinal, and how many ordinals have been given out.
struct Ordinals {
    given: BTreeMap<u64, String>,
    used: u64,
}

impl Ordinals {
    fn read(tree: &JsonTree) -> Result<Self> {
        let mut given = BTreeMap::new();
        match tree {
            JsonTree::Null => {}
            JsonTree::Object(object) => {
                for (ordinal, name) in object.members() {
                    let ordinal = ordinal.parse().ok();
                    let (Some(ordinal), JsonTree::String(name)) = (ordinal, name) else {
                        return Err(mismatch("type list has other parts"));
                    };
                    given.insert(ordinal, name.clone());
                }
            }
            _ => return Err(mismatch("type list has other parts")),
        }
        Ok(Ordinals { given, used: 0 })
    }

    /// The types of the next `count` values.
    fn take(&mut self, count: usize) -> Vec<Option<String>> {
        let next = |_| {
            self.used += 1;
            self.given.remove(&self.used)
        };
        (0..count).map(next).collect()
    }
}

struct Types {
    members: Ordinals,
    elements: Ordinals,
}

impl Types {
    fn resolve(&mut self, node: Kept<'_>, given: Option<String>) -> Result<JsonTree> {
        match (node, given.as_deref()) {
            (Kept::Array(elements), None) => {
                let types = self.elements.take(elements.len());
                let pairs = elements.into_iter().zip(types);
                let resolved = pairs.map(|(child, given)| self.resolve(child, given));
                Ok(JsonTree::Array(resolved.collect::<Result<_>>()?))
            }
            (Kept::Object(members), None) => {
                let types = self.members.take(members.len());
                let pairs = members.into_iter().zip(types);
                let resolved =
                    pairs.map(|((key, child), given)| Ok((key, self.resolve(child, given)?)));
                let members = resolved.collect::<Result<_>>()?;
                Ok(JsonTree::Object(JsonObject::from_members(members)))
            }
            (node, given) => scalar(node, given),
        }
    }
}

/// A value without members, of this type where its text does not show it.
pub(super) fn scalar(node: Kept<'_>, given: Option<&str>) -> Result<JsonTree> {
    match (node, given) {
        (Kept::Literal(value), None) => Ok(value.map_or(JsonTree::Null, JsonTree::Bool)),
        (Kept::Number(token), given) => number(token, given),
        (Kept::String(text), given) => string(text, given),
        _ => Err(mismatch("type of another kind of value")),
    }
}

fn number(token: &str, given: Option<&str>) -> Result<JsonTree> {
    let fails = || mismatch("number of another type");
    match given {
        None if token.contains(['.', 'e']) => Ok(JsonTree::Double(double_of_token(token)?)),
        None => token.parse().map(JsonTree::Int).wrap(fails),
        Some("UNSIGNED INTEGER") => token.parse().map(JsonTree::Uint).wrap(fails),
        Some("DECIMAL") => JsonDecimal::parse(token).map(JsonTree::Decimal),
        Some(_) => Err(fails()),
    }
}

fn string(text: Cow<'_, str>, given: Option<&str>) -> Result<JsonTree> {
    let temporal = |kind| JsonTemporal::parse(kind, &text).map(JsonTree::Temporal);
    match given {
        None => Ok(JsonTree::String(text.into_owned())),
        Some("DATE") => temporal(TemporalKind::Date),
        Some("TIME") => temporal(TemporalKind::Time),
        Some("DATETIME") => temporal(TemporalKind::DateTime),
        Some("TIMESTAMP") => temporal(TemporalKind::Timestamp),
        // BLOB, BIT, OPAQUE, ...: the text names the column type itself.
        Some(_) => opaque(&text).ok_or_else(|| mismatch("opaque value in another form")),
    }
}

/// Parses `base64:type<code>:<data>`, where the data has line breaks.
fn opaque(text: &str) -> Option<JsonTree> {
    let (code, encoded) = text.strip_prefix("base64:type")?.split_once(':')?;
    let encoded = encoded.replace('\n', "");
    let data = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .ok()?;
    Some(JsonTree::Opaque {
        field_type: code.parse().ok()?,
        data,
    })
}
