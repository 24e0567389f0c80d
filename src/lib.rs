//! tidelog: the other copy of a MySQL or MariaDB server's data.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod base;
pub mod binlog;
pub mod change;
pub mod cli;
pub mod config;
pub mod error;
pub mod history;
pub mod log;
pub mod manifest;
pub mod observe;
pub mod position;
pub mod restore;
pub mod runtime;
pub mod schema;
pub mod segment;
pub mod service;
pub mod snapshot;
pub mod source;
pub mod storage;
