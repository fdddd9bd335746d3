//! Where the lungs of a film lie: a small linear map from a thumbnail of the film to a thumbnail of its lungs.
//!
//! Reduced-rank ridge regression (Izenman 1975): `RANK` numbers are read from the 28 x 28 grey values, and the lungs are
//! the mean outline plus as many patterns, weighed by these numbers. `trainer lungs` fits it to outlines that
//! radiologists drew and measures it; it knows nothing of the network whose attention it shall judge.
//!
//! What it does not do: outline a lung exactly, or find lungs that a disease hides. It serves to cover them on a film.

use std::sync::LazyLock;

use crate::Radiograph;
use crate::preprocess::{SIDE, grey_plane, resize};

/// Side of both thumbnails, in cells.
pub const THUMBNAIL: usize = 28;
/// Number of patterns.
pub const RANK: usize = 16;
/// Values of a thumbnail.
const AREA: usize = THUMBNAIL * THUMBNAIL;
/// Rows of a stored localiser: the two means, then what reads and what draws each pattern.
const ROWS: usize = 2 + 2 * RANK;
/// Bytes of a stored row: a scale (f32, little endian) and `AREA` values (i8).
const ROW_BYTES: usize = 4 + AREA;
/// Standard deviation of a thumbnail's grey values (0..=1); any would do, it only keeps the numbers of one size.
const SPREAD: f32 = 0.25;

/// Written by `trainer lungs`.
static FITTED: LazyLock<Localiser> =
    LazyLock::new(|| Localiser::from_bytes(include_bytes!("lungs.bin")).expect("a test reads it"));

/// The coefficients.
#[derive(Debug, Clone, PartialEq)]
pub struct Localiser {
    /// Mean thumbnail of the films, `AREA` values.
    pub film: Vec<f32>,
    /// Mean thumbnail of the lungs, `AREA` shares in 0..=1: where lungs usually lie.
    pub lungs: Vec<f32>,
    /// What reads each pattern's number from a thumbnail, `[RANK][AREA]`.
    pub read: Vec<Vec<f32>>,
    /// The patterns, `[RANK][AREA]`.
    pub patterns: Vec<Vec<f32>>,
}

impl Localiser {
    /// The one that this library carries.
    pub fn fitted() -> &'static Self {
        &FITTED
    }

    /// How much of each cell of a film is lung, about 0 to 1 (a regression, so it can be a little beyond): `SIDE * SIDE`
    /// values, row-major. Half is the edge.
    pub fn locate(&self, radiograph: &Radiograph) -> Vec<f32> {
        enlarge(&self.draw(&thumbnail(radiograph)))
    }

    /// From a [`thumbnail`] to that of the lungs.
    pub fn draw(&self, thumbnail: &[f32]) -> Vec<f32> {
        let mut lungs = self.lungs.clone();
        for (read, pattern) in self.read.iter().zip(&self.patterns) {
            let values = read.iter().zip(thumbnail.iter().zip(&self.film));
            let number: f32 = values.map(|(read, (value, mean))| read * (value - mean)).sum();
            lungs.iter_mut().zip(pattern).for_each(|(lung, pattern)| *lung += number * pattern);
        }
        lungs
    }

    /// As a file: the rows as 8-bit numbers, each with its scale.
    pub fn to_bytes(&self) -> Vec<u8> {
        let rows = [&self.film, &self.lungs].into_iter().chain(&self.read).chain(&self.patterns);
        rows.flat_map(|row| {
            let scale = row.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs())) / 127.0;
            let values = row.iter().map(move |value| ((value / scale).round() as i8).to_le_bytes()[0]);
            scale.to_le_bytes().into_iter().chain(values).collect::<Vec<u8>>()
        })
        .collect()
    }

    /// The inverse of [`Self::to_bytes`], but for rounding; `None` for a file of another size.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != ROWS * ROW_BYTES {
            return None;
        }
        let row = |row: &[u8]| -> Vec<f32> {
            let (scale, values) = row.split_first_chunk::<4>().expect("longer than a scale");
            let scale = f32::from_le_bytes(*scale);
            values.iter().map(|value| f32::from(i8::from_le_bytes([*value])) * scale).collect()
        };
        let mut rows: Vec<Vec<f32>> = bytes.chunks_exact(ROW_BYTES).map(row).collect();
        let patterns = rows.split_off(2 + RANK);
        let read = rows.split_off(2);
        let lungs = rows.pop()?;
        Some(Self { film: rows.pop()?, lungs, read, patterns })
    }
}

