//! Which parts of the image speak for a finding: class activation maps.
//!
//! Zhou et al. 2016, "Learning Deep Features for Discriminative Localization": the last layer is a global average
//! pool and a linear layer, so the logit is, but for the bias, the mean over the grid of `sum_c weight[c] * feature[c]`.
//! That sum, position by position, is the map. It shows where evidence for a finding lies, not that it is sound.

use serde::Serialize;

use crate::preprocess::resize;

/// The map of one finding, over the whole image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Saliency {
    /// The finding.
    pub label: String,
    /// Columns of the grid.
    pub width: usize,
    /// Rows of the grid.
    pub height: usize,
    /// `height * width` values, row-major: evidence for the finding in 0..=1, evidence against it is 0, and the
    /// strongest position is 1 (all are 0 where nothing speaks for the finding).
    pub values: Vec<f32>,
    /// What 1 stands for, in units of the logit: the strongest position's contribution if it filled the image.
    pub peak: f32,
}

impl Saliency {
    /// The map of `label`.
    ///
    /// `features` is `[C, height, width]` row-major, `weights` the last layer's `C` weights for the finding.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn new(label: &str, features: &[f32], weights: &[f32], width: usize, height: usize) -> Self {
        let map = class_activation(features, weights, width * height);
        let peak = map.iter().copied().fold(0.0, f32::max);
        let values = map.iter().map(|value| if peak > 0.0 { value.max(0.0) / peak } else { 0.0 }).collect();
        Self { label: label.into(), width, height, values, peak }
    }

    /// The map enlarged to an image of `width` x `height` pixels by bilinear interpolation (pixel centres at
    /// half-integers, as in preprocessing): `height * width` values in 0..=1, row-major.
    ///
    /// # Panics
    /// If a side is zero.
    pub fn upsample(&self, width: usize, height: usize) -> Vec<f32> {
        resize(&self.values, self.width, self.height, width, height)
    }
}

/// `sum_c weights[c] * features[c, position]` for each of the `area` positions; its mean is the logit without bias.
///
/// # Panics
/// If `features` does not hold `weights.len() * area` values.
pub fn class_activation(features: &[f32], weights: &[f32], area: usize) -> Vec<f32> {
    assert_eq!(features.len(), weights.len() * area, "features must be channels x positions");
    let mut map = vec![0.0; area];
    for (channel, weight) in features.chunks_exact(area).zip(weights) {
        for (sum, feature) in map.iter_mut().zip(channel) {
            *sum += weight * feature;
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        // Two channels on a 2 x 2 grid.
        let features = [1.0, 0.0, 0.0, 2.0, 0.0, 4.0, 1.0, 0.0];
        for (weights, raw, values, peak) in [
            ([1.0, 0.0], [1.0, 0.0, 0.0, 2.0], [0.5, 0.0, 0.0, 1.0], 2.0),
            ([2.0, 1.0], [2.0, 4.0, 1.0, 4.0], [0.5, 1.0, 0.25, 1.0], 4.0),
            ([1.0, -1.0], [1.0, -4.0, -1.0, 2.0], [0.5, 0.0, 0.0, 1.0], 2.0),
            ([-1.0, -1.0], [-1.0, -4.0, -1.0, -2.0], [0.0; 4], 0.0),
            ([0.0, 0.0], [0.0; 4], [0.0; 4], 0.0),
        ] {
            assert_eq!(class_activation(&features, &weights, 4), raw);
            let saliency = Saliency::new("covid", &features, &weights, 2, 2);
            assert_eq!((saliency.values.as_slice(), saliency.peak), (&values[..], peak), "{weights:?}");
        }
    }

    #[test]
    fn the_mean_is_the_logit_without_bias() {
        let (channels, area) = (1280, 49);
        let features: Vec<f32> = (0..channels * area).map(|index| (index % 7) as f32).collect();
        let weights: Vec<f32> = (0..channels).map(|index| (index % 5) as f32 - 1.5).collect();
        let pooled = features.chunks_exact(area).map(|channel| channel.iter().sum::<f32>() / area as f32);
        let logit: f32 = pooled.zip(&weights).map(|(feature, weight)| feature * weight).sum();
        let map = class_activation(&features, &weights, area);
        assert!((map.iter().sum::<f32>() / area as f32 - logit).abs() < 1e-2 * logit.abs());
    }

    #[test]
    fn upsampling_is_bilinear_between_cell_centres() {
        let map = Saliency { label: String::new(), width: 2, height: 1, values: vec![0.0, 1.0], peak: 1.0 };
        let expected = [0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0];
        for row in map.upsample(8, 3).chunks_exact(8) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-6, "{row:?}");
            }
        }
    }
}
