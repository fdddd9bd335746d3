//! PNG, JPEG, WebP, BMP and TIFF to one grey plane. Of an animation or a multi-page TIFF, the first image.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{MAX_PIXELS, Provenance, Radiograph, check_size, jpeg};
use crate::Error;

/// Most bytes that deflate packs into one (RFC 1951, 3.2.5: 258 bytes in two bits).
const DEFLATE: u64 = 1_032;

/// Most bytes that TIFF's LZW packs into one (TIFF 6.0, section 13): in 12 bits a string of the table, which is at most
/// one byte longer than the one before it, with 4,096 - 258 of them.
const LZW: u64 = u64::div_ceil((4_096 - 258 + 1) * 8, 12);

/// Most bytes that PackBits packs into one (TIFF 6.0, section 9: 128 in two).
const PACK_BITS: u64 = 64;

/// Most pixels that the run-length codes of BMP pack into one byte, rounded up (BITMAPINFOHEADER, "Bitmap
/// Compression": 255 in two). A file that skips most of its pixels is none of a film.
const BMP_RUN: u64 = 128;

/// Luma weights in thousandths, ITU-R BT.601-7 section 2.5.1. They sum to 1,000, so equal R, G, B keep their value exactly.
const LUMA: [u64; 3] = [299, 587, 114];

/// Decodes a raster file of at most [`super::MAX_FILE_BYTES`].
pub(super) fn decode(file: &str, bytes: &[u8]) -> Result<Radiograph, Error> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(file, bytes),
        Ok(format @ (ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Tiff)) => {
            decode_with_image(file, bytes, format)
        }
        Ok(other) => Err(Error::UnknownFormat { file: file.into(), found: other.to_mime_type().into() }),
        Err(_) => Err(Error::UnknownFormat { file: file.into(), found: first_bytes(bytes) }),
    }
}

fn decode_jpeg(file: &str, bytes: &[u8]) -> Result<Radiograph, Error> {
    let jpeg::Decoded { header, samples, exif } = jpeg::decode(file, bytes, false)?;
    let orientation = exif.as_deref().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let max = (1_u64 << header.precision) - 1;
    let plane = Plane::of_samples(&samples, usize::from(header.components), false, max);
    let provenance = Provenance {
        format: "jpeg".into(),
        bits: header.precision.into(),
        channels: header.components.into(),
        ..Provenance::default()
    };
    Ok(oriented(plane, header.width.into(), header.height.into(), orientation, provenance))
}

fn decode_with_image(file: &str, bytes: &[u8], format: ImageFormat) -> Result<Radiograph, Error> {
    let refuse = |error| refusal(file, format, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(8 * MAX_PIXELS as u64);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    check_size(file, width.into(), height.into())?;
    let color = decoder.color_type();
    if matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) {
        // Their range is not defined. Refused before they are read: they take twice the memory of 16-bit samples.
        let what = format!("{} with {color:?} samples", format.to_mime_type());
        return Err(Error::UnsupportedImage { file: file.into(), what });
    }
    let bits = decoder.original_color_type().bits_per_pixel();
    if bytes_needed(format, bytes, width.into(), height.into(), bits.into()) > bytes.len() as u64 {
        let reason = format!("{width} x {height} pixels cannot come from {} bytes", bytes.len());
        return Err(Error::Truncated { file: file.into(), reason });
    }
    let orientation = decoder.orientation().map_err(refuse)?;
    let image = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    let plane = Plane::of_image(&image).ok_or_else(|| Error::UnsupportedImage {
        file: file.into(),
        what: format!("{} with {color:?} samples", format.to_mime_type()),
    })?;
    drop(image);
    let provenance = Provenance {
        format: format.extensions_str()[0].into(),
        bits: match format {
            // Bit depth of IHDR (PNG specification, 11.2.1): the decoder has widened 1, 2 and 4 bits.
            ImageFormat::Png => bytes.get(24).copied().unwrap_or_default().into(),
            _ => color.bits_per_pixel() / u16::from(color.channel_count()),
        },
        channels: color.channel_count().into(),
        ..Provenance::default()
    };
    Ok(oriented(plane, width as usize, height as usize, orientation, provenance))
}

