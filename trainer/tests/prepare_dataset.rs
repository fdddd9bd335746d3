//! How the films of manifests are spread over partitions and folds.

#[path = "../../tests/common/data.rs"]
mod data;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use trainer::dataset::{Film, Manifest, Split};
use trainer::folds::{Grouping, folds, leave_out, source_groups};

fn film(name: impl ToString, label: usize, source: &str, patient: impl ToString) -> Film {
    Film {
        path: PathBuf::from(name.to_string()),
        name: name.to_string(),
        label,
        source: source.into(),
        patient_id: patient.to_string(),
        view: None,
        age_group: None,
        license: None,
        sha256: None,
        split: None,
    }
}

/// Three strata of patients with one film each.
fn singles() -> Vec<Film> {
    let strata = [(0, "a", 43), (0, "b", 18), (1, "a", 97)];
    strata
        .into_iter()
        .flat_map(|(label, source, n)| {
            (0..n).map(move |i| film(format!("{label}{source}{i}"), label, source, format!("{label}{source}{i}")))
        })
        .collect()
}

/// Patients of one to six films, some with both labels and two sources.
fn families() -> Vec<Film> {
    (0..120)
        .flat_map(|p| {
            (0..1 + (p * p) % 6).map(move |i| {
                let label = if p % 10 == 0 { i % 2 } else { p % 2 };
                let source = if p % 15 == 0 && i == 0 { "b" } else { ["a", "b", "c"][p % 3] };
                film(format!("{p}-{i}"), label, source, p)
            })
        })
        .collect()
}

fn counts<K: Ord>(parts: &[usize], k: usize, keys: impl Iterator<Item = K>) -> BTreeMap<K, Vec<usize>> {
    let mut counts = BTreeMap::new();
    for (part, key) in parts.iter().zip(keys) {
        counts.entry(key).or_insert_with(|| vec![0; k])[*part] += 1;
    }
    counts
}

fn parts_of_patients(films: &[Film], parts: &[usize]) -> BTreeMap<String, BTreeSet<usize>> {
    let mut seen: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (film, part) in films.iter().zip(parts) {
        seen.entry(film.patient_id.clone()).or_default().insert(*part);
    }
    seen
}

#[test]
fn folds_balance_strata_and_labels_within_one() {
    let films = singles();
    for k in [2, 3, 5, 10] {
        for grouping in [Grouping::Patient, Grouping::Image] {
            let parts = folds(&films, k, grouping, 7).unwrap();
            let strata = counts(&parts, k, films.iter().map(|film| (film.label, &film.source)));
            let labels = counts(&parts, k, films.iter().map(|film| film.label));
            for row in strata.values().chain(labels.values()) {
                assert!(row.iter().max().unwrap() - row.iter().min().unwrap() <= 1, "{k} {grouping:?} {row:?}");
            }
        }
    }
}

#[test]
fn folds_keep_patients_together() {
    let films = families();
    let parts = folds(&films, 5, Grouping::Patient, 3).unwrap();
    assert!(parts_of_patients(&films, &parts).values().all(|parts| parts.len() == 1));
    for (stratum, row) in counts(&parts, 5, films.iter().map(|film| (film.label, &film.source))) {
        // A patient has up to six films, so a stratum cannot always be even to one film.
        assert!(row.iter().max().unwrap() - row.iter().min().unwrap() <= 4, "{stratum:?} {row:?}");
    }
    let loose = folds(&films, 5, Grouping::Image, 3).unwrap();
    assert!(parts_of_patients(&films, &loose).values().any(|parts| parts.len() > 1));
    let borrowed: Vec<&Film> = films.iter().collect();
    assert_eq!(folds(&borrowed, 5, Grouping::Patient, 3).unwrap(), parts, "same seed, same folds");
    assert_ne!(folds(&films, 5, Grouping::Patient, 4).unwrap(), parts, "another seed, other folds");
}

