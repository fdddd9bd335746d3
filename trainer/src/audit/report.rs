//! `audit.json`: what an audit measured, and the verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attention::{Attention, Randomised};
use super::lungs::Fit;
use super::measure::Figures;
use super::place::{Place, rarer, still_trained};
use super::views::View;
use crate::bootstrap::Estimate;
use crate::report::Protocol;

/// Version of `audit.json`; a field may be added without a new one, none is removed or redefined.
pub const FORMAT: u32 = 1;
/// With the lungs hidden, an AUROC of a pair of labels beyond this is an alarm.
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
    /// A linear head on features that need no network (see `cross_validate::trivial`), five folds over patients.
    pub trivial: Figures,
    /// Sources that training saw against sources that it did not.
    pub gaps: Vec<Gap>,
    /// Where the figures for sources left out come from; null where no report was given.
    pub left_out_by: Option<String>,
    /// The recipe that trained the networks without these sources; null for linear heads on frozen features.
    #[serde(default)]
    pub left_out_recipe: Option<String>,
    /// Who answered where those sources were seen.
    #[serde(default)]
    pub seen_by: SeenBy,
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

/// Who gave the figures [`Gap::seen`] that stand beside those for sources left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// The audited weights: another network than those that never saw the source.
    #[default]
    Weights,
    /// Networks of the same kind as those that never saw the source, in folds that this sentence describes.
    Folds(String),
}

/// One pair of labels in one place, once seen in training and once not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The source, several that were left out together (`a+b`), or `sources never seen`: the weights' own answers.
    pub place: String,
    /// The pair of labels.
    pub pair: String,
    /// AUROC where training saw the source (other patients of it), see [`SeenBy`]; without a value where there is none.
    pub seen: Estimate,
    /// AUROC where it did not.
    pub unseen: Estimate,
    /// Films of the rarer label that `unseen` rests on; null where the audited films tell, or where it is not known.
    #[serde(default)]
    pub rarer: Option<usize>,
}

impl Gap {
    /// Whether both figures are the audited weights' own.
    pub(super) fn is_of_the_weights(&self) -> bool {
        Place::of(&self.place) == Place::Unseen
    }

    /// How much of the AUROC is lost; none where a figure is missing.
    pub fn fall(&self) -> Option<f64> {
        Some(self.seen.value? - self.unseen.value?)
    }
}

/// A reason for the red banner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its kind.
    pub code: AlarmCode,
    /// In words.
    pub text: String,
}

/// Kinds of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmCode {
    /// A pair of labels is told apart although lungs or chest are hidden.
    LungsHidden,
    /// A pair of labels is told apart less well at a source that training did not see.
    UnseenSource,
}

impl AuditReport {
    /// The figures for a way to show the films.
    pub fn view(&self, view: View) -> Option<&Seen> {
        self.views.iter().find(|seen| seen.view == view)
    }

    /// Who answered at the sources left out; none where no report was given.
    pub(super) fn left_out_network(&self) -> Option<String> {
        self.left_out_by.as_ref()?;
        Some(match &self.left_out_recipe {
            Some(recipe) => format!("networks trained by the recipe {recipe}"),
            None => "linear heads on frozen features".into(),
        })
    }

    /// Films of the rarer label that the unseen figure of `gap` rests on, where that is known.
    pub(super) fn rarer(&self, gap: &Gap) -> Option<usize> {
        let away = |source: &str| !self.seen.iter().any(|seen| seen == source);
        gap.rarer.or_else(|| if gap.is_of_the_weights() { rarer(&self.films, &gap.pair, away) } else { None })
    }

    /// What differs between the two figures of `gap` besides the source.
    pub(super) fn caveat(&self, gap: &Gap) -> String {
        let Some(network) = self.left_out_network().filter(|_| !gap.is_of_the_weights()) else {
            return "Both figures are of these weights, on different films.".into();
        };
        match self.seen_by {
            SeenBy::Weights => format!(
                "The two figures come from two networks: the first from these weights, the second from {network} that \
                 never saw the collection. So a part of the fall may be the difference between the networks."
            ),
            SeenBy::Folds(_) => format!(
                "Both figures come from {network}, trained once with films of the collection and once without, and not \
                 from these weights themselves."
            ),
        }
    }

    /// The place of a gap in words, with the sources of the same hospitals that were still in training.
    pub(super) fn where_of(&self, gap: &Gap) -> String {
        let place = self.place(&gap.place);
        let words = place.words(&self.films);
        let still = if gap.is_of_the_weights() { String::new() } else { self.still_trained(&place) };
        if still.is_empty() { words } else { format!("{words}; {still}") }
    }

    /// As [`still_trained`], for networks that were made without `place`.
    pub(super) fn still_trained(&self, place: &Place) -> String {
        still_trained(place.sources(), |source| self.films.contains_key(source))
    }

