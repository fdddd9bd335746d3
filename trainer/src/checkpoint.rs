//! The resumable state of a training run: one folder, replaced as a whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use burn::optim::ModuleOptimizer;
use deepbreath::model::NamedTensors;
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;
use crate::tensors;

/// Where a run stands, apart from tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs that are over.
    pub epoch: usize,
    /// Steps of the current epoch that are over.
    pub step: usize,
    /// Sum of the losses of those steps.
    pub loss_sum: f64,
    /// Best selection metric so far, and its epoch (from 1).
    pub best: Option<(f64, usize)>,
    /// Everything that the run depends on, to refuse a resume with other settings.
    pub fingerprint: String,
}

impl Progress {
    /// Whether a run of this recipe ends here: after its last epoch, or early, when `patience` epochs did not better the
    /// best one.
    pub fn is_over(&self, recipe: &Recipe) -> bool {
        self.epoch >= recipe.epochs || self.best.is_some_and(|(_, best)| self.epoch >= best + recipe.patience)
    }

    /// Where the run in folder `run` stands; `None` without a checkpoint.
    ///
    /// # Errors
    /// If there is one that cannot be read.
    pub fn of(run: &Path) -> Result<Option<Self>> {
        let Some(dir) = standing(run) else { return Ok(None) };
        let read = || -> Result<Self> { Ok(serde_json::from_slice(&std::fs::read(dir.join("progress.json"))?)?) };
        read().map(Some).with_context(|| format!("cannot read the checkpoint {}", dir.display()))
    }
}

/// A run in a moment between two steps.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Where it stands.
    pub progress: Progress,
    /// The model in training, unfolded.
    pub model: NamedTensors,
    /// The running average of its tensors.
    pub average: NamedTensors,
}

fn dirs(run: &Path) -> [PathBuf; 3] {
    ["checkpoint", "checkpoint.new", "checkpoint.old"].map(|name| run.join(name))
}

/// The folder of the last whole checkpoint: between two renamings of [`Checkpoint::write`] the old one.
fn standing(run: &Path) -> Option<PathBuf> {
    let [current, _, old] = dirs(run);
    [current, old].into_iter().find(|dir| dir.exists())
}

impl Checkpoint {
    /// Replaces the checkpoint of `run`. A crash at any moment leaves the old one or the new one.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn write(&self, optimizer: &ModuleOptimizer, run: &Path) -> Result<()> {
        let [current, new, old] = dirs(run);
        let remove = |dir: &Path| if dir.exists() { std::fs::remove_dir_all(dir) } else { Ok(()) };
        let write = || -> Result<()> {
            remove(&new)?;
            std::fs::create_dir_all(&new)?;
            tensors::write(&new.join("model.safetensors"), &self.model)?;
            tensors::write(&new.join("average.safetensors"), &self.average)?;
            optimizer.save(new.join("optimizer.bpk")).map_err(|error| anyhow!("{error}"))?;
            std::fs::write(new.join("progress.json"), serde_json::to_vec_pretty(&self.progress)?)?;
            // Without a current one, a crash left the old one, which is all there is until the new one has its name.
            if current.exists() {
                remove(&old)?;
                std::fs::rename(&current, &old)?;
            }
            std::fs::rename(&new, &current)?;
            Ok(remove(&old)?)
        };
        write().with_context(|| format!("cannot write the checkpoint in {}", run.display()))
    }

    /// The running average of the weights of `run`, unfolded, as it stood last.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn average(run: &Path) -> Result<NamedTensors> {
        let dir = standing(run).with_context(|| format!("{} has no checkpoint to go on from", run.display()))?;
        tensors::read(&dir.join("average.safetensors"))
    }

    /// Reads the checkpoint of `run` and the state of `optimizer`; `None` if there is none yet.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub fn read(optimizer: ModuleOptimizer, run: &Path) -> Result<Option<(Self, ModuleOptimizer)>> {
        let Some(dir) = standing(run) else { return Ok(None) };
        let read = || -> Result<(Self, ModuleOptimizer)> {
            let optimizer = optimizer.load(dir.join("optimizer.bpk")).map_err(|error| anyhow!("{error}"))?;
            let checkpoint = Self {
                progress: serde_json::from_slice(&std::fs::read(dir.join("progress.json"))?)?,
                model: tensors::read(&dir.join("model.safetensors"))?,
                average: tensors::read(&dir.join("average.safetensors"))?,
            };
            Ok((checkpoint, optimizer))
        };
        read().map(Some).with_context(|| format!("cannot read the checkpoint {}", dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::AdamWConfig;
    use deepbreath::model::NamedTensor;

    use super::*;

    fn checkpoint(epoch: usize, values: Vec<f32>) -> Checkpoint {
        let model = NamedTensors::from([("a".to_string(), NamedTensor { shape: vec![2], values })]);
        Checkpoint { progress: Progress { epoch, ..Progress::default() }, average: model.clone(), model }
    }

    #[test]
    fn a_run_is_over_after_its_last_epoch_or_its_patience() {
        let recipe = Recipe { epochs: 5, patience: 2, ..Recipe::default() };
        let at = |epoch, best| Progress { epoch, best, ..Progress::default() }.is_over(&recipe);
        assert!(!at(0, None) && !at(4, Some((0.9, 3))) && at(5, Some((0.9, 5))));
        assert!(!at(3, Some((0.9, 2))) && at(4, Some((0.9, 2))));
        let head_only = Recipe { epochs: 0, ..recipe.clone() };
        assert!(Progress::default().is_over(&head_only));
    }

    #[test]
    fn a_crash_leaves_a_whole_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path();
        let optimizer = || AdamWConfig::new().init();
        let epoch = || Checkpoint::read(optimizer(), run).expect("readable").expect("a checkpoint").0.progress.epoch;
        checkpoint(1, vec![1.0, 2.0]).write(&optimizer(), run).expect("written");
        checkpoint(2, vec![1.0, 2.0]).write(&optimizer(), run).expect("written");
        assert_eq!(epoch(), 2);
        assert!(!run.join("checkpoint.old").exists() && !run.join("checkpoint.new").exists());
        // Between the two renamings.
        std::fs::rename(run.join("checkpoint"), run.join("checkpoint.old")).expect("renamed");
        assert_eq!(epoch(), 2);
        // While the next one is written: these tensors cannot be.
        assert!(checkpoint(3, vec![1.0]).write(&optimizer(), run).is_err());
        assert_eq!(epoch(), 2, "the old one is all there is");
        checkpoint(4, vec![1.0, 2.0]).write(&optimizer(), run).expect("written");
        assert_eq!(epoch(), 4);
        assert!(!run.join("checkpoint.old").exists());
    }
}
