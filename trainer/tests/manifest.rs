//! Manifests: what is read, what is refused and how, and which partition is drawn for which weights.

use std::fs;
use std::path::PathBuf;

use deepbreath::weights::Origin;
use trainer::dataset::{Manifest, Row, Split, read_rows, write_rows};

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

#[test]
fn files_may_be_missing_where_the_reader_takes_it_on() {
    let (_keep, csv) = folder(&["1.png"], "path,label\n1.png,a\n2.png,b\n");
    let csv = [csv];
    assert!(Manifest::read(&csv).unwrap_err().to_string().contains("2.png is not there"));
    assert_eq!(Manifest::read_with_gaps(&csv).unwrap().films.len(), 2);
    let (_keep, twice) = folder(&[], "path,label\n2.png,a\n2.png,b\n");
    assert!(Manifest::read_with_gaps(&[twice]).unwrap_err().to_string().contains("listed twice"));
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
fn validation_films_that_cannot_choose_are_named() {
    let names: Vec<String> = (0..45).map(|film| format!("{film}.png")).collect();
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows: String = (0..45).map(|film| format!("{film}.png,{},val\n", if film < 25 { "a" } else { "b" })).collect();
    let (_keep, csv) = folder(&files, &format!("path,label,split\n{rows}"));
    let mut manifest = Manifest::read(&[csv]).unwrap();
    assert!(manifest.validation_caveats().is_empty(), "25 and 20 films");
    manifest.films.pop();
    let caveats = manifest.validation_caveats();
    assert!(caveats.len() == 1 && caveats[0].contains(": 19 of `b` (fewer"), "{caveats:?}");
}
