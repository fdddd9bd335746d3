//! The convolutions of the network, as one operation with a fast CPU path.
//!
//! Legend: `B` images, `H`/`W` rows and columns, `I`/`O` input and output channels, `K` kernel side.
//!
//! Feature maps are `[B, H, W, C]` (channels last) between the operations here: a 1x1 convolution is then one matrix
//! product and a depthwise convolution runs along contiguous channels. Weights keep PyTorch's `[O, I, K, K]`
//! (depthwise `[C, 1, K, K]`). Bias and ReLU6 are part of the operation, so that a map is written once.
//!
//! On burn's flex backend the kernels are the ones of this module (`dense`, `depthwise`, `pointwise`, `norm`; `tiles` in
//! the browser), with hand-written gradients for training; every other backend runs burn's own `conv2d` and `matmul`.
//! `cargo run --release -p trainer --example training_speed` measures a training step and inference with them.

#[cfg(feature = "cpu")]
mod dense;
#[cfg(feature = "cpu")]
mod depthwise;
#[cfg(feature = "cpu")]
mod flex;
#[cfg(feature = "training")]
mod flex_norm;
#[cfg(all(feature = "cpu", not(target_arch = "wasm32")))]
mod matmul;
#[cfg(feature = "training")]
mod norm;
#[cfg(feature = "cpu")]
mod parallel;
mod plain;
#[cfg(feature = "cpu")]
mod pointwise;
#[cfg(all(feature = "cpu", any(test, target_arch = "wasm32")))]
mod tiles;

#[cfg(feature = "cpu")]
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
#[cfg(any(not(target_arch = "wasm32"), feature = "webgpu"))]
use burn::tensor::{module::conv2d, ops::ConvOptions};

pub use plain::{add, from_values, into_values, linear, permute, pool};

/// Largest value of ReLU6.
const SIX: f32 = 6.0;

/// Everything about a convolution but its tensors. Padding is TensorFlow's `SAME`, which the network was trained with:
/// `H' = ceil(H / stride)`, the odd zero at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvSpec {
    /// Step between output positions, 1 or 2.
    pub stride: usize,
    /// One filter per channel instead of all channels to all.
    pub depthwise: bool,
    /// Clamp the result to 0..=6.
    pub relu6: bool,
}

/// `value` within `low..=high` as two plain SIMD instructions; `f32::max` and `f32::min` are many more in WebAssembly,
/// for the sake of NaN, which passes here.
#[cfg(feature = "cpu")]
#[inline(always)]
fn clamp(value: f32, (low, high): (f32, f32)) -> f32 {
    let value = if value < low { low } else { value };
    if high < value { high } else { value }
}

/// The limits of ReLU6, or none.
#[cfg(feature = "cpu")]
fn limits(relu6: bool) -> (f32, f32) {
    if relu6 { (0.0, SIX) } else { (f32::NEG_INFINITY, f32::INFINITY) }
}

/// Zeros before and after an axis of `length` values.
fn same_padding(length: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let total = ((length.div_ceil(stride) - 1) * stride + kernel).saturating_sub(length);
    (total / 2, total - total / 2)
}

/// Convolution, bias and activation in one step, on the backends that have kernels for it.
#[cfg(feature = "cpu")]
#[backend_extension(Flex, Autodiff: cfg(feature = "training"))]
pub trait ConvOps: Backend {
    /// `x` `[B, H, W, I]`, `weight` `[O, I, K, K]` (depthwise `[C, 1, K, K]`), `bias` `[O]` to `[B, H', W', O]`.
    fn conv_bias_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        spec: ConvSpec,
    ) -> FloatTensor<Self>;
}

/// `x` `[B, H, W, I]`, `weight` `[O, I, K, K]` (depthwise `[C, 1, K, K]`), `bias` `[O]` to `[B, H', W', O]`, on any
/// device.
pub fn conv_bias_act(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, spec: ConvSpec) -> Tensor<4> {
    #[cfg(feature = "cpu")]
    if matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_)) {
        let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
        return Tensor::from_dispatch(<Dispatch as ConvOps>::conv_bias_act(x, weight, bias, spec));
    }
    // The browser's CPU module has no other device and need not download this.
    #[cfg(any(not(target_arch = "wasm32"), feature = "webgpu"))]
    return conv_by_burn(x, weight, bias, spec);
    #[cfg(not(any(not(target_arch = "wasm32"), feature = "webgpu")))]
    unreachable!("this module runs on flex alone")
}

