//! The dataset manifest: a CSV that says which file is which label, of which patient, from which source.
//!
//! Columns: `path,label,source,patient_id,view,age_group,license,origin,width,height,sha256,split`. Only `path` and
//! `label` are required; `path` is relative to the folder that the CSV stands in. Further columns are ignored.
//! Nothing here opens an image.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use deepbreath::weights::Origin;
use sha2::{Digest, Sha256};

use crate::{folds, tutorial};

mod rows;

pub use rows::{Row, read_rows, write_rows};
use rows::{film, manifest_names, parse};

/// Share of the patients of each stratum that a drawn split gives to train, validation and test.
pub const SHARES: [f64; 3] = [0.70, 0.15, 0.15];

/// With fewer validation films of a label a single film moves its sensitivity by more than five points.
pub const FEW_VALIDATION: usize = 20;

/// A partition of the films. Weights see `Train`, choices are made on `Validation`, figures are reported on `Test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Gradients come from these films.
    Train,
    /// Early stopping, thresholds and calibration are chosen on these films.
    Validation,
    /// Read once, to report.
    Test,
}

impl Split {
    /// All partitions, in the order of [`SHARES`].
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// The word in the manifest: `train`, `val` or `test`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        }
    }

    /// The partition that a word of the manifest names, or `None` for any other word.
    pub fn from_word(word: &str) -> Option<Split> {
        Self::ALL.into_iter().find(|split| split.word() == word)
    }
}

/// One radiograph of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// Where the file is: the folder of the CSV joined with the row's path.
    pub path: PathBuf,
    /// The row's path as written, the same on every machine.
    pub name: String,
    /// Index into [`Manifest::classes`].
    pub label: usize,
    /// Source; the name of the CSV without its ending where the manifest gives none (of several CSVs of one name, with
    /// the folders that tell them apart).
    pub source: String,
    /// Patient; the row's path where the manifest gives none (of several manifests, with the name of its own), so that
    /// each film counts as a patient of its own.
    pub patient_id: String,
    /// Projection, where known.
    pub view: Option<String>,
    /// Age group, where known.
    pub age_group: Option<String>,
    /// Licence, where known.
    pub license: Option<String>,
    /// SHA-256 of the file as the manifest gives it, in lower-case hex; `None` where that is no such digest.
    pub sha256: Option<String>,
    /// Partition, where the manifest gives one or [`Manifest::split_by_patient`] drew one.
    pub split: Option<Split>,
}

/// The films of one or more manifests.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Films in the order of the files.
    pub films: Vec<Film>,
    /// Labels, sorted by name, each once.
    pub classes: Vec<String>,
    /// SHA-256 of the bytes of the CSV (of all of them one after another where there are several), in hex.
    pub digest: String,
}

impl Manifest {
    /// Reads manifests and joins them. Labels are joined by name.
    ///
    /// # Errors
    /// A file that cannot be read, a missing column, an empty path or label, a file that is not there, an unknown word
    /// in `split`, a film that is listed twice, a patient in two partitions, labels that differ in case only or hold a `/`. The
    /// message names the CSV and the line.
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Manifest> {
        Self::read_as(paths, false)
    }

    /// As [`Manifest::read`], but files may be missing: for who does not need every film, and looks for those that it does.
    ///
    /// # Errors
    /// As [`Manifest::read`], but for a file that is not there.
    pub fn read_with_gaps(paths: &[PathBuf]) -> anyhow::Result<Manifest> {
        Self::read_as(paths, true)
    }

