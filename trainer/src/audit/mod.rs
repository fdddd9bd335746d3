//! `trainer audit`: shortcuts. What does a classifier go by besides the lungs?
//!
//! Films are shown whole and with something taken away ([`views`]); the weights answer, and so does a new linear head on
//! the same features ([`probe`]), since a network that was never shown black lungs may fail for that reason alone. Beside
//! that: whether the features name the source, what needs no network at all, what is left at sources that training never
//! saw, and where the network looks ([`attention`]).
//!
//! What it does not do: prove that a classifier reads lungs. It can only fail to find that it does not.

pub mod attention;
mod away;
mod chart;
mod compare;
mod left_out;
mod linear;
pub mod lungs;
pub mod measure;
mod page;
pub(crate) mod place;
pub mod probe;
pub mod report;
mod verdict;
pub mod views;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use deepbreath::decision;
use deepbreath::lungs::Localiser;
use deepbreath::model::{FEATURES, Model, NamedTensors, NormMode, pool};
use deepbreath::preprocess::ModelInput;
use deepbreath::weights::{Metadata, Weights};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::left_out::{LeftOut, gaps};
use self::measure::{Figures, Groups};
use self::place::Counts;
use self::report::{AuditReport, FORMAT, Seen, SourceProbe};
use self::views::View;
use crate::bootstrap::{Bootstrap, patients};
use crate::cli::AuditArgs;
use crate::cross_validate::rows::rows;
use crate::cross_validate::trivial;
use crate::dataset::{Film, Manifest, Split, hex, names};
use crate::metrics::Prediction;
use crate::output::write_all;
use crate::report::{Given, Protocol, Report};
use crate::train::{device, stop_on_interrupt};
use crate::{evaluate, films, inference, provenance};

/// Raised when the same films and weights give other rows of features.
const VERSION: u32 = 1;
/// Films of a forward pass.
const BATCH: usize = 16;
/// Every how manyth film the covered share of a view is averaged over.
const COVERED_EVERY: usize = 8;
/// Sources with fewer films are left out of the question which source a film is from.
const SOURCE_FILMS: usize = 10;
/// Seed of folds.
const SEED: u64 = 42;
/// The page of an audit.
const AUDIT_PAGE: &str = "audit.html";

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong, or Ctrl-C was pressed; the message says which and what to do.
pub fn run(args: &AuditArgs) -> Result<()> {
    stop_on_interrupt();
    let beside = args.beside.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let report = match &args.from {
        Some(path) => read(path)?,
        None => measure(args)?,
    };
    println!("{}", report.terminal(&report.weights));
    let mut reports = vec![report];
    reports.extend(beside);
    let files = files(&reports)?;
    write_all(&args.out, &files)?;
    println!("report: {}", args.out.join(AUDIT_PAGE).display());
    Ok(())
}

/// Measures the weights on the films.
fn measure(args: &AuditArgs) -> Result<AuditReport> {
    let left_out =
        args.cross_validation.as_deref().map(|path| LeftOut::read(path, args.folds.as_deref())).transpose()?;
    // Loading also checks the golden vectors.
    evaluate::load(&args.weights, &args.compute)?;
    let file = args.weights.display().to_string();
    let weights = Weights::read(&file, &std::fs::read(&args.weights)?)?;
    let tensors = Model::fold(&weights.tensors);
    let device = device(&args.compute)?;
    Chosen::new(args, &weights.metadata)?.audit(args, &weights, &tensors, &device, left_out)
}

/// The files of the first of `reports`, by name: its page, the comparison with the others if there are any, and its
/// `audit.json` last. They follow from the reports alone.
///
/// # Errors
/// If a report cannot be written as JSON, which none has been seen to do.
///
/// # Panics
/// Without a report.
pub fn files(reports: &[AuditReport]) -> Result<Vec<(String, String)>> {
    let mut files = vec![(AUDIT_PAGE.to_owned(), page::audit(&reports[0]))];
    if reports.len() > 1 {
        files.push(("comparison.html".to_owned(), compare::page(reports)));
    }
    files.push(("audit.json".to_owned(), serde_json::to_string_pretty(&reports[0])? + "\n"));
    Ok(files)
}

/// Reads an `audit.json`; its alarms are those that its figures raise by the rules of this version.
///
/// # Errors
/// If the file is missing or of another form.
pub fn read(path: &Path) -> Result<AuditReport> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the audit {}", path.display()))?;
    let mut report: AuditReport = serde_json::from_slice(&bytes).with_context(|| {
        format!("{} is no audit.json of this version; make it again with `trainer audit`", path.display())
    })?;
    report.find_alarms();
    Ok(report)
}

/// The films of an audit.
struct Chosen {
    films: Vec<Film>,
    classes: Vec<String>,
    left_out: BTreeMap<String, usize>,
    digest: String,
}

