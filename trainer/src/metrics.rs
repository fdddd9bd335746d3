//! What a set of predictions is worth, in numbers.
//!
//! Legend: `n` films, `C` classes, label `y` in `0..C`, probabilities `p[0..C]` summing to 1.
//!
//! Two habits hold everywhere. A figure that the data cannot define (the AUROC of films that all have the same label,
//! the precision of a finding that was never called) is `None`, never NaN and never 0. And every measure takes a
//! `weight` for each film, which is how often a bootstrap resample drew it: one sort serves a thousand resamples.
//!
//! What this file does not do: intervals ([`crate::bootstrap`]), and thresholds ([`crate::calibrate`]). A *call* here
//! is the most probable finding; refusals and abstentions do not take a film out of any figure ([`crate::calls`] measures
//! what the classifier itself calls).

use crate::dataset::Film;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Probabilities are raised to this before a logarithm, so that one certain mistake leaves the mean finite (27.6 nats).
const SMALLEST_PROBABILITY: f64 = 1e-12;

/// One film with its true label and what the model said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Name of the image file, as in the manifest.
    pub file: String,
    /// True label, an index into the class list.
    pub label: usize,
    /// Collection or hospital that the film comes from.
    pub source: String,
    /// Films of one patient are resampled together. Empty: the film stands for itself.
    pub patient_id: String,
    /// Projection (`PA`, `AP`, ...), where known.
    pub view: Option<String>,
    /// Age group (`adult`, `child`, ...), where known.
    pub age_group: Option<String>,
    /// Raw outputs, `[C]`, before the temperature.
    pub logits: Vec<f32>,
    /// Calibrated probabilities, `[C]`, each in 0..=1, summing to 1.
    pub probabilities: Vec<f32>,
    /// Classes of the prediction set; empty if the weights make none.
    #[serde(default)]
    pub set: Vec<usize>,
    /// Distance by the out-of-distribution gate; infinite for a blank film, `None` without a gate.
    #[serde(default)]
    pub distance: Option<f32>,
    /// The out-of-distribution gate turned the film away (it still counts in every figure).
    pub refused: bool,
}

impl Prediction {
    /// What was answered for `film`.
    pub fn new(film: &Film, logits: Vec<f32>, probabilities: Vec<f32>) -> Self {
        Self {
            file: film.name.clone(),
            label: film.label,
            source: film.source.clone(),
            patient_id: film.patient_id.clone(),
            view: film.view.clone(),
            age_group: film.age_group.clone(),
            logits,
            probabilities,
            set: Vec::new(),
            distance: None,
            refused: false,
        }
    }

    /// The most probable finding; of equals, the first.
    pub fn call(&self) -> usize {
        let mut best = 0;
        for (class, p) in self.probabilities.iter().enumerate() {
            if *p > self.probabilities[best] {
                best = class;
            }
        }
        best
    }

    /// Probability of a class, widened.
    pub fn probability(&self, class: usize) -> f64 {
        f64::from(self.probabilities[class])
    }

    /// Score for `a` against `b` when nothing else is possible: `p_a / (p_a + p_b)`, 0.5 where both are 0.
    pub fn pair_score(&self, a: usize, b: usize) -> f64 {
        let (a, b) = (self.probability(a), self.probability(b));
        if a + b > 0.0 { a / (a + b) } else { 0.5 }
    }

    /// Multi-class Brier score of this film, `sum_c (p_c - [y = c])^2`, in 0..=2.
    pub fn brier(&self) -> f64 {
        let squared = |(class, p): (usize, &f32)| (f64::from(*p) - f64::from(u8::from(class == self.label))).powi(2);
        self.probabilities.iter().enumerate().map(squared).sum()
    }

    /// Negative log likelihood of the true label, in nats.
    pub fn nll(&self) -> f64 {
        -self.probability(self.label).max(SMALLEST_PROBABILITY).ln()
    }
}

/// Checks what every measure relies on: labels within the class list, one finite probability in 0..=1 per class, sum 1.
///
/// # Errors
/// Names the first film that breaks a rule and the rule.
pub fn check(predictions: &[Prediction], classes: usize) -> Result<()> {
    for p in predictions {
        let file = &p.file;
        ensure!(p.label < classes, "{file}: label {} is not among the {classes} classes of the weights", p.label);
        ensure!(
            p.probabilities.len() == classes,
            "{file}: {} probabilities for {classes} classes",
            p.probabilities.len()
        );
        let sum: f64 = (0..classes).map(|class| p.probability(class)).sum();
        let each = p.probabilities.iter().all(|p| (0.0..=1.0).contains(p));
        ensure!(
            each && (sum - 1.0).abs() < 1e-3,
            "{file}: not probabilities (each in 0..=1, sum 1): {:?}",
            p.probabilities
        );
    }
    Ok(())
}

