//! `trainer ablate`: what each choice of a recipe is worth, on films of sources that were left out and within sources.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fold::{Fold, FoldResult, divided};
use super::{INNER_VALIDATION, Study};
use crate::bootstrap::{Bootstrap, Estimate, patients};
use crate::cli::AblateArgs;
use crate::dataset::{Film, Manifest, Split, hex};
use crate::folds::{Grouping, folds, leave_out, source_groups};
use crate::metrics::{Prediction, Ranking};
use crate::output::write_all;
use crate::recipe::Recipe;
use crate::tables::{Cell, Table};
use crate::train::{device, stop_on_interrupt};
use crate::{page, pretrained, provenance};

/// Films of each of two labels that a source must have among those tested for a figure of its own.
const PAIR_FILMS: usize = 15;
/// One of so many parts of the patients, of all sources, is tested for the figures within sources.
const PARTS: usize = 5;
/// The name of that fold.
const SAME_SOURCES: &str = "same sources";

/// Everything that `trainer ablate` measured, as written to `ablation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// The command.
    pub command: String,
    /// Year, month, day.
    pub date: String,
    /// SHA-256 of the manifest's rows.
    pub manifest_digest: String,
    /// Films that took part.
    pub films: usize,
    /// How it was done, in sentences.
    pub protocol: Vec<String>,
    /// What is measured, in the order of [`Choice::figures`].
    pub figures: Vec<String>,
    /// The recipes in the order given; the first is the one that the others are compared with.
    pub choices: Vec<Choice>,
}

/// One recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The recipe's name.
    pub name: String,
    /// All of the recipe.
    pub recipe: Recipe,
    /// AUROCs with their 95 % intervals.
    pub figures: Vec<Estimate>,
    /// Less those of the first recipe, on the same resamples of patients; null for the first.
    pub differences: Option<Vec<Estimate>>,
}

/// A figure: the fold that it is measured on, and what is ranked there.
struct Figure {
    name: String,
    fold: usize,
    kind: Kind,
}

enum Kind {
    /// AUROC of two labels among the films of a source, or of all.
    Pair(Option<String>, usize, usize),
    /// Mean AUROC of each label against the others.
    Macro,
}

