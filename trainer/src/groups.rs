//! The sets of films that a report measures: all, every source, every view, every age group.

use crate::bootstrap::{Bootstrap, Estimate};
use crate::calibrate::OperatingPoint;
use crate::calls;
use crate::measures::{Quantity, Scope};
use crate::metrics::{Confusion, Prediction};
use crate::report::{FEW_FILMS, GroupReport};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What was estimated for one set of films.
pub(crate) type Figures = HashMap<Quantity, Estimate>;

/// How many patients there are among these.
pub(crate) fn distinct<'a>(patients: impl Iterator<Item = &'a usize>) -> u64 {
    patients.collect::<BTreeSet<_>>().len() as u64
}

/// AUROC by the name `a/b` of the pair.
pub(crate) fn pairs(figures: &Figures, classes: &[String]) -> BTreeMap<String, Estimate> {
    let name = |(quantity, estimate): (&Quantity, &Estimate)| match quantity {
        Quantity::Pair(a, b) => Some((format!("{}/{}", classes[*a], classes[*b]), *estimate)),
        _ => None,
    };
    figures.iter().filter_map(name).collect()
}

/// What the films of a set have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    All,
    Source,
    View,
    Age,
    /// All sources but this one.
    Without,
}

/// The sets of films that are measured: all of them first, then every source, view and age group.
pub(crate) struct Groups {
    /// Kind and value of each set.
    pub(crate) keys: Vec<(Kind, String)>,
    films: Vec<Vec<usize>>,
}

impl Groups {
    /// Every set that some film belongs to; all but one source only where two sources or more are there.
    pub(crate) fn of(predictions: &[Prediction]) -> Groups {
        let sources: BTreeSet<&String> = predictions.iter().map(|p| &p.source).collect();
        let mut groups: BTreeMap<(Kind, String), Vec<usize>> = BTreeMap::new();
        for (film, p) in predictions.iter().enumerate() {
            let keys = [
                (Kind::All, Some(String::new())),
                (Kind::Source, Some(p.source.clone())),
                (Kind::View, p.view.clone()),
                (Kind::Age, p.age_group.clone()),
            ];
            for (kind, value) in keys {
                if let Some(value) = value {
                    groups.entry((kind, value)).or_default().push(film);
                }
            }
            for other in sources.iter().filter(|other| ***other != p.source) {
                groups.entry((Kind::Without, (*other).clone())).or_default().push(film);
            }
        }
        let (keys, films) = groups.into_iter().unzip();
        Groups { keys, films }
    }

    /// The films of a set.
    pub(crate) fn films(&self, index: usize) -> &[usize] {
        &self.films[index]
    }

    /// Estimates of every group from the same resamples.
    pub(crate) fn measure(
        &self,
        predictions: &[Prediction],
        classes: usize,
        points: &[(usize, &OperatingPoint)],
        patients: &[usize],
        bootstrap: Bootstrap,
    ) -> Vec<Figures> {
        let thresholds = calls::thresholds(points, classes);
        let scope = |(index, films): (usize, &Vec<usize>)| {
            let points = if index == 0 { points } else { &[] };
            Scope::new(films.iter().map(|film| (*film, &predictions[*film])), classes, points, thresholds.as_deref())
        };
        let scopes: Vec<Scope> = self.films.iter().enumerate().map(scope).collect();
        let estimates = bootstrap.estimate(patients, |weights| {
            scopes.iter().flat_map(|scope| scope.measure(weights)).map(|(_, value)| value).collect()
        });
        let once = vec![1; predictions.len()];
        let mut estimates = estimates.into_iter();
        scopes
            .iter()
            .zip(&self.films)
            .map(|(scope, films)| {
                let own = scope.measure(&once).into_iter().map(|(q, _)| q).zip(&mut estimates);
                // One patient says nothing of others.
                let lone = distinct(films.iter().map(|film| &patients[*film])) < 2;
                own.map(|(q, e)| (q, if lone { Estimate { low: None, high: None, ..e } } else { e })).collect()
            })
            .collect()
    }

    /// The report of one set.
    pub(crate) fn report(
        &self,
        index: usize,
        predictions: &[Prediction],
        classes: &[String],
        patients: &[usize],
        figures: &Figures,
    ) -> GroupReport {
        let films = &self.films[index];
        let mut labels = BTreeMap::new();
        let mut confusion = Confusion::new(classes.len());
        for prediction in films.iter().map(|film| &predictions[*film]) {
            *labels.entry(classes[prediction.label].clone()).or_default() += 1;
            confusion.add(prediction.label, prediction.call(), 1);
        }
        GroupReport {
            n: films.len() as u64,
            patients: distinct(films.iter().map(|film| &patients[*film])),
            few: (films.len() as u64) < FEW_FILMS,
            refused: films.iter().filter(|film| predictions[**film].refused).count() as u64,
            labels,
            confusion: confusion.rows(),
            accuracy: figures[&Quantity::Accuracy],
            balanced_accuracy: figures[&Quantity::BalancedAccuracy],
            ece: figures[&Quantity::Ece],
            overconfidence: figures[&Quantity::Overconfidence],
            auroc: pairs(figures, classes),
        }
    }
}
