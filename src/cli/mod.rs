//! The command line: a file a command. stdout carries the answer, stderr everything else.

mod args;
mod capture;
mod check;
mod demo;
mod init;
mod inspect;
mod log;
mod moment;
mod output;
mod restore;
mod run;
mod snapshot;
mod status;
mod timeline;
mod verify;

use crate::config::FileSettings;
use crate::error::{Error, Result};
use crate::observe::{LogFormat, start_logging};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Continuous backup for MySQL and MariaDB: binlog row events as ordered, checksummed Parquet,
/// restored to any second.
#[derive(Debug, Parser)]
#[command(name = "tidelog", version, max_term_width = 110)]
struct Cli {
    /// Settings file (TOML); its values become the defaults of the flags.
    #[arg(long, global = true, env = "TIDELOG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Format of the log on stderr.
    #[arg(long, global = true, env = "TIDELOG_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
    /// What is logged, for example `info`, `warn` or `tidelog=debug`.
    #[arg(
        long,
        global = true,
        env = "TIDELOG_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "warn"
    )]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole story on throwaway servers: capture, mistake, restore, proof.
    Demo(demo::Demo),
    /// Creates a repository; refuses a store whose put-if-absent lies.
    Init(init::Init),
    /// Checks a source, a repository and a target; prints what to do about each finding.
    Check(check::Check),
    /// The service: first base if there is none, then capture until it is stopped.
    Run(run::Run),
    /// Captures from a source into a repository.
    Capture(capture::Capture),
    /// Takes a base from the source while capture runs.
    Snapshot(snapshot::Snapshot),
    /// Restores a server to a moment, or prints how it would.
    Restore(restore::Restore),
    /// Shows transactions and row changes in commit order.
    Log(log::Log),
    /// Shows what can be restored, from when to when, and how far capture is.
    Status(status::Status),
    /// Starts a new timeline after a failover, a reset or a purge; lists timelines.
    Timeline(timeline::Timeline),
    /// Checks that everything written is there and is what it was.
    Verify(verify::Verify),
    /// Prints an object of a repository, or a binlog file, decoded.
    Inspect(inspect::Inspect),
}

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Done.
    Done,
    /// The answer is "no": exit code 3.
    No,
}

/// Runs a command line and gives the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match parse(&args) {
        Ok(cli) => cli,
        Err(Usage::Clap(error)) => {
            // Help and version are answers; everything else is usage.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
        Err(Usage::Settings(error)) => return failed(&error),
    };
    match start(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(3),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    eprintln!("error: {}", error.report());
    ExitCode::from(error.kind().exit_code())
}

enum Usage {
    Clap(clap::Error),
    Settings(Error),
}

fn parse(args: &[OsString]) -> Result<Cli, Usage> {
    let mut command = Cli::command();
    if let Some(path) = settings_path(args) {
        let settings = FileSettings::read(&path).map_err(Usage::Settings)?;
        command = settings.apply(command).map_err(Usage::Settings)?;
    }
    let matches = command.try_get_matches_from(args).map_err(Usage::Clap)?;
    Cli::from_arg_matches(&matches).map_err(Usage::Clap)
}

/// The settings file decides defaults, so it is looked for before arguments are parsed.
fn settings_path(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.to_str().and_then(|a| a.strip_prefix("--config=")) {
            return Some(PathBuf::from(path));
        }
    }
    std::env::var_os("TIDELOG_CONFIG").map(PathBuf::from)
}

fn start(cli: Cli) -> Result<Outcome> {
    start_logging(cli.log_format, &cli.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("start runtime").source(error))?;
    let json = cli.json;
    let outcome = runtime.block_on(async move {
        match cli.command {
            Command::Demo(command) => Box::pin(command.execute(json)).await,
            Command::Init(command) => Box::pin(command.execute(json)).await,
            Command::Check(command) => Box::pin(command.execute(json)).await,
            Command::Run(command) => Box::pin(command.execute(json)).await,
            Command::Capture(command) => Box::pin(command.execute(json)).await,
            Command::Snapshot(command) => Box::pin(command.execute(json)).await,
            Command::Restore(command) => Box::pin(command.execute(json)).await,
            Command::Log(command) => Box::pin(command.execute(json)).await,
            Command::Status(command) => Box::pin(command.execute(json)).await,
            Command::Timeline(command) => Box::pin(command.execute(json)).await,
            Command::Verify(command) => Box::pin(command.execute(json)).await,
            Command::Inspect(command) => Box::pin(command.execute(json)).await,
        }
    });
    // A blocked thread (a full disk, a hanging mount) must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}
