//! The tutorial's protocol: its formulas in closed form, and a small run from image files to the two reports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use deepbreath::model::{Model, ModelConfig};
use deepbreath::preprocess::SIDE;
use serde_json::Value;
use trainer::bootstrap::{Estimate, wilson};
use trainer::dataset::Manifest;
use trainer::tutorial::bank::{FRAME, corner_pool, paint_over, rotate};
use trainer::tutorial::network::{binary_cross_entropy, call, learning_rate};
use trainer::tutorial::patients::{look_up, shared};
use trainer::tutorial::report::TutorialReport;
use trainer::tutorial::{Division, Protocol, divide, measure};

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("32-bit values")
}

#[test]
fn the_learning_rate_decays_as_in_keras() {
    let tutorial = Protocol::default();
    // lr / (1 + lr / epochs * iteration): untouched at first, 1e-3 / 1.00496 at the last of 125 updates.
    for (iteration, wanted) in [(0, 1e-3), (25, 1e-3 / 1.001), (124, 1e-3 / 1.00496), (25_000, 5e-4)] {
        let found = learning_rate(&tutorial, iteration);
        assert!((found - wanted).abs() < 1e-12, "update {iteration}: {found} instead of {wanted}");
    }
}

#[test]
fn binary_cross_entropy_is_the_mean_over_both_outputs() {
    let device = Device::flex();
    let loss = |p: &[f32], targets: &[f32]| {
        let tensor =
            |values: &[f32]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [values.len() / 2, 2]), &device);
        values(binary_cross_entropy(tensor(p), tensor(targets)))[0]
    };
    // Outputs that sum to 1 both cost -ln p of the label; others cost -(ln 0.9 + ln (1 - 0.4)) / 2.
    for (p, targets, wanted) in [
        (vec![0.8, 0.2], vec![1.0, 0.0], -0.8f32.ln()),
        (vec![0.8, 0.2], vec![0.0, 1.0], -0.2f32.ln()),
        (vec![0.9, 0.4], vec![1.0, 0.0], -(0.9f32.ln() + 0.6f32.ln()) / 2.0),
        (vec![0.8, 0.2, 0.5, 0.5], vec![1.0, 0.0, 0.0, 1.0], -(0.8f32.ln() + 0.5f32.ln()) / 2.0),
    ] {
        let found = loss(&p, &targets);
        assert!((found - wanted).abs() < 1e-6, "{p:?} {targets:?}: {found} instead of {wanted}");
    }
    // A certain mistake costs a lot, but not infinitely much.
    let worst = loss(&[0.0, 1.0], &[1.0, 0.0]);
    assert!((15.0..17.0).contains(&worst), "{worst}");
}

#[test]
fn the_pool_sees_the_upper_left_corner_alone() {
    let device = Device::flex();
    let map: Vec<f32> = (0..49 * 2).map(|index| (index as f32 * 0.37).sin()).collect();
    let pooled =
        |map: &[f32]| values(corner_pool(Tensor::from_data(TensorData::new(map.to_vec(), [1, 7, 7, 2]), &device)));
    let before = pooled(&map);
    for channel in 0..2 {
        let cell = |row: usize, column: usize| map[(row * 7 + column) * 2 + channel];
        let mean = (0..16).map(|index| cell(index / 4, index % 4)).sum::<f32>() / 16.0;
        assert!((before[channel] - mean).abs() < 1e-6, "{before:?}");
    }
    for (row, column) in (0..49).map(|cell| (cell / 7, cell % 7)) {
        let mut other = map.clone();
        other[(row * 7 + column) * 2] += 16.0;
        let after = pooled(&other);
        let wanted = if row < 4 && column < 4 { before[0] + 1.0 } else { before[0] };
        assert!((after[0] - wanted).abs() < 1e-5, "cell {row}, {column}: {} to {}", before[0], after[0]);
        assert_eq!(after[1], before[1], "cell {row}, {column} leaks into another channel");
    }
}

