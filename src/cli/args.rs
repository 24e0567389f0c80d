//! Arguments that several commands share.

use crate::error::{Error, Result, Wrap};
use crate::log::{CaptureOptions, DurabilityPolicy, through_tail};
use crate::manifest::Repository;
use crate::runtime::Clock;
use crate::snapshot::BaseOptions;
use crate::source::{Endpoint, Secret, read_option_file};
use crate::storage::{Store, StoreOptions};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the source is.
#[derive(Args, Clone, Debug)]
pub(super) struct SourceArgs {
    /// Source server, for example mysql://tidelog@db1:3306/?ssl-mode=verify-full&ssl-ca=ca.pem
    #[arg(long, env = "TIDELOG_SOURCE_URL", value_name = "URL")]
    pub(super) source: Option<String>,
    /// File with the source's password (else TIDELOG_SOURCE_PASSWORD).
    #[arg(long, env = "TIDELOG_SOURCE_PASSWORD_FILE", value_name = "FILE")]
    pub(super) source_password_file: Option<PathBuf>,
    /// MySQL option file to take the source from, for example ~/.my.cnf
    #[arg(long, env = "TIDELOG_SOURCE_DEFAULTS_FILE", value_name = "FILE")]
    pub(super) defaults_file: Option<PathBuf>,
}

impl SourceArgs {
    pub(super) fn endpoint(&self) -> Result<Endpoint> {
        let endpoint = match (&self.source, &self.defaults_file) {
            (Some(url), _) => url.parse::<Endpoint>()?,
            (None, Some(file)) => read_option_file(file)?,
            (None, None) => {
                return Err(Error::config(
                    "find source: give --source or --defaults-file",
                ));
            }
        };
        with_password(
            endpoint,
            self.source_password_file.as_deref(),
            "TIDELOG_SOURCE_PASSWORD",
        )
    }
}

/// Where a restore goes.
#[derive(Args, Clone, Debug)]
pub(super) struct TargetArgs {
    /// Target server, for example mysql://root@db2:3306/
    #[arg(long, env = "TIDELOG_TARGET_URL", value_name = "URL")]
    pub(super) target: Option<String>,
    /// File with the target's password (else TIDELOG_TARGET_PASSWORD).
    #[arg(long, env = "TIDELOG_TARGET_PASSWORD_FILE", value_name = "FILE")]
    pub(super) target_password_file: Option<PathBuf>,
}

impl TargetArgs {
    pub(super) fn endpoint(&self) -> Result<Option<Endpoint>> {
        let Some(url) = &self.target else {
            return Ok(None);
        };
        with_password(
            url.parse()?,
            self.target_password_file.as_deref(),
            "TIDELOG_TARGET_PASSWORD",
        )
        .map(Some)
    }
}

fn with_password(endpoint: Endpoint, file: Option<&Path>, variable: &str) -> Result<Endpoint> {
    let password = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .wrap(|| Error::config("read password file").field("path", path.display()))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => std::env::var(variable).ok(),
    };
    Ok(match password {
        Some(password) => endpoint.with_password(Secret::new(password)),
        None => endpoint,
    })
}

/// Where the repository is.
#[derive(Args, Clone, Debug)]
pub(super) struct RepositoryArgs {
    /// Repository: file:///path or s3://bucket/prefix
    #[arg(long, env = "TIDELOG_REPOSITORY_URL", value_name = "URL")]
    pub(super) repo: String,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// How the store is reached.
#[derive(Args, Clone, Debug)]
pub(super) struct StoreArgs {
    /// S3 endpoint, for stores other than AWS.
    #[arg(long, env = "TIDELOG_REPOSITORY_S3_ENDPOINT", value_name = "URL")]
    s3_endpoint: Option<String>,
    /// S3 region.
    #[arg(long, env = "TIDELOG_REPOSITORY_S3_REGION", value_name = "NAME")]
    s3_region: Option<String>,
}

impl StoreArgs {
    fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::default();
        let given = [
            ("AWS_ENDPOINT_URL", &self.s3_endpoint),
            ("AWS_REGION", &self.s3_region),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                options.variables.push((name.to_owned(), value.clone()));
            }
        }
        options
    }
}

impl RepositoryArgs {
    pub(super) fn store(&self) -> Result<Store> {
        Store::open(&self.repo, &self.store.options())
    }

    pub(super) async fn open(&self) -> Result<Repository> {
        Repository::open(self.store()?).await
    }

    /// To read from, with what is in no segment yet.
    pub(super) async fn open_with_tail(&self) -> Result<Repository> {
        Box::pin(through_tail(&self.open().await?, &clock())).await
    }
}

