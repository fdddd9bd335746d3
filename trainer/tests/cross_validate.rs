//! `cross-validate` from end to end, on films that are made here and weights that are random.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use deepbreath::model::{Model, ModelConfig};
use deepbreath::preprocess::PREPROCESSING;
use deepbreath::weights::{FORMAT_VERSION, Metadata, Origin, Precision, write};
use sha2::{Digest, Sha256};
use trainer::cli::{ComputeArgs, CrossValidateArgs, DeviceChoice};
use trainer::cross_validate::{FoldResult, run};
use trainer::output::CrossValidationReport;

const LABELS: [&str; 3] = ["covid", "normal", "pneumonia"];
/// Films of one label in one source.
const CELL: usize = 8;

/// Films of three labels from two sources: a bright spot whose height says the label. Two films a patient; patient 0
/// of source `a` also has a film in source `b`. With the weights file `init.safetensors`.
fn study() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "path,label,source,patient_id\n".to_string();
    let mut noise = 7u32;
    for (label, name) in LABELS.iter().enumerate() {
        for source in ["a", "b"] {
            for film in 0..CELL {
                let mut image = image::GrayImage::from_fn(48, 40, |_, _| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    image::Luma([60 + (noise >> 27) as u8])
                });
                for (x, y) in (0..8).flat_map(|x| (0..8).map(move |y| (x, y))) {
                    image.put_pixel(x + 2 * film as u32, y + 14 * label as u32, image::Luma([220]));
                }
                let file = format!("{name}-{source}-{film}.png");
                image.save(dir.path().join(&file)).unwrap();
                let patient = match (label, source, film) {
                    (0, "b", 0) => "0-a-0".to_string(),
                    _ => format!("{label}-{source}-{}", film / 2),
                };
                csv += &format!("{file},{name},{source},{patient}\n");
            }
        }
    }
    fs::write(dir.path().join("films.csv"), csv).unwrap();
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        model: ModelConfig::new(3),
        classes: LABELS.map(String::from).to_vec(),
        preprocessing: PREPROCESSING,
        temperature: 1.0,
        operating_points: Vec::new(),
        golden: Vec::new(),
        gate: None,
        conformal: None,
        measured: Vec::new(),
        origin: Origin::default(),
        licence: "none".into(),
    };
    let tensors = Model::random_tensors(&ModelConfig::new(3), 5);
    fs::write(dir.path().join("init.safetensors"), write(&metadata, &tensors, Precision::F32).unwrap()).unwrap();
    dir
}

fn args(dir: &Path, out: &str) -> CrossValidateArgs {
    CrossValidateArgs {
        manifest: dir.join("films.csv"),
        folds: None,
        by_image: false,
        leave_one_source_out: false,
        sources_left_out: Vec::new(),
        recipe: "default".into(),
        init: Some(dir.join("init.safetensors")),
        seed: 3,
        head_only: true,
        out: dir.join(out),
        compute: ComputeArgs { device: DeviceChoice::Cpu, threads: None },
    }
}

fn fold(out: &Path, name: &str) -> FoldResult {
    serde_json::from_slice(&fs::read(path(out, name)).unwrap()).unwrap()
}

fn path(out: &Path, name: &str) -> PathBuf {
    out.join(format!("fold-{name}/predictions.json"))
}

fn report(out: &Path) -> (String, CrossValidationReport) {
    let text = fs::read_to_string(out.join("cross-validation.json")).unwrap();
    let report = serde_json::from_str(&text).unwrap();
    (text, report)
}

fn patient(file: &str, csv: &str) -> String {
    csv.lines().find(|line| line.starts_with(file)).unwrap().rsplit(',').next().unwrap().to_string()
}

