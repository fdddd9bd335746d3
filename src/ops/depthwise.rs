//! Depthwise `K` x `K` convolution on channels-last maps: registers hold [`LANES`] channels of some output columns.

use super::dense::Geometry;
use super::parallel::{for_each_chunk, multiply_add, with_simd};
use super::{clamp, limits};
#[cfg(feature = "training")]
use super::{
    parallel::map_parts,
    pointwise::{Gradients, add_rows, mask_relu6, sum_parts},
};

/// Channels in flight: one 512-bit register, or two of WebAssembly's 128 bits. Channel counts are multiples of this.
const LANES: usize = if cfg!(target_arch = "wasm32") { 8 } else { 16 };
/// Output columns that share one load of the weights. In WebAssembly there are 16 registers for all of it.
const COLUMNS: usize = if cfg!(target_arch = "wasm32") { 2 } else { 4 };
/// Parts with a weight gradient of their own: fixed, so that sums do not depend on the number of threads.
#[cfg(feature = "training")]
const PARTS: usize = 16;
/// Values of the input that one strip of rows may take when weights' gradients are summed.
#[cfg(feature = "training")]
const STRIP_VALUES: usize = 64 * 1024;

type Lanes = [f32; LANES];

#[inline(always)]
fn load(values: &[f32], offset: usize) -> &Lanes {
    values[offset..offset + LANES].try_into().expect("LANES values")
}

/// `[C, 1, K, K]` to `[K * K, C]`; reversed taps if `flip`.
fn pack(weight: &[f32], channels: usize, flip: bool) -> Vec<f32> {
    let taps = weight.len() / channels;
    let tap_of = |tap: usize| if flip { taps - 1 - tap } else { tap };
    (0..taps).flat_map(|tap| (0..channels).map(move |channel| weight[channel * taps + tap_of(tap)])).collect()
}

/// `x` `[B, H, W, C]`, `weight` `[C, 1, K, K]`, `bias` `[C]` to `[B, H', W', C]`.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], g: &Geometry, relu6: bool) -> Vec<f32> {
    convolve(x, &pack(weight, g.channels, false), bias, g, limits(relu6))
}

/// [`forward`] on packed weights, result clamped to `limits`.
fn convolve(x: &[f32], weight: &[f32], bias: &[f32], g: &Geometry, limits: (f32, f32)) -> Vec<f32> {
    assert!(
        g.channels.is_multiple_of(LANES),
        "depthwise convolution wants a multiple of {LANES} channels, not {}",
        g.channels
    );
    let (rows, columns) = g.out_size();
    let mut out = vec![0.0; g.batch * rows * columns * g.channels];
    let strip = rows.div_ceil(4);
    // A strip never spans two images: one chunk is a whole image unless there are few images.
    let chunk_rows = if g.batch >= 4 || rows % strip != 0 { rows } else { strip };
    for_each_chunk(&mut out, chunk_rows * columns * g.channels, |chunk, out| {
        let first = chunk * chunk_rows;
        let image = &x[first / rows * g.height * g.width * g.channels..][..g.height * g.width * g.channels];
        with_simd(
            #[inline(always)]
            || {
                for (row, out) in out.chunks_exact_mut(columns * g.channels).enumerate() {
                    let row = first % rows + row;
                    match (g.kernel, g.stride) {
                        (3, 1) => convolve_row::<3, 1>(image, weight, bias, g, row, out, limits),
                        (3, 2) => convolve_row::<3, 2>(image, weight, bias, g, row, out, limits),
                        (5, 1) => convolve_row::<5, 1>(image, weight, bias, g, row, out, limits),
                        (5, 2) => convolve_row::<5, 2>(image, weight, bias, g, row, out, limits),
                        (kernel, stride) => unimplemented_geometry(kernel, stride),
                    }
                }
            },
        );
    });
    out
}

#[cold]
fn unimplemented_geometry(kernel: usize, stride: usize) -> ! {
    panic!("depthwise kernels of side 3 or 5 and stride 1 or 2 are supported, not {kernel} and {stride}")
}

