//! A document as a typed tree.

use super::{JsonDecimal, JsonTemporal};

/// A JSON value with the type the server gives it (`JSON_TYPE`).
///
/// Equality is by type and value: INTEGER 1, UNSIGNED INTEGER 1 and DOUBLE 1.0 differ, doubles
/// compare by bits, decimals by value and scale (not by declared precision).
#[derive(Clone, Debug)]
pub enum JsonTree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// INTEGER.
    Int(i64),
    /// UNSIGNED INTEGER.
    Uint(u64),
    /// DOUBLE; always finite in what [`decode`](super::decode) and
    /// [`from_text`](super::from_text) return.
    Double(f64),
    /// STRING.
    String(String),
    /// ARRAY.
    Array(Vec<JsonTree>),
    /// OBJECT.
    Object(JsonObject),
    /// DECIMAL.
    Decimal(JsonDecimal),
    /// DATE, TIME, DATETIME or TIMESTAMP.
    Temporal(JsonTemporal),
    /// BLOB, BIT, GEOMETRY and whatever else has no JSON form.
    Opaque {
        /// The column type the value came from (`enum_field_types`, see
        /// [`wire`](crate::schema::wire)).
        field_type: u8,
        /// The value's bytes.
        data: Vec<u8>,
    },
}

impl PartialEq for JsonTree {
    fn eq(&self, other: &Self) -> bool {
        use JsonTree::{
            Array, Bool, Decimal, Double, Int, Null, Object, Opaque, String, Temporal, Uint,
        };
        match (self, other) {
            (Null, Null) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (Uint(a), Uint(b)) => a == b,
            (Double(a), Double(b)) => a.to_bits() == b.to_bits(),
            (String(a), String(b)) => a == b,
            (Array(a), Array(b)) => a == b,
            (Object(a), Object(b)) => a == b,
            (Decimal(a), Decimal(b)) => a == b,
            (Temporal(a), Temporal(b)) => a == b,
            (
                Opaque { field_type, data },
                Opaque {
                    field_type: other_type,
                    data: other_data,
                },
            ) => field_type == other_type && data == other_data,
            _ => false,
        }
    }
}

impl Eq for JsonTree {}

/// The members of an object in the server's order: shorter keys first, keys of one length
/// bytewise, no key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonObject(Vec<(String, JsonTree)>);

impl JsonObject {
    /// Puts members in order; of members with the same key the last one stays, as in the
    /// server's parser.
    #[must_use]
    pub fn from_members(mut members: Vec<(String, JsonTree)>) -> Self {
        let ordered = members
            .windows(2)
            .all(|pair| matches!(pair, [(a, _), (b, _)] if key_order(a, b).is_lt()));
        if !ordered {
            // Stable, so that of equal keys the last one given comes last; dedup keeps the
            // first of a run, therefore the run is turned round.
            members.reverse();
            members.sort_by(|(a, _), (b, _)| key_order(a, b));
            members.dedup_by(|(a, _), (b, _)| a == b);
        }
        JsonObject(members)
    }

    /// The members in order.
    #[must_use]
    pub fn members(&self) -> &[(String, JsonTree)] {
        &self.0
    }

    /// The values in order of their keys.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut JsonTree> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(k, _)| key_order(k, key))
    }

    /// The value of a key.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut JsonTree> {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Adds a member; `None` when there is one of that key.
    pub(super) fn insert(&mut self, key: &str, value: JsonTree) -> Option<()> {
        let at = self.find(key).err()?;
        self.0.insert(at, (key.to_owned(), value));
        Some(())
    }

    /// Takes a member away.
    pub(super) fn remove(&mut self, key: &str) -> Option<JsonTree> {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// The members in order, owned.
    #[must_use]
    pub fn into_members(self) -> Vec<(String, JsonTree)> {
        self.0
    }
}

/// The server's order of keys (`Json_key_comparator`).
pub(super) fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes()))
}
