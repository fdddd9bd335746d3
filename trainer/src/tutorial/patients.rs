//! Who the films are of, and how many patients a split by film puts on both sides.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Division;
use crate::dataset::{Film, Row, Split, read_rows};

/// What is known of the patient of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The patient.
    pub patient: String,
    /// `adult`, `paediatric`, or `None` where nobody wrote it down.
    pub age_group: Option<String>,
    /// Where the film comes from.
    pub source: String,
    /// Its partition, where it has one.
    pub split: Option<Split>,
}

/// Patients with films on both sides of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Patients with at least one film to train on and one to test on.
    pub patients: usize,
    /// Test films of these patients.
    pub test_films: usize,
}

/// The patient of each film: from the film's own row or, where that gives none, from a `manifest.csv` in one of the
/// folders of the film's path (the list of the pool that the film comes from).
///
/// # Errors
/// If such a manifest is there and cannot be read.
pub fn look_up(films: &[Film]) -> Result<Vec<Option<Known>>> {
    let mut pools: HashMap<PathBuf, Option<HashMap<String, Known>>> = HashMap::new();
    films
        .iter()
        .map(|film| {
            if film.patient_id != film.name {
                let (patient, source) = (film.patient_id.clone(), film.source.clone());
                return Ok(Some(Known { patient, age_group: film.age_group.clone(), source, split: film.split }));
            }
            for folder in film.path.ancestors().skip(1).take(Path::new(&film.name).components().count()) {
                if !pools.contains_key(folder) {
                    pools.insert(folder.to_owned(), pool(folder)?);
                }
                let inside = film.path.strip_prefix(folder).unwrap_or(&film.path);
                let found =
                    pools[folder].as_ref().and_then(|pool| pool.get(&inside.to_string_lossy().replace('\\', "/")));
                if let Some(known) = found {
                    return Ok(Some(known.clone()));
                }
            }
            Ok(None)
        })
        .collect()
}

/// The patients of the manifest in `folder`, by path, if there is one.
fn pool(folder: &Path) -> Result<Option<HashMap<String, Known>>> {
    let csv = folder.join("manifest.csv");
    if !csv.is_file() {
        return Ok(None);
    }
    let rows = read_rows(&csv)?.into_iter().map(|(_, row)| row).filter(|row| !row.patient_id.is_empty());
    let known = |age: String| Some(age).filter(|age| !age.is_empty() && age != "unknown");
    let entry = |row: Row| {
        let (age_group, split) = (known(row.age_group), Split::from_word(&row.split));
        (row.path, Known { patient: row.patient_id, age_group, source: row.source, split })
    };
    Ok(Some(rows.map(entry).collect()))
}

/// Counts the patients on both sides; `None` if the patient of any film is unknown.
pub fn shared(known: &[Option<Known>], division: &Division) -> Option<Shared> {
    let patients: Vec<&str> =
        known.iter().map(|known| Some(known.as_ref()?.patient.as_str())).collect::<Option<_>>()?;
    let train: BTreeSet<&str> = division.train.iter().map(|film| patients[*film]).collect();
    let tested: Vec<&str> =
        division.test.iter().map(|film| patients[*film]).filter(|patient| train.contains(patient)).collect();
    Some(Shared { patients: tested.iter().collect::<BTreeSet<_>>().len(), test_films: tested.len() })
}
