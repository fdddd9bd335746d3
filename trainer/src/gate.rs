//! The out-of-distribution gate: a softmax regression on the network's pooled features between frontal chest X-rays as
//! they should be, other images, and chest X-rays with a flaw that can be named. It costs a few more rows of the last layer.
//!
//! Fitted on training films against half of the images of `--ood` (the others are for the report) and against training
//! films that were turned, cut or inverted. The limit lies between validation films and what half of a regression did not see.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use deepbreath::decision::Gate;
use deepbreath::model::FEATURES;
use deepbreath::preprocess::ModelInput;
use deepbreath::weights::{Flaw, FlawModel, GateModel};
use deepbreath::{Classifier, Radiograph};
use rayon::prelude::*;
use serde::Deserialize;

use crate::dataset::Film;
use crate::head::{self, Head};
use crate::spoilt::Spoilt;
use crate::training::{check_interrupted, progress_bar};
use crate::{films, recipe};

/// Films of a forward pass.
const BATCH: usize = 16;
/// Every how manyth training film is shown as it is.
const SHOWN_EVERY: usize = 2;
/// Every how manyth training film is spoilt in each way of [`Spoilt`] but one half.
const SPOILT_EVERY: usize = 8;
/// What the gate names.
const FLAWS: [Flaw; 5] = [Flaw::Turned90, Flaw::Turned180, Flaw::Turned270, Flaw::Cropped, Flaw::Inverted];
/// Share of validation films, of each source, that the limit may refuse.
const REFUSED: f64 = 0.01;
/// Share of other and flawed images, each judged by a regression on the other half, that may lie below the limit where
/// there is room between them and the films.
const PASSED: f64 = 0.01;
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

/// About half of each kind: what gates are fitted on. The rest is for reports. Images of one case stay together; the first
/// case of a kind is in the fitting half, each further one where there is less.
pub fn fitting_half(outliers: &[Outlier]) -> Vec<bool> {
    let mut sizes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for Outlier { path, kind } in outliers {
        *sizes.entry((kind, case(path))).or_default() += 1;
        *sizes.entry((kind, "")).or_default() += 1;
    }
    // A name that most of a kind have says nothing: `photo-1`, `photo-2`.
    let key = |Outlier { path, kind }: &'_ Outlier| -> (String, String) {
        let telling = 2 * sizes[&(kind.as_str(), case(path))] <= sizes[&(kind.as_str(), "")];
        (kind.clone(), if telling { case(path) } else { path }.to_owned())
    };
    let keys: Vec<(String, String)> = outliers.iter().map(key).collect();
    let mut halves: BTreeMap<&(String, String), bool> = BTreeMap::new();
    for key in &keys {
        let count = |half| keys.iter().filter(|other| other.0 == key.0 && halves.get(other) == Some(&half)).count();
        let fitting = count(true) <= count(false);
        halves.entry(key).or_insert(fitting);
    }
    keys.iter().map(|key| halves[key]).collect()
}

/// What images of one patient, study or article have in common in their file names: the name without the short numbers
/// and letters at its end (`16745_2_3` and `16745_7_5` are slices of one study). Too coarse at times, which does no harm.
fn case(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut case = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    while let Some((rest, end)) = case.rsplit_once(['-', '_']) {
        if rest.is_empty() || end.is_empty() || end.len() > 3 {
            break;
        }
        case = rest;
    }
    case
}

