//! The one integration binary: real MySQL and MariaDB servers, a real S3 server on loopback.
//!
//! `make test` sets up what these tests start. A missing server or tool fails the test with the
//! command that gets it; nothing is skipped.
#![allow(clippy::unwrap_used, missing_docs)]

mod absent;
mod bad_input;
mod binlog;
mod catalogue;
mod counters;
mod ddl;
mod ddl_replay;
mod derived_log;
mod documents;
mod end_to_end;
mod faults;
mod fingerprints;
mod fuzz_seeds;
mod json;
mod large;
mod peer_decoder;
mod preflight;
mod random_history;
mod readers;
mod recomputed;
mod restore;
mod retention;
mod row_values;
mod s3;
mod s3_repository;
mod savepoints;
mod schema_objects;
mod servers;
mod snapshots;
mod source_login;
mod source_refusal;
mod source_stream;
mod support;
mod timelines;
mod traps;
mod xa;
mod zero_loss;
mod zones;
mod zoo;
