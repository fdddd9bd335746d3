//! Raster formats: every stored form of one small picture decodes to the values that it was made from.

#[path = "common/sized.rs"]
mod sized;

use std::io::Cursor;

use deepbreath::Radiograph;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use sized::{crc32, sized};

const WIDTH: u32 = 7;
const HEIGHT: u32 = 5;

/// A grey value that differs in every pixel, so that a flip or a transposition cannot pass.
fn value(x: u32, y: u32) -> u8 {
    (y * 41 + x * 11 + 3) as u8
}

fn grey() -> GrayImage {
    GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([value(x, y)]))
}

fn expected() -> Vec<f32> {
    grey().iter().map(|&value| f32::from(value) / 255.0).collect()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("the fixture encodes");
    bytes.into_inner()
}

fn decode(bytes: &[u8]) -> Radiograph {
    Radiograph::decode("fixture", bytes).expect("the fixture decodes")
}

fn png_of(color: png::ColorType, depth: png::BitDepth, palette: Option<Vec<u8>>, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().expect("header");
    writer.write_image_data(data).expect("data");
    drop(writer);
    bytes
}

#[test]
fn grey_values_are_exact_in_every_lossless_format() {
    let grey = DynamicImage::ImageLuma8(grey());
    let rgb = DynamicImage::ImageRgb8(grey.to_rgb8());
    let cases = [
        ("png", &grey, ImageFormat::Png, 1),
        ("png", &rgb, ImageFormat::Png, 3),
        ("bmp", &grey, ImageFormat::Bmp, 3),
        ("bmp", &rgb, ImageFormat::Bmp, 3),
        ("tiff", &grey, ImageFormat::Tiff, 1),
        ("tiff", &rgb, ImageFormat::Tiff, 3),
        ("webp", &rgb, ImageFormat::WebP, 3),
    ];
    for (name, image, format, _) in cases {
        let film = decode(&encode(image, format));
        assert_eq!((film.width, film.height), (WIDTH as usize, HEIGHT as usize), "{name}");
        assert_eq!(film.pixels, expected(), "{name}: equal R, G, B are the grey value to the bit");
        assert_eq!((film.provenance.format.as_str(), film.provenance.chroma), (name, 0.0));
        assert_eq!(film.provenance.window, None);
    }
}

#[test]
fn png_of_1_2_4_and_16_bits_keeps_its_depth() {
    for (depth, bits) in [(png::BitDepth::One, 1), (png::BitDepth::Two, 2), (png::BitDepth::Four, 4)] {
        let max = (1_u32 << bits) - 1;
        let mut data = Vec::new();
        let mut expected = Vec::new();
        for y in 0..HEIGHT {
            let mut row = vec![0_u8; (WIDTH as usize * bits).div_ceil(8)];
            for x in 0..WIDTH {
                let value = (x * 5 + y * 3) & max;
                row[x as usize * bits / 8] |= (value as u8) << (8 - bits - x as usize * bits % 8);
                expected.push(value as f32 / max as f32);
            }
            data.extend(row);
        }
        let film = decode(&png_of(png::ColorType::Grayscale, depth, None, &data));
        assert_eq!(film.pixels, expected, "{bits} bits");
        assert_eq!(film.provenance.bits, bits as u16);
    }
    let deep = |x: u32, y: u32| (y * 13_001 + x * 257 + 1) as u16;
    let samples = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| deep(x, y))).collect::<Vec<_>>();
    let data = samples.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<_>>();
    let film = decode(&png_of(png::ColorType::Grayscale, png::BitDepth::Sixteen, None, &data));
    let expected = samples.iter().map(|&value| f32::from(value) / 65_535.0).collect::<Vec<_>>();
    assert_eq!((film.pixels, film.provenance.bits), (expected, 16), "neighbours differ by less than 1/255");
}