#[test]
fn folds_refuse_what_cannot_be() {
    let films = vec![film("1", 0, "a", "p"), film("2", 0, "a", "p"), film("3", 1, "a", "q")];
    let message = |k, grouping| folds(&films, k, grouping, 0).unwrap_err().to_string();
    assert_eq!(message(1, Grouping::Image), "1 folds: at least 2 are needed");
    assert_eq!(message(3, Grouping::Patient), "3 folds of 2 patients: ask for at most 2 folds");
    assert_eq!(message(4, Grouping::Image), "4 folds of 3 films: ask for at most 3 folds");
    let error = folds(&films[..2], 2, Grouping::Patient, 0).unwrap_err().to_string();
    assert_eq!(error, "2 folds of 1 patients: at least 2 patients are needed; add films to the manifest");
}

fn drawn(mut films: Vec<Film>, seed: u64) -> Vec<Film> {
    films.reverse();
    let mut manifest = Manifest { films, classes: vec!["x".into(), "y".into()], digest: String::new() };
    manifest.split_by_patient(seed);
    manifest.films
}

#[test]
fn split_gives_70_15_15_of_each_stratum() {
    let films = drawn(singles(), 42);
    let parts: Vec<usize> = films.iter().map(|film| film.split.unwrap() as usize).collect();
    for ((label, source), row) in counts(&parts, 3, films.iter().map(|film| (film.label, &film.source))) {
        let n: usize = row.iter().sum();
        for (count, share) in row.iter().zip([0.70, 0.15, 0.15]) {
            assert!((*count as f64 - share * n as f64).abs() < 1.0, "{label} {source} {row:?}");
        }
    }
    assert_eq!(drawn(singles(), 42), films);
    assert_ne!(drawn(singles(), 43), films);
    let families = drawn(families(), 1);
    let parts: Vec<usize> = families.iter().map(|film| film.split.unwrap() as usize).collect();
    assert!(parts_of_patients(&families, &parts).values().all(|parts| parts.len() == 1));
}

