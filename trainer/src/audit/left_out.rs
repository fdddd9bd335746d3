//! Reports of `trainer cross-validate` that an audit sets beside the weights: one that left each source out, and one
//! of folds by patient by the same kind of network, so that seen and unseen differ in nothing but the source.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::measure::Figures;
use super::place::{Counts, NEVER_SEEN, SEEN, UNSEEN, rarer};
use super::report::{Gap, SeenBy};
use crate::bootstrap::Estimate;
use crate::folds::left_out_sources;
use crate::report::Protocol;

/// The parts of `cross-validation.json` that are needed.
#[derive(Debug, Deserialize)]
struct CrossValidation {
    folds: Vec<Fold>,
    pooled: Pooled,
    /// As in [`crate::output::CrossValidationReport::recipe`].
    recipe: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fold {
    name: String,
    auroc: BTreeMap<String, Estimate>,
}

#[derive(Debug, Deserialize)]
struct Pooled {
    protocol: Protocol,
    sources: BTreeMap<String, Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    labels: BTreeMap<String, usize>,
    auroc: BTreeMap<String, Estimate>,
}

impl CrossValidation {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is no cross-validation.json; make it with `trainer cross-validate`", path.display())
        })
    }

    /// Whether the fold held out sources, and not patients.
    fn is_of_sources(&self, fold: &Fold) -> bool {
        self.sources_of(fold).iter().all(|source| self.pooled.sources.contains_key(*source))
    }

    /// The sources that the fold is named after.
    fn sources_of<'a>(&self, fold: &'a Fold) -> Vec<&'a str> {
        left_out_sources(&fold.name, |source| self.pooled.sources.contains_key(source))
    }

    fn films(&self) -> Counts {
        self.pooled.sources.iter().map(|(name, source)| (name.clone(), source.labels.clone())).collect()
    }

    fn trained(&self) -> String {
        match &self.recipe {
            Some(recipe) => format!("trained by the recipe {recipe}"),
            None => "heads on frozen features".into(),
        }
    }
}

/// Networks that never saw a source and, where folds were given, networks of the same kind that did.
#[derive(Debug)]
pub(super) struct LeftOut {
    report: CrossValidation,
    folds: Option<CrossValidation>,
}

impl LeftOut {
    /// Reads the report that left sources out, and the one of folds by patient.
    ///
    /// # Errors
    /// If a file is missing or no such report, or if the two are of different kinds of networks.
    pub(super) fn read(report: &Path, folds: Option<&Path>) -> Result<Self> {
        Self::new(CrossValidation::read(report)?, folds.map(CrossValidation::read).transpose()?)
    }

    fn new(report: CrossValidation, folds: Option<CrossValidation>) -> Result<Self> {
        ensure!(
            report.folds.iter().all(|fold| report.is_of_sources(fold)),
            "--cross-validation: this report has folds by patient; make one with `trainer cross-validate \
             --leave-one-source-out`"
        );
        if let Some(folds) = &folds {
            ensure!(
                !folds.folds.iter().any(|fold| folds.is_of_sources(fold)),
                "--folds: this report left sources out; make one with `trainer cross-validate --folds 5`"
            );
            ensure!(
                folds.recipe == report.recipe,
                "--folds: these networks are {}, those of --cross-validation {}; a gap compares one kind of network \
                 with itself, so make both reports in the same way",
                folds.trained(),
                report.trained()
            );
        }
        Ok(Self { report, folds })
    }

    /// Names of the sources left out, `a+b` for two at once.
    pub(super) fn names(&self) -> Vec<String> {
        self.report.folds.iter().map(|fold| fold.name.clone()).collect()
    }

    /// The weights that the networks without a source started from.
    pub(super) fn weights(&self) -> String {
        self.report.pooled.protocol.weights.clone()
    }

    /// The recipe that trained them; none for heads on frozen features.
    pub(super) fn recipe(&self) -> Option<String> {
        self.report.recipe.clone()
    }

    /// Who answered where the source was seen.
    pub(super) fn seen_by(&self) -> SeenBy {
        self.folds.as_ref().map_or(SeenBy::Weights, |folds| SeenBy::Folds(folds.pooled.protocol.split.clone()))
    }

    /// Each pair of labels at each source left out. Where the source was seen the figure is that of the folds, which
    /// joined sources have none in; without folds that of the audited weights, `whole`.
    fn gaps(&self, whole: &Figures) -> Vec<Gap> {
        let films = self.report.films();
        let mut gaps = Vec::new();
        for fold in &self.report.folds {
            let sources = self.report.sources_of(fold);
            for (pair, unseen) in &fold.auroc {
                let seen = match &self.folds {
                    Some(folds) => {
                        folds.pooled.sources.get(&fold.name).and_then(|source| source.auroc.get(pair)).copied()
                    }
                    None => whole.of(&fold.name, pair),
                };
                gaps.push(Gap {
                    place: fold.name.clone(),
                    pair: pair.clone(),
                    seen: seen.unwrap_or_default(),
                    unseen: *unseen,
                    rarer: rarer(&films, pair, |source| sources.contains(&source)),
                });
            }
        }
        gaps
    }
}

