//! `audit.json`: what an audit measured, and the verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attention::{Attention, Randomised};
use super::lungs::Fit;
use super::measure::Figures;
use super::views::View;
use crate::bootstrap::Estimate;
use crate::report::Protocol;

/// Version of `audit.json`; a field may be added without a new one, none is removed or redefined.
pub const FORMAT: u32 = 1;
/// With the lungs hidden, an AUROC beyond this is an alarm.
pub const HIDDEN_LIMIT: f64 = 0.60;
/// A fall of the AUROC from seen to unseen sources beyond this is an alarm.
pub const GAP_LIMIT: f64 = 0.10;

/// Everything that `trainer audit` measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// [`FORMAT`].
    pub format: u32,
    /// What people call these weights.
    pub name: String,
    /// Id of the weights.
    pub weights: String,
    /// Name of their recipe.
    pub recipe: String,
    /// The findings, in the order of the weights file.
    pub classes: Vec<String>,
    /// Films measured.
    pub n: usize,
    /// Their patients.
    pub patients: usize,
    /// Films by source, then by label.
    pub films: BTreeMap<String, BTreeMap<String, usize>>,
    /// Films of the manifest that were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
    /// Sources that the weights were trained on, by their own account.
    pub seen: Vec<String>,
    /// Ways to show the films, the whole film first.
    pub views: Vec<Seen>,
    /// How well the features tell the sources apart; null for fewer than two sources.
    pub source: Option<SourceProbe>,
    /// A linear head on features without network and lungs (see `cross_validate::trivial`), five folds over patients.
    pub trivial: Figures,
    /// Sources that training saw against sources that it did not.
    pub gaps: Vec<Gap>,
    /// Where the figures for sources left out come from; null where no report was given.
    pub left_out_by: Option<String>,
    /// Where the network looks.
    pub attention: Attention,
    /// The weight-randomisation test of the maps.
    pub randomised: Vec<Randomised>,
    /// How well the lungs are found.
    pub lungs: Fit,
    /// Why the banner is red; empty for a green one.
    pub alarms: Vec<Alarm>,
    /// How it was measured.
    pub protocol: Protocol,
}

/// The figures for one way to show the films.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Which.
    pub view: View,
    /// Mean share of the film that is covered; null where nothing is.
    pub covered: Option<f64>,
    /// The weights' own answers.
    pub network: Figures,
    /// Answers of a new linear head on the same features, trained on films shown the same way, five folds over patients.
    pub new_head: Figures,
}

/// A linear head that names the source from the features of the whole film, five folds over patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceProbe {
    /// Sources.
    pub sources: usize,
    /// Share of films whose source it names.
    pub accuracy: Estimate,
    /// The share that always naming the commonest source gets right.
    pub chance: f64,
    /// Mean one-vs-rest AUROC over the sources; 0.5 is chance.
    pub macro_auroc: Estimate,
}

/// One pair of labels in one place, once seen in training and once not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The source, or `sources never seen`.
    pub place: String,
    /// The pair of labels.
    pub pair: String,
    /// AUROC where training saw the source (other patients of it).
    pub seen: Estimate,
    /// AUROC where it did not.
    pub unseen: Estimate,
}

impl Gap {
    /// How much of the AUROC is lost.
    pub fn fall(&self) -> Option<f64> {
        Some(self.seen.value? - self.unseen.value?)
    }
}

/// A reason for the red banner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// `lungs-hidden` or `unseen-source`.
    pub code: String,
    /// In words.
    pub text: String,
}

impl AuditReport {
    /// The figures for a way to show the films.
    pub fn view(&self, view: View) -> Option<&Seen> {
        self.views.iter().find(|seen| seen.view == view)
    }

