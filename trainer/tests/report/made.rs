//! Films, made up, and reports on them.
#![allow(dead_code, reason = "each test takes what it needs")]

use deepbreath::decision::prediction_set;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer::bootstrap::Bootstrap;
use trainer::calibrate::operating_points;
use trainer::conformal;
use trainer::metrics::Prediction;
use trainer::refusals::{OodImage, SpoiltFilm};
use trainer::report::{Given, Protocol, Report};
use trainer::spoilt::Spoilt;

pub(crate) fn classes() -> Vec<String> {
    ["covid", "normal", "pneumonia"].map(String::from).to_vec()
}

/// Films of a model that is right more often than not, from six sources that hold different labels.
pub(crate) fn films(n: usize) -> Vec<Prediction> {
    let sources: [(&str, &[usize]); 6] = [
        ("siim", &[0, 1, 2]),
        ("nih", &[1, 2]),
        ("ieee8023", &[0, 2]),
        ("kermany", &[1, 2]),
        ("bimcv", &[0]),
        ("figure1", &[0, 1]),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    (0..n)
        .map(|film| {
            let source = if film % 60 == 0 { 5 } else { rng.random_range(0..5) };
            let (source, labels) = sources[source];
            let label = labels[rng.random_range(0..labels.len())];
            let mut logits: Vec<f32> = (0..3).map(|_| rng.random_range(-2.0..2.0)).collect();
            logits[label] += 1.9;
            let sum: f32 = logits.iter().map(|z| z.exp()).sum();
            Prediction {
                file: format!("{film}.png"),
                label,
                source: source.into(),
                patient_id: format!("{source}-{}", film * 4 / 5),
                view: ["PA", "AP"].get(film % 3).map(|view| view.to_string()),
                age_group: Some(if source == "kermany" { "child" } else { "adult" }.into()),
                probabilities: logits.iter().map(|z| z.exp() / sum).collect(),
                logits,
                set: Vec::new(),
                distance: Some(film as f32 / n as f32),
                refused: film % 199 == 5,
            }
        })
        .collect()
}

pub(crate) fn protocol() -> Protocol {
    Protocol {
        command: "trainer evaluate manifest.csv --split test".into(),
        date: "2026-11-23".into(),
        manifest_digest: "3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed".into(),
        split: "test".into(),
        weights: "0123456789ab".into(),
        bootstrap: Bootstrap { resamples: 1000, seed: 42 },
        method: Vec::new(),
        notes: vec!["About one label in twenty of these sources is known to be wrong.".into()],
    }
}

pub(crate) fn report(films: &[Prediction]) -> Report {
    let points = operating_points(films, &classes());
    let sets = conformal::fit(films, 3, "made up").unwrap();
    let films: Vec<Prediction> = films
        .iter()
        .map(|film| Prediction { set: prediction_set(&film.probabilities, &sets), ..film.clone() })
        .collect();
    let kinds = [("photograph", true), ("photograph", true), ("hand X-ray", true), ("hand X-ray", false)];
    let image = |(kind, refused): (&str, bool)| OodImage {
        kind: kind.into(),
        distance: Some(if refused { 9.0 } else { -9.0 }),
        refused,
    };
    let ood = kinds.into_iter().map(image).collect();
    let spoilt = Spoilt::ALL
        .into_iter()
        .map(|way| SpoiltFilm { way, reasons: vec!["out-of-distribution", way.code()], corrected: false })
        .collect();
    let given =
        Given { points: &points, conformal: Some(&sets), ood, ood_held_out: Some(true), spoilt, ..Given::default() };
    Report::new(&films, &classes(), given, protocol()).unwrap()
}

/// A film of a model that is sure of `call`.
pub(crate) fn sure(patient: usize, source: &str, label: usize, call: usize) -> Prediction {
    let mut film = films(1).remove(0);
    film.probabilities = vec![0.1; 3];
    film.probabilities[call] = 0.8;
    film.logits = film.probabilities.iter().map(|p| p.ln()).collect();
    Prediction { source: source.into(), label, patient_id: format!("p{patient}"), refused: false, ..film }
}
