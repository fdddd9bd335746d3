//! The weights file: one safetensors file that carries the whole contract. Reads and writes it.
//!
//! Layout: 8 bytes header length (little endian), a JSON header, the tensors (little endian, C order). The header's
//! `__metadata__` has one key, `deepbreath`, whose text is [`Metadata`] as JSON. (One key only: a map with several
//! has no fixed order in the crate that writes it, and equal weights must give equal files.)
//!
//! Checksum: `Metadata::sha256` is the SHA-256 of the whole file with those 64 digits replaced by `0`, so a changed
//! byte anywhere, header included, is found. [`Weights::id`] is the start of the plain SHA-256 of the file, what
//! `sha256sum` prints.
//!
//! Compatibility: this version reads [`FORMAT_VERSION`] only, and says which way to go for any other.
//! It does not know what the tensors mean: `Model::from_tensors` checks their names and shapes.

mod golden;
mod metadata;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

pub use golden::{Golden, Pattern};
pub use metadata::{
    Conformal, DataSource, FORMAT_VERSION, Flaw, FlawModel, GateModel, Measurement, Metadata, OperatingPoint, Origin,
};

use crate::Error;
use crate::digest::sha256;
use crate::model::{NamedTensor, NamedTensors};

/// Largest file that is read, in bytes: 64 MiB.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Largest header that is read, in bytes: 1 MiB.
pub const MAX_HEADER_BYTES: usize = 1 << 20;
/// Most values in one file (64 MiB once they are f32).
pub const MAX_VALUES: usize = 16 << 20;

/// The key in safetensors' `__metadata__`.
const METADATA_KEY: &str = "deepbreath";
/// What the digest is while the digest is computed.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Suffix of the tensor that holds the scales of an int8 tensor.
const SCALE_SUFFIX: &str = ".scale";

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As they are.
    F32,
    /// IEEE half precision: relative error at most 2^-11, absolute error at most 2^-25 for values below 2^-14.
    F16,
    /// Tensors of rank 2 and more as `round(value / scale)` in -127..=127 with one scale for each index of the first
    /// axis, `max |value| / 127` (absolute error at most half a scale); other tensors as f16.
    Int8,
}

/// A weights file that was read and found whole.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Everything that is said about the tensors.
    pub metadata: Metadata,
    /// The tensors, as f32 whatever their stored precision.
    pub tensors: NamedTensors,
    id: String,
}

impl Weights {
    /// Reads a weights file from memory; `file` only names it in messages.
    ///
    /// # Errors
    /// [`Error::Weights`] if the file is too large, cut off, changed, of another version or contradicts itself.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        read(bytes).map_err(|reason| Error::Weights { file: file.into(), reason })
    }

    /// The first 12 hexadecimal digits of the SHA-256 of the whole file: the name of these weights everywhere.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Serialises a weights file. `metadata.format_version` and `metadata.sha256` are filled in here.
///
/// Equal arguments give equal bytes.
///
/// # Errors
/// [`Error::Weights`] if the metadata contradicts itself, a value is not finite or does not fit the precision, or a
/// tensor's length is not the product of its shape.
pub fn write(metadata: &Metadata, tensors: &NamedTensors, precision: Precision) -> Result<Vec<u8>, Error> {
    encode(metadata, tensors, precision).map_err(|reason| Error::Weights { file: "(to be written)".into(), reason })
}

fn read(bytes: &[u8]) -> Result<Weights, String> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("{} bytes, but at most {MAX_FILE_BYTES} are read. Is this a weights file?", bytes.len()));
    }
    let header = bytes
        .first_chunk::<8>()
        .map(|length| u64::from_le_bytes(*length))
        .ok_or("shorter than the smallest weights file. Download it again")?;
    if header > MAX_HEADER_BYTES as u64 {
        return Err(format!(
            "its header claims {header} bytes, but at most {MAX_HEADER_BYTES} are read. \
             Give a weights file (.safetensors), or download it again"
        ));
    }
    let damaged = |error| format!("not a whole safetensors file ({error}). Download it again");
    let (_, table) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let text = table
        .metadata()
        .as_ref()
        .and_then(|keys| keys.get(METADATA_KEY))
        .ok_or("a safetensors file, but without deepbreath's metadata. Use a file that `trainer export` wrote")?;
    let metadata = Metadata::parse(text)?;
    check_digest(bytes, 8 + header as usize, &metadata.sha256)?;
    metadata.check()?;
    let views = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let tensors = decode(&views)?;
    let id = sha256(&[bytes])[..12].to_owned();
    Ok(Weights { metadata, tensors, id })
}