#[test]
fn palette_alpha_and_colour_follow_their_rules() {
    let indices = (0..WIDTH * HEIGHT).map(|i| (i % 3) as u8).collect::<Vec<_>>();
    let palette = vec![255, 0, 0, 0, 255, 0, 0, 0, 255];
    let film = decode(&png_of(png::ColorType::Indexed, png::BitDepth::Eight, Some(palette), &indices));
    assert_eq!(film.pixels[..3], [0.299, 0.587, 0.114], "Rec. 601 weights");
    assert_eq!(film.provenance.chroma, 1.0);

    let alpha = image::ImageBuffer::from_fn(2, 1, |x, _| LumaA([200_u8, if x == 0 { 0 } else { 102 }]));
    let film = decode(&encode(&DynamicImage::ImageLumaA8(alpha), ImageFormat::Png));
    assert_eq!(film.pixels, [0.0, 200.0 / 255.0 * 0.4], "transparent on black");

    let deep = image::ImageBuffer::from_pixel(1, 1, Rgba([1_u16, 1, 1, 65_535]));
    let film = decode(&encode(&DynamicImage::ImageRgba16(deep), ImageFormat::Png));
    assert_eq!(film.pixels, [1.0 / 65_535.0]);
    let deep = image::ImageBuffer::from_pixel(1, 1, Luma([40_001_u16]));
    let film = decode(&encode(&DynamicImage::ImageLuma16(deep), ImageFormat::Tiff));
    assert_eq!(film.pixels, [40_001.0 / 65_535.0]);

    let float = image::ImageBuffer::from_pixel(1, 1, Rgb([0.5_f32, 0.5, 0.5]));
    let bytes = encode(&DynamicImage::ImageRgb32F(float), ImageFormat::Tiff);
    assert_eq!(Radiograph::decode("float.tif", &bytes).unwrap_err().code(), "unsupported-image");
}

/// A TIFF of one strip in JPEG compression: tags of TIFF 6.0 and of its Technical Note 2.
fn jpeg_tiff(jpeg: &[u8], side: u16, channels: u16) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    let photometric = if channels == 1 { 1 } else { 2 };
    let entries = [
        (256, SHORT, 1, u32::from(side)),
        (257, SHORT, 1, u32::from(side)),
        // Bits of the samples: beside the entry where there are several.
        (258, SHORT, u32::from(channels), if channels == 1 { 8 } else { 8 + 2 + 9 * 12 + 4 }),
        (259, SHORT, 1, 7),
        (262, SHORT, 1, photometric),
        (273, LONG, 1, 8 + 2 + 9 * 12 + 4 + 6),
        (277, SHORT, 1, u32::from(channels)),
        (278, SHORT, 1, u32::from(side)),
        (279, LONG, 1, jpeg.len() as u32),
    ];
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(u32::to_le_bytes(count));
        bytes.extend(u32::to_le_bytes(value));
    }
    bytes.extend([0, 0, 0, 0, 8, 0, 8, 0, 8, 0]);
    bytes.extend(jpeg);
    bytes
}

#[test]
fn jpeg_compressed_tiff_has_the_samples_of_its_jpeg() {
    use jpeg_encoder::{ColorType, Encoder};
    let pattern = (0..64_u8).flat_map(|i| [i * 4, 255 - i * 2, i]).collect::<Vec<_>>();
    for (color, channels) in [(ColorType::Luma, 1), (ColorType::Rgb, 3)] {
        let mut jpeg = Vec::new();
        let encoder = Encoder::new(&mut jpeg, 100);
        encoder.encode(&pattern[..64 * channels], 8, 8, color).expect("encodes");
        let film = decode(&jpeg_tiff(&jpeg, 8, channels as u16));
        assert_eq!((film.provenance.format.as_str(), film.provenance.channels), ("tiff", channels as u16));
        // A file that says RGB is taken at its word, though this encoder stores luma and chroma.
        let mut plain = jpeg_decoder::Decoder::new(jpeg.as_slice());
        plain.read_info().expect("a header");
        if channels == 3 {
            plain.set_color_transform(jpeg_decoder::ColorTransform::RGB);
        }
        let stored = plain.decode().expect("decodes");
        let luma = |p: &[u8]| (299.0 * f64::from(p[0]) + 587.0 * f64::from(p[1]) + 114.0 * f64::from(p[2])) / 255_000.0;
        let grey = |p: &[u8]| if channels == 1 { f64::from(p[0]) / 255.0 } else { luma(p) };
        let expected = stored.chunks(channels).map(|p| grey(p) as f32).collect::<Vec<_>>();
        let difference = film.pixels.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-6, "{channels} channels: {difference}");
        let cut = Radiograph::decode("cut.tif", &jpeg_tiff(&jpeg[..40], 8, channels as u16)).unwrap_err();
        assert!(matches!(cut.code(), "corrupt" | "truncated"), "{cut}");
    }
}

