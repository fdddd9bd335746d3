//! `trainer card`: the model card and the README's figures, out of the weights and their reports. Prose stands in a
//! template (`MODEL_CARD.in.md`, beside the card), figures of the reports come from here.
//!
//! In the template `{{name}}` stands for one of the texts of [`values`]; a name that is not known, or is never used, is an
//! error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result, bail, ensure};
use deepbreath::weights::{Metadata, Weights};
use serde::de::DeserializeOwned;

use crate::audit::place::still_trained;
use crate::audit::report::{AuditReport, Seen};
use crate::audit::views::View;
use crate::bootstrap::Estimate;
use crate::cli::CardArgs;
use crate::cross_validate::{ablation::Ablation, trivial};
use crate::dataset::write_whole;
use crate::folds::left_out_sources;
use crate::output::CrossValidationReport;
use crate::report::Report;
use crate::tables::{self, Cell, Table};
use crate::tutorial::report::TutorialReport;
use crate::{aims, calibrate, failures};

/// The template, in the folder of the weights.
const TEMPLATE: &str = "MODEL_CARD.in.md";
/// The card, beside it.
const CARD: &str = "MODEL_CARD.md";
/// Around the README's figures.
const MARKS: [&str; 2] = ["<!-- figures: written by `trainer card` -->\n", "<!-- end of the figures -->"];

/// Folders of cross-validations that left sources out, in the order of the card.
const LEFT_OUT: [&str; 3] = ["leave-one-source-out", "leave-one-source-out-frozen", "leave-hospitals-out-frozen"];
/// Folders of those on the DarkCovidNet set; its films are others on purpose.
const DARKCOVIDNET: [&str; 2] = ["darkcovidnet-by-image", "darkcovidnet-by-patient"];

/// A cross-validation in the folder of the report that was made on films other than those of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFilms {
    /// The cross-validation.json.
    pub file: PathBuf,
    /// Digest (SHA-256) of its manifest.
    pub its: String,
    /// Digest of the report's.
    pub ours: String,
}

impl fmt::Display for OtherFilms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} was made on other films than report.json (manifest {} there, {} here); make it again with `trainer \
             cross-validate` on the manifest of the report, or take it out of the folder, and the card goes without it",
            self.file.display(),
            self.its,
            self.ours
        )
    }
}

impl std::error::Error for OtherFilms {}

/// Everything that a card is made of.
pub struct Sources {
    /// What the weights file says about itself.
    pub metadata: Metadata,
    /// Id of the weights.
    pub id: String,
    /// Size of the weights file in bytes.
    pub bytes: u64,
    /// The evaluation.
    pub report: Report,
    /// Each source left out in turn, the network trained anew; the same with a head on frozen features; sources left out
    /// together that share hospitals. Those that were made, on the films of the report.
    pub left_out: Vec<CrossValidationReport>,
    /// The DarkCovidNet set, folds by image and by patient, where that was done with the labels of the weights.
    pub darkcovidnet: Option<[CrossValidationReport; 2]>,
    /// The tutorial's protocol, where that was followed.
    pub tutorial: Option<TutorialReport>,
    /// The audit, where it is about these weights.
    pub audit: Option<AuditReport>,
    /// The recipe's choices compared, where that was done.
    pub ablation: Option<Ablation>,
}