    fn read_as(paths: &[PathBuf], gaps: bool) -> anyhow::Result<Manifest> {
        let mut hasher = Sha256::new();
        let mut rows = Vec::new();
        for (csv, name) in paths.iter().zip(manifest_names(paths)) {
            let bytes = fs::read(csv).with_context(|| format!("{}: cannot be read", csv.display()))?;
            hasher.update(&bytes);
            rows.extend(parse(csv, &bytes)?.into_iter().map(|(line, row)| (csv.as_path(), name.clone(), line, row)));
        }
        if rows.is_empty() {
            let paths = names(paths.iter().map(|path| path.display().to_string()));
            bail!(
                "{paths}: no films, only a header; add a row for each film, or let `trainer prepare` write the manifest"
            );
        }
        let classes = class_list(rows.iter().map(|(_, _, _, row)| row.label.as_str()))?;
        let mut seen: HashMap<PathBuf, String> = HashMap::new();
        let mut films = Vec::with_capacity(rows.len());
        for (csv, name, line, row) in rows {
            let place = format!("{} line {line}", csv.display());
            if row.label.contains('/') {
                bail!(
                    "{place}: label `{}` has a `/`, which reports put between two labels (`covid/normal`); write it with \
                     another sign, for example `-`",
                    row.label
                );
            }
            // Equal paths in two manifests are two films: of one patient only if a manifest says so.
            let prefix = if paths.len() > 1 { format!("{name}/") } else { String::new() };
            let film = film(csv, &place, row, &classes, &name, &prefix)?;
            let there =
                fs::canonicalize(&film.path).or_else(|error| if gaps { Ok(film.path.clone()) } else { Err(error) });
            let key = there.with_context(|| {
                format!(
                    "{place}: file {} is not there; check the path, which starts at the folder of the CSV",
                    film.name
                )
            })?;
            if let Some(first) = seen.insert(key, place.clone()) {
                bail!("{place}: {} is listed twice, first in {first}; keep one of the two", film.name);
            }
            films.push(film);
        }
        one_split_a_patient(&films)?;
        Ok(Manifest { films, classes, digest: hex(&hasher.finalize()) })
    }

    /// Gives a partition to every film that has none: 70/15/15 by patient, stratified over label and source, the same
    /// for the same seed. A film whose patient already has a partition gets that one. Where a manifest marks train
    /// films but no validation films, validation patients are drawn from train (15 of 85); test is never touched.
    pub fn split_by_patient(&mut self, seed: u64) {
        let known: HashMap<String, Split> =
            self.films.iter().filter_map(|film| Some((film.patient_id.clone(), film.split?))).collect();
        for film in &mut self.films {
            film.split = film.split.or_else(|| known.get(&film.patient_id).copied());
        }
        self.draw(seed, None, &[(Split::Train, SHARES[0]), (Split::Validation, SHARES[1]), (Split::Test, SHARES[2])]);
        if !self.films.iter().any(|film| film.split == Some(Split::Validation)) {
            self.draw(seed, Some(Split::Train), &[(Split::Train, SHARES[0]), (Split::Validation, SHARES[1])]);
        }
    }

