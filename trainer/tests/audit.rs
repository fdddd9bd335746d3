//! `trainer audit` from image files to its pages, on made films whose label stands in a corner and not in the lungs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use deepbreath::model::{Model, ModelConfig};
use deepbreath::preprocess::PREPROCESSING;
use deepbreath::weights::{DataSource, FORMAT_VERSION, Metadata, Origin, Precision};
use tempfile::TempDir;
use trainer::audit::files;
use trainer::audit::report::{AuditReport, SeenBy};
use trainer::audit::views::View;
use trainer::cli::CompleteArgs;
use trainer::dataset::{Manifest, Split, read_rows};
use trainer::export::export;
use trainer::prepare::complete;
use trainer::report::Protocol;

fn trainer(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer")).args(arguments).current_dir(dir).output().unwrap()
}

/// 64 x 64: dark "lungs" in a grey body on black, brighter or darker from film to film; a white block in the corner if
/// `marked`.
fn film(path: &Path, marked: bool, number: u32) {
    let body = 120 + number * 37 % 41;
    let pixel = |x: u32, y: u32| {
        let lung = (16..50).contains(&y) && ((14..29).contains(&x) || (35..50).contains(&x));
        let inside = (x as f32 - 31.5).powi(2) + (y as f32 - 33.0).powi(2) < 28.0 * 28.0;
        let noise = (x * 7919 + y * 104_729 + number * 15_485_863) % 31;
        let grey = match (marked && (1..10).contains(&x) && (1..10).contains(&y), inside, lung) {
            (true, ..) => 255,
            (_, false, _) => noise / 4,
            (_, true, true) => 60 + noise,
            (_, true, false) => body + noise,
        };
        image::Luma([grey as u8])
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_fn(64, 64, pixel).save(path).unwrap();
}

/// Writes random weights of two labels that say they come from `origin`.
fn write_weights(path: &Path, origin: Origin) {
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        model: ModelConfig::new(2),
        classes: ["covid", "normal"].map(String::from).to_vec(),
        preprocessing: PREPROCESSING,
        temperature: 1.0,
        operating_points: Vec::new(),
        golden: Vec::new(),
        gate: None,
        conformal: None,
        measured: Vec::new(),
        origin,
        licence: "none".into(),
    };
    let tensors = Model::random_tensors(&ModelConfig::new(2), 3);
    export(path, &tensors, &metadata, Precision::Int8, &Device::flex()).unwrap();
}

/// Sources `a` (seen) and `b` (not), both with both labels, and three films of a label that the weights do not know.
fn films() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = String::from("path,label,source,patient_id,split\n");
    for number in 0..24 {
        let source = if number < 12 { "a" } else { "b" };
        let covid = number % 2 == 0;
        let name = format!("{source}/{number}.png");
        film(&dir.path().join(&name), covid, number);
        let label = if covid { "covid" } else { "normal" };
        csv += &format!("{name},{label},{source},p{number},test\n");
    }
    for number in 90..93 {
        film(&dir.path().join(format!("a/{number}.png")), false, number);
        csv += &format!("a/{number}.png,pneumonia,a,p{number},test\n");
    }
    fs::write(dir.path().join("films.csv"), csv).unwrap();
    let weights = dir.path().join("w.safetensors");
    let data = vec![DataSource { name: "a".into(), licence: "none".into(), films: 9 }];
    write_weights(&weights, Origin { data, ..Origin::default() });
    (dir, weights)
}

/// Writes the parts of a cross-validation.json that an audit reads: folds and sources with their AUROC of covid/normal.
fn cross_validation(path: &Path, recipe: Option<&str>, folds: &[(&str, f64)], sources: &[(&str, f64)]) {
    let pairs = |value: f64| serde_json::json!({"covid/normal": {"value": value, "low": null, "high": null}});
    let folds: Vec<serde_json::Value> =
        folds.iter().map(|(name, value)| serde_json::json!({"name": name, "auroc": pairs(*value)})).collect();
    let source = |(name, value): &(&str, f64)| {
        (name.to_string(), serde_json::json!({"labels": {"covid": 6, "normal": 5}, "auroc": pairs(*value)}))
    };
    let sources: serde_json::Map<String, serde_json::Value> = sources.iter().map(source).collect();
    let protocol = Protocol { split: "made folds".into(), weights: "made weights".into(), ..Protocol::default() };
    let pooled = serde_json::json!({"protocol": protocol, "sources": sources});
    let json = serde_json::json!({"folds": folds, "pooled": pooled, "recipe": recipe});
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn the_committed_audits_say_what_this_code_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/report/audit");
    let rewrite = "make it again with `trainer audit --from` (see weights/report/audit/README.md)";
    let file = |folder: &str, name: &str| dir.join(folder).join(name);
    let mut reports = Vec::new();
    for folder in ["", "tutorial", "darkcovidnet"] {
        let path = file(folder, "audit.json");
        // As it was written, and with the alarms of this code.
        let (written, judged) = (read(&path), trainer::audit::read(&path).unwrap());
        assert_eq!(written.alarms, judged.alarms, "{}: {rewrite}", path.display());
        reports.push(judged);
    }
    let [released, tutorial, darkcovidnet] = <[AuditReport; 3]>::try_from(reports).unwrap();
    let beside = [released, tutorial.clone(), darkcovidnet.clone()];
    for (folder, reports) in [("", &beside[..]), ("tutorial", &[tutorial]), ("darkcovidnet", &[darkcovidnet])] {
        for (name, text) in files(reports).unwrap() {
            let path = file(folder, &name);
            let same = fs::read_to_string(&path).unwrap() == text;
            assert!(same, "{}: {rewrite}", path.display());
        }
    }
}

