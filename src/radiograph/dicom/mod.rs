//! DICOM to one grey plane: dicom-rs converts the attributes, codecs give the samples of the first frame, and the grey
//! stages of PS3.3 (modality LUT, VOI LUT, presentation) are applied here.

mod dataset;
mod frame;
mod grey;
mod rle;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use self::dataset::{Dataset, Object, PixelData};
use self::frame::{Colour, Frame, Layout};
use super::raster::Plane;
use super::{GreyMapping, Photometric, Provenance, Radiograph, ViewPosition, check_size, polarity};
use crate::Error;

/// Modalities that are reported by name (defined terms of PS3.3, C.7.3.1.1.1); anything else is `other`, so that no
/// free text passes.
const MODALITIES: [&str; 20] = [
    "CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OP", "OT", "PT", "PX", "RF", "RG", "RTIMAGE", "SC", "SM", "US",
    "XA", "XC",
];

/// Decodes a DICOM file of at most [`super::MAX_FILE_BYTES`].
pub(super) fn decode(file: &str, bytes: &[u8]) -> Result<Radiograph, Error> {
    let dataset = dataset::read(file, bytes)?;
    let attributes = Attributes { file, object: &dataset.attributes };
    match dataset.pixel_data() {
        PixelData::Missing => {
            return Err(Error::NoPixelData { file: file.into(), reason: "no Pixel Data element".into() });
        }
        PixelData::Float => return Err(attributes.unsupported("floating-point pixel data")),
        PixelData::Native { .. } | PixelData::Encapsulated { .. } => {}
    }
    let (layout, photometric) = attributes.layout()?;
    let (width, height) = (usize::from(layout.columns), usize::from(layout.rows));
    let mut provenance = attributes.provenance(&dataset, &layout, photometric);
    let Frame { samples, ybr } = frame::first(file, &dataset.transfer_syntax, &layout, dataset.pixel_data())?;
    if samples.len() != width * height * usize::from(layout.channels) {
        return Err(Error::Corrupt { file: file.into(), reason: "the pixel data hold another size".into() });
    }
    if photometric == Photometric::Rgb {
        let samples = samples.iter().map(|&value| value.clamp(0, 0xFFFF) as u16).collect::<Vec<_>>();
        let plane = if ybr {
            Plane::of_ybr(&samples, layout.bits_stored)
        } else {
            Plane::of_samples(&samples, 3, false, (1 << layout.bits_stored) - 1)
        };
        provenance.chroma = plane.chroma;
        provenance.window = Some(GreyMapping::AsStored);
        return Ok(Radiograph { width, height, pixels: plane.pixels, provenance });
    }
    let stages = grey::Stages::read(&attributes, &layout, &mut provenance.notes)?;
    let monochrome1 = photometric == Photometric::Monochrome1;
    let (pixels, mapping) = stages.apply(&samples, monochrome1);
    provenance.window = Some(mapping);
    let mut film = Radiograph { width, height, pixels, provenance };
    if polarity::is_inverted(&film) {
        // Again from the samples, so that padding stays black.
        (film.pixels, _) = stages.apply(&samples, !monochrome1);
        film.provenance.polarity_corrected = true;
        film.provenance.notes.push(format!(
            "The file says {}, but the film then shows air bright and bone dark; it was inverted.",
            if monochrome1 { "MONOCHROME1" } else { "MONOCHROME2" },
        ));
    }
    Ok(film)
}

/// Typed access to the attributes that were cut out of the file.
struct Attributes<'a> {
    file: &'a str,
    object: &'a Object,
}