/// One output row. Columns whose taps all lie inside go in groups of [`COLUMNS`], the others one by one.
#[inline(always)]
fn convolve_row<const K: usize, const S: usize>(
    image: &[f32],
    weight: &[f32],
    bias: &[f32],
    g: &Geometry,
    row: usize,
    out: &mut [f32],
    limits: (f32, f32),
) {
    let columns = out.len() / g.channels;
    let inside = inside_columns::<K, S>(g, columns);
    let mut column = 0;
    while column < columns {
        if inside.contains(&column) && column + COLUMNS <= inside.end {
            let x0 = column * S - g.padding[1];
            for channel in (0..g.channels).step_by(LANES) {
                let mut sums = [*load(bias, channel); COLUMNS];
                for tap_row in 0..K {
                    let Some(y) = g.source_row(row, tap_row) else { continue };
                    let line = &image[(y * g.width + x0) * g.channels + channel..];
                    for tap in 0..K {
                        let weight = load(weight, (tap_row * K + tap) * g.channels + channel);
                        for (position, sums) in sums.iter_mut().enumerate() {
                            let x = load(line, (position * S + tap) * g.channels);
                            for lane in 0..LANES {
                                sums[lane] = multiply_add(x[lane], weight[lane], sums[lane]);
                            }
                        }
                    }
                }
                for (position, sums) in sums.iter().enumerate() {
                    store(out, (column + position) * g.channels + channel, sums, limits);
                }
            }
            column += COLUMNS;
        } else {
            for channel in (0..g.channels).step_by(LANES) {
                let mut sums = *load(bias, channel);
                for tap_row in 0..K {
                    let Some(y) = g.source_row(row, tap_row) else { continue };
                    for tap in 0..K {
                        let Some(x) = g.source_column(column, tap) else { continue };
                        let x = load(image, (y * g.width + x) * g.channels + channel);
                        let weight = load(weight, (tap_row * K + tap) * g.channels + channel);
                        for lane in 0..LANES {
                            sums[lane] = multiply_add(x[lane], weight[lane], sums[lane]);
                        }
                    }
                }
                store(out, column * g.channels + channel, &sums, limits);
            }
            column += 1;
        }
    }
}

#[inline(always)]
fn store(out: &mut [f32], offset: usize, sums: &Lanes, limits: (f32, f32)) {
    for (out, sum) in out[offset..offset + LANES].iter_mut().zip(sums) {
        *out = clamp(*sum, limits);
    }
}

/// Output columns whose taps all lie inside the image.
#[inline(always)]
fn inside_columns<const K: usize, const S: usize>(g: &Geometry, columns: usize) -> std::ops::Range<usize> {
    let first = g.padding[1].div_ceil(S);
    let end = if g.width + g.padding[1] >= K { (g.width + g.padding[1] - K) / S + 1 } else { 0 };
    first..end.min(columns)
}

/// Gradients for [`forward`]; `out` is its result.
#[cfg(feature = "training")]
pub(super) fn backward(
    gradient: &[f32],
    out: &[f32],
    x: &[f32],
    weight: &[f32],
    g: &Geometry,
    relu6: bool,
    want_x: bool,
) -> Gradients {
    let (rows, columns) = g.out_size();
    let (in_size, out_size) = (g.height * g.width * g.channels, rows * columns * g.channels);
    let taps = g.kernel * g.kernel;
    let images = g.batch.div_ceil(PARTS);
    let ends: Vec<usize> = (1..=g.batch.div_ceil(images)).map(|part| (part * images).min(g.batch)).collect();
    let packed = pack(weight, g.channels, false);
    let mut x_gradient = if want_x { vec![0.0; x.len()] } else { Vec::new() };
    let x_ends: Vec<usize> = ends.iter().map(|end| if want_x { end * in_size } else { 0 }).collect();
    let parts = map_parts(&mut x_gradient, &x_ends, |part, x_gradient| {
        let mut weight_gradient = vec![0.0; taps * g.channels];
        let mut bias_gradient = vec![0.0; g.channels];
        let mut masked = vec![0.0; out_size];
        let first = part * images;
        for image in first..ends[part] {
            let range = image * out_size..(image + 1) * out_size;
            let x = &x[image * in_size..(image + 1) * in_size];
            with_simd(
                #[inline(always)]
                || {
                    if relu6 {
                        mask_relu6(&gradient[range.clone()], &out[range.clone()], &mut masked);
                    } else {
                        masked.copy_from_slice(&gradient[range.clone()]);
                    }
                    add_rows(&masked, &mut bias_gradient);
                    match (g.kernel, g.stride) {
                        (3, 1) => weight_gradient_of_image::<3, 1>(x, &masked, g, &mut weight_gradient),
                        (3, 2) => weight_gradient_of_image::<3, 2>(x, &masked, g, &mut weight_gradient),
                        (5, 1) => weight_gradient_of_image::<5, 1>(x, &masked, g, &mut weight_gradient),
                        (5, 2) => weight_gradient_of_image::<5, 2>(x, &masked, g, &mut weight_gradient),
                        (kernel, stride) => unimplemented_geometry(kernel, stride),
                    }
                    if want_x {
                        let x_gradient = &mut x_gradient[(image - first) * in_size..][..in_size];
                        x_gradient_of_image(&masked, weight, &packed, g, x_gradient);
                    }
                },
            );
        }
        (weight_gradient, bias_gradient)
    });
    let mut gradients = sum_parts(x_gradient, parts);
    // Packed [K * K, C] back to [C, 1, K, K].
    gradients.weight =
        (0..g.channels * taps).map(|index| gradients.weight[index % taps * g.channels + index / taps]).collect();
    gradients
}

