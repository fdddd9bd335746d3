//! The layout of github.com/ieee8023/covid-chestxray-dataset (Cohen et al. 2020): metadata.csv beside images/.

use std::collections::HashSet;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{Candidate, Prepared, folder_to_read};
use crate::cli::CovidChestxrayArgs;
use crate::dataset::Row;

/// Prefix of patient ids and name of the source.
const SOURCE: &str = "ieee8023";

/// Findings that stand for a pneumonia in the older, flat spelling of the `finding` column. The newer spelling is a
/// path that begins with `Pneumonia`.
const PNEUMONIAS: [&str; 16] = [
    "ARDS",
    "Aspiration",
    "Bacterial",
    "Chlamydophila",
    "E.Coli",
    "Influenza",
    "Klebsiella",
    "Legionella",
    "Lipoid",
    "MERS-CoV",
    "Mycoplasma Bacterial Pneumonia",
    "Pneumocystis",
    "Pneumonia",
    "SARS",
    "Streptococcus",
    "Varicella",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    patientid: String,
    age: String,
    finding: String,
    view: String,
    modality: String,
    folder: String,
    filename: String,
    license: String,
}

/// The films of the upstream repository: frontal views, with a label, whose image is there.
///
/// # Errors
/// metadata.csv is missing or not in the upstream form.
pub fn covid_chestxray(args: &CovidChestxrayArgs) -> anyhow::Result<Prepared> {
    let dir = folder_to_read(&args.dir)?;
    let shown = args.dir.join("metadata.csv");
    let shown = shown.display();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(dir.join("metadata.csv"))
        .with_context(|| format!("{shown}: cannot be read; DIR is the root of the upstream repository"))?;
    let header = reader.headers().with_context(|| format!("{shown}: no readable header"))?.clone();
    for column in ["patientid", "finding", "view", "modality", "filename"] {
        if !header.iter().any(|name| name == column) {
            bail!("{shown}: no column `{column}`; this is not the upstream metadata.csv");
        }
    }
    let mut prepared = Prepared::default();
    let mut candidates = Vec::new();
    let mut seen = HashSet::new();
    for entry in reader.deserialize::<Entry>() {
        let entry = entry.with_context(|| format!("{shown}: not a readable CSV"))?;
        let folder = if entry.folder.is_empty() { "images" } else { &entry.folder };
        let file = dir.join(folder).join(&entry.filename);
        match row(&entry, folder, args) {
            Err(reason) => prepared.leave_out(reason),
            Ok(_) if !file.is_file() => prepared.leave_out("the image is not there"),
            Ok(_) if !seen.insert(file.clone()) => prepared.leave_out("a second row for the same image"),
            Ok(row) => candidates.push(Candidate { file, row }),
        }
    }
    prepared.add(candidates, &args.out)?;
    Ok(prepared)
}

/// The row for an entry, or why it gets none.
fn row(entry: &Entry, folder: &str, args: &CovidChestxrayArgs) -> Result<Row, String> {
    if !entry.modality.eq_ignore_ascii_case("X-ray") || ["Axial", "Coronal"].contains(&entry.view.as_str()) {
        return Err("not an X-ray (CT)".into());
    }
    match entry.view.split_whitespace().next() {
        Some("PA" | "AP") => {}
        Some("L" | "Lateral") => return Err("a lateral view".into()),
        _ => return Err("the view is not known".into()),
    }
    if !args.view.is_empty() && !args.view.iter().any(|view| view.eq_ignore_ascii_case(&entry.view)) {
        return Err("not a view that was asked for".into());
    }
    let parts: Vec<&str> = entry.finding.split([',', '/']).map(str::trim).collect();
    let has = |wanted: &str| parts.iter().any(|part| part.eq_ignore_ascii_case(wanted));
    if !args.finding.is_empty() && !args.finding.iter().any(|finding| has(finding)) {
        return Err("not a finding that was asked for".into());
    }
    let label = if has("COVID-19") {
        "covid"
    } else if PNEUMONIAS.iter().any(|finding| has(finding)) {
        "pneumonia"
    } else if has("No Finding") {
        "normal"
    } else {
        return Err(format!("finding `{}` is none of covid, pneumonia, normal", entry.finding));
    };
    let patient = if entry.patientid.is_empty() { &entry.filename } else { &entry.patientid };
    Ok(Row {
        label: label.into(),
        source: SOURCE.into(),
        patient_id: format!("{SOURCE}-{patient}"),
        view: entry.view.clone(),
        age_group: match entry.age.parse::<f64>() {
            Ok(years) if years < 18.0 => "paediatric".into(),
            Ok(_) => "adult".into(),
            Err(_) => String::new(),
        },
        license: entry.license.clone(),
        origin: format!("github.com/ieee8023/covid-chestxray-dataset/{folder}/{}", entry.filename),
        ..Row::default()
    })
}
