//! What the classifier calls by its own rule: exactly one finding at or above its balanced threshold, on a film that is
//! not refused (see `deepbreath::decision`). How many films get a call, and how many of the calls are right, also of those
//! that name one finding: what such a call is worth among these films.

use std::collections::BTreeMap;

use deepbreath::weights::OperatingPoint as Stored;
use serde::{Deserialize, Serialize};

use crate::bootstrap::Estimate;
use crate::calibrate::OperatingPoint;
use crate::groups::Figures;
use crate::measures::Quantity;
use crate::metrics::Prediction;

/// The classifier's calls on the films of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// All films.
    pub all: CallRates,
    /// Films of each label.
    pub findings: BTreeMap<String, CallRates>,
    /// Films of each source.
    pub sources: BTreeMap<String, CallRates>,
    /// Calls by the finding that they name; empty in reports that did not measure it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub called: BTreeMap<String, Worth>,
}

/// The films on which one finding was called.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// Films called so.
    pub n: u64,
    /// Share of them with that label.
    pub right: Estimate,
}

/// Calls on one group of films.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRates {
    /// Films.
    pub n: u64,
    /// Share of them that get a call.
    pub called: Estimate,
    /// Share of the calls that are the label.
    pub right: Estimate,
}

impl CallRates {
    /// What was estimated for a group.
    pub(crate) fn of_group(n: u64, figures: &Figures) -> Self {
        Self { n, called: figures[&Quantity::Called], right: figures[&Quantity::CallsRight] }
    }

    /// What was estimated for the films of one label.
    pub(crate) fn of_label(n: u64, class: usize, figures: &Figures) -> Self {
        Self { n, called: figures[&Quantity::CalledOf(class)], right: figures[&Quantity::CallsRightOf(class)] }
    }
}

/// The balanced threshold of each class, in their order; `None` unless every class has one.
pub(crate) fn thresholds(points: &[(usize, &OperatingPoint)], classes: usize) -> Option<Vec<f64>> {
    let balanced = |class| points.iter().find(|(of, point)| *of == class && point.name == Stored::BALANCED);
    (0..classes).map(|class| balanced(class).map(|(_, point)| point.threshold)).collect()
}

/// The finding that is called, as the library's rule has it.
pub(crate) fn call(prediction: &Prediction, thresholds: &[f64]) -> Option<usize> {
    // The weights hold thresholds of 32 bits, and the library compares in these.
    let reached = |class: &usize| prediction.probabilities[*class] >= thresholds[*class] as f32;
    let mut reached = (0..thresholds.len()).filter(reached);
    let first = reached.next().filter(|_| !prediction.refused)?;
    reached.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_above_its_threshold_is_called() {
        let film = |probabilities: [f32; 3], refused| Prediction {
            file: String::new(),
            label: 0,
            source: String::new(),
            patient_id: String::new(),
            view: None,
            age_group: None,
            logits: Vec::new(),
            probabilities: probabilities.to_vec(),
            set: Vec::new(),
            distance: None,
            refused,
        };
        let thresholds = [0.3, 0.4, 0.25];
        assert_eq!(call(&film([0.3, 0.39, 0.2], false), &thresholds), Some(0));
        assert_eq!(call(&film([0.3, 0.4, 0.3], false), &thresholds), None, "several");
        assert_eq!(call(&film([0.2, 0.3, 0.2], false), &thresholds), None, "none");
        assert_eq!(call(&film([0.9, 0.05, 0.05], true), &thresholds), None, "refused");
    }
}
