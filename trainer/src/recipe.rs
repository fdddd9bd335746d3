//! Recipes: everything about a training run that is not data, seed or machine.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
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
    /// Part of the views that show a film's lungs in another film's surroundings, see [`crate::surroundings`]; the other
    /// film is one of the same step.
    pub swapped_surroundings: f64,
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

/// A value of a recipe that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutOfRange {
    /// The key in the TOML file, with its table.
    pub key: &'static str,
    /// What it was set to.
    pub value: f64,
    /// Smallest value that makes sense; [`f64::MIN_POSITIVE`] for anything above 0.
    pub low: f64,
    /// Largest; [`f64::MAX`] for no limit.
    pub high: f64,
    /// Whether `high` itself makes sense.
    pub with_high: bool,
}

impl std::fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, value, low, high, with_high } = *self;
        // Most values have 32 bits; in 64 they would show digits that nobody wrote.
        write!(f, "{key} = {} makes no sense: it must be ", value as f32)?;
        match (low == f64::MIN_POSITIVE, high == f64::MAX, with_high) {
            (true, _, _) => write!(f, "a number above 0"),
            (false, true, _) => write!(f, "a number of {low} or more"),
            (false, false, true) => write!(f, "from {low} to {high}"),
            (false, false, false) => write!(f, "from {low} to less than {high}"),
        }
    }
}

impl std::error::Error for OutOfRange {}

