//! `trainer train`: one run from manifests to the best epoch's tensors.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use deepbreath::model::NamedTensors;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Progress};
use crate::cli::{ComputeArgs, DeviceChoice, TrainArgs};
use crate::dataset::{Manifest, Split, write_whole};
use crate::recipe::{Recipe, with_epochs};
use crate::training::{INTERRUPTED, Run};
use crate::{pretrained, soup, tutorial};

/// Name of the file of a [`RunRecord`].
const RECORD: &str = "run.json";

/// `run.json`: what a run was made of, for `export` and for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Recipe, whole.
    pub recipe: Recipe,
    /// Seed.
    pub seed: u64,
    /// Manifests as given.
    pub manifests: Vec<PathBuf>,
    /// SHA-256 of the manifests.
    pub manifest_digest: String,
    /// Findings.
    pub classes: Vec<String>,
    /// Initial weights as given.
    pub init: String,
    /// Version of the trainer.
    pub version: String,
    /// The run that this one goes on from, as a further stage; none for a run that begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Box<RunRecord>>,
    /// The runs whose weights were averaged, see [`crate::soup`]; empty for a run of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<RunRecord>,
}

impl RunRecord {
    /// Reads the record of the run in folder `run`.
    ///
    /// # Errors
    /// If the folder holds no run, or its record is damaged.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(RECORD);
        let bytes = std::fs::read(&path).with_context(|| format!("no finished run: cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Reads the record of the run in folder `run`, which must have come to its end: its last epoch, or an early stop.
    /// Of a run without a checkpoint (an average, or a copy that left it out) the weights of its best epoch are enough.
    ///
    /// # Errors
    /// As [`RunRecord::read`], and if the run is unfinished; the message says how far it is and how to finish it.
    pub fn read_finished(run: &Path) -> Result<Self> {
        let record = Self::read(run)?;
        let progress = Progress::of(run)?;
        let best = run.join("best.safetensors").exists();
        if best && progress.as_ref().is_none_or(|progress| progress.is_over(&record.recipe)) {
            return Ok(record);
        }
        let Progress { epoch, step, .. } = progress.unwrap_or_default();
        let within = if step > 0 { format!(" and {step} steps") } else { String::new() };
        bail!(
            "the run {0} is unfinished: {epoch} of {1} epochs{within} are over, and it was not stopped early for want of \
             progress. Finish it: give the `trainer train` command that began it (recipe {2}, seed {3}, --out {0}) again, \
             with --resume",
            run.display(),
            record.recipe.epochs,
            record.recipe.name,
            record.seed
        )
    }

    /// The run that began; itself without an earlier stage.
    pub fn first_stage(&self) -> &Self {
        self.after.as_deref().map_or(self, Self::first_stage)
    }

    /// Names of the recipes of all stages, the first one first.
    pub fn recipes(&self) -> String {
        let before = self.after.as_ref().map_or(String::new(), |before| before.recipes() + ", then ");
        before + &self.recipe.name
    }

    /// Writes the record into the folder `run`. One that is there stays: it says what the weights beside it were made of.
    ///
    /// # Errors
    /// If the one that is there is of another run, or the folder cannot be written.
    pub fn keep(&self, run: &Path) -> Result<()> {
        if !run.join(RECORD).exists() {
            return self.write(run);
        }
        let there = Self::read(run)?;
        // Neither where the manifests lie nor the version changes what the run is.
        let there = Self { manifests: self.manifests.clone(), version: self.version.clone(), ..there };
        ensure!(
            there == *self,
            "{} already holds a run of another recipe, seed, manifest or initial weights; give another --out",
            run.display()
        );
        Ok(())
    }

    /// Writes the record into the folder `run`, over one that is there.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, run: &Path) -> Result<()> {
        write_whole(&run.join(RECORD), &serde_json::to_vec_pretty(self)?)
    }
}

/// Makes Ctrl-C stop at the next step instead of at once. The second Ctrl-C ends the process.
pub fn stop_on_interrupt() {
    use std::sync::atomic::Ordering;
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step (Ctrl-C again to stop at once)");
    };
    // A second handler in one process is refused; the first does the same.
    let _ = ctrlc::set_handler(handler);
}

/// The device that the arguments name, and the number of CPU threads.
///
/// # Errors
/// If this build has no such backend.
pub fn device(compute: &ComputeArgs) -> Result<Device> {
    Ok(devices(compute, &[])?.remove(0))
}

