//! The tables of a report, laid out once and printed three ways: terminal, Markdown and HTML.

use crate::bootstrap::{Bootstrap, Estimate};
use crate::calls::{CallRates, Worth};
use crate::conformal::SetReport;
use crate::report::{FEW_FILMS, GroupReport, Report};
use crate::svg::escape;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Fewer films of the rarer label give an AUROC no interval.
const PAIR_FILMS: u64 = 5;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// A figure with its interval.
    Figure(Estimate),
}

impl Cell {
    /// A cell of words.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// As words, the interval in brackets.
    pub fn plain(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Count(n) => n.to_string(),
            Cell::Figure(Estimate { value: Some(v), low: Some(l), high: Some(h) }) => {
                format!("{v:.3} ({l:.3} to {h:.3})")
            }
            Cell::Figure(Estimate { value: Some(v), .. }) => format!("{v:.3}"),
            Cell::Figure(_) => "-".to_owned(),
        }
    }

    fn html(&self) -> String {
        match self {
            Cell::Text(text) => escape(text),
            Cell::Count(n) => n.to_string(),
            Cell::Figure(Estimate { value: Some(v), low: Some(l), high: Some(h) }) => {
                format!("<b>{v:.3}</b><small>{l:.3} to {h:.3}</small>")
            }
            Cell::Figure(Estimate { value: Some(v), .. }) => format!("<b>{v:.3}</b>"),
            Cell::Figure(_) => "<span class=\"none\" title=\"undefined for these films\">–</span>".to_owned(),
        }
    }
}

/// A table: column names, then rows of as many cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Table {
        Table { columns: columns.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Columns aligned with spaces.
    pub fn terminal(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().map(Cell::plain).collect());
        let lines: Vec<Vec<String>> = std::iter::once(self.columns.clone()).chain(rows).collect();
        let wide = |column: usize| lines.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len()).filter_map(wide).collect();
        let mut text = String::new();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        text
    }

    /// A table of GitHub-flavoured Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(self.columns.clone());
        text += &format!("|{}\n", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            text += &line(row.iter().map(Cell::plain).collect());
        }
        text
    }

    /// A table that scrolls sideways in itself where the screen is narrow.
    pub fn html(&self) -> String {
        let narrow = if self.columns.len() <= 3 { " narrow" } else { "" };
        let mut text = format!("<div class=\"scroll{narrow}\" tabindex=\"0\"><table><thead><tr>");
        for column in &self.columns {
            let _ = write!(text, "<th scope=\"col\">{}</th>", escape(column));
        }
        text += "</tr></thead><tbody>";
        for row in &self.rows {
            text += "<tr>";
            for (index, cell) in row.iter().enumerate() {
                let cell = cell.html();
                text += &if index == 0 { format!("<th scope=\"row\">{cell}</th>") } else { format!("<td>{cell}</td>") };
            }
            text += "</tr>";
        }
        text + "</tbody></table></div>\n"
    }
}

/// The figures that come first.
pub fn headline(report: &Report) -> Table {
    let mut table = Table::new(["figure", "value (95 % interval)"]);
    for (name, figure) in [
        ("accuracy", report.accuracy),
        ("balanced accuracy", report.balanced_accuracy),
        ("macro AUROC", report.macro_auroc),
        ("calibration error (ECE)", report.ece),
        ("Brier score", report.brier),
        ("negative log likelihood", report.nll),
    ] {
        table.rows.push(vec![Cell::text(name), Cell::Figure(figure)]);
    }
    table
}

/// The classification report.
pub fn findings(report: &Report) -> Table {
    let mut table =
        Table::new(["finding", "films", "AUROC", "sensitivity", "specificity", "precision", "F1", "average precision"]);
    for label in &report.classes {
        let finding = &report.findings[label];
        let mut row = vec![Cell::text(label), Cell::Count(finding.n)];
        row.extend(
            [
                finding.auroc,
                finding.sensitivity,
                finding.specificity,
                finding.precision,
                finding.f1,
                finding.average_precision,
            ]
            .map(Cell::Figure),
        );
        table.rows.push(row);
    }
    table
}

