//! No patient and no copy of a film is on both sides of the split of the training pool. Needs the image data.

#[path = "../../tests/common/data.rs"]
mod data;

use deepbreath::Radiograph;
use deepbreath::preprocess::resize;
use trainer::dataset::Manifest;
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
    let report = LeakageReport::new(&films).unwrap();
    println!("{report:?}");
    assert_eq!((report.films, report.shared_patients, report.near_pairs), (films.len() as u64, 0, 0), "{report:?}");
    // And would find one here.
    let mut films = films;
    let mut twin = films[0].clone();
    twin.split = films.iter().map(|film| film.split).find(|split| *split != twin.split).unwrap();
    films.truncate(100);
    let before = LeakageReport::new(&films).unwrap();
    films.push(twin);
    let after = LeakageReport::new(&films).unwrap();
    assert_eq!((after.near_pairs, after.closest), (before.near_pairs + 1, Some(0)));
    assert_eq!(after.shared_patients, before.shared_patients + 1);
}
