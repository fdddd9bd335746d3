//! The browser shell: the library's pipeline behind wasm-bindgen, meant to live in a worker.
//!
//! Nothing here decides anything. Bytes come in, the [`crate::Classifier`] answers, and the answer leaves as a plain
//! object; a failure leaves as an `Error` named `DeepbreathError` with the stable `code` of [`crate::Error::code`].
//!
//! The crate becomes two modules with the same [`Classifier`](WebClassifier): with the feature `webgpu` the network runs
//! on the GPU, without it on the processor. Image files are read by the second one only, for both: whoever has a GPU has
//! a processor, and the decoders need not be downloaded twice.

#[cfg(not(feature = "webgpu"))]
pub mod files;
#[cfg(feature = "webgpu")]
mod gpu;

use std::future::Future;

#[cfg(not(feature = "webgpu"))]
use burn::tensor::Device;
use js_sys::{JSON, Object, Reflect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::classifier::Finding;
use crate::decision::{Decision, decide};
use crate::mask::Mask;
use crate::preprocess::{ModelInput, SIDE};
use crate::radiograph::Provenance;
use crate::weights::{Metadata, Weights};
use crate::{Classifier, Error, Film, Options, Radiograph};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("web.d.ts");

#[wasm_bindgen]
extern "C" {
    /// An [`crate::Assessment`] as a plain object; `web.d.ts` describes it.
    #[wasm_bindgen(typescript_type = "Assessment")]
    pub type JsAssessment;

    /// `ClassifyOptions` of `web.d.ts`, or undefined.
    #[wasm_bindgen(typescript_type = "ClassifyOptions | undefined")]
    pub type JsOptions;

    /// What there is to know of a film besides its values; opaque.
    #[derive(Clone)]
    #[wasm_bindgen(typescript_type = "object")]
    pub type JsFilm;

    /// What the network makes of a film with parts covered; `Judged` of `web.d.ts`.
    #[wasm_bindgen(typescript_type = "Judged")]
    pub type JsJudged;

    /// What the weights file says about itself; `Metadata` of `web.d.ts`.
    #[wasm_bindgen(typescript_type = "Metadata")]
    pub type JsMetadata;

    /// The name of the engine.
    #[wasm_bindgen(typescript_type = "Backend")]
    pub type JsBackend;
}

/// Makes a panic readable in the console; runs once, when the module starts.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Version of this library.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// The classifier with its weights on this module's engine.
#[wasm_bindgen(js_name = Classifier)]
pub struct WebClassifier {
    classifier: Classifier,
    #[cfg(feature = "webgpu")]
    gpu: gpu::Gpu,
}

#[wasm_bindgen(js_class = Classifier)]
impl WebClassifier {
    /// Reads a weights file. `file` names it in messages.
    ///
    /// # Errors
    /// A `DeepbreathError` when the file is damaged, of another version or does not fit its architecture, or when there
    /// is no GPU for the webgpu module.
    pub async fn load(file: &str, weights: &[u8]) -> Result<WebClassifier, JsValue> {
        let weights = Weights::read(file, weights).map_err(to_js)?;
        #[cfg(feature = "webgpu")]
        let (gpu, device) = gpu::Gpu::open().await.map_err(to_js)?;
        #[cfg(not(feature = "webgpu"))]
        let device = Device::flex();
        Ok(Self {
            classifier: Classifier::new(file, weights, &device).map_err(to_js)?,
            #[cfg(feature = "webgpu")]
            gpu,
        })
    }

    /// The engine that runs the network.
    #[wasm_bindgen(getter)]
    pub fn backend(&self) -> JsBackend {
        JsValue::from(self.classifier.backend()).unchecked_into()
    }

    /// What the weights file says about itself.
    ///
    /// # Errors
    /// Never: it is plain data.
    #[wasm_bindgen(getter)]
    pub fn metadata(&self) -> Result<JsMetadata, JsValue> {
        #[derive(Serialize)]
        struct Described<'a> {
            id: &'a str,
            #[serde(flatten)]
            metadata: &'a Metadata,
        }
        let described = Described { id: self.classifier.id(), metadata: self.classifier.metadata() };
        Ok(to_object(&described)?.unchecked_into())
    }

    /// Runs the known images of the weights file and compares; returns the largest difference of a logit.
    ///
    /// # Errors
    /// A `DeepbreathError`: `verification` when this machine computes something else than the trainer did,
    /// `device-lost` when the GPU fails.
    pub async fn verify(&self) -> Result<f32, JsValue> {
        self.wait(self.classifier.verify()).await
    }

    /// Runs everything that an image may need once, so that the first image does not wait for it.
    ///
    /// # Errors
    /// A `DeepbreathError`, `device-lost` when the GPU fails.
    #[wasm_bindgen(js_name = warmUp)]
    pub async fn warm_up(&self) -> Result<(), JsValue> {
        self.wait(self.classifier.warm_up()).await
    }

    /// Answers for an image file that is read: `film` and `values` of its `Film`.
    ///
    /// # Errors
    /// A `DeepbreathError`; `device-lost` when the GPU fails.
    pub async fn assess(&self, film: JsFilm, values: &[f32], options: JsOptions) -> Result<JsAssessment, JsValue> {
        let film = from_object::<Described>(&film)?.film(values)?;
        let options: JsValue = options.into();
        let options = if options.is_undefined() { Options::default() } else { from_object(&options)? };
        let assessment = self.wait(self.classifier.assess(film, &options)).await?;
        Ok(to_object(&assessment)?.unchecked_into())
    }

    /// What the network makes of a `Reduced` film, `SIDE * SIDE` grey values, with the cells covered whose byte in
    /// `cover` is not 0. The probabilities come also where an image would be refused.
    ///
    /// # Errors
    /// A `DeepbreathError`: `mask` when there are not `SIDE * SIDE` bytes, `device-lost` when the GPU fails.
    pub async fn judge(&self, plane: &[f32], cover: &[u8]) -> Result<JsJudged, JsValue> {
        #[derive(Serialize)]
        struct Judged {
            findings: Vec<Finding>,
            call: Option<String>,
            refused: bool,
        }
        let mask = Mask::from_bytes(cover).map_err(to_js)?;
        if plane.len() != SIDE * SIDE {
            return Err(failure("options", &format!("a plane of {} values instead of {SIDE} x {SIDE}", plane.len())));
        }
        let inputs = [ModelInput::covered(&reduced(plane.to_vec()), &mask)];
        let judgement = self.wait(self.classifier.judge_batch(&inputs)).await?.remove(0);
        let metadata = self.classifier.metadata();
        let Decision { probabilities, call, refused, .. } = decide(&judgement, metadata);
        let findings = metadata.classes.iter().cloned().zip(probabilities);
        let findings = findings.map(|(label, probability)| Finding { label, probability }).collect();
        Ok(to_object(&Judged { findings, call, refused })?.unchecked_into())
    }

    /// Waits for work of the classifier.
    async fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, JsValue> {
        #[cfg(feature = "webgpu")]
        let work = self.gpu.unless_lost(work);
        work.await.map_err(to_js)
    }
}