/// One row per group, after one for all films; a column for every pair of labels that some group holds.
pub fn groups<'a>(
    report: &Report,
    name: &str,
    groups: impl Iterator<Item = (&'a String, &'a GroupReport)> + Clone,
) -> Table {
    let pairs: BTreeSet<&String> = groups.clone().flat_map(|(_, group)| group.auroc.keys()).collect();
    let mut table = Table::new([name, "films", "accuracy", "balanced accuracy"]);
    table.columns.extend(pairs.iter().map(|pair| format!("AUROC {pair}")));
    let mut all = vec![Cell::text("all films"), Cell::Count(report.n)];
    all.extend([report.accuracy, report.balanced_accuracy].map(Cell::Figure));
    all.extend(pairs.iter().map(|pair| Cell::Figure(report.auroc.get(*pair).copied().unwrap_or_default())));
    table.rows.push(all);
    for (value, group) in groups {
        let mut row = vec![marked(value, group.few), Cell::Count(group.n)];
        row.push(Cell::Figure(group.accuracy));
        row.push(balanced_cell(group.balanced_accuracy, &group.labels));
        row.extend(pairs.iter().map(|pair| pair_cell(&group.auroc, &group.labels, pair)));
        table.rows.push(row);
    }
    table
}

/// The AUROC of a pair of labels, with the rarer label's films where they are few.
pub(crate) fn pair_cell(auroc: &BTreeMap<String, Estimate>, labels: &BTreeMap<String, u64>, pair: &str) -> Cell {
    let rarer = pair.split('/').map(|label| labels.get(label).copied().unwrap_or_default()).min();
    of_rarer(auroc.get(pair).copied().unwrap_or_default(), rarer)
}

/// Balanced accuracy, with the rarest label's films where they are few: these count for a whole part of it.
pub(crate) fn balanced_cell(accuracy: Estimate, labels: &BTreeMap<String, u64>) -> Cell {
    of_rarer(accuracy, labels.values().min().copied())
}

/// A figure that hangs on the films of the rarest label: without an interval below [`PAIR_FILMS`] of them, which resampling
/// could not tell from certainty.
fn of_rarer(figure: Estimate, rarer: Option<u64>) -> Cell {
    match (figure.value, rarer) {
        (Some(value), Some(rarer)) if rarer < PAIR_FILMS => Cell::text(format!("{value:.3} (of {rarer} only)")),
        (Some(_), Some(rarer)) if rarer < FEW_FILMS => {
            Cell::text(format!("{} of {rarer} *", Cell::Figure(figure).plain()))
        }
        _ => Cell::Figure(figure),
    }
}

/// The operating points: chosen on validation films, measured here.
pub fn operating_points(report: &Report) -> Table {
    let mut table = Table::new([
        "finding",
        "point",
        "threshold",
        "sensitivity here",
        "specificity here",
        "sensitivity on validation",
        "specificity on validation",
    ]);
    for point in &report.operating_points {
        let chosen = &point.chosen;
        table.rows.push(vec![
            Cell::text(&chosen.finding),
            Cell::text(&chosen.name),
            Cell::text(format!("{:.4}", chosen.threshold)),
            Cell::Figure(point.sensitivity),
            Cell::Figure(point.specificity),
            Cell::text(format!("{:.3}", chosen.sensitivity)),
            Cell::text(format!("{:.3}", chosen.specificity)),
        ]);
    }
    table
}

/// A name, marked where its films are few.
fn marked(name: &str, few: bool) -> Cell {
    Cell::text(format!("{name}{}", if few { " *" } else { "" }))
}

