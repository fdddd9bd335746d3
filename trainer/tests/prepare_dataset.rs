//! Manifests: what is read, what is refused and how, and how films are spread over partitions and folds.

#[path = "../../tests/common/data.rs"]
mod data;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use deepbreath::weights::Origin;
use trainer::dataset::{Film, Manifest, Row, Split, read_rows, write_rows};
use trainer::folds::{Grouping, folds, leave_out, source_groups};

/// A folder with the named files (any bytes) and a manifest of the given text.
fn folder(files: &[&str], csv: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let path = folder.path().join("m.csv");
    fs::write(&path, csv).unwrap();
    (folder, path)
}

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

#[test]
fn reads_a_full_and_a_bare_manifest() {
    let (_keep, full) = folder(
        &["a/1.png", "a/2.png"],
        "\u{feff}path,label,source,patient_id,view,age_group,license,origin,width,height,sha256,split,more\n\
         a/1.png, normal ,s,p1,PA,adult,CC0,o,3,4,00,train,x\n\
         a/2.png,covid,s,p2,unknown,,,,,,,val,y\n",
    );
    let manifest = Manifest::read(&[full]).unwrap();
    assert_eq!(manifest.classes, ["covid", "normal"]);
    let first = &manifest.films[0];
    assert_eq!((first.name.as_str(), first.label, first.source.as_str()), ("a/1.png", 1, "s"));
    assert_eq!((first.view.as_deref(), first.license.as_deref()), (Some("PA"), Some("CC0")));
    assert_eq!(first.sha256, None, "`00` is no digest");
    assert_eq!(manifest.films[1].view, None);
    assert_eq!(manifest.subset(Split::Validation), [&manifest.films[1]]);
    assert_eq!(fs::read(&first.path).unwrap(), b"a/1.png");

    let digest = "6A99b61f619cedda4ca15f638bf8db91c26836003bb0386aa9a4fcdbd425276f";
    let (_keep, hashed) = folder(&["1.png"], &format!("path,label,sha256\n1.png,x,{digest}\n"));
    assert_eq!(Manifest::read(&[hashed]).unwrap().films[0].sha256, Some(digest.to_lowercase()));

    let (_keep, bare) = folder(&["1.png"], "label,path\nx,1.png\n");
    let manifest = Manifest::read(&[bare]).unwrap();
    let only = &manifest.films[0];
    assert_eq!((only.source.as_str(), only.patient_id.as_str(), only.split), ("m", "1.png", None));
    // printf 'label,path\nx,1.png\n' | sha256sum
    assert_eq!(manifest.digest, "6a99b61f619cedda4ca15f638bf8db91c26836003bb0386aa9a4fcdbd425276f");
}

#[test]
fn refuses_with_one_clear_line() {
    struct Case {
        csv: &'static str,
        says: &'static [&'static str],
    }
    let cases = [
        Case { csv: "path,finding\n1.png,a\n", says: &["m.csv", "no column `label`", "path, finding"] },
        Case { csv: "file,label\n1.png,a\n", says: &["no column `path`"] },
        Case { csv: "", says: &["no column `path`"] },
        Case { csv: "path,label\n", says: &["no films", "m.csv"] },
        Case { csv: "path,label\n1.png,a\ngone.png,a\n", says: &["m.csv line 3", "gone.png is not there"] },
        Case { csv: "path,label,split\n1.png,a,dev\n", says: &["line 2", "unknown split `dev`", "train, val, test"] },
        Case { csv: "path,label\n1.png,a\n2.png,a\n./1.png,a\n", says: &["line 4", "listed twice", "line 2"] },
        Case { csv: "path,label\n1.png,\n", says: &["line 2", "`label` is empty"] },
        Case { csv: "path,label\n,a\n", says: &["line 2", "`path` is empty"] },
        Case { csv: "path,label\n1.png,a,b\n", says: &["m.csv", "not a readable CSV", "line: 2"] },
        Case { csv: "path,label,width\n1.png,a,wide\n", says: &["line 2", "a field cannot be read", "invalid digit"] },
        Case { csv: "path,label\n1.png,covid\n2.png,Covid\n", says: &["`Covid` and `covid` differ in case"] },
        Case {
            csv: "path,label\n1.png,covid\n2.png,viral/other\n",
            says: &["line 3", "label `viral/other` has a `/`", "for example `-`"],
        },
        Case {
            csv: "path,label,patient_id,split\n1.png,a,p7,train\n2.png,a,p7,test\n",
            says: &["patient p7 is in two splits", "1.png in train", "2.png in test"],
        },
    ];
    for case in cases {
        let (_keep, path) = folder(&["1.png", "2.png"], case.csv);
        let message = format!("{:#}", Manifest::read(&[path]).expect_err(case.csv));
        for part in case.says {
            assert!(message.contains(part), "{:?}: `{message}` lacks `{part}`", case.csv);
        }
        assert!(!message.contains('\n'), "{message}");
    }
    let message = format!("{:#}", Manifest::read(&[PathBuf::from("nowhere.csv")]).unwrap_err());
    assert!(message.starts_with("nowhere.csv: cannot be read: "), "{message}");
}