/// Counts of true label (row) against call (column), `[C, C]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// No films yet.
    pub fn new(classes: usize) -> Self {
        Confusion { classes, counts: vec![0; classes * classes] }
    }

    /// Counts every prediction once.
    pub fn of(predictions: &[Prediction], classes: usize) -> Self {
        let mut confusion = Confusion::new(classes);
        for p in predictions {
            confusion.add(p.label, p.call(), 1);
        }
        confusion
    }

    /// Adds `weight` films.
    pub fn add(&mut self, label: usize, call: usize, weight: u32) {
        self.counts[label * self.classes + call] += u64::from(weight);
    }

    /// Films with this label that were called so.
    pub fn count(&self, label: usize, call: usize) -> u64 {
        self.counts[label * self.classes + call]
    }

    /// One row per true label.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes).map(<[u64]>::to_vec).collect()
    }

    /// Films in all.
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Films with this label.
    pub fn with_label(&self, label: usize) -> u64 {
        (0..self.classes).map(|call| self.count(label, call)).sum()
    }

    /// Films called so.
    fn with_call(&self, call: usize) -> u64 {
        (0..self.classes).map(|label| self.count(label, call)).sum()
    }

    /// Share of films whose call is their label.
    pub fn accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|class| self.count(class, class)).sum(), self.n())
    }

    /// Mean sensitivity over the labels that occur; `None` if fewer than two do.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let each: Vec<f64> = (0..self.classes).filter_map(|class| self.sensitivity(class)).collect();
        (each.len() > 1).then(|| mean(&each))
    }

    /// Of the films with the finding, the share called so (recall).
    pub fn sensitivity(&self, class: usize) -> Option<f64> {
        ratio(self.count(class, class), self.with_label(class))
    }

    /// Of the films without the finding, the share not called so.
    pub fn specificity(&self, class: usize) -> Option<f64> {
        let without = self.n() - self.with_label(class);
        ratio(without - (self.with_call(class) - self.count(class, class)), without)
    }

    /// Of the films called so, the share with the finding (predictive value at this set's prevalence).
    pub fn precision(&self, class: usize) -> Option<f64> {
        ratio(self.count(class, class), self.with_call(class))
    }

    /// Harmonic mean of precision and sensitivity, `2 TP / (2 TP + FP + FN)`; `None` without films of the label.
    pub fn f1(&self, class: usize) -> Option<f64> {
        if self.with_label(class) == 0 {
            return None;
        }
        ratio(2 * self.count(class, class), self.with_label(class) + self.with_call(class))
    }
}

/// `part / whole`; `None` for no whole.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Share of films whose most probable finding is their label; `None` for no films.
pub fn accuracy(predictions: &[Prediction], classes: usize) -> Option<f64> {
    Confusion::of(predictions, classes).accuracy()
}

/// Mean sensitivity over the labels that occur; `None` if fewer than two do.
pub fn balanced_accuracy(predictions: &[Prediction], classes: usize) -> Option<f64> {
    Confusion::of(predictions, classes).balanced_accuracy()
}

/// Mean of the one-vs-rest AUROC of every class that has films with and without it; `None` if none has.
pub fn macro_auroc(predictions: &[Prediction], classes: usize) -> Option<f64> {
    let each: Vec<f64> = (0..classes).filter_map(|class| class_auroc(predictions, class)).collect();
    (!each.is_empty()).then(|| mean(&each))
}

/// AUROC of one class against all others, ranked by its probability.
pub fn class_auroc(predictions: &[Prediction], class: usize) -> Option<f64> {
    Ranking::one_vs_rest(predictions.iter().enumerate(), class).auroc(|_| 1)
}

/// AUROC of `a` against `b` among the films of these two labels, ranked by [`Prediction::pair_score`].
pub fn pair_auroc(predictions: &[Prediction], a: usize, b: usize) -> Option<f64> {
    Ranking::pair(predictions.iter().enumerate(), a, b).auroc(|_| 1)
}

/// Probability that a film with the finding scores higher than one without, ties counting half (Mann and Whitney 1947;
/// Hanley and McNeil 1982). `None` unless both kinds are there. Scores must not be NaN.
///
/// ```
/// use trainer::metrics::auroc;
/// assert_eq!(auroc(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false]), Some(0.875));
/// assert_eq!(auroc(&[0.9, 0.4], &[true, true]), None);
/// ```
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    Ranking::new(scores.iter().zip(positive).enumerate().map(|(film, (s, p))| (film, *s, *p))).auroc(|_| 1)
}

