//! The browser shell: the library's pipeline behind wasm-bindgen, meant to live in a worker.
//!
//! Nothing here decides anything. Bytes come in, the [`crate::Classifier`] answers, and the answer leaves as a plain
//! object; a failure leaves as an `Error` named `DeepbreathError` with the stable `code` of [`crate::Error::code`].
//!
//! The crate becomes two modules with the same exports: with the feature `webgpu` the network runs on the GPU, without
//! it on the processor.

#[cfg(feature = "webgpu")]
mod gpu;

use std::future::Future;

#[cfg(not(feature = "webgpu"))]
use burn::tensor::Device;
use js_sys::{JSON, Object, Reflect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use crate::preprocess::ModelInput;
use crate::weights::{Metadata, Weights};
use crate::{Classifier, Error, Options, Radiograph};

/// Longest side of a [`Preview`], in pixels: enough for a large screen, small enough for any picture memory.
const PREVIEW_SIDE: usize = 1024;

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

    /// Classifies an image file from its bytes. `file` names it in messages and in the answer.
    ///
    /// # Errors
    /// A `DeepbreathError` when the bytes are no readable image; `device-lost` when the GPU fails.
    pub async fn classify(&self, file: &str, bytes: &[u8], options: JsOptions) -> Result<JsAssessment, JsValue> {
        let options: JsValue = options.into();
        let options = if options.is_undefined() { Options::default() } else { from_object(&options)? };
        let assessment = self.wait(self.classifier.classify(file, bytes, &options)).await?;
        Ok(to_object(&assessment)?.unchecked_into())
    }

    /// Waits for work of the classifier.
    async fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, JsValue> {
        #[cfg(feature = "webgpu")]
        let work = self.gpu.unless_lost(work);
        work.await.map_err(to_js)
    }
}

/// What the classifier sees of an image file, for the eye: the decoded grey plane at 8 bits.
#[wasm_bindgen(getter_with_clone)]
pub struct Preview {
    /// Columns, in pixels.
    pub width: u32,
    /// Rows, in pixels.
    pub height: u32,
    /// `height * width` bytes, row-major, 0 black to 255 white.
    pub grey: Vec<u8>,
}

/// Decodes an image file for display; large ones are averaged down to at most 1024 pixels a side.
///
/// # Errors
/// A `DeepbreathError` when the bytes are no readable image.
#[wasm_bindgen]
pub fn preview(file: &str, bytes: &[u8]) -> Result<Preview, JsValue> {
    let radiograph = Radiograph::decode(file, bytes).map_err(to_js)?;
    let step = radiograph.width.max(radiograph.height).div_ceil(PREVIEW_SIDE).max(1);
    // Rows and columns that do not fill a block are left out; an edge thinner than a block is kept whole.
    let (width, height) = ((radiograph.width / step).max(1), (radiograph.height / step).max(1));
    let (columns, rows) = (step.min(radiograph.width), step.min(radiograph.height));
    let mut grey = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let block = (y * rows..(y + 1) * rows).flat_map(|row| {
                let start = row * radiograph.width + x * columns;
                &radiograph.pixels[start..start + columns]
            });
            let mean = block.sum::<f32>() / (columns * rows) as f32;
            grey.push((mean * 255.0).round() as u8);
        }
    }
    Ok(Preview { width: width as u32, height: height as u32, grey })
}

/// SHA-256 of what the network sees of an image file, in hexadecimal: equal on every machine, in the browser and outside.
///
/// # Errors
/// A `DeepbreathError` when the bytes are no readable image.
#[wasm_bindgen(js_name = inputDigest)]
pub fn input_digest(file: &str, bytes: &[u8]) -> Result<String, JsValue> {
    let radiograph = Radiograph::decode(file, bytes).map_err(to_js)?;
    Ok(ModelInput::from_radiograph(&radiograph).digest())
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
