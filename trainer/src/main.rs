//! Arguments and dispatch.

use std::process::ExitCode;

use anyhow::bail;
use trainer::cli::{Cli, Command};
use trainer::{cross_validate, prepare, train};

/// Training allocates and frees large maps all the time; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::from_command_line().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Prepare(args) => prepare::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Evaluate(_) => bail!("evaluate is not part of this build"),
        Command::CrossValidate(args) => cross_validate::run(&args),
        Command::Predict(_) => bail!("predict is not part of this build"),
        Command::Export(_) => bail!("export is not part of this build"),
    }
}