    /// The place of that name, where a source of these films or of the training may itself be called `a+b`.
    pub(super) fn place<'a>(&self, name: &'a str) -> Place<'a> {
        Place::among(name, |source| self.films.contains_key(source) || self.seen.iter().any(|seen| seen == source))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::measure::FEW_OF_A_LABEL;
    use super::super::place::{NEVER_SEEN, SEEN};
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
                rarer: None,
            }],
            left_out_by: None,
            left_out_recipe: None,
            seen_by: SeenBy::Weights,
            attention: Attention::default(),
            randomised: Vec::new(),
            lungs: Fit::released(),
            alarms: Vec::new(),
            protocol: Protocol::default(),
        };
        report.find_alarms();
        report
    }

    /// Adds films of a source that the weights never saw, enough of either label for a figure.
    fn with_films_away(mut report: AuditReport) -> AuditReport {
        report.films.insert("away".into(), [("covid", 9), ("normal", 9)].map(|(label, n)| (label.into(), n)).into());
        report
    }

    #[test]
    fn alarms_begin_beyond_their_limits() {
        let codes = |hidden: f64, fall: f64| -> Vec<AlarmCode> {
            report(hidden, fall).alarms.into_iter().map(|alarm| alarm.code).collect()
        };
        assert!(codes(0.6, 0.09).is_empty());
        assert_eq!(codes(0.61, 0.09), [AlarmCode::LungsHidden]);
        assert_eq!(codes(0.3, 0.11), [AlarmCode::UnseenSource]);
        assert_eq!(codes(0.8, 0.5), [AlarmCode::LungsHidden, AlarmCode::UnseenSource]);
        assert!(report(0.8, 0.0).alarms[0].text.contains("0.80"));
        let verdict = |hidden: f64, fall: f64| report(hidden, fall).verdict();
        assert_eq!(verdict(0.6, 0.0), None);
        assert_eq!(verdict(0.6, 0.2), Some("may use shortcuts"));
        assert_eq!(verdict(0.8, 0.2), Some("uses shortcuts"));
    }

    #[test]
    fn hidden_lungs_are_judged_by_the_worst_pair_whatever_training_saw() {
        let mut report = report(0.5, 0.0);
        let pairs = |covid: f64, pneumonia: f64| -> BTreeMap<String, Estimate> {
            [("covid/normal".to_owned(), figure(covid)), ("normal/pneumonia".to_owned(), figure(pneumonia))].into()
        };
        // All sources were seen: the mean over the findings is calm, one pair is not.
        report.views[1].network.auroc = pairs(0.55, 0.75);
        report.find_alarms();
        assert_eq!(report.best(View::LungsHidden), Some((0.75, "normal/pneumonia")));
        assert_eq!(report.alarms.len(), 1);
        let text = &report.alarms[0].text;
        assert!(text.contains("normal/pneumonia") && text.contains("0.75"), "{text}");
        // Some were not: the same rule, at those that were.
        report.views[1].network.within.insert(SEEN.into(), pairs(0.9, 0.52));
        report.find_alarms();
        assert_eq!(report.best(View::LungsHidden), Some((0.9, "covid/normal")));
        // The mean alone raises none.
        report.views[1].network.within.insert(SEEN.into(), pairs(0.6, 0.52));
        report.views[1].network.macro_auroc = figure(0.9);
        report.find_alarms();
        assert!(report.alarms.is_empty());
    }

    #[test]
    fn a_fall_says_whose_figures_it_compares() {
        let mut report = with_films_away(report(0.5, 0.2));
        let text = |report: &mut AuditReport| {
            report.find_alarms();
            report.alarms.first().map(|alarm| alarm.text.clone()).unwrap_or_default()
        };
        report.left_out_by = Some("frozen weights".into());
        assert!(text(&mut report).contains("come from two networks"));
        report.seen_by = SeenBy::Folds("5 folds".into());
        assert!(text(&mut report).contains("Both figures come from linear heads on frozen features"));
        report.left_out_recipe = Some("default".into());
        assert!(text(&mut report).contains("Both figures come from networks trained by the recipe default"));
        report.gaps[0].place = NEVER_SEEN.into();
        assert!(text(&mut report).contains("Both figures are of these weights"));
        report.gaps[0].rarer = Some(FEW_OF_A_LABEL - 1);
        assert_eq!(text(&mut report), "", "too few films for an alarm");
    }

    #[test]
    fn there_is_one_alarm_for_each_kind_of_fall() {
        let mut report = with_films_away(report(0.5, 0.2));
        for (place, fall) in [("far", 0.3), (NEVER_SEEN, 0.25), (NEVER_SEEN, 0.4)] {
            report.gaps.push(Gap { place: place.into(), unseen: figure(0.9 - fall), ..report.gaps[0].clone() });
        }
        report.find_alarms();
        let texts: Vec<&str> = report.alarms.iter().map(|alarm| alarm.text.as_str()).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains("a fall of 0.40 (sources never seen)"), "{}", texts[0]);
        assert!(texts[1].contains("a fall of 0.30 (far)"), "{}", texts[1]);
        // The weights' own figure rests on the films at hand.
        report.films.get_mut("away").unwrap().insert("covid".into(), FEW_OF_A_LABEL - 1);
        report.find_alarms();
        assert_eq!(report.alarms.len(), 1);
        assert!(report.alarms[0].text.contains("(far)"));
    }

    #[test]
    fn audits_from_before_folds_are_read() {
        let mut json = serde_json::to_value(report(0.5, 0.0)).unwrap();
        for field in ["seen_by", "left_out_recipe"] {
            json.as_object_mut().unwrap().remove(field).expect("it is written");
        }
        json["gaps"][0].as_object_mut().unwrap().remove("rarer").expect("it is written");
        let read: AuditReport = serde_json::from_value(json).unwrap();
        assert_eq!((read.seen_by, read.gaps[0].rarer), (SeenBy::Weights, None));
        let folds = serde_json::to_string(&SeenBy::Folds("5 folds".into())).unwrap();
        assert_eq!(folds, r#"{"folds":"5 folds"}"#);
    }
}