/// Fewest bytes of a file that can hold so many pixels of `bits` bits: exact where they are not compressed, else by
/// the best that the compression can do. Nothing is asked of what has no such best: lossless WebP codes an image of one
/// colour in no bits at all, and lossy WebP, fax, Zstandard and the like come close to that.
fn bytes_needed(format: ImageFormat, bytes: &[u8], width: u64, height: u64, bits: u64) -> u64 {
    match format {
        ImageFormat::Png => ((width * png_bits(bytes)).div_ceil(8) * height).div_ceil(DEFLATE),
        ImageFormat::Bmp => bmp_bytes_needed(bytes, width, height).unwrap_or(0),
        ImageFormat::Tiff => {
            let samples = (width * bits).div_ceil(8) * height;
            // Values of the tag Compression (TIFF 6.0, sections 8 and 22; Adobe's technical notes for deflate).
            match tiff_compression(bytes) {
                Some(1) => samples,
                Some(5) => samples.div_ceil(LZW),
                Some(7) => (width * height).div_ceil(jpeg::MAX_PIXELS_PER_BYTE),
                Some(8 | 32_946) => samples.div_ceil(DEFLATE),
                Some(32_773) => samples.div_ceil(PACK_BITS),
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// Bits of a pixel as IHDR gives them (PNG specification, 11.2.1), since the decoder widens palettes and fewer than 8 bits:
/// the depth times the samples of the colour type.
fn png_bits(bytes: &[u8]) -> u64 {
    let [depth, colour] = [24, 25].map(|at| bytes.get(at).copied().unwrap_or_default());
    u64::from(depth) * [1, 1, 3, 1, 2, 1, 4].get(usize::from(colour)).copied().unwrap_or(1)
}

/// Up to the last byte of the last row (BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPINFOHEADER): rows are padded to
/// four bytes.
fn bmp_bytes_needed(bytes: &[u8], width: u64, height: u64) -> Option<u64> {
    let short = |at: usize| Some(u64::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let long = |at: usize| Some(u64::from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)));
    let (start, core) = (long(10)?, long(14)? == 12);
    let (bits, compression) = if core { (short(24)?, 0) } else { (short(28)?, long(30)?) };
    match compression {
        // BI_RLE8 and BI_RLE4.
        1 | 2 => Some((width * height).div_ceil(BMP_RUN)),
        // BI_RGB and BI_BITFIELDS.
        0 | 3 => Some(start + (height - 1) * (width * bits).div_ceil(32) * 4 + (width * bits).div_ceil(8)),
        _ => None,
    }
}

/// The tag Compression of the first image of a TIFF or BigTIFF file; 1, none, if it is not there (TIFF 6.0, section 2
/// and tag 259).
fn tiff_compression(bytes: &[u8]) -> Option<u64> {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, size: usize| {
        let number = bytes.get(at..at.checked_add(size)?)?.iter();
        let join = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Some(if little { number.rev().fold(0, join) } else { number.fold(0, join) })
    };
    let big = number(2, 2)? == 43;
    // Where the place of the directory stands; sizes of a place, of the number of entries and of an entry.
    let (at, place, count, size) = if big { (8, 8, 8, 20) } else { (4, 4, 2, 12) };
    let directory = usize::try_from(number(at, place)?).ok()?;
    let entries = directory.checked_add(count)?;
    // In order of their tags, and at most 65,536 since no tag comes twice.
    for entry in 0..number(directory, count)?.min(1 << 16) as usize {
        let at = entries.checked_add(entry * size)?;
        if number(at, 2)? == 259 {
            // LONG or SHORT.
            return number(at + 4 + place, if number(at + 2, 2)? == 4 { 4 } else { 2 });
        }
    }
    Some(1)
}

/// Grey values with the mean chroma of what they came from.
pub(super) struct Plane {
    pub(super) pixels: Vec<f32>,
    pub(super) chroma: f32,
}

impl Plane {
    /// Luma of interleaved samples of 1 to 4 channels in 0..=`max`, the last one alpha if `alpha`: alpha is flattened
    /// on black, the background of a radiograph.
    ///
    /// Every value is one exact integer ratio, divided in `f64` and rounded once to `f32`; 53 >= 2 * 24 + 2 bits make
    /// that the correctly rounded ratio, so a grey value v is `v as f32 / max as f32` to the bit.
    pub(super) fn of_samples<S: Copy + Ord + Into<u64>>(samples: &[S], channels: usize, alpha: bool, max: u64) -> Self {
        let colours = channels - usize::from(alpha);
        let full = (1_000 * max * if alpha { max } else { 1 }) as f64;
        let number = |sample: Option<&S>| -> u64 { sample.map_or(0, |sample| (*sample).into()) };
        let mut chroma = 0;
        let pixels = samples
            .chunks_exact(channels)
            .map(|pixel| {
                let luma = if colours < 3 {
                    1_000 * number(pixel.first())
                } else {
                    chroma += number(pixel[..3].iter().max()) - number(pixel[..3].iter().min());
                    LUMA.iter().zip(pixel).map(|(weight, value)| weight * number(Some(value))).sum()
                };
                let opacity = if alpha { number(pixel.last()) } else { 1 };
                ((luma * opacity).min(full as u64) as f64 / full) as f32
            })
            .collect::<Vec<_>>();
        let chroma = chroma as f64 / (max as f64 * pixels.len().max(1) as f64);
        Self { pixels, chroma: chroma as f32 }
    }

    /// Luma of interleaved luma, blue and red chroma (DICOM YBR_FULL, PS3.3 C.7.6.3.1.2), full range of `bits` bits.
    #[cfg(feature = "dicom")]
    pub(super) fn of_ybr(samples: &[u16], bits: u16) -> Self {
        let (max, zero) = (f64::from((1_u32 << bits) - 1), f64::from(1_u32 << (bits - 1)));
        let mut chroma = 0.0;
        let pixels = samples
            .chunks_exact(3)
            .map(|pixel| {
                let [luma, blue, red] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
                let (blue, red) = (blue - zero, red - zero);
                // The inverse of the standard's formula, to its four decimals.
                let rgb = [luma + 1.402 * red, luma - 0.3441 * blue - 0.7141 * red, luma + 1.772 * blue];
                let [r, g, b] = rgb.map(|value| value.clamp(0.0, max));
                chroma += r.max(g).max(b) - r.min(g).min(b);
                (luma.min(max) / max) as f32
            })
            .collect::<Vec<_>>();
        let chroma = chroma / (max * pixels.len().max(1) as f64);
        Self { pixels, chroma: chroma as f32 }
    }

    /// `None` for floating-point images, whose range is not defined.
    fn of_image(image: &DynamicImage) -> Option<Self> {
        Some(match image {
            DynamicImage::ImageLuma8(image) => Self::of_samples(image, 1, false, 0xFF),
            DynamicImage::ImageLumaA8(image) => Self::of_samples(image, 2, true, 0xFF),
            DynamicImage::ImageRgb8(image) => Self::of_samples(image, 3, false, 0xFF),
            DynamicImage::ImageRgba8(image) => Self::of_samples(image, 4, true, 0xFF),
            DynamicImage::ImageLuma16(image) => Self::of_samples(image, 1, false, 0xFFFF),
            DynamicImage::ImageLumaA16(image) => Self::of_samples(image, 2, true, 0xFFFF),
            DynamicImage::ImageRgb16(image) => Self::of_samples(image, 3, false, 0xFFFF),
            DynamicImage::ImageRgba16(image) => Self::of_samples(image, 4, true, 0xFFFF),
            _ => return None,
        })
    }
}

/// The plane in upright position.
fn oriented(plane: Plane, width: usize, height: usize, orientation: Orientation, provenance: Provenance) -> Radiograph {
    let provenance = Provenance { chroma: plane.chroma, orientation: orientation.to_exif(), frames: 1, ..provenance };
    let turned = matches!(orientation.to_exif(), 5..=8);
    let (columns, rows) = if turned { (height, width) } else { (width, height) };
    if orientation == Orientation::NoTransforms {
        return Radiograph { width, height, pixels: plane.pixels, provenance };
    }
    // Where the pixel (x, y) of the upright image is stored; EXIF 2.32, section 4.6.4, Orientation.
    let source = |x: usize, y: usize| match orientation {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (width - 1 - x, y),
        Orientation::Rotate180 => (width - 1 - x, height - 1 - y),
        Orientation::FlipVertical => (x, height - 1 - y),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate90 => (y, height - 1 - x),
        Orientation::Rotate270FlipH => (width - 1 - y, height - 1 - x),
        Orientation::Rotate270 => (width - 1 - y, x),
    };
    let pixels = (0..rows)
        .flat_map(|y| (0..columns).map(move |x| (x, y)))
        .map(|(x, y)| source(x, y))
        .map(|(x, y)| plane.pixels[y * width + x])
        .collect();
    Radiograph { width: columns, height: rows, pixels, provenance }
}

fn refusal(file: &str, format: ImageFormat, error: ImageError) -> Error {
    let file = file.to_owned();
    let name = format.extensions_str()[0];
    match error {
        ImageError::Unsupported(error) => Error::UnsupportedImage { file, what: format!("{name}: {error}") },
        ImageError::Limits(error) => Error::UnsupportedImage { file, what: format!("{name}: {error}") },
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { file, reason: format!("{name} data stop before the last row") }
        }
        error => Error::Corrupt { file, reason: format!("{name}: {error}") },
    }
}

/// The first bytes in hexadecimal: enough to tell what a file is, too few to hold anything private.
fn first_bytes(bytes: &[u8]) -> String {
    let hex = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
    format!("it begins with {}", hex.join(" "))
}
