//! JPEG by `jpeg-decoder` in its platform-independent build: no run-time choice of SIMD kernels, so every machine gets
//! the same samples; CMYK comes out as ink, and lossless frames keep up to 16 bits.

use std::io::Read;

use jpeg_decoder::{ColorTransform, Decoder, Error as JpegError, PixelFormat};

use super::huffman::Fault;
use super::{check_size, jpeg_scans, jpeg12};
use crate::Error;

/// Fewest bits that code one 8x8 block: a progressive scan spends at least one on its DC coefficient.
pub(super) const MAX_PIXELS_PER_BYTE: u64 = 64 * 8;

/// What the markers before the first scan say (ITU-T T.81, B.2.2; Adobe APP14: Adobe TN 5116, section 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Low byte of the SOF marker: 0xC0 baseline, 0xC1 extended, 0xC2 progressive, 0xC3 lossless, 0xF7 JPEG-LS.
    pub(super) process: u8,
    /// Bits of one sample.
    pub(super) precision: u8,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) components: u8,
    /// An Adobe APP14 segment is there: its CMYK is stored inverted.
    pub(super) adobe: bool,
}

/// Decoded samples, interleaved, one u16 each.
pub(super) struct Decoded {
    pub(super) header: Header,
    pub(super) samples: Vec<u16>,
    pub(super) exif: Option<Vec<u8>>,
}

/// Reads the markers up to the first frame header, without decoding.
pub(super) fn header(file: &str, bytes: &[u8]) -> Result<Header, Error> {
    let truncated = || Error::Truncated { file: file.into(), reason: "no JPEG frame header".into() };
    let mut adobe = false;
    let mut rest = bytes.get(2..).ok_or_else(truncated)?;
    loop {
        let start =
            rest.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0x01 | 0xD0..=0xD8 | 0xFF));
        rest = &rest[start.ok_or_else(truncated)?..];
        let marker = rest[1];
        let &[high, low] = rest.get(2..4).ok_or_else(truncated)? else { unreachable!("a range of two bytes") };
        let segment = rest.get(4..2 + usize::from(u16::from_be_bytes([high, low])).max(2)).ok_or_else(truncated)?;
        match marker {
            0xEE if segment.starts_with(b"Adobe") => adobe = true,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                let &[precision, h1, h0, w1, w0, components, ..] = segment else {
                    return Err(truncated());
                };
                let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
                return Ok(Header { process: marker, precision, width, height, components, adobe });
            }
            0xD9 | 0xDA => return Err(truncated()),
            _ => {}
        }
        rest = &rest[4 + segment.len()..];
    }
}

/// Decodes baseline, progressive and lossless JPEG; CMYK and YCCK become RGB. Three components are YCbCr or RGB as
/// JFIF and Adobe segments say, or RGB without a look at them if `rgb`.
pub(super) fn decode(file: &str, bytes: &[u8], rgb: bool) -> Result<Decoded, Error> {
    let mut header = header(file, bytes)?;
    if header.process == 0xF7 {
        let what = "JPEG-LS outside DICOM's JPEG-LS transfer syntaxes".into();
        return Err(Error::UnsupportedImage { file: file.into(), what });
    }
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    check_size(file, width, height)?;
    if width * height > MAX_PIXELS_PER_BYTE * bytes.len() as u64 && header.process != 0xC3 {
        return Err(Error::Truncated {
            file: file.into(),
            reason: format!("{width} x {height} pixels cannot come from {} bytes", bytes.len()),
        });
    }
    let fault = |fault| match fault {
        Fault::Truncated => truncated(file),
        Fault::Corrupt(what) => corrupt(file, what),
    };
    // `jpeg-decoder` takes the bits behind a marker for zeros, so it answers for a scan that is cut short.
    jpeg_scans::check(bytes).map_err(fault)?;
    if header.process == 0xC1 && header.precision == 12 && header.components == 1 {
        let (width, height) = (usize::from(header.width), usize::from(header.height));
        let samples = jpeg12::decode(bytes, width, height, 12).map_err(fault)?;
        return Ok(Decoded { header, samples, exif: None });
    }
    // A file may end with its last scan: all of that is there, and the decoder wants to read the end of the image.
    let mut decoder = Decoder::new(bytes.chain([0xFF, 0xD9].as_slice()));
    if rgb && header.components == 3 {
        decoder.set_color_transform(ColorTransform::RGB);
    }
    let data = decoder.decode().map_err(|error| refusal(file, &header, error))?;
    let info = decoder.info().ok_or_else(|| corrupt(file, "no frame"))?;
    if (info.width, info.height) != (header.width, header.height) {
        return Err(corrupt(file, "two frame headers of different size"));
    }
    let samples: Vec<u16> = match info.pixel_format {
        PixelFormat::L8 | PixelFormat::RGB24 => data.iter().map(|&value| u16::from(value)).collect(),
        PixelFormat::L16 => data.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect(),
        PixelFormat::CMYK32 => {
            header.components = 3;
            data.chunks_exact(4).flat_map(|ink| rgb_of_ink(ink, header.adobe)).collect()
        }
    };
    if samples.len() as u64 != width * height * u64::from(header.components) {
        return Err(corrupt(file, "samples and frame size disagree"));
    }
    Ok(Decoded { header, samples, exif: decoder.exif_data().map(<[u8]>::to_vec) })
}

/// RGB of one pixel of `jpeg-decoder`'s CMYK, which is ink coverage on the assumption that the file stores it
/// inverted, as Adobe does; without the Adobe segment the samples are not inverted and are turned back here.
/// No ink profile: R = (1 - C)(1 - K), rounded, as readers do that manage no colour.
fn rgb_of_ink(ink: &[u8], adobe: bool) -> [u16; 3] {
    let paper = |value: u8| u32::from(if adobe { 255 - value } else { value });
    [0, 1, 2].map(|i| ((paper(ink[i]) * paper(ink[3]) + 127) / 255) as u16)
}

fn truncated(file: &str) -> Error {
    Error::Truncated { file: file.into(), reason: "JPEG data stop before the last row".into() }
}

fn corrupt(file: &str, reason: &str) -> Error {
    Error::Corrupt { file: file.into(), reason: format!("JPEG: {reason}") }
}

fn refusal(file: &str, header: &Header, error: JpegError) -> Error {
    match error {
        JpegError::Unsupported(feature) => Error::UnsupportedImage {
            file: file.into(),
            what: format!("JPEG process SOF{} with {} bits ({feature:?})", header.process & 0x0F, header.precision),
        },
        JpegError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => truncated(file),
        error => corrupt(file, &error.to_string()),
    }
}
