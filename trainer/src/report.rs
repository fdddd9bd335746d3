//! The evaluation report: what is measured, and its documented, stable form `report.json`.
//!
//! A report is a plain value: [`Report::new`] measures, [`crate::page`] draws it for people, [`crate::tables`] prints
//! it. Every figure is an [`Estimate`] `{value, low, high}`; null where the films cannot define it.

use crate::bootstrap::{Estimate, patients};
use crate::calibrate::{self, Bin, OperatingPoint};
use crate::calls::{self, CallRates, CallReport, Worth};
use crate::conformal::{ConformalReport, SetReport};
use crate::dataset::Split;
use crate::groups::{Figures, Groups, Kind, distinct, pairs};
use crate::leakage::LeakageReport;
use crate::measures::{PREVALENCES, Quantity};
use crate::metrics::{Confusion, Prediction, check};
use crate::refusals::{OodImage, OodReport, SpoiltFilm, SpoiltReport};
use crate::reliability::{self, FindingCalibration};
use anyhow::{Context, Result, ensure};
use deepbreath::weights::Conformal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use crate::protocol::{Fitted, Protocol};

/// Version of `report.json`; a field may be added without a new one, none is removed or redefined.
pub const FORMAT: u32 = 1;

/// Groups of fewer films are marked: their figures are for the curious.
pub const FEW_FILMS: u64 = 30;

/// Everything that `trainer evaluate` measured, as written to `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The findings, in the order of the weights file.
    pub classes: Vec<String>,
    /// Films measured, the refused among them.
    pub n: u64,
    /// Patients that the films come from.
    pub patients: u64,
    /// Films that the out-of-distribution gate turned away. They still count in every figure but those of the calls and of
    /// the prediction sets, which they do not get.
    pub refused: u64,
    /// Whether the weights have no gate, so that nothing could be refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gateless: bool,
    /// Share of films whose most probable finding is their label.
    pub accuracy: Estimate,
    /// Mean sensitivity over the labels.
    pub balanced_accuracy: Estimate,
    /// Mean one-vs-rest AUROC over the findings.
    pub macro_auroc: Estimate,
    /// Expected calibration error of the called finding, 15 bins of equal width; 0 is perfect.
    pub ece: Estimate,
    /// Multi-class Brier score, 0 (perfect) to 2.
    pub brier: Estimate,
    /// [`Report::ece`] on the same films, counted so that every label is equally frequent.
    #[serde(default)]
    pub ece_equal: Estimate,
    /// Mean negative log likelihood of the label, in nats; 0 is perfect.
    pub nll: Estimate,
    /// The classification report, by finding.
    pub findings: BTreeMap<String, FindingReport>,
    /// AUROC of every pair of labels over all films, `a/b` with `a` as the positive one. Shortcuts between sources can
    /// raise these: prefer the same figure within one of `sources`.
    pub auroc: BTreeMap<String, Estimate>,
    /// Films by true label (row) and call (column), both in the order of `classes`.
    pub confusion: Vec<Vec<u64>>,
    /// By source (hospital or collection).
    pub sources: BTreeMap<String, GroupReport>,
    /// By `view` and `age_group`, then by value; films without the value are left out.
    pub subgroups: BTreeMap<String, BTreeMap<String, GroupReport>>,
    /// The operating points of the weights, chosen on validation films, measured on these films.
    pub operating_points: Vec<PointReport>,
    /// Bins of the reliability diagram, equal widths over 0..=1.
    pub reliability: Vec<Bin>,
    /// The calibration of each finding against all others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calibration: BTreeMap<String, FindingCalibration>,
    /// The films of all other sources together, by the source that is left aside: how much the figures rest on it. Empty
    /// for fewer than two sources.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<String, GroupReport>,
    /// What the classifier calls by its own rule, where the weights have a balanced threshold for every finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallReport>,
    /// Prediction sets, where the weights make some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conformal: Option<ConformalReport>,
    /// Images that are no chest X-rays, where such were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ood: Option<OodReport>,
    /// Films of this report that were turned, cropped, inverted or blanked, where that was tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spoilt: Vec<SpoiltReport>,
    /// What the splits of the manifest have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leakage: Option<LeakageReport>,
    /// How it was measured.
    pub protocol: Protocol,
}

