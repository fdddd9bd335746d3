//! No patient and no copy of a film is on both sides of the split of the training pool (needs the image data), and what
//! happens where films cannot be read.

#[path = "../../tests/common/data.rs"]
mod data;

use clap::Parser;
use deepbreath::Radiograph;
use deepbreath::preprocess::resize;
use trainer::cli::{Cli, Command};
use trainer::dataset::{Manifest, Split};
use trainer::films;
use trainer::leakage::{BITS, LeakageReport, NEAR, distance, hash};

/// Scaled to half its size, darker and with less contrast, in steps of an 8-bit file.
fn copied(film: &Radiograph) -> Radiograph {
    let (width, height) = (film.width / 2, film.height / 2);
    let pixels = resize(&film.pixels, film.width, film.height, width, height);
    let pixels = pixels.iter().map(|value| ((0.8 * value + 0.05) * 255.0).round() / 255.0).collect();
    Radiograph { width, height, pixels, provenance: film.provenance.clone() }
}

#[test]
fn no_patient_and_no_copy_is_in_two_splits() {
    let Some(manifest) = data::folder("cxr/manifest.csv") else { return };
    let films = Manifest::read(&[manifest]).unwrap().films;
    assert!(films.iter().all(|film| film.split.is_some()), "the pool comes with its split");

    // The hash does find copies.
    for film in films.iter().step_by(53) {
        let film = films::decode(film).unwrap();
        let off = distance(&hash(&film), &hash(&copied(&film)));
        assert!(off <= NEAR, "{off} of {BITS} bits");
    }
    let report = LeakageReport::new(&films, None).unwrap();
    println!("{report:?}");
    assert_eq!((report.films, report.shared_patients, report.near_pairs), (films.len() as u64, 0, 0), "{report:?}");
    // And would find one here.
    let mut films = films;
    let mut twin = films[0].clone();
    twin.split = films.iter().map(|film| film.split).find(|split| *split != twin.split).unwrap();
    films.truncate(100);
    let before = LeakageReport::new(&films, None).unwrap();
    films.push(twin);
    let after = LeakageReport::new(&films, None).unwrap();
    assert_eq!((after.near_pairs, after.closest), (before.near_pairs + 1, Some(0)));
    assert_eq!(after.shared_patients, before.shared_patients + 1);
}

/// Twelve test films of noise, and so many train films, of which one is no image and one is not there.
fn gaps(folder: &std::path::Path) -> std::path::PathBuf {
    let mut rows = "path,label,split\n".to_owned();
    let mut state = 1_u32;
    for index in 0..24 {
        let film = image::GrayImage::from_fn(64, 64, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Luma([(state >> 24) as u8])
        });
        film.save(folder.join(format!("{index}.png"))).unwrap();
        let label = ["covid", "normal", "pneumonia"][index % 3];
        rows += &format!("{index}.png,{label},{}\n", ["train", "test"][index / 12]);
    }
    std::fs::write(folder.join("3.png"), "no image").unwrap();
    std::fs::remove_file(folder.join("7.png")).unwrap();
    let csv = folder.join("films.csv");
    std::fs::write(&csv, rows).unwrap();
    csv
}

#[test]
fn a_film_of_another_split_that_cannot_be_read_is_named_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let csv = gaps(folder.path());
    let evaluate = |split: &str| {
        let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/deepbreath.safetensors");
        let out = folder.path().join(split);
        let words = ["trainer", "evaluate", csv.to_str().unwrap(), "--weights", weights, "--split", split, "--out"];
        let words = words.into_iter().map(std::ffi::OsStr::new).chain([out.as_os_str()]);
        let Command::Evaluate(args) = Cli::parse_from(words).command else { panic!("evaluate") };
        trainer::evaluate::run(&args).map(|()| std::fs::read_to_string(out.join("report.json")).unwrap())
    };
    let report: serde_json::Value = serde_json::from_str(&evaluate("test").unwrap()).unwrap();
    assert_eq!(report["n"], 12);
    assert_eq!(report["leakage"]["films"], 24);
    assert_eq!(report["leakage"]["unreadable"], serde_json::json!(["3.png", "7.png"]));
    for split in ["train", "all"] {
        let error = format!("{:#}", evaluate(split).unwrap_err());
        assert!(error.contains("3.png") || error.contains("7.png"), "{error}");
    }

    let films = Manifest::read_with_gaps(&[csv]).unwrap().films;
    assert!(LeakageReport::new(&films, None).is_err() && LeakageReport::new(&films, Some(Split::Train)).is_err());
    let report = LeakageReport::new(&films, Some(Split::Test)).unwrap();
    assert_eq!(report.unread().unwrap(), "2 films of other splits cannot be read and were not compared: 3.png, 7.png.");
    assert!(report.to_string().ends_with(&report.unread().unwrap()));
    assert_eq!(LeakageReport::new(&films[12..], Some(Split::Test)).unwrap().unread(), None);
}
