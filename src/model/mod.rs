//! EfficientNet-Lite0: `[B, 3, 224, 224]` to features `[B, 1280, 7, 7]` and logits `[B, classes]`.
//!
//! Legend: `B` images, `C` channels, `H`/`W` rows and columns. Inside, maps are `[B, H, W, C]` (see [`crate::ops`]).
//!
//! One description for trainer and browser. A convolution carries either a batch norm (while training) or, folded, a
//! bias (released weights). Source of the architecture: Tan and Le 2019 (EfficientNet) and the reference
//! EfficientNet-Lite (tensorflow/tpu), which drops squeeze-and-excite, swaps swish for ReLU6 and fixes stem and head.

mod table;
mod tensors;

pub use table::{Spec, layers};
pub use tensors::{NamedTensor, NamedTensors};

use burn::module::{Module, Param, RunningState};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use self::tensors::Source;
use crate::Error;
pub use crate::ops::pool;
#[cfg(feature = "training")]
use crate::ops::{ConvSpec, NormSpec, batch_norm_act};
use crate::ops::{add, conv_bias_act, linear, permute};

/// Name of the only architecture.
pub const ARCHITECTURE: &str = "efficientnet-lite0";
/// Channels of the last feature map.
pub const FEATURES: usize = 1280;
/// Added to variances (the reference's `BATCH_NORM_EPSILON`).
const EPSILON: f32 = 1e-3;

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
    /// The features' means over the image, `[B, FEATURES]`.
    pub pooled: Tensor<2>,
    /// `[B, classes]`.
    pub logits: Tensor<2>,
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

    /// `x` `[B, 3, H, W]` to features and logits, with stored statistics.
    pub fn forward(&self, x: Tensor<4>) -> Output {
        let map = self.feature_map(x, NormMode::Frozen);
        let pooled = pool(map.clone());
        let logits = self.classify(pooled.clone());
        Output { features: permute(map, [0, 3, 1, 2]), pooled, logits }
    }

    /// `x` `[B, 3, H, W]` to the last feature map, `[B, H / 32, W / 32, FEATURES]`.
    pub fn feature_map(&self, x: Tensor<4>, mode: NormMode) -> Tensor<4> {
        let x = permute(x, [0, 2, 3, 1]); // [B, H, W, 3]
        let x = self.stem.forward(x, mode); // [B, H / 2, W / 2, 32]
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, mode)); // [B, H / 32, W / 32, 320]
        self.head.forward(x, mode)
    }

    /// Pooled features `[B, FEATURES]` to logits `[B, classes]`.
    pub fn classify(&self, pooled: Tensor<2>) -> Tensor<2> {
        linear(pooled, self.classifier_weight.val(), self.classifier_bias.val())
    }
}

impl Block {
    /// `[B, H, W, I]` to `[B, H', W', O]`.
    fn forward(&self, x: Tensor<4>, mode: NormMode) -> Tensor<4> {
        let wide = match &self.expand {
            Some(expand) => expand.forward(x.clone(), mode),
            None => x.clone(),
        };
        let out = self.project.forward(self.depthwise.forward(wide, mode), mode);
        if self.residual { add(out, x) } else { out }
    }
}

impl Conv {
    /// `[B, H, W, I]` to `[B, H', W', O]`.
    fn forward(&self, x: Tensor<4>, mode: NormMode) -> Tensor<4> {
        let weight = self.weight.val();
        match (&self.bias, &self.norm, mode) {
            (Some(bias), _, _) => conv_bias_act(x, weight, bias.val(), self.spec.conv),
            // The browser gets folded weights only, so that it need not download this.
            (None, ..) if cfg!(target_arch = "wasm32") => unreachable!("refused when the weights are read"),
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
