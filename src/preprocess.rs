//! [`Radiograph`] to [`ModelInput`]: one size, one grey range, one normalisation.
//!
//! 1. Resize to `SIDE` x `SIDE`, whatever the shape, with an antialiased triangle filter. The aspect ratio is dropped
//!    on purpose: letterboxing or cropping would tell the network which collection a film comes from.
//! 2. Stretch the grey range: the 1st and 99th percentile become 0 and 1.
//! 3. Normalise as EfficientNet-Lite was trained: `(255 x - 127) / 128`.
//!
//! Only additions, multiplications, divisions and comparisons in a fixed order: equal to the bit on x86-64 and wasm32.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Radiograph;
use crate::digest::sha256;
use crate::ops::from_values;

/// Side of the square network input, in pixels (EfficientNet-Lite0's training resolution).
pub const SIDE: usize = 224;

/// A plane is blank if less than this lies between its percentiles, in shares of black to white: 13 of 256 grey levels.
/// Of every fifth film of the training pool (1,059 films) the flattest has 0.23.
pub const BLANK_RANGE: f32 = 0.05;

/// What preprocessing does, stored in the weights file: weights are only valid with the preprocessing they were trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Raised whenever the numbers that reach the network change.
    pub version: u32,
    /// Side of the square input, in pixels.
    pub side: usize,
    /// Lower and upper percentile of the grey range, as fractions.
    pub percentiles: [f32; 2],
    /// Subtracted from grey values in 0..=1.
    pub mean: f32,
    /// Divides the result.
    pub std: f32,
}

/// The preprocessing that this library performs.
///
/// Mean and deviation: `MEAN_RGB = 127`, `STDDEV_RGB = 128` of the reference EfficientNet-Lite
/// (tensorflow/tpu, `models/official/efficientnet/lite/efficientnet_lite_builder.py`).
pub const PREPROCESSING: Preprocessing =
    Preprocessing { version: 1, side: SIDE, percentiles: [0.01, 0.99], mean: 127.0 / 255.0, std: 128.0 / 255.0 };

/// What the network sees: `[1, 3, SIDE, SIDE]`, row-major, normalised; the three channels are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// The values, `3 * SIDE * SIDE` of them.
    pub values: Vec<f32>,
    /// Whether step 2 had less than [`BLANK_RANGE`] to stretch: an image of next to one grey only.
    pub blank: bool,
}

impl ModelInput {
    /// The whole preprocessing.
    pub fn from_radiograph(radiograph: &Radiograph) -> Self {
        Self::from_plane(resize(&radiograph.pixels, radiograph.width, radiograph.height, SIDE, SIDE))
    }

    /// Steps 2 and 3 alone, on a plane that has the right size: `SIDE * SIDE` grey values, row-major.
    ///
    /// # Panics
    /// If the plane has another size.
    pub fn from_plane(mut plane: Vec<f32>) -> Self {
        assert_eq!(plane.len(), SIDE * SIDE, "the plane must be {SIDE} x {SIDE}");
        // What is no number has no range either.
        let range = stretch(&mut plane);
        let blank = range.is_nan() || range < BLANK_RANGE;
        for value in &mut plane {
            *value = (*value - PREPROCESSING.mean) / PREPROCESSING.std;
        }
        Self { values: plane.repeat(3), blank }
    }

    /// SHA-256 of the values as little-endian f32, in hexadecimal.
    pub fn digest(&self) -> String {
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        sha256(&[&bytes])
    }

    /// As a tensor `[1, 3, SIDE, SIDE]`.
    pub fn to_tensor(&self, device: &Device) -> Tensor<4> {
        from_values(self.values.clone(), [1, 3, SIDE, SIDE], device)
    }

    /// Several inputs as one tensor `[B, 3, SIDE, SIDE]`.
    pub fn to_batch(inputs: &[Self], device: &Device) -> Tensor<4> {
        let values: Vec<f32> = inputs.iter().flat_map(|input| input.values.iter().copied()).collect();
        from_values(values, [inputs.len(), 3, SIDE, SIDE], device)
    }
}

/// Steps 1 and 2: the film as the network sees it but for the normalisation, `SIDE * SIDE` values in 0..=1, row-major.
pub fn grey_plane(radiograph: &Radiograph) -> Vec<f32> {
    let mut plane = resize(&radiograph.pixels, radiograph.width, radiograph.height, SIDE, SIDE);
    stretch(&mut plane);
    plane
}

/// Maps the lower and upper percentile of `plane` to 0 and 1 and clips beyond; a flat plane becomes 0. Returns the
/// distance between the percentiles.
fn stretch(plane: &mut [f32]) -> f32 {
    let mut sorted = plane.to_vec();
    let at = |fraction: f32, values: &mut [f32]| {
        let index = ((values.len() - 1) as f32 * fraction) as usize;
        *values.select_nth_unstable_by(index, f32::total_cmp).1
    };
    let low = at(PREPROCESSING.percentiles[0], &mut sorted);
    let high = at(PREPROCESSING.percentiles[1], &mut sorted);
    let range = high - low;
    for value in plane {
        *value = if range > 0.0 { ((*value - low) / range).clamp(0.0, 1.0) } else { 0.0 };
    }
    range
}

