//! Random views of a radiograph, so that the network learns the chest and not the collection.
//!
//! Order: one affine map with interpolation (flip, rotation, shift, scale, aspect), grey curve, blur or sharpening,
//! noise, erased corners. Never upside down. The result still goes through [`ModelInput::from_plane`].
//!
//! [`ModelInput::from_plane`]: deepbreath::preprocess::ModelInput::from_plane

use deepbreath::preprocess::SIDE;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Strengths; each is the largest deviation, drawn uniformly on both sides unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Probability of a left-right flip.
    pub flip: f32,
    /// Degrees.
    pub rotation: f32,
    /// Fraction of the side.
    pub shift: f32,
    /// Relative change of size.
    pub scale: f32,
    /// Relative change of width to height.
    pub aspect: f32,
    /// Natural logarithm of the exponent of the grey curve.
    pub gamma: f32,
    /// Relative change of contrast around the middle grey.
    pub contrast: f32,
    /// Largest standard deviation of a Gaussian blur, in pixels; applied to half of the views.
    pub blur: f32,
    /// Largest standard deviation of Gaussian noise, of the grey range.
    pub noise: f32,
    /// Probability, for each of the four corners, that a rectangle is erased (side markers and captions live there).
    pub erase_corner: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            flip: 0.5,
            rotation: 10.0,
            shift: 0.06,
            scale: 0.12,
            aspect: 0.15,
            gamma: 0.25,
            contrast: 0.1,
            blur: 1.0,
            noise: 0.01,
            erase_corner: 0.1,
        }
    }
}

impl Augmentation {
    /// A random view, `SIDE * SIDE` values, of a square plane of side `from` with values in 0..=1.
    pub fn apply(&self, plane: &[f32], from: usize, random: &mut impl Rng) -> Vec<f32> {
        let mut view = self.warp(plane, from, random);
        self.grey_curve(&mut view, random);
        if random.random_bool(0.5) {
            blur(&mut view, self.blur * random.random::<f32>());
        }
        let noise = self.noise * random.random::<f32>();
        if noise > 0.0 {
            for value in &mut view {
                // Irwin-Hall: four uniforms have variance 1/3 and are near enough to a Gaussian.
                let sum: f32 = (0..4).map(|_| random.random::<f32>() - 0.5).sum();
                *value = (*value + noise * sum * 3f32.sqrt()).clamp(0.0, 1.0);
            }
        }
        self.erase_corners(&mut view, random);
        view
    }

    fn warp(&self, plane: &[f32], from: usize, random: &mut impl Rng) -> Vec<f32> {
        let mut draw = |limit: f32| if limit > 0.0 { random.random_range(-limit..=limit) } else { 0.0 };
        let (sin, cos) = draw(self.rotation).to_radians().sin_cos();
        let size = 1.0 + draw(self.scale);
        let aspect = (1.0 + draw(self.aspect)).sqrt();
        let (shift_x, shift_y) = (draw(self.shift) * from as f32, draw(self.shift) * from as f32);
        let flip = if random.random_bool(f64::from(self.flip)) { -1.0 } else { 1.0 };
        let step = from as f32 / SIDE as f32;
        let (across, down) = (step * size * aspect * flip, step * size / aspect);
        let middle = (SIDE as f32 - 1.0) / 2.0;
        let centre = (from as f32 - 1.0) / 2.0;
        let mut view = Vec::with_capacity(SIDE * SIDE);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let (u, v) = ((column as f32 - middle) * across, (row as f32 - middle) * down);
                let x = cos * u - sin * v + centre + shift_x;
                let y = sin * u + cos * v + centre + shift_y;
                view.push(interpolate(plane, from, x, y));
            }
        }
        view
    }

    fn grey_curve(&self, view: &mut [f32], random: &mut impl Rng) {
        let mut draw = |limit: f32| if limit > 0.0 { random.random_range(-limit..=limit) } else { 0.0 };
        let (exponent, contrast) = (draw(self.gamma).exp(), 1.0 + draw(self.contrast));
        for value in view {
            *value = ((value.powf(exponent) - 0.5) * contrast + 0.5).clamp(0.0, 1.0);
        }
    }

    fn erase_corners(&self, view: &mut [f32], random: &mut impl Rng) {
        for corner in 0..4 {
            if !random.random_bool(f64::from(self.erase_corner)) {
                continue;
            }
            let (width, height) = (random.random_range(SIDE / 10..SIDE / 3), random.random_range(SIDE / 10..SIDE / 4));
            let grey = random.random::<f32>();
            let left = if corner % 2 == 0 { 0 } else { SIDE - width };
            let top = if corner < 2 { 0 } else { SIDE - height };
            for line in view.chunks_exact_mut(SIDE).skip(top).take(height) {
                line[left..left + width].fill(grey);
            }
        }
    }
}

