//! Reports on disk: `evaluate` and `cross-validate` write their folders here, whole or not at all.

use crate::bootstrap::{Bootstrap, Estimate, Summary, patients, summary};
use crate::folds::left_out_sources;
use crate::metrics::Prediction;
use crate::page;
use crate::plots::{Figure, figures};
use crate::report::{Given, Protocol, Report};
use crate::tables::{self, Cell, Table, terminal_table};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Writes `report.json`, `report.html`, `report.md` (tables for a model card) and one `.svg` per figure into `dir`;
/// `predictions` are the ones that `report` was measured on.
///
/// # Errors
/// Where the folder cannot be written (named).
pub fn write_evaluation(report: &Report, predictions: &[Prediction], dir: &Path) -> Result<()> {
    let figures = figures(report, predictions);
    let mut files = drawings(&figures);
    files.push(("report.html".to_owned(), page::evaluation(report, &figures)));
    files.push(("report.md".to_owned(), tables::markdown_table(report)));
    files.push(("report.json".to_owned(), json(report)?));
    write_all(dir, &files)
}

fn drawings(figures: &[Figure]) -> Vec<(String, String)> {
    figures.iter().map(|figure| (format!("{}.svg", figure.name), figure.svg.clone())).collect()
}

fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Writes every file beside `dir` first and then moves them in, in order: a reader never sees half a file, and the last
/// file is there only if all are.
///
/// # Errors
/// Where the folder cannot be written (named).
pub fn write_all(dir: &Path, files: &[(String, String)]) -> Result<()> {
    let cannot = || format!("cannot write the report to {} (is it a writable folder?)", dir.display());
    fs::create_dir_all(dir).with_context(cannot)?;
    // Inside the folder, so that moving never crosses file systems.
    let staging = tempfile::Builder::new().prefix(".report-").tempdir_in(dir).with_context(cannot)?;
    for (name, text) in files {
        fs::write(staging.path().join(name), text).with_context(cannot)?;
    }
    for (name, _) in files {
        fs::rename(staging.path().join(name), dir.join(name)).with_context(cannot)?;
    }
    Ok(())
}

/// Everything that `trainer cross-validate` measured, as written to `cross-validation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidationReport {
    /// How the films were divided, in a sentence.
    pub protocol: String,
    /// Each fold, measured by the model that never saw it.
    pub folds: Vec<FoldReport>,
    /// Mean over the folds of `accuracy`, `balanced_accuracy`, `macro_auroc` and `binary_accuracy a/b`, where defined; empty
    /// where the folds are left-out sources, which are no draws from one lot.
    pub across_folds: BTreeMap<String, Summary>,
    /// All held-out predictions together. Each comes from the model of its fold, so AUROCs also compare scales between
    /// models.
    pub pooled: Report,
    /// As in [`FoldReport::binary_accuracy`], all held-out films together.
    #[serde(default)]
    pub binary_accuracy: BTreeMap<String, Estimate>,
    /// The recipe that trained all weights of each fold's network; none for a head on frozen features.
    pub recipe: Option<String>,
    /// What others or simpler methods reach.
    pub baselines: Vec<Baseline>,
}

/// One fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldReport {
    /// `1`, `2`, ... or the source left out.
    pub name: String,
    /// Films held out.
    pub n: u64,
    /// The same by label; labels without films are left out.
    #[serde(default)]
    pub labels: BTreeMap<String, u64>,
    /// As in [`Report::accuracy`].
    pub accuracy: Estimate,
    /// As in [`Report::balanced_accuracy`].
    pub balanced_accuracy: Estimate,
    /// As in [`Report::macro_auroc`].
    pub macro_auroc: Estimate,
    /// As in [`Report::auroc`].
    pub auroc: BTreeMap<String, Estimate>,
    /// For every pair of labels `a/b` that the fold holds: among the films of these two labels, the share whose label
    /// is the more probable of the two.
    #[serde(default)]
    pub binary_accuracy: BTreeMap<String, Estimate>,
}

/// A figure to compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Whose it is, for example `trivial features`.
    pub method: String,
    /// The fold that it was measured on; none for all held-out films together.
    pub fold: Option<String>,
    /// Its name as in a table, for example `AUROC covid/normal`.
    pub figure: String,
    /// The figure.
    pub value: Estimate,
}

