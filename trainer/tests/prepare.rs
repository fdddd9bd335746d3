//! `prepare`: what becomes a row, what is left out and why; and how the command line answers.

#[path = "../../tests/common/data.rs"]
mod data;
#[path = "../../tests/common/made.rs"]
mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use trainer::cli::{Cli, CompleteArgs, CovidChestxrayArgs, FoldersArgs, RELEASED_WEIGHTS, SampleArgs};
use trainer::dataset::{Manifest, Row, Split, read_rows, write_rows};
use trainer::prepare::{Prepared, complete, covid_chestxray, folders, sample};

/// Writes a grey PNG of 4 x 3 pixels; each shade gives other bytes.
fn png(path: &Path, shade: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(4, 3, image::Luma([shade])).save(path).unwrap();
}

/// A folder with one PNG for each name.
fn films(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, name) in names.iter().enumerate() {
        png(&dir.path().join(name), i as u8);
    }
    dir
}

fn prepare_folders(dir: &Path) -> anyhow::Result<Prepared> {
    folders(&FoldersArgs { dir: dir.into(), out: dir.join("m.csv"), source: Some("s".into()) })
}

fn left_out(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}

fn labels(rows: &[Row]) -> BTreeMap<&str, usize> {
    let mut labels = BTreeMap::new();
    for row in rows {
        *labels.entry(row.label.as_str()).or_default() += 1;
    }
    labels
}

#[test]
fn the_upstream_repository_in_exact_counts() {
    let Some(upstream) = data::folder("upstream-sample") else { return };
    let out = tempfile::tempdir().unwrap();
    let args = |finding: &[&str], view: &[&str]| CovidChestxrayArgs {
        dir: upstream.join("covid-chestxray-dataset"),
        out: out.path().join("m.csv"),
        finding: finding.iter().map(ToString::to_string).collect(),
        view: view.iter().map(ToString::to_string).collect(),
    };
    let all = covid_chestxray(&args(&[], &[])).unwrap();
    assert_eq!(labels(&all.rows), BTreeMap::from([("covid", 30), ("normal", 3), ("pneumonia", 4)]));
    let expected = left_out(&[
        ("a lateral view", 58),
        ("finding `todo` is none of covid, pneumonia, normal", 28),
        ("not an X-ray (CT)", 84),
        ("the image is not there", 505),
        ("the view is not known", 39),
    ]);
    assert_eq!(all.left_out, expected);
    assert_eq!(all.rows.len() + expected.values().sum::<usize>(), 751, "every row of metadata.csv is accounted for");
    assert_eq!(all.rows.iter().map(|row| &row.patient_id).collect::<BTreeSet<_>>().len(), 23);

    let tutorial = covid_chestxray(&args(&["COVID-19"], &["PA"])).unwrap();
    assert_eq!(labels(&tutorial.rows), BTreeMap::from([("covid", 25)]));
    assert!(tutorial.rows.iter().all(|row| row.view == "PA"));
    let row = tutorial.rows.iter().find(|row| row.path.contains("auntminnie-a-2020_01_28")).unwrap();
    assert_eq!((row.patient_id.as_str(), row.age_group.as_str(), row.license.as_str()), ("ieee8023-2", "adult", ""));
    assert!(row.width.is_some_and(|width| width >= 320) && row.sha256.len() == 64, "{row:?}");

    write_rows(&out.path().join("m.csv"), &tutorial.rows).unwrap();
    let manifest = Manifest::read(&[out.path().join("m.csv")]).unwrap();
    assert_eq!((manifest.films.len(), manifest.classes), (25, vec!["covid".to_string()]));
}