/// One finding against all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingReport {
    /// Films with this label.
    pub n: u64,
    /// `n` over all films of the report.
    pub prevalence: f64,
    /// Ranking quality of its probability.
    pub auroc: Estimate,
    /// Area under its precision-recall curve (no interpolation).
    pub average_precision: Estimate,
    /// Share of its films called so.
    pub sensitivity: Estimate,
    /// Share of the other films not called so.
    pub specificity: Estimate,
    /// Share of the films called so that have it, at this prevalence.
    pub precision: Estimate,
    /// Harmonic mean of precision and sensitivity.
    pub f1: Estimate,
}

/// The films of one source or subgroup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Films.
    pub n: u64,
    /// Patients.
    pub patients: u64,
    /// Fewer films than [`FEW_FILMS`].
    pub few: bool,
    /// Films refused by the gate.
    pub refused: u64,
    /// Films by label; labels without films are left out.
    pub labels: BTreeMap<String, u64>,
    /// As in [`Report::confusion`].
    #[serde(default)]
    pub confusion: Vec<Vec<u64>>,
    /// As in [`Report::accuracy`].
    pub accuracy: Estimate,
    /// As in [`Report::balanced_accuracy`]; null for one label.
    pub balanced_accuracy: Estimate,
    /// As in [`Report::ece`]; biased upwards for few films.
    #[serde(default)]
    pub ece: Estimate,
    /// Mean probability of the calls less the share of right ones; above 0 the model is too sure of this group.
    #[serde(default)]
    pub overconfidence: Estimate,
    /// AUROC of every pair of labels that the group holds, `a/b` with `a` as the positive one.
    pub auroc: BTreeMap<String, Estimate>,
}

/// An operating point with the rates it was chosen by and the rates on these films.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointReport {
    /// As stored in the weights; its rates are those of validation.
    pub chosen: OperatingPoint,
    /// Sensitivity on the films of this report.
    pub sensitivity: Estimate,
    /// Specificity on the films of this report.
    pub specificity: Estimate,
    /// Predictive values with these rates, at each of [`PREVALENCES`].
    #[serde(default)]
    pub predictive: Vec<PredictiveReport>,
}

/// What it means to reach an operating point's threshold, or not, where the finding has this prevalence. A call asks for
/// more: see [`crate::calls`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictiveReport {
    /// Share of the films with the finding.
    pub prevalence: f64,
    /// Of the films that reach the threshold, the share with the finding.
    pub ppv: Estimate,
    /// Of the others, the share without it.
    pub npv: Estimate,
}

/// What a report is told besides the predictions; the default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Given<'a> {
    /// Operating points of the weights; ones for other findings are refused.
    pub points: &'a [OperatingPoint],
    /// Thresholds of the prediction sets of the weights.
    pub conformal: Option<&'a Conformal>,
    /// How images that are no chest X-rays were answered.
    pub ood: Vec<OodImage>,
    /// Whether those are only of the half that no gate was fitted on, where that is known.
    pub ood_held_out: Option<bool>,
    /// How spoilt films were answered.
    pub spoilt: Vec<SpoiltFilm>,
    /// What the splits of the manifest have in common.
    pub leakage: Option<LeakageReport>,
    /// As in [`Report::gateless`].
    pub gateless: bool,
}

impl Report {
    /// Whether nothing that it was measured on was fitted: films of the test split, and of other images only those that
    /// were held out. Where an older report does not say the latter, its command line does.
    ///
    /// # Errors
    /// If it was.
    pub fn on_unfitted(&self) -> Result<(), Fitted> {
        if self.protocol.split != Split::Test.word() {
            return Err(Fitted::Films);
        }
        let by_command = || self.protocol.command.split_whitespace().any(|word| word == "--ood-held-out");
        match &self.ood {
            Some(ood) if !ood.held_out.unwrap_or_else(by_command) => Err(Fitted::Images),
            _ => Ok(()),
        }
    }

