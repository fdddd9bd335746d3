//! `trainer cross-validate`: k folds, or leave one source out.
//!
//! Every film is judged by a model that never saw it, and beside the model stands what features without lungs reach in
//! the same folds ([`trivial`]). A finished fold is kept and read back, so a stopped run goes on at the fold it was in;
//! in the full variant ([`Run`]) a half-done fold goes on from its checkpoint.

pub mod ablation;
mod fold;
pub(crate) mod rows;
pub mod trivial;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use deepbreath::model::{FEATURES, NamedTensors};
use deepbreath::preprocess::PREPROCESSING;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::bootstrap::Estimate;
use crate::cli::CrossValidateArgs;
use crate::dataset::{Film, Manifest, hex};
use crate::metrics::Prediction;
use crate::output::{Baseline, CrossValidationReport, FoldReport};
use crate::recipe::Recipe;
use crate::report::Protocol;
use crate::train::{device, stop_on_interrupt};
use crate::training::{Run, check_interrupted};
use crate::validation::predictions;
use crate::{films, inference, pretrained, provenance};
pub use fold::{DECAYS, FoldResult, INNER_VALIDATION};
use fold::{Fold, fit, folder, plan};

/// Raised when the same inputs give other results.
const VERSION: u32 = 1;

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong, or the run was stopped; the message says what to do.
pub fn run(args: &CrossValidateArgs) -> Result<()> {
    stop_on_interrupt();
    if args.recipe == crate::tutorial::RECIPE {
        bail!(
            "the tutorial's protocol has no folds: run it with `trainer train --recipe tutorial`, or give a TOML file"
        );
    }
    let recipe = Recipe::read(&args.recipe)?;
    let manifest = Manifest::read(std::slice::from_ref(&args.manifest))?;
    let (folds, sentence) = plan(args, &manifest)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let init_path = args.init.clone().unwrap_or_else(pretrained::default_path);
    let init = pretrained::read(&init_path)?;
    let study = Study {
        films: manifest.films.iter().collect(),
        manifest: &manifest,
        recipe: &recipe,
        seed: args.seed,
        init_digest: hex(&Sha256::digest(std::fs::read(&init_path)?)),
        init,
        device: device(&args.compute)?,
        out: &args.out,
        head_only: args.head_only,
    };
    let results = study.results(&folds)?;
    let init_name = init_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let protocol = protocol(args, &manifest, &recipe, sentence, &init_name);
    let of = |part: fn(&FoldResult) -> &Vec<Prediction>| -> Vec<(String, Vec<Prediction>)> {
        results.iter().map(|result| (result.name.clone(), part(result).clone())).collect()
    };
    let trivial =
        CrossValidationReport::new(&of(|r| &r.trivial), &manifest.classes, (None, Vec::new()), protocol.clone())?;
    let baselines = baselines(&trivial, args.leave_one_source_out);
    let trained = (!args.head_only).then(|| recipe.name.clone());
    let report =
        CrossValidationReport::new(&of(|r| &r.predictions), &manifest.classes, (trained, baselines), protocol)?;
    let all: Vec<Prediction> = results.into_iter().flat_map(|result| result.predictions).collect();
    report.write(&all, &args.out)?;
    println!("\n{}\nreport: {}", report.terminal_table(), args.out.join("cross-validation.html").display());
    Ok(())
}

fn protocol(args: &CrossValidateArgs, manifest: &Manifest, recipe: &Recipe, split: String, init: &str) -> Protocol {
    let [first, .., last] = DECAYS;
    let (weights, how) = if args.head_only {
        let how = format!(
            "Head only: a logistic regression on the pooled features of the frozen starting weights, fitted with weights \
             balanced over label and source; its weight decay ({first} to {last}) is chosen by the balanced loss on the \
             inner validation films, then it is fitted on all training films of the fold. No network is trained."
        );
        (format!("frozen {init}, a head for each fold"), how)
    } else {
        let how = format!(
            "Every fold trains all weights with the recipe `{}`; the epoch is chosen on the inner validation films.",
            recipe.name
        );
        (format!("trained from {init}, anew for each fold"), how)
    };
    Protocol {
        command: std::env::args().skip(1).fold("trainer".into(), |line, word| line + " " + &word),
        date: provenance::today(),
        manifest_digest: manifest.digest.clone(),
        split,
        weights,
        notes: vec![
            how,
            trivial::DESCRIPTION.into(),
            "Accuracy between two labels: among the films of the two, the label with the larger of the two \
             probabilities; the model itself knows all labels."
                .into(),
            format!("Seed {}. Nothing is calibrated.", args.seed),
        ],
        ..Protocol::default()
    }
}

