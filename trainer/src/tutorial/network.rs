//! The tutorial's head and how it is trained: dense, ReLU, dropout, dense, softmax; Adam; binary cross entropy.
//!
//! Legend: `B` films, `C` features, `H` hidden units, 2 labels.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::bank::Bank;
use super::{Division, Protocol, Purpose, random};

/// Keras keeps probabilities this far from 0 and 1 before a logarithm (`K.epsilon()`); its Adam adds it too.
const EPSILON: f32 = 1e-7;

#[derive(Module, Debug)]
struct Dense {
    /// `[inputs, outputs]`.
    weight: Param<Tensor<2>>,
    /// `[outputs]`.
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Network {
    hidden: Dense,
    output: Dense,
}

/// What training one head gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Probabilities of both labels for each test film after the last epoch.
    pub probabilities: Vec<[f32; 2]>,
    /// Share of the test films called right after each epoch.
    pub test_accuracy: Vec<f64>,
    /// Mean loss over the updates of the last epoch, dropout on.
    pub loss: f32,
}

impl Dense {
    /// Glorot and Bengio 2010, uniform in ± sqrt(6 / (inputs + outputs)); bias 0 (the defaults of Keras).
    fn glorot(inputs: usize, outputs: usize, random: &mut impl rand::Rng, device: &Device) -> Self {
        let limit = (6.0 / (inputs + outputs) as f32).sqrt();
        let values = (0..inputs * outputs).map(|_| random.random_range(-limit..=limit)).collect();
        Self {
            weight: Param::from_tensor(tensor(values, [inputs, outputs], device).require_grad()),
            bias: Param::from_tensor(Tensor::<1>::zeros([outputs], device).require_grad()),
        }
    }

    /// `[B, inputs]` to `[B, outputs]`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

impl Network {
    /// `[B, C]` to probabilities `[B, 2]`; `mask` `[B, H]` is dropout's.
    fn forward(&self, x: Tensor<2>, mask: Option<Tensor<2>>) -> Tensor<2> {
        let hidden = relu(self.hidden.forward(x)); // [B, H]
        let hidden = match mask {
            Some(mask) => hidden * mask,
            None => hidden,
        };
        softmax(self.output.forward(hidden), 1)
    }

