//! Logits and pooled features of many films, by the same path as any answer.

use std::sync::OnceLock;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use deepbreath::model::{FEATURES, Model, ModelConfig, NamedTensors, NormMode, pool};
use deepbreath::preprocess::{ModelInput, SIDE};
use rayon::prelude::*;

use crate::dataset::Film;
use crate::films;
use crate::training::check_interrupted;

/// Films of a forward pass.
const BATCH: usize = 16;

/// Bytes of inputs that [`Inputs`] keeps in memory: some 2,600 films, more than most sets to validate on have, and no more
/// than the weights, gradients and activations of training take beside it.
const KEPT_BYTES: usize = 512 << 20;

/// The network's inputs of films that are looked at again and again, as after each epoch. Each film is decoded once and kept,
/// up to [`KEPT_BYTES`]; films beyond are decoded each time.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    films: &'a [&'a Film],
    /// One of the three equal channels, and whether the film is blank; as many places as may be kept.
    kept: Vec<OnceLock<(Vec<f32>, bool)>>,
}

impl<'a> Inputs<'a> {
    /// Reads nothing yet.
    pub(crate) fn new(films: &'a [&'a Film]) -> Self {
        Self::within(films, KEPT_BYTES)
    }

    fn within(films: &'a [&'a Film], bytes: usize) -> Self {
        let places = films.len().min(bytes / (SIDE * SIDE * size_of::<f32>()));
        Self { films, kept: (0..places).map(|_| OnceLock::new()).collect() }
    }

    /// The films, in order.
    pub(crate) fn films(&self) -> &'a [&'a Film] {
        self.films
    }

    fn input(&self, index: usize) -> Result<ModelInput> {
        let Some(place) = self.kept.get(index) else { return films::input(self.films[index]) };
        if let Some((channel, blank)) = place.get() {
            return Ok(ModelInput { values: channel.repeat(3), blank: *blank });
        }
        let input = films::input(self.films[index])?;
        // Kept already by another thread only if that looked at the same film.
        let _ = place.set((input.values[..SIDE * SIDE].to_vec(), input.blank));
        Ok(input)
    }

    /// As [`logits`].
    ///
    /// # Errors
    /// As [`logits`].
    pub(crate) fn logits(&self, model: &Model, device: &Device, progress: &dyn Fn(usize)) -> Result<Vec<Vec<f32>>> {
        let input = |index| self.input(index);
        rows(self.films.len(), input, model, device, progress, |pooled| model.classify(pooled))
    }
}

/// Builds a folded model on a plain device.
///
/// # Errors
/// If the tensors do not fit the architecture.
pub fn folded(tensors: &NamedTensors, device: &Device) -> Result<Model> {
    let classes = tensors.get("classifier.bias").map_or(0, |bias| bias.values.len());
    Ok(Model::from_tensors(&ModelConfig::new(classes), &Model::fold(tensors), device)?)
}

/// One row for each of `count` films: what `read` makes of the model's pooled features `[B, FEATURES]` of their inputs.
fn rows(
    count: usize,
    input: impl Fn(usize) -> Result<ModelInput> + Sync,
    model: &Model,
    device: &Device,
    progress: &dyn Fn(usize),
    read: impl Fn(Tensor<2>) -> Tensor<2>,
) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::with_capacity(count);
    for first in (0..count).step_by(BATCH) {
        check_interrupted()?;
        let batch = first..count.min(first + BATCH);
        let inputs: Vec<ModelInput> = batch.clone().into_par_iter().map(&input).collect::<Result<_>>()?;
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
    rows(films.len(), |index| films::input(films[index]), model, device, progress, |pooled| model.classify(pooled))
}

/// Pooled features of each film, `[films][FEATURES]`.
///
/// # Errors
/// As [`logits`].
pub fn features(films: &[&Film], model: &Model, device: &Device, progress: &dyn Fn(usize)) -> Result<Vec<Vec<f32>>> {
    let rows = rows(films.len(), |index| films::input(films[index]), model, device, progress, |pooled| pooled)?;
    debug_assert!(rows.iter().all(|row| row.len() == FEATURES));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_inputs_are_those_of_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = "path,label\n".to_owned();
        for film in 0..3_u32 {
            let image = image::GrayImage::from_fn(50 + film, 40, |x, y| image::Luma([(x * (film + 3) + 2 * y) as u8]));
            image.save(folder.path().join(format!("{film}.png"))).unwrap();
            rows += &format!("{film}.png,a\n");
        }
        let csv = folder.path().join("films.csv");
        std::fs::write(&csv, rows).unwrap();
        let films = crate::dataset::Manifest::read(&[csv]).unwrap().films;
        let films: Vec<&Film> = films.iter().collect();
        let wanted: Vec<ModelInput> = films.iter().map(|film| films::input(film).unwrap()).collect();
        // Room for two, and not quite for the third.
        let inputs = Inputs::within(&films, 3 * SIDE * SIDE * 4 - 1);
        let read = || (0..3).map(|film| inputs.input(film)).collect::<Result<Vec<_>>>();
        assert_eq!(read().unwrap(), wanted);
        assert_eq!(read().unwrap(), wanted, "the second time");
        for film in &films {
            std::fs::remove_file(&film.path).unwrap();
        }
        assert!(inputs.input(0).unwrap() == wanted[0] && inputs.input(1).unwrap() == wanted[1]);
        assert!(inputs.input(2).unwrap_err().to_string().contains("2.png"), "beyond the bound");
    }
}
