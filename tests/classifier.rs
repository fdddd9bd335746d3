//! Bytes to an assessment, end to end, with random weights: what does not depend on training must hold for any.

use burn::tensor::Device;
use deepbreath::model::{FEATURES, Model, ModelConfig, NamedTensors};
use deepbreath::preprocess::{ModelInput, PREPROCESSING};
use deepbreath::weights::{
    Conformal, FORMAT_VERSION, Flaw, FlawModel, GateModel, Golden, Metadata, OperatingPoint, Origin, Pattern,
    Precision, Weights, write,
};
use deepbreath::{Assessment, Classifier, Error, Options, Radiograph};
use image::{GrayImage, ImageFormat};
use pollster::block_on;

const CLASSES: [&str; 3] = ["covid", "normal", "pneumonia"];

fn metadata() -> Metadata {
    let point = |finding: &str| OperatingPoint {
        name: OperatingPoint::BALANCED.into(),
        finding: finding.into(),
        threshold: 0.5,
        sensitivity: 0.5,
        specificity: 0.5,
        n: 1,
        data: "none: random weights".into(),
    };
    Metadata {
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        model: ModelConfig::new(3),
        classes: CLASSES.map(String::from).to_vec(),
        preprocessing: PREPROCESSING,
        temperature: 1.0,
        operating_points: CLASSES.map(point).to_vec(),
        golden: Vec::new(),
        gate: None,
        conformal: None,
        measured: Vec::new(),
        origin: Origin::default(),
        licence: "none".into(),
    }
}

fn tensors() -> NamedTensors {
    Model::random_tensors(&ModelConfig::new(3), 5)
}

fn load(metadata: &Metadata, tensors: &NamedTensors) -> Result<Classifier, Error> {
    let bytes = write(metadata, tensors, Precision::F32)?;
    Classifier::load("random.safetensors", &bytes, &Device::flex())
}

