//! Fits the weights of `radiograph::polarity` to the films of a manifest and prints them as Rust, with the error rates:
//! `cargo run --release --example fit_polarity -- MANIFEST.csv [OTHER.csv ..]` (other: images that are no chest films).
//!
//! Logistic regression without a constant on the train split, every film also in three random crops (up to 12 % of
//! each side), L2 penalty, sources weighted equally, plain gradient descent.

use std::path::{Path, PathBuf};

use deepbreath::Radiograph;
use deepbreath::radiograph::polarity::{
    CELLS, GRID, MIN_EVIDENCE, MIN_LIKENESS, MIN_MEDIASTINUM, cells, evidence, is_inverted, likeness, mediastinum,
};

struct Film {
    path: PathBuf,
    source: String,
    train: bool,
    inverted: bool,
    views: Vec<[f64; CELLS]>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let manifest = arguments.next().expect("the manifest of the films as first argument");
    let films = read(Path::new(&manifest));
    print("WEIGHTS", &fit(&films));
    print("MEAN_FILM", &mean(&films));
    println!("Rates of the tables that are compiled in:");
    rates("train", films.iter().filter(|film| film.train));
    rates("held out", films.iter().filter(|film| !film.train));
    for other in arguments {
        rates(&other, read(Path::new(&other)).iter());
    }
}

fn print(name: &str, table: &[f64; CELLS]) {
    println!("const {name}");
    for row in table.chunks(GRID / 2) {
        println!("    {},", row.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(", "));
    }
}

fn read(manifest: &Path) -> Vec<Film> {
    let text = std::fs::read_to_string(manifest).expect("a manifest");
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let mut random = 1_u64;
    let mut films = Vec::new();
    for line in text.lines().skip(1) {
        let fields = line.split(',').collect::<Vec<_>>();
        let path = folder.join(fields[0]);
        let bytes = std::fs::read(&path).expect("an image of the manifest");
        let film = Radiograph::decode(fields[0], &bytes).expect("an image of the manifest decodes");
        let mut views = cells(&film).into_iter().collect::<Vec<_>>();
        if views.is_empty() {
            continue;
        }
        for _ in 0..3 {
            let mut cut = |side: usize| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) as usize % (side * 12 / 100).max(1)
            };
            let (left, right) = (cut(film.width), film.width - cut(film.width));
            let (top, bottom) = (cut(film.height), film.height - cut(film.height));
            let pixels = (top..bottom).flat_map(|y| &film.pixels[y * film.width + left..y * film.width + right]);
            let (width, height) = (right - left, bottom - top);
            views.extend(cells(&Radiograph { width, height, pixels: pixels.copied().collect(), ..film.clone() }));
        }
        let inverted = is_inverted(&film) || film.provenance.polarity_corrected;
        films.push(Film { path, source: fields[2].into(), train: line.ends_with(",train"), inverted, views });
    }
    films
}

fn dot(a: &[f64; CELLS], b: &[f64; CELLS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn fit(films: &[Film]) -> [f64; CELLS] {
    let train = films.iter().filter(|film| film.train).collect::<Vec<_>>();
    let of_source = |source: &str| train.iter().filter(|film| film.source == source).count() as f64;
    let samples = train
        .iter()
        .map(|film| (1.0 / of_source(&film.source).sqrt(), film))
        .flat_map(|(weight, film)| film.views.iter().map(move |view| (weight, view)))
        .collect::<Vec<_>>();
    let total = samples.iter().map(|(weight, _)| weight).sum::<f64>();
    let mut weights = [0.0; CELLS];
    for _ in 0..4_000 {
        let mut gradient = weights.map(|weight| 1e-3 * weight);
        for (weight, view) in &samples {
            let pull = weight / total / (1.0 + dot(&weights, view).exp());
            gradient.iter_mut().zip(*view).for_each(|(sum, cell)| *sum -= pull * cell);
        }
        weights.iter_mut().zip(gradient).for_each(|(weight, slope)| *weight -= 0.3 * slope);
    }
    weights
}

/// The mean film, normalised like any other.
fn mean(films: &[Film]) -> [f64; CELLS] {
    let mut mean = [0.0; CELLS];
    for film in films.iter().filter(|film| film.train) {
        mean.iter_mut().zip(film.views[0]).for_each(|(sum, cell)| *sum += cell);
    }
    let norm = (dot(&mean, &mean) / CELLS as f64).sqrt();
    mean.map(|cell| cell / norm)
}

fn rates<'a>(name: &str, films: impl Iterator<Item = &'a Film>) {
    let films = films.collect::<Vec<_>>();
    // The inverse of a film has the negated cells, so it would be found if its own are as far on the other side.
    let found = |film: &&&Film| {
        let cells = &film.views[0];
        evidence(cells) > MIN_EVIDENCE && likeness(cells) > MIN_LIKENESS && mediastinum(cells) > MIN_MEDIASTINUM
    };
    let (count, found) = (films.len() as f64, films.iter().filter(found).count() as f64);
    let wrong = films.iter().filter(|film| film.inverted).collect::<Vec<_>>();
    println!(
        "{name}, {count} images: {} taken for inverted ({:.2} %), {:.2} % of the inverses found",
        wrong.len(),
        100.0 * wrong.len() as f64 / count,
        100.0 * found / count
    );
    wrong.iter().for_each(|film| println!("    {}", film.path.display()));
}
