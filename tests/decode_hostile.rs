//! Damaged files: truncations and flipped bytes, always the same ones, never panic and never allocate without bounds.
//! One test in this file, since the allocator counts for the whole process.

#![cfg(feature = "dicom")]

#[path = "common/data.rs"]
mod data;
#[path = "common/made.rs"]
mod made;
#[path = "common/sized.rs"]
mod sized;

use std::alloc::System;
use std::io::Cursor;

use cap::Cap;
use deepbreath::Radiograph;
use deepbreath::preprocess::ModelInput;
use deepbreath::radiograph::{MAX_PIXELS, MAX_SIDE, Provenance};
use made::{EXPLICIT, element, file, image, short, words};
use sized::sized;

/// An allocation beyond this fails, which aborts the test: the largest plane that is allowed, 64 megapixels, in the
/// decoder's samples (up to 8 bytes) and as grey values (4 bytes), and room for the decoder's own.
const LIMIT: usize = 800 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, LIMIT);

/// Pseudo-random numbers (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Decodes and preprocesses `count` damaged forms: cut short, or with 1 to 4 bytes changed, half of them within the first `head` bytes,
/// where the structure is. Returns how many were refused.
fn damage(name: &str, bytes: &[u8], head: usize, count: usize) -> usize {
    let mut random = Random(bytes.len() as u64);
    let mut refused = 0;
    for i in 0..count {
        let mut damaged = bytes.to_vec();
        let reach = if i % 2 == 0 { head.min(bytes.len()) } else { bytes.len() };
        if i % 5 == 0 {
            damaged.truncate(random.below(reach));
        } else {
            for _ in 0..=random.below(4) {
                let at = random.below(reach);
                damaged[at] = [0x00, 0xFF, 0x7F, 0x80, random.below(256) as u8, damaged[at] ^ 1 << random.below(8)]
                    [random.below(6)];
            }
        }
        match Radiograph::decode(name, &damaged) {
            Ok(film) => {
                assert_eq!(film.pixels.len(), film.width * film.height, "{name}, damage {i}");
                assert!(film.pixels.iter().all(|value| (0.0..=1.0).contains(value)), "{name}, damage {i}");
                let input = ModelInput::from_radiograph(&film);
                assert!(input.values.iter().all(|value| value.is_finite()), "{name}, damage {i}");
            }
            Err(error) => {
                assert!(error.to_string().starts_with(name), "{error}");
                refused += 1;
            }
        }
    }
    refused
}

/// A TIFF of a few hundred bytes that declares `side` x `side` pixels of four 32-bit floats: 1 GB at 8,000.
fn float_tiff(side: u16) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    // Tag, type, count, value or where the values stand (behind the directory, four shorts each).
    let behind = 8 + 2 + 11 * 12 + 4;
    let entries: [(u16, u16, u32, u32); 11] = [
        (256, SHORT, 1, side.into()),
        (257, SHORT, 1, side.into()),
        (258, SHORT, 4, behind),
        (259, SHORT, 1, 1),
        (262, SHORT, 1, 2),
        (273, LONG, 1, behind + 16),
        (277, SHORT, 1, 4),
        (278, SHORT, 1, side.into()),
        (279, LONG, 1, u32::from(side) * u32::from(side) * 16),
        (338, SHORT, 1, 2),
        (339, SHORT, 4, behind + 8),
    ];
    let mut bytes = b"II*\0\x08\0\0\0\x0b\0".to_vec();
    for (tag, kind, count, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes.extend([32_u16; 4].map(u16::to_le_bytes).concat());
    bytes.extend([3_u16; 4].map(u16::to_le_bytes).concat());
    bytes
}

/// A TIFF of 130 bytes that declares 8,000 x 8,000 grey pixels of 8 bits in this compression, in byte order `big` or not.
fn hollow_tiff(compression: u16, big: bool) -> Vec<u8> {
    let short = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let long = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let entries = [
        (256, 8_000),
        (257, 8_000),
        (258, 8),
        (259, compression),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, 8_000),
        (279, 8),
    ];
    let mut bytes = [if big { *b"MM" } else { *b"II" }, short(42)].concat();
    bytes.extend([long(8).as_slice(), &short(entries.len() as u16)].concat());
    for (tag, value) in entries {
        bytes.extend([short(tag), short(3)].concat());
        bytes.extend([long(1).as_slice(), &short(value), &[0, 0]].concat());
    }
    bytes.extend([0; 12]);
    bytes
}

/// A BMP of 154 bytes that declares 8,000 x 8,000 pixels of `bits` bits in this compression.
fn hollow_bmp(bits: u16, compression: u32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend([154, 0, 54, 40, 8_000, 8_000].map(u32::to_le_bytes).concat());
    bytes.extend([1, bits].map(u16::to_le_bytes).concat());
    bytes.extend([compression, 100, 0, 0, 2, 2].map(u32::to_le_bytes).concat());
    bytes.extend([0; 100]);
    bytes
}

/// A PNG of 10 KB that declares 8,000 x 8,000 pixels of four 16-bit samples: 512 MB.
fn hollow_png() -> Vec<u8> {
    let mut random = Random(1);
    let noise = image::ImageBuffer::from_fn(40, 30, |_, _| image::Rgba([(); 4].map(|()| random.below(1 << 16) as u16)));
    let mut bytes = Cursor::new(Vec::new());
    let format = image::ImageFormat::Png;
    image::DynamicImage::ImageRgba16(noise).write_to(&mut bytes, format).expect("the fixture encodes");
    sized(bytes.into_inner(), 8_000, 8_000)
}

