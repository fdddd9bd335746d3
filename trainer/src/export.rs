//! Writes the weights file: tensors and metadata, golden vectors from the file itself, and never half a file.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use burn::tensor::Device;
use deepbreath::Classifier;
use deepbreath::model::{Model, NamedTensors};
use deepbreath::weights::{Golden, Metadata, Pattern, Precision, write};

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
    write_atomically(path, &bytes)?;
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

/// Writes `bytes` beside `path` and renames, so that `path` is whole at every moment; makes missing folders.
///
/// # Errors
/// Those of the disk, with the path.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // Readable by others, less what the umask takes away; without this the file is the owner's only.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let result = builder.tempfile_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    result.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
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

    #[test]
    fn files_are_replaced_whole_and_folders_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/file.bin");
        for content in [b"first".as_slice(), b"second, longer", b""] {
            write_atomically(&path, content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
        let error = write_atomically(&path.join("below-a-file"), b"x").unwrap_err();
        assert!(error.to_string().contains("file.bin"), "{error}");
    }
}