/// A [`Film`] without its values, on its way from the module that reads files to the one that runs the network.
#[derive(Serialize, Deserialize)]
struct Described {
    file: String,
    blank: bool,
    provenance: Provenance,
    decode: f64,
    preprocess: f64,
}

impl Described {
    fn film(self, values: &[f32]) -> Result<Film, JsValue> {
        if values.len() != 3 * SIDE * SIDE {
            return Err(failure(
                "options",
                &format!("a film of {} values instead of 3 x {SIDE} x {SIDE}", values.len()),
            ));
        }
        let Self { file, blank, provenance, decode, preprocess } = self;
        Ok(Film { file, input: ModelInput { values: values.to_vec(), blank }, provenance, decode, preprocess })
    }
}

/// A plane of the network's own size as a film.
fn reduced(pixels: Vec<f32>) -> Radiograph {
    Radiograph { width: SIDE, height: SIDE, pixels, provenance: Provenance::default() }
}

/// Plain data as plain objects: what its JSON text means.
fn to_object(data: &impl Serialize) -> Result<JsValue, JsValue> {
    let text = serde_json::to_string(data).map_err(|error| failure("internal", &error.to_string()))?;
    JSON::parse(&text)
}

/// The inverse of [`to_object`] for what a caller passes in.
fn from_object<T: DeserializeOwned>(object: &JsValue) -> Result<T, JsValue> {
    let text = String::from(JSON::stringify(object)?);
    serde_json::from_str(&text).map_err(|error| failure("options", &format!("options {text}: {error}")))
}

/// The one conversion of errors at the JavaScript boundary.
fn to_js(error: Error) -> JsValue {
    failure(error.code(), &error.to_string())
}

fn failure(code: &str, message: &str) -> JsValue {
    let js = js_sys::Error::new(message);
    js.set_name("DeepbreathError");
    let object: &Object = js.as_ref();
    // Setting a property of a fresh, extensible object cannot fail.
    let _ = Reflect::set(object, &"code".into(), &code.into());
    js.into()
}
