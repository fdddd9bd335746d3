//! The browser shell: the library's pipeline behind wasm-bindgen, meant to live in a worker.
//!
//! Nothing here decides anything. Bytes come in, the [`crate::Classifier`] answers, and the answer leaves as a plain
//! object; a failure leaves as an `Error` named `DeepbreathError` with the stable `code` of [`crate::Error::code`].

use burn::tensor::Device;
use js_sys::{Object, Reflect};
use serde::Serialize;
// Only for its symbols: the JPEG 2000 decoder links against C allocation functions, which this target has not.
use tinyrlibc as _;
use wasm_bindgen::prelude::*;

use crate::{Assessment, Classifier, Error, Options, Radiograph};

/// Longest side of a [`Preview`], in pixels: enough for a large screen, small enough for any picture memory.
const PREVIEW_SIDE: usize = 1024;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("web.d.ts");

#[wasm_bindgen]
extern "C" {
    /// An [`Assessment`] as a plain object; `web.d.ts` describes it.
    #[wasm_bindgen(typescript_type = "Assessment")]
    pub type JsAssessment;

    /// `ClassifyOptions` of `web.d.ts`, or undefined.
    #[wasm_bindgen(typescript_type = "ClassifyOptions | undefined")]
    pub type JsOptions;
}

/// Makes a panic readable in the console; runs once, when the module starts.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The classifier with its weights, on the processor.
#[wasm_bindgen(js_name = Classifier)]
pub struct WebClassifier(Classifier);

#[wasm_bindgen(js_class = Classifier)]
impl WebClassifier {
    /// Reads a weights file. `file` names it in messages.
    ///
    /// # Errors
    /// A `DeepbreathError` when the file is damaged, of another version or does not fit its architecture.
    pub fn load(file: &str, weights: &[u8]) -> Result<WebClassifier, JsValue> {
        Classifier::load(file, weights, &Device::flex()).map(Self).map_err(to_js)
    }

    /// Classifies an image file from its bytes. `file` names it in messages and in the answer.
    ///
    /// # Errors
    /// A `DeepbreathError` when the bytes are no readable image.
    pub async fn classify(&self, file: &str, bytes: &[u8], options: JsOptions) -> Result<JsAssessment, JsValue> {
        let options: JsValue = options.into();
        let options =
            if options.is_undefined() { Options::default() } else { serde_wasm_bindgen::from_value(options)? };
        let assessment = self.0.classify(file, bytes, &options).await.map_err(to_js)?;
        to_object(&assessment)
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

/// An [`Assessment`] as JSON would have it: plain objects, not `Map`s.
fn to_object(assessment: &Assessment) -> Result<JsAssessment, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    Ok(assessment.serialize(&serializer)?.unchecked_into())
}

/// The one conversion of errors at the JavaScript boundary.
fn to_js(error: Error) -> JsValue {
    let js = js_sys::Error::new(&error.to_string());
    js.set_name("DeepbreathError");
    let object: &Object = js.as_ref();
    // Setting a property of a fresh, extensible object cannot fail.
    let _ = Reflect::set(object, &"code".into(), &error.code().into());
    js.into()
}