/// What the classifier calls: all films, each label, each finding called, each source; `None` where the weights call nothing.
pub fn calls(report: &Report) -> Option<Table> {
    let calls = report.calls.as_ref()?;
    let mut table = Table::new(["films", "n", "films with a call", "calls that are right"]);
    let mut row = |name: &str, rates: &CallRates| {
        let cells = vec![marked(name, rates.n < FEW_FILMS), Cell::Count(rates.n), Cell::Figure(rates.called)];
        table.rows.push(cells.into_iter().chain([Cell::Figure(rates.right)]).collect());
    };
    row("all", &calls.all);
    report.classes.iter().for_each(|label| row(label, &calls.findings[label]));
    calls.sources.iter().for_each(|(source, rates)| row(&format!("source {source}"), rates));
    let worth = |label: &String| {
        let Worth { n, right } = calls.called.get(label)?;
        let name = marked(&format!("called {label}"), *n < FEW_FILMS);
        Some(vec![name, Cell::Count(*n), Cell::text("all"), Cell::Figure(*right)])
    };
    let after_the_labels = 1 + report.classes.len();
    let rows: Vec<Vec<Cell>> = report.classes.iter().filter_map(worth).collect();
    table.rows.splice(after_the_labels..after_the_labels, rows);
    Some(table)
}

/// Prediction sets: all films, each label, each source; `None` where the weights make none.
pub fn prediction_sets(report: &Report) -> Option<Table> {
    let sets = report.conformal.as_ref()?;
    let mut table = Table::new(["films", "n", "sets that hold the label", "findings in a set, mean"]);
    let mut row = |name: Cell, set: &SetReport| {
        table.rows.push(vec![name, Cell::Count(set.n), Cell::Figure(set.coverage), Cell::Figure(set.size)]);
    };
    row(Cell::text("all"), &sets.all);
    for label in &report.classes {
        row(marked(label, sets.findings[label].few), &sets.findings[label]);
    }
    for (source, set) in &sets.sources {
        row(marked(&format!("source {source}"), set.few), set);
    }
    Some(table)
}

/// Whether the probabilities hold in each source, and how many of its films were refused.
pub fn calibration_by_source(report: &Report) -> Table {
    let mut table = Table::new(["source", "films", "refused", "calibration error (ECE)", "too sure by"]);
    for (source, group) in &report.sources {
        table.rows.push(vec![
            marked(source, group.few),
            Cell::Count(group.n),
            Cell::Count(group.refused),
            Cell::Figure(group.ece),
            Cell::Figure(group.overconfidence),
        ]);
    }
    table
}

/// The calibration line and error of each finding, on the films as they are and with every label equally frequent; `None`
/// where an older report has none.
pub fn calibration_by_finding(report: &Report) -> Option<Table> {
    let mut table = Table::new([
        "finding",
        "mixture",
        "slope",
        "intercept",
        "calibration error (ECE)",
        "mean probability too high by",
    ]);
    for label in report.classes.iter() {
        let of = report.calibration.get(label)?;
        for (mixture, c) in [("as in these films", &of.as_is), ("all labels equally frequent", &of.equal)] {
            let figures = [c.slope, c.intercept, c.ece, c.excess].map(Cell::Figure);
            table.rows.push([Cell::text(label), Cell::text(mixture)].into_iter().chain(figures).collect());
        }
    }
    Some(table)
}

/// The headline figures without each source in turn; `None` where there are fewer than two, or an older report has none.
pub fn without_each_source(report: &Report) -> Option<Table> {
    (!report.without.is_empty()).then(|| groups(report, "without", report.without.iter()))
}

/// Images that are no chest X-rays, by kind; `None` where none were given.
pub fn out_of_distribution(report: &Report) -> Option<Table> {
    let ood = report.ood.as_ref()?;
    let mut table = Table::new(["kind", "images", "refused", "share refused", "AUROC against the films"]);
    let mut row = |name: Cell, n, refused, share, auroc| {
        table.rows.push(vec![name, Cell::Count(n), Cell::Count(refused), Cell::Figure(share), Cell::Figure(auroc)]);
    };
    row(Cell::text("all"), ood.n, ood.refused, ood.share, ood.auroc);
    for (kind, of) in &ood.kinds {
        row(marked(kind, of.n < FEW_FILMS), of.n, of.refused, of.share, of.auroc);
    }
    Some(table)
}

