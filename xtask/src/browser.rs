//! The browser suite: all files at once, and each file with a failed test once more, alone. What passes then was unsteady,
//! which is said; what fails twice has failed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{Place, Program, node, say};

/// Names the files with a failed test; lies beside the tests.
const REPORTER: &str = "tests/browser/failures.js";

/// What the tests find in their environment.
pub(crate) type Environment<'a> = [(&'a str, &'a Path)];

/// Runs the tests of all `folders`.
pub(crate) fn test(place: &Place, folders: &[&str], environment: &Environment) -> Result<()> {
    let mut files = Vec::new();
    for folder in folders {
        files.extend(tests(&place.root.join(folder))?);
    }
    let unsteady = run(place, &files, environment)?;
    if !unsteady.is_empty() {
        say(format!("UNSTEADY: {} failed once and passed when run again, alone", list(&unsteady)));
    }
    Ok(())
}

/// The test files by name: what `node --test FOLDER` means differs between versions.
fn tests(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.retain(|file| file.to_string_lossy().ends_with(".test.js"));
    files.sort();
    Ok(files)
}

/// Returns the files that failed only once.
fn run(place: &Place, files: &[PathBuf], environment: &Environment) -> Result<Vec<PathBuf>> {
    let record = place.target.join("browser-failures.txt");
    let suite = |files: &[PathBuf]| -> Program {
        let reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
        let mut program = node(place, ["--test"]).args(reporters);
        program = program.args([format!("--test-reporter={}", place.root.join(REPORTER).display())]);
        program = program.args([format!("--test-reporter-destination={}", record.display())]).args(files);
        environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    };
    fs::write(&record, "").with_context(|| format!("cannot write {}", record.display()))?;
    let Err(error) = suite(files).run() else { return Ok(Vec::new()) };
    let named = fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let failed: Vec<PathBuf> = named.lines().map(PathBuf::from).filter(|file| files.contains(file)).collect();
    if failed.is_empty() {
        return Err(error); // Not a test, but the runner itself.
    }
    let mut twice = Vec::new();
    for file in &failed {
        say(format!("{} failed: once more, alone", name(file)));
        if suite(std::slice::from_ref(file)).run().is_err() {
            twice.push(file.clone());
        }
    }
    if !twice.is_empty() {
        bail!("failed twice: {}", list(&twice));
    }
    Ok(failed)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| name(file)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn a_file_that_fails_once_is_named_and_one_that_fails_twice_fails_the_run() -> Result<()> {
        if Program::new("node").args(["--version"]).output().is_none() {
            println!("skipped: no node on this machine");
            return Ok(());
        }
        let folder = env::temp_dir().join(format!("deepbreath-browser-{}", std::process::id()));
        fs::create_dir_all(folder.join("target"))?;
        let place = Place { root: Place::find()?.root, target: folder.join("target") };
        let mark = folder.join("mark");
        let write = |name: &str, body: &str| -> Result<PathBuf> {
            let file = folder.join(name);
            fs::write(&file, format!("import {{ test }} from 'node:test';\nimport fs from 'node:fs';\n{body}\n"))?;
            Ok(file)
        };
        let good = write("good.test.mjs", "test('good', () => {});")?;
        let once = "test('once', () => { const known = fs.existsSync(process.env.MARK); \
                    fs.writeFileSync(process.env.MARK, ''); if (!known) throw new Error('unsteady'); });";
        let once = write("once.test.mjs", once)?;
        let bad = write("bad.test.mjs", "test('bad', () => { throw new Error('always'); });")?;

        let environment = [("MARK", mark.as_path())];
        assert_eq!(run(&place, &[good.clone(), once.clone()], &environment)?, std::slice::from_ref(&once));
        assert!(run(&place, &[good.clone(), once.clone()], &environment)?.is_empty(), "steady by now");
        let error = run(&place, &[good, bad, once], &environment).expect_err("a test fails twice").to_string();
        assert_eq!(error, "failed twice: bad.test.mjs");
        fs::remove_dir_all(folder)?;
        Ok(())
    }
}