/// Fits the gate of `classifier` on training films and outliers, with the limit from validation films
/// and from outliers that half of a regression did not see.
///
/// # Errors
/// If a file cannot be read, or Ctrl-C was pressed.
pub fn fit(classifier: &Classifier, train: &[&Film], validation: &[&Film], csv: &Path) -> Result<GateModel> {
    let outliers = read(csv)?;
    let dir = csv.parent().unwrap_or(Path::new("."));
    let mut inputs: Vec<ModelInput> = Vec::new();
    // Halves of what the gate is fitted on, to see how it does on what it was not.
    let mut half: Vec<bool> = Vec::new();
    let fitting = fitting_half(&outliers);
    let outliers: Vec<Outlier> = outliers.into_iter().zip(fitting).filter(|(_, fits)| *fits).map(|(o, _)| o).collect();
    for (outlier, side) in outliers.iter().zip(fitting_half(&outliers)) {
        let path = dir.join(&outlier.path);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // What cannot be decoded is refused anyway.
        if let Ok(image) = Radiograph::decode(&outlier.path, &bytes) {
            let mirrored = mirror(&image);
            inputs.extend([&image, &mirrored].map(ModelInput::from_radiograph));
            half.extend([side; 2]);
        }
    }
    let given = inputs.len();
    ensure!(given > 0, "{} names no readable image", csv.display());
    let mut spoilt: Vec<(&Film, Spoilt, Flaw)> = Vec::new();
    for (index, film) in train.iter().step_by(SPOILT_EVERY).enumerate() {
        let left_out = [Spoilt::LeftHalf, Spoilt::RightHalf][index % 2];
        let shown = Spoilt::ALL.into_iter().filter(|way| *way != left_out);
        spoilt.extend(shown.filter_map(|way| Some((*film, way, way.flaw()?))));
        half.resize(given + spoilt.len(), index % 2 == 0);
    }
    let made = spoilt.len();
    let train: Vec<&Film> = train.iter().step_by(SHOWN_EVERY).copied().collect();
    half.extend((0..train.len()).map(|index| index % 2 == 0));
    let mut features = rows(classifier, "outliers", given, |index| Ok(inputs[index].clone()))?;
    features.extend(rows(classifier, "spoilt films", made, |index| {
        let (film, way, _) = spoilt[index];
        Ok(way.input(&films::decode(film)?))
    })?);
    features.extend(rows(classifier, "training films", train.len(), |index| films::input(train[index]))?);
    // Classes of the regression: films, other images, flaws.
    let class = |flaw: Flaw| 2 + FLAWS.iter().position(|known| *known == flaw).expect("every flaw is listed");
    let mut labels = vec![1; given];
    labels.extend(spoilt.iter().map(|(.., flaw)| class(*flaw)));
    labels.resize(features.len(), 0);
    let all: Vec<usize> = (0..labels.len()).collect();
    let mut model = regression(&features, &labels, &all);
    let mut others: Vec<f32> = Vec::new();
    for side in [true, false] {
        let (own, strange): (Vec<usize>, Vec<usize>) = all.iter().partition(|row| half[**row] == side);
        let model = regression(&features, &labels, &own);
        others.extend(strange.iter().filter(|row| labels[**row] != 0).map(|row| distance(&model, &features[*row])));
    }
    let features = rows(classifier, "validation films", validation.len(), |index| films::input(validation[index]))?;
    let mut distances: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for (film, features) in validation.iter().zip(&features) {
        let distance = distance(&model, features);
        distances.entry("").or_default().push(distance);
        distances.entry(&film.source).or_default().push(distance);
    }
    let films = distances
        .values_mut()
        .filter(|distances| distances.len() >= SOURCE_FILMS)
        .map(|distances| largest_but(distances, REFUSED))
        .fold(f32::NEG_INFINITY, f32::max);
    ensure!(films.is_finite(), "too few validation films for a limit: at least {SOURCE_FILMS} are needed");
    others.iter_mut().for_each(|distance| *distance = -*distance);
    model.limit = between(films, -largest_but(&mut others, PASSED));
    model.data = format!(
        "{} training films against {given} views of other images and {made} spoilt films; limit from {} validation films",
        train.len(),
        validation.len()
    );
    println!("gate: {}; limit {:.2}", model.data, model.limit);
    Ok(model)
}

/// The regression on some of the rows; films, other images and flawed films count as much as each other, summed up.
fn regression(features: &[Vec<f32>], labels: &[usize], rows: &[usize]) -> GateModel {
    let part = |row: &usize| labels[*row].min(2);
    let count = |wanted: usize| rows.iter().filter(|row| part(row) == wanted).count().max(1) as f32;
    let counts = [0, 1, 2].map(count);
    let weights: Vec<f32> = rows.iter().map(|row| 1.0 / counts[part(row)]).collect();
    let features: Vec<Vec<f32>> = rows.iter().map(|row| features[*row].clone()).collect();
    let labels: Vec<usize> = rows.iter().map(|row| labels[*row]).collect();
    against_films(&head::fit(&features, &labels, &weights, 2 + FLAWS.len(), &REGRESSION))
}

/// The limit: half-way between what films reach and what other images exceed, or what films reach if the two overlap.
fn between(films: f32, others: f32) -> f32 {
    if others > films { f32::midpoint(films, others) } else { films }
}