/// How capture works.
#[derive(Args, Clone, Debug)]
pub(super) struct CaptureArgs {
    /// Seal a segment at this many bytes of events.
    #[arg(long, env = "TIDELOG_CAPTURE_SEGMENT_BYTES_MAX", value_name = "BYTES", default_value_t = 128 << 20)]
    segment_bytes_max: usize,
    /// Memory to keep to. Segments get smaller with it, whatever `--segment-bytes-max` says: one
    /// is filled while another is encoded. Single rows over a seventh of it may exceed it.
    #[arg(long, env = "TIDELOG_CAPTURE_MEMORY_MAX", value_name = "BYTES", default_value_t = 512 << 20, value_parser = memory_max)]
    memory_max: usize,
    /// Seal a segment at this age.
    #[arg(
        long,
        env = "TIDELOG_CAPTURE_SEAL_INTERVAL_MS",
        value_name = "MS",
        default_value_t = 60_000
    )]
    seal_interval_ms: u64,
    /// zstd level of data files.
    #[arg(long, env = "TIDELOG_CAPTURE_ZSTD_LEVEL", value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    zstd_level: i32,
    /// Server id to register with; 0 derives one from the repository.
    #[arg(
        long,
        env = "TIDELOG_CAPTURE_SERVER_ID",
        value_name = "ID",
        default_value_t = 0
    )]
    server_id: u32,
    /// Heartbeat asked of the source; the connection is given up after two.
    #[arg(long, env = "TIDELOG_CAPTURE_HEARTBEAT_MS", value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    heartbeat_ms: u64,
    /// When a transaction counts as durable: `none`, when its segment is committed; `spool`, when
    /// it is in a synced file of the spool directory; `store`, when it is in an object of the
    /// repository's tail (no local disk is needed); `both`, when it is in the spool and in the tail.
    #[arg(
        long,
        env = "TIDELOG_CAPTURE_DURABILITY",
        value_name = "POLICY",
        default_value = DurabilityPolicy::None.name()
    )]
    durability: DurabilityPolicy,
    /// Directory of the spool, on a local disk; what an earlier run left there is sealed first.
    #[arg(long, env = "TIDELOG_CAPTURE_SPOOL_DIR", value_name = "DIR")]
    spool_dir: Option<PathBuf>,
    /// Bytes in the spool beyond which reading pauses until segments are committed.
    #[arg(long, env = "TIDELOG_CAPTURE_SPOOL_BYTES_MAX", value_name = "BYTES", default_value_t = 4 << 30)]
    spool_bytes_max: u64,
    /// Asks the source to let commits wait until they are durable here (semi-sync).
    #[arg(long, env = "TIDELOG_CAPTURE_SEMI_SYNC")]
    semi_sync: bool,
}

/// Memory of a capture that holds no events, with its connections and the buffers of two encoders.
const MEMORY_FIXED: usize = 96 << 20;
/// Memory per byte of a segment: two of them with their indexes, and what one is encoded to.
const MEMORY_PER_BYTE: usize = 4;

fn memory_max(text: &str) -> std::result::Result<usize, String> {
    const LEAST: usize = MEMORY_FIXED + MEMORY_PER_BYTE * (16 << 20);
    let bytes = text
        .parse()
        .map_err(|_| "give a number of bytes".to_owned())?;
    match bytes {
        LEAST.. => Ok(bytes),
        _ => Err(format!("capture needs {LEAST} bytes at least")),
    }
}

impl CaptureArgs {
    pub(super) fn options(&self, once: bool) -> CaptureOptions {
        let fits = self.memory_max.saturating_sub(MEMORY_FIXED) / MEMORY_PER_BYTE;
        let segment_bytes_max = self.segment_bytes_max.min(fits);
        CaptureOptions {
            once,
            segment_bytes_max,
            seal_interval: Duration::from_millis(self.seal_interval_ms),
            zstd_level: self.zstd_level,
            batch_memory_max: segment_bytes_max.saturating_add(segment_bytes_max / 2),
            server_id: self.server_id,
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            durability: self.durability,
            spool_dir: self.spool_dir.clone(),
            spool_bytes_max: self.spool_bytes_max,
            semi_sync: self.semi_sync,
        }
    }
}

/// How a base is taken.
#[derive(Args, Clone, Debug)]
pub(super) struct BaseArgs {
    /// Connections that read tables in parallel.
    #[arg(long, env = "TIDELOG_SNAPSHOT_WORKERS", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// A table is read in parts of at least so many bytes by several connections, where its primary
    /// key begins with an integer.
    #[arg(long, env = "TIDELOG_SNAPSHOT_PART_BYTES_MIN", value_name = "BYTES", default_value_t = 32 << 20)]
    part_bytes_min: u64,
    /// How long to wait for capture to reach the snapshot.
    #[arg(
        long,
        env = "TIDELOG_SNAPSHOT_PATIENCE_MS",
        value_name = "MS",
        default_value_t = 180_000
    )]
    patience_ms: u64,
}

impl BaseArgs {
    pub(super) fn options(&self) -> BaseOptions {
        BaseOptions {
            workers: usize::from(self.workers),
            part_bytes_min: self.part_bytes_min,
            patience: Duration::from_millis(self.patience_ms),
            ..BaseOptions::default()
        }
    }
}

/// The clock of every command.
pub(super) fn clock() -> Clock {
    Clock::system()
}
