//! The weights of the Shortcut lab: a second file that the same classifier loads.

use burn::tensor::Device;
use deepbreath::Classifier;
use deepbreath::mask::Mask;
use deepbreath::preprocess::ModelInput;
use deepbreath::weights::OperatingPoint;

/// Largest file, in bytes: it is loaded on demand, over a phone's network too.
const LIMIT: usize = 4 << 20;

#[test]
fn they_load_answer_as_stored_and_stay_small() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/tutorial.safetensors");
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.len() <= LIMIT, "{} bytes", bytes.len());
    let classifier = Classifier::load(path, &bytes, &Device::flex()).unwrap();
    pollster::block_on(classifier.verify()).unwrap();
    let metadata = classifier.metadata();
    assert_eq!(metadata.classes, ["covid", "normal"]);
    assert_eq!(metadata.origin.recipe, "tutorial");
    assert!(metadata.gate.is_none() && metadata.licence.contains("how not to do it"));
    let called = |point: &OperatingPoint| point.name == OperatingPoint::BALANCED && point.threshold == 0.5;
    assert!(metadata.operating_points.len() == 2 && metadata.operating_points.iter().all(called));
}

#[test]
fn covering_a_part_moves_their_answer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/tutorial.safetensors");
    let classifier = Classifier::load(path, &std::fs::read(path).unwrap(), &Device::flex()).unwrap();
    let (width, height, pixels) = deepbreath::weights::Pattern::Waves.draw();
    let pixels = pixels.into_iter().map(|byte| f32::from(byte) / 255.0).collect();
    let film = deepbreath::Radiograph { width, height, pixels, provenance: Default::default() };
    let logits = |mask: &Mask| pollster::block_on(classifier.logits(&ModelInput::covered(&film, mask))).unwrap();
    let whole = logits(&Mask::empty());
    assert_eq!(whole, pollster::block_on(classifier.logits(&ModelInput::from_radiograph(&film))).unwrap());
    assert_ne!(whole, logits(&Mask::lungs(&film, 0.5)));
}