impl Chosen {
    /// Films of the split whose label the weights know and that the weights were not trained on.
    fn new(args: &AuditArgs, metadata: &Metadata) -> Result<Self> {
        let given = names(args.manifests.iter().map(|csv| csv.display().to_string()));
        let mut manifest = Manifest::read(&args.manifests)?;
        // Films that the weights learned from are left out below, where --trained-on names them.
        manifest
            .split_as_trained(&metadata.origin, args.split.split().filter(|_| args.trained_on.is_empty()))
            .with_context(|| given.clone())?;
        let trained = trained_on(&args.trained_on)?;
        let known = |film: &Film| trained.contains(&canonical(&film.path));
        let patients: HashSet<String> =
            manifest.films.iter().filter(|film| known(film)).map(|film| film.patient_id.clone()).collect();
        let mut chosen = Self {
            films: Vec::new(),
            classes: metadata.classes.clone(),
            left_out: BTreeMap::new(),
            digest: manifest.digest.clone(),
        };
        for mut film in manifest.films {
            if args.split.split().is_some_and(|split| film.split != Some(split)) {
                continue;
            }
            let label = &manifest.classes[film.label];
            let reason = match metadata.classes.iter().position(|class| class == label) {
                None => format!("labelled {label}, which these weights do not know"),
                Some(_) if patients.contains(&film.patient_id) => {
                    "of patients that these weights were trained on".into()
                }
                Some(class) => {
                    film.label = class;
                    chosen.films.push(film);
                    continue;
                }
            };
            *chosen.left_out.entry(reason).or_default() += 1;
        }
        ensure!(
            !chosen.films.is_empty(),
            "{given}: no film in this split has a label that the weights know; try --split all"
        );
        Ok(chosen)
    }

    fn audit(
        &self,
        args: &AuditArgs,
        weights: &Weights,
        tensors: &NamedTensors,
        device: &Device,
        left_out: Option<LeftOut>,
    ) -> Result<AuditReport> {
        let Self { films, classes, .. } = self;
        let bootstrap = Bootstrap::default();
        let people: Vec<&Film> = films.iter().collect();
        let ids = patients(&crate::validation::predictions(&people, vec![vec![0.0; classes.len()]; films.len()]));
        let seen: Vec<String> = weights.metadata.origin.data.iter().map(|source| source.name.clone()).collect();
        let joined = left_out.as_ref().map(LeftOut::names).unwrap_or_default();
        let temporary;
        let cache = match &args.cache {
            Some(folder) => {
                std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
                folder.as_path()
            }
            None => {
                temporary = tempfile::tempdir()?;
                temporary.path()
            }
        };
        let model = inference::folded(tensors, device)?;
        let features = Features { films, model: &model, tensors, device, cache };
        let mut seen_as = Vec::new();
        let mut whole = Vec::new();
        let mut groups = Groups::default();
        for view in View::ALL {
            let rows = features.rows(view)?;
            let answers = features.answers(&rows, weights.metadata.temperature);
            if view == View::Whole {
                groups = Groups::new(&answers, &seen, &joined);
            }
            let new_head = probe::answers(films, &rows, classes.len(), SEED)?;
            seen_as.push(Seen {
                view,
                covered: self.covered(view)?,
                network: Figures::new(&answers, classes, &groups, bootstrap),
                new_head: Figures::new(&new_head, classes, &groups, bootstrap),
            });
            if view == View::Whole {
                whole = rows;
            }
        }
        let trivial_rows = features.trivial()?;
        let trivial = probe::answers(films, &trivial_rows, classes.len(), SEED)?;
        let (attention, randomised) = attention::look(films, &ids, tensors, device, bootstrap)?;
        let mut counts = Counts::new();
        for film in films {
            *counts.entry(film.source.clone()).or_default().entry(classes[film.label].clone()).or_default() += 1;
        }
        let mut report = AuditReport {
            format: FORMAT,
            name: args.name.clone().unwrap_or_else(|| format!("weights {}", weights.id())),
            weights: weights.id().into(),
            recipe: weights.metadata.origin.recipe.clone(),
            classes: classes.clone(),
            n: films.len(),
            patients: ids.iter().collect::<BTreeSet<_>>().len(),
            films: counts,
            left_out: self.left_out.clone(),
            gaps: gaps(&seen_as[0].network, left_out.as_ref()),
            left_out_by: left_out.as_ref().map(LeftOut::weights),
            left_out_recipe: left_out.as_ref().and_then(LeftOut::recipe),
            seen_by: left_out.as_ref().map(LeftOut::seen_by).unwrap_or_default(),
            views: seen_as,
            source: self.source(&whole)?,
            trivial: Figures::new(&trivial, classes, &groups, bootstrap),
            seen,
            attention,
            randomised,
            lungs: lungs::Fit::released(),
            alarms: Vec::new(),
            protocol: Protocol {
                command: std::env::args().skip(1).fold("trainer".into(), |line, word| line + " " + &word),
                date: provenance::today(),
                manifest_digest: self.digest.clone(),
                split: args.split.split().map_or("all", Split::word).into(),
                weights: weights.id().into(),
                bootstrap,
                ..Protocol::default()
            },
        };
        report.find_alarms();
        Ok(report)
    }

