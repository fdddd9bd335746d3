//! What a report says of decisions: calls, prediction sets, refusals, failures, and whether it may stand for new patients.

#[path = "report/made.rs"]
mod made;

use deepbreath::decision::prediction_set;
use made::{classes, films, protocol, report, sure};
use trainer::bootstrap::Bootstrap;
use trainer::calibrate::OperatingPoint;
use trainer::metrics::Prediction;
use trainer::refusals::{SpoiltFilm, SpoiltReport};
use trainer::report::{Fitted, Given, Protocol, Report};
use trainer::spoilt::Spoilt;
use trainer::tables::{Cell, markdown_table, terminal_table};
use trainer::{conformal, failures, tables};

#[test]
fn prediction_sets_cover_other_films_of_the_same_kind_label_by_label() {
    let (calibration, held_out) = (films(4000), films(8000)[4000..].to_vec());
    let sets = conformal::fit(&calibration, 3, "made up").unwrap();
    let films: Vec<Prediction> = held_out
        .into_iter()
        .map(|film| Prediction { set: prediction_set(&film.probabilities, &sets), ..film })
        .collect();
    let protocol = Protocol { bootstrap: Bootstrap { resamples: 20, seed: 1 }, ..protocol() };
    let given = Given { conformal: Some(&sets), ..Given::default() };
    let report = Report::new(&films, &classes(), given, protocol).unwrap();
    let measured = report.conformal.unwrap();
    // Four standard errors of about 1,300 films and as many of the calibration: 0.047.
    for (label, figures) in &measured.findings {
        let coverage = figures.coverage.value.unwrap();
        assert!((coverage - 0.9).abs() < 0.047, "{label}: {coverage}");
    }
    // In closed form from the films themselves; the refused have no set.
    let films: Vec<Prediction> = films.into_iter().filter(|film| !film.refused).collect();
    assert!(films.len() < 4000 && measured.all.n == films.len() as u64);
    assert_eq!(measured.findings.values().map(|set| set.n).sum::<u64>(), films.len() as u64);
    assert_eq!(measured.sources.values().map(|set| set.n).sum::<u64>(), films.len() as u64);
    let share = films.iter().filter(|film| film.set.contains(&film.label)).count() as f64 / films.len() as f64;
    let size = films.iter().map(|film| film.set.len()).sum::<usize>() as f64 / films.len() as f64;
    assert!((measured.all.coverage.value.unwrap() - share).abs() < 1e-12);
    assert!((measured.all.size.value.unwrap() - size).abs() < 1e-12);
    assert!(size > 1.0 && size < 2.5, "{size}");
    assert_eq!(measured.sizes[0], 0, "no set is empty");
}

