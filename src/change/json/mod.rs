//! MySQL's binary JSON: the bytes of row images, a tree, and the text the server prints.
//!
//! Three forms of one document, and the ways between them:
//!
//! ```text
//! image bytes --decode--> JsonTree --to_text--> text --from_text--> JsonTree --encode--> bytes
//! ```
//!
//! Text keeps less than the image: it has one kind of number token for INTEGER and UNSIGNED
//! INTEGER, prints DECIMAL, DATE and BLOB values like doubles and strings, and knows nothing of
//! the slack that in-place updates leave behind. Therefore a cell is stored as text alone only
//! when [`text_if_exact`] proves that the text leads back to the same bytes. Rows that were read
//! by SELECT come with the list of their value types ([`json_types_expr`]), from which
//! [`from_text_with_types`] rebuilds the tree that the binlog image would have given.
//!
//! The image is the cell's content without the length prefix of its column. Source of the
//! format: `sql-common/json_binary.h` and `json_binary.cc` of the MySQL server. MariaDB has no
//! binary JSON; its JSON columns are text.

mod decimal;
mod decode;
mod difference;
mod direct;
mod encode;
mod exact;
mod keys;
mod number;
mod parse;
mod paths;
mod temporal;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod tree;
mod typed;

pub use decimal::JsonDecimal;
pub use decode::decode;
pub use difference::{Difference, apply_difference};
pub use direct::append_image;
pub use encode::{canonical, encode};
pub use exact::{is_exact, text_if_exact};
pub use keys::JsonKeys;
pub use parse::from_text;
pub use paths::JsonPaths;
pub use temporal::{JsonTemporal, TemporalKind};
pub use text::to_text;
pub use tree::{JsonObject, JsonTree};
pub use typed::{from_text_with_types, json_types_expr};

/// Deepest nesting of arrays and objects the server accepts (`JSON_DOCUMENT_MAX_DEPTH`).
const DEPTH_MAX: usize = 100;

/// Largest size of an array or object in the small storage format, in bytes.
const SMALL_BYTES_MAX: usize = u16::MAX as usize;

/// Type bytes of values (`JSONB_TYPE_*`).
mod jsonb {
    pub(super) const SMALL_OBJECT: u8 = 0x00;
    pub(super) const LARGE_OBJECT: u8 = 0x01;
    pub(super) const SMALL_ARRAY: u8 = 0x02;
    pub(super) const LARGE_ARRAY: u8 = 0x03;
    pub(super) const LITERAL: u8 = 0x04;
    pub(super) const INT16: u8 = 0x05;
    pub(super) const UINT16: u8 = 0x06;
    pub(super) const INT32: u8 = 0x07;
    pub(super) const UINT32: u8 = 0x08;
    pub(super) const INT64: u8 = 0x09;
    pub(super) const UINT64: u8 = 0x0a;
    pub(super) const DOUBLE: u8 = 0x0b;
    pub(super) const STRING: u8 = 0x0c;
    pub(super) const OPAQUE: u8 = 0x0f;

    pub(super) const NULL: u8 = 0x00;
    pub(super) const TRUE: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x02;
}
