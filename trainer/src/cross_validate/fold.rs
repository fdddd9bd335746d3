//! One fold: which films are on which side, what came out, and the head that is fitted on rows of features.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::calibrate::nll_of_logits;
use crate::cli::CrossValidateArgs;
use crate::dataset::{Film, Manifest, write_whole};
use crate::folds::{Grouping, allocate, folds, leave_out, source_groups};
use crate::head::{self, Head};
use crate::metrics::Prediction;
use crate::recipe::Recipe;
use crate::sampler::Sampler;
use crate::training::check_interrupted;

/// Share of the training patients of a fold that choose the epoch, or the weight decay of the head.
pub const INNER_VALIDATION: f64 = 0.15;
/// Weights of the squared weights that are tried for a head (see [`crate::recipe::Head::l2`]).
pub const DECAYS: [f32; 5] = [1e-4, 1e-3, 1e-2, 0.1, 1.0];

/// The films of one fold, as indices into the manifest.
#[derive(Debug)]
pub(super) struct Fold {
    /// `1`, `2`, ... or the sources left out.
    pub(super) name: String,
    /// Gradients come from these.
    pub(super) learn: Vec<usize>,
    /// Choices are made on these.
    pub(super) validation: Vec<usize>,
    /// Figures come from these.
    pub(super) test: Vec<usize>,
    /// Films of the patients in `test` that come from other sources.
    pub(super) unused: Vec<usize>,
}

/// A fold whose films to learn from are divided, by patient and stratified, into those and the ones that choose.
pub(super) fn divided(
    films: &[Film],
    name: String,
    train: Vec<usize>,
    test: Vec<usize>,
    unused: Vec<usize>,
    seed: u64,
) -> Fold {
    let members: Vec<&Film> = train.iter().map(|index| &films[*index]).collect();
    // Another seed than that of the folds, whose order of patients it would repeat.
    let parts =
        allocate(&members, &[1.0 - INNER_VALIDATION, INNER_VALIDATION], Grouping::Patient, seed.wrapping_add(1));
    let side = |wanted| train.iter().zip(&parts).filter(move |(_, part)| **part == wanted).map(|(index, _)| *index);
    Fold { name, learn: side(0).collect(), validation: side(1).collect(), test, unused }
}

/// The folds that the arguments ask for, and the protocol in a sentence.
///
/// # Errors
/// As [`folds`] and [`source_groups`], if a fold tests a label that it never learned, or if the full variant would have
/// no validation films.
pub(super) fn plan(args: &CrossValidateArgs, manifest: &Manifest) -> Result<(Vec<Fold>, String)> {
    let films = &manifest.films;
    let divided = |name: String, train: Vec<usize>, test: Vec<usize>, unused: Vec<usize>| {
        divided(films, name, train, test, unused, args.seed)
    };
    let (plan, sentence): (Vec<Fold>, String) = if let Some(k) = args.folds {
        let grouping = if args.by_image { Grouping::Image } else { Grouping::Patient };
        let parts = folds(films, k as usize, grouping, args.seed)?;
        let fold = |fold: usize| {
            let (test, train) = (0..films.len()).partition(|index| parts[*index] == fold);
            divided((fold + 1).to_string(), train, test, Vec::new())
        };
        let how = match grouping {
            Grouping::Patient => "by patient: no patient is in two folds",
            Grouping::Image => {
                "by image, as some papers do: films of one patient can stand on both sides, so the figures are too \
                 optimistic where patients have several films"
            }
        };
        let sentence = format!("{k} folds {how}; stratified by label and source, all films of the manifest.");
        ((0..k as usize).map(fold).collect(), sentence)
    } else {
        let fold = |group| {
            let left = leave_out(films, &group);
            divided(group.name, left.train, left.test, left.shared)
        };
        let sentence = "Leave one source out: all films of the left-out source (sources joined with + together), \
                        whatever their split, are tested by a model trained on all films of the other sources, \
                        whatever their split, but for films of patients that the left-out source also has."
            .to_string();
        (source_groups(films, &args.sources_left_out)?.into_iter().map(fold).collect(), sentence)
    };
    for fold in &plan {
        ensure!(
            args.head_only || !fold.validation.is_empty(),
            "fold {}: too few patients to set some apart for the choice of the epoch; use more films or --head-only",
            fold.name
        );
        let labels = |of: &[usize]| of.iter().map(|index| films[*index].label).collect::<BTreeSet<_>>();
        if let Some(label) = labels(&fold.test).difference(&labels(&fold.learn)).next() {
            bail!(
                "fold {}: it tests films labelled {}, but none is left to learn from; leave out other sources (see \
                 --sources-left-out) or ask for fewer folds",
                fold.name,
                manifest.classes[*label]
            );
        }
    }
    let inner = format!(
        " {:.0} % of the training patients, drawn by seed and stratified, make the choices in training (never the \
         films that are tested).",
        INNER_VALIDATION * 100.0
    );
    Ok((plan, sentence + &inner))
}