/// A JPEG of 16 x 16 pixels in two flat halves, left `left` and right `right`; returns the decoded means of the halves.
fn jpeg_halves(
    color: jpeg_encoder::ColorType,
    left: &[u8],
    right: &[u8],
    edit: impl Fn(Vec<u8>) -> Vec<u8>,
) -> [f32; 2] {
    let data = (0..256).flat_map(|i| if i % 16 < 8 { left } else { right }).copied().collect::<Vec<_>>();
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_1);
    encoder.encode(&data, 16, 16, color).expect("the fixture encodes");
    let film = decode(&edit(bytes));
    let mean = |from: usize| film.pixels.chunks(16).flat_map(|row| &row[from..from + 8]).sum::<f32>() / 128.0;
    [mean(0), mean(8)]
}

/// Without its Adobe segment (FF EE, 16 bytes in all).
fn without_adobe(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.windows(2).position(|pair| pair == [0xFF, 0xEE]).expect("an Adobe segment");
    bytes.drain(at..at + 16);
    bytes
}

#[test]
fn jpeg_ink_becomes_grey() {
    use jpeg_encoder::ColorType::{Cmyk, CmykAsYcck, Luma, Rgb};
    let keep = |bytes| bytes;
    let near = |found: [f32; 2], expected: [f32; 2], what: &str| {
        let error = (0..2).map(|i| (found[i] - expected[i]).abs()).fold(0.0, f32::max);
        assert!(error < 3.0 / 255.0, "{what}: {found:?}, not {expected:?}");
    };
    near(jpeg_halves(Luma, &[40], &[220], keep), [40.0 / 255.0, 220.0 / 255.0], "grey");
    near(jpeg_halves(Rgb, &[255, 0, 0], &[0, 0, 255], keep), [0.299, 0.114], "RGB");
    // The encoder takes ink (255 = full) and stores it inverted, with the Adobe segment.
    let (light, dark) = ([0, 0, 0, 51], [0, 0, 0, 204]);
    let through = jpeg_halves(Cmyk, &light, &dark, keep);
    let other = [jpeg_halves(Cmyk, &light, &dark, without_adobe), jpeg_halves(CmykAsYcck, &light, &dark, keep)];
    near(through, [0.8, 0.2], "CMYK, Adobe");
    near(other[1], [0.8, 0.2], "YCCK, Adobe");
    // The same samples taken as they stand are C = M = Y = full ink: black.
    near(other[0], [0.0, 0.0], "CMYK without Adobe is not inverted");
}