/// The film as the localiser sees it: `AREA` grey values of mean 0 and standard deviation `SPREAD` (all 0 for a flat film).
pub fn thumbnail(radiograph: &Radiograph) -> Vec<f32> {
    standardise(shrink(&grey_plane(radiograph)))
}

/// A `SIDE * SIDE` plane averaged down to a thumbnail.
pub fn shrink(plane: &[f32]) -> Vec<f32> {
    const STEP: usize = SIDE / THUMBNAIL;
    let mean = |cell: usize| {
        let (row, column) = (cell / THUMBNAIL * STEP, cell % THUMBNAIL * STEP);
        let rows = (row..row + STEP).map(|row| plane[row * SIDE + column..][..STEP].iter().sum::<f32>());
        rows.sum::<f32>() / (STEP * STEP) as f32
    };
    (0..AREA).map(mean).collect()
}

/// Grey values with their mean and spread taken out.
pub fn standardise(mut values: Vec<f32>) -> Vec<f32> {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
    let factor = if deviation > 1e-4 { SPREAD / deviation } else { 0.0 };
    values.iter_mut().for_each(|value| *value = (*value - mean) * factor);
    values
}

/// A thumbnail at the size of the network's input, bilinear.
pub fn enlarge(thumbnail: &[f32]) -> Vec<f32> {
    resize(thumbnail, THUMBNAIL, THUMBNAIL, SIDE, SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_hold_the_coefficients_to_half_a_step() {
        let row = |seed: usize| (0..AREA).map(|at| ((at * 7919 + seed * 104_729) % 997) as f32 / 498.0 - 1.0).collect();
        let localiser = Localiser {
            film: row(1),
            lungs: row(2),
            read: (3..3 + RANK).map(row).collect(),
            patterns: (50..50 + RANK).map(row).collect(),
        };
        let bytes = localiser.to_bytes();
        let back = Localiser::from_bytes(&bytes).unwrap();
        for (old, new) in [(&localiser.film, &back.film), (&localiser.patterns[5], &back.patterns[5])] {
            assert!(old.iter().zip(new).all(|(old, new)| (old - new).abs() <= 0.5 / 127.0 * 1.01));
        }
        assert_eq!(back.to_bytes(), bytes);
        assert_eq!(Localiser::from_bytes(&bytes[1..]), None);
    }

    #[test]
    fn patterns_are_weighed_by_what_is_read() {
        let zeros = vec![0.0; AREA];
        let mut localiser = Localiser {
            film: zeros.clone(),
            lungs: vec![0.5; AREA],
            read: vec![zeros.clone(); RANK],
            patterns: vec![zeros; RANK],
        };
        (localiser.film[3], localiser.read[1][3], localiser.patterns[1][7]) = (1.0, 2.0, 0.25);
        let mut thumbnail = vec![0.0; AREA];
        thumbnail[3] = 1.5;
        let lungs = localiser.draw(&thumbnail);
        assert_eq!((lungs[7], lungs[8]), (0.75, 0.5));
    }

    #[test]
    fn a_thumbnail_is_the_mean_of_blocks_without_brightness_and_contrast() {
        let plane: Vec<f32> = (0..SIDE * SIDE).map(|at| (at % SIDE / 8) as f32).collect();
        let small = shrink(&plane);
        assert!(small.iter().enumerate().all(|(cell, value)| (value - (cell % THUMBNAIL) as f32).abs() < 1e-5));
        let (one, other) =
            (standardise(small.clone()), standardise(small.iter().map(|value| 3.0 * value + 7.0).collect()));
        assert!(one.iter().zip(&other).all(|(one, other)| (one - other).abs() < 1e-4));
        let mean = one.iter().sum::<f32>() / AREA as f32;
        let deviation = (one.iter().map(|value| value * value).sum::<f32>() / AREA as f32).sqrt();
        assert!(mean.abs() < 1e-5 && (deviation - SPREAD).abs() < 1e-4);
        assert!(standardise(vec![0.3; AREA]).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn lungs_lie_left_and_right_of_the_spine() {
        let lungs = enlarge(&Localiser::fitted().lungs);
        let at = |x: usize, y: usize| lungs[y * SIDE / 100 * SIDE + x * SIDE / 100];
        assert!(at(28, 45) > 0.8 && at(72, 45) > 0.8, "{} {}", at(28, 45), at(72, 45));
        assert!(at(50, 3) < 0.1 && at(2, 50) < 0.1 && at(98, 50) < 0.1 && at(50, 97) < 0.1);
    }
}
