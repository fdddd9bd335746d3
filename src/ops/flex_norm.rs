//! The batch norm kernels on burn's flex backend, and their gradients on its autodiff wrapper.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::flex::{Flat, tensor, values};
use super::{NormOps, NormSpec, norm};

impl NormOps for Flex {
    fn norm_statistics(x: Flat) -> Flat {
        let x = x.to_contiguous();
        let channels = x.shape()[3];
        tensor(norm::statistics(values(&x), channels), [2, channels])
    }

    fn norm_act(x: Flat, scale: Flat, shift: Flat, statistics: Flat, spec: NormSpec) -> Flat {
        let x = x.to_contiguous();
        let out =
            norm::forward(values(&x), values(&scale), values(&shift), values(&statistics), spec.epsilon, spec.relu6);
        tensor(out, x.shape())
    }
}

/// What the gradients need of the forward pass.
#[derive(Debug, Clone)]
struct Saved {
    x: Flat,
    scale: Flat,
    statistics: Flat,
    out: Flat,
    spec: NormSpec,
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 3> for NormBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { x, scale, statistics, out, spec } = ops.state;
        let shape = x.shape();
        let [of_x, of_scale, of_shift] = norm::backward(
            values(&gradient),
            values(&out),
            values(&x),
            values(&scale),
            values(&statistics),
            spec.epsilon,
            spec.relu6,
        );
        let channels = shape[3];
        let [x_node, scale_node, shift_node] = ops.parents;
        if let Some(node) = x_node {
            gradients.register::<Flex>(node.id, tensor(of_x, shape));
        }
        if let Some(node) = scale_node {
            gradients.register::<Flex>(node.id, tensor(of_scale, [channels]));
        }
        if let Some(node) = shift_node {
            gradients.register::<Flex>(node.id, tensor(of_shift, [channels]));
        }
    }
}

impl<C: CheckpointStrategy> NormOps for Autodiff<Flex, C> {
    fn norm_statistics(x: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as burn::backend::AutodiffBackend>::from_inner(Flex::norm_statistics(x.into_primitive()))
    }

    fn norm_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        spec: NormSpec,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node()];
        let [x, scale, shift, statistics] =
            [x, scale, shift, statistics].map(|tensor| tensor.into_primitive().to_contiguous());
        let out = Flex::norm_act(x.clone(), scale.clone(), shift, statistics.clone(), spec);
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Saved { x, scale, statistics, out: out.clone(), spec }, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