    /// What the figures say against the weights.
    pub(super) fn find_alarms(&mut self) {
        let mut alarms = Vec::new();
        for view in [View::LungsHidden, View::ChestHidden] {
            // At the sources that training saw, if there are others: that is where shortcuts were learned.
            let Some(network) = self.view(view).map(|seen| &seen.network) else { continue };
            let seen = network.within.get("seen").into_iter().flat_map(BTreeMap::values);
            let figures = seen.chain([&network.macro_auroc]).filter_map(|figure| figure.value);
            let Some(value) = figures.max_by(f64::total_cmp) else { continue };
            if value > HIDDEN_LIMIT {
                let text = format!(
                    "With {} the classifier still ranks the films with an AUROC of {value:.2} (a coin: 0.50, our limit: \
                     {HIDDEN_LIMIT:.2}). So a part of its answer does not come from the lungs.",
                    if view == View::LungsHidden { "the lungs blacked out" } else { "the whole chest blacked out" }
                );
                alarms.push(Alarm { code: "lungs-hidden".into(), text });
            }
        }
        let worst = self.gaps.iter().filter_map(|gap| Some((gap.fall()?, gap)));
        if let Some((fall, gap)) = worst.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(fall, _)| *fall > GAP_LIMIT) {
            let values = [gap.seen, gap.unseen].map(|estimate| estimate.value.unwrap_or_default());
            let text = format!(
                "From hospitals that training saw to one that it did not, the AUROC for {} falls by {fall:.2}, from {:.2} \
                 to {:.2} ({}). The first figure is what papers print; the second is what another hospital would get{}.",
                gap.pair,
                values[0],
                values[1],
                gap.place,
                // Not the audited network itself, which has seen all of them.
                self.left_out_by.as_ref().map_or(String::new(), |network| format!(", as far as {network}, tells"))
            );
            alarms.push(Alarm { code: "unseen-source".into(), text });
        }
        self.alarms = alarms;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn figure(value: f64) -> Estimate {
        Estimate { value: Some(value), low: Some(value - 0.05), high: Some(value + 0.05) }
    }

    /// With these figures for the lungs hidden, and this fall at a source left out.
    pub(crate) fn report(hidden: f64, fall: f64) -> AuditReport {
        let figures = |value: f64| Figures {
            macro_auroc: figure(value),
            auroc: BTreeMap::from([("covid/normal".into(), figure(value))]),
            ..Figures::default()
        };
        let seen =
            |view: View, value: f64| Seen { view, covered: None, network: figures(value), new_head: figures(value) };
        let mut report = AuditReport {
            format: FORMAT,
            name: "made".into(),
            weights: "0123".into(),
            recipe: "none".into(),
            classes: ["covid", "normal"].map(String::from).to_vec(),
            n: 2,
            patients: 2,
            films: BTreeMap::new(),
            left_out: BTreeMap::new(),
            seen: vec!["home".into()],
            views: vec![seen(View::Whole, 0.9), seen(View::LungsHidden, hidden), seen(View::ChestHidden, 0.5)],
            source: None,
            trivial: figures(0.6),
            gaps: vec![Gap {
                place: "away".into(),
                pair: "covid/normal".into(),
                seen: figure(0.9),
                unseen: figure(0.9 - fall),
            }],
            left_out_by: None,
            attention: Attention::default(),
            randomised: Vec::new(),
            lungs: Fit::released(),
            alarms: Vec::new(),
            protocol: Protocol::default(),
        };
        report.find_alarms();
        report
    }

    #[test]
    fn alarms_begin_beyond_their_limits() {
        let codes = |hidden: f64, fall: f64| -> Vec<String> {
            report(hidden, fall).alarms.into_iter().map(|alarm| alarm.code).collect()
        };
        assert!(codes(0.6, 0.09).is_empty());
        assert_eq!(codes(0.61, 0.09), ["lungs-hidden"]);
        assert_eq!(codes(0.3, 0.11), ["unseen-source"]);
        assert_eq!(codes(0.8, 0.5), ["lungs-hidden", "unseen-source"]);
        assert!(report(0.8, 0.0).alarms[0].text.contains("0.80"));
    }
}