    /// Probabilities of both labels for each film, upright, without dropout.
    fn probabilities(&self, bank: &Bank, films: &[usize], device: &Device) -> Vec<[f32; 2]> {
        let x: Vec<f32> = films.iter().flat_map(|film| bank.upright(*film)).copied().collect();
        let x = tensor(x, [films.len(), bank.upright(films[0]).len()], device);
        let values = self.forward(x, None).into_data().try_into_vec::<f32>().expect("32-bit values");
        values.chunks_exact(2).map(|row| [row[0], row[1]]).collect()
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The more probable label; of equals, the first (as `argmax`).
pub fn call(probabilities: [f32; 2]) -> usize {
    usize::from(probabilities[1] > probabilities[0])
}

/// Learning rate of update `iteration`, counted from 0: `lr / (1 + decay * iteration)` with `decay = lr / epochs`
/// (`Adam(lr=lr, decay=lr / epochs)` of Keras 2). After the tutorial's 125 updates it has fallen by half a percent.
pub fn learning_rate(protocol: &Protocol, iteration: usize) -> f64 {
    let decay = protocol.learning_rate / protocol.epochs as f64;
    protocol.learning_rate / (1.0 + decay * iteration as f64)
}

/// Binary cross entropy, the mean over films and both outputs; `probabilities` and one-hot `targets` are `[B, 2]`.
pub fn binary_cross_entropy(probabilities: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let p = probabilities.clamp(EPSILON, 1.0 - EPSILON);
    let hits = targets.clone() * p.clone().log();
    let misses = (targets.neg() + 1.0) * (p.neg() + 1.0).log();
    (hits + misses).mean().neg()
}

/// The tutorial's training of a smaller head, one dense layer to the two labels: the same loss, optimiser, rotations,
/// batches and epochs; without hidden units there is no dropout. Returns weights, `C` for each label, and biases.
///
/// # Panics
/// If a part of the division is empty.
pub fn train_linear(
    bank: &Bank,
    labels: &[usize],
    division: &Division,
    protocol: &Protocol,
    seed: u64,
) -> (Vec<f32>, Vec<f32>) {
    let device = Device::flex().autodiff();
    let width = bank.upright(division.train[0]).len();
    let mut layer = Dense::glorot(width, 2, &mut random(seed, Purpose::Initialise, 0), &device);
    let mut optimizer = AdamConfig::new().with_epsilon(EPSILON).init();
    let mut iteration = 0;
    for epoch in 0..protocol.epochs {
        let mut random = random(seed, Purpose::Epoch, epoch as u64);
        let mut order = division.train.clone();
        order.shuffle(&mut random);
        for batch in order.chunks(protocol.batch) {
            let (mut x, mut targets) = (Vec::new(), Vec::new());
            for film in batch {
                x.extend_from_slice(bank.rotated(*film, random.random_range(0..bank.angles())));
                targets.extend((0..2).map(|label| f32::from(label == labels[*film])));
            }
            let probabilities = softmax(layer.forward(tensor(x, [batch.len(), width], &device)), 1);
            let loss = binary_cross_entropy(probabilities, tensor(targets, [batch.len(), 2], &device));
            let gradients = GradientsParams::from_grads(loss.backward(), &layer);
            layer = optimizer.step(learning_rate(protocol, iteration), layer, gradients);
            iteration += 1;
        }
    }
    let values = |data: TensorData| data.try_into_vec::<f32>().expect("32-bit values");
    let weight = values(layer.weight.val().transpose().into_data());
    (weight, values(layer.bias.val().into_data()))
}

/// Trains a head for `seed` on the training films of `division`; `labels[film]` is 0 or 1.
///
/// Equal arguments give equal results: every random number comes from the seed.
///
/// # Panics
/// If a part of the division is empty.
pub fn train(bank: &Bank, labels: &[usize], division: &Division, protocol: &Protocol, seed: u64) -> Trained {
    let device = Device::flex().autodiff();
    let width = bank.upright(division.train[0]).len();
    let mut start = random(seed, Purpose::Initialise, 0);
    let mut network = Network {
        hidden: Dense::glorot(width, protocol.hidden, &mut start, &device),
        output: Dense::glorot(protocol.hidden, 2, &mut start, &device),
    };
    let mut optimizer = AdamConfig::new().with_epsilon(EPSILON).init();
    let keep = 1.0 - protocol.dropout;
    let mut trained = Trained { probabilities: Vec::new(), test_accuracy: Vec::new(), loss: 0.0 };
    let mut iteration = 0;
    for epoch in 0..protocol.epochs {
        let mut random = random(seed, Purpose::Epoch, epoch as u64);
        let mut order = division.train.clone();
        order.shuffle(&mut random);
        let mut losses = Vec::new();
        for batch in order.chunks(protocol.batch) {
            let (mut x, mut targets) = (Vec::new(), Vec::new());
            for film in batch {
                x.extend_from_slice(bank.rotated(*film, random.random_range(0..bank.angles())));
                targets.extend((0..2).map(|label| f32::from(label == labels[*film])));
            }
            // Inverted dropout: what stays is scaled up, so that nothing changes when it is off.
            let mask = (0..batch.len() * protocol.hidden)
                .map(|_| if random.random_bool(keep) { 1.0 / keep as f32 } else { 0.0 })
                .collect();
            let mask = tensor(mask, [batch.len(), protocol.hidden], &device);
            let probabilities = network.forward(tensor(x, [batch.len(), width], &device), Some(mask));
            let loss = binary_cross_entropy(probabilities, tensor(targets, [batch.len(), 2], &device));
            losses.push(loss.clone().into_scalar::<f32>());
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(learning_rate(protocol, iteration), network, gradients);
            iteration += 1;
        }
        trained.loss = losses.iter().sum::<f32>() / losses.len() as f32;
        trained.probabilities = network.probabilities(bank, &division.test, &device);
        let right = |(film, p): &(&usize, &[f32; 2])| call(**p) == labels[**film];
        let right = division.test.iter().zip(&trained.probabilities).filter(right).count();
        trained.test_accuracy.push(right as f64 / division.test.len() as f64);
    }
    trained
}
