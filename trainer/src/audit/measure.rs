//! Figures of one set of answers: for all films, for groups of sources and within each source.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::place::{Place, SEEN, UNSEEN};
use crate::bootstrap::{Bootstrap, Estimate, patients};
use crate::metrics::{Prediction, Ranking};

/// Fewer films of a label than this, and no figure is given.
pub const FEW_OF_A_LABEL: usize = 5;

/// How well answers rank films of one label above those of another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Mean one-vs-rest AUROC over the labels that occur.
    pub macro_auroc: Estimate,
    /// AUROC by pair of labels `a/b`, all films.
    pub auroc: BTreeMap<String, Estimate>,
    /// The same within one source or several (`a+b`), by name; only pairs with at least [`FEW_OF_A_LABEL`] films of either label.
    /// `seen` are the sources that the weights were trained on, `unseen` the others, where there are others.
    pub within: BTreeMap<String, BTreeMap<String, Estimate>>,
}

/// Groups of films by name that figures are wanted for: indices into the answers.
#[derive(Debug, Clone, Default)]
pub struct Groups(Vec<(String, Vec<usize>)>);

impl Groups {
    /// Each source, each of `joined` (`a+b`), and `seen` and `unseen` where there are films of both.
    pub fn new(answers: &[Prediction], seen: &[String], joined: &[String]) -> Self {
        let sources: BTreeSet<&str> = answers.iter().map(|answer| answer.source.as_str()).collect();
        let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..answers.len()).filter(|film| wanted(&answers[*film].source)).collect()
        };
        let mut groups: Vec<(String, Vec<usize>)> =
            sources.iter().map(|source| (source.to_string(), of(&|other| other == *source))).collect();
        for name in joined {
            if let Place::Joined(parts) = Place::among(name, |source| sources.contains(source)) {
                groups.push((name.clone(), of(&|source| parts.contains(&source))));
            }
        }
        let known = |source: &str| seen.iter().any(|seen| seen == source);
        let (home, away) = (of(&known), of(&|source| !known(source)));
        if !home.is_empty() && !away.is_empty() {
            groups.extend([(SEEN.into(), home), (UNSEEN.into(), away)]);
        }
        Self(groups)
    }
}

impl Figures {
    /// Measures `answers`; all intervals come from the same resamples of patients.
    pub fn new(answers: &[Prediction], classes: &[String], groups: &Groups, bootstrap: Bootstrap) -> Self {
        let all: Vec<usize> = (0..answers.len()).collect();
        let present = (0..classes.len()).filter(|class| answers.iter().any(|answer| answer.label == *class));
        let present: Vec<usize> = present.collect();
        let each: Vec<Ranking> =
            present.iter().map(|class| Ranking::one_vs_rest(answers.iter().enumerate(), *class)).collect();
        let mut pairs: Vec<(&str, String, Ranking)> = Vec::new();
        let whole = ("", &all);
        for (name, films) in [whole].into_iter().chain(groups.0.iter().map(|(name, films)| (name.as_str(), films))) {
            for (index, a) in present.iter().enumerate() {
                for b in &present[index + 1..] {
                    let count = |label: usize| films.iter().filter(|film| answers[**film].label == label).count();
                    if count(*a).min(count(*b)) >= FEW_OF_A_LABEL {
                        let films = films.iter().map(|film| (*film, &answers[*film]));
                        pairs.push((name, format!("{}/{}", classes[*a], classes[*b]), Ranking::pair(films, *a, *b)));
                    }
                }
            }
        }
        let measure = |weights: &[u32]| -> Vec<Option<f64>> {
            let weight = |film: usize| weights[film];
            let aurocs: Option<Vec<f64>> = each.iter().map(|ranking| ranking.auroc(weight)).collect();
            let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
            let macro_auroc = aurocs.filter(|values| values.len() > 1).map(mean);
            let pairs = pairs.iter().map(|(_, _, ranking)| ranking.auroc(weight));
            [macro_auroc].into_iter().chain(pairs).collect()
        };
        let estimates = bootstrap.estimate(&patients(answers), measure);
        let mut figures = Self { macro_auroc: estimates[0], ..Self::default() };
        for ((group, pair, _), estimate) in pairs.iter().zip(&estimates[1..]) {
            let of = match *group {
                "" => &mut figures.auroc,
                group => figures.within.entry(group.to_owned()).or_default(),
            };
            of.insert(pair.clone(), *estimate);
        }
        figures
    }

