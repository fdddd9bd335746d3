//! Round trips, damage at every kind of place, and files that contradict themselves.

use super::*;
use crate::model::ModelConfig;
use crate::preprocess::PREPROCESSING;

/// Metadata for three findings with every field filled.
pub(crate) fn metadata() -> Metadata {
    let classes = ["covid", "normal", "pneumonia"].map(String::from).to_vec();
    let point = |finding: &String| OperatingPoint {
        name: OperatingPoint::BALANCED.into(),
        finding: finding.clone(),
        threshold: 0.5,
        sensitivity: 0.8,
        specificity: 0.9,
        n: 795,
        data: "made up".into(),
    };
    Metadata {
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        model: ModelConfig { architecture: "efficientnet-lite0".into(), classes: 3 },
        operating_points: classes.iter().map(point).collect(),
        classes,
        preprocessing: PREPROCESSING,
        temperature: 1.25,
        golden: vec![Golden {
            pattern: Pattern::Waves,
            digest: Pattern::Waves.digest(),
            logits: vec![0.1, -2.5, 3.0],
            tolerance: 1e-3,
        }],
        gate: None,
        conformal: None,
        measured: vec![Measurement {
            name: "balanced_accuracy".into(),
            value: 0.875,
            low: 0.75,
            high: 0.9375,
            n: 795,
            data: "made up".into(),
        }],
        origin: Origin {
            manifest_digest: "ab".repeat(32),
            seed: 42,
            commit: "0123abc".into(),
            recipe: "default".into(),
            date: "2026-11-23".into(),
            data: vec![DataSource { name: "drawn".into(), licence: "none".into(), films: 3 }],
            offsets: vec![0.25, 0.0, -0.25],
        },
        licence: "for research".into(),
    }
}

/// A convolution, a depthwise convolution with an empty channel, a linear layer and a bias.
fn tensors() -> NamedTensors {
    let tensor = |shape: &[usize], scale: f32| {
        let mut state = 7u32;
        let values = (0..shape.iter().product::<usize>()).map(|index| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as f32 / 32768.0 - 1.0) * scale * (1.0 + (index / 9) as f32)
        });
        NamedTensor { shape: shape.to_vec(), values: values.collect() }
    };
    let mut depthwise = tensor(&[4, 1, 3, 3], 0.5);
    depthwise.values[9..18].fill(0.0);
    NamedTensors::from([
        ("stem.weight".into(), tensor(&[6, 3, 3, 3], 1.0)),
        ("depthwise.weight".into(), depthwise),
        ("head.weight".into(), tensor(&[3, 16], 0.01)),
        ("head.bias".into(), tensor(&[3], 2.0)),
    ])
}

fn reason(bytes: &[u8]) -> String {
    match Weights::read("some.safetensors", bytes) {
        Err(Error::Weights { file, reason }) => {
            assert_eq!(file, "some.safetensors");
            reason
        }
        other => panic!("expected a refusal, got {:?}", other.map(|weights| weights.metadata)),
    }
}

/// A whole file around `text` as metadata, with a valid checksum where `text` has a place for it.
fn file_with(text: &str, key: &str) -> Vec<u8> {
    let values = Stored::f32(vec![2], &[1.0, 2.0]);
    let keys = HashMap::from([(key.to_owned(), text.to_owned())]);
    let mut bytes = safetensors::serialize([("a", &values)], Some(keys)).unwrap();
    if let Some(at) = digest_position(&bytes, NO_DIGEST) {
        let digest = sha256(&[&bytes]);
        bytes[at..at + 64].copy_from_slice(digest.as_bytes());
    }
    bytes
}

/// The metadata's JSON with one field set to `value` and an empty checksum.
fn text_with(field: &str, value: serde_json::Value) -> String {
    let mut json = serde_json::to_value(Metadata { sha256: NO_DIGEST.into(), ..metadata() }).unwrap();
    json[field] = value;
    json.to_string()
}

