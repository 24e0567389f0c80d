//! The `tidelog` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidelog::cli::main(std::env::args_os())
}
