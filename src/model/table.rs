//! The architecture as a table, and the convolutions that it stands for.

use super::FEATURES;
use crate::ops::ConvSpec;

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

/// [`ConvSpec`] with the sizes that weights must have.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Everything but sizes.
    pub conv: ConvSpec,
    /// `[O, I, K, K]`, depthwise `[C, 1, K, K]`.
    pub shape: [usize; 4],
}

impl Spec {
    fn new(outputs: usize, inputs: usize, kernel: usize, stride: usize, depthwise: bool, relu6: bool) -> Self {
        let inputs = if depthwise { 1 } else { inputs };
        Self { conv: ConvSpec { stride, depthwise, relu6 }, shape: [outputs, inputs, kernel, kernel] }
    }
}

/// The convolutions in order: name (as in [`NamedTensors`]), spec, and whether the block that it closes adds its input.
///
/// [`NamedTensors`]: super::NamedTensors
pub fn layers() -> Vec<(String, Spec, bool)> {
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
