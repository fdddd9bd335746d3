//! 1x1 convolution: `[rows, I] x [O, I]^T`, rows being all positions of all images.

#[cfg(feature = "training")]
use super::{SIX, parallel::map_parts};
#[cfg(not(target_arch = "wasm32"))]
use super::{
    clamp, limits,
    matmul::{Matrix, matmul},
    parallel::{for_each_chunk, with_simd},
};

/// Values of input and output that one chunk of rows may take, so that it stays in the second-level cache.
#[cfg(not(target_arch = "wasm32"))]
const CHUNK_VALUES: usize = 96 * 1024;
/// Parts with a weight gradient of their own: fixed, so that sums do not depend on the number of threads.
#[cfg(feature = "training")]
const PARTS: usize = 16;

/// Rows of a chunk, for `columns` values a row.
#[cfg(not(target_arch = "wasm32"))]
fn chunk_rows(columns: usize) -> usize {
    (CHUNK_VALUES / columns).clamp(48, 4096) / 16 * 16
}

/// `x` `[rows, I]`, `weight` `[O, I]`, `bias` `[O]` to `[rows, O]`, clamped to 0..=6 if `relu6`.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], relu6: bool) -> Vec<f32> {
    let outputs = bias.len();
    let inputs = weight.len() / outputs;
    let rows = x.len() / inputs;
    let mut out = vec![0.0; rows * outputs];
    #[cfg(target_arch = "wasm32")]
    super::tiles::product(&mut out, x, weight, bias, relu6);
    #[cfg(not(target_arch = "wasm32"))]
    by_gemm(&mut out, x, weight, bias, relu6);
    out
}

#[cfg(not(target_arch = "wasm32"))]
fn by_gemm(out: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], relu6: bool) {
    let outputs = bias.len();
    let inputs = weight.len() / outputs;
    let chunk = chunk_rows(inputs + outputs);
    let weight = Matrix::new(weight, outputs, inputs).transposed();
    for_each_chunk(out, chunk * outputs, |index, out| {
        let rows = out.len() / outputs;
        let x = &x[index * chunk * inputs..][..rows * inputs];
        matmul(out, Matrix::new(x, rows, inputs), weight, false);
        with_simd(
            #[inline(always)]
            || add_bias(out, bias, limits(relu6)),
        );
    });
}

#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
fn add_bias(out: &mut [f32], bias: &[f32], limits: (f32, f32)) {
    for row in out.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(value, bias)| *value = clamp(*value + bias, limits));
    }
}

/// Copies the gradient of the output and zeroes it where ReLU6 was flat. `out` is the forward result.
#[cfg(feature = "training")]
#[inline(always)]
pub(super) fn mask_relu6(gradient: &[f32], out: &[f32], masked: &mut [f32]) {
    for ((masked, gradient), out) in masked.iter_mut().zip(gradient).zip(out) {
        *masked = if *out > 0.0 && *out < SIX { *gradient } else { 0.0 };
    }
}

/// Adds the rows of `rows` to `sums`. Some rows at a time: long sums of small terms lose digits.
#[cfg(feature = "training")]
#[inline(always)]
pub(super) fn add_rows(rows: &[f32], sums: &mut [f32]) {
    let mut few = vec![0.0; sums.len()];
    for group in rows.chunks(128 * sums.len()) {
        few.fill(0.0);
        for row in group.chunks_exact(sums.len()) {
            few.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sums.iter_mut().zip(&few).for_each(|(sum, value)| *sum += value);
    }
}

/// Gradients of a convolution.
#[cfg(feature = "training")]
pub(super) struct Gradients {
    /// Of the input; empty if it was not asked for.
    pub(super) x: Vec<f32>,
    /// Of the weights.
    pub(super) weight: Vec<f32>,
    /// Of the bias.
    pub(super) bias: Vec<f32>,
}

/// Sums the parts' weight and bias gradients in order.
#[cfg(feature = "training")]
pub(super) fn sum_parts(x: Vec<f32>, parts: Vec<(Vec<f32>, Vec<f32>)>) -> Gradients {
    let (weight, bias) = parts
        .into_iter()
        .reduce(|mut sum, part| {
            sum.0.iter_mut().zip(&part.0).for_each(|(sum, value)| *sum += value);
            sum.1.iter_mut().zip(&part.1).for_each(|(sum, value)| *sum += value);
            sum
        })
        .expect("at least one part");
    Gradients { x, weight, bias }
}

/// Gradients for [`forward`]: `gradient` and `out` are `[rows, O]`; `out` only matters if `relu6`.
#[cfg(feature = "training")]
pub(super) fn backward(
    gradient: &[f32],
    out: &[f32],
    x: &[f32],
    weight: &[f32],
    outputs: usize,
    relu6: bool,
    want_x: bool,
) -> Gradients {
    let inputs = weight.len() / outputs;
    let rows = x.len() / inputs;
    let chunk = chunk_rows(inputs + 2 * outputs);
    let part_rows = rows.div_ceil(PARTS).max(1);
    let weight = Matrix::new(weight, outputs, inputs);
    // Without a gradient of x its parts are empty, but still one each.
    let mut x_gradient = if want_x { vec![0.0; rows * inputs] } else { Vec::new() };
    let ends: Vec<usize> = (1..=rows.div_ceil(part_rows)).map(|part| (part * part_rows).min(rows)).collect();
    let x_ends: Vec<usize> = ends.iter().map(|end| if want_x { end * inputs } else { 0 }).collect();
    let parts = map_parts(&mut x_gradient, &x_ends, |part, x_gradient| {
        let mut weight_gradient = vec![0.0; outputs * inputs];
        let mut bias_gradient = vec![0.0; outputs];
        let mut masked = vec![0.0; chunk.min(part_rows) * outputs];
        let (start, end) = (part * part_rows, ends[part]);
        for first in (start..end).step_by(chunk) {
            let rows = chunk.min(end - first);
            let range = first * outputs..(first + rows) * outputs;
            let masked = &mut masked[..rows * outputs];
            with_simd(
                #[inline(always)]
                || {
                    if relu6 {
                        mask_relu6(&gradient[range.clone()], &out[range.clone()], masked);
                    } else {
                        masked.copy_from_slice(&gradient[range.clone()]);
                    }
                    add_rows(masked, &mut bias_gradient);
                },
            );
            let masked = Matrix::new(masked, rows, outputs);
            let x = Matrix::new(&x[first * inputs..(first + rows) * inputs], rows, inputs);
            matmul(&mut weight_gradient, masked.transposed(), x, true);
            if want_x {
                let offset = (first - start) * inputs;
                matmul(&mut x_gradient[offset..offset + rows * inputs], masked, weight, false);
            }
        }
        (weight_gradient, bias_gradient)
    });
    sum_parts(x_gradient, parts)
}
