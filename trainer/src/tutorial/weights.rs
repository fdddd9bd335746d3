//! A weights file from the tutorial's recipe, to be loaded by the same classifier as any other, in the browser too.
//!
//! What differs from the protocol that the report measures, because every weights file shares one preprocessing and one
//! architecture: grey values are stretched and normalised as everywhere in this project, the last map is averaged whole
//! instead of its upper left corner, and the head is one dense layer to the two labels instead of two layers with 64
//! hidden units. Films, split, frozen ImageNet backbone, rotations, loss, optimiser, epochs and batches are the protocol's.
//!
//! `Classifier.load('tutorial.safetensors')` loads it. It knows two findings and has no gate. Its probabilities are not
//! calibrated (temperature 1): there are no films to do it on. A finding is called from a probability of one half on, as
//! in the tutorial. **It shows how a classifier goes wrong; its answers mean nothing.**

use std::path::Path;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use deepbreath::decision;
use deepbreath::model::{FEATURES, Model, ModelConfig, NamedTensor, NamedTensors};
use deepbreath::preprocess::PREPROCESSING;
use deepbreath::weights::{FORMAT_VERSION, Measurement, Metadata, OperatingPoint, Origin, Precision};

use super::bank::{Bank, View};
use super::{Protocol, RECIPE, divide, network};
use crate::bootstrap::wilson;
use crate::dataset::{Film, Manifest};
use crate::metrics::Confusion;
use crate::training::progress_bar;
use crate::{export, inference, provenance, terms};

/// Trains a head with the protocol's first seed and writes the file, 8 bits a weight; returns the id of the weights.
///
/// # Errors
/// If there are not two labels with two films each, a film cannot be read, the file cannot be written, or Ctrl-C was
/// pressed.
pub fn make(
    manifest: &Manifest,
    init: &NamedTensors,
    protocol: &Protocol,
    path: &Path,
    device: &Device,
) -> Result<String> {
    let Manifest { films, classes, .. } = manifest;
    ensure!(classes.len() == 2, "the tutorial's protocol tells two labels apart; these films have {classes:?}");
    let labels: Vec<usize> = films.iter().map(|film| film.label).collect();
    let division = divide(&labels, protocol.test_share, protocol.first_seed);
    let model = inference::folded(init, device)?;
    let bar = progress_bar(films.len() * (2 * protocol.rotation + 1), "features for weights");
    let progress = |done: usize| bar.set_position(done as u64);
    let bank = Bank::compute(films, View::Preprocessed, protocol.rotation, &model, device, &progress)?;
    bar.finish_and_clear();
    let (weight, bias) = network::train_linear(&bank, &labels, &division, protocol, protocol.first_seed);

    let mut confusion = Confusion::new(2);
    for film in &division.test {
        let rows = weight.chunks_exact(FEATURES).zip(&bias);
        let logits: Vec<f32> = rows
            .map(|(row, bias)| row.iter().zip(bank.upright(*film)).map(|(w, x)| w * x).sum::<f32>() + bias)
            .collect();
        let probabilities = decision::probabilities(&logits, 1.0);
        confusion.add(labels[*film], network::call([probabilities[0], probabilities[1]]), 1);
    }
    let n = division.test.len();
    let data = format!(
        "the tutorial's test split, {n} films of the training sources, by film and not by patient; it also watches them while \
         it trains"
    );
    let point = |(label, class): (usize, &String)| OperatingPoint {
        name: OperatingPoint::BALANCED.into(),
        finding: class.clone(),
        threshold: 0.5,
        sensitivity: confusion.sensitivity(label).unwrap_or_default() as f32,
        specificity: confusion.specificity(label).unwrap_or_default() as f32,
        n,
        data: data.clone(),
    };
    let accuracy = wilson(confusion.accuracy().unwrap_or_default(), n);
    let measured = Measurement {
        name: "accuracy".into(),
        value: accuracy.value.unwrap_or_default(),
        low: accuracy.low.unwrap_or_default(),
        high: accuracy.high.unwrap_or(1.0),
        n,
        data: data.clone(),
    };
    let learned: Vec<Film> = division.train.iter().map(|film| films[*film].clone()).collect();
    let (commit, date) = provenance::commit();
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        model: ModelConfig::new(classes.len()),
        classes: classes.clone(),
        preprocessing: PREPROCESSING,
        temperature: 1.0,
        operating_points: classes.iter().enumerate().map(point).collect(),
        golden: Vec::new(),
        gate: None,
        conformal: None,
        measured: vec![measured],
        origin: Origin {
            manifest_digest: manifest.digest.clone(),
            seed: protocol.first_seed,
            commit,
            recipe: crate::recipe::with_epochs(RECIPE, protocol.epochs, Protocol::default().epochs),
            date,
            data: terms::sources(&learned),
            offsets: Vec::new(),
        },
        licence: format!("An example of how not to do it. {}", terms::of_weights(&learned)),
    };
    let mut tensors = Model::fold(init);
    tensors.insert("classifier.weight".into(), NamedTensor { shape: vec![classes.len(), FEATURES], values: weight });
    tensors.insert("classifier.bias".into(), NamedTensor { shape: vec![classes.len()], values: bias });
    export::export(path, &tensors, &metadata, Precision::Int8, device)
}