/// Adds one image's weight gradient to `sums` `[K * K, C]`, in strips of rows that stay in the cache.
#[cfg(feature = "training")]
#[inline(always)]
fn weight_gradient_of_image<const K: usize, const S: usize>(
    x: &[f32],
    gradient: &[f32],
    g: &Geometry,
    sums: &mut [f32],
) {
    let (rows, columns) = g.out_size();
    let inside = inside_columns::<K, S>(g, columns);
    let strip = (STRIP_VALUES / (g.width * g.channels * S)).max(1);
    for first in (0..rows).step_by(strip) {
        for channel in (0..g.channels).step_by(LANES) {
            for tap_row in 0..K {
                let mut taps = [[0.0f32; LANES]; K];
                for row in first..(first + strip).min(rows) {
                    let Some(y) = g.source_row(row, tap_row) else { continue };
                    for column in 0..columns {
                        let gradient = load(gradient, (row * columns + column) * g.channels + channel);
                        if inside.contains(&column) {
                            let line = &x[(y * g.width + column * S - g.padding[1]) * g.channels + channel..];
                            for (tap, sums) in taps.iter_mut().enumerate() {
                                let x = load(line, tap * g.channels);
                                for lane in 0..LANES {
                                    sums[lane] = multiply_add(x[lane], gradient[lane], sums[lane]);
                                }
                            }
                        } else {
                            for (tap, sums) in taps.iter_mut().enumerate() {
                                let Some(column) = g.source_column(column, tap) else { continue };
                                let x = load(x, (y * g.width + column) * g.channels + channel);
                                for lane in 0..LANES {
                                    sums[lane] = multiply_add(x[lane], gradient[lane], sums[lane]);
                                }
                            }
                        }
                    }
                }
                for (tap, taps) in taps.iter().enumerate() {
                    let offset = (tap_row * K + tap) * g.channels + channel;
                    sums[offset..offset + LANES].iter_mut().zip(taps).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
}

/// One image's input gradient: the convolution with reversed taps at stride 1, a scatter of rows at stride 2.
#[cfg(feature = "training")]
#[inline(always)]
fn x_gradient_of_image(gradient: &[f32], weight: &[f32], packed: &[f32], g: &Geometry, x_gradient: &mut [f32]) {
    let (rows, columns) = g.out_size();
    if g.stride == 1 {
        let flipped = pack(weight, g.channels, true);
        let zeros = vec![0.0; g.channels];
        let padding = g.padding.map(|zeros| g.kernel - 1 - zeros);
        let back = Geometry { height: rows, width: columns, padding, batch: 1, ..*g };
        let limits = (f32::NEG_INFINITY, f32::INFINITY);
        for (row, out) in x_gradient.chunks_exact_mut(g.width * g.channels).enumerate() {
            match g.kernel {
                3 => convolve_row::<3, 1>(gradient, &flipped, &zeros, &back, row, out, limits),
                _ => convolve_row::<5, 1>(gradient, &flipped, &zeros, &back, row, out, limits),
            }
        }
        return;
    }
    for row in 0..rows {
        for tap_row in 0..g.kernel {
            let Some(y) = g.source_row(row, tap_row) else { continue };
            let line = &mut x_gradient[y * g.width * g.channels..(y + 1) * g.width * g.channels];
            for column in 0..columns {
                let gradient = &gradient[(row * columns + column) * g.channels..][..g.channels];
                for tap in 0..g.kernel {
                    let Some(x) = g.source_column(column, tap) else { continue };
                    let weight = &packed[(tap_row * g.kernel + tap) * g.channels..][..g.channels];
                    let out = &mut line[x * g.channels..(x + 1) * g.channels];
                    for ((out, gradient), weight) in out.iter_mut().zip(gradient).zip(weight) {
                        *out = multiply_add(*gradient, *weight, *out);
                    }
                }
            }
        }
    }
}
