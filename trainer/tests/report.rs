//! The report: its contract on disk, its tables, its page and its figures.

#[path = "report/made.rs"]
mod made;

use made::{classes, films, protocol, report, sure};
use serde_json::Value;
use std::time::Instant;
use trainer::bootstrap::Estimate;
use trainer::calibrate::operating_points;
use trainer::metrics::Prediction;
use trainer::output::{Baseline, CrossValidationReport, write_all, write_evaluation};
use trainer::page::sections;
use trainer::plots::{EpochRecord, training_curves};
use trainer::report::{Given, Report};
use trainer::tables;
use trainer::tables::{markdown_table, terminal_table};

fn is_estimate(value: &Value) -> bool {
    let number = |name: &str| value.get(name).and_then(Value::as_f64);
    matches!((number("low"), number("value"), number("high")), (Some(l), Some(v), Some(h)) if l <= v && v <= h)
}

/// Equal, numbers to the last digit or so (serde_json parses them to within one unit in the last place).
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() <= 1e-12 * a.as_f64().unwrap().abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        _ => a == b,
    }
}

#[test]
fn report_json_keeps_the_contract() {
    let films = films(795);
    let start = Instant::now();
    let report = report(&films);
    println!("795 films, 1000 resamples: {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 20, "the bootstrap is slow");

    let dir = tempfile::tempdir().unwrap();
    write_evaluation(&report, &films, dir.path()).unwrap();
    // Kept for a look at the page where a folder is named.
    if let Some(kept) = std::env::var_os("DEEPBREATH_REPORT") {
        write_evaluation(&report, &films, kept.as_ref()).unwrap();
    }
    let text = std::fs::read_to_string(dir.path().join("report.json")).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    let [before, after] = [&report, &back].map(|report| serde_json::to_value(report).unwrap());
    assert!(same(&before, &after), "round trip");

    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["n"], 795);
    assert_eq!(json["refused"], 4);
    for name in ["accuracy", "balanced_accuracy", "macro_auroc", "ece", "brier", "nll"] {
        assert!(is_estimate(&json[name]), "{name}: {}", json[name]);
    }
    for label in classes() {
        let finding = &json["findings"][&label];
        for name in ["auroc", "sensitivity", "specificity", "precision", "f1", "average_precision"] {
            assert!(is_estimate(&finding[name]), "{label}.{name}: {}", finding[name]);
        }
        assert_eq!(finding["n"].as_u64().unwrap() as f64 / 795.0, finding["prevalence"].as_f64().unwrap());
    }
    // Every pair of labels that the source holds, and no other.
    let pairs = |source: &str| {
        let auroc = json["sources"][source]["auroc"].as_object().unwrap();
        auroc.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(pairs("siim"), ["covid/normal", "covid/pneumonia", "normal/pneumonia"]);
    assert_eq!(pairs("nih"), ["normal/pneumonia"]);
    assert_eq!(pairs("bimcv"), [""; 0]);
    assert!(is_estimate(&json["sources"]["siim"]["auroc"]["covid/normal"]));
    assert!(is_estimate(&json["sources"]["siim"]["accuracy"]));
    assert_eq!(json["sources"]["bimcv"]["balanced_accuracy"]["value"], Value::Null);
    assert_eq!(json["sources"]["figure1"]["few"], true);
    let sum: u64 = report.sources.values().map(|source| source.n).sum();
    assert_eq!(sum, 795);
    assert_eq!(json["subgroups"]["age_group"]["child"]["n"], json["sources"]["kermany"]["n"]);
    assert_eq!(json["ood"]["refused"], 3);
    assert_eq!(json["ood"]["kinds"]["hand X-ray"]["n"], 2);
    // One of the two is stranger than every film, the other less strange than any.
    assert_eq!(json["ood"]["kinds"]["photograph"]["auroc"]["value"], 1.0);
    assert_eq!(json["ood"]["kinds"]["hand X-ray"]["auroc"]["value"], 0.5);
    assert!(is_estimate(&json["ood"]["share"]) && is_estimate(&json["ood"]["auroc"]));
    assert_eq!(json["spoilt"].as_array().unwrap().len(), 7);
    assert_eq!(json["spoilt"][6]["named"]["value"], 1.0);
    let predictive = json["operating_points"][0]["predictive"].as_array().unwrap();
    assert_eq!(predictive.len(), 6);
    assert!(predictive.iter().all(|at| is_estimate(&at["ppv"]) && is_estimate(&at["npv"])));
    assert_eq!(json["operating_points"].as_array().unwrap().len(), 6);
    let sets = &json["conformal"];
    for figures in [&sets["all"], &sets["findings"]["covid"], &sets["sources"]["siim"]] {
        assert!(is_estimate(&figures["coverage"]) && is_estimate(&figures["size"]), "{figures}");
    }
    assert_eq!(sets["sizes"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 795 - 4);
    assert!(is_estimate(&json["sources"]["siim"]["ece"]) && is_estimate(&json["sources"]["siim"]["overconfidence"]));
    assert_eq!(json["protocol"]["manifest_digest"].as_str().unwrap().len(), 64);
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        "confusion.svg",
        "precision-recall.svg",
        "reliability.svg",
        "report.html",
        "report.json",
        "report.md",
        "roc.svg",
        "sources.svg",
    ];
    assert_eq!(names, expected, "nothing else is left behind");
}

#[test]
fn figures_agree_with_the_plain_functions() {
    let films = films(300);
    let report = report(&films);
    assert_eq!(report.accuracy.value, trainer::metrics::accuracy(&films, 3));
    assert_eq!(report.balanced_accuracy.value, trainer::metrics::balanced_accuracy(&films, 3));
    assert_eq!(report.macro_auroc.value, trainer::metrics::macro_auroc(&films, 3));
    let siim: Vec<_> = films.iter().filter(|film| film.source == "siim").cloned().collect();
    let source = &report.sources["siim"];
    assert_eq!(source.n, siim.len() as u64);
    assert_eq!(source.accuracy.value, trainer::metrics::accuracy(&siim, 3));
    assert_eq!(source.auroc["covid/normal"].value, trainer::metrics::pair_auroc(&siim, 0, 1));
    // Measured where they were chosen, the points have the rates they were chosen by.
    for point in &report.operating_points {
        assert!((point.sensitivity.value.unwrap() - point.chosen.sensitivity).abs() < 1e-12);
        assert!((point.specificity.value.unwrap() - point.chosen.specificity).abs() < 1e-12);
    }
}

#[test]
fn the_page_holds_every_figure_and_fetches_nothing() {
    let films = films(400);
    let dir = tempfile::tempdir().unwrap();
    write_evaluation(&report(&films), &films, dir.path()).unwrap();
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    for figure in ["confusion", "roc", "precision-recall", "reliability", "sources"] {
        let svg = std::fs::read_to_string(dir.path().join(format!("{figure}.svg"))).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && html.contains(&svg), "{figure}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{figure}");
    }
    for words in [
        "never a diagnosis",
        "Glossary",
        "prefers-color-scheme:dark",
        "By age group",
        "hand X-ray",
        "Prediction sets",
        "Films with a flaw",
        "Calibration by source",
        "Calibration by finding",
        "Without each source",
    ] {
        assert!(html.contains(words), "{words}");
    }
    for fetched in ["<script", "<link", "src=\"", "url(", "@import"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
}

#[test]
fn labels_and_sources_are_text_not_markup() {
    let mut films = films(60);
    films.iter_mut().for_each(|film| film.source = "<b>&\"x\"".into());
    let classes = ["<i>".to_string(), "a|b".into(), "c".into()];
    let report = Report::new(&films, &classes, Given::default(), protocol()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write_evaluation(&report, &films, dir.path()).unwrap();
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(
        html.contains("&lt;b&gt;&amp;")
            && !html.contains("<b>&\"")
            && !html.contains("<i>\"")
            && html.contains("&lt;i&gt;")
    );
    assert!(markdown_table(&report).contains("a\\|b"));
}

#[test]
fn one_label_only_gives_null_and_no_nan() {
    let films: Vec<_> = films(300).into_iter().filter(|film| film.label == 0).collect();
    let report = Report::new(&films, &classes(), Given::default(), protocol()).unwrap();
    assert_eq!(report.macro_auroc.value, None);
    assert_eq!(report.balanced_accuracy.value, None);
    assert!(report.accuracy.low.is_some());
    let dir = tempfile::tempdir().unwrap();
    write_evaluation(&report, &films, dir.path()).unwrap();
    for file in ["report.json", "report.html", "roc.svg"] {
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
        assert!(!text.contains("NaN"), "{file}");
    }
    assert!(terminal_table(&report).contains("macro AUROC              -\n"));
}

#[test]
fn without_a_source_the_other_films_are_measured() {
    let films = films(400);
    let all = report(&films);
    assert_eq!(all.without.keys().collect::<Vec<_>>(), all.sources.keys().collect::<Vec<_>>());
    for (source, group) in &all.without {
        let others: Vec<Prediction> = films.iter().filter(|film| film.source != *source).cloned().collect();
        let alone = report(&others);
        assert_eq!((group.n, group.confusion.clone()), (others.len() as u64, alone.confusion), "{source}");
        assert_eq!(group.balanced_accuracy.value, alone.balanced_accuracy.value, "{source}");
        let one: Vec<Prediction> = films.iter().filter(|film| film.source == *source).cloned().collect();
        assert!(report(&one).without.is_empty(), "one source");
    }
}

#[test]
fn weights_without_a_gate_are_not_said_to_have_refused_nothing() {
    let (films, classes) = (films(60), classes());
    let of =
        |gateless: bool| Report::new(&films, &classes, Given { gateless, ..Given::default() }, protocol()).unwrap();
    let (gated, gateless) = (of(false), of(true));
    assert!(
        tables::terminal_table(&gated).contains(" refused)") && sections(&gated, &[]).contains("did not look like")
    );
    assert!(tables::terminal_table(&gateless).contains("(no gate to refuse with)"));
    assert!(
        sections(&gateless, &[]).contains("refuse none") && !sections(&gateless, &[]).contains("did not look like")
    );
    assert!(!serde_json::to_string(&gated).unwrap().contains("gateless"), "the form of older reports stays");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let message = Report::new(&[], &classes(), Given::default(), protocol()).unwrap_err().to_string();
    assert!(message.contains("--split all"), "{message}");
    let films = films(30);
    let mut points = operating_points(&films, &classes());
    points[0].finding = "tuberculosis".into();
    let message = Report::new(&films, &classes(), Given { points: &points, ..Given::default() }, protocol())
        .unwrap_err()
        .to_string();
    assert!(message.contains("tuberculosis"), "{message}");
}

#[test]
fn the_tables_are_aligned_and_complete() {
    let report = report(&films(400));
    let text = terminal_table(&report);
    println!("{text}");
    let findings: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("finding")).take(4).collect();
    let column = findings[0].find("sensitivity").unwrap();
    for line in &findings[1..] {
        assert!(line[column..].starts_with("0.") && line[..column].ends_with("  "), "{line}");
    }
    let accuracy = format!("{:.3}", report.accuracy.value.unwrap());
    for text in [text, markdown_table(&report)] {
        assert!(text.contains(&accuracy) && text.contains("figure1 *") && text.contains("covid/normal"));
    }
}

#[test]
fn cross_validation_is_written_and_read_back() {
    let films = films(200);
    let folds: Vec<(String, Vec<Prediction>)> =
        (0..5).map(|fold| ((fold + 1).to_string(), films[fold * 40..][..40].to_vec())).collect();
    let value = Estimate { value: Some(0.8702), ..Estimate::default() };
    let paper = Baseline { method: "DarkCovidNet (paper)".into(), fold: None, figure: "accuracy".into(), value };
    let report =
        CrossValidationReport::new(&folds, &classes(), (Some("default".into()), vec![paper]), protocol()).unwrap();
    assert_eq!(report.baseline("DarkCovidNet (paper)", None, "accuracy"), Some(value));
    assert_eq!(report.baseline("DarkCovidNet (paper)", Some("1"), "accuracy"), None);
    assert_eq!((report.folds.len(), report.pooled.n), (5, 200));
    let mean: f64 = report.folds.iter().filter_map(|fold| fold.accuracy.value).sum::<f64>() / 5.0;
    assert!((report.across_folds["accuracy"].mean - mean).abs() < 1e-12);
    // Folds of equal size: the mean of the folds is the pooled accuracy.
    assert!((report.pooled.accuracy.value.unwrap() - mean).abs() < 1e-12);
    let dir = tempfile::tempdir().unwrap();
    report.write(&films, dir.path()).unwrap();
    if let Some(kept) = std::env::var_os("DEEPBREATH_REPORT") {
        report.write(&films, &std::path::Path::new(&kept).join("cross-validation")).unwrap();
    }
    let json = std::fs::read_to_string(dir.path().join("cross-validation.json")).unwrap();
    let back: CrossValidationReport = serde_json::from_str(&json).unwrap();
    let [before, after] = [&report, &back].map(|report| serde_json::to_value(report).unwrap());
    assert!(same(&before, &after), "round trip");
    let html = std::fs::read_to_string(dir.path().join("cross-validation.html")).unwrap();
    assert!(html.contains("DarkCovidNet (paper)") && html.contains("0.870"));
    assert!(report.terminal_table().contains("0.870"));
    let empty = [("6".to_string(), Vec::new()), folds[0].clone()];
    let error = CrossValidationReport::new(&empty, &classes(), (None, Vec::new()), protocol()).unwrap_err();
    assert!(format!("{error:#}").contains("fold 6"), "{error:#}");
}

#[test]
fn a_mean_over_folds_stays_a_share_and_left_out_sources_have_none() {
    // All right in one fold, a half in the other: a t-interval of 0.75 +- 12.7 * 0.25.
    let fold = |source: &str, calls: [usize; 4]| -> Vec<Prediction> {
        calls.iter().enumerate().map(|(film, call)| sure(film, source, film % 2, *call)).collect()
    };
    let report = |names: [&str; 2], sources: [&str; 2]| {
        let folds = [
            (names[0].to_owned(), fold(sources[0], [0, 1, 0, 1])),
            (names[1].to_owned(), fold(sources[1], [0, 0, 1, 1])),
        ];
        CrossValidationReport::new(&folds, &classes(), (None, Vec::new()), protocol()).unwrap()
    };
    let by_patient = report(["1", "2"], ["siim", "siim"]);
    assert!(by_patient.across_folds["accuracy"].high.unwrap() > 1.0, "the plain summary is kept");
    let text = by_patient.terminal_table();
    assert!(text.contains("0.750 (0.000 to 1.000)") && !text.contains("(-"), "{text}");
    for (names, sources) in [(["siim", "nih"], ["siim", "nih"]), (["a+b", "c+d"], ["a+b", "d"])] {
        let by_source = report(names, sources);
        assert!(by_source.across_folds.is_empty(), "{:?}", by_source.across_folds);
        assert!(!by_source.terminal_table().contains("mean over folds"));
        let dir = tempfile::tempdir().unwrap();
        by_source.write(&[fold(sources[0], [0; 4]), fold(sources[1], [0; 4])].concat(), dir.path()).unwrap();
        let html = std::fs::read_to_string(dir.path().join("cross-validation.html")).unwrap();
        assert!(!html.contains("Across folds") && html.contains("Two labels"));
    }
}

#[test]
fn files_replace_older_ones_and_a_bad_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new/deep");
    for text in ["one", "two"] {
        write_all(&target, &[("a.txt".into(), text.into())]).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("a.txt")).unwrap(), text);
    }
    let error = write_all(&target.join("a.txt"), &[("b".into(), String::new())]).unwrap_err();
    assert!(format!("{error:#}").contains("a.txt"), "{error:#}");
}

#[test]
fn training_curves_survive_every_history() {
    let record = |epoch: usize, loss: f64, validation: Option<f64>| EpochRecord {
        epoch,
        train_loss: loss,
        validation_loss: validation,
        validation_macro_auroc: validation.map(|v| 1.0 - v / 4.0),
    };
    let full: Vec<_> = (1..=20).map(|e| record(e, 1.0 / e as f64, Some(0.3 + 0.8 / e as f64))).collect();
    let svg = training_curves(&full);
    for words in ["training loss", "validation loss", "validation macro AUROC", "epoch"] {
        assert!(svg.contains(words), "{words}");
    }
    let drawn = svg.lines().filter(|line| line.starts_with("<polyline")).map(|line| line.matches(',').count());
    assert_eq!(drawn.collect::<Vec<_>>(), [20, 20, 20]);
    if let Some(kept) = std::env::var_os("DEEPBREATH_REPORT") {
        write_all(kept.as_ref(), &[("training.svg".into(), svg)]).unwrap();
    }
    for history in [&[][..], &[record(1, 0.5, None)], &[record(1, f64::NAN, Some(f64::INFINITY))]] {
        let svg = training_curves(history);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{history:?}");
    }
}
