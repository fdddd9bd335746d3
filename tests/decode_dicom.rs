//! DICOM stages in closed form, on files made here.

#![cfg(feature = "dicom")]

#[path = "common/made.rs"]
mod made;

use deepbreath::Radiograph;
use deepbreath::radiograph::{GreyMapping, Photometric, ViewPosition, WindowLevel};
use made::{EXPLICIT, element, file, image, short, words};

fn decode(elements: &[Vec<u8>]) -> Radiograph {
    Radiograph::decode("made.dcm", &file(EXPLICIT, elements)).expect("the file decodes")
}

/// Elements of a row of samples with further elements.
fn row(photometric: &str, samples: &[u16], further: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut elements = image(photometric, samples.len() as u16, 1);
    elements.retain(|element| further.iter().all(|other| other[..4] != element[..4]));
    elements.extend_from_slice(further);
    elements.push(element(0x7FE0, 0x10, "OW", &words(samples)));
    elements
}

fn text(group: u16, number: u16, vr: &str, value: &str) -> Vec<u8> {
    element(group, number, vr, value.as_bytes())
}

fn window(center: &str, width: &str) -> [Vec<u8>; 2] {
    [text(0x28, 0x1050, "DS", center), text(0x28, 0x1051, "DS", width)]
}

#[test]
fn windows_follow_the_formulas_of_the_standard() {
    let samples = [0, 1_000, 2_047, 2_048, 3_000, 5_000];
    // PS3.3, C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * (ymax - ymin) + ymin, clamped.
    let linear = |c: f64, w: f64| move |x: f64| ((x - (c - 0.5)) / (w - 1.0) + 0.5).clamp(0.0, 1.0);
    // C.11.2.1.3.2 and C.11.2.1.3.1.
    let exact = |c: f64, w: f64| move |x: f64| ((x - c) / w + 0.5).clamp(0.0, 1.0);
    let sigmoid = |c: f64, w: f64| move |x: f64| 1.0 / (1.0 + (-4.0 * (x - c) / w).exp());
    let check = |further: &[Vec<u8>], expected: &dyn Fn(f64) -> f64, what: &str| {
        for (photometric, inverse) in [("MONOCHROME2", false), ("MONOCHROME1", true)] {
            let film = decode(&row(photometric, &samples, further));
            for (&sample, &grey) in samples.iter().zip(&film.pixels) {
                let expected = expected(f64::from(sample));
                let expected = if inverse { 1.0 - expected } else { expected };
                assert!(
                    (f64::from(grey) - expected).abs() < 1e-6,
                    "{what}, {photometric}: {sample} is {grey}, not {expected}"
                );
            }
        }
    };
    check(&window("2048", "4096"), &linear(2_048.0, 4_096.0), "linear");
    check(&window("2048", "1"), &|x| if x > 2_047.5 { 1.0 } else { 0.0 }, "threshold");
    let with = |function: &str| [window("2048", "4000").to_vec(), vec![text(0x28, 0x1056, "CS", function)]].concat();
    check(&with("LINEAR_EXACT"), &exact(2_048.0, 4_000.0), "exact");
    check(&with("SIGMOID"), &sigmoid(2_048.0, 4_000.0), "sigmoid");
    let rescaled =
        [window("0", "4096").to_vec(), vec![text(0x28, 0x1052, "DS", "-1024"), text(0x28, 0x1053, "DS", "0.5")]]
            .concat();
    check(&rescaled, &|x| linear(0.0, 4_096.0)(x * 0.5 - 1_024.0), "rescaled");
    // A writer that did not know the attributes marks them as of an unknown kind.
    let unknown: Vec<Vec<u8>> = [(0x1050, "0"), (0x1051, "4096"), (0x1052, "-1024"), (0x1053, "0.5")]
        .map(|(number, value)| text(0x28, number, "UN", value))
        .to_vec();
    check(&unknown, &|x| linear(0.0, 4_096.0)(x * 0.5 - 1_024.0), "of an unknown kind");
}

