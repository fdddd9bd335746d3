//! The model against PyTorch: ImageNet logits, training losses, gradient norms. The numbers in `tests/fixtures` come
//! from PyTorch 2.15 with the same weights; the weights are not part of this repository.

#[path = "../../tests/common/data.rs"]
mod data;

use std::path::PathBuf;

use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use deepbreath::model::{Model, ModelConfig, NamedTensor, NamedTensors, NormMode, pool};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("an array").iter().map(|number| number.as_f64().expect("a number") as f32).collect()
}

/// The ImageNet tensors, or `None` (said aloud) where nobody has fetched them.
fn imagenet() -> Option<NamedTensors> {
    let path = data::imagenet(trainer::pretrained::default_path())?;
    Some(trainer::pretrained::read(&path).expect("ImageNet weights"))
}

fn wave(batch: usize) -> Tensor<4> {
    wave_on(batch, &Device::flex())
}

fn wave_on(batch: usize, device: &Device) -> Tensor<4> {
    let image = |b: usize| {
        (0..3 * 224 * 224).map(move |k| ((0.01 * k as f64 + b as f64).sin() * (0.00037 * k as f64).cos()) as f32)
    };
    let values: Vec<f32> = (0..batch).flat_map(image).collect();
    Tensor::from_data(TensorData::new(values, [batch, 3, 224, 224]), device)
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn imagenet_logits_agree_folded_and_unfolded() {
    let Some(tensors) = imagenet() else { return };
    let wanted = numbers(&fixture("efficientnet_lite0_imagenet.json")["logits"]);
    let logits = |tensors: &NamedTensors| {
        let model = Model::from_tensors(&ModelConfig::new(1000), tensors, &Device::flex()).expect("a model");
        let output = model.forward(wave(1));
        assert_eq!(output.features.dims(), [1, 1280, 7, 7]);
        output.logits.into_data().try_into_vec::<f32>().expect("values")
    };
    let (unfolded, folded) = (logits(&tensors), logits(&Model::fold(&tensors)));
    assert!(largest_difference(&unfolded, &wanted) < 1e-3, "{}", largest_difference(&unfolded, &wanted));
    assert!(largest_difference(&folded, &wanted) < 1e-3, "{}", largest_difference(&folded, &wanted));
    assert!(largest_difference(&folded, &unfolded) < 1e-4, "{}", largest_difference(&folded, &unfolded));
}

fn with_seeded_head(mut tensors: NamedTensors) -> NamedTensors {
    let values = (0..3 * 1280).map(|index| (0.01 * (0.1 * index as f64).sin()) as f32).collect();
    tensors.insert("classifier.weight".into(), NamedTensor { shape: vec![3, 1280], values });
    tensors.insert("classifier.bias".into(), NamedTensor { shape: vec![3], values: vec![0.0; 3] });
    tensors
}

fn close(found: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((found - wanted).abs() <= tolerance * wanted.abs(), "{what}: {found} instead of {wanted}");
}

/// Ten Adam steps on one batch: the first `strict` losses against PyTorch's within 1 %, those after them, which rounding
/// decides, within PyTorch's own spread (`loss_spread`) where that is more; and the first gradient of every parameter,
/// by its norm, against PyTorch's in 64 bits within `tolerance`.
fn train_like_pytorch(mode: NormMode, key: &str, strict: usize, tolerance: f64) {
    let Some(tensors) = imagenet() else { return };
    let device = Device::flex().autodiff();
    let wanted = &fixture("efficientnet_lite0_training.json")[key];
    let mut model = Model::from_tensors(&ModelConfig::new(3), &with_seeded_head(tensors), &device).expect("a model");
    let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    let images = wave_on(4, &device);
    let labels = Tensor::<1, Int>::from_data([0, 1, 2, 0], &device);
    for (step, wanted_loss) in numbers(&wanted["losses"]).into_iter().enumerate() {
        let logits = model.classify(pool(model.feature_map(images.clone(), mode)));
        let loss = burn::nn::loss::CrossEntropyLossConfig::new().init(&device).forward(logits, labels.clone());
        let (value, what) = (loss.clone().into_scalar::<f64>(), format!("{key}, loss of step {}", step + 1));
        println!("{what}: {value:.5}, PyTorch {wanted_loss:.5}");
        if step < strict {
            close(value, wanted_loss.into(), 0.01, &what);
        } else {
            let spread = wanted["loss_spread"][step].as_f64().expect("PyTorch's own spread");
            close(value, wanted_loss.into(), spread.max(0.01), &format!("{what}, which rounding decides"));
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        if step == 0 {
            first_gradients(&trainer::gradients::squared_norms(&model, &gradients), wanted, tolerance);
        }
        model = optimizer.step(1e-4, model, gradients);
    }
}

fn first_gradients(squares: &[(String, f64)], wanted: &Value, tolerance: f64) {
    let norms = &wanted["first_gradient_norms"];
    let number = |value: &Value| value.as_f64().expect("a number");
    let all = squares.iter().map(|(_, square)| square).sum::<f64>().sqrt();
    close(all, number(&norms["all"]), 0.01, "all");
    let exact = wanted["first_gradient_norms_float64"].as_object().expect("norms by name");
    assert_eq!(squares.len(), exact.len());
    // Some gradients are nothing, such as that of a bias that the next batch norm takes out again: absolute for them.
    let error = |(name, square): &(String, f64)| {
        let exact = number(&exact[name]);
        (square.sqrt() - exact).abs() / exact.max(1e-5 * all)
    };
    let worst = squares.iter().max_by(|a, b| error(a).total_cmp(&error(b))).expect("parameters");
    println!("largest error of a gradient norm: {:.5}, {}", error(worst), worst.0);
    assert!(error(worst) < tolerance, "{}: {}", worst.0, error(worst));
}

/// All ten losses within 1 %. PyTorch's own gradients in 32 bits are up to 2.3 % off here (the norm after the stem).
#[test]
fn training_with_batch_statistics_follows_pytorch() {
    train_like_pytorch(NormMode::Batch { momentum: 0.01 }, "batch_norm_training_mode", 10, 0.05);
}

/// The first five losses are within 1 %, and no more is claimed here. From the sixth step on rounding decides them:
/// Adam makes whole steps (1e-4) of gradients that are next to nothing, and the loss is rough. PyTorch's own runs differ
/// as much once its weights are changed by 1e-7 or the norms are folded into them: by 1.3 % in the sixth step, 6.4 in
/// the eighth and 18 % in the tenth (`loss_spread`); in 64 bits its tenth loss is 9 % above the one in 32. Its folded
/// gradients are the more exact ones (largest error 0.09 %, against 0.26 %); here it is 0.01 %.
#[test]
fn training_with_frozen_statistics_follows_pytorch() {
    train_like_pytorch(NormMode::Frozen, "batch_norm_frozen_statistics", 5, 0.002);
}
