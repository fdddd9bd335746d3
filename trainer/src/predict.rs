//! `trainer predict`: answers for image files, one by one, by the library's one path from bytes to an assessment.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use burn::tensor::Device;
use deepbreath::radiograph::MAX_FILE_BYTES;
use deepbreath::saliency::Saliency;
use deepbreath::{Assessment, Classifier, Options, Radiograph};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use crate::dataset::write_whole;

/// One byte more than the library reads, so that it sees that a file is too large.
const READ_LIMIT: u64 = MAX_FILE_BYTES as u64 + 1;
/// Width of the column of file names, in characters.
const NAME_WIDTH: usize = 36;
/// Largest share of the heat colour in an overlay, so that the film stays visible.
const HEAT_OPACITY: f32 = 0.6;
/// Colour of the strongest evidence, red, green and blue in 0..=1 (orange, apart from grey for every kind of sight).
const HEAT: [f32; 3] = [1.0, 0.45, 0.0];

/// Answers for each of `images`: a table, or with `json` one object a line (see [`Assessment::to_json_line`]).
///
/// With `saliency` the map of the called finding (else of the most probable one) is laid over each image and written
/// to that folder as `NAME.FINDING.png`. A file that cannot be answered for gets one line on standard error and the
/// others are still answered; returns how many those were (the program then ends with code 2).
///
/// # Errors
/// If the weights cannot be used or nothing can be printed.
pub fn run(
    weights: &Path,
    images: &[PathBuf],
    json: bool,
    saliency: Option<&Path>,
    device: &Device,
) -> anyhow::Result<usize> {
    let bytes = std::fs::read(weights).with_context(|| {
        format!("cannot read the weights {}. Name a weights file with --weights", weights.display())
    })?;
    let classifier = Classifier::load(&weights.display().to_string(), &bytes, device)?;
    pollster::block_on(classifier.verify())?;
    answer_all(&classifier, images, json, saliency, &mut std::io::stdout().lock())
}

fn answer_all(
    classifier: &Classifier,
    images: &[PathBuf],
    json: bool,
    saliency: Option<&Path>,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    if !json {
        writeln!(out, "{}", header(classifier))?;
    }
    let mut names = HashSet::new();
    let mut failed = 0;
    for path in images {
        match answer(classifier, path, saliency, &mut names) {
            Ok(assessment) if json => writeln!(out, "{}", assessment.to_json_line())?,
            Ok(assessment) => writeln!(out, "{}", row(&assessment))?,
            Err(error) => {
                failed += 1;
                eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            }
        }
    }
    if !json {
        if classifier.metadata().gate.is_none() {
            writeln!(out, "{NO_GATE}")?;
        }
        writeln!(out, "weights {}, backend {}. {DISCLAIMER}", classifier.id(), classifier.backend())?;
    }
    Ok(failed)
}

/// What stands below the table of weights without a gate.
const NO_GATE: &str = "These weights have no gate: they refuse nothing but blank images, and call a photograph a finding, too. \
                       Export with --ood to give them one.";
/// What stands below every table.
const DISCLAIMER: &str = "For education and research, never a diagnosis.";

fn answer(
    classifier: &Classifier,
    path: &Path,
    folder: Option<&Path>,
    names: &mut HashSet<String>,
) -> anyhow::Result<Assessment> {
    let file = path.display().to_string();
    ensure!(!path.is_dir(), "{file}: is a folder. Give its files, e.g. {}", path.join("*").display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(READ_LIMIT).read_to_end(&mut bytes))
        .with_context(|| format!("{file}: cannot be read. Check the path"))?;
    let options = Options { saliency: folder.is_some() };
    let assessment = pollster::block_on(classifier.classify(&file, &bytes, &options))?;
    if let Some(folder) = folder {
        let map = shown(&assessment).with_context(|| format!("{file}: no saliency map was made"))?;
        let png = overlay(&Radiograph::decode(&file, &bytes)?, map)?;
        write_whole(&folder.join(unused_name(path, &map.label, names)), &png)?;
    }
    Ok(assessment)
}

/// The map of the called finding, else of the most probable one.
fn shown(assessment: &Assessment) -> Option<&Saliency> {
    let likeliest = assessment.findings.iter().max_by(|a, b| a.probability.total_cmp(&b.probability))?;
    let label = assessment.call.as_ref().unwrap_or(&likeliest.label);
    assessment.saliency.iter().find(|map| map.label == *label)
}

/// `NAME.FINDING.png`, or `NAME.2.FINDING.png` and so on where images of several folders share a name.
fn unused_name(path: &Path, label: &str, names: &mut HashSet<String>) -> String {
    let name = path.file_name().map_or_else(|| "image".into(), |name| name.to_string_lossy().into_owned());
    let label = label.replace(|character: char| !character.is_alphanumeric(), "-");
    let mut count = 1;
    let mut candidate = name.clone();
    while !names.insert(candidate.clone()) {
        count += 1;
        candidate = format!("{name}.{count}");
    }
    format!("{candidate}.{label}.png")
}