#[test]
fn window_choices_are_noted() {
    let film = decode(&row("MONOCHROME2", &[0, 100], &window("50\\500", "101\\7")));
    let expected = GreyMapping::Linear(WindowLevel { center: 50.0, width: 101.0 });
    assert_eq!((film.provenance.window, film.pixels), (Some(expected), vec![0.005, 1.0]));
    assert_eq!(film.provenance.notes, ["The file offers 2 windows; the first was used."]);
    let film = decode(&row("MONOCHROME2", &[7, 107], &window("50", "0")));
    assert_eq!(film.provenance.window, Some(GreyMapping::Percentile { low: 7.0, high: 107.0 }));
    assert!(film.provenance.notes[0].contains("no width"));
    let film = decode(&row("MONOCHROME2", &[7, 107], &window("1e308", "1e308")));
    assert_eq!(film.provenance.window, Some(GreyMapping::Percentile { low: 7.0, high: 107.0 }));
}

#[test]
fn without_a_window_half_a_percent_is_cut_at_both_ends() {
    let samples = (0..1_000).map(|i| 2 * i).collect::<Vec<_>>();
    let film = decode(&row("MONOCHROME2", &samples, &[]));
    // Nearest ranks 5 and 995 of 1,000.
    assert_eq!(film.provenance.window, Some(GreyMapping::Percentile { low: 8.0, high: 1_988.0 }));
    assert_eq!((film.pixels[4], film.pixels[994], film.pixels[499]), (0.0, 1.0, (990.0 / 1_980.0) as f32));
    let flat = decode(&row("MONOCHROME2", &[9; 4], &[]));
    assert_eq!(flat.pixels, [0.0; 4], "one value only: black, not NaN");
}

#[test]
fn padding_is_black_and_outside_the_percentiles() {
    let samples = [[60_000_u16; 500].as_slice(), &[10, 20, 30]].concat();
    for photometric in ["MONOCHROME1", "MONOCHROME2"] {
        let film = decode(&row(photometric, &samples, &[short(0x28, 0x120, 60_000)]));
        assert_eq!(film.provenance.window, Some(GreyMapping::Percentile { low: 10.0, high: 30.0 }), "{photometric}");
        assert_eq!(film.pixels[..500], [0.0; 500], "{photometric}");
        assert_eq!(film.pixels[501], 0.5);
    }
    let range = [short(0x28, 0x120, 59_000), short(0x28, 0x121, 61_000)];
    assert_eq!(decode(&row("MONOCHROME2", &samples, &range)).pixels[0], 0.0);
}

#[test]
fn signed_samples_and_high_bits() {
    let signed = [short(0x28, 0x103, 1), text(0x28, 0x1050, "DS", "0.5"), text(0x28, 0x1051, "DS", "2001")];
    let film = decode(&row("MONOCHROME2", &[(-1_000_i16) as u16, 0, 1_000, i16::MIN as u16], &signed));
    assert_eq!(film.pixels, [0.0, 0.5, 1.0, 0.0]);
    // 12 bits stored up to bit 11, signed: 0xF000 above them is not looked at.
    let twelve = [short(0x28, 0x101, 12), short(0x28, 0x102, 11), short(0x28, 0x103, 1)];
    let further = [twelve.to_vec(), window("0.5", "2001").to_vec()].concat();
    let film = decode(&row("MONOCHROME2", &[0xF000, 0x0C18, 0xF3E8], &further));
    assert_eq!(film.pixels, [0.5, 0.0, 1.0]);
    let high = [short(0x28, 0x101, 12), short(0x28, 0x102, 15)];
    let further = [high.to_vec(), window("2048", "4096").to_vec()].concat();
    let film = decode(&row("MONOCHROME2", &[0xFFFF, 0x000F], &further));
    assert_eq!(film.pixels, [1.0, 0.0]);
}

