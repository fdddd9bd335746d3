//! Bytes to [`Radiograph`]: any supported file to one grey plane with its provenance.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A decoded image: one grey plane and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Radiograph {
    /// Columns, in pixels.
    pub width: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// `height * width` values, row-major, 0.0 (black, air) to 1.0 (white, bone).
    pub pixels: Vec<f32>,
    /// How the plane came to be.
    pub provenance: Provenance,
}

/// How a [`Radiograph`] was read. Holds no patient data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Container format, e.g. `png`, `dicom`.
    pub format: String,
}

impl Radiograph {
    /// Decodes `bytes`; the format is told from the content. `file` only names the input in messages.
    ///
    /// # Errors
    /// A typed refusal that names the file, the reason and the remedy.
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let _ = bytes;
        Err(Error::UnknownFormat { file: file.into(), found: "unread".into() })
    }
}
