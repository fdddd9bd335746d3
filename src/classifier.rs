//! The only path from bytes to an [`Assessment`]: decode, preprocess, network, decision, saliency.
//!
//! The functions that run the network are `async`, so that the same code runs on a browser's GPU, where nothing may
//! block; native callers wait with any small executor (`pollster::block_on`).

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::Error;
use crate::decision::{Decision, Gate, Judgement, Reason, decide};
use crate::model::{FEATURES, Model, Output};
use crate::ops::{from_values, into_values, linear};
use crate::preprocess::{ModelInput, PREPROCESSING};
use crate::radiograph::{Provenance, Radiograph};
use crate::saliency::Saliency;
use crate::weights::{Golden, Metadata, Pattern, Weights};

/// A network with its weights on a device, ready to answer.
pub struct Classifier {
    model: Model,
    device: Device,
    backend: String,
    file: String,
    id: String,
    metadata: Metadata,
    /// The last layer's weights, `FEATURES` for each class.
    head: Vec<Vec<f32>>,
    /// The last layer with the gate's scores as further rows, `[classes + scores, FEATURES]` and `[classes + scores]`.
    gate: Option<(Tensor<2>, Tensor<1>)>,
}

/// An image file as the network sees it: all that [`Classifier::assess`] needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Name of the image, as given.
    pub file: String,
    /// What reaches the network.
    pub input: ModelInput,
    /// How the image was read.
    pub provenance: Provenance,
    /// Time from bytes to `Radiograph`, in milliseconds.
    pub decode: f64,
    /// Time from `Radiograph` to `ModelInput`, in milliseconds.
    pub preprocess: f64,
}

impl Film {
    /// Decodes and preprocesses an image file; `file` only names it.
    ///
    /// # Errors
    /// Those of [`Radiograph::decode`].
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let lap = Instant::now();
        let radiograph = Radiograph::decode(file, bytes)?;
        let decode = milliseconds(lap);
        let lap = Instant::now();
        let input = ModelInput::from_radiograph(&radiograph);
        let preprocess = milliseconds(lap);
        Ok(Self { file: file.into(), input, provenance: radiograph.provenance, decode, preprocess })
    }
}

/// What to compute besides the probabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Options {
    /// A saliency map for each finding.
    pub saliency: bool,
}

/// The whole answer for one image. JSON names are in camel case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assessment {
    /// Name of the image, as given.
    pub file: String,
    /// Every finding with its probability, in the order of the classes; the probabilities' sum is 1.
    pub findings: Vec<Finding>,
    /// The findings that stay possible at the coverage that the weights state, in the order of the classes and never
    /// empty; `null` if the weights state none or the image was refused. See [`crate::decision::prediction_set`].
    pub prediction_set: Option<Vec<String>>,
    /// The finding that is called, or none.
    pub call: Option<String>,
    /// Whether the image was refused as not of the kind that the model knows; its probabilities then mean nothing.
    pub refused: bool,
    /// Why there is no call; empty when there is one.
    pub reasons: Vec<Reason>,
    /// How the image was read.
    pub provenance: Provenance,
    /// One map for each finding, in the order of the classes, or none if not asked for.
    pub saliency: Vec<Saliency>,
    /// The engine that ran, e.g. `cpu`.
    pub backend: String,
    /// How long each stage took.
    pub timings: Timings,
    /// [`Weights::id`] of the weights that answered.
    pub weights: String,
}

/// One finding with its calibrated probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its name, one of the classes.
    pub label: String,
    /// Calibrated probability, 0 to 1.
    pub probability: f32,
}

/// Wall-clock time of the stages, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// Bytes to `Radiograph`.
    pub decode: f64,
    /// `Radiograph` to `ModelInput`.
    pub preprocess: f64,
    /// `ModelInput` to logits, transfers included.
    pub forward: f64,
    /// Decision and saliency maps.
    pub explain: f64,
    /// All of it.
    pub total: f64,
}

impl Assessment {
    /// The line of `trainer predict --json`: `{file, refused, probabilities: {label: p}, predictionSet, call,
    /// reasons, weights, backend, provenance}`, in this order; probabilities by label in alphabetical order.
    ///
    /// # Panics
    /// Never: every part is plain data.
    pub fn to_json_line(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Line<'a> {
            file: &'a str,
            refused: bool,
            probabilities: BTreeMap<&'a str, f32>,
            prediction_set: Option<&'a [String]>,
            call: Option<&'a str>,
            reasons: &'a [Reason],
            weights: &'a str,
            backend: &'a str,
            provenance: &'a Provenance,
        }
        let line = Line {
            file: &self.file,
            refused: self.refused,
            probabilities: self.findings.iter().map(|finding| (finding.label.as_str(), finding.probability)).collect(),
            prediction_set: self.prediction_set.as_deref(),
            call: self.call.as_deref(),
            reasons: &self.reasons,
            weights: &self.weights,
            backend: &self.backend,
            provenance: &self.provenance,
        };
        serde_json::to_string(&line).expect("plain data serialises")
    }
}