/// The same from burn's own operations: what every other backend runs, and the reference in tests.
#[cfg(any(not(target_arch = "wasm32"), feature = "webgpu"))]
pub fn conv_by_burn(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, spec: ConvSpec) -> Tensor<4> {
    let [batch, height, width, inputs] = x.dims();
    let [outputs, _, kernel, _] = weight.dims();
    // Browsers have no autotune, and burn's matrix product picks a kernel there that took 2.3 times as long as its
    // convolution (all of the network, software adapter); leaving it out also makes the module smaller.
    let as_product = cfg!(not(target_arch = "wasm32")) && kernel == 1 && spec.stride == 1 && !spec.depthwise;
    if as_product {
        let rows = x.reshape([batch * height * width, inputs]);
        let product = rows.matmul(weight.reshape([outputs, inputs]).transpose()); // [B H W, O]
        return bias_act(product.reshape([batch, height, width, outputs]), bias, spec.relu6);
    }
    let padding = [height, width].map(|length| same_padding(length, kernel, spec.stride));
    let groups = if spec.depthwise { outputs } else { 1 };
    let options = ConvOptions { stride: [spec.stride; 2], padding, dilation: [1, 1], groups };
    let convolve = |bias| conv2d(x.permute([0, 3, 1, 2]), weight, bias, options).permute([0, 2, 3, 1]);
    // Where an activation follows, the bias is added with it in one go; burn's depthwise kernels decline one.
    if spec.relu6 || spec.depthwise { bias_act(convolve(None), bias, spec.relu6) } else { convolve(Some(bias)) }
}

/// `x` `[B, H, W, O]` plus `bias` `[O]`, and ReLU6 if asked for.
#[cfg(any(not(target_arch = "wasm32"), feature = "webgpu"))]
fn bias_act(x: Tensor<4>, bias: Tensor<1>, relu6: bool) -> Tensor<4> {
    let out = x + bias.reshape([1, 1, 1, -1]);
    if relu6 { out.clamp(0.0, SIX) } else { out }
}

/// Everything about a batch norm but its tensors.
#[cfg(feature = "training")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormSpec {
    /// Added to variances.
    pub epsilon: f32,
    /// Clamp the result to 0..=6.
    pub relu6: bool,
}

/// Batch norm by the batch's own statistics, on the backends that have kernels for it.
#[cfg(feature = "training")]
#[backend_extension(Flex, Autodiff)]
pub trait NormOps: Backend {
    /// Mean and biased variance of each channel, `[2, C]`, of `x` `[B, H, W, C]`; without gradients.
    fn norm_statistics(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x` `[B, H, W, C]` normalised by its own `statistics` `[2, C]`, times `scale` `[C]`, plus `shift` `[C]`.
    /// The gradient of `x` takes the statistics for what they are, functions of `x`.
    fn norm_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        spec: NormSpec,
    ) -> FloatTensor<Self>;
}

/// Batch norm of `x` `[B, H, W, C]` by its own statistics, and ReLU6 if `spec` says so; with the batch's mean and biased
/// variance, `[C]` each, which carry no gradients.
#[cfg(feature = "training")]
pub fn batch_norm_act(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, spec: NormSpec) -> (Tensor<4>, [Tensor<1>; 2]) {
    let channels = x.dims()[3];
    if !matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_)) {
        return batch_norm_by_burn(x, scale, shift, spec);
    }
    let statistics: Tensor<2> = Tensor::from_dispatch(Dispatch::norm_statistics(x.clone().into_dispatch()));
    let parts = [0, 1].map(|row| statistics.clone().slice([row..row + 1, 0..channels]).reshape([channels]));
    let [x, scale, shift, statistics] =
        [x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch(), statistics.into_dispatch()];
    (Tensor::from_dispatch(Dispatch::norm_act(x, scale, shift, statistics, spec)), parts)
}

/// The same from burn's own operations.
///
/// Means go axis by axis: sums of 100,000 values in a row would lose three digits of the gradients.
#[cfg(feature = "training")]
pub fn batch_norm_by_burn(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    spec: NormSpec,
) -> (Tensor<4>, [Tensor<1>; 2]) {
    let channels = x.dims()[3];
    let mean_of = |x: Tensor<4>| x.mean_dim(2).mean_dim(1).mean_dim(0); // [1, 1, 1, C]
    let mean = mean_of(x.clone());
    let centred = x - mean.clone();
    let variance = mean_of(centred.clone().square());
    let factor = scale.reshape([1, 1, 1, channels]) / (variance.clone() + spec.epsilon).sqrt();
    let out = centred * factor + shift.reshape([1, 1, 1, channels]);
    let out = if spec.relu6 { out.clamp(0.0, SIX) } else { out };
    (out, [mean, variance].map(|part| part.detach().reshape([channels])))
}
