//! Every real file of the image data decodes, or is refused with the right code.

#![cfg(feature = "dicom")]

#[path = "common/data.rs"]
mod data;

use deepbreath::Radiograph;

/// 64-bit FNV-1a over the bits of the grey values: the same on every machine.
fn checksum(film: &Radiograph) -> u64 {
    let bytes = film.pixels.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

fn mean(values: impl ExactSizeIterator<Item = f32>) -> f64 {
    let count = values.len() as f64;
    values.map(f64::from).sum::<f64>() / count
}

fn difference(a: &Radiograph, b: &Radiograph) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    mean(a.pixels.iter().zip(&b.pixels).map(|(a, b)| (a - b).abs()))
}

fn dicom(name: &str) -> Option<Radiograph> {
    let path = data::folder("dicom")?.join(format!("{name}.dcm"));
    let bytes = std::fs::read(path).expect("a file of the manifest");
    Some(Radiograph::decode(name, &bytes).expect("the file decodes"))
}

/// Averages 2 x 2 pixels.
fn half(film: &Radiograph) -> Radiograph {
    let (width, height) = (film.width / 2, film.height / 2);
    let at = |x: usize, y: usize| film.pixels[y * film.width + x];
    let pixels = (0..height)
        .flat_map(|y| (0..width).map(move |x| (2 * x, 2 * y)))
        .map(|(x, y)| (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0)
        .collect();
    Radiograph { width, height, pixels, ..film.clone() }
}

#[test]
fn every_dicom_file_decodes_or_is_refused() {
    let Some(folder) = data::folder("dicom") else {
        return;
    };
    // Name, then columns, rows, checksum and whether the polarity was corrected, or the code of the refusal.
    type Expected = Result<(usize, usize, u64, bool), &'static str>;
    let cases: &[(&str, Expected)] = &[
        ("chest-rg1-mono1-j2k-lossy", Ok((1841, 1955, 0x0D56_4DFA_8027_805A, false))),
        ("chest-rg1-mono1-jpegls-near", Ok((1841, 1955, 0x42A0_9CA8_2704_954F, false))),
        ("chest-rsna-fake-mono1-jpeg-baseline", Ok((1024, 1024, 0x4526_B150_B8C8_BC3C, true))),
        ("chest-rsna-mono2-jpeg-baseline", Ok((1024, 1024, 0x4526_B150_B8C8_BC3C, false))),
        ("derived-chest-rg1-mono1-explicit-le-15bit", Ok((920, 977, 0x97F7_ABB2_EA9C_68F6, false))),
        ("derived-chest-rg1-mono2-deflated-8bit", Ok((920, 977, 0x3CF1_F9A8_1552_4AFA, false))),
        ("derived-chest-rg1-mono2-explicit-be-12bit", Ok((920, 977, 0x1753_7712_00C0_CF4D, false))),
        ("derived-chest-rg1-mono2-implicit-le-12bit", Ok((920, 977, 0x1753_7712_00C0_CF4D, false))),
        ("derived-chest-rg1-mono2-rescale-narrow-window", Ok((920, 977, 0x76FD_CA01_5516_AF4C, false))),
        ("derived-chest-rg1-mono2-rle-12bit-nowindow", Ok((920, 977, 0xF513_628E_AC3E_F8DF, false))),
        ("notchest-hip-rg2-mono2-j2k-lossy", Ok((1760, 2140, 0xAB6A_E93B_0154_C9C8, false))),
        ("notchest-hip-rg2-mono2-jpeg-extended-12bit", Ok((1760, 2140, 0x26D3_A3C0_63BA_F2C9, false))),
        ("notchest-leg-rg3-mono1-j2k-lossless", Ok((1760, 1760, 0x680C_9F1C_93E7_FCC1, false))),
        ("notchest-leg-rg3-mono1-jpeg-lossless", Ok((1760, 1760, 0x680C_9F1C_93E7_FCC1, false))),
        ("notchest-leg-rg3-mono1-jpegls-lossless", Ok((1760, 1760, 0x680C_9F1C_93E7_FCC1, false))),
        ("notchest-leg-rg3-mono1-rle", Ok((1760, 1760, 0x680C_9F1C_93E7_FCC1, false))),
        ("notchest-modality-lut", Ok((512, 512, 0x95D4_6FFE_DAA3_88F4, false))),
        ("notchest-voi-lut", Ok((512, 512, 0xC96D_360D_192B_8DF9, false))),
    ];
    let manifest = std::fs::read_to_string(folder.join("manifest.csv")).expect("the manifest");
    assert_eq!(manifest.lines().count() - 1, cases.len(), "a case for every file");
    for (name, expected) in cases {
        let bytes = std::fs::read(folder.join(format!("{name}.dcm"))).expect("a file of the manifest");
        let found = Radiograph::decode(name, &bytes);
        if let Ok(film) = &found {
            assert!(film.pixels.iter().all(|value| (0.0..=1.0).contains(value)), "{name}");
            assert_eq!(film.pixels.len(), film.width * film.height, "{name}");
        }
        let found = found
            .map(|film| (film.width, film.height, checksum(&film), film.provenance.polarity_corrected))
            .map_err(|error| error.code());
        assert_eq!(&found, expected, "{name}: {found:#x?}");
    }
}

#[test]
fn codings_of_one_film_agree() {
    if data::folder("dicom").is_none() {
        return;
    }
    let film = |name: &str| dicom(name).expect("the data are there");
    // Four lossless codings of the leg: the same samples, the same window.
    let leg = film("notchest-leg-rg3-mono1-rle");
    for other in ["j2k-lossless", "jpeg-lossless", "jpegls-lossless"] {
        assert_eq!(film(&format!("notchest-leg-rg3-mono1-{other}")).pixels, leg.pixels, "{other}");
    }
    // One window, two byte orders, with and without value representations.
    let twelve = film("derived-chest-rg1-mono2-implicit-le-12bit");
    assert_eq!(film("derived-chest-rg1-mono2-explicit-be-12bit").pixels, twelve.pixels);
    // One window, two lossy codings, and half the size without loss.
    let (wavelet, near) = (film("chest-rg1-mono1-j2k-lossy"), film("chest-rg1-mono1-jpegls-near"));
    let whole = film("derived-chest-rg1-mono1-explicit-le-15bit");
    let cases = [
        ("JPEG 2000 / JPEG-LS", difference(&wavelet, &near), 0.002),
        // Another filter made the half size; the noise of the film remains.
        ("JPEG-LS / half size", difference(&half(&near), &whole), 0.004),
        // No window in either: the percentiles of 8 and of 12 bits.
        (
            "8 / 12 bits",
            difference(
                &film("derived-chest-rg1-mono2-deflated-8bit"),
                &film("derived-chest-rg1-mono2-rle-12bit-nowindow"),
            ),
            0.005,
        ),
        // Two lossy codings of the hip.
        (
            "12-bit JPEG / JPEG 2000",
            difference(&film("notchest-hip-rg2-mono2-jpeg-extended-12bit"), &film("notchest-hip-rg2-mono2-j2k-lossy")),
            0.005,
        ),
        // A lying tag, corrected, is the honest file.
        (
            "lying / honest tag",
            difference(&film("chest-rsna-fake-mono1-jpeg-baseline"), &film("chest-rsna-mono2-jpeg-baseline")),
            1e-9,
        ),
    ];
    for (name, found, limit) in cases {
        assert!(found <= limit, "{name}: mean difference {found}");
    }
}

#[test]
fn every_image_that_is_no_chest_film_decodes() {
    let Some(folder) = data::folder("ood") else {
        return;
    };
    let manifest = std::fs::read_to_string(folder.join("manifest.csv")).expect("the manifest");
    let mut count = 0;
    let mut inverted = Vec::new();
    for line in manifest.lines().skip(1) {
        // The licence field may be quoted and hold commas; width, height and digest are the last three.
        let path = line.split(',').next().expect("a path");
        let mut last = line.rsplit(',').skip(1);
        let (height, width) = (last.next().expect("height"), last.next().expect("width"));
        let bytes = std::fs::read(folder.join(path)).expect("an image of the manifest");
        let film = Radiograph::decode(path, &bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((film.width.to_string().as_str(), film.height.to_string().as_str()), (width, height), "{path}");
        assert_eq!(film.provenance.format, "jpeg", "{path}");
        count += 1;
        inverted.extend(film.provenance.polarity_corrected.then(|| path.to_owned()));
    }
    assert!(count >= 239, "{count} images");
    assert!(inverted.is_empty(), "taken for inverted chest films: {inverted:?}");
}

#[test]
fn polarity_of_held_out_films() {
    let Some(folder) = data::folder("cxr") else {
        return;
    };
    let manifest = std::fs::read_to_string(folder.join("manifest.csv")).expect("the manifest");
    let (mut films, mut flipped, mut found) = (0, 0, 0);
    // The weights were fitted to the train split; the test split was not looked at.
    for line in manifest.lines().skip(1).filter(|line| line.ends_with(",test")) {
        let path = line.split(',').next().expect("a path");
        let bytes = std::fs::read(folder.join(path)).expect("an image of the manifest");
        let film = Radiograph::decode(path, &bytes).unwrap_or_else(|error| panic!("{error}"));
        if films == 0 {
            stored_as_its_negative_comes_back(&film);
        }
        films += 1;
        flipped += usize::from(film.provenance.polarity_corrected);
        let inverse = Radiograph { pixels: film.pixels.iter().map(|value| 1.0 - value).collect(), ..film };
        found += usize::from(deepbreath::radiograph::polarity::is_inverted(&inverse));
    }
    println!("{films} films: {flipped} taken for inverted, {found} inverses found");
    assert!(flipped as f64 <= 0.003 * films as f64, "{flipped} of {films} taken for inverted");
    assert!(found as f64 >= 0.95 * films as f64, "{found} of {films} inverses found");
}

/// The negative of an 8-bit film, as a PNG, decodes to the film itself and says so.
fn stored_as_its_negative_comes_back(film: &Radiograph) {
    let negative = film.pixels.iter().map(|value| 255 - (value * 255.0).round() as u8).collect();
    let negative = image::GrayImage::from_raw(film.width as u32, film.height as u32, negative).expect("a whole image");
    let mut bytes = std::io::Cursor::new(Vec::new());
    negative.write_to(&mut bytes, image::ImageFormat::Png).expect("a vector takes everything");
    let back = Radiograph::decode("negative.png", bytes.get_ref()).expect("the file decodes");
    assert!(back.provenance.polarity_corrected && back.provenance.notes.len() == 1, "{:?}", back.provenance);
    assert!(difference(&back, film) < 1e-6);
}