/// Figures at sources that training saw and that it did not: from reports that left each out in turn, and from the
/// weights' own answers for whole films, where the films have sources that the weights never saw.
pub(super) fn gaps(whole: &Figures, left_out: Option<&LeftOut>) -> Vec<Gap> {
    let mut gaps = left_out.map_or(Vec::new(), |left_out| left_out.gaps(whole));
    for (pair, unseen) in whole.within.get(UNSEEN).into_iter().flatten() {
        if let Some(seen) = whole.of(SEEN, pair) {
            gaps.push(Gap { place: NEVER_SEEN.into(), pair: pair.clone(), seen, unseen: *unseen, rarer: None });
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::figure;
    use super::*;

    const PAIR: &str = "covid/normal";

    fn pairs(value: f64) -> BTreeMap<String, Estimate> {
        [(PAIR.to_owned(), figure(value))].into()
    }

    /// Folds of these names with this figure; `home` holds both labels, `ill` and `well` one each.
    fn report(recipe: Option<&str>, folds: &[(&str, f64)], home: f64) -> CrossValidation {
        let source = |labels: &[(&str, usize)], auroc: BTreeMap<String, Estimate>| Source {
            labels: labels.iter().map(|(label, count)| (label.to_string(), *count)).collect(),
            auroc,
        };
        let sources = [
            ("home".to_owned(), source(&[("covid", 30), ("normal", 8)], pairs(home))),
            ("ill".to_owned(), source(&[("covid", 20)], BTreeMap::new())),
            ("well".to_owned(), source(&[("normal", 25)], BTreeMap::new())),
        ];
        CrossValidation {
            folds: folds.iter().map(|(name, value)| Fold { name: name.to_string(), auroc: pairs(*value) }).collect(),
            pooled: Pooled { protocol: Protocol::default(), sources: sources.into() },
            recipe: recipe.map(str::to_owned),
        }
    }

    /// The weights themselves: better at home than any head.
    fn whole() -> Figures {
        let within = [("home".to_owned(), pairs(0.95)), ("ill+well".to_owned(), pairs(0.875))];
        Figures { within: within.into(), ..Figures::default() }
    }

    const LEFT_OUT: [(&str, f64); 2] = [("home", 0.75), ("ill+well", 0.8)];

    fn falls(left_out: &LeftOut) -> Vec<Option<f64>> {
        gaps(&whole(), Some(left_out)).iter().map(|gap| gap.fall().map(|fall| (fall * 1e6).round() / 1e6)).collect()
    }

    #[test]
    fn with_folds_a_fall_is_between_networks_of_one_kind() {
        let alone = LeftOut::new(report(None, &LEFT_OUT, 0.75), None).unwrap();
        assert_eq!((falls(&alone), alone.seen_by()), (vec![Some(0.2), Some(0.075)], SeenBy::Weights));
        let folds = report(None, &[("1", 0.9), ("2", 0.9)], 0.8125);
        let beside = LeftOut::new(report(None, &LEFT_OUT, 0.75), Some(folds)).unwrap();
        // Joined sources have no figure of their own in the folds, and so no fall.
        assert_eq!((falls(&beside), beside.seen_by()), (vec![Some(0.0625), None], SeenBy::Folds(String::new())));
        let rarer: Vec<Option<usize>> = gaps(&whole(), Some(&beside)).iter().map(|gap| gap.rarer).collect();
        assert_eq!(rarer, [Some(8), Some(20)]);
        assert_eq!(beside.names(), ["home", "ill+well"]);
    }

    #[test]
    fn a_source_with_a_plus_in_its_name_is_one_source() {
        let mut report = report(None, &[("ill+well", 0.8)], 0.8);
        let film = |labels: &[(&str, usize)]| Source {
            labels: labels.iter().map(|(label, count)| (label.to_string(), *count)).collect(),
            auroc: BTreeMap::new(),
        };
        report.pooled.sources = [("ill+well".to_owned(), film(&[("covid", 4), ("normal", 6)]))].into();
        let left_out = LeftOut::new(report, None).unwrap();
        assert_eq!(gaps(&Figures::default(), Some(&left_out))[0].rarer, Some(4));
    }

    #[test]
    fn a_source_without_a_figure_of_the_weights_is_kept() {
        let left_out = LeftOut::new(report(None, &[("home", 0.66)], 0.66), None).unwrap();
        let gaps = gaps(&Figures::default(), Some(&left_out));
        assert_eq!((gaps.len(), gaps[0].fall(), gaps[0].unseen), (1, None, figure(0.66)));
    }

    #[test]
    fn reports_of_other_kinds_are_refused() {
        let by_patient = |recipe: Option<&str>| report(recipe, &[("1", 0.9)], 0.9);
        let refused = |left_out: CrossValidation, folds: CrossValidation| {
            LeftOut::new(left_out, Some(folds)).expect_err("they do not fit").to_string()
        };
        let text = refused(report(Some("default"), &LEFT_OUT, 0.75), by_patient(None));
        assert!(text.contains("recipe default") && text.contains("frozen features"), "{text}");
        assert!(refused(report(None, &LEFT_OUT, 0.75), report(None, &LEFT_OUT, 0.75)).contains("left sources out"));
        assert!(refused(by_patient(None), by_patient(None)).contains("folds by patient"));
        assert!(LeftOut::new(report(Some("a"), &LEFT_OUT, 0.75), Some(by_patient(Some("a")))).is_ok());
    }
}