#[test]
fn exif_orientation_is_applied() {
    // Orientation -> stored pixel that must come out at the top left, and whether the sides swap (EXIF 2.32, 4.6.4).
    let (right, bottom) = (WIDTH - 1, HEIGHT - 1);
    let cases = [
        (1, (0, 0), (1, 0)),
        (2, (right, 0), (right - 1, 0)),
        (3, (right, bottom), (right - 1, bottom)),
        (4, (0, bottom), (1, bottom)),
        (5, (0, 0), (0, 1)),
        (6, (0, bottom), (0, bottom - 1)),
        (7, (right, bottom), (right, bottom - 1)),
        (8, (right, 0), (right, 1)),
    ];
    let bytes = encode(&DynamicImage::ImageLuma8(grey()), ImageFormat::Png);
    for (orientation, first, second) in cases {
        let tiff = [b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0]]
            .concat();
        let mut chunk = [b"eXIf".as_slice(), &tiff].concat();
        let crc = crc32(&chunk);
        chunk.splice(0..0, (tiff.len() as u32).to_be_bytes());
        chunk.extend(crc.to_be_bytes());
        let mut bytes = bytes.clone();
        bytes.splice(33..33, chunk); // behind the 8 bytes of signature and the 25 of IHDR
        let film = decode(&bytes);
        assert_eq!(film.provenance.orientation, orientation);
        let swapped = orientation >= 5;
        let size = if swapped { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
        assert_eq!((film.width as u32, film.height as u32), size, "orientation {orientation}");
        assert_eq!((film.provenance.width, film.provenance.height), size, "orientation {orientation}");
        let found = [film.pixels[0], film.pixels[1]].map(|v| (v * 255.0).round() as u8);
        assert_eq!(found, [value(first.0, first.1), value(second.0, second.1)], "orientation {orientation}");
    }
    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
    encoder.add_exif_metadata(b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0").expect("exif");
    encoder.encode(&grey(), WIDTH as u16, HEIGHT as u16, jpeg_encoder::ColorType::Luma).expect("jpeg");
    let film = decode(&jpeg);
    assert_eq!((film.provenance.orientation, film.width, film.height), (6, HEIGHT as usize, WIDTH as usize));
}

#[test]
fn refusals_name_file_and_code() {
    let png = encode(&DynamicImage::ImageLuma8(grey()), ImageFormat::Png);
    let thread = |length| encode(&DynamicImage::new_luma8(1, length), ImageFormat::Png);
    assert_eq!(decode(&thread(65_535)).height, 65_535);
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
    encoder.encode(&[90; 64 * 64], 64, 64, jpeg_encoder::ColorType::Luma).expect("jpeg");
    let sof = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a baseline frame");
    let mut wide = jpeg.clone();
    wide[sof + 5..sof + 9].copy_from_slice(&[0xFF; 4]);
    let mut flat = jpeg.clone();
    flat[sof + 5..sof + 9].copy_from_slice(&[0x1F, 0x40, 0x1F, 0x40]);
    // JPEG-LS: a frame of 8 x 8 pixels, the header of its scan, and some bits.
    let mut jls = b"\xFF\xD8\xFF\xF7\0\x0B\x08\0\x08\0\x08\x01\x01\x11\0".to_vec();
    jls.extend(b"\xFF\xDA\0\x08\x01\x01\0\0\0\0\x55\x55\xFF\xD9");
    let cases: [(&str, Vec<u8>, &str); 14] = [
        ("nothing", vec![], "empty"),
        ("text", b"hello, world".to_vec(), "unknown-format"),
        ("gif", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), "unknown-format"),
        ("large", vec![0; deepbreath::radiograph::MAX_FILE_BYTES + 1], "file-too-large"),
        ("png, half", png[..png.len() / 2].to_vec(), "truncated"),
        ("png, huge", sized(png.clone(), 16_384, 16_384), "too-many-pixels"),
        ("png, long", thread(65_536), "too-many-pixels"),
        ("png, wide", sized(png.clone(), 64_000_000, 1), "too-many-pixels"),
        ("png, hollow", sized(png, 8_000, 8_000), "truncated"),
        ("jpeg, half", jpeg[..jpeg.len() - 20].to_vec(), "truncated"),
        ("jpeg, head", jpeg[..20].to_vec(), "truncated"),
        ("jpeg, huge", wide, "too-many-pixels"),
        ("jpeg, hollow", flat, "truncated"),
        ("jpeg-ls", jls, "unsupported-image"),
    ];
    for (name, bytes, code) in cases {
        let error = Radiograph::decode(name, &bytes).expect_err(name);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

/// Where the bits of the first scan of a JPEG file begin.
fn first_scan(jpeg: &[u8]) -> usize {
    let header = jpeg.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a scan");
    header + 2 + usize::from(u16::from_be_bytes([jpeg[header + 2], jpeg[header + 3]]))
}

/// The places of the markers with these codes, from `from` on.
fn markers(jpeg: &[u8], from: usize, codes: std::ops::RangeInclusive<u8>) -> Vec<usize> {
    (from..jpeg.len() - 1).filter(|&at| jpeg[at] == 0xFF && codes.contains(&jpeg[at + 1])).collect()
}

/// Textured JPEG files: name, bytes, whether they have restart markers.
fn textured_jpegs() -> Vec<(String, Vec<u8>, bool)> {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    let (width, height) = (251_usize, 187_usize);
    let film = (0..width * height * 3).map(|i| ((i % width) * 2 + (i / width) + (i * i) % 5) as u8).collect::<Vec<_>>();
    let mut files = vec![];
    for (name, color, sampling) in [
        ("grey", ColorType::Luma, SamplingFactor::F_1_1),
        ("colour", ColorType::Rgb, SamplingFactor::F_1_1),
        ("subsampled", ColorType::Rgb, SamplingFactor::F_2_2),
    ] {
        for (progressive, restart) in [(false, 0), (false, 5), (true, 0), (true, 5)] {
            let mut bytes = Vec::new();
            let mut encoder = Encoder::new(&mut bytes, 90);
            encoder.set_sampling_factor(sampling);
            encoder.set_progressive(progressive);
            encoder.set_restart_interval(restart);
            let pixels = &film[..width * height * if color == ColorType::Luma { 1 } else { 3 }];
            encoder.encode(pixels, width as u16, height as u16, color).expect("the fixture encodes");
            let kind = if progressive { "progressive" } else { "baseline" };
            files.push((format!("{name}, {kind}, restart {restart}"), bytes, restart > 0));
        }
    }
    files
}

#[test]
fn damaged_jpeg_scans_are_refused() {
    let end = [0xFF, 0xD9];
    let refused = |name: &str, bytes: &[u8], codes: &[&str]| {
        let error = Radiograph::decode(name, bytes).err().unwrap_or_else(|| panic!("{name}: decoded"));
        assert!(codes.contains(&error.code()) && error.to_string().starts_with(name), "{error}");
    };
    for (name, jpeg, restarts) in textured_jpegs() {
        let scan = first_scan(&jpeg);
        decode(&jpeg);
        for part in 1..20 {
            let at = scan + (jpeg.len() - 2 - scan) * part / 20;
            let cut = [&jpeg[..at], &end].concat();
            refused(&format!("{name}, cut at {at}"), &cut, &["truncated", "corrupt"]);
            refused(&format!("{name}, cut at {at} without an end"), &jpeg[..at], &["truncated", "corrupt"]);
            let mut zeroed = jpeg.clone();
            let stop = (at + 512).min(jpeg.len() - 2);
            zeroed[at..stop].fill(0);
            refused(&format!("{name}, zeros from {at}"), &zeroed, &["truncated", "corrupt"]);
        }
        // Whole scans that are missing.
        for &next in &markers(&jpeg, scan, 0xDA..=0xDA) {
            refused(&format!("{name}, scans to {next}"), &[&jpeg[..next], &end].concat(), &["truncated"]);
        }
        let extra = [&jpeg[..jpeg.len() - 2], &[0x55, 0x55], &end].concat();
        refused(&format!("{name}, two bytes more"), &extra, &["corrupt"]);
        let marks = markers(&jpeg, scan, 0xD0..=0xD7);
        assert_eq!(marks.len() > 20, restarts, "{name}");
        for &mark in marks.iter().step_by(7) {
            let mut wrong = jpeg.clone();
            wrong[mark + 1] ^= 1;
            refused(&format!("{name}, wrong restart at {mark}"), &wrong, &["corrupt"]);
            wrong.drain(mark..mark + 2);
            refused(&format!("{name}, no restart at {mark}"), &wrong, &["corrupt", "truncated"]);
        }
    }
}

#[test]
fn harmless_oddities_of_jpeg_are_read() {
    for (name, jpeg, _) in textured_jpegs() {
        let whole = decode(&jpeg).pixels;
        let scan = first_scan(&jpeg);
        let body = &jpeg[..jpeg.len() - 2];
        let fill = markers(&jpeg, scan, 0xD0..=0xDA).into_iter().rev().fold(jpeg.clone(), |mut bytes, at| {
            bytes.splice(at..at, [0xFF, 0xFF]);
            bytes
        });
        let cases = [
            ("junk behind the end", [&jpeg, b"junk \xFF\xDA\0\0".as_slice()].concat()),
            ("no end of the image", body.to_vec()),
            ("fill bytes before markers", fill),
        ];
        for (case, bytes) in cases {
            assert!(decode(&bytes).pixels == whole, "{name}: {case}");
        }
    }
}

#[test]
fn the_best_run_lengths_are_read() {
    // PackBits: a run of 128 in two bytes; one strip of 128 x 64 pixels behind the directory.
    let entries =
        [(256, 128), (257, 64), (258, 8), (259, 32_773), (262, 1), (273, 122), (277, 1), (278, 64), (279, 128)];
    let mut tiff = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, value) in entries {
        tiff.extend([tag, 3, 1, 0, value, 0].map(u16::to_le_bytes).concat());
    }
    tiff.extend([0; 4]);
    tiff.extend([129, 77].repeat(64));
    assert_eq!(decode(&tiff).pixels, [77.0 / 255.0; 128 * 64]);
    // RLE8 of BMP: a run of 255 in two bytes, then the end of the row.
    let mut bmp = b"BM".to_vec();
    bmp.extend([0, 0, 54 + 256 * 4, 40, 255, 64].map(u32::to_le_bytes).concat());
    bmp.extend([1, 8].map(u16::to_le_bytes).concat());
    bmp.extend([1, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    bmp.extend((0..=255).flat_map(|level| [level, level, level, 0]));
    bmp.extend([255, 77, 0, 0].repeat(64));
    bmp.extend([0, 1]);
    assert_eq!(decode(&bmp).pixels, [77.0 / 255.0; 255 * 64]);
}

#[test]
fn rgb_is_not_grey() {
    let image = RgbImage::from_pixel(2, 2, Rgb([10, 20, 40]));
    let film = decode(&encode(&DynamicImage::ImageRgb8(image), ImageFormat::Png));
    let expected = ((299 * 10 + 587 * 20 + 114 * 40) as f64 / 255_000.0) as f32;
    assert_eq!(film.pixels, [expected; 4]);
    assert_eq!(film.provenance.chroma, (30.0 / 255.0) as f32);
}
