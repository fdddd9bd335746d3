//! EfficientNet-Lite0: `[B, 3, 224, 224]` to features `[B, 1280, 7, 7]` and logits `[B, classes]`.
//!
//! Legend: `B` images, `C` channels, `H`/`W` rows and columns. Inside, maps are `[B, H, W, C]` (see [`crate::ops`]).
//!
//! One description for trainer and browser. A convolution carries either a batch norm (while training) or, folded, a
//! bias (released weights). Source of the architecture: Tan and Le 2019 (EfficientNet) and the reference
//! EfficientNet-Lite (tensorflow/tpu), which drops squeeze-and-excite, swaps swish for ReLU6 and fixes stem and head.

use std::collections::BTreeMap;

use burn::module::{Module, Param, ParamId, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ops::{ConvSpec, conv_bias_act};
#[cfg(feature = "training")]
use crate::ops::{NormSpec, batch_norm_act};

/// Name of the only architecture.
pub const ARCHITECTURE: &str = "efficientnet-lite0";
/// Channels of the last feature map.
pub const FEATURES: usize = 1280;
/// Added to variances (the reference's `BATCH_NORM_EPSILON`).
const EPSILON: f32 = 1e-3;
/// Channels after the stem.
const STEM: usize = 32;

/// One row of the architecture table: `repeats` blocks, the first with `stride`.
struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
}

const fn stage(repeats: usize, kernel: usize, stride: usize, expansion: usize, channels: usize) -> Stage {
    Stage { repeats, kernel, stride, expansion, channels }
}

/// The inverted-residual stages of EfficientNet-B0 and Lite0.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

/// Everything needed to build a [`Model`] apart from its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// [`ARCHITECTURE`].
    pub architecture: String,
    /// Number of findings.
    pub classes: usize,
}

impl ModelConfig {
    /// EfficientNet-Lite0 with a head of `classes` outputs.
    pub fn new(classes: usize) -> Self {
        Self { architecture: ARCHITECTURE.into(), classes }
    }
}

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

/// Which statistics batch norms use; folded models have none and ignore it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormMode {
    /// The stored ones: inference, and training with frozen statistics. Folded on the fly, so it costs nothing.
    Frozen,
    #[cfg(feature = "training")]
    /// The batch's own, for training: they also enter the stored ones with the weight `momentum` (PyTorch's convention).
    Batch {
        /// 0..=1; the reference trains with 0.01.
        momentum: f32,
    },
}

#[derive(Module, Debug)]
struct Norm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    mean: RunningState<Tensor<1>>,
    variance: RunningState<Tensor<1>>,
}

/// A convolution and its batch norm, or its bias.
#[derive(Module, Debug)]
struct Conv {
    /// `[O, I, K, K]`, depthwise `[C, 1, K, K]`.
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    norm: Option<Norm>,
    #[module(skip)]
    spec: Spec,
}

/// [`ConvSpec`] with the sizes that weights must have.
#[derive(Debug, Clone)]
struct Spec {
    conv: ConvSpec,
    shape: [usize; 4],
}

#[derive(Module, Debug)]
struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    #[module(skip)]
    residual: bool,
}

/// The network.
#[derive(Module, Debug)]
pub struct Model {
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
    /// `[classes, FEATURES]`.
    pub classifier_weight: Param<Tensor<2>>,
    /// `[classes]`.
    pub classifier_bias: Param<Tensor<1>>,
}

/// What one forward pass gives.
#[derive(Debug, Clone)]
pub struct Output {
    /// `[B, FEATURES, 7, 7]`, 0..=6.
    pub features: Tensor<4>,
    /// `[B, classes]`.
    pub logits: Tensor<2>,
}

impl Spec {
    fn new(outputs: usize, inputs: usize, kernel: usize, stride: usize, depthwise: bool, relu6: bool) -> Self {
        let inputs = if depthwise { 1 } else { inputs };
        Self { conv: ConvSpec { stride, depthwise, relu6 }, shape: [outputs, inputs, kernel, kernel] }
    }
}

/// The convolutions in order: name, spec, and whether the block that it closes adds its input.
fn layers() -> Vec<(String, Spec, bool)> {
    let mut layers = vec![("stem".to_string(), Spec::new(STEM, 3, 3, 2, false, true), false)];
    let (mut block, mut inputs) = (0, STEM);
    for stage in &STAGES {
        for repeat in 0..stage.repeats {
            let stride = if repeat == 0 { stage.stride } else { 1 };
            let wide = inputs * stage.expansion;
            let residual = stride == 1 && inputs == stage.channels;
            if stage.expansion > 1 {
                layers.push((format!("blocks.{block}.expand"), Spec::new(wide, inputs, 1, 1, false, true), false));
            }
            let depthwise = Spec::new(wide, wide, stage.kernel, stride, true, true);
            layers.push((format!("blocks.{block}.depthwise"), depthwise, false));
            let project = Spec::new(stage.channels, wide, 1, 1, false, false);
            layers.push((format!("blocks.{block}.project"), project, residual));
            (block, inputs) = (block + 1, stage.channels);
        }
    }
    layers.push(("head".to_string(), Spec::new(FEATURES, inputs, 1, 1, false, true), false));
    layers
}