impl CrossValidationReport {
    /// Measures held-out predictions, `(name, predictions)` per fold. The protocol's `split` is the sentence on how the
    /// films were divided.
    ///
    /// # Errors
    /// As [`Report::new`]; an empty fold is named.
    pub fn new(
        folds: &[(String, Vec<Prediction>)],
        classes: &[String],
        (recipe, baselines): (Option<String>, Vec<Baseline>),
        protocol: Protocol,
    ) -> Result<CrossValidationReport> {
        let all: Vec<Prediction> = folds.iter().flat_map(|(_, fold)| fold.clone()).collect();
        let pooled = Report::new(&all, classes, Given { gateless: true, ..Given::default() }, protocol.clone())?;
        let by_source = folds.iter().all(|(name, films)| {
            films
                .iter()
                .all(|film| left_out_sources(name, |source| source == film.source).contains(&film.source.as_str()))
        });
        let measure = |(name, predictions): &(String, Vec<Prediction>)| -> Result<FoldReport> {
            let report =
                Report::new(predictions, classes, Given { gateless: true, ..Given::default() }, protocol.clone())
                    .with_context(|| format!("fold {name}"))?;
            Ok(FoldReport {
                name: name.clone(),
                n: report.n,
                labels: label_counts(predictions, classes),
                accuracy: report.accuracy,
                balanced_accuracy: report.balanced_accuracy,
                macro_auroc: report.macro_auroc,
                auroc: report.auroc,
                binary_accuracy: binary_accuracy(predictions, classes, protocol.bootstrap),
            })
        };
        let folds: Vec<FoldReport> = folds.iter().map(measure).collect::<Result<_>>()?;
        type Figure = fn(&FoldReport) -> Estimate;
        let figures: [(&str, Figure); 3] = [
            ("accuracy", |fold| fold.accuracy),
            ("balanced_accuracy", |fold| fold.balanced_accuracy),
            ("macro_auroc", |fold| fold.macro_auroc),
        ];
        let mut across_folds: BTreeMap<String, Summary> = figures
            .into_iter()
            .filter_map(|(name, figure)| {
                let values: Vec<f64> = folds.iter().filter_map(|fold| figure(fold).value).collect();
                Some((name.to_owned(), summary(&values)?))
            })
            .collect();
        let binary_accuracy = binary_accuracy(&all, classes, protocol.bootstrap);
        for pair in binary_accuracy.keys() {
            let figure = |fold: &FoldReport| fold.binary_accuracy.get(pair)?.value;
            let values: Vec<f64> = folds.iter().filter_map(figure).collect();
            across_folds.extend(summary(&values).map(|mean| (format!("binary_accuracy {pair}"), mean)));
        }
        if by_source {
            across_folds.clear();
        }
        Ok(CrossValidationReport {
            protocol: protocol.split,
            folds,
            across_folds,
            pooled,
            binary_accuracy,
            recipe,
            baselines,
        })
    }

    /// One row per fold, and one of means.
    fn table(&self) -> Table {
        let mut table = Table::new(["fold", "films", "accuracy", "balanced accuracy", "macro AUROC"]);
        let pairs: Vec<&String> = self.pooled.auroc.keys().collect();
        table.columns.extend(pairs.iter().map(|pair| format!("AUROC {pair}")));
        for fold in &self.folds {
            let mut row = vec![Cell::text(&fold.name), Cell::Count(fold.n)];
            row.push(Cell::Figure(fold.accuracy));
            row.push(tables::balanced_cell(fold.balanced_accuracy, &fold.labels));
            row.push(Cell::Figure(fold.macro_auroc));
            row.extend(pairs.iter().map(|pair| tables::pair_cell(&fold.auroc, &fold.labels, pair)));
            table.rows.push(row);
        }
        table
    }

    /// Accuracy between two labels: one row per fold, and one for all together.
    fn binary(&self) -> Table {
        let mut table = Table::new(["fold"]);
        let pairs: Vec<&String> = self.binary_accuracy.keys().collect();
        table.columns.extend(pairs.iter().map(|pair| format!("accuracy {pair}")));
        let folds = self.folds.iter().map(|fold| (fold.name.as_str(), &fold.binary_accuracy));
        for (name, accuracies) in folds.chain([("all", &self.binary_accuracy)]) {
            let mut row = vec![Cell::text(name)];
            row.extend(pairs.iter().map(|pair| Cell::Figure(accuracies.get(*pair).copied().unwrap_or_default())));
            table.rows.push(row);
        }
        table
    }

    fn across(&self) -> Table {
        let mut table = Table::new(["mean over folds", "mean (95 % t-interval)", "standard deviation"]);
        for (name, s) in &self.across_folds {
            let sd = s.sd.map_or("-".to_owned(), |sd| format!("{sd:.3}"));
            table.rows.push(vec![Cell::text(name.replace('_', " ")), Cell::Figure(s.share()), Cell::text(sd)]);
        }
        table
    }

