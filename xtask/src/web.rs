//! The wasm modules and the page around them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::card;
use crate::markup;
use crate::run::{Place, Program, RELEASED_WEIGHTS, cargo, say};
use crate::tools;

/// Names a weights file to use instead of the released one; trunk's hook inherits it.
pub(crate) const WEIGHTS_VARIABLE: &str = "DEEPBREATH_WEIGHTS";

/// Weights of the tutorial's recipe for the shortcut lab; a copy of the project without them does without.
const TUTORIAL_WEIGHTS: &str = "weights/tutorial.safetensors";

/// The wasm modules, by the name of the engine, with the features of the crate. A visitor without a GPU loads the first
/// only; it reads the files for both.
pub(crate) const MODULES: [(&str, &str); 2] = [("cpu", "cpu,dicom"), ("webgpu", "webgpu")];

/// What builds a wasm module, besides the features. `--package` keeps the trainer's features out of it.
pub(crate) const WASM_BUILD: [&str; 8] = [
    "--profile",
    "web",
    "--package",
    "deepbreath",
    "--target",
    "wasm32-unknown-unknown",
    "--no-default-features",
    "--features",
];

/// Builds the wasm modules with their JavaScript and types into www/generated/, a folder each, and the markup of the
/// custom element.
pub(crate) fn modules(place: &Place) -> Result<()> {
    tools::wasm_target()?;
    let wasm_bindgen = tools::wasm_bindgen(place)?;
    markup::write(place)?;
    for (name, features) in MODULES {
        say(format!("Building the wasm module for {name}"));
        cargo(place, ["build"]).args(WASM_BUILD).args([features]).run()?;
        Program::new(&wasm_bindgen)
            .args(["--target", "web", "--remove-producers-section", "--remove-name-section", "--out-dir"])
            .args([place.generated().join(name), place.target.join("wasm32-unknown-unknown/web/deepbreath.wasm")])
            .run()?;
    }
    Ok(())
}

/// Puts the wasm modules and the weights where `www/index.html` expects them.
pub(crate) fn stage(place: &Place) -> Result<()> {
    let generated = place.generated();
    let weights = weights(place, None)?;
    card::rates(place)?;
    modules(place)?;
    fs::create_dir_all(generated.join("weights")).context("cannot create www/generated/weights")?;
    fs::copy(&weights, generated.join(RELEASED_WEIGHTS))
        .with_context(|| format!("cannot copy {} into www/generated", weights.display()))?;
    let (tutorial, staged) = (place.root.join(TUTORIAL_WEIGHTS), generated.join(TUTORIAL_WEIGHTS));
    if tutorial.is_file() {
        fs::copy(&tutorial, staged).with_context(|| format!("cannot copy {TUTORIAL_WEIGHTS} into www/generated"))?;
    } else if staged.exists() {
        fs::remove_file(staged).context("cannot remove the tutorial's weights from www/generated")?;
    }
    Ok(())
}

/// The weights file to serve: the one asked for, or the released one.
fn weights(place: &Place, asked: Option<&Path>) -> Result<PathBuf> {
    let variable = env::var_os(WEIGHTS_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let file = asked.map(Path::to_path_buf).or(variable).unwrap_or_else(|| place.root.join(RELEASED_WEIGHTS));
    match fs::canonicalize(&file) {
        Ok(file) if file.is_file() => Ok(file),
        _ => bail!("no weights at {}: name a weights file with --weights FILE", file.display()),
    }
}

/// trunk with everything it needs, so that it downloads nothing itself.
fn trunk(place: &Place, weights: &Path) -> Result<Program> {
    tools::wasm_target()?;
    tools::wasm_bindgen(place)?;
    let trunk = tools::trunk(place)?;
    Ok(Program::new(trunk)
        .within(&place.root)
        .env("CARGO_TARGET_DIR", &place.target)
        // trunk refuses the customary NO_COLOR=1.
        .env("NO_COLOR", "true")
        .env(WEIGHTS_VARIABLE, weights))
}

/// Builds the whole site into `dist/`; returns the weights file it holds.
pub(crate) fn build(place: &Place, asked: Option<&Path>) -> Result<PathBuf> {
    let weights = weights(place, asked)?;
    let trunk = trunk(place, &weights)?;
    say("Building the page into dist/");
    trunk.args(["build", "--release"]).run()?;
    Ok(weights)
}

/// Builds the site, serves it on this machine and rebuilds on changes, until interrupted.
pub(crate) fn serve(place: &Place, port: u16, asked: Option<&Path>) -> Result<()> {
    let trunk = trunk(place, &weights(place, asked)?)?;
    say(format!("Serving http://localhost:{port}/ as soon as the build is done (Ctrl-C ends it)"));
    trunk.args(["serve", "--release", "--port", &port.to_string()]).run()
}
