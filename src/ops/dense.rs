//! A full `K` x `K` convolution (the network's first layer) as a pointwise one over gathered patches.

use super::pointwise;

/// Geometry of a convolution's map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    /// Images.
    pub(super) batch: usize,
    /// Input rows.
    pub(super) height: usize,
    /// Input columns.
    pub(super) width: usize,
    /// Input channels.
    pub(super) channels: usize,
    /// Kernel side.
    pub(super) kernel: usize,
    /// Step.
    pub(super) stride: usize,
    /// Zeros before the first row and the first column.
    pub(super) padding: [usize; 2],
}

impl Geometry {
    /// Output rows and columns.
    pub(super) fn out_size(&self) -> (usize, usize) {
        (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride))
    }

    /// Input row for an output row and a tap, if it is inside.
    #[inline(always)]
    pub(super) fn source_row(&self, row: usize, tap: usize) -> Option<usize> {
        (row * self.stride + tap).checked_sub(self.padding[0]).filter(|index| *index < self.height)
    }

    /// Input column for an output column and a tap, if it is inside.
    #[inline(always)]
    pub(super) fn source_column(&self, column: usize, tap: usize) -> Option<usize> {
        (column * self.stride + tap).checked_sub(self.padding[1]).filter(|index| *index < self.width)
    }

    /// Values of one patch.
    fn patch(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Calls `visit(patch offset, input offset, values)` for every run of taps inside the image, patches in output order.
    fn for_each_run(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (rows, columns) = self.out_size();
        let mut patch = 0;
        for image in 0..self.batch {
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                // Taps of one row are neighbours, in the patch as in the image.
                let first = self.padding[1].saturating_sub(column * self.stride);
                let end = self.kernel.min(self.width + self.padding[1] - column * self.stride);
                let x = column * self.stride + first - self.padding[1];
                for tap_row in 0..self.kernel {
                    let Some(y) = self.source_row(row, tap_row) else { continue };
                    visit(
                        patch + (tap_row * self.kernel + first) * self.channels,
                        ((image * self.height + y) * self.width + x) * self.channels,
                        (end - first) * self.channels,
                    );
                }
                patch += self.patch();
            }
        }
    }

    /// Patches `[B * H' * W', K * K * I]`.
    pub(super) fn gather(&self, x: &[f32]) -> Vec<f32> {
        let (rows, columns) = self.out_size();
        let mut patches = vec![0.0; self.batch * rows * columns * self.patch()];
        self.for_each_run(|to, from, values| patches[to..to + values].copy_from_slice(&x[from..from + values]));
        patches
    }

    /// The adjoint of [`Self::gather`].
    #[cfg(feature = "training")]
    pub(super) fn scatter(&self, patches: &[f32]) -> Vec<f32> {
        let mut x = vec![0.0; self.batch * self.height * self.width * self.channels];
        self.for_each_run(|from, to, values| {
            for (value, patch) in x[to..to + values].iter_mut().zip(&patches[from..from + values]) {
                *value += patch;
            }
        });
        x
    }
}

/// `[O, I, K, K]` to `[O, K, K, I]`, the order of patches.
pub(super) fn weight_to_patch_order(weight: &[f32], outputs: usize, g: &Geometry) -> Vec<f32> {
    let taps = g.kernel * g.kernel;
    let mut reordered = Vec::with_capacity(weight.len());
    for filter in weight.chunks_exact(weight.len() / outputs) {
        reordered.extend((0..taps).flat_map(|tap| (0..g.channels).map(move |channel| filter[channel * taps + tap])));
    }
    reordered
}

/// The adjoint (and inverse) of [`weight_to_patch_order`].
#[cfg(feature = "training")]
pub(super) fn weight_from_patch_order(weight: &[f32], outputs: usize, g: &Geometry) -> Vec<f32> {
    let taps = g.kernel * g.kernel;
    let mut reordered = Vec::with_capacity(weight.len());
    for filter in weight.chunks_exact(weight.len() / outputs) {
        reordered
            .extend((0..g.channels).flat_map(|channel| (0..taps).map(move |tap| filter[tap * g.channels + channel])));
    }
    reordered
}

/// `x` `[B, H, W, I]`, `weight` `[O, I, K, K]`, `bias` `[O]` to `[B, H', W', O]`.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], g: &Geometry, relu6: bool) -> Vec<f32> {
    let weight = weight_to_patch_order(weight, bias.len(), g);
    pointwise::forward(&g.gather(x), &weight, bias, relu6)
}

/// Gradients for [`forward`].
#[cfg(feature = "training")]
#[expect(clippy::too_many_arguments, reason = "those of the pointwise one and the geometry")]
pub(super) fn backward(
    gradient: &[f32],
    out: &[f32],
    x: &[f32],
    weight: &[f32],
    outputs: usize,
    g: &Geometry,
    relu6: bool,
    want_x: bool,
) -> pointwise::Gradients {
    let weight = weight_to_patch_order(weight, outputs, g);
    let mut gradients = pointwise::backward(gradient, out, &g.gather(x), &weight, outputs, relu6, want_x);
    gradients.weight = weight_from_patch_order(&gradients.weight, outputs, g);
    if want_x {
        gradients.x = g.scatter(&gradients.x);
    }
    gradients
}
