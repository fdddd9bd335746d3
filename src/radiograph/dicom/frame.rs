//! The first frame of a DICOM image as integers.

use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::dataset::PixelData;
use super::rle;
use crate::Error;
use crate::radiograph::{check_size, jpeg};

/// Most pixels that one bit of JPEG-LS codes: the longest run, which ends with its row (ITU-T T.87, A.7.1.2: J[31] = 15).
const JPEG_LS_RUN: u16 = 1 << 15;

/// How samples are stored (PS3.3, C.7.6.3.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: u16,
    pub(super) columns: u16,
    pub(super) channels: u16,
    pub(super) frames: u32,
    pub(super) bits_allocated: u16,
    pub(super) bits_stored: u16,
    pub(super) high_bit: u16,
    pub(super) signed: bool,
    /// Three channels in three planes instead of pixel by pixel.
    pub(super) planar: bool,
    pub(super) colour: Colour,
}

/// What the samples of a pixel are (PS3.3, C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// MONOCHROME1 or 2.
    Grey,
    /// RGB: a codec must not turn the samples from anything.
    Rgb,
    /// YBR_FULL: luma, blue and red chroma.
    Ybr,
    /// YBR_FULL_422: two lumas, then the chroma of both.
    Ybr422,
    /// YBR_ICT or YBR_RCT: RGB again once JPEG 2000 has undone its component transform.
    Transformed,
}

/// A decoded frame.
#[derive(Debug)]
pub(super) struct Frame {
    /// `rows * columns * channels` values, interleaved.
    pub(super) samples: Vec<i32>,
    /// The three channels are luma, blue and red chroma instead of red, green and blue.
    pub(super) ybr: bool,
}

impl Layout {
    fn samples(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns) * usize::from(self.channels)
    }

    /// The value of a stored word (PS3.5, 8.1.1): the bits stored, with their sign.
    pub(super) fn value(&self, word: u32) -> i32 {
        let unused = 32 - u32::from(self.bits_stored);
        let word = word << (31 - u32::from(self.high_bit));
        if self.signed { (word as i32) >> unused } else { (word >> unused) as i32 }
    }
}

/// Decodes the first frame.
pub(super) fn first(
    file: &str,
    transfer_syntax: &str,
    layout: &Layout,
    pixel_data: PixelData<'_>,
) -> Result<Frame, Error> {
    check_size(file, layout.columns.into(), layout.rows.into())?;
    match pixel_data {
        PixelData::Native { bytes, swap } => {
            let size =
                |samples: usize| samples as u64 * u64::from(layout.bits_allocated / 8) * u64::from(layout.frames);
            let subsampled = layout.colour == Colour::Ybr422;
            // A common mislabelling; whether the samples are RGB or YBR_FULL then, nothing says.
            if subsampled && bytes.len() as u64 >= size(layout.samples()) {
                return Err(photometric(file, "YBR_FULL_422 whose chroma is not halved"));
            }
            let stored = if subsampled { layout.samples() / 3 * 2 } else { layout.samples() };
            let needed = size(stored);
            if (bytes.len() as u64) < needed {
                return Err(Error::Truncated {
                    file: file.into(),
                    reason: format!("the image needs {needed} bytes of pixel data, {} are there", bytes.len()),
                });
            }
            let ybr = layout.colour != Colour::Ybr422 && raw_colour(file, layout)?;
            let samples = words(layout, bytes, swap, stored);
            Ok(if subsampled { Frame { samples: pairs(&samples), ybr: true } } else { Frame { samples, ybr } })
        }
        PixelData::Encapsulated { offsets, fragments } => {
            let frame = first_frame(file, layout.frames, &offsets, &fragments)?;
            encapsulated(file, transfer_syntax, layout, &frame)
        }
        PixelData::Missing | PixelData::Float => {
            Err(Error::NoPixelData { file: file.into(), reason: "no Pixel Data element".into() })
        }
    }
}