/// The radiograph in grey with the map in colour over it, as a PNG of the radiograph's size.
fn overlay(radiograph: &Radiograph, map: &Saliency) -> anyhow::Result<Vec<u8>> {
    let (width, height) = (radiograph.width, radiograph.height);
    let heat = map.upsample(width, height);
    let mut pixels = Vec::with_capacity(3 * width * height);
    for (grey, heat) in radiograph.pixels.iter().zip(&heat) {
        let share = heat * HEAT_OPACITY;
        pixels.extend(HEAT.map(|colour| ((grey * (1.0 - share) + colour * share) * 255.0).round() as u8));
    }
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&pixels, width as u32, height as u32, ExtendedColorType::Rgb8)?;
    Ok(png)
}

fn header(classifier: &Classifier) -> String {
    let classes = classifier.metadata().classes.iter().map(|class| format!("{class:>10} ")).collect::<String>();
    format!("{:NAME_WIDTH$} {classes} {:12} notes", "file", "call")
}

fn row(assessment: &Assessment) -> String {
    let probabilities =
        assessment.findings.iter().map(|finding| format!("{:>10.3} ", finding.probability)).collect::<String>();
    let call = match (&assessment.call, assessment.refused) {
        (_, true) => "refused",
        (Some(call), _) => call,
        (None, _) => "no call",
    };
    let mut notes: Vec<String> = assessment.reasons.iter().map(ToString::to_string).collect();
    notes.extend(assessment.provenance.notes.iter().cloned());
    let notes = notes.join(" ");
    format!("{:NAME_WIDTH$} {probabilities} {call:12} {notes}", shortened(&assessment.file)).trim_end().to_owned()
}

/// The end of a long name, which tells files apart better than the start.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME_WIDTH {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(length - NAME_WIDTH + 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use deepbreath::weights::Pattern;

    use super::*;

    #[test]
    fn every_file_gets_a_row_or_counts_as_failed() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad, maps) =
            (folder.path().join("film.png"), folder.path().join("film.txt"), folder.path().join("m"));
        let (width, height, pixels) = Pattern::Noise.draw();
        image::GrayImage::from_raw(width as u32, height as u32, pixels).unwrap().save(&good).unwrap();
        std::fs::write(&bad, "no image").unwrap();
        let images = [bad, good.clone(), folder.path().join("absent.png"), good];
        let classifier = Classifier::load("w", &crate::export::tests::file(), &Device::flex()).unwrap();
        let lines = |json: bool, maps: Option<&Path>| {
            let mut out = Vec::new();
            assert_eq!(answer_all(&classifier, &images, json, maps, &mut out).unwrap(), 2);
            String::from_utf8(out).unwrap().lines().map(String::from).collect::<Vec<_>>()
        };
        let table = lines(false, None);
        assert_eq!(table.len(), 5, "head, two rows, no gate, disclaimer: {table:?}");
        assert!(table[0].contains("pneumonia") && table[1].contains("film.png") && table[4].contains(DISCLAIMER));
        assert_eq!((classifier.metadata().gate.is_none(), table[3].as_str()), (true, NO_GATE));
        let error = answer(&classifier, folder.path(), None, &mut HashSet::new()).unwrap_err().to_string();
        assert!(error.contains("is a folder. Give its files"), "{error}");
        let json = lines(true, Some(maps.as_path()));
        assert_eq!(json.len(), 2);
        assert!(json.iter().all(|line| line.starts_with("{\"file\":") && line.ends_with('}')), "{json:?}");
        let pngs: Vec<_> = std::fs::read_dir(maps).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(pngs.len(), 2, "{pngs:?}");
        assert_eq!(image::open(&pngs[0]).unwrap().to_rgb8().dimensions(), (width as u32, height as u32));
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("short.png"), "short.png");
        let long = format!("{}/film-0001.png", "ü".repeat(60));
        let short = shortened(&long);
        assert_eq!(short.chars().count(), NAME_WIDTH);
        assert!(short.starts_with('…') && short.ends_with("/film-0001.png"), "{short}");
    }

    #[test]
    fn overlay_names_never_collide() {
        let mut names = HashSet::new();
        let mut name = |path: &str, label: &str| unused_name(Path::new(path), label, &mut names);
        assert_eq!(name("a/film.png", "covid"), "film.png.covid.png");
        assert_eq!(name("b/film.png", "covid"), "film.png.2.covid.png");
        assert_eq!(name("c/film.png", "a/b"), "film.png.3.a-b.png");
    }

    #[test]
    fn the_overlay_colours_only_where_the_map_is_hot() {
        let map = Saliency { label: "covid".into(), width: 2, height: 1, values: vec![0.0, 1.0], peak: 1.0 };
        let pixels = vec![0.5; 8 * 4];
        let radiograph = Radiograph { width: 8, height: 4, pixels, provenance: Default::default() };
        let image = image::load_from_memory(&overlay(&radiograph, &map).unwrap()).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (8, 4));
        assert_eq!(image.get_pixel(0, 0).0, [128, 128, 128]);
        // 0.4 of the grey 0.5 and 0.6 of the heat colour.
        assert_eq!(image.get_pixel(7, 3).0, [204, 120, 51]);
    }
}
