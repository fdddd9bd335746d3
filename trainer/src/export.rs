//! Writes the weights file: tensors and metadata, golden vectors from the file itself, and never half a file.

use std::path::Path;

use burn::tensor::Device;
use deepbreath::Classifier;
use deepbreath::model::{Model, NamedTensors};
use deepbreath::weights::{Golden, Metadata, Pattern, Precision, write};

use crate::dataset::write_whole;

/// How far a logit of a golden vector may lie from the stored one: other engines add f32 values in another order.
const GOLDEN_TOLERANCE: f32 = 2e-3;

/// Writes `tensors`, with batch norm folded, and `metadata` to `path`; returns the id of the weights.
///
/// The golden vectors in `metadata` are replaced by those that the file itself gives on `device` after it was read
/// back, so they hold whatever `precision` lost. Equal arguments give equal files on one machine.
///
/// # Errors
/// If the parts do not fit together, the file read back does not answer as it says, or the disk refuses it; `path`
/// then holds what it held before.
pub fn export(
    path: &Path,
    tensors: &NamedTensors,
    metadata: &Metadata,
    precision: Precision,
    device: &Device,
) -> anyhow::Result<String> {
    let name = path.display().to_string();
    let tensors = &Model::fold(tensors);
    let (_, classifier) =
        pack(&name, tensors, &Metadata { golden: Vec::new(), ..metadata.clone() }, precision, device)?;
    let mut golden = Vec::new();
    for pattern in Pattern::ALL {
        let logits = pollster::block_on(classifier.logits(&pattern.input()))?;
        golden.push(Golden { pattern, digest: pattern.digest(), logits, tolerance: GOLDEN_TOLERANCE });
    }
    let (bytes, classifier) = pack(&name, tensors, &Metadata { golden, ..metadata.clone() }, precision, device)?;
    pollster::block_on(classifier.verify())?;
    write_whole(path, &bytes)?;
    Ok(classifier.id().to_owned())
}

/// The file, and the classifier that comes out of reading it back.
fn pack(
    name: &str,
    tensors: &NamedTensors,
    metadata: &Metadata,
    precision: Precision,
    device: &Device,
) -> anyhow::Result<(Vec<u8>, Classifier)> {
    let bytes = write(metadata, tensors, precision)?;
    let classifier = Classifier::load(name, &bytes, device)?;
    Ok((bytes, classifier))
}

#[cfg(test)]
pub(crate) mod tests {
    use deepbreath::model::ModelConfig;
    use deepbreath::preprocess::PREPROCESSING;
    use deepbreath::weights::{FORMAT_VERSION, Origin, Weights};

    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            format_version: FORMAT_VERSION,
            sha256: String::new(),
            model: ModelConfig::new(3),
            classes: ["covid", "normal", "pneumonia"].map(String::from).to_vec(),
            preprocessing: PREPROCESSING,
            temperature: 1.0,
            operating_points: Vec::new(),
            golden: Vec::new(),
            gate: None,
            conformal: None,
            measured: Vec::new(),
            origin: Origin::default(),
            licence: "none".into(),
        }
    }

    /// A weights file with random tensors.
    pub(crate) fn file() -> Vec<u8> {
        write(&metadata(), &Model::random_tensors(&ModelConfig::new(3), 5), Precision::F16).unwrap()
    }

    #[test]
    fn an_exported_file_verifies_and_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = Model::random_tensors(&ModelConfig::new(3), 5);
        for precision in [Precision::F16, Precision::Int8] {
            let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
            let id = export(&one, &tensors, &metadata(), precision, &Device::flex()).unwrap();
            let bytes = std::fs::read(&one).unwrap();
            let weights = Weights::read("one", &bytes).unwrap();
            assert_eq!((weights.id(), weights.metadata.golden.len()), (id.as_str(), Pattern::ALL.len()));
            pollster::block_on(Classifier::new("one", weights, &Device::flex()).unwrap().verify()).unwrap();
            export(&two, &tensors, &metadata(), precision, &Device::flex()).unwrap();
            assert!(bytes == std::fs::read(&two).unwrap(), "{precision:?}: not the same bytes");
        }
    }

    #[test]
    fn a_failed_export_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        std::fs::write(&path, "old").unwrap();
        let mut tensors = Model::random_tensors(&ModelConfig::new(3), 5);
        tensors.remove("stem.weight");
        assert!(export(&path, &tensors, &metadata(), Precision::F16, &Device::flex()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
}
