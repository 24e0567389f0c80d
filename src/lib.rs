//! tidelog: the other copy of a MySQL or MariaDB server's data.
//!
//! The journey of one transaction:
//!
//! 1. [`source`] receives raw event packets from the dump thread, as a replica would.
//! 2. [`binlog`] checks every CRC32, keeps 64-bit positions and assembles whole transactions in
//!    commit order, as items of [`change`].
//! 3. [`log`] gives each the next [`position::Seq`] and keeps its row images as received, with an
//!    index per table version of [`schema`]. At a size or age limit each table is sorted and decoded
//!    by [`segment`] straight into Arrow and Parquet; files are put to [`storage`], then the
//!    [`manifest`] is created: the commit point. What no manifest names does not exist.
//! 4. [`snapshot`] makes the first base: rows read in a consistent snapshot, as the images the
//!    binlog would have logged, through the same plan into files of a [`base`].
//! 5. [`restore`] turns a moment into a plan, folds one base and the segments after it, writes row
//!    events to a server and proves the result. [`history`] reads the log back in order, rebuilds
//!    the received events and verifies everything.
//!
//! Words ([`error`], [`position`], [`schema`], [`change`]) and formats ([`binlog`], [`segment`],
//! [`base`], the data types of [`manifest`]) are pure; stages never import each other and meet at
//! the manifest. [`service`] and [`cli`] wire them.
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
