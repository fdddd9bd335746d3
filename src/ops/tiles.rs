//! Matrix products for 128-bit SIMD as WebAssembly has it: no fused multiply-add, 16 registers.
//!
//! Registers hold the sums of 4 rows by 8 outputs (8 registers); a step takes 8 weights (2) and one value a row (1).
//! The weights are packed so that a step's weights lie side by side.

use super::{clamp, limits};

/// Outputs of a tile.
pub(super) const OUTPUTS: usize = 8;
/// Rows of a tile.
const ROWS: usize = 4;
/// Values of input and output that one chunk of rows may take, so that it stays in the first-level cache.
const CHUNK_VALUES: usize = 16 * 1024;

/// `x` `[rows, I]`, `weight` `[O, I]`, `bias` `[O]` to `out` `[rows, O]`, clamped to 0..=6 if `relu6`.
///
/// # Panics
/// If `O` is no multiple of [`OUTPUTS`].
pub(super) fn product(out: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], relu6: bool) {
    let outputs = bias.len();
    assert!(
        outputs.is_multiple_of(OUTPUTS),
        "a pointwise convolution wants a multiple of {OUTPUTS} outputs, not {outputs}"
    );
    let inputs = weight.len() / outputs;
    let weight = pack(weight, inputs);
    let limits = limits(relu6);
    let rows = (CHUNK_VALUES / (inputs + outputs)).max(ROWS) / ROWS * ROWS;
    for (x, out) in x.chunks(rows * inputs).zip(out.chunks_mut(rows * outputs)) {
        let panels = weight.chunks_exact(OUTPUTS * inputs).zip(bias.as_chunks().0);
        for (panel, (weight, bias)) in panels.enumerate() {
            for (x, out) in x.chunks(ROWS * inputs).zip(out.chunks_mut(ROWS * outputs)) {
                let out = &mut out[panel * OUTPUTS..];
                if x.len() == ROWS * inputs {
                    let (x0, x) = x.split_at(inputs);
                    let (x1, x) = x.split_at(inputs);
                    let (x2, x3) = x.split_at(inputs);
                    store(out, outputs, sums([x0, x1, x2, x3], weight, bias), limits);
                } else {
                    for (x, out) in x.chunks_exact(inputs).zip(out.chunks_mut(outputs)) {
                        store(out, outputs, single(x, weight, bias), limits);
                    }
                }
            }
        }
    }
}

/// `[O, I]` to `[O / OUTPUTS, I, OUTPUTS]`.
fn pack(weight: &[f32], inputs: usize) -> Vec<f32> {
    let mut packed = vec![0.0; weight.len()];
    for (from, to) in weight.chunks_exact(OUTPUTS * inputs).zip(packed.chunks_exact_mut(OUTPUTS * inputs)) {
        let rows: [&[f32]; OUTPUTS] = std::array::from_fn(|row| &from[row * inputs..(row + 1) * inputs]);
        for (index, to) in to.as_chunks_mut::<OUTPUTS>().0.iter_mut().enumerate() {
            *to = rows.map(|row| row[index]);
        }
    }
    packed
}

/// One tile. Zipped iterators, so that no bounds are checked in the loop.
#[inline(always)]
fn sums([x0, x1, x2, x3]: [&[f32]; ROWS], weight: &[f32], bias: &[f32; OUTPUTS]) -> [[f32; OUTPUTS]; ROWS] {
    let mut sums = [*bias; ROWS];
    let steps = weight.as_chunks::<OUTPUTS>().0.iter().zip(x0).zip(x1).zip(x2).zip(x3);
    for ((((weight, x0), x1), x2), x3) in steps {
        for (sums, x) in sums.iter_mut().zip([x0, x1, x2, x3]) {
            for (sum, weight) in sums.iter_mut().zip(weight) {
                *sum += x * weight;
            }
        }
    }
    sums
}

/// One row of a tile, for the rows that fill none.
#[inline(always)]
fn single(x: &[f32], weight: &[f32], bias: &[f32; OUTPUTS]) -> [[f32; OUTPUTS]; 1] {
    let mut sums = *bias;
    for (weight, x) in weight.as_chunks::<OUTPUTS>().0.iter().zip(x) {
        for (sum, weight) in sums.iter_mut().zip(weight) {
            *sum += x * weight;
        }
    }
    [sums]
}

#[inline(always)]
fn store<const R: usize>(out: &mut [f32], outputs: usize, sums: [[f32; OUTPUTS]; R], limits: (f32, f32)) {
    for (row, sums) in sums.into_iter().enumerate() {
        let out: &mut [f32; OUTPUTS] = (&mut out[row * outputs..][..OUTPUTS]).try_into().expect("OUTPUTS values");
        *out = sums.map(|sum| clamp(sum, limits));
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointwise;
    use super::*;

    #[test]
    fn tiles_are_the_matrix_product() {
        for (rows, inputs, outputs) in [(1, 1, 8), (3, 5, 16), (4, 27, 32), (1030, 24, 144), (49, 192, 40)] {
            let values = |count: usize, factor: usize| -> Vec<f32> {
                (0..count).map(|index| (index * factor % 101) as f32 / 50.0 - 1.0).collect()
            };
            let (x, weight, bias) = (values(rows * inputs, 37), values(outputs * inputs, 53), values(outputs, 29));
            for relu6 in [false, true] {
                let mut out = vec![f32::NAN; rows * outputs];
                product(&mut out, &x, &weight, &bias, relu6);
                let expected = pointwise::forward(&x, &weight, &bias, relu6);
                let off = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-4 && out.len() == expected.len(), "{rows} {inputs} {outputs} {relu6}: {off}");
            }
        }
    }
}
