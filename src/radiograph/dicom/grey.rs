//! Stored values to grey: modality LUT or rescale (PS3.3, C.11.1), VOI LUT or window (C.11.2), MONOCHROME1 (C.7.6.3.1.2).
//!
//! All stages act on single values, so they are worked out once for every stored value that occurs, in `f64`.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::super::{GreyMapping, WindowLevel};
use super::Attributes;
use super::frame::Layout;
use crate::Error;

/// Percentiles of the values (padding left out) that become black and white in a file without window and VOI LUT. Half
/// a percent on either side cuts collimator edges, burnt-in letters and defective pixels, little else.
pub(super) const PERCENTILES: [f64; 2] = [0.5, 99.5];

/// A lookup table (PS3.3, C.11.1.1 and C.11.2.1.1).
struct Lut {
    /// Input that the first entry stands for.
    first: i64,
    entries: Vec<u16>,
    /// Bits of an entry.
    bits: u32,
}

impl Lut {
    /// Inputs outside the table take its first or last entry.
    fn at(&self, value: f64) -> f64 {
        let index = (value.floor() - self.first as f64).clamp(0.0, self.entries.len() as f64 - 1.0);
        f64::from(self.entries[index as usize])
    }

    /// The first table of a sequence; `signed` says how the first input is to be read.
    fn read(attributes: &Attributes<'_>, sequence: Tag, signed: bool) -> Result<Option<Self>, Error> {
        let Some(item) = attributes.object.items.get(&sequence) else {
            return Ok(None);
        };
        let corrupt = |what: &str| Error::Corrupt {
            file: attributes.file.into(),
            reason: format!("lookup table ({:04X},{:04X}): {what}", sequence.group(), sequence.element()),
        };
        let descriptor = item.get(&tags::LUT_DESCRIPTOR).and_then(|value| value.to_multi_int::<i64>().ok());
        let Some(&[count, first, bits]) = descriptor.as_deref() else {
            return Err(corrupt("no descriptor"));
        };
        // The VR may be US or SS: counts are unsigned, the first input follows the pixel representation.
        let count = if count & 0xFFFF == 0 { 65_536 } else { (count & 0xFFFF) as usize };
        let first = if signed { i64::from(first as i16) } else { first & 0xFFFF };
        if !(8..=16).contains(&bits) {
            return Err(corrupt("entries of neither 8 nor up to 16 bits"));
        }
        let data = item.get(&tags::LUT_DATA).ok_or_else(|| corrupt("no data"))?;
        let mut entries: Vec<u16> = match data.to_multi_int::<i64>() {
            Ok(words) => words.iter().map(|&word| word as u16).collect(),
            Err(_) => return Err(corrupt("data are no words")),
        };
        if entries.len() < count && bits == 8 && entries.len() * 2 >= count {
            // 8-bit entries may be packed two in a word.
            entries = entries.iter().flat_map(|word| word.to_le_bytes()).map(u16::from).collect();
        }
        if entries.len() < count {
            return Err(corrupt("fewer entries than declared"));
        }
        entries.truncate(count);
        Ok(Some(Self { first, entries, bits: bits as u32 }))
    }
}

/// How modality values become 0..=1.
enum Voi {
    Lut(Lut),
    Window(GreyMapping),
    Percentile,
}

/// All that happens to a stored value.
pub(super) struct Stages {
    modality: Option<Lut>,
    slope: f64,
    intercept: f64,
    voi: Voi,
    padding: Option<(i64, i64)>,
}