/// Takes tensors out of a map, checking shapes.
struct Source<'a> {
    tensors: &'a NamedTensors,
    used: usize,
    device: &'a Device,
}

impl Source<'_> {
    /// Parameters are numbered in order, so that an optimizer's saved state finds them again.
    fn param<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, Error> {
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
        Ok(Tensor::from_data(TensorData::new(found.values.clone(), shape), self.device))
    }

    fn conv(&mut self, name: &str, spec: Spec) -> Result<Conv, Error> {
        let channels = [spec.shape[0]];
        let weight = self.param(&format!("{name}.weight"), spec.shape)?;
        let folded = self.tensors.contains_key(&format!("{name}.bias"));
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
    /// Builds the model on `device` from `tensors`, folded or not.
    ///
    /// # Errors
    /// [`Error::Weights`] for an unknown architecture, or a tensor that is missing, superfluous or of another shape.
    pub fn from_tensors(config: &ModelConfig, tensors: &NamedTensors, device: &Device) -> Result<Self, Error> {
        if config.architecture != ARCHITECTURE {
            let reason = format!("architecture {:?} is not supported; only {ARCHITECTURE}", config.architecture);
            return Err(Error::Weights { file: "architecture".into(), reason });
        }
        let mut source = Source { tensors, used: 0, device };
        let (mut stem, mut head, mut blocks) = (None, None, Vec::new());
        let (mut expand, mut depthwise) = (None, None);
        for (name, spec, residual) in layers() {
            let conv = source.conv(&name, spec)?;
            match name.rsplit('.').next() {
                Some("stem") => stem = Some(conv),
                Some("head") => head = Some(conv),
                Some("expand") => expand = Some(conv),
                Some("depthwise") => depthwise = Some(conv),
                _ => blocks.push(Block {
                    expand: expand.take(),
                    depthwise: depthwise.take().expect("a depthwise layer precedes"),
                    project: conv,
                    residual,
                }),
            }
        }
        let model = Self {
            stem: stem.expect("the table has a stem"),
            blocks,
            head: head.expect("the table has a head"),
            classifier_weight: source.param("classifier.weight", [config.classes, FEATURES])?,
            classifier_bias: source.param("classifier.bias", [config.classes])?,
        };
        if source.used != tensors.len() {
            let reason = format!("{} tensors, of which only {} belong to the model", tensors.len(), source.used);
            return Err(Error::Weights { file: "tensors".into(), reason });
        }
        Ok(model)
    }

    /// Leaves the stem and the first `blocks` blocks as they are in training: their parameters get no gradients.
    pub fn freeze(mut self, blocks: usize) -> Self {
        if blocks > 0 {
            self.stem = self.stem.no_grad();
        }
        let freeze = |(index, block): (usize, Block)| if index < blocks { block.no_grad() } else { block };
        self.blocks = self.blocks.into_iter().enumerate().map(freeze).collect();
        self
    }

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

    /// All tensors by name; the inverse of [`Self::from_tensors`].
    pub fn tensors(&self) -> NamedTensors {
        let read = |(name, shape, tensor): (String, Vec<usize>, Tensor<1>)| {
            let values = tensor.into_data().convert::<f32>().try_into_vec().expect("32-bit values");
            (name, NamedTensor { shape, values })
        };
        self.values().into_iter().map(read).collect()
    }

    /// Name, shape and flattened values of every tensor, on the model's device and without gradients.
    pub fn values(&self) -> Vec<(String, Vec<usize>, Tensor<1>)> {
        fn put<const D: usize>(values: &mut Vec<(String, Vec<usize>, Tensor<1>)>, name: String, tensor: Tensor<D>) {
            let shape = tensor.dims();
            values.push((name, shape.to_vec(), tensor.inner().reshape([shape.iter().product::<usize>()])));
        }
        let mut values = Vec::new();
        for (name, conv) in self.convs() {
            put(&mut values, format!("{name}.weight"), conv.weight.val());
            if let Some(bias) = &conv.bias {
                put(&mut values, format!("{name}.bias"), bias.val());
            }
            if let Some(norm) = &conv.norm {
                put(&mut values, format!("{name}.norm.weight"), norm.weight.val());
                put(&mut values, format!("{name}.norm.bias"), norm.bias.val());
                put(&mut values, format!("{name}.norm.mean"), norm.mean.value_sync());
                put(&mut values, format!("{name}.norm.variance"), norm.variance.value_sync());
            }
        }
        put(&mut values, "classifier.weight".into(), self.classifier_weight.val());
        put(&mut values, "classifier.bias".into(), self.classifier_bias.val());
        values
    }

    fn convs(&self) -> Vec<(String, &Conv)> {
        let names = layers().into_iter().map(|(name, ..)| name);
        let blocks = self.blocks.iter().flat_map(|b| b.expand.iter().chain([&b.depthwise, &b.project]));
        names.zip([&self.stem].into_iter().chain(blocks).chain([&self.head])).collect()
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

    /// `x` `[B, 3, H, W]` to features and logits, with stored statistics.
    pub fn forward(&self, x: Tensor<4>) -> Output {
        let map = self.feature_map(x, NormMode::Frozen);
        let logits = self.classify(pool(map.clone()));
        Output { features: map.permute([0, 3, 1, 2]), logits }
    }

    /// `x` `[B, 3, H, W]` to the last feature map, `[B, H / 32, W / 32, FEATURES]`.
    pub fn feature_map(&self, x: Tensor<4>, mode: NormMode) -> Tensor<4> {
        let x = x.permute([0, 2, 3, 1]); // [B, H, W, 3]
        let x = self.stem.forward(x, mode); // [B, H / 2, W / 2, 32]
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, mode)); // [B, H / 32, W / 32, 320]
        self.head.forward(x, mode)
    }

    /// Pooled features `[B, FEATURES]` to logits `[B, classes]`.
    pub fn classify(&self, pooled: Tensor<2>) -> Tensor<2> {
        pooled.matmul(self.classifier_weight.val().transpose()) + self.classifier_bias.val().unsqueeze()
    }
}