/// Films that were spoilt, by the way they were; `None` where none were.
pub fn spoilt(report: &Report) -> Option<Table> {
    let mut table = Table::new(["film", "films", "refused", "turned back", "found", "named"]);
    for way in &report.spoilt {
        let mut row = vec![Cell::text(&way.way)];
        row.extend([way.n, way.refused, way.repaired].map(Cell::Count));
        row.extend([way.found, way.named].map(Cell::Figure));
        table.rows.push(row);
    }
    (!report.spoilt.is_empty()).then_some(table)
}

/// What it is worth to reach the threshold of the operating points of that name, by prevalence.
pub fn predictive_values(report: &Report, name: &str) -> Table {
    let mut table = Table::new(["finding", "point", "prevalence", "PPV", "NPV"]);
    for point in report.operating_points.iter().filter(|point| point.chosen.name == name) {
        for at in &point.predictive {
            table.rows.push(vec![
                Cell::text(&point.chosen.finding),
                Cell::text(&point.chosen.name),
                Cell::text(format!("{:.0} %", 100.0 * at.prevalence)),
                Cell::Figure(at.ppv),
                Cell::Figure(at.npv),
            ]);
        }
    }
    table
}

/// One line on what was measured.
pub fn what(report: &Report) -> String {
    let Report { n, patients, refused, protocol, .. } = report;
    let (split, weights) = (&protocol.split, &protocol.weights);
    let refused = if report.gateless { "no gate to refuse with".into() } else { format!("{refused} refused") };
    format!("{n} films of {patients} patients ({refused}), split {split}, weights {weights}")
}

/// The report for a terminal: short, aligned, every figure with its interval.
pub fn terminal_table(report: &Report) -> String {
    let mut short = findings(report);
    short.columns.truncate(6);
    short.rows.iter_mut().for_each(|row| row.truncate(6));
    let mut text = format!("{}\n\n{}\n{}\n", what(report), headline(report).terminal(), short.terminal());
    text += &groups(report, "source", report.sources.iter()).terminal();
    if report.sources.values().any(|group| group.few) {
        text += "* fewer than 30 films\n";
    }
    if let Some(table) = calls(report) {
        text += &format!("\ncalls:\n{}", table.terminal());
    }
    if let Some(table) = prediction_sets(report) {
        text += &format!("\nprediction sets:\n{}", table.terminal());
    }
    if let Some(table) = out_of_distribution(report) {
        text += &format!("\nnot chest X-rays:\n{}", table.terminal());
    }
    if let Some(table) = spoilt(report) {
        text += &format!("\nspoilt films:\n{}", table.terminal());
    }
    let Bootstrap { resamples, .. } = report.protocol.bootstrap;
    text + &format!("\nIn brackets: 95 % bootstrap over patients, {resamples} resamples.\n")
}

/// The report for a model card, in Markdown.
pub fn markdown_table(report: &Report) -> String {
    let few = if report.sources.values().any(|g| g.few) { "\n\\* fewer than 30 films\n" } else { "" };
    let mut text = format!(
        "{}, {}. In brackets: 95 % bootstrap over patients, {} resamples.\n\n{}\n{}\n{}{few}",
        what(report),
        report.protocol.date,
        report.protocol.bootstrap.resamples,
        headline(report).markdown(),
        findings(report).markdown(),
        groups(report, "source", report.sources.iter()).markdown(),
    );
    if !report.operating_points.is_empty() {
        text += &format!("\n{}", operating_points(report).markdown());
    }
    if let Some(table) = calls(report) {
        text += &format!("\nCalls:\n\n{}", table.markdown());
    }
    if let Some(table) = out_of_distribution(report) {
        text += &format!("\nImages that are not chest X-rays:\n\n{}", table.markdown());
    }
    let notes = report.protocol.notes.iter().map(|note| format!("\n{note}\n"));
    text + &notes.collect::<String>()
}
