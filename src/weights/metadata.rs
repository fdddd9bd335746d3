//! What a weights file says about itself. The field names are the file's JSON names and do not change within a version.

use serde::{Deserialize, Serialize};

use super::golden::Golden;
use crate::model::{FEATURES, ModelConfig};
use crate::preprocess::Preprocessing;

/// The version of the file format that this library writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Everything besides the tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Version of the format, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// SHA-256 of the file with these 64 hexadecimal digits set to `0`.
    pub sha256: String,
    /// Which network the tensors belong to.
    pub model: ModelConfig,
    /// The findings, in the order of the logits.
    pub classes: Vec<String>,
    /// The preprocessing that the weights were trained with.
    pub preprocessing: Preprocessing,
    /// Divides the logits before softmax; fitted on held-out patients. Above 0.
    pub temperature: f32,
    /// Cut-offs with their measured rates; the call uses those named [`OperatingPoint::BALANCED`].
    pub operating_points: Vec<OperatingPoint>,
    /// Known inputs with the logits that these very weights gave when they were written.
    pub golden: Vec<Golden>,
    /// Refuses what is no frontal chest X-ray; without it every readable image gets an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateModel>,
    /// Which findings stay possible at a stated coverage; without it there are no prediction sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conformal: Option<Conformal>,
    /// What the weights were measured to do.
    pub measured: Vec<Measurement>,
    /// Where the weights come from.
    pub origin: Origin,
    /// Terms for using the weights, in words or as an SPDX expression.
    pub licence: String,
}

/// A cut-off on the probability of one finding, with what it was measured to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Which of the finding's points this is, e.g. `balanced`.
    pub name: String,
    /// The finding, one of the classes.
    pub finding: String,
    /// The finding is called from this probability on, 0 to 1.
    pub threshold: f32,
    /// Share of the films with the finding that reach the threshold, 0 to 1.
    pub sensitivity: f32,
    /// Share of the films without the finding that stay below it, 0 to 1.
    pub specificity: f32,
    /// How many films the rates were measured on.
    pub n: usize,
    /// Which films these were, in words.
    pub data: String,
}

impl OperatingPoint {
    /// Name of the points that the call is made at: sensitivity and specificity weigh the same.
    pub const BALANCED: &'static str = "balanced";
}

/// The out-of-distribution gate: a softmax regression on the pooled features between chest films as they should be and
/// images of other kinds. Each kind has a score `weight . features + bias` (the log odds against a film as it should be);
/// the distance is `ln(sum(exp(score)))` over the kinds, the log odds of being none. The image is refused if that exceeds
/// `limit`. `weight` and `bias` are those of other images; with no further kinds the distance is their score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateModel {
    /// One weight for each pooled feature.
    pub weight: Vec<f32>,
    /// Added to the weighted sum.
    pub bias: f32,
    /// Largest distance of an image that is answered.
    pub limit: f32,
    /// Which images the gate was fitted on, in words.
    pub data: String,
    /// Chest films with a flaw that can be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<FlawModel>,
}

/// How the gate scores one flaw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlawModel {
    /// Which one.
    pub flaw: Flaw,
    /// One weight for each pooled feature.
    pub weight: Vec<f32>,
    /// Added to the weighted sum.
    pub bias: f32,
}

/// What can be wrong with a chest film as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// Turned clockwise by a quarter.
    Turned90,
    /// Upside down.
    Turned180,
    /// Turned counter-clockwise by a quarter.
    Turned270,
    /// Shows one lung only.
    Cropped,
    /// A negative: air bright, bone dark.
    Inverted,
}

/// Thresholds of split-conformal prediction sets, see [`crate::decision::prediction_set`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conformal {
    /// Share of the films of each class whose set holds that class, at least, between 0 and 1: the guarantee for films
    /// that could be exchanged with those it was calibrated on.
    pub coverage: f32,
    /// A class is in the set from this probability on, 0 to 1; one for each class.
    pub thresholds: Vec<f32>,
    /// How many films it was calibrated on.
    pub n: usize,
    /// Which films these were, in words.
    pub data: String,
}

/// One measured figure with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Name in words, e.g. `balanced accuracy` or `covid AUROC`.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How many films it was measured on.
    pub n: usize,
    /// Which films these were, in words.
    pub data: String,
}