/// The figures of the trivial features that stand beside those of the network.
fn baselines(trivial: &CrossValidationReport, by_source: bool) -> Vec<Baseline> {
    let row = |fold: Option<&str>, figure: String, value: &Estimate| {
        value.value?;
        Some(Baseline { method: trivial::METHOD.into(), fold: fold.map(str::to_owned), figure, value: *value })
    };
    if by_source {
        let of_fold = |fold: &FoldReport| -> Vec<Option<Baseline>> {
            let aurocs = fold.auroc.iter().map(|(pair, auroc)| row(Some(&fold.name), format!("AUROC {pair}"), auroc));
            [row(Some(&fold.name), "accuracy".into(), &fold.accuracy)].into_iter().chain(aurocs).collect()
        };
        return trivial.folds.iter().flat_map(of_fold).flatten().collect();
    }
    let pooled = &trivial.pooled;
    let plain = [
        ("accuracy", &pooled.accuracy),
        ("balanced accuracy", &pooled.balanced_accuracy),
        ("macro AUROC", &pooled.macro_auroc),
    ];
    let plain = plain.into_iter().map(|(name, value)| row(None, name.into(), value));
    let aurocs = pooled.auroc.iter().map(|(pair, auroc)| row(None, format!("AUROC {pair}"), auroc));
    let binary =
        trivial.binary_accuracy.iter().map(|(pair, share)| row(None, format!("accuracy between {pair}"), share));
    plain.chain(aurocs).chain(binary).flatten().collect()
}

/// Everything that all folds share.
struct Study<'a> {
    manifest: &'a Manifest,
    films: Vec<&'a Film>,
    recipe: &'a Recipe,
    seed: u64,
    init: NamedTensors,
    init_digest: String,
    device: Device,
    out: &'a Path,
    head_only: bool,
}