impl Sources {
    /// Reads `dir`: `deepbreath.safetensors` and `report/`.
    ///
    /// # Errors
    /// For a file that is missing or of another form (named), a report about other weights, one measured on what was
    /// fitted ([`crate::report::Fitted`]), and a cross-validation on other films ([`OtherFilms`]).
    pub fn read(dir: &Path) -> Result<Self> {
        let file = dir.join("deepbreath.safetensors");
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let weights = Weights::read(&file.display().to_string(), &bytes)?;
        let report: Report = json(&dir.join("report/report.json"))?;
        let id = weights.id().to_owned();
        ensure!(
            report.protocol.weights == id,
            "report.json is about weights {}, the file holds {id}; run `trainer evaluate` first",
            report.protocol.weights
        );
        report.on_unfitted()?;
        let audit: Option<AuditReport> = json_if_there(&dir.join("report/audit/audit.json"))?;
        let path = |name: &str| dir.join("report").join(name).join("cross-validation.json");
        let mut left_out = Vec::new();
        for name in LEFT_OUT {
            let Some(folds): Option<CrossValidationReport> = json_if_there(&path(name))? else { continue };
            let (its, ours) = (&folds.pooled.protocol.manifest_digest, &report.protocol.manifest_digest);
            ensure!(its == ours, OtherFilms { file: path(name), its: its.clone(), ours: ours.clone() });
            left_out.push(folds);
        }
        let known = |folds: &CrossValidationReport| folds.pooled.classes == report.classes;
        let paper = |name: &str| json_if_there(&path(name)).map(|folds| folds.filter(known));
        let darkcovidnet = paper(DARKCOVIDNET[0])?.zip(paper(DARKCOVIDNET[1])?).map(<[_; 2]>::from);
        Ok(Self {
            metadata: weights.metadata,
            bytes: bytes.len() as u64,
            report,
            left_out,
            darkcovidnet,
            tutorial: json_if_there(&dir.join("report/tutorial/tutorial.json"))?,
            audit: audit.filter(|audit| audit.weights == id),
            ablation: json_if_there(&dir.join("report/ablation/ablation.json"))?,
            id,
        })
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is of another form", path.display()))
}

fn json_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.exists() { json(path).map(Some) } else { Ok(None) }
}