#[test]
fn split_respects_what_the_manifest_says() {
    let mut films = families();
    for film in &mut films {
        film.split = (film.patient_id == "11").then_some(Split::Test);
    }
    films.iter_mut().find(|film| film.patient_id == "5").unwrap().split = Some(Split::Validation);
    for film in drawn(films, 9) {
        match film.patient_id.as_str() {
            "11" => assert_eq!(film.split, Some(Split::Test)),
            "5" => assert_eq!(film.split, Some(Split::Validation), "the rest of the patient follows"),
            _ => assert!(film.split.is_some()),
        }
    }
    // train and test given, no validation: it comes out of train, by patient, and test stays as it is.
    let mut films = singles();
    for (i, film) in films.iter_mut().enumerate() {
        film.split = Some(if i % 4 == 0 { Split::Test } else { Split::Train });
    }
    let before: BTreeSet<String> =
        films.iter().filter(|film| film.split == Some(Split::Test)).map(|film| film.name.clone()).collect();
    let after = drawn(films, 9);
    let of = |split| {
        after.iter().filter(|film| film.split == Some(split)).map(|film| film.name.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(of(Split::Test), before);
    assert!((of(Split::Validation).len() as f64 - 118.0 * 0.15 / 0.85).abs() < 2.0, "{}", of(Split::Validation).len());
}

#[test]
fn sources_are_left_out_with_their_patients() {
    let films = vec![
        film("1", 0, "siim", "p1"),
        film("2", 1, "siim", "p2"),
        film("3", 0, "bimcv", "p1"),
        film("4", 0, "bimcv", "p3"),
        film("5", 1, "rsna", "p4"),
        film("6", 1, "nih", "p5"),
    ];
    let wanted = |list: &[&str]| source_groups(&films, &list.iter().map(ToString::to_string).collect::<Vec<_>>());
    let groups = wanted(&["siim", "bimcv+rsna"]).unwrap();
    let left = leave_out(&films, &groups[0]);
    assert_eq!((left.train, left.test, left.shared), (vec![3, 4, 5], vec![0, 1], vec![2]));
    let left = leave_out(&films, &groups[1]);
    assert_eq!((left.train, left.test, left.shared), (vec![1, 5], vec![2, 3, 4], vec![0]));
    let all: Vec<String> = wanted(&[]).unwrap().into_iter().map(|group| group.name).collect();
    assert_eq!(all, ["bimcv", "nih", "rsna", "siim"]);
    for (list, says) in [
        (&["simi"][..], "source `simi` has no films; the manifest has bimcv, nih, rsna, siim"),
        (&["nih", "rsna+nih"], "source `nih` is named twice in the sources to leave out; name it once"),
        (
            &["nih+rsna+siim+bimcv"],
            "leaving out nih+rsna+siim+bimcv leaves nothing to train on; leave out fewer sources",
        ),
    ] {
        assert_eq!(wanted(list).unwrap_err().to_string(), says);
    }
}

#[test]
fn a_plus_in_a_source_joins_nothing() {
    let films = vec![film("1", 0, "a+b", "p1"), film("2", 1, "a", "p2"), film("3", 0, "b", "p3")];
    let groups = |list: &[&str]| -> Vec<(String, Vec<String>)> {
        let wanted: Vec<String> = list.iter().map(ToString::to_string).collect();
        source_groups(&films, &wanted).unwrap().into_iter().map(|group| (group.name, group.sources)).collect()
    };
    let alone = |name: &str| (name.to_string(), vec![name.to_string()]);
    assert_eq!(groups(&[]), [alone("a"), alone("a+b"), alone("b")]);
    assert_eq!(groups(&["a+b"]), [alone("a+b")]);
    assert_eq!(groups(&["b + a"]), [("b + a".to_string(), vec!["b".to_string(), "a".to_string()])]);
}

#[test]
fn reads_the_real_manifests() {
    let Some(tutorial) = data::folder("tutorial.csv") else { return };
    let data = tutorial.parent().unwrap();
    struct Case {
        csv: &'static str,
        films: usize,
        patients: usize,
        classes: &'static [&'static str],
    }
    let three: &[&str] = &["covid", "normal", "pneumonia"];
    for case in [
        Case { csv: "cxr/manifest.csv", films: 5295, patients: 4217, classes: three },
        Case { csv: "darkcovidnet.csv", films: 1125, patients: 784, classes: three },
        Case { csv: "tutorial.csv", films: 50, patients: 50, classes: &["covid", "normal"] },
    ] {
        let mut manifest = Manifest::read(&[data.join(case.csv)]).unwrap();
        assert_eq!(manifest.films.len(), case.films, "{}", case.csv);
        assert_eq!(manifest.classes, case.classes, "{}", case.csv);
        manifest.split_by_patient(42);
        let parts: Vec<usize> = manifest.films.iter().map(|film| film.split.unwrap() as usize).collect();
        let patients = parts_of_patients(&manifest.films, &parts);
        assert_eq!(patients.len(), case.patients, "{}", case.csv);
        assert!(patients.values().all(|parts| parts.len() == 1), "{}", case.csv);
        let parts = folds(&manifest.films, 5, Grouping::Patient, 42).unwrap();
        assert!(parts_of_patients(&manifest.films, &parts).values().all(|parts| parts.len() == 1));
        for row in counts(&parts, 5, manifest.films.iter().map(|film| film.label)).values() {
            assert!(row.iter().max().unwrap() - row.iter().min().unwrap() <= 3, "{} {row:?}", case.csv);
        }
    }
    let pool = Manifest::read(&[data.join("cxr/manifest.csv")]).unwrap();
    let sizes = Split::ALL.map(|split| pool.subset(split).len());
    assert_eq!(sizes, [3703, 797, 795]);
    let mixed =
        Manifest::read(&[data.join("cxr/manifest.csv"), data.join("darkcovidnet.csv")]).unwrap_err().to_string();
    assert!(mixed.contains("listed twice"), "{mixed}");
}