/// Bilinear interpolation; beyond the border the nearest pixel counts.
pub(crate) fn interpolate(plane: &[f32], side: usize, x: f32, y: f32) -> f32 {
    let limit = (side - 1) as f32;
    let (x, y) = (x.clamp(0.0, limit), y.clamp(0.0, limit));
    let (left, top) = ((x as usize).min(side - 2), (y as usize).min(side - 2));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let at = |row: usize, column: usize| plane[row * side + column];
    let upper = at(top, left) + fx * (at(top, left + 1) - at(top, left));
    let lower = at(top + 1, left) + fx * (at(top + 1, left + 1) - at(top + 1, left));
    upper + fy * (lower - upper)
}

/// Separable Gaussian blur of a `SIDE`-wide plane; nothing below a deviation of 0.2 pixels.
fn blur(view: &mut [f32], deviation: f32) {
    if deviation < 0.2 {
        return;
    }
    let radius = (2.5 * deviation).ceil() as usize;
    let weight = |offset: usize| (-0.5 * (offset as f32 / deviation).powi(2)).exp();
    let total = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f32>();
    let weights: Vec<f32> = (0..=radius).map(|offset| weight(offset) / total).collect();
    let mut lines = vec![0.0; view.len()];
    for (line, out) in view.chunks_exact(SIDE).zip(lines.chunks_exact_mut(SIDE)) {
        for (column, out) in out.iter_mut().enumerate() {
            *out = weights[0] * line[column];
            for (offset, weight) in weights.iter().enumerate().skip(1) {
                let (left, right) = (column.saturating_sub(offset), (column + offset).min(SIDE - 1));
                *out += weight * (line[left] + line[right]);
            }
        }
    }
    for (row, out) in view.chunks_exact_mut(SIDE).enumerate() {
        let line = |row: usize| &lines[row * SIDE..(row + 1) * SIDE];
        out.iter_mut().zip(line(row)).for_each(|(out, value)| *out = weights[0] * value);
        for (offset, weight) in weights.iter().enumerate().skip(1) {
            let (above, below) = (line(row.saturating_sub(offset)), line((row + offset).min(SIDE - 1)));
            for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
                *out += weight * (above + below);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const NONE: Augmentation = Augmentation {
        flip: 0.0,
        rotation: 0.0,
        shift: 0.0,
        scale: 0.0,
        aspect: 0.0,
        gamma: 0.0,
        contrast: 0.0,
        blur: 0.0,
        noise: 0.0,
        erase_corner: 0.0,
    };

    fn ramp() -> Vec<f32> {
        (0..SIDE * SIDE).map(|index| (index % SIDE) as f32 / (SIDE - 1) as f32).collect()
    }

    #[test]
    fn no_strength_changes_nothing() {
        let view = NONE.apply(&ramp(), SIDE, &mut ChaCha8Rng::seed_from_u64(1));
        assert!(view.iter().zip(ramp()).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_flip_mirrors() {
        let view = Augmentation { flip: 1.0, ..NONE }.apply(&ramp(), SIDE, &mut ChaCha8Rng::seed_from_u64(1));
        assert!(view.iter().zip(ramp()).all(|(a, b)| (a - (1.0 - b)).abs() < 1e-5));
    }

    #[test]
    fn views_depend_on_the_seed_alone_and_stay_in_range() {
        let view = |seed| Augmentation::default().apply(&ramp(), SIDE, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(view(5), view(5));
        assert_ne!(view(5), view(6));
        assert!((0..20).flat_map(view).all(|value| (0.0..=1.0).contains(&value)));
    }

    #[test]
    fn blur_keeps_the_mean_of_a_flat_plane_and_widens_a_step() {
        let mut flat = vec![0.5; SIDE * SIDE];
        blur(&mut flat, 1.5);
        assert!(flat.iter().all(|value| (value - 0.5).abs() < 1e-5));
        let mut step: Vec<f32> = (0..SIDE * SIDE).map(|index| f32::from(index % SIDE >= SIDE / 2)).collect();
        blur(&mut step, 1.5);
        assert!(step[SIDE / 2 - 1] > 0.2 && step[SIDE / 2] < 0.8);
    }
}