/// Runs the command.
///
/// # Errors
/// If a file is missing, or the template and the figures do not fit together.
pub fn run(args: &CardArgs) -> Result<()> {
    let sources = Sources::read(&args.dir)?;
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let card = args.dir.join(CARD);
    write_whole(&card, fill(&read(&args.dir.join(TEMPLATE))?, &values(&sources))?.as_bytes())?;
    println!("{}", card.display());
    if let Some(path) = &args.readme {
        write_whole(path, readme(&read(path)?, &sources)?.as_bytes())?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The template with every `{{name}}` replaced; white space at the end of a text is dropped.
///
/// # Errors
/// For a name that has no text, or a text that the template leaves out.
pub fn fill(template: &str, values: &BTreeMap<&'static str, String>) -> Result<String> {
    let (mut text, mut rest, mut used) = (String::new(), template, Vec::new());
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").context("a {{ without its }}")?;
        let Some(value) = values.get(name) else { bail!("the template asks for {{{{{name}}}}}, which is not known") };
        used.push(name);
        text += before;
        text += value.trim_end();
        rest = after;
    }
    if let Some(left) = values.keys().find(|name| !used.contains(name)) {
        bail!("the template does not use {{{{{left}}}}}");
    }
    Ok(text + rest)
}

/// The README with its figures replaced.
///
/// # Errors
/// If the marks around them are missing.
pub fn readme(text: &str, sources: &Sources) -> Result<String> {
    let lost = || format!("the README has no {:?}", MARKS);
    let (before, rest) = text.split_once(MARKS[0]).with_context(lost)?;
    let (_, after) = rest.split_once(MARKS[1]).with_context(lost)?;
    Ok([before, MARKS[0], &in_short(sources), MARKS[1], after].concat())
}

/// What the README shows.
fn in_short(sources: &Sources) -> String {
    let Sources { metadata, report, left_out, audit, .. } = sources;
    let mut table = Table::new(["figure", "value"]);
    let mut row = |name: String, figure: Estimate| table.rows.push(vec![Cell::text(name), Cell::Figure(figure)]);
    row("balanced accuracy".into(), report.balanced_accuracy);
    row("macro AUROC".into(), report.macro_auroc);
    for (source, group) in report.sources.iter().filter(|(_, group)| !group.few) {
        for (pair, auroc) in group.auroc.iter().filter(|(pair, _)| *pair == "covid/normal") {
            if group.labels.values().all(|n| *n >= 30) {
                row(format!("{pair} AUROC within one source that holds both ({source})"), *auroc);
            }
        }
    }
    if let Some(calls) = &report.calls {
        row("films on which it makes a call".into(), calls.all.called);
        row("calls that are right".into(), calls.all.right);
    }
    row("calibration error (0 is perfect)".into(), report.ece);
    if let Some(sets) = &report.conformal {
        let stated = format!("{:.0} %", 100.0 * sets.stated);
        row(format!("prediction sets made for {stated}: share that holds the label"), sets.all.coverage);
    }
    if let Some(ood) = &report.ood {
        row(format!("refused of {} images that are no frontal chest X-ray", ood.n), ood.share);
    }
    row(format!("refused of {} chest X-rays", report.n), crate::refusals::share(report.refused, report.n));
    for aims::LeftOut { name, network, auroc, .. } in
        aims::left_out(&left_out.iter().collect::<Vec<_>>(), &metadata.origin.recipe)
    {
        if auroc.value.is_some() {
            row(format!("{name} ({network})"), auroc);
        }
    }
    if let Some(audit) = audit {
        for seen in audit.views.iter().filter(|seen| seen.view == View::LungsHidden) {
            // The second stage swaps surroundings, around lungs that the same rule finds.
            let taught = if metadata.origin.recipe.contains("second-stage") {
                "; the rule that finds the lungs took part in training"
            } else {
                ""
            };
            let rest = format!("a coin: 0.5; strips and the outline of the lungs remain{taught}");
            row(format!("macro AUROC with the lungs blacked out ({rest})"), seen.network.macro_auroc);
        }
    }
    format!(
        "On {} {} films of {} patients from the sources it was trained on (95 % intervals; how each figure was measured is \
         in [the model card](weights/MODEL_CARD.md)):\n\n{}",
        report.n,
        report.protocol.split,
        report.patients,
        table.markdown()
    )
}

/// Each text that a template may, and must, use.
pub fn values(sources: &Sources) -> BTreeMap<&'static str, String> {
    let Sources { metadata, id, bytes, report, left_out, darkcovidnet, tutorial, audit, ablation } = sources;
    let markdown = |table: Option<Table>| table.map_or("Not measured.\n".to_owned(), |table| table.markdown());
    let list = |items: &[String]| items.iter().map(|item| format!("* {item}\n")).collect::<String>();
    let subgroups = report.subgroups.iter().map(|(kind, groups)| {
        let name = kind.replace('_', " ");
        tables::groups(report, &name, groups.iter()).markdown()
    });
    let recipe = &metadata.origin.recipe;
    BTreeMap::from([
        ("view_unknown", unknown(report, "view")),
        ("age_unknown", unknown(report, "age_group")),
        ("weights", id.clone()),
        ("megabytes", format!("{:.1} MB", *bytes as f64 / 1e6)),
        ("seed", metadata.origin.seed.to_string()),
        ("recipe", metadata.origin.recipe.clone()),
        ("exported", metadata.origin.date.clone()),
        ("temperature", format!("{:.3}", metadata.temperature)),
        ("offsets", calibrate::offsets_in_words(&metadata.classes, &metadata.origin.offsets)),
        ("gate", metadata.gate.as_ref().map_or("none".into(), |gate| gate.data.clone())),
        ("classes", metadata.classes.iter().map(|class| format!("`{class}`")).collect::<Vec<_>>().join(", ")),
        ("data", data(metadata, report).markdown()),
        ("what", tables::what(report)),
        ("command", report.protocol.command.clone()),
        ("date", report.protocol.date.clone()),
        ("method", list(&report.protocol.method)),
        ("headline", tables::headline(report).markdown()),
        ("findings", tables::findings(report).markdown()),
        ("sources", tables::groups(report, "source", report.sources.iter()).markdown()),
        ("subgroups", subgroups.collect::<Vec<_>>().join("\n")),
        ("calls", markdown(tables::calls(report))),
        ("shortcuts", shortcuts(audit.as_ref())),
        ("ablation", chosen(ablation.as_ref())),
        ("points", tables::operating_points(report).markdown()),
        ("predictive", tables::predictive_values(report, "balanced").markdown()),
        ("sets", markdown(tables::prediction_sets(report))),
        ("calibration_findings", markdown(tables::calibration_by_finding(report))),
        ("ece_equal", tables::Cell::Figure(report.ece_equal).plain()),
        ("without", markdown(tables::without_each_source(report))),
        ("calibration", tables::calibration_by_source(report).markdown()),
        ("ood", markdown(tables::out_of_distribution(report))),
        ("spoilt", markdown(tables::spoilt(report))),
        ("confusions", failures::confusions(report).markdown()),
        ("lowest", failures::lowest(report).markdown()),
        ("aims", aims::table(report, &aims::left_out(&left_out.iter().collect::<Vec<_>>(), recipe)).markdown()),
        (
            "left_out",
            if left_out.is_empty() { "Not measured.".into() } else { left_out_table(left_out, report).markdown() },
        ),
        ("left_out_network", left_out.first().map_or("no network".into(), |report| aims::network(report, recipe))),
        ("published", markdown(published(darkcovidnet.as_ref(), tutorial.as_ref(), recipe))),
        ("leakage", report.leakage.as_ref().map_or("Not measured.".into(), |leakage| leakage.to_string())),
    ])
}