#[test]
fn rotation_by_nothing_is_the_identity_and_the_nearest_pixel_fills() {
    let plane: Vec<f32> = (0..SIDE * SIDE).map(|index| (index as f32 * 0.013).sin().abs()).collect();
    let same = rotate(&plane, 0.0);
    assert!(same.iter().zip(&plane).all(|(a, b)| (a - b).abs() < 1e-6));

    // A quarter turn maps the corners onto each other.
    let turned = rotate(&plane, 90.0);
    assert!((turned[0] - plane[SIDE - 1]).abs() < 1e-2 || (turned[0] - plane[SIDE * (SIDE - 1)]).abs() < 1e-2);

    // White border, black inside: after 15 degrees the corner comes from outside, where the border goes on.
    let border = |index: usize| [index / SIDE, index % SIDE].iter().any(|at| *at == 0 || *at == SIDE - 1);
    let framed: Vec<f32> = (0..SIDE * SIDE).map(|index| f32::from(u8::from(border(index)))).collect();
    for degrees in [-15.0, 15.0] {
        let view = rotate(&framed, degrees);
        for corner in [0, SIDE - 1, SIDE * (SIDE - 1), SIDE * SIDE - 1] {
            assert_eq!(view[corner], 1.0, "{degrees} degrees, pixel {corner}");
        }
        assert_eq!(view[SIDE / 2 * SIDE + SIDE / 2], 0.0);
        assert_ne!(view, framed);
    }
}

#[test]
fn the_frame_control_sees_nothing_of_the_middle() {
    let middle = |index: usize| [index / SIDE, index % SIDE].iter().all(|at| (FRAME..SIDE - FRAME).contains(at));
    let film: Vec<f32> = (0..SIDE * SIDE).map(|index| index as f32 / (SIDE * SIDE) as f32).collect();
    let mut other: Vec<f32> =
        film.iter().enumerate().map(|(index, v)| if middle(index) { 1.0 - v } else { *v }).collect();
    let mut painted = film.clone();
    paint_over(&mut painted);
    paint_over(&mut other);
    assert_eq!(painted, other);
    assert!((0..SIDE * SIDE).all(|index| middle(index) || painted[index] == film[index]));
}

#[test]
fn the_split_is_stratified_without_overlap_and_drawn_by_seed() {
    let labels: Vec<usize> = (0..50).map(|film| film / 25).collect();
    for seed in 42..62 {
        let Division { train, test } = divide(&labels, 0.2, seed);
        assert_eq!((train.len(), test.len()), (40, 10));
        assert_eq!(test.iter().filter(|film| labels[**film] == 0).count(), 5, "seed {seed}");
        let mut all: Vec<usize> = train.into_iter().chain(test).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>(), "seed {seed}");
    }
    assert_eq!(divide(&labels, 0.2, 42), divide(&labels, 0.2, 42));
    assert_ne!(divide(&labels, 0.2, 42), divide(&labels, 0.2, 43));
    // Two films of a label: one to train, one to test on.
    assert_eq!(divide(&[0, 0, 1, 1], 0.2, 1).test.len(), 2);
}

#[test]
fn calls_and_intervals() {
    assert_eq!([call([0.6, 0.4]), call([0.4, 0.6]), call([0.5, 0.5])], [0, 1, 0]);
    // R: binom::binom.wilson(c(9, 5, 4, 0), c(10, 5, 5, 10)).
    for (share, n, low, high) in
        [(0.9, 10, 0.59585, 0.98212), (1.0, 5, 0.56552, 1.0), (0.8, 5, 0.37553, 0.96378), (0.0, 10, 0.0, 0.27753)]
    {
        let Estimate { low: Some(found_low), high: Some(found_high), .. } = wilson(share, n) else { panic!("none") };
        assert!(
            (found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4,
            "{share} of {n}: {found_low} {found_high}"
        );
    }
}

/// Two labels of ten films each, bright and dark, in a pool whose list gives two films to each patient.
fn folder(pool: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("pool")).expect("a folder");
    let (mut csv, mut list) = (String::from("path,label\n"), String::from("path,label,patient_id,age_group\n"));
    for film in 0..20u32 {
        let label = ["covid", "normal"][film as usize / 10];
        let shade = |x: u32, y: u32| {
            let wave = ((x * (film + 3) + y * 5) as f32 * 0.05).sin() * 20.0;
            image::Luma([(wave + if film < 10 { 40.0 } else { 200.0 }) as u8])
        };
        image::GrayImage::from_fn(60 + film, 50, shade)
            .save(dir.path().join(format!("pool/{film}.png")))
            .expect("a PNG");
        csv += &format!("pool/{film}.png,{label}\n");
        list += &format!("{film}.png,{label},p{},{}\n", film / 2, if film < 10 { "adult" } else { "paediatric" });
    }
    std::fs::write(dir.path().join("films.csv"), csv).expect("a CSV");
    if pool {
        std::fs::write(dir.path().join("pool/manifest.csv"), list).expect("a CSV");
    }
    dir
}