/// A lookup table sequence with one item.
fn table(number: u16, descriptor: [u16; 3], entries: &[u16]) -> Vec<u8> {
    let item =
        [element(0x28, 0x3002, "US", &words(&descriptor)), element(0x28, 0x3006, "OW", &words(entries))].concat();
    let item = [&[0xFE, 0xFF, 0x00, 0xE0][..], &(item.len() as u32).to_le_bytes(), &item].concat();
    element(0x28, number, "SQ", &item)
}

#[test]
fn lookup_tables() {
    let voi = table(0x3010, [4, 10, 8], &[0, 51, 102, 255]);
    let film = decode(&row("MONOCHROME2", &[0, 10, 11, 12, 13, 99], std::slice::from_ref(&voi)));
    assert_eq!(film.pixels, [0.0, 0.0, 0.2, 0.4, 1.0, 1.0], "inputs outside take the ends");
    assert_eq!(film.provenance.window, Some(GreyMapping::VoiLut));
    let packed = table(0x3010, [4, 10, 8], &[51 << 8, 255 << 8 | 102]);
    assert_eq!(decode(&row("MONOCHROME2", &[10, 11, 12, 13], &[packed])).pixels, [0.0, 0.2, 0.4, 1.0]);
    let modality = table(0x3000, [3, 0, 16], &[13, 11, 10]);
    let film = decode(&row("MONOCHROME2", &[0, 1, 2], &[modality, voi]));
    assert_eq!(film.pixels, [1.0, 0.2, 0.0], "modality first, then VOI");
    let short = table(0x3010, [5, 0, 16], &[1, 2]);
    let error = Radiograph::decode("short", &file(EXPLICIT, &row("MONOCHROME2", &[1], &[short]))).unwrap_err();
    assert_eq!(error.code(), "corrupt", "{error}");
}

#[test]
fn first_frame_colour_and_view() {
    let mut elements = row("MONOCHROME2", &[0, 10], &window("5.5", "11"));
    elements.pop();
    elements.push(element(0x7FE0, 0x10, "OW", &words(&[10, 0, 5, 5, 0, 10])));
    elements.push(text(0x28, 0x08, "IS", "3"));
    elements.push(text(0x08, 0x60, "CS", "DX"));
    elements.push(text(0x18, 0x5101, "CS", "AP"));
    let film = decode(&elements);
    assert_eq!((film.pixels, film.provenance.frames), (vec![1.0, 0.0], 3));
    assert_eq!(film.provenance.notes, ["The file holds 3 frames; only the first was read."]);
    assert_eq!((film.provenance.modality.as_deref(), film.provenance.view), (Some("DX"), Some(ViewPosition::Ap)));

    let rgb = colour("RGB", 2, 1);
    let pixel_by_pixel = element(0x7FE0, 0x10, "OB", &[255, 0, 0, 0, 0, 255]);
    let film = decode(&[rgb.clone(), vec![pixel_by_pixel]].concat());
    assert_eq!((film.pixels, film.provenance.photometric), (vec![0.299, 0.114], Some(Photometric::Rgb)));
    let planes = vec![short(0x28, 0x06, 1), element(0x7FE0, 0x10, "OB", &[255, 0, 0, 0, 0, 255])];
    assert_eq!(decode(&[rgb, planes].concat()).pixels, [0.299, 0.114]);
}

/// Elements of an 8-bit colour image without its pixels.
fn colour(photometric: &str, columns: u16, rows: u16) -> Vec<Vec<u8>> {
    let mut elements = image(photometric, columns, rows);
    elements.retain(|element| ![0x02, 0x100, 0x101, 0x102].contains(&u16::from_le_bytes([element[2], element[3]])));
    elements.extend([short(0x28, 0x02, 3), short(0x28, 0x100, 8), short(0x28, 0x101, 8), short(0x28, 0x102, 7)]);
    elements
}

/// Four pixels, twice.
const RGB: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 90]];

