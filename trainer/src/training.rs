//! The training loop: a head on frozen features, then all weights.
//!
//! What it does not do: read the test split, choose a recipe, or write a release (see [`crate::export`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use deepbreath::model::{FEATURES, Model, ModelConfig, NamedTensors, NormMode, pool};
use deepbreath::preprocess::{ModelInput, SIDE};
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::average::Average;
use crate::batch::{Batch, dropout_mask};
use crate::checkpoint::{Checkpoint, Progress};
use crate::dataset::{Film, hex, write_whole};
use crate::films::{FilmCache, STORED_SIDE, identity};
use crate::gradients::climb;
use crate::inference::Inputs;
use crate::parallel::Shares;
use crate::plots::{EpochRecord, training_curves};
use crate::recipe::{NORM_MOMENTUM, Norms, Recipe};
use crate::sampler::{Sampler, stream};
use crate::surroundings::swap_surroundings;
use crate::train::RunRecord;
use crate::validation::{EpochMetrics, Validation, append_metrics};
use crate::{head, inference, tensors};

/// Set by Ctrl-C; the loop stops after the step or the batch of films in progress.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Longest time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// The way up of a sharpness-aware step is found on one part in this many of its batch: it need not be exact, and small
/// parts serve as well (m-sharpness, Foret et al. 2021).
const ASCENT_PART: usize = 2;
/// Batches that may wait, ready, for the loop.
const READY_BATCHES: usize = 4;

/// Everything a run needs.
#[derive(Debug)]
pub struct Run<'a> {
    /// Films to learn from.
    pub train: Vec<&'a Film>,
    /// Films that choose the epoch.
    pub validation: Vec<&'a Film>,
    /// Findings.
    pub classes: &'a [String],
    /// Recipe.
    pub recipe: &'a Recipe,
    /// Seed of everything random.
    pub seed: u64,
    /// Where to compute: one device, or several for data-parallel steps.
    pub devices: Vec<Device>,
    /// Folder of the run.
    pub out: &'a Path,
    /// Folder of decoded films.
    pub cache: &'a Path,
    /// What becomes `run.json`; nothing for a part of something larger.
    pub record: Option<&'a RunRecord>,
}

/// What a folder holds once a run has got anywhere in it.
const STATE: [&str; 4] = ["checkpoint", "checkpoint.old", "metrics.jsonl", "best.safetensors"];

/// An error if Ctrl-C was pressed.
///
/// # Errors
/// Says what to do; where the command keeps what it has done, the same command goes on from there.
pub fn check_interrupted() -> Result<()> {
    ensure!(
        !INTERRUPTED.load(Ordering::Relaxed),
        "stopped by Ctrl-C; give the same command again (`train`: with --resume)"
    );
    Ok(())
}

/// A progress bar on the terminal; invisible where there is none.
pub fn progress_bar(length: usize, what: &str) -> ProgressBar {
    let style = "{msg:<22} {bar:32} {pos}/{len}  {per_sec}  ETA {eta}";
    let bar = ProgressBar::new(length as u64);
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    bar.set_message(what.to_string());
    bar
}