    /// Measures predictions.
    ///
    /// # Errors
    /// For no films, a film whose label or probabilities do not fit the classes (named), or a point for no class.
    pub fn new(
        predictions: &[Prediction],
        classes: &[String],
        Given { points, conformal, ood, ood_held_out, spoilt, leakage, gateless }: Given<'_>,
        mut protocol: Protocol,
    ) -> Result<Report> {
        ensure!(
            !predictions.is_empty(),
            "no films to evaluate: the split `{}` of the manifest is empty (try --split all)",
            protocol.split
        );
        check(predictions, classes.len())?;
        let points: Vec<(usize, &OperatingPoint)> = points
            .iter()
            .map(|point| {
                let class = classes.iter().position(|class| *class == point.finding);
                class
                    .map(|class| (class, point))
                    .with_context(|| format!("operating point for `{}`, which is not among {classes:?}", point.finding))
            })
            .collect::<Result<_>>()?;

        let groups = Groups::of(predictions);
        let patients = patients(predictions);
        let figures = groups.measure(predictions, classes.len(), &points, &patients, protocol.bootstrap);
        let all = &figures[0];
        let group = |index: usize| groups.report(index, predictions, classes, &patients, &figures[index]);
        let calls = calls::thresholds(&points, classes.len())
            .map(|thresholds| calls(predictions, classes, &thresholds, &groups, &figures));
        let conformal = conformal.map(|conformal| sets(conformal, predictions, classes, &groups, &figures));
        let (calibration, ece_equal) = reliability::measure(predictions, classes, &patients, protocol.bootstrap);
        let (mut sources, mut without) = (BTreeMap::new(), BTreeMap::new());
        let mut subgroups: BTreeMap<String, BTreeMap<String, GroupReport>> = BTreeMap::new();
        for (index, (kind, value)) in groups.keys.iter().enumerate() {
            let value = value.clone();
            match kind {
                Kind::All => {}
                Kind::Source => drop(sources.insert(value, group(index))),
                Kind::Without => drop(without.insert(value, group(index))),
                Kind::View => drop(subgroups.entry("view".into()).or_default().insert(value, group(index))),
                Kind::Age => drop(subgroups.entry("age_group".into()).or_default().insert(value, group(index))),
            }
        }

        let confusion = Confusion::of(predictions, classes.len());
        let finding = |(class, label): (usize, &String)| {
            let n = confusion.with_label(class);
            let report = FindingReport {
                n,
                prevalence: n as f64 / predictions.len() as f64,
                auroc: all[&Quantity::Auroc(class)],
                average_precision: all[&Quantity::AveragePrecision(class)],
                sensitivity: all[&Quantity::Sensitivity(class)],
                specificity: all[&Quantity::Specificity(class)],
                precision: all[&Quantity::Precision(class)],
                f1: all[&Quantity::F1(class)],
            };
            (label.clone(), report)
        };
        let count = distinct(patients.iter());
        protocol.describe(count, conformal.is_some());
        Ok(Report {
            format: FORMAT,
            classes: classes.to_vec(),
            n: predictions.len() as u64,
            patients: count,
            refused: predictions.iter().filter(|p| p.refused).count() as u64,
            gateless,
            accuracy: all[&Quantity::Accuracy],
            balanced_accuracy: all[&Quantity::BalancedAccuracy],
            macro_auroc: all[&Quantity::MacroAuroc],
            ece: all[&Quantity::Ece],
            ece_equal,
            calibration,
            without,
            brier: all[&Quantity::Brier],
            nll: all[&Quantity::Nll],
            findings: classes.iter().enumerate().map(finding).collect(),
            auroc: pairs(all, classes),
            confusion: confusion.rows(),
            sources,
            subgroups,
            operating_points: points
                .iter()
                .enumerate()
                .map(|(index, (_, point))| PointReport {
                    chosen: (*point).clone(),
                    sensitivity: all[&Quantity::PointSensitivity(index)],
                    specificity: all[&Quantity::PointSpecificity(index)],
                    predictive: (0..PREVALENCES.len())
                        .map(|at| PredictiveReport {
                            prevalence: PREVALENCES[at],
                            ppv: all[&Quantity::PointPpv(index, at)],
                            npv: all[&Quantity::PointNpv(index, at)],
                        })
                        .collect(),
                })
                .collect(),
            reliability: calibrate::reliability(
                predictions.iter().map(|p| (p.probability(p.call()), p.call() == p.label, 1)),
            ),
            calls,
            conformal,
            ood: (!ood.is_empty())
                .then(|| OodReport { held_out: ood_held_out, ..OodReport::new(&ood, predictions, protocol.bootstrap) }),
            spoilt: SpoiltReport::of(&spoilt),
            leakage,
            protocol,
        })
    }
}

