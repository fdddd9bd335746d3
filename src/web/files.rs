//! Reading image files: for the network, for the eye, for experiments.

use wasm_bindgen::prelude::*;

use super::{Described, JsFilm, reduced, to_js, to_object};
use crate::mask::{BORDER, CORNER, Mask, OUTLINE};
use crate::preprocess::{ModelInput, SIDE, resize};
use crate::{Film, Radiograph};

/// Longest side of a [`Preview`], in pixels: enough for a large screen, small enough for any picture memory.
const PREVIEW_SIDE: usize = 1024;

/// An image file as the network sees it, for `Classifier.assess` of this module or of the other one.
#[wasm_bindgen(js_name = Film, getter_with_clone)]
pub struct WebFilm {
    /// Name, provenance and times.
    pub film: JsFilm,
    /// `3 * SIDE * SIDE` values, normalised.
    pub values: Vec<f32>,
}

/// Decodes and preprocesses an image file. `file` names it in messages and in the answer.
///
/// # Errors
/// A `DeepbreathError` when the bytes are no readable image.
#[wasm_bindgen]
pub fn read(file: &str, bytes: &[u8]) -> Result<WebFilm, JsValue> {
    let Film { file, input, provenance, decode, preprocess } = Film::read(file, bytes).map_err(to_js)?;
    let described = Described { file, blank: input.blank, provenance, decode, preprocess };
    Ok(WebFilm { film: to_object(&described)?.unchecked_into(), values: input.values })
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
    /// Grey values, 0 to 1, for `Classifier.judge`.
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

/// SHA-256 of what the network sees of an image file, in hexadecimal: equal on every machine, in the browser and outside.
///
/// # Errors
/// A `DeepbreathError` when the bytes are no readable image.
#[wasm_bindgen(js_name = inputDigest)]
pub fn input_digest(file: &str, bytes: &[u8]) -> Result<String, JsValue> {
    let radiograph = Radiograph::decode(file, bytes).map_err(to_js)?;
    Ok(ModelInput::from_radiograph(&radiograph).digest())
}
