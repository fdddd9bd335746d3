//! The few attributes that an image needs, cut out of a DICOM file before anything is parsed.
//!
//! A walk over the element headers checks every length against the bytes that are there and every nesting against a
//! depth, allocates nothing of a declared size, and copies only the elements of [`READ`] into a small data set, which
//! dicom-rs then parses. So no patient data ever enters an object of this program, and no hostile length or nesting
//! reaches the parser. The pixel data stay where they are, as slices.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;

use crate::Error;
use crate::radiograph::MAX_PIXELS;

/// Everything that is read from a data set, beside the pixel data; nothing here identifies a person.
const READ: [Tag; 21] = [
    tags::MODALITY,
    tags::VIEW_POSITION,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::PLANAR_CONFIGURATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::VOILUT_FUNCTION,
    tags::MODALITY_LUT_SEQUENCE,
    tags::VOILUT_SEQUENCE,
];

/// Deepest nesting of sequences; real films nest four or five.
const MAX_DEPTH: usize = 16;

/// Largest element of [`READ`]: a lookup table has at most 65,536 entries of 16 bits, and few tables are in one sequence.
const MAX_ELEMENT_BYTES: usize = 4 << 20;

/// Largest data set that a deflated file may unpack to: the pixel limit with 16 bits, and 16 MiB for the rest.
const MAX_INFLATED_BYTES: u64 = 2 * MAX_PIXELS as u64 + (16 << 20);

/// Value representations with a 32-bit length (PS3.5, table 7.1-1).
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

/// Length of a value that ends with a delimiter (PS3.5, 7.1.1).
const UNDEFINED: u32 = u32::MAX;

const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);
const PIXEL_DATA: (u16, u16) = (0x7FE0, 0x0010);

/// A DICOM file taken apart.
pub(super) struct Dataset<'a> {
    pub(super) transfer_syntax: String,
    pub(super) attributes: InMemDicomObject,
    /// Bytes of the data set: those of the file, or what they unpack to.
    bytes: Cow<'a, [u8]>,
    pixel_data: PixelRange,
    big_endian: bool,
}

enum PixelRange {
    Missing,
    Float,
    Native { value: Range<usize>, words: bool },
    Encapsulated(Vec<Range<usize>>),
}

/// Where the samples are.
pub(super) enum PixelData<'a> {
    /// No image.
    Missing,
    /// Float or Double Float Pixel Data.
    Float,
    /// Uncompressed: all frames; `swap` if pairs of bytes are in big-endian order.
    Native { bytes: &'a [u8], swap: bool },
    /// Offset table and fragments (PS3.5, A.4).
    Encapsulated { offsets: Vec<u32>, fragments: Vec<&'a [u8]> },
}

impl Dataset<'_> {
    pub(super) fn pixel_data(&self) -> PixelData<'_> {
        match &self.pixel_data {
            PixelRange::Missing => PixelData::Missing,
            PixelRange::Float => PixelData::Float,
            PixelRange::Native { value, words } => {
                PixelData::Native { bytes: &self.bytes[value.clone()], swap: self.big_endian && *words }
            }
            PixelRange::Encapsulated(items) => {
                let mut items = items.iter().map(|range| &self.bytes[range.clone()]);
                let table = items.next().unwrap_or_default();
                let offsets = table.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                PixelData::Encapsulated { offsets, fragments: items.collect() }
            }
        }
    }
}

/// Takes a file apart.
pub(super) fn read<'a>(file: &str, bytes: &'a [u8]) -> Result<Dataset<'a>, Error> {
    let mut meta = Walker { file, bytes, at: 132, explicit: true, big_endian: false };
    let mut transfer_syntax = None;
    while meta.bytes.get(meta.at..meta.at + 2) == Some(&[0x02, 0x00]) {
        let (tag, value) = (meta.peek_tag()?, meta.element()?.value);
        if tag == (0x0002, 0x0010) {
            let text = String::from_utf8_lossy(&bytes[value]);
            transfer_syntax = Some(text.trim_end_matches(['\0', ' ']).to_owned());
        }
    }
    let transfer_syntax = transfer_syntax.ok_or_else(|| meta.corrupt("no transfer syntax in the file header"))?;
    if transfer_syntax.len() > 64 || !transfer_syntax.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(meta.corrupt("the transfer syntax is not a UID"));
    }
    let rest = &bytes[meta.at..];
    let bytes = if transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        Cow::Owned(inflate(file, rest)?)
    } else {
        Cow::Borrowed(rest)
    };
    let explicit = transfer_syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN;
    let big_endian = transfer_syntax == entries::EXPLICIT_VR_BIG_ENDIAN.uid();
    let (filtered, pixel_data) = Walker { file, bytes: &bytes, at: 0, explicit, big_endian }.cut()?;
    let syntax = match (explicit, big_endian) {
        (false, _) => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        (true, false) => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        (true, true) => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
    };
    let attributes = InMemDicomObject::read_dataset_with_ts(&*filtered, &syntax).map_err(|_| Error::Corrupt {
        file: file.into(),
        reason: "an attribute of the image does not fit its value representation".into(),
    })?;
    Ok(Dataset { transfer_syntax, attributes, bytes, pixel_data, big_endian })
}

fn inflate(file: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut inflated = Vec::new();
    let read = flate2::read::DeflateDecoder::new(bytes).take(MAX_INFLATED_BYTES + 1).read_to_end(&mut inflated);
    match read {
        Ok(_) if inflated.len() as u64 > MAX_INFLATED_BYTES => {
            Err(Error::FileTooLarge { file: file.into(), bytes: inflated.len() as u64, limit: MAX_INFLATED_BYTES })
        }
        Ok(_) => Ok(inflated),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::Truncated { file: file.into(), reason: "the deflated data set stops".into() })
        }
        Err(_) => Err(Error::Corrupt { file: file.into(), reason: "the deflated data set does not unpack".into() }),
    }
}

