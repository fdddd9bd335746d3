//! Named tensors on disk, 32 bits each, as safetensors: checkpoints, not releases (those are [`deepbreath::weights`]).

use std::path::Path;

use anyhow::{Context, Result};
use deepbreath::model::{NamedTensor, NamedTensors};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

/// Writes `tensors` to `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &NamedTensors) -> Result<()> {
    let bytes: Vec<(&String, &NamedTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, tensor, bytes)| Ok((*name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    crate::dataset::write_whole(path, &safetensors::serialize(views, None)?)
}

/// Feeds names and values into `hash`.
pub(crate) fn digest(tensors: &NamedTensors, hash: &mut Sha256) {
    for (name, tensor) in tensors {
        hash.update(name);
        tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// If the file cannot be read or holds anything but 32-bit floats.
pub fn read(path: &Path) -> Result<NamedTensors> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            anyhow::ensure!(view.dtype() == Dtype::F32, "{}: {name} is not of 32-bit floats", path.display());
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Ok((name, NamedTensor { shape: view.shape().to_vec(), values }))
        })
        .collect()
}
