//! `trainer evaluate`: weights against labelled films, by the library's own path from bytes to probabilities.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use deepbreath::preprocess::ModelInput;
use deepbreath::{Classifier, Judgement, Options, Radiograph, decision};
use rayon::prelude::*;

use crate::calibrate::OperatingPoint;
use crate::cli::{EvaluateArgs, Part};
use crate::dataset::{Film, Manifest, names};
use crate::leakage::LeakageReport;
use crate::metrics::Prediction;
use crate::refusals::{OodImage, SpoiltFilm};
use crate::report::{Given, Protocol, Report};
use crate::spoilt::Spoilt;
use crate::train::{device, stop_on_interrupt};
use crate::training::{check_interrupted, progress_bar};
use crate::{films, gate, output, provenance, tables};

/// Films of a forward pass.
const BATCH: usize = 16;
/// Every how manyth film is also shown spoilt, where images that are no chest X-rays are.
const SPOILT_EVERY: usize = 4;

/// Reads a weights file into a classifier and checks its golden vectors.
///
/// # Errors
/// If the file cannot be read, or does not answer as it says it should.
pub fn load(path: &Path, compute: &crate::cli::ComputeArgs) -> Result<Classifier> {
    let device = device(compute)?;
    let bytes = std::fs::read(path)
        .with_context(|| format!("cannot read the weights {}. Name a weights file with --weights", path.display()))?;
    let classifier = Classifier::load(&path.display().to_string(), &bytes, &device)?;
    pollster::block_on(classifier.verify())?;
    Ok(classifier)
}

/// The classifier's calibrated answer for every film; labels must follow the classifier's classes.
///
/// # Errors
/// If a film cannot be decoded (the message names it), or Ctrl-C was pressed.
pub fn predict(classifier: &Classifier, films: &[&Film]) -> Result<Vec<Prediction>> {
    let bar = progress_bar(films.len(), "classifying");
    let mut predictions = Vec::with_capacity(films.len());
    for batch in films.chunks(BATCH) {
        check_interrupted()?;
        let inputs: Vec<ModelInput> = batch.par_iter().map(|film| films::input(film)).collect::<Result<_>>()?;
        let judgements = pollster::block_on(classifier.judge_batch(&inputs))?;
        for (film, judgement) in batch.iter().zip(judgements) {
            let probabilities = decision::probabilities(&judgement.logits, classifier.metadata().temperature);
            let (refused, distance) = (judgement.refused(), distance(&judgement));
            // As in an answer of the classifier: no set for a refused film.
            let conformal = classifier.metadata().conformal.as_ref().filter(|_| !refused);
            let set =
                conformal.map(|conformal| decision::prediction_set(&probabilities, conformal)).unwrap_or_default();
            let prediction = Prediction::new(film, judgement.logits, probabilities);
            predictions.push(Prediction { set, refused, distance, ..prediction });
        }
        bar.set_position(predictions.len() as u64);
    }
    bar.finish_and_clear();
    Ok(predictions)
}

/// The gate's distance; infinite for a blank image, `None` without a gate.
fn distance(judgement: &Judgement) -> Option<f32> {
    let gate = judgement.gate?;
    Some(if judgement.blank { f32::INFINITY } else { gate.distance })
}

