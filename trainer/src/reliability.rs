//! Whether the probability of each finding means what it says: its calibration line and error, on the films as they are
//! and on the same films counted so that every label is equally frequent.
//!
//! The second mixture is the one that the released probabilities were fitted for (see [`crate::calibrate::fit`]); the first
//! shows what another mixture of films does to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Estimate};
use crate::calibrate::RELIABILITY_BINS;
use crate::metrics::Prediction;

/// Probabilities are taken for at least this, and at most 1 less this, before their log-odds are.
const LEAST_PROBABILITY: f64 = 1e-6;
/// Newton steps; a line that still moves then is taken for none.
const MOST_STEPS: usize = 50;
/// Figures of one [`Calibration`].
const FIGURES: usize = 4;

/// The calibration of one finding against all others on one mixture of films.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Slope of the calibration line; 1 is perfect, below 1 the probabilities are too extreme. The line is the logistic
    /// regression of the label on the log-odds of its probability (Cox 1958, "Two further applications of a model for
    /// binary regression"; Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics").
    pub slope: Estimate,
    /// Its intercept, in nats; 0 is perfect. Null, as the slope, where one probability parts the films cleanly.
    pub intercept: Estimate,
    /// Expected calibration error of the finding's probability, in 15 bins of equal width; 0 is perfect.
    pub ece: Estimate,
    /// Mean probability less the share of films with the finding (calibration in the large); above 0 it is too high.
    pub excess: Estimate,
}

/// The calibration of one finding on both mixtures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FindingCalibration {
    /// On the films as they are.
    pub as_is: Calibration,
    /// On the same films, counted so that every label is as frequent as the others.
    pub equal: Calibration,
}

/// The calibration of every finding, and the expected calibration error of the most probable finding where every label is
/// equally frequent. Intervals as in [`Bootstrap::estimate`].
pub fn measure(
    predictions: &[Prediction],
    classes: &[String],
    patients: &[usize],
    bootstrap: Bootstrap,
) -> (BTreeMap<String, FindingCalibration>, Estimate) {
    let figures = bootstrap.estimate(patients, |counts| all(predictions, classes.len(), counts));
    let calibration = |at: usize| {
        let [slope, intercept, ece, excess] = std::array::from_fn(|figure| figures[at * FIGURES + figure]);
        Calibration { slope, intercept, ece, excess }
    };
    let of = |class: usize| FindingCalibration { as_is: calibration(2 * class), equal: calibration(2 * class + 1) };
    let findings = classes.iter().enumerate().map(|(class, label)| (label.clone(), of(class))).collect();
    (findings, figures.last().copied().unwrap_or_default())
}

/// For each finding the figures on both mixtures, in the order of [`Calibration`], then the overall error.
fn all(predictions: &[Prediction], classes: usize, counts: &[u32]) -> Vec<Option<f64>> {
    let mut totals = vec![0.0; classes];
    predictions.iter().zip(counts).for_each(|(p, count)| totals[p.label] += f64::from(*count));
    let mixtures = [false, true].map(|equal| -> Vec<f64> {
        let weight = |p: &Prediction| if equal { 1.0 / totals[p.label] } else { 1.0 };
        predictions
            .iter()
            .zip(counts)
            .map(|(p, count)| if *count == 0 { 0.0 } else { f64::from(*count) * weight(p) })
            .collect()
    });
    let mut figures = Vec::with_capacity(2 * FIGURES * classes + 1);
    for class in 0..classes {
        for weights in &mixtures {
            let films = || predictions.iter().zip(weights).map(|(p, w)| (p.probability(class), p.label == class, *w));
            let line = line(films().map(|(p, has, w)| (log_odds(p), has, w)));
            let total: f64 = weights.iter().sum();
            let excess = films().map(|(p, has, w)| w * (p - f64::from(u8::from(has)))).sum::<f64>() / total;
            figures.extend([line.map(|l| l.1), line.map(|l| l.0), ece(films()), (total > 0.0).then_some(excess)]);
        }
    }
    let likeliest = predictions.iter().zip(&mixtures[1]);
    figures.push(ece(likeliest.map(|(p, w)| (p.probability(p.call()), p.call() == p.label, *w))));
    figures
}

fn log_odds(probability: f64) -> f64 {
    let p = probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
    (p / (1.0 - p)).ln()
}

