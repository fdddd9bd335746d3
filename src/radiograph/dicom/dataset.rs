//! The few attributes that an image needs, cut out of a DICOM file before anything is parsed.
//!
//! A walk over the element headers checks every length against the bytes that are there and every nesting against a
//! depth, allocates nothing of a declared size, and turns only the elements of [`READ`] into values of dicom-rs. So no
//! patient data ever enters an object of this program, and no hostile length or nesting reaches any parser. The pixel
//! data stay where they are, as slices.
//!
//! Not read by `dicom-object`: a visitor would download 200 kB of tables (names of 5,000 attributes, alphabets) for two
//! dozen attributes that are numbers and codes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_transfer_syntax_registry::entries;

use crate::Error;
use crate::radiograph::MAX_PIXELS;

/// Everything that is read from a data set, beside the pixel data, with its value representation (PS3.6, 6; of US or SS,
/// the first); nothing here identifies a person.
const READ: [(Tag, VR); 23] = [
    (tags::MODALITY, VR::CS),
    (tags::VIEW_POSITION, VR::CS),
    (tags::SAMPLES_PER_PIXEL, VR::US),
    (tags::PHOTOMETRIC_INTERPRETATION, VR::CS),
    (tags::PLANAR_CONFIGURATION, VR::US),
    (tags::NUMBER_OF_FRAMES, VR::IS),
    (tags::ROWS, VR::US),
    (tags::COLUMNS, VR::US),
    (tags::BITS_ALLOCATED, VR::US),
    (tags::BITS_STORED, VR::US),
    (tags::HIGH_BIT, VR::US),
    (tags::PIXEL_REPRESENTATION, VR::US),
    (tags::PIXEL_PADDING_VALUE, VR::US),
    (tags::PIXEL_PADDING_RANGE_LIMIT, VR::US),
    (tags::WINDOW_CENTER, VR::DS),
    (tags::WINDOW_WIDTH, VR::DS),
    (tags::RESCALE_INTERCEPT, VR::DS),
    (tags::RESCALE_SLOPE, VR::DS),
    (tags::VOILUT_FUNCTION, VR::CS),
    (tags::MODALITY_LUT_SEQUENCE, VR::SQ),
    (tags::VOILUT_SEQUENCE, VR::SQ),
    (tags::LUT_DESCRIPTOR, VR::US),
    (tags::LUT_DATA, VR::OW),
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
    pub(super) attributes: Object,
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

/// Attributes of one data set or item.
pub(super) type Values = BTreeMap<Tag, PrimitiveValue>;

/// The elements of [`READ`] in a file.
#[derive(Default)]
pub(super) struct Object {
    pub(super) values: Values,
    /// The first item of each sequence that has one.
    pub(super) items: BTreeMap<Tag, Values>,
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
    let (attributes, pixel_data) = Walker { file, bytes: &bytes, at: 0, explicit, big_endian }.cut()?;
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

/// The value representation that the standard gives an element of [`READ`].
fn usual_vr(tag: Tag) -> Option<VR> {
    READ.iter().find(|(read, _)| *read == tag).map(|&(_, vr)| vr)
}

/// One element: where its value is, in bytes of the data set, and how that is to be read.
struct Element {
    vr: Option<VR>,
    value: Range<usize>,
    /// Items of encapsulated pixel data.
    fragments: Vec<Range<usize>>,
}

struct Walker<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
    explicit: bool,
    big_endian: bool,
}

impl Walker<'_> {
    /// The elements of [`READ`], and the place of the pixel data.
    fn cut(mut self) -> Result<(Object, PixelRange), Error> {
        let mut object = Object::default();
        while self.at < self.bytes.len() {
            // Data set trailing padding and anything after the pixel data are of no use here.
            let tag = self.peek_tag()?;
            if tag == (0x7FE0, 0x0008) || tag == (0x7FE0, 0x0009) {
                return Ok((object, PixelRange::Float));
            }
            let element = self.element()?;
            if tag == PIXEL_DATA {
                let range = if element.fragments.is_empty() {
                    PixelRange::Native { value: element.value, words: element.vr != Some(VR::OB) }
                } else {
                    PixelRange::Encapsulated(element.fragments)
                };
                return Ok((object, range));
            }
            self.read(Tag(tag.0, tag.1), element, &mut object)?;
        }
        Ok((object, PixelRange::Missing))
    }

    /// Puts an element into `object` if it is one of [`READ`].
    fn read(&self, tag: Tag, element: Element, object: &mut Object) -> Result<(), Error> {
        match usual_vr(tag) {
            None => {}
            Some(VR::SQ) => {
                let items = Walker { bytes: &self.bytes[..element.value.end], at: element.value.start, ..*self };
                if let Some(item) = items.within(element.vr).first_item()? {
                    object.items.insert(tag, item);
                }
            }
            Some(usual) => {
                object.values.insert(tag, self.value(tag, usual, element)?);
            }
        }
        Ok(())
    }

    /// The value of an element that is a number or a code. Numbers as text stay text: dicom-rs converts them.
    fn value(&self, tag: Tag, usual: VR, element: Element) -> Result<PrimitiveValue, Error> {
        let bytes = &self.bytes[element.value];
        if bytes.len() > MAX_ELEMENT_BYTES {
            return Err(self.corrupt(&format!("attribute {tag} is oversized")));
        }
        let words = || {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let word =
                |pair: &[u8; 2]| if self.big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
            match rest {
                [] => Ok(pairs.iter().map(word)),
                _ => Err(self.corrupt("an attribute of the image does not fit its value representation")),
            }
        };
        Ok(match element.vr.filter(|&vr| vr != VR::UN).unwrap_or(usual) {
            VR::US | VR::OW => PrimitiveValue::U16(words()?.collect()),
            VR::SS => PrimitiveValue::I16(words()?.map(|word| word as i16).collect()),
            VR::OB => PrimitiveValue::U8(bytes.into()),
            _ => PrimitiveValue::Strs(String::from_utf8_lossy(bytes).split('\\').map(str::to_owned).collect()),
        })
    }

    /// The elements of [`READ`] in the first item of the sequence that begins here.
    fn first_item(mut self) -> Result<Option<Values>, Error> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let stop = match (self.tag()?, self.u32()?) {
            (SEQUENCE_END, _) => return Ok(None),
            (ITEM, UNDEFINED) => self.bytes.len(),
            (ITEM, length) => self.end_of(length)?,
            _ => return Err(self.no_items()),
        };
        let mut values = Values::new();
        while self.at < stop {
            let tag = self.peek_tag()?;
            if tag == ITEM_END {
                break;
            }
            let (tag, element) = (Tag(tag.0, tag.1), self.nested_element(1)?);
            // Sequences within sequences are of no use here.
            if let Some(usual) = usual_vr(tag).filter(|&vr| vr != VR::SQ) {
                values.insert(tag, self.value(tag, usual, element)?);
            }
        }
        Ok(Some(values))
    }

    /// This walker for the items of an element of the value representation `vr`: within UN, they are implicit little
    /// endian (PS3.5, 6.2.2, note 2).
    fn within(&self, vr: Option<VR>) -> Self {
        let plain = vr != Some(VR::UN);
        Walker { explicit: self.explicit && plain, big_endian: self.big_endian && plain, ..*self }
    }

    /// Steps over one element, at the top level.
    fn element(&mut self) -> Result<Element, Error> {
        self.nested_element(0)
    }

    fn nested_element(&mut self, depth: usize) -> Result<Element, Error> {
        let tag = self.tag()?;
        let (vr, length) = self.vr_and_length()?;
        let start = self.at;
        let mut fragments = Vec::new();
        if length == UNDEFINED {
            let mut items = self.within(vr);
            items.items(depth, if tag == PIXEL_DATA { Some(&mut fragments) } else { None })?;
            self.at = items.at;
        } else {
            self.at = self.end_of(length)?;
        }
        Ok(Element { vr, value: start..self.at, fragments })
    }

    /// Steps over items, to the delimiter; lists their ranges if they are fragments.
    fn items(&mut self, depth: usize, mut fragments: Option<&mut Vec<Range<usize>>>) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(self.corrupt(&format!("sequences nest deeper than {MAX_DEPTH}")));
        }
        loop {
            let (tag, length) = (self.tag()?, self.u32()?);
            match (tag, length) {
                (SEQUENCE_END, _) => return Ok(()),
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
                    }
                    self.at = stop;
                }
                _ => return Err(self.no_items()),
            }
        }
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

    /// The value representation, if the transfer syntax writes it, and the length.
    fn vr_and_length(&mut self) -> Result<(Option<VR>, u32), Error> {
        if !self.explicit {
            return Ok((None, self.u32()?));
        }
        let code: [u8; 2] = self.take()?;
        if !code.iter().all(u8::is_ascii_uppercase) {
            return Err(self.corrupt("an element has no value representation"));
        }
        // A code of a later edition is read as unknown.
        let vr = Some(VR::from_binary(code).unwrap_or(VR::UN));
        if LONG.contains(&&code) {
            self.at += 2;
            Ok((vr, self.u32()?))
        } else {
            Ok((vr, self.u16()?.into()))
        }
    }

    fn no_items(&self) -> Error {
        self.corrupt("a sequence holds something else than items")
    }

    fn corrupt(&self, reason: &str) -> Error {
        Error::Corrupt { file: self.file.into(), reason: format!("DICOM: {reason}") }
    }
}