#[test]
fn the_kaggle_folders_in_exact_counts() {
    let Some(upstream) = data::folder("upstream-sample") else { return };
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("m.csv");
    let args = FoldersArgs { dir: upstream.join("chest_xray"), out: path.clone(), source: None };
    let prepared = folders(&args).unwrap();
    assert_eq!((&prepared.left_out, &prepared.unreadable), (&left_out(&[]), &vec![]));
    assert_eq!(labels(&prepared.rows), BTreeMap::from([("normal", 40), ("pneumonia", 40)]));
    write_rows(&path, &prepared.rows).unwrap();
    let mut manifest = Manifest::read(&[path]).unwrap();
    assert_eq!(Split::ALL.map(|split| manifest.subset(split).len()), [40, 0, 40]);
    let patients: BTreeSet<&str> = manifest.films.iter().map(|film| film.patient_id.as_str()).collect();
    assert_eq!(patients.len(), 78, "IM-0011 has three films");
    manifest.split_by_patient(42);
    assert_eq!(Split::ALL.map(|split| manifest.subset(split).len()), [32, 8, 40], "15 of 85 of twenty films a label");
}

#[test]
fn findings_and_views_of_both_upstream_spellings() {
    struct Case {
        finding: &'static str,
        view: &'static str,
        modality: &'static str,
        becomes: Result<&'static str, &'static str>,
    }
    let film = |finding, becomes| Case { finding, view: "PA", modality: "X-ray", becomes };
    let view = |view, modality, becomes| Case { finding: "COVID-19", view, modality, becomes };
    let cases = [
        film("COVID-19", Ok("covid")),
        film("Pneumonia/Viral/COVID-19", Ok("covid")),
        film("COVID-19, ARDS", Ok("covid")),
        film("Pneumonia", Ok("pneumonia")),
        film("Pneumonia/Fungal/Pneumocystis", Ok("pneumonia")),
        film("Pneumonia/Bacterial/Nocardia", Ok("pneumonia")),
        film("Streptococcus", Ok("pneumonia")),
        film("No Finding", Ok("normal")),
        film("Tuberculosis", Err("finding `Tuberculosis` is none of covid, pneumonia, normal")),
        film("", Err("finding `` is none of covid, pneumonia, normal")),
        view("AP", "X-ray", Ok("covid")),
        view("AP Supine", "X-ray", Ok("covid")),
        view("L", "X-ray", Err("a lateral view")),
        view("", "X-ray", Err("the view is not known")),
        view("?", "X-ray", Err("the view is not known")),
        view("Axial", "CT", Err("not an X-ray (CT)")),
        view("Coronal", "X-ray", Err("not an X-ray (CT)")),
        view("PA", "CT", Err("not an X-ray (CT)")),
    ];
    for (i, case) in cases.iter().enumerate() {
        let dir = films(&["images/film.png"]);
        let csv = format!(
            "patientid,age,finding,view,modality,filename,license\n7,{i},\"{}\",{},{},film.png,CC0\n",
            case.finding, case.view, case.modality
        );
        fs::write(dir.path().join("metadata.csv"), csv).unwrap();
        let args =
            CovidChestxrayArgs { dir: dir.path().into(), out: dir.path().join("m.csv"), finding: vec![], view: vec![] };
        let prepared = covid_chestxray(&args).unwrap();
        let shown = format!("{} {} {}", case.finding, case.view, case.modality);
        match case.becomes {
            Err(reason) => assert_eq!(prepared.left_out, left_out(&[(reason, 1)]), "{shown}"),
            Ok(label) => {
                let row = &prepared.rows[0];
                assert_eq!((row.label.as_str(), row.path.as_str()), (label, "images/film.png"), "{shown}");
                assert_eq!((row.patient_id.as_str(), row.license.as_str()), ("ieee8023-7", "CC0"), "{shown}");
                assert_eq!(row.age_group, if i < 18 { "paediatric" } else { "adult" }, "{shown}");
            }
        }
    }
}

