//! Where things are, and running programs there.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The released weights.
pub(crate) const RELEASED_WEIGHTS: &str = "weights/deepbreath.safetensors";

/// The folders of this checkout.
pub(crate) struct Place {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target folder: also holds the installed tools, so that a kept folder keeps them.
    pub(crate) target: PathBuf,
}

impl Place {
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`")?;
        let root = Path::new(&manifest).parent().context("xtask/ has no parent folder")?.to_path_buf();
        // The program lies in `<target>/release/`: asking it covers every way to configure that folder.
        let program = env::current_exe().context("where is this program?")?;
        let target = program.ancestors().nth(2).context("this program is outside a target folder")?.to_path_buf();
        Ok(Self { root, target })
    }

    /// Folder of what the page needs and git does not keep.
    pub(crate) fn generated(&self) -> PathBuf {
        self.root.join("www/generated")
    }

    /// Folder of the tools installed here.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

/// One line on what happens next.
pub(crate) fn say(step: impl AsRef<str>) {
    println!("== {}", step.as_ref());
}

/// A program with its arguments, run in the workspace.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self(Command::new(program))
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Runs to the end; anything but success is an error that names the command.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.0.status().with_context(|| format!("cannot start {:?}", self.0))?;
        ensure!(status.success(), "{status}: {:?}", self.0);
        Ok(())
    }

    /// Standard output, trimmed; `None` where the program is missing or fails.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.0.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The cargo that started this program.
pub(crate) fn cargo(place: &Place, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo).within(&place.root).env("CARGO_TARGET_DIR", &place.target).args(args)
}

pub(crate) fn node(place: &Place, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
    Program::new("node").within(&place.root).args(args)
}
