//! `trainer train --recipe tutorial`: the protocol of a widely copied tutorial, repeated over many seeds.
//!
//! Source: Adrian Rosebrock, "Detecting COVID-19 in X-ray images with Keras, TensorFlow, and Deep Learning",
//! pyimagesearch.com, 16 March 2020: 25 + 25 films, a frozen ImageNet backbone, a small head, ten test images, once.
//!
//! The protocol is kept with its flaws, because they are the point; the page that [`report`] writes names them. What
//! differs: the backbone is this project's (EfficientNet-Lite0 instead of VGG16), rotations are drawn from the 31 whole
//! angles from -15 to 15 degrees so that their features can be computed once, films are read as grey and shrunk with an
//! antialiased filter, and the split is drawn again for every seed. Two controls are added, see [`Controls`].
//!
//! The page measures; beside it, [`weights`] makes a weights file in the spirit of the protocol, for the Shortcut lab of the
//! site. Nothing here is fit for use.

pub mod bank;
pub mod network;
pub mod patients;
pub mod report;
pub mod weights;
mod words;

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use deepbreath::model::NamedTensors;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::bank::{Bank, View};
use self::patients::Known;
use self::report::TutorialReport;
use crate::cli::TrainArgs;
use crate::dataset::{Manifest, hex, write_whole};
use crate::metrics::Confusion;
use crate::training::{INTERRUPTED, progress_bar};
use crate::{inference, pretrained, sampler, train};

/// What `--recipe` calls the protocol, and what weights of it say of themselves (with other epochs: and the epochs).
pub const RECIPE: &str = "tutorial";

/// The numbers of the protocol; the default is the tutorial's, with 20 seeds instead of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Passes over the training films.
    pub epochs: usize,
    /// Films of an update.
    pub batch: usize,
    /// Units of the hidden layer.
    pub hidden: usize,
    /// Share of the hidden units that an update ignores.
    pub dropout: f64,
    /// Adam's first learning rate; see [`network::learning_rate`] for its decay.
    pub learning_rate: f64,
    /// Largest rotation of a training film, whole degrees.
    pub rotation: usize,
    /// Share of the films of each label that is tested on.
    pub test_share: f64,
    /// First seed; the others follow.
    pub first_seed: u64,
    /// Number of seeds.
    pub seeds: usize,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            epochs: 25,
            batch: 8,
            hidden: 64,
            dropout: 0.5,
            learning_rate: 1e-3,
            rotation: 15,
            test_share: 0.2,
            first_seed: 42,
            seeds: 20,
        }
    }
}

/// Which films are trained and tested on, as indices into the manifest's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// Films to train on.
    pub train: Vec<usize>,
    /// Films to test on.
    pub test: Vec<usize>,
}

/// One test film of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestFilm {
    /// Path as in the manifest.
    pub file: String,
    /// Its label, an index into [`TutorialReport::classes`].
    pub label: usize,
    /// Probability of the first label, softmax as it comes (not calibrated).
    pub probability: f32,
}

/// Accuracies of one seed that should be poor if the films, and nothing else, told the labels apart by the lungs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Controls {
    /// The same split, but the backbone sees only the frame of each film ([`View::Frame`]), without rotations.
    pub frame: f64,
    /// The same split and films, but the labels are dealt out at random: far from a half, something leaks.
    pub shuffled: f64,
}

/// Features of all films, whole and of their frames.
struct Banks {
    whole: Bank,
    frame: Bank,
}

/// What one seed gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// Seed of split, initial weights, order, rotations and dropout.
    pub seed: u64,
    /// Share of the test films called right after the last epoch.
    pub accuracy: f64,
    /// Of the test films of the first label (covid), the share called so.
    pub sensitivity: f64,
    /// Of the test films of the second label (normal), the share called so.
    pub specificity: f64,
    /// Counts of label (row) against call (column), in the order of the classes.
    pub confusion: Vec<Vec<u64>>,
    /// Mean training loss over the updates of the last epoch.
    pub loss: f32,
    /// Accuracy on the test films after each epoch: what the tutorial watches while it trains.
    pub test_accuracy: Vec<f64>,
    /// The test films.
    pub test: Vec<TestFilm>,
    /// The same seed with something taken away.
    pub controls: Controls,
    /// Patients on both sides of the split; null where the patients of some films are unknown.
    pub shared: Option<patients::Shared>,
}