impl Attributes<'_> {
    /// The first value of an integer attribute.
    fn integer(&self, tag: Tag) -> Option<i64> {
        self.object.values.get(&tag)?.to_int::<i64>().ok()
    }

    /// All values of a decimal attribute; none if one of them is no finite number.
    fn numbers(&self, tag: Tag) -> Vec<f64> {
        let values = self.object.values.get(&tag).and_then(|value| value.to_multi_float64().ok()).unwrap_or_default();
        if values.iter().all(|value| value.is_finite()) { values } else { Vec::new() }
    }

    /// A code string, e.g. `MONOCHROME2`.
    fn code(&self, tag: Tag) -> Option<String> {
        let text = self.object.values.get(&tag)?.to_str();
        let first = text.split('\\').next()?.trim_matches(['\0', ' ']).to_ascii_uppercase();
        (!first.is_empty()).then_some(first)
    }

    fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::UnsupportedPhotometric { file: self.file.into(), what: what.into() }
    }

    fn required(&self, tag: Tag, name: &str) -> Result<u16, Error> {
        let value = self.integer(tag).and_then(|value| u16::try_from(value).ok());
        value.ok_or_else(|| Error::Corrupt { file: self.file.into(), reason: format!("DICOM: no {name}") })
    }

    /// The pixel description of PS3.3, C.7.6.3, checked.
    fn layout(&self) -> Result<(Layout, Photometric), Error> {
        let (rows, columns) = (self.required(tags::ROWS, "Rows")?, self.required(tags::COLUMNS, "Columns")?);
        check_size(self.file, columns.into(), rows.into())?;
        let channels = self.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let name = self.code(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        let (photometric, colour) = match (name.as_str(), channels) {
            ("MONOCHROME1", 1) => (Photometric::Monochrome1, Colour::Grey),
            ("MONOCHROME2", 1) => (Photometric::Monochrome2, Colour::Grey),
            ("RGB", 3) => (Photometric::Rgb, Colour::Rgb),
            ("YBR_FULL", 3) => (Photometric::Rgb, Colour::Ybr),
            ("YBR_FULL_422", 3) => (Photometric::Rgb, Colour::Ybr422),
            ("YBR_ICT" | "YBR_RCT", 3) => (Photometric::Rgb, Colour::Transformed),
            // The name is a code of the standard or nothing that is repeated.
            ("PALETTE COLOR" | "ARGB" | "CMYK" | "HSV" | "YBR_PARTIAL_420" | "YBR_PARTIAL_422", _) => {
                return Err(self.unsupported(format!("photometric interpretation {name}")));
            }
            _ => {
                return Err(self.unsupported(format!("this photometric interpretation with {channels} samples")));
            }
        };
        let bits_allocated = self.required(tags::BITS_ALLOCATED, "Bits Allocated")?;
        if !matches!(bits_allocated, 8 | 16) {
            return Err(self.unsupported(format!("a pixel of {bits_allocated} bits allocated")));
        }
        let bits_stored = self.integer(tags::BITS_STORED).unwrap_or(bits_allocated.into());
        let high_bit = self.integer(tags::HIGH_BIT).unwrap_or(bits_stored - 1);
        if bits_stored < 1 || high_bit < bits_stored - 1 || high_bit >= i64::from(bits_allocated) {
            let reason = format!("DICOM: {bits_stored} bits stored up to bit {high_bit} of {bits_allocated}");
            return Err(Error::Corrupt { file: self.file.into(), reason });
        }
        let planar = self.integer(tags::PLANAR_CONFIGURATION) == Some(1);
        if colour == Colour::Ybr422 && (planar || columns % 2 != 0) {
            return Err(self.unsupported("photometric interpretation YBR_FULL_422 in planes or of odd width"));
        }
        let frames = self.integer(tags::NUMBER_OF_FRAMES).unwrap_or(1).clamp(1, u32::MAX.into());
        let layout = Layout {
            rows,
            columns,
            channels: channels as u16,
            frames: frames as u32,
            bits_allocated,
            bits_stored: bits_stored as u16,
            high_bit: high_bit as u16,
            signed: self.integer(tags::PIXEL_REPRESENTATION) == Some(1),
            planar,
            colour,
        };
        Ok((layout, photometric))
    }

    fn provenance(&self, dataset: &Dataset<'_>, layout: &Layout, photometric: Photometric) -> Provenance {
        let mut notes = Vec::new();
        if layout.frames > 1 {
            notes.push(format!("The file holds {} frames; only the first was read.", layout.frames));
        }
        let modality = self.code(tags::MODALITY).map(|code| {
            let known = MODALITIES.iter().find(|&&known| known == code);
            known.map_or_else(|| "other".to_owned(), |&known| known.to_owned())
        });
        let view = self.code(tags::VIEW_POSITION).map(|code| match code.as_str() {
            "PA" => ViewPosition::Pa,
            "AP" => ViewPosition::Ap,
            "LL" | "RL" | "LATERAL" | "LAT" => ViewPosition::Lateral,
            _ => ViewPosition::Other,
        });
        Provenance {
            format: "dicom".into(),
            bits: layout.bits_stored,
            channels: layout.channels,
            orientation: 1,
            frames: layout.frames,
            transfer_syntax: Some(dataset.transfer_syntax.clone()),
            photometric: Some(photometric),
            modality,
            view,
            notes,
            ..Provenance::default()
        }
    }
}
