//! What a table looked like at a moment: names, columns, keys, versions.
//!
//! A table has three lives: the *shape* a table map or `information_schema` describes
//! ([`TableShape`]), the numbered [`TableVersion`] the log chain makes of it (with table id, field
//! ids and how each column is stored), and the current one per name in the catalogue of the
//! writer. Only the log chain allocates ids.

pub mod charset;
mod column;
pub mod ddl;
mod name;
mod version;

pub use column::{Column, Generated, StoredType, wire};
pub use name::{TableId, TableName, quote_identifier};
pub use version::{KeyPart, TableShape, TableVersion};