#[test]
fn file_names_tell_the_patient() {
    let cases = [
        ("person1608_virus_2786.png", "s-person1608"),
        ("person1_bacteria_2.png", "s-person1"),
        ("IM-0115-0001.png", "s-IM-0115"),
        ("IM-0011-0001-0002.png", "s-IM-0011"),
        ("NORMAL2-IM-1422-0001.png", "s-NORMAL2-IM-1422"),
        ("00012158_025.png", "s-00012158"),
        ("personal_photo.png", "s-x-personal_photo"),
        ("IM-x.png", "s-x-IM-x"),
        ("2020_01.png", "s-x-2020_01"),
    ];
    for (name, patient) in cases {
        let dir = films(&[&format!("X/{name}")]);
        let row = &prepare_folders(dir.path()).unwrap().rows[0];
        assert_eq!((row.patient_id.as_str(), row.label.as_str(), row.source.as_str()), (patient, "x", "s"));
        assert_eq!((row.path.as_str(), row.width, row.height), (format!("X/{name}").as_str(), Some(4), Some(3)));
    }
}

#[test]
fn label_folders_take_the_names_of_the_weights() {
    let dir = films(&["Covid-19/1.png", "No_findings/2.png", "Pneumonia/3.png", "Effusion/4.png"]);
    let prepared = prepare_folders(dir.path()).unwrap();
    let expected = BTreeMap::from([("covid", 1), ("normal", 1), ("pneumonia", 1), ("effusion", 1)]);
    assert_eq!(labels(&prepared.rows), expected);
    assert!(prepared.rows.iter().all(|row| row.split.is_empty()));
}

#[test]
fn nothing_is_left_out_in_silence() {
    let dir = films(&["train/A/1.png", "train/A/2.png", "valid/B/3.PNG", "other/4.png", "train/A/deep/5.png"]);
    let path = |name: &str| dir.path().join(name);
    fs::write(path("train/A/notes.txt"), "x").unwrap();
    fs::write(path("train/A/.hidden"), "x").unwrap();
    fs::write(path("train/A/text.png"), "not an image").unwrap();
    fs::write(path("train/A/empty.jpg"), "").unwrap();
    let whole = fs::read(path("train/A/2.png")).unwrap();
    fs::write(path("train/A/cut.png"), &whole[..whole.len() - 20]).unwrap();
    let mut stub = vec![0; 132];
    stub[128..].copy_from_slice(b"DICM");
    fs::write(path("train/A/stub.dcm"), stub).unwrap();
    let mut elements = made::image("MONOCHROME2", 3, 2);
    elements.push(made::element(0x7fe0, 0x10, "OW", &made::words(&[0, 100, 200, 300, 400, 500])));
    let dicom = made::file(made::EXPLICIT, &elements);
    fs::write(path("train/A/film.dcm"), &dicom).unwrap();
    // As scanners and archives name them; no two of the same bytes.
    for (name, more) in [("IM000001", 1), ("1.2.840.1.7", 2), ("1.2.840.1.8", 3)] {
        let mut elements = elements.clone();
        elements.push(made::short(0x28, 0x106, more));
        fs::write(path("train/A").join(name), made::file(made::EXPLICIT, &elements)).unwrap();
    }
    fs::write(path("train/A/LICENCE"), "x").unwrap();

    let prepared = prepare_folders(dir.path()).unwrap();
    let rows: Vec<(&str, &str, Option<u32>)> =
        prepared.rows.iter().map(|row| (row.path.as_str(), row.split.as_str(), row.width)).collect();
    let expected = [
        ("train/A/1.2.840.1.7", "train", Some(3)),
        ("train/A/1.2.840.1.8", "train", Some(3)),
        ("train/A/1.png", "train", Some(4)),
        ("train/A/2.png", "train", Some(4)),
        ("train/A/IM000001", "train", Some(3)),
        ("train/A/film.dcm", "train", Some(3)),
        ("valid/B/3.PNG", "val", Some(4)),
    ];
    assert_eq!(rows, expected);
    let expected = left_out(&[
        ("folder deep inside a label folder", 1),
        ("folder other, which stands beside the split folders", 1),
        ("not an image by its ending `txt`", 1),
        ("the file cannot be read as an image", 5),
    ]);
    assert_eq!(prepared.left_out, expected);
    let named: Vec<bool> = ["LICENCE: ", "cut.png: ", "empty.jpg: ", "stub.dcm: ", "text.png: "]
        .iter()
        .zip(&prepared.unreadable)
        .map(|(a, b)| b.contains(a))
        .collect();
    assert_eq!(named, [true; 5], "{:?}", prepared.unreadable);
    let digest: String = Sha256::digest(dicom).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(prepared.rows[5].sha256, digest);
    let patients: BTreeSet<&str> = prepared.rows.iter().map(|row| row.patient_id.as_str()).collect();
    assert_eq!(patients.len(), prepared.rows.len());
}

