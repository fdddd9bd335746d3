//! The few other operations of inference, on 32-bit tensors of any device, straight to the backend.
//!
//! `Tensor`'s own methods also know quantised and other kinds of numbers, which the browser would download: they made
//! the CPU module a third larger.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, ExecutionError};
use burn::tensor::{Device, Shape, Tensor, TensorData};

/// A tensor of `values`, row-major.
pub fn from_values<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::float_from_data(TensorData::new(values, shape), device.as_dispatch()))
}

/// The values of a tensor, row-major.
///
/// # Errors
/// If the device fails.
pub async fn into_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ExecutionError> {
    let data = Dispatch::float_into_data(tensor.into_dispatch()).await?;
    Ok(data.try_into_vec().expect("32-bit values"))
}

/// The sum of two tensors of one shape.
pub fn add<const D: usize>(one: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::float_add(one.into_dispatch(), other.into_dispatch()))
}

/// The axes in another order.
pub fn permute<const D: usize>(x: Tensor<D>, axes: [usize; D]) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::float_permute(x.into_dispatch(), &axes))
}

/// Mean over positions: `[B, H, W, C]` to `[B, C]`.
pub fn pool(map: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = map.dims();
    let rows = Dispatch::float_reshape(map.into_dispatch(), Shape::from([batch, height * width, channels]));
    let means = Dispatch::float_mean_dim(rows, 1);
    Tensor::from_dispatch(Dispatch::float_reshape(means, Shape::from([batch, channels])))
}

/// `x` `[B, I]`, `weight` `[O, I]`, `bias` `[O]` to `[B, O]`, for few outputs: as products and sums.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([batch, inputs], [outputs, _]) = (x.dims(), weight.dims());
    let reshape = |tensor, shape: [usize; 3]| Dispatch::float_reshape(tensor, Shape::from(shape));
    let x = reshape(x.into_dispatch(), [batch, 1, inputs]);
    let weight = reshape(weight.into_dispatch(), [1, outputs, inputs]);
    let bias = reshape(bias.into_dispatch(), [1, outputs, 1]);
    let sums = Dispatch::float_sum_dim(Dispatch::float_mul(x, weight), 2); // [B, O, 1]
    let sums = Dispatch::float_add(sums, bias);
    Tensor::from_dispatch(Dispatch::float_reshape(sums, Shape::from([batch, outputs])))
}