fn photometric(file: &str, what: &str) -> Error {
    Error::UnsupportedPhotometric { file: file.into(), what: format!("photometric interpretation {what}") }
}

/// Whether the samples of a coding that transforms no colours are YBR_FULL.
fn raw_colour(file: &str, layout: &Layout) -> Result<bool, Error> {
    match layout.colour {
        Colour::Grey | Colour::Rgb => Ok(false),
        Colour::Ybr => Ok(true),
        Colour::Ybr422 => Err(photometric(file, "YBR_FULL_422 in this transfer syntax")),
        Colour::Transformed => Err(photometric(file, "YBR_ICT or YBR_RCT without its JPEG 2000 transform")),
    }
}

/// Two lumas, blue and red chroma to two pixels (PS3.3, C.7.6.3.1.2, YBR_FULL_422).
fn pairs(samples: &[i32]) -> Vec<i32> {
    samples.chunks_exact(4).flat_map(|group| [group[0], group[2], group[3], group[1], group[2], group[3]]).collect()
}

/// The first `count` values.
fn words(layout: &Layout, bytes: &[u8], swap: bool, count: usize) -> Vec<i32> {
    let values: Vec<i32> = match (layout.bits_allocated, swap) {
        // Bytes in big-endian words: the first of a pair comes second (PS3.5, 7.3 and 8.1.1).
        (8, true) => (0..count).map(|i| layout.value(bytes.get(i ^ 1).copied().unwrap_or_default().into())).collect(),
        (8, false) => bytes[..count].iter().map(|&byte| layout.value(byte.into())).collect(),
        (_, true) => bytes
            .chunks_exact(2)
            .take(count)
            .map(|pair| layout.value(u16::from_be_bytes([pair[0], pair[1]]).into()))
            .collect(),
        (_, false) => bytes
            .chunks_exact(2)
            .take(count)
            .map(|pair| layout.value(u16::from_le_bytes([pair[0], pair[1]]).into()))
            .collect(),
    };
    if !layout.planar || layout.channels == 1 {
        return values;
    }
    let (pixels, channels) = (count / usize::from(layout.channels), usize::from(layout.channels));
    (0..pixels).flat_map(|i| (0..channels).map(move |c| c * pixels + i)).map(|i| values[i]).collect()
}

/// The bytes of the first frame (PS3.5, A.4): all fragments of a single frame, one fragment a frame, or what the
/// offset table gives it; without a table, everything: decoders stop at the end of the first image.
fn first_frame(file: &str, frames: u32, offsets: &[u32], fragments: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let count = if frames as usize == fragments.len() {
        1
    } else if let (true, Some(&next)) = (frames > 1, offsets.get(1)) {
        let starts = fragments.iter().scan(0_u64, |at, fragment| {
            let start = *at;
            *at += fragment.len() as u64 + 8;
            Some(start)
        });
        starts.take_while(|&start| start < u64::from(next)).count()
    } else {
        fragments.len()
    };
    if count == 0 {
        return Err(Error::Truncated { file: file.into(), reason: "the pixel data have no fragment".into() });
    }
    Ok(fragments[..count].concat())
}