    /// The figure of a pair within a group.
    pub fn of(&self, group: &str, pair: &str) -> Option<Estimate> {
        self.within.get(group)?.get(pair).copied()
    }
}

/// The mean of `values` over films with its interval over patients; films without a value do not count.
pub fn mean(values: &[Option<f64>], patients: &[usize], bootstrap: Bootstrap) -> Estimate {
    let measure = |weights: &[u32]| {
        let known = || values.iter().zip(weights).filter_map(|(value, weight)| Some((value.as_ref()?, *weight)));
        let count: u32 = known().map(|(_, weight)| weight).sum();
        let sum: f64 = known().map(|(value, weight)| value * f64::from(weight)).sum();
        vec![(count > 0).then(|| sum / f64::from(count))]
    };
    bootstrap.estimate(patients, measure)[0]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn answer(label: usize, source: &str, probability: f32, number: usize) -> Prediction {
        Prediction {
            file: number.to_string(),
            label,
            source: source.into(),
            patient_id: number.to_string(),
            view: None,
            age_group: None,
            logits: vec![probability, 1.0 - probability],
            probabilities: vec![probability, 1.0 - probability],
            refused: false,
            set: Vec::new(),
            distance: None,
        }
    }

    /// Two sources, each with one label only, told apart without fault; a third holds both labels, in reverse.
    #[test]
    fn a_shortcut_shows_between_sources_and_not_within() {
        let mut answers = Vec::new();
        for number in 0..40 {
            answers.push(answer(0, "a", 0.9, 4 * number));
            answers.push(answer(1, "b", 0.1, 4 * number + 1));
        }
        for number in 0..6 {
            answers.push(answer(0, "c", 0.2, 1000 + number));
            answers.push(answer(1, "c", 0.3, 2000 + number));
        }
        let classes = ["covid", "normal"].map(String::from);
        let seen = ["a", "b"].map(String::from);
        let groups = Groups::new(&answers, &seen, &["a+c".into()]);
        let figures = Figures::new(&answers, &classes, &groups, Bootstrap { resamples: 50, seed: 1 });
        let of = |group: &str| figures.of(group, "covid/normal").and_then(|estimate| estimate.value);
        assert_eq!((of("seen"), of("unseen"), of("c")), (Some(1.0), Some(0.0), Some(0.0)));
        assert_eq!((of("a"), of("b")), (None, None), "one label");
        assert_eq!(of("a+c"), Some(40.0 / 46.0));
        let whole = (40.0 * 46.0 + 6.0 * 40.0) / (46.0 * 46.0);
        assert!((figures.auroc["covid/normal"].value.unwrap() - whole).abs() < 1e-12);
        assert!((figures.macro_auroc.value.unwrap() - whole).abs() < 1e-12);
        let two = Figures::new(&answers[..9], &classes, &Groups::default(), Bootstrap { resamples: 10, seed: 1 });
        assert!(two.auroc.is_empty(), "four films of a label are too few");
    }

    #[test]
    fn means_leave_out_what_is_unknown() {
        let mean = mean(&[Some(0.2), None, Some(0.4)], &[0, 1, 2], Bootstrap { resamples: 200, seed: 3 });
        assert!((mean.value.unwrap() - 0.3).abs() < 1e-12);
        assert!(mean.low.unwrap() > 0.199 && mean.high.unwrap() < 0.401, "{mean:?}");
        assert!(mean.high.unwrap() - mean.low.unwrap() > 0.1, "{mean:?}");
    }
}
