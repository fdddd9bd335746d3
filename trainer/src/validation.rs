//! What a run knows after each epoch: the verdict on the validation films, and the lines of `metrics.jsonl`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use deepbreath::decision;
use deepbreath::model::NamedTensors;
use serde::{Deserialize, Serialize};

use crate::dataset::{Film, write_whole};
use crate::inference::{self, Inputs};
use crate::metrics::{self, Prediction};
use crate::plots::EpochRecord;
use crate::training::progress_bar;

/// Smallest number of films of each label for a source to count in the selection metric.
const PAIR_FILMS: usize = 20;

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Losses and macro AUROC.
    #[serde(flatten)]
    pub record: EpochRecord,
    /// Balanced accuracy on validation films.
    pub validation_balanced_accuracy: Option<f64>,
    /// Mean AUROC of label pairs within validation sources that hold both.
    pub validation_within_source_auroc: Option<f64>,
    /// What chooses the epoch: the mean of macro AUROC and the within-source AUROC.
    pub selection: f64,
    /// Speed of the training steps.
    pub images_per_s: f64,
}

/// What a model is worth on the validation films.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validation {
    /// Mean cross entropy, uncalibrated.
    pub(crate) loss: f64,
    pub(crate) macro_auroc: Option<f64>,
    /// Mean AUROC of label pairs within sources that hold both.
    pub(crate) within: Option<f64>,
    pub(crate) balanced_accuracy: Option<f64>,
}

impl Validation {
    /// Judges `folded` tensors on the films of `inputs`.
    pub(crate) fn of(folded: &NamedTensors, inputs: &Inputs<'_>, classes: usize, device: &Device) -> Result<Self> {
        let films = inputs.films();
        let model = inference::folded(folded, device)?;
        let bar = progress_bar(films.len(), "validation");
        let logits = inputs.logits(&model, device, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let predictions = predictions(films, logits);
        Ok(Self {
            loss: predictions.iter().map(Prediction::nll).sum::<f64>() / predictions.len() as f64,
            macro_auroc: metrics::macro_auroc(&predictions, classes),
            within: within_source_auroc(&predictions, classes),
            balanced_accuracy: metrics::balanced_accuracy(&predictions, classes),
        })
    }

    /// What chooses the epoch: the mean of macro AUROC and the within-source AUROC, or the one that is defined.
    pub(crate) fn selection(&self) -> f64 {
        let known: Vec<f64> = [self.macro_auroc, self.within].into_iter().flatten().collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    }
}

impl std::fmt::Display for Validation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        write!(
            f,
            "val loss {:.4}, macro AUROC {}, within source {}, balanced accuracy {}",
            self.loss,
            text(self.macro_auroc),
            text(self.within),
            text(self.balanced_accuracy)
        )
    }
}

/// Films and their logits as predictions, uncalibrated.
pub fn predictions(films: &[&Film], logits: Vec<Vec<f32>>) -> Vec<Prediction> {
    let judge = |(film, logits): (&&Film, Vec<f32>)| {
        let probabilities = decision::probabilities(&logits, 1.0);
        Prediction::new(film, logits, probabilities)
    };
    films.iter().zip(logits).map(judge).collect()
}

/// Mean AUROC over sources and label pairs with at least [`PAIR_FILMS`] films of each label.
fn within_source_auroc(predictions: &[Prediction], classes: usize) -> Option<f64> {
    let sources: BTreeSet<&str> = predictions.iter().map(|p| p.source.as_str()).collect();
    let mut values = Vec::new();
    for source in sources {
        for (a, b) in (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b))) {
            let of = |label| predictions.iter().filter(move |p| p.source == source && p.label == label);
            if of(a).count() < PAIR_FILMS || of(b).count() < PAIR_FILMS {
                continue;
            }
            let pair: Vec<&Prediction> = of(a).chain(of(b)).collect();
            let scores: Vec<f64> = pair.iter().map(|p| p.pair_score(a, b)).collect();
            let positive: Vec<bool> = pair.iter().map(|p| p.label == a).collect();
            values.extend(metrics::auroc(&scores, &positive));
        }
    }
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Adds a line to `metrics.jsonl` (replacing one of the same epoch after a resume) and returns the curves' records.
pub(crate) fn append_metrics(out: &Path, metrics: &EpochMetrics) -> Result<Vec<EpochRecord>> {
    let path = out.join("metrics.jsonl");
    let text = if path.exists() { std::fs::read_to_string(&path)? } else { String::new() };
    let mut lines: Vec<EpochMetrics> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    lines.retain(|line| line.record.epoch < metrics.record.epoch);
    let kept = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    if kept.len() != text.lines().count() {
        write_whole(&path, (kept.join("\n") + if kept.is_empty() { "" } else { "\n" }).as_bytes())?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    writeln!(file, "{}", serde_json::to_string(metrics)?)?;
    lines.push(metrics.clone());
    Ok(lines.into_iter().map(|line| line.record).collect())
}
