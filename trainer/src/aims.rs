//! What this release set out to reach, beside what was measured.

use std::collections::BTreeMap;

use crate::audit::place::{Counts, Place};
use crate::bootstrap::Estimate;
use crate::conformal::SetReport;
use crate::output::CrossValidationReport;
use crate::refusals::OodKind;
use crate::report::Report;
use crate::tables::{Cell, Table};

/// Sources left out, the pair of labels, and the AUROC that is aimed at.
const LEFT_OUT: [(&str, &str, f64); 3] =
    [("siim", "covid/normal", 0.80), ("ieee8023", "covid/pneumonia", 0.80), ("bimcv+rsna", "covid/normal", 0.85)];

/// What a figure must be.
enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn text(&self) -> String {
        match self {
            Self::AtLeast(aim) => format!("at least {aim:.2}"),
            Self::AtMost(aim) => format!("at most {aim:.2}"),
        }
    }

    /// Whether the value reaches the aim, and how much of its interval does.
    fn verdict(&self, figure: Estimate) -> &'static str {
        let Some(value) = figure.value else { return "not measured" };
        let (low, high) = (figure.low.unwrap_or(value), figure.high.unwrap_or(value));
        let reached = |value: f64| match self {
            Self::AtLeast(aim) => value >= *aim,
            Self::AtMost(aim) => value <= *aim,
        };
        match (reached(value), reached(low), reached(high)) {
            (true, true, true) => "reached",
            (true, ..) => "reached, but not by the whole interval",
            (false, false, false) => "not reached",
            (false, ..) => "not reached, but within the interval",
        }
    }
}

/// A source left out that an aim is set for.
pub struct LeftOut {
    /// Sources and pair, in words.
    pub name: String,
    /// What was trained, in words.
    pub network: String,
    /// What is aimed at.
    aim: f64,
    /// AUROC.
    pub auroc: Estimate,
}

/// Each source left out that an aim is set for, from the first of the reports that has it; `recipe` is that of the weights.
pub fn left_out(reports: &[&CrossValidationReport], recipe: &str) -> Vec<LeftOut> {
    let row = |(source, pair, aim): &(&str, &str, f64)| {
        let has = |report: &&&CrossValidationReport| report.folds.iter().any(|fold| fold.name == *source);
        let report = reports.iter().find(has);
        LeftOut {
            name: format!("{pair} AUROC {}, left out of training", at(source, report.copied())),
            network: report.map_or("not run".into(), |report| network(report, recipe)),
            aim: *aim,
            auroc: report.map_or(Estimate::default(), |report| auroc(report, source, pair)),
        }
    };
    LEFT_OUT.iter().map(row).collect()
}

/// Where a fold's films are from, for readers.
pub fn place(name: &str, report: &CrossValidationReport) -> String {
    let count = |labels: &BTreeMap<String, u64>| labels.iter().map(|(label, n)| (label.clone(), *n as usize)).collect();
    let films: Counts =
        report.pooled.sources.iter().map(|(source, group)| (source.clone(), count(&group.labels))).collect();
    Place::of(name).words(&films)
}

/// `on siim`, or `between bimcv and rsna, one label each`.
fn at(source: &str, report: Option<&CrossValidationReport>) -> String {
    let words = report.map_or_else(|| Place::of(source).words(&Counts::new()), |report| place(source, report));
    if words.starts_with("between ") { words } else { format!("on {words}") }
}

fn auroc(report: &CrossValidationReport, source: &str, pair: &str) -> Estimate {
    let fold = report.folds.iter().find(|fold| fold.name == source);
    fold.and_then(|fold| fold.auroc.get(pair)).copied().unwrap_or_default()
}

/// What was trained on each fold, in words, beside weights of the recipe `of_the_weights`.
pub fn network(report: &CrossValidationReport, of_the_weights: &str) -> String {
    match &report.recipe {
        Some(recipe) if recipe == of_the_weights => {
            format!("the same network, trained anew by the same recipe `{recipe}`")
        }
        Some(recipe) => format!("the same architecture, trained by a shorter recipe, `{recipe}`"),
        None => "the same kind of network on frozen features".into(),
    }
}

/// The label whose films are covered least; one without films has no coverage.
fn lowest(labels: &BTreeMap<String, SetReport>) -> Option<(&String, &SetReport)> {
    let known = labels.iter().filter_map(|(label, set)| Some((set.coverage.value?, label, set)));
    known.min_by(|(a, ..), (b, ..)| a.total_cmp(b)).map(|(_, label, set)| (label, set))
}