/// `seeds.json`: finished seeds, so that a stopped run goes on at the next one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Finished {
    /// Of everything that the results depend on.
    fingerprint: String,
    seeds: Vec<SeedResult>,
}

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Split,
    Initialise,
    Epoch,
    Labels,
}

/// Independent random numbers for a seed, a purpose and a number.
pub(crate) fn random(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    // Any constant: it keeps these draws apart from those of the default recipe.
    sampler::stream(seed, [0x7475_746f_7269_616c, purpose as u64, number])
}

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong, or the run was stopped; the message says what to do.
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut protocol = Protocol { first_seed: args.seed, ..Protocol::default() };
    if let Some(epochs) = args.epochs {
        protocol.epochs = epochs as usize;
    }
    let manifest = Manifest::read(&args.manifests)?;
    let init = args.init.clone().unwrap_or_else(pretrained::default_path);
    let tensors = pretrained::read(&init)?;
    let device = train::device(&args.compute)?;
    let report = measure(&manifest, &tensors, &protocol, &args.out, args.resume, &device)?;
    report.write(&args.out)?;
    println!("{}\nreport: {}", report.terminal_table(), args.out.join("tutorial.html").display());
    let path = args.out.join("tutorial.safetensors");
    let id = weights::make(&manifest, &tensors, &protocol, &path, &device)?;
    println!("{}: weights {id}, {} bytes", path.display(), path.metadata()?.len());
    Ok(())
}

