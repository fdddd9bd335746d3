//! Arguments and dispatch.

use std::process::ExitCode;

use anyhow::bail;
use trainer::cli::{Cli, Command};
use trainer::prepare;

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
        Command::Train(_) => bail!("train is not part of this build"),
        Command::Evaluate(_) => bail!("evaluate is not part of this build"),
        Command::CrossValidate(_) => bail!("cross-validate is not part of this build"),
        Command::Predict(_) => bail!("predict is not part of this build"),
        Command::Export(_) => bail!("export is not part of this build"),
    }
}
