//! The running average of weights, which is what is judged and kept.

use burn::tensor::{Device, Tensor, TensorData};
use deepbreath::model::{Model, NamedTensor, NamedTensors};

/// The running average of a model's tensors, on its device.
pub(crate) struct Average(Vec<(String, Vec<usize>, Tensor<1>)>);

impl Average {
    pub(crate) fn new(tensors: &NamedTensors, device: &Device) -> Self {
        let load = |(name, tensor): (&String, &NamedTensor)| {
            let data = TensorData::new(tensor.values.clone(), [tensor.values.len()]);
            (name.clone(), tensor.shape.clone(), Tensor::from_data(data, device))
        };
        let mut tensors: Vec<_> = tensors.iter().map(load).collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Self(tensors)
    }

    /// Moves towards `model`. Early on the average follows more closely, so that the start does not linger.
    pub(crate) fn update(&mut self, model: &Model, decay: f32, step: usize) {
        let decay = decay.min((1.0 + step as f32) / (10.0 + step as f32));
        let mut values = model.values();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        for ((_, _, old), (_, _, new)) in self.0.iter_mut().zip(values) {
            *old = new.clone() + (old.clone() - new) * decay;
        }
    }

    pub(crate) fn tensors(&self) -> NamedTensors {
        let read = |(name, shape, tensor): &(String, Vec<usize>, Tensor<1>)| {
            let values = tensor.to_data().convert::<f32>().try_into_vec().expect("32-bit values");
            (name.clone(), NamedTensor { shape: shape.clone(), values })
        };
        self.0.iter().map(read).collect()
    }
}