/// On how many films nothing is known that would put them into one of the subgroups of this `kind`.
fn unknown(report: &Report, kind: &str) -> String {
    let known: u64 = report.subgroups.get(kind).into_iter().flatten().map(|(_, group)| group.n).sum();
    format!("{} of {}", report.n - known, report.n)
}

/// Where the films come from and on which terms.
fn data(metadata: &Metadata, report: &Report) -> Table {
    let mut table = Table::new(["source", "films trained and chosen on", "films tested on, by label", "terms"]);
    for source in &metadata.origin.data {
        let labels = report.sources.get(&source.name).map(|group| &group.labels);
        let labels: Vec<String> = labels.into_iter().flatten().map(|(label, n)| format!("{n} {label}")).collect();
        let tested = if labels.is_empty() { "-".into() } else { labels.join(", ") };
        table.rows.push(vec![
            Cell::text(&source.name),
            Cell::Count(source.films as u64),
            Cell::text(tested),
            Cell::text(&source.licence),
        ]);
    }
    table
}

/// A row for each pair of labels of each source that was left out, beside the trivial features in the same folds.
fn left_out_table(reports: &[CrossValidationReport], evaluation: &Report) -> Table {
    let columns = ["left out", "films", "network", "balanced accuracy", "pair", "AUROC", "trivial features"];
    let mut table = Table::new(columns);
    for report in reports {
        let network = match &report.recipe {
            Some(recipe) => format!("recipe `{recipe}`"),
            None => "frozen features".into(),
        };
        let known = |source: &str| report.pooled.sources.contains_key(source);
        for fold in &report.folds {
            let still =
                still_trained(&left_out_sources(&fold.name, known), |source| evaluation.sources.contains_key(source));
            let place = aims::place(&fold.name, report);
            let place = if still.is_empty() { place } else { format!("{place} ({still})") };
            for pair in fold.auroc.keys() {
                let trivial = report.baseline(trivial::METHOD, Some(&fold.name), &format!("AUROC {pair}"));
                table.rows.push(vec![
                    Cell::text(&place),
                    Cell::Count(fold.n),
                    Cell::text(&network),
                    tables::balanced_cell(fold.balanced_accuracy, &fold.labels),
                    Cell::text(pair),
                    tables::pair_cell(&fold.auroc, &fold.labels, pair),
                    Cell::Figure(trivial.unwrap_or_default()),
                ]);
            }
        }
    }
    table
}

