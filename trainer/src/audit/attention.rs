//! Where the class activation map lies, and whether it depends on what the network learned.
//!
//! The weight-randomisation test (Adebayo et al. 2018, "Sanity Checks for Saliency Maps"): layers lose their weights to
//! random ones, from the last to the first, and the map of the same finding is compared with the original by rank. A map
//! that stays the same shows the image, not the network.

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use deepbreath::mask::Mask;
use deepbreath::model::{FEATURES, Model, ModelConfig, NamedTensors};
use deepbreath::preprocess::ModelInput;
use deepbreath::preprocess::SIDE;
use deepbreath::saliency::{Saliency, class_activation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::measure::mean;
use crate::bootstrap::{Bootstrap, Estimate};
use crate::dataset::Film;
use crate::films;
use crate::training::{check_interrupted, progress_bar};

/// Films of a forward pass.
const BATCH: usize = 16;
/// Every how manyth film the randomisation is done on.
const RANDOMISED_EVERY: usize = 4;
/// Random last layers that are averaged over: they cost nothing.
const RANDOM_HEADS: u32 = 10;
/// What is randomised, in words, and the lowest layer of it: 0 the stem, 1 to 16 the blocks, 17 the last convolution,
/// 18 the classifier.
const STAGES: [(&str, usize); 5] = [
    ("the last layer", 18),
    ("and the last convolution", 17),
    ("and blocks 12 to 16", 12),
    ("and blocks 6 to 11", 6),
    ("everything", 0),
];

/// Where the maps of the most probable finding lie.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Films with a map.
    pub films: usize,
    /// Mean share of the map inside the lungs.
    pub inside: Estimate,
    /// Mean share of the film that the lungs take: what a map without any aim would have inside.
    pub area: Estimate,
    /// Mean of `inside` less `area`, film by film.
    pub above: Estimate,
}

/// One stage of the randomisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Randomised {
    /// What lost its weights, besides that of the stages before.
    pub what: String,
    /// Films.
    pub films: usize,
    /// Mean rank correlation (Spearman) of the map with that of the intact network; near 0 is good.
    pub correlation: Estimate,
}

/// Where the network of `tensors` looks on `films`, and the randomisation test on some of them.
///
/// # Errors
/// If a film cannot be decoded, or Ctrl-C was pressed.
pub fn look(
    films: &[Film],
    patients: &[usize],
    tensors: &NamedTensors,
    device: &Device,
    bootstrap: Bootstrap,
) -> Result<(Attention, Vec<Randomised>)> {
    let classes = tensors["classifier.bias"].values.len();
    let intact = network(tensors, device)?;
    let maps = maps(films, &intact, device, "where it looks")?;
    let mut inside = Vec::with_capacity(films.len());
    let mut area = Vec::with_capacity(films.len());
    for (film, map) in films.iter().zip(&maps) {
        let (share, lungs) = share_inside(&map.saliency(tensors), &Mask::lungs(&films::decode(film)?, 0.5));
        inside.push(share);
        area.push(share.map(|_| lungs));
    }
    let above: Vec<Option<f64>> = inside.iter().zip(&area).map(|(inside, area)| Some((*inside)? - (*area)?)).collect();
    let attention = Attention {
        films: inside.iter().flatten().count(),
        inside: mean(&inside, patients, bootstrap),
        area: mean(&area, patients, bootstrap),
        above: mean(&above, patients, bootstrap),
    };
    let chosen: Vec<usize> = (0..films.len()).step_by(RANDOMISED_EVERY).collect();
    let some: Vec<Film> = chosen.iter().map(|film| films[*film].clone()).collect();
    let of: Vec<usize> = renumbered(chosen.iter().map(|film| patients[*film]));
    let mut stages = Vec::new();
    for (what, lowest) in STAGES {
        let random = randomised(tensors, classes, lowest, 0);
        let correlations: Vec<Option<f64>> = if lowest == 18 {
            // The features stay, so the intact network's serve.
            let heads: Vec<NamedTensors> =
                (0..RANDOM_HEADS).map(|seed| randomised(tensors, classes, 18, seed)).collect();
            let correlation = |film: &usize| {
                let map = &maps[*film];
                let each = heads.iter().map(|head| spearman(&map.activation(tensors), &map.activation(head)));
                let each: Vec<f64> = each.collect::<Option<_>>()?;
                Some(each.iter().sum::<f64>() / each.len() as f64)
            };
            chosen.iter().map(correlation).collect()
        } else {
            let network = network(&random, device)?;
            let others = self::maps(&some, &network, device, "randomised")?;
            let pair = |(film, other): (&usize, &Map)| {
                let map = &maps[*film];
                let other = Map { class: map.class, ..other.clone() };
                spearman(&map.activation(tensors), &other.activation(&random))
            };
            chosen.iter().zip(&others).map(pair).collect()
        };
        stages.push(Randomised {
            what: what.into(),
            films: correlations.iter().flatten().count(),
            correlation: mean(&correlations, &of, bootstrap),
        });
    }
    Ok((attention, stages))
}

/// Numbers from 0 without gaps, in order of first appearance.
fn renumbered(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut seen: Vec<usize> = Vec::new();
    numbers
        .map(|number| {
            seen.iter().position(|other| *other == number).unwrap_or_else(|| {
                seen.push(number);
                seen.len() - 1
            })
        })
        .collect()
}

/// The last features of one film and its most probable finding.
#[derive(Debug, Clone)]
struct Map {
    /// `[FEATURES, side, side]`.
    features: Vec<f32>,
    side: usize,
    class: usize,
}