/// What `fold-NAME/predictions.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    /// Of everything that the result depends on.
    pub fingerprint: String,
    /// As in [`crate::output::FoldReport::name`].
    pub name: String,
    /// Whether only a head was trained.
    pub head_only: bool,
    /// Films that gradients came from.
    pub learned_from: Vec<String>,
    /// Films that chose the epoch or the weight decay; a head then learns from them as well.
    pub chosen_on: Vec<String>,
    /// Films of other sources whose patients are tested.
    pub used_for_neither: Vec<String>,
    /// Weight decay that was chosen for the head; null for the full variant.
    pub l2: Option<f32>,
    /// Weight decay that was chosen for the trivial features.
    pub trivial_l2: f32,
    /// The network's answers for the films held out.
    pub predictions: Vec<Prediction>,
    /// The answers from trivial features.
    pub trivial: Vec<Prediction>,
}

/// `out/fold-NAME`, with anything that a file system could take amiss replaced.
pub(super) fn folder(out: &Path, name: &str) -> PathBuf {
    let plain = |c: char| if c.is_alphanumeric() || "+-_.".contains(c) { c } else { '_' };
    out.join(format!("fold-{}", name.chars().map(plain).collect::<String>()))
}

impl FoldResult {
    fn path(folder: &Path) -> PathBuf {
        folder.join("predictions.json")
    }

    /// The finished result in `folder`, if it is there and has this fingerprint.
    ///
    /// # Errors
    /// If it cannot be read, or if it took a full training with other settings: that is not overwritten.
    pub(super) fn read(folder: &Path, fingerprint: &str) -> Result<Option<Self>> {
        let path = Self::path(folder);
        if !path.exists() {
            return Ok(None);
        }
        let damaged = || format!("cannot use {}; delete it to compute this fold again", path.display());
        let result: Self =
            serde_json::from_slice(&std::fs::read(&path).with_context(damaged)?).with_context(damaged)?;
        ensure!(
            result.fingerprint == fingerprint || result.head_only,
            "{} is of another recipe, seed or data; give another --out",
            path.display()
        );
        Ok(Some(result).filter(|result| result.fingerprint == fingerprint))
    }

    /// Writes the result, whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_whole(&Self::path(folder), &serde_json::to_vec(self)?)
    }
}

/// Fits a head on `rows` (one for each film of the manifest): the weight decay is the one of [`DECAYS`] with the
/// smallest balanced loss on the fold's validation films (the recipe's where there are none); the head then learns from
/// both parts. Returns it with the decay.
///
/// # Errors
/// If Ctrl-C was pressed.
pub(super) fn fit(
    rows: &[Vec<f32>],
    films: &[Film],
    fold: &Fold,
    classes: usize,
    recipe: &Recipe,
    seed: u64,
) -> Result<(Head, f32)> {
    let fit = |members: &[usize], l2: f32| -> Result<Head> {
        check_interrupted().with_context(|| format!("fold {}", fold.name))?;
        let (features, labels, weights) = balanced(rows, films, members, recipe, seed);
        Ok(head::fit(&features, &labels, &weights, classes, &crate::recipe::Head { l2, ..recipe.head.clone() }))
    };
    let mut best = (f64::INFINITY, recipe.head.l2);
    if !fold.validation.is_empty() {
        let (features, labels, weights) = balanced(rows, films, &fold.validation, recipe, seed);
        for l2 in DECAYS {
            let head = fit(&fold.learn, l2)?;
            let loss = |((row, label), weight): ((&Vec<f32>, &usize), &f32)| {
                let logits: Vec<f64> = head.logits(row).into_iter().map(f64::from).collect();
                f64::from(*weight) * nll_of_logits(&logits, *label)
            };
            let loss: f64 = features.iter().zip(&labels).zip(&weights).map(loss).sum();
            if loss < best.0 {
                best = (loss, l2);
            }
        }
    }
    let both: Vec<usize> = fold.learn.iter().chain(&fold.validation).copied().collect();
    Ok((fit(&both, best.1)?, best.1))
}

/// Rows, labels and weights (balanced over label and source) of some films.
fn balanced(
    rows: &[Vec<f32>],
    films: &[Film],
    members: &[usize],
    recipe: &Recipe,
    seed: u64,
) -> (Vec<Vec<f32>>, Vec<usize>, Vec<f32>) {
    let chosen: Vec<&Film> = members.iter().map(|index| &films[*index]).collect();
    let weights = Sampler::new(&chosen, recipe.shared_sources, seed).weights();
    let features = members.iter().map(|index| rows[*index].clone()).collect();
    (features, chosen.iter().map(|film| film.label).collect(), weights)
}
