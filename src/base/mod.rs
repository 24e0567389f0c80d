//! Bases: the whole state of every table at one Seq, as files anyone can read.
//!
//! A base is a list of files ([`BaseFile`], stored as `files.parquet`, THE file list), views over
//! exactly those files for analysts ([`views`]), and the one way in which a base and the changes
//! after it become a later state ([`fold`]). Everything here is pure: bytes in, bytes out.

mod files;
pub mod fold;
pub mod views;

pub use files::{BaseFile, read_files, write_files};