#[test]
fn round_trips_within_the_stated_error() {
    let original = tensors();
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let bytes = write(&metadata(), &original, precision).unwrap();
        let weights = Weights::read("w", &bytes).unwrap();
        assert_eq!(Metadata { sha256: String::new(), ..weights.metadata }, metadata());
        assert_eq!(weights.tensors.keys().collect::<Vec<_>>(), original.keys().collect::<Vec<_>>());
        for (name, tensor) in &original {
            let read = &weights.tensors[name];
            assert_eq!((&read.shape, read.values.len()), (&tensor.shape, tensor.values.len()), "{name}");
            let row = if tensor.shape.len() >= 2 { tensor.values.len() / tensor.shape[0] } else { 1 };
            for (rows, read) in tensor.values.chunks(row).zip(read.values.chunks(row)) {
                let largest = rows.iter().fold(0.0f32, |max, value| max.max(value.abs()));
                for (value, read) in rows.iter().zip(read) {
                    let bound = match precision {
                        Precision::F32 => 0.0,
                        Precision::Int8 if tensor.shape.len() >= 2 => largest / 254.0 * 1.0001,
                        _ => (value.abs() / 2048.0).max(1.0 / (1 << 25) as f32),
                    };
                    assert!((value - read).abs() <= bound, "{name} {precision:?}: {value} became {read}");
                }
            }
        }
    }
}

#[test]
fn smaller_precision_makes_smaller_files_and_equal_weights_equal_ones() {
    let sizes = [Precision::F32, Precision::F16, Precision::Int8].map(|precision| {
        let tensors = NamedTensors::from([(
            "w".into(),
            NamedTensor { shape: vec![64, 640], values: (0..64 * 640).map(|index| index as f32).collect() },
        )]);
        let bytes = write(&metadata(), &tensors, precision).unwrap();
        assert_eq!(bytes, write(&metadata(), &tensors, precision).unwrap());
        bytes.len()
    });
    assert!(sizes[1] < sizes[0] * 6 / 10 && sizes[2] < sizes[1] * 6 / 10, "{sizes:?}");
}

#[test]
fn the_id_is_the_start_of_the_files_digest() {
    let bytes = write(&metadata(), &tensors(), Precision::F16).unwrap();
    let weights = Weights::read("w", &bytes).unwrap();
    assert_eq!(weights.id(), &sha256(&[&bytes])[..12]);
    let other = write(&Metadata { temperature: 1.26, ..metadata() }, &tensors(), Precision::F16).unwrap();
    assert_ne!(Weights::read("w", &other).unwrap().id(), weights.id());
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let bytes = write(&metadata(), &tensors(), Precision::Int8).unwrap();
    for position in 0..bytes.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[position] ^= mask;
            assert!(!reason(&changed).is_empty(), "byte {position} ^ {mask:#x}");
        }
    }
    let last = bytes.len() - 1;
    let mut changed = bytes;
    changed[last] ^= 1;
    assert!(reason(&changed).contains("SHA-256"), "{}", reason(&changed));
}

#[test]
fn a_cut_or_longer_file_is_refused() {
    let bytes = write(&metadata(), &tensors(), Precision::F16).unwrap();
    for length in (0..bytes.len()).step_by(97).chain([0, 1, 7, 8, 9, bytes.len() - 1]) {
        assert!(reason(&bytes[..length]).contains("Download it again"), "{length}: {}", reason(&bytes[..length]));
    }
    assert!(reason(&[bytes.as_slice(), &[0]].concat()).contains("Download it again"));
}

#[test]
fn limits_come_before_allocation() {
    let mut header = (MAX_HEADER_BYTES as u64 + 1).to_le_bytes().to_vec();
    header.extend(b"{}");
    assert!(reason(&header).contains("header claims"), "{}", reason(&header));
    assert!(reason(&vec![0; MAX_FILE_BYTES + 1]).contains("at most 67108864"));
    let zeros = Stored { dtype: Dtype::I8, shape: vec![1, MAX_VALUES + 1], bytes: vec![0; MAX_VALUES + 1] };
    let keys = HashMap::from([(METADATA_KEY.to_owned(), text_with("licence", "x".into()))]);
    let mut bytes = safetensors::serialize([("a", &zeros)], Some(keys)).unwrap();
    let at = digest_position(&bytes, NO_DIGEST).unwrap();
    let digest = sha256(&[&bytes]);
    bytes[at..at + 64].copy_from_slice(digest.as_bytes());
    assert!(reason(&bytes).contains("values, but at most"), "{}", reason(&bytes));
}

