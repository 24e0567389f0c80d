//! The source server: how tidelog reaches it, poses as its replica and reads its row events.
//!
//! One connection's ladder: an [`Endpoint`] (where, who, how it is encrypted) is connected to
//! ([`tls`](SslMode), authentication), becomes a [`ReplicaConnection`] (session set up, registered
//! under a stable uuid and server id) and ends as an [`EventStream`] of [`Packet`]s, one whole
//! binlog event each. Ordinary SQL goes through a [`SqlClient`] on its own connection. What the
//! source is, and what its DDL text alone does not say, is its [`SourceIdentity`].
//!
//! The reading side of the first base: [`check_source`] says whether the server fits, the
//! catalogue says what its tables look like, [`SourceSnapshot`] reads them.

mod ack;
mod auth;
mod catalogue;
mod classify;
mod dump;
mod endpoint;
mod history;
mod identity;
mod objects;
mod option_file;
mod packet;
mod position;
mod preflight;
mod public_key;
mod retention;
mod semi_sync;
mod snapshot;
mod sql;
mod stream;
mod tls;
mod wire;
mod zone;

pub(crate) use catalogue::user_databases;
pub use catalogue::{
    CatalogueTable, SYSTEM_DATABASES, TableKind, read_catalogue, read_catalogue_table,
};
pub use classify::{DumpRefusal, statement_error};
pub use dump::{Checksum, DumpFrom, FIRST_OFFSET, ReplicaConnection, ReplicaOptions};
pub use endpoint::{Endpoint, Secret, SslMode};
pub use history::{BinlogFile, EventAt, SourceHistory, binlog_event_at, binlog_file_begun};
pub use identity::{ClockOffset, SourceIdentity};
pub use objects::{
    DatabaseCollation, ObjectKind, SchemaObject, parse_schema, read_objects, render_schema,
};
pub use option_file::read_option_file;
pub use position::{
    current_end, current_position, executed_gtids, finished_position, logged_gtids,
};
pub use preflight::{
    CheckLine, Report, Severity, SourceNeeds, TargetNeeds, check_source, check_target,
};
pub use retention::{Headroom, Retention};
pub use semi_sync::{Obstacle, SemiSyncState};
pub use snapshot::{
    KeyRange, RowBatch, SnapshotOptions, SnapshotPoint, SnapshotWorker, SourceSnapshot, TableRead,
};
pub use sql::{SessionNames, SqlClient, SqlSession, sql_error};
pub use stream::{EventStream, Packet, SILENT_START};
pub use zone::{SYSTEM_ZONE_RULE, zone_rule};