fn read(path: &Path) -> AuditReport {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_mark_in_the_corner_is_found_out() {
    let (dir, _) = films();
    let root = dir.path();
    let audit = |arguments: &[&str]| {
        let output = trainer(root, &[&["audit", "films.csv", "--weights", "w.safetensors"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = audit(&["--name", "made <films>", "--cache", "cache", "--out", "one"]);
    assert!(said.contains("only the outer border") && said.contains("one/audit.html"), "{said}");
    let report = read(&root.join("one/audit.json"));
    assert_eq!((report.n, report.patients, report.classes.len()), (24, 24, 2));
    assert_eq!(report.left_out.values().sum::<usize>(), 3, "{:?}", report.left_out);
    assert_eq!(report.films["b"]["covid"], 6);

    // The label stands in the corner: without a network, and in features that see the border, it is read at once;
    // with the corners erased nothing is left.
    let new_head = |view: View| report.view(view).unwrap().new_head.macro_auroc.value.unwrap();
    assert_eq!(report.trivial.macro_auroc.value, Some(1.0));
    for view in [View::Whole, View::BorderOnly, View::LungsHidden] {
        assert!(new_head(view) > 0.95, "{view:?}: {}", new_head(view));
    }
    assert!(new_head(View::MarksErased) < 0.85, "{}", new_head(View::MarksErased));
    assert_eq!(report.views.len(), View::ALL.len());
    let covered = report.view(View::BorderOnly).unwrap().covered.unwrap();
    assert!((covered - 0.64).abs() < 0.02, "{covered}");

    // Source `b` was not trained on, by the weights' own account.
    let whole = &report.view(View::Whole).unwrap().network;
    let gap = report.gaps.iter().find(|gap| gap.place == "sources never seen").expect("a gap");
    assert_eq!((Some(gap.seen), Some(gap.unseen)), (whole.of("seen", "covid/normal"), whole.of("b", "covid/normal")));
    let probe = report.source.as_ref().expect("two sources");
    assert_eq!((probe.sources, probe.chance), (2, 0.5));
    assert!(report.attention.area.value.unwrap() > 0.1 && report.randomised.len() == 5);

    let page = fs::read_to_string(root.join("one/audit.html")).unwrap();
    assert!(page.contains("made &lt;films&gt;") && !page.contains("<films>") && page.contains("class=\"banner"));
    let place = root.to_str().unwrap();
    for file in ["audit.html", "audit.json"] {
        assert!(
            !fs::read_to_string(root.join("one").join(file)).unwrap().contains(place),
            "{file} names a machine's path"
        );
    }

    // Again: the kept features give the same figures; beside the first, a comparison is written. Networks that were
    // trained without a source and with it add a gap of their own. A patient that the weights were trained on is left
    // out.
    let sources = [("a", 0.875), ("b", 0.75)];
    cross_validation(&root.join("left-out.json"), None, &[("a", 0.625)], &sources);
    cross_validation(&root.join("folds.json"), None, &[("1", 0.9), ("2", 0.9)], &sources);
    let kinds = ["--cross-validation", "left-out.json", "--folds", "folds.json"];
    audit(&[&["--cache", "cache", "--beside", "one/audit.json", "--out", "two"], &kinds[..]].concat());
    let again = read(&root.join("two/audit.json"));
    assert_eq!((again.views, again.attention), (report.views.clone(), report.attention.clone()));
    let gap = again.gaps.iter().find(|gap| gap.place == "a").expect("it was left out");
    assert_eq!((gap.fall(), gap.rarer, again.seen_by), (Some(0.25), Some(5), SeenBy::Folds("made folds".into())));
    let comparison = fs::read_to_string(root.join("two/comparison.html")).unwrap();
    assert!(comparison.contains("made &lt;films&gt;") && comparison.contains(&format!("weights {}", report.weights)));
    assert!(!root.join("one/comparison.html").exists());

    // The same pages again from what was measured, without films or weights.
    let again = |arguments: &[&str]| trainer(root, &[&["audit", "--from", "two/audit.json"], arguments].concat());
    let done = again(&["--beside", "one/audit.json", "--out", "again"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    for file in ["audit.html", "comparison.html"] {
        let [one, other] = ["two", "again"].map(|folder| fs::read_to_string(root.join(folder).join(file)).unwrap());
        assert!(one == other, "{file}");
    }
    assert_ne!(again(&["films.csv", "--out", "mixed"]).status.code(), Some(0));

    fs::write(root.join("trained.csv"), "path,label\na/0.png,covid\n").unwrap();
    let out = trainer(
        root,
        &[
            "audit",
            "films.csv",
            "--weights",
            "w.safetensors",
            "--trained-on",
            "trained.csv",
            "--beside",
            "w.safetensors",
            "--out",
            "x",
        ],
    );
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.code() == Some(2) && text.contains("w.safetensors is no audit.json"), "{text}");
    audit(&["--trained-on", "trained.csv", "--cache", "cache", "--out", "three"]);
    let report = read(&root.join("three/audit.json"));
    assert_eq!((report.n, report.left_out["of patients that these weights were trained on"]), (23, 1));
}

#[test]
fn folds_of_another_kind_of_network_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [("a", 0.9)];
    cross_validation(&dir.path().join("left-out.json"), None, &[("a", 0.7)], &sources);
    cross_validation(&dir.path().join("folds.json"), Some("default"), &[("1", 0.9)], &sources);
    let refused = |arguments: &[&str]| {
        let output = trainer(dir.path(), &[&["audit", "films.csv", "--out", "x"], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = refused(&["--cross-validation", "left-out.json", "--folds", "folds.json"]);
    assert!(text.contains("recipe default") && text.contains("heads on frozen features"), "{text}");
    let text = refused(&["--cross-validation", "left-out.json", "--folds", "left-out.json"]);
    assert!(text.contains("left sources out"), "{text}");
    assert!(refused(&["--folds", "folds.json"]).contains("--cross-validation"));
}

#[test]
fn test_films_are_not_drawn_from_a_manifest_that_the_weights_do_not_know() {
    let (dir, _) = films();
    let text = fs::read_to_string(dir.path().join("films.csv")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| !line.contains("pneumonia")).collect();
    fs::write(dir.path().join("bare.csv"), rows.join("\n").replace(",test", ",")).unwrap();
    for command in ["evaluate", "audit"] {
        let arguments = [command, "bare.csv", "--weights", "w.safetensors", "--out", "refused"];
        let output = trainer(dir.path(), &arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && message.contains("bare.csv: the manifest does not name"),
            "{message}"
        );
        assert!(!dir.path().join("refused").exists());
    }
    let arguments = ["evaluate", "bare.csv", "--weights", "w.safetensors", "--split", "all", "--out", "all"];
    let output = trainer(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn weights_of_two_manifests_are_measured_on_both_together() {
    let (dir, _) = films();
    let text = fs::read_to_string(dir.path().join("films.csv")).unwrap();
    for source in ["a", "b"] {
        let rows = text.lines().filter(|line| line.starts_with(&format!("{source}/")) && !line.contains("pneumonia"));
        let rows: Vec<String> = rows.map(|line| line.replace(",test", ",")).collect();
        let csv = format!("path,label,source,patient_id,split\n{}\n", rows.join("\n"));
        fs::write(dir.path().join(format!("{source}.csv")), csv).unwrap();
    }
    let mut manifest = Manifest::read(&["a.csv", "b.csv"].map(|csv| dir.path().join(csv))).unwrap();
    let origin = Origin { manifest_digest: manifest.digest.clone(), seed: 5, ..Origin::default() };
    write_weights(&dir.path().join("both.safetensors"), origin);
    manifest.split_by_patient(5);
    for (command, split, report, counted) in
        [("evaluate", "test", "report.json", Split::Test), ("audit", "train", "audit.json", Split::Train)]
    {
        let run = |csvs: &[&str]| {
            let further = ["--weights", "both.safetensors", "--split", split, "--out", command];
            trainer(dir.path(), &[&[command], csvs, &further].concat())
        };
        let refused = run(&["a.csv"]);
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && message.contains("all of them in the same order"), "{message}");
        let done = run(&["a.csv", "b.csv"]);
        assert_eq!(done.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        let json = fs::read_to_string(dir.path().join(command).join(report)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["n"], manifest.subset(counted).len(), "{command}");
        assert_eq!(json["protocol"]["manifest_digest"], manifest.digest.as_str(), "{command}");
    }
}

#[test]
fn a_manifest_is_completed_from_a_larger_one() {
    let (dir, _) = films();
    let small = dir.path().join("small.csv");
    film(&dir.path().join("other/1.png"), false, 1);
    fs::write(&small, "path,label,patient_id\nb/13.png,normal,mine\nother/1.png,covid,mine too\n").unwrap();
    let out = dir.path().join("b/complete.csv");
    let args = CompleteArgs { manifest: small.clone(), from: dir.path().join("films.csv"), out };
    let rows = complete(&args).unwrap().rows;
    let found: Vec<[&str; 5]> =
        rows.iter().map(|row| [&*row.path, &*row.label, &*row.source, &*row.patient_id, &*row.split]).collect();
    assert_eq!(found, [["../other/1.png", "covid", "", "mine too", ""], ["13.png", "normal", "b", "p13", "test"]]);
    assert_eq!(read_rows(&small).unwrap().len(), 2, "the first manifest stays as it was");
}