#[test]
fn a_spoilt_film_is_named_by_its_own_code_and_a_negative_may_be_turned_back() {
    let film = |way, reasons: &[&'static str], corrected| SpoiltFilm { way, reasons: reasons.to_vec(), corrected };
    let reports = SpoiltReport::of(&[
        film(Spoilt::Turned(1), &["out-of-distribution", "turned"], false),
        film(Spoilt::Turned(1), &["out-of-distribution", "cropped"], false),
        film(Spoilt::Turned(1), &["out-of-distribution"], true),
        film(Spoilt::Turned(1), &[], true),
        film(Spoilt::Inverted, &[], true),
        film(Spoilt::Inverted, &["out-of-distribution", "inverted"], false),
        film(Spoilt::Inverted, &[], false),
    ]);
    let [turned, inverted] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((turned.n, turned.refused, turned.repaired), (4, 3, 0));
    assert_eq!((turned.found.value, turned.named.value), (Some(0.75), Some(0.25)));
    assert_eq!((inverted.n, inverted.refused, inverted.repaired), (3, 1, 1));
    assert_eq!((inverted.found.value, inverted.named.value), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
}

#[test]
fn failures_are_the_largest_shares_and_the_lowest_ranks() {
    let films = films(795);
    let report = report(&films);
    let of = |source: &'static str, label: usize| {
        films.iter().filter(move |film| film.source == source && film.label == label)
    };
    let table = failures::confusions(&report);
    let Cell::Figure(worst) = table.rows[0][4] else { panic!("{table:?}") };
    let shares = ["siim", "nih", "ieee8023", "kermany", "bimcv", "figure1"].into_iter().flat_map(|source| {
        (0..3).flat_map(move |label| (0..3).map(move |call| (source, label, call))).filter_map(
            move |(source, label, call)| {
                let n = of(source, label).count();
                let wrong = of(source, label).filter(|film| film.call() == call).count();
                (n >= 10 && call != label).then(|| wrong as f64 / n as f64)
            },
        )
    });
    assert_eq!(worst.value, shares.max_by(f64::total_cmp));

    let lowest = failures::lowest(&report);
    let lowest_value = lowest.rows[0][2].plain();
    let groups = report.sources.values().chain(report.subgroups.values().flat_map(|groups| groups.values()));
    let all =
        groups.filter(|group| group.n >= 30).flat_map(|group| group.auroc.values().filter_map(|auroc| auroc.value));
    let least = all.min_by(f64::total_cmp).unwrap();
    assert!(lowest_value.starts_with(&format!("{least:.3}")), "{lowest_value}");
    // Of two films of a label resampling knows nothing: the same words as in the table of sources.
    let mut films: Vec<Prediction> = films.into_iter().filter(|film| film.source == "nih").collect();
    films.truncate(40);
    films.iter_mut().enumerate().for_each(|(at, film)| film.label = if at < 2 { 2 } else { 1 });
    let report = Report::new(&films, &classes(), Given::default(), protocol()).unwrap();
    let cell = failures::lowest(&report).rows[0][2].plain();
    assert!(cell.ends_with("(of 2 only)"), "{cell}");
    assert!(tables::groups(&report, "source", report.sources.iter()).rows[1].iter().any(|other| other.plain() == cell));
    let films = self::films(795);
    let report = self::report(&films);

    // Too sure by: the mean probability of the calls less the share of right ones, in each source.
    for (source, group) in &report.sources {
        let sure = |film: &&Prediction| film.probability(film.call()) - f64::from(u8::from(film.call() == film.label));
        let expected: f64 = films.iter().filter(|film| film.source == *source).map(|film| sure(&film)).sum();
        assert!((group.overconfidence.value.unwrap() - expected / group.n as f64).abs() < 1e-9, "{source}");
    }
}

#[test]
fn a_call_is_worth_the_share_of_right_ones_among_those_of_its_finding() {
    // Thresholds of 0.5: covid is called on three films and right on two; normal once, wrongly; pneumonia never.
    let point = |finding: &String| OperatingPoint {
        name: "balanced".into(),
        finding: finding.clone(),
        threshold: 0.5,
        sensitivity: 0.5,
        specificity: 0.5,
        n: 10,
    };
    let points: Vec<OperatingPoint> = classes().iter().map(point).collect();
    let mut films: Vec<Prediction> = [(0, 0), (0, 0), (1, 0), (2, 1), (0, 0)]
        .into_iter()
        .enumerate()
        .map(|(film, (label, call))| sure(film, "siim", label, call))
        .collect();
    // Reaches its threshold, and counts in the predictive value, but is no call.
    films[4].refused = true;
    let given = Given { points: &points, ..Given::default() };
    let report = Report::new(&films, &classes(), given, protocol()).unwrap();
    let calls = report.calls.as_ref().unwrap();
    let worth = |label: &str| (calls.called[label].n, calls.called[label].right.value);
    assert_eq!(worth("covid"), (3, Some(2.0 / 3.0)));
    assert_eq!(worth("normal"), (1, Some(0.0)));
    assert_eq!(worth("pneumonia"), (0, None));
    assert!(calls.called["covid"].right.low.is_some());
    for text in [terminal_table(&report), markdown_table(&report)] {
        assert!(text.contains("called covid *") && text.contains("called pneumonia *"), "{text}");
    }
    // A report that did not measure it is still read, and has no such rows.
    let mut json = serde_json::to_value(&report).unwrap();
    json["calls"].as_object_mut().unwrap().remove("called");
    let older: Report = serde_json::from_value(json).unwrap();
    assert!(older.calls.as_ref().unwrap().called.is_empty() && !terminal_table(&older).contains("called covid"));
}

#[test]
fn a_report_knows_whether_it_was_measured_on_what_was_fitted() {
    let good = report(&films(100));
    assert_eq!(good.on_unfitted(), Ok(()));
    let with = |split: &str, command: &str, held_out: Option<bool>| {
        let mut report = good.clone();
        report.protocol.split = split.into();
        report.protocol.command = command.into();
        report.ood.as_mut().unwrap().held_out = held_out;
        report.on_unfitted()
    };
    for split in ["train", "val", "all"] {
        assert_eq!(with(split, "", Some(true)), Err(Fitted::Films));
    }
    assert_eq!(with("test", "trainer evaluate --ood-held-out", Some(false)), Err(Fitted::Images));
    // An older report does not say it, but its command does.
    assert_eq!(with("test", "trainer evaluate M.csv --ood O.csv --ood-held-out --out R", None), Ok(()));
    assert_eq!(with("test", "trainer evaluate M.csv --ood O.csv --out R", None), Err(Fitted::Images));
    assert_eq!(Report { ood: None, ..good.clone() }.on_unfitted(), Ok(()));
    let json = serde_json::to_value(&good).unwrap();
    assert_eq!(json["ood"]["held_out"], true);
    for why in [Fitted::Films, Fitted::Images] {
        assert!(why.to_string().contains("run `trainer evaluate"), "{why}");
    }
    let mut noted = good.clone();
    noted.protocol.notes = vec!["Learned from these.".into()];
    assert!(markdown_table(&noted).contains("Learned from these."));
}
