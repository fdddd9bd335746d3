//! Does a film show air dark and bone bright, as it should? Tags lie, and prints are scanned inverted.
//!
//! The film is averaged to [`GRID`] x [`GRID`] cells, mirror-image cells are averaged (left and right do not matter
//! here), and the cells are brought to mean 0 and standard deviation 1. [`evidence`] is a weighted sum of them without
//! a constant, so an inverted film has exactly the negated evidence. [`likeness`] is the correlation with the mean
//! chest film: an image that resembles a chest film in neither polarity is left as it is, and so is one whose inverse
//! has no bright [`mediastinum`].
//!
//! `cargo run --release --example fit_polarity` makes the tables from a manifest and prints the rates. On the training
//! pool (weights from the 3,703 films of the train split): of all 5,295 films **none** is taken for inverted (of the
//! 1,592 held-out ones: 95 % upper bound 0.19 %), and 96.6 % of the held-out ones are found when inverted. Of 234
//! images that are no frontal chest films none is inverted. One of them, a hip between white shutters, set
//! [`MIN_MEDIASTINUM`]: this detector was made for chests, and other body parts may still deceive it.

use super::Radiograph;

/// Cells on a side.
pub const GRID: usize = 8;

/// Cells that are left when mirror images are averaged.
pub const CELLS: usize = GRID * GRID / 2;

/// Weights of the cells, row by row from the top, from the side to the middle, by `examples/fit_polarity.rs`.
#[rustfmt::skip]
const WEIGHTS: [f64; CELLS] = [
    -0.66, -0.36, -0.31, 0.14,
    -0.02, -0.20, -0.43, 0.05,
    0.07, -0.21, -0.66, -0.02,
    0.05, -0.28, -0.42, 0.20,
    0.13, 0.04, 0.16, 0.75,
    -0.15, 0.08, 0.34, 0.88,
    -0.66, -0.19, 0.18, 0.61,
    -0.52, 0.13, 0.52, 0.76,
];

/// Cells of the mean film, in the same order and from the same program.
#[rustfmt::skip]
const MEAN_FILM: [f64; CELLS] = [
    -2.11, -1.67, -1.08, 0.09,
    -0.56, -0.09, -0.58, -0.05,
    -0.11, 0.06, -1.08, -0.04,
    -0.25, -0.05, -0.95, 0.45,
    -0.53, -0.08, -0.33, 1.01,
    -0.78, 0.16, 0.51, 1.44,
    -1.02, 0.68, 1.38, 1.85,
    -1.08, 1.01, 1.76, 2.03,
];

/// Evidence (log odds) that must speak for the inverse.
pub const MIN_EVIDENCE: f64 = 2.0;

/// Likeness (correlation) that the inverse must have with the mean film.
pub const MIN_LIKENESS: f64 = 0.4;

/// Least [`mediastinum`] of the inverse, in standard deviations of the cells: rotated films and collapsed lungs have
/// less than nothing (1.2 % of the films are below).
pub const MIN_MEDIASTINUM: f64 = -0.35;

/// Mean chroma above which an image is a colour picture and no film: scans of films have less.
pub const MAX_CHROMA: f32 = 0.02;

/// True if the image is an inverted chest film beyond doubt: air bright, bone dark.
pub fn is_inverted(film: &Radiograph) -> bool {
    film.provenance.chroma <= MAX_CHROMA
        && cells(film).is_some_and(|cells| {
            evidence(&cells) < -MIN_EVIDENCE
                && likeness(&cells) < -MIN_LIKENESS
                && mediastinum(&cells) < -MIN_MEDIASTINUM
        })
}

