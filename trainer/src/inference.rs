//! Logits and pooled features of many films, by the same path as any answer.

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use deepbreath::model::{FEATURES, Model, ModelConfig, NamedTensors, NormMode, pool};
use deepbreath::preprocess::ModelInput;
use rayon::prelude::*;

use crate::dataset::Film;
use crate::films;
use crate::training::check_interrupted;

/// Films of a forward pass.
const BATCH: usize = 16;

/// Builds a folded model on a plain device.
///
/// # Errors
/// If the tensors do not fit the architecture.
pub fn folded(tensors: &NamedTensors, device: &Device) -> Result<Model> {
    let classes = tensors.get("classifier.bias").map_or(0, |bias| bias.values.len());
    Ok(Model::from_tensors(&ModelConfig::new(classes), &Model::fold(tensors), device)?)
}

/// One row for each film: what `read` makes of the model's pooled features `[B, FEATURES]`.
fn rows(
    films: &[&Film],
    model: &Model,
    device: &Device,
    progress: &dyn Fn(usize),
    read: impl Fn(Tensor<2>) -> Tensor<2>,
) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::with_capacity(films.len());
    for batch in films.chunks(BATCH) {
        check_interrupted()?;
        let inputs: Vec<ModelInput> = batch.par_iter().map(|film| films::input(film)).collect::<Result<_>>()?;
        let map = model.feature_map(ModelInput::to_batch(&inputs, device), NormMode::Frozen);
        let values = read(pool(map)).into_data().convert::<f32>().try_into_vec::<f32>().expect("32-bit values");
        rows.extend(values.chunks_exact(values.len() / batch.len()).map(<[f32]>::to_vec));
        progress(rows.len());
    }
    Ok(rows)
}

/// Logits of each film, `[films][classes]`.
///
/// # Errors
/// If a film cannot be decoded (the message names it), or Ctrl-C was pressed.
pub fn logits(films: &[&Film], model: &Model, device: &Device, progress: &dyn Fn(usize)) -> Result<Vec<Vec<f32>>> {
    rows(films, model, device, progress, |pooled| model.classify(pooled))
}

/// Pooled features of each film, `[films][FEATURES]`.
///
/// # Errors
/// As [`logits`].
pub fn features(films: &[&Film], model: &Model, device: &Device, progress: &dyn Fn(usize)) -> Result<Vec<Vec<f32>>> {
    let rows = rows(films, model, device, progress, |pooled| pooled)?;
    debug_assert!(rows.iter().all(|row| row.len() == FEATURES));
    Ok(rows)
}