    /// What makes the validation films a poor judge, a sentence each: fewer than [`FEW_VALIDATION`] of a label.
    pub fn validation_caveats(&self) -> Vec<String> {
        let films = self.subset(Split::Validation);
        let counts = (0..self.classes.len()).map(|class| films.iter().filter(|film| film.label == class).count());
        let few = self.classes.iter().zip(counts).filter(|(_, count)| *count < FEW_VALIDATION);
        let few: Vec<String> = few.map(|(label, count)| format!("{count} of `{label}`")).collect();
        if few.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "too few validation films: {} (fewer than {FEW_VALIDATION} of a label). The best epoch, the calibration and the \
             thresholds are chosen on them and will be a matter of luck",
            few.join(", ")
        )]
    }

    /// As [`Manifest::split_by_patient`] did when weights of this `origin` were made; `wanted` is the partition to measure
    /// on, `None` for all films.
    ///
    /// # Errors
    /// If films of that partition would be drawn although the weights were trained on another manifest: films that they
    /// learned from would be among them.
    pub fn split_as_trained(&mut self, origin: &Origin, wanted: Option<Split>) -> anyhow::Result<()> {
        let given: HashMap<String, Split> =
            self.films.iter().filter_map(|film| Some((film.patient_id.clone(), film.split?))).collect();
        self.split_by_patient(origin.seed);
        let Some(wanted) = wanted else { return Ok(()) };
        let drawn = |film: &Film| film.split == Some(wanted) && given.get(&film.patient_id) != Some(&wanted);
        // The tutorial draws its split by film, in a way of its own.
        let same = self.digest == origin.manifest_digest && !origin.recipe.starts_with(tutorial::RECIPE);
        ensure!(
            same || !self.films.iter().any(drawn),
            "the manifest does not name all of its {word} films, and it is not the one that the weights were trained on: a \
             split drawn now would call films {word} films that the weights learned from. Pass --split all, or the \
             manifest that the weights were trained on; if that was several, all of them in the same order",
            word = wanted.word()
        );
        Ok(())
    }

    /// Spreads the films whose partition is `from` over `parts`, by patient.
    fn draw(&mut self, seed: u64, from: Option<Split>, parts: &[(Split, f64)]) {
        let chosen: Vec<usize> = (0..self.films.len()).filter(|&i| self.films[i].split == from).collect();
        let films: Vec<&Film> = chosen.iter().map(|&i| &self.films[i]).collect();
        let shares: Vec<f64> = parts.iter().map(|(_, share)| *share).collect();
        let drawn = folds::allocate(&films, &shares, folds::Grouping::Patient, seed);
        for (&i, part) in chosen.iter().zip(drawn) {
            self.films[i].split = Some(parts[part].0);
        }
    }

    /// The films of one partition, in order.
    pub fn subset(&self, split: Split) -> Vec<&Film> {
        self.films.iter().filter(|film| film.split == Some(split)).collect()
    }

    /// Numbers the labels as `classes` does (the class list of a weights file), so that a manifest with fewer labels
    /// can be evaluated.
    ///
    /// # Errors
    /// A label of the manifest that `classes` does not have.
    pub fn with_classes(mut self, classes: &[String]) -> anyhow::Result<Manifest> {
        let mut index = Vec::with_capacity(self.classes.len());
        for label in &self.classes {
            let Some(found) = classes.iter().position(|class| class == label) else {
                bail!("label {label} is unknown to the weights, which know {}", names(classes));
            };
            index.push(found);
        }
        for film in &mut self.films {
            film.label = index[film.label];
        }
        self.classes = classes.to_vec();
        Ok(self)
    }
}

/// Writes a whole file or nothing: a temporary file in the same folder, flushed to disk, then renamed. Makes missing
/// folders.
///
/// # Errors
/// The folder cannot be made or written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("{}: cannot be written; check that its folder is writable", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(failed)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As for any new file; the umask takes its part away. (Temporary files are otherwise private to the user.)
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

fn class_list<'a>(labels: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<String>> {
    let labels: BTreeSet<&str> = labels.collect();
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    for label in &labels {
        if let Some(other) = folded.insert(label.to_lowercase(), label) {
            bail!("labels `{other}` and `{label}` differ in case only; write them the same way in every manifest");
        }
    }
    Ok(labels.into_iter().map(String::from).collect())
}

fn one_split_a_patient(films: &[Film]) -> anyhow::Result<()> {
    let mut first: HashMap<&str, (Split, &str)> = HashMap::new();
    for film in films {
        let Some(split) = film.split else { continue };
        let (other, name) = *first.entry(&film.patient_id).or_insert((split, &film.name));
        if other != split {
            bail!(
                "patient {} is in two splits: {name} in {}, {} in {}; move them into one, or clear the split column",
                film.patient_id,
                other.word(),
                film.name,
                split.word()
            );
        }
    }
    Ok(())
}

/// Lower-case hex of a digest.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `a, b, c`.
pub(crate) fn names<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> String {
    list.into_iter().map(|name| name.as_ref().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_folders_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/file.bin");
        for content in [b"first".as_slice(), b"second, longer", b""] {
            write_whole(&path, content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
        let error = write_whole(&path.join("below-a-file"), b"x").unwrap_err();
        assert!(error.to_string().contains("file.bin"), "{error}");
    }
}