/// A DICOM file that declares 8,000 x 8,000 pixels of 16 bits in a JPEG-LS image of a few bytes.
fn hollow_jpeg_ls() -> Vec<u8> {
    let frame: &[u8] =
        b"\xFF\xD8\xFF\xF7\0\x0B\x10\x1F\x40\x1F\x40\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0\0\0\0\xFF\x7F\xFF\xD9";
    // An empty offset table, the frame, the end (PS3.5, A.4).
    let items = [(0xE000_u16, &frame[..0]), (0xE000, frame), (0xE0DD, &frame[..0])].map(|(tag, bytes)| {
        let head = [0xFFFE, tag, (bytes.len() + bytes.len() % 2) as u16, 0].map(u16::to_le_bytes).concat();
        [head, bytes.to_vec(), vec![0; bytes.len() % 2]].concat()
    });
    let mut pixels = element(0x7FE0, 0x10, "OB", &items.concat());
    pixels[8..12].fill(0xFF);
    file("1.2.840.10008.1.2.4.80", &[image("MONOCHROME2", 8_000, 8_000), vec![pixels]].concat())
}

/// The longest films that are read reach the network's size within the limit.
fn the_longest_films_are_preprocessed() {
    for (width, height) in [(MAX_SIDE, MAX_PIXELS / MAX_SIDE), (MAX_PIXELS / MAX_SIDE, MAX_SIDE), (1, MAX_SIDE)] {
        let pixels = vec![0.5; width * height];
        let film = Radiograph { width, height, pixels, provenance: Provenance::default() };
        assert!(ModelInput::from_radiograph(&film).blank, "{width} x {height}");
    }
}

/// Files that declare far more pixels than their bytes can hold are refused before a plane is allocated, which takes
/// 64 MB at least.
fn hollow_files_take_no_memory() {
    let mut files = vec![("rgba.png".into(), hollow_png()), ("jpegls.dcm".into(), hollow_jpeg_ls())];
    for big in [false, true] {
        for (name, compression) in [("none", 1), ("lzw", 5), ("jpeg", 7), ("deflate", 8), ("packbits", 32_773)] {
            files.push((format!("{name}-{big}.tif"), hollow_tiff(compression, big)));
        }
    }
    for (bits, compression) in [(1, 0), (8, 0), (24, 0), (32, 0), (8, 1), (4, 2)] {
        files.push((format!("{bits}-{compression}.bmp"), hollow_bmp(bits, compression)));
    }
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + (4 << 20)).expect("a limit above what is taken");
    let errors = files.iter().map(|(name, bytes)| Radiograph::decode(name, bytes).err()).collect::<Vec<_>>();
    ALLOCATOR.set_limit(LIMIT).expect("the limit as it was");
    for ((name, _), error) in files.iter().zip(errors) {
        let error = error.unwrap_or_else(|| panic!("{name} is decoded"));
        assert!(error.code() == "truncated" && error.to_string().contains("8000 x 8000 pixels cannot"), "{error}");
    }
}

#[test]
fn damaged_files_are_refused_or_decoded_but_never_panic() {
    hollow_files_take_no_memory();
    the_longest_films_are_preprocessed();
    let grey = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * 5 + y * 3) as u8]));
    let picture = image::DynamicImage::ImageLuma8(grey);
    for format in [image::ImageFormat::Png, image::ImageFormat::Bmp, image::ImageFormat::Tiff, image::ImageFormat::WebP]
    {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("the fixture encodes");
        let bytes = bytes.into_inner();
        let refused = damage(format.extensions_str()[0], &bytes, 80, 400);
        assert!(refused > 40, "{format:?}: {refused}");
    }
    for progressive in [false, true] {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 85);
        encoder.set_progressive(progressive);
        let rgb = picture.to_rgb8();
        encoder.encode(&rgb, 40, 30, jpeg_encoder::ColorType::Rgb).expect("the fixture encodes");
        assert!(damage("jpeg", &bytes, 700, 400) > 40);
    }
    let samples = (0..1_200).map(|i| i * 50 + i % 7).collect::<Vec<u16>>();
    let mut elements = image("MONOCHROME1", 40, 30);
    elements.extend([
        short(0x28, 0x120, 0),
        element(0x28, 0x1050, "DS", b"20000"),
        element(0x28, 0x1051, "DS", b"40000"),
    ]);
    elements.push(element(0x7FE0, 0x10, "OW", &words(&samples)));
    assert!(damage("made.dcm", &file(EXPLICIT, &elements), 400, 2_000) > 400);

    let error = Radiograph::decode("float.tif", &float_tiff(8_000)).expect_err("no range is known").to_string();
    assert!(error.contains("Rgba32F"), "{error}");

    let Some(folder) = data::folder("dicom") else {
        return;
    };
    let mut paths =
        std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dcm"));
    paths.sort();
    assert_eq!(paths.len(), 18);
    for path in paths {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).expect("a file");
        // A whole wavelet, JPEG-LS or 12-bit image takes up to a third of a second, the others tens of milliseconds.
        let slow = ["j2k", "jpegls", "extended"].iter().any(|codec| name.contains(codec));
        let count = if slow { 12 } else { 40 };
        assert!(damage(&name, &bytes, 3_000, count) > 0, "{name}");
    }
}
