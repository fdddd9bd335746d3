//! Batch norm by the batch's own statistics, with ReLU6, over `[rows, C]`, rows being all positions of all images.
//!
//! Formulas: Ioffe and Szegedy 2015, "Batch Normalization", algorithm 1 and the gradients of section 3.

use super::SIX;
use super::parallel::{for_each_chunk, map_chunks, multiply_add, with_simd};

/// Values that one chunk may take, so that it stays in the second-level cache. Chunk borders fix the order of sums.
const CHUNK_VALUES: usize = 64 * 1024;
/// Rows that are summed in 32 bits before the sum goes on in 64.
const GROUP: usize = 128;

fn chunk_length(channels: usize) -> usize {
    (CHUNK_VALUES / channels).max(GROUP) * channels
}

/// Two sums over rows, per channel; `terms(start, row, first, second)` adds those of the row that begins at `start`.
fn sums(
    x: &[f32],
    channels: usize,
    terms: impl Fn(usize, &[f32], &mut [f32], &mut [f32]) + Sync,
) -> (Vec<f64>, Vec<f64>) {
    let length = chunk_length(channels);
    let parts = map_chunks(x, length, |index, chunk| {
        let (mut total, mut few) = (vec![0.0f64; 2 * channels], vec![0.0f32; 2 * channels]);
        for (group, rows) in chunk.chunks(GROUP * channels).enumerate() {
            few.fill(0.0);
            let (first, second) = few.split_at_mut(channels);
            let start = index * length + group * GROUP * channels;
            with_simd(
                #[inline(always)]
                || {
                    for (row, values) in rows.chunks_exact(channels).enumerate() {
                        terms(start + row * channels, values, first, second);
                    }
                },
            );
            total.iter_mut().zip(&few).for_each(|(total, few)| *total += f64::from(*few));
        }
        total
    });
    let mut total = vec![0.0; 2 * channels];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    let second = total.split_off(channels);
    (total, second)
}

/// Mean and biased variance of each channel, `[2, C]`, of `x` `[rows, C]`.
pub(super) fn statistics(x: &[f32], channels: usize) -> Vec<f32> {
    // Differences to one row: squares of the values themselves would lose digits where the mean is large.
    let shift = &x[..channels];
    let rows = (x.len() / channels) as f64;
    let (sum, squares) = sums(
        x,
        channels,
        #[inline(always)]
        |_, values, first, second| {
            for channel in 0..values.len() {
                let difference = values[channel] - shift[channel];
                first[channel] += difference;
                second[channel] = multiply_add(difference, difference, second[channel]);
            }
        },
    );
    let mean = (0..channels).map(|c| (f64::from(shift[c]) + sum[c] / rows) as f32);
    let variance = (0..channels).map(|c| (squares[c] / rows - (sum[c] / rows).powi(2)).max(0.0) as f32);
    mean.chain(variance).collect()
}

/// `1 / sqrt(variance + epsilon)` of each channel.
fn inverse_deviation(statistics: &[f32], epsilon: f32) -> Vec<f32> {
    statistics[statistics.len() / 2..].iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect()
}

/// `x` `[rows, C]` normalised by `statistics` `[2, C]`, scaled, shifted, and clamped to 0..=6 if `relu6`.
#[expect(clippy::manual_clamp, reason = "two plain SIMD instructions")]
pub(super) fn forward(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    statistics: &[f32],
    epsilon: f32,
    relu6: bool,
) -> Vec<f32> {
    let channels = scale.len();
    let inverse = inverse_deviation(statistics, epsilon);
    let factor: Vec<f32> = scale.iter().zip(&inverse).map(|(scale, inverse)| scale * inverse).collect();
    let offset: Vec<f32> = (0..channels).map(|c| shift[c] - statistics[c] * factor[c]).collect();
    let mut out = vec![0.0; x.len()];
    let length = chunk_length(channels);
    for_each_chunk(&mut out, length, |index, out| {
        let x = &x[index * length..][..out.len()];
        with_simd(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for channel in 0..out.len() {
                        let value = multiply_add(x[channel], factor[channel], offset[channel]);
                        out[channel] = if relu6 { value.max(0.0).min(SIX) } else { value };
                    }
                }
            },
        );
    });
    out
}

/// Gradients of [`forward`], the statistics being functions of `x`: of `x`, of the scale and of the shift.
/// `gradient` and `out` are `[rows, C]`; `out` only matters if `relu6`.
pub(super) fn backward(
    gradient: &[f32],
    out: &[f32],
    x: &[f32],
    scale: &[f32],
    statistics: &[f32],
    epsilon: f32,
    relu6: bool,
) -> [Vec<f32>; 3] {
    let channels = scale.len();
    let mean = &statistics[..channels];
    let inverse = inverse_deviation(statistics, epsilon);
    let (sum, product) = sums(
        x,
        channels,
        #[inline(always)]
        |start, values, first, second| {
            let (gradient, out) = (&gradient[start..][..values.len()], &out[start..][..values.len()]);
            for channel in 0..values.len() {
                let passes = !relu6 || (out[channel] > 0.0 && out[channel] < SIX);
                let gradient = if passes { gradient[channel] } else { 0.0 };
                first[channel] += gradient;
                second[channel] = multiply_add(gradient, values[channel] - mean[channel], second[channel]);
            }
        },
    );
    let rows = (x.len() / channels) as f64;
    let factor: Vec<f32> = scale.iter().zip(&inverse).map(|(scale, inverse)| scale * inverse).collect();
    let mean_gradient: Vec<f32> = sum.iter().map(|sum| (sum / rows) as f32).collect();
    let slope: Vec<f32> =
        product.iter().zip(&inverse).map(|(product, i)| (product / rows * f64::from(i * i)) as f32).collect();
    let mut of_x = vec![0.0; x.len()];
    let length = chunk_length(channels);
    for_each_chunk(&mut of_x, length, |index, of_x| {
        with_simd(
            #[inline(always)]
            || {
                for (row, of_x) in of_x.chunks_exact_mut(channels).enumerate() {
                    let start = index * length + row * channels;
                    let [x, gradient, out] = [x, gradient, out].map(|values| &values[start..][..channels]);
                    for channel in 0..of_x.len() {
                        let passes = !relu6 || (out[channel] > 0.0 && out[channel] < SIX);
                        let centred = if passes { gradient[channel] } else { 0.0 } - mean_gradient[channel];
                        of_x[channel] = factor[channel] * (centred - (x[channel] - mean[channel]) * slope[channel]);
                    }
                }
            },
        );
    });
    let of_scale = product.iter().zip(&inverse).map(|(product, inverse)| (product * f64::from(*inverse)) as f32);
    [of_x, of_scale.collect(), sum.iter().map(|sum| *sum as f32).collect()]
}
