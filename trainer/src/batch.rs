//! One training step's data: augmented films and their targets, and the random numbers that belong to them.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

/// Films of a step, `B` of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `[B, 3, SIDE, SIDE]`.
    pub images: Vec<f32>,
    /// `[B, classes]`, rows summing to 1.
    pub targets: Vec<f32>,
    /// `B`.
    pub size: usize,
}

impl Batch {
    /// Mix-up (Zhang et al. 2018): lays another film of the batch, and its target, over each film. The share that stays
    /// is drawn once from Beta(`strength`, `strength`), the pairs from a shuffle; 0 leaves the batch as it is.
    ///
    /// # Panics
    /// If `strength` is negative or no number.
    pub fn mix(&mut self, strength: f64, random: &mut ChaCha8Rng) {
        if strength == 0.0 {
            return;
        }
        let share = Beta::new(strength, strength).expect("a positive strength").sample(random) as f32;
        let mut partners: Vec<usize> = (0..self.size).collect();
        partners.shuffle(random);
        for values in [&mut self.images, &mut self.targets] {
            let width = values.len() / self.size;
            let old = values.clone();
            for (row, partner) in values.chunks_exact_mut(width).zip(&partners) {
                for (value, other) in row.iter_mut().zip(&old[partner * width..(partner + 1) * width]) {
                    *value = share * *value + (1.0 - share) * other;
                }
            }
        }
    }
}

/// Inverted dropout of `count` features: 0, or 1 / `keep` so that the mean stays.
pub fn dropout_mask(count: usize, keep: f64, random: &mut ChaCha8Rng) -> Vec<f32> {
    if keep >= 1.0 {
        return vec![1.0; count];
    }
    let scale = (1.0 / keep) as f32;
    (0..count).map(|_| if random.random_bool(keep) { scale } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::stream;

    /// Film `i` holds the value `i` everywhere and has label `i`.
    fn batch(size: usize) -> Batch {
        let images = (0..size).flat_map(|film| [film as f32; 4]).collect();
        let targets = (0..size * size).map(|index| if index / size == index % size { 1.0 } else { 0.0 }).collect();
        Batch { images, targets, size }
    }

    #[test]
    fn strength_zero_changes_nothing() {
        let mut mixed = batch(5);
        mixed.mix(0.0, &mut stream(1, [0; 3]));
        assert_eq!(mixed, batch(5));
    }

    #[test]
    fn targets_are_mixed_like_images_and_stay_normalised() {
        let mut shares = Vec::new();
        for seed in 0..200 {
            let mut mixed = batch(6);
            mixed.mix(0.4, &mut stream(seed, [0; 3]));
            for (film, (image, target)) in mixed.images.chunks(4).zip(mixed.targets.chunks(6)).enumerate() {
                assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{target:?}");
                assert!(target.iter().filter(|value| **value > 0.0).count() <= 2, "{target:?}");
                // The image is made of the values that the target names, in the same shares.
                let wanted: f32 = target.iter().enumerate().map(|(label, share)| label as f32 * share).sum();
                assert!(image.iter().all(|value| (value - wanted).abs() < 1e-5), "{image:?} {target:?}");
                shares.push(target[film]);
            }
            let mut again = batch(6);
            again.mix(0.4, &mut stream(seed, [0; 3]));
            assert_eq!(again, mixed, "the same numbers");
        }
        // Beta(a, a) has mean 1/2; one partner of six is the film itself, which then keeps all of its share.
        let mean = shares.iter().sum::<f32>() / shares.len() as f32;
        assert!((mean - (0.5 + 0.5 / 6.0)).abs() < 0.07, "{mean}");
    }

    #[test]
    fn dropout_keeps_the_mean() {
        let mask = dropout_mask(100_000, 0.8, &mut stream(1, [0; 3]));
        assert!(mask.iter().all(|value| *value == 0.0 || *value == 1.25));
        assert!((mask.iter().sum::<f32>() / 100_000.0 - 1.0).abs() < 0.01);
        assert_eq!(dropout_mask(3, 1.0, &mut stream(1, [0; 3])), [1.0; 3]);
    }
}
