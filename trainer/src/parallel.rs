//! Loss and gradients of one step, on one device or on several at once.
//!
//! Every device gets an equal share of the films and a copy of the weights; burn carries the gradients back to the first
//! device and adds them up. The sum is the gradient of the whole batch, so that the number of devices changes rounding
//! only. With batch statistics each share is normalised by its own, as elsewhere, and the first one's are kept.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use deepbreath::model::{FEATURES, Model, NormMode, pool};
use deepbreath::preprocess::SIDE;

use crate::batch::Batch;

/// A batch on its devices.
#[derive(Debug)]
pub struct Shares {
    shares: Vec<Share>,
    size: usize,
}

#[derive(Debug)]
struct Share {
    /// With gradients.
    device: Device,
    /// `[B, 3, SIDE, SIDE]`.
    images: Tensor<4>,
    /// `[B, classes]`.
    targets: Tensor<2>,
    /// Dropout of the pooled features, `[B, FEATURES]`.
    mask: Tensor<2>,
}

impl Shares {
    /// Splits the first `size` films of `batch` and the dropout `mask` of their pooled features over `devices`; where
    /// films are few, some devices stay idle.
    ///
    /// # Panics
    /// If there is no device or no film.
    pub fn new(batch: &Batch, size: usize, mask: &[f32], devices: &[Device]) -> Self {
        let classes = batch.targets.len() / batch.size;
        let most = size.div_ceil(devices.len());
        let share = |(index, device): (usize, &Device)| {
            let films = index * most..((index + 1) * most).min(size);
            let device = device.clone().autodiff();
            let part = |values: &[f32], width: usize| {
                TensorData::new(values[films.start * width..films.end * width].to_vec(), [films.len(), width])
            };
            let images = Tensor::<2>::from_data(part(&batch.images, 3 * SIDE * SIDE), &device);
            Share {
                images: images.reshape([films.len(), 3, SIDE, SIDE]),
                targets: Tensor::from_data(part(&batch.targets, classes), &device),
                mask: Tensor::from_data(part(mask, FEATURES), &device),
                device,
            }
        };
        let used = size.div_ceil(most);
        Self { shares: devices.iter().take(used).enumerate().map(share).collect(), size }
    }

    /// Mean cross entropy of the films and its gradients, both on the first device, where `model` is.
    pub fn gradients(&self, model: &Model, norms: NormMode) -> (Tensor<1>, GradientsParams) {
        let (first, others) = self.shares.split_first().expect("a batch has a film");
        std::thread::scope(|scope| {
            let others: Vec<_> = others
                .iter()
                .map(|share| {
                    let replica = model.valid().to_device(&share.device.clone().inner()).train();
                    scope.spawn(move || self.gradients_of(share, &replica, norms))
                })
                .collect();
            let (mut loss, gradients) = self.gradients_of(first, model, norms);
            let mut sum = GradientsAccumulator::new();
            sum.accumulate(model, gradients);
            for other in others {
                let (part, gradients) = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                loss = loss + part.to_device(&first.device.clone().inner());
                sum.accumulate(model, gradients.to_device(&first.device.clone().inner(), model));
            }
            (loss, sum.grads())
        })
    }

    fn gradients_of(&self, share: &Share, model: &Model, norms: NormMode) -> (Tensor<1>, GradientsParams) {
        let map = model.feature_map(share.images.clone(), norms);
        let logits = model.classify(pool(map) * share.mask.clone());
        let loss = (log_softmax(logits, 1) * share.targets.clone()).sum().neg() / self.size as f32;
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        (loss.inner(), gradients)
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::AdamWConfig;
    use deepbreath::model::ModelConfig;

    use super::*;
    use crate::batch::dropout_mask;
    use crate::gradients::squared_norms;
    use crate::sampler::stream;

    fn batch(size: usize) -> Batch {
        let images = (0..size * 3 * SIDE * SIDE).map(|index| (index as f32 * 0.37).sin()).collect();
        let targets =
            (0..size).flat_map(|film| [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]][film % 3]).collect();
        Batch { images, targets, size }
    }

    #[test]
    fn shares_give_the_gradients_of_the_whole_and_the_same_losses() {
        let config = ModelConfig::new(3);
        let device = Device::flex();
        let build = || {
            let tensors = Model::random_tensors(&config, 3);
            Model::from_tensors(&config, &tensors, &device.clone().autodiff()).expect("a model").freeze(8)
        };
        let (batch, mask) = (batch(5), dropout_mask(5 * FEATURES, 0.8, &mut stream(5, [0; 3])));
        let run = |devices: &[Device]| {
            let (mut model, mut optimizer) = (build(), AdamWConfig::new().with_epsilon(1e-5).init());
            let shares = Shares::new(&batch, 5, &mask, devices);
            let (_, gradients) = shares.gradients(&model, NormMode::Frozen);
            let norms = squared_norms(&model, &gradients);
            let losses: Vec<f32> = (0..4)
                .map(|_| {
                    let (loss, gradients) = shares.gradients(&model, NormMode::Frozen);
                    model = optimizer.step(2e-6, model.clone(), gradients);
                    loss.into_scalar::<f32>()
                })
                .collect();
            (shares.shares.len(), norms, losses)
        };
        let (_, wanted, wanted_losses) = run(std::slice::from_ref(&device));
        assert!(wanted_losses[3] < wanted_losses[0], "{wanted_losses:?}");
        // Three and two films; one film each, with one device idle.
        for (devices, used) in [(2, 2), (6, 5)] {
            let (found_used, norms, losses) = run(&vec![device.clone(); devices]);
            assert_eq!((found_used, norms.len()), (used, wanted.len()));
            for ((name, found), (_, wanted)) in norms.iter().zip(&wanted) {
                assert!((found - wanted).abs() <= 1e-3 * wanted + 1e-12, "{name}: {found} instead of {wanted}");
            }
            for (found, wanted) in losses.iter().zip(&wanted_losses) {
                assert!((found - wanted).abs() < 1e-3 * wanted, "{losses:?} instead of {wanted_losses:?}");
            }
        }
    }
}
