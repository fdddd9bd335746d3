//! The kernels on burn's flex backend, and their gradients on its autodiff wrapper.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Shape, TensorData};

use super::dense::Geometry;
use super::{ConvOps, ConvSpec, dense, depthwise, pointwise, same_padding};

pub(super) type Flat = FloatTensor<Flex>;

/// The values of a contiguous 32-bit tensor.
pub(super) fn values(tensor: &Flat) -> &[f32] {
    tensor.as_slice::<f32>().expect("contiguous 32-bit values")
}

pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Flat {
    Flat::from_data(TensorData::new(values, shape.into()))
}

fn geometry(x: &Flat, weight: &Flat, spec: ConvSpec) -> Geometry {
    let (x, weight) = (x.shape(), weight.shape());
    assert!(weight[1] == if spec.depthwise { 1 } else { x[3] }, "weight {weight:?} does not fit input {x:?}");
    Geometry {
        batch: x[0],
        height: x[1],
        width: x[2],
        channels: x[3],
        kernel: weight[2],
        stride: spec.stride,
        padding: [x[1], x[2]].map(|length| same_padding(length, weight[2], spec.stride).0),
    }
}

/// A 1x1 convolution that skips no position.
fn is_pointwise(g: &Geometry) -> bool {
    g.kernel == 1 && g.stride == 1
}

fn convolve(x: &Flat, weight: &Flat, bias: &Flat, spec: ConvSpec) -> Flat {
    let g = geometry(x, weight, spec);
    let (x, weight, bias) = (values(x), values(weight), values(bias));
    let out = match (spec.depthwise, is_pointwise(&g)) {
        (true, _) => depthwise::forward(x, weight, bias, &g, spec.relu6),
        (false, true) => pointwise::forward(x, weight, bias, spec.relu6),
        (false, false) => dense::forward(x, weight, bias, &g, spec.relu6),
    };
    let (rows, columns) = g.out_size();
    tensor(out, [g.batch, rows, columns, bias.len()])
}

impl ConvOps for Flex {
    fn conv_bias_act(x: Flat, weight: Flat, bias: Flat, spec: ConvSpec) -> Flat {
        convolve(&x.to_contiguous(), &weight.to_contiguous(), &bias.to_contiguous(), spec)
    }
}

#[cfg(feature = "training")]
mod training {
    use burn::backend::Autodiff;
    use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn_autodiff::grads::Gradients;
    use burn_autodiff::ops::{Backward, Ops, OpsKind};

    use super::*;

    /// What the gradients need of the forward pass.
    #[derive(Debug, Clone)]
    struct Saved {
        x: Flat,
        weight: Flat,
        out: Flat,
        spec: ConvSpec,
    }

    #[derive(Debug)]
    struct ConvBackward;

    impl Backward<Flex, 3> for ConvBackward {
        type State = Saved;

        fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
            let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
            let Saved { x, weight, out, spec } = ops.state;
            let g = geometry(&x, &weight, spec);
            let [x_node, weight_node, bias_node] = ops.parents;
            let (want_x, relu6) = (x_node.is_some(), spec.relu6);
            let (x_shape, weight_shape) = (x.shape(), weight.shape());
            let outputs = weight_shape[0];
            let (x, weight, out, gradient) = (values(&x), values(&weight), values(&out), values(&gradient));
            let result = match (spec.depthwise, is_pointwise(&g)) {
                (true, _) => depthwise::backward(gradient, out, x, weight, &g, relu6, want_x),
                (false, true) => pointwise::backward(gradient, out, x, weight, outputs, relu6, want_x),
                (false, false) => dense::backward(gradient, out, x, weight, outputs, &g, relu6, want_x),
            };
            if let Some(node) = x_node {
                gradients.register::<Flex>(node.id, tensor(result.x, x_shape));
            }
            if let Some(node) = weight_node {
                gradients.register::<Flex>(node.id, tensor(result.weight, weight_shape));
            }
            if let Some(node) = bias_node {
                gradients.register::<Flex>(node.id, tensor(result.bias, [outputs]));
            }
        }
    }

    impl<C: CheckpointStrategy> ConvOps for Autodiff<Flex, C> {
        fn conv_bias_act(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            spec: ConvSpec,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node(), bias.node()];
            let [x, weight, bias] =
                [x.into_primitive(), weight.into_primitive(), bias.into_primitive()].map(|t| t.to_contiguous());
            let out = convolve(&x, &weight, &bias, spec);
            match ConvBackward.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(Saved { x, weight, out: out.clone(), spec }, out),
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
