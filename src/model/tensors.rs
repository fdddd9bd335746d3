//! A model's tensors by name: in, out, folded.

use std::collections::BTreeMap;

use burn::module::{Param, ParamId, RunningState};
use burn::tensor::{Device, Tensor};

use super::table::{Spec, layers};
use super::{Conv, EPSILON, FEATURES, Model, ModelConfig, Norm};
use crate::Error;
use crate::ops::{from_values, permute};

/// A tensor outside any device.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// A model's tensors by name, e.g. `blocks.3.expand.weight` `[O, I, K, K]` and `blocks.3.expand.bias` `[O]`
/// (unfolded: `.norm.{weight,bias,mean,variance}` instead of `.bias`), `head.*`, `classifier.{weight,bias}`.
pub type NamedTensors = BTreeMap<String, NamedTensor>;

/// Takes tensors out of a map, checking shapes.
pub(super) struct Source<'a> {
    pub(super) tensors: &'a NamedTensors,
    /// Number of tensors taken so far.
    pub(super) used: usize,
    pub(super) device: &'a Device,
}

impl Source<'_> {
    /// Parameters are numbered in order, so that an optimizer's saved state finds them again.
    pub(super) fn param<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, Error> {
        let mut tensor = self.take(name, shape)?;
        if self.device.is_autodiff() {
            tensor = tensor.require_grad();
        }
        Ok(Param::initialized(ParamId::from(self.used as u64), tensor))
    }

    fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, Error> {
        let reject = |reason: String| Error::Weights { file: name.into(), reason };
        let found = self
            .tensors
            .get(name)
            .ok_or_else(|| reject("the tensor is missing. Export the weights again with `trainer export`".into()))?;
        if found.shape != shape || found.values.len() != shape.iter().product::<usize>() {
            return Err(reject(format!(
                "shape {:?} instead of {shape:?}. The file belongs to another architecture or class list",
                found.shape
            )));
        }
        self.used += 1;
        Ok(from_values(found.values.clone(), shape, self.device))
    }

    /// As [`Self::param`]; for the GPU of a browser with the input channels last in memory, as burn's convolution wants
    /// them: it would copy the filters in every run otherwise.
    fn filters(&mut self, name: &str, shape: [usize; 4]) -> Result<Param<Tensor<4>>, Error> {
        let param = self.param(name, shape)?;
        let [outputs, inputs, height, width] = shape;
        let area = height * width;
        if area == 1 || !cfg!(all(target_arch = "wasm32", feature = "webgpu")) {
            return Ok(param);
        }
        let values = &self.tensors[name].values;
        let mut channels_last = Vec::with_capacity(values.len());
        for filter in values.chunks_exact(inputs * area) {
            channels_last.extend((0..inputs * area).map(|index| filter[index % inputs * area + index / inputs]));
        }
        let tensor = from_values(channels_last, [outputs, height, width, inputs], self.device);
        Ok(Param::initialized(param.id, permute(tensor, [0, 3, 1, 2])))
    }

    pub(super) fn conv(&mut self, name: &str, spec: Spec) -> Result<Conv, Error> {
        let channels = [spec.shape[0]];
        let weight = self.filters(&format!("{name}.weight"), spec.shape)?;
        let folded = self.tensors.contains_key(&format!("{name}.bias"));
        if !folded && cfg!(target_arch = "wasm32") {
            let reason = "the batch norm is not folded, which the browser needs. Export the weights again".into();
            return Err(Error::Weights { file: format!("{name}.norm"), reason });
        }
        let bias = folded.then(|| self.param(&format!("{name}.bias"), channels)).transpose()?;
        let norm = if folded {
            None
        } else {
            Some(Norm {
                weight: self.param(&format!("{name}.norm.weight"), channels)?,
                bias: self.param(&format!("{name}.norm.bias"), channels)?,
                mean: RunningState::new(self.take(&format!("{name}.norm.mean"), channels)?),
                variance: RunningState::new(self.take(&format!("{name}.norm.variance"), channels)?),
            })
        };
        Ok(Conv { weight, bias, norm, spec })
    }
}

impl Model {
    /// A folded model's worth of reproducible pseudo-random tensors (He-scaled), for tests and benchmarks.
    pub fn random_tensors(config: &ModelConfig, seed: u32) -> NamedTensors {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); // Numerical Recipes' generator
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut uniform = |shape: &[usize], limit: f32| NamedTensor {
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(|_| next() * limit).collect(),
        };
        let mut tensors = NamedTensors::new();
        for (name, spec, _) in layers() {
            let fan_in: usize = spec.shape[1..].iter().product();
            tensors.insert(format!("{name}.weight"), uniform(&spec.shape, (6.0 / fan_in as f32).sqrt()));
            tensors.insert(format!("{name}.bias"), uniform(&spec.shape[..1], 0.1));
        }
        let limit = (6.0 / FEATURES as f32).sqrt();
        tensors.insert("classifier.weight".into(), uniform(&[config.classes, FEATURES], limit));
        tensors.insert("classifier.bias".into(), uniform(&[config.classes], 0.0));
        tensors
    }

    /// Folds every batch norm into the weights and bias of its convolution (on plain values, in 32 bits).
    pub fn fold(tensors: &NamedTensors) -> NamedTensors {
        let mut folded = tensors.clone();
        for (name, spec, _) in layers() {
            let mut norm = |part: &str| folded.remove(&format!("{name}.norm.{part}"));
            let (Some(gamma), Some(beta), Some(mean), Some(variance)) =
                (norm("weight"), norm("bias"), norm("mean"), norm("variance"))
            else {
                continue;
            };
            let scale: Vec<f32> =
                gamma.values.iter().zip(&variance.values).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
            if let Some(weight) = folded.get_mut(&format!("{name}.weight")) {
                let filter = spec.shape[1..].iter().product();
                for (values, scale) in weight.values.chunks_exact_mut(filter).zip(&scale) {
                    values.iter_mut().for_each(|value| *value *= scale);
                }
            }
            let values = (0..scale.len()).map(|c| beta.values[c] - mean.values[c] * scale[c]).collect();
            folded.insert(format!("{name}.bias"), NamedTensor { shape: beta.shape, values });
        }
        folded
    }
}
