//! How a [`Radiograph`](super::Radiograph) came to be: closed vocabularies only, so that no free text of a file
//! (names, dates, comments) can reach an output.

use serde::{Deserialize, Serialize};

/// How a [`Radiograph`](super::Radiograph) was read. Holds no patient data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provenance {
    /// Container format: `png`, `jpeg`, `webp`, `bmp`, `tiff` or `dicom`.
    pub format: String,
    /// Columns of the film as read, in pixels (upright, if the file says that it was turned).
    pub width: u32,
    /// Rows of the film as read, in pixels.
    pub height: u32,
    /// Bits of one sample as stored, e.g. 8, 12, 16.
    pub bits: u16,
    /// Samples of one pixel as stored: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha or CMYK.
    pub channels: u16,
    /// Mean of (largest - smallest of R, G, B) over all pixels, 0 (grey) to 1: a radiograph has next to none.
    pub chroma: f32,
    /// EXIF orientation that was applied, 1 (as stored) to 8 (EXIF 2.32, tag 0x0112).
    pub orientation: u8,
    /// Frames in the file; only the first is read.
    pub frames: u32,
    /// DICOM transfer syntax UID.
    pub transfer_syntax: Option<String>,
    /// DICOM photometric interpretation as tagged.
    pub photometric: Option<Photometric>,
    /// DICOM modality, a defined term of PS3.3 C.7.3.1.1.1 such as `DX`, or `other`.
    pub modality: Option<String>,
    /// DICOM view position.
    pub view: Option<ViewPosition>,
    /// Grey mapping that was used; `None` for raster formats, which are displayed as stored.
    pub window: Option<GreyMapping>,
    /// True if the image was inverted because it showed air bright and bone dark against its own tag.
    pub polarity_corrected: bool,
    /// What a reader of the result should know, in sentences: first of several frames, a polarity that was corrected, ...
    pub notes: Vec<String>,
}

/// Meaning of the smallest sample (DICOM PS3.3 C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Photometric {
    /// The smallest sample is white.
    Monochrome1,
    /// The smallest sample is black.
    Monochrome2,
    /// Colour, read as luma: RGB, or one of the YBR forms that are turned into it.
    Rgb,
}

/// Projection of the film (DICOM PS3.3 C.8.11.5.1.2, View Position).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewPosition {
    /// Posterior to anterior.
    Pa,
    /// Anterior to posterior.
    Ap,
    /// Left or right lateral.
    Lateral,
    /// Any other named view.
    Other,
}

/// A window in modality units (DICOM PS3.3 C.11.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WindowLevel {
    /// Window Center.
    pub center: f64,
    /// Window Width.
    pub width: f64,
}

/// How samples became grey values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum GreyMapping {
    /// VOI LUT Function LINEAR (PS3.3 C.11.2.1.2.1).
    Linear(WindowLevel),
    /// VOI LUT Function LINEAR_EXACT (PS3.3 C.11.2.1.3.2).
    LinearExact(WindowLevel),
    /// VOI LUT Function SIGMOID (PS3.3 C.11.2.1.3.1).
    Sigmoid(WindowLevel),
    /// The first VOI LUT of the file.
    VoiLut,
    /// Linear between two percentiles, for a file without window or VOI LUT.
    Percentile {
        /// Value shown black, in modality units.
        low: f64,
        /// Value shown white, in modality units.
        high: f64,
    },
    /// Samples that are display values already (colour): full range.
    AsStored,
}
