//! Bytes to [`Radiograph`]: any supported file to one grey plane with its provenance.
//!
//! The arithmetic from samples to grey values is integer, or single IEEE operations on `f64`/`f32`, in a fixed order,
//! so x86-64 and wasm32 give the same bits.

#[cfg(feature = "dicom")]
mod dicom;
mod huffman;
mod jpeg;
mod jpeg12;
mod jpeg_scans;
pub mod polarity;
mod provenance;
mod raster;

pub use provenance::{GreyMapping, Photometric, Provenance, ViewPosition, WindowLevel};

use crate::Error;

/// Largest file that is read: 64 MiB. A chest film of 4,300 x 3,500 pixels with 16 bits has 30 MB.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// Most pixels of one image: 64 megapixels, three times the largest flat-panel detectors.
pub const MAX_PIXELS: usize = 64_000_000;

/// Most pixels of one side: the most that JPEG and DICOM can say. Preprocessing narrows a film column by column, so a plane
/// of few pixels that is next to nothing but height would take gigabytes.
pub const MAX_SIDE: usize = 65_535;

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

impl Radiograph {
    /// Decodes `bytes`; the format is told from the content. `file` only names the input in messages.
    ///
    /// # Errors
    /// A typed refusal that names the file, the reason and the remedy: see [`Error::code`].
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Empty { file: file.into() });
        }
        if bytes.len() > MAX_FILE_BYTES {
            return Err(Error::FileTooLarge {
                file: file.into(),
                bytes: bytes.len() as u64,
                limit: MAX_FILE_BYTES as u64,
            });
        }
        let mut film = Self::decode_any(file, bytes)?;
        // Within `MAX_PIXELS`, so far below `u32::MAX`.
        (film.provenance.width, film.provenance.height) = (film.width as u32, film.height as u32);
        Ok(film)
    }

    fn decode_any(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        // A DICOM file is told by the mark behind its preamble (PS3.10, 7.1).
        if bytes.get(128..132) != Some(b"DICM") {
            let film = raster::decode(file, bytes)?;
            return Ok(if polarity::is_inverted(&film) { film.inverted() } else { film });
        }
        #[cfg(feature = "dicom")]
        return dicom::decode(file, bytes);
        #[cfg(not(feature = "dicom"))]
        return Err(Error::DicomNotBuilt { file: file.into() });
    }
}

impl Radiograph {
    /// A raster film that is stored as its negative, turned back.
    fn inverted(mut self) -> Self {
        self.pixels.iter_mut().for_each(|value| *value = 1.0 - *value);
        self.provenance.polarity_corrected = true;
        self.provenance
            .notes
            .push("The film is stored as its negative (air bright, bone dark); it was inverted.".into());
        self
    }
}

/// Refuses an empty or too large plane before anything of its size is allocated.
fn check_size(file: &str, width: u64, height: u64) -> Result<(), Error> {
    if width == 0 || height == 0 {
        return Err(Error::Corrupt { file: file.into(), reason: format!("{width} x {height} pixels") });
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MAX_PIXELS as u64 && width.max(height) <= MAX_SIDE as u64 => Ok(()),
        _ => Err(Error::TooManyPixels { file: file.into(), width, height, limit: MAX_PIXELS as u64 }),
    }
}