    fn compared(&self) -> Table {
        let mut table = Table::new(["to compare with", "fold", "figure", "value"]);
        for Baseline { method, fold, figure, value } in &self.baselines {
            let fold = fold.as_deref().unwrap_or("all");
            table.rows.push(vec![Cell::text(method), Cell::text(fold), Cell::text(figure), Cell::Figure(*value)]);
        }
        table
    }

    /// A figure to compare with, of a fold or of all held-out films together.
    pub fn baseline(&self, method: &str, fold: Option<&str>, figure: &str) -> Option<Estimate> {
        let wanted = |b: &&Baseline| b.method == method && b.fold.as_deref() == fold && b.figure == figure;
        self.baselines.iter().find(wanted).map(|baseline| baseline.value)
    }

    /// The report for a terminal.
    pub fn terminal_table(&self) -> String {
        let mut text = format!("{}\n\n{}\n{}\n", self.protocol, self.table().terminal(), self.binary().terminal());
        if !self.across_folds.is_empty() {
            text += &format!("{}\n", self.across().terminal());
        }
        if !self.baselines.is_empty() {
            text += &format!("{}\n", self.compared().terminal());
        }
        text + "All held-out films together:\n" + &terminal_table(&self.pooled)
    }

    /// Writes `cross-validation.json`, `cross-validation.html` and the figures of the pooled predictions (the
    /// predictions of all folds, in their order) into `dir`.
    ///
    /// # Errors
    /// Where the folder cannot be written (named).
    pub fn write(&self, predictions: &[Prediction], dir: &Path) -> Result<()> {
        let figures = figures(&self.pooled, predictions);
        let mut body = format!(
            "<p class=\"lead\">{}</p>\n<p class=\"note\"><b>Not a diagnosis.</b> {}</p>\n",
            crate::svg::escape(&self.protocol),
            page::DISCLAIMER
        );
        let held_out = "Each fold is measured by a model that never saw it.";
        page::section(&mut body, "Folds", held_out, &self.table());
        let two =
            "Between two labels: among the films of the two, the share whose label is the more probable of the two.";
        page::section(&mut body, "Two labels", two, &self.binary());
        if !self.across_folds.is_empty() {
            let spread = "Between folds; they share most of their training films, so the interval is a rough guide.";
            page::section(&mut body, "Across folds", spread, &self.across());
        }
        if !self.baselines.is_empty() {
            page::section(&mut body, "To compare with", "", &self.compared());
        }
        body += "<h2>All held-out films together</h2>\n";
        body += &page::sections(&self.pooled, &figures);
        let mut files = drawings(&figures);
        let html = page::document("Cross-validation of a chest X\u{2011}ray classifier", &body);
        files.push(("cross-validation.html".to_owned(), html));
        files.push(("cross-validation.json".to_owned(), json(self)?));
        write_all(dir, &files)
    }
}

/// Films of each label that there is.
fn label_counts(predictions: &[Prediction], classes: &[String]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for prediction in predictions {
        *counts.entry(classes[prediction.label].clone()).or_default() += 1;
    }
    counts
}

/// See [`FoldReport::binary_accuracy`]. Of equal probabilities the first label counts as the more probable one.
fn binary_accuracy(predictions: &[Prediction], classes: &[String], bootstrap: Bootstrap) -> BTreeMap<String, Estimate> {
    let held = |label: usize| predictions.iter().any(|p| p.label == label);
    let pairs: Vec<(usize, usize)> = (0..classes.len())
        .flat_map(|a| (a + 1..classes.len()).map(move |b| (a, b)))
        .filter(|(a, b)| held(*a) && held(*b))
        .collect();
    let right = |p: &Prediction, a: usize, b: usize| (p.probability(a) >= p.probability(b)) == (p.label == a);
    let accuracy = |weights: &[u32], (a, b): (usize, usize)| {
        let films = || predictions.iter().zip(weights).filter(|(p, _)| p.label == a || p.label == b);
        let count: u32 = films().map(|(_, weight)| *weight).sum();
        let hits: u32 = films().filter(|(p, _)| right(p, a, b)).map(|(_, weight)| *weight).sum();
        (count > 0).then(|| f64::from(hits) / f64::from(count))
    };
    let measure = |weights: &[u32]| pairs.iter().map(|pair| accuracy(weights, *pair)).collect();
    let estimates = bootstrap.estimate(&patients(predictions), measure);
    pairs.iter().map(|(a, b)| format!("{}/{}", classes[*a], classes[*b])).zip(estimates).collect()
}
