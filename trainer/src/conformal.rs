//! Prediction sets: which findings stay possible, at a stated coverage; fitted on validation films, measured on others.
//!
//! Split-conformal prediction with the score `1 - p(label)`, class by class; `deepbreath::decision::prediction_set` says
//! what a set is and cites the sources. Class by class, because the share of covid or pneumonia among a user's films is
//! not that of the validation films: the coverage of each class does not depend on the shares.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use deepbreath::weights::Conformal;
use serde::{Deserialize, Serialize};

use crate::bootstrap::Estimate;
use crate::groups::Figures;
use crate::measures::Quantity;
use crate::metrics::Prediction;
use crate::report::FEW_FILMS;

/// Coverage that sets are made for.
pub const COVERAGE: f64 = 0.9;

/// The threshold that `coverage` of exchangeable films reach: the `k`-th largest of the `n` probabilities that films got
/// for their own label, `k = ceil((n + 1) coverage)`; 0, which everything reaches, where there is no such film.
///
/// ```
/// use trainer::conformal::threshold;
/// // Nine films: ceil(10 x 0.9) = 9, the smallest of them. Of eight it would take a ninth.
/// let probabilities = [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5];
/// assert_eq!(threshold(&probabilities, 0.9), 0.1);
/// assert_eq!(threshold(&probabilities[..8], 0.9), 0.0);
/// assert_eq!(threshold(&probabilities, 0.5), 0.5);
/// ```
pub fn threshold(probabilities: &[f32], coverage: f64) -> f32 {
    let mut sorted = probabilities.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    // Less a hair: 10 x 0.9 must not become 9.000000000000002.
    let rank = ((sorted.len() + 1) as f64 * coverage - 1e-9).ceil() as usize;
    rank.checked_sub(1).and_then(|index| sorted.get(index)).copied().unwrap_or(0.0)
}

/// Thresholds for [`COVERAGE`] from (validation) films with calibrated probabilities; `data` says in words which.
///
/// # Errors
/// For no films.
pub fn fit(predictions: &[Prediction], classes: usize, data: &str) -> Result<Conformal> {
    ensure!(!predictions.is_empty(), "no validation films to calibrate prediction sets on");
    let own = |class: usize| -> Vec<f32> {
        predictions.iter().filter(|p| p.label == class).map(|p| p.probabilities[class]).collect()
    };
    Ok(Conformal {
        coverage: COVERAGE as f32,
        thresholds: (0..classes).map(|class| threshold(&own(class), COVERAGE)).collect(),
        n: predictions.len(),
        data: data.into(),
    })
}

/// What the sets are worth on the films of a report. A refused film gets no set, and none of these figures counts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConformalReport {
    /// Coverage that the weights state, for the films of each label.
    pub stated: f64,
    /// A finding is in the set from this probability on.
    pub thresholds: BTreeMap<String, f64>,
    /// Films the thresholds were set on.
    pub calibrated_on: u64,
    /// All films that were not refused.
    pub all: SetReport,
    /// Films by the number of findings in their set, from 0.
    pub sizes: Vec<u64>,
    /// Films of each label.
    pub findings: BTreeMap<String, SetReport>,
    /// Films of each source: the guarantee is not given for these, since no source can be exchanged with the others.
    pub sources: BTreeMap<String, SetReport>,
}

/// Sets of one group of films.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetReport {
    /// Films that got a set.
    pub n: u64,
    /// Fewer films than [`FEW_FILMS`].
    pub few: bool,
    /// Share of the films whose set holds the label.
    pub coverage: Estimate,
    /// Mean number of findings in a set; 1 says most.
    pub size: Estimate,
}

impl SetReport {
    /// The sets of `n` films out of what was measured for them.
    pub(crate) fn new(n: u64, coverage: Estimate, size: Estimate) -> Self {
        Self { n, few: n < FEW_FILMS, coverage, size }
    }

    /// The sets of all films of a group.
    pub(crate) fn of_group(n: u64, figures: &Figures) -> Self {
        Self::new(n, figures[&Quantity::Coverage], figures[&Quantity::SetSize])
    }
}