#[test]
fn joins_manifests_by_label_name() {
    let (keep, one) = folder(&["1.png", "2.png"], "path,label\n1.png,normal\n");
    let two = keep.path().join("two.csv");
    fs::write(&two, "path,label,split\n2.png,covid,test\n").unwrap();
    let both = Manifest::read(&[one.clone(), two.clone()]).unwrap();
    assert_eq!(both.classes, ["covid", "normal"]);
    assert_eq!(both.films.iter().map(|film| film.label).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(both.films.iter().map(|film| film.source.as_str()).collect::<Vec<_>>(), ["m", "two"]);
    assert_ne!(both.digest, Manifest::read(std::slice::from_ref(&one)).unwrap().digest);
    let message = Manifest::read(&[one.clone(), one]).unwrap_err().to_string();
    assert!(message.contains("listed twice"), "{message}");

    let classes: Vec<String> = ["covid", "normal", "pneumonia"].map(String::from).into();
    let wider = both.with_classes(&classes).unwrap();
    assert_eq!((wider.films[0].label, wider.classes.len()), (1, 3));
    let message = wider.with_classes(&classes[..1]).unwrap_err().to_string();
    assert_eq!(message, "label normal is unknown to the weights, which know covid");
}

#[test]
fn writes_what_it_reads() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("out.csv");
    let row =
        Row { path: "a, \"b\".png".into(), label: "x".into(), width: Some(3), split: "val".into(), ..Row::default() };
    write_rows(&path, std::slice::from_ref(&row)).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap().lines().next().unwrap(),
        "path,label,source,patient_id,view,age_group,license,origin,width,height,sha256,split"
    );
    assert_eq!(read_rows(&path).unwrap(), [(2, row)]);
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 1, "no temporary file stays");
    let message = format!("{:#}", write_rows(&path.join("out.csv"), &[]).unwrap_err());
    assert!(message.contains("out.csv: cannot be written; check that its folder"), "{message}");
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
fn equal_paths_in_two_manifests_are_two_patients() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (folder, csv) in [("north", "films.csv"), ("south", "films.csv"), ("south", "more.csv")] {
        let folder = dir.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let film = format!("{}.png", csv.len());
        fs::write(folder.join(&film), "").unwrap();
        fs::write(folder.join(csv), format!("path,label\n{film},a\n")).unwrap();
        paths.push(folder.join(csv));
    }
    let names = |paths: &[PathBuf]| -> Vec<(String, String)> {
        let films = Manifest::read(paths).unwrap().films;
        films.into_iter().map(|film| (film.source, film.patient_id)).collect()
    };
    let pair = |source: &str, patient: &str| (source.to_string(), patient.to_string());
    assert_eq!(
        names(&paths[..2]),
        [pair("north/films", "north/films/9.png"), pair("south/films", "south/films/9.png")]
    );
    assert_eq!(names(&paths[1..]), [pair("films", "films/9.png"), pair("more", "more/8.png")]);
    assert_eq!(names(&paths[..1]), [pair("films", "9.png")], "alone, the path says enough");
}

#[test]
fn a_split_that_was_not_given_is_only_drawn_again_for_the_same_weights() {
    let names: Vec<String> = (0..40).map(|film| format!("{film}.png")).collect();
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = |split: &dyn Fn(usize) -> &'static str| -> String {
        names
            .iter()
            .enumerate()
            .map(|(film, name)| format!("{name},{},{}\n", ["a", "b"][film % 2], split(film)))
            .collect()
    };
    let origin = |digest: &str, recipe: &str| Origin {
        manifest_digest: digest.into(),
        seed: 7,
        recipe: recipe.into(),
        ..Origin::default()
    };
    let (_keep, bare) = folder(&files, &format!("path,label,split\n{}", rows(&|_| "")));
    let read = || Manifest::read(std::slice::from_ref(&bare)).unwrap();
    let digest = read().digest;
    let mut wanted = read();
    wanted.split_by_patient(7);
    let mut same = read();
    same.split_as_trained(&origin(&digest, "default"), Some(Split::Test)).unwrap();
    assert_eq!(same.films, wanted.films);
    for split in Split::ALL {
        let error = read().split_as_trained(&origin("other", "default"), Some(split)).unwrap_err().to_string();
        assert!(error.contains("--split all"), "{error}");
    }
    assert!(read().split_as_trained(&origin(&digest, "tutorial"), Some(Split::Test)).is_err());
    read().split_as_trained(&origin("other", "default"), None).unwrap();
    // Test films are given, validation films are not.
    let (_keep, half) = folder(&files, &format!("path,label,split\n{}", rows(&|film| ["train", "test"][film / 20])));
    let read = || Manifest::read(std::slice::from_ref(&half)).unwrap();
    read().split_as_trained(&origin("other", "default"), Some(Split::Test)).unwrap();
    assert!(read().split_as_trained(&origin("other", "default"), Some(Split::Validation)).is_err());
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