/// Where weights come from: enough to make them again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// SHA-256 of the manifest's bytes.
    pub manifest_digest: String,
    /// Seed of the run.
    pub seed: u64,
    /// Commit of the code, or empty where unknown.
    pub commit: String,
    /// Name of the recipe.
    pub recipe: String,
    /// Day of the export, `YYYY-MM-DD`, as given by the caller.
    pub date: String,
    /// The collections behind the films.
    pub data: Vec<DataSource>,
    /// What the calibration added to the logits, one for each class, so that every finding counts the same; the
    /// classifier's bias holds it already. Empty where only a temperature was fitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<f32>,
}

/// One collection of films.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Its name in the manifest.
    pub name: String,
    /// Its terms, in words.
    pub licence: String,
    /// How many of its films the weights learned from: those that gradients came from, and those that the epoch, the
    /// thresholds and the calibration were chosen on.
    pub films: usize,
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Metadata {
    /// Reads the JSON text; the version is looked at first, so that the message names it and not a field.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Version { format_version } = serde_json::from_str(text)
            .map_err(|error| format!("its metadata names no format version ({error}). Download it again"))?;
        if format_version > FORMAT_VERSION {
            return Err(format!(
                "format version {format_version} is newer than this program, which reads {FORMAT_VERSION}. \
                 Update the program, or use older weights"
            ));
        }
        if format_version < FORMAT_VERSION {
            return Err(format!(
                "format version {format_version} is too old for this program, which reads {FORMAT_VERSION}. \
                 Export the weights again with `trainer export`"
            ));
        }
        serde_json::from_str(text)
            .map_err(|error| format!("its metadata cannot be used ({error}). Export the weights again"))
    }

    /// Whether the fields agree with each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = |what: String| Err(format!("its metadata contradicts itself: {what}. Export the weights again"));
        if self.classes.is_empty() || self.classes.len() != self.model.classes {
            return wrong(format!("{} class names for {} logits", self.classes.len(), self.model.classes));
        }
        for (index, class) in self.classes.iter().enumerate() {
            if class.is_empty() || self.classes[..index].contains(class) {
                return wrong(format!("class name {class:?} is empty or stands twice"));
            }
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return wrong(format!("temperature {}", self.temperature));
        }
        let offsets = &self.origin.offsets;
        if !(offsets.is_empty() || offsets.len() == self.classes.len()) || offsets.iter().any(|b| !b.is_finite()) {
            return wrong(format!("offsets {offsets:?} for {} classes", self.classes.len()));
        }
        for point in &self.operating_points {
            if !self.classes.contains(&point.finding) {
                return wrong(format!("an operating point for {:?}, which is no class", point.finding));
            }
            let rates = [point.threshold, point.sensitivity, point.specificity];
            if rates.iter().any(|rate| !(0.0..=1.0).contains(rate)) {
                return wrong(format!("operating point {} of {} is not within 0..=1", point.name, point.finding));
            }
        }
        if let Some(gate) = &self.gate {
            let rows = gate.flaws.iter().map(|row| (&row.weight, row.bias)).chain([(&gate.weight, gate.bias)]);
            for (weight, bias) in rows {
                let finite = weight.iter().chain([&bias, &gate.limit]).all(|value| value.is_finite());
                if weight.len() != FEATURES || !finite {
                    return wrong(format!("a gate of {} finite weights for {FEATURES} features", weight.len()));
                }
            }
        }
        if let Some(Conformal { coverage, thresholds, .. }) = &self.conformal {
            let shares = thresholds.iter().all(|threshold| (0.0..=1.0).contains(threshold));
            if !(*coverage > 0.0 && *coverage < 1.0) || thresholds.len() != self.classes.len() || !shares {
                return wrong(format!("prediction sets of coverage {coverage} with thresholds {thresholds:?}"));
            }
        }
        for golden in &self.golden {
            if golden.logits.len() != self.classes.len() || golden.tolerance.is_nan() || golden.tolerance < 0.0 {
                return wrong(format!("golden vector {:?} does not fit", golden.pattern));
            }
        }
        Ok(())
    }
}
