//! Images a second of a training step, with frozen and with batch statistics, and of inference.
//! `cargo run --release -p trainer --example training_speed [BATCH] [STEPS]`

use std::time::Instant;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use deepbreath::model::{Model, ModelConfig, NamedTensor, NamedTensors, NormMode, pool};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let batch = arguments.next().transpose()?.unwrap_or(16);
    let steps = arguments.next().transpose()?.unwrap_or(6);
    let device = Device::flex().autodiff();
    let config = ModelConfig::new(3);
    let labels: Vec<i32> = (0..batch as i32).map(|index| index % 3).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), &device);
    let images = Tensor::<4>::random([batch, 3, 224, 224], burn::tensor::Distribution::Default, &device);
    for (name, mode) in [("frozen", NormMode::Frozen), ("batch", NormMode::Batch { momentum: 0.01 })] {
        let mut model = Model::from_tensors(&config, &unfolded(Model::random_tensors(&config, 1)), &device)?;
        let mut optimizer = AdamWConfig::new().init();
        let (mut total, mut parts, mut busy) = (0.0, [0.0; 3], 0.0);
        for step in 0..=steps {
            let (start, before) = (Instant::now(), cpu_seconds());
            let logits = model.classify(pool(model.feature_map(images.clone(), mode)));
            let loss = burn::nn::loss::CrossEntropyLossConfig::new().init(&device).forward(logits, labels.clone());
            let forward = start.elapsed().as_secs_f64();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            let backward = start.elapsed().as_secs_f64();
            model = optimizer.step(1e-4, model, gradients);
            let all = start.elapsed().as_secs_f64();
            if step > 0 {
                total += all;
                parts[0] += forward;
                parts[1] += backward - forward;
                parts[2] += all - backward;
                busy += cpu_seconds() - before;
            }
        }
        let each = parts.map(|seconds| seconds / steps as f64 * 1e3);
        println!(
            "training, {name} statistics, batch {batch}: {:.1} images/s, {:.2} images per CPU second \
             (forward {:.0} ms, backward {:.0} ms, optimiser {:.0} ms)",
            (batch * steps) as f64 / total,
            (batch * steps) as f64 / busy,
            each[0],
            each[1],
            each[2]
        );
    }
    let plain = Model::from_tensors(&config, &Model::random_tensors(&config, 1), &Device::flex())?;
    for batch in [1, batch] {
        let images = Tensor::<4>::random([batch, 3, 224, 224], burn::tensor::Distribution::Default, &Device::flex());
        let mut seconds: Vec<f64> = (0..10)
            .map(|_| {
                let start = Instant::now();
                let _ = plain.forward(images.clone()).logits.into_data();
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        println!(
            "inference, batch {batch}: median {:.1} ms, {:.1} images/s",
            seconds[5] * 1e3,
            batch as f64 / seconds[5]
        );
    }
    Ok(())
}

/// CPU time of this process so far, from `/proc/self/stat` (proc(5), fields 14 and 15, in hundredths of a second); not a
/// number where there is no such file.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    fields.get(11..13).map_or(f64::NAN, |ticks| ticks.iter().sum::<f64>() / 100.0)
}

/// Batch norms that change nothing in the place of biases, which become their shifts.
fn unfolded(mut tensors: NamedTensors) -> NamedTensors {
    let layers: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".bias"))
        .filter(|layer| *layer != "classifier")
        .map(str::to_string)
        .collect();
    for layer in layers {
        let bias = tensors.remove(&format!("{layer}.bias")).expect("the layer's bias");
        for (part, value) in [("weight", 1.0), ("mean", 0.0), ("variance", 1.0)] {
            let constant = NamedTensor { shape: bias.shape.clone(), values: vec![value; bias.values.len()] };
            tensors.insert(format!("{layer}.norm.{part}"), constant);
        }
        tensors.insert(format!("{layer}.norm.bias"), bias);
    }
    tensors
}