impl Stages {
    pub(super) fn read(attributes: &Attributes<'_>, layout: &Layout, notes: &mut Vec<String>) -> Result<Self, Error> {
        let modality = Lut::read(attributes, tags::MODALITY_LUT_SEQUENCE, layout.signed)?;
        let number = |tag| attributes.numbers(tag).first().copied();
        let slope = number(tags::RESCALE_SLOPE).filter(|&slope| slope != 0.0).unwrap_or(1.0);
        let intercept = number(tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        // Stored values have 16 bits; beyond this even the distance of two rescaled ones would not be a number.
        if !(slope.abs() * 131_072.0 + intercept.abs()).is_finite() {
            let reason = format!("rescale slope {slope} and intercept {intercept} give values without bounds");
            return Err(Error::Corrupt { file: attributes.file.into(), reason });
        }
        // The input of a VOI LUT is signed if the output of the modality stage can be (C.11.2.1.1).
        let signed = modality.is_none() && (layout.signed || intercept < 0.0);
        let voi = match Lut::read(attributes, tags::VOILUT_SEQUENCE, signed)? {
            Some(lut) => Voi::Lut(lut),
            None => window(attributes, notes).map_or(Voi::Percentile, Voi::Window),
        };
        // The padding value has the sign of the pixels, whatever VR it was written with (C.7.5.1.1.2).
        let stored = |value: i64| {
            if layout.signed { i64::from(value as i16) } else { value & 0xFFFF }
        };
        let padding = attributes.integer(tags::PIXEL_PADDING_VALUE).map(stored).map(|value| {
            let limit = attributes.integer(tags::PIXEL_PADDING_RANGE_LIMIT).map_or(value, stored);
            (value.min(limit), value.max(limit))
        });
        Ok(Self { modality, slope, intercept, voi, padding })
    }

    fn modality(&self, stored: i32) -> f64 {
        match &self.modality {
            Some(lut) => lut.at(stored.into()),
            None => f64::from(stored) * self.slope + self.intercept,
        }
    }

    fn is_padding(&self, stored: i32) -> bool {
        self.padding.is_some_and(|(low, high)| (low..=high).contains(&i64::from(stored)))
    }

    /// Grey values 0..=1 of the samples, and the mapping that was used. Padding is black.
    pub(super) fn apply(&self, samples: &[i32], monochrome1: bool) -> (Vec<f32>, GreyMapping) {
        let least = samples.iter().copied().min().unwrap_or(0);
        let most = samples.iter().copied().max().unwrap_or(0);
        let mut counts = vec![0_u64; (most - least) as usize + 1];
        for &sample in samples {
            counts[(sample - least) as usize] += 1;
        }
        let mapping = match &self.voi {
            Voi::Lut(_) => GreyMapping::VoiLut,
            Voi::Window(window) => *window,
            Voi::Percentile => self.percentiles(least, &counts),
        };
        let grey = |stored: i32| {
            let value = self.modality(stored);
            let grey = match (&self.voi, &mapping) {
                (Voi::Lut(lut), _) => (lut.at(value) / f64::from((1_u32 << lut.bits) - 1)).min(1.0),
                (_, mapping) => shade(mapping, value),
            };
            match (self.is_padding(stored), monochrome1) {
                (true, _) => 0.0,
                (false, true) => (1.0 - grey) as f32,
                (false, false) => grey as f32,
            }
        };
        let table = counts
            .iter()
            .zip(least..)
            .map(|(&count, stored)| if count == 0 { 0.0 } else { grey(stored) })
            .collect::<Vec<_>>();
        (samples.iter().map(|&sample| table[(sample - least) as usize]).collect(), mapping)
    }

    /// The nearest-rank [`PERCENTILES`] of the modality values that are no padding.
    fn percentiles(&self, least: i32, counts: &[u64]) -> GreyMapping {
        let mut values = counts
            .iter()
            .zip(least..)
            .filter(|&(&count, stored)| count > 0 && !self.is_padding(stored))
            .map(|(&count, stored)| (self.modality(stored), count))
            .collect::<Vec<_>>();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = values.iter().map(|&(_, count)| count).sum::<u64>();
        let [low, high] = PERCENTILES.map(|percent| {
            let rank = (percent / 100.0 * total as f64).ceil().max(1.0) as u64;
            let mut below = 0;
            let found = values.iter().find(|&&(_, count)| {
                below += count;
                below >= rank
            });
            found.map_or(0.0, |&(value, _)| value)
        });
        GreyMapping::Percentile { low, high }
    }
}

/// The first window of the file with the VOI LUT function (C.11.2.1.2 and C.11.2.1.3).
fn window(attributes: &Attributes<'_>, notes: &mut Vec<String>) -> Option<GreyMapping> {
    let (centers, widths) = (attributes.numbers(tags::WINDOW_CENTER), attributes.numbers(tags::WINDOW_WIDTH));
    let window = WindowLevel { center: *centers.first()?, width: *widths.first()? };
    let mapping = match attributes.code(tags::VOILUT_FUNCTION).as_deref() {
        Some("SIGMOID") => GreyMapping::Sigmoid(window),
        Some("LINEAR_EXACT") => GreyMapping::LinearExact(window),
        _ => GreyMapping::Linear(window),
    };
    // C.11.2.1.2.1: a linear window is at least 1 wide; C.11.2.1.3: the others are wider than 0.
    let wide = match mapping {
        GreyMapping::Linear(window) => window.width >= 1.0,
        _ => window.width > 0.0,
    };
    let valid = wide && (window.center.abs() + window.width).is_finite();
    if !valid {
        notes.push("The window of the file has no width or no bounds; a percentile window was used.".into());
        return None;
    }
    if centers.len().min(widths.len()) > 1 {
        notes.push(format!("The file offers {} windows; the first was used.", centers.len().min(widths.len())));
    }
    Some(mapping)
}

/// Grey 0..=1 of a modality value.
fn shade(mapping: &GreyMapping, value: f64) -> f64 {
    let between = |low: f64, high: f64| {
        if value <= low {
            0.0
        } else if value > high {
            1.0
        } else {
            (value - low) / (high - low)
        }
    };
    match *mapping {
        // C.11.2.1.2.1, with y from 0 to 1: black up to c - 0.5 - (w-1)/2, white above c - 0.5 + (w-1)/2.
        GreyMapping::Linear(WindowLevel { center, width }) => {
            between(center - 0.5 - (width - 1.0) / 2.0, center - 0.5 + (width - 1.0) / 2.0)
        }
        // C.11.2.1.3.2.
        GreyMapping::LinearExact(WindowLevel { center, width }) => between(center - width / 2.0, center + width / 2.0),
        // C.11.2.1.3.1; libm's exponential is the same Rust code on every machine.
        GreyMapping::Sigmoid(WindowLevel { center, width }) => 1.0 / (1.0 + libm::exp(-4.0 * (value - center) / width)),
        GreyMapping::Percentile { low, high } => between(low, high).clamp(0.0, 1.0),
        GreyMapping::VoiLut | GreyMapping::AsStored => value.clamp(0.0, 1.0),
    }
}