/// One element: where it stands and where its value is, in bytes of the data set.
struct Element {
    whole: Range<usize>,
    value: Range<usize>,
    words: bool,
    /// Items of encapsulated pixel data.
    items: Vec<Range<usize>>,
}

struct Walker<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
    explicit: bool,
    big_endian: bool,
}

impl Walker<'_> {
    /// The elements of [`READ`] in one buffer, and the place of the pixel data.
    fn cut(mut self) -> Result<(Vec<u8>, PixelRange), Error> {
        let mut filtered = Vec::new();
        while self.at < self.bytes.len() {
            // Data set trailing padding and anything after the pixel data are of no use here.
            let tag = self.peek_tag()?;
            if tag == (0x7FE0, 0x0008) || tag == (0x7FE0, 0x0009) {
                return Ok((filtered, PixelRange::Float));
            }
            let element = self.element()?;
            if tag == PIXEL_DATA {
                let range = if element.items.is_empty() {
                    PixelRange::Native { value: element.value, words: element.words }
                } else {
                    PixelRange::Encapsulated(element.items)
                };
                return Ok((filtered, range));
            }
            if READ.contains(&Tag(tag.0, tag.1)) {
                if element.whole.len() > MAX_ELEMENT_BYTES {
                    return Err(self.corrupt(&format!("attribute ({:04X},{:04X}) is oversized", tag.0, tag.1)));
                }
                filtered.extend_from_slice(&self.bytes[element.whole]);
            }
        }
        Ok((filtered, PixelRange::Missing))
    }

    /// Steps over one element, at the top level.
    fn element(&mut self) -> Result<Element, Error> {
        self.nested_element(0)
    }

    fn nested_element(&mut self, depth: usize) -> Result<Element, Error> {
        let start = self.at;
        let tag = self.tag()?;
        let (vr, length) = self.vr_and_length()?;
        let begin = self.at;
        let mut items = Vec::new();
        if length == UNDEFINED {
            // Within UN of undefined length, the items are implicit little endian (PS3.5, 6.2.2, note 2).
            let outer = (self.explicit, self.big_endian);
            if vr == Some(*b"UN") {
                (self.explicit, self.big_endian) = (false, false);
            }
            self.items(None, depth, if tag == PIXEL_DATA { Some(&mut items) } else { None })?;
            (self.explicit, self.big_endian) = outer;
        } else {
            let end = self.end_of(length)?;
            if READ.contains(&Tag(tag.0, tag.1)) && matches!(tag.1, 0x3000 | 0x3010) {
                self.items(Some(end), depth, None)?;
            }
            self.at = end;
        }
        let words = !matches!(vr, Some([b'O', b'B']));
        Ok(Element { whole: start..self.at, value: begin..self.at, words, items })
    }

    /// Steps over items up to `end`, or to the delimiter; lists their ranges if they are fragments.
    fn items(
        &mut self,
        end: Option<usize>,
        depth: usize,
        mut fragments: Option<&mut Vec<Range<usize>>>,
    ) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(self.corrupt(&format!("sequences nest deeper than {MAX_DEPTH}")));
        }
        while end.is_none_or(|end| self.at < end) {
            let (tag, length) = (self.tag()?, self.u32()?);
            match (tag, length) {
                (SEQUENCE_END, _) if end.is_none() => return Ok(()),
                (ITEM, UNDEFINED) if fragments.is_none() => {
                    while self.peek_tag()? != ITEM_END {
                        self.nested_element(depth + 1)?;
                    }
                    self.take::<8>()?;
                }
                (ITEM, length) if length != UNDEFINED => {
                    let stop = self.end_of(length)?;
                    if let Some(list) = fragments.as_deref_mut() {
                        list.push(self.at..stop);
                    } else if end.is_some() {
                        while self.at < stop {
                            self.nested_element(depth + 1)?;
                        }
                    }
                    self.at = stop;
                }
                _ => return Err(self.corrupt("a sequence holds something else than items")),
            }
        }
        Ok(())
    }

    fn end_of(&self, length: u32) -> Result<usize, Error> {
        match self.at.checked_add(length as usize) {
            Some(end) if end <= self.bytes.len() => Ok(end),
            _ => Err(Error::Truncated {
                file: self.file.into(),
                reason: format!("an element declares {length} bytes, {} are left", self.bytes.len() - self.at),
            }),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.bytes.get(self.at..self.at + N).and_then(|slice| slice.try_into().ok());
        self.at += N;
        bytes.ok_or_else(|| Error::Truncated { file: self.file.into(), reason: "an element header stops".into() })
    }

    fn u16(&mut self) -> Result<u16, Error> {
        let bytes = self.take()?;
        Ok(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let bytes = self.take()?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn tag(&mut self) -> Result<(u16, u16), Error> {
        Ok((self.u16()?, self.u16()?))
    }

    fn peek_tag(&mut self) -> Result<(u16, u16), Error> {
        let tag = self.tag()?;
        self.at -= 4;
        Ok(tag)
    }

    fn vr_and_length(&mut self) -> Result<(Option<[u8; 2]>, u32), Error> {
        if !self.explicit {
            return Ok((None, self.u32()?));
        }
        let vr: [u8; 2] = self.take()?;
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(self.corrupt("an element has no value representation"));
        }
        if LONG.contains(&&vr) {
            self.at += 2;
            Ok((Some(vr), self.u32()?))
        } else {
            Ok((Some(vr), self.u16()?.into()))
        }
    }

    fn corrupt(&self, reason: &str) -> Error {
        Error::Corrupt { file: self.file.into(), reason: format!("DICOM: {reason}") }
    }
}
