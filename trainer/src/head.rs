//! A linear head on frozen features: the first stage of training, and the cheap model of `--head-only`.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use deepbreath::model::{FEATURES, NamedTensor};

use crate::recipe;

/// Multinomial logistic regression, `[classes, features]` and `[classes]`.
#[derive(Debug, Clone)]
pub struct Head {
    /// `[classes, features]`.
    pub weight: NamedTensor,
    /// `[classes]`.
    pub bias: NamedTensor,
}

#[derive(Module, Debug)]
struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Fits a head on `features` `[films][features]`; film `i` has label `labels[i]` and counts `weights[i]` times.
///
/// Features are standardised while fitting; the result applies to them as they are.
///
/// # Panics
/// If there are no films, or the slices differ in length.
pub fn fit(features: &[Vec<f32>], labels: &[usize], weights: &[f32], classes: usize, recipe: &recipe::Head) -> Head {
    assert!(!features.is_empty() && features.len() == labels.len() && labels.len() == weights.len());
    let (count, width) = (features.len(), features[0].len());
    let (mean, scale) = moments(features);
    let device = Device::flex().autodiff();
    let standard: Vec<f32> = features
        .iter()
        .flat_map(|row| row.iter().enumerate().map(|(index, value)| (value - mean[index]) * scale[index]))
        .collect();
    let total: f32 = weights.iter().sum();
    let mut targets = vec![0.0; count * classes];
    for (film, (label, weight)) in labels.iter().zip(weights).enumerate() {
        targets[film * classes + label] = weight / total;
    }
    let x = Tensor::<2>::from_data(TensorData::new(standard, [count, width]), &device);
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [count, classes]), &device);
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device).require_grad();
    let mut model = Linear {
        weight: Param::from_tensor(zeros([width, classes])),
        bias: Param::from_tensor(zeros([1, classes]).reshape([classes]).detach().require_grad()),
    };
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..recipe.steps {
        let logits = x.clone().matmul(model.weight.val()) + model.bias.val().unsqueeze();
        let loss =
            (log_softmax(logits, 1) * targets.clone()).sum().neg() + model.weight.val().square().sum() * recipe.l2;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(recipe.learning_rate, model, gradients);
    }
    let values = |data: TensorData| data.try_into_vec::<f32>().expect("32-bit values");
    let standard = values(model.weight.val().into_data());
    let mut bias = values(model.bias.val().into_data());
    let mut weight = vec![0.0; classes * width];
    for class in 0..classes {
        for index in 0..width {
            weight[class * width + index] = standard[index * classes + class] * scale[index];
            bias[class] -= weight[class * width + index] * mean[index];
        }
    }
    Head {
        weight: NamedTensor { shape: vec![classes, width], values: weight },
        bias: NamedTensor { shape: vec![classes], values: bias },
    }
}

impl Head {
    /// A head that knows nothing.
    pub fn zeros(classes: usize) -> Self {
        let zeros = |shape: Vec<usize>| NamedTensor { values: vec![0.0; shape.iter().product()], shape };
        Self { weight: zeros(vec![classes, FEATURES]), bias: zeros(vec![classes]) }
    }

    /// Logits of one row of features.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        let rows = self.weight.values.chunks_exact(features.len());
        let dot = |row: &[f32]| row.iter().zip(features).map(|(weight, value)| weight * value).sum::<f32>();
        rows.zip(&self.bias.values).map(|(row, bias)| dot(row) + bias).collect()
    }
}

/// Mean and inverse standard deviation of every feature; a constant feature gets factor 0.
fn moments(features: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>) {
    let (count, width) = (features.len() as f64, features[0].len());
    let (mut sum, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
    for row in features {
        for (index, value) in row.iter().enumerate() {
            sum[index] += f64::from(*value);
            squares[index] += f64::from(*value).powi(2);
        }
    }
    let scale = |index: usize| {
        let variance = squares[index] / count - (sum[index] / count).powi(2);
        if variance > 1e-12 { variance.sqrt().recip() as f32 } else { 0.0 }
    };
    ((0..width).map(|index| (sum[index] / count) as f32).collect(), (0..width).map(scale).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separable_films_are_separated_and_weights_count() {
        let features: Vec<Vec<f32>> =
            (0..90).map(|index| vec![(index % 3) as f32 * 10.0 + (index / 3) as f32 * 0.01, 5.0]).collect();
        let labels: Vec<usize> = (0..90).map(|index| index % 3).collect();
        let head = fit(&features, &labels, &vec![1.0; 90], 3, &recipe::Head::default());
        for (row, label) in features.iter().zip(&labels) {
            let logits = head.logits(row);
            assert!((0..3).all(|other| other == *label || logits[*label] > logits[other]), "{row:?} {logits:?}");
        }
        // Without information the head learns the weighted shares: 3 to 1.
        let flat = vec![vec![1.0]; 4];
        let head = fit(&flat, &[0, 0, 1, 1], &[3.0, 3.0, 1.0, 1.0], 2, &recipe::Head::default());
        let logits = head.logits(&[1.0]);
        assert!((logits[0] - logits[1] - 3f32.ln()).abs() < 0.05, "{logits:?}");
    }
}
