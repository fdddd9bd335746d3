//! Where the time of one image goes, layer by layer: each convolution alone, with bias and activation, on the processor.
//! `cargo run --release -p trainer --example layer_speed [ROUNDS]`
//!
//! A multiply-accumulate counts once. Every layer runs on its own map, again and again, so that its weights and map are in
//! the caches; in the network they are not, and the sum is a little less than the time of the whole.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use deepbreath::model::{Model, ModelConfig, layers};
use deepbreath::ops::conv_bias_act;
use deepbreath::preprocess::SIDE;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One layer: name, kind, output side, millions of multiply-accumulates, median milliseconds.
struct Row(String, &'static str, usize, f64, f64);

fn main() -> anyhow::Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(30), |rounds| rounds.parse::<usize>())?.max(1);
    let device = Device::flex();
    let mut side = SIDE;
    let mut rows = Vec::new();
    for (name, spec, _) in layers() {
        let [outputs, inputs, kernel, _] = spec.shape;
        let channels = if spec.conv.depthwise { outputs } else { inputs };
        let x = Tensor::<4>::random([1, side, side, channels], Distribution::Default, &device);
        let weight = Tensor::<4>::random(spec.shape, Distribution::Default, &device);
        let bias = Tensor::<1>::random([outputs], Distribution::Default, &device);
        let milliseconds = median(rounds, || {
            let _ = conv_bias_act(x.clone(), weight.clone(), bias.clone(), spec.conv);
        });
        side = side.div_ceil(spec.conv.stride);
        let kind = match (spec.conv.depthwise, kernel) {
            (true, 3) => "depthwise 3x3",
            (true, _) => "depthwise 5x5",
            (false, 1) => "1x1",
            (false, _) => "3x3",
        };
        let mega = (side * side * outputs * inputs * kernel * kernel) as f64 / 1e6;
        rows.push(Row(name, kind, side, mega, milliseconds));
    }
    let config = ModelConfig::new(3);
    let model = Model::from_tensors(&config, &Model::random_tensors(&config, 1), &device)?;
    let image = Tensor::<4>::random([1, 3, SIDE, SIDE], Distribution::Default, &device);
    let whole = median(rounds, || {
        let _ = model.forward(image.clone()).logits.into_data();
    });

    let sum: f64 = rows.iter().map(|row| row.4).sum();
    println!("{:<22} {:<14} {:>4} {:>7} {:>8} {:>6} {:>9}", "layer", "kind", "side", "MMAC", "ms", "share", "GMAC/s");
    let line = |name: &str, kind: &str, side: &str, mega: f64, ms: f64| {
        println!("{name:<22} {kind:<14} {side:>4} {mega:>7.2} {ms:>8.3} {:>5.1}% {:>9.1}", 100.0 * ms / sum, mega / ms);
    };
    for Row(name, kind, side, mega, ms) in &rows {
        line(name, kind, &side.to_string(), *mega, *ms);
    }
    for kind in ["3x3", "depthwise 3x3", "depthwise 5x5", "1x1"] {
        let of = || rows.iter().filter(|row| row.1 == kind);
        line("all", kind, "", of().map(|row| row.3).sum(), of().map(|row| row.4).sum());
    }
    println!("sum of the layers {sum:.1} ms, the whole network {whole:.1} ms (medians of {rounds})");
    Ok(())
}

/// Milliseconds of `work`, the median of `rounds` after two that do not count.
fn median(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..rounds + 2)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(2)
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}
