//! The first frame of a DICOM image as integers.

use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::dataset::PixelData;
use super::rle;
use crate::Error;
use crate::radiograph::{check_size, jpeg};

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
    /// Photometric interpretation RGB: the codec must not turn the samples from YCbCr.
    pub(super) rgb: bool,
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

/// Decodes the first frame: `rows * columns * channels` values, interleaved.
pub(super) fn first(
    file: &str,
    transfer_syntax: &str,
    layout: &Layout,
    pixel_data: PixelData<'_>,
) -> Result<Vec<i32>, Error> {
    check_size(file, layout.columns.into(), layout.rows.into())?;
    match pixel_data {
        PixelData::Native { bytes, swap } => {
            let needed = layout.samples() as u64 * u64::from(layout.bits_allocated / 8) * u64::from(layout.frames);
            if (bytes.len() as u64) < needed {
                return Err(Error::Truncated {
                    file: file.into(),
                    reason: format!("the image needs {needed} bytes of pixel data, {} are there", bytes.len()),
                });
            }
            Ok(words(layout, bytes, swap))
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

fn words(layout: &Layout, bytes: &[u8], swap: bool) -> Vec<i32> {
    let count = layout.samples();
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

fn encapsulated(file: &str, transfer_syntax: &str, layout: &Layout, frame: &[u8]) -> Result<Vec<i32>, Error> {
    let corrupt = |reason: String| Error::Corrupt { file: file.into(), reason };
    match transfer_syntax {
        uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => {
            let native = PixelData::Native { bytes: frame, swap: false };
            first(file, transfer_syntax, &Layout { frames: 1, ..*layout }, native)
        }
        uids::RLE_LOSSLESS => {
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
            Ok((0..pixels * channels).map(|i| layout.value(word(i / channels, i % channels))).collect())
        }
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
            let header = jpeg::header(file, frame)?;
            check_geometry(file, layout, header.width.into(), header.height.into(), header.components.into())?;
            let samples = jpeg::decode(file, frame, layout.rgb).map_err(|error| match error {
                Error::UnsupportedImage { what, .. } => unsupported(file, transfer_syntax, what),
                other => other,
            })?;
            Ok(samples.samples.iter().map(|&sample| layout.value(sample.into())).collect())
        }
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => {
            let header = jpeg::header(file, frame)?;
            check_geometry(file, layout, header.width.into(), header.height.into(), header.components.into())?;
            let decoded = jpegls::decode(frame, layout.columns.into(), layout.rows.into());
            let (samples, ..) = decoded.map_err(|error| match error {
                jpegls::CodecError::Unsupported(what) => unsupported(file, transfer_syntax, what),
                error => corrupt(format!("JPEG-LS: {error}")),
            })?;
            Ok(samples.iter().map(|&sample| layout.value(sample.into())).collect())
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
/// exactly the declared image, unsigned, not subsampled, in at most 4,096 tiles.
fn jpeg_2000(file: &str, transfer_syntax: &str, layout: &Layout, frame: &[u8]) -> Result<Vec<i32>, Error> {
    let corrupt = |reason: &str| Error::Corrupt { file: file.into(), reason: format!("JPEG 2000: {reason}") };
    let start = frame.windows(4).position(|bytes| bytes == [0xFF, 0x4F, 0xFF, 0x51]);
    let size = start.and_then(|start| frame.get(start + 8..)).ok_or_else(|| corrupt("no SIZ marker"))?;
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
    Ok((0..pixels)
        .flat_map(|i| planes.iter().zip(&precisions).map(move |(plane, &precision)| value(plane[i], precision)))
        .collect())
}