/// Films with the index that weights are asked for.
pub trait Films<'a>: Iterator<Item = (usize, &'a Prediction)> {}
impl<'a, I: Iterator<Item = (usize, &'a Prediction)>> Films<'a> for I {}

/// Films sorted by a score, the highest first: what AUROC, average precision and both curves are read from.
#[derive(Clone, Debug)]
pub struct Ranking {
    entries: Vec<Ranked>,
}

#[derive(Clone, Debug)]
struct Ranked {
    film: usize,
    score: f64,
    positive: bool,
}

/// One threshold of a curve: films scoring at least `threshold` are called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Lowest score that is called; infinite at the start of the curve.
    pub threshold: f64,
    /// Share of the films with the finding that are called.
    pub sensitivity: f64,
    /// Share of the films without it that are not called.
    pub specificity: f64,
    /// Share of the called films that have it; 1 where nothing is called (as scikit-learn draws it).
    pub precision: f64,
}

impl Ranking {
    /// From `(film, score, has the finding)`; `film` is the index that the weight functions are asked for.
    pub fn new(films: impl Iterator<Item = (usize, f64, bool)>) -> Self {
        let mut entries: Vec<Ranked> = films.map(|(film, score, positive)| Ranked { film, score, positive }).collect();
        entries.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ranking { entries }
    }

    /// One class against all others by its probability.
    pub fn one_vs_rest<'a>(films: impl Films<'a>, class: usize) -> Self {
        Ranking::new(films.map(|(film, p)| (film, p.probability(class), p.label == class)))
    }

    /// `a` against `b` among the films of these two labels by [`Prediction::pair_score`].
    pub fn pair<'a>(films: impl Films<'a>, a: usize, b: usize) -> Self {
        let of_pair = films.filter(|(_, p)| p.label == a || p.label == b);
        Ranking::new(of_pair.map(|(film, p)| (film, p.pair_score(a, b), p.label == a)))
    }

    /// Calls `visit(score, positives, negatives)` once per distinct score, the highest first.
    fn for_each_score(&self, weight: impl Fn(usize) -> u32, mut visit: impl FnMut(f64, u64, u64)) {
        for tied in self.entries.chunk_by(|a, b| a.score == b.score) {
            let (mut positives, mut negatives) = (0, 0);
            for entry in tied {
                let side = if entry.positive { &mut positives } else { &mut negatives };
                *side += u64::from(weight(entry.film));
            }
            visit(tied[0].score, positives, negatives);
        }
    }

    /// See [`auroc`].
    pub fn auroc(&self, weight: impl Fn(usize) -> u32) -> Option<f64> {
        let (mut positives, mut negatives, mut twice_won) = (0, 0, 0);
        self.for_each_score(weight, |_, p, n| {
            twice_won += n * (2 * positives + p);
            positives += p;
            negatives += n;
        });
        ratio(twice_won, 2 * positives * negatives)
    }

    /// Average precision, `sum over thresholds of (R_k - R_{k-1}) P_k` (no interpolation, as in scikit-learn).
    /// `None` unless both kinds are there.
    pub fn average_precision(&self, weight: impl Fn(usize) -> u32) -> Option<f64> {
        let (mut positives, mut called, mut sum) = (0, 0, 0.0);
        self.for_each_score(weight, |_, p, n| {
            positives += p;
            called += p + n;
            if p > 0 {
                sum += p as f64 * positives as f64 / called as f64;
            }
        });
        (positives > 0 && called > positives).then(|| sum / positives as f64)
    }

    /// Every threshold from "nothing is called" to "everything is"; empty unless both kinds are there.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let with = self.entries.iter().filter(|entry| entry.positive).count() as f64;
        let without = self.entries.len() as f64 - with;
        if with == 0.0 || without == 0.0 {
            return Vec::new();
        }
        let start = CurvePoint { threshold: f64::INFINITY, sensitivity: 0.0, specificity: 1.0, precision: 1.0 };
        let (mut points, mut hits, mut false_alarms) = (vec![start], 0.0, 0.0);
        self.for_each_score(
            |_| 1,
            |threshold, p, n| {
                hits += p as f64;
                false_alarms += n as f64;
                points.push(CurvePoint {
                    threshold,
                    sensitivity: hits / with,
                    specificity: 1.0 - false_alarms / without,
                    precision: hits / (hits + false_alarms),
                });
            },
        );
        points
    }
}