/// The devices of these `numbers` of the kind that the arguments name; without numbers, the one that they name.
///
/// # Errors
/// If this build has no such backend, or the backend has one device only.
pub fn devices(compute: &ComputeArgs, numbers: &[usize]) -> Result<Vec<Device>> {
    if let Some(threads) = compute.threads {
        // Fails only if a pool exists already, e.g. for a second command in one process.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
    }
    if numbers.is_empty() {
        return Ok(vec![open(compute.device, None)?]);
    }
    numbers.iter().map(|number| open(compute.device, Some(*number))).collect()
}

fn open(device: DeviceChoice, number: Option<usize>) -> Result<Device> {
    #[cfg(any(feature = "wgpu", feature = "vulkan"))]
    let kind = number.map_or_else(Default::default, burn::tensor::DeviceKind::DiscreteGpu);
    match device {
        DeviceChoice::Cpu => {
            ensure!(number.unwrap_or(0) == 0, "the CPU is one device: use --threads, or --device with --devices");
            Ok(Device::flex())
        }
        #[cfg(feature = "wgpu")]
        DeviceChoice::Wgpu => Ok(Device::wgpu(kind)),
        #[cfg(feature = "vulkan")]
        DeviceChoice::Vulkan => Ok(Device::vulkan(kind)),
        #[cfg(feature = "cuda")]
        DeviceChoice::Cuda(first) => Ok(Device::cuda(number.unwrap_or(first))),
        #[allow(unreachable_patterns, reason = "which arms exist depends on features")]
        other => bail!("this trainer was built without {other}: build it with `--features {}`", feature(other)),
    }
}

fn feature(device: DeviceChoice) -> String {
    device.to_string().split(':').next().unwrap_or_default().to_string()
}

/// What a run starts from: weights from a file, or, where `init` is the folder of a run, that run's average with its
/// record.
///
/// # Errors
/// If there are no such weights, if the run is unfinished, or if it learned from films that `manifest`, split by `seed`, tests on.
fn start(init: &Path, manifest: &Manifest, seed: u64) -> Result<(NamedTensors, Option<RunRecord>)> {
    if !init.is_dir() {
        return Ok((pretrained::read(init)?, None));
    }
    let before = RunRecord::read_finished(init)?;
    ensure!(before.members.is_empty(), "{} is an average of runs: start from one of them", init.display());
    ensure!(
        before.manifest_digest == manifest.digest && before.classes == manifest.classes,
        "the run {} learned from another manifest: films that this one tests on may be among what it learned from. Give \
         the same manifests",
        init.display()
    );
    soup::same_split(&before, [seed])?;
    Ok((Checkpoint::average(init)?, Some(before)))
}

/// Runs the command.
///
/// # Errors
/// If a file is missing or wrong, or the run was stopped; the message says what to do.
pub fn run(args: &TrainArgs) -> Result<()> {
    stop_on_interrupt();
    if args.recipe == tutorial::RECIPE {
        ensure!(args.devices.is_empty(), "the tutorial's head is trained on one device: leave out --devices");
        return tutorial::run(args);
    }
    let devices = devices(&args.compute, &args.devices)?;
    let mut recipe = Recipe::read(&args.recipe)?;
    if let Some(epochs) = args.epochs {
        let epochs = epochs as usize;
        recipe.name = with_epochs(&recipe.name, epochs, recipe.epochs);
        recipe.epochs = epochs;
    }
    let mut manifest = Manifest::read(&args.manifests)?;
    let marked = manifest.subset(Split::Train).len();
    manifest.split_by_patient(args.seed);
    let taken = marked.saturating_sub(manifest.subset(Split::Train).len());
    if taken > 0 {
        eprintln!("warning: no film is marked `val`: {taken} of the {marked} marked `train` were taken to validate on");
    }
    manifest.validation_caveats().iter().for_each(|caveat| eprintln!("warning: {caveat}"));
    let init_path = args.init.clone().unwrap_or_else(pretrained::default_path);
    let (init, after) = start(&init_path, &manifest, args.seed)?;
    let record = RunRecord {
        recipe: recipe.clone(),
        seed: args.seed,
        manifests: args.manifests.clone(),
        manifest_digest: manifest.digest.clone(),
        classes: manifest.classes.clone(),
        init: init_path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
        after: after.map(Box::new),
        members: Vec::new(),
    };
    let cache = args.out.join("films");
    let run = Run {
        train: manifest.subset(Split::Train),
        validation: manifest.subset(Split::Validation),
        classes: &manifest.classes,
        recipe: &recipe,
        seed: args.seed,
        devices,
        out: &args.out,
        cache: &cache,
        record: Some(&record),
    };
    println!("{} films to train on, {} to validate, findings {:?}", run.train.len(), run.validation.len(), run.classes);
    run.train(&init, args.resume)?;
    println!("best weights: {}", args.out.join("best.safetensors").display());
    Ok(())
}