fn manifest(dir: &Path) -> Manifest {
    Manifest::read(&[dir.join("films.csv")]).expect("a manifest")
}

#[test]
fn patients_come_from_the_list_of_the_pool() {
    let dir = folder(true);
    let known = look_up(&manifest(dir.path()).films).expect("a readable list");
    let patient = |film: usize| known[film].as_ref().expect("known").patient.as_str();
    assert_eq!((patient(0), patient(1), patient(2), patient(19)), ("p0", "p0", "p1", "p9"));
    assert_eq!(known[19].as_ref().and_then(|known| known.age_group.as_deref()), Some("paediatric"));
    let count = |train: &[usize], test: &[usize]| {
        let shared = shared(&known, &Division { train: train.to_vec(), test: test.to_vec() })?;
        Some((shared.patients, shared.test_films))
    };
    assert_eq!(count(&[0, 2, 4], &[1, 3, 19]), Some((2, 2)));
    assert_eq!(count(&[0], &[1, 19]), Some((1, 1)));
    assert_eq!(count(&[0, 1], &[2, 3]), Some((0, 0)));

    let dir = folder(false);
    let known = look_up(&manifest(dir.path()).films).expect("nothing to read");
    assert!(known.iter().all(Option::is_none));
    assert_eq!(shared(&known, &Division { train: vec![0], test: vec![1] }), None);
}

fn small() -> Protocol {
    Protocol { epochs: 40, rotation: 1, seeds: 3, ..Protocol::default() }
}

fn run(dir: &Path, out: &Path, protocol: &Protocol, resume: bool) -> anyhow::Result<TutorialReport> {
    let tensors = Model::random_tensors(&ModelConfig::new(2), 1);
    measure(&manifest(dir), &tensors, protocol, out, resume, &Device::flex())
}