impl Run<'_> {
    /// Trains from `init` (unfolded tensors of any head), or goes on from the run's checkpoint if `resume`.
    /// Returns the folded tensors of the best epoch, which also lie in `best.safetensors`.
    ///
    /// # Errors
    /// If the folder holds another run (which then stays as it is), films or files cannot be read or written, or Ctrl-C was
    /// pressed (the run can then be resumed).
    pub fn train(&self, init: &NamedTensors, resume: bool) -> Result<NamedTensors> {
        for (films, what, word) in [(&self.train, "to train on", "train"), (&self.validation, "to validate on", "val")]
        {
            ensure!(
                !films.is_empty(),
                "no films {what}: mark some as `{word}` in the manifest's column `split`, or leave that column empty and \
                 add films of further patients"
            );
        }
        let labels: BTreeSet<usize> = self.train.iter().map(|film| film.label).collect();
        ensure!(
            labels.len() > 1,
            "all films to train on are labelled `{}`: there is nothing to tell apart. Add films of another label to the \
             manifest, or mark some as `train`",
            self.classes[self.train[0].label]
        );
        std::fs::create_dir_all(self.out).with_context(|| format!("cannot create {}", self.out.display()))?;
        let fingerprint = self.fingerprint(init)?;
        let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(self.recipe.weight_decay).init();
        let restored = if resume { Checkpoint::read(optimizer.clone(), self.out)? } else { None };
        if let Some((state, _)) = &restored {
            ensure!(
                state.progress.fingerprint == fingerprint,
                "{0} was started with another recipe, seed, initial weights or films, or by an older trainer; give another \
                 --out, or delete {0} to start anew",
                self.out.display()
            );
        }
        let holds_a_run = STATE.iter().any(|name| self.out.join(name).exists());
        ensure!(
            resume || !holds_a_run,
            "{} already holds a run: continue it with --resume or give another --out",
            self.out.display()
        );
        if let Some(record) = self.record {
            // A record alone, of a run that never began, describes nothing.
            if holds_a_run { record.keep(self.out)? } else { record.write(self.out)? }
        }
        let bar = progress_bar(self.train.len(), "decoding films");
        let cache = FilmCache::open(&self.train, self.cache, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let sampler = Sampler::new(&self.train, self.recipe.shared_sources, self.seed);
        let (state, optimizer) = match restored {
            Some(restored) => restored,
            None => {
                let model = self.first_stage(init, &cache, &sampler)?;
                let progress = Progress { fingerprint, ..Progress::default() };
                let state = Checkpoint { progress, average: model.clone(), model };
                state.write(&optimizer, self.out)?;
                (state, optimizer)
            }
        };
        Stage { run: self, cache: &cache, sampler: &sampler, validation: Inputs::new(&self.validation) }
            .train(state, optimizer)
    }

    /// A head fitted on the frozen features.
    fn first_stage(&self, init: &NamedTensors, cache: &FilmCache, sampler: &Sampler) -> Result<NamedTensors> {
        ensure!(
            self.recipe.norms == Norms::Frozen || init.keys().any(|name| name.contains(".norm.")),
            "the initial weights have no batch norms (they are folded), and the recipe `{}` trains with `norms = \"batch\"`: \
             start from ImageNet weights, or use `--recipe fine-tune`",
            self.recipe.name
        );
        let device = self.devices[0].clone().inner();
        let mut start = init.clone();
        let classes = self.classes.len();
        let blank = head::Head::zeros(classes);
        start.insert("classifier.weight".into(), blank.weight);
        start.insert("classifier.bias".into(), blank.bias);
        let (features, labels, weights) = match self.recipe.norms {
            Norms::Frozen => {
                let folded = inference::folded(&start, &device)?;
                let bar = progress_bar(self.train.len(), "features for the head");
                let progress = |done| bar.set_position(done as u64);
                let features = inference::features(&self.train, &folded, &device, &progress)?;
                (features, self.train.iter().map(|film| film.label).collect(), sampler.weights())
            }
            Norms::Batch => {
                let (features, labels) = self.batch_features(&start, cache, sampler, &device)?;
                let weights = vec![1.0; labels.len()];
                (features, labels, weights)
            }
        };
        let head = head::fit(&features, &labels, &weights, classes, &self.recipe.head);
        start.insert("classifier.weight".into(), head.weight);
        start.insert("classifier.bias".into(), head.bias);
        Ok(start)
    }

    /// Features of an epoch's views by the statistics of their batches, as the next stage will see them, with labels.
    fn batch_features(
        &self,
        start: &NamedTensors,
        cache: &FilmCache,
        sampler: &Sampler,
        device: &Device,
    ) -> Result<(Vec<Vec<f32>>, Vec<usize>)> {
        let model = Model::from_tensors(&ModelConfig::new(self.classes.len()), start, device)?;
        let order = sampler.epoch(0);
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        let bar = progress_bar(order.len(), "features for the head");
        for (index, films) in order.chunks_exact(self.recipe.batch.min(order.len())).enumerate() {
            check_interrupted()?;
            let batch = self.batch(cache, films, u64::MAX, index * self.recipe.batch)?;
            let images = Tensor::from_data(TensorData::new(batch.images, [batch.size, 3, SIDE, SIDE]), device);
            let pooled = pool(model.feature_map(images, NormMode::Batch { momentum: 0.0 }));
            let values: Vec<f32> = pooled.into_data().convert::<f32>().try_into_vec().expect("32-bit values");
            features.extend(values.chunks_exact(FEATURES).map(<[f32]>::to_vec));
            labels.extend(films.iter().map(|film| self.train[*film].label));
            bar.inc(films.len() as u64);
        }
        Ok((features, labels))
    }

    /// Everything the result depends on.
    fn fingerprint(&self, init: &NamedTensors) -> Result<String> {
        let identities = |films: &[&Film]| films.iter().map(|film| identity(film)).collect::<Result<Vec<_>>>();
        let films = [identities(&self.train)?, identities(&self.validation)?];
        let mut hash = Sha256::new();
        hash.update(serde_json::to_string(&(self.recipe, self.seed, self.classes, films))?);
        tensors::digest(init, &mut hash);
        Ok(hex(&hash.finalize()))
    }

    /// The augmented views of `films`, which stand from `position` on in `epoch`.
    fn batch(&self, cache: &FilmCache, films: &[usize], epoch: u64, position: usize) -> Result<Batch> {
        let classes = self.classes.len();
        let spread = self.recipe.label_smoothing / classes as f32;
        let view = |(row, film): (usize, &usize)| -> Result<Vec<f32>> {
            let mut random = stream(self.seed, [3, epoch, (position + row) as u64]);
            let mut plane = cache.plane(*film)?;
            // No draw where the recipe has no use for it: other recipes' numbers stay as they were.
            if self.recipe.swapped_surroundings > 0.0 && random.random_bool(self.recipe.swapped_surroundings) {
                let other = films[random.random_range(0..films.len())];
                plane = swap_surroundings(&plane, &cache.plane(other)?, STORED_SIDE);
            }
            let view = self.recipe.augmentation.apply(&plane, STORED_SIDE, &mut random);
            Ok(ModelInput::from_plane(view).values)
        };
        let views: Vec<Vec<f32>> = films.par_iter().enumerate().map(view).collect::<Result<_>>()?;
        let images = views.concat();
        let mut targets = vec![spread; films.len() * classes];
        for (row, film) in films.iter().enumerate() {
            targets[row * classes + self.train[*film].label] += 1.0 - self.recipe.label_smoothing;
        }
        Ok(Batch { images, targets, size: films.len() })
    }
}