impl Figure {
    fn measure(&self, predictions: &[Prediction], classes: usize, weights: &[u32]) -> Option<f64> {
        let weight = |film: usize| weights[film];
        match &self.kind {
            Kind::Macro => {
                let auroc = |class| Ranking::one_vs_rest(predictions.iter().enumerate(), class).auroc(weight);
                let each: Vec<f64> = (0..classes).filter_map(auroc).collect();
                (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
            }
            Kind::Pair(source, a, b) => {
                let own = |p: &Prediction| source.as_ref().is_none_or(|source| p.source == *source);
                Ranking::pair(predictions.iter().enumerate().filter(|(_, p)| own(p)), *a, *b).auroc(weight)
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong, or the run was stopped; the message says what to do.
pub fn run(args: &AblateArgs) -> Result<()> {
    stop_on_interrupt();
    let recipes: Vec<Recipe> = args.recipes.iter().map(|name| Recipe::read(name)).collect::<Result<_>>()?;
    let mut names = BTreeSet::new();
    for recipe in &recipes {
        ensure!(
            plain(&recipe.name),
            "recipe {:?}: its results go into a folder of that name, so it may have letters, digits, spaces and - _ . only",
            recipe.name
        );
        ensure!(names.insert(&recipe.name), "two recipes are named {}; give each a name of its own", recipe.name);
    }
    let mut manifest = Manifest::read(std::slice::from_ref(&args.manifest))?;
    let test_films = test_films(&mut manifest, args.include_test);
    let plan = plan(args, &manifest)?;
    let init_path = args.init.clone().unwrap_or_else(pretrained::default_path);
    let init = pretrained::read(&init_path)?;
    let init_digest = hex(&Sha256::digest(std::fs::read(&init_path)?));
    let mut results: Vec<Vec<FoldResult>> = Vec::new();
    for recipe in &recipes {
        let out = args.out.join(&recipe.name);
        std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let study = Study {
            films: manifest.films.iter().collect(),
            manifest: &manifest,
            recipe,
            seed: args.seed,
            init_digest: init_digest.clone(),
            init: init.clone(),
            device: device(&args.compute)?,
            out: &out,
            head_only: false,
        };
        println!("recipe {}", recipe.name);
        results.push(study.results(&plan)?);
    }
    let ablation = Ablation::new(args, &manifest, test_films, &plan, recipes, &results);
    println!("\n{}\nreport: {}", ablation.table().terminal(), args.out.join("ablation.html").display());
    ablation.write(args)
}

/// Whether `name` is a plain file name everywhere.
fn plain(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    name.chars().all(known) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.ends_with(['.', ' '])
}

/// Leaves out the test films, unless they are to be included, and says in a sentence what became of them.
fn test_films(manifest: &mut Manifest, include: bool) -> String {
    let all = manifest.films.len();
    let test = manifest.subset(Split::Test).len();
    if test == 0 {
        return format!("All {all} films of the manifest, which names no test films.");
    }
    if include {
        return format!(
            "All {all} films of the manifest, with the {test} of its test split: for a report, not to choose a recipe by."
        );
    }
    manifest.films.retain(|film| film.split != Some(Split::Test));
    format!(
        "{} films of the manifest; the {test} of its test split were left out, so that nothing is chosen on them.",
        all - test
    )
}

/// A fold for each group of sources left out, and one that tests other patients of all sources.
fn plan(args: &AblateArgs, manifest: &Manifest) -> Result<Vec<Fold>> {
    let films = &manifest.films;
    let mut plan = Vec::new();
    for group in source_groups(films, &args.sources_left_out)? {
        let left = leave_out(films, &group);
        plan.push(divided(films, group.name, left.train, left.test, left.shared, args.seed));
    }
    let parts = folds(films, PARTS, Grouping::Patient, args.seed)?;
    let (test, train) = (0..films.len()).partition(|index| parts[*index] == 0);
    plan.push(divided(films, SAME_SOURCES.into(), train, test, Vec::new(), args.seed));
    for fold in &plan {
        ensure!(
            !fold.validation.is_empty() && !fold.test.is_empty(),
            "fold {}: too few patients to test or to choose the epoch on; use more films",
            fold.name
        );
    }
    Ok(plan)
}

/// What can be measured on the folds.
fn figures(plan: &[Fold], manifest: &Manifest) -> Vec<Figure> {
    let classes = &manifest.classes;
    let mut figures = Vec::new();
    for (fold, Fold { name, test, .. }) in plan.iter().enumerate() {
        let within = name == SAME_SOURCES;
        if within {
            figures.push(Figure { name: format!("{name}: macro AUROC"), fold, kind: Kind::Macro });
        }
        let sources: BTreeSet<&str> = test.iter().map(|index| manifest.films[*index].source.as_str()).collect();
        let scopes = if within { sources.into_iter().map(|s| Some(s.to_owned())).collect() } else { vec![None] };
        for scope in scopes {
            let count = |label: usize| {
                let film = |index: &&usize| -> bool {
                    let Film { label: its, source, .. } = &manifest.films[**index];
                    *its == label && scope.as_ref().is_none_or(|scope| scope == source)
                };
                test.iter().filter(film).count()
            };
            for (a, b) in (0..classes.len()).flat_map(|a| (a + 1..classes.len()).map(move |b| (a, b))) {
                if count(a) < PAIR_FILMS || count(b) < PAIR_FILMS {
                    continue;
                }
                let pair = format!("{}/{}", classes[a], classes[b]);
                let name = scope.as_ref().map_or_else(
                    || format!("{name} left out: AUROC {pair}"),
                    |source| format!("{name}, within {source}: AUROC {pair}"),
                );
                figures.push(Figure { name, fold, kind: Kind::Pair(scope.clone(), a, b) });
            }
        }
    }
    figures
}

impl Ablation {
    fn new(
        args: &AblateArgs,
        manifest: &Manifest,
        test_films: String,
        plan: &[Fold],
        recipes: Vec<Recipe>,
        results: &[Vec<FoldResult>],
    ) -> Self {
        let figures = figures(plan, manifest);
        let classes = manifest.classes.len();
        let bootstrap = Bootstrap::default();
        let mut choices: Vec<Choice> = Vec::new();
        for (recipe, own) in recipes.into_iter().zip(results) {
            let (mut values, mut differences) = (Vec::new(), Vec::new());
            for figure in &figures {
                // The films of a fold stand in the same order in every recipe's result.
                let (base, own) = (&results[0][figure.fold].predictions, &own[figure.fold].predictions);
                let measure = |weights: &[u32]| {
                    let (value, base) = (figure.measure(own, classes, weights), figure.measure(base, classes, weights));
                    vec![value, value.zip(base).map(|(value, base)| value - base)]
                };
                let estimates = bootstrap.estimate(&patients(own), measure);
                values.push(estimates[0]);
                differences.push(estimates[1]);
            }
            let differences = (!choices.is_empty()).then_some(differences);
            choices.push(Choice { name: recipe.name.clone(), recipe, figures: values, differences });
        }
        let parts = format!(
            "For each group of sources left out, a network learned from all other sources; \"{SAME_SOURCES}\" is one of \
             {PARTS} parts of all patients, tested by a network that learned from the others. {:.0} % of the patients \
             to learn from choose the epoch.",
            INNER_VALIDATION * 100.0
        );
        Self {
            command: std::env::args().skip(1).fold("trainer".into(), |line, word| line + " " + &word),
            date: provenance::today(),
            manifest_digest: manifest.digest.clone(),
            films: manifest.films.len(),
            protocol: vec![
                test_films,
                parts,
                format!("Every network has the same films, the same starting weights and seed {}.", args.seed),
                "Intervals: 95 %, bootstrap over patients; differences on the same resamples. They do not hold the luck \
                 of a training run: another seed moves a figure as well."
                    .into(),
            ],
            figures: figures.into_iter().map(|figure| figure.name).collect(),
            choices,
        }
    }

    /// A row for each recipe, the differences below its figures.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["recipe"]);
        table.columns.extend(self.figures.iter().cloned());
        for choice in &self.choices {
            let row = |name: String, cells: &[Estimate]| {
                std::iter::once(Cell::Text(name)).chain(cells.iter().copied().map(Cell::Figure)).collect()
            };
            table.rows.push(row(choice.name.clone(), &choice.figures));
            let first = &self.choices[0].name;
            let less = choice.differences.as_ref().map(|cells| row(format!("  {} less {first}", choice.name), cells));
            table.rows.extend(less);
        }
        table
    }

    fn write(&self, args: &AblateArgs) -> Result<()> {
        let mut body = format!(
            "<p class=\"lead\">What each choice of the recipe changes: on {} films, where it matters \u{2013} films of \
             sources that training never saw \u{2013} and within sources.</p>\n",
            self.films
        );
        page::section(&mut body, "Choices", "", &self.table());
        body += "<h2>How it was measured</h2>\n<ul>\n";
        for line in &self.protocol {
            body += &format!("<li>{}</li>\n", crate::svg::escape(line));
        }
        body += &format!("</ul>\n<p><code>{}</code>, {}</p>\n", crate::svg::escape(&self.command), self.date);
        let html = page::document("Ablation of the training recipe", &body);
        let json = serde_json::to_string_pretty(self)? + "\n";
        write_all(&args.out, &[("ablation.html".into(), html), ("ablation.json".into(), json)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_of_the_test_split_take_no_part_unless_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("films.csv");
        let mut text = "path,label,split\n".to_string();
        for (index, split) in ["train", "test", "val", "test", ""].iter().enumerate() {
            std::fs::write(folder.path().join(format!("{index}.png")), "").expect("a file");
            text += &format!("{index}.png,{},{split}\n", ["a", "b"][index % 2]);
        }
        std::fs::write(&csv, text).expect("a manifest");
        for (include, films, says) in [(false, 3, "the 2 of its test split were left out"), (true, 5, "not to choose")]
        {
            let mut manifest = Manifest::read(std::slice::from_ref(&csv)).expect("a manifest");
            let sentence = test_films(&mut manifest, include);
            assert_eq!(manifest.films.len(), films);
            assert!(sentence.contains(says), "{sentence}");
        }
    }

    #[test]
    fn only_plain_names_become_folders() {
        for good in ["plain", "no-augmentation", "v1.2 b_c", "default"] {
            assert!(plain(good), "{good}");
        }
        for bad in ["", ".", "..", "../up", "/root", "a/b", "a\\b", ".hidden", "ends.", " a", "a ", "a:b", "\u{e4}"] {
            assert!(!plain(bad), "{bad}");
        }
    }
}
