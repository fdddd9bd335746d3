//! One folder per label, as image classification sets are often shipped.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{Candidate, Prepared, folder_to_read, rank};
use crate::cli::FoldersArgs;
use crate::dataset::{Row, Split, names};

const ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "dcm", "dicom"];

/// The films under `DIR/LABEL/` or `DIR/{train,val,test}/LABEL/`. A patient who is in two of the split folders stays
/// in one only (test before val before train); the films in the other are left out.
///
/// # Errors
/// The folder cannot be read or has another shape.
pub fn folders(args: &FoldersArgs) -> anyhow::Result<Prepared> {
    let dir = folder_to_read(&args.dir)?;
    let source = match &args.source {
        Some(source) => source.clone(),
        None => dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut prepared = Prepared::default();
    let mut candidates = Vec::new();
    let (inside, _) = list(&dir)?;
    let splits: Vec<(Split, &PathBuf)> =
        inside.iter().filter_map(|folder| Some((split_of(&name(folder))?, folder))).collect();
    let mut label_folders = Vec::new();
    if splits.is_empty() {
        label_folders.extend(inside.iter().map(|folder| (None, folder.clone())));
    } else {
        for folder in inside.iter().filter(|folder| split_of(&name(folder)).is_none()) {
            prepared.leave_out(format!("folder {}, which stands beside the split folders", name(folder)));
        }
        for (split, folder) in splits {
            label_folders.extend(list(folder)?.0.into_iter().map(|folder| (Some(split), folder)));
        }
    }
    for (split, folder) in &label_folders {
        let (folders, files) = list(folder)?;
        for inner in folders {
            prepared.leave_out(format!("folder {} inside a label folder", name(&inner)));
        }
        let label = label(&name(folder));
        for file in files {
            let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            // DICOM files are often called `IM000001`, or by a UID, whose end is no ending: their content tells.
            let unnamed = ending.bytes().all(|byte| byte.is_ascii_digit());
            if !unnamed && !ENDINGS.contains(&ending.as_str()) {
                prepared.leave_out(format!("not an image by its ending `{ending}`"));
                continue;
            }
            let stem = if unnamed { file.file_name() } else { file.file_stem() };
            let stem = stem.unwrap_or_default().to_string_lossy();
            // Files are often numbered anew in each folder: the same name in two is not yet the same patient.
            let folder = split.map_or(label.clone(), |split| format!("{}-{label}", split.word()));
            let patient = patient(&stem).unwrap_or_else(|| format!("{folder}-{stem}"));
            let row = Row {
                label: label.clone(),
                source: source.clone(),
                patient_id: format!("{source}-{patient}"),
                split: split.map_or("", Split::word).into(),
                ..Row::default()
            };
            candidates.push(Candidate { file, row });
        }
    }
    if candidates.is_empty() {
        bail!(
            "{}: no images in DIR/LABEL/ or DIR/train/LABEL/; the folders there are: {}",
            args.dir.display(),
            names(inside.iter().map(|folder| name(folder)))
        );
    }
    prepared.add(candidates, &args.out)?;
    one_split_a_patient(&mut prepared);
    Ok(prepared)
}

fn one_split_a_patient(prepared: &mut Prepared) {
    let mut splits: HashMap<String, String> = HashMap::new();
    for row in &prepared.rows {
        let split = splits.entry(row.patient_id.clone()).or_insert_with(|| row.split.clone());
        if rank(&row.split) < rank(split) {
            *split = row.split.clone();
        }
    }
    let mut moved: BTreeMap<String, usize> = BTreeMap::new();
    prepared.rows.retain(|row| {
        let split = &splits[&row.patient_id];
        if *split != row.split {
            *moved.entry(format!("a {} film of a patient who is also in {split}", row.split)).or_default() += 1;
        }
        *split == row.split
    });
    prepared.left_out.append(&mut moved);
}

/// Folders and files in a folder, sorted; hidden ones and the leftovers of macOS archives do not count.
fn list(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let failed = || format!("{}: cannot be read", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if !name(&path).starts_with('.') && name(&path) != "__MACOSX" {
            entries.push(path);
        }
    }
    entries.sort();
    Ok(entries.into_iter().partition(|path| path.is_dir()))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn split_of(folder: &str) -> Option<Split> {
    match folder.to_lowercase().as_str() {
        "train" => Some(Split::Train),
        "val" | "valid" | "validation" => Some(Split::Validation),
        "test" => Some(Split::Test),
        _ => None,
    }
}

/// The folder's name in lower case; the names that the public sets use become the labels of the released weights.
fn label(folder: &str) -> String {
    match folder.to_lowercase().as_str() {
        "covid-19" | "covid19" | "covid_19" => "covid".into(),
        "no_finding" | "no_findings" | "no finding" | "no findings" => "normal".into(),
        other => other.into(),
    }
}

/// The patient that a file name tells, in three schemes:
/// Kermany et al. 2018, `person1608_virus_2786` -> `person1608` and `NORMAL2-IM-1422-0001`, `IM-0011-0001-0002`
/// -> `NORMAL2-IM-1422`, `IM-0011`; NIH ChestX-ray14, `00012158_025` -> `00012158`.
///
/// Whether `person1_virus_6` and `person1_bacteria_1` are one child is not known; they count as one.
fn patient(stem: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((person, _)) = stem.split_once('_')
        && person.strip_prefix("person").is_some_and(digits)
    {
        return Some(person.into());
    }
    let series = if stem.starts_with("NORMAL2-") { "NORMAL2-" } else { "" };
    if let Some(rest) = stem[series.len()..].strip_prefix("IM-")
        && let Some(number) = rest.split('-').next().filter(|number| digits(number))
    {
        return Some(format!("{series}IM-{number}"));
    }
    match stem.split_once('_') {
        Some((patient, film)) if patient.len() == 8 && film.len() == 3 && digits(patient) && digits(film) => {
            Some(patient.into())
        }
        _ => None,
    }
}