/// PS3.3, C.7.6.3.1.2, YBR_FULL.
fn ybr([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [red, green, blue].map(f64::from);
    [
        0.2990 * r + 0.5870 * g + 0.1140 * b,
        -0.1687 * r - 0.3313 * g + 0.5000 * b + 128.0,
        0.5000 * r - 0.4187 * g - 0.0813 * b + 128.0,
    ]
    .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// Pixel data of one fragment.
fn fragment(bytes: &[u8]) -> Vec<u8> {
    let head = [0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0];
    let padded = bytes.len() + bytes.len() % 2;
    let mut element = [&head[..], &[0xFE, 0xFF, 0x00, 0xE0], &(padded as u32).to_le_bytes(), bytes].concat();
    element.resize(28 + padded, 0);
    [element, vec![0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]].concat()
}

/// [`RGB`] in two rows as a JPEG 2000 codestream (OpenJPEG, lossless), with its component transform or without.
fn jpeg_2000(transformed: bool) -> Vec<u8> {
    let (flag, data) = if transformed {
        (1, "ff90000a00000000002b0001ff93cfb41c08f7da9f0eb8a1df80380de64d2ae1f539df803001581939736fffd9")
    } else {
        (
            0,
            "ff90000a0000000000350001ff93df80500df37fcd2b5e396c82dcdf805008f7ff6394c8765ab7bfdf8050087daab7e3e59de1055fffd9",
        )
    };
    let head = "ff4fff51002f00000000000400000002000000000000000000000004000000020000000000000000\
                0003070101070101070101ff52000c00000001000004040001ff5c00044040";
    let hex = [head, data].concat();
    let mut bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal")).collect();
    let cod = bytes.windows(2).position(|pair| pair == [0xFF, 0x52]).expect("COD");
    bytes[cod + 8] = flag;
    bytes
}

#[test]
fn ybr_is_read_as_its_luma() {
    let pixels: Vec<[u8; 3]> = RGB.into_iter().chain(RGB).map(ybr).collect();
    let luma: Vec<f32> = pixels.iter().map(|pixel| f32::from(pixel[0]) / 255.0).collect();
    let plane = |channel: usize| pixels.iter().map(move |pixel| pixel[channel]).collect::<Vec<u8>>();
    let planes = [plane(0), plane(1), plane(2)].concat();
    let rle = {
        let offsets = [3, 64, 73, 82].into_iter().chain([0; 12]).flat_map(u32::to_le_bytes);
        // Literal runs (PS3.5, G.3.1).
        let segments = planes.chunks(8).flat_map(|plane| [&[7][..], plane].concat());
        fragment(&offsets.chain(segments).collect::<Vec<u8>>())
    };
    let with = |photometric: &str, further: &[Vec<u8>]| [colour(photometric, 4, 2), further.to_vec()].concat();
    let native = |bytes: &[u8]| element(0x7FE0, 0x10, "OB", bytes);
    let cases = [
        ("interleaved", file(EXPLICIT, &with("YBR_FULL", &[native(&pixels.concat())]))),
        ("planes", file(EXPLICIT, &with("YBR_FULL", &[short(0x28, 0x06, 1), native(&planes)]))),
        ("RLE", file("1.2.840.10008.1.2.5", &with("YBR_FULL", &[short(0x28, 0x06, 1), rle]))),
    ];
    for (name, bytes) in cases {
        let film = Radiograph::decode(name, &bytes).expect(name);
        assert_eq!(film.pixels, luma, "{name}");
        // 255, 255, 255 and 190 between the largest and the smallest.
        let chroma = (3.0 * 255.0 + 190.0) / 4.0 / 255.0;
        assert!((film.provenance.chroma - chroma).abs() < 0.01, "{name}: {}", film.provenance.chroma);
    }
    // Luma of two pixels, then their chroma (PS3.3, C.7.6.3.1.2, YBR_FULL_422): 130 and 125 grey, 100 and 50 red.
    let halved = native(&[130, 125, 128, 128, 100, 50, 90, 200]);
    let film = decode(&[colour("YBR_FULL_422", 4, 1), vec![halved]].concat());
    assert_eq!(film.pixels, [130, 125, 100, 50].map(|luma| luma as f32 / 255.0));
    assert!(film.provenance.chroma > 0.1, "{}", film.provenance.chroma);
}

#[test]
fn jpeg_2000_colours_are_those_after_its_transform() {
    let syntax = "1.2.840.10008.1.2.4.90";
    let read = |photometric: &str, transformed: bool| {
        let elements = [colour(photometric, 4, 2), vec![fragment(&jpeg_2000(transformed))]].concat();
        Radiograph::decode("wavelet", &file(syntax, &elements))
    };
    let luma = |[r, g, b]: [u8; 3]| (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) as f32 / 255_000.0;
    let rgb: Vec<f32> = RGB.into_iter().chain(RGB).map(luma).collect();
    for (photometric, transformed) in [("YBR_RCT", true), ("RGB", true), ("RGB", false)] {
        assert_eq!(read(photometric, transformed).expect("decodes").pixels, rgb, "{photometric}, {transformed}");
    }
    // Without a transform of the codec the same samples are luma and chroma: the first is the grey value.
    let first: Vec<f32> = RGB.into_iter().chain(RGB).map(|pixel| f32::from(pixel[0]) / 255.0).collect();
    assert_eq!(read("YBR_FULL", false).expect("decodes").pixels, first);
    assert_eq!(read("YBR_RCT", false).expect_err("no transform").code(), "unsupported-photometric");
}

#[test]
fn colours_that_cannot_be_known_are_refused() {
    let native = |count: usize| element(0x7FE0, 0x10, "OB", &vec![128; count]);
    let planes = vec![short(0x28, 0x06, 1), native(8)];
    let cases = [
        ("chroma not halved", "YBR_FULL_422", 4, vec![native(12)], "unsupported-photometric"),
        ("halved chroma in planes", "YBR_FULL_422", 4, planes, "unsupported-photometric"),
        ("halved chroma, odd width", "YBR_FULL_422", 3, vec![native(6)], "unsupported-photometric"),
        ("halved chroma, half the bytes", "YBR_FULL_422", 4, vec![native(6)], "truncated"),
        ("a transform that no codec undoes", "YBR_RCT", 4, vec![native(12)], "unsupported-photometric"),
        ("studio range", "YBR_PARTIAL_422", 4, vec![native(8)], "unsupported-photometric"),
    ];
    for (name, photometric, columns, further, code) in cases {
        let elements = [colour(photometric, columns, 1), further].concat();
        let error = Radiograph::decode(name, &file(EXPLICIT, &elements)).expect_err(name);
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn patient_data_reach_no_output() {
    let secrets = ["Musterfrau^Erika", "PID-4711", "19700101", "St. Made-Up Hospital", "spicy free text"];
    let mut elements = row("MONOCHROME1", &[1, 2, 3], &window("2\\3", "2\\4"));
    elements.extend([
        text(0x08, 0x60, "CS", "DX"),
        text(0x08, 0x80, "LO", secrets[3]),
        text(0x10, 0x10, "PN", secrets[0]),
        text(0x10, 0x20, "LO", secrets[1]),
        text(0x10, 0x30, "DA", secrets[2]),
        text(0x10, 0x4000, "LT", secrets[4]),
        // Free text where a code belongs is not repeated either.
        text(0x18, 0x5101, "CS", secrets[0]),
    ]);
    let film = decode(&elements);
    let mut outputs = vec![format!("{film:?}"), serde_json::to_string(&film.provenance).expect("serialises")];
    let mut broken = vec![elements.clone(); 3];
    broken[0].retain(|element| element[..2] != [0xE0, 0x7F]);
    broken[1].extend([text(0x28, 0x3010, "SQ", secrets[0])]);
    broken[2].retain(|element| element[..4] != [0x28, 0, 0x04, 0]);
    broken[2].extend([text(0x28, 0x04, "CS", secrets[0])]);
    for elements in &broken {
        let error = Radiograph::decode("broken.dcm", &file(EXPLICIT, elements)).expect_err("broken");
        outputs.extend([format!("{error:?}"), error.to_string()]);
    }
    for output in &outputs {
        for secret in secrets {
            assert!(!output.to_lowercase().contains(&secret.to_lowercase()), "{secret} in {output}");
        }
        assert!(!output.contains("Musterfrau"), "{output}");
    }
    assert_eq!(film.provenance.view, Some(ViewPosition::Other));
}

#[test]
fn refusals() {
    let whole = row("MONOCHROME2", &[1, 2, 3, 4], &[]);
    let without = |number: u16| {
        let mut elements = whole.clone();
        elements.retain(|element| element[..4] != [[0x28, 0], number.to_le_bytes()].concat()[..]);
        elements
    };
    let with = |number: u16, element: Vec<u8>| [without(number), vec![element]].concat();
    let mut no_pixels = whole.clone();
    no_pixels.pop();
    let deep = (0..40).fold(Vec::new(), |inner: Vec<u8>, _| {
        let item = [&[0xFE, 0xFF, 0x00, 0xE0][..], &(inner.len() as u32).to_le_bytes(), &inner].concat();
        element(0x28, 0x3010, "SQ", &item)
    });
    let cases = [
        ("no pixel data", file(EXPLICIT, &no_pixels), "no-pixel-data"),
        ("no rows", file(EXPLICIT, &without(0x10)), "corrupt"),
        ("zero rows", file(EXPLICIT, &with(0x10, short(0x28, 0x10, 0))), "corrupt"),
        ("more rows than samples", file(EXPLICIT, &with(0x10, short(0x28, 0x10, 9))), "truncated"),
        ("more frames than samples", file(EXPLICIT, &with(0x08, text(0x28, 0x08, "IS", "99"))), "truncated"),
        ("palette", file(EXPLICIT, &with(0x04, text(0x28, 0x04, "CS", "PALETTE COLOR"))), "unsupported-photometric"),
        ("32 bits", file(EXPLICIT, &with(0x100, short(0x28, 0x100, 32))), "unsupported-photometric"),
        ("17 of 16 bits", file(EXPLICIT, &with(0x101, short(0x28, 0x101, 17))), "corrupt"),
        ("slope without bounds", file(EXPLICIT, &with(0x1053, text(0x28, 0x1053, "DS", "1e307"))), "corrupt"),
        ("nested 40 deep", file(EXPLICIT, &[whole.clone(), vec![deep]].concat()), "corrupt"),
        (
            "65,535 x 65,535",
            file(EXPLICIT, &[with(0x10, short(0x28, 0x10, 65_535)), vec![short(0x28, 0x11, 65_535)]].concat()),
            "too-many-pixels",
        ),
        ("half", file(EXPLICIT, &whole)[..200].to_vec(), "truncated"),
        ("preamble only", file(EXPLICIT, &whole)[..132].to_vec(), "corrupt"),
        ("video", file("1.2.840.10008.1.2.4.102", &encapsulated(&no_pixels)), "unsupported-transfer-syntax"),
        (
            "progressive JPEG 2000 HT",
            file("1.2.840.10008.1.2.4.203", &encapsulated(&no_pixels)),
            "unsupported-transfer-syntax",
        ),
        ("deflate bomb", bomb(), "file-too-large"),
    ];
    for (name, bytes, code) in cases {
        let error = Radiograph::decode(name, &bytes).expect_err(name);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

/// Elements with pixel data of one fragment of zeros.
fn encapsulated(elements: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let items = [
        0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0x00, 0xE0, 4, 0, 0, 0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0,
        0, 0, 0,
    ];
    let head = [0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    [elements, &[[&head[..], &items].concat()]].concat()
}

/// A deflated data set of 200 MB of zeros.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut bytes = file("1.2.840.10008.1.2.1.99", &[]);
    let mut encoder = flate2::write::DeflateEncoder::new(&mut bytes, flate2::Compression::fast());
    (0..200).for_each(|_| encoder.write_all(&[0; 1_000_000]).expect("a vector takes everything"));
    encoder.finish().expect("a vector takes everything");
    bytes
}