/// Intercept and slope of the weighted logistic regression of `has` on `x`, by Newton's method with halved steps; takes
/// `(x, has, weight)`. `None` where the films have no such line: one label only, or a value of `x` that parts them.
pub fn line(films: impl Iterator<Item = (f64, bool, f64)>) -> Option<(f64, f64)> {
    let films: Vec<(f64, f64, f64)> =
        films.filter(|film| film.2 > 0.0).map(|(x, has, weight)| (x, f64::from(u8::from(has)), weight)).collect();
    let total: f64 = films.iter().map(|film| film.2).sum();
    // ln(1 + exp(z)) - y z, without overflow.
    let loss = |a: f64, b: f64| -> f64 {
        let of = |&(x, y, w): &(f64, f64, f64)| {
            let z = a + b * x;
            w * (z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z)
        };
        films.iter().map(of).sum::<f64>() / total
    };
    let (mut a, mut b) = (0.0, 1.0);
    let mut now = loss(a, b);
    for _ in 0..MOST_STEPS {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for (x, y, w) in &films {
            let p = 1.0 / (1.0 + (-(a + b * x)).exp());
            let (rest, curve) = (w * (y - p), w * p * (1.0 - p));
            g = [g[0] + rest, g[1] + rest * x];
            h = [h[0] + curve, h[1] + curve * x, h[2] + curve * x * x];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        if determinant <= 1e-12 * total * total {
            return None;
        }
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        if step[0].abs().max(step[1].abs()) < 1e-8 {
            return Some((a, b));
        }
        let shorter = (0..30).map(|half| 0.5f64.powi(half));
        let (next, lower) = shorter
            .map(|share| (share, loss(a + share * step[0], b + share * step[1])))
            .find(|(_, lower)| *lower <= now)?;
        (a, b, now) = (a + next * step[0], b + next * step[1], lower);
    }
    None
}

/// As [`crate::calibrate::ece`], with weights that need not be whole; takes `(probability, right, weight)`.
fn ece(films: impl Iterator<Item = (f64, bool, f64)>) -> Option<f64> {
    let mut bins = [(0.0, 0.0); RELIABILITY_BINS];
    for (probability, right, weight) in films {
        let bin = (probability * RELIABILITY_BINS as f64).ceil().max(1.0) as usize - 1;
        let bin = &mut bins[bin.min(RELIABILITY_BINS - 1)];
        *bin = (bin.0 + weight, bin.1 + weight * (probability - f64::from(u8::from(right))));
    }
    let total: f64 = bins.iter().map(|bin| bin.0).sum();
    (total > 0.0).then(|| bins.iter().map(|bin| bin.1.abs()).sum::<f64>() / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: (f64, f64), wanted: (f64, f64)) {
        assert!((found.0 - wanted.0).abs() < 1e-7 && (found.1 - wanted.1).abs() < 1e-7, "{found:?}, not {wanted:?}");
    }

    #[test]
    fn two_values_of_x_give_the_line_through_their_log_odds() {
        // 3 of 4 at x = 2, 1 of 5 at x = -1: the regression is saturated.
        let at = |x: f64, with: f64, without: f64| [(x, true, with), (x, false, without)];
        let films = [at(2.0, 3.0, 1.0), at(-1.0, 1.0, 4.0)].concat();
        let (high, low) = (3f64.ln(), 0.25f64.ln());
        let slope = (high - low) / 3.0;
        close(line(films.iter().copied()).unwrap(), (low + slope, slope));
        // The scale of the weights does not matter.
        close(line(films.iter().map(|(x, y, w)| (*x, *y, w / 100.0))).unwrap(), (low + slope, slope));
    }

    #[test]
    fn films_without_a_line_have_none() {
        assert_eq!(line([(1.0, true, 1.0), (2.0, true, 1.0)].into_iter()), None, "one label");
        assert_eq!(line([(1.0, false, 1.0), (2.0, true, 1.0)].into_iter()), None, "parted by x");
        assert_eq!(line([(1.0, false, 1.0), (1.0, true, 1.0)].into_iter()), None, "one x");
        assert_eq!(line(std::iter::empty()), None);
    }

    fn film(file: usize, label: usize, p: f32) -> Prediction {
        serde_json::from_value(serde_json::json!({
            "file": format!("{file}"), "label": label, "source": "s", "patient_id": format!("{file}"), "view": null,
            "age_group": null, "logits": [p.ln(), (1.0 - p).ln()], "probabilities": [p, 1.0 - p], "refused": false,
        }))
        .unwrap()
    }

    #[test]
    fn probabilities_for_an_equal_mixture_are_right_on_it_and_too_high_where_the_finding_is_rare() {
        // Equal mixture: at 0.8 four of five have finding 0, at 0.2 one of five. Then every film without it nine times.
        let mut films = Vec::new();
        for (p, with, without) in [(0.8, 4, 1), (0.2, 1, 4)] {
            films.extend((0..with).map(|_| (0, p)));
            films.extend((0..9 * without).map(|_| (1, p)));
        }
        let films: Vec<Prediction> = films.iter().enumerate().map(|(at, (label, p))| film(at, *label, *p)).collect();
        let classes = ["sick", "well"].map(String::from);
        let patients: Vec<usize> = (0..films.len()).collect();
        let (findings, overall) = measure(&films, &classes, &patients, Bootstrap { resamples: 50, seed: 1 });
        let value = |estimate: Estimate| estimate.value.unwrap();
        for finding in findings.values() {
            close((value(finding.equal.intercept), value(finding.equal.slope)), (0.0, 1.0));
            assert!(value(finding.equal.ece) < 1e-6 && value(finding.equal.excess).abs() < 1e-6);
        }
        assert!(value(overall) < 1e-6);
        // Nine times the films without it take ln 9 from the log-odds.
        let sick = findings["sick"].as_is;
        let (intercept, slope) = (value(sick.intercept), value(sick.slope));
        assert!((intercept + 9f64.ln()).abs() < 1e-6 && (slope - 1.0).abs() < 1e-6, "{intercept} {slope}");
        // Mean probability (13 at 0.8, 37 at 0.2) less 5 of 50.
        assert!((value(sick.excess) - (13.0 * 0.8 + 37.0 * 0.2 - 5.0) / 50.0).abs() < 1e-6);
        assert!(sick.slope.low.is_some_and(|low| low < 1.0));
    }
}