/// How images that are no frontal chest X-rays are answered; a file that cannot be decoded counts as refused.
fn out_of_distribution(classifier: &Classifier, csv: &Path, held_out: bool) -> Result<Vec<OodImage>> {
    let dir = csv.parent().unwrap_or(Path::new("."));
    let all = gate::read(csv)?;
    let fitted = gate::fitting_half(&all);
    let rows = all.into_iter().zip(fitted).filter(|(_, fitted)| !(held_out && *fitted)).map(|(row, _)| row);
    let rows: Vec<_> = rows.collect();
    let bar = progress_bar(rows.len(), "out of distribution");
    let mut images = Vec::with_capacity(rows.len());
    for row in rows {
        check_interrupted()?;
        let path = dir.join(&row.path);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        images.push(match Radiograph::decode(&row.path, &bytes) {
            Ok(image) => {
                let input = ModelInput::from_radiograph(&image);
                let judgement = pollster::block_on(classifier.judge_batch(&[input]))?.remove(0);
                OodImage { kind: row.kind, distance: distance(&judgement), refused: judgement.refused() }
            }
            Err(_) => OodImage { kind: row.kind, distance: Some(f32::INFINITY), refused: true },
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(images)
}

/// How every [`SPOILT_EVERY`]th film is answered as a file that was turned, cropped, inverted or blanked.
fn spoilt(classifier: &Classifier, films: &[&Film]) -> Result<Vec<SpoiltFilm>> {
    let films: Vec<&Film> = films.iter().step_by(SPOILT_EVERY).copied().collect();
    let bar = progress_bar(films.len(), "spoilt films");
    let mut answers = Vec::new();
    for film in films {
        check_interrupted()?;
        let film = films::decode(film)?;
        for way in Spoilt::ALL {
            let file = way.file(&film)?;
            let answer = pollster::block_on(classifier.classify(way.name(), &file, &Options::default()))?;
            let reasons = answer.reasons.iter().filter(|_| answer.refused).map(|reason| reason.code()).collect();
            answers.push(SpoiltFilm { way, reasons, corrected: answer.provenance.polarity_corrected });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(answers)
}

/// The metadata's operating points in the form that reports take.
pub fn operating_points(classifier: &Classifier) -> Vec<OperatingPoint> {
    let points = classifier.metadata().operating_points.iter();
    points
        .map(|point| OperatingPoint {
            name: point.name.clone(),
            finding: point.finding.clone(),
            threshold: f64::from(point.threshold),
            sensitivity: f64::from(point.sensitivity),
            specificity: f64::from(point.specificity),
            n: point.n,
        })
        .collect()
}

/// What of that which is measured was fitted, in sentences; none for films of the test split and held-out images. `own`
/// says that the manifest is the one that the weights were trained on.
fn fitted(args: &EvaluateArgs, own: bool) -> Vec<String> {
    let films = match args.split {
        Part::Test => None,
        Part::Train => Some("These are the films that the weights learned from (--split train)"),
        Part::Val => Some(
            "These are the films that the weights were chosen on (--split val): the epoch, the calibration, the thresholds \
             and the gate's limit",
        ),
        Part::All => Some(
            "Among these films are those that the weights learned from, and those that their calibration and thresholds were \
             chosen on (--split all)",
        ),
    };
    let films = films.map(|films| match own {
        true => format!("{films}. The figures are better than new patients would give; those are --split test."),
        false => format!(
            "{films}, if the weights were made with films of this manifest; they name another one. Then the figures are \
             better than new patients would give."
        ),
    });
    let images = (args.ood.is_some() && !args.ood_held_out).then(|| {
        "Among the images that are no chest X-rays are those that the gate was fitted on, if it was fitted on this list: the \
         half that it was not is --ood-held-out."
            .to_owned()
    });
    films.into_iter().chain(images).collect()
}

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong; the message says which and what to do.
pub fn run(args: &EvaluateArgs) -> Result<()> {
    stop_on_interrupt();
    let classifier = load(&args.weights, &args.compute)?;
    let classes = classifier.metadata().classes.clone();
    let given = names(args.manifests.iter().map(|csv| csv.display().to_string()));
    let mut manifest = Manifest::read_with_gaps(&args.manifests)?.with_classes(&classes)?;
    manifest.split_as_trained(&classifier.metadata().origin, args.split.split()).with_context(|| given.clone())?;
    let films: Vec<&Film> = match args.split.split() {
        Some(split) => manifest.subset(split),
        None => manifest.films.iter().collect(),
    };
    ensure!(!films.is_empty(), "{given}: no films in this split; try --split all");
    let predictions = predict(&classifier, &films)?;
    let (ood, spoilt) = match &args.ood {
        Some(csv) => (out_of_distribution(&classifier, csv, args.ood_held_out)?, spoilt(&classifier, &films)?),
        None => Default::default(),
    };
    let leakage = LeakageReport::new(&manifest.films, args.split.split())?;
    leakage.unread().into_iter().for_each(|unread| eprintln!("warning: {unread}"));
    let protocol = Protocol {
        command: std::env::args().skip(1).fold("trainer".into(), |line, word| line + " " + &word),
        date: provenance::today(),
        manifest_digest: manifest.digest.clone(),
        split: args.split.split().map_or("all", |split| split.word()).into(),
        weights: classifier.id().into(),
        notes: fitted(args, manifest.digest == classifier.metadata().origin.manifest_digest),
        ..Protocol::default()
    };
    let ood_held_out = args.ood.is_some().then_some(args.ood_held_out);
    let points = operating_points(&classifier);
    let given = Given {
        points: &points,
        conformal: classifier.metadata().conformal.as_ref(),
        ood,
        ood_held_out,
        spoilt,
        leakage: Some(leakage),
        gateless: classifier.metadata().gate.is_none(),
    };
    let report = Report::new(&predictions, &classes, given, protocol)?;
    output::write_evaluation(&report, &predictions, &args.out)?;
    println!("{}", tables::terminal_table(&report));
    if let Some(leakage) = report.leakage.as_ref().filter(|leakage| leakage.near_pairs + leakage.shared_patients > 0) {
        println!("Note: {leakage}\n");
    }
    report.protocol.notes.iter().for_each(|note| println!("Note: {note}\n"));
    println!("report: {}", args.out.join("report.html").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_report_has_a_folder_of_its_own() {
        let Command::Evaluate(args) = Cli::parse_from(["trainer", "evaluate", "M.csv"]).command else { panic!() };
        assert_eq!(args.out, Path::new("report"));
    }

    #[test]
    fn what_was_fitted_is_said() {
        let notes = |words: &str, own: bool| {
            let line = format!("trainer evaluate M.csv --out R {words}");
            let Command::Evaluate(args) = Cli::parse_from(line.split_whitespace()).command else {
                panic!("{line}");
            };
            fitted(&args, own)
        };
        for words in ["", "--split test", "--ood O.csv --ood-held-out"] {
            assert!(notes(words, true).is_empty(), "{words}");
        }
        for (words, said) in [
            ("--split train", "learned from"),
            ("--split val", "chosen on"),
            ("--split all", "learned from, and those that"),
            ("--ood O.csv", "the gate was fitted on"),
        ] {
            let notes = notes(words, true);
            assert!(notes.len() == 1 && notes[0].contains(said), "{words}: {notes:?}");
        }
        assert_eq!(notes("--split all --ood O.csv", true).len(), 2);
        assert!(notes("--split all", false)[0].contains("if the weights were made with films of this manifest"));
    }
}
