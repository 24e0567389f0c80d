//! tidelog: the other copy of a MySQL or MariaDB server's data.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod binlog;
pub mod change;
pub mod error;
pub mod position;
pub mod schema;
pub mod source;
pub mod segment;
pub mod service;