impl Map {
    fn weights<'a>(&self, tensors: &'a NamedTensors) -> &'a [f32] {
        &tensors["classifier.weight"].values[self.class * FEATURES..][..FEATURES]
    }

    fn activation(&self, tensors: &NamedTensors) -> Vec<f32> {
        class_activation(&self.features, self.weights(tensors), self.side * self.side)
    }

    fn saliency(&self, tensors: &NamedTensors) -> Saliency {
        Saliency::new("", &self.features, self.weights(tensors), self.side, self.side)
    }
}

fn network(tensors: &NamedTensors, device: &Device) -> Result<Model> {
    let classes = tensors["classifier.bias"].values.len();
    Ok(Model::from_tensors(&ModelConfig::new(classes), tensors, device)?)
}

fn maps(films: &[Film], network: &Model, device: &Device, what: &str) -> Result<Vec<Map>> {
    let bar = progress_bar(films.len(), what);
    let mut maps = Vec::with_capacity(films.len());
    let values = |tensor: Tensor<4>| tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("32-bit values");
    for batch in films.chunks(BATCH) {
        check_interrupted()?;
        let inputs: Vec<ModelInput> = batch.par_iter().map(films::input).collect::<Result<_>>()?;
        let output = network.forward(ModelInput::to_batch(&inputs, device));
        let [_, _, side, _] = output.features.dims();
        let logits = output.logits.into_data().convert::<f32>().try_into_vec::<f32>().expect("32-bit values");
        let rows = logits.chunks_exact(logits.len() / batch.len());
        for (features, logits) in values(output.features).chunks_exact(FEATURES * side * side).zip(rows) {
            let class = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0);
            maps.push(Map { features: features.to_vec(), side, class });
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(maps)
}

/// `tensors` with random ones in layer `lowest` and above, by the scheme of [`Model::random_tensors`].
fn randomised(tensors: &NamedTensors, classes: usize, lowest: usize, seed: u32) -> NamedTensors {
    let layer = |name: &str| match name.split('.').collect::<Vec<_>>()[..] {
        ["blocks", number, ..] => 1 + number.parse::<usize>().expect("blocks are numbered"),
        ["head", ..] => 17,
        ["classifier", ..] => 18,
        _ => 0,
    };
    let mut mixed = tensors.clone();
    for (name, tensor) in Model::random_tensors(&ModelConfig::new(classes), 1 + seed) {
        if layer(&name) >= lowest {
            mixed.insert(name, tensor);
        }
    }
    mixed
}

/// The share of a map's mass inside the lungs, none for an empty map; and the lungs' share of the film.
fn share_inside(map: &Saliency, lungs: &Mask) -> (Option<f64>, f64) {
    let heat = map.upsample(SIDE, SIDE);
    let sum = |inside: bool| {
        let cells = heat.iter().zip(lungs.cells()).filter(|(_, lung)| inside <= **lung);
        cells.map(|(heat, _)| f64::from(*heat)).sum::<f64>()
    };
    let whole = sum(false);
    ((whole > 0.0).then(|| sum(true) / whole), lungs.area())
}

/// Spearman's rank correlation, ties with their mean rank; `None` where one of the two does not vary.
fn spearman(one: &[f32], other: &[f32]) -> Option<f64> {
    let (one, other) = (ranks(one), ranks(other));
    let mean = (one.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let scale = (product(&one, &one) * product(&other, &other)).sqrt();
    (scale > 0.0).then(|| product(&one, &other) / scale)
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (tied.len() as f64 - 1.0) / 2.0;
        tied.iter().for_each(|index| ranks[*index] = rank);
        first += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation_in_closed_form() {
        assert_eq!(spearman(&[1.0, 2.0, 30.0], &[-5.0, 0.0, 0.1]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0]), None);
        // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5).
        let tied = spearman(&[0.0, 1.0, 1.0, 2.0], &[0.0, 1.0, 2.0, 3.0]).unwrap();
        assert!((tied - 4.5 / 22.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn shares_of_a_map_in_closed_form() {
        let map = |values: Vec<f32>| Saliency { label: String::new(), width: 2, height: 1, values, peak: 1.0 };
        let left = Mask::rectangle(0.0, 0.0, 0.5, 1.0);
        let (even, area) = share_inside(&map(vec![1.0, 1.0]), &left);
        assert!((even.unwrap() - 0.5).abs() < 1e-6 && (area - 0.5).abs() < 1e-9);
        // Bilinear between the two centres: 3/8 of the width at 1, then down to 0.5 at the middle.
        let (one, _) = share_inside(&map(vec![1.0, 0.0]), &left);
        assert!((one.unwrap() - 0.875).abs() < 0.01, "{one:?}");
        assert_eq!(share_inside(&map(vec![0.0, 0.0]), &left).0, None);
    }

    #[test]
    fn layers_lose_their_weights_from_the_last_on() {
        let tensors = Model::random_tensors(&ModelConfig::new(2), 77);
        let changed = |lowest: usize| -> Vec<String> {
            let mixed = randomised(&tensors, 2, lowest, 0);
            assert_eq!(mixed.len(), tensors.len());
            mixed.iter().filter(|(name, tensor)| tensors[*name] != **tensor).map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(changed(18), ["classifier.weight"], "its bias is 0 either way");
        let blocks = changed(12);
        assert!(
            blocks.iter().any(|name| name.starts_with("blocks.11."))
                && !blocks.iter().any(|name| name.starts_with("blocks.10."))
        );
        assert!(changed(0).len() == tensors.len() - 1);
    }

    #[test]
    fn patients_are_numbered_without_gaps() {
        assert_eq!(renumbered([7, 3, 7, 9].into_iter()), [0, 1, 0, 2]);
    }
}