/// The name of a recipe that runs for `epochs` epochs instead of its `own`.
pub(crate) fn with_epochs(name: &str, epochs: usize, own: usize) -> String {
    if epochs == own { name.into() } else { format!("{name}, epochs={epochs}") }
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
            swapped_surroundings: 0.0,
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

    /// Goes on from a run by the default recipe (`--init RUN`): half of the views show lungs in other films' surroundings.
    fn second_stage() -> Self {
        Self {
            name: "second-stage".into(),
            epochs: 5,
            learning_rate: 4e-4,
            swapped_surroundings: 0.5,
            ..Self::default()
        }
    }

    /// `default`, `second-stage`, `fine-tune`, or a TOML file whose keys replace the default's; without a `name` it is called as the file.
    ///
    /// # Errors
    /// If the file cannot be read, has an unknown key or a value that makes no sense.
    pub fn read(name: &str) -> Result<Self> {
        match name {
            "default" => return Ok(Self::default()),
            "second-stage" => return Ok(Self::second_stage()),
            "fine-tune" => return Ok(Self::fine_tune()),
            _ => {}
        }
        let text = std::fs::read_to_string(Path::new(name)).with_context(|| {
            format!("no recipe {name:?}: give `default`, `second-stage`, `fine-tune`, `tutorial` (`train` only) or a TOML file")
        })?;
        // The error's own text is a drawing of several lines.
        let place = |error: &toml::de::Error| match error.span().and_then(|span| text.get(..span.start)) {
            Some(before) => format!(" line {}", before.matches('\n').count() + 1),
            None => String::new(),
        };
        let mut recipe: Self =
            toml::from_str(&text).map_err(|error| anyhow!("recipe {name}{}: {}", place(&error), error.message()))?;
        if !toml::from_str::<toml::Table>(&text)?.contains_key("name") {
            // Not the default's: it is another recipe.
            recipe.name = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        recipe.check().with_context(|| format!("recipe {name}"))?;
        Ok(recipe)
    }

    /// Whether every value makes sense.
    fn check(&self) -> Result<(), OutOfRange> {
        let Self { head, augmentation: views, .. } = self;
        let (half_open, closed) = ((0.0, 1.0, false), (0.0, 1.0, true));
        let (not_negative, positive) = ((0.0, f64::MAX, true), (f64::MIN_POSITIVE, f64::MAX, true));
        let rules: [(&'static str, f64, (f64, f64, bool)); 23] = [
            ("batch", self.batch as f64, (1.0, f64::MAX, true)),
            ("learning_rate", self.learning_rate, positive),
            ("warm_up", self.warm_up, half_open),
            ("weight_decay", self.weight_decay.into(), not_negative),
            ("label_smoothing", self.label_smoothing.into(), half_open),
            ("dropout", self.dropout, half_open),
            ("mixup", self.mixup, (0.0, 100.0, true)),
            ("swapped_surroundings", self.swapped_surroundings, closed),
            ("sharpness", self.sharpness, not_negative),
            ("averaging", self.averaging.into(), half_open),
            ("shared_sources", self.shared_sources, positive),
            ("head.learning_rate", head.learning_rate, positive),
            ("head.l2", head.l2.into(), not_negative),
            ("augmentation.flip", views.flip.into(), closed),
            ("augmentation.rotation", views.rotation.into(), (0.0, 180.0, true)),
            ("augmentation.shift", views.shift.into(), closed),
            // At 1 a view could be a point or a line of the film.
            ("augmentation.scale", views.scale.into(), half_open),
            ("augmentation.aspect", views.aspect.into(), half_open),
            ("augmentation.gamma", views.gamma.into(), (0.0, 5.0, true)),
            ("augmentation.contrast", views.contrast.into(), closed),
            ("augmentation.blur", views.blur.into(), (0.0, 50.0, true)),
            ("augmentation.noise", views.noise.into(), closed),
            ("augmentation.erase_corner", views.erase_corner.into(), closed),
        ];
        for (key, value, (low, high, with_high)) in rules {
            let sensible = value >= low && if with_high { value <= high } else { value < high };
            if !sensible {
                return Err(OutOfRange { key, value, low, high, with_high });
            }
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

    #[test]
    fn a_file_that_is_no_recipe_is_refused_by_line_and_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mine.toml");
        for (text, line, says) in [
            ("# mine\nepochs = 2\nmix_up = 0.2\n", 3, "unknown field `mix_up`, expected one of `name`, `epochs`"),
            ("epochs = \"two\"\n", 1, "invalid type: string \"two\", expected usize"),
            ("epochs = 2\n[head\nsteps = 1\n", 2, ""),
        ] {
            std::fs::write(&file, text).expect("a file");
            let error = format!("{:#}", Recipe::read(&file.display().to_string()).expect_err(text));
            assert!(error.contains(&format!("mine.toml line {line}: {says}")), "{error}");
            assert!(!error.contains(['\n', '|', '^']), "{error}");
        }
    }

    #[test]
    fn a_file_without_a_name_is_called_as_the_file_and_other_epochs_show() {
        let folder = tempfile::tempdir().expect("a folder");
        for (text, name) in [("epochs = 2", "my recipe"), ("name = \"x\"\nepochs = 2", "x")] {
            let file = folder.path().join("my recipe.toml");
            std::fs::write(&file, text).expect("a file");
            assert_eq!(Recipe::read(&file.display().to_string()).expect("a recipe").name, name);
        }
        assert_eq!(with_epochs("default", 3, 10), "default, epochs=3");
        assert_eq!(with_epochs("default", 10, 10), "default");
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_key_value_and_range() {
        assert_eq!(Recipe::default().check(), Ok(()));
        assert_eq!(Recipe::second_stage().check(), Ok(()));
        assert_eq!(Recipe::fine_tune().check(), Ok(()));
        for (text, says) in [
            ("batch = 0", "batch = 0 makes no sense: it must be a number of 1 or more"),
            ("learning_rate = 0.0", "learning_rate = 0 makes no sense: it must be a number above 0"),
            ("learning_rate = inf", "learning_rate = inf"),
            ("weight_decay = -0.1", "weight_decay = -0.1"),
            ("shared_sources = 0.0", "shared_sources = 0 "),
            ("averaging = 1.0", "averaging = 1 makes no sense: it must be from 0 to less than 1"),
            ("sharpness = nan", "sharpness = NaN"),
            ("swapped_surroundings = 1.5", "swapped_surroundings = 1.5 makes no sense: it must be from 0 to 1"),
            ("head.l2 = -1.0", "head.l2 = -1 makes no sense: it must be a number of 0 or more"),
            ("head.learning_rate = 0.0", "head.learning_rate = 0 "),
            ("augmentation.flip = 1.5", "augmentation.flip = 1.5 makes no sense: it must be from 0 to 1"),
            ("augmentation.erase_corner = -0.5", "augmentation.erase_corner = -0.5"),
            ("augmentation.aspect = 1.0", "augmentation.aspect = 1 makes no sense: it must be from 0 to less than 1"),
            ("augmentation.scale = 2.0", "augmentation.scale = 2 "),
            ("augmentation.rotation = 200.0", "augmentation.rotation = 200 "),
        ] {
            let recipe: Recipe = toml::from_str(text).expect("a recipe");
            let error = recipe.check().expect_err(text).to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
