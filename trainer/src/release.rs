//! `trainer export`: a finished run becomes a weights file, calibrated on validation films and measured on test films.

use anyhow::{Context, Result, ensure};
use deepbreath::Classifier;
use deepbreath::model::{ModelConfig, NamedTensors};
use deepbreath::preprocess::PREPROCESSING;
use deepbreath::weights::{self, FORMAT_VERSION, Measurement, Metadata, OperatingPoint, Origin};

use crate::bootstrap::Estimate;
use crate::cli::{self, ExportArgs, RELEASED_WEIGHTS};
use crate::dataset::{Film, Manifest, Split};
use crate::report::{Given, Protocol, Report};
use crate::sampler::Sampler;
use crate::train::RunRecord;
use crate::{calibrate, conformal, evaluate, export, gate, provenance, soup, terms};

impl From<cli::Precision> for weights::Precision {
    fn from(precision: cli::Precision) -> Self {
        match precision {
            cli::Precision::F16 => Self::F16,
            cli::Precision::Int8 => Self::Int8,
            cli::Precision::F32 => Self::F32,
        }
    }
}

fn measurement(name: &str, estimate: &Estimate, n: usize, data: &str) -> Option<Measurement> {
    let (value, low, high) = (estimate.value?, estimate.low?, estimate.high?);
    Some(Measurement { name: name.into(), value, low, high, n, data: data.into() })
}

/// What a page should show of the weights: overall figures, and every finding's.
fn measurements(report: &Report, data: &str) -> Vec<Measurement> {
    let n = report.n as usize;
    let overall = [
        ("balanced accuracy", &report.balanced_accuracy),
        ("macro AUROC", &report.macro_auroc),
        ("expected calibration error", &report.ece),
    ];
    let mut all: Vec<Measurement> =
        overall.iter().filter_map(|(name, estimate)| measurement(name, estimate, n, data)).collect();
    for (finding, figures) in &report.findings {
        for (name, estimate) in
            [("AUROC", &figures.auroc), ("sensitivity", &figures.sensitivity), ("specificity", &figures.specificity)]
        {
            all.extend(measurement(&format!("{finding} {name}"), estimate, n, data));
        }
    }
    all
}

/// A classifier of exactly the numbers that the file will hold.
fn classifier(
    tensors: &NamedTensors,
    metadata: &Metadata,
    precision: weights::Precision,
    device: &burn::tensor::Device,
) -> Result<Classifier> {
    let bytes = weights::write(metadata, tensors, precision)?;
    Ok(Classifier::load("new weights", &bytes, device)?)
}

/// Adds `offsets`, one for each class, to the biases of the classifier: the logits then hold them.
fn shift(tensors: &mut NamedTensors, offsets: &[f32]) -> Result<()> {
    let bias = tensors.get_mut("classifier.bias").filter(|bias| bias.values.len() == offsets.len());
    let bias = bias.context("the run's tensors hold no bias for each class")?;
    bias.values.iter_mut().zip(offsets).for_each(|(bias, offset)| *bias += offset);
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// If the run is unfinished, its films are gone, or the file cannot be written.
pub fn run(args: &ExportArgs) -> Result<()> {
    let device = burn::tensor::Device::flex();
    let record = RunRecord::read_finished(&args.run)?;
    let mut tensors = soup::best(&args.run)?;
    let mut manifest = Manifest::read(&record.manifests)?;
    ensure!(manifest.digest == record.manifest_digest, "the manifests changed since the run; train again");
    manifest.split_by_patient(record.seed);
    let precision = args.precision.into();
    let (commit, date) = provenance::commit();
    let learned: Vec<Film> = manifest.films.iter().filter(|f| f.split != Some(Split::Test)).cloned().collect();
    let mut metadata = Metadata {
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        model: ModelConfig::new(record.classes.len()),
        classes: record.classes.clone(),
        preprocessing: PREPROCESSING,
        temperature: 1.0,
        operating_points: Vec::new(),
        golden: Vec::new(),
        gate: None,
        conformal: None,
        measured: Vec::new(),
        origin: Origin {
            manifest_digest: record.manifest_digest.clone(),
            seed: record.seed,
            commit,
            recipe: record.recipes(),
            date,
            data: terms::sources(&learned),
            offsets: Vec::new(),
        },
        licence: terms::of_weights(&learned),
    };
    manifest.validation_caveats().iter().for_each(|caveat| eprintln!("warning: {caveat}"));
    if args.ood.is_none() {
        eprintln!(
            "warning: no --ood list of images that are no chest X-rays, so no gate is fitted: these weights answer for any \
             image, also for a photograph of a cat"
        );
    }
    println!("calibrating on validation films");
    let validation = manifest.subset(Split::Validation);
    let judged = evaluate::predict(&classifier(&tensors, &metadata, precision, &device)?, &validation)?;
    let weights = Sampler::new(&validation, record.recipe.shared_sources, record.seed).weights();
    let calibration = calibrate::fit(&judged, &weights)?;
    metadata.temperature = calibration.temperature as f32;
    metadata.origin.offsets = calibration.offsets.iter().map(|offset| *offset as f32).collect();
    println!(
        "temperature {:.3}, offsets {}: negative log likelihood {:.4} to {:.4} on {} films, balanced by the rule of training",
        metadata.temperature,
        calibrate::offsets_in_words(&metadata.classes, &metadata.origin.offsets),
        calibration.nll_before,
        calibration.nll_after,
        calibration.n
    );
    shift(&mut tensors, &metadata.origin.offsets)?;
    let judged = evaluate::predict(&classifier(&tensors, &metadata, precision, &device)?, &validation)?;
    let data = format!("validation split, {} films", validation.len());
    metadata.conformal = Some(conformal::fit(&judged, record.classes.len(), &data)?);
    metadata.operating_points = calibrate::operating_points(&judged, &record.classes)
        .into_iter()
        .map(|point| OperatingPoint {
            name: point.name,
            finding: point.finding,
            threshold: point.threshold as f32,
            sensitivity: point.sensitivity as f32,
            specificity: point.specificity as f32,
            n: point.n,
            data: data.clone(),
        })
        .collect();
    if let Some(csv) = &args.ood {
        println!("fitting the gate");
        let judge = classifier(&tensors, &metadata, precision, &device)?;
        metadata.gate = Some(gate::fit(&judge, &manifest.subset(Split::Train), &validation, csv)?);
    }
    let test = manifest.subset(Split::Test);
    if !test.is_empty() {
        println!("measuring on test films");
        let judge = classifier(&tensors, &metadata, precision, &device)?;
        let judged = evaluate::predict(&judge, &test)?;
        let points = evaluate::operating_points(&judge);
        let given = Given { points: &points, ..Given::default() };
        let report = Report::new(&judged, &record.classes, given, Protocol::default())?;
        metadata.measured = measurements(&report, &format!("test split, {} films of the training sources", test.len()));
    }
    let name = RELEASED_WEIGHTS.rsplit('/').next().unwrap_or(RELEASED_WEIGHTS);
    let path = args.out.join(name);
    let id = export::export(&path, &tensors, &metadata, precision, &device)?;
    println!("{}: weights {id}, {} bytes", path.display(), path.metadata()?.len());
    Ok(())
}
