//! Intervals: how much a figure would move with other patients from the same hospitals.
//!
//! The percentile bootstrap over patients (Efron 1979, by cluster): draw as many patients as there are, with
//! replacement, take all their films, measure again; the 2.5th and 97.5th percentile of 1,000 or more such figures are
//! the interval. Films of one patient resemble each other, so resampling single films would promise too much.
//!
//! Beside it stands Wilson's interval, for shares of few films or near 0 and 1.
//!
//! What it does not cover: other hospitals, wrong labels, the luck of one training run. At a figure of exactly 0 or 1
//! it collapses to a point, which is not certainty.

use crate::metrics::Prediction;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure on all films; null where the films cannot define it.
    pub value: Option<f64>,
    /// 2.5th percentile; null for fewer than two patients or if most resamples cannot define the figure.
    pub low: Option<f64>,
    /// 97.5th percentile; null where `low` is.
    pub high: Option<f64>,
}

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples; 1,000 or more for an interval that is to be quoted.
    pub resamples: usize,
    /// The same seed gives the same intervals, whatever the number of threads.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { resamples: 2000, seed: 42 }
    }
}

impl Bootstrap {
    /// Estimates every figure that `measure` returns, all from the same resamples. `patients[film]` is the patient of
    /// a film (see [`patients`]); `measure(weights)` gets how often each film was drawn and must always return the
    /// same figures in the same order.
    pub fn estimate(&self, patients: &[usize], measure: impl Fn(&[u32]) -> Vec<Option<f64>> + Sync) -> Vec<Estimate> {
        let count = patients.iter().max().map_or(0, |last| last + 1);
        let resamples: Vec<Vec<Option<f64>>> = (0..self.resamples as u64)
            .into_par_iter()
            .map(|resample| {
                // A stream for each resample: no order of threads can change the draws.
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(resample);
                let mut drawn = vec![0; count];
                for _ in 0..count {
                    drawn[rng.random_range(0..count)] += 1;
                }
                let weights: Vec<u32> = patients.iter().map(|patient| drawn[*patient]).collect();
                measure(&weights)
            })
            .collect();
        let values = measure(&vec![1; patients.len()]);
        let interval = |(figure, value): (usize, Option<f64>)| {
            let mut values: Vec<f64> = resamples.iter().filter_map(|r| r[figure]).collect();
            values.sort_by(f64::total_cmp);
            let enough = value.is_some() && count > 1 && 2 * values.len() > self.resamples;
            Estimate {
                value,
                low: enough.then(|| percentile(&values, 0.025)),
                high: enough.then(|| percentile(&values, 0.975)),
            }
        };
        values.into_iter().enumerate().map(interval).collect()
    }
}

/// Linear interpolation between the two nearest of the sorted values.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    below + position.fract() * (sorted[position.ceil() as usize] - below)
}

/// The patient of each film, numbered from 0 in order of first appearance. A film without a `patient_id` is a patient
/// of its own; the same id in two sources is the same patient.
pub fn patients(predictions: &[Prediction]) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut next = 0;
    let mut films = Vec::with_capacity(predictions.len());
    for p in predictions {
        let number = match p.patient_id.as_str() {
            "" => next,
            id => *numbers.entry(id).or_insert(next),
        };
        next += usize::from(number == next);
        films.push(number);
    }
    films
}

/// The 95 % score interval of a share of `n` trials (Wilson 1927), for small `n` and shares of 0 and 1.
///
/// ```
/// let all = trainer::bootstrap::wilson(1.0, 5);
/// assert!((all.low.unwrap() - 0.5655).abs() < 1e-4 && all.high == Some(1.0));
/// ```
pub fn wilson(share: f64, n: usize) -> Estimate {
    let z = 1.959_963_984_540_054_f64;
    let n = n as f64;
    let wide = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / wide;
    let half = z / wide * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // Exactly 0 and 1 at the ends, whatever the rounding.
    let low = if share <= 0.0 { 0.0 } else { centre - half };
    let high = if share >= 1.0 { 1.0 } else { centre + half };
    Estimate { value: Some(share), low: Some(low), high: Some(high) }
}

/// Mean of repeated runs (seeds, folds) with its 95 % interval by Student's t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Runs.
    pub n: usize,
    /// Mean of the runs.
    pub mean: f64,
    /// Standard deviation between the runs (n - 1); null for one run.
    pub sd: Option<f64>,
    /// `mean - t sd / sqrt(n)`; null for one run.
    pub low: Option<f64>,
    /// `mean + t sd / sqrt(n)`; null for one run.
    pub high: Option<f64>,
}

impl Summary {
    /// The mean and its t-interval, cut to what a share can be.
    pub fn share(&self) -> Estimate {
        let cut = |bound: Option<f64>| bound.map(|bound| bound.clamp(0.0, 1.0));
        Estimate { value: Some(self.mean), low: cut(self.low), high: cut(self.high) }
    }
}

/// Summarises repeated runs; `None` for no runs. It describes the spread of the runs (which share their films, so they
/// are not independent studies), not the spread over patients.
pub fn summary(values: &[f64]) -> Option<Summary> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let spread = (n > 1).then(|| {
        let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
        (sd, t_975(n - 1) * sd / (n as f64).sqrt())
    });
    Some(Summary {
        n,
        mean,
        sd: spread.map(|(sd, _)| sd),
        low: spread.map(|(_, half)| mean - half),
        high: spread.map(|(_, half)| mean + half),
    })
}

/// 97.5th percentile of Student's t, to 0.001: a table up to 30 degrees of freedom, beyond them the expansion of
/// Cornish and Fisher about the normal quantile (Abramowitz and Stegun 26.7.5).
fn t_975(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    let z = 1.959_963_984_540_054_f64;
    let v = freedom as f64;
    TABLE.get(freedom - 1).copied().unwrap_or_else(|| {
        z + (z.powi(3) + z) / (4.0 * v) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v)
    })
}