impl Classifier {
    /// Reads a weights file and puts the network on `device`; `file` only names the weights in messages.
    ///
    /// # Errors
    /// [`Error::Weights`] if the file cannot be used, see [`Weights::read`], if a tensor's name or shape is not the
    /// network's, or if the weights were trained with another preprocessing than this library performs.
    pub fn load(file: &str, weights: &[u8], device: &Device) -> Result<Self, Error> {
        Self::new(file, Weights::read(file, weights)?, device)
    }

    /// As [`Self::load`], from weights that are already read.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn new(file: &str, weights: Weights, device: &Device) -> Result<Self, Error> {
        let id = weights.id().to_owned();
        let Weights { metadata, tensors, .. } = weights;
        if metadata.preprocessing != PREPROCESSING {
            let reason = format!(
                "trained with preprocessing {:?}, but this program performs {PREPROCESSING:?}. \
                 Use weights and program of the same release",
                metadata.preprocessing
            );
            return Err(Error::Weights { file: file.into(), reason });
        }
        let model = Model::from_tensors(&metadata.model, &tensors, device).map_err(|error| match error {
            Error::Weights { file: tensor, reason } => {
                Error::Weights { file: file.into(), reason: format!("{tensor}: {reason}") }
            }
            other => other,
        })?;
        let head = tensors["classifier.weight"].values.chunks_exact(FEATURES).map(<[f32]>::to_vec).collect();
        let backend = backend_name(device);
        let gate = metadata.gate.as_ref().map(|gate| {
            let (mut weight, mut bias) =
                (tensors["classifier.weight"].values.clone(), tensors["classifier.bias"].values.clone());
            for (row, shift) in
                [(&gate.weight, gate.bias)].into_iter().chain(gate.flaws.iter().map(|f| (&f.weight, f.bias)))
            {
                weight.extend(row);
                bias.push(shift);
            }
            let rows = bias.len();
            (from_values(weight, [rows, FEATURES], device), from_values(bias, [rows], device))
        });
        Ok(Self { model, device: device.clone(), backend, file: file.into(), id, metadata, head, gate })
    }

    /// What the weights file says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// [`Weights::id`] of the weights.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The engine that runs the network, e.g. `cpu`.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The whole answer for the image file `bytes`; `file` only names it.
    ///
    /// # Errors
    /// Those of [`Film::read`] and of [`Self::logits`].
    pub async fn classify(&self, file: &str, bytes: &[u8], options: &Options) -> Result<Assessment, Error> {
        self.assess(Film::read(file, bytes)?, options).await
    }

    /// The whole answer for an image that is read already.
    ///
    /// # Errors
    /// Those of [`Self::logits`].
    pub async fn assess(&self, film: Film, options: &Options) -> Result<Assessment, Error> {
        let start = Instant::now();
        let Film { file, input, provenance, decode, preprocess } = film;
        let output = self.model.forward(input.to_tensor(&self.device));
        let judgement = self.judgements(&output, std::slice::from_ref(&input)).await?.remove(0);
        let forward = milliseconds(start);

        let lap = Instant::now();
        let Decision { probabilities, prediction_set, call, refused, reasons } = decide(&judgement, &self.metadata);
        let saliency = if options.saliency { self.saliency(output.features).await? } else { Vec::new() };
        let explain = milliseconds(lap);

        let findings = self.metadata.classes.iter().cloned().zip(probabilities);
        Ok(Assessment {
            file,
            findings: findings.map(|(label, probability)| Finding { label, probability }).collect(),
            prediction_set,
            call,
            refused,
            reasons,
            provenance,
            saliency,
            backend: self.backend.clone(),
            timings: Timings { decode, preprocess, forward, explain, total: decode + preprocess + milliseconds(start) },
            weights: self.id.clone(),
        })
    }

    /// The logits for one input, in the order of the classes.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device fails; [`Error::Inference`] if the logits are not finite.
    pub async fn logits(&self, input: &ModelInput) -> Result<Vec<f32>, Error> {
        self.values(self.model.forward(input.to_tensor(&self.device)).logits).await
    }

    /// Logits and the gate's verdict for each input, computed in one batch.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub async fn judge_batch(&self, inputs: &[ModelInput]) -> Result<Vec<Judgement>, Error> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        self.judgements(&self.model.forward(ModelInput::to_batch(inputs, &self.device)), inputs).await
    }

    /// The pooled features for each input, `[inputs][FEATURES]`: what a gate is fitted on.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub async fn features_batch(&self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, Error> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let output = self.model.forward(ModelInput::to_batch(inputs, &self.device));
        Ok(self.values(output.pooled).await?.chunks_exact(FEATURES).map(<[f32]>::to_vec).collect())
    }

    /// One read for logits and the gate's scores: each read is a round trip to the device.
    async fn judgements(&self, output: &Output, inputs: &[ModelInput]) -> Result<Vec<Judgement>, Error> {
        let classes = self.metadata.classes.len();
        let values = match &self.gate {
            None => output.logits.clone(),
            Some((weight, bias)) => linear(output.pooled.clone(), weight.clone(), bias.clone()),
        };
        let values = self.values(values).await?;
        let judgement = |(row, input): (&[f32], &ModelInput)| {
            let (logits, scores) = row.split_at(classes);
            let gate = self.metadata.gate.as_ref().map(|model| Gate::new(model, scores));
            Judgement { logits: logits.to_vec(), gate, blank: input.blank }
        };
        Ok(values.chunks_exact(values.len() / inputs.len()).zip(inputs).map(judgement).collect())
    }

    /// Runs the weights file's golden inputs and compares: whether this machine computes what the trainer computed.
    /// Returns the largest difference of a logit.
    ///
    /// # Errors
    /// [`Error::Weights`] if the file has no golden vectors; [`Error::Verification`] if a preprocessed input is not
    /// equal to the bit, or a logit is further off than the file allows; those of [`Self::logits`].
    pub async fn verify(&self) -> Result<f32, Error> {
        if self.metadata.golden.is_empty() {
            let reason = "has no golden vectors to verify with. Export the weights again".into();
            return Err(Error::Weights { file: self.file.clone(), reason });
        }
        let wrong = |reason| Err(Error::Verification { backend: self.backend.clone(), reason });
        let (mut largest, mut beyond) = (0.0f32, None::<(f32, &Golden, Vec<f32>)>);
        for golden in &self.metadata.golden {
            let input = golden.pattern.input();
            if input.digest() != golden.digest {
                return wrong(format!(
                    "preprocessing of the known image {:?} differs from the trainer's. Use weights and program of the \
                     same release",
                    golden.pattern
                ));
            }
            let logits = self.logits(&input).await?;
            let pairs = logits.iter().zip(&golden.logits);
            let off = pairs.map(|(logit, stored)| (logit - stored).abs()).fold(0.0, f32::max);
            if off > golden.tolerance && beyond.as_ref().is_none_or(|&(worst, ..)| off > worst) {
                beyond = Some((off, golden, logits));
            }
            largest = largest.max(off);
        }
        match beyond {
            None => Ok(largest),
            Some((off, golden, logits)) => wrong(format!(
                "the known image {:?} gives logits {logits:?}, {off} from the stored {:?}, more than {}. Try another \
                 backend",
                golden.pattern, golden.logits, golden.tolerance
            )),
        }
    }

    /// Runs everything that an image may need once, so that the first one does not wait for it (shaders to compile).
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub async fn warm_up(&self) -> Result<(), Error> {
        let Output { features, logits, .. } = self.model.forward(Pattern::Waves.input().to_tensor(&self.device));
        self.values(logits).await?;
        self.saliency(features).await.map(|_| ())
    }

    /// `features` `[1, C, H, W]` to one map for each class.
    async fn saliency(&self, features: Tensor<4>) -> Result<Vec<Saliency>, Error> {
        let [_, _, height, width] = features.dims();
        let features = self.values(features).await?;
        let classes = self.metadata.classes.iter().zip(&self.head);
        Ok(classes.map(|(label, weights)| Saliency::new(label, &features, weights, width, height)).collect())
    }

    /// Waits for a tensor's values, row-major.
    async fn values<const D: usize>(&self, tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
        let values = into_values(tensor)
            .await
            .map_err(|error| Error::DeviceLost { backend: self.backend.clone(), reason: error.to_string() })?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            let reason = "the network's values are not finite. Use another backend".into();
            Err(Error::Inference { backend: self.backend.clone(), reason })
        }
    }
}

/// `cpu` for burn's flex, else what burn calls the engine, in lower case, e.g. `cuda`; `webgpu` in a browser.
fn backend_name(device: &Device) -> String {
    let name = format!("{device:?}").to_lowercase();
    if name.contains("flex") {
        return "cpu".into();
    }
    if cfg!(target_arch = "wasm32") {
        return "webgpu".into();
    }
    ["cuda", "hip", "vulkan", "metal", "wgpu"].into_iter().find(|known| name.contains(known)).unwrap_or("gpu").into()
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
