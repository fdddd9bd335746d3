//! Every figure of a report for one set of films (all, one source, one subgroup), measured together.
//!
//! Rankings are sorted once; a resample then costs one pass over them.

use crate::calibrate::{OperatingPoint, ece, reliability};
use crate::calls;
use crate::metrics::{Confusion, Films, Prediction, Ranking, ratio};

/// Shares of films with a finding that predictive values are stated for.
pub const PREVALENCES: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// Positive and negative predictive value by Bayes' rule; `None` where no film reaches the threshold, or every film.
///
/// ```
/// use trainer::measures::predictive_values;
/// // Of 1,000 films 100 have the finding: 90 of them and 180 of the other 900 reach the threshold.
/// let (ppv, npv) = predictive_values(0.9, 0.8, 0.1);
/// assert!((ppv.unwrap() - 90.0 / 270.0).abs() < 1e-12 && (npv.unwrap() - 720.0 / 730.0).abs() < 1e-12);
/// assert_eq!(predictive_values(0.0, 1.0, 0.1), (None, Some(0.9)));
/// ```
pub fn predictive_values(sensitivity: f64, specificity: f64, prevalence: f64) -> (Option<f64>, Option<f64>) {
    let share = |part: f64, other: f64| (part + other > 0.0).then(|| part / (part + other));
    let without = 1.0 - prevalence;
    (
        share(sensitivity * prevalence, (1.0 - specificity) * without),
        share(specificity * without, (1.0 - sensitivity) * prevalence),
    )
}

/// A figure; classes and operating points are indices into the report's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// See [`Confusion::accuracy`].
    Accuracy,
    /// See [`Confusion::balanced_accuracy`].
    BalancedAccuracy,
    /// See [`crate::metrics::macro_auroc`].
    MacroAuroc,
    /// See [`ece`].
    Ece,
    /// Mean of [`Prediction::brier`].
    Brier,
    /// Mean of [`Prediction::nll`].
    Nll,
    /// One against the rest.
    Auroc(usize),
    /// See [`Ranking::average_precision`].
    AveragePrecision(usize),
    /// See [`Confusion::sensitivity`].
    Sensitivity(usize),
    /// See [`Confusion::specificity`].
    Specificity(usize),
    /// See [`Confusion::precision`].
    Precision(usize),
    /// See [`Confusion::f1`].
    F1(usize),
    /// See [`crate::metrics::pair_auroc`]; the first class is the positive one.
    Pair(usize, usize),
    /// Sensitivity of an operating point.
    PointSensitivity(usize),
    /// Specificity of an operating point.
    PointSpecificity(usize),
    /// Positive predictive value of an operating point at the prevalence of that index in [`PREVALENCES`]: of the films
    /// that reach its threshold, whatever else they reach. What a call is worth is [`Self::CallsRightAs`].
    PointPpv(usize, usize),
    /// As [`Self::PointPpv`], negative.
    PointNpv(usize, usize),
    /// Mean probability of the calls less the share of right ones; above 0 the model is too sure.
    Overconfidence,
    /// Share of the films whose prediction set holds their label. A refused film gets no set, and counts neither here nor
    /// in the size.
    Coverage,
    /// Mean number of findings in a prediction set.
    SetSize,
    /// [`Self::Coverage`] of the films of one label.
    CoverageOf(usize),
    /// [`Self::SetSize`] of the films of one label.
    SetSizeOf(usize),
    /// Share of the films that the classifier makes a call on, see [`crate::calls`].
    Called,
    /// Share of these calls that are right.
    CallsRight,
    /// [`Self::Called`] of the films of one label.
    CalledOf(usize),
    /// [`Self::CallsRight`] of the films of one label.
    CallsRightOf(usize),
    /// Share of the calls of one finding that are right.
    CallsRightAs(usize),
}

