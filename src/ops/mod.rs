//! The convolutions of the network, as one operation with a fast CPU path.
//!
//! Legend: `B` images, `H`/`W` rows and columns, `I`/`O` input and output channels, `K` kernel side.
//!
//! Feature maps are `[B, H, W, C]` (channels last) between the operations here: a 1x1 convolution is then one matrix
//! product and a depthwise convolution runs along contiguous channels. Weights keep PyTorch's `[O, I, K, K]`
//! (depthwise `[C, 1, K, K]`). Bias and ReLU6 are part of the operation, so that a map is written once.
//!
//! On burn's flex backend the kernels are the ones of this module (`dense`, `depthwise`, `pointwise`), with
//! hand-written gradients for training; every other backend takes the default body, burn's own `conv2d`.
//! `cargo run --release -p trainer --example training_speed` measures a training step and inference with them.

mod dense;
mod depthwise;
#[cfg(feature = "cpu")]
mod flex;
mod matmul;
mod parallel;
mod pointwise;

use burn::backend::{Backend, Dispatch, backend_extension, ops::ConvOptions, tensor::FloatTensor};
use burn::tensor::{Shape, Tensor};

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

/// Zeros before and after an axis of `length` values.
fn same_padding(length: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let total = ((length.div_ceil(stride) - 1) * stride + kernel).saturating_sub(length);
    (total / 2, total - total / 2)
}

/// Convolution, bias and activation in one step.
#[backend_extension(Flex: cfg(feature = "cpu"), Autodiff: cfg(feature = "training"))]
pub trait ConvOps: Backend {
    /// `x` `[B, H, W, I]`, `weight` `[O, I, K, K]` (depthwise `[C, 1, K, K]`), `bias` `[O]` to `[B, H', W', O]`.
    fn conv_bias_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        spec: ConvSpec,
    ) -> FloatTensor<Self> {
        conv_by_primitives::<Self>(x, weight, bias, spec)
    }
}

/// The same from burn's own operations: what every backend without kernels of its own runs, and the reference in tests.
fn conv_by_primitives<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    spec: ConvSpec,
) -> FloatTensor<B> {
    use burn::backend::TensorMetadata;
    let channels = weight.shape()[0];
    let groups = if spec.depthwise { channels } else { 1 };
    let (shape, kernel) = (x.shape(), weight.shape()[2]);
    let padding = [shape[1], shape[2]].map(|length| same_padding(length, kernel, spec.stride));
    let options = ConvOptions { stride: [spec.stride; 2], padding, dilation: [1, 1], groups };
    let planes = B::float_permute(x, &[0, 3, 1, 2]);
    let planes = B::conv2d(planes, weight, None, options);
    let planes = B::float_add(planes, B::float_reshape(bias, Shape::from([1, channels, 1, 1])));
    let planes = if spec.relu6 { B::float_clamp(planes, 0.0.into(), SIX.into()) } else { planes };
    B::float_permute(planes, &[0, 2, 3, 1])
}

/// [`ConvOps::conv_bias_act`] on tensors of any device.
pub fn conv_bias_act(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, spec: ConvSpec) -> Tensor<4> {
    let result =
        <Dispatch as ConvOps>::conv_bias_act(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), spec);
    Tensor::from_dispatch(result)
}