impl Study<'_> {
    /// The result of each fold, read back where it is finished.
    fn results(&self, folds: &[Fold]) -> Result<Vec<FoldResult>> {
        let identities: Vec<String> = self.films.iter().map(|film| films::identity(film)).collect::<Result<_>>()?;
        let fingerprints: Vec<String> =
            folds.iter().map(|fold| self.fingerprint(fold, &identities)).collect::<Result<_>>()?;
        let kept: Vec<Option<FoldResult>> = folds
            .iter()
            .zip(&fingerprints)
            .map(|(fold, fingerprint)| FoldResult::read(&folder(self.out, &fold.name), fingerprint))
            .collect::<Result<_>>()?;
        if kept.iter().all(Option::is_some) {
            return Ok(kept.into_iter().flatten().collect());
        }
        let trivial_rows = rows::rows(
            &self.cache("trivial", &identities),
            "trivial features",
            &self.films,
            trivial::WIDTH,
            |films| films.par_iter().map(|film| Ok(trivial::features(&films::decode(film)?))).collect(),
        )?;
        let features = if self.head_only { Some(self.features(&identities)?) } else { None };
        let mut results = Vec::new();
        for ((fold, fingerprint), kept) in folds.iter().zip(fingerprints).zip(kept) {
            let (result, how) = match kept {
                Some(result) => (result, "kept"),
                None => (self.fold(fold, fingerprint, features.as_deref(), &trivial_rows)?, "done"),
            };
            let decay = result.l2.map_or(String::new(), |l2| format!(", weight decay {l2}"));
            println!(
                "fold {} {how}: {} films to learn from, {} to choose on, {} to test{decay}",
                fold.name,
                fold.learn.len(),
                fold.validation.len(),
                fold.test.len()
            );
            results.push(result);
        }
        Ok(results)
    }

    /// Pooled features of the frozen starting weights.
    fn features(&self, identities: &[String]) -> Result<Vec<Vec<f32>>> {
        let model = inference::folded(&self.init, &self.device)?;
        rows::rows(&self.cache("features", identities), "frozen features", &self.films, FEATURES, |films| {
            inference::features(films, &model, &self.device, &|_| {})
        })
    }

    /// Trains and tests one fold and keeps the result.
    fn fold(
        &self,
        fold: &Fold,
        fingerprint: String,
        features: Option<&[Vec<f32>]>,
        trivial_rows: &[Vec<f32>],
    ) -> Result<FoldResult> {
        let dir = folder(self.out, &fold.name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let test: Vec<&Film> = self.of(&fold.test);
        let by_head = |rows: &[Vec<f32>]| -> Result<(Vec<Prediction>, f32)> {
            let (films, classes) = (&self.manifest.films, self.manifest.classes.len());
            let (head, l2) = fit(rows, films, fold, classes, self.recipe, self.seed)?;
            let logits = fold.test.iter().map(|index| head.logits(&rows[*index])).collect();
            Ok((predictions(&test, logits), l2))
        };
        let (answers, l2) = match features {
            Some(features) => by_head(features).map(|(answers, l2)| (answers, Some(l2)))?,
            None => (predictions(&test, self.train(fold, &dir, &test)?), None),
        };
        let (trivial, trivial_l2) = by_head(trivial_rows)?;
        let names = |of: &[usize]| self.of(of).into_iter().map(|film| film.name.clone()).collect();
        let result = FoldResult {
            fingerprint,
            name: fold.name.clone(),
            head_only: self.head_only,
            learned_from: names(&fold.learn),
            chosen_on: names(&fold.validation),
            used_for_neither: names(&fold.unused),
            l2,
            trivial_l2,
            predictions: answers,
            trivial,
        };
        result.write(&dir)?;
        if !self.head_only {
            // The state of a finished fold is no longer needed, and large.
            for name in ["checkpoint", "films"] {
                let _ = std::fs::remove_dir_all(dir.join(name));
            }
        }
        // Read back, so that a fold kept from before is the same to the last bit.
        FoldResult::read(&dir, &result.fingerprint)?.with_context(|| format!("{} has changed", dir.display()))
    }

    /// Logits of a network that was trained without the films of `test`.
    fn train(&self, fold: &Fold, dir: &Path, test: &[&Film]) -> Result<Vec<Vec<f32>>> {
        println!("fold {}: training in {}", fold.name, dir.display());
        let run = Run {
            train: self.of(&fold.learn),
            validation: self.of(&fold.validation),
            classes: &self.manifest.classes,
            recipe: self.recipe,
            seed: self.seed,
            devices: vec![self.device.clone()],
            out: dir,
            cache: &dir.join("films"),
            record: None,
        };
        let place = format!("fold {}", fold.name);
        let trained = run.train(&self.init, true).or_else(|error| {
            check_interrupted().with_context(|| place.clone())?;
            Err(error.context(place.clone()))
        })?;
        let model = inference::folded(&trained, &self.device)?;
        let mut logits = Vec::with_capacity(test.len());
        for films in test.chunks(rows::CHUNK) {
            check_interrupted().with_context(|| place.clone())?;
            logits.extend(inference::logits(films, &model, &self.device, &|_| {})?);
        }
        Ok(logits)
    }

    fn of(&self, indices: &[usize]) -> Vec<&Film> {
        indices.iter().map(|index| self.films[*index]).collect()
    }

    /// Of everything that the result of a fold depends on.
    fn fingerprint(&self, fold: &Fold, identities: &[String]) -> Result<String> {
        let films = |of: &[usize]| of.iter().map(|index| identities[*index].as_str()).collect::<Vec<_>>();
        let parts = [films(&fold.learn), films(&fold.validation), films(&fold.test)];
        let settings = (
            VERSION,
            DECAYS,
            PREPROCESSING,
            self.head_only,
            self.recipe,
            self.seed,
            &self.init_digest,
            &self.manifest.classes,
        );
        Ok(hex(&Sha256::digest(serde_json::to_string(&(settings, parts))?)))
    }

    /// Where rows of features of these films are kept.
    fn cache(&self, what: &str, identities: &[String]) -> PathBuf {
        let init = if what == "features" { self.init_digest.as_str() } else { "" };
        let key = format!("{VERSION} {PREPROCESSING:?} {init} {}", identities.join("\n"));
        self.out.join(format!("{what}-{}.bin", &hex(&Sha256::digest(key))[..16]))
    }
}