    /// Mean share of the film that `view` covers.
    fn covered(&self, view: View) -> Result<Option<f64>> {
        let some: Vec<&Film> = self.films.iter().step_by(COVERED_EVERY).collect();
        let area = |film: &&Film| Ok(view.mask(&films::decode(film)?).map(|mask| mask.area()));
        let areas: Option<Vec<f64>> = some.par_iter().map(area).collect::<Result<Option<Vec<f64>>>>()?;
        Ok(areas.map(|areas| areas.iter().sum::<f64>() / areas.len() as f64))
    }

    /// How well a linear head names the source from `rows`.
    fn source(&self, rows: &[Vec<f32>]) -> Result<Option<SourceProbe>> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for film in &self.films {
            *counts.entry(&film.source).or_default() += 1;
        }
        let sources: Vec<String> =
            counts.iter().filter(|(_, count)| **count >= SOURCE_FILMS).map(|(source, _)| source.to_string()).collect();
        if sources.len() < 2 {
            return Ok(None);
        }
        let of = |film: &Film| sources.iter().position(|source| *source == film.source);
        let asked: Vec<(Film, Vec<f32>)> = self
            .films
            .iter()
            .zip(rows)
            .filter_map(|(film, row)| Some((Film { label: of(film)?, ..film.clone() }, row.clone())))
            .collect();
        let (films, rows): (Vec<Film>, Vec<Vec<f32>>) = asked.into_iter().unzip();
        let answers = probe::answers(&films, &rows, sources.len(), SEED)?;
        let report = Report::new(&answers, &sources, Given::default(), Protocol::default())?;
        let most = (0..sources.len()).map(|source| films.iter().filter(|film| film.label == source).count()).max();
        Ok(Some(SourceProbe {
            sources: sources.len(),
            accuracy: report.accuracy,
            chance: most.unwrap_or(0) as f64 / films.len() as f64,
            macro_auroc: report.macro_auroc,
        }))
    }
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The files of these manifests.
fn trained_on(manifests: &[PathBuf]) -> Result<HashSet<PathBuf>> {
    if manifests.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(Manifest::read(manifests)?.films.iter().map(|film| canonical(&film.path)).collect())
}

/// Pooled features of the films, kept in `cache`.
struct Features<'a> {
    films: &'a [Film],
    model: &'a Model,
    tensors: &'a NamedTensors,
    device: &'a Device,
    cache: &'a Path,
}

impl Features<'_> {
    /// The file of rows that depend on all that is named in `what`, and on the films.
    fn file(&self, what: &str) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(format!("{VERSION} {what}"));
        for film in self.films {
            hash.update(films::file_identity(film)? + "\n");
        }
        Ok(self.cache.join(format!("{}.bin", &hex(&hash.finalize())[..16])))
    }

    /// `[films][FEATURES]`. Weights that differ in the last layer only share them.
    fn rows(&self, view: View) -> Result<Vec<Vec<f32>>> {
        let mut hash = Sha256::new();
        for (name, tensor) in self.tensors.iter().filter(|(name, _)| !name.starts_with("classifier")) {
            hash.update(name);
            tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        if view.asks_for_lungs() {
            hash.update(Localiser::fitted().to_bytes());
        }
        let file = self.file(&format!("{view:?} {}", hex(&hash.finalize())))?;
        // By the file: two manifests may hold films of one name.
        let index: HashMap<&Path, usize> =
            self.films.iter().enumerate().map(|(index, film)| (film.path.as_path(), index)).collect();
        let all: Vec<&Film> = self.films.iter().collect();
        rows(&file, view.name(), &all, FEATURES, |films| {
            let mut features = Vec::with_capacity(films.len());
            for batch in films.chunks(BATCH) {
                let input = |film: &&Film| Ok(view.input(&films::decode(film)?, index[film.path.as_path()]));
                let inputs: Vec<ModelInput> = batch.par_iter().map(input).collect::<Result<_>>()?;
                let map = self.model.feature_map(ModelInput::to_batch(&inputs, self.device), NormMode::Frozen);
                let values = pool(map).into_data().convert::<f32>().try_into_vec::<f32>().expect("32-bit values");
                features.extend(values.chunks_exact(FEATURES).map(<[f32]>::to_vec));
            }
            Ok(features)
        })
    }

    fn trivial(&self) -> Result<Vec<Vec<f32>>> {
        let all: Vec<&Film> = self.films.iter().collect();
        rows(&self.file("trivial")?, "trivial features", &all, trivial::WIDTH, |films| {
            films.par_iter().map(|film| Ok(trivial::features(&films::decode(film)?))).collect()
        })
    }

    /// The weights' answers from rows of features.
    fn answers(&self, rows: &[Vec<f32>], temperature: f32) -> Vec<Prediction> {
        let features = TensorData::new(rows.concat(), [rows.len(), FEATURES]);
        let logits = self.model.classify(Tensor::<2>::from_data(features, self.device));
        let logits = logits.into_data().convert::<f32>().try_into_vec::<f32>().expect("32-bit values");
        let each = logits.chunks_exact(logits.len() / rows.len());
        let answer = |(film, logits): (&Film, &[f32])| {
            Prediction::new(film, logits.to_vec(), decision::probabilities(logits, temperature))
        };
        self.films.iter().zip(each).map(answer).collect()
    }
}