fn encapsulated(file: &str, transfer_syntax: &str, layout: &Layout, frame: &[u8]) -> Result<Frame, Error> {
    let corrupt = |reason: String| Error::Corrupt { file: file.into(), reason };
    match transfer_syntax {
        uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => {
            let native = PixelData::Native { bytes: frame, swap: false };
            first(file, transfer_syntax, &Layout { frames: 1, ..*layout }, native)
        }
        uids::RLE_LOSSLESS => {
            let ybr = raw_colour(file, layout)?;
            let bytes_per_sample = usize::from(layout.bits_allocated / 8);
            let pixels = usize::from(layout.rows) * usize::from(layout.columns);
            let planes = rle::decode(frame, usize::from(layout.channels) * bytes_per_sample, pixels)
                .map_err(|reason| corrupt(format!("RLE: {reason}")))?;
            // Segments run from the most significant byte down, channel by channel (PS3.5, G.2).
            let word = |pixel: usize, channel: usize| {
                let segments = &planes[channel * bytes_per_sample..(channel + 1) * bytes_per_sample];
                segments.iter().fold(0, |word, segment| word << 8 | u32::from(segment[pixel]))
            };
            let channels = usize::from(layout.channels);
            let samples = (0..pixels * channels).map(|i| layout.value(word(i / channels, i % channels))).collect();
            Ok(Frame { samples, ybr })
        }
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
            let header = jpeg::header(file, frame)?;
            check_geometry(file, layout, header.width.into(), header.height.into(), header.components.into())?;
            // Lossy JPEG comes out as RGB, lossless JPEG as it was put in.
            let ybr = header.process == 0xC3 && raw_colour(file, layout)?;
            let decoded = jpeg::decode(file, frame, layout.colour == Colour::Rgb).map_err(|error| match error {
                Error::UnsupportedImage { what, .. } => unsupported(file, transfer_syntax, what),
                other => other,
            })?;
            let samples = decoded.samples.iter().map(|&sample| layout.value(sample.into())).collect();
            Ok(Frame { samples, ybr })
        }
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => {
            let ybr = raw_colour(file, layout)?;
            let header = jpeg::header(file, frame)?;
            check_geometry(file, layout, header.width.into(), header.height.into(), header.components.into())?;
            if u64::from(layout.rows) * u64::from(layout.columns.div_ceil(JPEG_LS_RUN)) > 8 * frame.len() as u64 {
                let pixels = format!("{} x {} pixels", layout.columns, layout.rows);
                let reason = format!("{pixels} cannot come from {} bytes", frame.len());
                return Err(Error::Truncated { file: file.into(), reason });
            }
            let decoded = jpegls::decode(frame, layout.columns.into(), layout.rows.into());
            let (samples, ..) = decoded.map_err(|error| match error {
                jpegls::CodecError::Unsupported(what) => unsupported(file, transfer_syntax, what),
                error => corrupt(format!("JPEG-LS: {error}")),
            })?;
            Ok(Frame { samples: samples.iter().map(|&sample| layout.value(sample.into())).collect(), ybr })
        }
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => jpeg_2000(file, transfer_syntax, layout, frame),
        _ => Err(unsupported(file, transfer_syntax, "there is no decoder for it".into())),
    }
}

fn unsupported(file: &str, transfer_syntax: &str, reason: String) -> Error {
    let known = TransferSyntaxRegistry.get(transfer_syntax);
    let name = known.map_or("unknown", |syntax| syntax.name()).into();
    Error::UnsupportedTransferSyntax { file: file.into(), uid: transfer_syntax.into(), name, reason }
}

/// The codec's own header must agree with the data set before anything is allocated.
fn check_geometry(file: &str, layout: &Layout, width: u32, height: u32, channels: u32) -> Result<(), Error> {
    let declared = (u32::from(layout.columns), u32::from(layout.rows), u32::from(layout.channels));
    if declared == (width, height, channels) {
        return Ok(());
    }
    let reason = format!(
        "the data set declares {declared:?} columns, rows, samples; the pixel data hold {width}, {height}, {channels}"
    );
    Err(Error::Corrupt { file: file.into(), reason })
}