#[test]
fn metadata_is_checked() {
    let file = |field: &str, value| file_with(&text_with(field, value), METADATA_KEY);
    assert!(Weights::read("w", &file("licence", "any".into())).is_ok(), "the helper itself makes valid files");
    for (bytes, expected) in [
        (file("format_version", 2.into()), "newer than this program"),
        (file("format_version", 0.into()), "too old"),
        (file("format_version", "one".into()), "names no format version"),
        (file_with("{}", METADATA_KEY), "names no format version"),
        (file_with("not json", METADATA_KEY), "names no format version"),
        (file_with("{}", "pytorch"), "without deepbreath's metadata"),
        (file("classes", serde_json::json!(["a", "b"])), "2 class names for 3 logits"),
        (file("classes", serde_json::json!(["covid", "covid", "normal"])), "stands twice"),
        (file("temperature", 0.0.into()), "temperature 0"),
        (file("temperature", serde_json::Value::Null), "cannot be used"),
        (file("golden", serde_json::json!([{"pattern": "moon"}])), "moon"),
        (file("statistics", 1.into()), "unknown field `statistics`"),
        (file("sha256", "".into()), "SHA-256"),
        (file("preprocessing", serde_json::json!({})), "missing field"),
    ] {
        let reason = reason(&bytes);
        assert!(reason.contains(expected), "expected {expected:?} in {reason:?}");
    }
    let mut point = metadata().operating_points;
    point[0].finding = "cats".into();
    assert!(reason(&file("operating_points", serde_json::to_value(&point).unwrap())).contains("\"cats\", which is no"));
    point[0].finding = "covid".into();
    point[0].threshold = 1.5;
    assert!(reason(&file("operating_points", serde_json::to_value(&point).unwrap())).contains("not within 0..=1"));
    let origin = Origin { offsets: vec![0.5], ..metadata().origin };
    assert!(reason(&file("origin", serde_json::to_value(&origin).unwrap())).contains("offsets [0.5] for 3 classes"));
    let mut golden = metadata().golden;
    golden[0].logits.pop();
    assert!(reason(&file("golden", serde_json::to_value(&golden).unwrap())).contains("golden vector Waves"));
}

#[test]
fn what_cannot_be_stored_is_not_written() {
    let with = |shape: &[usize], values: &[f32]| {
        NamedTensors::from([("w".to_owned(), NamedTensor { shape: shape.to_vec(), values: values.to_vec() })])
    };
    for (tensors, precision, expected) in [
        (with(&[2], &[1.0, f32::NAN]), Precision::F32, "holds NaN"),
        (with(&[1, 1], &[f32::INFINITY]), Precision::Int8, "holds inf"),
        (with(&[1], &[70000.0]), Precision::F16, "holds 70000"),
        (with(&[2, 2], &[1.0]), Precision::F32, "has 1 values for shape [2, 2]"),
    ] {
        let error = write(&metadata(), &tensors, precision).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut twice = with(&[1, 1], &[1.0]);
    twice.insert("w.scale".into(), NamedTensor { shape: vec![1], values: vec![1.0] });
    assert!(write(&metadata(), &twice, Precision::Int8).unwrap_err().to_string().contains("w.scale"));
    assert!(write(&metadata(), &twice, Precision::F16).is_ok());
    let wrong = Metadata { temperature: -1.0, ..metadata() };
    assert!(write(&wrong, &tensors(), Precision::F16).is_err());
}

#[test]
fn int8_tensors_need_their_scales() {
    let whole = Stored { dtype: Dtype::I8, shape: vec![2, 2], bytes: vec![1, 2, 3, 4] };
    for (scale, expected) in [
        (Stored::f32(vec![2], &[0.5, 2.0]), None),
        (Stored::f32(vec![1], &[0.5]), Some("no fitting scales")),
        (Stored::f16(vec![2], &[0.5, 2.0]), Some("no fitting scales")),
    ] {
        let bytes = safetensors::serialize([("w", &whole), ("w.scale", &scale)], None).unwrap();
        let result = decode(&SafeTensors::deserialize(&bytes).unwrap());
        match expected {
            None => assert_eq!(result.unwrap()["w"].values, [0.5, 1.0, 6.0, 8.0]),
            Some(expected) => assert!(result.unwrap_err().contains(expected)),
        }
    }
    let odd = Stored { dtype: Dtype::I16, shape: vec![1], bytes: vec![1, 2] };
    let bytes = safetensors::serialize([("w", &odd)], None).unwrap();
    assert!(decode(&SafeTensors::deserialize(&bytes).unwrap()).unwrap_err().contains("type I16"));
}
