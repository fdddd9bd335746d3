//! Manifests from images on disk. Every file that does not become a row is counted with its reason, none silently.

mod complete;
mod covid_chestxray;
mod folders;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use deepbreath::Radiograph;
use deepbreath::radiograph::Provenance;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::cli::{PrepareArgs, PrepareForm};
use crate::dataset::{Row, hex, names, write_rows};

pub use complete::complete;
pub use covid_chestxray::covid_chestxray;
pub use folders::folders;
pub use sample::sample;

/// A manifest to be, and what did not get into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The rows, sorted by path.
    pub rows: Vec<Row>,
    /// How many were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
    /// Files that cannot be read as an image, each with what is wrong.
    pub unreadable: Vec<String>,
    /// Files with the same bytes under different labels, a line for each such group with every name and label.
    pub contradictory: Vec<String>,
    /// What else is to be said, a sentence each.
    pub notes: Vec<String>,
}

/// A file that may become a row; `row` lacks path, size and digest.
struct Candidate {
    file: PathBuf,
    row: Row,
}

/// Runs `prepare`: makes the manifest, writes it, and says what is in it and what was left out.
///
/// # Errors
/// A folder or CSV that cannot be read or written, or nothing to put into the manifest.
pub fn run(args: &PrepareArgs) -> anyhow::Result<()> {
    let (prepared, out) = match &args.form {
        PrepareForm::CovidChestxray(args) => (covid_chestxray(args)?, &args.out),
        PrepareForm::Folders(args) => (folders(args)?, &args.out),
        PrepareForm::Sample(args) => (sample(args)?, &args.out),
        PrepareForm::Complete(args) => (complete(args)?, &args.out),
    };
    for problem in prepared.unreadable.iter().chain(&prepared.contradictory) {
        eprintln!("left out: {problem}");
    }
    prepared.notes.iter().for_each(|note| eprintln!("{note}"));
    for (reason, count) in &prepared.left_out {
        println!("left out {count}: {reason}");
    }
    if prepared.rows.is_empty() {
        bail!("{}: not written, no film is left", out.display());
    }
    write_rows(out, &prepared.rows)?;
    let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &prepared.rows {
        *labels.entry(&row.label).or_default() += 1;
    }
    let labels: Vec<String> = labels.iter().map(|(label, count)| format!("{count} {label}")).collect();
    let patients: BTreeSet<&str> = prepared.rows.iter().map(|row| row.patient_id.as_str()).collect();
    println!("{}: {} films of {} patients ({})", out.display(), prepared.rows.len(), patients.len(), labels.join(", "));
    Ok(())
}

impl Prepared {
    /// Counts one more left out for this reason.
    fn leave_out(&mut self, reason: impl Into<String>) {
        *self.left_out.entry(reason.into()).or_default() += 1;
    }

    /// Opens every candidate, on all cores, and adds those that are images; of files with the same bytes one stays
    /// (a test film before a validation film before a training film), or none where their labels differ.
    fn add(&mut self, candidates: Vec<Candidate>, out: &Path) -> anyhow::Result<()> {
        let folder = folder_of(out)?;
        let style = ProgressStyle::with_template("reading {wide_bar} {pos}/{len} {per_sec} {eta}")?;
        let bar = ProgressBar::new(candidates.len() as u64).with_style(style);
        let measured: Vec<_> = candidates
            .into_par_iter()
            .map(|candidate| {
                let measured = measure(&candidate.file);
                bar.inc(1);
                (measured, candidate)
            })
            .collect();
        bar.finish_and_clear();
        let mut rows = Vec::new();
        for (measured, Candidate { file, mut row }) in measured {
            match measured {
                Ok(measured) => {
                    row.path = relative(&file, &folder)?;
                    (row.width, row.height) = (Some(measured.width), Some(measured.height));
                    row.sha256 = measured.sha256;
                    rows.push(row);
                }
                Err(error) => {
                    self.leave_out("the file cannot be read as an image");
                    self.unreadable.push(format!("{error:#}"));
                }
            }
        }
        rows.sort_by(|a, b| (rank(&a.split), &a.path).cmp(&(rank(&b.split), &b.path)));
        let mut copies: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in rows {
            copies.entry(row.sha256.clone()).or_default().push(row);
        }
        for mut rows in copies.into_values() {
            // Nothing here can tell which of the labels is right.
            if rows.iter().any(|row| row.label != rows[0].label) {
                rows.sort_by(|a, b| a.path.cmp(&b.path));
                let named = rows.iter().map(|row| format!("{} ({})", row.path, row.label));
                self.contradictory.push(format!("{}: the same bytes, different labels", names(named)));
                rows.iter().for_each(|_| self.leave_out("the same bytes as a file with another label"));
                continue;
            }
            rows.iter().skip(1).for_each(|_| self.leave_out("the same bytes as another file"));
            self.rows.push(rows.swap_remove(0));
        }
        self.rows.sort_by(|a, b| a.path.cmp(&b.path));
        self.unreadable.sort();
        self.contradictory.sort();
        Ok(())
    }
}

/// Test films first: where films compete, evaluation keeps its own and training gives way.
fn rank(split: &str) -> usize {
    ["test", "val", "train", ""].iter().position(|word| *word == split).unwrap_or(usize::MAX)
}

struct Measured {
    /// Columns in pixels.
    width: u32,
    /// Rows in pixels.
    height: u32,
    /// Of the file, in hex.
    sha256: String,
}

/// Reads the whole file, as training will: a header that promises an image is not yet an image. The error names the file.
fn measure(file: &Path) -> anyhow::Result<Measured> {
    let name = file.display().to_string();
    let bytes = fs::read(file).with_context(|| format!("{name}: cannot be read"))?;
    let Provenance { width, height, .. } = Radiograph::decode(&name, &bytes)?.provenance;
    Ok(Measured { width, height, sha256: hex(&Sha256::digest(&bytes)) })
}

/// The folder that a manifest will stand in, without links and dots.
fn folder_of(csv: &Path) -> anyhow::Result<PathBuf> {
    let folder = csv.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(folder)
        .with_context(|| format!("{}: cannot be written; its folder {} is not there", csv.display(), folder.display()))
}

/// `file` as seen from `folder`, with `/` between the parts. Both are absolute and without dots.
fn relative(file: &Path, folder: &Path) -> anyhow::Result<String> {
    let (file_parts, folder_parts): (Vec<_>, Vec<_>) = (file.components().collect(), folder.components().collect());
    let common = file_parts.iter().zip(&folder_parts).take_while(|(a, b)| a == b).count();
    let up = folder_parts[common..].iter().map(|_| Component::ParentDir);
    let parts: Option<Vec<&str>> =
        up.chain(file_parts[common..].iter().copied()).map(|part| part.as_os_str().to_str()).collect();
    let parts = parts.with_context(|| format!("{}: the name is not UTF-8; rename the file", file.display()))?;
    Ok(parts.join("/"))
}

/// The canonical path of a folder to read.
fn folder_to_read(dir: &Path) -> anyhow::Result<PathBuf> {
    let folder = fs::canonicalize(dir).with_context(|| format!("{}: cannot be read", dir.display()))?;
    if !folder.is_dir() {
        bail!("{}: not a folder", dir.display());
    }
    Ok(folder)
}