/// JPEG 2000 by `hayro-jpeg2000` (safe Rust, no SIMD). The codestream header (ISO/IEC 15444-1, A.5.1) is checked first:
/// exactly the declared image, unsigned, not subsampled, in at most 4,096 tiles. Nothing is asked of the number of bytes: an
/// empty packet codes a whole tile in one (B.10.3), so any image may come from next to nothing.
fn jpeg_2000(file: &str, transfer_syntax: &str, layout: &Layout, frame: &[u8]) -> Result<Frame, Error> {
    let corrupt = |reason: &str| Error::Corrupt { file: file.into(), reason: format!("JPEG 2000: {reason}") };
    let start = frame.windows(4).position(|bytes| bytes == [0xFF, 0x4F, 0xFF, 0x51]);
    // The bare codestream (PS3.5, A.4.4): a file header around it would have colours of its own.
    let frame = &frame[start.ok_or_else(|| corrupt("no SIZ marker"))?..];
    let size = frame.get(8..).ok_or_else(|| corrupt("no SIZ marker"))?;
    let (fields, components) = size.split_at_checked(34).ok_or_else(|| corrupt("the SIZ marker stops"))?;
    let field = |i: usize| u32::from_be_bytes([fields[4 * i], fields[4 * i + 1], fields[4 * i + 2], fields[4 * i + 3]]);
    let [right, bottom, left, top, tile_width, tile_height] = [0, 1, 2, 3, 4, 5].map(field);
    let count = u16::from_be_bytes([fields[32], fields[33]]);
    if left > right || top > bottom || tile_width == 0 || tile_height == 0 {
        return Err(corrupt("impossible image area"));
    }
    check_geometry(file, layout, right - left, bottom - top, count.into())?;
    let tiles = u64::from(right.div_ceil(tile_width)) * u64::from(bottom.div_ceil(tile_height));
    if tiles > 4_096 {
        return Err(corrupt("more than 4,096 tiles"));
    }
    let components = components.get(..3 * usize::from(count)).ok_or_else(|| corrupt("the SIZ marker stops"))?;
    // Ssiz: the sign in the top bit, then precision - 1. More than 16 bits would not be exact in the decoder's f32.
    if components.chunks_exact(3).any(|c| c[0] > 15 || (c[1], c[2]) != (1, 1)) {
        let reason = "signed, subsampled or deeper than 16 bits".to_owned();
        return Err(unsupported(file, transfer_syntax, reason));
    }
    let ybr = match layout.colour {
        Colour::Transformed if component_transform(frame) => false,
        _ => raw_colour(file, layout)?,
    };
    let settings =
        hayro_jpeg2000::DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let mut context = hayro_jpeg2000::DecoderContext::default();
    let image = hayro_jpeg2000::Image::new(frame, &settings).map_err(|error| corrupt(&error.to_string()))?;
    let image = image.decode(&mut context).map_err(|error| corrupt(&error.to_string()))?;
    let planes = image.components().iter().map(|plane| plane.samples()).collect::<Vec<_>>();
    let pixels = usize::from(layout.rows) * usize::from(layout.columns);
    if planes.len() != usize::from(layout.channels) || planes.iter().any(|plane| plane.len() != pixels) {
        return Err(corrupt("components of another size"));
    }
    // Reconstruction rounds to the nearest integer; the decoder has added the level shift, but not clamped.
    let value = |sample: f32, precision: u8| {
        let most = ((1_u32 << (precision + 1)) - 1) as f32;
        layout.value((sample + 0.5).floor().clamp(0.0, most) as u32)
    };
    let precisions = components.chunks_exact(3).map(|c| c[0]).collect::<Vec<_>>();
    let samples = (0..pixels)
        .flat_map(|i| planes.iter().zip(&precisions).map(move |(plane, &precision)| value(plane[i], precision)))
        .collect();
    Ok(Frame { samples, ybr })
}

/// Whether the COD marker of the main header (ISO/IEC 15444-1, A.6.1) names a component transform.
fn component_transform(codestream: &[u8]) -> bool {
    let mut rest = &codestream[2..];
    while let [0xFF, marker, high, low, segment @ ..] = rest {
        match marker {
            0x52 => return segment.get(4) == Some(&1),
            0x90 | 0xD9 => return false,
            _ => rest = segment.get(usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2)..).unwrap_or(&[]),
        }
    }
    false
}