/// The classifier's calls on each group of films.
fn calls(
    predictions: &[Prediction],
    classes: &[String],
    thresholds: &[f64],
    groups: &Groups,
    figures: &[Figures],
) -> CallReport {
    let of_label = |(class, label): (usize, &String)| {
        let n = predictions.iter().filter(|p| p.label == class).count() as u64;
        (label.clone(), CallRates::of_label(n, class, &figures[0]))
    };
    let of_source = |(index, (kind, source)): (usize, &(Kind, String))| {
        let n = groups.films(index).len() as u64;
        (*kind == Kind::Source).then(|| (source.clone(), CallRates::of_group(n, &figures[index])))
    };
    let called: Vec<usize> = predictions.iter().filter_map(|p| calls::call(p, thresholds)).collect();
    let worth = |(class, label): (usize, &String)| {
        let n = called.iter().filter(|call| **call == class).count() as u64;
        (label.clone(), Worth { n, right: figures[0][&Quantity::CallsRightAs(class)] })
    };
    CallReport {
        called: classes.iter().enumerate().map(worth).collect(),
        all: CallRates::of_group(predictions.len() as u64, &figures[0]),
        findings: classes.iter().enumerate().map(of_label).collect(),
        sources: groups.keys.iter().enumerate().filter_map(of_source).collect(),
    }
}

/// What the prediction sets are worth on each group of films.
fn sets(
    conformal: &Conformal,
    predictions: &[Prediction],
    classes: &[String],
    groups: &Groups,
    figures: &[Figures],
) -> ConformalReport {
    let mut sizes = vec![0; classes.len() + 1];
    let with_a_set = || predictions.iter().filter(|p| !p.refused);
    with_a_set().for_each(|p| sizes[p.set.len()] += 1);
    let all = &figures[0];
    let of_label = |(class, label): (usize, &String)| {
        let n = with_a_set().filter(|p| p.label == class).count() as u64;
        let (coverage, size) = (all[&Quantity::CoverageOf(class)], all[&Quantity::SetSizeOf(class)]);
        (label.clone(), SetReport::new(n, coverage, size))
    };
    let of_source = |(index, (kind, source)): (usize, &(Kind, String))| {
        let n = groups.films(index).iter().filter(|film| !predictions[**film].refused).count() as u64;
        (*kind == Kind::Source).then(|| (source.clone(), SetReport::of_group(n, &figures[index])))
    };
    ConformalReport {
        stated: f64::from(conformal.coverage),
        thresholds: classes.iter().cloned().zip(conformal.thresholds.iter().map(|t| f64::from(*t))).collect(),
        calibrated_on: conformal.n as u64,
        all: SetReport::of_group(with_a_set().count() as u64, all),
        sizes,
        findings: classes.iter().enumerate().map(of_label).collect(),
        sources: groups.keys.iter().enumerate().filter_map(of_source).collect(),
    }
}
