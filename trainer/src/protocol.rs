//! How the figures of a report were made, and whether they can stand for new patients.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bootstrap::Bootstrap;
use crate::calibrate::RELIABILITY_BINS;

/// How a report was made: enough to make it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// The command line.
    pub command: String,
    /// Day of the measurement, `YYYY-MM-DD`.
    pub date: String,
    /// SHA-256 of the manifest.
    pub manifest_digest: String,
    /// Which films: `test`, `all`, `5 folds by patient`, ...
    pub split: String,
    /// Id of the weights.
    pub weights: String,
    /// Resamples and seed of the intervals.
    pub bootstrap: Bootstrap,
    /// What the figures mean, in sentences; [`Report::new`] fills it in.
    pub method: Vec<String>,
    /// Remarks of the caller (known label errors, limits of the set).
    pub notes: Vec<String>,
}

/// Why a report cannot stand for new patients: it was measured on what was fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitted {
    /// Films of another split than test are in it.
    Films,
    /// Images that the gate was fitted on are in it.
    Images,
}

impl fmt::Display for Fitted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Films => {
                "on other films than those of the test split, which the weights learned from or were chosen on"
            }
            Self::Images => "on images that the gate was fitted on, too (no --ood-held-out)",
        };
        write!(
            out,
            "report.json was measured {what}; run `trainer evaluate MANIFEST.csv --split test --ood OOD.csv \
             --ood-held-out --out weights/report` first"
        )
    }
}

impl std::error::Error for Fitted {}

impl Protocol {
    /// Fills in [`Protocol::method`].
    pub(crate) fn describe(&mut self, patients: u64, sets: bool) {
        let Bootstrap { resamples, seed } = self.bootstrap;
        self.method = vec![
            format!(
                "Intervals: 95 % percentile bootstrap over patients ({patients} patients, {resamples} resamples, seed {seed}); \
                 all films of a drawn patient are taken. They cover other patients of these sources, not other hospitals, wrong \
                 labels or another training run. A figure of exactly 0 or 1 has an interval of no width, which is not certainty."
            ),
            "Accuracy, sensitivity, specificity, precision and F1 take the most probable finding of every film for its answer, \
             also of the refused. The classifier itself is more careful, and has figures of its own: it calls a finding only if \
             it alone reaches its balanced threshold and the film is not refused."
                .to_owned(),
            "Shares of images refused, found and named, and of mistakes, have Wilson's intervals over images: films of one \
             patient count there as if they were of several."
                .to_owned(),
            "AUROC: Mann-Whitney, ties count half; one finding against all others by its probability, or a/b by \
             p_a / (p_a + p_b) among the films of these two labels, a being the positive one."
                .to_owned(),
            format!(
                "Expected calibration error: the probability of the call, {RELIABILITY_BINS} bins of equal width. Brier score: \
                 summed over the findings (0 to 2). Negative log likelihood: natural logarithm."
            ),
        ];
        if sets {
            self.method.push(
                "Prediction sets: split-conformal, class by class, thresholds from validation films; a set that would be empty \
                 holds the most probable finding. A refused film gets no set and counts in none of their figures. The stated coverage is promised for films that could be exchanged with the \
                 validation films (other patients of the same sources in the same mixture), label by label and on average \
                 over calibrations. A single source is not such a mixture, and another hospital still less."
                    .to_owned(),
            );
        }
    }
}
