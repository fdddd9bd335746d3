//! `cargo xtask serve | test | check | bench | release | package`: each installs what it needs and says what it does.

mod browser;
mod card;
mod dist;
mod guide;
mod markup;
mod package;
mod run;
mod tools;
mod web;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::run::{Place, cargo, node, say};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, serves, tests and packages deepbreath")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the page and serves it on this machine, rebuilding on every change.
    Serve {
        /// Port to listen on.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        #[command(flatten)]
        weights: WeightsArgument,
    },
    /// Everything that must pass: Rust tests, type check of the page, tests in a headless browser.
    Test(WeightsArgument),
    /// Lints (format, clippy, documentation) without a single warning, then everything of `test`.
    Check(WeightsArgument),
    /// Measures the page in a headless browser (time to ready, time per image) and the size of what it downloads.
    Bench {
        /// Repetitions of each measurement.
        #[arg(long, default_value_t = 20)]
        runs: u32,
        #[command(flatten)]
        weights: WeightsArgument,
    },
    /// Releases the weights of a finished training run: exports and measures them, writes the model card, the README's
    /// figures and the rates that the page shows.
    Release {
        /// Folder of the run.
        run: PathBuf,
        /// Manifest of the films.
        #[arg(long, value_name = "CSV")]
        films: PathBuf,
        /// Images that are no frontal chest X-rays (columns path,kind): half of them teach the gate, half measure it.
        #[arg(long, value_name = "CSV")]
        ood: PathBuf,
    },
    /// Builds the module for embedding elsewhere and the package of its weights, into `package/` and `package-weights/` of the
    /// target folder.
    Package,
    /// Builds the wasm modules and puts them where the page expects it; trunk calls this before each build.
    Wasm,
    /// Names, lists and compresses the files of a build; trunk calls this after each build.
    Dist,
}

#[derive(Args)]
struct WeightsArgument {
    /// Weights file to use instead of the released one; also read from DEEPBREATH_WEIGHTS.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

fn main() -> Result<()> {
    let place = Place::find()?;
    match Arguments::parse().task {
        Task::Serve { port, weights } => web::serve(&place, port, weights.weights.as_deref()),
        Task::Test(weights) => test(&place, &weights),
        Task::Check(weights) => check(&place).and_then(|()| test(&place, &weights)),
        Task::Bench { runs, weights } => bench(&place, runs, &weights),
        Task::Release { run, films, ood } => release(&place, &run, &films, &ood),
        Task::Package => package::build(&place),
        Task::Wasm => web::stage(&place),
        Task::Dist => dist::finish(&place),
    }
}

fn check(place: &Place) -> Result<()> {
    tools::wasm_target()?;
    say("Checking the format");
    cargo(place, ["fmt", "--all", "--check"]).run()?;
    say("Linting, native");
    cargo(place, ["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"]).run()?;
    say("Linting, wasm");
    for (_, features) in web::MODULES {
        cargo(place, ["clippy"]).args(web::WASM_BUILD).args([features, "--", "--deny", "warnings"]).run()?;
    }
    say("Building the documentation");
    cargo(place, ["doc", "--release", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings").run()
}

fn release(place: &Place, run: &Path, films: &Path, ood: &Path) -> Result<()> {
    let trainer = |args: &[&OsStr]| {
        let program = ["run", "--release", "-p", "trainer", "--"].map(OsStr::new);
        cargo(place, program.into_iter().chain(args.iter().copied())).run()
    };
    let word = OsStr::new;
    say("Exporting the weights");
    trainer(&[
        word("export"),
        run.as_os_str(),
        word("--out"),
        word("weights"),
        word("--precision"),
        word("int8"),
        word("--ood"),
        ood.as_os_str(),
    ])?;
    say("Measuring them");
    trainer(&[
        word("evaluate"),
        films.as_os_str(),
        word("--split"),
        word("test"),
        word("--ood"),
        ood.as_os_str(),
        word("--ood-held-out"),
        word("--out"),
        word("weights/report"),
    ])?;
    say("Writing the model card, the README's figures and the page's rates");
    trainer(&["card", "weights", "--readme", "README.md"].map(OsStr::new))?;
    card::rates(place)
}

fn test(place: &Place, weights: &WeightsArgument) -> Result<()> {
    // Tools first: what cannot be installed should be known before the long builds.
    tools::node_modules(place)?;
    let browser = tools::browser()?;
    tools::imagenet_weights(place)?;
    say("Building and running the Rust tests");
    // Builds the trainer program as well; a separate build would unify features otherwise and compile burn twice.
    cargo(place, ["test", "--release", "--workspace"]).run()?;
    let weights = web::build(place, weights.weights.as_deref())?;
    say("Checking the types of the page");
    node(place, ["node_modules/typescript/bin/tsc", "--project", "tsconfig.json"]).run()?;
    let package = package::assemble(place)?;
    say("Testing the page and the package in a headless browser");
    let trainer = place.target.join("release/trainer");
    let environment: [(&str, &Path); 4] = [
        ("DEEPBREATH_BROWSER", &browser),
        ("DEEPBREATH_PACKAGE", &package),
        ("DEEPBREATH_TRAINER", &trainer),
        (web::WEIGHTS_VARIABLE, &weights),
    ];
    browser::test(place, &["tests/browser", "tests/package"], &environment)
}

fn bench(place: &Place, runs: u32, weights: &WeightsArgument) -> Result<()> {
    tools::node_modules(place)?;
    let browser = tools::browser()?;
    web::build(place, weights.weights.as_deref())?;
    let page = package::comparison(place)?;
    say("Measuring");
    node(place, ["tests/browser/bench.js", &runs.to_string()])
        .env("DEEPBREATH_BROWSER", browser)
        .env("DEEPBREATH_BENCH", &page)
        .run()?;
    say(format!("{} is a page for other benchmarks: it sets window.__bench", page.display()));
    Ok(())
}
