//! Arguments and dispatch.

use std::process::ExitCode;

use anyhow::ensure;
use trainer::cli::{Cli, Command};
use trainer::{audit, card, cross_validate, evaluate, predict, prepare, release, soup, train};

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
        Command::Evaluate(args) => evaluate::run(&args),
        Command::CrossValidate(args) => cross_validate::run(&args),
        Command::Ablate(args) => cross_validate::ablation::run(&args),
        Command::Predict(args) => {
            let device = train::device(&args.compute)?;
            let failed = predict::run(&args.weights, &args.images, args.json, args.saliency.as_deref(), &device)?;
            ensure!(failed == 0, "{failed} of {} files could not be answered", args.images.len());
            Ok(())
        }
        Command::Average(args) => soup::run(&args),
        Command::Export(args) => release::run(&args),
        Command::Card(args) => card::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Lungs(args) => audit::lungs::run(&args),
    }
}
