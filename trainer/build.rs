//! Tells the trainer which commit it is built from: `TRAINER_COMMIT` and `TRAINER_COMMIT_DATE`, see `src/provenance.rs`.

use std::path::Path;
use std::process::Command;

/// What the trainer is built from, relative to its folder.
const SOURCES: [&str; 7] = ["src", "build.rs", "Cargo.toml", "../src", "../stubs", "../Cargo.toml", "../Cargo.lock"];

/// What `git` prints in the trainer's folder; `None` if it fails or prints nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // `HEAD` changes with the branch, its log and the branch's file with each commit. A path that is not there would make
    // every build run this again.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    let places = ["HEAD", "logs/HEAD", branch.as_str()].into_iter().filter(|place| !place.is_empty());
    let watched = places.filter_map(|place| git(&["rev-parse", "--git-path", place]));
    for path in watched.chain(SOURCES.map(String::from)).filter(|path| root.join(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    // A copy of the sources may lie within another repository, whose commits say nothing of them.
    let tracked = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    let of_commit = |arguments: &[&str]| git(arguments).filter(|_| tracked).unwrap_or_else(|| "unknown".into());
    let changed = tracked
        && git(&[&["--no-optional-locks", "status", "--porcelain", "--"], SOURCES.as_slice()].concat()).is_some();
    let mark = if changed { "-dirty" } else { "" };
    println!("cargo::rustc-env=TRAINER_COMMIT={}{mark}", of_commit(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=TRAINER_COMMIT_DATE={}", of_commit(&["log", "-1", "--format=%cs"]));
}