fn decode(views: &SafeTensors<'_>) -> Result<NamedTensors, String> {
    let all: BTreeMap<String, TensorView<'_>> = views.tensors().into_iter().collect();
    let count: usize = all.values().map(|view| view.data().len() * 8 / view.dtype().bitsize()).sum();
    if count > MAX_VALUES {
        return Err(format!("holds {count} values, but at most {MAX_VALUES} are read. Use a smaller model"));
    }
    let is_scale = |name: &str| {
        name.strip_suffix(SCALE_SUFFIX).and_then(|base| all.get(base)).is_some_and(|view| view.dtype() == Dtype::I8)
    };
    let mut tensors = NamedTensors::new();
    for (name, view) in all.iter().filter(|(name, _)| !is_scale(name)) {
        let values = match view.dtype() {
            Dtype::F32 => f32_values(view.data()),
            Dtype::F16 => f16_values(view.data()),
            Dtype::I8 => {
                let scales = all
                    .get(&format!("{name}{SCALE_SUFFIX}"))
                    .filter(|scale| scale.dtype() == Dtype::F32 && view.shape().first() == scale.shape().first())
                    .ok_or_else(|| format!("int8 tensor {name} has no fitting scales. Export the weights again"))?;
                dequantise(view.data(), &f32_values(scales.data()))
            }
            other => {
                return Err(format!("tensor {name} has type {other}, not F32, F16 or I8. Export the weights again"));
            }
        };
        tensors.insert(name.clone(), NamedTensor { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

fn encode(metadata: &Metadata, tensors: &NamedTensors, precision: Precision) -> Result<Vec<u8>, String> {
    let metadata = Metadata { format_version: FORMAT_VERSION, sha256: NO_DIGEST.into(), ..metadata.clone() };
    metadata.check()?;
    let mut stored = BTreeMap::new();
    for (name, tensor) in tensors {
        if tensor.values.len() != tensor.shape.iter().product::<usize>() {
            return Err(format!("tensor {name} has {} values for shape {:?}", tensor.values.len(), tensor.shape));
        }
        let limit = if precision == Precision::F32 { f32::MAX } else { f16::MAX.to_f32() };
        if let Some(value) = tensor.values.iter().find(|value| value.is_nan() || value.abs() > limit) {
            return Err(format!(
                "tensor {name} holds {value}, beyond what {precision:?} stores. Did training diverge?"
            ));
        }
        let shape = tensor.shape.clone();
        let new = match precision {
            Precision::F32 => vec![(name.clone(), Stored::f32(shape, &tensor.values))],
            Precision::Int8 if shape.len() >= 2 => {
                let (values, scales) = quantise(&tensor.values, shape[0]);
                let scale_name = format!("{name}{SCALE_SUFFIX}");
                vec![
                    (scale_name, Stored::f32(vec![shape[0]], &scales)),
                    (name.clone(), Stored { dtype: Dtype::I8, shape, bytes: values }),
                ]
            }
            Precision::F16 | Precision::Int8 => vec![(name.clone(), Stored::f16(shape, &tensor.values))],
        };
        for (name, tensor) in new {
            if stored.insert(name.clone(), tensor).is_some() {
                return Err(format!("two tensors would be named {name}"));
            }
        }
    }
    let text = serde_json::to_string(&metadata).map_err(|error| error.to_string())?;
    let keys = HashMap::from([(METADATA_KEY.to_owned(), text)]);
    let mut bytes = safetensors::serialize(&stored, Some(keys)).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("{} bytes, but at most {MAX_FILE_BYTES} could be read back", bytes.len()));
    }
    let at = digest_position(&bytes, NO_DIGEST).ok_or("the metadata has no place for the checksum")?;
    let digest = sha256(&[&bytes]);
    bytes[at..at + digest.len()].copy_from_slice(digest.as_bytes());
    Ok(bytes)
}

/// Where `digest` stands as the value of `sha256` in the header, whose quotes are escaped.
fn digest_position(header: &[u8], digest: &str) -> Option<usize> {
    let before = r#"sha256\":\""#;
    let needle = format!("{before}{digest}");
    header.windows(needle.len()).position(|window| window == needle.as_bytes()).map(|start| start + before.len())
}

fn check_digest(bytes: &[u8], header_end: usize, stated: &str) -> Result<(), String> {
    let damaged = "its content does not match its SHA-256: the file was changed or damaged. Download it again";
    let at =
        digest_position(&bytes[..header_end], stated).filter(|_| stated.len() == NO_DIGEST.len()).ok_or(damaged)?;
    let digest = sha256(&[&bytes[..at], NO_DIGEST.as_bytes(), &bytes[at + NO_DIGEST.len()..]]);
    if digest == stated { Ok(()) } else { Err(damaged.into()) }
}

/// Symmetric int8 with one scale for each of `rows` equal parts: the bytes of the i8 values, and the scales.
fn quantise(values: &[f32], rows: usize) -> (Vec<u8>, Vec<f32>) {
    let mut bytes = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(rows);
    for row in values.chunks_exact((values.len() / rows.max(1)).max(1)) {
        let scale = row.iter().fold(0.0f32, |max, value| max.max(value.abs())) / 127.0;
        scales.push(scale);
        bytes.extend(row.iter().map(|value| {
            let steps = if scale > 0.0 { (value / scale).round().clamp(-127.0, 127.0) } else { 0.0 };
            (steps as i8).to_le_bytes()[0]
        }));
    }
    (bytes, scales)
}

fn dequantise(bytes: &[u8], scales: &[f32]) -> Vec<f32> {
    let row = (bytes.len() / scales.len().max(1)).max(1);
    bytes
        .chunks_exact(row)
        .zip(scales)
        .flat_map(|(row, scale)| row.iter().map(move |byte| f32::from(i8::from_le_bytes([*byte])) * scale))
        .collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn f16_values(bytes: &[u8]) -> Vec<f32> {
    let values: Vec<f16> = bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
    values.to_f32_vec()
}

/// One tensor as it lies in the file.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        Self { dtype: Dtype::F32, shape, bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }

    fn f16(shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        Self { dtype: Dtype::F16, shape, bytes }
    }
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