/// What the audit found, and its alarms.
fn shortcuts(audit: Option<&AuditReport>) -> String {
    let Some(audit) = audit else { return "Not measured for these weights yet.\n".into() };
    let mut table = Table::new(["films shown", "AUROC, all findings", "the same of a new linear head on the features"]);
    for Seen { view, network, new_head, .. } in &audit.views {
        let cells = [Cell::Figure(network.macro_auroc), Cell::Figure(new_head.macro_auroc)];
        table.rows.push([Cell::text(view.name())].into_iter().chain(cells).collect());
    }
    let mut text = table.markdown();
    if let Some(source) = &audit.source {
        let figure = Cell::Figure(source.accuracy).plain();
        text += &format!(
            "\nA linear head names the source of a film, of {}, from the features in {figure} of the films; always naming the \
             commonest would be right in {:.3}.\n",
            source.sources, source.chance
        );
    }
    for alarm in &audit.alarms {
        text += &format!("\n**Alarm.** {}\n", alarm.text);
    }
    text
}

/// The choices of the recipe beside each other.
fn chosen(ablation: Option<&Ablation>) -> String {
    let Some(ablation) = ablation else { return "Not measured.\n".into() };
    let notes: String = ablation.protocol.iter().map(|line| format!("* {line}\n")).collect();
    format!(
        "`{}`, {}, {} films:\n\n{}\n{notes}",
        ablation.command,
        ablation.date,
        ablation.films,
        ablation.table().markdown()
    )
}

/// What papers and tutorials report, beside what their protocols give here.
fn published(
    darkcovidnet: Option<&[CrossValidationReport; 2]>,
    tutorial: Option<&TutorialReport>,
    recipe: &str,
) -> Option<Table> {
    let mut table = Table::new(["protocol", "figure", "published", "here", "without the lungs or without a network"]);
    let trivial = |report: &CrossValidationReport, figure: &str| {
        Cell::Figure(report.baseline(trivial::METHOD, None, figure).unwrap_or_default()).plain()
    };
    for (report, folds) in darkcovidnet.into_iter().flatten().zip(["by image, as published", "by patient"]) {
        let by_image = folds != "by patient";
        let protocol =
            format!("DarkCovidNet set (Ozturk et al. 2020), 5 folds {folds}; {}", aims::network(report, recipe));
        let mut row = |figure: &str, published: &str, here: Estimate, trivial: String| {
            let published = if by_image { published } else { "-" };
            let cells = [Cell::text(figure), Cell::text(published), Cell::Figure(here), Cell::text(trivial)];
            table.rows.push([Cell::text(&protocol)].into_iter().chain(cells).collect());
        };
        row("accuracy, 3 labels", "0.870", report.pooled.accuracy, trivial(report, "accuracy"));
        let pair = "covid/normal";
        let binary = report.binary_accuracy.get(pair).copied().unwrap_or_default();
        row(&format!("accuracy, {pair}"), "0.981", binary, trivial(report, &format!("accuracy between {pair}")));
    }
    if let Some(tutorial) = tutorial {
        let accuracy = tutorial.figures.get("accuracy");
        table.rows.push(vec![
            Cell::text(format!(
                "a tutorial of 2020: 10 test films, {} seeds; {}",
                tutorial.seeds.len(),
                tutorial.backbone
            )),
            Cell::text("accuracy"),
            Cell::Figure(accuracy.map(|figure| figure.published).unwrap_or_default()),
            Cell::Figure(accuracy.map(|figure| figure.one_test).unwrap_or_default()),
            Cell::text(tutorial.frame.map_or("-".into(), |frame| {
                format!("{:.3} (a new last layer, trained and tested on rims alone)", frame.mean)
            })),
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_filled_in_and_none_is_left_over() {
        let values = BTreeMap::from([("a", "one".to_owned()), ("b", "{{a}}".to_owned())]);
        assert_eq!(fill("x {{a}} y {{b}} {{a}}", &values).unwrap(), "x one y {{a}} one");
        for (template, said) in [("{{a}}", "does not use {{b}}"), ("{{c}}", "{{c}}"), ("{{a", "without its }}")] {
            let error = fill(template, &values).unwrap_err().to_string();
            assert!(error.contains(said), "{template}: {error}");
        }
    }
}