#[test]
fn a_small_run_learns_repeats_itself_resumes_and_reports() {
    let dir = folder(true);
    let out = |name: &str| -> PathBuf { dir.path().join(name) };
    let report = run(dir.path(), &out("a"), &small(), false).expect("a run");
    assert_eq!(report.seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [42, 43, 44]);
    for seed in &report.seeds {
        let [tp, fn_, fp, tn] =
            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(row, column)| seed.confusion[row][column] as f64);
        assert_eq!((tp + fn_, fp + tn), (2.0, 2.0));
        assert_eq!((seed.accuracy, seed.sensitivity, seed.specificity), ((tp + tn) / 4.0, tp / 2.0, tn / 2.0));
        assert_eq!((seed.test.len(), seed.test_accuracy.len()), (4, 40));
        assert_eq!(seed.test_accuracy.last(), Some(&seed.accuracy));
        assert!(seed.shared.is_some());
    }
    // Dark against bright is easy, also for random features.
    let accuracy = &report.figures["accuracy"];
    assert!(accuracy.seeds.mean > 0.8, "{accuracy:?}");
    // So is a dark against a bright frame, but not a label that was dealt out at random.
    assert!(report.frame.is_some_and(|frame| frame.mean > 0.8), "{:?}", report.frame);
    assert!(report.shuffled.is_some_and(|shuffled| shuffled.mean < 0.9), "{:?}", report.shuffled);
    assert_eq!((accuracy.published.value, accuracy.n, report.figures["sensitivity"].n), (Some(0.9), 4, 2));
    assert_eq!(report.patients, Some(BTreeMap::from([("covid".into(), 5), ("normal".into(), 5)])));
    assert_eq!(report.age_groups["normal"], BTreeMap::from([("paediatric".into(), 10)]));

    // The same seeds give the same results; another seed gives another.
    let saved = std::fs::read(out("a").join("seeds.json")).expect("seeds.json");
    let longer = Protocol { seeds: 4, ..small() };
    let shorter = Protocol { seeds: 2, ..small() };
    assert_eq!(run(dir.path(), &out("b"), &shorter, false).expect("a run").seeds, report.seeds[..2]);
    let resumed = run(dir.path(), &out("b"), &longer, true).expect("a resumed run");
    assert_eq!(resumed.seeds[..3], report.seeds);
    assert_ne!(resumed.seeds[3].test, report.seeds[2].test);

    // Finished seeds are read back, not computed: with their films gone the report still comes.
    std::fs::remove_file(dir.path().join("pool/0.png"))
        .and_then(|()| std::fs::write(dir.path().join("pool/0.png"), b""))
        .expect("a file");
    assert_eq!(run(dir.path(), &out("a"), &small(), true).expect("nothing to compute"), report);
    assert_eq!(std::fs::read(out("a").join("seeds.json")).expect("seeds.json"), saved);

    // A folder is not silently mixed or overwritten.
    let error = run(dir.path(), &out("a"), &small(), false).expect_err("the folder holds a run").to_string();
    assert!(error.contains("--resume"), "{error}");
    let other = Protocol { epochs: 2, ..small() };
    let error = run(dir.path(), &out("a"), &other, true).expect_err("another protocol").to_string();
    assert!(error.contains("another protocol"), "{error}");

    report.write(&out("a")).expect("written");
    let json = std::fs::read(out("a").join("tutorial.json")).expect("tutorial.json");
    let read: TutorialReport = serde_json::from_slice(&json).expect("its own form");
    assert_eq!((read.seeds, read.protocol, read.patients), (report.seeds, report.protocol, report.patients));
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    for figure in ["accuracy", "sensitivity", "specificity"] {
        assert!(json["figures"][figure]["seeds"]["mean"].is_number(), "{figure}");
        assert!(json["figures"][figure]["published"]["low"].is_number(), "{figure}");
    }
    let html = std::fs::read_to_string(out("a").join("tutorial.html")).expect("tutorial.html");
    for words in
        ["one corner", "validation films", "not patients", "children", "Ten test films", "not trained with", "VGG16"]
    {
        assert!(html.contains(words), "the page does not say {words:?}");
    }
    assert!(["<script", "http://", "https://", "src="].iter().all(|word| !html.contains(word)), "the page fetches");
}

#[test]
fn a_run_without_known_patients_says_so() {
    let dir = folder(false);
    let protocol = Protocol { seeds: 1, rotation: 0, epochs: 1, ..Protocol::default() };
    let report = run(dir.path(), &dir.path().join("out"), &protocol, false).expect("a run");
    assert!(report.patients.is_none() && report.shared_patients.is_none() && report.seeds[0].shared.is_none());
    report.write(&dir.path().join("out")).expect("written");
    let html = std::fs::read_to_string(dir.path().join("out/tutorial.html")).expect("tutorial.html");
    assert!(html.contains("is unknown here") && html.contains("10 unknown"));
}

#[test]
fn three_labels_are_refused() {
    let dir = folder(false);
    let csv = std::fs::read_to_string(dir.path().join("films.csv"))
        .expect("a CSV")
        .replace("9.png,normal", "9.png,pneumonia");
    std::fs::write(dir.path().join("films.csv"), csv).expect("a CSV");
    let error = run(dir.path(), &dir.path().join("out"), &small(), false).expect_err("three labels").to_string();
    assert!(error.contains("two labels"), "{error}");
}