/// The second stage: all weights.
struct Stage<'a> {
    run: &'a Run<'a>,
    cache: &'a FilmCache,
    sampler: &'a Sampler,
    validation: Inputs<'a>,
}

impl Stage<'_> {
    fn train(&self, mut state: Checkpoint, mut optimizer: ModuleOptimizer) -> Result<NamedTensors> {
        let (run, recipe) = (self.run, self.run.recipe);
        let device = run.devices[0].clone().autodiff();
        let config = ModelConfig::new(run.classes.len());
        let mut model = Model::from_tensors(&config, &state.model, &device)?.freeze(recipe.frozen_blocks);
        let mut average = Average::new(&state.average, &device.clone().inner());
        let mut saved = Instant::now();
        if state.progress == (Progress { fingerprint: state.progress.fingerprint.clone(), ..Progress::default() }) {
            let start = self.validate(&Model::fold(&state.model))?;
            println!("head on frozen features: {start}");
            if recipe.epochs == 0 {
                tensors::write(&run.out.join("best.safetensors"), &Model::fold(&state.model))?;
            }
        }
        while !state.progress.is_over(recipe) {
            let epoch = state.progress.epoch;
            let order = self.sampler.epoch(epoch);
            let batches: Vec<&[usize]> = order.chunks_exact(recipe.batch.min(order.len())).collect();
            let first = state.progress.step;
            let bar = progress_bar(batches.len() * recipe.batch, &format!("epoch {} of {}", epoch + 1, recipe.epochs));
            bar.set_position((first * recipe.batch) as u64);
            let start = Instant::now();
            std::thread::scope(|scope| -> Result<()> {
                let (sender, receiver) = sync_channel(READY_BATCHES);
                scope.spawn({
                    let batches = &batches;
                    move || {
                        for (step, films) in batches.iter().enumerate().skip(first) {
                            let batch = run.batch(self.cache, films, epoch as u64, step * recipe.batch);
                            let batch = batch.map(|mut batch| {
                                batch.mix(recipe.mixup, &mut stream(run.seed, [5, epoch as u64, step as u64]));
                                batch
                            });
                            if sender.send(batch).is_err() {
                                return;
                            }
                        }
                    }
                });
                let receiver: Receiver<Result<Batch>> = receiver;
                for (step, batch) in (first..batches.len()).zip(receiver) {
                    let rate = recipe.rate(epoch * batches.len() + step, recipe.epochs * batches.len());
                    let loss = self.step(&mut model, &mut optimizer, batch?, rate, (epoch, step))?;
                    average.update(&model, recipe.averaging, epoch * batches.len() + step);
                    state.progress.step = step + 1;
                    state.progress.loss_sum += loss;
                    bar.inc(recipe.batch as u64);
                    let stop = INTERRUPTED.load(Ordering::Relaxed);
                    if stop || saved.elapsed() > CHECKPOINT_EVERY {
                        (state.model, state.average) = (model.tensors(), average.tensors());
                        state.write(&optimizer, run.out)?;
                        saved = Instant::now();
                    }
                    if stop {
                        bail!("stopped; go on with the same command and --resume");
                    }
                }
                Ok(())
            })?;
            bar.finish_and_clear();
            let speed = ((batches.len() - first) * recipe.batch) as f64 / start.elapsed().as_secs_f64();
            let train_loss = state.progress.loss_sum / batches.len() as f64;
            (state.model, state.average) = (model.tensors(), average.tensors());
            // All steps are over, the epoch is not: a stop in its validation costs no step.
            state.write(&optimizer, run.out)?;
            self.finish_epoch(&mut state, train_loss, speed)?;
            state.write(&optimizer, run.out)?;
            saved = Instant::now();
        }
        tensors::read(&run.out.join("best.safetensors"))
    }

    /// One optimiser step over all devices; returns the loss.
    fn step(
        &self,
        model: &mut Model,
        optimizer: &mut ModuleOptimizer,
        batch: Batch,
        rate: f64,
        (epoch, step): (usize, usize),
    ) -> Result<f64> {
        let run = self.run;
        let mut random = stream(run.seed, [4, epoch as u64, step as u64]);
        let mask = dropout_mask(batch.size * FEATURES, 1.0 - run.recipe.dropout, &mut random);
        let gradients = |model: &Model, first: usize, norms: NormMode| {
            Shares::new(&batch, first, &mask, &run.devices).gradients(model, norms)
        };
        let (radius, part) = (run.recipe.sharpness, batch.size.div_ceil(ASCENT_PART));
        let (loss, descent) = if radius > 0.0 {
            let ascent = gradients(model, part, self.norm_mode(0.0)).1;
            gradients(&climb(model.clone(), &ascent, radius), batch.size, self.norm_mode(NORM_MOMENTUM))
        } else {
            gradients(model, batch.size, self.norm_mode(NORM_MOMENTUM))
        };
        *model = optimizer.step(rate, model.clone(), descent);
        let value = loss.into_scalar::<f64>();
        ensure!(value.is_finite(), "the loss is no longer a number in epoch {}; lower the learning rate", epoch + 1);
        Ok(value)
    }

    fn norm_mode(&self, momentum: f32) -> NormMode {
        match self.run.recipe.norms {
            Norms::Frozen => NormMode::Frozen,
            Norms::Batch => NormMode::Batch { momentum },
        }
    }

    fn validate(&self, folded: &NamedTensors) -> Result<Validation> {
        let run = self.run;
        Validation::of(folded, &self.validation, run.classes.len(), &run.devices[0].clone().inner())
    }

    /// Judges the averaged weights on validation films, keeps them if they are the best, writes metrics and curves.
    fn finish_epoch(&self, state: &mut Checkpoint, train_loss: f64, images_per_s: f64) -> Result<()> {
        let run = self.run;
        let folded = Model::fold(&state.average);
        let validation = self.validate(&folded)?;
        let Validation { macro_auroc, within, balanced_accuracy, loss, .. } = validation;
        let selection = validation.selection();
        let epoch = state.progress.epoch + 1;
        let metrics = EpochMetrics {
            record: EpochRecord { epoch, train_loss, validation_loss: Some(loss), validation_macro_auroc: macro_auroc },
            validation_balanced_accuracy: balanced_accuracy,
            validation_within_source_auroc: within,
            selection,
            images_per_s,
        };
        if state.progress.best.is_none_or(|(best, _)| selection > best) {
            state.progress.best = Some((selection, epoch));
            tensors::write(&run.out.join("best.safetensors"), &folded)?;
        }
        let history = append_metrics(run.out, &metrics)?;
        write_whole(&run.out.join("curves.svg"), training_curves(&history).as_bytes())?;
        println!("epoch {epoch:>2}: loss {train_loss:.4}, {validation}, {images_per_s:.1} images/s");
        state.progress = Progress { epoch, step: 0, loss_sum: 0.0, ..state.progress.clone() };
        Ok(())
    }
}
