//! What this release set out to reach, beside what was measured.

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

/// Each source left out that an aim is set for, from the first of the reports that has it.
pub fn left_out(reports: &[&CrossValidationReport]) -> Vec<LeftOut> {
    let row = |(source, pair, aim): &(&str, &str, f64)| {
        let has = |report: &&&CrossValidationReport| report.folds.iter().any(|fold| fold.name == *source);
        let report = reports.iter().find(has);
        LeftOut {
            name: format!("{pair} AUROC on {}, left out of training", source.replace('+', " and ")),
            network: report.map_or("not run".into(), |report| network(report)),
            aim: *aim,
            auroc: report.map_or(Estimate::default(), |report| auroc(report, source, pair)),
        }
    };
    LEFT_OUT.iter().map(row).collect()
}

fn auroc(report: &CrossValidationReport, source: &str, pair: &str) -> Estimate {
    let fold = report.folds.iter().find(|fold| fold.name == source);
    fold.and_then(|fold| fold.auroc.get(pair)).copied().unwrap_or_default()
}

/// What was trained on each fold, in words.
pub fn network(report: &CrossValidationReport) -> String {
    match &report.recipe {
        Some(recipe) => format!("the same network, trained anew by the recipe `{recipe}`"),
        None => "the same kind of network on frozen features".into(),
    }
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
        let coverage = |set: &SetReport| set.coverage.value.unwrap_or_default();
        let lowest = sets.findings.iter().min_by(|(_, a), (_, b)| coverage(a).total_cmp(&coverage(b)));
        if let Some((label, set)) = lowest {
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
