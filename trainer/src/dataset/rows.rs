//! The rows of a manifest's CSV, without a look at the files that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Film, Split, names, write_whole};

/// One row of a manifest, as it stands in the CSV. An empty text means "not given".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// File, relative to the folder of the CSV, with `/` between the parts.
    pub path: String,
    /// Ground truth.
    pub label: String,
    /// Where the film comes from (a hospital or a collection).
    pub source: String,
    /// The unit of splitting: one patient, or a group of near-duplicates.
    pub patient_id: String,
    /// Projection, e.g. `PA`, `AP`, `AP supine`.
    pub view: String,
    /// `adult`, `paediatric` or nothing.
    pub age_group: String,
    /// Licence of the image.
    pub license: String,
    /// Where upstream keeps the image.
    pub origin: String,
    /// Columns of the image in pixels; `None` where the file was not measured.
    pub width: Option<u32>,
    /// Rows of the image in pixels; `None` where the file was not measured.
    pub height: Option<u32>,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// `train`, `val`, `test`, or nothing.
    pub split: String,
}

/// Reads the rows of one manifest, each with its line in the file, without looking at the files that it names.
///
/// # Errors
/// A file that cannot be read, a missing column, a row with too few or too many fields, an empty path or label.
pub fn read_rows(csv: &Path) -> anyhow::Result<Vec<(u64, Row)>> {
    let bytes = fs::read(csv).with_context(|| format!("{}: cannot be read", csv.display()))?;
    parse(csv, &bytes)
}

/// Writes a manifest: first to a temporary file beside it, then renamed, so that a killed run leaves no half file.
///
/// # Errors
/// The folder cannot be written.
pub fn write_rows(csv: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    write_whole(csv, &writer.into_inner()?)
}

pub(super) fn parse(csv: &Path, bytes: &[u8]) -> anyhow::Result<Vec<(u64, Row)>> {
    let shown = csv.display();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().with_context(|| format!("{shown}: no readable header"))?.clone();
    for column in ["path", "label"] {
        if !header.iter().any(|name| name == column) {
            bail!("{shown}: no column `{column}`; a manifest needs path and label, this one has: {}", names(&header));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("{shown}: not a readable CSV"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = record
            .deserialize(Some(&header))
            .with_context(|| format!("{shown} line {line}: a field cannot be read"))?;
        for (column, value) in [("path", &row.path), ("label", &row.label)] {
            if value.is_empty() {
                bail!("{shown} line {line}: `{column}` is empty; fill it in or remove the row");
            }
        }
        rows.push((line, row));
    }
    Ok(rows)
}

/// `source` and `prefix` (of the path) stand in where the row names no source and no patient.
pub(super) fn film(
    csv: &Path,
    place: &str,
    row: Row,
    classes: &[String],
    source: &str,
    prefix: &str,
) -> anyhow::Result<Film> {
    let split = match row.split.as_str() {
        "" => None,
        word => match Split::from_word(word) {
            Some(split) => Some(split),
            None => bail!("{place}: unknown split `{word}`; use train, val, test or nothing"),
        },
    };
    let label = classes.binary_search(&row.label).expect("the class list was made of these rows");
    let or = |value: String, other: &dyn Fn() -> String| if value.is_empty() { other() } else { value };
    let known = |value: String| Some(value).filter(|value| !value.is_empty() && value != "unknown");
    Ok(Film {
        path: csv.parent().unwrap_or(Path::new("")).join(&row.path),
        label,
        source: or(row.source, &|| source.into()),
        patient_id: or(row.patient_id, &|| format!("{prefix}{}", row.path)),
        view: known(row.view),
        age_group: known(row.age_group),
        license: known(row.license),
        sha256: Some(row.sha256.to_lowercase()).filter(|text| is_digest(text)),
        split,
        name: row.path,
    })
}

/// What each manifest is called: its file name without the ending, with as many of the folders above it as tell the
/// manifests apart.
pub(super) fn manifest_names(paths: &[PathBuf]) -> Vec<String> {
    let parts = |path: &PathBuf| -> Vec<String> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone()).with_extension("");
        path.iter().map(|part| part.to_string_lossy().into_owned()).collect()
    };
    let parts: Vec<Vec<String>> = paths.iter().map(parts).collect();
    let deepest = parts.iter().map(Vec::len).max().unwrap_or(1);
    let names = |depth: usize| -> Vec<String> {
        parts.iter().map(|parts| parts[parts.len().saturating_sub(depth)..].join("/")).collect()
    };
    let apart = |depth: &usize| names(*depth).iter().collect::<BTreeSet<_>>().len() == paths.len();
    names((1..=deepest).find(apart).unwrap_or(deepest))
}

/// Whether this is a SHA-256 in hex.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
