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

use crate::classifier::Finding;
use crate::decision::{Decision, decide};
use crate::mask::{BORDER, CORNER, Mask, OUTLINE};
use crate::preprocess::{ModelInput, SIDE, resize};
use crate::radiograph::Provenance;
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

    /// What the network makes of a [`Reduced`] film, `SIDE * SIDE` grey values, with the cells covered whose byte in
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

/// A film as small as the network sees it, with ready-made masks for it: `SIDE * SIDE` cells each, row-major.
#[wasm_bindgen(getter_with_clone)]
pub struct Reduced {
    /// Grey values, 0 to 1, for [`WebClassifier::judge`].
    pub plane: Vec<f32>,
    /// 1 where the lungs are estimated to lie.
    pub lungs: Vec<u8>,
    /// 1 where they are not.
    pub outside: Vec<u8>,
    /// 1 in the four corners.
    pub corners: Vec<u8>,
    /// 1 where bright marks were laid over the film: letters, side markers.
    pub marks: Vec<u8>,
    /// 1 at the four edges.
    pub border: Vec<u8>,
}

/// Decodes an image file for experiments that cover parts of it. Judging the plane is judging the film: at this size the
/// network's own resizing changes nothing.
///
/// # Errors
/// A `DeepbreathError` when the bytes are no readable image.
#[wasm_bindgen]
pub fn reduce(file: &str, bytes: &[u8]) -> Result<Reduced, JsValue> {
    let Radiograph { width, height, pixels, .. } = Radiograph::decode(file, bytes).map_err(to_js)?;
    let film = reduced(resize(&pixels, width, height, SIDE, SIDE));
    let cells = |mask: &Mask| mask.cells().iter().map(|covered| u8::from(*covered)).collect();
    let lungs = Mask::lungs(&film, OUTLINE);
    Ok(Reduced {
        lungs: cells(&lungs),
        outside: cells(&lungs.complement()),
        corners: cells(&Mask::corners(CORNER)),
        marks: cells(&Mask::marks(&film)),
        border: cells(&Mask::frame(BORDER)),
        plane: film.pixels,
    })
}

/// A plane of the network's own size as a film.
fn reduced(pixels: Vec<f32>) -> Radiograph {
    Radiograph { width: SIDE, height: SIDE, pixels, provenance: Provenance::default() }
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