#[test]
fn the_left_out_source_is_never_learned_from() {
    let dir = study();
    let args = CrossValidateArgs { leave_one_source_out: true, ..args(dir.path(), "loso") };
    run(&args).unwrap();
    let csv = fs::read_to_string(&args.manifest).unwrap();
    for (left_out, other) in [("a", "b"), ("b", "a")] {
        let result = fold(&args.out, left_out);
        let seen: Vec<&String> = result.learned_from.iter().chain(&result.chosen_on).collect();
        assert!(!result.chosen_on.is_empty());
        assert!(seen.iter().all(|file| file.contains(&format!("-{other}-"))), "{left_out}: {seen:?}");
        assert_eq!(result.predictions.len(), 3 * CELL);
        assert!(result.predictions.iter().all(|p| p.source == left_out && p.file.contains(&format!("-{left_out}-"))));
        // The patient of both sources: films of the other source are not used at all.
        let tested: BTreeSet<&str> = result.predictions.iter().map(|p| p.patient_id.as_str()).collect();
        assert!(seen.iter().all(|file| !tested.contains(patient(file, &csv).as_str())));
        let shared: &[&str] = if left_out == "a" { &["covid-b-0.png"] } else { &["covid-a-0.png", "covid-a-1.png"] };
        assert_eq!(result.used_for_neither, shared);
        assert_eq!(seen.len() + shared.len() + result.predictions.len(), 6 * CELL);
    }
    let (_, report) = report(&args.out);
    let names: Vec<&str> = report.folds.iter().map(|fold| fold.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(report.folds[0].auroc.len(), 3);
    assert!(report.protocol.contains("whatever their split"), "{}", report.protocol);
    // The thumbnail sees the spot, and both sources put it at the same height.
    let row = report.baseline("trivial features", Some("a"), "accuracy").unwrap();
    assert!(row.value.unwrap() > 0.9, "{row:?}");
    assert!(report.baseline("trivial features", Some("b"), "AUROC covid/normal").is_some());
}

#[test]
fn a_lost_fold_is_computed_again_to_the_same_report_and_the_others_are_kept() {
    let dir = study();
    let args = CrossValidateArgs { folds: Some(3), ..args(dir.path(), "cv") };
    run(&args).unwrap();
    let (before, first) = report(&args.out);
    assert_eq!((first.folds.len(), first.pooled.n), (3, 6 * CELL as u64));
    let patients = |name: &str| -> BTreeSet<String> {
        fold(&args.out, name).predictions.into_iter().map(|p| p.patient_id).collect()
    };
    let [one, two, three] = ["1", "2", "3"].map(patients);
    assert!(one.is_disjoint(&two) && one.is_disjoint(&three) && two.is_disjoint(&three));
    let written = |name: &str| path(&args.out, name).metadata().unwrap().modified().unwrap();
    let (kept, lost) = (written("1"), written("2"));
    fs::remove_file(path(&args.out, "2")).unwrap();
    fs::remove_file(args.out.join("cross-validation.json")).unwrap();
    run(&args).unwrap();
    assert_eq!(report(&args.out).0, before);
    assert!(written("1") == kept && written("2") != lost);
    // Another seed is another experiment: nothing is kept.
    run(&CrossValidateArgs { folds: Some(3), seed: 4, ..self::args(dir.path(), "cv") }).unwrap();
    assert_ne!(report(&args.out).0, before);
    assert!(written("1") != kept);
    // By image, the two films of a patient come apart.
    let apart = CrossValidateArgs { folds: Some(3), by_image: true, ..self::args(dir.path(), "image") };
    run(&apart).unwrap();
    let of = |name: &str| -> BTreeSet<String> {
        fold(&apart.out, name).predictions.into_iter().map(|p| p.patient_id).collect()
    };
    assert!(!of("1").is_disjoint(&of("2")));
    let (_, report) = report(&apart.out);
    assert!(report.protocol.contains("by image"));
    let pooled = |pair: &str| report.binary_accuracy[pair].value.unwrap();
    let by_hand = |a: usize, b: usize| {
        let all: Vec<_> = ["1", "2", "3"].iter().flat_map(|name| fold(&apart.out, name).predictions).collect();
        let two: Vec<_> = all.iter().filter(|p| p.label == a || p.label == b).collect();
        let hit = |p: &&&trainer::metrics::Prediction| p.probabilities[p.label] > p.probabilities[a + b - p.label];
        two.iter().filter(hit).count() as f64 / two.len() as f64
    };
    for (pair, a, b) in [("covid/normal", 0, 1), ("covid/pneumonia", 0, 2), ("normal/pneumonia", 1, 2)] {
        assert!((pooled(pair) - by_hand(a, b)).abs() < 1e-12, "{pair}");
    }
}

#[test]
fn finished_folds_outlive_a_copy_of_the_data_whose_digests_are_known() {
    let dir = study();
    let csv = fs::read_to_string(dir.path().join("films.csv")).unwrap();
    let hashed = |line: &str| {
        let film = fs::read(dir.path().join(line.split(',').next().unwrap())).unwrap();
        let digest: String = Sha256::digest(film).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{line},{digest}\n")
    };
    let (header, rows) = csv.split_once('\n').unwrap();
    let rows: String = rows.lines().map(hashed).collect();
    fs::write(dir.path().join("films.csv"), format!("{header},sha256\n{rows}")).unwrap();
    let first = CrossValidateArgs { folds: Some(2), ..args(dir.path(), "cv") };
    run(&first).unwrap();
    let written = || path(&first.out, "1").metadata().unwrap().modified().unwrap();
    let before = written();

    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).filter(|file| file.is_file()) {
        let copied = copy.path().join(file.file_name().unwrap());
        fs::copy(&file, &copied).unwrap();
        fs::File::options().append(true).open(&copied).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    let again = CrossValidateArgs { folds: Some(2), out: first.out.clone(), ..args(copy.path(), "cv") };
    run(&again).unwrap();
    assert_eq!(written(), before, "the same data elsewhere");
    // The size is looked at all the same, and then the digest.
    let film = copy.path().join("covid-a-0.png");
    fs::write(&film, [fs::read(&film).unwrap(), vec![0]].concat()).unwrap();
    let error = run(&again).unwrap_err();
    assert!(format!("{error:#}").contains("covid-a-0.png: not the file that the manifest was made from"), "{error:#}");
}

#[test]
fn the_full_variant_trains_each_fold_and_keeps_what_is_finished() {
    let dir = study();
    fs::write(
        dir.path().join("short.toml"),
        "name = \"short\"\nepochs = 1\nbatch = 8\nnorms = \"frozen\"\nsharpness = 0.05\n",
    )
    .unwrap();
    let args = CrossValidateArgs {
        leave_one_source_out: true,
        head_only: false,
        recipe: dir.path().join("short.toml").display().to_string(),
        ..args(dir.path(), "full")
    };
    run(&args).unwrap();
    let (before, first) = report(&args.out);
    assert_eq!(first.pooled.n, 6 * CELL as u64);
    assert!(args.out.join("fold-a/metrics.jsonl").exists() && !args.out.join("fold-a/checkpoint").exists());
    let result = fold(&args.out, "a");
    assert!(result.l2.is_none() && !result.chosen_on.is_empty());
    let trained: BTreeSet<&String> = result.learned_from.iter().chain(&result.chosen_on).collect();
    assert!(result.predictions.iter().all(|p| !trained.contains(&p.file)));
    let written = path(&args.out, "a").metadata().unwrap().modified().unwrap();
    run(&args).unwrap();
    assert_eq!(report(&args.out).0, before);
    assert_eq!(path(&args.out, "a").metadata().unwrap().modified().unwrap(), written);
    // What a stopped run would find: the fold's state is gone, but training it again gives the same.
    fs::remove_file(path(&args.out, "b")).unwrap();
    run(&args).unwrap();
    assert_eq!(report(&args.out).0, before);
    // Hours of training are never overwritten by another experiment.
    let error = run(&CrossValidateArgs { seed: 9, ..args }).unwrap_err();
    assert!(format!("{error:#}").contains("another --out"), "{error:#}");
    // Two patients of a label and source are too few to set one apart for the choice of the epoch.
    let few = CrossValidateArgs { folds: Some(2), head_only: false, ..self::args(dir.path(), "few") };
    let error = run(&few).unwrap_err();
    assert!(format!("{error:#}").contains("fold 1: too few patients"), "{error:#}");
}

#[test]
fn an_untaught_label_and_an_unknown_source_are_refused() {
    let dir = study();
    let csv = dir.path().join("films.csv");
    let text = fs::read_to_string(&csv).unwrap();
    let some: Vec<&str> = text.lines().filter(|line| !line.contains("covid,b")).collect();
    fs::write(&csv, some.join("\n")).unwrap();
    let left_out = |sources: &[&str]| CrossValidateArgs {
        leave_one_source_out: true,
        sources_left_out: sources.iter().map(ToString::to_string).collect(),
        ..args(dir.path(), "refused")
    };
    let error = run(&left_out(&["a"])).unwrap_err().to_string();
    assert!(error.contains("fold a") && error.contains("labelled covid"), "{error}");
    let error = run(&left_out(&["a", "c"])).unwrap_err().to_string();
    assert!(error.contains("source `c` has no films"), "{error}");
    assert!(!dir.path().join("refused").exists(), "nothing is written before the plan is sound");
}
