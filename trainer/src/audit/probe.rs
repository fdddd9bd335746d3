//! What a new linear head makes of features: trained on some patients, asked about the others.

use anyhow::Result;

use crate::dataset::Film;
use crate::folds::{Grouping, folds};
use crate::head;
use crate::metrics::Prediction;
use crate::recipe;
use crate::training::check_interrupted;
use crate::validation::predictions;

/// Parts that the patients are dealt into.
pub const FOLDS: usize = 5;
/// The regression: more weight decay than a head for use, since there are fewer films than features.
const HEAD: recipe::Head = recipe::Head { steps: 200, learning_rate: 0.02, l2: 0.1 };

/// For each of `films` (whose `label` is to be told) an answer from its row of features by a head that never saw its
/// patient. Every label counts the same, whatever its number of films.
///
/// # Errors
/// If there are fewer patients than folds, or Ctrl-C was pressed.
pub fn answers(films: &[Film], rows: &[Vec<f32>], classes: usize, seed: u64) -> Result<Vec<Prediction>> {
    let fold = folds(films, FOLDS, Grouping::Patient, seed)?;
    let mut logits = vec![Vec::new(); films.len()];
    for part in 0..FOLDS {
        check_interrupted()?;
        let learned: Vec<usize> = (0..films.len()).filter(|film| fold[*film] != part).collect();
        let labels: Vec<usize> = learned.iter().map(|film| films[*film].label).collect();
        let count = |label: usize| labels.iter().filter(|other| **other == label).count();
        let weights: Vec<f32> = labels.iter().map(|label| 1.0 / count(*label) as f32).collect();
        let features: Vec<Vec<f32>> = learned.iter().map(|film| rows[*film].clone()).collect();
        let head = head::fit(&features, &labels, &weights, classes, &HEAD);
        for film in (0..films.len()).filter(|film| fold[*film] == part) {
            logits[film] = head.logits(&rows[film]);
        }
    }
    let films: Vec<&Film> = films.iter().collect();
    Ok(predictions(&films, logits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::accuracy;

    /// Features that name the patient but not the label serve nobody who is asked about other patients.
    #[test]
    fn patients_are_never_on_both_sides() {
        let film = |number: usize| Film {
            path: number.to_string().into(),
            name: number.to_string(),
            label: (number / 4) % 2,
            source: "s".into(),
            patient_id: (number / 4).to_string(),
            view: None,
            age_group: None,
            license: None,
            sha256: None,
            split: None,
        };
        let films: Vec<Film> = (0..160).map(film).collect();
        let by_patient: Vec<Vec<f32>> = films
            .iter()
            .map(|film| (0..40).map(|id| f32::from(u8::from(film.patient_id == id.to_string()))).collect())
            .collect();
        let blind = accuracy(&answers(&films, &by_patient, 2, 1).unwrap(), 2).unwrap();
        assert!((0.2..0.8).contains(&blind), "{blind}");
        let by_label: Vec<Vec<f32>> = films.iter().map(|film| vec![film.label as f32, 1.0]).collect();
        assert_eq!(accuracy(&answers(&films, &by_label, 2, 1).unwrap(), 2), Some(1.0));
    }
}
