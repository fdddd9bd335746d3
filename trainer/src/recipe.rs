//! Recipes: everything about a training run that is not data, seed or machine.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;

/// How to train. The default is the recipe of the released weights; a TOML file may change any part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Name, for the provenance in the weights file.
    pub name: String,
    /// Passes over the balanced sample; 0 keeps the starting weights with the head that was fitted on them.
    pub epochs: usize,
    /// Images of a step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Part of all steps in which the learning rate climbs to its highest value, before it falls along a cosine.
    pub warm_up: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
    /// Share of the target that is spread over all findings.
    pub label_smoothing: f32,
    /// Part of the pooled features that a step ignores.
    pub dropout: f64,
    /// Strength of mix-up, the `a` of Beta(a, a), see [`crate::batch::Batch::mix`]; 0 for none.
    pub mixup: f64,
    /// Blocks, counted from the stem, that keep their ImageNet weights, and the stem with them; 0 trains everything.
    /// The early layers hold most of the maps' values and so most of the time, and change least.
    pub frozen_blocks: usize,
    /// Which statistics the batch norms use while training.
    pub norms: Norms,
    /// Radius of sharpness-aware minimisation (Foret et al. 2021): each step takes its gradients where the loss, within
    /// this Euclidean distance of the weights, is about highest. 0 for plain gradients, at half the cost.
    pub sharpness: f64,
    /// Share of the old average in the running average of weights, per step; the average is what is judged and kept.
    pub averaging: f32,
    /// Weight of sources that hold several labels, see [`crate::sampler::Sampler`].
    pub shared_sources: f64,
    /// Epochs without a better validation metric before training stops.
    pub patience: usize,
    /// The head that training starts from.
    pub head: Head,
    /// Random views.
    pub augmentation: Augmentation,
}

/// Statistics of batch norms in training. Inference always uses the stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norms {
    /// ImageNet's, folded into the convolutions: fast, and independent of the batch.
    Frozen,
    /// The batch's own, which also move the stored ones.
    Batch,
}

/// Weight of a batch's statistics in the stored ones; EfficientNet's training uses 0.99 for the old ones.
pub const NORM_MOMENTUM: f32 = 0.01;

/// The linear head on frozen features: the first stage of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Head {
    /// Full-batch Adam steps.
    pub steps: usize,
    /// Learning rate on standardised features.
    pub learning_rate: f64,
    /// Weight of the squared weights in the loss.
    pub l2: f32,
}

impl Default for Head {
    fn default() -> Self {
        Self { steps: 300, learning_rate: 0.01, l2: 0.05 }
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: "default".into(),
            epochs: 10,
            batch: 32,
            learning_rate: 8e-4,
            warm_up: 0.05,
            weight_decay: 0.02,
            label_smoothing: 0.05,
            dropout: 0.2,
            mixup: 0.0,
            frozen_blocks: 0,
            norms: Norms::Batch,
            sharpness: 0.05,
            averaging: 0.996,
            shared_sources: 2.0,
            patience: 5,
            head: Head::default(),
            augmentation: Augmentation::default(),
        }
    }
}

impl Recipe {
    /// For weights without batch norms, such as released ones: little steps from where they are.
    fn fine_tune() -> Self {
        Self {
            name: "fine-tune".into(),
            epochs: 8,
            batch: 16,
            learning_rate: 1.5e-4,
            frozen_blocks: 5,
            norms: Norms::Frozen,
            sharpness: 0.0,
            averaging: 0.998,
            ..Self::default()
        }
    }

    /// `default`, `fine-tune`, or a TOML file whose keys replace the default's.
    ///
    /// # Errors
    /// If the file cannot be read, has an unknown key or a value that makes no sense.
    pub fn read(name: &str) -> Result<Self> {
        if name == "default" {
            return Ok(Self::default());
        }
        if name == "fine-tune" {
            return Ok(Self::fine_tune());
        }
        let text = std::fs::read_to_string(Path::new(name))
            .with_context(|| format!("no recipe {name:?}: give `default`, `fine-tune`, `tutorial` or a TOML file"))?;
        let recipe: Self = toml::from_str(&text).with_context(|| format!("recipe {name}"))?;
        recipe.check().with_context(|| format!("recipe {name}"))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<()> {
        anyhow::ensure!(self.batch > 0, "batch must be at least 1");
        anyhow::ensure!(self.learning_rate > 0.0, "learning_rate must be positive");
        anyhow::ensure!(self.mixup >= 0.0 && self.mixup.is_finite(), "mixup must not be negative");
        anyhow::ensure!(self.sharpness >= 0.0, "sharpness must not be negative");
        for (name, value) in [
            ("warm_up", self.warm_up),
            ("dropout", self.dropout),
            ("label_smoothing", f64::from(self.label_smoothing)),
            ("averaging", f64::from(self.averaging)),
        ] {
            anyhow::ensure!((0.0..1.0).contains(&value), "{name} must be in 0..1, not {value}");
        }
        Ok(())
    }

    /// Learning rate of step `step` of `steps`: linear warm-up, then half a cosine down to 1 % of the highest.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let warm = (self.warm_up * steps as f64).max(1.0);
        let step = step as f64;
        if step < warm {
            return self.learning_rate * (step + 1.0) / warm;
        }
        let part = (step - warm) / (steps as f64 - warm).max(1.0);
        self.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * part).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_climbs_then_falls() {
        let recipe = Recipe { learning_rate: 1.0, warm_up: 0.1, ..Recipe::default() };
        assert!((recipe.rate(0, 100) - 0.1).abs() < 1e-9);
        assert!((recipe.rate(10, 100) - 1.0).abs() < 1e-9);
        assert!((recipe.rate(55, 100) - 0.505).abs() < 1e-9);
        assert!(recipe.rate(99, 100) < 0.012);
    }

    #[test]
    fn toml_replaces_single_values_and_refuses_unknown_keys() {
        let recipe: Recipe = toml::from_str("epochs = 2\n[augmentation]\nblur = 0.0").expect("a recipe");
        assert_eq!((recipe.epochs, recipe.batch, recipe.augmentation.blur), (2, Recipe::default().batch, 0.0));
        assert!(toml::from_str::<Recipe>("epoch = 2").is_err());
    }
}
