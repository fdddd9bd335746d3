//! From scores to probabilities that mean what they say, and from probabilities to decisions.
//!
//! Everything here is fitted on validation films only. What a temperature cannot do: change the order of the findings
//! of a film, or repair a model that is wrong about a whole hospital.

use crate::metrics::{Prediction, Ranking};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Temperatures that are searched; a fit at a bound means that the validation films say nothing (all right, say).
pub const TEMPERATURES: (f64, f64) = (0.05, 20.0);

/// Sensitivity that the `screening` operating point must reach.
pub const SCREENING_SENSITIVITY: f64 = 0.95;

/// Bins of [`ece`] and [`reliability`]: equal widths over the confidence 0..=1 (Guo et al. 2017 use 15).
pub const RELIABILITY_BINS: usize = 15;

/// Weight of the squares of the offsets in the loss: keeps them finite where the films of a finding are all right.
const OFFSET_PENALTY: f64 = 1e-4;

/// Largest size of an offset over the temperature that is searched.
const LARGEST_OFFSET: f64 = 5.0;

/// Rounds of the search, in case that the loss keeps falling by next to nothing.
const MOST_ROUNDS: usize = 500;

/// A fitted temperature and offsets with the loss that they were fitted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Logits are divided by this before the softmax; above 1 the model was too sure.
    pub temperature: f64,
    /// Added to the logits before that, one for each class; they sum to 0. 0 for a class without films, which has no part
    /// in the fit.
    pub offsets: Vec<f64>,
    /// Weighted mean negative log likelihood in nats at temperature 1 without offsets.
    pub nll_before: f64,
    /// Weighted mean negative log likelihood in nats with [`Calibration::temperature`] and [`Calibration::offsets`].
    pub nll_after: f64,
    /// Films it was fitted on.
    pub n: usize,
}

/// Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar 2020, "Maximum likelihood with bias-corrected
/// calibration is hard-to-beat at label shift adaptation"): the `T` and offsets `b` that minimise the weighted mean
/// negative log likelihood of `softmax((logits + b) / T)`, up to a small penalty on `b / T`.
///
/// `weights` says how much each film counts; with every label at the same total, the probabilities are those where each
/// finding is as frequent as the others. The loss is convex in `1 / T` and `b / T` (a softmax regression of few
/// parameters), so that searching one after the other, [`TEMPERATURES`] and `b / T`, finds it.
///
/// # Errors
/// For no films, another number of weights, or logits that are missing or not finite (names the film).
pub fn fit(predictions: &[Prediction], weights: &[f32]) -> Result<Calibration> {
    ensure!(!predictions.is_empty(), "no validation films to fit a temperature on");
    ensure!(weights.len() == predictions.len(), "{} weights for {} films", weights.len(), predictions.len());
    let classes = predictions[0].logits.len();
    for p in predictions {
        ensure!(
            p.label < p.logits.len() && p.logits.len() == classes && p.logits.iter().all(|z| z.is_finite()),
            "{}: logits {:?} do not cover label {} or are not finite",
            p.file,
            p.logits,
            p.label
        );
    }
    let seen: Vec<usize> = (0..classes).filter(|class| predictions.iter().any(|p| p.label == *class)).collect();
    let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    let mean_nll = |scale: f64, offsets: &[f64]| {
        let films = predictions.iter().zip(weights).map(|(p, weight)| {
            let z: Vec<f64> =
                seen.iter().zip(offsets).map(|(class, b)| scale * f64::from(p.logits[*class]) + b).collect();
            let label = seen.iter().position(|class| *class == p.label).unwrap_or_default();
            f64::from(*weight) * nll_of_logits(&z, label)
        });
        films.sum::<f64>() / total
    };
    let loss = |scale: f64, offsets: &[f64]| {
        mean_nll(scale, offsets) + OFFSET_PENALTY * offsets.iter().map(|b| b * b).sum::<f64>()
    };
    let mut offsets = vec![0.0; seen.len()];
    let (mut scale, nll_before) = (1.0, mean_nll(1.0, &offsets));
    let mut before = f64::INFINITY;
    for _ in 0..MOST_ROUNDS {
        let at = |ln_temperature: f64| loss((-ln_temperature).exp(), &offsets);
        scale = (-golden_section(at, TEMPERATURES.0.ln(), TEMPERATURES.1.ln())).exp();
        for position in 1..seen.len() {
            let at = |offset: f64| {
                let mut offsets = offsets.clone();
                offsets[position] = offset;
                loss(scale, &offsets)
            };
            offsets[position] = golden_section(at, -LARGEST_OFFSET, LARGEST_OFFSET);
        }
        let now = loss(scale, &offsets);
        if before - now < 1e-12 {
            break;
        }
        before = now;
    }
    let nll_after = mean_nll(scale, &offsets);
    let mean = offsets.iter().sum::<f64>() / seen.len() as f64;
    let mut all = vec![0.0; classes];
    seen.iter().zip(offsets).for_each(|(class, offset)| all[*class] = (offset - mean) / scale);
    Ok(Calibration { temperature: 1.0 / scale, offsets: all, nll_before, nll_after, n: predictions.len() })
}