/// Global average pool: `[B, H, W, C]` to `[B, C]`.
pub fn pool(map: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = map.dims();
    map.reshape([batch, height * width, channels]).mean_dim(1).reshape([batch, channels])
}

impl Block {
    /// `[B, H, W, I]` to `[B, H', W', O]`.
    fn forward(&self, x: Tensor<4>, mode: NormMode) -> Tensor<4> {
        let wide = match &self.expand {
            Some(expand) => expand.forward(x.clone(), mode),
            None => x.clone(),
        };
        let out = self.project.forward(self.depthwise.forward(wide, mode), mode);
        if self.residual { out + x } else { out }
    }
}

impl Conv {
    /// `[B, H, W, I]` to `[B, H', W', O]`.
    fn forward(&self, x: Tensor<4>, mode: NormMode) -> Tensor<4> {
        let weight = self.weight.val();
        match (&self.bias, &self.norm, mode) {
            (Some(bias), _, _) => conv_bias_act(x, weight, bias.val(), self.spec.conv),
            (None, Some(norm), NormMode::Frozen) => {
                let scale = norm.weight.val() / (norm.variance.value_sync() + EPSILON).sqrt();
                let bias = norm.bias.val() - norm.mean.value_sync() * scale.clone();
                let weight = weight * scale.reshape([-1, 1, 1, 1]);
                conv_bias_act(x, weight, bias, self.spec.conv)
            }
            #[cfg(feature = "training")]
            (None, Some(norm), NormMode::Batch { momentum }) => {
                let bias = Tensor::zeros([self.spec.shape[0]], &weight.device());
                let x = conv_bias_act(x, weight, bias, ConvSpec { relu6: false, ..self.spec.conv });
                norm.forward(x, momentum, self.spec.conv.relu6)
            }
            (None, None, _) => unreachable!("a convolution has a bias or a norm"),
        }
    }
}

#[cfg(feature = "training")]
impl Norm {
    /// Normalises `[B, H, W, C]` by the batch's statistics and updates the stored ones.
    fn forward(&self, x: Tensor<4>, momentum: f32, relu6: bool) -> Tensor<4> {
        let [batch, height, width, _] = x.dims();
        let count = (batch * height * width) as f32;
        let spec = NormSpec { epsilon: EPSILON, relu6 };
        let (out, [mean, variance]) = batch_norm_act(x, self.weight.val(), self.bias.val(), spec);
        let update = |running: &RunningState<Tensor<1>>, batch: Tensor<1>| {
            running.update(running.value_sync() * (1.0 - momentum) + batch * momentum);
        };
        update(&self.mean, mean);
        update(&self.variance, variance * (count / (count - 1.0).max(1.0)));
        out
    }
}