/// One set of films, ready to be measured with any weights.
pub struct Scope {
    classes: usize,
    present: Vec<usize>,
    films: Vec<Facts>,
    rankings: Vec<Ranking>,
    pairs: Vec<((usize, usize), Ranking)>,
    /// Per operating point: its class, and whether each film reaches the threshold.
    points: Vec<(usize, Vec<bool>)>,
}

struct Facts {
    index: usize,
    label: usize,
    call: usize,
    confidence: f64,
    brier: f64,
    nll: f64,
    /// What the classifier calls by its own thresholds; none without a call, or without thresholds.
    called: Option<usize>,
    /// Whether the prediction set holds the label, and how many findings it holds; none without a set.
    set: Option<(bool, usize)>,
}

/// Sums over prediction sets, by resample.
#[derive(Clone, Copy, Default)]
struct Sets {
    films: f64,
    covered: f64,
    findings: f64,
}

impl Sets {
    fn add(&mut self, weight: u32, (covered, findings): (bool, usize)) {
        let weight = f64::from(weight);
        self.films += weight;
        self.covered += weight * f64::from(u8::from(covered));
        self.findings += weight * findings as f64;
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.films > 0.0).then(|| sum / self.films)
    }
}

impl Scope {
    /// `films` are indexed as the weights of [`Scope::measure`] are; each point comes with the class of its finding.
    /// `thresholds`, one for each class, are those of the classifier's calls.
    pub fn new<'a>(
        films: impl Films<'a> + Clone,
        classes: usize,
        points: &[(usize, &OperatingPoint)],
        thresholds: Option<&[f64]>,
    ) -> Self {
        let facts = |(index, p): (usize, &Prediction)| Facts {
            index,
            label: p.label,
            call: p.call(),
            confidence: p.probability(p.call()),
            brier: p.brier(),
            nll: p.nll(),
            called: thresholds.and_then(|thresholds| calls::call(p, thresholds)),
            set: (!p.refused && !p.set.is_empty()).then(|| (p.set.contains(&p.label), p.set.len())),
        };
        let reaches = |(class, point): &(usize, &OperatingPoint)| {
            let reached = films.clone().map(|(_, p)| p.probability(*class) >= point.threshold);
            (*class, reached.collect())
        };
        let present: Vec<usize> = (0..classes).filter(|class| films.clone().any(|(_, p)| p.label == *class)).collect();
        let pairs = present
            .iter()
            .flat_map(|a| present.iter().filter(move |b| a < *b).map(move |b| (*a, *b)))
            .map(|(a, b)| ((a, b), Ranking::pair(films.clone(), a, b)))
            .collect();
        Scope {
            classes,
            films: films.clone().map(facts).collect(),
            rankings: (0..classes).map(|class| Ranking::one_vs_rest(films.clone(), class)).collect(),
            points: points.iter().map(reaches).collect(),
            present,
            pairs,
        }
    }

    /// Measures everything with `weights[film]` of each film. The order of the figures depends on the scope only.
    pub fn measure(&self, weights: &[u32]) -> Vec<(Quantity, Option<f64>)> {
        let mut confusion = Confusion::new(self.classes);
        let (mut brier, mut nll, mut confidence) = (0.0, 0.0, 0.0);
        let mut sets = vec![Sets::default(); self.classes];
        let (mut called, mut right) = (vec![0; self.classes], vec![0; self.classes]);
        let mut called_so = vec![0; self.classes];
        for film in &self.films {
            let weight = weights[film.index];
            confusion.add(film.label, film.call, weight);
            confidence += f64::from(weight) * film.confidence;
            if let Some(call) = film.called {
                called[film.label] += u64::from(weight);
                called_so[call] += u64::from(weight);
                right[film.label] += u64::from(weight * u32::from(call == film.label));
            }
            if let Some(set) = film.set {
                sets[film.label].add(weight, set);
            }
            brier += f64::from(weight) * film.brier;
            nll += f64::from(weight) * film.nll;
        }
        let n = confusion.n();
        let mean = |sum: f64| (n > 0).then(|| sum / n as f64);
        // A resample that lost a label is not a smaller problem, it is none: its mean over labels does not count.
        let complete = self.present.iter().all(|class| confusion.with_label(*class) > 0);
        let films = self.films.iter();
        let bins = reliability(films.map(|f| (f.confidence, f.call == f.label, weights[f.index])));
        let weight = |film: usize| weights[film];
        let aurocs: Vec<Option<f64>> = self.rankings.iter().map(|r| r.auroc(weight)).collect();
        let known: Vec<f64> = aurocs.iter().flatten().copied().collect();
        let macro_auroc = (complete && !known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);

        let mut figures = vec![
            (Quantity::Accuracy, confusion.accuracy()),
            (Quantity::BalancedAccuracy, confusion.balanced_accuracy().filter(|_| complete)),
            (Quantity::MacroAuroc, macro_auroc),
            (Quantity::Ece, ece(&bins)),
            (Quantity::Brier, mean(brier)),
            (Quantity::Nll, mean(nll)),
            (Quantity::Overconfidence, mean(confidence).zip(confusion.accuracy()).map(|(sure, right)| sure - right)),
        ];
        let all = sets.iter().fold(Sets::default(), |sum, set| Sets {
            films: sum.films + set.films,
            covered: sum.covered + set.covered,
            findings: sum.findings + set.findings,
        });
        figures.push((Quantity::Coverage, all.mean(all.covered)));
        figures.push((Quantity::SetSize, all.mean(all.findings)));
        let (all_called, all_right) = (called.iter().sum::<u64>(), right.iter().sum::<u64>());
        figures.push((Quantity::Called, ratio(all_called, n)));
        figures.push((Quantity::CallsRight, ratio(all_right, all_called)));
        for class in 0..self.classes {
            figures.push((Quantity::CalledOf(class), ratio(called[class], confusion.with_label(class))));
            figures.push((Quantity::CallsRightOf(class), ratio(right[class], called[class])));
            figures.push((Quantity::CallsRightAs(class), ratio(right[class], called_so[class])));
        }
        for (class, set) in sets.iter().enumerate() {
            figures.push((Quantity::CoverageOf(class), set.mean(set.covered)));
            figures.push((Quantity::SetSizeOf(class), set.mean(set.findings)));
        }
        for (class, (ranking, auroc)) in self.rankings.iter().zip(&aurocs).enumerate() {
            figures.extend([
                (Quantity::Auroc(class), *auroc),
                (Quantity::AveragePrecision(class), ranking.average_precision(weight)),
                (Quantity::Sensitivity(class), confusion.sensitivity(class)),
                (Quantity::Specificity(class), confusion.specificity(class)),
                (Quantity::Precision(class), confusion.precision(class)),
                (Quantity::F1(class), confusion.f1(class)),
            ]);
        }
        for ((a, b), ranking) in &self.pairs {
            figures.push((Quantity::Pair(*a, *b), ranking.auroc(weight)));
        }
        for (point, (class, reached)) in self.points.iter().enumerate() {
            let mut table = Confusion::new(2);
            for (film, reached) in self.films.iter().zip(reached) {
                let weight = weights[film.index];
                table.add(usize::from(film.label == *class), usize::from(*reached), weight);
            }
            figures.push((Quantity::PointSensitivity(point), table.sensitivity(1)));
            figures.push((Quantity::PointSpecificity(point), table.specificity(1)));
            for (at, prevalence) in PREVALENCES.into_iter().enumerate() {
                let (ppv, npv) = match (table.sensitivity(1), table.specificity(1)) {
                    (Some(sensitivity), Some(specificity)) => predictive_values(sensitivity, specificity, prevalence),
                    _ => (None, None),
                };
                figures.extend([(Quantity::PointPpv(point, at), ppv), (Quantity::PointNpv(point, at), npv)]);
            }
        }
        figures
    }
}