/// Separable resize with a triangle filter whose support grows with the reduction factor (antialiased), as
/// Pillow's `BILINEAR` does; pixel centres lie at half-integers and weights at the border are renormalised.
///
/// `pixels` holds `height * width` values, row-major; the result `to_height * to_width`.
///
/// # Panics
/// If a side is zero or `pixels` has another length.
pub fn resize(pixels: &[f32], width: usize, height: usize, to_width: usize, to_height: usize) -> Vec<f32> {
    assert!(width > 0 && height > 0 && to_width > 0 && to_height > 0, "no side may be zero");
    assert_eq!(pixels.len(), width * height, "pixels must be height x width");
    let columns = triangle_weights(width, to_width);
    let rows = triangle_weights(height, to_height);
    let mut narrow = vec![0.0f32; height * to_width];
    for (line, out) in pixels.chunks_exact(width).zip(narrow.chunks_exact_mut(to_width)) {
        for (value, (first, weights)) in out.iter_mut().zip(&columns) {
            *value = weights.iter().zip(&line[*first..]).fold(0.0, |sum, (weight, pixel)| sum + weight * pixel);
        }
    }
    let mut result = vec![0.0f32; to_height * to_width];
    for (out, (first, weights)) in result.chunks_exact_mut(to_width).zip(&rows) {
        for (weight, line) in weights.iter().zip(narrow[first * to_width..].chunks_exact(to_width)) {
            for (value, pixel) in out.iter_mut().zip(line) {
                *value += weight * pixel;
            }
        }
    }
    result
}

/// For each output position: the first input position and the weights from there on.
fn triangle_weights(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    (0..to)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weight = |index: usize| (1.0 - ((index as f64 + 0.5 - centre) / support).abs()).max(0.0);
            let sum: f64 = (first..end).map(weight).sum();
            (first, (first..end).map(|index| (weight(index) / sum) as f32).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resize_keeps_constants_and_mean() {
        for (width, height) in [(1, 1), (3, 700), (224, 224), (225, 10), (1000, 61)] {
            let plane = resize(&vec![0.25; width * height], width, height, SIDE, SIDE);
            assert!(plane.iter().all(|value| (value - 0.25).abs() < 1e-6), "{width}x{height}");
        }
    }

    #[test]
    fn resize_is_identity_at_the_same_size() {
        let plane: Vec<f32> = (0..SIDE * SIDE).map(|index| (index % 251) as f32 / 250.0).collect();
        assert_eq!(resize(&plane, SIDE, SIDE, SIDE, SIDE), plane);
    }

    #[test]
    fn halving_averages_with_the_triangle() {
        // Centre 1.0, support 2: positions 0.5 and 1.5 weigh 0.75, 2.5 weighs 0.25, and so on, renormalised.
        let small = resize(&[0.0, 0.0, 1.0, 1.0], 4, 1, 2, 1);
        let left = 0.25 / (0.75 + 0.75 + 0.25);
        assert!((small[0] - left).abs() < 1e-6 && (small[1] - (1.0 - left)).abs() < 1e-6, "{small:?}");
    }

    #[test]
    fn stretch_ignores_outliers_and_survives_flat_planes() {
        let mut plane: Vec<f32> = (0..1000).map(|index| 0.2 + 0.5 * index as f32 / 999.0).collect();
        plane[0] = 0.0;
        plane[999] = 1.0;
        assert!((stretch(&mut plane) - 0.49).abs() < 0.01);
        assert_eq!((plane[0], plane[999]), (0.0, 1.0));
        assert!((plane[500] - 0.5).abs() < 0.01);
        let mut flat = vec![0.7; 10];
        assert_eq!(stretch(&mut flat), 0.0);
        assert_eq!(flat, vec![0.0; 10]);
    }

    #[test]
    fn next_to_one_grey_is_blank() {
        let plane = |range: f32| (0..SIDE * SIDE).map(|at| 0.3 + range * (at % 101) as f32 / 100.0).collect();
        for (range, blank) in [(0.0, true), (0.04, true), (0.06, false), (0.5, false)] {
            assert_eq!(ModelInput::from_plane(plane(range)).blank, blank, "{range}");
        }
    }

    #[test]
    fn brightness_and_contrast_do_not_reach_the_network() {
        let plane: Vec<f32> = (0..SIDE * SIDE).map(|index| ((index * 7919) % 1024) as f32 / 1024.0).collect();
        let darker = plane.iter().map(|value| value * 0.5 + 0.25).collect();
        let (one, other) = (ModelInput::from_plane(plane), ModelInput::from_plane(darker));
        assert!(one.values.iter().zip(&other.values).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
