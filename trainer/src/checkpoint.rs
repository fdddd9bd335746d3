//! The resumable state of a training run: one folder, replaced as a whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use burn::optim::ModuleOptimizer;
use deepbreath::model::NamedTensors;
use serde::{Deserialize, Serialize};

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

impl Checkpoint {
    /// Replaces the checkpoint of `run`. A crash at any moment leaves the old one or the new one.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn write(&self, optimizer: &ModuleOptimizer, run: &Path) -> Result<()> {
        let [current, new, old] = dirs(run);
        let write = || -> Result<()> {
            for stale in [&new, &old] {
                if stale.exists() {
                    std::fs::remove_dir_all(stale)?;
                }
            }
            std::fs::create_dir_all(&new)?;
            tensors::write(&new.join("model.safetensors"), &self.model)?;
            tensors::write(&new.join("average.safetensors"), &self.average)?;
            optimizer.save(new.join("optimizer.bpk")).map_err(|error| anyhow!("{error}"))?;
            std::fs::write(new.join("progress.json"), serde_json::to_vec_pretty(&self.progress)?)?;
            if current.exists() {
                std::fs::rename(&current, &old)?;
            }
            std::fs::rename(&new, &current)?;
            if old.exists() {
                std::fs::remove_dir_all(&old)?;
            }
            Ok(())
        };
        write().with_context(|| format!("cannot write the checkpoint in {}", run.display()))
    }

    /// Reads the checkpoint of `run` and the state of `optimizer`; `None` if there is none yet.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub fn read(optimizer: ModuleOptimizer, run: &Path) -> Result<Option<(Self, ModuleOptimizer)>> {
        let [current, _, old] = dirs(run);
        let Some(dir) = [current, old].into_iter().find(|dir| dir.exists()) else { return Ok(None) };
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
