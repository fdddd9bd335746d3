//! The out-of-distribution gate: a linear rule on the network's pooled features that tells frontal chest X-rays from
//! other images. It costs one more row of the last layer.
//!
//! Fitted on training films against half of the images of `--ood` (the others are for the report) and against training
//! films that were turned, cut or blanked. The limit comes from validation films.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use deepbreath::preprocess::{ModelInput, SIDE, resize};
use deepbreath::weights::GateModel;
use deepbreath::{Classifier, Radiograph};
use rayon::prelude::*;
use serde::Deserialize;

use crate::dataset::Film;
use crate::training::{check_interrupted, progress_bar};
use crate::{films, head, recipe};

/// Films of a forward pass.
const BATCH: usize = 16;
/// Every how manyth training film is shown as it is.
const SHOWN_EVERY: usize = 2;
/// Every how manyth training film is spoilt in each way of [`Spoilt`].
const SPOILT_EVERY: usize = 16;
/// Share of validation films, of each source, that the limit may refuse.
const REFUSED: f64 = 0.01;
/// Sources with fewer validation films do not set the limit alone.
const SOURCE_FILMS: usize = 20;
/// The regression behind the gate: stronger regularised than a head, since there are few outliers.
const REGRESSION: recipe::Head = recipe::Head { steps: 400, learning_rate: 0.01, l2: 0.02 };

/// An image that is no frontal chest X-ray, a row of `--ood`.
#[derive(Debug, Clone, Deserialize)]
pub struct Outlier {
    /// Relative to the CSV.
    pub path: String,
    /// What it shows.
    pub kind: String,
}

/// Reads a CSV with the columns `path` and `kind`.
///
/// # Errors
/// If it cannot be read or lacks a column.
pub fn read(csv: &Path) -> Result<Vec<Outlier>> {
    let context = || format!("cannot read {} (columns path,kind)", csv.display());
    csv::Reader::from_path(csv).with_context(context)?.deserialize().collect::<Result<_, _>>().with_context(context)
}

/// Of each kind every other row, beginning with the first: what gates are fitted on. The rest is for reports.
pub fn fitting_half(outliers: &[Outlier]) -> Vec<bool> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    outliers
        .iter()
        .map(|outlier| {
            let count = seen.entry(&outlier.kind).or_default();
            *count += 1;
            *count % 2 == 1
        })
        .collect()
}

/// Ways to make an image that must be refused from a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    /// By quarter turns.
    Turned(u8),
    /// To its left or right half: one lung.
    LeftHalf,
    /// As [`Self::LeftHalf`].
    RightHalf,
    /// To nothing but its mean grey.
    Blank,
}

impl Spoilt {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Turned(1), Self::Turned(2), Self::Turned(3), Self::LeftHalf, Self::RightHalf, Self::Blank];

    /// The network's input for the spoilt `film`.
    pub fn input(self, film: &Radiograph) -> ModelInput {
        let (width, height) = (film.width, film.height);
        let half = (width / 2).max(1);
        let columns = |from: usize| -> Vec<f32> {
            film.pixels.chunks_exact(width).flat_map(|row| row[from..from + half].iter().copied()).collect()
        };
        ModelInput::from_plane(match self {
            Self::Turned(quarters) => {
                let mut plane = resize(&film.pixels, width, height, SIDE, SIDE);
                for _ in 0..quarters {
                    plane = (0..SIDE * SIDE).map(|at| plane[(SIDE - 1 - at % SIDE) * SIDE + at / SIDE]).collect();
                }
                plane
            }
            Self::LeftHalf => resize(&columns(0), half, height, SIDE, SIDE),
            Self::RightHalf => resize(&columns(width - half), half, height, SIDE, SIDE),
            Self::Blank => vec![0.5; SIDE * SIDE],
        })
    }
}