/// The normalised cells of a film, or `None` if it is smaller than the grid or of one grey only.
pub fn cells(film: &Radiograph) -> Option<[f64; CELLS]> {
    let (width, height) = (film.width, film.height);
    if width < GRID || height < GRID {
        return None;
    }
    let mut cells = [0.0; CELLS];
    for (i, cell) in cells.iter_mut().enumerate() {
        let (row, column) = (i / (GRID / 2), i % (GRID / 2));
        let rows = row * height / GRID..(row + 1) * height / GRID;
        *cell = [column, GRID - 1 - column]
            .map(|column| {
                let columns = column * width / GRID..(column + 1) * width / GRID;
                let count = (rows.len() * columns.len()) as f64;
                let line = |y: usize| &film.pixels[y * width + columns.start..y * width + columns.end];
                rows.clone().flat_map(line).map(|&value| f64::from(value)).sum::<f64>() / count
            })
            .iter()
            .sum::<f64>()
            / 2.0;
    }
    let mean = cells.iter().sum::<f64>() / CELLS as f64;
    let variance = cells.iter().map(|cell| (cell - mean) * (cell - mean)).sum::<f64>() / CELLS as f64;
    // Cells that differ by less than a grey level of 8 bits say nothing.
    (variance.sqrt() > 1.0 / 255.0).then(|| cells.map(|cell| (cell - mean) / variance.sqrt()))
}

/// How strongly [`cells`] show air dark and bone bright, in log odds: negative for an inverted film.
pub fn evidence(cells: &[f64; CELLS]) -> f64 {
    product(cells, &WEIGHTS)
}

/// Correlation of [`cells`] with the mean chest film, -1 to 1: negative for an inverted film.
pub fn likeness(cells: &[f64; CELLS]) -> f64 {
    product(cells, &MEAN_FILM) / CELLS as f64
}

/// How much brighter [`cells`] are in the middle (heart, great vessels, spine) than in the lungs beside it, in rows 2
/// to 5 of 8: negated for an inverted film.
pub fn mediastinum(cells: &[f64; CELLS]) -> f64 {
    cells.chunks_exact(GRID / 2).skip(1).take(4).map(|row| row[3] - row[2]).sum::<f64>() / 4.0
}

fn product(a: &[f64; CELLS], b: &[f64; CELLS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radiograph::Provenance;

    /// A film whose cells are those of the mean film, dark = 0.2, bright = 0.8 at two standard deviations.
    fn mean_film(sign: f64) -> Radiograph {
        let cell = |x: usize, y: usize| MEAN_FILM[y / 4 * 4 + (x / 4).min(7 - x / 4)];
        let pixels = (0..32).flat_map(|y| (0..32).map(move |x| (0.5 + sign * 0.15 * cell(x, y)) as f32)).collect();
        Radiograph { width: 32, height: 32, pixels, provenance: Provenance::default() }
    }

    #[test]
    fn evidence_is_odd_and_likeness_of_the_mean_is_one() {
        let (upright, inverse) = (cells(&mean_film(1.0)).unwrap(), cells(&mean_film(-1.0)).unwrap());
        assert!((evidence(&upright) + evidence(&inverse)).abs() < 1e-4);
        assert!((likeness(&upright) - 1.0).abs() < 0.01, "{}", likeness(&upright));
        assert!(!is_inverted(&mean_film(1.0)) && is_inverted(&mean_film(-1.0)));
        let mut coloured = mean_film(-1.0);
        coloured.provenance.chroma = 0.1;
        assert!(!is_inverted(&coloured));
    }

    #[test]
    fn an_inverse_without_a_bright_mediastinum_is_left() {
        let mut film = mean_film(-1.0);
        assert!(is_inverted(&film));
        // The columns of the middle and of the lungs beside it change places in rows 2 to 5 of 8.
        for y in 4..20 {
            for (x, other) in [(8, 12), (9, 13), (10, 14), (11, 15), (20, 16), (21, 17), (22, 18), (23, 19)] {
                film.pixels.swap(y * 32 + x, y * 32 + other);
            }
        }
        let cells = cells(&film).unwrap();
        assert!(evidence(&cells) < -MIN_EVIDENCE && likeness(&cells) < -MIN_LIKENESS, "still like a chest film");
        assert!(mediastinum(&cells) > 0.35 && !is_inverted(&film));
    }

    #[test]
    fn flat_and_tiny_images_say_nothing() {
        let film = |side: usize, value: f32| Radiograph {
            width: side,
            height: side,
            pixels: vec![value; side * side],
            provenance: Provenance::default(),
        };
        assert_eq!((cells(&film(64, 0.7)), cells(&film(7, 0.7))), (None, None));
        assert!(!is_inverted(&film(64, 0.0)));
    }
}