/// Every aim with its figure and the verdict.
pub fn table(report: &Report, left_out: &[LeftOut]) -> Table {
    let mut table = Table::new(["figure", "aim", "measured", ""]);
    let mut row = |name: String, aim: Aim, figure: Estimate| {
        let cells = [Cell::text(aim.text()), Cell::Figure(figure), Cell::text(aim.verdict(figure))];
        table.rows.push([Cell::text(name)].into_iter().chain(cells).collect());
    };
    row("macro AUROC".into(), Aim::AtLeast(0.95), report.macro_auroc);
    let within = report.sources.get("siim").and_then(|group| group.auroc.get("covid/normal")).copied();
    row("covid/normal AUROC within siim".into(), Aim::AtLeast(0.93), within.unwrap_or_default());
    for LeftOut { name, network, aim, auroc } in left_out {
        row(format!("{name} ({network})"), Aim::AtLeast(*aim), *auroc);
    }
    row("calibration error".into(), Aim::AtMost(0.05), report.ece);
    if let Some(sets) = &report.conformal {
        row("coverage of the prediction sets".into(), Aim::AtLeast(sets.stated), sets.all.coverage);
        if let Some((label, set)) = lowest(&sets.findings) {
            row(format!("the same, lowest of the labels ({label})"), Aim::AtLeast(sets.stated), set.coverage);
        }
    }
    if let Some(ood) = &report.ood {
        row("images refused that are no frontal chest X-ray".into(), Aim::AtLeast(0.98), ood.share);
        let lowest = |(_, a): &(&String, &OodKind), (_, b): &(&String, &OodKind)| {
            let by = |figure: fn(&Estimate) -> Option<f64>| {
                figure(&a.share).unwrap_or_default().total_cmp(&figure(&b.share).unwrap_or_default())
            };
            by(|share| share.value).then(by(|share| share.low))
        };
        if let Some((name, kind)) = ood.kinds.iter().min_by(lowest) {
            let name = name.replace('_', " ");
            row(format!("the same, lowest of the kinds ({name}, {} images)", kind.n), Aim::AtLeast(0.90), kind.share);
        }
    }
    let of_source = |group: &crate::report::GroupReport| crate::refusals::share(group.refused, group.n);
    let shares = report.sources.iter().map(|(source, group)| (source, group.n, of_source(group)));
    let most = shares.max_by(|(.., a), (.., b)| a.value.unwrap_or_default().total_cmp(&b.value.unwrap_or_default()));
    if let Some((source, n, share)) = most {
        row(format!("films refused, highest of the sources ({source}, {n} films)"), Aim::AtMost(0.02), share);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::Bootstrap;
    use crate::folds::left_out_sources;
    use crate::metrics::Prediction;
    use crate::report::Protocol;

    /// A report of one fold with this name; `siim` holds both labels, `bimcv` and `rsna` one each.
    fn report(name: &str, recipe: Option<&str>) -> CrossValidationReport {
        let film = |index: usize, source: &str, label: usize| Prediction {
            file: index.to_string(),
            label,
            source: source.into(),
            patient_id: index.to_string(),
            view: None,
            age_group: None,
            logits: vec![0.0; 2],
            probabilities: vec![0.5; 2],
            set: Vec::new(),
            distance: None,
            refused: false,
        };
        let sources = [("siim", 0), ("siim", 1), ("bimcv", 0), ("rsna", 1)];
        let held = |source: &str| left_out_sources(name, |known| known == source).contains(&source);
        let films = sources.into_iter().enumerate().filter(|(_, (source, _))| held(source));
        let films = films.map(|(index, (source, label))| film(index, source, label)).collect();
        let classes = ["covid", "normal"].map(String::from);
        let protocol = Protocol { bootstrap: Bootstrap { resamples: 5, seed: 1 }, ..Protocol::default() };
        let folds = [(name.to_owned(), films)];
        CrossValidationReport::new(&folds, &classes, (recipe.map(str::to_owned), Vec::new()), protocol).unwrap()
    }

    #[test]
    fn another_recipe_is_not_the_same_network() {
        for (recipe, words) in [
            (Some("default"), "the same network, trained anew by the same recipe `default`"),
            (Some("short"), "the same architecture, trained by a shorter recipe, `short`"),
            (None, "the same kind of network on frozen features"),
        ] {
            assert_eq!(network(&report("siim", recipe), "default"), words);
        }
    }

    #[test]
    fn joined_sources_of_one_label_each_are_said_to_be_so() {
        let reports = [report("siim", None), report("bimcv+rsna", None)];
        let rows = left_out(&[&reports[0], &reports[1]], "default");
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "covid/normal AUROC on siim, left out of training",
                "covid/pneumonia AUROC on ieee8023, left out of training",
                "covid/normal AUROC between bimcv and rsna, one label each, left out of training",
            ]
        );
        assert_eq!((rows[1].network.as_str(), rows[2].auroc.value), ("not run", Some(0.5)));
        assert_eq!(place("siim", &reports[0]), "siim");
    }

    #[test]
    fn a_label_without_films_is_not_the_lowest() {
        let set =
            |value: Option<f64>| SetReport::new(5, Estimate { value, ..Estimate::default() }, Estimate::default());
        let labels = [("a", Some(0.9)), ("b", Some(0.8)), ("c", None)];
        let labels: BTreeMap<String, SetReport> =
            labels.into_iter().map(|(label, value)| (label.to_owned(), set(value))).collect();
        assert_eq!(lowest(&labels).map(|(label, _)| label.as_str()), Some("b"));
        assert_eq!(lowest(&BTreeMap::new()), None);
    }

    #[test]
    fn a_verdict_looks_at_the_value_first_and_then_at_the_interval() {
        let figure = |value: f64| Estimate { value: Some(value), low: Some(value - 0.1), high: Some(value + 0.1) };
        for (aim, value, verdict) in [
            (Aim::AtLeast(0.8), 0.9, "reached"),
            (Aim::AtLeast(0.9), 0.9, "reached, but not by the whole interval"),
            (Aim::AtLeast(0.9), 0.85, "not reached, but within the interval"),
            (Aim::AtLeast(0.9), 0.7, "not reached"),
            (Aim::AtMost(0.2), 0.05, "reached"),
            (Aim::AtMost(0.1), 0.05, "reached, but not by the whole interval"),
            (Aim::AtMost(0.1), 0.15, "not reached, but within the interval"),
            (Aim::AtMost(0.1), 0.3, "not reached"),
        ] {
            assert_eq!(aim.verdict(figure(value)), verdict, "{} {value}", aim.text());
        }
        assert_eq!(Aim::AtLeast(0.9).verdict(Estimate::default()), "not measured");
    }
}
