//! `trainer average`: the mean of several runs' weights, a "model soup" (Wortsman et al. 2022, arXiv:2203.05482).
//!
//! Runs that start from the same weights and the same head end in one basin of the loss; their mean generalises like an
//! ensemble of them, at the price of one network. So do a run and one that went on from it (WiSE-FT, Wortsman et al. 2022,
//! arXiv:2109.01903). Runs with other batch norm statistics (`norms`) do not.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use deepbreath::model::NamedTensors;

use crate::cli::AverageArgs;
use crate::dataset::{Manifest, Split};
use crate::tensors;
use crate::train::RunRecord;

/// The mean of `members`, tensor by tensor, each with the same weight.
///
/// # Errors
/// If there is none, or if names or shapes differ; the message names the tensor.
pub fn mean(members: &[NamedTensors]) -> Result<NamedTensors> {
    let (first, others) = members.split_first().context("nothing to average")?;
    let mut mean = first.clone();
    for other in others {
        ensure!(other.len() == mean.len(), "the runs hold {} and {} tensors", mean.len(), other.len());
        for (name, sum) in &mut mean {
            let tensor = other.get(name).with_context(|| format!("a run has no {name}"))?;
            ensure!(tensor.shape == sum.shape, "{name} is {:?} in one run, {:?} in another", sum.shape, tensor.shape);
            sum.values.iter_mut().zip(&tensor.values).for_each(|(sum, value)| *sum += value);
        }
    }
    let part = 1.0 / members.len() as f32;
    mean.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value *= part);
    Ok(mean)
}

/// What the average was made of: the first run's record, with all of them as members.
fn record(members: Vec<RunRecord>) -> Result<RunRecord> {
    let first = members.first().context("nothing to average")?.clone();
    for member in &members[1..] {
        ensure!(
            member.manifest_digest == first.manifest_digest && member.classes == first.classes,
            "the runs were trained on other manifests or findings: average runs of one data set"
        );
        let [one, other] = [&first, member].map(|run| &run.first_stage().init);
        ensure!(one == other, "the runs started from {one} and {other}");
        ensure!(
            member.recipe.norms == first.recipe.norms,
            "the runs used other batch norm statistics (`norms`): their mean is no network"
        );
    }
    let name = members.iter().map(|member| format!("{} (seed {})", member.recipes(), member.seed));
    let name = format!("average of {}", Vec::from_iter(name).join(", "));
    let recipe = crate::recipe::Recipe { name, ..first.recipe.clone() };
    Ok(RunRecord { recipe, members, ..first })
}