/// Fits the gate of `classifier` on training films and outliers, with the limit from validation films.
///
/// # Errors
/// If a file cannot be read, or Ctrl-C was pressed.
pub fn fit(classifier: &Classifier, train: &[&Film], validation: &[&Film], csv: &Path) -> Result<GateModel> {
    let outliers = read(csv)?;
    let dir = csv.parent().unwrap_or(Path::new("."));
    let mut inputs: Vec<ModelInput> = Vec::new();
    for (outlier, fitting) in outliers.iter().zip(fitting_half(&outliers)) {
        if !fitting {
            continue;
        }
        let path = dir.join(&outlier.path);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // What cannot be decoded is refused anyway.
        if let Ok(image) = Radiograph::decode(&outlier.path, &bytes) {
            let mirrored = mirror(&image);
            inputs.extend([&image, &mirrored].map(ModelInput::from_radiograph));
        }
    }
    let given = inputs.len();
    ensure!(given > 0, "{} names no readable image", csv.display());
    for (index, film) in train.iter().step_by(SPOILT_EVERY).enumerate() {
        let film = films::decode(film)?;
        inputs.extend(Spoilt::ALL.iter().skip(index % 2).step_by(2).map(|spoilt| spoilt.input(&film)));
    }
    let made = inputs.len() - given;
    let train: Vec<&Film> = train.iter().step_by(SHOWN_EVERY).copied().collect();
    let mut features = rows(classifier, "outliers", inputs.len(), |index| Ok(inputs[index].clone()))?;
    features.extend(rows(classifier, "training films", train.len(), |index| films::input(train[index]))?);
    // Films, given outliers and made ones count as much as each other, summed up.
    let mut labels = vec![1; given + made];
    labels.resize(features.len(), 0);
    let weight = |count: usize| 1.0 / count.max(1) as f32;
    let mut weights = vec![weight(given); given];
    weights.resize(given + made, weight(made));
    weights.resize(features.len(), weight(train.len()));
    let head = head::fit(&features, &labels, &weights, 2, &REGRESSION);
    let (inside, outside) = head.weight.values.split_at(head.weight.values.len() / 2);
    let weight: Vec<f32> = outside.iter().zip(inside).map(|(outside, inside)| outside - inside).collect();
    let bias = head.bias.values[1] - head.bias.values[0];
    let features = rows(classifier, "validation films", validation.len(), |index| films::input(validation[index]))?;
    let mut distances: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for (film, features) in validation.iter().zip(&features) {
        let distance = weight.iter().zip(features).map(|(weight, feature)| weight * feature).sum::<f32>() + bias;
        distances.entry("").or_default().push(distance);
        distances.entry(&film.source).or_default().push(distance);
    }
    let limit = distances
        .values_mut()
        .filter(|distances| distances.len() >= SOURCE_FILMS)
        .map(|distances| largest_but(distances, REFUSED))
        .fold(f32::NEG_INFINITY, f32::max);
    ensure!(limit.is_finite(), "too few validation films for a limit: at least {SOURCE_FILMS} are needed");
    let data = format!(
        "{} training films against {given} views of other images and {made} spoilt films; limit from {} validation films",
        train.len(),
        validation.len()
    );
    println!("gate: {data}; limit {limit:.2}");
    Ok(GateModel { weight, bias, limit, data })
}

/// The value that at most `share` of `values` exceed.
fn largest_but(values: &mut [f32], share: f64) -> f32 {
    values.sort_by(f32::total_cmp);
    values[values.len() - 1 - (share * values.len() as f64) as usize]
}

fn mirror(image: &Radiograph) -> Radiograph {
    let mut mirrored = image.clone();
    mirrored.pixels.chunks_exact_mut(image.width).for_each(<[f32]>::reverse);
    mirrored
}

fn rows(
    classifier: &Classifier,
    what: &str,
    count: usize,
    input: impl Fn(usize) -> Result<ModelInput> + Sync,
) -> Result<Vec<Vec<f32>>> {
    let bar = progress_bar(count, what);
    let mut rows = Vec::with_capacity(count);
    let indices: Vec<usize> = (0..count).collect();
    for batch in indices.chunks(BATCH) {
        check_interrupted()?;
        let inputs: Vec<ModelInput> = batch.par_iter().map(|index| input(*index)).collect::<Result<_>>()?;
        rows.extend(pollster::block_on(classifier.features_batch(&inputs))?);
        bar.set_position(rows.len() as u64);
    }
    bar.finish_and_clear();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_each_kind_is_left_for_reports() {
        let kinds = ["a", "b", "a", "a", "b", "c"];
        let outliers: Vec<Outlier> =
            kinds.iter().map(|kind| Outlier { path: String::new(), kind: (*kind).into() }).collect();
        assert_eq!(fitting_half(&outliers), [true, true, false, true, false, true]);
    }

    #[test]
    fn the_limit_lets_all_but_the_share_pass() {
        let mut values: Vec<f32> = (0..200).map(|value| value as f32).collect();
        let limit = largest_but(&mut values, 0.01);
        assert_eq!(values.iter().filter(|value| **value > limit).count(), 2);
        assert_eq!(largest_but(&mut [3.0, 1.0, 2.0], 0.01), 3.0);
    }

    #[test]
    fn four_quarter_turns_change_nothing_and_two_turn_over() {
        let pixels: Vec<f32> = (0..SIDE * SIDE).map(|at| ((at * 7919) % 1024) as f32 / 1024.0).collect();
        let image = Radiograph { width: SIDE, height: SIDE, pixels, provenance: Default::default() };
        let straight = ModelInput::from_radiograph(&image);
        assert_eq!(Spoilt::Turned(4).input(&image), straight);
        let over = Spoilt::Turned(2).input(&image).values;
        assert_eq!(over[0], straight.values[SIDE * SIDE - 1]);
        let black = straight.values.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(Spoilt::Blank.input(&image).values.iter().all(|value| *value == black));
    }
}