fn png(pattern: Pattern) -> Vec<u8> {
    let (width, height, pixels) = pattern.draw();
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = GrayImage::from_raw(width as u32, height as u32, pixels).unwrap();
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn assess(classifier: &Classifier, pattern: Pattern, saliency: bool) -> Assessment {
    block_on(classifier.classify("drawn.png", &png(pattern), &Options { saliency })).unwrap()
}

#[test]
fn an_assessment_is_whole_and_repeatable() {
    let classifier = load(&metadata(), &tensors()).unwrap();
    let one = assess(&classifier, Pattern::Waves, true);
    assert_eq!(one.findings.iter().map(|finding| finding.label.as_str()).collect::<Vec<_>>(), CLASSES);
    let sum: f32 = one.findings.iter().map(|finding| finding.probability).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    assert_eq!((one.file.as_str(), one.backend.as_str(), one.weights.as_str()), ("drawn.png", "cpu", classifier.id()));
    assert_eq!(one.provenance.format, "png");
    assert!(one.timings.total >= one.timings.forward && one.timings.forward > 0.0, "{:?}", one.timings);
    assert_eq!(one.call.is_none(), !one.reasons.is_empty());
    let two = assess(&classifier, Pattern::Waves, false);
    assert_eq!((&two.findings, two.saliency.len()), (&one.findings, 0));
    assert_ne!(assess(&classifier, Pattern::Noise, false).findings, one.findings);
}

#[test]
fn logits_agree_one_by_one_in_a_batch_and_with_the_probabilities() {
    let classifier = load(&metadata(), &tensors()).unwrap();
    let radiographs = Pattern::ALL.map(|pattern| Radiograph::decode("drawn.png", &png(pattern)).unwrap());
    let inputs = radiographs.each_ref().map(ModelInput::from_radiograph);
    let batch: Vec<Vec<f32>> =
        block_on(classifier.judge_batch(&inputs)).unwrap().into_iter().map(|judgement| judgement.logits).collect();
    assert_eq!(batch.len(), inputs.len());
    for (((input, logits), pattern), radiograph) in inputs.iter().zip(&batch).zip(Pattern::ALL).zip(radiographs) {
        // A drawing that looks like a negative is inverted when it comes as a file.
        let inverted = radiograph.provenance.polarity_corrected;
        let grey = pattern.draw().2.into_iter().map(|pixel| f32::from(pixel) / 255.0);
        let pixels = grey.map(|grey| if inverted { 1.0 - grey } else { grey }).collect();
        let drawn = ModelInput::from_radiograph(&Radiograph { pixels, ..radiograph });
        assert!(*input == drawn, "{pattern:?}: the file and the drawing are not the same image");
        let single = block_on(classifier.logits(input)).unwrap();
        assert!(single.iter().zip(logits).all(|(a, b)| (a - b).abs() < 1e-4), "{single:?} {logits:?}");
        let expected = deepbreath::decision::probabilities(&single, 1.0);
        let findings = assess(&classifier, pattern, false).findings;
        assert!(findings.iter().zip(expected).all(|(finding, p)| (finding.probability - p).abs() < 1e-6));
    }
    assert!(block_on(classifier.judge_batch(&[])).unwrap().is_empty());
}

#[test]
fn the_saliency_maps_explain_the_logits() {
    let classifier = load(&metadata(), &tensors()).unwrap();
    let maps = assess(&classifier, Pattern::Waves, true).saliency;
    assert_eq!(maps.iter().map(|map| map.label.as_str()).collect::<Vec<_>>(), CLASSES);
    for map in &maps {
        assert_eq!((map.width, map.height, map.values.len()), (7, 7, 49));
        let largest = map.values.iter().copied().fold(0.0, f32::max);
        assert!(map.values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(if map.peak > 0.0 { largest == 1.0 } else { largest == 0.0 }, "{map:?}");
    }
    // With positive weights nothing is cut off, so the mean of the map is the logit (the random bias is 0).
    let mut positive = tensors();
    positive.get_mut("classifier.weight").unwrap().values.iter_mut().for_each(|value| *value = value.abs());
    let classifier = load(&metadata(), &positive).unwrap();
    let film = Radiograph::decode("drawn.png", &png(Pattern::Waves)).unwrap();
    let logits = block_on(classifier.logits(&ModelInput::from_radiograph(&film))).unwrap();
    for (map, logit) in assess(&classifier, Pattern::Waves, true).saliency.iter().zip(logits) {
        let mean = map.peak * map.values.iter().sum::<f32>() / 49.0;
        assert!((mean - logit).abs() < 1e-3 * logit.abs().max(1.0), "{mean} against {logit}");
    }
}

#[test]
fn verify_finds_other_logits_and_other_preprocessing() {
    let bare = load(&metadata(), &tensors()).unwrap();
    assert_eq!(block_on(bare.verify()).unwrap_err().code(), "weights");
    let pattern = Pattern::Waves;
    let logits = block_on(bare.logits(&pattern.input())).unwrap();
    let verdict = |digest: String, logits: Vec<f32>| {
        let golden = vec![Golden { pattern, digest, logits, tolerance: 1e-3 }];
        block_on(load(&Metadata { golden, ..metadata() }, &tensors()).unwrap().verify())
    };
    assert_eq!(verdict(pattern.digest(), logits.clone()), Ok(0.0));
    let mut other = logits.clone();
    other[1] += 0.01;
    let error = verdict(pattern.digest(), other).unwrap_err();
    assert!(error.code() == "verification" && error.to_string().contains("stored"), "{error}");
    let error = verdict("00".into(), logits).unwrap_err();
    assert!(error.to_string().contains("preprocessing"), "{error}");
}

#[test]
fn verify_judges_every_golden_vector_by_its_own_tolerance() {
    let bare = load(&metadata(), &tensors()).unwrap();
    let golden = |pattern: Pattern, off: f32, tolerance: f32| {
        let mut logits = block_on(bare.logits(&pattern.input())).unwrap();
        logits[0] += off;
        Golden { pattern, digest: pattern.digest(), logits, tolerance }
    };
    // In either order: one off by 0.5, which it may be, and one off by 0.1, which it may not.
    let fine = golden(Pattern::Waves, 0.5, 1.0);
    let beyond = golden(Pattern::Noise, 0.1, 0.01);
    for golden in [vec![fine.clone(), beyond.clone()], vec![beyond, fine]] {
        let classifier = load(&Metadata { golden, ..metadata() }, &tensors()).unwrap();
        let error = block_on(classifier.verify()).unwrap_err().to_string();
        assert!(error.contains("Noise") && error.contains("more than 0.01"), "{error}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_with_the_file_and_the_tensor() {
    let mut shape = tensors();
    shape.get_mut("stem.weight").unwrap().shape = vec![32, 3, 9];
    let mut missing = tensors();
    missing.remove("classifier.bias");
    let mut preprocessing = metadata();
    preprocessing.preprocessing.version += 1;
    let mut architecture = metadata();
    architecture.model.architecture = "resnet".into();
    for (metadata, tensors, expected) in [
        (metadata(), shape, "stem.weight: shape [32, 3, 9]"),
        (metadata(), missing, "classifier.bias: the tensor is missing"),
        (preprocessing, tensors(), "same release"),
        (architecture, tensors(), "resnet"),
    ] {
        let Err(Error::Weights { file, reason }) = load(&metadata, &tensors) else { panic!("{expected}: accepted") };
        assert!(file == "random.safetensors" && reason.contains(expected), "{file}: {reason}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_an_error() {
    let mut huge = tensors();
    huge.get_mut("classifier.weight").unwrap().values.fill(3e38);
    let classifier = load(&metadata(), &huge).unwrap();
    assert_eq!(block_on(classifier.logits(&Pattern::Waves.input())).unwrap_err().code(), "inference");
}

#[test]
fn a_file_that_is_no_image_keeps_its_name() {
    let classifier = load(&metadata(), &tensors()).unwrap();
    let error = block_on(classifier.classify("notes.txt", b"hello", &Options::default())).unwrap_err();
    assert!(error.to_string().starts_with("notes.txt"), "{error}");
}

#[test]
fn reduced_precision_moves_random_logits_little() {
    let input = Pattern::Waves.input();
    let logits = |precision| {
        let bytes = write(&metadata(), &tensors(), precision).unwrap();
        let weights = Weights::read("w", &bytes).unwrap();
        block_on(Classifier::new("w", weights, &Device::flex()).unwrap().logits(&input)).unwrap()
    };
    let exact = logits(Precision::F32);
    let size = exact.iter().fold(0.0f32, |max, logit| max.max(logit.abs()));
    for (precision, bound) in [(Precision::F16, 0.01), (Precision::Int8, 0.2)] {
        let off = exact.iter().zip(logits(precision)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off > 0.0 && off <= bound * size, "{precision:?}: {off} of {size}");
    }
}

#[test]
fn the_json_forms_are_stable() {
    let classifier = load(&metadata(), &tensors()).unwrap();
    let assessment = assess(&classifier, Pattern::Waves, true);
    let line = assessment.to_json_line();
    assert!(!line.contains('\n'));
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected =
        ["backend", "call", "file", "predictionSet", "probabilities", "provenance", "reasons", "refused", "weights"];
    assert_eq!(keys, expected);
    assert_eq!(json["probabilities"].as_object().unwrap().len(), 3);
    let whole = serde_json::to_value(&assessment).unwrap();
    for key in ["file", "findings", "call", "refused", "reasons", "provenance", "saliency", "backend", "timings"] {
        assert!(whole.get(key).is_some(), "{key}");
    }
    assert_eq!(whole["findings"][0]["label"], "covid");
}

#[test]
fn the_gate_is_the_weighted_sum_of_the_pooled_features() {
    let plain = load(&metadata(), &tensors()).unwrap();
    let film = Radiograph::decode("drawn.png", &png(Pattern::Waves)).unwrap();
    let input = [ModelInput::from_radiograph(&film)];
    let features = block_on(plain.features_batch(&input)).unwrap().remove(0);
    let weight: Vec<f32> = (0..FEATURES).map(|index| (index as f32 * 0.37).sin() * 0.1).collect();
    let expected = features.iter().zip(&weight).map(|(feature, weight)| feature * weight).sum::<f32>() - 1.5;
    for (limit, refused) in [(expected - 0.01, true), (expected + 0.01, false)] {
        let gate = GateModel { weight: weight.clone(), bias: -1.5, limit, data: "a test".into(), flaws: Vec::new() };
        let classifier = load(&Metadata { gate: Some(gate), ..metadata() }, &tensors()).unwrap();
        let judgement = block_on(classifier.judge_batch(&input)).unwrap().remove(0);
        let verdict = judgement.gate.expect("a gate");
        assert!((verdict.distance - expected).abs() < 2e-3 && verdict.refuses() == refused, "{verdict:?} {expected}");
        assert_eq!(judgement.logits, block_on(plain.judge_batch(&input)).unwrap()[0].logits);
        let assessment = assess(&classifier, Pattern::Waves, false);
        assert_eq!(assessment.refused, refused);
        assert_eq!(assessment.reasons.iter().any(|reason| reason.code() == "out-of-distribution"), refused);
    }
    let short = GateModel { weight: vec![0.0; 3], bias: 0.0, limit: 0.0, data: String::new(), flaws: Vec::new() };
    assert_eq!(load(&Metadata { gate: Some(short), ..metadata() }, &tensors()).err().unwrap().code(), "weights");
}

#[test]
fn the_gate_names_the_flaw_with_the_largest_score_and_blank_needs_no_gate() {
    let film = Radiograph::decode("drawn.png", &png(Pattern::Waves)).unwrap();
    let input = [ModelInput::from_radiograph(&film)];
    // Scores that do not depend on the features: 0, 1 and 3.
    let row = |flaw, bias| FlawModel { flaw, weight: vec![0.0; FEATURES], bias };
    let flaws = vec![row(Flaw::Turned90, 1.0), row(Flaw::Cropped, 3.0)];
    let gate = GateModel { weight: vec![0.0; FEATURES], bias: 0.0, limit: 2.0, data: "a test".into(), flaws };
    let classifier = load(&Metadata { gate: Some(gate), ..metadata() }, &tensors()).unwrap();
    let verdict = block_on(classifier.judge_batch(&input)).unwrap().remove(0).gate.unwrap();
    let expected = (1.0 + 1f32.exp() + 3f32.exp()).ln();
    assert!((verdict.distance - expected).abs() < 1e-5 && verdict.flaw == Some(Flaw::Cropped), "{verdict:?}");
    let codes = |assessment: Assessment| assessment.reasons.iter().map(|reason| reason.code()).collect::<Vec<_>>();
    assert_eq!(codes(assess(&classifier, Pattern::Waves, false)), ["out-of-distribution", "cropped"]);

    let mut flat = std::io::Cursor::new(Vec::new());
    GrayImage::from_pixel(64, 48, image::Luma([90])).write_to(&mut flat, ImageFormat::Png).unwrap();
    let open = load(&metadata(), &tensors()).unwrap();
    let blank = block_on(open.classify("flat.png", flat.get_ref(), &Options::default())).unwrap();
    assert!(blank.refused && blank.call.is_none() && blank.prediction_set.is_none());
    assert_eq!(codes(blank), ["blank"]);
    assert!(!assess(&open, Pattern::Waves, false).refused, "without a gate only blank images are refused");
}

#[test]
fn a_prediction_set_comes_with_weights_that_state_a_coverage() {
    assert_eq!(assess(&load(&metadata(), &tensors()).unwrap(), Pattern::Waves, false).prediction_set, None);
    let plain = assess(&load(&metadata(), &tensors()).unwrap(), Pattern::Waves, false);
    // Thresholds at the probabilities of this very image: the first and the last class are just reached.
    let mut thresholds: Vec<f32> = plain.findings.iter().map(|finding| finding.probability).collect();
    thresholds[1] = (thresholds[1] + 0.01).min(1.0);
    let conformal = Conformal { coverage: 0.9, thresholds, n: 10, data: "a test".into() };
    let classifier = load(&Metadata { conformal: Some(conformal.clone()), ..metadata() }, &tensors()).unwrap();
    let assessment = assess(&classifier, Pattern::Waves, false);
    assert_eq!(assessment.prediction_set.as_deref().unwrap(), ["covid", "pneumonia"]);
    let line: serde_json::Value = serde_json::from_str(&assessment.to_json_line()).unwrap();
    assert_eq!(line["predictionSet"], serde_json::json!(["covid", "pneumonia"]));
    for wrong in [
        Conformal { thresholds: vec![0.5; 2], ..conformal.clone() },
        Conformal { thresholds: vec![0.5, f32::NAN, 0.5], ..conformal.clone() },
        Conformal { coverage: 1.0, ..conformal },
    ] {
        assert_eq!(
            load(&Metadata { conformal: Some(wrong), ..metadata() }, &tensors()).err().unwrap().code(),
            "weights"
        );
    }
}