/// Measures the protocol on a manifest with two labels, of which the first by name is the one to find.
/// `tensors` are those of the backbone, folded or not. Results are kept in `out/seeds.json` as they come; with `resume`
/// those of the same films, tensors and protocol are not computed again.
///
/// # Errors
/// If there are not two labels with two films each, a film or file cannot be read or written, or Ctrl-C was pressed.
pub fn measure(
    manifest: &Manifest,
    tensors: &NamedTensors,
    protocol: &Protocol,
    out: &Path,
    resume: bool,
    device: &Device,
) -> Result<TutorialReport> {
    let Manifest { films, classes, .. } = manifest;
    ensure!(classes.len() == 2, "the tutorial's protocol tells two labels apart; these films have {classes:?}");
    let labels: Vec<usize> = films.iter().map(|film| film.label).collect();
    for (label, class) in classes.iter().enumerate() {
        let count = labels.iter().filter(|other| **other == label).count();
        ensure!(count > 1, "only one film of {class}: there must be two, to train and to test on");
    }
    let known = patients::look_up(films)?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let path = out.join("seeds.json");
    let fingerprint = fingerprint(manifest, tensors, protocol)?;
    ensure!(
        resume || !path.exists(),
        "{} already holds a run: continue it with --resume or give another --out",
        out.display()
    );
    let mut finished = Finished { fingerprint: fingerprint.clone(), seeds: Vec::new() };
    if path.exists() {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        finished = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not what this command wrote; delete it", path.display()))?;
        ensure!(
            finished.fingerprint == fingerprint,
            "{} was started with another protocol, other films or weights; give another --out",
            out.display()
        );
    }
    let last = protocol.first_seed + protocol.seeds as u64;
    finished.seeds.retain(|result| (protocol.first_seed..last).contains(&result.seed));
    let missing: Vec<u64> =
        (protocol.first_seed..last).filter(|seed| finished.seeds.iter().all(|result| result.seed != *seed)).collect();
    if !missing.is_empty() {
        let banks = banks(manifest, tensors, protocol, device)?;
        let bar = progress_bar(missing.len(), "seeds");
        for seed in missing {
            if INTERRUPTED.load(Ordering::Relaxed) {
                bail!("stopped; go on with the same command and --resume");
            }
            finished.seeds.push(result(manifest, &banks, &labels, &known, protocol, seed));
            finished.seeds.sort_by_key(|result| result.seed);
            write_whole(&path, &serde_json::to_vec_pretty(&finished)?)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    Ok(TutorialReport::new(manifest, protocol, &known, finished.seeds))
}

fn banks(manifest: &Manifest, tensors: &NamedTensors, protocol: &Protocol, device: &Device) -> Result<Banks> {
    let model = inference::folded(tensors, device)?;
    let compute = |view: View, rotation: usize, what: &str| {
        let bar = progress_bar(manifest.films.len() * (2 * rotation + 1), what);
        let progress = |done: usize| bar.set_position(done as u64);
        let bank = Bank::compute(&manifest.films, view, rotation, &model, device, &progress)?;
        bar.finish_and_clear();
        anyhow::Ok(bank)
    };
    let frame = compute(View::Frame, 0, "features of frames")?;
    Ok(Banks { whole: compute(View::Whole, protocol.rotation, "features of rotations")?, frame })
}

/// Trains and tests one seed.
fn result(
    manifest: &Manifest,
    banks: &Banks,
    labels: &[usize],
    known: &[Option<Known>],
    protocol: &Protocol,
    seed: u64,
) -> SeedResult {
    let division = divide(labels, protocol.test_share, seed);
    let mut dealt = labels.to_vec();
    dealt.shuffle(&mut random(seed, Purpose::Labels, 0));
    let last = |trained: network::Trained| trained.test_accuracy.last().copied().unwrap_or(0.0);
    let controls = Controls {
        frame: last(network::train(&banks.frame, labels, &division, protocol, seed)),
        shuffled: last(network::train(&banks.whole, &dealt, &division, protocol, seed)),
    };
    let trained = network::train(&banks.whole, labels, &division, protocol, seed);
    let mut confusion = Confusion::new(2);
    let mut test = Vec::new();
    for (film, probabilities) in division.test.iter().zip(&trained.probabilities) {
        confusion.add(labels[*film], network::call(*probabilities), 1);
        let file = manifest.films[*film].name.clone();
        test.push(TestFilm { file, label: labels[*film], probability: probabilities[0] });
    }
    let defined = |share: Option<f64>| share.expect("films of both labels are tested");
    SeedResult {
        seed,
        accuracy: defined(confusion.accuracy()),
        sensitivity: defined(confusion.sensitivity(0)),
        specificity: defined(confusion.specificity(0)),
        confusion: confusion.rows(),
        loss: trained.loss,
        test_accuracy: trained.test_accuracy,
        test,
        controls,
        shared: patients::shared(known, &division),
    }
}

/// Draws the test films: of each label the nearest whole number to `share`, at least one, and one is left to train on.
/// By film, as the tutorial does, not by patient.
pub fn divide(labels: &[usize], share: f64, seed: u64) -> Division {
    let mut random = random(seed, Purpose::Split, 0);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for label in 0..2 {
        let mut films: Vec<usize> = (0..labels.len()).filter(|film| labels[*film] == label).collect();
        films.shuffle(&mut random);
        let count = ((share * films.len() as f64).round() as usize).clamp(1, films.len() - 1);
        test.extend_from_slice(&films[..count]);
        train.extend_from_slice(&films[count..]);
    }
    Division { train, test }
}

/// Of the films, the tensors and the protocol, apart from which seeds are run.
fn fingerprint(manifest: &Manifest, tensors: &NamedTensors, protocol: &Protocol) -> Result<String> {
    let mut hash = Sha256::new();
    let protocol = Protocol { first_seed: 0, seeds: 0, ..protocol.clone() };
    hash.update(format!("2 {} {}", manifest.digest, serde_json::to_string(&protocol)?));
    crate::tensors::digest(tensors, &mut hash);
    Ok(hex(&hash.finalize()))
}