/// Offsets with the names of their classes; `none` for none.
pub(crate) fn offsets_in_words(classes: &[String], offsets: &[f32]) -> String {
    let each: Vec<String> =
        classes.iter().zip(offsets).map(|(class, offset)| format!("{class} {offset:+.3}")).collect();
    if each.is_empty() { "none".into() } else { each.join(", ") }
}

/// `ln sum_c exp(z_c) - z_label`, with the largest logit taken out so that nothing overflows.
pub(crate) fn nll_of_logits(logits: &[f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
    sum.ln() - (logits[label] - largest)
}

/// Minimum of a function with one valley in `low..high`, to 1e-9 of the argument.
fn golden_section(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let shrink = (5f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (high - shrink * (high - low), low + shrink * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    while high - low > 1e-9 {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - shrink * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + shrink * (high - low);
            at_b = f(b);
        }
    }
    (low + high) / 2.0
}

/// A cut-off on one finding's probability, with the rates measured where it was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// `screening` or `balanced`.
    pub name: String,
    /// Label of the finding.
    pub finding: String,
    /// A film has the finding if its probability is at least this.
    pub threshold: f64,
    /// Share of the films with the finding that reach the threshold.
    pub sensitivity: f64,
    /// Share of the films without it that do not.
    pub specificity: f64,
    /// Films it was chosen on.
    pub n: usize,
}

/// Two operating points per finding, chosen on these (validation) films by their calibrated probabilities:
/// `screening`, the largest threshold with sensitivity of at least [`SCREENING_SENSITIVITY`] and of at least that of
/// `balanced`, and `balanced`, the
/// largest threshold with the greatest sensitivity + specificity (Youden 1950). A finding that no film has, or that
/// every film has, gets none.
pub fn operating_points(predictions: &[Prediction], classes: &[String]) -> Vec<OperatingPoint> {
    let mut points = Vec::new();
    for (class, finding) in classes.iter().enumerate() {
        let curve = Ranking::one_vs_rest(predictions.iter().enumerate(), class).curve();
        // The first point calls no film at all: it is no operating point.
        let candidates = curve.get(1..).unwrap_or_default();
        let balanced = candidates.iter().reduce(|best, point| {
            let youden = |p: &crate::metrics::CurvePoint| p.sensitivity + p.specificity;
            if youden(point) > youden(best) + 1e-12 { point } else { best }
        });
        let least = balanced.map_or(SCREENING_SENSITIVITY, |point| point.sensitivity.max(SCREENING_SENSITIVITY));
        let screening = candidates.iter().find(|point| point.sensitivity >= least);
        for (name, point) in [("screening", screening), ("balanced", balanced)] {
            points.extend(point.map(|point| OperatingPoint {
                name: name.to_owned(),
                finding: finding.clone(),
                threshold: point.threshold,
                sensitivity: point.sensitivity,
                specificity: point.specificity,
                n: predictions.len(),
            }));
        }
    }
    points
}

/// One bin of the reliability diagram, over the confidence of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Films in the bin.
    pub n: u64,
    /// Mean probability of the call; 0 for an empty bin.
    pub confidence: f64,
    /// Share of right calls; 0 for an empty bin.
    pub accuracy: f64,
}

/// [`RELIABILITY_BINS`] bins of equal width over the confidence of the call; bin `i` holds `(i/15, (i+1)/15]`.
/// Takes `(confidence, right, weight)` per film.
pub fn reliability(films: impl Iterator<Item = (f64, bool, u32)>) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); RELIABILITY_BINS];
    for (confidence, right, weight) in films {
        let bin = (confidence * RELIABILITY_BINS as f64).ceil().max(1.0) as usize - 1;
        let bin = &mut bins[bin.min(RELIABILITY_BINS - 1)];
        bin.n += u64::from(weight);
        bin.confidence += f64::from(weight) * confidence;
        bin.accuracy += f64::from(weight * u32::from(right));
    }
    for bin in bins.iter_mut().filter(|bin| bin.n > 0) {
        bin.confidence /= bin.n as f64;
        bin.accuracy /= bin.n as f64;
    }
    bins
}

/// Expected calibration error, `sum over bins of n_b / n |accuracy_b - confidence_b|` (Guo et al. 2017), over the
/// confidence of the call. It is biased upwards for few films. `None` for no films.
pub fn ece(bins: &[Bin]) -> Option<f64> {
    let n: u64 = bins.iter().map(|bin| bin.n).sum();
    let gap: f64 = bins.iter().map(|bin| bin.n as f64 * (bin.accuracy - bin.confidence).abs()).sum();
    (n > 0).then(|| gap / n as f64)
}