/// The rows of the regression less that of the films: log odds against them.
fn against_films(head: &Head) -> GateModel {
    let mut rows = head.weight.values.chunks_exact(FEATURES).zip(&head.bias.values);
    let (films, films_bias) = rows.next().expect("a row for the films");
    let mut odds = rows.map(|(row, bias)| {
        let weight: Vec<f32> = row.iter().zip(films).map(|(row, film)| rounded(row - film)).collect();
        (weight, rounded(bias - films_bias))
    });
    let (weight, bias) = odds.next().expect("a row for other images");
    let flaws = FLAWS.into_iter().zip(odds).map(|(flaw, (weight, bias))| FlawModel { flaw, weight, bias }).collect();
    GateModel { weight, bias, limit: f32::INFINITY, data: String::new(), flaws }
}

/// To five digits: the file holds these numbers as text.
fn rounded(value: f32) -> f32 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// The distance that the library computes, see [`Gate::new`].
fn distance(model: &GateModel, features: &[f32]) -> f32 {
    let score = |weight: &[f32], bias: f32| weight.iter().zip(features).map(|(w, x)| w * x).sum::<f32>() + bias;
    let flaws = model.flaws.iter().map(|row| score(&row.weight, row.bias));
    let scores: Vec<f32> = [score(&model.weight, model.bias)].into_iter().chain(flaws).collect();
    Gate::new(model, &scores).distance
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
    fn half_of_each_kind_is_left_for_reports_and_cases_stay_together() {
        let images = [
            ("ct/16745_2_3.jpg", "ct"),
            ("ct/black.jpg", "ct"),
            ("photo/black.jpg", "photo"),
            ("ct/16745_7_5.png", "ct"),
            ("ct/16689_1_1.jpg", "ct"),
            ("ct/white.jpg", "ct"),
            ("photo/n01_shark.jpg", "photo"),
        ];
        let outliers: Vec<Outlier> =
            images.iter().map(|(path, kind)| Outlier { path: (*path).into(), kind: (*kind).into() }).collect();
        // The study counts twice, so that both others of its kind make up for it.
        assert_eq!(fitting_half(&outliers), [true, false, true, true, false, true, false]);
        let numbered = [1, 2, 3, 4].map(|n| Outlier { path: format!("photo-{n}.jpg"), kind: "photo".into() });
        assert_eq!(fitting_half(&numbered), [true, false, true, false]);
        for (path, wanted) in [
            ("a/jkms-35-e79-g001-l-d.jpg", "jkms-35-e79-g001"),
            ("FC230FE2-1DDF-40EB.jpg", "FC230FE2-1DDF-40EB"),
            ("covid-19-pneumonia-30-L.jpg", "covid-19-pneumonia"),
            ("black", "black"),
            ("_1.png", "_1"),
        ] {
            assert_eq!(case(path), wanted, "{path}");
        }
    }

    #[test]
    fn the_limit_lets_all_but_the_share_pass() {
        let mut values: Vec<f32> = (0..200).map(|value| value as f32).collect();
        let limit = largest_but(&mut values, 0.01);
        assert_eq!(values.iter().filter(|value| **value > limit).count(), 2);
        assert_eq!(largest_but(&mut [3.0, 1.0, 2.0], 0.01), 3.0);
    }

    #[test]
    fn the_limit_is_in_the_middle_of_the_gap_if_there_is_one() {
        assert_eq!((between(1.0, 3.0), between(1.0, 0.5)), (2.0, 1.0));
    }

    #[test]
    fn the_rows_are_log_odds_against_films() {
        let classes = 2 + FLAWS.len();
        let mut head = Head::zeros(classes);
        // Class `c` scores `c * feature 0 + 10 c`.
        for class in 0..classes {
            head.weight.values[class * FEATURES] = class as f32 + 0.5;
            head.bias.values[class] = 10.0 * class as f32;
        }
        let model = against_films(&head);
        assert_eq!((model.weight[0], model.weight[1], model.bias), (1.0, 0.0, 10.0));
        let odds: Vec<_> = model.flaws.iter().map(|row| (row.flaw, row.weight[0], row.bias)).collect();
        let expected = FLAWS.iter().enumerate().map(|(at, flaw)| (*flaw, 2.0 + at as f32, 20.0 + 10.0 * at as f32));
        assert_eq!(odds, expected.collect::<Vec<_>>());
        // At feature 0 = -10 every score is 0, so the odds are those of as many equal kinds.
        let mut features = vec![0.0; FEATURES];
        features[0] = -10.0;
        assert!((distance(&model, &features) - (1.0 + FLAWS.len() as f32).ln()).abs() < 1e-4);
    }

    #[test]
    fn five_digits_are_kept() {
        assert_eq!(rounded(0.012_345_678), 0.012_346);
        assert_eq!((rounded(0.0), rounded(-3.0)), (0.0, -3.0));
    }
}