/// Checks that runs of these `seeds` on the manifests of `record` have its split: else what one is to be tested on,
/// another learned from, as happens where each seed draws a split of its own.
///
/// # Errors
/// If a split differs, or a manifest cannot be read.
pub(crate) fn same_split(record: &RunRecord, seeds: impl IntoIterator<Item = u64>) -> Result<()> {
    let split = |seed: u64| -> Result<Vec<Option<Split>>> {
        let mut manifest = Manifest::read(&record.manifests)?;
        manifest.split_by_patient(seed);
        Ok(manifest.films.iter().map(|film| film.split).collect())
    };
    for seed in seeds.into_iter().filter(|seed| *seed != record.seed) {
        ensure!(
            split(seed)? == split(record.seed)?,
            "the manifest leaves the split to the seed, and the runs have seeds {} and {seed}: what one was to be tested on, \
             another learned from. Use a manifest with a whole split column",
            record.seed
        );
    }
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// If a run is unfinished, the runs do not fit together, or the folder holds another run or cannot be written.
pub fn run(args: &AverageArgs) -> Result<()> {
    let records = args.runs.iter().map(|run| RunRecord::read_finished(run)).collect::<Result<_>>()?;
    let record = record(records)?;
    let members = args.runs.iter().map(|run| best(run)).collect::<Result<Vec<_>>>()?;
    same_split(&record, record.members.iter().map(|member| member.seed))?;
    let mean = mean(&members)?;
    // A run that is there is replaced by the same average only.
    record.keep(&args.out)?;
    tensors::write(&args.out.join("best.safetensors"), &mean)?;
    println!("{}: {}", args.out.display(), record.recipe.name);
    Ok(())
}

/// The tensors of a run's best epoch.
///
/// # Errors
/// If the run has none.
pub fn best(run: &Path) -> Result<NamedTensors> {
    tensors::read(&run.join("best.safetensors")).context("the run's best epoch is gone: train again")
}

#[cfg(test)]
mod tests {
    use deepbreath::model::{Model, ModelConfig, NamedTensor};

    use super::*;

    #[test]
    fn the_mean_is_taken_value_by_value() {
        let tensors = |values: [f32; 2]| {
            NamedTensors::from([("a".to_string(), NamedTensor { shape: vec![2], values: values.to_vec() })])
        };
        let mean = mean(&[tensors([1.0, -2.0]), tensors([2.0, 0.0]), tensors([6.0, 8.0])]).unwrap();
        assert_eq!(mean["a"].values, [3.0, 2.0]);
    }

    #[test]
    fn networks_of_other_shapes_are_refused_by_name() {
        let [three, two] = [3, 2].map(|classes| Model::random_tensors(&ModelConfig::new(classes), 1));
        let error = mean(&[three, two]).unwrap_err().to_string();
        assert!(error.contains("classifier"), "{error}");
    }

    #[test]
    fn runs_with_other_statistics_are_refused() {
        let run = |norms| RunRecord {
            recipe: crate::recipe::Recipe { norms, ..Default::default() },
            seed: 1,
            manifests: Vec::new(),
            manifest_digest: "same".into(),
            classes: vec!["a".into(), "b".into()],
            init: "init".into(),
            version: String::new(),
            after: None,
            members: Vec::new(),
        };
        use crate::recipe::Norms::{Batch, Frozen};
        assert_eq!(
            record(vec![run(Frozen), run(Frozen)]).unwrap().recipe.name,
            "average of default (seed 1), default (seed 1)"
        );
        // A run and one that went on from it began alike; one that began elsewhere did not.
        let later = |init: &str| RunRecord {
            init: "first".into(),
            after: Some(Box::new(RunRecord { init: init.into(), ..run(Frozen) })),
            ..run(Frozen)
        };
        assert_eq!(
            record(vec![run(Frozen), later("init")]).unwrap().recipe.name,
            "average of default (seed 1), default, then default (seed 1)"
        );
        assert!(
            record(vec![run(Frozen), later("other")]).unwrap_err().to_string().contains("started from init and other")
        );
        assert!(record(vec![run(Frozen), run(Batch)]).unwrap_err().to_string().contains("norms"));
    }

    #[test]
    fn a_run_is_never_overwritten_and_splits_are_shared() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("films.csv");
        let mut text = "path,label\n".to_string();
        for film in 0..40 {
            std::fs::write(folder.path().join(format!("{film}.png")), "").unwrap();
            text += &format!("{film}.png,{}\n", ["a", "b"][film % 2]);
        }
        std::fs::write(&csv, text).unwrap();
        let tensors = NamedTensors::from([("a".to_string(), NamedTensor { shape: vec![1], values: vec![1.0] })]);
        let run = |name: &str, seed: u64| {
            let out = folder.path().join(name);
            let record = RunRecord {
                recipe: crate::recipe::Recipe::default(),
                seed,
                manifests: vec![csv.clone()],
                manifest_digest: "same".into(),
                classes: vec!["a".into(), "b".into()],
                init: "init".into(),
                version: String::new(),
                after: None,
                members: Vec::new(),
            };
            record.write(&out).unwrap();
            tensors::write(&out.join("best.safetensors"), &tensors).unwrap();
            out
        };
        let [one, again, other] = [run("one", 1), run("again", 1), run("other", 2)];
        let average = |runs: [&Path; 2], out: &Path| {
            super::run(&AverageArgs { runs: runs.map(Path::to_path_buf).to_vec(), out: out.to_path_buf() })
        };
        let before = std::fs::read(one.join("run.json")).unwrap();
        let error = average([&one, &again], &one).unwrap_err().to_string();
        assert!(error.contains("another --out"), "{error}");
        assert!(std::fs::read(one.join("run.json")).unwrap() == before);
        let mean = folder.path().join("mean");
        average([&one, &again], &mean).unwrap();
        average([&one, &again], &mean).unwrap();
        assert_eq!(RunRecord::read(&mean).unwrap().members.len(), 2);
        // Each seed drew test films of its own.
        let error = average([&one, &other], &folder.path().join("mixed")).unwrap_err().to_string();
        assert!(error.contains("seeds 1 and 2"), "{error}");
    }
}