#[test]
fn no_patient_and_no_file_is_in_two_split_folders() {
    let dir = films(&[
        "train/A/person1_virus_1.png",
        "train/A/person2_virus_2.png",
        "val/A/person1_bacteria_3.png",
        "test/A/person2_bacteria_4.png",
        "train/A/person3_virus_5.png",
        "train/A/person4_virus_6.png",
    ]);
    // The same bytes under another name: the film in test stays.
    fs::copy(dir.path().join("train/A/person3_virus_5.png"), dir.path().join("test/A/person9_virus_7.png")).unwrap();
    let prepared = prepare_folders(dir.path()).unwrap();
    let rows: Vec<&str> = prepared.rows.iter().map(|row| row.path.as_str()).collect();
    let expected = [
        "test/A/person2_bacteria_4.png",
        "test/A/person9_virus_7.png",
        "train/A/person4_virus_6.png",
        "val/A/person1_bacteria_3.png",
    ];
    assert_eq!(rows, expected);
    let expected = left_out(&[
        ("a train film of a patient who is also in test", 1),
        ("a train film of a patient who is also in val", 1),
        ("the same bytes as another file", 1),
    ]);
    assert_eq!(prepared.left_out, expected);
}

#[test]
fn the_same_bytes_under_two_labels_are_left_out_and_named() {
    let dir = films(&["normal/a.png", "covid/other.png", "normal/c.png"]);
    for copy in ["covid/b.png", "normal/again.png"] {
        fs::copy(dir.path().join("normal/a.png"), dir.path().join(copy)).unwrap();
    }
    let out = dir.path().join("m.csv");
    let done = trainer(&["prepare", "folders", dir.path().to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let rows: Vec<String> = read_rows(&out).unwrap().into_iter().map(|(_, row)| row.path).collect();
    assert_eq!(rows, ["covid/other.png", "normal/c.png"]);
    let (counted, named) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(counted.contains("left out 3: the same bytes as a file with another label"), "{counted}");
    let line = "left out: covid/b.png (covid), normal/a.png (normal), normal/again.png (normal): the same bytes";
    assert!(named.contains(line), "{named}");
}

#[test]
fn files_numbered_anew_in_each_split_folder_are_other_patients() {
    let dir = films(&["train/A/1.png", "val/A/1.png", "test/A/1.png", "test/B/1.png"]);
    let prepared = prepare_folders(dir.path()).unwrap();
    assert_eq!((prepared.rows.len(), &prepared.left_out), (4, &left_out(&[])));
    let patients: BTreeSet<&str> = prepared.rows.iter().map(|row| row.patient_id.as_str()).collect();
    assert_eq!(patients, BTreeSet::from(["s-test-a-1", "s-test-b-1", "s-train-a-1", "s-val-a-1"]));
}

#[test]
fn samples_are_even_seeded_and_portable() {
    let names: Vec<String> = (0..20).map(|i| format!("set/{}/{i}.png", ["A", "B"][i % 2])).collect();
    let dir = films(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let manifest = dir.path().join("set/m.csv");
    let prepared = folders(&FoldersArgs { dir: dir.path().join("set"), out: manifest.clone(), source: None }).unwrap();
    write_rows(&manifest, &prepared.rows).unwrap();
    fs::create_dir(dir.path().join("lists")).unwrap();
    let out = dir.path().join("lists/s.csv");
    let draw = |per_class, seed| sample(&SampleArgs { manifest: manifest.clone(), per_class, seed, out: out.clone() });

    let drawn = draw(3, 42).unwrap().rows;
    assert_eq!(labels(&drawn), BTreeMap::from([("a", 3), ("b", 3)]));
    assert!(drawn.iter().all(|row| row.path.starts_with("../set/") && row.source == "set"));
    assert_eq!(draw(3, 42).unwrap().rows, drawn);
    assert_ne!(draw(3, 43).unwrap().rows, drawn);
    let reversed: Vec<Row> = prepared.rows.into_iter().rev().collect();
    write_rows(&manifest, &reversed).unwrap();
    assert_eq!(draw(3, 42).unwrap().rows, drawn, "the order of the manifest does not matter");
    write_rows(&out, &drawn).unwrap();
    assert_eq!(Manifest::read(std::slice::from_ref(&out)).unwrap().films.len(), 6);
    assert_eq!(read_rows(&out).unwrap().len(), 6);
    let message = draw(11, 42).unwrap_err().to_string();
    assert!(message.contains("label a has 10 films, 11 were asked for; use --per-class 10 or less"), "{message}");
}

fn trainer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer")).args(arguments).output().unwrap()
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_helps_with_an_example() {
    let trainer_command = Cli::command();
    let mut commands = vec![vec![]];
    for command in trainer_command.get_subcommands() {
        commands.push(vec![command.get_name()]);
        commands.extend(command.get_subcommands().map(|form| vec![command.get_name(), form.get_name()]));
    }
    assert!([vec!["prepare"], vec!["prepare", "folders"], vec!["card"]].iter().all(|known| commands.contains(known)));
    for mut command in commands {
        let example = ["  trainer"].iter().chain(&command).copied().collect::<Vec<_>>().join(" ");
        command.push("--help");
        let output = trainer(&command);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(text.contains("Example") && text.contains(&example), "{command:?}\n{text}");
    }
}

#[test]
fn a_bad_argument_or_file_is_one_line_and_exit_code_2() {
    let dir = films(&["A/1.png"]);
    fs::write(dir.path().join("metadata.csv"), "a,b\n1,2\n").unwrap();
    let root = dir.path().to_str().unwrap();
    let csv = format!("{root}/m.csv");
    let away = format!("{root}/no/m.csv");
    let empty = format!("{root}/empty.csv");
    fs::write(&empty, "path,label\n").unwrap();
    let lone = format!("{root}/lone.csv");
    fs::write(&lone, "path,label\nA/1.png,a\n").unwrap();
    let run = format!("{root}/run");
    let cases: [(&[&str], &str); 18] = [
        (&["trian"], "a similar subcommand exists: 'train'"),
        (&["train", "m.csv"], "required arguments were not provided: --out <RUN>"),
        (&["train", "m.csv", "--out", "r", "--device", "gpu"], "use cpu, wgpu, vulkan, cuda or cuda:N"),
        (&["train", "m.csv", "--out", "r", "--device", "cuda:x"], "invalid value 'cuda:x'"),
        (&["train", "m.csv", "--out", "r", "--epochs", "0"], "0 is not in 1.."),
        (&["train", "m.csv", "--out", "r", "--devices", "0,a"], "invalid value 'a'"),
        (&["evaluate", "m.csv", "--out", "r", "--split", "dev"], "possible values: train, val, test, all"),
        (&["cross-validate", "m.csv", "--out", "r"], "--folds <K>|--leave-one-source-out"),
        (&["cross-validate", "m.csv", "--out", "r", "--folds", "1"], "1 is not in 2.."),
        (&["cross-validate", "m.csv", "--out", "r", "--folds", "5", "--leave-one-source-out"], "cannot be used with"),
        (&["prepare", "covid-chestxray", root, "--out", &csv, "--view", "L"], "only frontal views can be kept"),
        (&["prepare", "covid-chestxray", root, "--out", &csv], "metadata.csv: no column `patientid`"),
        (&["prepare", "folders", "nowhere", "--out", &csv], "nowhere: cannot be read"),
        (&["prepare", "folders", root, "--out", &away], "cannot be written; its folder"),
        (&["train", &empty, "--out", &run], "empty.csv: no films, only a header"),
        (&["cross-validate", &lone, "--out", &run, "--folds", "2"], "at least 2 patients are needed"),
        (&["cross-validate", &lone, "--out", &run, "--folds", "2", "--recipe", "tutorial"], "has no folds"),
        (&["prepare", "sample", "nowhere.csv", "--per-class", "2", "--out", &csv], "nowhere.csv: cannot be read"),
    ];
    for (arguments, says) in cases {
        let output = trainer(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
        assert!(text.starts_with("error: ") && text.lines().count() == 1, "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(!Path::new(&csv).exists());
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(RELEASED_WEIGHTS);
    let from = ["--init", released.to_str().unwrap(), "--recipe", "fine-tune"];
    let output = trainer(&[&["train", &lone, "--out", &run][..], &from].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("mark some as `val` in the manifest's column"), "{text}");
    let output = trainer(&["prepare", "folders", root, "--out", &csv, "--source", "s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text), (Some(0), format!("{csv}: 1 films of 1 patients (1 a)\n")));
    assert_eq!(read_rows(Path::new(&csv)).unwrap().len(), 1);
}

#[test]
fn completing_fills_in_and_never_empties() {
    let dir = films(&["a.png", "b.png", "c.png"]);
    let row = |path: &str, label: &str, patient: &str, split: &str, view: &str| Row {
        path: path.into(),
        label: label.into(),
        patient_id: patient.into(),
        split: split.into(),
        view: view.into(),
        ..Row::default()
    };
    let (mine, theirs, other) =
        (dir.path().join("mine.csv"), dir.path().join("theirs.csv"), dir.path().join("other.csv"));
    let listed =
        [row("a.png", "sick", "P1", "test", ""), row("b.png", "sick", "", "", "AP"), row("c.png", "sick", "", "", "")];
    write_rows(&mine, &listed).unwrap();
    write_rows(&theirs, &[row("a.png", "sick", "", "", "PA"), row("b.png", "well", "P2", "val", "PA")]).unwrap();
    let run = |from: &Path| {
        complete(&CompleteArgs { manifest: mine.clone(), from: from.into(), out: dir.path().join("out.csv") })
    };
    let prepared = run(&theirs).unwrap();
    let filled = [row("a.png", "sick", "P1", "test", "PA"), row("b.png", "sick", "P2", "val", "AP"), listed[2].clone()];
    assert_eq!(prepared.rows, filled);
    assert!(prepared.notes[0].starts_with("2 of 3 rows"), "{:?}", prepared.notes);
    assert!(prepared.notes[1].contains("another label") && prepared.notes[1].contains("b.png (sick, there well)"));
    assert_eq!(prepared.notes.len(), 2);

    write_rows(&other, &[row("a.png", "sick", "P7", "train", "")]).unwrap();
    let notes = run(&other).unwrap().notes;
    assert!(notes[1].contains("a.png (P1, now P7)") && notes[2].contains("a.png (test, now train)"), "{notes:?}");

    png(&dir.path().join("d.png"), 9);
    write_rows(&other, &[row("d.png", "sick", "", "", "")]).unwrap();
    assert!(run(&other).unwrap_err().to_string().contains("none of the files of"));
}
